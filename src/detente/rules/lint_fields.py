"""Lint of the headings: is everything said that must be said, and does it fit the effect?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from detente.model import Agreement, Directive, HeldRule, Kind, Onward
from detente.rules.amendment import MAY_CHANGE, changed_headings, same_effect
from detente.rules.finding import Facts, Finding, values_of

__all__ = ["FIELDS", "RESTRICTING", "STOPPING", "covered_kinds", "named_exempt"]

#: What an order does that keeps anything back.
RESTRICTING = ("condition", "halt", "moderate", "narrow", "suspend")
#: Ways out: a flow is stopped whole, so they are ruled alike.
_WAYS = ("release", "push", "pull", "view")
#: What an order does that keeps everything back.
STOPPING = ("halt", "narrow", "suspend")


def _error(code: str, case: str, path: str, **values: object) -> Finding:
    return Finding(code=code, case=case, severity="error", path=path, values=values_of(**values))


def _addressees(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L01: every addressee is a unit of the issuer, by one name that means one unit."""
    said, path = directive.addressees, "$.addressees"
    if said is None or (not said.units and said.all_at_ms is None):
        yield _error("L01", "none", path)
        return
    if "out" in _directions(directive):
        missing = sorted(set(directive.scope.unit.only or ()) - set(said.units))
        terms = facts.terms
        member = terms.member(directive.issuer) if terms else None
        missing = [one for one in missing if member is None or one in member.units]
        if missing:
            yield _error("L01", "scope", path, units=missing)
    terms = facts.terms
    member = terms.member(directive.issuer) if terms else None
    if member is None:
        return
    for unit in said.units:
        if unit in member.units:
            continue
        like = [one for one in member.units if one.casefold() == unit.casefold()]
        case = "many" if len(like) > 1 else "unknown"
        yield _error("L01", case, path, unit=unit, known=like or list(member.units))
    if said.all_at_ms is not None and set(said.units) != set(member.units):
        differ = sorted(set(said.units) ^ set(member.units))
        yield _error("L01", "all", path, units=differ)


def _directions(directive: Directive) -> tuple[str, ...]:
    return directive.scope.direction.only or ("in", "out")


def _acts(directive: Directive, _facts: Facts) -> Iterator[Finding]:
    """L02: a ruling for every act of the list, that is what happens."""
    acts = directive.acts
    if acts is None:
        yield _error("L02", "none", "$.acts")
        return
    wanted = "no" if directive.does in STOPPING else "yes"
    for way in _WAYS:
        ruling = getattr(acts, way)
        if ruling != wanted:
            yield _error(
                "L02",
                "contradicts",
                f"$.acts.{way}",
                act=way,
                ruling=ruling,
                wanted=wanted,
                verb=directive.does,
            )


