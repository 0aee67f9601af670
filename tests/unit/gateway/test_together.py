"""What is asked in one turn is done in one go; nobody gets another's answer or an old one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from detente.errors import Broken, Conflict, DetenteError
from detente.gateway.deliver import Nothing
from detente.gateway.together import Together
from detente.store import sqlite
from detente.testing import World
from tests.unit.gateway.kit import asking, play


def test_asks_of_one_turn_share_a_go_and_later_ones_do_not() -> None:
    goes: list[list[int]] = []

    async def do(asks: Sequence[int]) -> list[int | DetenteError]:
        goes.append(list(asks))
        await asyncio.sleep(0)
        return [ask * 10 for ask in asks]

    async def story() -> None:
        together = Together(do, 3)
        first = [asyncio.create_task(together.ask(n)) for n in range(5)]
        while not goes:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0)
        # The first is under way: what is asked now must not be answered by it.
        assert await together.ask(7) == 70
        assert [await task for task in first] == [0, 10, 20, 30, 40]
        assert goes == [[0, 1, 2], [3, 4], [7]]

    asyncio.run(story())


def test_no_more_goes_are_under_way_than_may_be_and_what_comes_meanwhile_shares_the_next() -> None:
    goes: list[list[int]] = []
    doors: list[asyncio.Event] = []

    async def do(asks: Sequence[int]) -> list[int | DetenteError]:
        goes.append(list(asks))
        doors.append(asyncio.Event())
        await doors[-1].wait()
        return list(asks)

    async def turns() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def story() -> None:
        together = Together(do, 4, at_once=2)
        tasks = []
        for n in range(12):  # each in a turn of its own
            tasks.append(asyncio.create_task(together.ask(n)))
            await turns()
        assert goes == [[0], [1]]
        doors[1].set()
        await turns()
        assert goes == [[0], [1], [2, 3, 4, 5]]
        doors[0].set()
        await turns()
        assert goes[3:] == [[6, 7, 8, 9]]
        doors[2].set()
        doors[3].set()
        await turns()
        doors[4].set()
        assert [await task for task in tasks] == list(range(12))
        assert goes[4:] == [[10, 11]]

    asyncio.run(story())


def test_error_of_one_is_raised_to_that_one_and_a_failure_to_all() -> None:
    async def do(asks: Sequence[int]) -> list[int | DetenteError]:
        if 9 in asks:
            raise Broken("x.broken", "Expected to work.")
        return [Conflict("x.odd", "Expected an even number.") if ask % 2 else ask for ask in asks]

    async def story() -> None:
        together = Together(do, 10)
        found = await asyncio.gather(*(together.ask(n) for n in (2, 3)), return_exceptions=True)
        assert found[0] == 2
        assert isinstance(found[1], Conflict)
        failed = await asyncio.gather(*(together.ask(n) for n in (2, 9)), return_exceptions=True)
        assert [type(one) for one in failed] == [Broken, Broken]
        with pytest.raises(Conflict):
            await together.ask(1)

    asyncio.run(story())


def test_one_that_was_cancelled_does_not_keep_the_others() -> None:
    async def do(asks: Sequence[int]) -> list[int | DetenteError]:
        return list(asks)

    async def story() -> None:
        together = Together(do, 10)
        gone, stays = (asyncio.create_task(together.ask(n)) for n in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 2
        assert gone.cancelled()

    asyncio.run(story())


def test_readers_that_come_one_by_one_in_one_moment_are_not_more_than_the_store_lets_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "READS_WAITING_MAX", 100)

    async def story(world: World) -> None:
        delivery = world.sites["B"].delivery
        asks = []
        for _ in range(1_000):  # each in a turn of its own
            asks.append(asyncio.create_task(delivery.look(asking())))
            await asyncio.sleep(0)
        assert {type(found) for found in await asyncio.gather(*asks)} == {Nothing}

    play(tmp_path, story)
