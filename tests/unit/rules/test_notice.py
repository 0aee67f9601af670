"""An agreement over time: its versions follow each other without a gap, and what is to come of it
is told in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from detente.model import Agreement, Notice, digest, encode
from detente.rules.notice import notices
from detente.rules.standing import Act, AgreementOpened, Standing, fold
from detente.rules.times import time_text
from tests.unit.rules.kit import agreement, opened

T = 100_000


def version(number: int, from_ms: int, until_ms: int, **fields: object) -> Agreement:
    return replace(
        agreement(),
        version=number,
        from_ms=from_ms,
        until_ms=until_ms,
        review_ms=until_ms,
        **fields,
    )


def known(*versions: Agreement, at_ms: int = 1) -> list[Act]:
    """Acts by which these versions were opened, all at one instant."""
    first = opened(versions[0])[:-1]
    return [
        *first,
        *(
            AgreementOpened(agreement=one, digest=digest(encode(one)), at_ms=at_ms)
            for one in versions
        ),
    ]


TIMES = st.integers(10, 60)


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Terms of versions, each beginning within the one before or where it ends."""
    begin = draw(TIMES)
    terms = [(begin, begin + draw(st.integers(1, 30)))]
    for _ in range(draw(st.integers(1, 4))):
        since, until = terms[-1]
        begin = draw(st.integers(since, until))
        terms.append((begin, begin + draw(st.integers(1, 30))))
    return terms


@given(terms=chains())
def test_versions_that_touch_or_overlap_leave_no_instant_without_one(
    terms: list[tuple[int, int]],
) -> None:
    versions = [version(n, *term) for n, term in enumerate(terms, start=1)]
    acts = known(*versions)
    boundaries = {t + d for term in terms for t in term for d in (-1, 0, 1)}
    begin, last = terms[0][0], terms[-1]
    for at_ms in sorted(boundaries):
        standing = fold(acts, at_ms)
        assert standing.agreement_in_force is (begin <= at_ms < last[1]), at_ms
        if standing.agreement_in_force:
            # The newest that has begun, and no other, is what stands.
            newest = max(v.version for v in versions if v.from_ms <= at_ms)
            assert standing.agreement is not None
            assert standing.agreement.version == newest
        # Nothing changes between two instants that the fold itself names.
        if standing.next_ms is not None:
            before = fold(acts, standing.next_ms - 1)
            assert before.digest == standing.digest or standing.next_ms - 1 <= at_ms


@given(gap=st.integers(1, 50), at=st.integers(0, 49))
def test_between_versions_that_do_not_touch_everything_is_held(gap: int, at: int) -> None:
    acts = known(version(1, 10, 20), version(2, 20 + gap, 200))
    at_ms = 20 + at % gap
    assert not fold(acts, at_ms).agreement_in_force
    assert fold(acts, 19).agreement_in_force
    assert fold(acts, 20 + gap).agreement_in_force


@pytest.mark.parametrize(
    ("terms", "at_ms", "alive"),
    [
        ([(10, 20), (20, 30)], 19, 1),
        ([(10, 20), (20, 30)], 20, 2),
        ([(10, 20), (15, 30)], 14, 1),
        ([(10, 20), (15, 30)], 15, 2),
        ([(10, 20), (21, 30)], 20, None),
        ([(10, 20), (21, 30)], 21, 2),
        # A shorter second version ends the flow earlier than the first would have.
        ([(10, 50), (20, 30)], 29, 2),
        ([(10, 50), (20, 30)], 30, None),
        # One that begins before its predecessor takes its place at once.
        ([(10, 20), (5, 30)], 10, 2),
    ],
)
def test_table_of_two_versions(terms: list[tuple[int, int]], at_ms: int, alive: int | None) -> None:
    acts = known(*(version(n, *term) for n, term in enumerate(terms, start=1)))
    standing = fold(acts, at_ms)
    stands = standing.agreement.version if standing.agreement else None
    assert (stands if standing.agreement_in_force else None) == alive


def test_a_version_opened_late_takes_force_when_it_is_opened() -> None:
    first, second = version(1, 10, 100), version(2, 20, 200)
    acts = [*known(first), *known(second, at_ms=60)[-1:]]
    assert [fold(acts, at).agreement.version for at in (59, 60)] == [1, 2]  # type: ignore[union-attr]  # both stand


# --- what is told -------------------------------------------------------------------------------

NOTICE = Notice(amend_ms=5_000, end_ms=10_000, review_ms=20_000)


def standing_at(at_ms: int, *versions: Agreement) -> Standing:
    return fold(known(*versions), at_ms)


@pytest.mark.parametrize(
    ("at_ms", "said"),
    [
        (T - 10_001, []),
        (T - 10_000, ["ends"]),
        (T - 1, ["ends"]),
        (T, ["ended"]),
        (T + 10**9, ["ended"]),
    ],
)
def test_the_end_is_told_within_its_notice_and_ever_after(at_ms: int, said: list[str]) -> None:
    told = notices(standing_at(at_ms, version(1, 10, T, notice=NOTICE)))
    assert [words.split()[2] for words in told] == said
    assert all(time_text(T) in words for words in told)


@pytest.mark.parametrize(
    ("at_ms", "said"),
    [(29_999, []), (30_000, ["is due"]), (49_999, ["is due"]), (50_000, ["was due"])],
)
def test_the_review_is_told_within_its_notice_and_when_it_is_late(
    at_ms: int, said: list[str]
) -> None:
    terms = replace(version(1, 10, T, notice=NOTICE), review_ms=50_000)
    told = notices(standing_at(at_ms, terms))
    assert [" ".join(words.split()[2:4]) for words in told] == said


def test_a_next_version_takes_the_place_of_the_end() -> None:
    first, second = version(1, 10, T, notice=NOTICE), version(2, T, 2 * T)
    assert notices(standing_at(T - 5_001, first, second)) == ()
    told = notices(standing_at(T - 5_000, first, second))
    assert told == (f"Version 2 takes over at {time_text(T)}.",)
    assert notices(standing_at(T, first, second)) == ()


def test_a_next_version_that_begins_too_late_is_told_with_the_end() -> None:
    first, second = version(1, 10, T, notice=NOTICE), version(2, T + 1, 2 * T)
    for at_ms, said in ((T - 10_000, "ends"), (T, "ended")):
        told = notices(standing_at(at_ms, first, second))
        assert said in told[0]
        assert told[1] == f"Version 2 begins at {time_text(T + 1)}."


def test_without_notice_what_has_happened_is_told_all_the_same() -> None:
    terms = replace(version(1, 10, T), review_ms=50_000)
    assert notices(standing_at(49_999, terms)) == ()
    assert "was due" in notices(standing_at(50_000, terms))[0]
    assert "ended" in notices(standing_at(T, terms))[0]
    assert "begins" in notices(standing_at(9, terms))[0]
    assert notices(fold([], 5)) == ()
