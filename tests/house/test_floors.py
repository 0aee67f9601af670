"""The floors of the house hold, and the checker would see it if they did not."""

from __future__ import annotations

import pytest

from tests.house.floors import check_circles, check_floors, check_imports_at_top, find_circles
from tests.house.source import Source, expect_none, package_sources, source_of


def test_every_module_imports_its_own_package_and_lower_floors_only() -> None:
    expect_none(check_floors(package_sources()))


def test_no_modules_import_each_other_in_a_circle() -> None:
    expect_none(check_circles(package_sources()))


def test_no_import_hides_inside_a_function() -> None:
    expect_none(check_imports_at_top(package_sources()))


@pytest.mark.parametrize(
    ("module", "text", "fault"),
    [
        ("detente.model.item", "import detente.rules.feed", "above"),
        ("detente.model.item", "from detente.proof import tree", "one floor"),
        ("detente.proof.tree", "from detente.model.item import Item", "one floor"),
        ("detente.store.sqlite", "from detente.wire import stix", "one floor"),
        ("detente.wire.stix", "from detente.store.sqlite import Store", "one floor"),
        ("detente.ports", "from detente.config import Config", "one floor"),
        ("detente.gateway.gate", "from detente.store import sqlite", "ports only"),
        ("detente.faces.cli.main", "import detente.store.sqlite as s", "ports only"),
        ("detente.faces.cli", "from detente.node import main", "above"),
        ("detente.faces.cli", "from detente.main import main", "above"),
        ("detente.node", "from detente.testing import World", "above"),
        ("detente.testing", "from detente.main import main", "one floor"),
        ("detente.rules.feed", "def f():\n    from detente.gateway import gate", "above"),
        (
            "detente.rules.feed",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import detente.ports",
            "above",
        ),
        ("detente.rules.feed", "from ..gateway import gate", "above"),
        ("detente.rules.feed", "from .. import gateway", "above"),
        ("detente.rules.feed", "from detente import gateway", "above"),
        ("detente.model.item", "from detente import __version__", "outside"),
        ("detente.faces.cli", "import_module('detente.node')", "above"),
        ("detente.faces.cli", "importlib.import_module('detente.store.sqlite')", "ports only"),
        ("detente.brandnew.thing", "x = 1", "no floor"),
        ("detente.node", "import detente.brandnew", "no floor"),
        ("detente", "from detente.gateway.gate import Gate", "impure"),
    ],
)
def test_an_import_that_goes_up_is_complained_of(module: str, text: str, fault: str) -> None:
    known = [source_of("", name) for name in ("detente.gateway", "detente.gateway.gate")]
    complaints = check_floors([source_of(text, module), *known])
    assert len(complaints) == 1
    assert fault in complaints[0]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("detente.model.item", "from detente.model.names import Name"),
        ("detente.model.item", "from detente.errors import Invalid"),
        ("detente.rules.feed", "import detente.model, detente.proof.tree"),
        ("detente.gateway.gate", "from detente.wire import stix"),
        ("detente.node", "from detente.store.sqlite import Store"),
        ("detente.testing", "from detente.node import Node"),
        ("detente", "from detente.model import Item"),
        ("detente.rules.feed", "import os\nfrom collections import Counter"),
    ],
)
def test_an_import_that_goes_down_is_left_alone(module: str, text: str) -> None:
    assert check_floors([source_of(text, module)]) == []


def test_a_circle_through_types_only_is_complained_of() -> None:
    there = source_of("from detente.model.b import B", "detente.model.a")
    back = source_of(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from detente.model import a",
        "detente.model.b",
    )
    assert check_circles([there, back]) == [
        "circle: detente.model.a → detente.model.b → detente.model.a"
    ]
    assert check_circles([there, source_of("", "detente.model.b")]) == []


def test_a_circle_through_the_package_itself_is_complained_of() -> None:
    package = Source(
        "detente.model",
        "m",
        text := "from .item import Item",
        source_of(text).tree,
        is_package=True,
    )
    item = source_of("from detente.model import Other", "detente.model.item")
    assert len(check_circles([package, item])) == 1


def test_long_circles_are_found_and_each_is_shown_once() -> None:
    ring = {"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": []}
    assert find_circles(ring) == [["a", "b", "c", "a"]]
    assert find_circles({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == []


def test_an_import_inside_a_function_is_complained_of() -> None:
    inside = "def f():\n    if True:\n        import os\n"
    assert len(check_imports_at_top([source_of(inside)])) == 1
    assert check_imports_at_top([source_of("try:\n    import os\nexcept ImportError: ...\n")]) == []
