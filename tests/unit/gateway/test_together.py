"""What is asked in one turn is done in one go; nobody gets another's answer or an old one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from detente.errors import Broken, Conflict, DetenteError
from detente.gateway.together import Together


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
