"""Histories by hand: the core of "Two capitals" and the moments at which a gateway can go wrong.

The whole world is checked after each step (``check``), so a test names only what it is about.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from detente.errors import Conflict, Missing, NotAuthorised, Unavailable
from detente.testing import World, check
from detente.testing.parts import AGREEMENT, DAY_MS, HOUR_MS, Fault, Said

MINUTE_MS = 60_000


def play(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    """Play a history in a new world; check it, and the records it leaves, at the end."""

    async def whole() -> None:
        async with World.open(folder / "world") as world:
            await story(world)
            await check(world, record=True)

    asyncio.run(whole())


async def states(world: World, reader: str, *items: str) -> list[str]:
    """Where B's node says these items stand towards a reader."""
    found = []
    for item in items:
        lines = await world.sites["B"].ask.trace(item, AGREEMENT)
        found += [line.state for line in lines if line.party == reader]
    return found


async def sums(world: World, reader: str = "W") -> dict[str, int]:
    """How many items of B stand in each state towards a reader."""
    mine = [item.id for item in world.items if item.sender == "B"]
    return dict(Counter(await states(world, reader, *mine)))


async def to_hour(world: World, hour: float) -> None:
    """Let the clock come to this hour of the story, whose first is the world's beginning + 3."""
    await world.advance(int((hour + 3) * HOUR_MS) - (world.now_ms() - 1_767_225_600_000))


