"""Finding: one thing in a draft that can be misread, and what the lint is told to look with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from detente.model import Agreement, Directive
from detente.rules.lexicon import Lexicon, Quote
from detente.rules.standing import Standing

__all__ = ["CODES", "Facts", "Finding", "Gap", "blocking", "say", "values_of"]

Severity = Literal["error", "warning"]
#: Every code there is; ``domain`` words stand in the texts.
CODES: tuple[str, ...] = tuple(f"L{number:02d}" for number in range(1, 21))


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """``code`` is stable; ``case`` tells which of its sentences is meant, and ``values`` fill that.

    An error stops signing; a warning stops it until the document acknowledges the code by name.
    """

    code: str
    case: str
    severity: Severity
    path: str
    values: dict[str, str] = {}

    @property
    def key(self) -> str:
        """The key of its texts."""
        return f"{self.code}.{self.case}"


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Words of a public statement that are in none of the closed lists: never guessed. Without a
    quote, words that are not there at all."""

    code: str
    case: str
    path: str
    quote: Quote | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller knows. Without a standing or an agreement only the form is looked at; without
    lexicons, no words. ``at_ms``: the instant, if it matters."""

    standing: Standing | None = None
    agreement: Agreement | None = None
    at_ms: int | None = None
    lexicons: Mapping[str, Lexicon] = {}
    gaps: tuple[Gap, ...] = ()

    @property
    def terms(self) -> Agreement | None:
        """The agreement, if any is known."""
        return self.standing.agreement if self.standing else self.agreement


def blocking(findings: Iterable[Finding], directive: Directive) -> tuple[Finding, ...]:
    """Those that keep the directive from being signed or enacted."""
    return tuple(
        one for one in findings if one.severity == "error" or one.code not in directive.acknowledged
    )


def values_of(**values: object) -> dict[str, str]:
    """What fills a sentence; a long list is cut."""
    return {
        name: ", ".join(map(str, [*value[:10], "…"] if len(value) > 10 else value))
        if isinstance(value, list | tuple)
        else str(value)
        for name, value in values.items()
    }


#: Values that are names of closed lists: a reader gets them in their own words. All others are
#: told as they stand.
_LISTED = frozenset("act agreed facet facets headings rule ruling verb wanted".split())


def say(finding: Finding, texts: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    """The explanation and the remedy of a finding, from the texts of a language."""
    said, words = texts[finding.key], texts["words"]
    values = {
        name: ", ".join(words.get(one, one) for one in value.split(", "))
        if name in _LISTED
        else value
        for name, value in finding.values.items()
    }
    return said["says"].format_map(values), said["remedy"].format_map(values)
