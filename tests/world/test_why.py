"""Why an item stands as it stands: now, and at every instant of the past, the same as then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant
from msgspec.structs import replace

from detente.errors import Invalid, Missing
from detente.gateway.intake import Publication
from detente.gateway.opening import OpenAsk
from detente.gateway.recall import RecallAsk, Recalls
from detente.gateway.versions import Versions
from detente.gateway.why import ItemWhy
from detente.testing import World, check
from detente.testing.parts import AGREEMENT, DAY_MS, HOUR_MS
from detente.testing.site import Site
from tests.unit.gateway.test_assessment import assess, assessment
from tests.unit.gateway.test_assessment import play as assess_play
from tests.world.test_histories import Histories

READERS = ("B", "K", "W")
#: Items of each node of which it is noted how they stand, the newest.
NOTED = 4
#: What an answer of then has no name for: a read-out without the number of this node's epoch.
Told = tuple[str, str, tuple[str, ...], int | None, str, str]


def play(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with World.open(folder / "world") as world:
            await story(world)
            await check(world, record=True)

    asyncio.run(asyncio.wait_for(whole(), 60))


async def why(
    world: World, item: str, to: str = "W", *, at_ms: int | None = None, site: str = "B"
) -> ItemWhy:
    lines, more = await world.sites[site].whys.item(item, to, at_ms=at_ms)
    assert (len(lines), more) == (1, 0)
    return lines[0]


def told(line: ItemWhy) -> Told:
    codes = tuple(f"{cause.code} {cause.source}" for cause in line.causes)
    turn = line.turn
    return (
        line.state,
        line.outcome,
        codes,
        turn.at_ms if turn else None,
        turn.state if turn else "",
        line.standing,
    )


class Notes:
    """How items stood towards everybody at instants gone by, as each node said then."""

    def __init__(self) -> None:
        self.noted: dict[tuple[str, str, str, int], Told] = {}

    async def take(self, world: World) -> None:
        for party in world.sites:
            for item in [one for one in world.items if one.sender == party][-NOTED:]:
                for reader in READERS:
                    line = await why(world, item.id, reader, site=party)
                    self.noted[party, item.id, reader, world.now_ms()] = told(line)

    async def compare(self, world: World) -> None:
        for (party, item, reader, at_ms), then in self.noted.items():
            for _ in range(2):
                now = await why(world, item, reader, site=party, at_ms=at_ms)
                assert told(now) == then, (party, item, reader, at_ms)


class Remembered(Histories):
    """Random histories in which every node is asked afterwards how things stood."""

    def __init__(self) -> None:
        super().__init__()
        self.notes = Notes()

    @invariant()
    def noted(self) -> None:
        self.run(self.notes.take(self.world))

    def teardown(self) -> None:
        try:
            self.run(self.notes.compare(self.world))
        finally:
            super().teardown()


@settings(
    max_examples=4,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
class Few(Remembered):
    pass


TestThePastIsWhatItWas = Few.TestCase
del Histories, Remembered, Few


def test_held_item_says_who_stopped_it_what_lifts_it_and_when_it_expires(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("B", direction="out")
        (item,) = await world.publish("B", "VT", "B-NAV")
        line = await why(world, item)
        assert (line.state, line.outcome) == ("held", "hold")
        (cause,) = line.causes
        assert cause.code == "directive"
        assert "3 of head, minister (minister among them)" in cause.remedy
        (ground,) = cause.grounds
        assert (ground.what, ground.by, ground.offices) == ("directive", "B", ("head",))
        assert ground.words == "suspend: Ordered in a simulated world"
        assert (ground.since_ms, ground.until_ms) == (world.ordered[0].since_ms, None)
        assert line.turn is not None
        assert (line.turn.at_ms, line.turn.state) == (
            line.added_us // 1000 + 6 * HOUR_MS,
            "expired",
        )
        await world.advance(6 * HOUR_MS + 1)
        line = await why(world, item)
        assert (line.state, line.turn) == ("expired", None)

    play(tmp_path, story)


def test_orders_end_comes_before_expiry_and_is_what_turns_the_item(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.halt("B", lasts_ms=2 * HOUR_MS)
        ends_ms = world.ordered[0].end_ms
        (track,) = await world.publish("B", "VT", "B-NAV")
        (person,) = await world.publish("B", "PE", "B-POL")
        for item, state in ((track, "queued"), (person, "under review")):
            turn = (await why(world, item)).turn
            assert turn is not None
            assert (turn.at_ms, turn.state) == (ends_ms, state)
        assert (await why(world, person)).later.startswith("Once nothing stands in its way it goes")
        await world.advance(2 * HOUR_MS)
        assert (await why(world, track)).state == "queued"
        assert (await why(world, person)).state == "under review"

    play(tmp_path, story)


def test_condition_says_which_assurance_from_whom_for_what(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.condition("B", kinds=("VI",), direction="out")
        (item,) = await world.publish("B", "VI", "B-NAV")
        (cause,) = (await why(world, item)).causes
        assert cause.code == "assurance.awaiting"
        assert cause.remedy == "W gives assurance AS for kind VI, purpose interdiction."
        assert [(g.what, g.words) for g in cause.grounds][-1] == ("template", "Agreed words")
        await world.assure("W", "B", ("VI",), lasts_ms=HOUR_MS)
        await world.exchange()
        (other,) = await world.publish("B", "VI", "B-NAV")
        line = await why(world, other)
        assert line.state == "queued"
        ground = line.causes[-1].grounds[-1]
        assert (ground.what, ground.by, ground.offices) == ("assurance", "W", ("head",))
        assert ground.until_ms == world.promised[0].until_ms
        assert line.turn is not None
        assert (line.turn.at_ms, line.turn.state) == (ground.until_ms, "held")
        assert line.turn.because == ("Waiting for W to assure AS for VI.",)

    play(tmp_path, story)


def test_the_past_of_one_item_is_told_step_by_step(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = world.now_ms()
        (item,) = await world.publish("B", "RA", "B-NAV")
        steps = [(world.now_ms(), "queued")]
        await world.suspend("B")
        steps.append((world.now_ms(), "held"))
        await world.resume("B")
        steps.append((world.now_ms(), "under review"))
        await world.review(item, "W", "release")
        steps.append((world.now_ms(), "queued"))
        world.fail("unreachable", path="receipts")
        await world.sync("W")
        steps.append((world.now_ms(), "in flight"))
        await world.exchange()
        steps.append((world.now_ms(), "received"))
        notes = [told(await why(world, item, at_ms=at_ms)) for at_ms, _ in steps]
        assert [note[0] for note in notes] == [state for _, state in steps]
        absent = await why(world, item, at_ms=before)
        assert (absent.state, absent.outcome, absent.causes) == ("not here yet", "", ())
        await world.suspend("B")
        await world.crash("B")
        assert [told(await why(world, item, at_ms=at_ms)) for at_ms, _ in steps] == notes

    play(tmp_path, story)


def test_every_step_of_a_long_history_is_remembered(tmp_path: Path) -> None:
    """Expiry in hold and after it, reads of a client, sends cut by an order and by a crash,
    reviews, conditions, a lapse."""

    async def story(world: World) -> None:
        notes = Notes()

        async def step(work: Awaitable[object]) -> None:
            await work
            await notes.take(world)

        await step(world.publish("B", "VT", "B-NAV", 2))
        await step(world.publish("W", "VT", "W-CG"))
        await step(world.read())
        await step(world.exchange())
        await step(world.publish("B", "VT", "B-NAV"))
        await step(world.begin_read())
        await step(world.halt("B", direction="out", lasts_ms=20 * HOUR_MS))
        await step(world.end_read())
        await step(world.publish("B", "RA", "B-POL"))
        await step(world.advance(7 * HOUR_MS))
        await step(world.publish("B", "VT", "B-NAV"))
        await step(world.resume("B"))
        await step(world.begin_read())
        await step(world.crash("B"))
        await step(world.suspend("B", kinds=("VT",), direction="out"))
        await step(world.advance(2 * HOUR_MS))
        await step(world.read())
        await step(world.publish("B", "FI", "B-FIU"))
        await step(world.begin_read())
        await step(world.suspend("W", kinds=("SL",), direction="out"))
        await step(world.suspend("B", kinds=("SL",), direction="out"))
        await step(world.suspend("B", kinds=("FI",), direction="out"))
        await step(world.end_read())
        (last,) = [one.id for one in world.items if one.kind == "RA"]
        await step(world.review(last, "K", "release"))
        await step(world.review(last, "W", "refuse", code="other"))
        await step(world.read())
        await step(world.advance(5 * HOUR_MS))
        await step(world.resume("B"))
        await step(world.condition("B", kinds=("VI",), direction="out"))
        await step(world.publish("B", "VI", "B-NAV"))
        await step(world.assure("K", "B", ("VI",), lasts_ms=HOUR_MS))
        await step(world.read())
        await step(world.publish("B", "VI", "B-NAV"))
        await step(world.publish("B", "VT", "B-NAV"))
        await step(world.advance(7 * HOUR_MS))
        await step(world.suspend("B", kinds=("VT",), direction="out"))
        await step(world.exchange())
        states = {note[0] for note in notes.noted.values()}
        assert states >= {
            "expired", "held", "in flight", "no feed", "queued", "received", "refused", "sent",
            "under review",
        }  # fmt: skip
        await notes.compare(world)
        await world.crash("B")
        await notes.compare(world)

    play(tmp_path, story)


@pytest.mark.parametrize("opened", [0, 40])
def test_assessments_of_then_count_for_then(tmp_path: Path, opened: int) -> None:
    """They begin, end and are replaced without another digest of the standing, and stand in the
    node's own ledger, which may be longer or shorter than that of the agreement."""

    async def story(world: World) -> None:
        notes = Notes()
        b = world.sites["B"]

        async def step(work: Awaitable[object] | None = None) -> None:
            if work is not None:
                await work
            await notes.take(world)
            world.clock.advance(1000)

        (track,) = await world.publish("B", "VT", "B-NAV")
        ask = OpenAsk(item=track, by="head", reason="Read", agreement=AGREEMENT)
        code = (await b.openings.open(ask)).code
        for _ in range(opened):
            await b.openings.open(replace(ask, accept=code))
        await step(world.publish("B", "VI", "B-NAV"))
        await step(assess(world, assessment(world)))
        await step(world.publish("B", "VI", "B-NAV"))
        await step(assess(world, assessment(world, "N2", kinds=())))
        await step(world.publish("B", "VI", "B-NAV"))
        await step(assess(world, assessment(world, "N3")))
        await step(world.publish("B", "VI", "B-NAV"))
        await step(world.suspend("B", kinds=("VI",), direction="out"))
        await step(world.resume("B"))
        await step(world.advance(DAY_MS))
        await step(world.publish("B", "VI", "B-NAV"))
        assert {note[0] for note in notes.noted.values()} >= {"queued", "held", "under review"}
        await notes.compare(world)

    assess_play(tmp_path, story)


