"""Intake: what comes in becomes entries of a collection, in one durable transaction.

A publication is taken whole or not at all, unless its publisher asked for ``partial``; every
refused object is named with its reason. A received page is taken whole, after ``exchange`` has
checked its proof. Either way the bytes are kept as they came, and what is known already (same
object, same bytes) is not entered again, so everything may be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping

import msgspec

from detente.errors import Broken, Invalid, Missing, NotAuthorised
from detente.gateway.bell import Ring
from detente.gateway.book import Book, collection_key
from detente.gateway.feeds import Change, decide_for, see_handling
from detente.gateway.gate import Current, Gate
from detente.gateway.recall import RecalledEntries
from detente.model import Agreement, Collection, Handling, encode, object_key
from detente.model.names import Record
from detente.ports import NewItem, Tx, View
from detente.proof import leaf_hash, root_of
from detente.wire.markings import MarkingNames, markings_of
from detente.wire.stix import Cut, CutObject, Limits, cut, version_of

__all__ = ["Intake", "Publication", "Published", "Received", "Refused"]

#: Refusals told by name; more are counted only.
REFUSALS_MAX = 10_000
#: Readers whose outcomes are told in the answer to a publication.
OUTCOMES_MAX = 20


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher gives: the bytes, and what STIX has no field for."""

    agreement: str
    collection: str
    party: str
    body: bytes
    kind: str | None = None
    purpose: str | None = None
    grade: str | None = None
    unit: str | None = None
    partial: bool = False


class Refused(Record, frozen=True, kw_only=True):
    """One object that was not taken: its place in the request, and why."""

    index: int
    id: str = ""
    type: str = ""
    code: str
    sentence: str
    path: str = ""
    version: str = ""


class Warned(Record, frozen=True, kw_only=True):
    """One object that was taken though it is not strictly valid."""

    index: int
    id: str
    code: str
    sentence: str
    path: str = ""


