"""Lint: what in a draft can be misread (L01 to L20).

A pure function of the draft and of what the caller knows: without a standing only the form is
looked at, which is what an officer can do offline. That the act counts at all (quorum, window,
agreement) is asked by ``rules.authority``; that its words are true is asked here. A finding is a
value; whoever signs or enacts refuses what is ``blocking``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from detente.errors import Invalid
from detente.model import Directive
from detente.rules.finding import Facts, Finding, blocking, values_of
from detente.rules.lint_fields import FIELDS
from detente.rules.lint_scope import SCOPES
from detente.rules.lint_words import WORDS

__all__ = ["check_lint", "lint"]

Check = Callable[[Directive, Facts], Iterator[Finding]]
_CHECKS: tuple[Check, ...] = (*FIELDS, *SCOPES, *WORDS)


def lint(directive: Directive, facts: Facts) -> tuple[Finding, ...]:
    """Everything in the draft that can be misread, by code and place.

    Where words of a statement are marked as a gap, that is said in place of "missing": what was
    said, and that it is in no list, is more than that nothing was.
    """
    gaps = [
        Finding(
            code=gap.code,
            case=gap.case,
            severity="error",
            path=gap.path,
            values=values_of(quote=gap.quote.text, start=gap.quote.start, end=gap.quote.end)
            if gap.quote
            else {},
        )
        for gap in facts.gaps
    ]
    gone = {gap.code for gap in facts.gaps}
    found = [one for check in _CHECKS for one in check(directive, facts)]
    found = [one for one in found if not (one.case == "none" and one.code in gone)]
    return tuple(sorted((*gaps, *found), key=lambda one: (one.code, one.case, one.path)))


def check_lint(directive: Directive, facts: Facts) -> None:
    """Refuse a directive with errors, or with warnings that it does not acknowledge by name."""
    found = blocking(lint(directive, facts), directive)
    if found:
        listed = ", ".join(f"{one.code} ({one.case}, {one.path})" for one in found[:20])
        raise Invalid(
            "directive.lint",
            f"Expected an order that cannot be misread, got {listed}.",
            hint="`detente directive lint FILE` explains each and what to do about it.",
            path=found[0].path,
        )
