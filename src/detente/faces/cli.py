"""The command line: noun, verb, ``--json``.

Against a running node it uses the node's API and nothing else. Keys, signatures and the check of
a record work on files alone; ``standing``, ``trace`` and ``ledger`` also work on a stopped node.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import typer

from detente.config import Config
from detente.errors import Invalid, Unavailable
from detente.faces import (
    cli_assess,
    cli_clients,
    cli_derive,
    cli_links,
    cli_orders,
    cli_papers,
    cli_publish,
    cli_terms,
    cli_why,
)
from detente.faces.api_publish import answers_of
from detente.faces.client import NodeClient, Questions, questions
from detente.faces.speak import answer, plain, stated, table
from detente.rules.times import parse_instant_ms, time_text

__all__ = ["Host", "app"]

Folder = Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


class Host(Protocol):
    """What only the composed program can do: make, run and open nodes."""

    def init(self, folder: Path, config: Config, offices: tuple[str, ...]) -> dict[str, Any]: ...

    def serve(self, folder: Path) -> None: ...

    def stopped(self, folder: Path) -> Questions:
        """Questions to a node that does not run."""
        ...

    def export(self, folder: Path, out: Path) -> dict[str, Any]: ...

    def verify(self, place: Path) -> dict[str, Any]: ...


def _host(context: typer.Context) -> Host:
    """What ``main`` has given."""
    host: Host = context.obj
    return host


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Exchange under signed agreements that can be stopped, held and proved.",
)
hold = typer.Typer(no_args_is_help=True, help="Items that wait.")
ledger = typer.Typer(no_args_is_help=True, help="The record, and its proof.")
peer = typer.Typer(no_args_is_help=True, help="Partners' gateways.")
app.add_typer(cli_papers.charter, name="charter")
app.add_typer(cli_terms.agreement, name="agreement")
app.add_typer(cli_orders.directive, name="directive")
app.add_typer(cli_orders.assurance, name="assurance")
app.add_typer(cli_assess.assessment, name="assessment")
app.add_typer(cli_why.feed, name="feed")
app.add_typer(cli_why.item, name="item")
app.add_typer(hold, name="hold")
app.add_typer(ledger, name="ledger")
app.add_typer(peer, name="peer")
app.add_typer(cli_clients.client, name="client")
app.add_typer(cli_links.source, name="source")
app.add_typer(cli_links.sink, name="sink")
app.command()(cli_orders.halt)
app.command()(cli_why.why)
app.command()(cli_derive.derive)
app.command()(cli_publish.publish)


@app.command()
@stated
def init(
    context: typer.Context,
    folder: Folder,
    party: Annotated[str, typer.Option(help="The party's id.")],
    name: Annotated[str, typer.Option(help="The party's name.")] = "",
    listen: Annotated[str, typer.Option(help="HOST:PORT")] = "127.0.0.1:8400",
    host_name: Annotated[str, typer.Option("--host", help="Name of its ledgers.")] = "",
    unit: Annotated[list[str] | None, typer.Option(help="A unit (repeat).")] = None,
    office: Annotated[
        list[str] | None,
        typer.Option(help="Exercise only: an office and how many keys, duty or head:3."),
    ] = None,
    exercise: Annotated[bool, typer.Option("--exercise", help="Make an exercise node.")] = False,
    as_json: Json = False,
) -> None:
    """Make a node's folder: configuration, keys, token, empty store."""
    config = Config(
        party=party,
        name=name or party,
        host=host_name or f"{party.lower()}.detente.invalid",
        listen=listen,
        exercise=exercise,
        units=tuple(unit or (party,)),
    )
    made = _host(context).init(folder, config, tuple(office or ()))
    answer(made, as_json=as_json, words=lambda: _tell_made(made))


@app.command()
@stated
def serve(context: typer.Context, folder: Folder) -> None:
    """Run the node until it is ended (Ctrl-C or SIGTERM)."""
    _host(context).serve(folder)


