"""Standings at their boundaries, by hand: the start counts, the end does not."""

from __future__ import annotations

from itertools import permutations

import pytest

from detente.model import Choice, Scope
from detente.rules.standing import fold
from tests.unit.rules.kit import (
    FROM,
    UNTIL,
    agreement,
    assurance,
    charter,
    directive,
    effect,
    given,
    opened,
    withdrawn,
)


def names(at_ms: int, *acts: object) -> list[str]:
    return [o.directive.id for o in fold([*opened(), *acts], at_ms).orders]  # type: ignore[list-item]  # acts of the kit


@pytest.mark.parametrize(
    ("at_ms", "alive"), [(FROM - 1, False), (FROM, True), (UNTIL - 1, True), (UNTIL, False)]
)
def test_agreement_is_in_force_from_its_first_to_before_its_last_instant(
    at_ms: int, alive: bool
) -> None:
    assert fold(opened(), at_ms).agreement_in_force is alive


def test_without_acts_nothing_is_in_force() -> None:
    standing = fold([], 5)
    assert (standing.agreement, standing.agreement_in_force, standing.next_ms) == (
        None,
        False,
        None,
    )


@pytest.mark.parametrize(
    ("at_ms", "stands"), [(1999, False), (2000, True), (2999, True), (3000, False)]
)
def test_order_stands_from_its_act_to_before_its_end(at_ms: int, stands: bool) -> None:
    assert names(at_ms, effect(directive("D1", end_ms=3000), 2000)) == ["D1"] * stands


@pytest.mark.parametrize(("at_ms", "stands"), [(2400, False), (2499, False), (2500, True)])
def test_order_with_a_start_waits_for_it(at_ms: int, stands: bool) -> None:
    act = effect(directive("D1", start_ms=2500), 2000)
    assert names(at_ms, act) == ["D1"] * stands
    assert [o.directive.id for o in fold([*opened(), act], at_ms).coming] == ["D1"] * (not stands)


def test_start_before_the_act_does_not_reach_back() -> None:
    assert names(1999, effect(directive("D1", start_ms=1500), 2000)) == []


@pytest.mark.parametrize("start", [None, 2003, 2006])
@pytest.mark.parametrize("end", [None, 2004, 2008])
def test_supersession_leaves_no_instant_between_and_none_doubled(
    start: int | None, end: int | None
) -> None:
    """Over every millisecond: D1 or D2 stands, never both, and none only after D1's own end."""
    acts = [
        effect(directive("D1", end_ms=end), 2000),
        effect(directive("D2", start_ms=start, supersedes=("D1",)), 2002),
    ]
    takes = max(2002, start or 0)
    for at_ms in range(1995, 2012):
        expected = []
        if 2000 <= at_ms < min(takes, end or takes):
            expected = ["D1"]
        elif at_ms >= takes:
            expected = ["D2"]
        assert names(at_ms, *acts) == expected, at_ms


def test_first_of_two_that_supersede_one_order_ends_it() -> None:
    acts = [
        effect(directive("D1"), 2000),
        effect(directive("D3", start_ms=2009, supersedes=("D1",)), 2002),
        effect(directive("D2", start_ms=2005, supersedes=("D1",)), 2003),
    ]
    assert [names(at, *acts) for at in (2004, 2005, 2009)] == [["D1"], ["D2"], ["D2", "D3"]]


@pytest.mark.parametrize(
    ("at_ms", "valid"), [(1999, False), (2000, True), (FROM + 4999, True), (FROM + 5000, False)]
)
def test_assurance_counts_from_its_act_to_before_its_end(at_ms: int, valid: bool) -> None:
    standing = fold([*opened(), given(assurance(), 2000)], at_ms)
    assert [p.assurance.id for p in standing.promises] == ["P1"] * valid


def test_withdrawn_assurance_is_over_at_that_instant_also_if_it_is_given_again() -> None:
    acts = [*opened(), given(assurance(), 2000), withdrawn("P1", 2500), given(assurance(), 2600)]
    for at_ms, valid in ((2499, 1), (2500, 0), (2700, 0)):
        assert len(fold(acts, at_ms).promises) == valid


def test_next_instant_is_the_nearest_of_all_changes() -> None:
    acts = [
        *opened(),
        effect(directive("D1", start_ms=3000, end_ms=4000), 2000),
        given(assurance(), 2000),
    ]
    seen, at_ms = [], 2000
    while (following := fold(acts, at_ms).next_ms) is not None:
        seen.append(following)
        at_ms = following
    assert seen == [3000, 4000, FROM + 5000, UNTIL]


def test_standing_changes_at_no_other_instant_than_it_says() -> None:
    acts = [
        *opened(),
        effect(directive("D1", start_ms=2010, end_ms=2020), 2000),
        effect(directive("D2", supersedes=("D1",)), 2015),
        given(assurance(from_ms=2012, until_ms=2018), 2000),
    ]
    for at_ms in range(1990, 2030):
        now, then = fold(acts, at_ms), fold(acts, at_ms + 1)
        if now.digest != then.digest:
            assert now.next_ms == at_ms + 1


def test_digest_does_not_depend_on_the_order_in_which_acts_were_heard() -> None:
    acts = [
        effect(directive("D1"), 2000),
        effect(directive("D2", issuer="B"), 2001),
        given(assurance(), 2002),
    ]
    digests = {fold([*opened(), *order], 2100).digest for order in permutations(acts)}
    assert len(digests) == 1
    assert digests != {fold([*opened(), *acts[:2]], 2100).digest}


def test_later_acts_do_not_change_the_past() -> None:
    acts = [*opened(), effect(directive("D1"), 2000)]
    later = [*acts, effect(directive("D2", supersedes=("D1",)), 3000)]
    for at_ms in (1999, 2000, 2999):
        assert fold(acts, at_ms).digest == fold(later, at_ms).digest


def test_newest_charter_and_agreement_count_whatever_came_last() -> None:
    acts = opened()
    newer = type(acts[0])(charter=charter("A", version=2), digest="f" * 64, at_ms=2)  # type: ignore[call-arg]  # a charter act
    standing = fold([newer, *acts], 5_000)
    found = standing.charter("A")
    assert found is not None
    assert found.version == 2
    second = opened(agreement(version=2))[-1]
    assert fold([second, *acts], 5_000).agreement == agreement(version=2)


def test_scope_of_a_narrowing_stops_what_does_not_remain() -> None:
    order = directive(
        "D1", "narrow", scope=Scope(unit=Choice.of("U")), remains=Scope(kind=Choice.of("VT"))
    )
    (found,) = fold([*opened(), effect(order, 2000)], 2000).orders
    assert found.stops == (Scope(unit=Choice.of("U"), kind=Choice.but("VT")),)
