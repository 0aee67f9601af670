"""Directive: a signed order over one's own sending or receiving.

The effect follows from the fields alone. ``halt`` and ``suspend`` stop what ``scope`` covers;
``narrow`` stops what ``scope`` covers outside ``remains``; ``condition`` lets what ``scope``
covers pass only under assurances; ``resume`` ends the directives it supersedes, and with
``conditions`` lets the flow go on under assurances only.

A directive that supersedes others ends them at the instant it takes force: there is no instant
between.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.names import Code, Digest, DocumentID, Millis, PartyID, Record, Text
from detente.model.scope import Scope

__all__ = ["HALT_MS_MAX", "Condition", "Directive", "DirectiveVerb"]

DirectiveVerb = Literal["condition", "halt", "narrow", "resume", "suspend"]

#: One officer's halt lapses by itself within a day (R8).
HALT_MS_MAX = 24 * 60 * 60 * 1000


class Condition(Record, frozen=True, kw_only=True):
    """Items in ``scope`` wait for an assurance by this template from their recipient."""

    template: Code
    scope: Scope


class Directive(Record, frozen=True, kw_only=True):
    """The order. ``start_ms`` absent: at the instant it is enacted; ``sign_by_ms`` is the end of
    the signing window; ``reason`` is told to the partner, so it holds nothing that may not be."""

    v: Literal[1] = 1
    id: DocumentID
    agreement: DocumentID
    agreement_digest: Digest
    issuer: PartyID
    office: Code
    verb: DirectiveVerb
    exercise: bool = False
    legal_basis: Text = ""
    scope: Scope
    remains: Scope | None = None
    conditions: tuple[Condition, ...] = ()
    purposes: tuple[Code, ...] = ()
    supersedes: Annotated[tuple[DocumentID, ...], msgspec.Meta(max_length=100)] = ()
    start_ms: Millis | None = None
    end_ms: Millis | None = None
    review_ms: Millis | None = None
    drafted_ms: Millis
    sign_by_ms: Millis
    reason: Text
    contact: Text = ""
    nonce: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
