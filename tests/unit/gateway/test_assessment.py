"""What a party thinks of a partner: it bears on its own sending, and nobody else learns of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from detente.errors import Conflict, DetenteError, Invalid, NotAuthorised
from detente.faces.documents import new_envelope
from detente.gateway.draft import AssessmentDraft, draft_assessment
from detente.gateway.order import Enacted
from detente.model import Agreement, Assessment, Entry, decode
from detente.proof import Envelope, add_signature
from detente.record import verify_copy, write_copy
from detente.testing import World
from detente.testing.parts import AGREEMENT, DAY_MS, READER, terms_of
from tests.unit.gateway.kit import look


async def agreed(world: World) -> None:
    """The world's agreement, but that VI is given on an assessment only and PE goes back."""
    terms = terms_of(world.charters)
    kinds = tuple(
        replace(kind, assessed=kind.id == "VI", held="return" if kind.id == "PE" else kind.held)
        for kind in terms.kinds
    )
    powers = tuple(
        replace(one, verbs=(*one.verbs, "assess")) if "assure" in one.verbs else one
        for one in terms.powers
    )
    envelope = new_envelope("agreement", replace(terms, kinds=kinds, powers=powers), exercise=False)
    for party in world.charters:
        envelope = add_signature(envelope, world.keys[party]["head-1"])
    await world.agree(envelope)


