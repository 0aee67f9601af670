"""Drafts: from what a person says to the canonical document that officers sign."""

from __future__ import annotations

import msgspec

from detente.errors import Conflict, Missing
from detente.model import (
    Addressees,
    Agreement,
    Assessment,
    Assurance,
    Condition,
    Definition,
    Delegation,
    Directive,
    EndCondition,
    Exemptions,
    HeldRule,
    InTransit,
    Onward,
    OrderRef,
    PartnerNotice,
    PublicText,
    Rulings,
    Scope,
    Subjects,
)
from detente.model.directive import DirectiveVerb
from detente.model.order_parts import Form
from detente.rules.sayings import amending, with_sayings
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
    """What a directive is to say; times are instants, ``lasts_ms`` counts from the start. What is
    left out is said by ``rules.sayings``. To extend or correct, ``amends`` names the order: it is
    carried on as it is, but for what is given here."""

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
    amends: str = ""
    form: Form | None = None
    legal_reference: str = ""
    person: str = ""
    delegation: Delegation | None = None
    addressees: Addressees | None = None
    acts: Rulings | None = None
    subjects: Subjects | None = None
    exemptions: Exemptions | None = None
    in_transit: InTransit | None = None
    held: tuple[HeldRule, ...] = ()
    end_on: EndCondition | None = None
    onward: Onward | None = None
    notice: PartnerNotice | None = None
    language: str | None = None
    public_text: tuple[PublicText, ...] = ()
    reason_public: str = ""
    reason_internal: str | None = None
    risk_of_acting: str = ""
    risk_of_withholding: str = ""
    definitions: tuple[Definition, ...] = ()
    unchanged: tuple[OrderRef, ...] = ()
    acknowledged: tuple[str, ...] = ()


#: Fields of a draft that stand in the directive under the same name.
_AS_SAID = tuple(
    name
    for name in DirectiveDraft.__struct_fields__
    if name in Directive.__struct_fields__ and name != "amends"
)


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


def _in_force(standing: Standing, agreement: str) -> Agreement:
    if standing.agreement is None or not standing.agreement_in_force:
        raise Conflict("agreement.not-in-force", f"Expected {agreement} in force, got none.")
    return standing.agreement


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

    Fills in what the words leave to the place: agreement digest, signing window, contact, and every
    heading that was left open. Does not check powers or scope; ``rules.authority`` does when it is
    enacted, and ``rules.lint`` whether it can be misread.
    """
    terms = _in_force(standing, draft.agreement)
    member = terms.member(party)
    end_ms = draft.end_ms
    if end_ms is None and draft.lasts_ms is not None:
        end_ms = (draft.start_ms or now_ms) + draft.lasts_ms
    said = {name: getattr(draft, name) for name in _AS_SAID}
    said |= {
        "agreement": terms.id,
        "agreement_digest": standing.agreement_digest,
        "issuer": party,
        "exercise": exercise,
        "purposes": tuple(sorted(draft.purposes)),
        "end_ms": end_ms,
        "drafted_ms": now_ms,
        "sign_by_ms": now_ms + draft.sign_within_ms,
        "contact": f"{member.contact.office}, {member.contact.reach}" if member else "",
        "nonce": nonce,
    }
    if draft.verb in ("correct", "extend"):
        return _amendment(draft, standing, said)
    return with_sayings(Directive(**said), standing)


#: What an amendment has of its own whatever it amends.
_OWN = frozenset(
    """id agreement agreement_digest issuer office verb exercise reason drafted_ms sign_by_ms nonce
    contact""".split()
)


def _amendment(draft: DirectiveDraft, standing: Standing, said: dict[str, object]) -> Directive:
    old = standing.order(str(said["issuer"]), draft.amends)
    if old is None:
        raise Conflict(
            "directive.amended-unknown",
            f"Expected an order of {said['issuer']} in force, by its digest, got {draft.amends}.",
            path="$.amends",
        )
    given = {
        name: value
        for name, value in said.items()
        if name in _OWN or value not in (None, "", (), Scope())
    }
    new = msgspec.structs.replace(
        old.directive,
        **{
            **given,
            "carries": old.directive.does,
            "supersedes": draft.supersedes or (draft.amends,),
            "preview": None,
            "amends": None,
            "start_ms": None,
            "start_on": "enactment",
        },
    )
    return amending(with_sayings(new, standing), old)


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
    terms = _in_force(standing, draft.agreement)
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
    terms = _in_force(standing, draft.agreement)
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
