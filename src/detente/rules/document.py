"""Documents: opened for what they are, and whose keys they are to be signed with.

A signed document is an envelope whose payload type says what is inside, and whether it is of an
exercise. Signatures are not looked at here: ``proof.envelope`` checks them, and ``rules.authority``
decides what they amount to.
"""

from __future__ import annotations

import base64
from typing import TypeVar

import msgspec

from detente.errors import Invalid
from detente.model import Charter, decode, digest
from detente.proof import Envelope, PublicKey

__all__ = [
    "document_digest",
    "keys_of",
    "node_keys",
    "open_document",
    "payload_type",
]

R = TypeVar("R", bound=msgspec.Struct)


def payload_type(use: str, *, exercise: bool) -> str:
    """The DSSE payload type of a document. An exercise signs another type, so that no signature
    made in an exercise can ever verify as a live one (R16)."""
    return f"application/vnd.detente.{'exercise.' if exercise else ''}{use}.v1+json"


def open_document(envelope: Envelope, use: str, form: type[R], *, exercise: bool) -> R:
    """The record inside an envelope, if type and exercise mark are what this node accepts.

    Signatures are not looked at here.
    """
    expected = payload_type(use, exercise=exercise)
    if envelope.payload_type != expected:
        raise Invalid(
            "document.type",
            f"Expected payload type {expected}, got {envelope.payload_type}.",
            hint="Exercise and live documents never mix.",
        )
    record = decode(envelope.payload, form)
    if getattr(record, "exercise", exercise) != exercise:
        raise Invalid(
            "document.exercise",
            f"Expected a document with exercise={exercise}, got the reverse.",
        )
    return record


def document_digest(envelope: Envelope) -> str:
    """The digest by which a document is named: over the payload, which is what was signed."""
    return digest(envelope.payload)


def keys_of(charter: Charter) -> dict[str, PublicKey]:
    """The charter's keys by computed id; a key listed under another id is refused."""
    keys = {}
    for keyid, key in charter.keys.items():
        public = PublicKey.from_der(_der(key.public), scheme=key.scheme)
        if public.keyid != keyid:
            raise Invalid(
                "charter.keyid", f"Expected key id {public.keyid}, got {keyid}.", path="$.keys"
            )
        keys[keyid] = public
    return keys


def node_keys(charter: Charter) -> frozenset[str]:
    """The ids of the keys by which the party's gateways sign requests, answers and receipts; none
    for a party without a gateway."""
    office = charter.office(charter.node) if charter.node else None
    return frozenset(office.keys if office else ())


def _der(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Invalid("charter.key", "Expected a key in base64.", path="$.keys") from error
