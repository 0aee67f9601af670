"""Reading an order back, and the card of a unit, on the command line; both without a node."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from detente.errors import Conflict, Invalid
from detente.faces.documents import envelope_in, key_in, write_new
from detente.faces.speak import answer, stated, tell
from detente.model import Agreement, Directive, ReadBack, decode, digest, encode
from detente.proof import sign
from detente.rules.card import card
from detente.rules.document import payload_type
from detente.rules.readback import VALUES, Texts, Values, compare, sentence
from detente.wire.texts import read_back_texts

__all__ = ["directive_card", "directive_read_back"]

File = Annotated[Path, typer.Argument(help="The directive.", metavar="FILE")]
Language = Annotated[str, typer.Option(help="en or es.")]
Terms = Annotated[Path | None, typer.Option(help="The agreement: kinds by title, parties by name.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def _read(file: Path, agreement: Path | None) -> tuple[bytes, Directive, Agreement | None]:
    payload = envelope_in(file).payload
    terms = decode(envelope_in(agreement).payload, Agreement) if agreement else None
    read = decode(payload, Directive)
    if terms is not None and terms.id != read.agreement:
        raise Invalid("cli.agreement", f"Expected agreement {read.agreement}, got {terms.id}.")
    return payload, read, terms


@stated
def directive_read_back(
    file: File,
    who: Annotated[str | None, typer.Option(help="The units addressed.")] = None,
    what: Annotated[str | None, typer.Option(help="What is done, with which kinds.")] = None,
    direction: Annotated[str | None, typer.Option(help="out, in or both.")] = None,
    start: Annotated[str | None, typer.Option(help="From when.")] = None,
    end: Annotated[str | None, typer.Option(help="Until when, or the condition.")] = None,
    language: Language = "en",
    agreement: Terms = None,
    key: Annotated[Path | None, typer.Option(help="Sign what was given, with this key.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to write it.")] = None,
    as_json: Json = False,
) -> None:
    """Give the five values of an order; ends with 5 and tells which differ if they do not match."""
    if (key is None) != (out is None):
        raise Invalid("cli.read-back", "Expected --key and --out together, got one of them.")
    payload, read, terms = _read(file, agreement)
    texts = read_back_texts(language)
    said = dict(zip(VALUES, (who, what, direction, start, end), strict=True))
    given = Values(**{name: _ask(name, value, texts) for name, value in said.items()})
    if key is not None and out is not None:
        record = ReadBack(
            agreement=read.agreement,
            issuer=read.issuer,
            directive=read.id,
            digest=digest(payload),
            exercise=read.exercise,
            language=language,
            **{name: getattr(given, name) for name in VALUES},
            nonce=secrets.token_hex(16),
        )
        use = payload_type("read-back", exercise=read.exercise)
        write_new(out, sign(use, encode(record), [key_in(key)]).encode())
    differs = [one.value for one in compare(read, given, terms, texts)]
    if differs:
        raise Conflict(
            "read-back.mismatch",
            f"Expected the five values of {read.id}, got others in: {', '.join(differs)}.",
            hint="Read the order again (`detente directive show FILE`), then give them once more.",
        )
    said_back = sentence(read, terms, texts)
    answer(
        {"directive": read.id, "match": True, "sentence": said_back},
        as_json=as_json,
        words=lambda: print(f"{texts.match}\n{said_back}"),
    )


def _ask(name: str, value: str | None, texts: Texts) -> str:
    """What was given as an option, or is typed now; nobody is shown what to type."""
    if value is not None:
        return value
    if not sys.stdin.isatty():
        raise Invalid(
            "cli.read-back",
            f"Expected all five values, got no --{name}.",
            hint="At a terminal they are asked for one by one.",
        )
    tell(getattr(texts, name))
    return input("> ")


@stated
def directive_card(
    file: File,
    unit: Annotated[str, typer.Option(help="The unit that it is for.")],
    language: Language = "en",
    agreement: Terms = None,
    as_json: Json = False,
) -> None:
    """One page for one unit: what it may, what it may not, whom it asks."""
    _, read, terms = _read(file, agreement)
    lines = card(read, unit, terms, read_back_texts(language))
    answer({"unit": unit, "lines": lines}, as_json=as_json, words=lambda: print("\n".join(lines)))