def test_two_capitals_adds_up_to_ten_delivered_three_expired_one_held(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        item: dict[str, str] = {}

        async def publish(name: str, kind: str, unit: str, hour: float) -> None:
            await to_hour(world, hour)
            (item[name],) = await world.publish("B", kind, unit)
            await check(world)

        async def sync() -> None:
            await world.sync("W")
            await check(world)

        await publish("i01", "VT", "B-NAV", -2)
        await sync()
        # In flight at the barrier: the page came, its booking as whole and its receipt did not.
        await publish("i02", "VT", "B-NAV", -0.1)
        world.fail("late", path="page")
        world.fail("unreachable", path="receipts")
        await sync()
        assert await states(world, "W", item["i02"]) == ["queued"]
        await publish("i03", "VT", "B-NAV", 0.2)
        await sync()
        assert await states(world, "W", item["i02"], item["i03"]) == ["received"] * 2

        await to_hour(world, 0.5)
        halt = Said(
            id="H1",
            issuer="B",
            verb="halt",
            units=("B-NAV", "B-POL"),
            direction="out",
            kinds=("FI", "PE", "RA", "VI", "VT"),
            lasts_ms=DAY_MS,
        )
        assert (await world.order(halt)).state == "in-force"
        await check(world)
        for name, kind, unit, hour in (
            ("i04", "VT", "B-NAV", 0.6),
            ("i05", "VT", "B-NAV", 1),
            ("i06", "VI", "B-NAV", 1.01),
            ("i07", "PE", "B-POL", 1.02),
            ("i08", "FI", "B-FIU", 1.03),
            ("i09", "SL", "B-NAV", 1.2),
            ("i10", "RA", "B-POL", 2),
        ):
            await publish(name, kind, unit, hour)
            await sync()
        await to_hour(world, 4)
        suspend = Said(
            id="D1",
            issuer="B",
            verb="suspend",
            units=("B-NAV", "B-POL"),
            direction="out",
            supersedes=("H1",),
        )
        with pytest.raises(NotAuthorised, match="quorum"):
            await world.order(suspend, "head-1")
        await check(world)
        await world.order(suspend)
        assert (await sums(world))["held"] == 5
        report = await world.sync("W")
        assert "D1" in report.stopped["b-out"]
        await publish("i11", "VT", "B-NAV", 30)
        await publish("i12", "VI", "B-POL", 40)
        await to_hour(world, 45)
        assert await sums(world) == {"received": 5, "held": 4, "expired": 3}

        await to_hour(world, 46)
        resume = Said(
            id="D2",
            issuer="B",
            verb="resume",
            units=("B-NAV", "B-POL"),
            direction="out",
            supersedes=("D1",),
            assured=True,
        )
        with pytest.raises(NotAuthorised):
            await world.order(resume, "head-1", "head-2")
        assert world.sites["B"].ask.standing(AGREEMENT).orders[0].directive == "D1"
        await world.order(resume)
        await publish("i13", "VT", "B-NAV", 46.5)
        await sync()
        assert await states(world, "W", item["i13"]) == ["held"]

        await to_hour(world, 47)
        await world.assure("W", "B", ("FI", "RA", "VI", "VT"))
        await world.notify("W")
        await check(world)
        # B dies while it answers, between two items.
        world.fail("crash", path="page")
        with pytest.raises(Unavailable):
            await world.sync("W", 1)
        await world.sync("W", 1)
        await world.sync("W", 1)
        assert await states(world, "W", item["i06"], item["i12"], item["i13"]) == ["received"] * 3
        assert await states(world, "W", item["i07"], item["i10"]) == ["held", "under review"]
        await publish("i14", "VT", "B-NAV", 48)
        await to_hour(world, 49)
        await world.review(item["i10"], "W", "release")
        with pytest.raises(Conflict, match="AS for PE"):
            await world.review(item["i07"], "W", "release")
        await world.exchange()
        await check(world)
        await to_hour(world, 72)
        assert await sums(world) == {"received": 10, "expired": 3, "held": 1}

    play(tmp_path, story)


def test_both_sides_stops_meet_and_each_sees_the_others(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("B", kinds=("FI",), direction="out")
        await world.narrow("W", kinds=("PE", "VT"), remains=("VT",), direction="out")
        await world.exchange()
        await check(world)
        for party in ("B", "W"):
            orders = world.sites[party].ask.standing(AGREEMENT).orders
            assert {line.issuer for line in orders} == {"B", "W"}
        await world.publish("B", "FI", "B-FIU", 2)
        await world.publish("W", "PE", "W-LEA")
        await world.publish("W", "VT", "W-CG")
        await world.exchange()
        await check(world)
        assert await sums(world) == {"held": 2}

    play(tmp_path, story)


def test_partner_that_refuses_to_receive_binds_the_sender_once_it_has_heard(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("W", kinds=("VI",), direction="in")
        await world.publish("B", "VI", "B-NAV")
        world.fail("unreachable")
        assert await world.notify("W") == {"B": "not told: peer.unreachable"}
        await check(world)
        await world.sync("B")
        await world.publish("B", "VI", "B-NAV")
        await world.sync("W")
        await check(world)
        assert await sums(world) == {"held": 2}

    play(tmp_path, story)


@pytest.mark.parametrize("fault", ["unreachable", "lost", "cut", "late", "crash", "twice"])
@pytest.mark.parametrize("path", ["page", "receipts", "acts", "add-checkpoint"])
@pytest.mark.parametrize("stop", [False, True])
def test_nothing_is_lost_or_doubled_by_a_fault_at_any_request(
    tmp_path: Path, fault: Fault, path: str, stop: bool
) -> None:
    async def story(world: World) -> None:
        ids = await world.publish("B", "VI", "B-NAV", 4)
        world.fail(fault, path=path)
        try:
            await world.sync("W", 3)
        except Unavailable:
            assert fault in ("unreachable", "lost", "cut", "crash")
        await check(world)
        if stop:
            await world.suspend("B")
            await check(world)
            await world.sync("W", 3)
            await world.resume("B")
            await check(world)
        await world.exchange(3)
        await check(world)
        assert await states(world, "W", *ids) == ["received"] * 4

    play(tmp_path, story)


def test_open_send_that_an_order_covers_is_cut_and_offered_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 3)
        assert await world.begin_read()
        enacted = await world.halt("B", direction="out")
        assert len(enacted.cut_pages) == 1
        assert await world.end_read() == ()
        await check(world)
        await world.resume("B")
        assert len(await world.read()) == 3
        await check(world)

    play(tmp_path, story)


def test_open_send_that_no_order_covers_goes_on(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 3)
        assert await world.begin_read()
        enacted = await world.halt("B", direction="out", kinds=("VT",))
        assert enacted.cut_pages == ()
        assert len(await world.end_read()) == 3
        await check(world)

    play(tmp_path, story)


def test_reader_that_walks_by_single_items_gets_each_once_across_stops(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 3)
        await world.publish("B", "FI", "B-FIU", 3)
        await world.read(2)
        await world.halt("B", units=("B-NAV",), direction="out")
        await world.publish("B", "VI", "B-NAV", 2)
        for _ in range(3):
            await world.read(1)
            await check(world)
        assert len(world.got) == 5
        await world.resume("B")
        for _ in range(4):
            await world.read(1)
            await check(world)
        assert len(world.got) == 8

    play(tmp_path, story)


def test_halt_lapses_by_the_clock_and_nothing_is_given_before(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.halt("B", lasts_ms=HOUR_MS)
        await world.publish("B", "VI", "B-NAV")
        end_ms = world.ordered[0].end_ms
        assert end_ms is not None
        await world.advance(end_ms - world.now_ms() - 2)
        assert await world.read() == ()
        assert len(await world.read()) == 1
        await check(world)
        with pytest.raises(NotAuthorised, match="another halt"):
            await world.halt("B")

    play(tmp_path, story)


def test_order_that_is_to_come_stops_at_its_start_and_not_before(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        said = Said(id="D9", issuer="B", verb="suspend", starts_in_ms=MINUTE_MS)
        assert (await world.order(said)).state == "coming"
        await world.read(1)
        assert await world.begin_read(1)
        await world.advance(MINUTE_MS)
        assert await world.end_read() == ()
        assert await world.read() == ()
        await world.exchange()
        await check(world)
        assert await states(world, "K", *[item.id for item in world.items]) == ["sent", "held"]

    play(tmp_path, story)


def test_withdrawn_assurance_holds_again_what_it_let_pass(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.condition("B", kinds=("VI",), direction="out", partner="W")
        await world.assure("W", "B", ("VI",))
        await world.notify("W")
        await world.publish("B", "VI", "B-NAV")
        await world.sync("W")
        await check(world)
        await world.withdraw(world.promised[0].id)
        await world.notify("W")
        await world.publish("B", "VI", "B-NAV")
        await world.sync("W")
        await check(world)
        assert await sums(world) == {"received": 1, "held": 1}

    play(tmp_path, story)


def test_assurance_ends_at_its_last_millisecond(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.condition("B", kinds=("VI",), direction="out", partner="W")
        await world.assure("W", "B", ("VI",), lasts_ms=HOUR_MS)
        await world.exchange()
        await world.publish("B", "VI", "B-NAV")
        await world.advance(world.promised[0].until_ms - world.now_ms() - 1)
        await world.publish("B", "VI", "B-NAV")
        await world.sync("W")
        await check(world)
        assert await sums(world) == {"held": 2}

    play(tmp_path, story)


def test_safety_of_life_passes_every_order_that_does_not_name_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("B")
        await world.publish("B", "SL", "B-NAV")
        await world.sync("W")
        await world.resume("B", assured=True)
        await world.publish("B", "SL", "B-NAV")
        await world.sync("W")
        await check(world)
        assert await sums(world) == {"received": 2}
        await world.suspend("B", kinds=("SL",))
        await world.publish("B", "SL", "B-NAV")
        await world.sync("W")
        await check(world)
        assert await sums(world) == {"received": 2, "held": 1}

    play(tmp_path, story)


def test_refused_item_never_leaves_and_reviewed_one_leaves_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("B")
        one, two = await world.publish("B", "PE", "B-POL", 2)
        await world.resume("B")
        await world.exchange()
        assert await states(world, "W", one, two) == ["under review"] * 2
        await world.review(one, "W", "refuse", code="risk-to-source")
        await world.review(two, "W", "release")
        with pytest.raises(Missing):
            await world.review(two, "W", "release")
        await world.exchange()
        await check(world)
        assert await states(world, "W", one, two) == ["refused", "received"]

    play(tmp_path, story)


def test_crash_of_either_node_after_each_act_changes_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        acts: list[Callable[[], Awaitable[object]]] = [
            lambda: world.publish("B", "VT", "B-NAV", 2),
            lambda: world.suspend("B", direction="out"),
            lambda: world.publish("B", "VI", "B-NAV", 2),
            lambda: world.sync("W"),
            lambda: world.resume("B", assured=True),
            lambda: world.assure("W", "B", ("VI", "VT")),
            lambda: world.notify("W"),
            lambda: world.sync("W", 1),
            lambda: world.advance(7 * HOUR_MS),
        ]
        for act in acts:
            await act()
            for party in ("B", "W"):
                before = world.sites[party].ask.standing(AGREEMENT).standing
                await world.crash(party)
                assert world.sites[party].ask.standing(AGREEMENT).standing == before
                await check(world)
        await world.exchange()
        await check(world)
        assert await sums(world) == {"received": 4}

    play(tmp_path, story)


def test_world_without_a_signature_of_one_party_has_no_agreement(tmp_path: Path) -> None:
    async def whole() -> None:
        async with World.open(tmp_path / "world", agreed=False) as world:
            with pytest.raises(NotAuthorised) as found:
                await world.agree(world.signed_agreement("B", "W"))
            assert found.value.code == "agreement.unsigned"
            with pytest.raises(Missing):
                await world.publish("B", "VI", "B-NAV")
            await world.agree(world.signed_agreement())
            await world.publish("B", "VI", "B-NAV")
            await world.exchange()
            await check(world, record=True)

    asyncio.run(whole())
