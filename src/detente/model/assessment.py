"""Assessment: what a party thinks of a partner, as a precondition of its own sending (R32).

It is the party's own affair: no partner is ever told of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.names import Code, Digest, DocumentID, KindID, Millis, PartyID, Record, Text

__all__ = ["Assessment"]


class Assessment(Record, frozen=True, kw_only=True):
    """``assessor`` has weighed giving these kinds to ``partner``, from ``from_ms`` until
    ``until_ms``; ``review_ms`` is when it is to be looked at again. The newest of a partner counts
    in place of those before; one without kinds covers nothing. ``basis`` says what it rests on."""

    v: Literal[1] = 1
    id: DocumentID
    agreement: DocumentID
    agreement_digest: Digest
    assessor: PartyID
    partner: PartyID
    exercise: bool = False
    kinds: Annotated[tuple[KindID, ...], msgspec.Meta(max_length=1000)] = ()
    basis: Text = ""
    from_ms: Millis
    until_ms: Millis
    review_ms: Millis
    office: Code
    nonce: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
