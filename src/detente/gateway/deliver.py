"""Deliver: pages out of feeds, each recorded before it leaves and after it has ended.

A page is the unit of delivery: a range of a feed, the Merkle root over the digests of its items,
the epoch and the acts under which it was released. In order: gather the bytes; write the page's
ledger entry (the intent); have the gate clear it; hand it to the face that sends it; record the
outcome. A crash after the intent leaves a page that counts as cut: its items are offered again.

What lies together in the store is joined, never parsed and dumped again. Assembled bytes may be
kept (many parties read the same stretch); decisions never are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

from detente.errors import Conflict, Missing, Unavailable
from detente.gateway.book import Book, acts_key, collection_key
from detente.gateway.feeds import decode_feed, encode_feed
from detente.gateway.gate import Cleared, Current, Gate, Shipment
from detente.gateway.outcomes import Outcomes, PageEnd, numbers_of
from detente.gateway.stopped import stopped_of
from detente.model import Handling, decode, object_key
from detente.model.transfer import Stopped
from detente.ports import Block, FeedRow, Opening, PageRow, Tx, View
from detente.proof import leaf_hash, root_of
from detente.rules.feed import Feed, Grant, Point, point_of, received, segments, time_of

__all__ = ["PEER", "Delivery", "Gathered", "Nothing", "PageAsk", "Ready"]

#: Assembled stretches kept in memory, in bytes of objects.
KEPT_BYTES_MAX = 48 * 1024 * 1024
#: How often a page is decided anew when orders keep moving the epoch under it.
_TRIES = 16
#: The reader name of partners' gateways. They read whole feeds in order, without filters, which
#: is what makes a receipt say how far they have come.
PEER = "peer"


class PageAsk(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for what: ``reader`` is the credential or ``peer``; ``after_us`` is exclusive.

    ``until_received``: the reader answers with receipts, so the mark waits for them.
    """

    agreement: str
    collection: str
    party: str
    reader: str
    after_us: int
    limit: int
    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    until_received: bool = False


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of a page. ``pieces`` are slices of grants; ``runs`` say which handling how
    many objects in a row have; times are feed times."""

    body: bytes
    count: int
    root: bytes
    pieces: tuple[Grant, ...]
    runs: tuple[tuple[int, int], ...]
    first_us: int
    until: Point
    more: bool


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A page that was recorded and cleared; the face sends ``cleared`` and tells ``ended``."""

    cleared: Cleared
    page: PageRow
    gathered: Gathered


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """No item to give now. ``stopped`` says why if an order or a lapse is the reason; then no
    face may answer with an empty success (R29)."""

    stopped: Stopped | None


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What a face needs to write around the objects: the recorded page and what opens it."""

    page: PageRow
    gathered: Gathered
    opening: Opening
    current: Current
    handlings: dict[int, Handling]


Render = Callable[[Sheet], Awaitable[tuple[bytes, ...]]]


class Delivery:
    """Gathers, records, has cleared, and closes pages; takes receipts."""

    def __init__(
        self,
        book: Book,
        gate: Gate,
        outcomes: Outcomes,
        tick: Callable[[], Awaitable[bool]],
    ) -> None:
        self._book = book
        self._outcomes = outcomes
        self._gate = gate
        self._tick = tick
        self._kept = _Kept(KEPT_BYTES_MAX)

    async def page(self, ask: PageAsk, render: Render) -> Ready | Nothing:
        """The next page for a reader, cleared; or nothing, with the reason.

        Raises ``Missing`` where the party has no such feed: what it may not see does not exist.
        """
        for _ in range(_TRIES):
            await self._gate.settled(ask.agreement)
            if self._gate.overdue(ask.agreement):
                await self._tick()
            current = self._gate.current(ask.agreement)
            if current is None:
                raise _no_feed(ask)
            gathered, handlings = await self._book.store.read(lambda view: self._gather(view, ask))
            if gathered is None:
                return Nothing(stopped=stopped_of(current, self._book.me.party, ask))
            try:
                sheet = await self._record(ask, current, gathered, handlings)
            except Conflict:
                continue
            chunks = await render(sheet)
            shipment = Shipment(
                agreement=ask.agreement,
                collection=sheet.page.collection,
                party=ask.party,
                log=sheet.page.log,
                index=sheet.page.index,
                until_us=gathered.until.us,
                handlings=frozenset(number for number, _ in gathered.runs),
                chunks=chunks,
            )
            try:
                cleared = self._gate.clear(shipment, epoch=current.epoch)
            except Conflict:
                self.ended(sheet.page, gathered, ask, complete=False)
                continue
            return Ready(cleared=cleared, page=sheet.page, gathered=gathered)
        raise Unavailable("gate.moving", "Expected a standing that holds still, got changes.")

    async def _record(
        self, ask: PageAsk, current: Current, gathered: Gathered, handlings: dict[int, Handling]
    ) -> Sheet:
        """Write the intent: the page's entry and row, before any byte of it leaves."""
        book = self._book
        log = book.me.log_of(ask.agreement)

        def work(tx: Tx) -> tuple[PageRow, Opening]:
            # No page is written behind an act it does not know, nor past an instant at which
            # the standing changes by itself: then "nothing covered after the order" can be read
            # off the ledger alone (``ledger.md`` 1.2).
            at_ms = book.now_ms()
            next_ms = current.standing.next_ms
            if int(tx.meta(acts_key(ask.agreement)) or 0) != current.acts or (
                next_ms is not None and at_ms >= next_ms
            ):
                raise Conflict("gate.moved", "Expected the standing to hold, got a newer one.")
            # Not before the check above: what it refuses is undone, and this must not be.
            self._outcomes.apply(tx)
            index, opening = book.write_root_entry(
                tx,
                log,
                "page",
                gathered.root,
                at_ms=at_ms,
                collection=ask.collection,
                party=ask.party,
                count=gathered.count,
                epoch=current.epoch,
                st=tx.log_size(log),
                standing=current.standing.digest,
            )
            page = PageRow(
                log=log,
                index=index,
                collection=collection_key(ask.agreement, ask.collection),
                party=ask.party,
                reader=ask.reader,
                at_ms=at_ms,
                epoch=current.epoch,
                from_us=gathered.first_us,
                until_us=gathered.until.us,
                low=min(piece.a for piece in gathered.pieces),
                high=max(piece.b for piece in gathered.pieces),
                count=gathered.count,
                root=gathered.root,
                pieces=msgspec.json.encode((gathered.pieces, gathered.until)),
                outcome="open",
            )
            tx.put_page(page)
            return page, opening

        page, opening = await book.store.write(work)
        return Sheet(
            page=page, gathered=gathered, opening=opening, current=current, handlings=handlings
        )

    def ended(self, page: PageRow, gathered: Gathered, ask: PageAsk, *, complete: bool) -> None:
        """Record how a send ended. A complete one moves the feed's mark, unless the reader
        answers with receipts; one that was cut counts as not served."""
        moves = complete and not ask.until_received and not ask.ids
        self._outcomes.add(
            PageEnd(
                page=page,
                complete=complete,
                until=gathered.until if moves else None,
                types=ask.types,
            )
        )

    async def take_receipt(
        self, log: str, index: int, party: str, root: bytes, digest: str
    ) -> bool:
        """A receipt for a page: exactly its entries were received, even if the send was cut.

        False if it was known already. Raises ``Missing`` for a page that was not this party's,
        ``Conflict`` if the root is another.
        """
        book = self._book

        def work(tx: Tx) -> bool:
            page = tx.page(log, index)
            if page is None or page.party != party:
                raise Missing("page.unknown", f"Expected a page of {party}, got {log} {index}.")
            if page.root != root:
                raise Conflict("receipt.root", "Expected the page's root, got another.")
            if page.outcome == "received":
                return False
            if page.reader != PEER:
                raise Conflict("receipt.reader", "Expected a page of a gateway, got a client's.")
            tx.end_page(log, index, "received", digest)
            tx.append_entry(log, book.entry("receipt", page=index, doc=digest, party=party))
            row = tx.feed(page.collection, party)
            if row is not None:
                pieces, until = msgspec.json.decode(
                    page.pieces, type=tuple[tuple[Grant, ...], Point]
                )
                _put(tx, row, received(decode_feed(row.value), pieces, until))
            return True

        return await book.store.write(work)

    # --- gathering -------------------------------------------------------------------------

    def _gather(self, view: View, ask: PageAsk) -> tuple[Gathered | None, dict[int, Handling]]:
        key = collection_key(ask.agreement, ask.collection)
        row = view.feed(key, ask.party)
        if row is None:
            raise _no_feed(ask)
        after = Point(ask.after_us, view.seq_after(key, ask.after_us))
        gather = _Gather(view, key, ask, self._kept)
        wanted = (
            sorted(seq for one in ask.ids for seq in view.find(key, object_key(one)))
            if ask.ids
            else None
        )
        feed: Feed = decode_feed(row.value)
        for grant in segments(feed, after, numbers_of(view, key, ask.types)):
            if not gather.take(grant, wanted):
                break
        gathered = gather.finish()
        numbers = {number for number, _ in gathered.runs} if gathered else set()
        handlings = view.handlings(key) if numbers else {}
        return gathered, {number: decode(handlings[number], Handling) for number in numbers}


