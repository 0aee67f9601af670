"""Sizes: what is too long to be held in the head at once is cut.

A code line is one that carries code: blank lines, comments and docstrings are free.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Sequence

from tests.house.source import Source

FUNCTION_LINES_MAX = 50
CLASS_LINES_MAX = 300
MODULE_LINES_MAX = 600

_EMPTY = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER, tokenize.ENCODING,
}  # fmt: skip


def code_lines(source: Source) -> frozenset[int]:
    """The numbers of the lines that carry code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type not in _EMPTY:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines.difference_update(range(first.lineno, (first.end_lineno or 0) + 1))
    return frozenset(lines)


def check_sizes(sources: Sequence[Source]) -> list[str]:
    """Complain of functions, classes and modules with more code lines than allowed."""
    complaints = []
    for source in sources:
        lines = code_lines(source)
        if len(lines) > MODULE_LINES_MAX:
            complaints.append(
                f"{source.place}: expected at most {MODULE_LINES_MAX} code lines, got {len(lines)}"
            )
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                limit = CLASS_LINES_MAX
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                limit = FUNCTION_LINES_MAX
            else:
                continue
            count = len(lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
            if count > limit:
                complaints.append(
                    f"{source.at(node)}: {node.name}: expected at most {limit} code lines, "
                    f"got {count}"
                )
    return complaints
