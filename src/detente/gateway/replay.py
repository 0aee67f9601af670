"""Replay: one ledger of a copy gone through entry by entry, by the rules the node itself goes by.

Before each act the acts before it are folded, and the act is judged by the same function that the
live node asks: an own act at the instant of its entry, a partner's at the partner's instant. Each
page is compared with the standing of its instant, each receipt with its page.

An act that does not count is named once and folded all the same, as the node did: so what follows
is judged by itself, and a fault is where something was wrong first.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from detente.errors import Conflict, Invalid, NotAuthorised
from detente.gateway.book import ROOT_MEDIA, act_of
from detente.gateway.copied import (
    OPENINGS_NAME,
    PARTNERS_NAME,
    Copied,
    LedgerPlace,
    RecordIndex,
)
from detente.gateway.exchange import SKEW_MS_MAX
from detente.gateway.order import ACT_OF_USE
from detente.gateway.witness import ledger_vkey
from detente.model import Agreement, Assessment, Charter, Entry, Head, decode, digest
from detente.model.names import Record
from detente.model.transfer import Receipt
from detente.ports import ActRow
from detente.proof import Envelope, check_commitment, check_proof, parse_proof, signers
from detente.rules.acts import check_act, check_new, check_peer_act
from detente.rules.authority import check_agreement, check_charter, check_pins
from detente.rules.document import keys_of, node_keys, open_document
from detente.rules.receipt import PageSent, check_receipt
from detente.rules.standing import Act, CharterSet, Standing, fold

__all__ = ["LedgerReport", "Replay"]

_USE_OF_ACT = {act: use for use, act in ACT_OF_USE.items()}


class LedgerReport(Record, frozen=True, kw_only=True):
    """What one ledger holds.

    ``peer_acts_proved`` of the ``peer_acts`` have the proof that the partner's ledger holds them at
    the place and instant that this one says; for the others that is this node's own word.
    ``receipts_tied`` of the ``receipts`` are shown to be for what the page committed to; for the
    others nothing in the copy opens the commitment: erased, it is said, or left out.
    """

    origin: str
    size: int
    pages: int
    items: int
    receipts: int
    receipts_tied: int
    peer_acts: int
    peer_acts_proved: int
    cosigned: int


class _Page(msgspec.Struct, frozen=True):
    """What a receipt has to fit."""

    collection: str
    party: str
    count: int
    commitment: str
    what: str


class Replay:
    """One ledger; ``node`` is that of the node itself, which has been gone through before."""

    def __init__(self, copied: Copied, place: LedgerPlace, node: Replay | None) -> None:
        self._copied = copied
        self._place = place
        self._node = node
        self._acts: list[Act] = []
        self._newest: dict[str, Charter] = {}
        self._done: set[str] = set()
        self._pages: dict[int, _Page] = {}
        self._received: set[int] = set()
        self._standing: Standing | None = None
        self._last_ms = 0
        self._since_ms = 0
        self._openings: dict[str, str] = {}
        #: The charters that count, in the order in which they were accepted, and since when.
        self.charters: list[str] = []
        self.accepted: dict[str, list[tuple[int, Charter]]] = {}
        #: The heads that this ledger has anchored, with the number and the time of the entry.
        self.anchors: list[tuple[int, int, Head]] = []
        #: The latest time up to each entry.
        self.times: list[int] = []
        self.items = self.tied = self.peer_acts = self.proved = 0

    @property
    def folder(self) -> str:
        """Where the ledger lies in the copy."""
        return self._place.folder

    def run(self, entries: list[bytes]) -> None:
        """Go through the entries. What does not hold is in the copy's faults."""
        name = f"{self._place.folder}/{OPENINGS_NAME}"
        if name in self._copied.names:
            self._copied.tried(name, lambda: self._read_openings(name))
        for number, data in enumerate(entries):
            where = f"{self._place.folder} entry {number}"
            found: list[Entry] = []
            self._copied.tried(where, lambda d=data, f=found: f.append(decode(d, Entry)))  # type: ignore[misc]  # a lambda with defaults
            if found:
                self._copied.tried(where, lambda e=found[0]: self._check_time(e))  # type: ignore[misc]  # a lambda with defaults
                self._copied.tried(where, lambda e=found[0], n=number: self._take(e, n))  # type: ignore[misc]  # a lambda with defaults
            self.times.append(self._last_ms)

    def report(self, size: int, cosigned: int) -> LedgerReport:
        """What was found."""
        return LedgerReport(
            origin=self._place.origin,
            size=size,
            pages=len(self._pages),
            items=self.items,
            receipts=len(self._received),
            receipts_tied=self.tied,
            peer_acts=self.peer_acts,
            peer_acts_proved=self.proved,
            cosigned=cosigned,
        )

    def _read_openings(self, name: str) -> None:
        self._openings = msgspec.json.decode(self._copied.read(name), type=dict[str, str])

    def _check_time(self, entry: Entry) -> None:
        """Times never go back. Else a page after an order could seem to have stood under what was
        before the order, or behind its end, and an order to have come before a page that it was
        too late for."""
        before, self._last_ms = self._last_ms, max(self._last_ms, entry.at)
        if entry.at < before:
            raise Invalid(
                "record.earlier",
                f"Expected an entry at or after {before}, as one before it, got {entry.at}.",
            )

    def _take(self, entry: Entry, number: int) -> None:
        use = entry.verb or "" if entry.act == "peer.act" else _USE_OF_ACT.get(entry.act)
        if entry.act == "page":
            self._take_page(entry, number)
        elif entry.act == "receipt":
            self._take_receipt(entry, number)
        elif entry.act == "directive.sign":
            _check_signature(entry, self._envelope(entry), self._copied.signed[entry.doc or ""])
        elif entry.act == "standing":
            self._check_standing(entry)
        elif entry.act == "anchor":
            if entry.saw is None:
                raise Invalid("record.anchor", "Expected a head, got none.")
            self.anchors.append((number, entry.at, entry.saw))
        elif use == "assessment":
            self._check_once(entry.doc or "", use)
            # A party's own affair stands in the node's own ledger only.
            charter = None if self._place.agreement else self._newest.get(entry.party or "")
            _check_assessment(entry, self._envelope(entry), charter, self._copied.index)
        elif use is not None:
            self._take_act(entry, number, use)

    def _envelope(self, entry: Entry) -> Envelope:
        envelope = self._copied.envelopes.get(entry.doc or "")
        if envelope is None:
            raise Invalid("record.document", f"Expected document {entry.doc}, got none.")
        return envelope

    # --- acts ------------------------------------------------------------------------------

    def _take_act(self, entry: Entry, number: int, use: str) -> None:
        where = f"{self._place.folder} entry {number}"
        envelope = self._envelope(entry)
        peer = entry.act == "peer.act"
        row = ActRow(
            agreement=self._place.agreement,
            use=use,
            party=entry.party or "",
            doc=entry.doc or "",
            at_ms=entry.peer_at if peer and entry.peer_at is not None else entry.at,
            log=self._place.origin,
            index=number,
        )
        act = act_of(row, envelope)
        tried = self._copied.tried
        tried(where, lambda: self._check_once(row.doc, use))
        checks: dict[str, Callable[[], None]] = {
            "charter": lambda: self._check_charter(entry, envelope),
            "agreement": lambda: self._check_agreement(entry, envelope),
        }
        if peer:
            self.peer_acts += 1
            tried(where, lambda: self._check_peer(entry, envelope, use))
            tried(where, lambda: self._check_place(entry, use))
        else:
            tried(where, checks.get(use, lambda: self._check_own(entry, envelope, use)))
        if use not in checks:
            terms, node = self._at(entry.at).agreement, self._node
            if terms is not None and node is not None:
                tried(where, lambda: _check_newest(node.accepted, self._newest, entry.at, terms))
        self._acts.append(act)
        self._since_ms = entry.at
        self._standing = None
        if isinstance(act, CharterSet):
            newest = self._newest.get(act.charter.party)
            if newest is None or newest.version < act.charter.version:
                self._newest[act.charter.party] = act.charter

    def _check_once(self, doc: str, use: str) -> None:
        """A charter may come again where an earlier one was left behind by an agreement; its
        version is checked by itself."""
        if use != "charter" and doc in self._done:
            raise Conflict("record.act-again", f"Expected document {doc} once, got it again.")
        self._done.add(doc)

    def _check_charter(self, entry: Entry, envelope: Envelope) -> None:
        """In the node's own ledger a charter follows the one before it, and may be entered again
        when an agreement takes it in; under an agreement only the newest that the node has accepted
        is entered, so versions may be passed over."""
        exercise = self._copied.index.exercise
        charter = open_document(envelope, "charter", Charter, exercise=exercise)
        self._check_named(entry, charter.party, charter.party)
        before = self._newest.get(charter.party)
        if entry.doc in self.charters:
            return
        if self._node is None:
            check_charter(envelope, before, exercise=exercise)
            self.charters.append(entry.doc or "")
            self.accepted.setdefault(charter.party, []).append((entry.at, charter))
        elif entry.doc not in self._node.charters:
            raise NotAuthorised(
                "record.charter", f"Expected a charter of the node's own ledger, got {entry.doc}."
            )
        elif before is not None and charter.version <= before.version:
            raise Conflict(
                "charter.chain",
                f"Expected a version above {before.version}, got {charter.version}.",
            )

    def _check_agreement(self, entry: Entry, envelope: Envelope) -> None:
        agreement = check_agreement(
            envelope, self._newest, self._at(entry.at), exercise=self._copied.index.exercise
        )
        own = self._copied.index.party
        _check_agreement_id(agreement, self._place.agreement)
        if agreement.member(own) is None:
            raise NotAuthorised(
                "agreement.not-party", f"Expected an agreement of {own}, got one of others."
            )
        self._check_named(entry, own, agreement.id)
        if self._node is not None:
            _check_newest(self._node.accepted, self._newest, entry.at, agreement)
        known: dict[str, set[str]] = {}
        for name, charter in self._copied.charters.items():
            known.setdefault(charter.party, set()).add(name)
        check_pins(agreement, known)

    def _check_own(self, entry: Entry, envelope: Envelope, use: str) -> None:
        """An own act; assurances may be another party's, brought here by hand."""
        standing = self._at(entry.at)
        party, name = check_act(
            use, envelope, standing, at_ms=entry.at, exercise=self._copied.index.exercise
        )
        self._check_named(entry, party, name)
        if use == "directive" and party != self._copied.index.party:
            raise NotAuthorised(
                "directive.foreign",
                f"Expected a directive of {self._copied.index.party}, got {party}'s.",
            )
        check_new(use, (party, name), self._acts)

    def _check_peer(self, entry: Entry, envelope: Envelope, use: str) -> None:
        if entry.peer_at is None:
            raise Invalid("record.act-named", "Expected the partner's instant, got none.")
        if entry.peer_at > entry.at + SKEW_MS_MAX:
            raise Invalid("peer.clock", "Expected an act of the past, got one far in the future.")
        party, name = check_peer_act(
            use,
            envelope,
            self._acts,
            at_ms=entry.peer_at,
            known_ms=entry.at,
            exercise=self._copied.index.exercise,
        )
        if party == self._copied.index.party:
            raise NotAuthorised("peer.act-party", f"Expected a partner's act, got one of {party}.")
        self._check_named(entry, party, name)

    def _check_named(self, entry: Entry, party: str, name: str) -> None:
        """The entry says of its document what is so; only a partner's act has its own instant."""
        said = (entry.party, entry.ref, entry.peer_at is not None)
        if said != (party, name, entry.act == "peer.act"):
            raise Invalid(
                "record.act-named",
                f"Expected an entry for {name} of {party}, got {entry.ref} of {entry.party}.",
            )

    def _check_place(self, entry: Entry, use: str) -> None:
        """Where the partner's ledger holds the act, if the copy has the proof."""
        read, names = self._copied.read, self._copied.names
        stem = f"{PARTNERS_NAME}/{entry.entry}"
        if f"{stem}.entry" not in names and f"{stem}.proof" not in names:
            return
        raw, proof = read(f"{stem}.entry"), read(f"{stem}.proof")
        if digest(raw) != entry.entry:
            raise Invalid("record.place", f"Expected the partner's entry {entry.entry}.")
        vkey = ledger_vkey(
            self._charter(entry.party or ""),
            self._place.agreement,
            exercise=self._copied.index.exercise,
        )
        check_proof(proof, raw, vkey)
        there = decode(raw, Entry)
        claims: tuple[tuple[str, object, object], ...] = (
            ("origin", vkey.name, entry.origin),
            ("index", parse_proof(proof).index, entry.index),
            ("document", there.doc, entry.doc),
            ("instant", there.at, entry.peer_at),
            ("act", there.act, ACT_OF_USE[use]),
            ("party", there.party, entry.party),
        )
        for name, expected, got in claims:
            if expected != got:
                raise Invalid(
                    "record.place", f"Expected the partner's {name} {expected}, got {got}."
                )
        self.proved += 1

    def _check_standing(self, entry: Entry) -> None:
        """The standing that was entered is that of its instant, or of one since the last act or
        entry of this kind: it is folded first, and the clock may bring a change before it is
        entered."""
        at_ms: int | None = self._since_ms
        self._since_ms = entry.at
        if self._at(entry.at).digest == entry.standing:
            return
        while at_ms is not None and at_ms <= entry.at:
            standing = fold(self._acts, at_ms)
            if standing.digest == entry.standing:
                return
            at_ms = standing.next_ms
        raise Invalid(
            "record.standing", "Expected the standing of the acts before it, got another."
        )

    # --- pages and receipts ----------------------------------------------------------------

    def _take_page(self, entry: Entry, number: int) -> None:
        self._pages[number] = _Page(
            entry.collection or "",
            entry.party or "",
            entry.count or 0,
            entry.c or "",
            entry.verb or "",
        )
        self.items += entry.count or 0
        if self._at(entry.at).digest != entry.standing:
            raise Invalid(
                "record.page-standing",
                "Expected a page under the standing of its instant, got another.",
            )

    def _take_receipt(self, entry: Entry, number: int) -> None:
        copied, place = self._copied, self._place
        at = -1 if entry.page is None else entry.page
        page = self._pages.get(at)
        if page is None or page.what:
            raise Invalid("record.receipt-page", f"Expected a page before {number}, got {at}.")
        if at in self._received:
            raise Conflict("record.receipt-again", f"Expected one receipt for page {at}, got two.")
        self._received.add(at)
        envelope = self._envelope(entry)
        receipt = open_document(envelope, "receipt", Receipt, exercise=copied.index.exercise)
        salt = self._openings.get(str(at))
        sent = PageSent(
            agreement=place.agreement,
            collection=page.collection,
            sender=copied.index.party,
            recipient=page.party,
            origin=place.origin,
            index=at,
            count=page.count,
            root=None,
        )
        check_receipt(receipt, sent)
        if entry.party != receipt.giver:
            raise Invalid(
                "receipt.parties", f"Expected {receipt.giver}'s receipt, got {entry.party}'s."
            )
        if not copied.signed[entry.doc or ""] & node_keys(self._charter(receipt.giver)):
            raise NotAuthorised(
                "peer.signature",
                f"Expected a signature by a node key of {receipt.giver}, got none.",
            )
        if salt is not None:
            _check_root(page.commitment, salt, receipt.root)
            self.tied += 1

    # --- what is known ---------------------------------------------------------------------

    def _charter(self, party: str) -> Charter:
        charter = self._newest.get(party)
        if charter is None:
            raise NotAuthorised("authority.charter", f"Expected the charter of {party}, got none.")
        return charter

    def _at(self, at_ms: int) -> Standing:
        """The standing at an instant; folded anew only after an act or past the next change."""
        known = self._standing
        if (
            known is None
            or at_ms < known.at_ms
            or (known.next_ms is not None and at_ms >= known.next_ms)
        ):
            known = self._standing = fold(self._acts, at_ms)
        return known


