"""Commands about sources (foreign TAXII collections that are polled) and sinks (pushed to).

A password or token is read from a file or from standard input, never from the command line: that
is visible to everybody on the machine and stays in the shell's history.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from detente.errors import Invalid, Missing
from detente.faces.client import NodeClient
from detente.faces.speak import answer, stated, table, tell
from detente.rules.times import parse_span_ms, time_text

__all__ = ["sink", "source"]

#: More than this is no password and no token.
SECRET_BYTES_MAX = 8_192

source = typer.Typer(no_args_is_help=True, help="Foreign TAXII collections that are polled.")
sink = typer.Typer(no_args_is_help=True, help="Foreign TAXII collections that are pushed to.")

Folder = Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
URL = Annotated[str, typer.Argument(help="…/collections/ID/", metavar="URL")]
SourceName = Annotated[str, typer.Argument(help="The source.", metavar="NAME")]
SinkName = Annotated[str, typer.Argument(help="The sink.", metavar="NAME")]
Agreement = Annotated[str | None, typer.Option(help="If the collection's name is not enough.")]
Name = Annotated[str | None, typer.Option(help="Its name here; the collection's if not given.")]
Page = Annotated[int, typer.Option(help="Objects on a page.", min=1, max=10_000)]
Pace = Annotated[int, typer.Option(help="Requests a minute.", min=1, max=6_000)]
User = Annotated[str | None, typer.Option(help="User for HTTP Basic, with --password-file.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="File with the password; - is standard input.")
]
TokenFile = Annotated[
    Path | None, typer.Option(help="File with a bearer token; - is standard input.")
]
CaFile = Annotated[Path | None, typer.Option(help="Authorities (PEM) in place of the system's.")]
Pin = Annotated[
    str | None,
    typer.Option(help="SHA-256 of the server's public key (SPKI, DER), in hexadecimal."),
]
Certificate = Annotated[Path | None, typer.Option(help="Our certificate (PEM), for mutual TLS.")]
Key = Annotated[Path | None, typer.Option(help="Its key (PEM); the node reads it, it stays there.")]
Insecure = Annotated[
    bool,
    typer.Option("--insecure-http", help="Plain HTTP to another machine: all in the clear."),
]
After = Annotated[str, typer.Option(help="Only what was added after this time.")]


@source.command("add")
@stated
def source_add(
    folder: Folder,
    url: URL,
    collection: Annotated[str, typer.Option(help="The own collection it is read into.")],
    agreement: Agreement = None,
    name: Name = None,
    kind: Annotated[str | None, typer.Option(help="Kind, else by the agreement's rules.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Purpose of the release.")] = None,
    grade: Annotated[str | None, typer.Option(help="scheme:value, as admiralty:B2.")] = None,
    unit: Annotated[str | None, typer.Option(help="The unit that sends.")] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Ask for this STIX type only (repeat).")
    ] = None,
    added_after: After = "",
    every: Annotated[str, typer.Option(help="How often: 30s, 5m, 2h.")] = "5m",
    page_objects: Page = 1_000,
    requests_per_minute: Pace = 60,
    user: User = None,
    password_file: PasswordFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    pin: Pin = None,
    certificate: Certificate = None,
    key: Key = None,
    insecure_http: Insecure = False,
    as_json: Json = False,
) -> None:
    """Poll a TAXII 2.1 collection into one of the node's own."""
    client = NodeClient(folder)
    auth, secret = _credentials(user, password_file, token_file)
    settings = {
        "name": name or collection,
        "address": url,
        "agreement": agreement or _agreement_of(client, collection),
        "collection": collection,
        "auth": auth,
        "user": user,
        "kind": kind,
        "purpose": purpose,
        "grade": grade,
        "unit": unit,
        "types": type_,
        "added_after": added_after,
        "interval_ms": parse_span_ms(every),
        "page_objects": page_objects,
        "requests_per_minute": requests_per_minute,
        **_trust(ca_file, pin, certificate, key),
        "insecure_http": insecure_http,
    }
    made = client.post("/api/sources", _body(settings, secret))
    answer(made, as_json=as_json, words=lambda: print(f"source {made['settings']['name']} added"))


