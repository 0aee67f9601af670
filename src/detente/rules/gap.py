"""Gap: something that an agreement leaves open, contradicts, or can never do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Literal

import msgspec

__all__ = ["Gap", "Level", "listed", "missing", "twice", "weak", "wrong"]

#: ``error``: it can never work or contradicts itself; ``warning``: it works, and somebody will
#: be sorry.
Level = Literal["error", "warning"]
_NAMED_MAX = 5


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One gap: a stable code, where it is (keys as they are written), what is wrong in plain
    words, and what would mend it."""

    level: Level
    code: str
    path: str
    words: str
    remedy: str


def wrong(code: str, path: str, words: str, remedy: str) -> Gap:
    """A gap with which the agreement cannot be signed."""
    return Gap(level="error", code=code, path=path, words=words, remedy=remedy)


def weak(code: str, path: str, words: str, remedy: str) -> Gap:
    """A gap that the parties may mean; they are told of it."""
    return Gap(level="warning", code=code, path=path, words=words, remedy=remedy)


def twice(values: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Place and value of each that was there before."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index, value
        seen.add(value)


def missing(values: Iterable[str], known: Collection[str]) -> Iterator[tuple[int, str]]:
    """Place and value of each that is not known, in proportion to both."""
    if not isinstance(known, Set | Mapping):
        known = frozenset(known)
    return ((index, value) for index, value in enumerate(values) if value not in known)


def listed(names: Sequence[str]) -> str:
    """Names for people: the first few, and how many more there are."""
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
