"""A world whose agreement demands things of what is published, and what is published there."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from detente.faces.documents import new_envelope
from detente.gateway.ask import TraceLine
from detente.gateway.feeds import decide_for
from detente.gateway.intake import Publication, Published
from detente.model import (
    Agreement,
    Entry,
    Handling,
    Kind,
    KindRule,
    PurposeTest,
    Question,
    Step,
    decode,
)
from detente.model.demand import Minimisation
from detente.ports import View
from detente.proof import add_signature
from detente.testing import World
from detente.testing.parts import AGREEMENT, READER, terms_of
from detente.wire.stated import STATED

KEY = f"{AGREEMENT}/b-out"

TEST = PurposeTest(
    id="EL",
    title="Before it leaves",
    questions=(
        Question(id="penalty", text="Death penalty?", choices=("no", "yes"), passing=("no",)),
        Question(id="why", text="Why is it needed?"),
    ),
)
PASSING = {"EL": {"penalty": "no", "why": "To find the vessel"}}
FAILING = {"EL": {"penalty": "yes", "why": "To find the vessel"}}
MINIMISATION = Minimisation(id="MN", title="No contacts", steps=(
    Step(do="remove", path="contact_information"),
))  # fmt: skip
RULES = (
    KindRule(kind="PE", types=("identity",)),
    KindRule(kind="RE", types=("relationship", "report")),
    KindRule(kind="VI"),
)


def kinds(**more: dict[str, object]) -> tuple[Kind, ...]:
    """Kinds of persons, of what refers to others, and of vessels, with these demands."""
    return tuple(
        msgspec.structs.replace(Kind(id=kind, title=kind), **more.get(kind, {}))
        for kind in ("PE", "RE", "VI")
    )


def demanding(folder: Path, story: Callable[[World], Awaitable[None]], **fields: object) -> None:
    """Play a story under an agreement with these fields."""

    async def whole() -> None:
        async with World.open(folder / "world", agreed=False) as world:
            made = msgspec.structs.replace(
                terms_of(world.charters),
                **{
                    "kind_rules": RULES,
                    "tests": (TEST,),
                    "minimisations": (MINIMISATION,),
                    **fields,
                },
            )
            envelope = new_envelope("agreement", made, exercise=False)
            for party in world.charters:
                envelope = add_signature(envelope, world.keys[party]["head-1"])
            await world.agree(envelope)
            await story(world)

    asyncio.run(asyncio.wait_for(whole(), 60))


def name(kind: str, n: int) -> str:
    return f"{kind}--{uuid.uuid5(uuid.NAMESPACE_OID, f'{kind} {n}')}"


#: What each type cannot do without.
NEEDED: dict[str, dict[str, object]] = {
    "identity": {"name": "Somebody", "identity_class": "individual"},
    "infrastructure": {"name": "Vessel"},
    "relationship": {"relationship_type": "uses"},
    "report": {"name": "Report", "published": "2025-12-31T23:00:00.000Z"},
    "sighting": {},
}


def thing(kind: str, n: int, **fields: object) -> dict[str, object]:
    """An object of STIX; its last change was one hour before the world began."""
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": name(kind, n),
        "created": "2025-12-31T23:00:00.000Z",
        "modified": "2025-12-31T23:00:00.000Z",
        **NEEDED[kind],
        **fields,
    }


def own(**said: object) -> dict[str, object]:
    """What an object says of itself."""
    return {STATED: {"extension_type": "property-extension", **said}}


def publication(objects: Sequence[object], **fields: object) -> Publication:
    made = Publication(
        agreement=AGREEMENT,
        collection="b-out",
        party="B",
        body=json.dumps({"objects": objects}).encode(),
        purpose="interdiction",
        grade="admiralty:B2",
        unit="B-NAV",
    )
    return msgspec.structs.replace(made, **fields)


async def publish(world: World, *objects: object, **fields: object) -> Published:
    world.clock.advance(1)
    return await world.sites["B"].intake.publish(publication(objects, **fields))


def agreed(world: World) -> Agreement:
    """The agreement in force at B."""
    terms = world.sites["B"].ask.current(AGREEMENT).standing.agreement
    assert terms is not None
    return terms


async def line(world: World, stix_id: object, party: str = READER) -> TraceLine:
    """How the newest version of an object stands towards a party."""
    lines = await world.sites["B"].ask.trace(str(stix_id))
    return max((one for one in lines if one.party == party), key=lambda one: one.version)


async def codes(world: World, stix_id: object, party: str = READER) -> set[str]:
    """The codes of the reasons by which it stands so."""
    site = world.sites["B"]
    found = await line(world, stix_id, party)

    def work(view: View) -> set[str]:
        block = view.block(KEY, found.version)
        assert block is not None
        number = block.handlings[found.version - block.first]
        handling = decode(view.handlings(KEY)[number], Handling)
        current = site.ask.current(AGREEMENT)
        return {one.code for one in decide_for(current, handling, own="B", party=party).reasons}

    return await site.store.read(work)


async def entries(world: World) -> list[Entry]:
    """B's ledger."""
    site = world.sites["B"]
    log = site.book.me.log_of(AGREEMENT)
    return [
        decode(data, Entry)
        for data in await site.store.read(lambda view: view.entries(log, 0, view.log_size(log)))
    ]


async def acts(world: World) -> list[str]:
    """What B's ledger says was done since it began to publish."""
    found = [one.act for one in await entries(world)]
    return [act for act in found if act in ("said", "test", "minimise", "publish", "review")]


async def size(world: World) -> tuple[int, int]:
    """What a refusal must leave as it was: entries of the collection and of the ledger."""
    site = world.sites["B"]
    log = site.book.me.log_of(AGREEMENT)
    return await site.store.read(lambda view: (view.collection(KEY).end, view.log_size(log)))
