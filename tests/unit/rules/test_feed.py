"""Feeds at their boundaries, by hand. Entry ``i`` is added at ``100 * (i + 1)`` throughout.

Handlings: T tracks, P persons, V vessels.
"""

from __future__ import annotations

import msgspec
import pytest

from detente.errors import Broken, Conflict, Invalid, Missing
from detente.rules.fate import Outcome
from detente.rules.feed import (
    OPEN,
    START,
    Feed,
    Grant,
    Point,
    Range,
    Resumed,
    Stay,
    change,
    expire,
    first_seen,
    grant_of,
    open_feed,
    outcome_of,
    point_of,
    ranges,
    received,
    review,
    segments,
    served,
    state_of,
)
from detente.rules.grant import Late, swept, without
from tests.world.sound_feed import check_feed

T, P, V = 0, 1, 2


def grant(a: int, b: int, *handlings: int, late: tuple[int, int] | None = None) -> Grant:
    """``late``: (at, time of the entry ``a``)."""
    return Grant(a, b, frozenset(handlings), Late(late[0], late[1] - a) if late else None)


def reviewed(seq: int, at: int, base_us: int, handling: int) -> Grant:
    return Grant(seq, seq + 1, frozenset({handling}), Late(at, base_us - seq, reviewed=True))


def live_point(seq: int) -> Point:
    """Just after entry ``seq``, read live."""
    return Point(100 * (seq + 1), seq + 1)


def turn(
    feed: Feed,
    end: int,
    base_us: int,
    resumed: dict[int, Resumed] | None = None,
    **to: Outcome,
) -> Feed:
    names = {"T": T, "P": P, "V": V}
    outcomes = dict(feed.outcomes) | {names[name]: outcome for name, outcome in to.items()}
    changed, _ = change(feed, outcomes, end=end, base_us=base_us, resumed=resumed or {})
    check_feed(changed, end)
    return changed


def both(end: int = 0) -> Feed:
    feed = open_feed({T: "release", P: "release"})
    check_feed(feed, end)
    return feed


# --- stopping and resuming ---


def test_stop_before_the_first_entry_keeps_everything_back() -> None:
    feed = turn(both(), 0, 1, T="hold", P="hold")
    assert feed.grants == (grant(0, OPEN),)
    assert feed.stays == (Stay(T, 0, OPEN, "held"), Stay(P, 0, OPEN, "held"))
    assert list(segments(feed, START)) == []


def test_stop_and_resume_of_an_empty_collection_leave_no_trace() -> None:
    feed = turn(turn(both(), 0, 1, T="hold", P="hold"), 0, 2, T="release", P="release")
    assert feed == both()


def test_resume_with_nothing_held_opens_only_a_new_live_grant() -> None:
    feed = served(both(), live_point(4))
    feed = turn(feed, 5, 600, T="hold")
    feed, clock_us = change(feed, {T: "release", P: "release"}, end=5, base_us=700)
    # [0, 5) and [5, ...) have the same handlings and continue each other.
    assert feed.grants == (grant(0, OPEN, T, P),)
    assert feed.stays == ()
    assert clock_us == 700


def test_stop_withdraws_what_was_not_served_and_resume_gives_it_late() -> None:
    feed = turn(served(both(), live_point(2)), 5, 600, T="hold")
    assert feed.grants == (grant(0, 3, T, P), grant(3, OPEN, P))
    assert feed.stays == (Stay(T, 3, OPEN, "held"),)
    feed, clock_us = change(feed, {T: "release", P: "release"}, end=8, base_us=1000)
    check_feed(feed, 8)
    assert feed.grants == (
        grant(0, 3, T, P),
        grant(3, 8, P),
        grant(3, 8, T, late=(8, 1000)),
        grant(8, OPEN, T, P),
    )
    assert feed.stays == ()
    assert clock_us == 1005


def test_two_stops_before_any_read_keep_one_stay() -> None:
    feed = turn(both(), 3, 400, T="hold")
    feed = turn(feed, 5, 600, T="release")
    feed = turn(feed, 7, 800, T="hold")
    assert feed.stays == (Stay(T, 0, OPEN, "held"),)
    assert feed.grants == (grant(0, OPEN, P),)


