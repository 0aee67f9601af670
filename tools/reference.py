"""Writes docs/reference from the code: commands, errors, acts, reasons and settings.

`python tools/reference.py` writes; a test compares. So the reference cannot fall behind.
"""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import typer.main

from detente.config import Config
from detente.faces.cli import app
from detente.model.acts import ActName
from detente.rules.finding import CODES
from detente.wire.texts import LANGUAGES, lint_texts

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "detente"
OUT = ROOT / "docs" / "reference"
HEAD = "<!-- Written by tools/reference.py; change the code and run it again. -->\n\n"

ERRORS = "Invalid NotAuthorised Missing Conflict Unchecked PeerError Unavailable Broken".split()
ACTS = {
    "agreement.open": "an agreement that all its members have signed was opened",
    "anchor": "heads of this node's other ledgers",
    "assurance": "an assurance of this party was recorded",
    "assurance.withdraw": "an assurance of this party was taken back",
    "charter": "a charter was accepted",
    "clock.set": "the clock of an exercise was set",
    "credential": "a client's credential was made or removed",
    "directive.effect": "a directive's quorum was met; `at` is the instant that counts",
    "directive.read-back": "an officer read an order back, rightly or not; the words stay outside",
    "directive.sign": "one signature over a directive",
    "assessment": "what the party thinks of a partner was signed; in its own ledger only",
    "expire": "items that waited were too old and are gone, on the record",
    "return": "items that were held went back to their unit on resumption, on the record",
    "page": "a page was about to leave: feed, count, standing, commitment to its root",
    "page.end": "how sending that page ended: served or cut",
    "peer.act": "a partner's act, with its place, time and digest in the partner's ledger",
    "publish": "items were published: count, first number, commitment to their root",
    "receipt": "a partner's receipt for a page",
    "recall": "an originator took objects back: count, commitment to the root over them",
    "receive": "a partner's page was taken",
    "review": "a person released or refused one waiting item",
    "standing": "a new epoch and the digest of its standing",
}


def commands() -> str:
    """Every command with its options."""
    lines = ["# Commands\n"]
    for path, command in _walk("detente", typer.main.get_command(app)):
        if hasattr(command, "commands"):
            continue
        lines.append(f"## `{path}`\n\n{inspect.cleandoc(command.help or '')}\n")
        for param in command.params:
            words = getattr(param, "help", None) or ""
            name = " / ".join(param.opts)
            if param.param_type_name == "argument":
                name = (param.metavar or param.name or "").upper()
            if "--help" not in param.opts:
                lines.append(f"- `{name}`  {words}".rstrip())
        lines.append("")
    return "\n".join(lines)


def _walk(path: str, command: typing.Any) -> Iterator[tuple[str, typing.Any]]:
    yield path, command
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _walk(f"{path} {name}", inner)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v) if isinstance(v, ast.Constant) else "…" for v in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "…"


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", "")
                yield name, node


def errors() -> str:
    """Every error code with its class, sentence and hint."""
    found: dict[str, tuple[str, str, str]] = {}
    for name, call in _calls():
        if name in ("_check_known", "_check_unique") and call.args:
            found.setdefault(_text(call.args[0]), ("Invalid", "Expected one of …, got ….", ""))
        if name not in ERRORS or len(call.args) < 2:
            continue
        code = _text(call.args[0])
        hint = next((_text(k.value) for k in call.keywords if k.arg == "hint"), "")
        if "." in code:
            found.setdefault(code, (name, _text(call.args[1]), hint))
    lines = [
        "# Errors\n",
        "One shape everywhere: a stable code, a sentence, perhaps a hint and a "
        "path. `…` stands for what the case fills in. How classes map to exit codes: "
        "`detente.faces.speak`; to HTTP: `detente.faces.http`.\n",
    ]
    for code, (name, sentence, hint) in sorted(found.items()):
        lines.append(f"## `{code}`\n\n{name}. {sentence}" + (f" *{hint}*" if hint else "") + "\n")
    return "\n".join(lines)


def reasons() -> str:
    """Every reason code of a decision."""
    found: dict[str, str] = {}
    for name, call in _calls():
        words = {k.arg: _text(k.value) for k in call.keywords}
        if name == "Reason" and words.get("code", "…") != "…":
            found.setdefault(words["code"], words.get("words", "…"))
        if name == "_hold" and len(call.args) > 2:
            found.setdefault(_text(call.args[0]), _text(call.args[2]))
    found.setdefault("assurance", "… has assured … (…).")
    found.setdefault("assurance.awaiting", "Waiting for … to assure … for ….")
    lines = [
        "# Reasons\n",
        "Why an item is released, held or refused towards a party "
        "(`detente why`, `detente feed show`).\n",
    ]
    lines += [f"## `{code}`\n\n{words}\n" for code, words in sorted(found.items())]
    return "\n".join(lines)


def acts() -> str:
    """Every kind of ledger entry."""
    lines = ["# Acts\n", "The kinds of entries in a ledger; fields in `detente.model.acts`.\n"]
    for name in typing.get_args(ActName):
        lines.append(f"## `{name}`\n\n{ACTS[name][0].upper()}{ACTS[name][1:]}.\n")
    return "\n".join(lines)


def configuration() -> str:
    """Every setting, from the docstring of the record."""
    lines = [
        "# Configuration\n",
        "`detente.toml` in the node's folder; an unknown key is an error.\n",
    ]
    body = inspect.cleandoc(Config.__doc__ or "").split("\n\n")[1:]
    for paragraph in body:
        names, _, words = paragraph.partition(": ")
        lines.append(f"## {names.replace('``', '`')}\n\n{words.replace('``', '`')}\n")
    return "\n".join(lines)


def lint() -> str:
    """Every code of the lint, in every language."""
    lines = [
        "# Lint\n",
        "What in a directive can be misread (`detente directive lint`). `{…}` is filled in by the "
        "case. An error stops signing; a warning stops it until the directive acknowledges the "
        "code by name.\n",
    ]
    for code in CODES:
        titles = " · ".join(lint_texts(one)[code]["title"] for one in LANGUAGES)
        lines.append(f"## `{code}`\n\n{titles}\n")
        for key in lint_texts("en"):
            if key.startswith(f"{code}."):
                lines += [
                    f"- `{key}` ({one}): {lint_texts(one)[key]['says']} "
                    f"*{lint_texts(one)[key]['remedy']}*"
                    for one in LANGUAGES
                ]
        lines.append("")
    return "\n".join(lines)


PAGES = {
    "lint.md": lint,
    "commands.md": commands,
    "errors.md": errors,
    "reasons.md": reasons,
    "acts.md": acts,
    "configuration.md": configuration,
}


def main() -> int:
    """Write every page, or with ``--check`` say which are behind."""
    behind = []
    for name, make in PAGES.items():
        text = HEAD + make().rstrip() + "\n"
        path = OUT / name
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                behind.append(name)
        else:
            OUT.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in behind:
        print(f"docs/reference/{name} is behind; run python tools/reference.py", file=sys.stderr)
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
