"""Lint of the scope: which flows are meant, how many those are, and what else stands on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from detente.model import Agreement, Directive, Scope, meet, meets
from detente.model.scope import ANY, DIMENSIONS, Choice
from detente.rules.finding import Facts, Finding, values_of
from detente.rules.lint_fields import RESTRICTING
from detente.rules.standing import Order, Standing, conditions_of, moderates_of, stops_of
from detente.rules.widening import widens

__all__ = ["SCOPES", "overlapping"]

_MIRROR = {"in": "out", "out": "in"}


def _direction(directive: Directive, _facts: Facts) -> Iterator[Finding]:
    """L03: which way, said outright; both ways too."""
    if directive.scope.direction == ANY:
        yield Finding(code="L03", case="none", severity="error", path="$.scope.direction")


def _part(directive: Directive, _facts: Facts) -> Iterator[Finding]:
    """L04: kinds or purposes, where only a part can be meant."""
    scope = directive.scope
    if scope.kind != ANY or scope.purpose != ANY or directive.purposes or directive.remains:
        return
    said = directive.subjects
    if said is not None and (said.areas or said.vessels or said.cases or said.persons):
        yield Finding(code="L04", case="subjects", severity="error", path="$.scope.kind")


def _effect(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L16: an order that meets nothing, or everything there is."""
    if directive.does not in RESTRICTING:
        return
    boxes = (
        *stops_of(directive),
        *moderates_of(directive),
        *(one.scope for one in conditions_of(directive)),
    )
    terms = facts.terms
    exempt = {kind.id for kind in terms.kinds if kind.exempt} if terms else set()
    if any(_is_total(box, exempt) for box in boxes):
        yield Finding(code="L16", case="total", severity="warning", path="$.scope")
    if terms is not None and not any(_meets_flow(box, directive, terms) for box in boxes):
        yield Finding(code="L16", case="empty", severity="warning", path="$.scope")


def _is_total(box: Scope, exempt: set[str]) -> bool:
    """True if nothing but the direction limits it; what is exempt stays open anyway."""
    free = box.kind.excluding is not None and set(box.kind.excluding) <= exempt
    return all(
        getattr(box, name) == ANY or (name == "kind" and free)
        for name in DIMENSIONS
        if name not in ("act", "direction")
    )


def _meets_flow(box: Scope, directive: Directive, terms: Agreement) -> bool:
    issuer = directive.issuer
    named = directive.scope.kind
    if not any(
        box.kind.has(kind.id) and (not kind.exempt or named.names(kind.id)) for kind in terms.kinds
    ):
        return False
    if terms.purpose_required and not any(box.purpose.has(one.id) for one in terms.purposes):
        return False
    for collection in terms.collections:
        if not box.collection.has(collection.name):
            continue
        sender = terms.member(collection.sender)
        units = sender.units if sender else ()
        if units and not any(box.unit.has(unit) for unit in units):
            continue
        if collection.sender == issuer:
            partners = [one for one in collection.readers if one != issuer]
            way = "out"
        elif issuer in collection.readers:
            partners, way = [collection.sender], "in"
        else:
            continue
        if box.direction.has(way) and any(box.party.has(one) for one in partners):
            return True
    return False


def overlapping(directive: Directive, standing: Standing) -> tuple[Order, ...]:
    """The orders of either side, in force or to come, that keep back something of the same flow,
    besides those that it supersedes (R11)."""
    mine = directive.issuer
    return tuple(
        order
        for order in (*standing.orders, *standing.coming)
        if (order.directive.issuer, order.directive.id) != (mine, directive.id)
        and not (order.directive.issuer == mine and order.directive.id in directive.supersedes)
        and any(
            _same_flow(directive, order, box)
            for box in (*order.stops, *order.moderates, *(c.scope for c in order.conditions))
        )
    )


def _same_flow(directive: Directive, order: Order, box: Scope) -> bool:
    if order.directive.issuer == directive.issuer:
        return meets(directive.scope, box)
    # What the partner calls out is in here, and the other of each is oneself.
    if not box.party.has(directive.issuer):
        return False
    if not directive.scope.party.has(order.directive.issuer):
        return False
    ways = {_MIRROR[way] for way in box.direction.only or ("in", "out")}
    mirrored = replace(box, party=ANY, direction=Choice.of(*ways))
    return meet(replace(directive.scope, party=ANY), mirrored) is not None


def _relations(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L11: to every order over the same flow it is said whether it ends or stays.

    A halt leaves all others as they are, by its form. What only keeps back is not kept up by an
    order that took force after it was drafted: nobody waits for a stop because of another stop.
    """
    standing = facts.standing
    if standing is None or directive.does == "halt":
        return
    named = {(one.issuer, one.id) for one in directive.unchanged}
    lets_go = directive.does in ("resume", "revoke") or widens(directive, standing)
    missing = [
        f"{order.directive.issuer} {order.directive.id}"
        for order in overlapping(directive, standing)
        if (order.directive.issuer, order.directive.id) not in named
        and (lets_go or order.since_ms <= directive.drafted_ms)
    ]
    if missing:
        yield Finding(
            code="L11",
            case="unsaid",
            severity="error",
            path="$.unchanged",
            values=values_of(orders=missing),
        )


SCOPES: tuple[Callable[[Directive, Facts], Iterator[Finding]], ...] = (
    _direction,
    _part,
    _effect,
    _relations,
)