@sink.command("add")
@stated
def sink_add(
    folder: Folder,
    url: URL,
    from_: Annotated[str, typer.Option("--from", help="The own collection that is sent.")],
    to: Annotated[str, typer.Option(help="The party whose feed it is.")],
    agreement: Agreement = None,
    name: Name = None,
    added_after: After = "",
    every: Annotated[str, typer.Option(help="How often to look: 10s, 5m.")] = "10s",
    page_objects: Page = 200,
    requests_per_minute: Pace = 120,
    user: User = None,
    password_file: PasswordFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    pin: Pin = None,
    certificate: Certificate = None,
    key: Key = None,
    insecure_http: Insecure = False,
    as_json: Json = False,
) -> None:
    """Push what a party may read of a collection to a TAXII 2.1 collection."""
    client = NodeClient(folder)
    auth, secret = _credentials(user, password_file, token_file)
    settings = {
        "name": name or f"{from_}-{to}",
        "address": url,
        "agreement": agreement or _agreement_of(client, from_),
        "collection": from_,
        "party": to,
        "auth": auth,
        "user": user,
        "added_after": added_after,
        "interval_ms": parse_span_ms(every),
        "page_objects": page_objects,
        "requests_per_minute": requests_per_minute,
        **_trust(ca_file, pin, certificate, key),
        "insecure_http": insecure_http,
    }
    made = client.post("/api/sinks", _body(settings, secret))
    answer(made, as_json=as_json, words=lambda: print(f"sink {made['settings']['name']} added"))


def _credentials(
    user: str | None, password_file: Path | None, token_file: Path | None
) -> tuple[str, str]:
    """How to log in, and the secret for it."""
    if token_file is not None and user is None and password_file is None:
        return "bearer", _secret(token_file)
    if token_file is None and user is not None and password_file is not None:
        return "basic", _secret(password_file)
    if token_file is None and user is None and password_file is None:
        return "none", ""
    raise Invalid(
        "link.credentials-form",
        "Expected --user with --password-file, or --token-file alone, or none of them.",
    )


