"""Allowances and wrong guesses, by hand-set times."""

from __future__ import annotations

import pytest

from detente.faces.throttle import FREE_GUESSES, KEPT_MAX, LOCKED_S_MAX, Buckets, Guesses

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


def test_allowance_is_a_sixth_of_a_minute_at_once_and_then_refills_steadily() -> None:
    buckets = Buckets()
    assert [buckets.take("a", 60, NOW) for _ in range(12)] == [0] * 10 + [1, 1]
    assert buckets.take("a", 60, NOW + SECOND - 1) == 1
    assert buckets.take("a", 60, NOW + SECOND) == 0
    assert buckets.take("a", 60, NOW + SECOND) == 1
    # Quiet for an hour is worth no more than a sixth of a minute.
    later = NOW + 3600 * SECOND
    assert [buckets.take("a", 60, later) for _ in range(11)] == [0] * 10 + [1]


def test_refused_request_takes_nothing_and_is_told_when_to_come_back() -> None:
    buckets = Buckets()
    assert buckets.take("a", 1, NOW) == 0
    assert [buckets.take("a", 1, NOW) for _ in range(100)] == [60] * 100
    assert buckets.take("a", 1, NOW + 45 * SECOND) == 15
    assert buckets.take("a", 1, NOW + 60 * SECOND) == 0


def test_allowances_are_apart_and_their_memory_is_bounded() -> None:
    buckets = Buckets()
    assert buckets.take("a", 1, NOW) == 0
    assert buckets.take("b", 1, NOW) == 0
    assert buckets.take("a", 1, NOW) == 60
    for number in range(KEPT_MAX + 5):
        buckets.take(f"c{number}", 1, NOW)
    assert len(buckets._left) == KEPT_MAX


def test_sixth_guess_waits_and_each_more_doubles_the_wait() -> None:
    guesses, now, waits = Guesses(), NOW, []
    for _ in range(FREE_GUESSES):
        assert guesses.locked_s("x", "k", now) == 0
        guesses.wrong("x", "k", now)
    for _ in range(11):
        wait = guesses.locked_s("x", "k", now)
        waits.append(wait)
        assert guesses.locked_s("x", "k", now + wait * SECOND - 1) == 1
        now += wait * SECOND
        assert guesses.locked_s("x", "k", now) == 0
        guesses.wrong("x", "k", now)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, LOCKED_S_MAX, LOCKED_S_MAX]


@pytest.mark.parametrize(("address", "name"), [("y", "k"), ("x", "l")])
def test_wait_is_for_one_address_and_one_name(address: str, name: str) -> None:
    guesses = Guesses()
    for _ in range(FREE_GUESSES):
        guesses.wrong("x", "k", NOW)
    assert guesses.locked_s("x", "k", NOW) == 1
    assert guesses.locked_s(address, name, NOW) == 0


def test_right_secret_and_an_hour_without_a_guess_forgive() -> None:
    guesses = Guesses()
    for _ in range(8):
        guesses.wrong("x", "k", NOW)
    guesses.right("x", "k")
    assert guesses.locked_s("x", "k", NOW) == 0
    for _ in range(8):
        guesses.wrong("x", "k", NOW)
    later = NOW + 3600 * SECOND + 1
    guesses.wrong("x", "k", later)
    assert guesses.locked_s("x", "k", later) == 0


def test_memory_of_guesses_is_bounded_and_the_oldest_go_first() -> None:
    guesses = Guesses()
    for _ in range(FREE_GUESSES):
        guesses.wrong("old", "k", NOW)
    for number in range(KEPT_MAX - 1):
        guesses.wrong("x", f"n{number}", NOW)
    assert guesses.locked_s("old", "k", NOW) == 1
    guesses.wrong("x", "one more", NOW)
    assert guesses.locked_s("old", "k", NOW) == 0
    assert len(guesses._wrong) == KEPT_MAX
