"""Directive: a signed order over one's own sending or receiving.

The effect follows from the fields alone. ``halt`` and ``suspend`` stop what ``scope`` covers;
``narrow`` stops what ``scope`` covers outside ``remains``; ``moderate`` lets a person pass it item
by item; ``condition`` lets what ``scope`` covers pass only under assurances; ``resume`` ends the
directives it supersedes, and with ``conditions`` lets the flow go on under assurances only;
``revoke`` ends them and sets nothing in their place. ``extend`` and ``correct`` carry on the order
they amend, as the verb in ``carries``: later to end, or in other words only.

A directive that supersedes others ends them at the instant it takes force: there is no instant
between.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.agreement import Language, Onward
from detente.model.names import Code, Digest, DocumentID, Millis, PartyID, Record, Text
from detente.model.order_parts import (
    Addressees,
    Amendment,
    Definition,
    Delegation,
    EndCondition,
    Exemptions,
    Form,
    HeldRule,
    InTransit,
    OrderRef,
    PartnerNotice,
    PublicText,
    Rulings,
    Subjects,
    Words,
)
from detente.model.scope import Scope

__all__ = ["HALT_MS_MAX", "Condition", "Directive", "DirectiveVerb", "EffectVerb"]

#: What an order does while it is in force.
EffectVerb = Literal["condition", "halt", "moderate", "narrow", "resume", "suspend"]
DirectiveVerb = Literal[
    "condition",
    "correct",
    "extend",
    "halt",
    "moderate",
    "narrow",
    "resume",
    "revoke",
    "suspend",
]

#: One officer's halt lapses by itself within a day (R8).
HALT_MS_MAX = 24 * 60 * 60 * 1000


class Condition(Record, frozen=True, kw_only=True):
    """Items in ``scope`` wait for an assurance by this template from their recipient."""

    template: Code
    scope: Scope


class Directive(Record, frozen=True, kw_only=True):
    """The order, its fields in the fixed order in which it is read (``order_parts`` has the parts).

    ``start_ms`` absent: at the instant it is enacted (``start_on`` says so outright);
    ``sign_by_ms`` is the end of the signing window. ``person`` is who holds the office now, shown
    only. ``reason`` is told to the partner, ``reason_public`` to anybody; of the internal reason
    the digest alone stands here. ``unchanged``: directives of either side over the same flow that
    this one leaves as they are. ``acknowledged``: warnings of the lint that the signers have seen
    and mean to go against, by name. ``language``: the canonical one of the texts. ``preview``: the
    digest of the effect that the signers have seen (``model.effect``), which stays in the house.
    """

    v: Literal[1] = 1
    id: DocumentID
    form: Form | None = None
    legal_basis: Text = ""
    legal_reference: Words = ""
    agreement: DocumentID
    agreement_digest: Digest
    issuer: PartyID
    office: Code
    person: Words = ""
    delegation: Delegation | None = None
    verb: DirectiveVerb
    carries: EffectVerb | None = None
    exercise: bool = False
    scope: Scope
    remains: Scope | None = None
    addressees: Addressees | None = None
    acts: Rulings | None = None
    subjects: Subjects | None = None
    purposes: tuple[Code, ...] = ()
    exemptions: Exemptions | None = None
    in_transit: InTransit | None = None
    held: Annotated[tuple[HeldRule, ...], msgspec.Meta(max_length=1000)] = ()
    start_ms: Millis | None = None
    start_on: Literal["enactment"] | None = None
    end_ms: Millis | None = None
    end_on: EndCondition | None = None
    review_ms: Millis | None = None
    conditions: tuple[Condition, ...] = ()
    onward: Onward | None = None
    notice: PartnerNotice | None = None
    language: Language | None = None
    public_text: Annotated[tuple[PublicText, ...], msgspec.Meta(max_length=20)] = ()
    reason: Text
    reason_public: Words = ""
    reason_internal: Digest | None = None
    risk_of_acting: Words = ""
    risk_of_withholding: Words = ""
    definitions: Annotated[tuple[Definition, ...], msgspec.Meta(max_length=100)] = ()
    supersedes: Annotated[tuple[DocumentID, ...], msgspec.Meta(max_length=100)] = ()
    amends: Amendment | None = None
    unchanged: Annotated[tuple[OrderRef, ...], msgspec.Meta(max_length=1000)] = ()
    contact: Text = ""
    acknowledged: Annotated[tuple[Code, ...], msgspec.Meta(max_length=100)] = ()
    preview: Digest | None = None
    drafted_ms: Millis
    sign_by_ms: Millis
    nonce: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]

    @property
    def does(self) -> str:
        """The verb by which it takes effect: its own, or that of the order it carries on."""
        return self.carries or self.verb
