"""Versions that a page passed over for a newer one, when the newer one does not come after all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from detente.gateway import passed
from detente.gateway.deliver import Nothing, Ready
from detente.gateway.intake import Publication
from detente.gateway.recall import RecallAsk, Recalls
from detente.gateway.versions import LAST, Versions
from detente.testing import World
from detente.testing.parts import AGREEMENT, HOUR_MS, READER, collection_of
from tests.unit.gateway.kit import asking, play, whole

KEY = f"{AGREEMENT}/{collection_of('B')}"
OLD, NEW, OTHER = (f"infrastructure--{n:08d}-0000-4000-8000-000000000000" for n in (1, 1, 2))


async def publish(world: World, name: str, year: int, kind: str = "VI") -> None:
    """A version of an object, of a kind of its own."""
    time = f"{year}-01-01T00:00:00.000Z"
    raw = (
        f'{{"type":"infrastructure","spec_version":"2.1","id":"{name}",'
        f'"created":"2020-01-01T00:00:00.000Z","modified":"{time}","name":"of {year}"}}'
    )
    world.clock.advance(1)
    await world.sites["B"].intake.publish(
        Publication(
            agreement=AGREEMENT,
            collection=collection_of("B"),
            party="B",
            body=f'{{"type":"bundle","objects":[{raw}]}}'.encode(),
            kind=kind,
            purpose="interdiction",
            grade="admiralty:B2",
            unit="B-NAV",
        )
    )


class Reader:
    """K, who asks for the last version of each object and goes on behind what it got."""

    def __init__(self, world: World, *, limit: int = 1, versions: Versions = LAST) -> None:
        self.site, self.limit, self.versions = world.sites["B"], limit, versions
        self.after_us = 0

    async def read(self) -> list[str]:
        """Years of the versions on its next page."""
        ask = asking(after_us=self.after_us, limit=self.limit, versions=self.versions)
        found = await self.site.delivery.page(ask, whole)
        if isinstance(found, Nothing):
            return []
        self.site.delivery.ended(found.page, found.gathered, ask, complete=True)
        await self.site.outcomes.flush()
        self.after_us = found.gathered.until.us
        return [part[:4] for part in found.gathered.body.decode().split('"of ')[1:]]

    async def rest(self) -> list[str]:
        """All that it is given from here on."""
        years: list[str] = []
        while more := await self.read():
            years += more
        return years


async def noted(world: World) -> list[int]:
    """The entries that are looked after."""
    found = await world.sites["B"].store.read(lambda view: view.passed(KEY, 0, 1000))
    return [row.seq for row in found]


async def expires(world: World) -> None:
    await world.suspend("B", kinds=("VT",), direction="out")
    await world.advance(7 * HOUR_MS)


async def is_taken_back(world: World) -> None:
    site = world.sites["B"]
    ask = RecallAsk(
        agreement=AGREEMENT,
        collection=collection_of("B"),
        party="B",
        id=NEW,
        versions=Versions(times=("2022-01-01T00:00:00",)),
    )
    await Recalls(site.book, site.gate, lambda *_: None).recall(ask)


async def is_stopped(world: World) -> None:
    await world.halt("B", kinds=("VT",), direction="out")


@pytest.mark.parametrize("happens", [expires, is_taken_back, is_stopped])
def test_older_version_comes_late_when_the_newer_does_not_come(
    tmp_path: Path, happens: Callable[[World], Awaitable[None]]
) -> None:
    async def story(world: World) -> None:
        await publish(world, OLD, 2021)
        await publish(world, OTHER, 2030)
        await publish(world, NEW, 2022, "VT")
        reader = Reader(world)
        assert await reader.read() == ["2030"]
        assert await noted(world) == [0]
        await happens(world)
        while await world.sites["B"].orders.tick():
            pass
        assert await reader.rest() == ["2021"]
        assert await noted(world) == []
        (line,) = [
            one
            for one in await world.sites["B"].ask.trace(OLD, AGREEMENT)
            if (one.party, one.version) == (READER, 0)
        ]
        assert line.state == "sent"
        await world.resume("B") if happens is is_stopped else None
        assert await reader.rest() == (["2022"] if happens is is_stopped else [])

    play(tmp_path, story, checked=False)


def test_older_version_stays_passed_over_when_the_newer_is_given(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for year in (2021, 2022, 2023):
            await publish(world, OLD, year)
        await publish(world, OTHER, 2030)
        await publish(world, NEW, 2024)
        reader = Reader(world)
        assert await reader.read() == ["2030"]
        assert await noted(world) == [2]  # the newest of the three, all of one kind
        assert not await world.sites["B"].orders.tick()
        assert await reader.rest() == ["2024"]
        await world.sites["B"].orders.tick()
        assert await noted(world) == []
        await is_stopped(world)
        assert await reader.rest() == []

    play(tmp_path, story, checked=False)


def test_version_that_its_reader_has_is_not_given_again(tmp_path: Path) -> None:
    """It was given when it was the last; the one behind it is stopped before it is given."""

    async def story(world: World) -> None:
        await publish(world, OLD, 2021)
        reader = Reader(world)
        assert await reader.read() == ["2021"]
        await publish(world, OTHER, 2030)
        await publish(world, NEW, 2022, "VT")
        assert await reader.read() == ["2030"]
        assert await noted(world) == []
        second = Reader(world)  # of the same party, from the beginning
        assert await second.read() == ["2030"]
        await is_stopped(world)
        while await world.sites["B"].orders.tick():
            pass
        assert await reader.rest() == []

    play(tmp_path, story, checked=False)


def test_what_is_looked_after_waits_out_a_stop_and_a_restart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, OLD, 2021)
        await publish(world, OTHER, 2030)
        await publish(world, NEW, 2022, "VT")
        reader = Reader(world)
        assert await reader.read() == ["2030"]
        await world.suspend("B", direction="out")
        await world.advance(7 * HOUR_MS)
        await world.crash("B")
        assert await noted(world) == [0]
        await world.resume("B")
        reader.site = world.sites["B"]
        while await reader.site.orders.tick():
            pass
        assert await reader.rest() == ["2021"]

    play(tmp_path, story, checked=False)


def test_page_that_is_open_still_has_given_nothing(tmp_path: Path) -> None:
    """A first connection hangs with the older version, a second passes it over; one is cut."""

    async def story(world: World) -> None:
        site = world.sites["B"]
        await publish(world, OLD, 2021)
        ask = asking(limit=1, versions=LAST)
        hanging = await site.delivery.page(ask, whole)
        assert isinstance(hanging, Ready)
        await publish(world, OTHER, 2030)
        await publish(world, NEW, 2022, "VT")
        reader = Reader(world)
        assert await reader.read() == ["2030"]
        await is_stopped(world)
        await site.orders.tick()
        assert await noted(world) == [0]
        site.delivery.ended(hanging.page, hanging.gathered, ask, complete=False)
        await site.outcomes.flush()
        while await site.orders.tick():
            pass
        assert await reader.rest() == ["2021"]

    play(tmp_path, story, checked=False)


def test_of_several_passed_over_the_newest_that_may_be_read_comes(tmp_path: Path) -> None:
    """Two newer ones of other kinds are stopped: the third is the last that the reader may have."""

    async def story(world: World) -> None:
        await publish(world, OLD, 2020)
        await publish(world, OLD, 2021)
        await publish(world, OLD, 2022, "FI")
        await publish(world, OTHER, 2030)
        await publish(world, NEW, 2023, "VT")
        reader = Reader(world)
        assert await reader.read() == ["2030"]
        assert await noted(world) == [1, 2]
        await world.suspend("B", kinds=("FI", "VT"), direction="out")
        while await world.sites["B"].orders.tick():
            pass
        assert await reader.rest() == ["2021"]
        fresh = Reader(world, limit=10)
        assert await fresh.rest() == ["2030", "2021"]

    play(tmp_path, story, checked=False)


def test_many_are_offered_again_in_a_few_turns_and_one_look_at_each_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        names = [f"infrastructure--{n:08d}-0000-4000-8000-000000000000" for n in range(10, 40)]
        for name in names:
            await publish(world, name, 2021)
        await publish(world, OTHER, 2030)
        for name in names:
            await publish(world, name, 2022, "VT")
        reader = Reader(world)
        assert await reader.read() == ["2030"]
        await is_stopped(world)
        seen = []
        decode = passed.decode_feed
        monkeypatch.setattr(passed, "decode_feed", lambda value: seen.append(1) or decode(value))
        while await world.sites["B"].orders.tick():
            pass
        assert len(seen) < 10
        assert len(await reader.rest()) == len(names)

    play(tmp_path, story, checked=False)