class Published(Record, frozen=True, kw_only=True):
    """The answer to a publication, once it is on disk.

    ``ids`` and ``versions`` are those of all objects that are here now, known ones included (no
    version where the object has none). ``outcomes`` says for each reader how many of the new items
    are released, held or refused by the present standing; ``first`` and ``end`` bound their
    sequence numbers.
    """

    agreement: str
    collection: str
    taken: int
    known: int
    refused: tuple[Refused, ...]
    warnings: tuple[Warned, ...]
    first: int
    end: int
    entry: int | None
    root: str
    by_type: dict[str, int]
    outcomes: dict[str, dict[str, int]]
    ids: tuple[str, ...]
    versions: tuple[str, ...]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A partner's page whose proof holds: its objects (bytes, id, place of the handling) in
    order, and their handlings."""

    agreement: str
    collection: str
    sender: str
    origin: str
    index: int
    root: bytes
    objects: tuple[tuple[bytes, str, int], ...]
    handlings: tuple[Handling, ...]


class Intake:
    """Takes publications and received pages into collections."""

    def __init__(self, book: Book, gate: Gate, limits: Limits, published: Ring) -> None:
        self._book = book
        self._gate = gate
        self._limits = limits
        self._published = published

    async def publish(
        self, publication: Publication, keep: Callable[[Tx, Published], None] | None = None
    ) -> Published:
        """Take a publication; answers when it is on disk.

        ``keep`` runs in the same transaction as the items, also if all of them are known: a
        source's place is on disk exactly when its page is. Only for what is ``partial``, which is
        never undone as a whole.

        Refuses as a whole: an unknown collection, a party that is not its sender, a missing
        purpose or grade where the agreement demands them (R34), a body that cannot be cut, and,
        unless partial, any object that is refused.
        """
        await self._gate.settled(publication.agreement)
        current = self._gate.current(publication.agreement)
        agreement, collection = _collection(current, publication)
        assert current is not None  # _collection has refused otherwise
        stated = _stated(publication, agreement, collection)
        limits = self._limits
        done = await asyncio.to_thread(cut, publication.body, limits)
        key = collection_key(agreement.id, collection.name)
        names = await self._book.store.read(lambda view: _known_markings(view, key, done))
        batch, refused = _sorted(done, stated, agreement, names)
        refused += [
            Refused(
                index=r.index, id=r.id, type=r.type, code=r.code, sentence=r.sentence, path=r.path
            )
            for r in done.refusals
        ]
        if refused and not publication.partial:
            raise _whole(refused)
        change = Change(
            current=current, party=self._book.me.party, now_us=self._book.clock.now_us()
        )

        def work(tx: Tx) -> _Entered:
            entered = self._enter(tx, key, batch, change)
            if keep is not None:
                keep(tx, _answer(publication, refused, entered, batch))
            return entered

        entered = await self._book.store.write(work)
        if entered.conflicts and not publication.partial:
            raise _whole(list(entered.conflicts))
        self._published(agreement.id, collection.name)
        return _answer(publication, refused, entered, batch)

    def _enter(self, tx: Tx, key: str, batch: _Batch, change: Change) -> _Entered:
        """One transaction: handlings, items, the publish entry."""
        objects = batch.objects
        names = [object_key(one.id) for one in objects]
        known = tx.known(
            key, [(name, one.sha256) for name, one in zip(names, objects, strict=True)]
        )
        stored = tx.find_many(key, [n for n, at in zip(names, known, strict=True) if at is None])
        gone = RecalledEntries(tx, key)
        if gone:
            stored, known = _without_recalled(tx, key, gone, objects, names, known)
        conflicts = _conflicts(tx, key, objects, names, known, stored)
        first = tx.collection(key).end
        new = _new_ones(objects, names, known, conflicts)
        if not new or (conflicts and not batch.partial):
            return _Entered(first=first, end=first, conflicts=tuple(conflicts.values()))
        counted = Counter(batch.sorts[at] for at in new)
        numbers = self._intern(tx, key, {at: batch.handlings[at] for at in counted}, change)
        items = [
            NewItem(
                key=names[at],
                raw=objects[at].raw,
                sha256=objects[at].sha256,
                handling=numbers[batch.sorts[at]],
            )
            for at in new
        ]
        state = tx.append_items(key, items, change.now_us)
        tx.put_twins(key, _twins([item.key for item in items], first, stored))
        root = root_of([leaf_hash(item.sha256) for item in items])
        entry, _ = self._book.write_root_entry(
            tx,
            self._book.me.log_of(change.current.agreement),
            "publish",
            root,
            collection=key.partition("/")[2],
            party=batch.handlings[0].originator,
            count=len(items),
            first=first,
        )
        return _Entered(
            new=len(items),
            first=first,
            end=state.end,
            entry=entry,
            root=root,
            conflicts=tuple(conflicts.values()),
            outcomes=self._outcomes(
                change, {batch.handlings[at]: count for at, count in counted.items()}
            ),
        )

    def _intern(
        self, tx: Tx, key: str, handlings: Mapping[int, Handling], change: Change
    ) -> dict[int, int]:
        """The numbers of handlings in the collection, by the caller's own numbers."""
        numbers = {}
        for local, handling in handlings.items():
            number, is_new = tx.intern(key, encode(handling))
            numbers[local] = number
            if is_new:
                # The standing may have moved since it was read; what the gate holds now is what
                # the feeds stand at, or are being brought to by a later transaction.
                current = self._gate.current(change.current.agreement) or change.current
                fresh = Change(current=current, party=change.party, now_us=change.now_us)
                see_handling(tx, key, number, handling, fresh)
        return numbers

    def _outcomes(
        self, change: Change, counted: Mapping[Handling, int]
    ) -> dict[str, dict[str, int]]:
        """What the present standing makes of the new items, for the first readers at least: it
        is told for information, and a thousand readers must not make publishing dearer."""
        agreement = change.current.standing.agreement
        name = next(iter(counted)).collection
        collection = agreement.collection(name) if agreement else None
        found = {}
        for party in (collection.readers if collection else ())[:OUTCOMES_MAX]:
            sums: Counter[str] = Counter()
            for handling, count in counted.items():
                decision = decide_for(change.current, handling, own=change.party, party=party)
                sums[decision.outcome] += count
            found[party] = dict(sums)
        return found

    async def receive(self, page: Received, keep: Callable[[Tx, int, int], None]) -> int:
        """Take a partner's page; how many of its items were new. ``keep`` runs in the same
        transaction with (new, known), so that the reader's place and the receipt are on disk
        exactly when the items are."""
        current = self._gate.current(page.agreement)
        if current is None:
            raise Missing("agreement.unknown", f"Expected a known agreement, got {page.agreement}.")
        key = collection_key(page.agreement, page.collection)
        book = self._book
        change = Change(current=current, party=book.me.party, now_us=book.clock.now_us())
        digests = await asyncio.to_thread(_digests, [raw for raw, _, _ in page.objects])

        def work(tx: Tx) -> int:
            keys = [object_key(stix_id) for _, stix_id, _ in page.objects]
            known = tx.known(key, list(zip(keys, digests, strict=True)))
            kinds = dict(enumerate(page.handlings))
            numbers = self._intern(tx, key, kinds, change)
            seen: set[tuple[bytes, bytes]] = set()
            items = []
            for (raw, _, sort), name, sha256, at in zip(
                page.objects, keys, digests, known, strict=True
            ):
                if at is None and (name, sha256) not in seen:
                    seen.add((name, sha256))
                    items.append(NewItem(key=name, raw=raw, sha256=sha256, handling=numbers[sort]))
            if items:
                new_keys = [item.key for item in items]
                stored = tx.find_many(key, new_keys)
                state = tx.append_items(key, items, change.now_us)
                tx.put_twins(key, _twins(new_keys, state.end - len(items), stored))
            book.write_root_entry(
                tx,
                book.me.log_of(page.agreement),
                "receive",
                page.root,
                collection=page.collection,
                party=page.sender,
                count=len(page.objects),
                origin=page.origin,
                index=page.index,
            )
            keep(tx, len(items), len(page.objects) - len(items))
            return len(items)

        new = await book.store.write(work)
        self._published(page.agreement, page.collection)
        return new


