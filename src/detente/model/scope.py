"""Scope: which part of a flow is meant, and the algebra over it (R22).

A *cell* is one point: a party, a unit, a direction, a collection, a kind, a marking, a purpose
and an act. A *choice* says which values of one dimension are meant: all, only some, or all
except some. A *scope* is a box: the cells whose every value lies in the choice of its dimension.

Boxes are closed under meeting; taking one box from another leaves at most eight boxes. So
"does the new order leave open anything that the old one stopped?" is answered exactly, also for
values nobody has used yet.

Standpoint: ``party`` is the partner, ``unit`` the unit that sends, ``direction`` is seen by the
party that issues the scope (``out``: it sends).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from detente.errors import Invalid
from detente.model.names import Record

__all__ = [
    "ACTS",
    "ANY",
    "DIMENSIONS",
    "DIRECTIONS",
    "EVERYTHING",
    "Cell",
    "Choice",
    "Scope",
    "covers",
    "meet",
    "meets",
    "outside_all",
    "without",
]

DIRECTIONS = ("in", "out")
#: Ways in which an item can leave: fetched by the partner, sent to it, written to a file for
#: it, or shown to it without a copy.
ACTS = ("export", "pull", "push", "view")
#: Dimensions whose values are a closed list; elsewhere new values may appear at any time, so a
#: choice "all except …" is never empty there.
_CLOSED = {"direction": frozenset(DIRECTIONS), "act": frozenset(ACTS)}

Values = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=300)], ...],
    msgspec.Meta(min_length=1, max_length=1000),
]


class Choice(Record, frozen=True, kw_only=True):
    """Values of one dimension: all (both fields absent), ``only`` some, or all ``except`` some.

    The lists are sorted and without repeats, so that one choice has one form.
    """

    only: Values | None = None
    excluding: Values | None = msgspec.field(default=None, name="except")

    def __post_init__(self) -> None:
        if self.only is not None and self.excluding is not None:
            raise ValueError("Expected `only` or `except`, got both")
        for values in (self.only, self.excluding):
            if values is not None and list(values) != sorted(set(values)):
                raise ValueError("Expected sorted values without repeats, got another order")

    @staticmethod
    def of(*values: str) -> Choice:
        """Only these values."""
        return Choice(only=tuple(sorted(set(values))))

    @staticmethod
    def but(*values: str) -> Choice:
        """All values except these."""
        return Choice(excluding=tuple(sorted(set(values))))

    def has(self, value: str) -> bool:
        """True if ``value`` is one of those meant."""
        if self.only is not None:
            return value in self.only
        return self.excluding is None or value not in self.excluding

    def names(self, value: str) -> bool:
        """True if ``value`` is named outright, not merely not excluded."""
        return self.only is not None and value in self.only


ANY = Choice()


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a flow, seen by the party whose scope is asked."""

    party: str
    unit: str
    direction: str
    collection: str
    kind: str
    marking: str
    purpose: str
    act: str


class Scope(Record, frozen=True, kw_only=True):
    """A box of cells; a dimension left out means all its values."""

    party: Choice = ANY
    unit: Choice = ANY
    direction: Choice = ANY
    collection: Choice = ANY
    kind: Choice = ANY
    marking: Choice = ANY
    purpose: Choice = ANY
    act: Choice = ANY

    def __post_init__(self) -> None:
        # A dimension in which all is meant has one form, left out: msgspec leaves out a default
        # that is the same object, not one that is equal.
        for dimension in self.__struct_fields__:
            if getattr(self, dimension) == ANY:
                msgspec.structs.force_setattr(self, dimension, ANY)
        for dimension, domain in _CLOSED.items():
            choice: Choice = getattr(self, dimension)
            unknown = set(choice.only or choice.excluding or ()) - domain
            if unknown:
                raise ValueError(
                    f"Expected {dimension} among {sorted(domain)}, got {sorted(unknown)}"
                )
            if choice.excluding is not None and set(choice.excluding) == domain:
                raise ValueError(f"Expected a {dimension} that leaves a value, got none")


EVERYTHING = Scope()
DIMENSIONS: tuple[str, ...] = Scope.__struct_fields__


def covers(scope: Scope, cell: Cell) -> bool:
    """True if the cell lies in the scope."""
    return all(getattr(scope, name).has(getattr(cell, name)) for name in DIMENSIONS)


def meet(first: Scope, second: Scope) -> Scope | None:
    """The cells that lie in both, or None where there are none."""
    choices: dict[str, Choice] = {}
    for name in DIMENSIONS:
        common = _meet(name, getattr(first, name), getattr(second, name))
        if common is None:
            return None
        choices[name] = common
    return Scope(**choices)


def meets(first: Scope, second: Scope) -> bool:
    """True if some cell lies in both."""
    return meet(first, second) is not None


def without(first: Scope, second: Scope) -> tuple[Scope, ...]:
    """The cells of ``first`` that are not in ``second``, as boxes that do not overlap."""
    if not meets(first, second):
        return (first,)
    left: list[Scope] = []
    rest = {name: getattr(first, name) for name in DIMENSIONS}
    for name in DIMENSIONS:
        outside = _minus(name, rest[name], getattr(second, name))
        if outside is not None:
            left.append(Scope(**{**rest, name: outside}))
        inside = _meet(name, rest[name], getattr(second, name))
        if inside is None:  # cannot be: the boxes meet
            raise Invalid("scope.disjoint", "Expected boxes that meet, got disjoint ones.")
        rest[name] = inside
    return tuple(left)


def outside_all(scopes: tuple[Scope, ...], others: tuple[Scope, ...]) -> tuple[Scope, ...]:
    """The cells of ``scopes`` that lie in none of ``others``; empty if all are covered."""
    remaining = scopes
    for other in others:
        remaining = tuple(piece for scope in remaining for piece in without(scope, other))
    return remaining


def _meet(dimension: str, first: Choice, second: Choice) -> Choice | None:
    if first.only is None and second.only is None:
        return _but(dimension, set(first.excluding or ()) | set(second.excluding or ()))
    named, other = (first, second) if first.only is not None else (second, first)
    return _of(value for value in named.only or () if other.has(value))


def _minus(dimension: str, first: Choice, second: Choice) -> Choice | None:
    if first.only is not None:
        return _of(value for value in first.only if not second.has(value))
    gone = set(first.excluding or ())
    if second.only is not None:
        return _but(dimension, gone | set(second.only))
    return _of(value for value in second.excluding or () if value not in gone)


def _of(values: Iterable[str]) -> Choice | None:
    kept = tuple(sorted(set(values)))
    return Choice(only=kept) if kept else None


def _but(dimension: str, values: set[str]) -> Choice | None:
    if not values:
        return ANY
    domain = _CLOSED.get(dimension)
    if domain is not None:
        return _of(domain - values)
    return Choice(excluding=tuple(sorted(values)))
