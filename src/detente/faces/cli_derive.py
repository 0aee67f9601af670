"""Tear-lines on the command line: an item of one's own, narrowed, under an id of its own."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from detente.errors import Invalid
from detente.faces.client import NodeClient
from detente.faces.speak import answer, stated
from detente.rules.times import parse_span_ms, time_text

__all__ = ["derive", "tell_kin"]

Folder = Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Several = list[str] | None


def _path(text: str, name: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals:
        raise Invalid("cli.step", f"Expected --{name} PATH=VALUE, got {text[:80]!r}.")
    return path, value


def _position(text: str) -> dict[str, Any]:
    path, value = _path(text, "coarsen-position")
    try:
        cell = Decimal(value) * 1000
        whole = int(cell)
    except (InvalidOperation, ValueError, OverflowError):
        cell, whole = Decimal(0), 0
    if not 1 <= whole <= 90_000 or cell != whole:
        raise Invalid(
            "cli.step", f"Expected degrees between 0.001 and 90 in thousandths, got {value[:40]!r}."
        )
    return {"do": "coarsen-position", "path": path, "cell_mdeg": whole}


def _time(text: str) -> dict[str, Any]:
    path, value = _path(text, "coarsen-time")
    return {"do": "coarsen-time", "path": path, "span_ms": parse_span_ms(value)}


def _replace(text: str) -> dict[str, Any]:
    path, value = _path(text, "replace")
    return {"do": "replace", "path": path, "text": value}


@stated
def derive(  # the options of a command, each its own
    folder: Folder,
    item: Annotated[str, typer.Argument(help="STIX id of an item of one's own.")],
    to: Annotated[str, typer.Option(help="Name of the collection it goes to.")],
    agreement: Annotated[str, typer.Option(help="If the name is not enough.")] = "",
    rule: Annotated[str | None, typer.Option(help="A minimisation of the agreement.")] = None,
    keep: Annotated[Several, typer.Option(help="PATH: take away all else (repeat).")] = None,
    remove: Annotated[Several, typer.Option(help="PATH: take it away (repeat).")] = None,
    replace: Annotated[Several, typer.Option(help="PATH=TEXT (repeat).")] = None,
    coarsen_position: Annotated[
        Several, typer.Option(help="PATH=DEGREES; all positions without PATH (repeat).")
    ] = None,
    coarsen_time: Annotated[
        Several, typer.Option(help="PATH=SPAN, as =1h; all times without PATH (repeat).")
    ] = None,
    drop_references: Annotated[
        bool, typer.Option("--drop-references", help="Those to what is not in the collection.")
    ] = False,
    marking: Annotated[
        Several, typer.Option(help="Id or name, as tlp:green, instead of its own (repeat).")
    ] = None,
    by: Annotated[str, typer.Option(help="The office that derives.")] = "",
    kind: Annotated[str | None, typer.Option(help="Kind, else that of the item.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Purpose, else that of the item.")] = None,
    grade: Annotated[str | None, typer.Option(help="Grade, else that of the item.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit, else that of the item.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, publish nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Make a tear-line: a narrowed item under an id of its own; the link stays on this node."""
    steps = [
        *({"do": "keep", "path": path} for path in keep or ()),
        *({"do": "remove", "path": path} for path in remove or ()),
        *map(_replace, replace or ()),
        *map(_position, coarsen_position or ()),
        *map(_time, coarsen_time or ()),
        *([{"do": "drop-references"}] if drop_references else []),
    ]
    said = {"kind": kind, "purpose": purpose, "grade": grade, "unit": unit}
    body: dict[str, Any] = {"markings": marking or None, "by": by, "dry_run": dry_run}
    body |= said | {"item": item, "agreement": agreement, "to": to, "rule": rule, "steps": steps}
    done = NodeClient(folder).post("/api/derivations", msgspec.json.encode(body))
    answer(done, as_json=as_json, words=lambda: _tell(done))


def _tell(done: dict[str, Any]) -> None:
    for step in done["steps"]:
        found = f"{step['touched']} places" if step["touched"] else "found NOTHING"
        print(f"  {step['do']} {step['path'] or '(all)'}: {found}")
    for left in done.get("left", ()):
        print(f"  LEFT at {left['path']}: {left['words']} ({left['code']})")
    published = done.get("published")
    if published is None:
        print(done["content"])
        print("Nothing was published.")
        return
    print(f"{done['child']} made and published in {published['collection']}")
    for warning in published["warnings"]:
        print(f"  not strictly valid at {warning.get('path', '$')}: {warning['sentence']}")
    for party, outcomes in published["outcomes"].items():
        words = ", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items()))
        print(f"  towards {party}: {words}")


def tell_kin(what: str, kin: list[dict[str, Any]]) -> None:
    """Tell items that were made from another, or what one was made from."""
    for one in kin:
        office = f" by {one['office']}" if one["office"] else ""
        stands = "" if one["stands"] else ", taken back"
        print(
            f"  {what}: {one['id']} ({one['agreement']}/{one['collection']}) "
            f"at {time_text(one['at_ms'])}{office}{stands}"
        )
