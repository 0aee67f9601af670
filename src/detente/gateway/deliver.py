"""Deliver: pages out of feeds, each recorded before it leaves and after it has ended.

A page is the unit of delivery: a range of a feed, the Merkle root over the digests of its items,
the epoch and the acts under which it was released. In order: gather the bytes; write the page's
ledger entry (the intent); have the gate clear it; hand it to the face that sends it; record the
outcome. A crash after the intent leaves a page that counts as cut: its items are offered again.

A list of ids and times (a manifest) tells of items as well, so it goes the same way; only its
bytes are others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from detente.errors import Conflict, Missing, Unavailable
from detente.gateway.book import Book, acts_key, collection_key
from detente.gateway.feeds import decode_feed, encode_feed
from detente.gateway.gate import Cleared, Current, Gate, Shipment
from detente.gateway.gather import Gathered, Kept, PageAsk, gather, no_feed
from detente.gateway.outcomes import Outcomes, PageEnd
from detente.gateway.stopped import stopped_of
from detente.model import Handling
from detente.model.transfer import Stopped
from detente.ports import DocumentRow, FeedRow, Opening, PageRow, Tx
from detente.rules.feed import Feed, Grant, Point, received

__all__ = ["PEER", "Delivery", "Nothing", "Ready", "Sheet"]

#: Assembled stretches kept in memory, in bytes of objects.
KEPT_BYTES_MAX = 48 * 1024 * 1024
#: How often a page is decided anew when orders keep moving the epoch under it.
_TRIES = 16
#: The reader name of partners' gateways. They read whole feeds in order, without filters, which
#: is what makes a receipt say how far they have come.
PEER = "peer"


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
        self._kept = Kept(KEPT_BYTES_MAX)

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
                raise no_feed(ask)
            gathered, handlings = await self._book.store.read(
                lambda view: gather(view, ask, self._kept)
            )
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

    async def look(self, ask: PageAsk) -> Gathered | Nothing:
        """What ``page`` would give, without giving it: nothing is recorded or cleared."""
        await self._gate.settled(ask.agreement)
        if self._gate.overdue(ask.agreement):
            await self._tick()
        current = self._gate.current(ask.agreement)
        if current is None:
            raise no_feed(ask)
        gathered, _ = await self._book.store.read(lambda view: gather(view, ask, self._kept))
        if gathered is None:
            return Nothing(stopped=stopped_of(current, self._book.me.party, ask))
        return gathered

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
            acts, next_ms = int(tx.meta(acts_key(ask.agreement)) or 0), current.standing.next_ms
            if acts != current.acts or (next_ms is not None and at_ms >= next_ms):
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
                verb=None if ask.what == "objects" else ask.what,
                standing=current.standing.digest,
            )
            page = PageRow(
                log=log,
                index=index,
                collection=collection_key(ask.agreement, ask.collection),
                party=ask.party,
                reader=ask.reader,
                what=ask.what,
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
        moves = complete and not ask.until_received and ask.moves_mark
        self._outcomes.add(
            PageEnd(
                page=page,
                complete=complete,
                until=gathered.until if moves else None,
                types=ask.types,
            )
        )

    async def take_receipt(
        self, log: str, index: int, party: str, root: bytes, document: DocumentRow
    ) -> bool:
        """A receipt for a page: exactly its entries were received, even if the send was cut. Its
        signed document is kept with it, and only if it counts.

        False if the page has one already. Raises ``Missing`` for a page that was not this
        party's, ``Conflict`` if the root is another.
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
            tx.put_document(document)
            tx.end_page(log, index, "received", document.digest)
            tx.append_entry(
                log, book.entry("receipt", page=index, doc=document.digest, party=party)
            )
            row = tx.feed(page.collection, party)
            if row is not None:
                pieces, until = msgspec.json.decode(
                    page.pieces, type=tuple[tuple[Grant, ...], Point]
                )
                _put(tx, row, received(decode_feed(row.value), pieces, until))
            return True

        return await book.store.write(work)


def _put(tx: Tx, row: FeedRow, feed: Feed) -> None:
    value = encode_feed(feed)
    if value != row.value:
        tx.put_feed(FeedRow(collection=row.collection, party=row.party, value=value))