class _Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Acceptable objects; ``sorts`` has for each the place of its handling in ``handlings``."""

    objects: list[CutObject]
    sorts: list[int]
    handlings: list[Handling]
    partial: bool


class _Entered(msgspec.Struct, frozen=True, kw_only=True):
    first: int
    end: int
    new: int = 0
    entry: int | None = None
    root: bytes = b""
    conflicts: tuple[Refused, ...] = ()
    outcomes: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)


class _Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What the publisher said of all objects, or the collection says for it."""

    collection: str
    originator: str
    unit: str
    kind: str | None
    purpose: str | None
    grade: str | None
    partial: bool


def _collection(current: Current | None, publication: Publication) -> tuple[Agreement, Collection]:
    agreement = current.standing.agreement if current else None
    collection = agreement.collection(publication.collection) if agreement else None
    if agreement is None or collection is None:
        raise Missing(
            "collection.unknown",
            f"Expected a collection of an agreement, got {publication.collection}.",
            hint="`detente agreement show` lists the collections.",
        )
    if collection.sender != publication.party:
        raise NotAuthorised(
            "collection.not-sender",
            f"Expected {collection.sender} to write to {collection.name}, got {publication.party}.",
        )
    return agreement, collection


def _stated(publication: Publication, agreement: Agreement, collection: Collection) -> _Stated:
    purpose = publication.purpose or collection.purpose
    grade = publication.grade or collection.grade
    if agreement.purpose_required and purpose is None:
        raise Invalid(
            "publish.purpose",
            f"Expected a purpose ({', '.join(p.id for p in agreement.purposes)}), got none.",
            hint="Say it with --purpose.",
        )
    if purpose is not None and all(p.id != purpose for p in agreement.purposes):
        raise Invalid(
            "publish.purpose",
            f"Expected a purpose among {', '.join(p.id for p in agreement.purposes)}, "
            f"got {purpose}.",
        )
    if agreement.grade_required and grade is None:
        raise Invalid(
            "publish.grade",
            "Expected a grade (scheme:value, such as admiralty:B2), got none.",
            hint="Say it with --grade.",
        )
    member = agreement.member(publication.party)
    units = member.units if member else ()
    unit = publication.unit or collection.unit or (units[0] if len(units) == 1 else None)
    if unit is None or unit not in units:
        raise Invalid(
            "publish.unit",
            f"Expected a unit among {', '.join(units)}, got {unit or 'none'}.",
            hint="Say it with --unit.",
        )
    if publication.kind is not None and agreement.kind(publication.kind) is None:
        raise Invalid(
            "publish.kind",
            f"Expected a kind among {', '.join(k.id for k in agreement.kinds)}, "
            f"got {publication.kind}.",
        )
    return _Stated(
        collection=collection.name,
        originator=publication.party,
        unit=unit,
        kind=publication.kind,
        purpose=purpose,
        grade=grade,
        partial=publication.partial,
    )


