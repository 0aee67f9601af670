"""Widening: does an order leave open what one that it supersedes had stopped?

Stopping is cheap and widening is dear, so it is decided exactly, by the algebra of scopes.
"""

from __future__ import annotations

from collections.abc import Iterable

from detente.errors import Invalid
from detente.model import Choice, Directive, Scope, outside_all, without
from detente.rules.standing import Order, Standing, conditions_of, moderates_of, stops_of

__all__ = ["check_whole", "widens"]

#: Under this name the review of single items stands among the templates of conditions: like a
#: condition it may become a stop or stay, and nothing else. No template is called so.
_REVIEW = ""


def widens(directive: Directive, standing: Standing) -> bool:
    """True if the directive leaves open anything that one it supersedes had stopped or
    conditioned. Exact for all values, also those nobody has used yet (``model.scope``).

    What is exempt for safety of life is stopped only by an order that names it, so one that does
    not name it opens it (R28).
    """
    stops, conditions = _held_by(directive, standing)
    for old_id in directive.supersedes:
        old = standing.order(directive.issuer, old_id)
        if old is None:
            continue
        # A stop may become another stop of the same cells; nothing weaker will do.
        old_stops, old_conditions = _held_by(old.directive, standing)
        if outside_all(old_stops, stops):
            return True
        for template, scope in old_conditions:
            same = tuple(one for name, one in conditions if name == template)
            if outside_all((scope,), stops + same):
                return True
        # Whoever ends a stop sooner opens it: one without an end outlasts every end.
        if old.directive.does != "halt" and _ends_before(directive.end_ms, old.until_ms):
            return True
    return False


def _held_by(
    directive: Directive, standing: Standing
) -> tuple[tuple[Scope, ...], tuple[tuple[str, Scope], ...]]:
    """What a directive really stops, and what it lets pass under which template or by review: its
    boxes without the exempt kinds that it does not name."""
    kinds = standing.agreement.kinds if standing.agreement else ()
    exempt = [kind.id for kind in kinds if kind.exempt]

    def held(boxes: Iterable[Scope], named: Choice) -> tuple[Scope, ...]:
        free = [kind for kind in exempt if not named.names(kind)]
        if not free:
            return tuple(boxes)
        return tuple(part for box in boxes for part in without(box, Scope(kind=Choice.of(*free))))

    conditions = tuple(
        (one.template, part)
        for one in conditions_of(directive)
        for part in held((one.scope,), one.scope.kind)
    )
    conditions += tuple(
        (_REVIEW, part) for part in held(moderates_of(directive), directive.scope.kind)
    )
    return held(stops_of(directive), directive.scope.kind), conditions


def _ends_before(end_ms: int | None, until_ms: int | None) -> bool:
    return end_ms is not None and (until_ms is None or end_ms < until_ms)


def check_whole(directive: Directive, old: Order) -> None:
    """What lets flow again must speak of all that it ends: else its words would say less than
    what happens, for an order that is superseded is over as a whole."""
    ended = (*old.stops, *old.moderates, *(one.scope for one in old.conditions))
    if outside_all(ended, (directive.scope,)):
        raise Invalid(
            "directive.part",
            f"Expected a scope that covers all of {old.directive.id}, which it ends, got a part.",
            hint="To resume a part, order a stop of the rest that supersedes it.",
            path="$.scope",
        )
