"""Checker: the whole world looked at, by rules of its own."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence

from detente.gateway.book import collection_key
from detente.model import Entry, decode
from detente.ports import View
from detente.proof import parse_checkpoint, parse_note
from detente.record import verify_copy, write_copy
from detente.testing.parts import (
    AGREEMENT,
    READER,
    REVIEWED,
    SPAN_MS,
    Item,
    collection_of,
    id_of,
    other_of,
    readers_of,
)
from detente.testing.rows import spent
from detente.testing.site import Site
from detente.testing.world import World

__all__ = ["check"]


async def check(world: World, *, record: bool = False) -> None:
    """Raise ``AssertionError`` with every promise that does not hold in the world as it stands.

    1. nothing covered left a node while an order stood that the node knew of;
    2. every acknowledged item stands in one state towards each reader, and in one that the orders
       allow; nobody got anything twice;
    3. what was got is byte for byte what was published;
    4. after a whole exchange both sides' standings have one digest, and nothing is left to give;
    5. every page entry follows the entry of the standing it names; tree heads are the roots of
       the entries and grow out of each other; with ``record``, a copy verifies offline;
    6. epochs only grow, and no name of a state runs ahead of the fact.
    """
    said = [*world.complaints, *_check_given(world)]
    said += _check_bytes("K", world.got, world, once=True)
    stored = {}
    for party, site in world.sites.items():
        stored[party] = await site.store.read(
            lambda view, p=party: _stored(view, collection_of(other_of(p)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        )
        said += _check_bytes(party, stored[party], world, once=True)
    got = {party: {id_of(raw) for raw in raws} for party, raws in stored.items()}
    got[READER] = {id_of(raw) for raw in world.got}
    for party, site in world.sites.items():
        said += await _check_states(world, site, got)
        said += await _check_counts(world, site)
        log = site.book.me.log_of(AGREEMENT)
        entries, note = await site.store.read(
            lambda view, name=log: (  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                view.entries(name, 0, view.log_size(name)),
                view.checkpoint(name),
            )
        )
        said += _check_ledger(world, party, entries, note)
        said += _check_epoch(world, site)
        if record:
            said += await _check_record(site)
    if world.settled:
        said += _check_settled(world, got)
    if said:
        raise AssertionError("\n".join(said))


def _check_given(world: World) -> list[str]:
    items = {item.id: item for item in world.items}
    said = []
    for left in world.went:
        for name in left.ids:
            item = items.get(name)
            if item is None:
                said.append(f"{name} left {left.sender} though nobody published it")
            elif world.stopped(item, left.reader, left.at_ms):
                said.append(
                    f"{item.kind} {name} left for {left.reader} at {left.at_ms} under an order"
                )
            elif left.at_ms > world.refused.get((name, left.reader), left.at_ms):
                said.append(f"{name} left for {left.reader} though it was refused")
    return said


def _check_bytes(party: str, raws: list[bytes], world: World, *, once: bool) -> list[str]:
    items = {item.id: item.raw for item in world.items}
    said = [
        f"{party} has other bytes of {id_of(raw)}" for raw in raws if items.get(id_of(raw)) != raw
    ]
    counts = Counter(id_of(raw) for raw in raws)
    return said + [f"{party} got {name} {n} times" for name, n in counts.items() if once and n > 1]


def _stored(view: View, collection: str) -> list[bytes]:
    key = collection_key(AGREEMENT, collection)
    raws = []
    for seq in range(view.collection(key).end):
        block = view.block(key, seq)
        if block is not None:
            raws.append(block.raw(seq))
    return raws


#: The states that an item may have while nothing stops it, and while something does.
_OPEN = frozenset({"queued", "given", "sent", "received", "in flight"})
_STOPPED = frozenset({"held", "given", "sent", "received", "in flight"})


async def _check_states(world: World, site: Site, got: dict[str, set[str]]) -> list[str]:
    said = []
    for item in world.items:
        if item.sender != site.party:
            continue
        lines = await site.ask.trace(item.id, AGREEMENT)
        found = Counter(line.party for line in lines)
        if found != Counter((site.party, *readers_of(site.party))):
            said.append(f"{item.id} is told {dict(found)}")
        for line in lines:
            if line.party == site.party:
                continue
            fault = _state_fault(world, item, line.party, line.state, item.id in got[line.party])
            if fault:
                said.append(f"{item.kind} {item.id} to {line.party} is {line.state}: {fault}")
    return said


def _state_fault(world: World, item: Item, reader: str, state: str, came: bool) -> str:  # noqa: FBT001  # one fact of five, called from one place
    age, span = world.now_ms() - item.at_ms, SPAN_MS.get(item.kind)
    if state in ("received", "sent", "given"):
        return "" if came else "the reader has nothing"
    if state == "expired":
        return "" if span is not None and age >= span else "its time is not over"
    if state == "refused":
        return "" if (item.id, reader) in world.refused else "nobody refused it"
    if state == "under review":
        return "" if item.kind in REVIEWED else "its kind is not reviewed"
    if state == "held" and span is not None and age > span:
        return "its time is over"
    if (item.id, reader) in world.refused:
        return "it was refused"
    if world.stopped(item, reader):
        return "" if state in _STOPPED else "an order stands"
    return "" if state in _OPEN else "nothing stops it"


async def _check_counts(world: World, site: Site) -> list[str]:
    expected = Counter(
        (reader, item.kind, item.unit)
        for item in world.items
        if item.sender == site.party
        for reader in readers_of(site.party)
    )
    counted: Counter[tuple[str, str, str]] = Counter()
    for line in await site.ask.feeds(AGREEMENT):
        if line.collection == collection_of(site.party) and line.party != site.party:
            counted[line.party, line.kind, line.unit] += sum(line.states.values())
    if counted == expected:
        return []
    return [f"{site.party} counts {dict(counted)}, acknowledged {dict(expected)}"]


def _check_settled(world: World, got: dict[str, set[str]]) -> list[str]:
    digests = {party: site.ask.standing(AGREEMENT).standing for party, site in world.sites.items()}
    said = []
    if len(set(digests.values())) != 1:
        said.append(f"the standings differ after an exchange: {digests}")
    for item in world.items:
        reader = other_of(item.sender)
        if (
            item.kind not in REVIEWED
            and not world.stopped(item, reader)
            and not spent(item, world)
            and (item.id, reader) not in world.refused
            and item.id not in got[reader]
        ):
            said.append(f"{item.kind} {item.id} did not come to {reader} though nothing stops it")
    return said


def _check_ledger(world: World, party: str, entries: list[bytes], note: bytes | None) -> list[str]:
    said = []
    if note is None:
        return [f"{party} has no tree head"]
    head = parse_checkpoint(parse_note(note).text)
    if (head.size, head.root) != (len(entries), _root(entries)):
        said.append(f"{party}: the tree head is not that of its {len(entries)} entries")
    size, root = world.heads.get(party, (0, _root([])))
    if len(entries) < size or _root(entries[:size]) != root:
        said.append(f"{party}: the ledger does not begin with what it was at {size}")
    world.heads[party] = (head.size, head.root)
    latest: tuple[int | None, str | None] = (None, None)
    acts: Counter[str] = Counter()
    for number, data in enumerate(entries):
        entry = decode(data, Entry)
        acts[entry.act] += entry.count or 1
        if entry.act == "standing":
            if latest[0] is not None and (entry.epoch or 0) <= latest[0]:
                said.append(f"{party} entry {number}: epoch {entry.epoch} after {latest[0]}")
            latest = (entry.epoch, entry.standing)
        elif entry.act == "page" and (entry.epoch, entry.standing) != latest:
            said.append(f"{party} entry {number}: a page under another standing than {latest}")
    published = sum(item.sender == party for item in world.items)
    if acts["publish"] != published:
        said.append(f"{party}: {acts['publish']} published by the ledger, {published} acknowledged")
    return said


def _root(entries: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, as it is written there."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    middle = 1 << (len(entries) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(entries[:middle]) + _root(entries[middle:])).digest()


def _check_epoch(world: World, site: Site) -> list[str]:
    epoch = site.ask.current(AGREEMENT).epoch
    before = world.epochs.get(site.party, 0)
    world.epochs[site.party] = epoch
    if epoch < before:
        return [f"{site.party}: epoch {epoch} after {before}"]
    return []


async def _check_record(site: Site) -> list[str]:
    out = site.file.parent / f"record-{site.book.now_ms()}"
    await site.store.read(lambda view: write_copy(view, out, site.config, site.book.agreements()))
    report = verify_copy(out)
    shutil.rmtree(out)
    return [
        f"{site.party}: {fault.place}: {fault.code}: {fault.sentence}" for fault in report.faults
    ]