def play(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with World.open(folder / "world", agreed=False) as world:
            await agreed(world)
            await story(world)

    asyncio.run(asyncio.wait_for(whole(), 60))


def assessment(world: World, name: str = "N1", **fields: object) -> Assessment:
    book = world.sites["B"].book
    draft = AssessmentDraft(
        agreement=AGREEMENT,
        id=name,
        partner="W",
        office="head",
        kinds=("VI",),
        basis="Note of the service",
        lasts_ms=DAY_MS,
        review_after_ms=DAY_MS // 2,
    )
    made = draft_assessment(
        draft,
        book.standing(AGREEMENT, book.now_ms()),
        party="B",
        exercise=False,
        now_ms=book.now_ms(),
        nonce="0" * 32,
    )
    return replace(made, **fields)


def signed(world: World, one: Assessment, party: str = "B", key: str = "head-1") -> Envelope:
    return world.sign("assessment", one, party, key)


async def assess(world: World, one: Assessment) -> Enacted:
    done = await world.sites["B"].orders.import_assessment(signed(world, one).encode())
    world.clock.advance(1)
    return done


async def publish(world: World, kind: str) -> str:
    (item,) = await world.publish("B", kind, "B-NAV")
    return item


async def states(world: World, item: str) -> set[str]:
    lines = await world.sites["B"].ask.trace(item, AGREEMENT)
    return {line.state for line in lines if line.party == "W"}


def test_what_needs_an_assessment_waits_until_there_is_one(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        item = await publish(world, "VI")
        assert await states(world, item) == {"under review"}
        (line,) = [
            one for one in await world.sites["B"].ask.feeds(AGREEMENT, "W") if one.kind == "VI"
        ]
        assert (line.outcome, line.reasons[0].split(" ")[0]) == ("moderate", "assessment.missing")
        done = await assess(world, assessment(world))
        assert done.state == "in-force"
        later = await publish(world, "VI")
        # What came before the assessment was referred, and stays with whom it was referred to.
        assert (await states(world, item), await states(world, later)) == (
            {"under review"},
            {"queued"},
        )
        await world.review(item, "W", "release")
        assert await states(world, item) == {"queued"}

    play(tmp_path, story)


def test_an_assessment_that_ends_or_is_replaced_by_a_lesser_one_keeps_back(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await assess(world, assessment(world))
        world.clock.advance(DAY_MS)
        await world.sites["B"].orders.tick()
        late = await publish(world, "VI")
        assert await states(world, late) == {"under review"}
        await assess(world, assessment(world, "N2"))
        assert await states(world, await publish(world, "VI")) == {"queued"}
        await assess(world, assessment(world, "N3", kinds=()))
        assert await states(world, await publish(world, "VI")) == {"under review"}
        assert await states(world, await publish(world, "VT")) == {"queued"}

    play(tmp_path, story)


def test_no_partner_learns_of_it_and_a_copy_of_the_record_holds(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.exchange()
        b, w = world.sites["B"], world.sites["W"]
        before = b.ask.standing(AGREEMENT).standing
        log = b.book.me.log_of(AGREEMENT)
        done = await assess(world, assessment(world))
        await world.exchange()
        entries = await b.store.read(
            lambda view: [view.entry(log, at) for at in range(view.log_size(log))]
        )
        assert not any(done.digest.encode() in one or b"assess" in one for one in entries)
        acts = await w.store.read(lambda view: view.acts(AGREEMENT))
        assert all(row.doc != done.digest for row in acts)
        # Both still compare the same standing, and W says nothing of what B may think.
        assert b.ask.standing(AGREEMENT).standing == before == w.ask.standing(AGREEMENT).standing
        (ours,) = b.ask.standing(AGREEMENT).assessments
        assert (ours.partner, w.ask.standing(AGREEMENT).assessments) == ("W", ())
        flows = [one for one in w.ask.standing(AGREEMENT).flows if one.kind == "VI"]
        assert {one.state for one in flows if one.sender == "B"} == {"open"}
        out = tmp_path / "copy"
        await b.store.read(lambda view: write_copy(view, out, b.config, b.book.agreements()))
        assert verify_copy(out).faults == ()

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("fields", "key", "code"),
    [
        ({"partner": "B"}, "head-1", "assessment.partner"),
        ({"kinds": ("ZZ",)}, "head-1", "assessment.kind"),
        ({"review_ms": 0}, "head-1", "assessment.span"),
        ({}, "duty-1", "authority.quorum"),
        ({"office": "duty"}, "head-1", "authority.office"),
    ],
)
def test_one_that_does_not_count_changes_nothing(
    tmp_path: Path, fields: dict[str, object], key: str, code: str
) -> None:
    async def story(world: World) -> None:
        before = await look(world, "B")
        with pytest.raises((Invalid, NotAuthorised)) as refused:
            await world.sites["B"].orders.import_assessment(
                signed(world, assessment(world, **fields), key=key).encode()
            )
        assert refused.value.code == code
        assert await look(world, "B") == before

    play(tmp_path, story)


def test_a_partners_assessment_and_a_second_of_one_name_are_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        theirs = replace(assessment(world), assessor="W", partner="B")
        with pytest.raises(DetenteError) as foreign:
            await world.sites["B"].orders.import_assessment(signed(world, theirs, "W").encode())
        assert foreign.value.code == "assessment.foreign"
        await assess(world, assessment(world))
        with pytest.raises(Conflict) as again:
            await assess(world, assessment(world, basis="another"))
        assert again.value.code == "assessment.replayed"

    play(tmp_path, story)


def test_what_was_held_of_a_returned_kind_is_not_given_on_resumption(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b = world.sites["B"]
        given = await publish(world, "PE")
        await world.exchange()
        await world.suspend("B", kinds=("PE",), direction="out")
        waiting = await publish(world, "PE")
        assert await states(world, waiting) == {"held"}
        await world.resume("B")
        later = await publish(world, "PE")
        assert await states(world, waiting) == {"returned"}
        assert (await states(world, given), await states(world, later)) == (
            {"received"},
            {"queued"},
        )
        log = b.book.me.log_of(AGREEMENT)
        entries = await b.store.read(
            lambda view: [view.entry(log, at) for at in range(view.log_size(log))]
        )
        found = [decode(one, Entry) for one in entries if b'"act":"return"' in one]
        # Towards W, and towards K, who had not read the first either.
        assert sorted((one.party, one.count, one.kind) for one in found) == [
            ("K", 2, "PE"),
            ("W", 1, "PE"),
        ]

    play(tmp_path, story)


def test_the_record_of_an_assessment_is_checked(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b = world.sites["B"]
        await assess(world, assessment(world))
        out = tmp_path / "copy"
        await b.store.read(lambda view: write_copy(view, out, b.config, b.book.agreements()))
        (path,) = [
            one for one in (out / "documents").iterdir() if b"assessment" in one.read_bytes()
        ]
        path.unlink()
        codes = {fault.code for fault in verify_copy(out).faults}
        assert codes & {"record.document", "record.files", "record.missing"}

    play(tmp_path, story)


async def lapse(world: World) -> None:
    world.clock.advance(DAY_MS)
    await world.sites["B"].orders.tick()


async def take_back(world: World) -> None:
    await assess(world, assessment(world, "N2", partner=READER, kinds=()))


@pytest.mark.parametrize("end", [lapse, take_back])
def test_what_is_under_way_is_cut_when_its_assessment_ends(
    tmp_path: Path, end: Callable[[World], Awaitable[None]]
) -> None:
    async def story(world: World) -> None:
        await assess(world, assessment(world, partner=READER))
        item = await publish(world, "VI")
        assert await world.begin_read()
        await end(world)
        reading = world._reading.pop()
        assert await reading.site.finish(reading.ready, reading.ask, reading.send) is None
        lines = await world.sites["B"].ask.trace(item, AGREEMENT)
        assert {line.state for line in lines if line.party == READER} == {"under review"}

    play(tmp_path, story)


def test_a_review_for_one_reason_does_not_stand_in_for_an_assessment(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await assess(world, assessment(world))
        terms = terms_of(world.charters)
        made = replace(
            terms,
            version=2,
            kinds=tuple(
                replace(kind, assessed=True, moderated=True) if kind.id == "VI" else kind
                for kind in terms.kinds
            ),
            powers=tuple(
                replace(one, verbs=(*one.verbs, "assess")) if "assure" in one.verbs else one
                for one in terms.powers
            ),
        )
        await import_version(world, made)
        item = await publish(world, "VI")
        await world.review(item, "W", "release")
        assert await states(world, item) == {"queued"}
        await lapse(world)
        assert await states(world, item) == {"under review"}
        await world.exchange()
        assert await states(world, item) == {"under review"}
        # Released for both, it stays so when one of them goes away.
        await world.review(item, "W", "release")
        await assess(world, assessment(world, "N3"))
        assert await states(world, item) == {"queued"}

    play(tmp_path, story)


async def import_version(world: World, made: Agreement) -> None:
    envelope = new_envelope("agreement", made, exercise=False)
    for party in world.charters:
        envelope = add_signature(envelope, world.keys[party]["head-1"])
    for site in world.sites.values():
        await site.orders.import_agreement(envelope.encode())
    world.clock.advance(3)