def test_mark_in_the_middle_of_a_late_grant_splits_it_and_keeps_its_times() -> None:
    feed = turn(both(), 0, 1, T="hold", P="hold")
    feed = turn(feed, 10, 2000, T="release", P="release")
    feed = served(feed, Point(2003, 10))
    feed = turn(feed, 12, 3000, T="hold")
    assert feed.grants == (
        grant(0, 4, T, P, late=(10, 2000)),
        grant(4, 10, P, late=(10, 2004)),
        grant(10, OPEN, P),
    )
    assert feed.stays == (Stay(T, 4, OPEN, "held"),)


def test_mark_at_the_last_entry_of_a_late_grant_withdraws_none_of_it() -> None:
    feed = turn(turn(both(), 0, 1, T="hold", P="hold"), 4, 2000, T="release", P="release")
    feed = turn(served(feed, Point(2003, 4)), 4, 3000, T="hold")
    assert feed.grants == (grant(0, 4, T, P, late=(4, 2000)), grant(4, OPEN, P))
    assert feed.stays == (Stay(T, 4, OPEN, "held"),)


def test_late_entries_of_several_handlings_come_in_the_order_of_the_collection() -> None:
    feed = turn(open_feed({T: "hold", P: "release", V: "hold"}), 4, 500, P="hold")
    feed = served(feed, START)
    feed = turn(feed, 6, 700, V="refuse")
    feed = turn(feed, 8, 900, V="hold")
    feed, clock_us = change(feed, {T: "release", P: "release", V: "release"}, end=10, base_us=1100)
    check_feed(feed, 10)
    assert feed.grants == (
        grant(0, 8, T, P, late=(10, 1100)),
        grant(8, 10, T, P, V, late=(10, 1108)),
        grant(10, OPEN, T, P, V),
    )
    assert clock_us == 1110


def test_times_run_on_over_ranges_that_lie_apart() -> None:
    feed = expire(open_feed({T: "hold"}), T, 0)
    feed = turn(feed, 3, 400, T="release")
    feed = served(feed, Point(402, 3))  # [0, 3) was served late
    feed = turn(feed, 6, 700, T="hold")
    feed, _ = review(feed, T, 4, "refuse", end=6, base_us=700)
    feed, clock_us = change(feed, {T: "release"}, end=7, base_us=800)
    check_feed(feed, 7)
    assert feed.grants[1:] == (
        grant(3, 4, T, late=(7, 800)),
        grant(5, 7, T, late=(7, 801)),
        grant(7, OPEN, T),
    )
    assert clock_us == 803


def test_nothing_changed_returns_the_same_feed() -> None:
    feed = served(both(), live_point(1))
    assert change(feed, {P: "release", T: "release"}, end=5, base_us=600) == (feed, 600)
    assert change(feed, {P: "release", T: "release"}, end=5, base_us=600)[0] is feed


def test_a_stop_hides_what_lies_behind_the_mark_and_resume_shows_it_again() -> None:
    feed = turn(served(both(), live_point(4)), 5, 600, T="hold")
    assert list(segments(feed, START)) == [grant(0, 5, P), grant(5, OPEN, P)]
    feed = turn(feed, 5, 700, T="release")
    assert list(segments(feed, START)) == [grant(0, OPEN, T, P)]


def test_segments_begin_after_the_cursor_in_a_late_grant_as_in_a_live_one() -> None:
    feed = turn(served(both(), live_point(2)), 5, 600, T="hold")
    feed = turn(feed, 8, 1000, T="release")
    assert next(segments(feed, live_point(5))) == grant(6, 8, P)
    assert next(segments(feed, Point(999, 8))) == grant(3, 8, T, late=(8, 1000))
    assert next(segments(feed, Point(1000, 8))) == grant(4, 8, T, late=(8, 1001))
    assert list(segments(feed, Point(1004, 8))) == [grant(8, OPEN, T, P)]
    assert next(segments(feed, live_point(5), only=[T])) == grant(3, 8, T, late=(8, 1000))


# --- refusing, expiring ---


