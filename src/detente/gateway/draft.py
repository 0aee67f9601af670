"""Drafts: from what a person says to the canonical document that officers sign."""

from __future__ import annotations

import msgspec

from detente.errors import Conflict, Missing
from detente.model import Assessment, Assurance, Condition, Directive, Scope
from detente.model.directive import DirectiveVerb
from detente.rules.standing import Standing

__all__ = [
    "AssessmentDraft",
    "AssuranceDraft",
    "DirectiveDraft",
    "draft_assessment",
    "draft_assurance",
    "draft_directive",
]

#: How long officers may take to sign, if the draft does not say.
SIGN_WITHIN_MS = 24 * 60 * 60 * 1000


class DirectiveDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a directive is to say; times are instants, ``lasts_ms`` counts from the start."""

    agreement: str
    id: str
    verb: DirectiveVerb
    office: str
    reason: str
    scope: Scope = Scope()
    remains: Scope | None = None
    conditions: tuple[Condition, ...] = ()
    purposes: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()
    legal_basis: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    lasts_ms: int | None = None
    review_ms: int | None = None
    sign_within_ms: int = SIGN_WITHIN_MS


class AssuranceDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an assurance is to promise, to whom, for how long."""

    agreement: str
    id: str
    template: str
    holder: str
    office: str
    kinds: tuple[str, ...]
    purposes: tuple[str, ...] = ()
    lasts_ms: int | None = None


class AssessmentDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an assessment is to say, of whom, for how long; ``review_after_ms`` counts from now."""

    agreement: str
    id: str
    partner: str
    office: str
    kinds: tuple[str, ...]
    basis: str
    lasts_ms: int
    review_after_ms: int | None = None


def draft_directive(
    draft: DirectiveDraft,
    standing: Standing,
    *,
    party: str,
    exercise: bool,
    now_ms: int,
    nonce: str,
) -> Directive:
    """The directive as it will be signed, on the agreement in force now.

    Fills in what the words leave to the place: agreement digest, signing window, contact. Does
    not check powers or scope; ``rules.authority`` does when it is enacted.
    """
    terms = standing.agreement
    if terms is None or not standing.agreement_in_force:
        raise Conflict("agreement.not-in-force", f"Expected {draft.agreement} in force, got none.")
    member = terms.member(party)
    end_ms = draft.end_ms
    if end_ms is None and draft.lasts_ms is not None:
        end_ms = (draft.start_ms or now_ms) + draft.lasts_ms
    return Directive(
        id=draft.id,
        agreement=terms.id,
        agreement_digest=standing.agreement_digest,
        issuer=party,
        office=draft.office,
        verb=draft.verb,
        exercise=exercise,
        legal_basis=draft.legal_basis,
        scope=draft.scope,
        remains=draft.remains,
        conditions=draft.conditions,
        purposes=tuple(sorted(draft.purposes)),
        supersedes=draft.supersedes,
        start_ms=draft.start_ms,
        end_ms=end_ms,
        review_ms=draft.review_ms,
        drafted_ms=now_ms,
        sign_by_ms=now_ms + draft.sign_within_ms,
        reason=draft.reason,
        contact=f"{member.contact.office}, {member.contact.reach}" if member else "",
        nonce=nonce,
    )


def draft_assurance(
    draft: AssuranceDraft,
    standing: Standing,
    *,
    party: str,
    exercise: bool,
    now_ms: int,
    nonce: str,
) -> Assurance:
    """The assurance as it will be signed; valid from now, as long as its template allows."""
    terms = standing.agreement
    if terms is None or not standing.agreement_in_force:
        raise Conflict("agreement.not-in-force", f"Expected {draft.agreement} in force, got none.")
    template = next((one for one in terms.assurances if one.id == draft.template), None)
    if template is None:
        known = ", ".join(one.id for one in terms.assurances)
        raise Missing("assurance.template", f"Expected a template ({known}), got {draft.template}.")
    return Assurance(
        id=draft.id,
        agreement=terms.id,
        agreement_digest=standing.agreement_digest,
        giver=party,
        holder=draft.holder,
        template=draft.template,
        exercise=exercise,
        kinds=tuple(sorted(draft.kinds)),
        purposes=tuple(sorted(draft.purposes)),
        from_ms=now_ms,
        until_ms=now_ms + min(draft.lasts_ms or template.valid_max_ms, template.valid_max_ms),
        office=draft.office,
        nonce=nonce,
    )


def draft_assessment(
    draft: AssessmentDraft,
    standing: Standing,
    *,
    party: str,
    exercise: bool,
    now_ms: int,
    nonce: str,
) -> Assessment:
    """The assessment as it will be signed; valid from now."""
    terms = standing.agreement
    if terms is None or not standing.agreement_in_force:
        raise Conflict("agreement.not-in-force", f"Expected {draft.agreement} in force, got none.")
    until_ms = now_ms + draft.lasts_ms
    return Assessment(
        id=draft.id,
        agreement=terms.id,
        agreement_digest=standing.agreement_digest,
        assessor=party,
        partner=draft.partner,
        exercise=exercise,
        kinds=tuple(sorted(draft.kinds)),
        basis=draft.basis,
        from_ms=now_ms,
        until_ms=until_ms,
        review_ms=min(until_ms, now_ms + (draft.review_after_ms or draft.lasts_ms)),
        office=draft.office,
        nonce=nonce,
    )
