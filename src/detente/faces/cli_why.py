"""Commands that explain: why an item or a feed stands as it stands, and what an item says.

Others' words are shown with their control characters as numbers; signs and words carry the
meaning, never a colour. What is long is cut on the screen, and said to be; ``--json`` has it all.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from detente.errors import Invalid
from detente.faces.client import NodeClient, questions
from detente.faces.speak import answer, plain, stated, table, tell
from detente.rules.times import parse_instant_ms, time_text

__all__ = ["feed", "item", "why"]

WIDTH = 100
#: Lines of one text, reasons of one decision and versions that a person is shown.
TEXT_LINES_MAX = 3
CAUSES_MAX = 8
VERSIONS_MAX = 3

Folder = Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
At = Annotated[str | None, typer.Option(help="A past instant, ISO 8601.")]
Agreement = Annotated[str | None, typer.Option(help="One agreement only.")]
After = Annotated[int, typer.Option(help="Without ITEM: begin behind so many groups.", min=0)]
Limit = Annotated[int, typer.Option(help="Without ITEM: groups at most.", min=1, max=500)]

feed = typer.Typer(no_args_is_help=True, help="What a party can read, and how it stands.")
item = typer.Typer(no_args_is_help=True, help="What lies in this node's collections.")

#: A sign beside the words, so that a column of them can be read at a glance.
_OUTCOMES = {
    "release": ("+", "may be given"),
    "hold": ("!", "is held"),
    "moderate": ("?", "waits for a review"),
    "refuse": ("x", "is refused"),
    "": ("·", "is not decided"),
}
#: States that say the same as an outcome.
_PLAINLY = {
    "held": "hold",
    "no feed": "refuse",
    "not here yet": "",
    "queued": "release",
    "received": "release",
    "refused": "refuse",
    "sent": "release",
    "under review": "moderate",
}


@stated
def why(
    context: typer.Context,
    folder: Folder,
    to: Annotated[str, typer.Option(help="The party.")],
    item: Annotated[str | None, typer.Argument(help="STIX id; else the whole feed.")] = None,
    at: At = None,
    agreement: Agreement = None,
    after: After = 0,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Why an item, or a whole feed, stands as it does towards a party, now or at a past instant."""
    asked = questions(context.obj.stopped, folder)
    query = _query(to, at, agreement)
    if item is None:
        query |= {"after": str(after), "limit": str(limit)}
    found = asked.get("/api/why", object=item, **query)
    tell_found = _tell_feeds if item is None else _tell_items
    answer(found, as_json=as_json, words=lambda: tell_found(found))


