"""Difference: one thing that two versions of an agreement say differently, and where it leads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

__all__ = ["Difference", "Effect", "by_order", "by_set", "neither", "note"]

Effect = Literal["widens", "narrows", "neither"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: whether it widens or narrows what may flow, or neither; where it stands; and
    what it is, in plain words."""

    effect: Effect
    path: str
    words: str


def note(path: str, words: str, *, widens: bool) -> Difference:
    """A difference that widens or narrows."""
    return Difference(effect="widens" if widens else "narrows", path=path, words=words)


def neither(path: str, words: str) -> Difference:
    """A difference that changes nothing of what may flow."""
    return Difference(effect="neither", path=path, words=words)


def by_set(
    path: str, what: str, old: Iterable[str], new: Iterable[str], *, more_widens: bool
) -> Iterator[Difference]:
    """What came and what went, where having more of it widens, or narrows."""
    before, after = dict.fromkeys(old), dict.fromkeys(new)
    for name in after:
        if name not in before:
            yield note(path, f"{what} {name} is added.", widens=more_widens)
    for name in before:
        if name not in after:
            yield note(path, f"{what} {name} is gone.", widens=not more_widens)


def by_order(
    path: str,
    what: str,
    old: tuple[float, str],
    new: tuple[float, str],
    *,
    more_widens: bool = True,
) -> Iterator[Difference]:
    """A change of a value that is compared by its rank; told in its words. The same rank under
    other words changes nothing."""
    if old[0] != new[0]:
        words = f"{what}: {new[1]} in place of {old[1]}."
        yield note(path, words, widens=(new[0] > old[0]) == more_widens)
