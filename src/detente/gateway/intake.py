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
from collections.abc import Callable, Collection, Mapping
from typing import ParamSpec, TypeVar

import msgspec

from detente.errors import Conflict, Invalid, Missing, NotAuthorised, PeerError
from detente.gateway.bell import Ring
from detente.gateway.book import Book, collection_key, split_key
from detente.gateway.feeds import Change, feed_parties
from detente.gateway.gate import Current, Gate
from detente.gateway.intern import (
    INLINE_MAX,
    MARKINGS_MAX,
    Ahead,
    check_new,
    decide_ahead,
    handlings_max,
    intern,
    new_handlings,
)
from detente.gateway.recall import RecalledEntries
from detente.gateway.sift import Name, name_of, sift
from detente.model import Agreement, Handling, object_key
from detente.model import Collection as Terms
from detente.model.names import Record
from detente.ports import NewItem, Tx, View
from detente.proof import leaf_hash, root_of
from detente.wire.control import NAME_MAX
from detente.wire.markings import Marked, MarkingNames, markings_of
from detente.wire.stix import Cut, CutObject, Limits, cut, version_of

__all__ = ["Intake", "Publication", "Published", "Received", "Refused"]

#: Refusals told by name; more are counted only.
REFUSALS_MAX = 10_000
#: Readers whose outcomes are told in the answer to a publication.
OUTCOMES_MAX = 20
#: How often what was decided ahead is decided again, because the standing moved meanwhile.
TRIES_MAX = 3

#: Bodies up to this size are worked on by the loop itself: some two milliseconds.
ASIDE_BYTES_MIN = 128 * 1024

