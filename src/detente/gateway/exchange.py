"""Exchange: what this node says to and hears from its partners' gateways.

Pull first: the reader asks, with a request signed by its node office, and answers a page with a
signed receipt. Everything is idempotent: what was heard twice changes nothing, what was lost is
asked for again. No proof, no accept: a page counts only with the proof that the sender's ledger
holds the entry that released it, and an act only with the proof that its party's ledger holds it.

Nothing here delays a restriction: a notice that cannot be brought stays to be fetched.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterable
from typing import TypeVar

import msgspec
import structlog

from detente.errors import (
    Conflict,
    DetenteError,
    Invalid,
    Missing,
    NotAuthorised,
    PeerError,
    Unavailable,
)
from detente.gateway.book import ROOT_MEDIA, Book
from detente.gateway.intake import Intake, Received
from detente.gateway.order import ACT_OF_USE, Orders, PeerAct
from detente.gateway.partner import (
    ACTS_MAX,
    Partners,
    PeerState,
    fresh_state,
    peer_row,
    put_state,
)
from detente.gateway.witness import Witness, ledger_vkey
from detente.model import Entry, decode, digest, encode
from detente.model.names import Record
from detente.model.transfer import (
    ActsPage,
    NoticeTaken,
    PageSheet,
    PeerActSheet,
    Receipt,
    ReceiptsTaken,
    Refused,
    Request,
)
from detente.ports import Courier, PeerRow, Tx
from detente.proof import (
    VerifierKey,
    check_commitment,
    check_proof,
    leaf_hash,
    parse_proof,
    root_of,
)
from detente.proof import decode as decode_envelope
from detente.rules.decision import decide
from detente.rules.document import open_document
from detente.rules.standing import Standing
from detente.wire.json import load_object

__all__ = ["Exchange", "SyncReport"]

log = structlog.get_logger("detente")

R = TypeVar("R")

#: A partner's clock may be this far ahead before its acts are refused.
SKEW_MS_MAX = 5 * 60 * 1000
#: Pages taken from one partner in one go, so that no partner keeps the node to itself.
PAGES_MAX = 10_000
#: Answers with acts asked of one partner in one go; the next exchange goes on behind them.
ACT_PAGES_MAX = 1_000
#: Receipts in one request.
RECEIPTS_AT_ONCE = 100
#: With so many receipts that a partner has not taken, no further page is fetched from it.
RECEIPTS_WAITING_MAX = 1_000
#: Partners that are told of an act at a time, and how long an answer may wait for them.
NOTICES_AT_ONCE = 16
NOTICE_WAIT_S = 1.0


class SyncReport(Record, frozen=True, kw_only=True):
    """What one exchange with a partner brought. ``refused`` are acts of the partner that do not
    count here and receipts of this node that do not fit there, each with the reason's code."""

    party: str
    agreement: str
    acts: int
    pages: int
    items: int
    known: int
    stopped: dict[str, str]
    standing_same: bool
    cosigned: int | None
    refused: tuple[str, ...]
    receipts_waiting: int