def test_refused_is_for_good_and_only_later_entries_profit_from_a_change_of_mind() -> None:
    feed = turn(served(both(), live_point(1)), 4, 500, T="refuse")
    assert feed.stays == (Stay(T, 2, OPEN, "refused"),)
    feed = turn(feed, 6, 700, T="hold")
    assert feed.stays == (Stay(T, 2, 6, "refused"), Stay(T, 6, OPEN, "held"))
    feed = turn(feed, 8, 900, T="refuse")
    assert feed.stays == (Stay(T, 2, OPEN, "refused"),)
    feed = turn(feed, 9, 1000, T="release")
    assert feed.stays == (Stay(T, 2, 9, "refused"),)
    assert state_of(feed, T, 1) == "given"
    assert state_of(feed, T, 8) == "refused"
    assert state_of(feed, T, 9) == "queued"


def test_a_refusal_reaches_what_is_under_review_too() -> None:
    feed = turn(open_feed({T: "moderate"}), 3, 400, T="refuse")
    assert feed.stays == (Stay(T, 0, OPEN, "refused"),)


def test_everything_held_may_expire_and_nothing_is_given_late() -> None:
    feed = turn(served(both(), live_point(1)), 4, 500, T="hold")
    feed = expire(feed, T, 6)
    check_feed(feed, 6)
    assert feed.stays == (Stay(T, 2, 6, "expired"), Stay(T, 6, OPEN, "held"))
    feed, clock_us = change(feed, {T: "release", P: "release"}, end=6, base_us=700)
    check_feed(feed, 6)
    assert feed.stays == (Stay(T, 2, 6, "expired"),)
    assert clock_us == 700
    assert state_of(feed, T, 5) == "expired"


def test_expiry_grows_one_range_and_takes_nothing_granted_or_of_another_handling() -> None:
    feed = turn(served(both(), live_point(1)), 4, 500, T="hold", P="hold")
    feed = expire(expire(feed, T, 3), T, 5)
    assert feed.stays == (
        Stay(T, 2, 5, "expired"),
        Stay(T, 5, OPEN, "held"),
        Stay(P, 2, OPEN, "held"),
    )
    assert expire(feed, T, 5) is feed
    assert state_of(feed, T, 1) == "given"


def test_what_is_under_review_expires_only_if_told_so() -> None:
    feed = open_feed({T: "moderate"})
    assert expire(feed, T, 3) is feed
    feed = expire(feed, T, 3, under_review=True)
    assert feed.stays == (Stay(T, 0, 3, "expired"), Stay(T, 3, OPEN, "under review"))


# --- review ---


def test_a_kind_that_goes_back_to_its_unit_is_not_given_after_a_stop() -> None:
    feed = turn(served(both(), live_point(1)), 4, 500, T="hold", P="hold")
    feed = turn(feed, 6, 700, resumed={P: "returned"}, T="release", P="release")
    check_feed(feed, 6)
    assert feed.stays == (Stay(P, 2, 6, "returned"),)
    assert (state_of(feed, P, 3), state_of(feed, P, 6)) == ("returned", "queued")
    with pytest.raises(Missing):
        review(feed, P, 3, "release", end=7, base_us=900)


def test_a_kind_that_asks_for_review_is_not_released_by_range() -> None:
    feed = turn(served(both(), live_point(1)), 4, 500, T="hold", P="hold")
    feed = turn(feed, 6, 700, resumed={P: "under review"}, T="release", P="release")
    assert feed.stays == (Stay(P, 2, 6, "under review"),)
    assert state_of(feed, P, 6) == "queued"
    feed, clock_us = review(feed, P, 3, "release", end=7, base_us=900)
    check_feed(feed, 7)
    assert feed.stays == (Stay(P, 2, 3, "under review"), Stay(P, 4, 6, "under review"))
    assert feed.grants[-2:] == (reviewed(3, 7, 900, P), grant(7, OPEN, T, P))
    assert clock_us == 901
    feed, _ = review(feed, P, 4, "refuse", end=7, base_us=901)
    check_feed(feed, 7)
    assert [state_of(feed, P, seq) for seq in (1, 2, 3, 4, 5, 6)] == [
        "given",
        "under review",
        "queued",
        "refused",
        "under review",
        "queued",
    ]


