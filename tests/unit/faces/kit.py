"""A running exercise node with an agreement, and clients that speak real HTTP to it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from detente.config import Config
from detente.faces.documents import KeyCard, charter_of, key_card, new_envelope
from detente.gateway.draft import DirectiveDraft, draft_directive
from detente.gateway.intake import Publication
from detente.model import Choice, Scope, encode
from detente.node import Node, NodeFolder, init_node, running_node
from detente.proof import Ed25519Signer, add_signature, sign
from detente.rules.document import document_digest, payload_type
from detente.wire.terms import read_terms

MEDIA = "application/taxii+json;version=2.1"
UUID = "5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d"
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26101"
INWARD = "91a7b528-80eb-42ed-a74d-c6fbd5a26102"

TERMS = """
id = "T1"
title = "Test agreement"
legal_basis = "none: a test"
from = 2020-01-01T00:00:00Z
until = 2090-01-01T00:00:00Z
review = 2080-01-01T00:00:00Z
grade_required = false
[[members]]
party = "A"
units = ["A1"]
contact = { office = "Duty officer of A", reach = "duty@a.example" }
[[members]]
party = "K"
units = ["K1"]
contact = { office = "Duty officer of K", reach = "duty@k.example" }
[[members]]
party = "L"
units = ["L1"]
contact = { office = "Duty officer of L", reach = "duty@l.example" }
[[collections]]
name = "out"
id = "91a7b528-80eb-42ed-a74d-c6fbd5a26101"
title = "From A"
sender = "A"
readers = ["K"]
purpose = "test"
[[collections]]
name = "in"
id = "91a7b528-80eb-42ed-a74d-c6fbd5a26102"
title = "To A"
sender = "K"
readers = ["A"]
purpose = "test"
[[kinds]]
id = "VI"
title = "vessel"
[[kinds]]
id = "SL"
title = "safety of life"
exempt = true
[[kind_rules]]
kind = "SL"
types = ["incident"]
[[kind_rules]]
kind = "VI"
[[purposes]]
id = "test"
title = "Test"
[[powers]]
party = "A"
verbs = ["agree", "halt", "suspend", "resume", "narrow", "condition"]
offices = ["head"]
[[powers]]
party = "K"
verbs = ["agree", "assure"]
offices = ["head"]
[[powers]]
party = "L"
verbs = ["agree"]
offices = ["head"]
"""

T = TypeVar("T")


def item(number: int, kind: str = "infrastructure", **changed: Any) -> dict[str, Any]:
    time = f"2026-01-01T00:00:{number % 60:02d}.000Z"
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--{UUID}{number:02x}",
        "created": time,
        "modified": time,
        "name": f"item {number}",
    } | changed


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Site:
    """The node, its address and its officers."""

    def __init__(self, node: Node, address: str, heads: dict[str, Ed25519Signer]) -> None:
        self.node = node
        self.address = address
        self.heads = heads
        self.passwords: dict[str, str] = {}

    def client(self, party: str | None) -> httpx.AsyncClient:
        auth = (party.lower(), self.passwords[party]) if party else None
        return httpx.AsyncClient(
            base_url=self.address, auth=auth, headers={"accept": MEDIA}, trust_env=False
        )

    async def publish(self, *objects: dict[str, Any]) -> None:
        body = compact({"objects": list(objects)})
        await self.node.intake.publish(
            Publication(agreement="T1", collection="out", party="A", body=body)
        )

    async def order(self, verb: str, name: str, **fields: Any) -> Any:
        book = self.node.book
        scope = fields.pop("scope", Scope(direction=Choice.of("out"), kind=Choice.but("SL")))
        draft = DirectiveDraft(
            agreement="T1",
            id=name,
            verb=verb,  # type: ignore[arg-type]  # the tests name one of the verbs
            office="head",
            reason="test",
            scope=scope,
            acknowledged=("L16", "L17"),
            review_ms=book.now_ms() + 1_000_000,
            **fields,
        )
        directive = draft_directive(
            draft,
            book.standing("T1", book.now_ms()),
            party="A",
            exercise=True,
            now_ms=book.now_ms(),
            nonce="0" * 32,
        )
        envelope = sign(
            payload_type("directive", exercise=True), encode(directive), [self.heads["A"]]
        )
        return await self.node.orders.enact(envelope.encode())


@contextlib.asynccontextmanager
async def site(place: Path, **config: Any) -> AsyncIterator[Site]:
    """A node of A that serves; K and L have no gateway."""
    made = Config(
        party="A",
        name="A",
        host="a.example",
        exercise=True,
        units=("A1",),
        listen="127.0.0.1:0",
        **config,
    )
    folder: NodeFolder = await init_node(place / "a", made)
    heads = {party: Ed25519Signer.from_seed(party.encode() * 32) for party in "AKL"}
    charters = {}
    for party, head in heads.items():
        own = None
        if party == "A":
            keys = [folder.signer(name).public for name in ("node", "ledger", "witness")]
            own = ("a.example", keys[0], keys[1], keys[2])
        cards: dict[str, tuple[KeyCard, ...]] = {"head": (key_card(head, f"{party} head"),)}
        charter = charter_of(
            (party, party, (f"{party}1",), True), cards, (("head",), 1), own, 4_000_000_000_000
        )
        charters[party] = add_signature(new_envelope("charter", charter, exercise=True), head)
    terms = read_terms(TERMS, {p: document_digest(c) for p, c in charters.items()}, exercise=True)
    agreement = new_envelope("agreement", terms, exercise=True)
    for head in heads.values():
        agreement = add_signature(agreement, head)
    async with running_node(folder) as (node, address):
        for charter_envelope in charters.values():
            await node.orders.import_charter(charter_envelope.encode())
        await node.orders.import_agreement(agreement.encode())
        found = Site(node, address, heads)
        for party in "AKL":
            found.passwords[party] = await node.guard.add_client(party.lower(), party)
        yield found


def play(place: Path, story: Callable[[Site], Coroutine[Any, Any, T]], **config: Any) -> T:
    """Run a story against a site in a loop of its own."""

    async def run() -> T:
        async with site(place, **config) as found:
            return await story(found)

    return asyncio.run(run())


def token_text(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[16:]


def answer_of(answer: httpx.Response) -> Any:
    return msgspec.json.decode(answer.content)
