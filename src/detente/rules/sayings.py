"""Sayings: what a draft says outright where its drafter said nothing.

Each is the safe saying, and what would happen anyway: nothing here changes what an order does. So a
halt by one officer is one command, and its document has every heading all the same.
"""

from __future__ import annotations

from msgspec.structs import replace

from detente.model import (
    HEADINGS,
    Addressees,
    Agreement,
    Amendment,
    Choice,
    Directive,
    Exemptions,
    Heading,
    HeldRule,
    InTransit,
    OrderRef,
    PartnerNotice,
    Rulings,
)
from detente.model.order_parts import Ruling
from detente.model.scope import ANY, DIRECTIONS
from detente.rules.amendment import changed_headings
from detente.rules.lint_fields import RESTRICTING, STOPPING, covered_kinds, named_exempt
from detente.rules.lint_scope import overlapping
from detente.rules.standing import Order, Standing

__all__ = ["amending", "with_sayings"]

_HOUR_MS = 3_600_000
#: How long a partner has to acknowledge, by the urgency with which it is told.
_ACKNOWLEDGE_MS = {"flash": _HOUR_MS, "immediate": 24 * _HOUR_MS}


def with_sayings(directive: Directive, standing: Standing) -> Directive:
    """The directive with every heading that was left open."""
    terms = standing.agreement
    if terms is None:
        return directive
    halts = directive.does == "halt"
    scope = directive.scope
    if scope.direction == ANY:
        scope = replace(scope, direction=Choice.of(*DIRECTIONS))
    said = replace(
        directive,
        scope=scope,
        form=directive.form or ("emergency-halt" if halts else "service-order"),
        addressees=directive.addressees or _addressees(directive, terms),
        acts=directive.acts or _rulings(directive),
        exemptions=directive.exemptions or _exemptions(directive, terms),
        in_transit=directive.in_transit
        or InTransit(unreceipted="receipt-decides", abroad="keep", derived="keep"),
        held=directive.held or _held(directive, terms),
        start_on=directive.start_on or ("enactment" if directive.start_ms is None else None),
        onward=directive.onward or terms.onward,
        notice=directive.notice or _notice(directive, terms),
        language=directive.language or terms.language,
        # A halt of everything is what a halt is for; it ends by itself within a day.
        acknowledged=tuple(sorted({*directive.acknowledged, *(("L16",) if halts else ())})),
    )
    named = {(one.issuer, one.id): one for one in said.unchanged}
    for order in overlapping(said, standing):
        one = OrderRef(issuer=order.directive.issuer, id=order.directive.id)
        named.setdefault((one.issuer, one.id), one)
    return replace(said, unchanged=tuple(sorted(named.values())[:1000]))


def _addressees(directive: Directive, terms: Agreement) -> Addressees:
    member = terms.member(directive.issuer)
    units = member.units if member else ()
    named = directive.scope.unit.only or ()
    if named and all(unit in units for unit in named):
        return Addressees(units=tuple(sorted(named)))
    return Addressees(units=tuple(sorted(units)), all_at_ms=directive.drafted_ms)


def _rulings(directive: Directive) -> Rulings:
    """What happens by itself: the flow is stopped whole or goes on; what people do besides is not
    touched unless the drafter says so."""
    way: Ruling = "no" if directive.does in STOPPING else "yes"
    return Rulings(
        publish="no-change",
        release=way,
        answer="no-change",
        push=way,
        pull=way,
        view=way,
        liaison="no-change",
        joint="no-change",
    )


def _exemptions(directive: Directive, terms: Agreement) -> Exemptions:
    return Exemptions(safety_of_life="stopped" if named_exempt(directive, terms) else "open")


def _held(directive: Directive, terms: Agreement) -> tuple[HeldRule, ...]:
    return tuple(
        HeldRule(kind=kind.id, then=kind.held, after_ms=kind.expire_after_ms)
        for kind in covered_kinds(directive, terms)
    )


def _notice(directive: Directive, terms: Agreement) -> PartnerNotice:
    urgency = "flash" if directive.does == "halt" else "immediate"
    return PartnerNotice(
        to=tuple(
            member.party
            for member in terms.members
            if member.party != directive.issuer and directive.scope.party.has(member.party)
        ),
        when="at" if directive.does in RESTRICTING else "after",
        precedence="flash" if urgency == "flash" else "immediate",
        acknowledge_within_ms=_ACKNOWLEDGE_MS[urgency],
    )


def amending(new: Directive, old: Order) -> Directive:
    """``new``, as the amendment of ``old`` with every heading marked as it is."""
    changed = changed_headings(old.directive, new)
    headings = tuple(
        Heading(name=name, change="changed" if name in changed else "no-change")
        for name in HEADINGS
    )
    amends = Amendment(id=old.directive.id, digest=old.digest, headings=headings)
    return replace(new, amends=amends)