def test_a_stop_sends_what_was_reviewed_and_unread_back_to_review() -> None:
    feed = turn(turn(both(), 0, 1, P="hold"), 3, 400, resumed={P: "under review"}, P="release")
    feed, _ = review(feed, P, 1, "release", end=3, base_us=400)
    feed = turn(feed, 5, 600, P="hold")
    assert feed.stays == (Stay(P, 0, 3, "under review"), Stay(P, 3, OPEN, "held"))


def test_review_under_another_stop_can_only_refuse() -> None:
    feed = turn(turn(both(), 0, 1, P="hold"), 3, 400, resumed={P: "under review"}, P="release")
    feed = turn(feed, 5, 600, P="hold")
    with pytest.raises(Conflict) as stopped:
        review(feed, P, 1, "release", end=5, base_us=700)
    assert stopped.value.code == "feed.review.stopped"
    feed, _ = review(feed, P, 1, "refuse", end=5, base_us=700)
    feed, _ = review(feed, P, 4, "refuse", end=5, base_us=700)
    check_feed(feed, 5)
    feed = turn(feed, 5, 800, P="release")
    assert [state_of(feed, P, seq) for seq in range(5)] == [
        "under review",
        "refused",
        "under review",
        "queued",
        "refused",
    ]


def test_review_of_what_does_not_wait_is_refused() -> None:
    feed = both()
    with pytest.raises(Missing):
        review(feed, P, 1, "release", end=5, base_us=700)
    with pytest.raises(Missing):
        review(turn(feed, 5, 700, P="refuse"), P, 1, "refuse", end=5, base_us=700)


def test_moderated_entries_go_one_by_one_and_only_those_may_be_read() -> None:
    feed = turn(served(both(), live_point(1)), 4, 500, P="moderate")
    assert feed.stays == (Stay(P, 2, OPEN, "under review"),)
    feed, _ = review(feed, P, 3, "release", end=4, base_us=600)
    check_feed(feed, 4)
    # What was given before moderation began is hidden too; what was reviewed is not.
    assert list(segments(feed, START)) == [
        grant(0, 2, T),
        grant(2, 4, T),
        reviewed(3, 4, 600, P),
        grant(4, OPEN, T),
    ]
    feed = turn(feed, 4, 700, P="hold")
    assert feed.stays == (Stay(P, 2, 4, "under review"), Stay(P, 4, OPEN, "held"))
    feed = turn(feed, 6, 900, P="moderate")
    assert feed.stays == (Stay(P, 2, OPEN, "under review"),)


# --- pages ---


def test_served_moves_the_mark_forward_only() -> None:
    feed = served(both(), live_point(4))
    assert served(feed, live_point(3)) is feed
    assert served(feed, live_point(5)).mark == live_point(5)


def test_a_reader_of_one_handling_moves_the_mark_of_that_handling() -> None:
    feed = served(served(both(), live_point(1)), live_point(3), only=[P])
    assert feed.mark == live_point(1)
    assert feed.ahead == ((P, live_point(3)),)
    assert served(feed, live_point(0), only=[P, T]) is feed
    feed = turn(feed, 6, 700, T="hold", P="hold")
    assert feed.stays == (Stay(T, 2, OPEN, "held"), Stay(P, 4, OPEN, "held"))
    assert feed.grants == (grant(0, 2, T, P), grant(2, 4, P), grant(6, OPEN))
    assert served(feed, live_point(2)).ahead == ((P, live_point(3)),)
    assert served(feed, live_point(3)).ahead == ()


def test_receipt_of_a_page_that_was_cut_takes_exactly_its_entries_out_of_the_stay() -> None:
    page = [grant(2, OPEN, T, P)]
    before = served(both(), live_point(1))
    feed = turn(before, 7, 800, T="hold")
    assert feed.stays == (Stay(T, 2, OPEN, "held"),)
    feed = received(feed, page, live_point(4))
    check_feed(feed, 7)
    assert feed.stays == (Stay(T, 5, OPEN, "held"),)
    assert feed.grants == (grant(0, 5, T, P), grant(5, OPEN, P))
    assert state_of(feed, T, 4) == "given"
    assert received(feed, page, live_point(4)) == feed


