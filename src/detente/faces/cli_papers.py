"""Charters and agreements on the command line: keys, signatures, import. How agreements are written
and read is in ``cli_terms``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from detente.errors import Conflict, Invalid
from detente.faces.client import NodeClient
from detente.faces.documents import (
    KeyCard,
    charter_of,
    envelope_in,
    key_card,
    new_envelope,
    read_file,
    signed_file,
    write_new,
)
from detente.faces.speak import answer, stated, tell, tell_signed
from detente.model import Charter, decode
from detente.proof import Ed25519Signer, load_private_key
from detente.rules.document import document_digest

__all__ = ["agreement", "charter"]

Folder = Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")]
File = Annotated[Path, typer.Argument(help="The document.", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Keys = Annotated[list[Path], typer.Option("--key", help="A private key file (repeat).")]
Out = Annotated[Path, typer.Option("-o", "--out", help="The new file.")]


charter = typer.Typer(no_args_is_help=True, help="How others know a party's signatures.")
agreement = typer.Typer(no_args_is_help=True, help="What a flow stands on.")


@charter.command("key")
@stated
def charter_key(
    file: Annotated[Path, typer.Argument(help="The new private key's file.", metavar="FILE")],
    holder: Annotated[str, typer.Option(help="Tells persons apart, not who they are.")],
    as_json: Json = False,
) -> None:
    """Make a person's key: FILE is the private half, FILE.card the public one."""
    signer = Ed25519Signer(Ed25519PrivateKey.generate())
    card = key_card(signer, holder)
    write_new(file, signer.pem(), private=True)
    write_new(Path(f"{file}.card"), msgspec.json.encode(card))
    answer(card, as_json=as_json, words=lambda: print(f"key {card.keyid}"))


@charter.command("draft")
@stated
def charter_draft(
    out: Out,
    party: Annotated[str, typer.Option(help="The party's id.")],
    office: Annotated[list[str], typer.Option(help="OFFICE=CARD[,CARD] (repeat).")],
    root: Annotated[list[str], typer.Option(help="Office that signs charters (repeat).")],
    node: Annotated[
        Path | None, typer.Option(help="The party's node; none if it uses TAXII only.")
    ] = None,
    threshold: Annotated[int, typer.Option(help="Root signatures needed.")] = 1,
    name: Annotated[str, typer.Option(help="The party's name.")] = "",
    unit: Annotated[list[str] | None, typer.Option(help="A unit (repeat).")] = None,
    exercise: Annotated[
        bool, typer.Option("--exercise", help="A charter for exercises only.")
    ] = False,
    expires_ms: Annotated[int, typer.Option(help="Milliseconds since 1970.")] = 4102444800000,
) -> None:
    """Write a party's first charter from the cards of its officers' keys."""
    offices = {}
    for one in office:
        office_id, _, cards = one.partition("=")
        offices[office_id] = tuple(_card_in(Path(card)) for card in cards.split(","))
    own = None
    if node is not None:
        node_key, ledger, witness = (
            load_private_key(read_file(node / "keys" / f"{use}.pem")).public
            for use in ("node", "ledger", "witness")
        )
        own = (_host_of(node), node_key, ledger, witness)
    record = charter_of(
        (party, name or party, tuple(unit or (party,)), exercise),
        offices,
        (tuple(root), threshold),
        own,
        expires_ms,
    )
    write_new(out, new_envelope("charter", record, exercise=exercise).encode())
    tell(f"Written to {out}; sign it with `detente charter sign`.")


def _card_in(path: Path) -> KeyCard:
    try:
        return msgspec.json.decode(read_file(path), type=KeyCard)
    except msgspec.DecodeError as error:
        raise Invalid(
            "charter.card",
            f"Expected the card of a key, got {path}.",
            hint="`detente charter key FILE` writes it to FILE.card.",
        ) from error


@charter.command("sign")
@stated
def charter_sign(file: File, key: Keys, as_json: Json = False) -> None:
    """Add signatures to a charter, offline."""
    envelope = signed_file(file, "charter", key)
    count = len(envelope.signatures)
    answer({"signatures": count}, as_json=as_json, words=lambda: tell_signed(file, count))


@charter.command("import")
@stated
def charter_import(folder: Folder, file: File, as_json: Json = False) -> None:
    """Accept a party's charter. The first one is accepted on your word: compare its digest
    with the party over another channel."""
    done = NodeClient(folder).post("/api/charters", read_file(file))
    answer(
        done,
        as_json=as_json,
        words=lambda: print(f"{done['document']}: charter {done['digest']} accepted"),
    )


@charter.command("show")
@stated
def charter_show(file: File, as_json: Json = False) -> None:
    """What a charter says, and the digest to compare."""
    envelope = envelope_in(file)
    record = decode(envelope.payload, Charter)
    answer({"digest": document_digest(envelope), "charter": record}, as_json=as_json)


def _host_of(node: Path) -> str:
    for line in read_file(node / "detente.toml").decode().splitlines():
        if line.startswith("host = "):
            return str(msgspec.json.decode(line.removeprefix("host = ")))
    raise Invalid("config.invalid", f"Expected a host in {node}/detente.toml, got none.")


@agreement.command("sign")
@stated
def agreement_sign(file: File, key: Keys, as_json: Json = False) -> None:
    """Add signatures to an agreement, offline."""
    envelope = signed_file(file, "agreement", key)
    count = len(envelope.signatures)
    answer({"signatures": count}, as_json=as_json, words=lambda: tell_signed(file, count))


@agreement.command("import")
@stated
def agreement_import(
    folder: Folder,
    file: File,
    charter: Annotated[
        list[Path] | None, typer.Option(help="Accept this party's charter first (repeat).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Open an agreement that all its members have signed."""
    client = NodeClient(folder)
    for path in charter or ():
        try:
            client.post("/api/charters", read_file(path))
        except Conflict as error:
            if error.code != "charter.known":
                raise
    done = client.post("/api/agreements", read_file(file))
    answer(
        done,
        as_json=as_json,
        words=lambda: print(
            f"{done['document']}: {done['state']}, standing {done['standing'][:16]}…"
        ),
    )
