"""Texts: the words of the lint, of the read-back and of the lexicons, in every language there is.

They are files of the package (``detente/texts``), one for each use and language, read once. What
says something to a reader stands in them and not in the code, so that a language is added by adding
files.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from detente.errors import Invalid
from detente.rules.finding import Finding, say
from detente.rules.lexicon import Lexicon
from detente.rules.readback import Texts

__all__ = ["LANGUAGES", "Told", "lexicons", "lint_texts", "read_back_texts", "told"]

LANGUAGES = ("en", "es")

T = TypeVar("T")


def _read(use: str, language: str, form: type[T]) -> T:
    if language not in LANGUAGES:
        raise Invalid(
            "language.unknown",
            f"Expected one of {', '.join(LANGUAGES)}, got {language[:10]!r}.",
        )
    place = importlib.resources.files("detente").joinpath("texts", f"{use}.{language}.json")
    return msgspec.json.decode(place.read_bytes(), type=form)


@functools.cache
def lint_texts(language: str) -> dict[str, dict[str, str]]:
    """The explanation and the remedy of every finding, and the title of every code."""
    return _read("lint", language, dict[str, dict[str, str]])


@functools.cache
def read_back_texts(language: str) -> Texts:
    """The words of the read-back and of the card."""
    return _read("readback", language, Texts)


@functools.cache
def lexicons() -> dict[str, Lexicon]:
    """The lexicon of every language."""
    return {language: _read("lexicon", language, Lexicon) for language in LANGUAGES}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A finding in a reader's language; ``acknowledged``: the document says that it is meant."""

    code: str
    case: str
    title: str
    severity: str
    acknowledged: bool
    path: str
    says: str
    remedy: str


def told(findings: Iterable[Finding], acknowledged: Sequence[str], language: str) -> list[Told]:
    """Findings with their words."""
    texts = lint_texts(language)
    found = []
    for one in findings:
        says, remedy = say(one, texts)
        found.append(
            Told(
                code=one.code,
                case=one.case,
                title=texts[one.code]["title"],
                severity=one.severity,
                acknowledged=one.severity == "warning" and one.code in acknowledged,
                path=one.path,
                says=says,
                remedy=remedy,
            )
        )
    return found
