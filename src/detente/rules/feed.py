"""Feed: what one party may read of one collection, without a row per item.

A collection is one append-only sequence of entries ``(seq, added_us, handling)``: ``seq`` dense
from 0, ``added_us`` strictly increasing, ``handling`` an interned number. A feed says for every
entry where it stands towards the party, in ranges only:

- a **grant** hands over the entries of some handlings in ``[a, b)``. A *live* grant gives them at
  their own ``added_us``; a *late* one, made when something was kept back before, at
  ``shift_us + seq``. Grants lie in the order of time; the last one is live and open.
- a **stay** keeps the entries of one handling in ``[a, b)`` back: they wait (``held``, ``under
  review``) or are gone for good, on the record (``expired``, ``refused``, ``returned``).

Every entry of a handling is in exactly one grant or exactly one stay, and one of the two is open
at its end and takes what comes next: that is the handling's *outcome*. So publishing writes
nothing here, and a change of the standing costs in proportion to handlings and grants, whether
ten entries wait or ten million.

The **mark** is the point up to which the party has been served. What lies behind it was given and
stays where it is. What lies after it is *unread*: if its handling may no longer be read, it is
withdrawn into a stay, and comes back later as a late grant, at times no reader has passed yet.
That is why a reader that only ever moves its cursor forward misses nothing and gets nothing
twice. A stop also hides what lies behind the mark (``segments``): a stop is a stop.

A page that was cut needs nothing here: the mark has not moved past it. If its receipt comes after
all, ``received`` puts exactly its entries back to where the reader found them.

Known limit: the mark is the party's, not each reader's. A second reader of the same party that
lies behind the mark when a stop falls passes over what is hidden, and has to read again from its
old place after resumption. Readers that share a collection by handling do not disturb each other.

A review holds for the reasons it was given for (``grounds``) and for no other: an entry that a
person has passed for one of them waits again when another comes up before it is read, and is
hidden if it was read. If a reason only goes away, what was passed stays granted.

What an originator takes back is no matter of one party: the collection keeps it, once for all its
feeds, and whoever reads or counts leaves it out.

What becomes of entries when an outcome changes is a table in ``rules.fate``. Pure; nothing here
knows parties, kinds or reasons. Not checked: that ``end``, ``seq`` and times given by the caller
are those of the collection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from detente.errors import Conflict, Invalid, Missing
from detente.rules.fate import FATES, Fate, Outcome, readable_handlings, was
from detente.rules.grant import (
    OPEN,
    START,
    Grant,
    Grounds,
    Late,
    Point,
    Span,
    Stay,
    carved,
    cut_at,
    first_after,
    first_reaching,
    joined,
    merged,
    place,
    point_of,
    swept,
    time_of,
    without,
)

__all__ = [
    "OPEN",
    "START",
    "Feed",
    "Grant",
    "Grounds",
    "Point",
    "Range",
    "Resumed",
    "State",
    "Stay",
    "change",
    "expire",
    "first_seen",
    "grant_of",
    "offer_again",
    "open_feed",
    "outcome_of",
    "point_of",
    "ranges",
    "readable",
    "readable_ranges",
    "received",
    "review",
    "segments",
    "served",
    "state_of",
    "time_of",
]

#: Where an entry stands: ``queued`` is granted and unread, ``given`` is granted behind the mark.
State = Literal["queued", "given", "held", "under review", "expired", "refused", "returned"]

#: What becomes of what was held, other than that it is given late: single ones are decided, or all
#: of it goes back to who published it and has to be published anew.
Resumed = Literal["returned", "under review"]
_NOTHING: Final[Mapping[int, Resumed]] = {}
_NO_GROUNDS: Final[Mapping[int, Grounds]] = {}


class Range(msgspec.Struct, frozen=True):
    """Where the entries ``a <= seq < b`` of one handling stand."""

    handling: int
    a: int
    b: int
    state: State


class Feed(msgspec.Struct, frozen=True):
    """What one party may read of one collection.

    ``outcomes`` has every handling of the collection, sorted; ``grants`` are in order of time;
    ``stays`` are sorted by handling and place. ``mark`` is how far the party has been served;
    ``ahead`` names the handlings for which a reader of these alone has come further. ``grounds``
    says for what each moderated handling is reviewed; feeds stored by older releases do not, and
    the next change sends back what they had reviewed and unread.
    """

    outcomes: tuple[tuple[int, Outcome], ...]
    grants: tuple[Grant, ...]
    stays: tuple[Stay, ...] = ()
    mark: Point = START
    ahead: tuple[tuple[int, Point], ...] = ()
    grounds: tuple[tuple[int, Grounds], ...] = ()


# --- the standing ------------------------------------------------------------------------------


def open_feed(
    outcomes: Mapping[int, Outcome], grounds: Mapping[int, Grounds] = _NO_GROUNDS
) -> Feed:
    """The feed of a party that joins, now or late: the whole history of what is released is live,
    and all the rest waits, or is refused, from the first entry on."""
    feed = Feed(outcomes=(), grants=(Grant(0, OPEN, frozenset()),))
    return first_seen(feed, outcomes, 0, grounds)


def first_seen(
    feed: Feed,
    outcomes: Mapping[int, Outcome],
    at_seq: int,
    grounds: Mapping[int, Grounds] = _NO_GROUNDS,
) -> Feed:
    """Take in handlings whose first entries are at ``at_seq`` or behind it, decided then and
    there: all at once, since each costs as much as the feed is long. ``grounds`` has what those
    that are moderated are reviewed for.

    Refused with ``Conflict`` if the feed knows one of them: only ``change`` may decide anew.
    """
    known = outcomes.keys() & dict(feed.outcomes).keys()
    if known:
        raise Conflict("feed.handling.known", f"Expected new handlings, got {sorted(known)}.")
    queued, stays = set(), []
    for handling, outcome in outcomes.items():
        fate = FATES[outcome]["new"]
        if fate == "queued":
            queued.add(handling)
        else:
            stays.append(Stay(handling, at_seq, OPEN, fate))
    # The live grant may begin before ``at_seq``: there is no entry of the handlings there.
    live = replace(feed.grants[-1], handlings=feed.grants[-1].handlings | queued)
    return replace(
        feed,
        outcomes=tuple(sorted((*feed.outcomes, *outcomes.items()))),
        grants=(*feed.grants[:-1], live),
        stays=merged((*feed.stays, *stays)) if stays else feed.stays,
        grounds=tuple(sorted((*feed.grounds, *_moderated(outcomes, grounds).items()))),
    )


def _moderated(
    outcomes: Mapping[int, Outcome], grounds: Mapping[int, Grounds]
) -> dict[int, Grounds]:
    """The grounds that matter: those of moderated handlings that have some."""
    return {
        h: grounds[h] for h, outcome in outcomes.items() if outcome == "moderate" and grounds.get(h)
    }


def change(
    feed: Feed,
    outcomes: Mapping[int, Outcome],
    *,
    end: int,
    base_us: int,
    resumed: Mapping[int, Resumed] = _NOTHING,
    grounds: Mapping[int, Grounds] = _NO_GROUNDS,
) -> tuple[Feed, int]:
    """Bring the feed to a new standing; ``FATES`` says what becomes of what.

    ``outcomes`` must have exactly the handlings of the feed, ``grounds`` what those that are
    moderated are reviewed for; ``end`` is the collection's next
    sequence number; ``base_us`` must lie above every time the feed has given or could give; what
    was held of the handlings in ``resumed`` is not given by range. What is given late comes in the
    order of the collection, whatever its handlings, so that a relationship follows what it relates.

    Returns the feed and the least time that later entries may have (``base_us`` if nothing was
    given late): the caller moves the collection's clock there in the same transaction. If neither
    an outcome nor grounds change, the feed is returned as it is.
    """
    known = dict(feed.outcomes)
    if known.keys() != outcomes.keys():
        raise Invalid(
            "feed.handlings",
            f"Expected outcomes for handlings {sorted(known)}, got {sorted(outcomes)}.",
        )
    old, new = dict(feed.grounds), _moderated(outcomes, grounds)
    turned = {h: o for h, o in outcomes.items() if known[h] != o or old.get(h) != new.get(h)}
    if not turned:
        return feed, base_us
    _check_base(feed, base_us)
    kept, moved = _turn_stays(feed.stays, turned, resumed, end)
    grants, withdrawn = _withdraw(feed, turned, new, end)
    moved += withdrawn
    moved += [(FATES[outcome]["new"], (h, end, OPEN)) for h, outcome in turned.items()]
    given = [span for fate, span in moved if fate == "queued" and span[2] != OPEN]
    late, clock_us = _given_late(given, end, base_us)
    live = Grant(end, OPEN, frozenset(h for h, o in outcomes.items() if o == "release"))
    changed = replace(
        feed,
        outcomes=tuple(sorted(outcomes.items())),
        grants=joined((*grants, *late, live)),
        stays=merged((*kept, *(Stay(*span, fate) for fate, span in moved if fate != "queued"))),
        grounds=tuple(sorted(new.items())),
    )
    return changed, clock_us


def _turn_stays(
    stays: Iterable[Stay],
    turned: Mapping[int, Outcome],
    resumed: Mapping[int, Resumed],
    end: int,
) -> tuple[list[Stay], list[tuple[Fate, Span]]]:
    """Split into stays that remain as they are (closed at ``end`` if their handling turned) and
    ranges that waited and have a new fate."""
    kept: list[Stay] = []
    moved: list[tuple[Fate, Span]] = []
    for stay in stays:
        if stay.handling not in turned:
            kept.append(stay)
            continue
        b = min(stay.b, end)
        if stay.state != "held" and stay.state != "under review":
            kept.append(replace(stay, b=b))
            continue
        fate = FATES[turned[stay.handling]][stay.state]
        if fate == "queued":
            fate = resumed.get(stay.handling, fate)
        moved.append((fate, (stay.handling, stay.a, b)))
    return kept, moved


def _withdraw(
    feed: Feed, turned: Mapping[int, Outcome], grounds: Mapping[int, Grounds], end: int
) -> tuple[list[Grant], list[tuple[Fate, Span]]]:
    """Close the live grant at ``end`` and take out of the grants what is unread and may no longer
    be read. A grant in which the mark lies is split there, for these handlings only."""
    grants = _closed(feed.grants, end)
    first = first_reaching(grants, feed.mark)
    left = grants[:first]
    withdrawn: list[tuple[Fate, Span]] = []
    ahead = dict(feed.ahead)
    for grant in grants[first:]:
        out = []
        for h in grant.handlings & turned.keys():
            fate = FATES[turned[h]][was(grant, grounds.get(h, frozenset()))]
            unread = first_after(grant, ahead.get(h, feed.mark))
            if fate != "queued" and unread < grant.b:
                out.append((h, unread, grant.b))
                withdrawn.append((fate, out[-1]))
        left += without(grant, out)
    return left, withdrawn


# --- reading -----------------------------------------------------------------------------------


def segments(feed: Feed, after: Point, only: Collection[int] | None = None) -> Iterator[Grant]:
    """What may be read now after a point: slices of grants in order of time.

    Each has only the handlings that may be read under the present outcomes (and are in ``only``,
    if given), behind the mark as well; slices without any are left out. The last may be open.

    To take a page, walk the slices and, in each, the collection's entries ``[a, min(b, end))``,
    passing over other handlings, until the page is full. A page is known again (``received``) by
    the slices it used and the point where it ended. Finding the first slice costs the logarithm
    of the number of grants, at any depth; a cursor that comes as a time needs one look into the
    collection (``Point(us, first entry added after us)``).
    """
    outcomes, grounds = dict(feed.outcomes), dict(feed.grounds)
    for index in range(first_reaching(feed.grants, after), len(feed.grants)):
        grant = feed.grants[index]
        handlings = readable_handlings(grant, outcomes, grounds)
        if only is not None:
            handlings &= frozenset(only)
        if handlings:
            yield replace(grant, a=first_after(grant, after), handlings=handlings)


def served(feed: Feed, until: Point, only: Collection[int] | None = None) -> Feed:
    """A page was delivered up to ``until``. The mark never moves back.

    ``only``: the handlings to which the reader keeps itself, if it does; the mark moves for these
    alone. Not to be called for a page picked in another way, such as by object: it has not passed
    what it left out.
    """
    if only is None:
        if until <= feed.mark:
            return feed
        return replace(feed, mark=until, ahead=tuple(x for x in feed.ahead if x[1] > until))
    ahead = dict(feed.ahead)
    further = {h: until for h in only if until > ahead.get(h, feed.mark)}
    return replace(feed, ahead=tuple(sorted((ahead | further).items()))) if further else feed


def received(
    feed: Feed, page: Iterable[Grant], until: Point, only: Collection[int] | None = None
) -> Feed:
    """The receipt of a page that had been cut came after all: exactly its entries were given.

    ``page`` are the slices from which it was taken, ``until`` where it ended. Its entries are
    taken out of wherever they are by now (a stay, even one that is over, or a later grant not
    read yet) and put back at the times at which the reader has them; the mark follows as in
    ``served``. What has been given a second time meanwhile stays there. The same receipt again
    changes nothing, and for a page that was not cut this is ``served``.
    """
    for piece in page:
        # The last slice may reach further than the page did.
        feed = _restore(feed, replace(piece, b=first_after(piece, until)))
    return served(feed, until, only)


def _restore(feed: Feed, piece: Grant) -> Feed:
    stays, taken = carved(feed.stays, piece.handlings, piece.a, piece.b)
    found = [(stay.handling, stay.a, stay.b) for stay in taken]
    grants, same = [], []
    ahead = dict(feed.ahead)
    for grant in feed.grants:
        if grant.late == piece.late and grant.a < piece.b and piece.a < grant.b:
            same.append(grant)
            continue
        out = []
        for h in grant.handlings & piece.handlings:
            a = max(piece.a, first_after(grant, ahead.get(h, feed.mark)))
            if a < min(piece.b, grant.b):
                out.append((h, a, min(piece.b, grant.b)))
        found += out
        grants += without(grant, out)
    if not found:
        return feed
    spans = [(h, grant.a, grant.b) for grant in same for h in grant.handlings]
    if piece.late:
        # Live grants that the withdrawn one had kept apart may have become one.
        grants = [part for grant in grants for part in cut_at(grant, piece.late.at)]
    grants += [Grant(*one, piece.late) for one in swept(spans + found)]
    return replace(feed, grants=joined(sorted(grants, key=place)), stays=stays)


# --- single acts on what waits -----------------------------------------------------------------


def expire(feed: Feed, handling: int, upto: int, *, under_review: bool = False) -> Feed:
    """What waits of this handling before ``upto`` (the first entry still young enough) is gone, on
    the record. What is under review expires only if so told. Granted entries never expire."""
    states = {"held", "under review"} if under_review else {"held"}
    stays, taken = carved(feed.stays, {handling}, 0, upto, states)
    if not taken:
        return feed
    return replace(feed, stays=merged((*stays, *(replace(s, state="expired") for s in taken))))


def review(
    feed: Feed,
    handling: int,
    seq: int,
    verdict: Literal["release", "refuse"],
    *,
    end: int,
    base_us: int,
) -> tuple[Feed, int]:
    """One waiting entry is released, as a late grant of its own, or refused for good. The release
    passes what the handling is reviewed for now.

    Refused with ``Missing`` if the entry does not wait; with ``Conflict`` if it should be
    released while its handling is stopped. Refusing is possible at any time. ``end``, ``base_us``
    and what is returned are as for ``change``.
    """
    stays, taken = carved(feed.stays, {handling}, seq, seq + 1, {"held", "under review"})
    if not taken:
        raise Missing(
            "feed.review.not-waiting",
            f"Expected a waiting entry, got entry {seq} of handling {handling}, which is not.",
        )
    if verdict == "refuse":
        gone = Stay(handling, seq, seq + 1, "refused")
        return replace(feed, stays=merged((*stays, gone))), base_us
    if outcome_of(feed, handling) not in ("release", "moderate"):
        raise Conflict(
            "feed.review.stopped",
            f"Expected a handling that may be released, got {handling}, which is stopped.",
            hint="Review it again when the stop is lifted.",
        )
    _check_base(feed, base_us)
    passed = dict(feed.grounds).get(handling, frozenset())
    late, clock_us = _given_late([(handling, seq, seq + 1)], end, base_us, passed=passed)
    live = replace(feed.grants[-1], a=end)
    grants = joined((*_closed(feed.grants, end), *late, live))
    return replace(feed, grants=grants, stays=stays), clock_us


def offer_again(
    feed: Feed, entries: Iterable[tuple[int, int]], *, end: int, base_us: int
) -> tuple[Feed, int]:
    """Entries (handling, sequence number) behind the mark that their reader was not given after
    all are given late.

    Refused with ``Missing`` if one does not stand as given, with ``Conflict`` if one may not be
    read now. ``end``, ``base_us`` and what is returned are as for ``change``.
    """
    entries = sorted(set(entries))
    for handling, seq in entries:
        if state_of(feed, handling, seq) != "given":
            raise Missing("feed.again", f"Expected an entry that counts as given, got {seq}.")
        if not readable(feed, handling, seq):
            raise Conflict("feed.again.stopped", f"Expected a readable handling, got {handling}.")
    _check_base(feed, base_us)
    grants: list[Grant] = []
    spans: dict[Grounds | None, list[Span]] = defaultdict(list)
    for grant in _closed(feed.grants, end):
        out = [(h, s, s + 1) for h, s in entries if h in grant.handlings and grant.a <= s < grant.b]
        spans[grant.late.passed if grant.late and grant.late.reviewed else None] += out
        grants += _less(grant, out)
    late: list[Grant] = []
    for passed in sorted(spans, key=lambda one: (one is not None, sorted(one or ()))):
        made, base_us = _given_late(spans[passed], end, base_us, passed=passed)
        late += made
    live = replace(feed.grants[-1], a=end)
    return replace(feed, grants=joined((*grants, *late, live))), base_us


def _less(grant: Grant, out: Sequence[Span]) -> list[Grant]:
    """The grant without these ranges: disjoint, in order for each handling, any number of them."""
    if not out:
        return [grant]
    left: list[Span] = [(h, grant.a, grant.b) for h in grant.handlings - {h for h, _, _ in out}]
    behind = dict.fromkeys((h for h, _, _ in out), grant.a)
    for h, a, b in out:
        left.append((h, behind[h], a))
        behind[h] = b
    left += [(h, a, grant.b) for h, a in behind.items()]
    return [replace(grant, a=a, b=b, handlings=handlings) for a, b, handlings in swept(left)]


# --- asking ------------------------------------------------------------------------------------


def outcome_of(feed: Feed, handling: int) -> Outcome:
    """The outcome of a handling; ``Missing`` if the feed does not know it."""
    outcome = dict(feed.outcomes).get(handling)
    if outcome is None:
        raise Missing("feed.handling.unknown", f"Expected a known handling, got {handling}.")
    return outcome


def grant_of(feed: Feed, handling: int, seq: int) -> Grant | None:
    """The grant that contains the entry, for a trace; None if it is kept back."""
    return next((g for g in feed.grants if handling in g.handlings and g.a <= seq < g.b), None)


def readable_ranges(feed: Feed, handling: int) -> tuple[tuple[int, int], ...]:
    """Where entries of a handling are granted and its outcome lets them be read now, however far
    the reader has come: what the party may know to exist. Disjoint ranges ``a <= seq < b``, in
    order."""
    outcomes, grounds = dict(feed.outcomes), dict(feed.grounds)
    found = [
        (g.a, g.b) for g in feed.grants if handling in readable_handlings(g, outcomes, grounds)
    ]
    return tuple(sorted(found))


def readable(feed: Feed, handling: int, seq: int) -> bool:
    """True if one entry may be read now, as in ``readable_ranges``."""
    return any(a <= seq < b for a, b in readable_ranges(feed, handling))


def state_of(feed: Feed, handling: int, seq: int) -> State:
    """Where an entry stands. ``given`` says that the mark has passed it; which page served it,
    and whether a receipt came, the pages know."""
    outcome_of(feed, handling)
    grant = grant_of(feed, handling, seq)
    if grant is not None:
        mark = dict(feed.ahead).get(handling, feed.mark)
        return "queued" if first_after(grant, mark) <= seq else "given"
    for stay in feed.stays:
        if stay.handling == handling and stay.a <= seq < stay.b:
            return stay.state
    raise Missing("feed.entry", f"Expected an entry of handling {handling}, got {seq}.")


def ranges(feed: Feed, end: int) -> Iterator[Range]:
    """Where everything before ``end`` stands: disjoint ranges, to be counted with the counters of
    the collection. A range may hold no entry at all."""
    ahead = dict(feed.ahead)
    for grant in feed.grants:
        for h in sorted(grant.handlings):
            unread = first_after(grant, ahead.get(h, feed.mark))
            yield from _range(h, grant.a, min(unread, end), "given")
            yield from _range(h, unread, min(grant.b, end), "queued")
    for stay in feed.stays:
        yield from _range(stay.handling, stay.a, min(stay.b, end), stay.state)


def _range(handling: int, a: int, b: int, state: State) -> Iterator[Range]:
    if a < b:
        yield Range(handling, a, b, state)


def _closed(grants: Sequence[Grant], end: int) -> list[Grant]:
    """The grants with the live one closed at ``end``; gone if nothing is in it."""
    *before, live = grants
    if end < live.a:
        raise Invalid("feed.end", f"Expected an end of at least {live.a}, got {end}.")
    return [*before, replace(live, b=end)] if live.handlings and live.a < end else before


def _given_late(
    spans: Iterable[Span], at: int, base_us: int, *, passed: Grounds | None = None
) -> tuple[list[Grant], int]:
    """Late grants of these ranges from ``base_us`` on, and the first time after them; ``passed``
    if a person has released them. The times run on over ranges that lie apart, so a gap between
    them costs none."""
    grants = []
    reviewed = passed is not None
    for a, b, handlings in swept(spans):
        grants.append(
            Grant(a, b, handlings, Late(at, base_us - a, reviewed, passed or frozenset()))
        )
        base_us += b - a
    return grants, base_us


def _check_base(feed: Feed, base_us: int) -> None:
    late_us = next((g.late.shift_us + g.b - 1 for g in reversed(feed.grants) if g.late), -1)
    latest_us = max(feed.mark.us, late_us)
    if base_us <= latest_us:
        raise Invalid("feed.base", f"Expected a time above {latest_us}, got {base_us}.")