class Exchange:
    """Makes this node's requests to its partners, and takes what they answer or bring."""

    def __init__(
        self,
        book: Book,
        orders: Orders,
        intake: Intake,
        witness: Witness,
        courier: Courier,
    ) -> None:
        self._book = book
        self._partners = Partners(book)
        self._orders = orders
        self._intake = intake
        self._witness = witness
        self._courier = courier
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}
        self._telling: set[asyncio.Task[dict[str, str]]] = set()

    # --- peers -----------------------------------------------------------------------------

    async def add_peer(self, party: str, agreement: str, address: str) -> PeerRow:
        """Remember where a partner's gateway is. Its charter must be known; a new address for a
        known peer keeps what is known of its ledger."""
        self._partners.charter(party)

        def work(tx: Tx) -> PeerRow:
            known = peer_row(tx, party, agreement)
            row = PeerRow(
                party=party,
                agreement=agreement,
                address=address.rstrip("/"),
                state=known.state if known else encode(PeerState()),
            )
            tx.put_peer(row)
            return row

        return await self._book.store.write(work)

    async def peers(self) -> list[PeerRow]:
        """Every partner's gateway this node knows."""
        return await self._book.store.read(lambda view: view.peers())

    async def peer(self, party: str, agreement: str) -> PeerRow | None:
        """One partner's gateway under one agreement."""
        rows = await self.peers()
        return next((r for r in rows if (r.party, r.agreement) == (party, agreement)), None)

    # --- asking a partner ------------------------------------------------------------------

    async def sync(self, party: str, agreement: str, *, limit: int = 1000) -> SyncReport:
        """Exchange everything there is with a partner: bring receipts, fetch its acts, fetch its
        pages of at most ``limit`` objects, have checkpoints cosigned. Safe to repeat and to break
        off anywhere; a second one with the same partner waits for the first."""
        turn = self._turns.setdefault((party, agreement), asyncio.Lock())
        async with turn:
            return await self._sync(party, agreement, limit)

    async def sync_all(self) -> None:
        """Exchange with every partner, one after the other; who cannot be reached is asked again
        the next time."""
        for row in await self.peers():
            # Whatever one partner's answer does, it does not end the exchange with the others.
            (error,) = await asyncio.gather(
                self.sync(row.party, row.agreement), return_exceptions=True
            )
            if isinstance(error, DetenteError):
                log.warning("sync", party=row.party, code=error.code, sentence=error.sentence)
            elif isinstance(error, BaseException):
                log.error("unforeseen", use="sync", party=row.party, exc_info=error)

    async def _sync(self, party: str, agreement: str, limit: int) -> SyncReport:
        row = await self.peer(party, agreement)
        if row is None:
            raise Missing(
                "peer.unknown",
                f"Expected a peer of {agreement}, got {party}.",
                hint="Add it with `detente peer add`.",
            )
        refused = await self._try_receipts(row)
        acts, same, passed_over = await self._fetch_acts(row)
        refused += passed_over
        stopped: dict[str, str] = {}
        pages = items = known = 0
        for collection in self._readable(agreement, party):
            while pages < PAGES_MAX:
                if await self._waiting(row) >= RECEIPTS_WAITING_MAX:
                    stopped[collection] = f"{RECEIPTS_WAITING_MAX} receipts wait for {party}."
                    break
                taken = await self._fetch_page(row, collection, limit)
                if isinstance(taken, str):
                    if taken:
                        stopped[collection] = taken
                    break
                pages, items, known = pages + 1, items + taken[0], known + taken[1]
                refused += await self._try_receipts(row)
                if not taken[2]:
                    break
        cosigned = await self._witness.exchange(row.address, party, agreement)
        return SyncReport(
            party=party,
            agreement=agreement,
            acts=acts,
            pages=pages,
            items=items,
            known=known,
            stopped=stopped,
            standing_same=same,
            cosigned=cosigned,
            refused=refused,
            receipts_waiting=await self._waiting(row),
        )

    async def notify(self, agreement: str) -> dict[str, str]:
        """Bring this party's acts to every partner's gateway; what became of the newest, by party.
        A partner that cannot be reached fetches them later."""
        _, total = await self._partners.act_sheets(agreement, 0)
        sheets, _ = await self._partners.act_sheets(agreement, max(0, total - ACTS_MAX))
        room = asyncio.Semaphore(NOTICES_AT_ONCE)

        async def tell(row: PeerRow) -> tuple[str, str]:
            async with room:
                try:
                    answer = await self._post(row, "notice", acts=sheets)
                    taken = _decode_answer(answer, NoticeTaken, "which acts count")
                except DetenteError as error:
                    return row.party, f"not told: {error.code}"
                newest = next((one for one in taken.refused if one.at == len(sheets) - 1), None)
                return row.party, f"refused: {newest.code}" if newest else "acknowledged"

        rows = [row for row in await self.peers() if row.agreement == agreement]
        return dict(await asyncio.gather(*(tell(row) for row in rows)))

    async def notify_soon(self, agreement: str) -> dict[str, str]:
        """Like ``notify``, but answers after ``NOTICE_WAIT_S`` at the latest; who has not
        answered by then is being told still, and nobody waits for it."""
        telling = asyncio.create_task(self.notify(agreement))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        done, _ = await asyncio.wait({telling}, timeout=NOTICE_WAIT_S)
        if done:
            return telling.result()
        rows = await self.peers()
        return {row.party: "being told" for row in rows if row.agreement == agreement}

    async def close(self) -> None:
        """Break off what is still being told: the partners fetch it later."""
        for telling in self._telling:
            telling.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _readable(self, agreement: str, sender: str) -> list[str]:
        terms = self._book.standing(agreement, self._book.now_ms()).agreement
        own = self._book.me.party
        return [
            collection.name
            for collection in (terms.collections if terms else ())
            if collection.sender == sender and own in collection.readers
        ]

    async def _post(self, row: PeerRow, what: str, **fields: object) -> bytes:
        serial = await self._book.store.write(lambda tx: _next_serial(tx, self._book))
        request = Request(
            what=what,  # type: ignore[arg-type]  # the callers, all in this class, name a request
            sender=self._book.me.party,
            to=row.party,
            agreement=row.agreement,
            exercise=self._book.me.exercise,
            serial=serial,
            **fields,  # type: ignore[arg-type]  # the callers, all in this class, name its fields
        )
        body = self._partners.signed("request", request)
        return await self._courier.post(row.address, f"/peer/v1/{what}", body)

    async def _try_receipts(self, row: PeerRow) -> tuple[str, ...]:
        """Bring receipts; which the partner refused. On a poor link they wait on disk for the
        next exchange, and what is waiting at the partner is fetched all the same."""
        try:
            return await self._bring_receipts(row)
        except Unavailable:
            return ()

    async def _bring_receipts(self, row: PeerRow) -> tuple[str, ...]:
        """Receipts that the partner has answered for wait no more, those that it refused neither:
        brought again they would fit no better, and all later ones would wait behind them."""
        told: list[str] = []
        for _ in range(RECEIPTS_WAITING_MAX // RECEIPTS_AT_ONCE + 1):
            sent = await self._book.store.read(
                lambda view: view.receipts(row.party, row.agreement, RECEIPTS_AT_ONCE)
            )
            if not sent:
                break
            texts = tuple(envelope.decode() for _, envelope in sent)
            body = await self._post(row, "receipts", receipts=texts)
            taken = _decode_answer(body, ReceiptsTaken, "which receipts fit")
            for one in taken.refused:
                if one.at < len(sent):
                    told.append(_refused_receipt(row, sent[one.at][1], one))
            numbers = [number for number, _ in sent]
            await self._book.store.write(lambda tx, n=numbers: tx.drop_receipts(n))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            if len(sent) < RECEIPTS_AT_ONCE:
                break
        return tuple(told)

    async def _fetch_acts(self, row: PeerRow) -> tuple[int, bool, tuple[str, ...]]:
        """Take the partner's acts, as many as there are or as one exchange may ask for: how many
        came, whether its standing is then the same as here, and what does not count here."""
        count, same = 0, False
        refused: list[str] = []
        papers = self._book.papers
        state = await self._state(row)
        if state.refused and state.papers != papers:
            # What did not count under the papers of then may count now: all are asked for again,
            # and those that count already change nothing.
            await self._put(row, acts=0, last_act=-1, refused=0)
        for _ in range(ACT_PAGES_MAX):
            state = await self._state(row)
            envelope = decode_envelope(await self._post(row, "acts", since=state.acts))
            page = open_document(envelope, "acts", ActsPage, exercise=self._book.me.exercise)
            self._partners.check_node_key(envelope, row.party)
            last = _last_act(page, row, state)
            before = len(refused)
            for sheet in page.acts:
                try:
                    await self.take_act(row.party, row.agreement, sheet)
                except (NotAuthorised, Invalid, Conflict) as error:
                    # A partner's own rules bind its own sending; what does not count here is
                    # told and passed over, never silently taken.
                    refused.append(f"{sheet.use} {sheet.index}: {error.code}")
            seen = state.acts + len(page.acts)
            count += len(page.acts)
            await self._put(
                row,
                acts=seen,
                last_act=last,
                refused=state.refused + len(refused) - before,
                papers=papers,
                standing=page.standing,
                heard_ms=self._book.now_ms(),
            )
            own = self._book.standing(row.agreement, self._book.now_ms()).digest
            same = own == page.standing
            if seen >= page.total or not page.acts:
                break
        return count, same, tuple(refused)

    async def take_act(self, party: str, agreement: str, sheet: PeerActSheet) -> None:
        """Take one act of a partner, after its place in the partner's ledger is proved."""
        raw = sheet.entry.encode()
        vkey = ledger_vkey(
            self._partners.charter(party), agreement, exercise=self._book.me.exercise
        )
        _check_place(sheet.proof, sheet.index, raw, vkey)
        entry = decode(raw, Entry)
        envelope = decode_envelope(sheet.envelope.encode())
        if entry.doc != digest(envelope.payload):
            raise PeerError("peer.act-document", "Expected the entry's document, got another.")
        if entry.act != ACT_OF_USE[sheet.use] or entry.party != party:
            # A partner's ledger also records what others did; only its own acts are its to bring.
            raise PeerError("peer.act-kind", f"Expected an act of {party}, got {entry.act}.")
        if entry.at > self._book.now_ms() + SKEW_MS_MAX:
            raise PeerError("peer.clock", "Expected an act of the past, got one far in the future.")
        await self._orders.take_peer_act(
            PeerAct(
                agreement=agreement,
                party=party,
                use=sheet.use,
                envelope=sheet.envelope.encode(),
                at_ms=entry.at,
                origin=vkey.name,
                index=sheet.index,
                entry=sheet.entry,
                proof=sheet.proof,
            )
        )

    async def _fetch_page(
        self, row: PeerRow, collection: str, limit: int
    ) -> tuple[int, int, bool] | str:
        """Take the next page of a feed: (new, known, more); or why there is none ("" : no news)."""
        state = await self._state(row)
        body = await self._post(
            row,
            "page",
            collection=collection,
            after_us=state.places.get(collection, 0),
            limit=limit,
        )
        answer = _decode_answer(body, _PageAnswer, "a page")
        if answer.stopped is not None:
            return answer.stopped.words
        if not bytes(answer.page):
            return ""
        asked = _Asked(row, collection, self._book.me.party, state.places.get(collection, 0))
        sheet, received = self._believed(answer, asked)
        outcome: list[tuple[int, int]] = []

        def keep(tx: Tx, new: int, known: int) -> None:
            standing = self._book.standing(row.agreement, self._book.now_ms())
            _check_receiving(standing, sheet)
            receipt = Receipt(
                agreement=row.agreement,
                collection=collection,
                giver=self._book.me.party,
                to=row.party,
                exercise=sheet.exercise,
                origin=sheet.origin,
                index=sheet.index,
                root=sheet.root,
                count=sheet.count,
                new=new,
                known=known,
                at_ms=self._book.now_ms(),
            )
            fresh, now = fresh_state(tx, row)
            places = {**now.places, collection: sheet.until_us}
            put_state(tx, fresh, msgspec.structs.replace(now, places=places))
            tx.put_receipt(row.party, row.agreement, self._partners.signed("receipt", receipt))
            outcome.append((new, known))

        try:
            await self._intake.receive(received, keep)
        except _Stopping as stopping:
            return stopping.sentence
        new, known = outcome[-1]
        return new, known, sheet.more

    def _believed(self, answer: _PageAnswer, asked: _Asked) -> tuple[PageSheet, Received]:
        """The page in an answer, once its signature, its proof and all it says hold together."""
        envelope = decode_envelope(bytes(answer.page))
        sheet = open_document(envelope, "page", PageSheet, exercise=self._book.me.exercise)
        party, agreement = asked.row.party, asked.row.agreement
        self._partners.check_node_key(envelope, party)
        charter = self._partners.charter(party)
        vkey = ledger_vkey(charter, agreement, exercise=sheet.exercise)
        objects = [bytes(one) for one in answer.objects]
        return sheet, _checked(sheet, objects, asked, vkey)

    async def _put(self, row: PeerRow, **new: object) -> None:
        """Change what is known of a partner."""

        def work(tx: Tx) -> None:
            fresh, now = fresh_state(tx, row)
            put_state(tx, fresh, msgspec.structs.replace(now, **new))

        await self._book.store.write(work)

    async def _waiting(self, row: PeerRow) -> int:
        """How many receipts have not been brought to the partner yet."""
        return await self._book.store.read(
            lambda view: view.receipts_waiting(row.party, row.agreement)
        )

    async def _state(self, row: PeerRow) -> PeerState:
        return await self._book.store.read(lambda view: fresh_state(view, row)[1])


class _Stopping(Conflict):
    """An order of this party keeps a page from being taken in."""


def _check_receiving(standing: Standing, sheet: PageSheet) -> None:
    """Refuse a page with anything that an order of its recipient keeps from being received, as it
    stands when the page is written: it stays at the partner, who may not know the order yet. While
    there is such an order, what the agreement rules out is refused with it."""
    mine = {
        f"directive {order.directive.id}"
        for order in standing.orders
        if order.directive.issuer == sheet.recipient
    }
    for handling in sheet.handlings if mine else ():
        decision = decide(standing, handling, sender=sheet.sender, recipient=sheet.recipient)
        if decision.outcome == "refuse":
            # What the agreement rules out is decided before any order is looked at: whether one
            # of them covers it, nobody has asked.
            raise _Stopping("exchange.stopped-here", decision.reasons[0].words)
        for reason in decision.reasons if decision.outcome == "hold" else ():
            if reason.source in mine:
                raise _Stopping("exchange.stopped-here", reason.words)


class _StoppedAnswer(msgspec.Struct, frozen=True):
    words: str
    code: str = ""


class _PageAnswer(msgspec.Struct, frozen=True):
    """What a partner answers to a request for a page, cut but not yet believed."""

    page: msgspec.Raw = msgspec.Raw()
    objects: list[msgspec.Raw] = []
    stopped: _StoppedAnswer | None = None


class _Asked(msgspec.Struct, frozen=True):
    """What this node asked a partner for: the feed, and the place after which."""

    row: PeerRow
    collection: str
    own: str
    after_us: int


def _decode_answer(body: bytes, form: type[R], what: str) -> R:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PeerError("peer.answer", f"Expected {what}, got: {error}.") from error


def _refused_receipt(row: PeerRow, envelope: bytes, refused: Refused) -> str:
    receipt = decode(decode_envelope(envelope).payload, Receipt)
    log.warning(
        "receipt refused",
        party=row.party,
        origin=receipt.origin,
        index=receipt.index,
        code=refused.code,
        sentence=refused.words,
    )
    return f"receipt {receipt.index}: {refused.code}"


def _last_act(page: ActsPage, row: PeerRow, state: PeerState) -> int:
    """Where the last of these acts stands in the partner's ledger. They come in ledger order and
    after all that came before: an earlier answer brought again would make this node count, and so
    never ask for, acts that it has not seen."""
    if (page.agreement, page.sender) != (row.agreement, row.party):
        raise PeerError(
            "peer.acts",
            f"Expected acts of {row.party} under {row.agreement}, got of {page.sender} under "
            f"{page.agreement}.",
        )
    last = state.last_act
    for sheet in page.acts:
        if sheet.index <= last:
            raise PeerError("peer.acts", f"Expected acts after entry {last}, got {sheet.index}.")
        last = sheet.index
    if state.acts + len(page.acts) > page.total:
        raise PeerError("peer.acts", f"Expected at most {page.total} acts, got more.")
    return last


def _check_place(proof: str, index: int, entry: bytes, vkey: VerifierKey) -> None:
    """Raise unless the partner's ledger holds the entry, and at this very place."""
    check_proof(proof.encode(), entry, vkey)
    proved = parse_proof(proof.encode()).index
    if proved != index:
        raise PeerError("peer.place", f"Expected the proved entry {proved}, got {index}.")


def _checked(sheet: PageSheet, objects: list[bytes], asked: _Asked, vkey: VerifierKey) -> Received:
    """The page as received, if all holds together: no proof, no accept (``ledger.md`` 1.2)."""
    row, collection = asked.row, asked.collection
    raw = sheet.entry.encode()
    _check_place(sheet.proof, sheet.index, raw, vkey)
    entry = decode(raw, Entry)
    root = root_of([leaf_hash(hashlib.sha256(one).digest()) for one in objects])
    claims: Iterable[tuple[str, object, object]] = (
        ("agreement", row.agreement, sheet.agreement),
        ("sender", row.party, sheet.sender),
        ("recipient", asked.own, sheet.recipient),
        ("origin", vkey.name, sheet.origin),
        ("collection", collection, sheet.collection),
        ("entry's collection", collection, entry.collection),
        ("entry's act", "page", entry.act),
        ("entry's recipient", sheet.recipient, entry.party),
        ("count", len(objects), sheet.count),
        ("entry's count", len(objects), entry.count),
        ("runs", len(objects), sum(count for _, count in sheet.runs)),
        ("root", root.hex(), sheet.root),
    )
    for name, expected, got in claims:
        if expected != got:
            raise PeerError("peer.page", f"Expected {name} {expected}, got {got}.")
    if sheet.from_us <= asked.after_us or sheet.until_us < sheet.from_us:
        # An earlier page brought again would take this node's place in the feed back.
        raise PeerError("peer.page", f"Expected a page after {asked.after_us}, got an earlier one.")
    check_commitment(_commitment(entry), bytes.fromhex(sheet.salt), ROOT_MEDIA, root)
    sorts = [number for number, count in sheet.runs for _ in range(count)]
    if any(number >= len(sheet.handlings) for number, _ in sheet.runs):
        raise PeerError("peer.page", "Expected runs of the page's own handlings, got others.")
    if any(handling.collection != collection for handling in sheet.handlings):
        raise PeerError("peer.page", f"Expected handlings in {collection}, got of another.")
    ids = [
        _id_of(one, sheet.handlings[number].stix_type)
        for one, number in zip(objects, sorts, strict=True)
    ]
    return Received(
        agreement=sheet.agreement,
        collection=collection,
        sender=sheet.sender,
        origin=sheet.origin,
        index=sheet.index,
        root=root,
        objects=tuple(zip(objects, ids, sorts, strict=True)),
        handlings=sheet.handlings,
    )


def _commitment(entry: Entry) -> bytes:
    try:
        return base64.b64decode(entry.c or "", validate=True)
    except ValueError as error:
        raise PeerError("peer.page", "Expected a commitment in base64, got none.") from error


def _id_of(raw: bytes, stix_type: str) -> str:
    """The id of an object that every reader reads the same, and that is what its handling says; a
    partner's door checks this too, but what it lets in is its own business."""
    try:
        value = load_object(raw)
    except Invalid as error:
        raise PeerError("peer.object", f"Expected sound objects: {error.sentence}") from error
    found = value.get("id")
    if not isinstance(found, str) or value.get("type") != stix_type:
        raise PeerError("peer.object", f"Expected objects with an id and of type {stix_type}.")
    return found


def _next_serial(tx: Tx, book: Book) -> int:
    """A number above every one used before, also before a restart."""
    serial = max(book.clock.now_us(), int(tx.meta("serial") or 0) + 1)
    tx.put_meta("serial", str(serial))
    return serial
