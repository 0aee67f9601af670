"""Intake: what comes in becomes entries of a collection, in one durable transaction.

A publication is taken whole or not at all, unless its publisher asked for ``partial``; every
refused object is named with its reason. What it says of its objects is ``stated``, what becomes of
them by themselves ``batch``, by where they come from ``origin``, by what lies around them
``surround``, and in the store ``enter``.

A received page is taken whole, after ``exchange`` has checked its proof. Either way, what is known
already (same object, same bytes) is not entered again, so everything may be repeated. The bytes are
kept as they came, save where the agreement has a minimisation run on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import ParamSpec, TypeVar

import msgspec

from detente.errors import Conflict, Invalid, Missing, PeerError
from detente.gateway.batch import Batch, sort_batch
from detente.gateway.bell import Ring
from detente.gateway.book import Book, collection_key, split_key
from detente.gateway.enter import Entered, enter
from detente.gateway.feeds import Change, feed_parties
from detente.gateway.gate import Current, Gate
from detente.gateway.intern import (
    INLINE_MAX,
    MARKINGS_MAX,
    Ahead,
    decide_ahead,
    handlings_max,
    intern,
    new_handlings,
)
from detente.gateway.origin import asks_origin, received_keys, set_by_origin
from detente.gateway.preview import Preview, preview_of
from detente.gateway.sift import Name, name_of, sift
from detente.gateway.stated import (
    Publication,
    Published,
    Refused,
    Warned,
    check_said,
    collection_of,
    stated_of,
    whole,
)
from detente.gateway.surround import (
    Around,
    asks_around,
    bound_references,
    look_around,
    set_in_surround,
)
from detente.model import Handling, object_key
from detente.ports import NewItem, Tx, View
from detente.wire.control import NAME_MAX
from detente.wire.markings import MarkingNames
from detente.wire.stix import Cut, Limits, cut, version_of

__all__ = ["Intake", "Preview", "Publication", "Published", "Received", "Refused"]

#: Refusals told by name; more are counted only.
REFUSALS_MAX = 10_000
#: Readers whose outcomes are told in the answer to a publication.
OUTCOMES_MAX = 20
#: How often what was decided ahead is decided again, because the standing moved meanwhile.
TRIES_MAX = 3

#: Marking definitions that the objects of one publication may refer to, TLP and PAP aside. More
#: than a few dozen are in no use, and each is looked up.
DEFINITIONS_MAX = 1_000
#: Bodies up to this size are worked on by the loop itself: some two milliseconds.
ASIDE_BYTES_MIN = 128 * 1024

T = TypeVar("T")
P = ParamSpec("P")


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
        #: One publication at a time into a collection, where what came before it counts.
        self._turns: dict[str, asyncio.Lock] = {}
        #: One publication at a time reads what lies around it: the store has few readers, and an
        #: order that stops a flow must find one free.
        self._looking = asyncio.Semaphore(1)

    async def publish(
        self, publication: Publication, keep: Callable[[Tx, Published], None] | None = None
    ) -> Published:
        """Take a publication; answers when it is on disk.

        ``keep`` runs in the same transaction as the items, also if all of them are known: a
        source's place is on disk exactly when its page is. It is not told ``outcomes``. Of what
        is not ``partial`` a refused object undoes the whole, before ``keep`` is asked; what
        ``keep`` raises undoes it too.

        Refuses as a whole: an unknown collection, a party that is not its sender, a missing
        purpose or grade where the agreement demands them and no object says its own (R34), another
        number of objects than it expects (R41), answers that answer no test (R44), a body that
        cannot be cut, one that brings too many new handlings (``gateway.intern``), and, unless
        partial, any object that is refused.
        """
        async with self._prepared(publication) as ready:
            batch, refused = ready.batch, ready.refused
            if refused and not publication.partial:
                raise whole(refused)

            def work(tx: Tx, change: Change, ahead: Ahead) -> Entered:
                entered = enter(tx, self._book, ready.key, batch, change, ahead)
                if keep is not None:
                    keep(tx, _answer(publication, ready, entered))
                return entered

            # Those that something around the batch has put another in place of are not entered.
            used = [batch.handlings[sort] for sort in dict.fromkeys(batch.sorts)]
            entered = await self._write(ready.key, used, work)
        self._published(*split_key(ready.key))
        outcomes = await self._outcomes(ready.current, batch, entered.counted)
        return _answer(publication, ready, entered, outcomes)

    async def preview(self, publication: Publication) -> Preview:
        """What would come of a publication (R41). Takes nothing and records nothing; what is
        refused as a whole is refused here as well, save for the number of objects."""
        asked = msgspec.structs.replace(publication, expect=None)
        async with self._prepared(asked) as ready:
            own = self._book.me.party
            return await asyncio.to_thread(
                preview_of, asked, ready.current, ready.batch, ready.refused, own
            )

    @contextlib.asynccontextmanager
    async def _prepared(self, publication: Publication) -> AsyncIterator[_Ready]:
        """The batch of a publication, while nothing else comes into its collection that could
        make it one of too many."""
        await self._gate.settled(publication.agreement)
        current = self._gate.current(publication.agreement)
        agreement, collection = collection_of(current, publication)
        assert current is not None  # collection_of has refused otherwise
        now_us = self._book.clock.now_us()
        stated = stated_of(publication, agreement, collection, now_ms=now_us // 1000)
        size = len(publication.body)
        done = await _aside(size, cut, publication.body, self._limits)
        _check_count(publication, done)
        check_said(stated, done)
        key = collection_key(agreement.id, collection.name)
        names = MarkingNames(now_us // 1000)
        if names.missing(done):
            names = await self._look(lambda view: _learned(view, key, done, names))
        batch, refused = await _aside(size, sort_batch, done, stated, names, self._limits)
        refused += [
            Refused(
                index=r.index, id=r.id, type=r.type, code=r.code, sentence=r.sentence, path=r.path
            )
            for r in done.refusals
        ]
        if asks_origin(agreement, batch):
            received = received_keys(self._gate, self._book.me.party)
            await self._look(lambda view: set_by_origin(view, agreement, batch, received))
        ready = _Ready(current=current, key=key, batch=batch, refused=refused, warned=[])
        if not asks_around(agreement, batch):
            yield ready
            return
        async with self._turns.setdefault(key, asyncio.Lock()):
            around = Around(
                key=key,
                current=current,
                own=self._book.me.party,
                now_us=self._book.clock.now_us(),
                limits=self._limits,
            )
            ready.refused += bound_references(batch)
            seen = await self._look(lambda view: look_around(view, agreement, batch, around))
            more, ready.warned = await _aside(size, set_in_surround, agreement, batch, around, seen)
            ready.refused += more
            yield ready

    async def _look(self, work: Callable[[View], T]) -> T:
        async with self._looking:
            return await self._book.store.read(work)

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
        fresh = await self._look(lambda view: new_handlings(view, key, handlings))
        if len(fresh) * most <= INLINE_MAX:
            return Ahead()
        places = feed_parties(terms, change.party) if terms else ()
        parties = [party for collection, party in places if collection == name]
        return await asyncio.to_thread(decide_ahead, change.current, fresh, change.party, parties)

    async def _outcomes(
        self, current: Current, batch: Batch, counted: Mapping[int, int]
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
        for party, towards in decided.towards.items():
            sums: Counter[str] = Counter()
            for outcome, count in zip(towards.outcomes.values(), counted.values(), strict=True):
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


class _Ready(msgspec.Struct, kw_only=True):
    """A publication that could be entered."""

    current: Current
    key: str
    batch: Batch
    refused: list[Refused]
    warned: list[Warned]


def _check_count(publication: Publication, done: Cut) -> None:
    count = len(done.objects) + len(done.refusals)
    if publication.expect is not None and publication.expect != count:
        raise Invalid(
            "publish.count",
            f"Expected {publication.expect} objects, got {count}; nothing was taken.",
            hint="`detente publish --preview` tells what they are.",
        )


def _learned(view: View, key: str, done: Cut, names: MarkingNames) -> MarkingNames:
    """What the marking definitions say that the objects refer to. The first of an id in the
    collection counts: one that entered it before, else the first in the request."""
    wanted = names.missing(done)
    if len(wanted) > DEFINITIONS_MAX:
        raise Invalid(
            "publish.definitions",
            f"Expected objects that refer to at most {DEFINITIONS_MAX} markings beside the common "
            f"ones, got {len(wanted)}.",
            hint="Publish it in smaller parts.",
        )
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


def _answer(
    publication: Publication,
    ready: _Ready,
    entered: Entered,
    outcomes: dict[str, dict[str, int]] | None = None,
) -> Published:
    batch = ready.batch
    out = {one.index for one in entered.refused}
    refused = sorted([*ready.refused, *entered.refused], key=lambda one: one.index)
    taken = [one for one in batch.objects if one.index not in out]
    return Published(
        agreement=publication.agreement,
        collection=publication.collection,
        taken=entered.new,
        known=len(taken) - entered.new,
        refused=tuple(refused[:REFUSALS_MAX]),
        warnings=(
            *ready.warned,
            *(
                Warned(index=one.index, id=one.id, code=w.code, sentence=w.sentence, path=w.path)
                for one in batch.objects
                for w in one.warnings
            ),
        )[:REFUSALS_MAX],
        first=entered.first,
        end=entered.end,
        entry=entered.entry,
        root=entered.root.hex(),
        by_type=dict(sorted(Counter(one.type for one in taken).items())),
        outcomes=outcomes or {},
        ids=tuple(one.id for one in taken),
        versions=tuple(one.version for one in taken),
        # Where nothing is new, nothing was recorded: an answer cannot attach to what is here.
        tests={
            one.test: "passed" if one.passed else "failed" for one in batch.tests if entered.new
        },
        bulk=batch.bulk,
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
    referred = max((len(handling.refers) for handling in handlings), default=0)
    if referred:
        raise PeerError(
            "peer.handlings", f"Expected nothing of what objects refer to, got {referred}."
        )
    longest = max((len(name) for one in handlings for name in one.markings), default=0)
    if longest > NAME_MAX:
        raise PeerError(
            "peer.handlings",
            f"Expected names of markings of at most {NAME_MAX} characters, got {longest}.",
        )
