"""Orders: every change of what is in force, from the signed document to the settled gate.

Each change goes the same way, one at a time: check by ``rules.authority``; record in the ledger
and the store in one transaction; take the new standing through the ``barrier``. What a crash
leaves behind is stated at each step.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from detente.errors import Conflict, Missing, NotAuthorised
from detente.gateway.barrier import Barrier
from detente.gateway.bell import Ring
from detente.gateway.book import Book, acts_key, newest_ms
from detente.gateway.effect import Effects
from detente.gateway.gate import Cut, Gate
from detente.gateway.outcomes import Outcomes
from detente.gateway.reading import check_read_here
from detente.model import Agreement, Charter, Directive, Signer, Withdrawal, decode, encode
from detente.model import digest as digest_of
from detente.model.acts import ActName
from detente.model.names import Record
from detente.model.transfer import PLACE, Place
from detente.ports import ActRow, DocumentRow, Tx, View
from detente.proof import Envelope, only_signed_by
from detente.proof import decode as decode_envelope
from detente.rules.acts import check_act, check_new, check_peer_act, named_in
from detente.rules.authority import check_agreement, check_charter, check_pins
from detente.rules.document import document_digest, keys_of
from detente.rules.finding import Facts
from detente.rules.lint import check_lint
from detente.rules.standing import AssuranceGiven, AssuranceWithdrawn, CharterSet, Standing
from detente.wire.texts import lexicons

__all__ = ["ACT_OF_USE", "Enacted", "Orders", "PeerAct"]


class Enacted(Record, frozen=True, kw_only=True):
    """The answer to an act that changed the standing. ``state`` is only said once it holds."""

    document: str
    use: str
    digest: str
    agreement: str
    state: Literal["in-force", "coming", "recorded"]
    recorded_ms: int
    in_force_ms: int | None
    epoch: int
    standing: str
    nodes: tuple[str, ...]
    cut_pages: tuple[int, ...]


class Orders:
    """Charters, agreements, directives and assurances, each checked, recorded and settled."""

    def __init__(self, book: Book, gate: Gate, outcomes: Outcomes, released: Ring) -> None:
        self._book = book
        self._gate = gate
        self._barrier = Barrier(book, gate, outcomes, released)
        self._effects = Effects(book, outcomes)

    async def start(self) -> None:
        """Bring every agreement to its present standing; nothing is served before this."""
        await self._barrier.start()

    async def tick(self, only: str | None = None) -> bool:
        """Do what is due by the clock, or was left undone, in all agreements or in one; True if
        anything was."""
        return await self._barrier.tick(only)

    async def close(self) -> None:
        """Return when nothing is being changed any more."""
        await self._barrier.close()

    # --- charters and agreements -----------------------------------------------------------

    async def import_charter(self, data: bytes) -> Enacted:
        """Accept a party's charter: the first by the operator's word, later ones by the chain."""
        return await self._barrier.whole(lambda: self._import_charter(data))

    async def _import_charter(self, data: bytes) -> Enacted:
        envelope = decode_envelope(data)
        exercise = self._book.me.exercise
        party = _peek_party(envelope)
        known = self._book.charter(party)
        if known is not None and known.digest == document_digest(envelope):
            raise Conflict("charter.known", f"Expected a new charter of {party}, got the known.")
        charter = check_charter(envelope, known.charter if known else None, exercise=exercise)
        agreements = tuple(
            agreement
            for agreement in self._book.agreements()
            if _is_member(self._book.standing(agreement, self._book.now_ms()), charter.party)
        )
        row, cuts = await self._take(
            _Paper(
                envelope=envelope,
                use="charter",
                party=charter.party,
                name=charter.party,
                agreements=agreements,
            )
        )
        return self._answer(row, envelope, "", charter.party, cuts)

    async def import_agreement(self, data: bytes) -> Enacted:
        """Open an agreement that all its members have signed, or its next version."""
        return await self._barrier.whole(lambda: self._import_agreement(data))

    async def _import_agreement(self, data: bytes) -> Enacted:
        envelope = decode_envelope(data)
        draft = decode(envelope.payload, Agreement)
        charters = {
            member.party: known.charter
            for member in draft.members
            if (known := self._book.charter(member.party)) is not None
        }
        before = (
            self._book.standing(draft.id, self._book.now_ms())
            if draft.id in self._book.agreements()
            else None
        )
        agreement = check_agreement(envelope, charters, before, exercise=self._book.me.exercise)
        check_pins(agreement, {m.party: self._book.charters_of(m.party) for m in agreement.members})
        if agreement.member(self._book.me.party) is None:
            raise NotAuthorised(
                "agreement.not-party",
                f"Expected an agreement of {self._book.me.party}, got one of others.",
            )
        await self._adopt_charters(agreement)
        row, cuts = await self._take(
            _Paper(
                envelope=envelope,
                use="agreement",
                party=self._book.me.party,
                name=agreement.id,
                agreements=(agreement.id,),
            )
        )
        return self._answer(row, envelope, agreement.id, agreement.id, cuts)

    async def _adopt_charters(self, agreement: Agreement) -> None:
        """Enter the members' charters under the agreement, so that folding it needs nothing
        else. A crash after this leaves charters without an agreement, which do nothing."""
        known = (
            self._book.standing(agreement.id, self._book.now_ms()).charters
            if agreement.id in self._book.agreements()
            else {}
        )
        for member in agreement.members:
            charter = self._book.charter(member.party)
            old = known.get(member.party)
            if charter is None or (old and old.charter.version >= charter.charter.version):
                continue
            document = await self._book.store.read(_document(charter.digest))
            envelope = decode_envelope(document.envelope)
            await self._record(
                _Paper(
                    envelope=envelope,
                    use="charter",
                    party=member.party,
                    name=member.party,
                    agreements=(agreement.id,),
                )
            )

    # --- directives and assurances ---------------------------------------------------------

    async def enact(self, data: bytes) -> Enacted:
        """Put a signed directive of this party into force.

        Answers after the barrier: when it says ``in-force``, no covered byte leaves this node
        any more. Raises what ``check_directive`` raises and then nothing has changed.
        """
        return await self._barrier.whole(lambda: self._own_act("directive", data))

    async def import_assurance(self, data: bytes) -> Enacted:
        """Record an assurance, this party's or one brought by hand; from then on it counts for what
        it covers."""
        return await self._barrier.whole(lambda: self._own_act("assurance", data))

    async def import_withdrawal(self, data: bytes) -> Enacted:
        """Record that an assurance was taken back; what waits on it is held from now on."""
        return await self._barrier.whole(lambda: self._own_act("withdrawal", data))

    async def import_assessment(self, data: bytes) -> Enacted:
        """Record what this party thinks of a partner; from then on it counts for its sending."""
        return await self._barrier.whole(lambda: self._own_act("assessment", data))

    async def _own_act(self, use: str, data: bytes) -> Enacted:
        envelope = decode_envelope(data)
        agreement = named_in(envelope).agreement
        standing = await self._fresh(agreement)
        party, name = check_act(
            use, envelope, standing, at_ms=standing.at_ms, exercise=self._book.me.exercise
        )
        if use in ("assessment", "directive") and party != self._book.me.party:
            raise NotAuthorised(
                f"{use}.foreign",
                f"Expected a document of {self._book.me.party}, got {party}'s.",
                hint="Each side enacts its own orders on its own gateway.",
            )
        check_new(use, (party, name), self._book.acts(agreement))
        if use == "directive":
            await self._check_here(envelope, standing)
        if use == "withdrawal":
            self._check_given(decode(envelope.payload, Withdrawal))
        row, cuts = await self._take(
            _Paper(
                envelope=envelope,
                use=use,
                party=party,
                name=name,
                agreements=(agreement,),
                at_ms=standing.at_ms,
            )
        )
        return self._answer(row, envelope, agreement, name, cuts)

    async def _check_here(self, envelope: Envelope, standing: Standing) -> None:
        """What is asked of an order only where it is enacted: one that is in force is in force for
        whoever checks it."""
        facts = Facts(standing=standing, at_ms=standing.at_ms, lexicons=lexicons())
        directive = decode(envelope.payload, Directive)
        check_lint(directive, facts)
        await check_read_here(self._book, directive, document_digest(envelope), standing)
        await self._effects.check(directive, standing)

    def _check_given(self, withdrawal: Withdrawal) -> None:
        """What is taken back here was given, and has not been taken back: else it is a slip. A
        partner's may come before what it takes back."""
        given, over = set(), set()
        for act in self._book.acts(withdrawal.agreement):
            if isinstance(act, AssuranceGiven):
                given.add((act.assurance.giver, act.assurance.id))
            elif isinstance(act, AssuranceWithdrawn):
                over.add((act.withdrawal.giver, act.withdrawal.assurance))
        if (withdrawal.giver, withdrawal.assurance) not in given - over:
            raise Conflict(
                "assurance.unknown",
                f"Expected an assurance of {withdrawal.giver} that is not taken back, got "
                f"{withdrawal.assurance}.",
            )

    async def take_peer_act(self, act: PeerAct) -> None:
        """Record a partner's act, as its ledger proves it, and take its effect.

        It is checked against the standing at its own instant, by the same rules as an own act, and
        by the papers it was made under: the version of the agreement that it names, and charters
        as they are known now or as they were known here at its instant.
        """
        await self._barrier.whole(lambda: self._take_peer_act(act))

    async def _take_peer_act(self, act: PeerAct) -> None:
        envelope = decode_envelope(act.envelope)
        digest = document_digest(envelope)
        known = self._book.acts(act.agreement)
        if any(one.digest == digest for one in known):
            return
        party, name = check_peer_act(
            act.use,
            envelope,
            known,
            at_ms=act.at_ms,
            known_ms=self._book.now_ms(),
            exercise=self._book.me.exercise,
        )
        if party != act.party:
            raise NotAuthorised(
                "peer.act-party", f"Expected an act of {act.party}, got one of {party}."
            )
        await self._take(
            _Paper(
                envelope=envelope,
                use=act.use,
                party=party,
                name=name,
                agreements=(act.agreement,),
                at_ms=act.at_ms,
                peer=act,
            )
        )

    # --- recording ---------------------------------------------------------------------------

    async def _fresh(self, agreement: str) -> Standing:
        if agreement not in self._book.agreements():
            raise Missing("agreement.unknown", f"Expected a known agreement, got {agreement}.")
        if self._gate.overdue(agreement):
            await self._barrier.settle(agreement)
        return self._book.standing(agreement, self._book.now_ms())

    async def _take(self, paper: _Paper) -> tuple[ActRow, tuple[Cut, ...]]:
        """Record an act and take it through the barrier of every agreement that it bears on."""
        row = await self._record(_checkable(self._book, paper))
        cuts = [
            cut for agreement in paper.agreements for cut in await self._barrier.settle(agreement)
        ]
        return row, tuple(cuts)

    async def _record(self, paper: _Paper) -> ActRow:
        """Write the document, its entries and its act in one transaction; then learn it.

        A crash before leaves nothing; a crash after leaves the act, which the start folds. Where
        it is not known whether it was written, the acts are read anew before the next change.
        """
        book = self._book
        self._barrier.unsure = True
        rows = await book.store.write(lambda tx: _write_paper(tx, book, paper))
        for row in rows:
            book.learn(row, paper.envelope)
        self._barrier.unsure = False
        return rows[-1]

    def _answer(
        self,
        row: ActRow,
        envelope: Envelope,
        agreement: str,
        name: str,
        cuts: tuple[Cut, ...],
    ) -> Enacted:
        current = self._gate.current(agreement)
        digest = document_digest(envelope)
        state = _state(current.standing, row.use, digest) if current else "recorded"
        return Enacted(
            document=name,
            use=row.use,
            digest=digest,
            agreement=agreement,
            state=state,
            recorded_ms=row.at_ms,
            in_force_ms=self._book.now_ms() if state == "in-force" else None,
            epoch=current.epoch if current else 0,
            standing=current.standing.digest if current else "",
            nodes=(self._book.me.host,),
            cut_pages=tuple(cut.index for cut in cuts),
        )


