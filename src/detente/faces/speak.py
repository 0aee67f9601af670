"""Speak: how the command line talks to people.

Answers go to standard output, as JSON with ``--json``; words for people go to standard error.
Every error says its code, a sentence and, where it helps, a hint. Exit codes: 0 done; 2 wrong
input or usage; 3 not allowed; 4 not there; 5 stands against the present state; 6 could not be
checked, reached or done now; 7 this node is broken.
"""

from __future__ import annotations

import functools
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from detente.errors import (
    Broken,
    Conflict,
    DetenteError,
    Invalid,
    Missing,
    NotAuthorised,
    PeerError,
    Unavailable,
    Unchecked,
)

__all__ = ["EXIT_CODES", "answer", "plain", "stated", "table", "tell", "tell_signed"]

P = ParamSpec("P")
R = TypeVar("R")

EXIT_CODES: dict[type[DetenteError], int] = {
    Invalid: 2,
    NotAuthorised: 3,
    Missing: 4,
    Conflict: 5,
    Unchecked: 6,
    PeerError: 6,
    Unavailable: 6,
    Broken: 7,
}


def stated(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose errors are told and end it with their exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except DetenteError as error:
            as_json = bool(kwargs.get("as_json"))
            _tell_error(error, as_json=as_json)
            raise typer.Exit(EXIT_CODES[type(error)]) from error

    return run


def _tell_error(error: DetenteError, *, as_json: bool) -> None:
    if as_json:
        body = {
            "code": error.code,
            "sentence": error.sentence,
            "hint": error.hint,
            "path": error.path,
        }
        print(json.dumps({"error": body}, ensure_ascii=False))
        return
    place = f" (at {error.path})" if error.path else ""
    tell(f"detente: {error.sentence}{place} [{error.code}]")
    if error.hint:
        tell(f"  hint: {error.hint}")


def plain(text: str) -> str:
    """Foreign words on one line: what would move the cursor, turn the direction of reading or hide
    is shown by its number instead."""
    return "".join(
        letter if unicodedata.category(letter) not in _UNSEEN else f"\\u{{{ord(letter):x}}}"
        for letter in text
    )


#: Control, format, surrogate, private and unassigned characters; separators of lines.
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def tell(words: str) -> None:
    """Words for a person, on standard error."""
    print(words, file=sys.stderr)


def tell_signed(file: Path, count: int) -> None:
    """How many have signed a document. Whether they may, the node says that takes it."""
    print(f"{file}: {count} signature{'' if count == 1 else 's'}")


def answer(value: Any, *, as_json: bool, words: Callable[[], None] | None = None) -> None:
    """The answer of a command: JSON, or the words a person wants (JSON, indented, if none)."""
    plain = msgspec.to_builtins(value)
    if as_json:
        print(json.dumps(plain, ensure_ascii=False))
    elif words is not None:
        words()
    else:
        print(json.dumps(plain, ensure_ascii=False, indent=2))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output; says so if there is nothing in it. Cells may be foreign words:
    they are shown as they are, and mean nothing to the terminal or to who draws the table."""
    listed = [[Text(plain(str(cell))) for cell in row] for row in rows]
    if not listed:
        print(f"{title}: none")
        return
    drawn = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in listed:
        drawn.add_row(*row)
    # A file or a pipe has no width of its own; lines are not broken there.
    width = None if sys.stdout.isatty() else 240
    Console(width=width).print(drawn)