def _check_newest(
    accepted: Mapping[str, Sequence[tuple[int, Charter]]],
    newest: Mapping[str, Charter],
    at_ms: int,
    agreement: Agreement,
) -> None:
    """Under an agreement stand the newest charters of its members that the node had accepted: a
    key that was dropped must not go on counting because the new charter was left out here. Two
    instants that are the same do not tell which came first."""
    for party, charters in accepted.items():
        here = newest.get(party)
        if here is None or agreement.member(party) is None:
            continue
        known = max((c.version for since_ms, c in charters if since_ms < at_ms), default=0)
        if known > here.version:
            raise Conflict(
                "record.charter-old",
                f"Expected version {known} of {party}'s charter, which this node had, got "
                f"{here.version}.",
            )


def _check_signature(entry: Entry, envelope: Envelope, signed: Collection[str]) -> None:
    """A signature that was entered is one of its document, and holds."""
    keyid = entry.by.keyid if entry.by else ""
    sig = base64.b64decode(entry.sig or "", validate=True)
    borne = any(one.keyid == keyid and one.sig == sig for one in envelope.signatures)
    if not borne or keyid not in signed:
        raise Invalid("record.signature", "Expected a signature of the document, got another.")


def _check_root(commitment: str, salt: str, root: str) -> None:
    """Raise unless the page committed to the root that its receipt names."""
    try:
        check_commitment(
            base64.b64decode(commitment, validate=True),
            bytes.fromhex(salt),
            ROOT_MEDIA,
            bytes.fromhex(root),
        )
    except (Invalid, ValueError) as error:
        raise Conflict("receipt.root", "Expected the page's root, got another.") from error


def _check_agreement_id(agreement: Agreement, named: str) -> None:
    if agreement.id != named:
        raise Invalid("record.act-agreement", f"Expected agreement {named}, got {agreement.id}.")


def _check_assessment(
    entry: Entry, envelope: Envelope, charter: Charter | None, index: RecordIndex
) -> None:
    """What the party thinks of a partner is signed by a key of the office that it names. Not
    checked: that the agreement gave the office the power, for it stands in another ledger."""
    one = open_document(envelope, "assessment", Assessment, exercise=index.exercise)
    if charter is None or (one.assessor, entry.party, entry.ref) != (
        index.party,
        index.party,
        one.id,
    ):
        raise NotAuthorised(
            "assessment.foreign", f"Expected one by {index.party}, in its node's own ledger."
        )
    office = charter.office(one.office)
    if office is None or not signers(envelope, keys_of(charter).values()) & set(office.keys):
        raise NotAuthorised("assessment.office", f"Expected a signature of {one.office}, got none.")