def _state(standing: Standing, use: str, digest: str) -> Literal["in-force", "coming", "recorded"]:
    """Whether an act that was recorded is in force, is to come, or neither."""
    if use == "agreement":
        now = standing.agreement_digest == digest and standing.agreement_in_force
        newest = standing.newest
        later = not now and newest is not None and newest.from_ms > standing.at_ms
    elif use == "directive":
        now = any(one.digest == digest for one in standing.orders)
        later = any(one.digest == digest for one in standing.coming)
    elif use == "assessment":
        now = any(digest_of(encode(one)) == digest for one in standing.assessments)
        later = False
    elif use == "assurance":
        now = any(one.digest == digest for one in standing.promises)
        later = any(one.digest == digest for one in standing.promised)
    else:
        now, later = True, False
    return "in-force" if now else "coming" if later else "recorded"


class PeerAct(msgspec.Struct, frozen=True, kw_only=True):
    """A partner's act with the place in its ledger that proves it (checked by ``exchange``):
    ``entry`` as it stands there, and the ``proof`` (C2SP) that it does."""

    agreement: str
    party: str
    use: str
    envelope: bytes
    at_ms: int
    origin: str
    index: int
    entry: str
    proof: str


class _Paper(msgspec.Struct, frozen=True, kw_only=True):
    """A checked document about to be recorded under these agreements; ``at_ms`` is the instant for
    which it was checked, if that matters."""

    envelope: Envelope
    use: str
    party: str
    name: str
    agreements: tuple[str, ...]
    at_ms: int | None = None
    peer: PeerAct | None = None