def _no_feed(ask: PageAsk) -> Missing:
    return Missing(
        "collection.unknown", f"Expected a collection of the agreement, got {ask.collection}."
    )


def _put(tx: Tx, row: FeedRow, feed: Feed) -> None:
    value = encode_feed(feed)
    if value != row.value:
        tx.put_feed(FeedRow(collection=row.collection, party=row.party, value=value))


class _Stretch(msgspec.Struct, frozen=True):
    """Entries of one collection that follow each other in a grant: bytes, digests, runs."""

    body: bytes
    leaves: bytes
    runs: tuple[tuple[int, int], ...]
    count: int
    a: int
    b: int
    first_added_us: int
    last_added_us: int


class _Kept:
    """Whole stretches by what determines them wholly; entries never change, so neither do these.
    The ones used longest ago go. For any thread: the store's readers gather side by side."""

    def __init__(self, bytes_max: int) -> None:
        self._lock = threading.Lock()
        self._single_max = bytes_max // 4
        self._room = bytes_max
        self._stretches: OrderedDict[
            tuple[str, int, int, frozenset[int]], tuple[_Stretch, bytes]
        ] = OrderedDict()

    def get(self, key: tuple[str, int, int, frozenset[int]]) -> tuple[_Stretch, bytes] | None:
        with self._lock:
            found = self._stretches.get(key)
            if found is not None:
                self._stretches.move_to_end(key)
            return found

    def put(
        self, key: tuple[str, int, int, frozenset[int]], stretch: _Stretch, root: bytes
    ) -> None:
        with self._lock:
            if key in self._stretches or len(stretch.body) > self._single_max:
                return
            self._room -= len(stretch.body)
            self._stretches[key] = (stretch, root)
            while self._room < 0:
                _, (old, _) = self._stretches.popitem(last=False)
                self._room += len(old.body)