@app.command()
@stated
def standing(
    context: typer.Context,
    folder: Folder,
    agreement: Annotated[str | None, typer.Option(help="One agreement only.")] = None,
    at: Annotated[str | None, typer.Option(help="A past instant, ISO 8601.")] = None,
    as_json: Json = False,
) -> None:
    """What is in force: state, since when, by whose order, until when."""
    at_ms = None if at is None else str(parse_instant_ms(at))
    found = questions(lambda place: _host(context).stopped(place), folder).get(
        "/api/standing", agreement=agreement, at_ms=at_ms
    )
    answer(found, as_json=as_json, words=lambda: _tell_standings(found["standings"]))


@app.command()
@stated
def clock(
    folder: Folder,
    to: Annotated[str, typer.Argument(help="ISO 8601, or +90m from now.")],
    as_json: Json = False,
) -> None:
    """Set the clock of an exercise forwards; a live node has no such clock."""
    client = NodeClient(folder)
    if to.startswith("+"):
        now_ms = client.get("/api/node")["now_ms"] + cli_orders.span_ms(to[1:])
    else:
        now_ms = parse_instant_ms(to)
    done = client.post("/api/clock", msgspec.json.encode({"now_ms": now_ms}))
    answer(done, as_json=as_json, words=lambda: print(time_text(done["now_ms"])))


def _tell_made(made: dict[str, Any]) -> None:
    print(f"Node of {made['party']} made in {made['folder']}.")
    if made["exercise"]:
        print("EXERCISE: no live node accepts anything of it.")
    for office, keys in made["offices"].items():
        print(f"  office {office}: {', '.join(keys)}")
    print(f"Start it with: detente serve {made['folder']}")


def _tell_standings(standings: list[dict[str, Any]]) -> None:
    for one in standings:
        mark = "EXERCISE  " if one["exercise"] else ""
        state = "in force" if one["in_force"] else "NOT in force"
        number = f" version {one['version']}" if one.get("version") else ""
        print(f"{mark}Agreement {one['agreement']}{number} ({one['title']}): {state}")
        print(f"  at {time_text(one['at_ms'])}, standing {one['standing'][:16]}…")
        for words in one.get("notices", []):
            print(f"  NOTICE {words}")
        for order in one["orders"]:
            until = f" until {time_text(order['until_ms'])}" if order["until_ms"] else ""
            print(
                f"  {order['verb'].upper()} {order['directive']} by {order['issuer']} "
                f"({order['office']}) since {time_text(order['since_ms'])}{until}"
            )
            if order.get("reason"):
                print(f"    reason: {plain(order['reason'])}")
        for made in one.get("assessments", []):
            print(
                f"  ASSESSMENT {made['assessment']} of {made['partner']} for "
                f"{', '.join(made['kinds']) or 'nothing'} until {time_text(made['until_ms'])}, "
                f"to be looked at again by {time_text(made['review_ms'])}"
            )
        if one.get("assurances"):
            print(f"  ASSURANCES {', '.join(one['assurances'])}")
        table(
            "Flows",
            ("from", "to", "collection", "kind", "state", "by"),
            [
                (
                    f["sender"],
                    f["recipient"],
                    f["collection"],
                    f["kind"],
                    f["state"],
                    ", ".join(f["by"]),
                )
                for f in one["flows"]
            ],
        )
    if not standings:
        print("No agreement is known here.")


@app.command()
@stated
def trace(
    context: typer.Context,
    folder: Folder,
    item: Annotated[str | None, typer.Argument(help="STIX id.")] = None,
    stix_object: Annotated[str | None, typer.Option("--object", help="The same as ITEM.")] = None,
    as_json: Json = False,
) -> None:
    """Where an item went: every page that carried it, and its receipt."""
    wanted = stix_object or item
    if wanted is None:
        raise Invalid("cli.item", "Expected a STIX id, got none.")
    found = questions(lambda place: _host(context).stopped(place), folder).get(
        "/api/trace", object=wanted
    )
    answer(found, as_json=as_json, words=lambda: _tell_trace(found))


@hold.command("list")
@stated
def hold_list(
    folder: Folder,
    to: Annotated[str | None, typer.Option(help="One party only.")] = None,
    as_json: Json = False,
) -> None:
    """The items that wait, and why."""
    found = NodeClient(folder).get("/api/holds", party=to)
    answer(found, as_json=as_json, words=lambda: _tell_held(found["held"]))


