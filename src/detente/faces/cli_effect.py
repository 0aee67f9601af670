"""What an order would do, on the command line: told beside a draft, and asked again before it is
signed and before it is enacted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from detente.faces.client import NodeClient
from detente.faces.documents import read_file
from detente.faces.speak import answer, plain, stated, tell
from detente.model import Effect, FlowChange
from detente.rules.times import time_text

__all__ = ["directive_preview", "effect_lines"]

Folder = Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")]
File = Annotated[Path, typer.Argument(help="The directive.", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]

#: Lines of one sort on a screen; the whole is in the answer in JSON.
_SHOWN = 20


@stated
def directive_preview(folder: Folder, file: File, as_json: Json = False) -> None:
    """What a directive would do if it took force now, and whether that is still what was signed."""
    found = NodeClient(folder).post("/api/directives/preview", read_file(file))

    def words() -> None:
        for line in effect_lines(msgspec.convert(found["effect"], Effect)):
            print(line)
        if found["signed"] is None:
            print("  signed    nothing that was foreseen at this node")
        for one in found["drift"]:
            print(f"  DRIFTED   {plain(one)}")

    answer(found, as_json=as_json, words=words)
    if found["drift"]:
        tell("What was signed is not what it would do now: draft it anew.")


def effect_lines(effect: Effect) -> Iterator[str]:
    """The effect for a screen: counts first, then what moves and why, what stays open, what else
    stands on the flow, what readers are told, what expires, and what it costs."""
    mark = "EXERCISE " if effect.exercise else ""
    yield (
        f"{mark}{effect.directive} of {effect.issuer} would do this, as foreseen at "
        f"{time_text(effect.at_ms)} for {time_text(effect.force_ms)}:"
    )
    yield (
        f"  items     {effect.held} held, {effect.released} released, {effect.reviewed} to review, "
        f"{effect.expired} expired, {effect.returned} returned; {effect.in_flight} in flight; "
        f"{effect.feeds} feeds otherwise"
    )
    yield from _lines(
        "moves",
        [
            f"{one.count} {one.kind} {one.unit}: "
            + (f"stay {one.after}" if one.before == one.after else f"{one.before} to {one.after}")
            + (f" ({'; '.join(_codes(one.reasons))})" if one.reasons else "")
            for one in effect.moves
        ],
    )
    yield from _flows(effect)
    yield from _lines(
        "others",
        [
            f"{one.issuer} {one.directive} ({one.verb}) since {time_text(one.since_ms)}: "
            + ("ended by this" if one.then == "ends" else "STANDS ON" if one.same_flow else "stays")
            for one in effect.others
        ],
    )
    yield from _lines(
        "told",
        [
            f"{_few(one.recipients, one.readers)}, {one.collection}: {one.words}"
            for one in effect.seen
        ],
    )
    yield from _lines(
        "expire",
        [
            f"{one.count} {one.kind}, the first at {time_text(one.first_ms)}"
            for one in effect.expiring
        ],
    )
    cost = ", ".join(f"{one.count} {one.kind}" for one in effect.history)
    yield from _lines("cost", [f"in 30 days before were given: {cost}"] if cost else [])
    yield from _lines("exempt", [", ".join(effect.exempt)] if effect.exempt else [])
    if effect.left_out:
        yield f"  {effect.left_out} lines for which there was no room"


def _flows(effect: Effect) -> Iterator[str]:
    changed = [one for one in effect.flows if one.before != one.after]
    yield from _lines("flows", [f"{_flow(one)}: {one.before} to {one.after}" for one in changed])
    stays = [one for one in effect.flows if one.before == one.after]
    yield from _lines(
        "stays", [f"{_flow(one)}: {one.after} ({'; '.join(_codes(one.reasons))})" for one in stays]
    )


def _lines(name: str, words: list[str]) -> Iterator[str]:
    for number, one in enumerate(words[:_SHOWN]):
        yield f"  {'' if number else name:10}{plain(one)}"
    if len(words) > _SHOWN:
        yield f"  {'':10}and {len(words) - _SHOWN} more (--json)"


def _flow(one: FlowChange) -> str:
    return f"{one.kind} {one.collection} {one.sender} to {_few(one.recipients, one.readers)}"


def _few(names: tuple[str, ...], count: int) -> str:
    shown = names[:3]
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")


def _codes(reasons: tuple[str, ...]) -> list[str]:
    """What stands before the words of each reason: its code and source."""
    return [one.partition(": ")[0] for one in reasons]
