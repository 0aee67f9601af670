"""A TAXII lab: an exercise node with one agreement and one party that only speaks TAXII.

`python tools/taxii_lab.py` prints one line of JSON (where it serves, a name and password, and the
ids of four collections) and serves until it is ended by SIGINT or SIGTERM. Everything is made
afresh in a temporary folder, which is removed at the end.

`read_write` gives back to the client what it wrote; `read_only` holds a few objects of several
types, one of them in three versions, or as many as --objects says; `write_only` only takes;
`not_visible` exists, but not for this client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import structlog
import uvloop

from detente.config import Config
from detente.faces.documents import KeyCard, charter_of, key_card, new_envelope
from detente.gateway.intake import Publication
from detente.node import Node, NodeFolder, init_node, running_node
from detente.proof import Ed25519Signer, Envelope, add_signature
from detente.rules.document import document_digest
from detente.wire.terms import read_terms

ROOT = "lab"
COLLECTIONS = {
    "read_write": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b01",
    "read_only": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b02",
    "write_only": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b03",
    "not_visible": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b04",
}
#: Per collection: its sender and its readers. H is the host, C the client, T a third party.
ENDS = {
    "read_write": ("C", ("C", "H")),
    "read_only": ("H", ("C",)),
    "write_only": ("C", ("H",)),
    "not_visible": ("H", ("T",)),
}
#: Objects in one publication; and the bytes a request may have, small enough to be exceeded fast.
BATCH = 1000
BODY_BYTES_MAX = 8 * 1024 * 1024
EXPIRES_MS = 4_102_444_800_000
NAMESPACE = uuid.UUID("8e2b6e3c-5d0c-4f43-9a55-0a3f5d1f1c10")


def terms_text() -> str:
    """The agreement between host, client and third party, as people write it."""
    parts = [
        f'id = "{ROOT}"\ntitle = "TAXII lab"\nlegal_basis = "none: an exercise"\n'
        "from = 2020-01-01T00:00:00Z\nuntil = 2090-01-01T00:00:00Z\n"
        "review = 2080-01-01T00:00:00Z\ngrade_required = false\n"
    ]
    for party in "HCT":
        parts.append(
            f'[[members]]\nparty = "{party}"\nunits = ["{party}1"]\n'
            f'contact = {{ office = "Duty {party}", reach = "duty@{party.lower()}.example" }}\n'
            f'[[powers]]\nparty = "{party}"\nverbs = ["agree"]\noffices = ["head"]\n'
        )
    for name, collection in COLLECTIONS.items():
        sender, readers = ENDS[name]
        parts.append(
            f'[[collections]]\nname = "{name.replace("_", "-")}"\nid = "{collection}"\n'
            f'title = "{name.replace("_", " ").capitalize()}"\nsender = "{sender}"\n'
            f'readers = {json.dumps(readers)}\npurpose = "lab"\n'
        )
    parts.append(
        '[[kinds]]\nid = "ANY"\ntitle = "anything"\n[[kind_rules]]\nkind = "ANY"\n'
        '[[purposes]]\nid = "lab"\ntitle = "Lab"\n'
    )
    return "".join(parts)


def made(kind: str, number: int, version: int = 0, **fields: Any) -> dict[str, Any]:
    """An object of a type; a later version of the same number has a later `modified`."""
    created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    modified = created + timedelta(days=version)
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--{stable(kind, number)}",
        "created": created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "modified": modified.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    } | fields


def stable(kind: str, number: int) -> uuid.UUID:
    """A version 4 UUID that is the same in every lab, as two runs are compared."""
    return uuid.UUID(bytes=uuid.uuid5(NAMESPACE, f"{kind} {number}").bytes, version=4)


def indicator(number: int, version: int = 0) -> dict[str, Any]:
    """An indicator, the most usual object."""
    return made(
        "indicator",
        number,
        version,
        name=f"indicator {number}, version {version}",
        indicator_types=["malicious-activity"],
        pattern=f"[ipv4-addr:value = '198.51.100.{number % 250 + 1}']",
        pattern_type="stix",
        valid_from="2026-01-01T00:00:00Z",
    )


def samples() -> Iterator[dict[str, Any]]:
    """A few objects of several types, one of them in three versions."""
    first = indicator(0)
    malware = made("malware", 1, name="sample", is_family=False)
    yield first
    yield made("identity", 2, name="Example organisation", identity_class="organization")
    yield malware
    yield indicator(0, version=1)
    statement = made(
        "marking-definition", 3, definition_type="statement", definition={"statement": "Exercise"}
    )
    del statement["modified"]
    yield statement
    yield made(
        "relationship",
        4,
        relationship_type="indicates",
        source_ref=first["id"],
        target_ref=malware["id"],
    )
    address = made("ipv4-addr", 5, value="198.51.100.7")
    del address["created"], address["modified"]
    yield address
    yield indicator(0, version=2)
    yield made("infrastructure", 6, name="Vessel 6", infrastructure_types=["vessel"])


def many(count: int) -> Iterator[dict[str, Any]]:
    """The samples, then indicators up to this count."""
    known = list(samples())
    yield from known[:count]
    yield from (indicator(number) for number in range(1000, 1000 + max(0, count - len(known))))


async def open_agreement(node: Node, folder: NodeFolder) -> None:
    """Charters of the three parties and an agreement that all have signed."""
    heads = {party: Ed25519Signer.from_seed(party.encode() * 32) for party in "HCT"}
    charters: dict[str, Envelope] = {}
    for party, head in heads.items():
        own = None
        if party == "H":
            keys = [folder.signer(name).public for name in ("node", "ledger", "witness")]
            own = (node.config.host, keys[0], keys[1], keys[2])
        cards: dict[str, tuple[KeyCard, ...]] = {"head": (key_card(head, f"{party} head"),)}
        charter = charter_of(
            (party, party, (f"{party}1",), True), cards, (("head",), 1), own, EXPIRES_MS
        )
        charters[party] = add_signature(new_envelope("charter", charter, exercise=True), head)
        await node.orders.import_charter(charters[party].encode())
    digests = {party: document_digest(charter) for party, charter in charters.items()}
    terms = read_terms(terms_text(), digests, exercise=True)
    agreement = new_envelope("agreement", terms, exercise=True)
    for head in heads.values():
        agreement = add_signature(agreement, head)
    await node.orders.import_agreement(agreement.encode())


async def fill(node: Node, count: int | None) -> None:
    """Publish into the read-only collection."""
    objects = samples() if count is None else many(count)
    while batch := list(islice(objects, BATCH)):
        body = json.dumps({"objects": batch}, separators=(",", ":")).encode()
        await node.intake.publish(
            Publication(agreement=ROOT, collection="read-only", party="H", body=body)
        )


async def serve(place: Path, options: argparse.Namespace) -> None:
    """Make the lab, tell of it, and serve until a signal."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    config = Config(
        party="H",
        name="TAXII lab",
        host="lab.example",
        exercise=True,
        units=("H1",),
        listen=f"127.0.0.1:{options.port}",
        body_bytes_max=BODY_BYTES_MAX,
        page_objects_max=options.page,
        headers_ms=options.deadline_ms,
        body_ms=options.deadline_ms,
    )
    folder = await init_node(place / "node", config)
    async with running_node(folder) as (node, address):
        await open_agreement(node, folder)
        await fill(node, options.objects)
        password = await node.guard.add_client("lab-client", "C")
        told = {
            "base": address,
            "api_root": f"{address}/taxii2/{ROOT}/",
            "user": "lab-client",
            "password": password,
            **COLLECTIONS,
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description="Serve a TAXII lab on loopback.")
    parser.add_argument("--port", type=int, default=0, help="port to serve on (0: a free one)")
    parser.add_argument("--objects", type=int, help="objects in read_only (default: a few samples)")
    parser.add_argument(
        "--deadline-ms", type=int, default=10_000, help="time a client has for headers and body"
    )
    parser.add_argument("--page", type=int, default=1000, help="most objects on one page")
    options = parser.parse_args()
    # Standard output is for the one line of JSON.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory(prefix="taxii-lab-") as place:
        uvloop.run(serve(Path(place), options))


if __name__ == "__main__":
    main()
