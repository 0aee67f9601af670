"""Checkpoint: signed tree heads, cosignatures, proof files and the witness's step.

C2SP ``signed-note`` 1.0.0, ``tlog-checkpoint`` 1.0.0 (three lines, no extensions),
``tlog-cosignature`` 1.0.1 (0x04), ``tlog-witness`` 1.0.0 and ``tlog-proof@v1``. Signatures by
algorithms or keys not known here are passed over, as the note format asks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from detente.errors import Invalid, NotAuthorised
from detente.proof.keys import PublicKey, Signer
from detente.proof.tree import check_consistency, check_inclusion, leaf_hash

__all__ = [
    "AddCheckpoint",
    "Checkpoint",
    "Note",
    "Proof",
    "VerifierKey",
    "WitnessVerdict",
    "check_proof",
    "cosign",
    "encode_add_checkpoint",
    "encode_proof",
    "parse_add_checkpoint",
    "parse_checkpoint",
    "parse_note",
    "parse_proof",
    "sign_checkpoint",
    "verify_checkpoint",
    "verify_cosignature",
    "witness_step",
]

ALG_LOG = 0x01
ALG_COSIGNATURE = 0x04
NOTE_BYTES_MAX = 64 * 1024
SIGNATURES_MAX = 100
_DASH = "\u2014 "
_PROOF_HEAD = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A note's verifier key: name, algorithm and Ed25519 key (``name+hash+base64``)."""

    name: str
    algorithm: int
    key: PublicKey

    @property
    def hint(self) -> bytes:
        """The four bytes by which a signature line names its key."""
        head = self.name.encode() + b"\n" + bytes([self.algorithm])
        return hashlib.sha256(head + self.key.raw).digest()[:4]

    def encode(self) -> str:
        """The text form."""
        data = base64.b64encode(bytes([self.algorithm]) + self.key.raw).decode()
        return f"{self.name}+{self.hint.hex()}+{data}"

    @staticmethod
    def parse(text: str) -> VerifierKey:
        """Read the text form; the hash in it must be the key's."""
        parts = text.split("+", 2)
        if len(parts) != 3:  # name, hash, key
            raise Invalid("vkey.form", f"Expected name+hash+key, got {text[:80]!r}.")
        name, hint, encoded = parts
        data = _unb64(encoded, "vkey.form")
        if not _is_name(name) or data[:1] not in (b"\1", b"\4"):
            raise Invalid("vkey.form", "Expected a name and an Ed25519 key for notes.")
        found = VerifierKey(name, data[0], PublicKey.from_raw(data[1:]))
        if found.hint.hex() != hint:
            raise Invalid("vkey.hash", f"Expected {found.hint.hex()}, got {hint[:20]}.")
        return found


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. Identified by these three values, never by a hash of a note."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text with signature lines (name, hint and signature), not verified by existing."""

    text: str
    lines: tuple[tuple[str, bytes], ...]

    def encode(self) -> bytes:
        """The note's bytes."""
        signatures = "".join(
            f"{_DASH}{name} {base64.b64encode(data).decode()}\n" for name, data in self.lines
        )
        return f"{self.text}\n{signatures}".encode()


def _is_name(name: str) -> bool:
    # At most 255 bytes (``ledger.md`` 1.1): other algorithms sign the length as one byte.
    return 0 < len(name.encode()) <= 255 and not any(c.isspace() or c == "+" for c in name)


def _number(text: str) -> int | None:
    """A size or index in its one decimal form, below 2**53; None for any other text."""
    if not (text.isascii() and text.isdigit() and len(text) < 17):  # digits of 2**53, and one
        return None
    number = int(text)
    return number if str(number) == text and number < 2**53 else None


