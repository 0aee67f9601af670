"""Grant and stay: the two kinds of range a feed is made of, and their geometry.

Nothing here knows outcomes or marks; ``rules.fate`` and ``rules.feed`` have the rules. Ranges are
half open, over sequence numbers, and may hold no entry of their handlings at all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

__all__ = [
    "OPEN",
    "START",
    "Grant",
    "Grounds",
    "Late",
    "Point",
    "Span",
    "Stay",
    "StayState",
    "carved",
    "cut_at",
    "first_after",
    "first_reaching",
    "joined",
    "merged",
    "place",
    "point_of",
    "swept",
    "time_of",
    "without",
]

#: The end of a range that still grows. Greater than any sequence number, so that ``min(b, end)``
#: is always right; within the integers JSON keeps exactly.
OPEN: Final = 2**53 - 1

StayState = Literal["held", "under review", "expired", "refused", "returned"]

#: What a person has to pass before an entry goes: a mark for each reason.
Grounds = frozenset[str]

#: A range of one handling: (handling, a, b).
Span = tuple[int, int, int]


class Point(msgspec.Struct, frozen=True, order=True):
    """A place in every feed of a collection: all that is readable at ``us`` or earlier lies
    behind it. ``seq`` is the first entry added after ``us`` (for a late grant that is its ``at``),
    so that live and late grants can both be compared without asking the collection."""

    us: int
    seq: int


#: Before everything.
START: Final = Point(-1, 0)


class Late(msgspec.Struct, frozen=True):
    """What makes a grant late: given when the collection ended at ``at``, its entries are
    readable at ``shift_us + seq``. ``reviewed``: given one by one, by a person, who passed what
    is in ``passed`` and nothing else."""

    at: int
    shift_us: int
    reviewed: bool = False
    passed: Grounds = frozenset()


class Grant(msgspec.Struct, frozen=True):
    """Entries ``a <= seq < b`` of ``handlings`` handed over; live if ``late`` is None.

    A slice of a grant gives its entries at the same times as the whole, so a page is recorded as
    the slices it served.
    """

    a: int
    b: int
    handlings: frozenset[int]
    late: Late | None = None


class Stay(msgspec.Struct, frozen=True):
    """Entries ``a <= seq < b`` of one handling kept back: waiting, or gone for good."""

    handling: int
    a: int
    b: int
    state: StayState


# --- time --------------------------------------------------------------------------------------


def time_of(grant: Grant, seq: int, added_us: int) -> int:
    """The feed time of an entry of this grant, in microseconds: what a reader sees as *added*."""
    return added_us if grant.late is None else grant.late.shift_us + seq


def point_of(grant: Grant, seq: int, added_us: int) -> Point:
    """The point just after an entry of this grant: the next cursor, and what ``served`` wants."""
    if grant.late is None:
        return Point(added_us, seq + 1)
    return Point(grant.late.shift_us + seq, grant.late.at)


def first_after(grant: Grant, point: Point) -> int:
    """The first entry of the grant that lies after the point; ``grant.b`` if none does."""
    first = point.seq if grant.late is None else point.us - grant.late.shift_us + 1
    return min(max(first, grant.a), grant.b)


def place(grant: Grant) -> tuple[int, int, int]:
    """Sorts grants by time. A late grant comes after every entry the collection had when it was
    given, and before every later one: the clock was moved past it."""
    if grant.late is None:
        return grant.a, 1, 0
    return grant.late.at, 0, grant.late.shift_us + grant.a


def first_reaching(grants: Sequence[Grant], point: Point) -> int:
    """The index of the first grant that has a place after the point."""
    return bisect_left(grants, x=True, key=lambda grant: first_after(grant, point) < grant.b)


# --- ranges ------------------------------------------------------------------------------------


def without(grant: Grant, out: Sequence[Span]) -> list[Grant]:
    """The grant less these ranges (one for a handling at most, each inside it)."""
    if not out:
        return [grant]
    spans = [(h, grant.a, grant.b) for h in grant.handlings - {h for h, _, _ in out}]
    for h, a, b in out:
        spans += [(h, grant.a, a), (h, b, grant.b)]
    return [replace(grant, a=a, b=b, handlings=handlings) for a, b, handlings in swept(spans)]


def cut_at(grant: Grant, at: int) -> list[Grant]:
    """A live grant in two where the collection ended at ``at``, so that a late grant fits in."""
    if grant.late is None and grant.a < at < grant.b:
        return [replace(grant, b=at), replace(grant, a=at)]
    return [grant]


def swept(spans: Iterable[Span]) -> list[tuple[int, int, frozenset[int]]]:
    """Ranges of single handlings, cut at each other's ends and laid together: disjoint, in order,
    each with all its handlings. Empty ranges are nothing."""
    edges: dict[int, tuple[set[int], set[int]]] = {}
    for h, a, b in spans:
        if a < b:
            edges.setdefault(a, (set(), set()))[1].add(h)
            edges.setdefault(b, (set(), set()))[0].add(h)
    found: list[tuple[int, int, frozenset[int]]] = []
    now: frozenset[int] = frozenset()
    since = 0
    for at, (leaving, entering) in sorted(edges.items()):
        after = now - leaving | entering
        if after != now:
            if now:
                found.append((since, at, now))
            now, since = after, at
    return found


def joined(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Neighbours that continue each other made one."""
    found: list[Grant] = []
    for grant in grants:
        last = found[-1] if found else None
        if last and (last.b, last.handlings, last.late) == (grant.a, grant.handlings, grant.late):
            found[-1] = replace(last, b=grant.b)
        else:
            found.append(grant)
    return tuple(found)


def merged(stays: Iterable[Stay]) -> tuple[Stay, ...]:
    """Stays in order, without empty ones, those that continue each other made one."""
    found: list[Stay] = []
    for stay in sorted(stays, key=lambda stay: (stay.handling, stay.a)):
        last = found[-1] if found else None
        if stay.a >= stay.b:
            continue
        if last and (last.handling, last.b, last.state) == (stay.handling, stay.a, stay.state):
            found[-1] = replace(last, b=stay.b)
        else:
            found.append(stay)
    return tuple(found)


def carved(
    stays: Iterable[Stay],
    handlings: Collection[int],
    a: int,
    b: int,
    states: Collection[str] = ("held", "under review", "expired", "refused", "returned"),
) -> tuple[tuple[Stay, ...], list[Stay]]:
    """Cut ``[a, b)`` of these handlings and states out of the stays: what is left, and what was
    taken."""
    left, taken = [], []
    for stay in stays:
        low, high = max(stay.a, a), min(stay.b, b)
        if stay.handling not in handlings or stay.state not in states or low >= high:
            left.append(stay)
            continue
        taken.append(replace(stay, a=low, b=high))
        left += [replace(stay, b=low), replace(stay, a=high)]
    return merged(left), taken
