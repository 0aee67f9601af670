"""What can be misread in a directive, on the command line: in a document, or in words said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from detente.errors import Invalid
from detente.faces.client import NodeClient
from detente.faces.documents import envelope_in, read_file
from detente.faces.speak import answer, stated, tell
from detente.model import Agreement, Directive, decode
from detente.rules.finding import Facts
from detente.rules.lint import check_lint, lint
from detente.rules.spoken import WordsDraft, read_words
from detente.wire.texts import lexicons, told

__all__ = ["check_form", "directive_lint", "tell_findings"]

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def check_form(payload: bytes) -> None:
    """Refuse a directive that can be misread, as far as it is seen without a node: nobody signs
    that."""
    check_lint(decode(payload, Directive), Facts(lexicons=lexicons()))


@stated
def directive_lint(
    file: Annotated[Path | None, typer.Argument(help="The document.", metavar="FILE")] = None,
    text: Annotated[str, typer.Option(help="Words said in public, instead of a FILE.")] = "",
    language: Annotated[str, typer.Option(help="en or es: of the answer, and of --text.")] = "en",
    agreement: Annotated[Path | None, typer.Option(help="Its names are known then.")] = None,
    node: Annotated[
        Path | None, typer.Option(help="A running node's folder: also looks at what is in force.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What can be misread (L01 to L20), each with a remedy; ends with 2 if it cannot be signed."""
    if (file is None) == (not text):
        raise Invalid("cli.lint", "Expected a FILE or --text, got both or neither.")
    terms = decode(envelope_in(agreement).payload, Agreement) if agreement else None
    facts = Facts(agreement=terms, lexicons=lexicons())
    found: list[dict[str, Any]]
    if file is None:
        told({}, (), language)  # a language that is not there is refused first
        draft = read_words(text, language, lexicons()[language], facts)
        facts = msgspec.structs.replace(facts, gaps=draft.gaps)
        found = msgspec.to_builtins(told(lint(draft.directive, facts), (), language))
        answered = {"draft": _headings(draft), "findings": found}
    elif node is not None:
        found = NodeClient(node).post("/api/directives/lint", read_file(file), language=language)[
            "findings"
        ]
        answered = {"findings": found}
    else:
        read = decode(envelope_in(file).payload, Directive)
        found = msgspec.to_builtins(told(lint(read, facts), read.acknowledged, language))
        answered = {"findings": found}
    answer(answered, as_json=as_json, words=lambda: _tell(answered))
    if any(not one["acknowledged"] for one in found):
        raise typer.Exit(2)


def _headings(draft: WordsDraft) -> list[dict[str, Any]]:
    """What the words say for an order, heading by heading, and every gap, by its place."""
    said = [
        {
            "heading": one.heading,
            "value": one.value,
            "quote": one.quote.text,
            "at": [one.quote.start, one.quote.end],
        }
        for one in draft.found
    ]
    gaps = [
        {
            "heading": gap.path.removeprefix("$."),
            "gap": gap.code,
            "quote": gap.quote.text if gap.quote else "",
            "at": [gap.quote.start, gap.quote.end] if gap.quote else [],
        }
        for gap in draft.gaps
    ]
    return said + gaps


def _tell(answered: dict[str, Any]) -> None:
    for one in answered.get("draft", ()):
        place = f"“{one['quote']}” ({'–'.join(map(str, one['at']))})" if one["quote"] else "–"
        value = one.get("value") or f"GAP {one['gap']}"
        print(f"  {one['heading']:<14} {value:<12} {place}")
    if not answered["findings"]:
        print("nothing that can be misread was found")
    tell_findings(answered["findings"], tell_by=print)


def tell_findings(found: list[dict[str, Any]], *, tell_by: Any = tell) -> None:
    """Findings as lines."""
    for one in found:
        mark = "acknowledged" if one["acknowledged"] else one["severity"]
        tell_by(f"{one['code']} {mark}: {one['title']} ({one['path']})")
        tell_by(f"    {one['says']}")
        tell_by(f"    → {one['remedy']}")
