"""Each check of the conformance suite cites a section of the standard, and knows no server."""

from __future__ import annotations

import ast

from tests.conformance.sections import HEADINGS
from tests.house.source import Source, expect_none, source_of, test_sources

CHECKS_MIN = 120


def suite() -> list[Source]:
    return [one for one in test_sources() if one.place.startswith("tests/conformance/")]


def checks(source: Source) -> list[ast.FunctionDef]:
    found = [node for node in source.tree.body if isinstance(node, ast.FunctionDef)]
    return [node for node in found if node.name.startswith("test_")]


def check_sections(source: Source) -> list[str]:
    """Complain of checks without a `section(...)` that names a heading of the standard."""
    complaints = []
    for node in checks(source):
        cited = [
            one.args[0].value
            for one in node.decorator_list
            if isinstance(one, ast.Call)
            and isinstance(one.func, ast.Name)
            and one.func.id == "section"
            and one.args
            and isinstance(one.args[0], ast.Constant)
        ]
        if len(cited) != 1 or cited[0] not in HEADINGS:
            complaints.append(f"{source.at(node)}: {node.name}: expected one section, got {cited}")
    return complaints


def check_black_box(source: Source) -> list[str]:
    """Complain of imports of the package: the suite has nothing but HTTP."""
    names = [
        (node, alias.name)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ] + [
        (node, node.module or "")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom)
    ]
    return [
        f"{source.at(node)}: imports {name}"
        for node, name in names
        if name.split(".")[0] == "detente"
    ]


def test_every_conformance_check_cites_its_section() -> None:
    assert sum(len(checks(source)) for source in suite()) >= CHECKS_MIN
    expect_none([line for source in suite() for line in check_sections(source)])


def test_the_conformance_suite_imports_nothing_of_the_package() -> None:
    expect_none([line for source in suite() for line in check_black_box(source)])


def test_a_check_without_a_section_is_complained_of() -> None:
    assert check_sections(source_of('@section("5.4")\ndef test_a():\n    pass\n')) == []
    for text in ("", '@section("5.99")\n', "@section()\n", '@section("5.4")\n@section("5.5")\n'):
        assert len(check_sections(source_of(f"{text}def test_a():\n    pass\n"))) == 1


def test_an_import_of_the_package_is_complained_of() -> None:
    assert check_black_box(source_of("import httpx\nfrom tests.conformance import kit\n")) == []
    for text in ("import detente.node", "from detente.model import Agreement"):
        assert len(check_black_box(source_of(text))) == 1
