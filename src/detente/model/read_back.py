"""Read-back: what a reader of an order gave back of it, in their own words, signed."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.agreement import Language
from detente.model.names import Digest, DocumentID, PartyID, Record

__all__ = ["ReadBack"]

Given = Annotated[str, msgspec.Meta(max_length=5000)]


class ReadBack(Record, frozen=True, kw_only=True):
    """The five values as they were given, and the order that was read. Whether they match is not
    said here: whoever holds both compares (``rules.readback``)."""

    v: Literal[1] = 1
    agreement: DocumentID
    issuer: PartyID
    directive: DocumentID
    digest: Digest
    exercise: bool = False
    language: Language
    who: Given
    what: Given
    direction: Given
    start: Given
    end: Given
    nonce: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
