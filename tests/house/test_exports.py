"""What is public is said in `__all__`, and what is said there exists."""

from __future__ import annotations

import ast
import importlib
import inspect

import pytest

from tests.house.source import Source, package_sources, source_of

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


def test_a_missing_or_computed_all_is_seen_as_none() -> None:
    assert names_in_all(source_of("x = 1")) is None
    assert names_in_all(source_of("__all__ = [n for n in dir()]")) is None
    assert names_in_all(source_of("__all__: list[str] = ['a']")) == ["a"]
    assert names_in_all(source_of("__all__ = ('a', 'b')")) == ["a", "b"]
