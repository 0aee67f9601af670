"""The end of a term at a node: the next version takes over without a gap, and without one
everything is held, told, and given when there is an agreement again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace

from detente.model import Agreement, Notice
from detente.testing import World
from detente.testing.parts import AGREEMENT, HOUR_MS, terms_of
from tests.unit.gateway.test_papers import came, later, signed

NOTICE = Notice(amend_ms=HOUR_MS // 2, end_ms=HOUR_MS // 2)


def play(folder: Path, story: Callable[[World, Agreement], Awaitable[None]]) -> None:
    """A world whose agreement holds for an hour from now, with notice of half an hour."""

    async def whole() -> None:
        async with World.open(folder / "world", agreed=False) as world:
            terms = replace(
                terms_of(world.charters), until_ms=world.now_ms() + HOUR_MS, notice=NOTICE
            )
            for party, site in world.sites.items():
                await site.orders.import_agreement(signed(world, terms))
                other = "W" if party == "B" else "B"
                await site.exchange.add_peer(other, AGREEMENT, f"sim://{other}")
            world.clock.advance(1)
            await story(world, terms)

    asyncio.run(asyncio.wait_for(whole(), 60))


async def states(world: World) -> dict[str, int]:
    """How many of B's items stand in each state towards W."""
    found: dict[str, int] = {}
    for line in await world.sites["B"].ask.feeds(AGREEMENT, "W"):
        for state, number in line.states.items():
            found[state] = found.get(state, 0) + number
    return found


def told(world: World, party: str = "B") -> tuple[str, ...]:
    return world.sites[party].ask.standing(AGREEMENT).notices


def test_next_version_takes_over_at_the_instant_at_which_the_term_ends(tmp_path: Path) -> None:
    async def story(world: World, terms: Agreement) -> None:
        new = later(world, from_ms=terms.until_ms)
        for site in world.sites.values():
            await site.orders.import_agreement(signed(world, new))
        assert told(world) == ()
        # The last instant of the old, the first of the new: each act takes a millisecond.
        await world.advance(terms.until_ms - world.now_ms() - 2)
        assert "Version 2 takes over" in told(world)[0]
        await world.publish("B", "VI", "B-NAV")
        assert world.now_ms() == terms.until_ms - 1
        assert world.sites["B"].ask.standing(AGREEMENT).in_force
        await world.publish("B", "VI", "B-NAV")
        assert world.now_ms() == terms.until_ms
        standing = world.sites["B"].ask.standing(AGREEMENT)
        assert (standing.in_force, standing.until_ms) == (True, new.until_ms)
        assert told(world) == ()
        assert await states(world) == {"queued": 2}
        assert await came(world) == 2

    play(tmp_path, story)


def test_without_a_next_version_everything_is_held_told_and_given_later(tmp_path: Path) -> None:
    async def story(world: World, terms: Agreement) -> None:
        b = world.sites["B"]
        await world.publish("B", "VI", "B-NAV")
        assert told(world) == ()
        await world.advance(terms.until_ms - HOUR_MS // 2 - world.now_ms())
        assert "The term ends at" in told(world)[0]
        assert told(world) == told(world, "W")
        await world.advance(terms.until_ms - world.now_ms())
        assert "The term ended at" in told(world)[0]
        assert not b.ask.standing(AGREEMENT).in_force
        assert await states(world) == {"held": 1}
        lines = await b.ask.feeds(AGREEMENT, "W")
        assert {line.reasons[0].partition(" ")[0] for line in lines} == {"agreement.not-in-force"}
        before = await world.sites["W"].store.read(
            lambda view: view.collection(f"{AGREEMENT}/b-out").end
        )
        assert before == 0
        new = later(world, from_ms=terms.until_ms)
        for site in world.sites.values():
            await site.orders.import_agreement(signed(world, new))
        world.clock.advance(1)
        assert told(world) == ()
        assert await states(world) == {"queued": 1}
        assert await came(world) == 1

    play(tmp_path, story)
