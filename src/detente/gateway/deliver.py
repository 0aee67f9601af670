"""Deliver: pages out of feeds, each recorded before it leaves and after it has ended.

A page is the unit of delivery: a range of a feed, the Merkle root over the digests of its items,
the epoch and the acts under which it was released. In order: gather the bytes; write the page's
ledger entry (the intent); have the gate clear it; hand it to the face that sends it; record the
outcome. A crash after the intent leaves a page that counts as cut: its items are offered again.

A list of ids and times (a manifest) tells of items as well, so it goes the same way; only its
bytes are others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from detente.errors import Conflict, DetenteError, Missing, Unavailable
from detente.gateway.book import Book, acts_key, collection_key
from detente.gateway.feeds import decode_feed, encode_feed, has_feed
from detente.gateway.gate import Cleared, Current, Gate, Shipment
from detente.gateway.gather import Gathered, Kept, PageAsk, gather, no_feed
from detente.gateway.outcomes import Outcomes, PageEnd
from detente.gateway.recall import recalls_of
from detente.gateway.stopped import stopped_of
from detente.gateway.together import Together
from detente.model import Handling
from detente.model.transfer import Stopped
from detente.ports import DocumentRow, FeedRow, Opening, PageRow, Tx, View
from detente.rules.feed import Feed, Grant, Point, received

__all__ = ["PEER", "Delivery", "Nothing", "Ready", "Sheet"]

#: Assembled stretches kept in memory, in bytes of objects.
KEPT_BYTES_MAX = 48 * 1024 * 1024
#: Readers whose pages are gathered in one look into the store, and whose pages are recorded in one
#: write.
LOOKS_MAX = 16
INTENTS_MAX = 64
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


#: What a look into the store gives one reader: its page, if there is one, and its handlings.
_Looked = tuple[Gathered | None, dict[int, Handling]]


class _Intent(msgspec.Struct, frozen=True):
    """A page about to be recorded, with the standing it was gathered under."""

    ask: PageAsk
    current: Current
    gathered: Gathered


def _holds(tx: Tx, intent: _Intent, at_ms: int) -> bool:
    """True if a page may be written under its standing now: not behind an act it does not know,
    nor past an instant at which it changes by itself, nor behind a recall. So "nothing covered
    after the order" can be read off the ledger alone (``ledger.md`` 1.2)."""
    current, ask = intent.current, intent.ask
    next_ms = current.standing.next_ms
    if int(tx.meta(acts_key(current.agreement)) or 0) != current.acts:
        return False
    if recalls_of(tx, collection_key(ask.agreement, ask.collection)) != intent.gathered.recalls:
        return False
    return next_ms is None or at_ms < next_ms


class Delivery:
    """Gathers, records, has cleared, and closes pages; takes receipts."""

    def __init__(
        self,
        book: Book,
        gate: Gate,
        outcomes: Outcomes,
        tick: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._book = book
        self._outcomes = outcomes
        self._gate = gate
        self._tick = tick
        self._kept = Kept(KEPT_BYTES_MAX)
        self._looks = Together(self._gather, LOOKS_MAX)
        self._intents = Together(self._record, INTENTS_MAX)

    async def page(self, ask: PageAsk, render: Render) -> Ready | Nothing:
        """The next page for a reader, cleared; or nothing, with the reason.

        Raises ``Missing`` where the party has no such feed: what it may not see does not exist.
        """
        for _ in range(_TRIES):
            await self._gate.settled(ask.agreement)
            if self._gate.overdue(ask.agreement):
                await self._tick(ask.agreement)
            current = self._current(ask)
            gathered, handlings = await self._looks.ask(ask)
            if gathered is None:
                return Nothing(stopped=stopped_of(current, self._book.me.party, ask))
            try:
                page, opening = await self._intents.ask(_Intent(ask, current, gathered))
            except Conflict:
                continue
            sheet = Sheet(
                page=page,
                gathered=gathered,
                opening=opening,
                current=current,
                handlings=handlings,
            )
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
                recalls=gathered.recalls,
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
            await self._tick(ask.agreement)
        current = self._current(ask)
        gathered, _ = await self._looks.ask(ask)
        if gathered is None:
            return Nothing(stopped=stopped_of(current, self._book.me.party, ask))
        return gathered

    def _current(self, ask: PageAsk) -> Current:
        """The standing in use, if the agreement in it lets the party read there at all. The feed
        of a party that has been left out lies in the store still."""
        current = self._gate.current(ask.agreement)
        terms = current.standing.agreement if current else None
        own = self._book.me.party
        if current is None or terms is None or not has_feed(terms, own, ask.collection, ask.party):
            raise no_feed(ask)
        return current

    async def _gather(self, asks: Sequence[PageAsk]) -> list[_Looked | DetenteError]:
        """The next page for each of these readers, out of one look into the store. Readers of one
        party that stand at the same place and want the same share theirs."""

        def work(view: View) -> list[_Looked | DetenteError]:
            found: dict[PageAsk, _Looked | DetenteError] = {}
            same = [msgspec.structs.replace(ask, reader="") for ask in asks]
            for ask in same:
                if ask not in found:
                    try:
                        found[ask] = gather(view, ask, self._kept)
                    except DetenteError as error:
                        found[ask] = error
            return [found[ask] for ask in same]

        return await self._book.store.read(work)

    async def _record(
        self, intents: Sequence[_Intent]
    ) -> list[tuple[PageRow, Opening] | DetenteError]:
        """Write the intents: each page's entry and row, before any byte of it leaves."""

        def work(tx: Tx) -> list[tuple[PageRow, Opening] | DetenteError]:
            # Once the standing is known to hold, and not before: what is refused writes nothing.
            at_ms = self._book.now_ms()
            held = [_holds(tx, intent, at_ms) for intent in intents]
            if any(held):
                # No later than the pages that follow: the times in a ledger never go back.
                self._outcomes.apply(tx, at_ms)
            moved = Conflict("gate.moved", "Expected the standing to hold, got a newer one.")
            return [
                self._write(tx, intent, at_ms) if holds else moved
                for intent, holds in zip(intents, held, strict=True)
            ]

        return await self._book.store.write(work)

    def _write(self, tx: Tx, intent: _Intent, at_ms: int) -> tuple[PageRow, Opening]:
        ask, current, gathered = intent.ask, intent.current, intent.gathered
        log = self._book.me.log_of(ask.agreement)
        index, opening = self._book.write_root_entry(
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
                passed=gathered.passed if moves else (),
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
