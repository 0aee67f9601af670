"""Authority: who may sign what, and how many it takes.

Signatures are checked by ``proof.envelope``; here it is decided what they amount to. Stopping is
cheap and widening is dear: an order that leaves open anything an order it supersedes had stopped
needs the power to resume besides its own (R7, R24).

Tables of powers stand in the agreement, keys and holders in each party's charter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from detente.errors import Conflict, Invalid, NotAuthorised
from detente.model import (
    HALT_MS_MAX,
    Agreement,
    Assessment,
    Assurance,
    Charter,
    Directive,
    Scope,
    Withdrawal,
)
from detente.model.scope import ANY, DIMENSIONS
from detente.proof import Envelope, PublicKey, signers
from detente.rules.amendment import check_amendment
from detente.rules.document import keys_of, open_document
from detente.rules.quorum import check_office, check_power
from detente.rules.standing import Order, Standing
from detente.rules.subjects import check_subjects
from detente.rules.widening import check_whole, widens

__all__ = [
    "check_agreement",
    "check_assessment",
    "check_assurance",
    "check_charter",
    "check_directive",
    "check_pins",
    "check_withdrawal",
    "required_verbs",
]

# --- charters and agreements ------------------------------------------------------------------


def check_charter(envelope: Envelope, before: Charter | None, *, exercise: bool) -> Charter:
    """A charter counts if its own root threshold signed it and, if it follows another, that
    one's too, with strictly consecutive versions (``ledger.md`` 3.3). The first charter of a
    party is accepted on sight of its digest by a person: this function cannot check who it is.
    """
    charter = open_document(envelope, "charter", Charter, exercise=exercise)
    _check_charter_form(charter)
    if before is None and charter.version != 1:
        raise Conflict("charter.chain", f"Expected version 1 first, got {charter.version}.")
    if before is not None:
        if charter.party != before.party:
            raise Conflict(
                "charter.party", f"Expected a charter of {before.party}, got {charter.party}."
            )
        if charter.version != before.version + 1:
            raise Conflict(
                "charter.chain",
                f"Expected version {before.version + 1}, got {charter.version}.",
            )
    for root in (charter, before) if before else (charter,):
        signed = signers(envelope, keys_of(root).values())
        holders = {root.keys[keyid].holder for keyid in signed & set(root.root.keys)}
        if len(holders) < root.root.threshold:
            raise NotAuthorised(
                "charter.quorum",
                f"Expected {root.root.threshold} root signatures of version {root.version}, "
                f"got {len(holders)}.",
            )
    return charter


def _check_charter_form(charter: Charter) -> None:
    listed = set(charter.keys)
    named = [keyid for office in charter.offices for keyid in office.keys]
    for keyid in (*named, *charter.root.keys):
        if keyid not in listed:
            raise Invalid("charter.key-missing", f"Expected key {keyid} under keys, got none.")
    if charter.root.threshold > len({charter.keys[keyid].holder for keyid in charter.root.keys}):
        raise Invalid(
            "charter.threshold",
            f"Expected at least {charter.root.threshold} distinct root holders, got fewer.",
            path="$.root",
        )


def check_agreement(
    envelope: Envelope,
    charters: Mapping[str, Charter],
    before: Standing | None,
    *,
    exercise: bool,
) -> Agreement:
    """An agreement is open when every member has signed it by its power to ``agree`` (R30).

    A later version is agreed to by the powers of the one before as well, by every party that stays:
    else it could give itself the powers that it needs. Where it exempts kinds, who has an order in
    force needs the power to resume besides, for it opens what the order stops.
    """
    agreement = open_document(envelope, "agreement", Agreement, exercise=exercise)
    _check_agreement_form(agreement)
    current = before.newest if before else None
    if current is not None and agreement.version != current.version + 1:
        raise Conflict(
            "agreement.version",
            f"Expected version {current.version + 1}, got {agreement.version}.",
        )
    keys: list[PublicKey] = []
    for member in agreement.members:
        charter = charters.get(member.party)
        if charter is None:
            raise NotAuthorised(
                "agreement.charter-missing",
                f"Expected the charter of {member.party}, got none.",
                hint="Import it with `detente charter import`.",
            )
        keys += keys_of(charter).values()
    # Once for all members: with a thousand of them, once for each would be a million checks.
    signed = signers(envelope, keys)
    for member in agreement.members:
        charter = charters[member.party]
        try:
            keyids = signed & charter.keys.keys()
            check_power(agreement, charter, "agree", keyids, agreement.from_ms)
            if current is not None and before is not None and current.member(member.party):
                check_power(current, charter, "agree", keyids, before.at_ms)
                if _opens(agreement, before, member.party):
                    check_power(current, charter, "resume", keyids, before.at_ms)
        except NotAuthorised as error:
            raise NotAuthorised(
                "agreement.unsigned",
                f"Expected the signature of {member.party}: {error.sentence}",
            ) from error
    return agreement


def check_pins(agreement: Agreement, known: Mapping[str, Collection[str]]) -> None:
    """Each member's charter that an agreement names is one of those known of the member, by their
    digests: else somebody else's keys may be known here under the member's name."""
    for member in agreement.members:
        if member.charter not in known.get(member.party, ()):
            raise NotAuthorised(
                "agreement.charter",
                f"Expected the charter {member.charter[:16]}… of {member.party} among those "
                "imported, got others.",
                hint="Compare the charter's digest with the party, over another channel.",
                path="$.members",
            )


def _opens(agreement: Agreement, before: Standing, party: str) -> bool:
    """True if a version exempts kinds that were not exempt while the party has an order in force,
    or to come."""
    current = before.newest
    exempt = {kind.id for kind in current.kinds if kind.exempt} if current else set()
    orders: tuple[Order, ...] = (*before.orders, *before.coming)
    return any(kind.exempt and kind.id not in exempt for kind in agreement.kinds) and any(
        order.directive.issuer == party for order in orders
    )


def _check_agreement_form(agreement: Agreement) -> None:
    units = {member.party: member.units for member in agreement.members}
    parties = units.keys()
    _check_unique("agreement.party", [member.party for member in agreement.members], "$.members")
    _check_unique("agreement.kind", [kind.id for kind in agreement.kinds], "$.kinds")
    names = [name for one in agreement.collections for name in (one.name, one.id)]
    _check_unique("agreement.collection", names, "$.collections")
    _check_unique("agreement.title", [one.title for one in agreement.collections], "$.collections")
    # Whoever assures a template signs its words: of two under one name nobody could say which.
    _check_unique("agreement.assurance", [one.id for one in agreement.assurances], "$.assurances")
    for collection in agreement.collections:
        for party in (collection.sender, *collection.readers):
            _check_known("agreement.party-unknown", party, parties, "$.collections")
        if collection.unit is not None:
            # An order limited to units of the sender would never cover what came under this name.
            own = units[collection.sender]
            _check_known("agreement.unit-unknown", collection.unit, own, "$.collections")
    for rule in agreement.kind_rules:
        _check_known(
            "agreement.kind-unknown",
            rule.kind,
            [kind.id for kind in agreement.kinds],
            "$.kind_rules",
        )
    for power in agreement.powers:
        _check_known("agreement.party-unknown", power.party, parties, "$.powers")
    for kind in agreement.kinds:
        if (kind.held == "expire") != (kind.expire_after_ms is not None):
            raise Invalid(
                "agreement.expiry",
                f"Expected expire_after_ms exactly where held is `expire`, got kind {kind.id}.",
                path="$.kinds",
            )
    if not agreement.from_ms < agreement.until_ms:
        raise Invalid("agreement.term", "Expected from_ms before until_ms.", path="$.until_ms")


def _check_unique(code: str, values: Sequence[str], path: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise Invalid(code, f"Expected each once, got {value} more than once.", path=path)
        seen.add(value)


def _check_known(code: str, value: str, known: Collection[str], path: str) -> None:
    if value not in known:
        listed = ", ".join(list(known)[:20])
        raise Invalid(code, f"Expected one of {listed}, got {value}.", path=path)


# --- directives -------------------------------------------------------------------------------


def required_verbs(directive: Directive, standing: Standing) -> tuple[str, ...]:
    """The powers a directive needs: that of what it does, and ``resume`` wherever it widens. A
    revocation does nothing but end orders, which is to resume."""
    verb = _power_of(directive)
    if verb != "resume" and widens(directive, standing):
        return (verb, "resume")
    return (verb,)


def _power_of(directive: Directive) -> str:
    return "resume" if directive.does == "revoke" else directive.does


def check_directive(
    envelope: Envelope, standing: Standing, *, at_ms: int, exercise: bool
) -> tuple[Directive, frozenset[str]]:
    """A directive counts at ``at_ms`` if it stands on the agreement in force, says only what the
    agreement knows, is signed in its window, and meets every quorum it needs.

    Returns it with the ids of all keys that signed, surplus ones included.
    """
    directive = open_document(envelope, "directive", Directive, exercise=exercise)
    agreement = _agreement_of(standing, directive.agreement, directive.agreement_digest)
    charter = _charter_of(standing, directive.issuer, at_ms)
    _check_window(directive, at_ms)
    _check_directive_form(directive, agreement)
    _check_supersedes(directive, standing)
    check_amendment(directive, standing)
    _check_span(directive, standing, at_ms)
    signed = signers(envelope, keys_of(charter).values())
    for verb in required_verbs(directive, standing):
        power = check_power(agreement, charter, verb, signed, at_ms)
        limit = power.duration_max_ms
        start = max(at_ms, directive.start_ms or 0)
        if limit is not None and (directive.end_ms is None or directive.end_ms - start > limit):
            raise NotAuthorised(
                "authority.duration",
                f"Expected an end within {limit} ms of the start under this power, got "
                f"{'none' if directive.end_ms is None else directive.end_ms - start}.",
                path="$.end_ms",
            )
    check_office(agreement, charter, (_power_of(directive), directive.office), signed, at_ms)
    return directive, signed


def _agreement_of(standing: Standing, agreement_id: str, agreement_digest: str) -> Agreement:
    agreement = standing.agreement
    if agreement is None or not standing.agreement_in_force or agreement.id != agreement_id:
        raise Conflict(
            "agreement.not-in-force", f"Expected agreement {agreement_id} in force, got none."
        )
    if standing.agreement_digest != agreement_digest:
        raise Conflict(
            "agreement.digest",
            f"Expected agreement digest {standing.agreement_digest}, got {agreement_digest}.",
            hint="The document was drafted for another version of the agreement.",
        )
    return agreement


def _charter_of(standing: Standing, party: str, at_ms: int) -> Charter:
    charter = standing.charter(party)
    if charter is None:
        raise NotAuthorised("authority.charter", f"Expected the charter of {party}, got none.")
    if charter.expires_ms <= at_ms:
        raise NotAuthorised(
            "authority.charter-expired", f"Expected a charter of {party} that is not expired."
        )
    return charter


def _check_window(directive: Directive, at_ms: int) -> None:
    if not directive.drafted_ms <= at_ms < directive.sign_by_ms:
        raise Conflict(
            "directive.window",
            f"Expected to be enacted from {directive.drafted_ms} to before "
            f"{directive.sign_by_ms}, got {at_ms}.",
            hint="Draft it anew.",
        )


def _check_directive_form(directive: Directive, agreement: Agreement) -> None:
    if agreement.member(directive.issuer) is None:
        raise NotAuthorised(
            "directive.issuer", f"Expected a party of {agreement.id}, got {directive.issuer}."
        )
    needs = {
        "narrow": directive.remains is not None,
        "condition": bool(directive.conditions),
        "resume": bool(directive.supersedes),
        "revoke": bool(directive.supersedes),
    }
    if not needs.get(directive.does, True):
        field = {"narrow": "remains", "condition": "conditions"}.get(directive.does, "supersedes")
        raise Invalid(
            "directive.incomplete",
            f"Expected {field} with {directive.does}, got none.",
            path=f"$.{field}",
        )
    if directive.remains is not None and directive.does != "narrow":
        raise Invalid("directive.remains", "Expected `remains` only with narrow.", path="$.remains")
    if directive.conditions and directive.does not in ("condition", "resume"):
        raise Invalid(
            "directive.conditions",
            f"Expected no conditions with {directive.does}, got {len(directive.conditions)}.",
            path="$.conditions",
        )
    if directive.purposes and directive.does == "revoke":
        raise Invalid(
            "directive.revoke",
            "Expected a revocation that only ends orders, got purposes.",
            hint="To let a flow go on for some purposes only, resume it for them.",
            path="$.purposes",
        )
    check_subjects(directive.subjects)
    scopes = [("$.scope", directive.scope)]
    scopes += [("$.remains", directive.remains)] if directive.remains else []
    scopes += [("$.conditions", condition.scope) for condition in directive.conditions]
    for path, scope in scopes:
        _check_scope(scope, agreement, directive.issuer, path)
    for condition in directive.conditions:
        _check_known(
            "directive.template",
            condition.template,
            [template.id for template in agreement.assurances],
            "$.conditions",
        )
    for purpose in directive.purposes:
        _check_known("directive.purpose", purpose, [p.id for p in agreement.purposes], "$.purposes")


def _check_scope(scope: Scope, agreement: Agreement, issuer: str, path: str) -> None:
    """Every value outright named must be one the agreement knows: a misspelt unit or kind would
    silently stop nothing (L01, L02). Nor may it name ways out: a flow is stopped whole, whichever
    way its items would leave, so an order for one way alone would say what does not happen."""
    if scope.act != ANY:
        raise Invalid(
            "directive.act",
            f"Expected no `act`, got {', '.join(scope.act.only or scope.act.excluding or ())}: an "
            "order holds for every way in which items can leave.",
            hint="Limit it by party, unit, collection, kind, marking or purpose.",
            path=f"{path}.act",
        )
    known: dict[str, set[str]] = {
        "party": {member.party for member in agreement.members} - {issuer},
        "unit": {unit for member in agreement.members for unit in member.units},
        "collection": {collection.name for collection in agreement.collections},
        "kind": {kind.id for kind in agreement.kinds},
        "purpose": {purpose.id for purpose in agreement.purposes},
    }
    for dimension in DIMENSIONS:
        if dimension not in known:
            continue
        choice = getattr(scope, dimension)
        for value in (*(choice.only or ()), *(choice.excluding or ())):
            _check_known(
                f"directive.{dimension}-unknown",
                value,
                sorted(known[dimension]),
                f"{path}.{dimension}",
            )


def _check_supersedes(directive: Directive, standing: Standing) -> None:
    mine = [
        order
        for order in (*standing.orders, *standing.coming, *standing.past)
        if order.directive.issuer == directive.issuer
    ]
    if any(order.directive.id == directive.id for order in mine):
        raise Conflict("directive.replayed", f"Expected a new directive, got {directive.id} again.")
    for old_id in directive.supersedes:
        old = standing.order(directive.issuer, old_id)
        if old is not None:
            if directive.does in ("condition", "moderate", "resume", "revoke"):
                check_whole(directive, old)
            continue
        others = {o.directive.issuer for o in standing.orders if o.directive.id == old_id}
        if others:
            raise NotAuthorised(
                "directive.superseded-foreign",
                f"Expected an order of {directive.issuer}, got {old_id} of "
                f"{', '.join(sorted(others))}.",
                hint="Each side ends its own orders only.",
                path="$.supersedes",
            )
        raise Conflict(
            "directive.superseded-unknown",
            f"Expected a directive in force under supersedes, got {old_id}.",
            path="$.supersedes",
        )


def _check_span(directive: Directive, standing: Standing, at_ms: int) -> None:
    if directive.start_ms is not None and directive.start_ms < at_ms:
        raise Invalid(
            "directive.start",
            f"Expected a start at or after {at_ms}, got {directive.start_ms}.",
            path="$.start_ms",
        )
    start = max(at_ms, directive.start_ms or 0)
    if directive.end_ms is not None and directive.end_ms <= start:
        raise Invalid("directive.end", "Expected an end after the start.", path="$.end_ms")
    if directive.does == "halt":
        if directive.end_ms is None or directive.end_ms - start > HALT_MS_MAX:
            raise Invalid(
                "directive.halt-span",
                f"Expected an end within {HALT_MS_MAX} ms, got {directive.end_ms}.",
                path="$.end_ms",
            )
        if directive.verb == "halt":
            _check_halt_once(directive, standing)
    elif (
        directive.does not in ("resume", "revoke")
        and directive.end_ms is None
        and directive.review_ms is None
    ):
        raise Invalid(
            "directive.no-end",
            "Expected an end or a review date, got neither.",
            hint="Draft it anew with --lasts or --review-in.",
            path="$.review_ms",
        )


def _check_halt_once(directive: Directive, standing: Standing) -> None:
    """A halt cannot be renewed by a halt: the next one over the same cells needs a quorum's
    order in between (R8)."""
    earlier = (*standing.past, *standing.orders, *standing.coming)
    mine = [order for order in earlier if order.directive.issuer == directive.issuer]
    if mine and max(mine, key=lambda o: o.since_ms).directive.does == "halt":
        raise NotAuthorised(
            "directive.halt-again",
            "Expected a quorum's order after the last halt, got another halt.",
            hint="Draft a suspension.",
        )


# --- assurances -------------------------------------------------------------------------------


def check_assurance(
    envelope: Envelope, standing: Standing, *, at_ms: int, exercise: bool
) -> Assurance:
    """An assurance counts if an office of its giver with the power to assure signed it, for
    kinds and purposes of the agreement, and for no longer than its template allows (R45)."""
    assurance = open_document(envelope, "assurance", Assurance, exercise=exercise)
    agreement = _agreement_of(standing, assurance.agreement, assurance.agreement_digest)
    charter = _charter_of(standing, assurance.giver, at_ms)
    _check_known(
        "assurance.holder", assurance.holder, [m.party for m in agreement.members], "$.holder"
    )
    template = next((t for t in agreement.assurances if t.id == assurance.template), None)
    if template is None:
        raise Invalid(
            "assurance.template",
            f"Expected a template of agreement {agreement.id}, got {assurance.template}.",
            path="$.template",
        )
    if not 0 < assurance.until_ms - assurance.from_ms <= template.valid_max_ms:
        raise Invalid(
            "assurance.span",
            f"Expected validity of at most {template.valid_max_ms} ms, got "
            f"{assurance.until_ms - assurance.from_ms}.",
            path="$.until_ms",
        )
    for kind in assurance.kinds:
        _check_known("assurance.kind", kind, [k.id for k in agreement.kinds], "$.kinds")
    for purpose in assurance.purposes:
        _check_known("assurance.purpose", purpose, [p.id for p in agreement.purposes], "$.purposes")
    signed = signers(envelope, keys_of(charter).values())
    check_power(agreement, charter, "assure", signed, at_ms)
    check_office(agreement, charter, ("assure", assurance.office), signed, at_ms)
    return assurance


def check_assessment(
    envelope: Envelope, standing: Standing, *, at_ms: int, exercise: bool
) -> Assessment:
    """An assessment counts if an office of its maker with the power to assess signed it; whom it
    is of is another member, and it is looked at again before it ends (R32)."""
    assessment = open_document(envelope, "assessment", Assessment, exercise=exercise)
    agreement = _agreement_of(standing, assessment.agreement, assessment.agreement_digest)
    charter = _charter_of(standing, assessment.assessor, at_ms)
    others = [m.party for m in agreement.members if m.party != assessment.assessor]
    _check_known("assessment.partner", assessment.partner, others, "$.partner")
    if not assessment.from_ms < assessment.review_ms <= assessment.until_ms:
        raise Invalid(
            "assessment.span",
            "Expected a review after the begin and not after the end, got "
            f"{assessment.from_ms}, {assessment.review_ms}, {assessment.until_ms}.",
            path="$.review_ms",
        )
    for kind in assessment.kinds:
        _check_known("assessment.kind", kind, [k.id for k in agreement.kinds], "$.kinds")
    signed = signers(envelope, keys_of(charter).values())
    check_power(agreement, charter, "assess", signed, at_ms)
    check_office(agreement, charter, ("assess", assessment.office), signed, at_ms)
    return assessment


def check_withdrawal(
    envelope: Envelope, standing: Standing, *, at_ms: int, exercise: bool
) -> Withdrawal:
    """A withdrawal counts if its giver's office with the power to assure signed it, whatever is
    known of the assurance: it only takes away, and it may come before what it takes back."""
    withdrawal = open_document(envelope, "withdrawal", Withdrawal, exercise=exercise)
    agreement = standing.agreement
    if agreement is None or agreement.id != withdrawal.agreement:
        raise Conflict("agreement.not-in-force", f"Expected agreement {withdrawal.agreement}.")
    charter = _charter_of(standing, withdrawal.giver, at_ms)
    signed = signers(envelope, keys_of(charter).values())
    check_power(agreement, charter, "assure", signed, at_ms)
    check_office(agreement, charter, ("assure", withdrawal.office), signed, at_ms)
    return withdrawal