def _secret(place: Path) -> str:
    """The first line of a file or of standard input; never told to anybody but the node."""
    try:
        if str(place) == "-":
            data = sys.stdin.buffer.read(SECRET_BYTES_MAX + 1)
        else:
            with place.open("rb") as file:
                data = file.read(SECRET_BYTES_MAX + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("link.secret", f"Expected to read a secret from {place}.") from error
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret or len(data) > SECRET_BYTES_MAX or "\n" in secret:
        raise Invalid(
            "link.secret", f"Expected one line of at most {SECRET_BYTES_MAX} bytes in {place}."
        )
    return secret


def _trust(
    ca_file: Path | None, pin: str | None, certificate: Path | None, key: Path | None
) -> dict[str, str | None]:
    """Files by their full names: the node runs in another folder."""
    return {
        "ca_file": str(ca_file.absolute()) if ca_file else None,
        "pin": pin.removeprefix("sha256:").lower() if pin else None,
        "certificate": str(certificate.absolute()) if certificate else None,
        "key": str(key.absolute()) if key else None,
    }


def _body(settings: dict[str, Any], secret: str) -> bytes:
    stated_ = {key: value for key, value in settings.items() if value is not None}
    return msgspec.json.encode({"settings": stated_, "secret": secret})


def _agreement_of(client: NodeClient, collection: str) -> str:
    """The only agreement that has a collection of that name."""
    found = [
        name
        for name in client.get("/api/agreements")["agreements"]
        if any(
            one["name"] == collection
            for one in (client.get(f"/api/agreements/{name}")["agreement"] or {}).get(
                "collections", ()
            )
        )
    ]
    if len(found) != 1:
        raise Missing(
            "collection.unknown",
            f"Expected one agreement with a collection {collection}, got {len(found)}.",
            hint="`detente agreement show` lists them; --agreement says which one is meant.",
        )
    return str(found[0])


@source.command("list")
@stated
def source_list(folder: Folder, as_json: Json = False) -> None:
    """The sources, and how far each has come."""
    found = NodeClient(folder).get("/api/sources")
    rows = [
        (
            one["settings"]["name"],
            one["settings"]["address"],
            one["settings"]["collection"],
            one["state"].get("after", ""),
            one["state"].get("taken", 0),
            one["state"].get("refused", 0),
            _standing(one["state"]),
        )
        for one in found["sources"]
    ]
    columns = ("name", "address", "into", "read to", "taken", "refused", "state")
    answer(found, as_json=as_json, words=lambda: table("Sources", columns, rows))


@sink.command("list")
@stated
def sink_list(folder: Folder, as_json: Json = False) -> None:
    """The sinks, and how far each has come."""
    found = NodeClient(folder).get("/api/sinks")
    rows = [
        (
            one["settings"]["name"],
            one["settings"]["address"],
            one["settings"]["collection"],
            one["settings"]["party"],
            one["state"].get("sent", 0),
            one["state"].get("refused", 0),
            _standing(one["state"]),
        )
        for one in found["sinks"]
    ]
    columns = ("name", "address", "from", "to", "sent", "refused", "state")
    answer(found, as_json=as_json, words=lambda: table("Sinks", columns, rows))


def _standing(state: dict[str, Any]) -> str:
    failure = state.get("failure")
    if failure:
        again = time_text(state.get("due_us", 0) // 1000)
        return f"{failure['code']}, {state.get('failures', 0)} in a row, again at {again}"
    if state.get("stopped"):
        return str(state["stopped"])
    return "pending there" if state.get("pending") else "well"


@source.command("show")
@stated
def source_show(folder: Folder, name: SourceName, as_json: Json = False) -> None:
    """One source: what was said of it, and how it stands."""
    answer(NodeClient(folder).get(f"/api/sources/{name}"), as_json=as_json)


@sink.command("show")
@stated
def sink_show(folder: Folder, name: SinkName, as_json: Json = False) -> None:
    """One sink: what was said of it, and how it stands."""
    answer(NodeClient(folder).get(f"/api/sinks/{name}"), as_json=as_json)


@source.command("remove")
@stated
def source_remove(folder: Folder, name: SourceName, as_json: Json = False) -> None:
    """Forget a source and its password; what it brought stays."""
    answer(NodeClient(folder).delete(f"/api/sources/{name}"), as_json=as_json)


@sink.command("remove")
@stated
def sink_remove(folder: Folder, name: SinkName, as_json: Json = False) -> None:
    """Forget a sink and its password; what it sent was sent."""
    answer(NodeClient(folder).delete(f"/api/sinks/{name}"), as_json=as_json)


@source.command("poll")
@stated
def source_poll(folder: Folder, name: SourceName, as_json: Json = False) -> None:
    """Read from a source now."""
    done = NodeClient(folder).post(f"/api/sources/{name}/poll")
    answer(done, as_json=as_json, words=lambda: _tell_poll(done))
    _end(done)


@sink.command("push")
@stated
def sink_push(folder: Folder, name: SinkName, as_json: Json = False) -> None:
    """Push to a sink now."""
    done = NodeClient(folder).post(f"/api/sinks/{name}/push")
    answer(done, as_json=as_json, words=lambda: _tell_push(done))
    _end(done)


def _tell_poll(done: dict[str, Any]) -> None:
    print(
        f"{done['name']}: {done['pages']} pages, {done['taken']} taken, "
        f"{done['known']} known already, {done['refused']} refused"
    )
    _tell_rest(done)


def _tell_push(done: dict[str, Any]) -> None:
    print(
        f"{done['name']}: {done['pages']} pages, {done['sent']} sent, "
        f"{done['refused']} refused there, {done['pending']} pending there"
    )
    if done["stopped"]:
        print(f"  {done['stopped']}")
    _tell_rest(done)


def _tell_rest(done: dict[str, Any]) -> None:
    for refused in done["told"]:
        tell(f"  refused {refused['id']}: {refused['sentence']}")
    if done["more"] and not done["failure"]:
        print(f"  more to come at {time_text(done['due_ms'])}")
    if done["failure"]:
        tell(f"  {done['failure']['sentence']} [{done['failure']['code']}]")
        tell(f"  again at {time_text(done['due_ms'])}")


def _end(done: dict[str, Any]) -> None:
    """A server that failed is told by the exit code too, like one that cannot be reached."""
    if done["failure"]:
        raise typer.Exit(6)
