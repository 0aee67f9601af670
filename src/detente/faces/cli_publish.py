"""Publishing on the command line: what is given, what is said of it, and what would come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from detente.errors import DetenteError, Invalid
from detente.faces.client import NodeClient
from detente.faces.speak import answer, stated, table, tell
from detente.rules.times import parse_instant_ms

__all__ = ["Answers", "publish"]

Answers = Annotated[
    list[str] | None,
    typer.Option("--answer", help="To a purpose test: TEST.QUESTION=VALUE (repeat)."),
]


@stated
def publish(
    folder: Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")],
    files: Annotated[list[Path], typer.Argument(help="STIX 2.1 bundles or objects.")],
    collection: Annotated[str, typer.Option(help="Name of the collection.")],
    kind: Annotated[str | None, typer.Option(help="Kind, else by the agreement's rules.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Purpose of the release.")] = None,
    grade: Annotated[str | None, typer.Option(help="scheme:value, as admiralty:B2.")] = None,
    unit: Annotated[str | None, typer.Option(help="The unit that sends.")] = None,
    agreement: Annotated[str | None, typer.Option(help="If the name is not enough.")] = None,
    fact: Annotated[bool, typer.Option("--fact", help="What is told are facts.")] = False,
    assessment: Annotated[bool, typer.Option("--assessment", help="It is an assessment.")] = False,
    evidence: Annotated[
        list[str] | None, typer.Option(help="Reference to evidence (repeat).")
    ] = None,
    observed: Annotated[str | None, typer.Option(help="When it was seen, ISO 8601.")] = None,
    originator: Annotated[str | None, typer.Option(help="Whose it is, if not our own.")] = None,
    legal_basis: Annotated[str, typer.Option(help="Legal basis, if not the agreement's.")] = "",
    court: Annotated[
        bool, typer.Option("--court", help="Consent to use as evidence in court.")
    ] = False,
    answers: Answers = None,
    expect: Annotated[int | None, typer.Option(help="How many objects each file has.")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Take nothing; tell what would come of it.")
    ] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Take what is acceptable.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Publish objects; answers when they are on disk. An object's own extension wins over what is
    said here for all. With --expect, a file with another number of objects is refused whole."""
    query: dict[str, str | list[str] | None] = {
        "collection": collection,
        "kind": kind,
        "purpose": purpose,
        "grade": grade,
        "unit": unit,
        "agreement": agreement,
        "nature": _nature(fact=fact, assessment=assessment),
        "evidence": evidence or None,
        "observed_ms": None if observed is None else str(parse_instant_ms(observed)),
        "originator": originator,
        "legal_basis": legal_basis or None,
        "court": "true" if court else None,
        "answer": answers or None,
        "expect": None if expect is None else str(expect),
        "partial": "true" if partial else None,
    }
    done = _done(NodeClient(folder), files, query, preview=preview)
    tell_done = _tell_preview if preview else _tell_published
    word = "preview" if preview else "published"
    answer({word: done}, as_json=as_json, words=lambda: tell_done(files, done))


def _done(
    client: NodeClient,
    files: list[Path],
    query: dict[str, str | list[str] | None],
    *,
    preview: bool,
) -> list[dict[str, Any]]:
    """One after the other, once all could be read: what cannot be is no reason to stop half way.
    Where one is refused, it is said which, and what was taken before it."""
    path = "/api/publish/preview" if preview else "/api/publish"
    done: list[dict[str, Any]] = []
    for file, body in [(file, _body(file)) for file in files]:
        try:
            done.append(client.post(path, body, **query))
        except DetenteError:
            before = [one.name for one in files[: len(done)]]
            if len(files) > 1:
                taken = "" if preview else f"; taken before it: {', '.join(before) or 'nothing'}"
                tell(f"{file.name} is refused{taken}.")
            raise
    return done


def _nature(*, fact: bool, assessment: bool) -> str | None:
    if fact and assessment:
        raise Invalid("publish.nature", "Expected one of --fact and --assessment, got both.")
    return "fact" if fact else "assessment" if assessment else None


def _body(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid("file.unreadable", f"Expected to read {file}: {error.strerror}.") from error


def _tell_published(files: list[Path], done: list[dict[str, Any]]) -> None:
    for file, one in zip(files, done, strict=True):
        print(
            f"{file.name}: {one['taken']} taken, {one['known']} known already, "
            f"{len(one['refused'])} refused, {len(one['warnings'])} warnings"
        )
        for party, counts in one["outcomes"].items():
            print(f"  to {party}: {_counts(counts)}")
        for kind, count in one.get("bulk", {}).items():
            print(f"  {count} of kind {kind} within a minute: each waits for review")
        for test, outcome in one.get("tests", {}).items():
            print(f"  test {test}: {outcome}")
        for refused in one["refused"][:20]:
            tell(f"  refused {refused.get('id', refused['index'])}: {refused['sentence']}")
        for warned in one["warnings"][:20]:
            tell(f"  warning for {warned['id']}: {warned['sentence']}")


def _tell_preview(files: list[Path], done: list[dict[str, Any]]) -> None:
    for file, one in zip(files, done, strict=True):
        hidden = one["hidden"]
        print(
            f"{file.name}: {one['objects']} objects, {one['refused_count']} of them refused; "
            f"{one['persons']} about persons. Nothing was taken."
        )
        for word in ("kind", "type", "marking"):
            print(f"  by {word}: {_counts(one[f'by_{word}'])}")
        for word in ("properties", "extensions"):
            if hidden[word]:
                print(f"  {word} outside of STIX: {_counts(hidden[word])}")
        if hidden["payloads"] or hidden["embedded"]:
            print(
                f"  hidden: {hidden['payloads']} payloads in base64 ({hidden['payload_bytes']} "
                f"bytes, the largest {hidden['payload_bytes_max']}), "
                f"{hidden['embedded']} objects inside of objects"
            )
        print(f"  refers to {one['outside']} objects outside of itself")
        for kind, count in one["bulk"].items():
            print(f"  {count} of kind {kind} within a minute: each would wait for review")
        for refused in one["refused"][:20]:
            tell(f"  refused {refused.get('id', refused['index'])}: {refused['sentence']}")
        rows = [
            (party, _counts(towards["outcomes"]), words, count)
            for party, towards in one["to"].items()
            for words, count in towards["reasons"].items()
        ]
        table("What would come of it", ("to", "objects", "why", "of them"), rows)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "none"
