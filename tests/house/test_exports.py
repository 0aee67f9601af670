"""What is public is said in `__all__`, and what is said there exists."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
from types import ModuleType

import pytest

from tests.house.source import (
    PACKAGE,
    Source,
    package_sources,
    script_sources,
    source_of,
    test_sources,
)

# Public and stable; everything else may change without notice.
PUBLIC = ("detente", "detente.errors", "detente.model", "detente.proof", "detente.testing")
EXISTING = [name for name in PUBLIC if name in {source.module for source in package_sources()}]


def names_in_all(source: Source) -> list[str] | None:
    """The names in `__all__`, or None where there is none or it is put together at run time."""
    for node in source.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            try:
                value = ast.literal_eval(node.value) if node.value else None
            except ValueError:
                return None
            return [str(name) for name in value] if isinstance(value, list | tuple) else None
    return None


@pytest.mark.parametrize("module", EXISTING)
def test_public_modules_list_what_is_public(module: str) -> None:
    source = next(source for source in package_sources() if source.module == module)
    names = names_in_all(source)
    assert names is not None, f"{module}: expected a literal __all__, got none"
    assert len(names) == len(set(names)), f"{module}: a name stands twice in __all__"
    loaded = importlib.import_module(module)
    assert [name for name in names if not hasattr(loaded, name)] == []
    assert [name for name in names if name.startswith("_") and name != "__version__"] == []


@pytest.mark.parametrize("module", EXISTING)
def test_public_classes_and_functions_say_what_they_promise(module: str) -> None:
    loaded = importlib.import_module(module)
    silent = [
        name
        for name in getattr(loaded, "__all__", [])
        if (inspect.isclass(value := getattr(loaded, name)) or inspect.isfunction(value))
        and not (value.__doc__ or "").strip()
    ]
    assert silent == []


def test_every_other_all_names_only_what_its_module_binds() -> None:
    wrong = []
    for source in package_sources():
        loaded = None
        for name in names_in_all(source) or []:
            loaded = loaded or importlib.import_module(source.module)
            if not hasattr(loaded, name):
                wrong.append(f"{source.place}: {name}")
    assert wrong == []


def _is_module(package: ModuleType, name: str) -> bool:
    """Whether a package has a module of that name that nobody has loaded yet."""
    if not hasattr(package, "__path__"):
        return False
    return importlib.util.find_spec(f"{package.__name__}.{name}") is not None


def names_not_there(source: Source) -> list[str]:
    """Imports from the package, wherever in the file, of names that are not in it."""
    wrong = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
            continue
        if node.module.split(".")[0] != PACKAGE:
            continue
        loaded = importlib.import_module(node.module)
        for alias in node.names:
            if not hasattr(loaded, alias.name) and not _is_module(loaded, alias.name):
                wrong.append(f"{source.at(node)}: {node.module} has no {alias.name}")
    return wrong


def test_what_scripts_and_tests_take_from_the_package_is_there() -> None:
    """Scripts run in processes of their own, long after what they import has moved."""
    places = [*script_sources(), *test_sources()]
    assert [line for source in places for line in names_not_there(source)] == []


def test_an_import_of_what_is_not_there_is_found() -> None:
    bad = source_of("def late():\n    from detente.wire.terms import time_text, nothing_like_it\n")
    assert [line.split(": ")[1] for line in names_not_there(bad)] == [
        "detente.wire.terms has no time_text",
        "detente.wire.terms has no nothing_like_it",
    ]
    assert names_not_there(source_of("from detente.rules import times, standing")) == []
    assert names_not_there(source_of("from . import x\nfrom json import nothing")) == []


def test_a_missing_or_computed_all_is_seen_as_none() -> None:
    assert names_in_all(source_of("x = 1")) is None
    assert names_in_all(source_of("__all__ = [n for n in dir()]")) is None
    assert names_in_all(source_of("__all__: list[str] = ['a']")) == ["a"]
    assert names_in_all(source_of("__all__ = ('a', 'b')")) == ["a", "b"]