Item = Annotated[str, typer.Argument(help="STIX id.")]
To = Annotated[str, typer.Option(help="The party.")]
By = Annotated[str, typer.Option(help="The office that decides.")]
Agreement = Annotated[str, typer.Option(help="The agreement.")]


@hold.command("release")
@stated
def hold_release(
    folder: Folder,
    item: Item,
    to: To,
    by: By,
    agreement: Agreement,
    answers: cli_publish.Answers = None,
    as_json: Json = False,
) -> None:
    """Release one item that waits, if nothing stops it but what an office may pass. Tests that
    were not answered before are answered with it."""
    body = {
        "agreement": agreement,
        "item": item,
        "party": to,
        "by": by,
        "answers": answers_of(answers or []),
    }
    done = NodeClient(folder).post("/api/holds/release", msgspec.json.encode(body))
    answer(done, as_json=as_json, words=lambda: _tell_reviewed(done))


@hold.command("refuse")
@stated
def hold_refuse(
    folder: Folder,
    item: Item,
    to: To,
    by: By,
    agreement: Agreement,
    code: Annotated[str, typer.Option(help="Reason of the refusal.")],
    as_json: Json = False,
) -> None:
    """Refuse one item that waits, for good and on the record."""
    body = {"agreement": agreement, "item": item, "party": to, "by": by, "code": code}
    done = NodeClient(folder).post("/api/holds/refuse", msgspec.json.encode(body))
    answer(done, as_json=as_json, words=lambda: _tell_reviewed(done))


def _tell_reviewed(done: dict[str, Any]) -> None:
    word = "released" if done["verdict"] == "release" else "refused"
    print(f"{done['item']} to {done['party']}: {word} by {done['by']}, entry {done['entry']}")


def _tell_trace(found: dict[str, Any]) -> None:
    for line in found["trace"]:
        print(
            f"{line['id']} → {line['party']} ({line['collection']}, {line['kind']}): "
            f"{line['state']}; purpose {line['purpose']}, grade {line['grade']}, "
            f"originator {line['originator']}"
        )
        if line["flags"]:
            print(f"  said and done when it was entered: {', '.join(line['flags'])}")
        if line["came_back"]:
            print("  comes back: this party has published an object of this id itself")
        cli_why.tell_decided(line.get("decided"))
        for page in line["pages"]:
            receipt = f", receipt {page['receipt'][:16]}…" if page["receipt"] else ""
            print(
                f"  page {page['index']} at {time_text(page['at_ms'])}: {page['outcome']}{receipt}"
            )
    cli_derive.tell_kin("made from", found["parents"])
    cli_derive.tell_kin("made from it", found["children"])


def _tell_held(items: list[dict[str, Any]]) -> None:
    for one in items:
        since = time_text(one["added_us"] // 1000)
        print(f"{plain(one['id'])}  to {one['party']}")
        print(f"  {one['kind']}, {one['unit']}: {one['state']} since {since}")
        for reason in one["reasons"]:
            print(f"  · {plain(reason)}")
    if not items:
        print("Held: none")


@ledger.command()
@stated
def export(
    context: typer.Context,
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="A new folder for the copy.")],
    as_json: Json = False,
) -> None:
    """Write a copy of all ledgers and signed documents, without any content."""
    place = out.absolute()
    try:
        body = msgspec.json.encode({"out": str(place)})
        done = NodeClient(folder).post("/api/ledger/export", body)
    except Unavailable:
        done = _host(context).export(folder, place)
    answer(done, as_json=as_json)


@ledger.command()
@stated
def verify(
    context: typer.Context,
    place: Annotated[Path, typer.Argument(help="An exported copy, or a node's folder.")],
    as_json: Json = False,
) -> None:
    """Check a record offline; names the place of whatever does not hold."""
    report = _verified(_host(context), place)
    answer(report, as_json=as_json, words=lambda: _tell_verified(report))
    if not report["ok"]:
        raise typer.Exit(5)


def _verified(host: Host, place: Path) -> dict[str, Any]:
    """A copy is checked as it lies; a running node is asked for a copy first."""
    try:
        client = NodeClient(place)
        with tempfile.TemporaryDirectory() as made:
            copy = Path(made) / "copy"
            client.post("/api/ledger/export", msgspec.json.encode({"out": str(copy)}))
            return host.verify(copy)
    except Unavailable:
        return host.verify(place)