def _checkable(book: Book, paper: _Paper) -> _Paper:
    """The paper with the signatures only that hold by a key of those who had to sign it. Whoever
    checks a copy of the record does so by listed keys: what somebody else has added to a document
    would stand in it as a fault for good."""
    parties = {paper.party}
    charters: list[Charter] = []
    if paper.use == "agreement":
        members = decode(paper.envelope.payload, Agreement).members
        parties = {member.party for member in members}
    elif paper.use == "charter":
        charters.append(decode(paper.envelope.payload, Charter))
    newest = [known for party in parties if (known := book.charter(party)) is not None]
    # A partner's act may count by a charter that is not the newest any more.
    earlier = [
        act
        for agreement in paper.agreements
        for act in book.acts(agreement)
        if isinstance(act, CharterSet) and act.charter.party in parties
    ]
    charters += {act.digest: act.charter for act in (*newest, *earlier)}.values()
    keys = {keyid: key for charter in charters for keyid, key in keys_of(charter).items()}
    envelope = only_signed_by(paper.envelope, keys.values())
    return msgspec.structs.replace(paper, envelope=envelope)


def _instant(tx: Tx, book: Book, paper: _Paper, logs: Sequence[str]) -> int:
    """When the act is made: the instant for which it was checked. If anything was written behind
    that instant while it waited for its turn, it is checked anew for now, for the times in a ledger
    never go back: else nobody could tell a stop from one that was put before what it came after."""
    if paper.peer is not None and paper.at_ms is not None:
        return paper.at_ms
    newest = max(newest_ms(tx, log) for log in logs)
    if paper.at_ms is not None and paper.at_ms >= newest:
        return paper.at_ms
    at_ms = max(book.now_ms(), newest)
    if paper.at_ms is not None:
        standing = book.standing(paper.agreements[0], at_ms)
        check_act(paper.use, paper.envelope, standing, at_ms=at_ms, exercise=book.me.exercise)
    return at_ms


