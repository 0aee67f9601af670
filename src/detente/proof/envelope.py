"""Envelope: DSSE v1 with a verifier of our own that reports every signature that holds.

Bytes are signed, not a canonical form: ``PAE(type, body)`` over exactly what was received. The
usual library stops at a threshold and counts one key under two ids twice; here the set of public
keys with a valid signature is returned and counting is left to ``rules.quorum``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from detente.errors import Conflict, Invalid
from detente.proof.keys import PublicKey, Signer

__all__ = [
    "Envelope",
    "Signature",
    "add_signature",
    "decode",
    "only_signed_by",
    "pae",
    "sign",
    "signers",
]

ENVELOPE_BYTES_MAX = 2 * 1024 * 1024
#: Every member of a large agreement signs it.
SIGNATURES_MAX = 2_000
TRIES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature; ``keyid`` is a hint and proves nothing."""

    keyid: str | None
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its type and signatures, not verified by existing."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The JSON form (DSSE ``envelope.md``), keys in a fixed order."""
        signatures = [
            {**({"keyid": one.keyid} if one.keyid else {}), "sig": _b64(one.sig)}
            for one in self.signatures
        ]
        return json.dumps(
            {
                "payload": _b64(self.payload),
                "payloadType": self.payload_type,
                "signatures": signatures,
            },
            separators=(",", ":"),
        ).encode()


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed (DSSE ``protocol.md``): lengths are in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, by: Sequence[Signer]) -> Envelope:
    """A new envelope with one signature of each signer (possibly none)."""
    envelope = Envelope(payload_type, payload, ())
    for signer in by:
        envelope = add_signature(envelope, signer)
    return envelope


def add_signature(envelope: Envelope, signer: Signer) -> Envelope:
    """The envelope with one signature more; the same key twice is refused."""
    keyid = signer.public.keyid
    if any(one.keyid == keyid for one in envelope.signatures):
        raise Conflict("envelope.signed", f"Expected a new key, got {keyid} again.")
    message = pae(envelope.payload_type, envelope.payload)
    new = Signature(keyid, signer.sign(message))
    return Envelope(envelope.payload_type, envelope.payload, (*envelope.signatures, new))


def signers(envelope: Envelope, keys: Iterable[PublicKey]) -> frozenset[str]:
    """The ids of all given keys of which the envelope carries a valid signature.

    Every signature is tried against the key its hint names, else against all. A key counts
    once, however often it is given or has signed. Signatures without a known hint that would
    take more than ``TRIES_MAX`` trials are refused as a whole: they could keep a node busy.
    """
    return frozenset(_holding(envelope, keys))


def only_signed_by(envelope: Envelope, keys: Iterable[PublicKey]) -> Envelope:
    """The envelope with one signature of each given key that has signed it, under the id of that
    key, and with no other: nobody who looks at it later meets a signature that it cannot check.
    """
    holding = _holding(envelope, keys)
    signatures = tuple(Signature(keyid, sig) for keyid, sig in holding.items())
    return Envelope(envelope.payload_type, envelope.payload, signatures)


def _holding(envelope: Envelope, keys: Iterable[PublicKey]) -> dict[str, bytes]:
    """The first signature that holds of each key, in the envelope's order."""
    by_id = {key.keyid: key for key in keys}
    message = pae(envelope.payload_type, envelope.payload)
    found: dict[str, bytes] = {}
    strangers = sum((one.keyid or "") not in by_id for one in envelope.signatures)
    if strangers * len(by_id) > TRIES_MAX:
        raise Invalid(
            "envelope.tries",
            f"Expected signatures that name their keys, got {strangers} that name none of "
            f"{len(by_id)} known.",
        )
    for one in envelope.signatures:
        hinted = by_id.get(one.keyid or "")
        # A hint only saves work; a missing or unknown one must not hide a valid signature.
        for key in [hinted] if hinted else by_id.values():
            if key.keyid not in found and key.verify(message, one.sig):
                found[key.keyid] = one.sig
                break
    return found


class _SignatureForm(msgspec.Struct):
    sig: str
    keyid: str | None = None


class _EnvelopeForm(msgspec.Struct):
    payload: str
    payloadType: str  # noqa: N815  # the name of the standard
    signatures: list[_SignatureForm]


def decode(data: bytes) -> Envelope:
    """Read an envelope strictly: bounded, no repeated keys, strict base64 (standard or URL-safe,
    as DSSE asks). Unknown fields are allowed by DSSE and ignored."""
    if len(data) > ENVELOPE_BYTES_MAX:
        raise Invalid(
            "envelope.size", f"Expected at most {ENVELOPE_BYTES_MAX} bytes, got {len(data)}."
        )
    try:
        json.loads(data, object_pairs_hook=_no_repeats)
        form = msgspec.json.decode(data, type=_EnvelopeForm)
    except (ValueError, RecursionError) as error:
        raise Invalid("envelope.malformed", f"Expected a DSSE envelope: {error}.") from error
    if len(form.signatures) > SIGNATURES_MAX:
        raise Invalid(
            "envelope.signatures",
            f"Expected at most {SIGNATURES_MAX} signatures, got {len(form.signatures)}.",
        )
    return Envelope(
        form.payloadType,
        _unb64(form.payload),
        tuple(Signature(one.keyid, _unb64(one.sig)) for one in form.signatures),
    )


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    if any(c in text for c in "-_") and any(c in text for c in "+/"):
        raise Invalid("envelope.base64", "Expected one alphabet of base64, got two mixed.")
    standard = text.replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(standard, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("envelope.base64", "Expected base64, got something else.") from error
    if _b64(data) != standard:
        raise Invalid("envelope.base64", "Expected the one base64 form, got stray bits.")
    return data