def _whole(refused: list[Refused]) -> Invalid:
    """The refusal of a publication that was to be taken whole."""
    first = min(refused, key=lambda one: one.index)
    return Invalid(
        "publish.refused",
        f"Expected every object to be acceptable, got {len(refused)} that are not; first: "
        f"object {first.index} {first.id}: {first.sentence}",
        hint="Publish with --partial to take what is acceptable.",
        path=first.path,
    )


def _sorted(
    done: Cut, stated: _Stated, agreement: Agreement, names: MarkingNames
) -> tuple[_Batch, list[Refused]]:
    """The acceptable objects with their handlings, each made once; and those no kind fits."""
    places: dict[tuple[str, tuple[str, ...], tuple[str, ...]], int | None] = {}
    batch = _Batch(objects=[], sorts=[], handlings=[], partial=stated.partial)
    refused = []
    for one in done.objects:
        markings = markings_of(one, names)
        sort = (one.type, markings, one.extensions)
        if sort not in places:
            kind = stated.kind or _kind_of(agreement, one.type, one.extensions)
            places[sort] = None if kind is None else len(batch.handlings)
            if kind is not None:
                batch.handlings.append(_handling(stated, kind, one.type, markings))
        place = places[sort]
        if place is None:
            refused.append(
                Refused(
                    index=one.index,
                    id=one.id,
                    type=one.type,
                    code="publish.no-kind",
                    sentence=f"Expected a kind of the agreement for type {one.type}, got none.",
                    version=one.version,
                )
            )
        else:
            batch.objects.append(one)
            batch.sorts.append(place)
    return batch, refused


def _handling(stated: _Stated, kind: str, stix_type: str, markings: tuple[str, ...]) -> Handling:
    return Handling(
        collection=stated.collection,
        kind=kind,
        stix_type=stix_type,
        originator=stated.originator,
        unit=stated.unit,
        markings=markings,
        purpose=stated.purpose,
        grade=stated.grade,
    )


def _kind_of(agreement: Agreement, stix_type: str, extensions: tuple[str, ...]) -> str | None:
    for rule in agreement.kind_rules:
        if (not rule.types or stix_type in rule.types) and (
            rule.extension is None or rule.extension in extensions
        ):
            return rule.kind
    return None


def _known_markings(view: View, key: str, done: Cut) -> MarkingNames:
    """Names of the marking definitions that the objects refer to: those in the request, and
    those that entered the collection before."""
    names = MarkingNames.of(done)
    for marking_id in names.missing(done):
        for seq in view.find(key, object_key(marking_id)):
            block = view.block(key, seq)
            if block is not None:
                names = names.learn(block.raw(seq))
    return names


def _conflicts(  # three lists in step and what is stored; a record would only rename them
    tx: Tx,
    key: str,
    objects: list[CutObject],
    names: list[bytes],
    known: list[int | None],
    stored: Mapping[bytes, list[int]],
) -> dict[int, Refused]:
    """Objects that say something else under an id and version that was taken before, here or in
    this request: two readers would hold two truths. What is known byte for byte is no conflict.
    ``stored``: the entries of each object that is not known so and has any."""
    seen: dict[tuple[str, str], bytes] = {}
    found = {}
    for one, name, at in zip(objects, names, known, strict=True):
        if not one.version:
            continue
        other = seen.setdefault((one.id, one.version), one.sha256) != one.sha256
        if not other and at is None and name in stored:
            other = any(version_of(raw) == one.version for raw in _raws(tx, key, stored[name]))
        if other:
            found[one.index] = Refused(
                index=one.index,
                id=one.id,
                type=one.type,
                code="publish.version",
                sentence=f"Expected one content for {one.id} {one.version}, got two.",
                path="$.modified",
                version=one.version,
            )
    return found


