"""Witness: this node cosigns its partners' ledgers, and has its own cosigned by them.

A cosignature says: this head follows from the last one I saw (C2SP ``tlog-witness``). What was
cosigned is kept before it is answered, so that a restart cannot cosign a fork. It never delays a
restriction: a partner that does not answer is asked again at the next exchange.
"""

from __future__ import annotations

import base64

import msgspec

from detente.errors import DetenteError, Invalid, NotAuthorised
from detente.gateway.book import Book
from detente.model import Charter
from detente.ports import Courier, OtherSize, Tx, View
from detente.proof import (
    AddCheckpoint,
    Note,
    Proof,
    Signer,
    VerifierKey,
    WitnessVerdict,
    consistency_proof,
    cosign,
    encode_add_checkpoint,
    encode_proof,
    inclusion_proof,
    parse_add_checkpoint,
    parse_checkpoint,
    parse_note,
    verify_cosignature,
    witness_step,
)

__all__ = ["Witness", "ledger_vkey", "proof_of", "witness_vkey"]

_ALG_LOG = 0x01


def _named(charter: Charter, use: str) -> VerifierKey:
    found = next((log for log in charter.logs if log.use == use), None)
    if found is None:
        raise NotAuthorised(
            "charter.no-key", f"Expected a {use} key in the charter of {charter.party}, got none."
        )
    return VerifierKey.parse(found.vkey)


def ledger_vkey(charter: Charter, agreement: str, *, exercise: bool) -> VerifierKey:
    """The verifier key of a party's ledger for an agreement. The charter names the key with the
    origin of the node's own ledger; the others differ in their last part only."""
    node = _named(charter, "ledger")
    tail = "/detente/exercise/node" if exercise else "/detente/node"
    if not node.name.endswith(tail):
        raise Invalid("charter.origin", f"Expected an origin ending in {tail}, got {node.name}.")
    origin = node.name.removesuffix("node") + agreement
    return VerifierKey(origin, _ALG_LOG, node.key)


def witness_vkey(charter: Charter) -> VerifierKey:
    """The verifier key by which a party's witness cosigns."""
    return _named(charter, "witness")


def proof_of(view: View, log: str, index: int) -> str:
    """The proof file that a log's newest head contains an entry."""
    note = view.checkpoint(log)
    if note is None:
        raise Invalid("ledger.empty", f"Expected a checkpoint of {log}, got none.")
    size = parse_checkpoint(parse_note(note).text).size
    path = inclusion_proof(index, size, lambda level, tile: view.tile(log, level, tile))
    return encode_proof(Proof(index, path, note)).decode()


class _Seen(msgspec.Struct, frozen=True):
    """The newest head this witness has cosigned for an origin."""

    size: int
    root: str


