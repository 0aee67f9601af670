"""A node to measure: its folder, an agreement, and the node as a process of its own.

The node is made as the command line makes one; the documents are signed here, for speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from detente.config import Config
from detente.faces.documents import charter_of, key_card, new_envelope
from detente.node import NodeFolder, init_node, open_node
from detente.proof import Ed25519Signer, Envelope, add_signature, sign
from detente.rules.document import document_digest, payload_type
from detente.wire.terms import read_terms

__all__ = ["AGREEMENT", "COLLECTION", "Place", "envelope", "memory_mb", "open_place"]

AGREEMENT = "BENCH"
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26301"
KINDS = ("VT", "VI", "PE", "FI")
PURPOSE = "prosecution"
OFFICE = "head"
#: Bytes of one object, about.
OBJECT_BYTES = 1_000


def key_of(party: str) -> Ed25519Signer:
    """The officer's key of a party; the same in every run."""
    return Ed25519Signer.from_seed(hashlib.sha256(party.encode()).digest())


def readers(count: int) -> list[str]:
    """The parties that read."""
    return [f"R{n}" for n in range(count)]


def terms_text(parties: list[str]) -> str:
    """An agreement in which A sends to all the others."""
    lines = [
        f'id = "{AGREEMENT}"',
        'title = "Measurement"',
        'legal_basis = "none: a measurement"',
        "from = 2020-01-01T00:00:00Z",
        "until = 2090-01-01T00:00:00Z",
        "review = 2080-01-01T00:00:00Z",
        "grade_required = false",
    ]
    for party in ("A", *parties):
        lines += [
            "[[members]]",
            f'party = "{party}"',
            f'units = ["{party}-1"]',
            f'contact = {{ office = "Duty", reach = "duty@{party.lower()}.example" }}',
            "[[powers]]",
            f'party = "{party}"',
            'verbs = ["agree", "halt", "suspend", "resume"]',
            f'offices = ["{OFFICE}"]',
        ]
    named = ", ".join(f'"{party}"' for party in parties)
    lines += [
        "[[collections]]",
        'name = "tracks"',
        f'id = "{COLLECTION}"',
        'title = "Tracks"',
        'sender = "A"',
        f"readers = [{named}]",
        f'purpose = "{PURPOSE}"',
        "[[purposes]]",
        f'id = "{PURPOSE}"',
        'title = "Prosecution"',
    ]
    for kind in KINDS:
        lines += ["[[kinds]]", f'id = "{kind}"', f'title = "{kind}"']
    lines += ["[[kind_rules]]", f'kind = "{KINDS[0]}"']
    return "\n".join(lines) + "\n"


def signed(use: str, record: msgspec.Struct, *parties: str) -> Envelope:
    """A document signed by the officers of these parties."""
    made = new_envelope(use, record, exercise=True)
    for party in parties:
        made = add_signature(made, key_of(party))
    return made


class Place:
    """A node that serves, and how its operator and its clients reach it."""

    def __init__(self, folder: NodeFolder, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.address = folder.text("address")
        self.token = folder.text("token")
        self.logins: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """The node's process."""
        return self.process.pid

    def operator(self) -> httpx.Client:
        """A client of the API."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=120, trust_env=False)

    def publish(self, http: httpx.Client, body: bytes) -> None:
        """Publish an envelope; returns when it is on disk."""
        query = {"collection": "tracks"}
        http.post("/api/publish", params=query, content=body).raise_for_status()

    def order(self, http: httpx.Client, name: str, verb: str, ended: tuple[str, ...] = ()) -> float:
        """Enact an order over all that A sends; the milliseconds until it was in force."""
        fields: dict[str, Any] = {
            "agreement": AGREEMENT,
            "id": name,
            "verb": verb,
            "office": OFFICE,
            "reason": "A measurement",
            "scope": {"direction": {"only": ["out"]}},
            "supersedes": ended,
            "acknowledged": ["L16"],
        }
        if verb != "resume":
            fields["review_ms"] = time.time_ns() // 1_000_000 + 1_000_000_000
        drafted = http.post("/api/directives/draft", content=msgspec.json.encode(fields))
        payload = drafted.raise_for_status().json()["payload"].encode()
        body = sign(payload_type("directive", exercise=True), payload, [key_of("A")]).encode()
        began = time.perf_counter()
        done = http.post("/api/directives", content=body).raise_for_status()
        took = time.perf_counter() - began
        if done.json()["enacted"]["state"] != "in-force":
            raise RuntimeError(done.text)
        return took * 1000

    def login_of(self, party: str) -> str:
        """What a TAXII client of a party sends to be let in: a token, for a password costs a
        tenth of a second to make and to check."""
        if party not in self.logins:
            with self.operator() as http:
                asked = {"name": f"client-{party}", "party": party, "kind": "token"}
                body = msgspec.json.encode(asked)
                made = http.post("/api/clients", content=body).raise_for_status().json()
            self.logins[party] = f"Bearer {made['token']}"
        return self.logins[party]


async def _make(path: Path, parties: list[str]) -> NodeFolder:
    config = Config(
        party="A",
        name="A",
        host="a.example",
        exercise=True,
        units=("A-1",),
        listen="127.0.0.1:0",
    )
    folder = await init_node(path, config)
    charters = {}
    for party in ("A", *parties):
        own = None
        if party == "A":
            keys = [folder.signer(name).public for name in ("node", "ledger", "witness")]
            own = ("a.example", keys[0], keys[1], keys[2])
        charter = charter_of(
            (party, party, (f"{party}-1",), True),
            {OFFICE: (key_card(key_of(party), f"{party} head"),)},
            ((OFFICE,), 1),
            own,
            4_000_000_000_000,
        )
        charters[party] = signed("charter", charter, party)
    digests = {party: document_digest(one) for party, one in charters.items()}
    terms = read_terms(terms_text(parties), digests, exercise=True)
    async with open_node(folder) as node:
        for one in charters.values():
            await node.orders.import_charter(one.encode())
        await node.orders.import_agreement(signed("agreement", terms, "A", *parties).encode())
    return folder


@contextlib.contextmanager
def open_place(path: Path, parties: int = 1) -> Iterator[Place]:
    """A fresh node of A with so many readers; it ends with the block."""
    folder = asyncio.run(_make(path, readers(parties)))
    with serving(folder) as place:
        yield place


@contextlib.contextmanager
def serving(folder: NodeFolder) -> Iterator[Place]:
    """The node of a folder as a process."""
    with (folder.path / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "detente.main", "serve", str(folder.path)],
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + 60
        while not (folder.path / "address").exists():
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError((folder.path / "log").read_text()[-2000:])
            time.sleep(0.01)
        yield Place(folder, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def envelope(first: int, count: int) -> bytes:
    """A TAXII envelope of valid STIX objects of about 1 kB, each with an id of its own."""
    filler = "x" * (OBJECT_BYTES - 260)
    objects = []
    for n in range(first, first + count):
        name = hashlib.sha256(n.to_bytes(8)).hexdigest()
        objects.append(
            '{"type":"infrastructure","spec_version":"2.1","id":"infrastructure--'
            f'{name[:8]}-{name[8:12]}-4{name[13:16]}-8{name[17:20]}-{name[20:32]}",'
            '"created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z",'
            f'"name":"object {n}","description":"{filler}"}}'
        )
    return ('{"objects":[' + ",".join(objects) + "]}").encode()


def memory_mb(pid: int) -> dict[str, float]:
    """Resident memory of a process now and at its highest, in MB of 10^6 bytes."""
    found: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM", "RssAnon"):
            found[name] = int(rest.split()[0]) * 1024 / 1e6
    return found