def _unb64(text: str, code: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(code, "Expected base64, got something else.") from error


def parse_note(data: bytes) -> Note:
    """Read a signed note; refuses control characters, no signature, and too many."""
    if len(data) > NOTE_BYTES_MAX:
        raise Invalid("note.size", f"Expected at most {NOTE_BYTES_MAX} bytes, got {len(data)}.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Invalid("note.utf8", "Expected UTF-8, got something else.") from error
    body, gap, tail = text.rpartition("\n\n")
    if not gap or not tail.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in text):
        raise Invalid("note.form", "Expected a text, an empty line and signature lines.")
    lines = []
    for line in tail[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        signature = _unb64(encoded, "note.signature")
        if (
            not line.startswith(_DASH) or not _is_name(name) or len(signature) < 5
        ):  # hint and at least one byte
            raise Invalid("note.signature", "Expected `— name base64`, got another line.")
        lines.append((name, signature))
    if len(lines) > SIGNATURES_MAX:
        raise Invalid("note.signatures", f"Expected at most {SIGNATURES_MAX} signatures.")
    return Note(body + "\n", tuple(lines))


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the three lines of a checkpoint's text. Extension lines are refused: a widespread
    cosigner does not sign them."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:  # three lines, each ended
        raise Invalid("checkpoint.form", "Expected exactly three lines.")
    origin, size, encoded = lines[0], _number(lines[1]), lines[2]
    root = _unb64(encoded, "checkpoint.root")
    if (
        not _is_name(origin)
        or size is None
        or len(root) != 32  # SHA-256
        or base64.b64encode(root).decode() != encoded
    ):
        raise Invalid("checkpoint.form", "Expected origin, decimal size and a root of 32 bytes.")
    return Checkpoint(origin, size, root)


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> Note:
    """The checkpoint as a note signed by its log; the log key's name is the origin."""
    vkey = VerifierKey(checkpoint.origin, ALG_LOG, signer.public)
    text = checkpoint.text()
    return Note(text, ((vkey.name, vkey.hint + signer.sign(text.encode())),))


def _signature_of(note: Note, vkey: VerifierKey) -> bytes:
    for name, data in note.lines:
        if name == vkey.name and data[:4] == vkey.hint:
            return data[4:]
    raise NotAuthorised("note.unsigned", f"Expected a signature by {vkey.name}, got none.")


def verify_checkpoint(data: bytes, vkey: VerifierKey) -> Checkpoint:
    """The checkpoint in a note, if its log signed it: the key's name must be the origin."""
    note = parse_note(data)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != vkey.name or vkey.algorithm != ALG_LOG:
        raise NotAuthorised(
            "checkpoint.origin", f"Expected origin {vkey.name}, got {checkpoint.origin}."
        )
    if not vkey.key.verify(note.text.encode(), _signature_of(note, vkey)):
        raise NotAuthorised("checkpoint.signature", f"Expected {vkey.name}'s signature to hold.")
    return checkpoint


# --- cosignatures ---------------------------------------------------------------------------


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def cosign(text: str, name: str, signer: Signer, time_s: int) -> tuple[str, bytes]:
    """A cosignature line (0x04) over a checkpoint's text."""
    vkey = VerifierKey(name, ALG_COSIGNATURE, signer.public)
    signature = signer.sign(_cosigned(text, time_s))
    return name, vkey.hint + time_s.to_bytes(8, "big") + signature


def verify_cosignature(note: Note, vkey: VerifierKey) -> int:
    """The time (seconds since 1970, the cosigner's claim) of a cosignature that holds."""
    data = _signature_of(note, vkey)
    if vkey.algorithm != ALG_COSIGNATURE or len(data) != 72:  # time and signature
        raise Invalid("cosignature.form", "Expected a time and an Ed25519 signature.")
    time_s = int.from_bytes(data[:8], "big")
    if not vkey.key.verify(_cosigned(note.text, time_s), data[8:]):
        raise NotAuthorised("cosignature.signature", f"Expected {vkey.name}'s to hold.")
    return time_s


# --- the witness ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request to cosign: the size the log believes was seen last, proof, and the new note."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes


class WitnessVerdict(IntEnum):
    """What a witness answers; the numbers are those of ``tlog-witness``."""

    OK = 200
    OLD_TOO_LARGE = 400
    SIGNATURE = 403
    UNKNOWN = 404
    CONFLICT = 409
    INCONSISTENT = 422


def encode_add_checkpoint(request: AddCheckpoint) -> bytes:
    """``old <n>``, proof lines, an empty line, the checkpoint."""
    lines = [f"old {request.old}", *(base64.b64encode(one).decode() for one in request.proof)]
    return ("\n".join(lines) + "\n\n").encode() + request.note


def parse_add_checkpoint(data: bytes) -> AddCheckpoint:
    """Read a request; at most 63 proof lines."""
    head, gap, note = data.partition(b"\n\n")
    lines = head.split(b"\n")
    old = _after("old ", lines[0].decode("ascii", "replace"))
    if not gap or old is None:
        raise Invalid("witness.form", "Expected `old <size>`, proof lines and a checkpoint.")
    if len(lines) > 64:  # 63 and the first
        raise Invalid("witness.form", "Expected at most 63 proof lines.")
    proof = tuple(_unb64(one.decode("ascii", "replace"), "witness.proof") for one in lines[1:])
    return AddCheckpoint(old, proof, note)


def _after(word: str, line: str) -> int | None:
    """The number behind a word that begins a line; None if the line is another."""
    return _number(line.removeprefix(word)) if line.startswith(word) else None


def witness_step(
    last: tuple[int, bytes] | None, request: AddCheckpoint, vkey: VerifierKey
) -> tuple[WitnessVerdict, Checkpoint | None]:
    """What a witness that saw ``last`` (size, root) answers; OK means: keep the new head, then
    cosign. Pure: the caller keeps and signs, atomically."""
    try:
        checkpoint = verify_checkpoint(request.note, vkey)
    except NotAuthorised:
        return WitnessVerdict.SIGNATURE, None
    if request.old > checkpoint.size:
        return WitnessVerdict.OLD_TOO_LARGE, None
    size, root = last or (0, b"")
    if request.old != size:
        return WitnessVerdict.CONFLICT, None
    if size == checkpoint.size and size > 0 and root != checkpoint.root:
        return WitnessVerdict.CONFLICT, None
    try:
        if size:
            check_consistency(size, checkpoint.size, request.proof, root, checkpoint.root)
        elif request.proof:
            return WitnessVerdict.INCONSISTENT, None
    except Invalid:
        return WitnessVerdict.INCONSISTENT, None
    return WitnessVerdict.OK, checkpoint


# --- proof files ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry is in a log: index, path, and the note of a head that contains it."""

    index: int
    path: tuple[bytes, ...]
    note: bytes


def encode_proof(proof: Proof) -> bytes:
    """``c2sp.org/tlog-proof@v1``, without the unauthenticated ``extra`` line."""
    lines = [_PROOF_HEAD, f"index {proof.index}"]
    lines += [base64.b64encode(one).decode() for one in proof.path]
    return ("\n".join(lines) + "\n\n").encode() + proof.note


def parse_proof(data: bytes) -> Proof:
    """Read a proof file."""
    head, gap, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Invalid("proof.form", "Expected ASCII lines before the checkpoint.") from error
    if lines[0] != _PROOF_HEAD or not gap:
        raise Invalid("proof.form", f"Expected {_PROOF_HEAD}, got {lines[0][:60]!r}.")
    rest = lines[2:] if len(lines) > 1 and lines[1].startswith("extra ") else lines[1:]
    index = _after("index ", rest[0]) if rest else None
    if index is None or len(rest) > 65:  # the index and 64 hashes
        raise Invalid("proof.form", "Expected an index line and at most 64 hashes.")
    return Proof(index, tuple(_unb64(one, "proof.hash") for one in rest[1:]), note)


def check_proof(
    data: bytes, entry: bytes, vkey: VerifierKey, cosigners: Sequence[VerifierKey] = ()
) -> Checkpoint:
    """Raise unless the log's signed head contains the entry; every cosigner named must have
    cosigned that head. Checks without a network."""
    proof = parse_proof(data)
    checkpoint = verify_checkpoint(proof.note, vkey)
    for cosigner in cosigners:
        verify_cosignature(parse_note(proof.note), cosigner)
    check_inclusion(leaf_hash(entry), proof.index, checkpoint.size, proof.path, checkpoint.root)
    return checkpoint
