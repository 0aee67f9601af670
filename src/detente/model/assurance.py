"""Assurance: a recipient's signed promise about use, as a precondition of release (R45)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.names import Code, Digest, DocumentID, KindID, Millis, PartyID, Record, Text

__all__ = ["Assurance", "Withdrawal"]


class Assurance(Record, frozen=True, kw_only=True):
    """``giver`` promises ``template`` of the agreement to ``holder`` for these kinds and
    purposes (no purposes: all of the agreement), from ``from_ms`` until ``until_ms``."""

    v: Literal[1] = 1
    id: DocumentID
    agreement: DocumentID
    agreement_digest: Digest
    giver: PartyID
    holder: PartyID
    template: Code
    exercise: bool = False
    kinds: Annotated[tuple[KindID, ...], msgspec.Meta(min_length=1, max_length=1000)]
    purposes: tuple[Code, ...] = ()
    from_ms: Millis
    until_ms: Millis
    office: Code
    nonce: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class Withdrawal(Record, frozen=True, kw_only=True):
    """The giver takes an assurance back; what waits on it is held from that instant."""

    v: Literal[1] = 1
    id: DocumentID
    agreement: DocumentID
    assurance: DocumentID
    giver: PartyID
    exercise: bool = False
    office: Code
    reason: Text = ""
    nonce: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