T = TypeVar("T")
P = ParamSpec("P")


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher gives: the bytes, and what STIX has no field for. ``originator`` (the
    publisher if not said) and ``flags`` are for services of this node; no face hands them on."""

    agreement: str
    collection: str
    party: str
    body: bytes
    kind: str | None = None
    purpose: str | None = None
    grade: str | None = None
    unit: str | None = None
    partial: bool = False
    originator: str | None = None
    flags: tuple[str, ...] = ()


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
        source's place is on disk exactly when its page is. It is not told ``outcomes``. Of what
        is not ``partial`` a refused object undoes the whole, before ``keep`` is asked; what
        ``keep`` raises undoes it too.

        Refuses as a whole: an unknown collection, a party that is not its sender, a missing
        purpose or grade where the agreement demands them (R34), a body that cannot be cut, one
        that brings too many new handlings (``gateway.intern``), and, unless partial, any object
        that is refused.
        """
        await self._gate.settled(publication.agreement)
        current = self._gate.current(publication.agreement)
        agreement, collection = _collection(current, publication)
        assert current is not None  # _collection has refused otherwise
        stated = _stated(publication, agreement, collection)
        size = len(publication.body)
        done = await _aside(size, cut, publication.body, self._limits)
        key = collection_key(agreement.id, collection.name)
        names = MarkingNames(self._book.clock.now_us() // 1000)
        if names.missing(done):
            names = await self._book.store.read(lambda view: _learned(view, key, done, names))
        batch, refused = await _aside(size, _sorted, done, stated, agreement, names)
        refused += [
            Refused(
                index=r.index, id=r.id, type=r.type, code=r.code, sentence=r.sentence, path=r.path
            )
            for r in done.refusals
        ]
        if refused and not publication.partial:
            raise _whole(refused)

        def work(tx: Tx, change: Change, ahead: Ahead) -> _Entered:
            entered = self._enter(tx, key, batch, change, ahead)
            if keep is not None:
                keep(tx, _answer(publication, refused, entered, batch))
            return entered

        entered = await self._write(key, batch.handlings, work)
        self._published(agreement.id, collection.name)
        outcomes = await self._outcomes(current, batch, entered.counted)
        return _answer(publication, refused, entered, batch, outcomes)

    async def _write(
        self, key: str, handlings: Collection[Handling], work: Callable[[Tx, Change, Ahead], T]
    ) -> T:
        """One transaction that may meet these handlings for the first time. What many parties
        need decided is decided before it; if an order changes the standing in between, again."""
        for left in reversed(range(TRIES_MAX)):
            ahead = await self._ahead(key, handlings)
            try:
                return await self._book.store.write(
                    lambda tx, ahead=ahead: work(tx, self._change(key), ahead)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                )
            except Conflict as error:
                if error.code != "gate.moved" or not left:
                    raise
        raise AssertionError  # the last try returns or raises

    def _change(self, key: str) -> Change:
        """The standing may have moved since it was read; what the gate holds now is what the
        feeds stand at, or are being brought to by a later transaction."""
        agreement, _ = split_key(key)
        current = self._gate.current(agreement)
        if current is None:
            raise Missing("agreement.unknown", f"Expected a known agreement, got {agreement}.")
        book = self._book
        return Change(current=current, party=book.me.party, now_us=book.clock.now_us())

    async def _ahead(self, key: str, handlings: Collection[Handling]) -> Ahead:
        """Decisions for those of the handlings that are new; none if they are few."""
        change, (_, name) = self._change(key), split_key(key)
        terms = change.current.standing.agreement
        named = terms.collection(name) if terms else None
        # No more than that; who they are is looked up where something is new for very many.
        most = len(named.readers) + 2 if named else 0
        if len(handlings) * most <= INLINE_MAX:
            return Ahead()
        fresh = await self._book.store.read(lambda view: new_handlings(view, key, handlings))
        if len(fresh) * most <= INLINE_MAX:
            return Ahead()
        places = feed_parties(terms, change.party) if terms else ()
        parties = [party for collection, party in places if collection == name]
        return await asyncio.to_thread(decide_ahead, change.current, fresh, change.party, parties)

    def _enter(self, tx: Tx, key: str, batch: _Batch, change: Change, ahead: Ahead) -> _Entered:
        """One transaction: handlings, items, the publish entry."""
        gone = RecalledEntries(tx, key)
        sifted = sift(tx, key, batch.names, gone, versions=True)
        refused = [_conflict(batch.objects[at]) for at in sifted.conflicts]
        first = tx.collection(key).end
        if refused and not batch.partial:
            raise _whole(refused)
        sorts = {batch.sorts[at]: batch.handlings[batch.sorts[at]] for at in sifted.new}
        check_new(tx, key, sorts.values())
        numbers = intern(tx, key, sorts, change, ahead)
        over = [at for at in sifted.new if batch.sorts[at] not in numbers]
        most = handlings_max(tx, key) if over else 0
        refused += [_full(batch.objects[at], most) for at in over]
        if refused and not batch.partial:
            raise _whole(refused)
        new = [at for at in sifted.new if batch.sorts[at] in numbers]
        if not new:
            return _Entered(first=first, end=first, refused=tuple(refused))
        items = [
            NewItem(
                key=batch.names[at][0],
                raw=batch.objects[at].raw,
                sha256=batch.names[at][2],
                handling=numbers[batch.sorts[at]],
                mark=batch.names[at][1],
            )
            for at in new
        ]
        state = tx.append_items(key, items, change.now_us)
        tx.put_twins(key, sifted.twins(new, first))
        root = root_of([leaf_hash(item.sha256) for item in items])
        entry, _ = self._book.write_root_entry(
            tx,
            self._book.me.log_of(change.current.agreement),
            "publish",
            root,
            collection=split_key(key)[1],
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
            refused=tuple(refused),
            counted=Counter(batch.sorts[at] for at in new),
        )

    async def _outcomes(
        self, current: Current, batch: _Batch, counted: Mapping[int, int]
    ) -> dict[str, dict[str, int]]:
        """What the present standing makes of the new items, for the first readers at least: it
        is told for information, and a thousand readers must not make publishing dearer."""
        agreement = current.standing.agreement
        name = batch.handlings[0].collection if batch.handlings else ""
        collection = agreement.collection(name) if agreement else None
        readers = collection.readers[:OUTCOMES_MAX] if collection and counted else ()
        handlings = [batch.handlings[at] for at in counted]
        own = self._book.me.party
        if len(handlings) * len(readers) <= INLINE_MAX:
            decided = decide_ahead(current, handlings, own, readers)
        else:
            decided = await asyncio.to_thread(decide_ahead, current, handlings, own, readers)
        found = {}
        for party, outcomes in decided.outcomes.items():
            sums: Counter[str] = Counter()
            for outcome, count in zip(outcomes, counted.values(), strict=True):
                sums[outcome] += count
            found[party] = dict(sums)
        return found

    async def receive(self, page: Received, keep: Callable[[Tx, int, int], None]) -> int:
        """Take a partner's page; how many of its items were new. ``keep`` runs in the same
        transaction with (new, known), so that the reader's place and the receipt are on disk
        exactly when the items are.

        Refuses as a whole a page whose handlings are beyond what a collection may have: a
        partner's gateway keeps to the same bounds. How many are new in one page is not bounded
        besides, for all that its sender has come to over years may be in the first.
        """
        key = collection_key(page.agreement, page.collection)
        book = self._book
        self._change(key)  # refuses an unknown agreement before anything is read
        _check_markings(page.handlings)
        names = await asyncio.to_thread(_names_of, page.objects)

        def work(tx: Tx, change: Change, ahead: Ahead) -> int:
            sifted = sift(tx, key, names, versions=False)
            sorts = [page.objects[at][2] for at in sifted.new]
            numbers = intern(tx, key, {at: page.handlings[at] for at in sorts}, change, ahead)
            if any(at not in numbers for at in sorts):
                most = handlings_max(tx, key)
                raise PeerError("peer.handlings", f"Expected at most {most} handlings, got more.")
            items = [
                NewItem(
                    key=names[at][0],
                    raw=page.objects[at][0],
                    sha256=names[at][2],
                    handling=numbers[page.objects[at][2]],
                    mark=names[at][1],
                )
                for at in sifted.new
            ]
            if items:
                first = tx.append_items(key, items, change.now_us).end - len(items)
                tx.put_twins(key, sifted.twins(sifted.new, first))
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

        new = await self._write(key, page.handlings, work)
        self._published(page.agreement, page.collection)
        return new


class _Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Acceptable objects, by what they are known; ``sorts`` has for each the place of its handling
    in ``handlings``."""

    objects: list[CutObject]
    names: list[Name]
    sorts: list[int]
    handlings: list[Handling]
    partial: bool


class _Entered(msgspec.Struct, frozen=True, kw_only=True):
    first: int
    end: int
    new: int = 0
    entry: int | None = None
    root: bytes = b""
    refused: tuple[Refused, ...] = ()
    counted: dict[int, int] = msgspec.field(default_factory=dict)


class _Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What the publisher said of all objects, or the collection says for it."""

    collection: str
    originator: str
    unit: str
    kind: str | None
    purpose: str | None
    grade: str | None
    partial: bool
    flags: tuple[str, ...]


def _collection(current: Current | None, publication: Publication) -> tuple[Agreement, Terms]:
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


def _stated(publication: Publication, agreement: Agreement, collection: Terms) -> _Stated:
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
        originator=publication.originator or publication.party,
        unit=unit,
        kind=publication.kind,
        purpose=purpose,
        grade=grade,
        partial=publication.partial,
        flags=publication.flags,
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
    places: dict[tuple[str, Marked, tuple[str, ...]], int | None] = {}
    batch = _Batch(objects=[], names=[], sorts=[], handlings=[], partial=stated.partial)
    refused = []
    for one in done.objects:
        marked = markings_of(one, names)
        if len(marked.names) > MARKINGS_MAX:
            sentence = f"Expected at most {MARKINGS_MAX} markings, got {len(marked.names)}."
            refused.append(_refused(one, "publish.markings", sentence))
            continue
        sort = (one.type, marked, one.extensions)
        if sort not in places:
            kind = stated.kind or _kind_of(agreement, one.type, one.extensions)
            places[sort] = None if kind is None else len(batch.handlings)
            if kind is not None:
                batch.handlings.append(_handling(stated, kind, one.type, marked))
        place = places[sort]
        if place is None:
            sentence = f"Expected a kind of the agreement for type {one.type}, got none."
            refused.append(_refused(one, "publish.no-kind", sentence))
        else:
            batch.objects.append(one)
            batch.names.append(name_of(one.id, one.version, one.sha256))
            batch.sorts.append(place)
    return batch, refused


def _handling(stated: _Stated, kind: str, stix_type: str, marked: Marked) -> Handling:
    return Handling(
        collection=stated.collection,
        kind=kind,
        stix_type=stix_type,
        originator=stated.originator,
        unit=stated.unit,
        markings=marked.names,
        purpose=stated.purpose,
        grade=stated.grade,
        flags=tuple(sorted({*stated.flags, *(("part",) if marked.part else ())})),
    )


def _kind_of(agreement: Agreement, stix_type: str, extensions: tuple[str, ...]) -> str | None:
    for rule in agreement.kind_rules:
        if (not rule.types or stix_type in rule.types) and (
            rule.extension is None or rule.extension in extensions
        ):
            return rule.kind
    return None


def _learned(view: View, key: str, done: Cut, names: MarkingNames) -> MarkingNames:
    """What the marking definitions say that the objects refer to. The first of an id in the
    collection counts: one that entered it before, else the first in the request."""
    wanted = names.missing(done)
    stored = []
    for marking_id in sorted(wanted):
        for seq in view.find(key, object_key(marking_id))[:1]:
            block = view.block(key, seq)
            if block is not None:
                stored.append((marking_id, block.raw(seq)))
    return names.learn(stored).learn((one.id, one.raw) for one in done.objects if one.id in wanted)


async def _aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a body of this size takes to work on, on another thread unless it is small: then the
    way there and back costs more than the loop is held up."""
    if size <= ASIDE_BYTES_MIN:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def _refused(one: CutObject, code: str, sentence: str, path: str = "") -> Refused:
    return Refused(
        index=one.index,
        id=one.id,
        type=one.type,
        code=code,
        sentence=sentence,
        path=path,
        version=one.version,
    )


def _conflict(one: CutObject) -> Refused:
    sentence = f"Expected one content for {one.id} {one.version}, got two."
    return _refused(one, "publish.version", sentence, "$.modified")


def _full(one: CutObject, most: int) -> Refused:
    sentence = (
        f"Expected at most {most} combinations of type, markings, purpose, grade and unit "
        "in a collection, got one more."
    )
    return _refused(one, "publish.handlings-full", sentence)


def _answer(
    publication: Publication,
    refused: list[Refused],
    entered: _Entered,
    batch: _Batch,
    outcomes: dict[str, dict[str, int]] | None = None,
) -> Published:
    out = {one.index for one in entered.refused}
    refused = sorted([*refused, *entered.refused], key=lambda one: one.index)
    taken = [one for one in batch.objects if one.index not in out]
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
        outcomes=outcomes or {},
        ids=tuple(one.id for one in taken),
        versions=tuple(one.version for one in taken),
    )


def _names_of(objects: Collection[tuple[bytes, str, int]]) -> list[Name]:
    return [
        name_of(stix_id, version_of(raw), hashlib.sha256(raw).digest())
        for raw, stix_id, _ in objects
    ]


def _check_markings(handlings: Collection[Handling]) -> None:
    most = max((len(handling.markings) for handling in handlings), default=0)
    if most > MARKINGS_MAX:
        raise PeerError(
            "peer.handlings", f"Expected at most {MARKINGS_MAX} markings of an object, got {most}."
        )
    longest = max((len(name) for one in handlings for name in one.markings), default=0)
    if longest > NAME_MAX:
        raise PeerError(
            "peer.handlings",
            f"Expected names of markings of at most {NAME_MAX} characters, got {longest}.",
        )