def _write_paper(tx: Tx, book: Book, paper: _Paper) -> list[ActRow]:
    digest = document_digest(paper.envelope)
    tx.put_document(
        DocumentRow(
            digest=digest,
            use=paper.use,
            agreement=paper.agreements[0] if paper.agreements else "",
            name=paper.name,
            envelope=paper.envelope.encode(),
        )
    )
    if paper.peer is not None:
        tx.put_document(_place_row(paper.peer))
    # What a party thinks of a partner stands in no ledger that a partner reads.
    private = paper.use == "assessment"
    logs = [
        (agreement, book.me.node_log if private else book.me.log_of(agreement))
        for agreement in paper.agreements
    ]
    if paper.use == "charter":
        logs.insert(0, ("", book.me.node_log))
    at_ms = _instant(tx, book, paper, [log for _, log in logs])
    rows = []
    for agreement, log in logs:
        for entry in _signature_entries(book, paper, digest, at_ms):
            tx.append_entry(log, entry)
        index = tx.append_entry(log, _act_entry(book, paper, digest, at_ms))
        row = ActRow(
            agreement=agreement,
            use=paper.use,
            party=paper.party,
            doc=digest,
            at_ms=at_ms,
            log=log,
            index=index,
        )
        tx.put_act(row)
        if agreement:
            known = int(tx.meta(acts_key(agreement)) or 0)
            tx.put_meta(acts_key(agreement), str(known + 1))
        rows.append(row)
    return rows


