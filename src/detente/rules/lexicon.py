"""Lexicon: the words of a language for what the closed lists of an order hold, and how they are
found in a text.

A lexicon is data (``detente/texts``). Letters are compared without case and accents, whole words
only; the place of what is found is told, so that it can be quoted.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator

import msgspec

__all__ = ["TEXT_MAX", "Lexicon", "Quote", "find", "names_in", "plain"]

#: Characters of a text that is looked through.
TEXT_MAX = 20_000

Phrases = tuple[str, ...]


class Quote(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Words of a text with their place in it (characters, the end excluded)."""

    start: int
    end: int
    text: str


class Lexicon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``verbs``, ``directions`` and ``acts``: what is in the closed lists, by its name there.

    What is in none: ``other_acts``, ``everybody``. ``while_`` and ``until`` open a condition or an
    end; ``from_`` a start; ``at_once`` is a start. ``negations`` stand before a verb; ``part`` says
    that not all is meant; ``adjectives`` mean nothing without a definition; ``exercise`` and
    ``no_exercise`` say what an order is.
    """

    verbs: dict[str, Phrases]
    directions: dict[str, Phrases]
    acts: dict[str, Phrases]
    other_acts: Phrases
    everybody: Phrases
    while_: Phrases = msgspec.field(name="while")
    until: Phrases
    from_: Phrases = msgspec.field(name="from")
    at_once: Phrases
    negations: Phrases
    part: Phrases
    adjectives: Phrases
    exercise: Phrases
    no_exercise: Phrases


@functools.lru_cache(maxsize=64)
def plain(text: str) -> str:
    """The text without case and accents, letter for letter: places stay what they are."""
    return "".join(
        (unicodedata.normalize("NFD", one)[:1] or one).casefold()[:1] or one for one in text
    )


def find(phrases: Iterable[str], text: str) -> Iterator[Quote]:
    """Every place where one of the phrases stands as whole words; the longest there."""
    listed = sorted((plain(one) for one in phrases), key=len, reverse=True)
    if not listed:
        return
    spaced = (re.escape(one).replace(r"\ ", r"\s+") for one in listed)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)")
    for match in pattern.finditer(plain(text)):
        start, end = match.span()
        yield Quote(start=start, end=end, text=text[start:end])


def names_in(names: Iterable[str], text: str) -> Iterator[tuple[str, Quote]]:
    """Names that stand in the text as they are written: a short one in other letters is a word."""
    for name in sorted(set(names)):
        for match in re.finditer(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            yield name, Quote(start=match.start(), end=match.end(), text=match.group())