def test_receipt_after_resumption_takes_the_entries_out_of_the_late_grant() -> None:
    page = [grant(0, OPEN, T, P)]
    feed = turn(turn(both(), 4, 500, T="hold"), 6, 700, T="release")
    feed = received(feed, page, live_point(1))
    check_feed(feed, 6)
    assert grant_of(feed, T, 1) == grant(0, 2, T, P)
    assert grant_of(feed, T, 2) == grant(2, 6, T, late=(6, 702))
    assert [one.a for one in segments(feed, live_point(1))] == [2, 2, 6]


def test_receipt_of_what_expired_meanwhile_says_that_it_was_given() -> None:
    feed = expire(turn(both(), 4, 500, T="hold"), T, 4)
    feed = received(feed, [grant(0, 2, T, P)], live_point(1))
    check_feed(feed, 4)
    assert [state_of(feed, T, seq) for seq in range(4)] == ["given", "given", "expired", "expired"]


def test_receipt_of_late_entries_restores_them_at_their_late_times() -> None:
    feed = turn(turn(both(), 0, 1, T="hold"), 4, 500, T="release")
    [_, late, _] = feed.grants
    feed = turn(feed, 6, 700, T="hold")
    feed = received(feed, [grant(0, 4, P), late], Point(501, 4))
    check_feed(feed, 6)
    assert feed.stays == (Stay(T, 2, OPEN, "held"),)
    assert feed.grants == (grant(0, 4, P), grant(0, 2, T, late=(4, 500)), grant(4, OPEN, P))


def test_points_of_entries_compare_with_cursors() -> None:
    assert point_of(grant(0, OPEN, T), 4, 500) == live_point(4)
    assert point_of(grant(3, 8, T, late=(8, 1000)), 5, 600) == Point(1002, 8)


# --- joining, new handlings, what is refused ---


def test_a_party_that_joins_late_reads_the_history_of_what_is_released() -> None:
    feed = open_feed({T: "release", P: "hold", V: "refuse"})
    check_feed(feed, 100)
    assert list(segments(feed, START)) == [grant(0, OPEN, T)]
    assert feed.stays == (Stay(P, 0, OPEN, "held"), Stay(V, 0, OPEN, "refused"))


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("release", "queued"),
        ("moderate", "under review"),
        ("hold", "held"),
        ("refuse", "refused"),
    ],
)
def test_a_new_handling_is_decided_then_and_there(outcome: Outcome, state: str) -> None:
    feed = first_seen(both(), {V: outcome}, 7)
    check_feed(feed, 8)
    assert state_of(feed, V, 7) == state
    assert outcome_of(feed, V) == outcome
    with pytest.raises(Conflict):
        first_seen(feed, {V: "release"}, 8)


def test_ranges_say_where_everything_stands() -> None:
    feed = turn(served(both(), live_point(1)), 4, 500, T="hold")
    assert set(ranges(feed, 6)) == {
        Range(T, 0, 2, "given"),
        Range(P, 0, 2, "given"),
        Range(P, 2, 6, "queued"),
        Range(T, 2, 6, "held"),
    }


def test_unknown_handlings_and_wrong_ends_and_times_are_refused() -> None:
    feed = turn(served(both(), live_point(3)), 4, 500, T="hold")
    with pytest.raises(Invalid):
        change(feed, {T: "release"}, end=5, base_us=600)
    with pytest.raises(Invalid):
        change(feed, {T: "release", P: "release", V: "release"}, end=5, base_us=600)
    with pytest.raises(Invalid):
        change(feed, {T: "release", P: "release"}, end=3, base_us=600)
    with pytest.raises(Invalid):
        change(feed, {T: "release", P: "release"}, end=5, base_us=400)
    feed = turn(feed, 5, 600, T="release")  # entry 4 is given at 600
    with pytest.raises(Invalid):
        change(feed, {T: "hold", P: "hold"}, end=5, base_us=600)
    with pytest.raises(Missing):
        outcome_of(feed, V)
    with pytest.raises(Missing):
        state_of(first_seen(feed, {V: "hold"}, 7), V, 3)