def test_recall_counts_from_its_instant_for_the_versions_it_was_about(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        site = world.sites["B"]
        recalls = Recalls(site.book, site.gate, lambda _agreement, _collection: None)
        (one, other) = await world.publish("B", "VI", "B-NAV", 2)
        item = next(item for item in world.items if item.id == one)
        newer = item.raw.replace(b'"modified": "2026-01-01', b'"modified": "2026-01-02')
        world.clock.advance(1)
        await publish(site, newer)
        published = world.now_ms()
        world.clock.advance(1)
        ask = RecallAsk(agreement=AGREEMENT, collection="b-out", party="B", id=one)
        await recalls.recall(replace(ask, versions=Versions(times=("2026-01-01T00:00:00",))))
        first = world.now_ms()
        world.clock.advance(1)
        await recalls.recall(ask)
        second = world.now_ms()
        world.clock.advance(1)

        async def states(at_ms: int | None) -> list[str]:
            lines, _ = await site.whys.item(one, "W", at_ms=at_ms)
            return [line.state for line in lines]

        assert await states(published) == ["queued", "queued"]
        assert await states(first) == ["queued", "recalled"]
        assert await states(second) == await states(None) == ["recalled", "recalled"]
        assert (await why(world, other, at_ms=second)).state == "queued"

    async def whole() -> None:
        async with World.open(tmp_path / "world") as world:
            await story(world)  # what is taken back, the world's own rows know nothing of

    asyncio.run(asyncio.wait_for(whole(), 60))


async def publish(site: Site, raw: bytes) -> None:
    publication = Publication(
        agreement=AGREEMENT,
        collection="b-out",
        party="B",
        body=raw,
        kind="VI",
        purpose="interdiction",
        grade="admiralty:B2",
        unit="B-NAV",
    )
    await site.intake.publish(publication)


def test_what_this_node_learnt_later_changes_no_answer_about_then(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        (item,) = await world.publish("B", "VI", "B-NAV")
        await world.suspend("W", direction="in")
        at_ms = world.now_ms()
        then = told(await why(world, item, at_ms=at_ms))
        assert then[:2] == ("queued", "release")
        await world.exchange()
        assert (await why(world, item)).state == "held"
        assert told(await why(world, item, at_ms=at_ms)) == then

    play(tmp_path, story)


def test_a_time_to_come_an_unknown_item_and_a_stranger(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        (item,) = await world.publish("B", "VI", "B-NAV")
        whys = world.sites["B"].whys
        with pytest.raises(Invalid, match="up to now"):
            await whys.item(item, "W", at_ms=world.now_ms() + 1)
        with pytest.raises(Missing, match="item of this node"):
            await whys.item("infrastructure--00000000-0000-4000-8000-000000000000", "W")
        with pytest.raises(Missing, match="known agreement"):
            await whys.item(item, "W", agreement="A9")
        line = await why(world, item, "nobody")
        assert (line.state, line.outcome) == ("no feed", "refuse")
        assert [cause.code for cause in line.causes] == ["outside-agreement"]
        assert "nobody reads it" in line.causes[0].remedy
        with pytest.raises(Missing, match="party with a feed"):
            await whys.feed("nobody")

    play(tmp_path, story)


def test_a_feed_is_told_in_groups_what_stands_in_the_way_first(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for kind in ("VI", "VT", "FI", "RA"):
            await world.publish("B", kind, "B-NAV", 2)
        await world.suspend("B", kinds=("VI", "VT"), direction="out")
        whys = world.sites["B"].whys
        (feed,) = await whys.feed("W")
        assert (feed.collection, feed.sender, feed.groups_all) == ("b-out", "B", 2)
        held, given = feed.groups
        assert (held.outcome, held.handlings, held.kinds) == ("hold", 2, ("VI", "VT"))
        assert (held.items, held.states) == (4, {"held": 4})
        assert [one.cause.code for one in held.causes] == ["directive"]
        assert "resumes" in held.causes[0].cause.remedy
        assert (given.outcome, given.kinds, given.states) == (
            "release",
            ("FI", "RA"),
            {"queued": 4},
        )
        (first,) = await whys.feed("W", limit=1)
        assert (first.groups, first.next) == ((held,), 1)
        (rest,) = await whys.feed("W", after=1, limit=1)
        assert (rest.groups, rest.next) == ((given,), None)
        with pytest.raises(Invalid, match="1 to 500"):
            await whys.feed("W", limit=501)
        before = world.ordered[0].since_ms - 1
        (then,) = await whys.feed("W", at_ms=before, agreement=AGREEMENT)
        assert [(one.outcome, one.items) for one in then.groups] == [("release", 8)]

    play(tmp_path, story)
