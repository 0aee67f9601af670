"""The algebra of scopes, point by point: also for values that nobody has used yet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detente.model import Cell, Choice, Scope, covers, meet, meets, outside_all, without
from detente.model.scope import ACTS, DIMENSIONS, DIRECTIONS, EVERYTHING

#: The last value stands for any that no scope names.
OPEN = ("a", "b", "c", "never named")
VALUES = dict.fromkeys(DIMENSIONS, OPEN) | {"direction": DIRECTIONS, "act": ACTS}


def choices(name: str) -> st.SearchStrategy[Choice]:
    named = VALUES[name][:3]
    lists = st.sets(st.sampled_from(named), min_size=1)
    closed = name in ("direction", "act")
    return st.one_of(
        st.just(Choice()),
        lists.map(lambda found: Choice.of(*found)),
        lists.filter(lambda found: not closed or found != set(VALUES[name])).map(
            lambda found: Choice.but(*found)
        ),
    )


def boxes(names: tuple[str, ...] = DIMENSIONS) -> st.SearchStrategy[Scope]:
    return st.builds(Scope, **{name: choices(name) for name in names})


#: Boxes that say something in three dimensions only meet more often than not.
scopes = boxes() | boxes(("kind", "unit", "direction"))
cells = st.builds(Cell, **{name: st.sampled_from(VALUES[name]) for name in DIMENSIONS})
several = st.lists(boxes(("kind", "unit", "direction")), max_size=3).map(tuple)


@given(cells)
def test_everything_covers_every_cell(cell: Cell) -> None:
    assert covers(EVERYTHING, cell)


@given(scopes, scopes, st.lists(cells, min_size=20, max_size=20))
def test_meet_covers_what_both_cover(first: Scope, second: Scope, found: list[Cell]) -> None:
    common = meet(first, second)
    assert meets(first, second) == (common is not None) == meets(second, first)
    for cell in found:
        both = covers(first, cell) and covers(second, cell)
        assert (common is not None and covers(common, cell)) == both


@given(scopes, scopes, st.lists(cells, min_size=20, max_size=20))
def test_without_covers_what_the_first_covers_and_the_second_does_not(
    first: Scope, second: Scope, found: list[Cell]
) -> None:
    left = without(first, second)
    assert len(left) <= len(DIMENSIONS)
    for cell in found:
        times = sum(covers(piece, cell) for piece in left)
        assert times == (covers(first, cell) and not covers(second, cell))


@given(several, several, st.lists(cells, min_size=20, max_size=20))
def test_outside_all_covers_what_none_of_the_others_covers(
    those: tuple[Scope, ...], others: tuple[Scope, ...], found: list[Cell]
) -> None:
    left = outside_all(those, others)
    for cell in found:
        inside = any(covers(one, cell) for one in those)
        beaten = any(covers(one, cell) for one in others)
        assert any(covers(piece, cell) for piece in left) == (inside and not beaten)


@given(several, several)
def test_outside_all_is_empty_only_where_nothing_is_left(
    those: tuple[Scope, ...], others: tuple[Scope, ...]
) -> None:
    """Every box that is left has a cell, and that cell shows it."""
    for piece in outside_all(those, others):
        cell = Cell(
            **{
                name: next(v for v in VALUES[name] if getattr(piece, name).has(v))
                for name in DIMENSIONS
            }
        )
        assert any(covers(one, cell) for one in those)
        assert not any(covers(one, cell) for one in others)


@given(scopes)
def test_nothing_is_left_of_a_scope_without_itself(scope: Scope) -> None:
    assert without(scope, scope) == ()
    assert meet(scope, scope) is not None


def test_all_but_a_value_is_not_all_that_are_known() -> None:
    known = Scope(kind=Choice.of("a", "b"))
    assert without(Scope(kind=Choice.but("a")), known) == (Scope(kind=Choice.but("a", "b")),)


def test_closed_dimension_is_exhausted_by_its_values() -> None:
    assert without(Scope(), Scope(direction=Choice.of("in", "out"))) == ()
    assert meet(Scope(direction=Choice.but("in")), Scope(direction=Choice.of("in"))) is None


def test_only_a_value_listed_is_named_outright() -> None:
    assert Choice.of("SL").names("SL")
    assert not Choice.but("VT").names("SL")
    assert not Choice().names("SL")
