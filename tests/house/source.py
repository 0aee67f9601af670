"""Python source as the checkers of the house see it: parsed, with its module name and comments.

A checker is a function from `Source` (or several) to a list of complaints, each one line that says
where and what. It reads files only through here, so that the same checker runs over the real tree
and over a few lines of bad source in its own test.
"""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "detente"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One Python file: `module` is its dotted name (`detente.model.item`), empty for scripts."""

    module: str
    place: str
    text: str
    tree: ast.Module
    is_package: bool = False

    def at(self, node: ast.AST) -> str:
        """The place of a node, as an editor understands it."""
        return f"{self.place}:{getattr(node, 'lineno', 1)}"

    @property
    def part(self) -> str:
        """The package or single module below `detente`: `model`, `errors`; the root is ''."""
        names = self.module.split(".")
        return names[1] if len(names) > 1 else ""


def source_of(text: str, module: str = "detente.gateway.sample") -> Source:
    """A source out of a string, for the tests of the checkers."""
    return Source(module, module.replace(".", "/") + ".py", text, ast.parse(text))


def read_source(path: Path, module: str = "") -> Source:
    text = path.read_text(encoding="utf-8")
    place = str(path.relative_to(ROOT))
    return Source(module, place, text, ast.parse(text), is_package=path.name == "__init__.py")


@cache
def package_sources() -> tuple[Source, ...]:
    """Every module of the package as it lies in `src`."""
    base = ROOT / "src"
    sources = []
    for path in sorted((base / PACKAGE).rglob("*.py")):
        names = list(path.relative_to(base).with_suffix("").parts)
        if names[-1] == "__init__":
            names.pop()
        sources.append(read_source(path, ".".join(names)))
    assert sources, "Expected modules in src/detente, got none."
    return tuple(sources)


@cache
def script_sources() -> tuple[Source, ...]:
    """What is not in the package but run by make: tools, the demonstration, the measurements."""
    folders = [ROOT / name for name in ("tools", "demo", "bench")]
    found = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return tuple(read_source(path) for path in found if not _is_leftover(path.relative_to(ROOT)))


@cache
def test_sources() -> tuple[Source, ...]:
    return tuple(read_source(path) for path in sorted((ROOT / "tests").rglob("*.py")))


# pytest would take it for a test of its own wherever it is imported.
test_sources.__dict__["__test__"] = False


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that git holds or would take with `git add`; without git, every file there is."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in ROOT.rglob("*") if not _is_leftover(path.relative_to(ROOT))]
    else:
        found = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return tuple(sorted({path for path in found if path.is_file()}))


def _is_leftover(path: Path) -> bool:
    """Tell, where git cannot, whether a file is made by running: caches, results, `.venv`."""
    ignored = (ROOT / ".gitignore").read_text().split()
    anchored = tuple(line.strip("/") for line in ignored if line.startswith("/"))
    hidden = any(part.startswith(".") and part not in {".ci", ".gitignore"} for part in path.parts)
    return hidden or "__pycache__" in path.parts or path.as_posix().startswith(anchored)


def expect_none(complaints: Sequence[str]) -> None:
    """Fail with every complaint on its own line: all of them are wanted at once."""
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@cache
def comments_of(source: Source) -> dict[int, str]:
    """Comments by line, without their `#`."""
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def walk_with_parents(tree: ast.AST) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """Every node with its ancestors, outermost first."""
    stack: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(tree, ())]
    while stack:
        node, parents = stack.pop()
        yield node, parents
        stack.extend((child, (*parents, node)) for child in ast.iter_child_nodes(node))


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names; for anything else the last attribute after a dot, or ''."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""
