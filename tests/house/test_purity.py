"""Up to `rules` all is pure, and there is one clock."""

from __future__ import annotations

import pytest

from tests.house.purity import check_one_clock, check_pure_calls, check_pure_imports
from tests.house.source import expect_none, package_sources, source_of


def test_pure_floors_import_nothing_that_reaches_the_world() -> None:
    expect_none(check_pure_imports(package_sources()))


def test_pure_floors_call_nothing_that_reaches_the_world() -> None:
    expect_none(check_pure_calls(package_sources()))


def test_the_one_clock_lives_in_node() -> None:
    expect_none(check_one_clock(package_sources()))


@pytest.mark.parametrize(
    "name",
    [
        "time", "os", "os.path", "io", "socket", "random", "secrets", "threading", "asyncio",
        "logging", "pathlib", "subprocess", "sys", "tempfile", "structlog", "httpx", "apsw",
    ],
)  # fmt: skip
def test_an_impure_import_is_complained_of(name: str) -> None:
    for text in (f"import {name}", f"from {name} import x", f"def f():\n    import {name}"):
        assert len(check_pure_imports([source_of(text, "detente.rules.feed")])) == 1
        assert check_pure_imports([source_of(text, "detente.gateway.order")]) == []


@pytest.mark.parametrize(
    "text",
    [
        "from datetime import datetime\nx = datetime.now()",
        "import datetime\nx = datetime.datetime.now(datetime.UTC)",
        "import datetime\nx = datetime.datetime.utcnow()",
        "import datetime\nx = datetime.date.today()",
        "import datetime\nclock = datetime.datetime.now",
        "x = open('f')",
        "print('x')",
        "import uuid\nx = uuid.uuid4()",
        "key = Ed25519PrivateKey.generate()",
    ],
)
def test_an_impure_call_is_complained_of(text: str) -> None:
    for module in ("detente.errors", "detente.model.item", "detente.proof.tree", "detente.rules.x"):
        assert len(check_pure_calls([source_of(text, module)])) == 1
    assert check_pure_calls([source_of(text, "detente.store.sqlite")]) == []


def test_pure_arithmetic_on_times_is_left_alone() -> None:
    text = "from datetime import UTC, datetime\nx = datetime.fromtimestamp(3, UTC).isoformat()"
    source = source_of(text, "detente.rules.feed")
    assert check_pure_imports([source]) + check_pure_calls([source]) == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\nx = time.time_ns()",
        "import time as t\nx = t.time()",
        "from time import time_ns\nx = time_ns()",
        "from time import time as now\nx = now()",
        "from datetime import datetime\nx = datetime.now()",
        "import datetime as d\nx = d.datetime.now()",
    ],
)
def test_a_second_clock_is_complained_of(text: str) -> None:
    assert len(check_one_clock([source_of(text, "detente.gateway.order")])) == 1
    assert check_one_clock([source_of(text, "detente.node")]) == []


def test_waiting_by_the_monotonic_clock_is_left_alone() -> None:
    text = "import time\nx = time.monotonic() + loop.time()"
    assert check_one_clock([source_of(text, "detente.gateway.order")]) == []