@feed.command("show")
@stated
def feed_show(
    folder: Folder,
    to: Annotated[str | None, typer.Option(help="One party, with the reasons.")] = None,
    at: At = None,
    agreement: Agreement = None,
    after: After = 0,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """How a party's feeds stand and why, with what stands alike together; without a party the
    counts of all feeds, now."""
    client = NodeClient(folder)
    if to is None and at is not None:
        raise Invalid(
            "cli.at", "Expected --to with --at: the counts of all feeds are those of now."
        )
    if to is None:
        found = client.get("/api/feeds", agreement=agreement)
        answer(found, as_json=as_json, words=lambda: _tell_counts(found["feeds"]))
        return
    query = _query(to, at, agreement) | {"after": str(after), "limit": str(limit)}
    found = client.get("/api/why", **query)
    answer(found, as_json=as_json, words=lambda: _tell_feeds(found))


@item.command("open")
@stated
def item_open(
    folder: Folder,
    item: Annotated[str, typer.Argument(help="STIX id.")],
    by: Annotated[str, typer.Option(help="The office that opens it.")],
    reason: Annotated[str, typer.Option(help="Why; it goes on the record.")],
    accept: Annotated[str | None, typer.Option(help="The code of its caveats.")] = None,
    version: Annotated[str | None, typer.Option(help="Its `modified` time; else the last.")] = None,
    agreement: Agreement = None,
    as_json: Json = False,
) -> None:
    """Read an item at the own node: first its caveats, then, with their code, its content. Each
    opening is recorded."""
    said = {
        "item": item,
        "by": by,
        "reason": reason,
        "accept": accept,
        "version": version,
        "agreement": agreement,
    }
    done = NodeClient(folder).post("/api/items/open", msgspec.json.encode(said))
    answer(done, as_json=as_json, words=lambda: _tell_opened(done))
    if done.get("wrong_code"):
        raise typer.Exit(5)


def _query(to: str, at: str | None, agreement: str | None) -> dict[str, str | None]:
    at_ms = None if at is None else str(parse_instant_ms(at))
    return {"to": to, "at_ms": at_ms, "agreement": agreement}


# --- why ----------------------------------------------------------------------------------------


def _tell_items(found: dict[str, Any]) -> None:
    lines = found["why"]
    for line in lines[:VERSIONS_MAX]:
        _tell_item(line)
    hidden = len(lines[VERSIONS_MAX:]) + found["more"]
    if hidden:
        print(f"({hidden} earlier versions; --json has the newest {len(lines)})")


def _tell_item(line: dict[str, Any]) -> None:
    version = f" of {line['version']}" if line["version"] else ""
    _lines("", f"{line['id']}{version}")
    parts = [f"kind {line['kind']}", f"unit {line['unit']}"]
    parts += [f"{name} {line[name]}" for name in ("purpose", "grade") if line.get(name)]
    parts += line["markings"]
    _lines("  ", f"{line['agreement']}/{line['collection']}, from {line['sender']}: ", *parts)
    sign, words = _OUTCOMES[line["outcome"]]
    # What became of the item, and besides, where it is another matter, what becomes of its like.
    plainly = _PLAINLY.get(line["state"]) == line["outcome"]
    like = "" if plainly else f" · what is like it {words}"
    print(f"{sign} to {plain(line['party'])}: {line['state'].upper()}{like}", end="")
    print(f" · as of {time_text(line['at_ms'])}")
    if line["state"] == "not here yet":
        print(f"  It was entered at {time_text(line['added_us'] // 1000)}.")
        return
    tell_decided(line.get("decided"))
    _tell_causes(line["causes"])
    _tell_turn(line.get("turn"))
    if line.get("later"):
        _lines("  then: ", line["later"])


def tell_decided(decided: dict[str, Any] | None) -> None:
    """Who decided of this very item, and when."""
    if decided:
        word = "released" if decided["verdict"] == "release" else "refused"
        code = f" ({decided['code']})" if decided.get("code") else ""
        when = time_text(decided["at_ms"])
        print(f"  {word} by {plain(decided['by'])}{code} at {when}, entry {decided['entry']}")


def _tell_causes(causes: list[dict[str, Any]]) -> None:
    shown = causes[:CAUSES_MAX]
    for place, cause in enumerate(shown):
        last = place == len(shown) - 1
        bar = "     " if last else "  │  "
        _lines("  └─ " if last else "  ├─ ", f"{cause['words']} [{cause['code']}]", after=bar)
        for ground in cause["grounds"]:
            _lines(f"{bar}  ", _ground(ground), after=f"{bar}    ")
            if _span(ground):
                print(f"{bar}    {_span(ground)}")
        if cause.get("remedy"):
            _lines(f"{bar}→ ", cause["remedy"], after=f"{bar}  ")
        if cause.get("review"):
            print(f"{bar}  (a review may pass this item all the same)")
    if len(causes) > len(shown):
        print(f"  ({len(causes) - len(shown)} more reasons; --json has all)")


def _ground(ground: dict[str, Any]) -> str:
    by = f" of {ground['by']}" if ground.get("by") else ""
    offices = f" ({', '.join(ground['offices'])})" if ground.get("offices") else ""
    words = f": {ground['words']}" if ground.get("words") else ""
    return f"{ground['what']} {ground['name']}{by}{offices}{words}"


def _span(ground: dict[str, Any]) -> str:
    since, until = ground.get("since_ms"), ground.get("until_ms")
    parts = [f"since {time_text(since)}"] if since is not None else []
    if until is not None:
        parts.append(f"until {time_text(until)}")
    elif since is not None:
        parts.append("until further notice")
    return " · ".join(parts)


def _tell_turn(turn: dict[str, Any] | None) -> None:
    if turn is not None:
        because = " ".join(turn["because"][:TEXT_LINES_MAX])
        _lines("  next: ", f"{time_text(turn['at_ms'])} {turn['state']}. {because}")
    else:
        print("  next: nothing changes this by itself.")


def _tell_feeds(found: dict[str, Any]) -> None:
    for one in found["feeds"]:
        place = f"{one['agreement']}/{one['collection']}"
        sender = f", from {one['sender']}" if one["sender"] else ""
        print(f"{place} to {plain(one['party'])}{sender} · as of {time_text(one['at_ms'])}")
        for group in one["groups"]:
            _tell_group(group)
        if not one["groups"]:
            print("  Nothing has been entered." if not one["groups_all"] else "  No more groups.")
        if one.get("next") is not None:
            print(f"  ({one['groups_all']} groups in all; --after {one['next']} goes on)")


def _tell_group(group: dict[str, Any]) -> None:
    sign, words = _OUTCOMES[group["outcome"]]
    states = ", ".join(f"{count} {state}" for state, count in group["states"].items())
    kinds = ", ".join(group["kinds"]) + (
        f", {group['kinds_more']} more" * bool(group["kinds_more"])
    )
    several = "s" if group["handlings"] != 1 else ""
    print(f"{sign} {words}: {states} · kind {kinds} · {group['handlings']} handling{several}")
    for one in group["causes"]:
        cause, count = one["cause"], one["handlings"]
        of = f" ({count} of {group['handlings']})" if count != group["handlings"] else ""
        _lines("  ├─ ", f"{cause['words']} [{cause['code']}]{of}", after="  │  ")
        if cause.get("remedy"):
            _lines("  │  → ", cause["remedy"], after="  │    ")
    if group["causes_more"]:
        print(f"  ├─ {group['causes_more']} more such reasons")
    turn = group.get("turn")
    if turn is None:
        print("  └─ nothing changes this by itself")
    else:
        _, then = _OUTCOMES[turn["state"]]
        print(f"  └─ next: {time_text(turn['at_ms'])} the first of it {then}")


def _tell_counts(lines: list[dict[str, Any]]) -> None:
    table(
        "Feeds",
        ("collection", "to", "kind", "unit", "outcome", "items"),
        [
            (
                f["collection"],
                f["party"],
                f["kind"],
                f["unit"],
                f["outcome"],
                ", ".join(f"{n} {s}" for s, n in sorted(f["states"].items())),
            )
            for f in lines
        ],
    )


# --- opening ------------------------------------------------------------------------------------


def _tell_opened(done: dict[str, Any]) -> None:
    """Caveats before content, always, and whole: they are to be read."""
    tell(f"CAVEATS of {plain(done['id'])} {done['version']}, kind {done['kind']}:")
    for caveat in done["caveats"]:
        words = f": {caveat['words']}" if caveat.get("words") else ""
        for line in _wrapped("  • ", f"{caveat['kind']} {caveat['name']}{words}", "    "):
            tell(line)
    if done["opened"]:
        tell(f"Opened on the record, entry {done['entry']} of the node's ledger.")
        shown = msgspec.json.format(done["content"].encode(), indent=2).decode()
        print("\n".join(plain(line) for line in shown.split("\n")))
        return
    if done.get("wrong_code"):
        tell("That is not the code of these caveats. Nothing was opened or recorded.")
    tell(f"To accept them and see the content: --accept {done['code']}")


def _lines(before: str, text: str, *more: str, after: str = "    ") -> None:
    """A text of others' words on a few lines, cut where it is longer."""
    lines = list(_wrapped(before, text + " · ".join(more), after))
    for line in lines[:TEXT_LINES_MAX]:
        print(line)
    if len(lines) > TEXT_LINES_MAX:
        print(f"{after}… ({len(lines) - TEXT_LINES_MAX} more lines; --json has it whole)")


def _wrapped(before: str, text: str, after: str) -> Iterator[str]:
    yield from textwrap.wrap(
        plain(text), WIDTH, initial_indent=before, subsequent_indent=after
    ) or [before.rstrip()]