class _Gather:
    """Takes entries out of slices of grants until a page is full; one entry more shows that
    there is more."""

    def __init__(self, view: View, key: str, ask: PageAsk, kept: _Kept) -> None:
        self._view = view
        self._key = key
        self._limit = ask.limit
        self._exact = bool(ask.ids)
        self._kept = kept
        self._end = view.collection(key).end
        self._stretches: list[_Stretch] = []
        self._pieces: list[Grant] = []
        self._count = 0
        self._more = False
        self._first_us = 0
        self._until = Point(-1, 0)
        self._whole: tuple[str, int, int, frozenset[int]] | None = None
        self._root: bytes | None = None

    def take(self, grant: Grant, wanted: list[int] | None) -> bool:
        """Take from one slice; False when the page is full and more is known to follow."""
        a, b = grant.a, min(grant.b, self._end)
        if self._count == self._limit:
            self._more = self._next(grant.handlings, a, b, wanted) is not None
            return not self._more
        whole = (self._key, a, self._limit, grant.handlings)
        kept = self._kept.get(whole) if wanted is None and not self._stretches else None
        if kept is not None and kept[0].b <= b:
            stretch, self._root = kept
            self._add(grant, [stretch])
            a = stretch.b
        else:
            first = not self._stretches
            a = self._walk(grant, a, b, wanted)
            if first and wanted is None and self._count == self._limit:
                self._whole = whole
        if self._count == self._limit:
            self._more = self._next(grant.handlings, a, b, wanted) is not None
            return not self._more
        return True

    def _walk(self, grant: Grant, a: int, b: int, wanted: list[int] | None) -> int:
        found: list[_Stretch] = []
        room = self._limit - self._count
        while room:
            seq = self._next(grant.handlings, a, b, wanted)
            block = None if seq is None else self._view.block(self._key, seq)
            if seq is None or block is None:
                break
            stop = seq + 1 if wanted is not None else min(b, block.first + block.count)
            stretch = _cut(block, seq, stop, grant.handlings, room)
            found.append(stretch)
            room -= stretch.count
            a = stretch.b
        self._add(grant, found)
        return a

    def _next(
        self, handlings: frozenset[int], a: int, b: int, wanted: list[int] | None
    ) -> int | None:
        """The first entry in ``[a, b)`` with one of these handlings (and wanted, if asked)."""
        if a >= b:
            return None
        if wanted is not None:
            for seq in wanted:
                if a <= seq < b:
                    block = self._view.block(self._key, seq)
                    if block is not None and block.handlings[seq - block.first] in handlings:
                        return seq
            return None
        block = self._view.block(self._key, a)
        if block is not None and block.handlings[a - block.first] in handlings:
            return a
        starts = [self._view.first_of(self._key, handling, a) for handling in handlings]
        first = min((seq for seq in starts if seq is not None), default=None)
        return first if first is not None and first < b else None

    def _add(self, grant: Grant, found: list[_Stretch]) -> None:
        """Take stretches out of one slice. They are one piece of the page: what lies between
        them has other handlings. Pieces of two slices are never joined, for between those lies
        what was kept back; nor are single objects, for what lies between was not asked for."""
        for number, stretch in enumerate(found):
            piece = msgspec.structs.replace(grant, a=stretch.a, b=stretch.b)
            if number and not self._exact:
                piece = msgspec.structs.replace(piece, a=self._pieces.pop().a)
            self._pieces.append(piece)
            if not self._stretches:
                self._first_us = time_of(grant, stretch.a, stretch.first_added_us)
            self._stretches.append(stretch)
            self._count += stretch.count
            self._until = point_of(grant, stretch.b - 1, stretch.last_added_us)

    def finish(self) -> Gathered | None:
        """The page, or None if there was nothing."""
        if not self._count:
            return None
        stretches = self._stretches
        body = stretches[0].body if len(stretches) == 1 else b",".join(s.body for s in stretches)
        root = self._root if self._root and len(stretches) == 1 else None
        if root is None:
            leaves = b"".join(s.leaves for s in stretches)
            root = root_of([leaf_hash(leaves[i : i + 32]) for i in range(0, len(leaves), 32)])
        runs = _runs([run for s in stretches for run in s.runs])
        if self._whole is not None and len(self._pieces) == 1:
            one = _Stretch(
                body,
                b"",
                runs,
                self._count,
                stretches[0].a,
                stretches[-1].b,
                stretches[0].first_added_us,
                stretches[-1].last_added_us,
            )
            self._kept.put(self._whole, one, root)
        return Gathered(
            body=body,
            count=self._count,
            root=root,
            pieces=tuple(self._pieces),
            runs=runs,
            first_us=self._first_us,
            until=self._until,
            more=self._more,
        )