def _tell_verified(report: dict[str, Any]) -> None:
    for one in report["logs"]:
        print(
            f"{one['origin']}: {one['size']} entries, {one['pages']} pages, "
            f"{one['cosigned']} cosigned"
        )
        if one["receipts"]:
            print(
                f"  receipts: {one['receipts']}, {one['receipts_tied']} of them tied to their page"
            )
        if one["peer_acts"]:
            print(f"  partners' acts: {one['peer_acts']}, {one['peer_acts_proved']} with proof")
    if report["strangers"]:
        print(f"signatures by keys that no charter lists: {report['strangers']}, not counted")
    for party, name in report["first_charters"].items():
        print(f"{party} is whoever made the charter {name}: compare it over another channel.")
    for fault in report["faults"]:
        print(f"FAULT {fault['place']}: {fault['sentence']} [{fault['code']}]")
    print("The record holds." if report["ok"] else "The record does NOT hold.")


@peer.command("add")
@stated
def peer_add(
    folder: Folder,
    party: Annotated[str, typer.Argument(help="The partner's id.")],
    address: Annotated[str, typer.Argument(help="Where it answers, as https://gw.example:8400")],
    agreement: Annotated[str, typer.Option(help="The agreement.")],
    as_json: Json = False,
) -> None:
    """Say where a partner's gateway is."""
    body = {"party": party, "address": address, "agreement": agreement}
    answer(NodeClient(folder).post("/api/peers", msgspec.json.encode(body)), as_json=as_json)


@peer.command("list")
@stated
def peer_list(folder: Folder, as_json: Json = False) -> None:
    """The partners' gateways this node knows."""
    found = NodeClient(folder).get("/api/peers")
    rows = [(p["party"], p["agreement"], p["address"]) for p in found["peers"]]
    answer(
        found,
        as_json=as_json,
        words=lambda: table("Peers", ("party", "agreement", "address"), rows),
    )


@peer.command("sync")
@stated
def peer_sync(
    folder: Folder,
    party: Annotated[str, typer.Argument(help="The partner's id.")],
    agreement: Annotated[str, typer.Option(help="The agreement.")],
    as_json: Json = False,
) -> None:
    """Exchange everything there is with a partner: receipts, acts, pages, cosignatures."""
    body = {"party": party, "agreement": agreement}
    done = NodeClient(folder).post("/api/peers/sync", msgspec.json.encode(body))
    answer(done, as_json=as_json, words=lambda: _tell_sync(done))


@app.command()
@stated
def recall(
    folder: Folder,
    item: Annotated[str, typer.Argument(help="The object's id.", metavar="OBJECT")],
    agreement: Annotated[str, typer.Option(help="The agreement.")],
    collection: Annotated[str, typer.Option(help="The collection.")],
    version: Annotated[str | None, typer.Option(help="One version; else all.")] = None,
    as_json: Json = False,
) -> None:
    """Take back an object that one published: nobody reads it here any more; it stays on record."""
    body = {
        "agreement": agreement,
        "collection": collection,
        "object": item,
        "version": version,
    }
    done = NodeClient(folder).post("/api/recalls", msgspec.json.encode(body))
    answer(
        done,
        as_json=as_json,
        words=lambda: _tell_recall(done),
    )


def _tell_recall(done: dict[str, Any]) -> None:
    print(f"{done['count']} versions taken back, entry {done['entry']}")
    children = done.get("children", [])
    cli_derive.tell_kin("made from it, and NOT taken back", children)
    if children:
        print("Decide for each whether it is to be taken back too.")


def _tell_sync(done: dict[str, Any]) -> None:
    print(f"{done['party']}: {done['acts']} acts, {done['pages']} pages, {done['items']} new items")
    for collection, words in done["stopped"].items():
        print(f"  {collection}: {words}")
    for words in done["refused"]:
        print(f"  does not count: {words}")
    if done["receipts_waiting"]:
        print(f"  receipts that wait to be brought: {done['receipts_waiting']}")
    same = "the same" if done["standing_same"] else "NOT the same"
    print(f"  standing on both sides: {same}")
