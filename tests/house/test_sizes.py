"""Functions, classes and modules stay short enough to be read."""

from __future__ import annotations

from tests.house.sizes import check_sizes, code_lines
from tests.house.source import expect_none, package_sources, script_sources, source_of


def test_functions_classes_and_modules_stay_within_their_sizes() -> None:
    expect_none(check_sizes([*package_sources(), *script_sources()]))


def test_docstrings_comments_and_blank_lines_are_free() -> None:
    text = '"""Module.\n\nLong.\n"""\n\n# Why.\nx = 1  # beside\n\ny = """two\nlines"""\n'
    assert code_lines(source_of(text)) == {7, 9, 10}


def _function(lines: int, indent: str = "") -> str:
    body = "".join(f"{indent}    x = {n}\n" for n in range(lines - 1))
    return f'{indent}def f():\n{indent}    """Doc."""\n{indent}    # Why.\n\n{body}'


def test_the_51st_code_line_of_a_function_is_complained_of() -> None:
    assert check_sizes([source_of(_function(50))]) == []
    assert len(check_sizes([source_of(_function(51))])) == 1
    assert len(check_sizes([source_of("async " + _function(51))])) == 1


def test_the_301st_code_line_of_a_class_is_complained_of() -> None:
    methods = "".join(_function(30, "    ") for _ in range(9))
    assert check_sizes([source_of(f"class A:\n{methods}{_function(29, '    ')}")]) == []
    complaints = check_sizes([source_of(f"class A:\n{methods}{_function(30, '    ')}")])
    assert ["A: expected" in line for line in complaints] == [True]


def test_the_601st_code_line_of_a_module_is_complained_of() -> None:
    assert check_sizes([source_of("x = 1\n\n# Why.\n" * 600)]) == []
    assert len(check_sizes([source_of("x = 1\n" * 601)])) == 1
