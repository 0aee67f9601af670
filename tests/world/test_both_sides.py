"""Sender and receiver decide alike: from the same documents each comes to the same outcome."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from detente.gateway.feeds import decide_for
from detente.model import Handling, decode
from detente.testing import World
from detente.testing.parts import AGREEMENT
from tests.unit.gateway.demanding import KEY, PASSING, TEST, demanding, kinds, publish, thing

GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"


async def handlings(world: World, party: str) -> Mapping[bytes, Handling]:
    rows = await world.sites[party].store.read(lambda view: view.handlings(KEY))
    return {value: decode(value, Handling) for value in rows.values()}


async def check_both(world: World) -> dict[str, int]:
    """W decides what it has as B decides it, for W and for K; how many of each outcome."""
    b, w = world.sites["B"], world.sites["W"]
    ours, theirs = b.ask.current(AGREEMENT), w.ask.current(AGREEMENT)
    assert ours.standing.digest == theirs.standing.digest
    there, here = await handlings(world, "W"), await handlings(world, "B")
    assert there.keys() <= here.keys()
    found: dict[str, int] = {}
    # W knows no handling of which it was given nothing, but would decide it alike.
    for one in here.values():
        for party in ("W", "K"):
            mine = decide_for(ours, one, own="B", party=party)
            its = decide_for(theirs, one, own="B", party=party)
            assert (mine.outcome, mine.reasons) == (its.outcome, its.reasons)
            found[mine.outcome] = found.get(mine.outcome, 0) + 1
    return found


def test_each_side_recomputes_the_outcomes_of_the_other(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, thing("infrastructure", 1), thing("infrastructure", 2,
                      object_marking_refs=[GREEN]))  # fmt: skip
        await publish(world, thing("infrastructure", 3, object_marking_refs=[RED]))
        await publish(world, thing("identity", 1))
        await publish(world, thing("identity", 2), answers=PASSING, court=True, nature="fact")
        await world.exchange()
        assert await check_both(world) == {"release": 6, "hold": 2, "moderate": 2}
        await world.suspend("B", kinds=("VI",), direction="out")
        await world.narrow("W", kinds=("PE", "VI"), remains=("VI",), direction="in")
        await world.exchange()
        assert (await check_both(world))["hold"] >= 6
        await world.resume("B", assured=True)
        await world.exchange()
        await check_both(world)
        await world.assure("W", "B", ("VI",))
        await world.exchange()
        await check_both(world)

    demanding(tmp_path, story, tests=(TEST,), kinds=kinds(PE={"tests": ("EL",)}))
