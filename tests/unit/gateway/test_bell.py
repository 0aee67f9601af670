"""The bell: whoever waits hears, and what comes between looking and waiting is not missed."""

from __future__ import annotations

import asyncio

from detente.gateway.bell import Bell


def test_ring_wakes_those_of_its_collection_and_a_general_one_wakes_all() -> None:
    async def story() -> None:
        bell = Bell()
        waits = {
            name: asyncio.create_task(bell.wait("A1", name, bell.heard("A1", name), 60))
            for name in ("out", "in")
        }
        other = asyncio.create_task(bell.wait("A2", "out", bell.heard("A2", "out"), 60))
        await asyncio.sleep(0)
        assert bell.waiting() == 3
        bell.ring("A1", "out")
        assert await waits["out"]
        assert bell.waiting() == 2
        bell.ring("A1", None)
        assert await waits["in"]
        assert bell.waiting() == 1
        bell.close()
        assert not await other
        assert not await bell.wait("A2", "out", bell.heard("A2", "out"), 60)

    asyncio.run(story())


def test_what_came_while_one_looked_is_heard_at_once() -> None:
    async def story() -> None:
        bell = Bell()
        for collection in ("out", None):
            heard = bell.heard("A1", "out")
            bell.ring("A1", collection)
            # It would wait for ever otherwise: nothing rings again.
            async with asyncio.timeout(60):  # who misses it would wait for an hour
                assert await bell.wait("A1", "out", heard, 3_600)
        assert bell.waiting() == 0

    asyncio.run(story())


def test_who_is_cancelled_or_out_of_time_is_forgotten() -> None:
    async def story() -> None:
        bell = Bell()
        assert not await bell.wait("A1", "out", bell.heard("A1", "out"), 0.001)
        gone = asyncio.create_task(bell.wait("A1", "out", bell.heard("A1", "out"), 60))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert bell.waiting() == 0

    asyncio.run(story())
