"""TAXII credentials on the command line: add, list, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from detente.errors import Invalid
from detente.faces.client import NodeClient
from detente.faces.documents import read_file
from detente.faces.speak import answer, stated, table
from detente.rules.times import parse_span_ms, time_text

__all__ = ["client"]

Folder = Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")]
Name = Annotated[str, typer.Argument(help="The credential's name; the user for HTTP Basic.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]

client = typer.Typer(no_args_is_help=True, help="TAXII credentials.")


@client.command("add")
@stated
def client_add(
    folder: Folder,
    name: Name,
    party: Annotated[str, typer.Option(help="The party it reads and writes for.")],
    token: Annotated[bool, typer.Option("--token", help="A Bearer token, no password.")] = False,
    certificate: Annotated[
        Path | None, typer.Option(help="A client certificate (PEM), no password.")
    ] = None,
    lasts: Annotated[str | None, typer.Option(help="A span, as 90d; else until removed.")] = None,
    collection: Annotated[
        list[str] | None, typer.Option(help="AGREEMENT/COLLECTION only (repeat).")
    ] = None,
    rights: Annotated[str, typer.Option(help="read, write or both.")] = "both",
    per_minute: Annotated[int | None, typer.Option(help="Requests a minute.")] = None,
    as_json: Json = False,
) -> None:
    """Make a credential; its password or token is told once."""
    if token and certificate:
        raise Invalid("client.kind", "Expected --token or --certificate, got both.")
    body: dict[str, Any] = {
        "name": name,
        "party": party,
        "kind": "token" if token else "certificate" if certificate else "password",
        "certificate": read_file(certificate).decode("ascii", "replace") if certificate else "",
        "lasts_ms": None if lasts is None else parse_span_ms(lasts),
        "collections": collection or [],
        "rights": rights,
        "per_minute": per_minute,
    }
    made = NodeClient(folder).post("/api/clients", msgspec.json.encode(body))
    told = "fingerprint" if made["kind"] == "certificate" else made["kind"]
    answer(made, as_json=as_json, words=lambda: print(f"name {made['name']}\n{told} {made[told]}"))


@client.command("list")
@stated
def client_list(folder: Folder, as_json: Json = False) -> None:
    """The credentials in use."""
    found = NodeClient(folder).get("/api/clients")
    rows = [
        (
            c["name"],
            c["party"],
            c["kind"],
            c["rights"],
            ", ".join(c["collections"] or ["all"]),
            time_text(c["created_ms"]),
            time_text(c["expires_ms"]),
        )
        for c in found["clients"]
    ]
    heads = ("name", "party", "kind", "rights", "collections", "since", "until")
    answer(found, as_json=as_json, words=lambda: table("Clients", heads, rows))


@client.command("remove")
@stated
def client_remove(folder: Folder, name: Name, as_json: Json = False) -> None:
    """Take a credential away; it no longer opens anything."""
    answer(NodeClient(folder).delete(f"/api/clients/{name}"), as_json=as_json)
