"""Soundness of a feed, whatever histories led to it: for the tests that make such histories."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from detente.errors import Broken
from detente.rules.fate import FATES, readable_handlings
from detente.rules.feed import Feed, State
from detente.rules.grant import OPEN, Point, first_after, first_reaching, merged, place

__all__ = ["check_feed"]


def check_feed(feed: Feed, end: int) -> None:
    """Raise ``Broken`` unless the feed is sound as a value: grants in order of time, every entry
    of a handling from its first on in exactly one place, nothing unread that may not be read.

    Not checked: times of live grants, which only the collection knows.
    """
    spans: dict[int, list[tuple[int, int, State]]] = defaultdict(list)
    for grant in feed.grants:
        for h in grant.handlings:
            spans[h].append((grant.a, grant.b, "queued"))
    for stay in feed.stays:
        spans[stay.handling].append((stay.a, stay.b, stay.state))
    _demand(feed.stays == merged(feed.stays), "stays", feed.stays)
    _demand(spans.keys() == {h for h, _ in feed.outcomes}, "handlings", sorted(spans))
    moderated = {h for h, outcome in feed.outcomes if outcome == "moderate"}
    _demand({h for h, _ in feed.grounds} <= moderated, "grounds", feed.grounds)
    for h, outcome in feed.outcomes:
        cover = sorted(spans[h])
        _demand(all(x[1] == y[0] for x, y in pairwise(cover)), "cover", h)
        _demand(cover[-1][1:] == (OPEN, FATES[outcome]["new"]), "open", h)
        for _, _, was in cover:
            if was == "held" or was == "under review":
                # What waits is where this outcome would have sent it.
                _demand(FATES[outcome][was] == was, "waits", h)
    _check_grants(feed, end)


def _check_grants(feed: Feed, end: int) -> None:
    outcomes, grounds = dict(feed.outcomes), dict(feed.grounds)
    ahead = dict(feed.ahead)
    *closed, live = feed.grants
    _demand(live.late is None and live.b == OPEN and live.a <= end, "live", live)
    _demand(live.handlings == {h for h, o in feed.outcomes if o == "release"}, "live", live)
    for grant in closed:
        last = grant.b if grant.late is None else grant.late.at
        _demand(grant.handlings and grant.a < grant.b <= last <= end, "grant", grant)
    for one, two in pairwise(feed.grants):
        _demand(place(one) < place(two), "order", two)
        # Entries at or behind ``two`` begin where those of ``one`` have ended.
        ended = Point(one.late.shift_us + one.b - 1, one.late.at) if one.late else Point(-1, one.b)
        if two.late and one.late:
            _demand(ended.us < two.late.shift_us + two.a, "time", two)
        else:
            _demand(ended.seq <= (two.late.at if two.late else two.a), "time", two)
    for grant in feed.grants[first_reaching(feed.grants, feed.mark) :]:
        for h in grant.handlings - readable_handlings(grant, outcomes, grounds):
            behind = first_after(grant, ahead.get(h, feed.mark)) == grant.b
            _demand(behind, "unread", grant)
    _demand(all(point > feed.mark for _, point in feed.ahead), "ahead", feed.ahead)


def _demand(sound: object, code: str, got: object) -> None:
    if not sound:
        raise Broken(f"feed.{code}", f"Expected a sound feed, got {got}.")