def _start(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L05: when it begins, said outright, and not before it can."""
    if directive.start_ms is None and directive.start_on is None:
        yield _error("L05", "none", "$.start_on")
    elif directive.start_ms is not None and directive.start_on is not None:
        yield _error("L05", "both", "$.start_on")
    now = directive.drafted_ms if facts.at_ms is None else facts.at_ms
    if directive.start_ms is not None and directive.start_ms < now:
        yield _error("L05", "past", "$.start_ms")


def _end(directive: Directive, _facts: Facts) -> Iterator[Finding]:
    """L06: when it ends or is looked at again. L07: a condition somebody can decide."""
    if (
        directive.does not in ("resume", "revoke")
        and directive.end_ms is None
        and directive.review_ms is None
    ):
        yield _error("L06", "none", "$.review_ms")
    condition = directive.end_on
    if condition is None:
        return
    for case, missing in (
        ("text", not condition.text),
        ("decider", not condition.decider),
        ("evidence", not condition.evidence),
        ("check", not condition.check_every_ms),
    ):
        if missing:
            yield _error("L07", case, "$.end_on", text=condition.text)


def _items(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L08: items on their way. L09: held items, kind by kind, as the agreement has it."""
    if directive.in_transit is None and directive.does in RESTRICTING:
        yield _error("L08", "none", "$.in_transit")
    terms = facts.terms
    if terms is None:
        if not directive.held:
            yield _error("L09", "none", "$.held")
        return
    said = {rule.kind: rule for rule in directive.held}
    missing = [kind.id for kind in covered_kinds(directive, terms) if kind.id not in said]
    if missing and not said:
        yield _error("L09", "none", "$.held")
    elif missing:
        yield _error("L09", "kind", "$.held", kinds=missing)
    for kind in terms.kinds:
        rule = said.get(kind.id)
        agreed = HeldRule(kind=kind.id, then=kind.held, after_ms=kind.expire_after_ms)
        if rule is not None and rule != agreed:
            yield _error(
                "L09", "differs", "$.held", kind=kind.id, rule=rule.then, agreed=agreed.then
            )


def covered_kinds(directive: Directive, terms: Agreement) -> tuple[Kind, ...]:
    """The kinds that an order covers; one exempt for safety of life only where it is named."""
    choice = directive.scope.kind
    return tuple(
        kind
        for kind in terms.kinds
        if (choice.names(kind.id) if kind.exempt else choice.has(kind.id))
    )


def named_exempt(directive: Directive, terms: Agreement | None) -> tuple[str, ...]:
    """The kinds exempt for safety of life that an order which keeps things back names outright."""
    kinds = terms.kinds if terms and directive.does in RESTRICTING else ()
    return tuple(k.id for k in kinds if k.exempt and directive.scope.kind.names(k.id))


def _life(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L10: the line on safety of life, and that it is true. L17: what the agreement keeps open."""
    named = named_exempt(directive, facts.terms)
    said = directive.exemptions
    if said is None:
        yield _error("L10", "none", "$.exemptions")
    elif facts.terms is not None and (said.safety_of_life == "stopped") != bool(named):
        case = "stopped" if named else "open"
        yield _error("L10", case, "$.exemptions", kinds=named)
    if named:
        yield Finding(
            code="L17",
            case="life",
            severity="warning",
            path="$.scope.kind",
            values=values_of(kinds=named),
        )
    agreed = facts.terms.onward if facts.terms else None
    if agreed is not None and _looser(directive.onward, agreed):
        yield _error("L17", "onward", "$.onward", agreed=agreed.rule)


def _looser(said: Onward | None, agreed: Onward) -> bool:
    """True if more may be passed on than was agreed: nobody, own units, whom one consents to."""
    order = ("none", "units", "consent")
    return said is not None and order.index(said.rule) > order.index(agreed.rule)


def _has_power(directive: Directive, terms: Agreement) -> bool:
    """True if the office may sign towards what the order does."""
    verb = "resume" if directive.does == "revoke" else directive.does
    return any(
        directive.office in power.offices for power in terms.powers_of(directive.issuer, verb)
    )


def _issuer(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L12: an office that has the power, held by somebody whose delegation has not run out."""
    if not directive.office:
        yield _error("L12", "none", "$.office")
    elif facts.terms is not None and not _has_power(directive, facts.terms):
        yield _error("L12", "power", "$.office", office=directive.office, verb=directive.does)
    now = directive.drafted_ms if facts.at_ms is None else facts.at_ms
    if directive.delegation is not None and directive.delegation.until_ms <= now:
        yield _error("L12", "delegation", "$.delegation", reference=directive.delegation.reference)


def _notice(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L13: whom the partner side has told, when, and until when an answer is expected."""
    said, path = directive.notice, "$.notice"
    if said is None:
        yield _error("L13", "none", path)
        return
    members = [m.party for m in facts.terms.members] if facts.terms else []
    told = set(said.to)
    covered = [p for p in members if p != directive.issuer and directive.scope.party.has(p)]
    covered = covered or list(directive.scope.party.only or ())
    untold = [party for party in covered if party not in told]
    if not said.to or untold:
        if said.silent_reason:
            yield Finding(code="L13", case="silent", severity="warning", path=path)
        else:
            yield _error("L13", "untold", path, parties=untold or ["nobody"])
    strangers = sorted(told - set(members)) if members else []
    if strangers:
        yield _error("L13", "unknown", path, parties=strangers)
    if said.to and not said.acknowledge_within_ms:
        yield _error("L13", "acknowledge", path)
    if said.when == "before" and directive.start_ms is None:
        yield _error("L13", "before", path)


def _correction(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L20: a correction changes words only."""
    if directive.verb != "correct":
        return
    amends = directive.amends
    if amends is None:
        yield _error("L20", "none", "$.amends")
        return
    old = facts.standing.order(directive.issuer, amends.id) if facts.standing else None
    if old is None:
        marked = {one.name for one in amends.headings if one.change == "changed"}
        more = sorted(marked - MAY_CHANGE["correct"])
    else:
        more = sorted(changed_headings(old.directive, directive) - MAY_CHANGE["correct"])
        if not more and not same_effect(old.directive, directive):
            more = ["effect"]
    if more:
        yield _error("L20", "effect", "$.amends", headings=more, id=amends.id)


FIELDS: tuple[Callable[[Directive, Facts], Iterator[Finding]], ...] = (
    _addressees,
    _acts,
    _start,
    _end,
    _items,
    _life,
    _issuer,
    _notice,
    _correction,
)
