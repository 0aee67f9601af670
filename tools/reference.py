"""Writes docs/reference from the code: commands, errors, acts, reasons, gaps, terms and settings.

`python tools/reference.py` writes; a test compares. So the reference cannot fall behind.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer.main

from detente.config import Config
from detente.faces.cli import app
from detente.model import Agreement
from detente.model.acts import ActName
from detente.model.names import Code
from detente.rules.finding import CODES
from detente.wire.terms import written_fields
from detente.wire.texts import LANGUAGES, lint_texts

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "detente"
OUT = ROOT / "docs" / "reference"
_NAME = typing.get_args(Code)[1].pattern
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
    "derive": "an item was made from another: office, commitment to which and how; in the private "
    "ledger of the node only",
    "directive.effect": "a directive's quorum was met; `at` is the instant that counts",
    "directive.read-back": "an officer read an order back, rightly or not; the words stay outside",
    "directive.sign": "one signature over a directive",
    "assessment": "what the party thinks of a partner was signed; in its own ledger only",
    "expire": "items that waited were too old and are gone, on the record",
    "minimise": "a minimisation (`ref`) ran on so many of the items from `first` on that are "
    "published next: commitment to the two roots over them, before and after",
    "return": "items that were held went back to their unit on resumption, on the record",
    "open": "a person of this party opened an item here, after its caveats; commitment to who, "
    "what and why",
    "page": "a page was about to leave: feed, count, standing, commitment to its root",
    "page.end": "how sending that page ended: served or cut",
    "peer.act": "a partner's act, with its place, time and digest in the partner's ledger",
    "publish": "items were published: count, first number, commitment to their root",
    "receipt": "a partner's receipt for a page",
    "recall": "an originator took objects back: count, commitment to the root over them",
    "receive": "a partner's page was taken",
    "review": "a person released or refused one waiting item",
    "said": "what a publisher said of all items that are published next: nature, evidence, time "
    "of observation, originator, legal basis, consent to use in court; a commitment to it",
    "standing": "a new epoch and the digest of its standing",
    "test": "a purpose test (`ref`) was answered, passed or failed, before the publication or "
    "review that follows: commitment to the answers",
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


def _texts(node: ast.expr) -> list[str]:
    """Every text that a code may be: that of each branch of a choice."""
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    return [str(node.value)] if isinstance(node, ast.Constant) else []


def _remedy(node: ast.expr | None) -> str:
    text = "" if node is None else _text(node)
    return f"\n\nWhat would change it: {text}" if text.strip("…") else ""


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
        said = {k.arg: k.value for k in call.keywords}
        if name == "Reason" and "code" in said and "words" in said:
            for code in _texts(said["code"]):
                words = _text(said["words"])
                found.setdefault(code, words + _remedy(said.get("remedy")))
    lines = [
        "# Reasons\n",
        "Why an item is released, held or refused towards a party "
        "(`detente why`, `detente feed show`). What is done about each marking: "
        "[markings](markings.md).\n",
    ]
    lines += [f"## `{code}`\n\n{words}\n" for code, words in sorted(found.items())]
    return "\n".join(lines)


def gaps() -> str:
    """Every gap that an agreement can have, with what mends it."""
    found: dict[str, tuple[str, str, str]] = {}
    for name, call in _calls():
        if name in ("weak", "wrong") and len(call.args) == 4:
            code, _, words, remedy = (_text(one) for one in call.args)
            level = "Error" if name == "wrong" else "Warning"
            found.setdefault(code, (level, words, remedy))
    lines = [
        "# Gaps\n",
        "What `detente agreement check` and `draft` tell of an agreement. With an error it is not "
        "drafted; warnings are told.\n",
    ]
    for code, (level, words, remedy) in sorted(found.items()):
        lines.append(f"## `{code}`\n\n{level}. {words} *{remedy}*\n")
    return "\n".join(lines)


def terms() -> str:
    """Every record of an agreement as it is written, with its fields."""
    lines = [
        "# Terms\n",
        "What can be written in an agreement, in TOML or YAML: every table with its keys. What has "
        "a default may be left out. How to write one: `docs/how-to/write-an-agreement.md`.\n",
    ]
    seen: list[type[msgspec.Struct]] = [Agreement]
    for form in seen:  # grows while it is walked
        lines.append(f"## `{form.__name__}`\n\n{_paragraphs(form)}\n")
        defaults = dict(
            zip(reversed(form.__struct_fields__), reversed(form.__struct_defaults__), strict=False)
        )
        for key, (name, kind) in written_fields(form).items():
            default = defaults.get(name, msgspec.NODEFAULT)
            said = "" if default is msgspec.NODEFAULT else f"; default {_value(default)}"
            lines.append(f"- `{key}`: {_form(form, name, kind, seen)}{said}")
        lines.append("")
    return "\n".join(lines)


def _paragraphs(form: type[msgspec.Struct]) -> str:
    text = inspect.cleandoc(form.__doc__ or "").replace("``", "`").replace("_ms`", "`")
    return re.sub(r"\s\(R\d+(?:, R\d+)*\)", "", text)


def _value(default: object) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    return "none" if default in ((), None, "") else str(default)


def _form(form: type, name: str, kind: typing.Any, seen: list[type[msgspec.Struct]]) -> str:
    """The form of a field in words; a record that it leads to is put on the list."""
    if name.endswith("_ms"):
        time = form is Agreement
        return "a time with its zone" if time else "a span such as `6h`"
    while typing.get_origin(kind) is typing.Annotated:
        kind, *bounds = typing.get_args(kind)
        if kind is str and any(getattr(bound, "pattern", None) == _NAME for bound in bounds):
            return "a name"
    args = [one for one in typing.get_args(kind) if one is not type(None)]
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(f"`{one}`" for one in args)
    if typing.get_origin(kind) is tuple:
        return f"a list, each {_form(form, name, args[0], seen)}"
    if args:
        return _form(form, name, args[0], seen)
    if issubclass(kind, msgspec.Struct):
        if kind not in seen:
            seen.append(kind)
        return f"a table, `{kind.__name__}`"
    return {str: "a text", int: "a whole number", bool: "true or false"}[kind]


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
    "gaps.md": gaps,
    "terms.md": terms,
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