def _without_recalled(  # lists in step, as in `_conflicts`
    tx: Tx,
    key: str,
    gone: Container[int],
    objects: list[CutObject],
    names: list[bytes],
    known: list[int | None],
) -> tuple[dict[bytes, list[int]], list[int | None]]:
    """What is stored and known, as if recalled entries had never been: who took an object back
    may enter it anew."""
    found = {
        name: alive
        for name, seqs in tx.find_many(key, names).items()
        if (alive := [seq for seq in seqs if seq not in gone])
    }
    again: list[int | None] = []
    for one, name, at in zip(objects, names, known, strict=True):
        if at is not None and at in gone:
            at = next(
                (s for s in found.get(name, ()) if _digest_at(tx, key, s) == one.sha256), None
            )
        again.append(at)
    unknown = {name for name, at in zip(names, again, strict=True) if at is None}
    return {name: seqs for name, seqs in found.items() if name in unknown}, again


def _digest_at(tx: Tx, key: str, seq: int) -> bytes:
    block = tx.block(key, seq)
    if block is None:
        raise Broken("store.entry", f"Expected entry {seq} of {key}, got none.")
    return block.digests[(seq - block.first) * 32 :][:32]


def _twins(names: list[bytes], first: int, stored: Mapping[bytes, list[int]]) -> list[int]:
    """The entries of objects of which there are several by now. ``names`` are those of the new
    entries, from ``first`` on; ``stored`` has the earlier ones."""
    found: list[int] = []
    seen: dict[bytes, int] = {}
    for seq, name in enumerate(names, first):
        before = [*stored.get(name, ()), *([seen[name]] if name in seen else [])]
        if before:
            found += [*before, seq]
        seen.setdefault(name, seq)
    return found


def _raws(tx: Tx, key: str, seqs: list[int]) -> Iterator[bytes]:
    for seq in seqs:
        block = tx.block(key, seq)
        if block is not None:
            yield block.raw(seq)


def _new_ones(
    objects: list[CutObject],
    names: list[bytes],
    known: list[int | None],
    conflicts: dict[int, Refused],
) -> list[int]:
    """The places of objects that are neither known nor in conflict, each content once."""
    seen: set[tuple[bytes, bytes]] = set()
    found = []
    for place, (one, at) in enumerate(zip(objects, known, strict=True)):
        if at is None and one.index not in conflicts:
            content = (names[place], one.sha256)
            if content not in seen:
                seen.add(content)
                found.append(place)
    return found


def _answer(
    publication: Publication, refused: list[Refused], entered: _Entered, batch: _Batch
) -> Published:
    conflicting = {one.index for one in entered.conflicts}
    refused = sorted([*refused, *entered.conflicts], key=lambda one: one.index)
    taken = [one for one in batch.objects if one.index not in conflicting]
    return Published(
        agreement=publication.agreement,
        collection=publication.collection,
        taken=entered.new,
        known=len(taken) - entered.new,
        refused=tuple(refused[:REFUSALS_MAX]),
        warnings=tuple(
            Warned(index=one.index, id=one.id, code=w.code, sentence=w.sentence, path=w.path)
            for one in batch.objects
            for w in one.warnings
        )[:REFUSALS_MAX],
        first=entered.first,
        end=entered.end,
        entry=entered.entry,
        root=entered.root.hex(),
        by_type=dict(sorted(Counter(one.type for one in taken).items())),
        outcomes=entered.outcomes,
        ids=tuple(one.id for one in taken),
        versions=tuple(one.version for one in taken),
    )


def _digests(raws: list[bytes]) -> list[bytes]:
    return [hashlib.sha256(raw).digest() for raw in raws]
