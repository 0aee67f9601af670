"""Amendment: an order that carries on another, later to end or in other words.

It is a whole order, so nobody has to lay two side by side; and it says for every heading whether
it changes, so nobody has to wonder what was left out (R4). Who amends needs the power of what the
order does, as if it were given anew.
"""

from __future__ import annotations

from detente.errors import Conflict, Invalid, NotAuthorised
from detente.model import HEADINGS, Directive
from detente.rules.standing import Order, Standing

__all__ = ["MAY_CHANGE", "changed_headings", "check_amendment", "same_effect"]

_TEXTS = frozenset(
    (
        "form",
        "legal-basis",
        "issuer",
        "start",
        "public-text",
        "reason",
        "risk",
        "definitions",
        "contact",
    )
)
#: What may change under each verb. A correction is of words only: what people do by them stays.
MAY_CHANGE: dict[str, frozenset[str]] = {
    "correct": _TEXTS,
    "extend": _TEXTS | {"end", "review", "notice"},
}


def changed_headings(old: Directive, new: Directive) -> frozenset[str]:
    """The headings under which the two say different things."""
    return frozenset(
        name
        for name, fields in HEADINGS.items()
        if any(getattr(old, field) != getattr(new, field) for field in fields)
    )


def same_effect(old: Directive, new: Directive) -> bool:
    """True if both do the same to every item, but for how long."""
    return all(
        getattr(old, field) == getattr(new, field)
        for field in ("does", "exercise", "scope", "remains", "conditions", "purposes")
    )


def check_amendment(directive: Directive, standing: Standing) -> None:
    """An order that extends or corrects names the order it amends, repeats every heading, and
    changes only what its verb may change. No other order amends."""
    amends = directive.amends
    if directive.verb not in MAY_CHANGE:
        if amends is not None or directive.carries is not None:
            raise Invalid(
                "directive.amends",
                f"Expected `amends` and `carries` only to extend or correct, got {directive.verb}.",
                path="$.amends",
            )
        return
    if amends is None or directive.carries is None:
        raise Invalid(
            "directive.incomplete",
            f"Expected amends and carries with {directive.verb}, got none.",
            path="$.amends",
        )
    old = standing.order(directive.issuer, amends.id)
    if old is None or old.digest != amends.digest:
        raise Conflict(
            "directive.amended-unknown",
            f"Expected an order of {directive.issuer} in force, by its digest, got {amends.id}.",
            path="$.amends",
        )
    if directive.supersedes != (amends.id,):
        raise Invalid(
            "directive.amends",
            f"Expected to supersede what is amended ({amends.id}) and nothing else, got "
            f"{', '.join(directive.supersedes) or 'none'}.",
            path="$.supersedes",
        )
    _check_headings(directive, old.directive)
    _check_change(directive, old)


def _check_headings(directive: Directive, old: Directive) -> None:
    """Every heading once, in the fixed order, and as true as it is complete."""
    headings = directive.amends.headings if directive.amends else ()
    if tuple(one.name for one in headings) != tuple(HEADINGS):
        raise Invalid(
            "directive.amendment-partial",
            f"Expected every heading in the fixed order ({', '.join(HEADINGS)}), got "
            f"{len(headings)} others.",
            hint="Draft it with `detente directive draft --amends`.",
            path="$.amends.headings",
        )
    changed = changed_headings(old, directive)
    for one in headings:
        if (one.change == "changed") != (one.name in changed):
            raise Invalid(
                "directive.amendment-heading",
                f"Expected {'changed' if one.name in changed else 'no-change'} beside {one.name}, "
                f"got {one.change}.",
                path="$.amends.headings",
            )


def _check_change(directive: Directive, old: Order) -> None:
    verb, before = directive.verb, old.directive
    more = sorted(changed_headings(before, directive) - MAY_CHANGE[verb])
    if more or not same_effect(before, directive):
        raise Invalid(
            "directive.amendment-effect",
            f"Expected to {verb} {before.id} with the effect that it has, got changes of "
            f"{', '.join(more) or 'what it carries on'}.",
            hint="Give a new order that supersedes it.",
            path=f"$.{HEADINGS[more[0]][0]}" if more else "$.carries",
        )
    if verb == "correct":
        return
    if directive.does == "halt":
        # What one officer may do for a day would else go on from day to day (R8).
        raise NotAuthorised(
            "directive.halt-again",
            "Expected a quorum's order after the halt, got the halt extended.",
            hint="Draft a suspension.",
        )
    longer = before.end_ms is not None and (
        directive.end_ms is None or directive.end_ms > before.end_ms
    )
    later = directive.end_ms == before.end_ms and (directive.review_ms or 0) > (
        before.review_ms or 0
    )
    if not (longer or later):
        raise Invalid(
            "directive.extension",
            f"Expected a later end or review than that of {before.id}, got none.",
            path="$.end_ms",
        )
