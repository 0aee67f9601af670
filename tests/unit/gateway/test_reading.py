"""Where the agreement demands it, nothing is let go that nobody has read back as it is; a stop
waits for nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from detente.errors import Conflict, DetenteError, Invalid, NotAuthorised
from detente.faces.documents import new_envelope
from detente.gateway.reading import take_read_back
from detente.model import Directive, ReadBack, digest, encode
from detente.proof import Envelope, add_signature
from detente.rules.readback import VALUES, values_text
from detente.testing import World
from detente.testing.parts import AGREEMENT, HOUR_MS, terms_of
from detente.wire.texts import read_back_texts
from tests.unit.gateway.kit import play
from tests.unit.gateway.test_written_orders import THREE, TWO, draft, enact, in_force


async def demanding(world: World, **fields: object) -> None:
    """The second version of the agreement: what lets go is read back first."""
    terms = replace(terms_of(world.charters), version=2, read_back=True, **fields)
    envelope = new_envelope("agreement", terms, exercise=False)
    for party in world.charters:
        envelope = add_signature(envelope, world.keys[party]["head-1"])
    world.clock.advance(1)
    for site in world.sites.values():
        await site.orders.import_agreement(envelope.encode())
    world.clock.advance(1)


def read_of(
    world: World, order: Directive, by: str, language: str = "en", **fields: str
) -> Envelope:
    """What an officer of B gives back of an order; as it is, but for ``fields``."""
    terms = world.sites["B"].book.standing(AGREEMENT, world.now_ms()).agreement
    told = values_text(order, terms, read_back_texts(language))
    read = ReadBack(
        agreement=AGREEMENT,
        issuer=order.issuer,
        directive=order.id,
        digest=digest(encode(order)),
        language=language,
        nonce="0" * 32,
        **{**{name: getattr(told, name) for name in VALUES}, **fields},
    )
    return world.sign("read-back", read, "B", by)


async def give(world: World, envelope: Envelope) -> None:
    await take_read_back(world.sites["B"].book, envelope.encode())


async def refused(world: World, order: Directive) -> str:
    try:
        await enact(world, order, *THREE)
    except DetenteError as error:
        return error.code
    return ""


async def stopped(world: World) -> Directive:
    """A stop is in force; the order that would end it."""
    stop = draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
    assert (await enact(world, stop, *TWO)).state == "in-force"
    return draft(world, "R1", "resume", supersedes=("D1",))


def test_stop_waits_for_no_read_back_and_a_resumption_for_one_that_matches(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        await demanding(world)
        resume = await stopped(world)
        assert await refused(world, resume) == "directive.unread"
        assert in_force(world) == ["D1"]
        # That of another order does not count for this one.
        await give(world, read_of(world, replace(resume, id="R9"), "duty-1"))
        assert await refused(world, resume) == "directive.unread"
        await give(world, read_of(world, resume, "duty-1", "es"))
        assert (await enact(world, resume, *THREE)).state == "in-force"
        assert in_force(world) == ["R1"]

    play(tmp_path, story, checked=False)


def test_whoever_reads_otherwise_blocks_until_they_read_rightly(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await demanding(world)
        resume = await stopped(world)
        await give(world, read_of(world, resume, "head-1"))
        await give(world, read_of(world, resume, "duty-1", direction="in"))
        assert await refused(world, resume) == "directive.read-otherwise"
        await give(world, read_of(world, resume, "head-2"))
        assert await refused(world, resume) == "directive.read-otherwise"
        assert in_force(world) == ["D1"]
        await give(world, read_of(world, resume, "duty-1", direction="sending"))
        assert (await enact(world, resume, *THREE)).state == "in-force"

    play(tmp_path, story, checked=False)


def test_stop_stands_though_it_was_read_otherwise(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await demanding(world)
        stop = draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
        await give(world, read_of(world, stop, "duty-1", who="nobody"))
        assert (await enact(world, stop, *TWO)).state == "in-force"

    play(tmp_path, story, checked=False)


def test_without_the_demand_nothing_is_asked_and_the_record_holds(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("B", kinds=("VI",))
        order = world.sites["B"].book.standing(AGREEMENT, world.now_ms()).orders[0].directive
        before = world.sites["B"].book.standing(AGREEMENT, world.now_ms()).digest
        await give(world, read_of(world, order, "duty-1"))
        await give(world, read_of(world, order, "duty-1"))
        rows = await world.sites["B"].store.read(lambda view: view.documents(use="read-back"))
        assert len(rows) == 1
        # To read changes nothing of what is in force.
        assert world.sites["B"].book.standing(AGREEMENT, world.now_ms()).digest == before
        await world.resume("B")

    # The copy of the record, with the read-back in it, is verified at the end.
    play(tmp_path, story)


@pytest.mark.parametrize(
    ("issuer", "agreement", "signer", "error"),
    [
        ("W", AGREEMENT, "duty-1", NotAuthorised),
        ("B", "none", "duty-1", DetenteError),
        ("B", AGREEMENT, "node", NotAuthorised),
        ("B", AGREEMENT, "", NotAuthorised),
    ],
)
def test_read_back_of_a_stranger_is_not_kept(
    tmp_path: Path, issuer: str, agreement: str, signer: str, error: type[DetenteError]
) -> None:
    async def story(world: World) -> None:
        order = draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
        read = replace(order, issuer=issuer, agreement=agreement)
        envelope = read_of(world, read, "duty-1")
        record = ReadBack(
            agreement=agreement, issuer=issuer, directive="D1", digest="0" * 64, language="en",
            who="", what="", direction="", start="", end="", nonce="1" * 32,
        )  # fmt: skip
        envelope = world.sign("read-back", record, "B", *((signer,) if signer else ()))
        with pytest.raises(error):
            await give(world, envelope)
        rows = await world.sites["B"].store.read(lambda view: view.documents(use="read-back"))
        assert rows == []

    play(tmp_path, story, checked=False)


def test_order_of_exercise_and_read_back_do_not_mix(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        order = draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
        live = read_of(world, order, "duty-1")
        wrong = world.sign("directive", order, "B", "duty-1")
        for envelope in (wrong, replace_type(live)):
            with pytest.raises((Invalid, Conflict)):
                await give(world, envelope)

    play(tmp_path, story, checked=False)


def replace_type(envelope: Envelope) -> Envelope:
    kind = envelope.payload_type.replace("detente.", "detente.exercise.")
    return Envelope(kind, envelope.payload, envelope.signatures)