def test_a_feed_survives_its_encoding() -> None:
    feed = turn(served(both(), live_point(1)), 4, 500, T="hold")
    feed = turn(served(feed, live_point(2), only=[P]), 6, 700, T="release")
    assert msgspec.json.decode(msgspec.json.encode(feed), type=Feed) == feed


# --- geometry ---


def test_sweeping_cuts_ranges_at_each_others_ends() -> None:
    assert swept([(T, 0, 4), (P, 2, 6), (V, 9, 9), (T, 4, 5), (V, 8, 9)]) == [
        (0, 2, frozenset({T})),
        (2, 5, frozenset({T, P})),
        (5, 6, frozenset({P})),
        (8, 9, frozenset({V})),
    ]


def test_a_grant_less_a_range_in_its_middle_keeps_the_rest_and_its_times() -> None:
    whole = grant(0, 9, T, P, late=(9, 100))
    assert without(whole, [(T, 3, 5)]) == [
        grant(0, 3, T, P, late=(9, 100)),
        grant(3, 5, P, late=(9, 103)),
        grant(5, 9, T, P, late=(9, 105)),
    ]


# --- the checker ---

LIVE = grant(6, OPEN, T)
SOUND = Feed(
    outcomes=((T, "release"), (P, "moderate")),
    grants=(grant(0, 2, T, P), grant(2, 6, T, late=(6, 700)), LIVE),
    stays=(Stay(P, 2, OPEN, "under review"),),
    mark=live_point(1),
)


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        (
            "feed.cover",
            {"stays": (Stay(P, 2, 4, "under review"), Stay(P, 5, OPEN, "under review"))},
        ),
        ("feed.cover", {"stays": (Stay(P, 1, OPEN, "under review"),)}),
        ("feed.open", {"stays": (Stay(P, 2, 9, "under review"),)}),
        ("feed.open", {"stays": (Stay(P, 2, OPEN, "held"),)}),
        ("feed.waits", {"stays": (Stay(P, 2, 4, "held"), Stay(P, 4, OPEN, "under review"))}),
        ("feed.stays", {"stays": (Stay(P, 2, 4, "expired"), Stay(P, 4, OPEN, "expired"))}),
        ("feed.handlings", {"outcomes": ((T, "release"),)}),
        ("feed.grant", {"grants": (grant(0, 2, T, P), grant(2, 6, T, late=(5, 700)), LIVE)}),
        ("feed.order", {"grants": (grant(2, 6, T, late=(6, 700)), grant(0, 2, T, P), LIVE)}),
        (
            "feed.time",
            {
                "grants": (
                    grant(0, 2, T, P),
                    grant(2, 4, T, late=(6, 700)),
                    grant(4, 6, T, late=(6, 701)),
                    LIVE,
                )
            },
        ),
        ("feed.live", {"grants": (grant(0, 2, T, P), LIVE, grant(2, 6, T, late=(6, 700)))}),
        ("feed.unread", {"mark": START}),
        ("feed.ahead", {"ahead": ((T, START),)}),
    ],
)
def test_the_checker_finds(code: str, wrong: dict[str, tuple[object, ...]]) -> None:
    check_feed(SOUND, 6)
    with pytest.raises(Broken) as found:
        check_feed(msgspec.structs.replace(SOUND, **wrong), 6)
    assert found.value.code == code


def test_a_feed_of_before_is_read_and_what_it_had_reviewed_waits_again() -> None:
    """Feeds of older releases say nothing of what an entry was reviewed for."""
    old = (
        b'{"outcomes":[[0,"moderate"]],"grants":[{"a":0,"b":1,"handlings":[0],"late":'
        b'{"at":2,"shift_us":10,"reviewed":true}},{"a":2,"b":9007199254740991,"handlings":[],'
        b'"late":null}],"stays":[{"handling":0,"a":1,"b":9007199254740991,"state":"under review"}],'
        b'"mark":{"us":-1,"seq":0},"ahead":[]}'
    )
    feed = msgspec.json.decode(old, type=Feed)
    check_feed(feed, 2)
    assert state_of(feed, 0, 0) == "queued"
    changed, _ = change(
        feed, {0: "moderate"}, end=2, base_us=20, grounds={0: frozenset({"moderated"})}
    )
    check_feed(changed, 2)
    assert state_of(changed, 0, 0) == "under review"
