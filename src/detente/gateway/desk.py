"""Desk: what this node answers to its partners' gateways.

Every request is signed by a node key of its sender, addressed to this party and used once.
"""

from __future__ import annotations

import msgspec

from detente.errors import Conflict, Invalid, Missing, NotAuthorised
from detente.gateway.book import Book, split_key
from detente.gateway.deliver import PEER, Delivery, Nothing, Ready, Sheet
from detente.gateway.exchange import Exchange
from detente.gateway.gather import PageAsk
from detente.gateway.partner import Partners, PeerState, peer_row, put_state
from detente.gateway.witness import proof_of
from detente.model import decode, digest
from detente.model.transfer import (
    ActsPage,
    NoticeTaken,
    PageSheet,
    Receipt,
    ReceiptsTaken,
    Refused,
    Request,
)
from detente.ports import DocumentRow, PageRow, Tx
from detente.proof import decode as decode_envelope
from detente.proof import only_signed_by
from detente.rules.document import keys_of, open_document
from detente.rules.receipt import PageSent, check_receipt

__all__ = ["Desk"]


class Desk:
    """Hears requests and answers them; pages go out through the gate alone."""

    def __init__(self, book: Book, delivery: Delivery, exchange: Exchange) -> None:
        self._book = book
        self._delivery = delivery
        self._exchange = exchange
        self._partners = Partners(book)

    async def hear(self, body: bytes, what: str) -> Request:
        """The request in a signed body, if a node key of its sender signed it for this node and
        it was not heard before."""
        envelope = decode_envelope(body)
        request = open_document(envelope, "request", Request, exercise=self._book.me.exercise)
        if request.to != self._book.me.party or request.what != what:
            raise NotAuthorised(
                "peer.addressee",
                f"Expected a request `{what}` to {self._book.me.party}, got `{request.what}` "
                f"to {request.to}.",
            )
        self._partners.check_sender(envelope, request.sender)
        await self._book.store.write(lambda tx: self._take_serial(tx, request))
        self._check_member(request)
        return request

    def _check_member(self, request: Request) -> None:
        """Who has left the agreement is told nothing of it any more, and tells nothing."""
        standing = self._book.standing(request.agreement, self._book.now_ms())
        if standing.agreement is None or standing.agreement.member(request.sender) is None:
            raise NotAuthorised(
                "peer.not-member",
                f"Expected a member of {request.agreement}, got {request.sender}.",
            )

    def _take_serial(self, tx: Tx, request: Request) -> None:
        row = peer_row(tx, request.sender, request.agreement)
        if row is None:
            raise NotAuthorised(
                "peer.unknown",
                f"Expected a known peer under {request.agreement}, got {request.sender}.",
                hint="Add it with `detente peer add`.",
            )
        state = decode(row.state, PeerState)
        if request.serial <= state.serial:
            raise Conflict(
                "peer.replayed",
                f"Expected a serial above {state.serial}, got {request.serial}.",
                hint="A request is used once; make a new one.",
            )
        put_state(tx, row, msgspec.structs.replace(state, serial=request.serial))

    async def serve_acts(self, request: Request) -> bytes:
        """This party's acts under the agreement from ``since`` on, each with its proof."""
        book = self._book
        log = book.me.log_of(request.agreement)
        sheets, total = await self._partners.act_sheets(request.agreement, request.since)
        checkpoint = await book.store.read(lambda view: view.checkpoint(log) or b"")
        standing = book.standing(request.agreement, book.now_ms())
        page = ActsPage(
            agreement=request.agreement,
            sender=book.me.party,
            exercise=book.me.exercise,
            acts=sheets,
            total=total,
            standing=standing.digest,
            checkpoint=checkpoint.decode(),
        )
        return self._partners.signed("acts", page)

    async def serve_page(self, request: Request) -> Ready | Nothing:
        """The next page of a feed for a partner, with its proof, cleared by the gate."""
        if request.collection is None:
            raise Invalid("peer.collection", "Expected a collection, got none.")
        ask = PageAsk(
            agreement=request.agreement,
            collection=request.collection,
            party=request.sender,
            reader=PEER,
            after_us=request.after_us,
            limit=request.limit,
            until_received=True,
        )
        return await self._delivery.page(ask, self._render)

    async def serve_receipts(self, request: Request) -> ReceiptsTaken:
        """Take receipts. One that does not fit is refused by itself and named in the answer, so
        that its giver can drop it: it would fit no better the next time. Raises only what is this
        node's own fault or passing, and the giver then brings all of them again."""
        new = 0
        refused: list[Refused] = []
        for at, text in enumerate(request.receipts):
            try:
                new += await self._take_receipt(request, text.encode())
            except (Invalid, NotAuthorised, Missing, Conflict) as error:
                refused.append(Refused(at=at, code=error.code, words=error.sentence[:500]))
        return ReceiptsTaken(new=new, refused=tuple(refused))

    async def _take_receipt(self, request: Request, text: bytes) -> bool:
        me = self._book.me
        envelope = decode_envelope(text)
        receipt = open_document(envelope, "receipt", Receipt, exercise=me.exercise)
        self._partners.check_node_key(envelope, receipt.giver)
        charter = self._partners.charter(receipt.giver)
        between = (receipt.giver, receipt.to, receipt.agreement)
        if between != (request.sender, me.party, request.agreement):
            raise NotAuthorised(
                "receipt.parties",
                "Expected a receipt between these parties under this agreement, got another.",
            )
        if receipt.origin != me.log_of(receipt.agreement):
            raise Missing("page.unknown", f"Expected a page of {me.party}'s ledger, got another.")
        page = await self._book.store.read(lambda view: view.page(receipt.origin, receipt.index))
        if page is not None and page.party == receipt.giver:
            # What is recorded is what was signed: a receipt that says other things of the page
            # would prove nothing to whoever reads the record.
            check_receipt(receipt, _sent(page, me.party))
        row = DocumentRow(
            digest=digest(envelope.payload),
            use="receipt",
            agreement=receipt.agreement,
            name=f"{receipt.origin}#{receipt.index}",
            # In the one form and without strangers' signatures, whatever its giver has written:
            # it stands in the record from now on, and the record is this node's to answer for.
            envelope=only_signed_by(envelope, keys_of(charter).values()).encode(),
        )
        return await self._delivery.take_receipt(
            receipt.origin, receipt.index, receipt.giver, bytes.fromhex(receipt.root), row
        )

    async def serve_notice(self, request: Request) -> NoticeTaken:
        """Take acts that a partner brings unasked. One that does not count here is named in the
        answer, and those behind it are taken all the same: a stop must not wait for what is wrong
        with an act before it."""
        refused: list[Refused] = []
        for at, sheet in enumerate(request.acts):
            try:
                await self._exchange.take_act(request.sender, request.agreement, sheet)
            except (NotAuthorised, Invalid, Conflict) as error:
                refused.append(Refused(at=at, code=error.code, words=error.sentence[:500]))
        return NoticeTaken(taken=len(request.acts) - len(refused), refused=tuple(refused))

    async def _render(self, sheet: Sheet) -> tuple[bytes, ...]:
        page, gathered, me = sheet.page, sheet.gathered, self._book.me
        entry, proof = await self._book.store.read(
            lambda view: (view.entry(page.log, page.index), proof_of(view, page.log, page.index))
        )
        numbers = list(dict.fromkeys(number for number, _ in gathered.runs))
        standing = sheet.current.standing
        document = PageSheet(
            agreement=sheet.current.agreement,
            collection=page.collection.partition("/")[2],
            sender=me.party,
            recipient=page.party,
            exercise=me.exercise,
            origin=page.log,
            index=page.index,
            entry=entry.decode(),
            proof=proof,
            root=page.root.hex(),
            salt=sheet.opening.salt.hex(),
            count=page.count,
            from_us=page.from_us,
            until_us=page.until_us,
            more=gathered.more,
            epoch=page.epoch,
            # What an item refers to, and how that is marked, is no matter of who is given the item.
            handlings=tuple(
                msgspec.structs.replace(sheet.handlings[number], refers=()) for number in numbers
            ),
            runs=tuple((numbers.index(number), count) for number, count in gathered.runs),
            orders=tuple(order.directive.id for order in standing.orders),
            assurances=tuple(promise.assurance.id for promise in standing.promises),
        )
        return (
            b'{"page":' + self._partners.signed("page", document) + b',"objects":[',
            gathered.body,
            b"]}",
        )


def _sent(page: PageRow, sender: str) -> PageSent:
    agreement, collection = split_key(page.collection)
    return PageSent(
        agreement=agreement,
        collection=collection,
        sender=sender,
        recipient=page.party,
        origin=page.log,
        index=page.index,
        count=page.count,
        root=page.root.hex(),
    )
