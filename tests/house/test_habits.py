"""One door, reasons beside exceptions to a rule, no code out of data, tests that stand still."""

from __future__ import annotations

import pytest

from tests.house.habits import (
    check_any,
    check_broad_excepts,
    check_dangerous_calls,
    check_ignores,
    check_one_door,
    check_still_tests,
)
from tests.house.source import expect_none, package_sources, script_sources, source_of, test_sources

STILL = ("tests/unit/", "tests/world/", "tests/house/", "tests/vectors/")


def test_only_the_gate_makes_a_cleared() -> None:
    expect_none(check_one_door(package_sources()))


def test_broad_excepts_stand_at_the_edge_with_their_reason() -> None:
    expect_none(check_broad_excepts(package_sources()))


def test_every_ignore_names_its_code_and_its_reason() -> None:
    expect_none(check_ignores([*package_sources(), *script_sources(), *test_sources()]))


def test_any_stays_in_the_codec_and_the_wire() -> None:
    expect_none(check_any(package_sources()))


def test_no_data_becomes_code() -> None:
    expect_none(check_dangerous_calls([*package_sources(), *script_sources()]))


def test_short_tests_neither_sleep_nor_read_the_clock_nor_mock() -> None:
    still = [source for source in test_sources() if source.place.startswith(STILL)]
    assert still
    expect_none(check_still_tests(still))


@pytest.mark.parametrize(
    "text",
    [
        "x = Cleared(1)",
        "x = gate.Cleared(1)",
        "x = Cleared.__new__(Cleared)",
        "x = object.__new__(Cleared)",
        "x = msgspec.convert({}, Cleared)",
        "x = msgspec.json.decode(b, type=list[Cleared])",
        "Other = Cleared",
        "class Mine(Cleared): ...",
        "from detente.gateway.gate import Cleared as C",
        "def f(x=Cleared(1)): ...",
        "def f() -> Cleared:\n    return Cleared(1)",
    ],
)
def test_a_second_door_is_complained_of(text: str) -> None:
    assert check_one_door([source_of(text, "detente.gateway.deliver")])
    assert check_one_door([source_of(text, "detente.gateway.gate")]) == []


@pytest.mark.parametrize(
    "text",
    [
        "from detente.gateway.gate import Cleared",
        "def f(x: Cleared, *more: list[Cleared]) -> Cleared | None: ...",
        "class A:\n    cleared: Cleared",
        "Send = Callable[[Cleared], None]",
        "ok = isinstance(x, Cleared)",
        "match x:\n    case Cleared():\n        pass",
    ],
)
def test_naming_a_cleared_is_left_alone(text: str) -> None:
    assert check_one_door([source_of(text, "detente.gateway.deliver")]) == []


TRY = "try:\n    f()\n"


@pytest.mark.parametrize("kind", ["", " Exception", " BaseException as e", " (OSError, Exception)"])
def test_a_broad_except_below_the_faces_is_complained_of(kind: str) -> None:
    text = f"{TRY}except{kind}:  # the reason is a good one here\n    pass\n"
    for module in ("detente.gateway.gate", "detente.store.sqlite", "detente.rules.feed"):
        assert len(check_broad_excepts([source_of(text, module)])) == 1
    for module in ("detente.faces.http", "detente.node", "detente.store.writer"):
        assert check_broad_excepts([source_of(text, module)]) == []


def test_a_broad_except_that_only_puts_away_is_left_alone() -> None:
    again = f"{TRY}except BaseException:\n    close()\n    raise\n"
    other = f"{TRY}except BaseException:\n    raise Broken()\n"
    maybe = f"{TRY}except BaseException:\n    if x:\n        raise\n"
    found = [len(check_broad_excepts([source_of(text)])) for text in (again, other, maybe)]
    assert found == [0, 1, 1]


def test_a_broad_except_without_reason_is_complained_of() -> None:
    bare = f"{TRY}except Exception:\n    pass\n"
    marked = f"{TRY}except Exception:  # noqa: BLE001\n    pass\n"
    above = f"{TRY}# Nothing may fall through the edge.\nexcept Exception:\n    pass\n"
    narrow = f"{TRY}except (OSError, ValueError):\n    pass\n"
    found = [len(check_broad_excepts([source_of(text, "detente.faces.http")]))
             for text in (bare, marked, above, narrow)]  # fmt: skip
    assert found == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("comment", "fault"),
    [
        ("noqa", "no code"),
        ("noqa: BLE001", "no reason"),
        ("type: ignore", "no code"),
        ("type: ignore[arg-type]", "no reason"),
        ("type: ignore[arg-type]  # noqa: E501", "no reason"),
    ],
)
def test_an_ignore_without_code_or_reason_is_complained_of(comment: str, fault: str) -> None:
    complaints = check_ignores([source_of(f"x = f()  # {comment}\n")])
    assert complaints
    assert all(fault in complaint for complaint in complaints)


def test_an_ignore_with_code_and_reason_is_left_alone() -> None:
    beside = "x = f()  # type: ignore[arg-type]  # the stub knows bytes only\n"
    above = "# The stub knows bytes only.\nx = f()  # type: ignore[arg-type]\n"
    words = "# A line that speaks of noqa in the middle of a sentence.\n"
    assert check_ignores([source_of(text) for text in (beside, above, words)]) == []


def test_any_outside_its_places_is_complained_of() -> None:
    text = "from typing import Any, Final"
    assert len(check_any([source_of(text, "detente.gateway.gate")])) == 1
    allowed = ("detente.model.codec", "detente.wire.stix")
    assert check_any([source_of(text, module) for module in allowed]) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from marshal import loads",
        "x = eval('1')",
        "exec('x = 1')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
        "os.system('ls')",
        "db.execute(f'select {x}')",
        "db.cursor().executemany('select ' + x, [])",
        "db.execute('select %s' % x)",
        "db.execute('select {}'.format(x))",
    ],
)
def test_data_that_becomes_code_is_complained_of(text: str) -> None:
    assert len(check_dangerous_calls([source_of(text)])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "db.execute('select ?', (x,))",
        "db.execute(f'select 1')",
        "db.execute(f'select {_COLUMNS} from item')",
        "db.execute('select ' 'one')",
        "db.execute(QUERY, (x,))",
        "subprocess.run(['ls'], shell=False)",
        "model.eval()",
    ],
)
def test_safe_calls_are_left_alone(text: str) -> None:
    assert check_dangerous_calls([source_of(text)]) == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "await asyncio.sleep(0.1)",
        "x = time.time()",
        "x = datetime.now()",
        "from unittest.mock import patch",
        "from unittest import mock",
        "import unittest.mock",
    ],
)
def test_a_test_that_waits_reads_the_clock_or_mocks_is_complained_of(text: str) -> None:
    assert len(check_still_tests([source_of(text)])) == 1
    assert check_still_tests([source_of("await asyncio.sleep(0)")]) == []