def _cut(block: Block, a: int, b: int, handlings: frozenset[int], room: int) -> _Stretch:
    """Entries of a block from ``a`` on with these handlings, at most ``room``."""
    first, numbers, ends = block.first, block.handlings, block.ends
    i, j = a - first, b - first
    part = numbers[i : min(j, i + room)]
    if handlings.issuperset(part):
        j = i + len(part)
        return _Stretch(
            block.body[ends[i - 1] + 1 if i else 0 : ends[j - 1]],
            block.digests[i * 32 : j * 32],
            _runs([(number, 1) for number in part]),
            j - i,
            a,
            first + j,
            block.added_us[i],
            block.added_us[j - 1],
        )
    picked = [k for k in range(i, j) if numbers[k] in handlings][:room]
    return _Stretch(
        b",".join(block.raw(first + k) for k in picked),
        b"".join(block.digests[k * 32 : k * 32 + 32] for k in picked),
        _runs([(numbers[k], 1) for k in picked]),
        len(picked),
        first + picked[0],
        first + picked[-1] + 1,
        block.added_us[picked[0]],
        block.added_us[picked[-1]],
    )


def _runs(pairs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for number, count in pairs:
        if found and found[-1][0] == number:
            found[-1] = (number, found[-1][1] + count)
        else:
            found.append((number, count))
    return tuple(found)