class Witness:
    """Cosigns for partners, and asks them to cosign."""

    def __init__(self, book: Book, courier: Courier, signer: Signer) -> None:
        self._book = book
        self._courier = courier
        self._signer = signer
        self._papers = -1
        self._vkeys: dict[str, VerifierKey] = {}

    @property
    def name(self) -> str:
        """The name of this witness's key."""
        return f"{self._book.me.host}/witness"

    # --- for partners ----------------------------------------------------------------------

    async def serve(self, body: bytes) -> tuple[int, str, bytes]:
        """Answer ``add-checkpoint``: status, media type and body as ``tlog-witness`` says."""
        try:
            request = parse_add_checkpoint(body)
            text = parse_note(request.note).text
            origin = parse_checkpoint(text).origin
        except DetenteError as error:
            return 400, "text/plain", f"{error.sentence}\n".encode()
        vkey = self._known(origin)
        if vkey is None:
            return WitnessVerdict.UNKNOWN, "text/plain", b"unknown origin\n"
        verdict, size = await self._book.store.write(lambda tx: _witness(tx, request, vkey))
        if verdict is WitnessVerdict.CONFLICT:
            return verdict, "text/x.tlog.size", f"{size}\n".encode()
        if verdict is not WitnessVerdict.OK:
            return verdict, "text/plain", f"{verdict.name.lower()}\n".encode()
        time_s = self._book.now_ms() // 1000
        name, data = cosign(text, self.name, self._signer, time_s)
        line = f"\u2014 {name} {base64.b64encode(data).decode()}\n"
        return verdict, "text/plain; charset=utf-8", line.encode()

    def _known(self, origin: str) -> VerifierKey | None:
        """The ledger key for an origin of a partner under an agreement this node knows. Anybody may
        ask, so the keys are derived anew only when a charter or an agreement has come."""
        if self._papers != self._book.papers:
            self._papers = self._book.papers
            self._vkeys = self._all_known()
        return self._vkeys.get(origin)

    def _all_known(self) -> dict[str, VerifierKey]:
        now = self._book.now_ms()
        found: dict[str, VerifierKey] = {}
        for agreement in self._book.agreements():
            standing = self._book.standing(agreement, now)
            # Of a version to come as well: its term begins by the clock, and no paper comes then.
            versions = [one for one in (standing.agreement, standing.newest) if one is not None]
            for member in (member for one in versions for member in one.members):
                known = self._book.charter(member.party)
                if known is None or member.party == self._book.me.party:
                    continue
                try:
                    vkey = ledger_vkey(known.charter, agreement, exercise=self._book.me.exercise)
                except DetenteError:
                    continue
                found.setdefault(vkey.name, vkey)
        return found

    # --- for this node ---------------------------------------------------------------------

    async def exchange(self, address: str, party: str, agreement: str) -> int | None:
        """Have the partner cosign the newest head of the agreement's ledger; the size it
        cosigned, or None if it did not answer. Asks a second time if the partner has seen
        another size than this node believed."""
        charter = self._book.charter(party)
        log = self._book.me.log_of(agreement)
        if charter is None:
            return None
        try:
            vkey = witness_vkey(charter.charter)
            old = int(
                await self._book.store.read(
                    lambda view: view.meta(f"cosigned/{log}/{party}") or "0"
                )
            )
            try:
                return await self._ask(address, party, log, vkey, old)
            except OtherSize as other:
                # An answer was lost on its way, or a file brought back: it goes by what it has.
                return await self._ask(address, party, log, vkey, other.size)
        except DetenteError:
            # A witness that fails is no reason to fail the exchange; the head stays as it is.
            return None

    async def _ask(
        self, address: str, party: str, log: str, vkey: VerifierKey, old: int
    ) -> int | None:
        note, request = await self._book.store.read(lambda view: _request(view, log, old))
        if note is None or request is None or request.old != old:
            return None
        answer = await self._courier.post(
            address, "/witness/add-checkpoint", encode_add_checkpoint(request)
        )
        lines = parse_note(note.text.encode() + b"\n" + answer).lines
        # Of the answer the one line that is the witness's: the others say nothing, and would stand
        # in the record for good.
        named = [line for line in lines if (line[0], line[1][:4]) == (vkey.name, vkey.hint)]
        both = Note(note.text, (*note.lines, *named[:1]))
        verify_cosignature(both, vkey)
        size = parse_checkpoint(note.text).size

        def work(tx: Tx) -> None:
            tx.put_cosigned(log, size, both.encode())
            tx.put_meta(f"cosigned/{log}/{party}", str(size))

        await self._book.store.write(work)
        return size


def _witness(tx: Tx, request: AddCheckpoint, vkey: VerifierKey) -> tuple[WitnessVerdict, int]:
    """Check and keep in one transaction: the new head is on disk before it is cosigned."""
    key = f"witness/{vkey.name}"
    kept = tx.meta(key)
    seen = msgspec.json.decode(kept, type=_Seen) if kept else None
    last = (seen.size, base64.b64decode(seen.root)) if seen else None
    verdict, checkpoint = witness_step(last, request, vkey)
    if verdict is WitnessVerdict.OK and checkpoint is not None:
        root = base64.b64encode(checkpoint.root).decode()
        tx.put_meta(key, msgspec.json.encode(_Seen(checkpoint.size, root)).decode())
    return verdict, seen.size if seen else 0


def _request(view: View, log: str, old: int) -> tuple[Note | None, AddCheckpoint | None]:
    data = view.checkpoint(log)
    if data is None:
        return None, None
    note = parse_note(data)
    size = parse_checkpoint(note.text).size
    proof: tuple[bytes, ...] = ()
    if 0 < old < size:
        proof = consistency_proof(old, size, lambda level, index: view.tile(log, level, index))
    # Only the log's own signatures: some witnesses read no more than 16 KiB.
    return note, AddCheckpoint(min(old, size), proof, data)
