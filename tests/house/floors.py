"""The floors of the house: who may import whom.

Promised: every import statement of the package is seen, at the top of a module, inside a function
or under TYPE_CHECKING, absolute or relative, and `import_module("detente…")` with a fixed name.
Not seen: names put together at run time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from tests.house.source import PACKAGE, Source, dotted

# Bottom to top. Parts on one floor do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("model", "proof"),
    ("rules",),
    ("ports", "config"),
    ("store", "wire"),
    ("gateway",),
    ("faces",),
    ("record",),
    ("node",),
    ("main", "testing"),
)
HEIGHT = {part: height for height, parts in enumerate(FLOORS) for part in parts}
# Importing any module runs `detente/__init__.py` first, so that must stay as pure as the purest.
ROOT_MAY_IMPORT = frozenset({"errors", "model", "proof", "rules"})
# `store` lies below `gateway` and `faces`, yet they reach it through `ports` only.
FORBIDDEN = frozenset({("gateway", "store"), ("faces", "store")})


def imported_modules(source: Source, known: frozenset[str]) -> Iterator[tuple[ast.AST, str]]:
    """Yield each import of our own package as (where, module); names in a module stay with it."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(source, node)
            joined = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in known else base for name in joined]
        elif isinstance(node, ast.Call):
            names = _named_at_run_time(node)
        else:
            continue
        for name in sorted(set(names)):
            if name == PACKAGE or name.startswith(PACKAGE + "."):
                yield node, name


def _base_of(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = source.module.split(".")
    package = package[: len(package) - node.level + (1 if source.is_package else 0)]
    return ".".join([*package, *([node.module] if node.module else [])])


def _named_at_run_time(node: ast.Call) -> list[str]:
    if dotted(node.func).split(".")[-1] not in {"import_module", "__import__"}:
        return []
    return [
        arg.value
        for arg in node.args
        if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
    ]


def part_of(module: str) -> str:
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def check_floors(sources: Sequence[Source]) -> list[str]:
    """Complain of every import that does not go to the own package or to a lower floor."""
    known = frozenset(source.module for source in sources)
    complaints: list[str] = []
    for source in sources:
        if source.part and source.part not in HEIGHT:
            complaints.append(f"{source.place}: {source.part!r} has no floor; name it in FLOORS")
            continue
        for node, module in imported_modules(source, known):
            fault = _fault(source.part, part_of(module))
            if fault:
                complaints.append(f"{source.at(node)}: imports {module}: {fault}")
    return complaints


def _fault(importer: str, imported: str) -> str:
    if not importer:
        return "" if imported in ROOT_MAY_IMPORT else "the root stays below the impure floors"
    if not imported:
        return "the root is for those outside"
    if imported not in HEIGHT:
        return f"{imported!r} has no floor"
    if (importer, imported) in FORBIDDEN:
        return f"{importer} reaches {imported} through ports only"
    if importer == imported or HEIGHT[imported] < HEIGHT[importer]:
        return ""
    if HEIGHT[imported] == HEIGHT[importer]:
        return f"{importer} and {imported} are on one floor and do not know each other"
    return f"{imported} is above {importer}"


def check_circles(sources: Sequence[Source]) -> list[str]:
    """Complain of every set of modules that import each other, be it for types only."""
    known = frozenset(source.module for source in sources)
    graph = {
        source.module: sorted(
            {name for _, name in imported_modules(source, known) if name in known} - {source.module}
        )
        for source in sources
    }
    return [f"circle: {' → '.join(circle)}" for circle in find_circles(graph)]


def find_circles(graph: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """One shortest circle through every module that can come back to itself, each shown once."""
    circles: dict[frozenset[str], list[str]] = {}
    for start in sorted(graph):
        circle = _way_back(graph, start)
        if circle:
            circles.setdefault(frozenset(circle), circle)
    return list(circles.values())


def _way_back(graph: Mapping[str, Sequence[str]], start: str) -> list[str]:
    ways = [[start]]
    seen = set()
    for way in ways:  # grows while it is read: a breadth-first walk
        for following in graph.get(way[-1], ()):
            if following == start:
                return [*way, start]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def check_imports_at_top(sources: Sequence[Source]) -> list[str]:
    """Complain of imports inside functions: they hide what a module stands on."""
    complaints: list[str] = []
    for source in sources:
        for function in ast.walk(source.tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            complaints.extend(
                f"{source.at(node)}: import inside a function"
                for node in ast.walk(function)
                if isinstance(node, ast.Import | ast.ImportFrom)
            )
    return sorted(set(complaints))