def _place_row(act: PeerAct) -> DocumentRow:
    """Where the act stands in its party's ledger, with the proof, so that nobody who checks a copy
    of the record has to take this node's word for it."""
    return DocumentRow(
        digest=digest_of(act.entry.encode()),
        use=PLACE,
        agreement=act.agreement,
        name=f"{act.origin}#{act.index}",
        envelope=encode(Place(entry=act.entry, proof=act.proof)),
    )


ACT_OF_USE: dict[str, ActName] = {
    "charter": "charter",
    "agreement": "agreement.open",
    "directive": "directive.effect",
    "assurance": "assurance",
    "withdrawal": "assurance.withdraw",
    "assessment": "assessment",
}


def _act_entry(book: Book, paper: _Paper, digest: str, at_ms: int) -> bytes:
    peer = paper.peer
    if peer is not None:
        return book.entry(
            "peer.act",
            doc=digest,
            party=paper.party,
            ref=paper.name,
            verb=paper.use,
            entry=digest_of(peer.entry.encode()),
            origin=peer.origin,
            index=peer.index,
            peer_at=peer.at_ms,
        )
    act = ACT_OF_USE[paper.use]
    return book.entry(act, at_ms=at_ms, doc=digest, party=paper.party, ref=paper.name)


def _signature_entries(book: Book, paper: _Paper, digest: str, at_ms: int) -> Iterator[bytes]:
    """Each signature of an own directive is an entry of its own, so that who signed stays provable
    (3.3)."""
    if paper.use != "directive" or paper.peer is not None:
        return
    for one in paper.envelope.signatures:
        yield book.entry(
            "directive.sign",
            at_ms=at_ms,
            doc=digest,
            ref=paper.name,
            by=Signer(keyid=one.keyid or ""),
            sig=base64.b64encode(one.sig).decode(),
        )


def _is_member(standing: Standing, party: str) -> bool:
    return standing.agreement is not None and standing.agreement.member(party) is not None


def _peek_party(envelope: Envelope) -> str:
    return decode(envelope.payload, Charter).party


def _document(digest: str) -> Callable[[View], DocumentRow]:
    def work(view: View) -> DocumentRow:
        row = view.document(digest)
        if row is None:
            raise Missing("document.unknown", f"Expected a known document, got {digest}.")
        return row

    return work
