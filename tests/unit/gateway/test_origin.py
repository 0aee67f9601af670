"""What is known of where an object comes from counts, whatever its publication says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detente.errors import NotAuthorised
from detente.gateway.derive import DeriveAsk
from detente.gateway.review import Verdict
from detente.model import Step
from detente.testing import World
from detente.testing.parts import AGREEMENT, PARTIES
from tests.unit.gateway import test_derive as tear
from tests.unit.gateway.demanding import (
    codes,
    demanding,
    kinds,
    line,
    publication,
    publish,
    thing,
)

HOUR_MS = 3_600_000
MARK = {
    "type": "marking-definition",
    "spec_version": "2.1",
    "id": "marking-definition--5b1b6b3c-7f2b-4c6e-9a3e-0a8f5b7f2a11",
    "created": "2025-12-31T23:00:00.000Z",
    "extensions": {
        "extension-definition--0b1e5a3c-6d0f-4c58-8a3e-2f9d5c7b1a05": {
            "extension_type": "property-extension",
            "originator_control": True,
        }
    },
}
MARKED = thing("infrastructure", 1, description="secret", object_marking_refs=[MARK["id"]])
#: An hour after what ``thing`` makes.
LATER = {"modified": "2026-01-01T00:00:00.000Z"}


async def states(world: World, item: str) -> list[str]:
    """Every version towards W, in order."""
    lines = await world.sites["B"].ask.trace(item)
    return [one.state for one in lines if one.party == "W"]


async def derived(world: World, item: object, **fields: Any) -> str:
    ask = DeriveAsk(
        item=str(item),
        agreement=AGREEMENT,
        to="b-out",
        steps=(Step(do="remove", path="description"),),
        by="head",
    )
    made = await world.sites["B"].derives.derive(msgspec.structs.replace(ask, **fields))
    return made.child


@pytest.mark.parametrize("refuses", [False, True])
def test_next_version_of_what_was_derived_waits_for_a_second_person(
    tmp_path: Path, *, refuses: bool
) -> None:
    async def story(world: World) -> None:
        await tear.publish(world, tear.PARENT)
        made = await tear.derive(world)
        site, first = world.sites["B"], "under review"
        if refuses:
            verdict = Verdict(
                item=made.child, party="W", verdict="refuse", by="head", code="risk-to-source"
            )
            await site.review.decide(AGREEMENT, verdict)
            first = "refused"
        again = json.loads(made.content) | {"modified": "2026-01-01T00:05:00.000Z"}
        await tear.publish(world, again)
        assert await states(world, made.child) == [first, "under review"]
        await world.exchange()
        assert not await tear.has(world, made.child)
        with pytest.raises(NotAuthorised) as caught:
            await site.review.decide(AGREEMENT, tear.passing(made.child, "duty"))
        assert caught.value.code == "review.second-person"
        await site.review.decide(AGREEMENT, tear.passing(made.child, "head"))
        await world.exchange()
        assert await tear.has(world, made.child)

    tear.play(tmp_path, story)


def test_next_version_of_what_was_derived_goes_where_no_second_person_is_asked_for(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        await tear.publish(world, tear.PARENT)
        made = await tear.derive(world)
        again = json.loads(made.content) | {"modified": "2026-01-01T00:05:00.000Z"}
        await tear.publish(world, again)
        assert await states(world, made.child) == ["queued", "queued"]

    tear.play(tmp_path, story, second_person=False)


@pytest.mark.parametrize("said", [{}, {"originator": "B"}])
@pytest.mark.parametrize("changed", [{}, LATER])
def test_what_was_given_under_originator_control_stays_under_it(
    tmp_path: Path, said: dict[str, str], changed: dict[str, str]
) -> None:
    async def story(world: World) -> None:
        theirs = publication([MARK, MARKED], collection="w-out", party="W", unit=PARTIES["W"][0])
        await world.sites["W"].intake.publish(theirs)
        await world.sync("B")
        await publish(world, MARK, MARKED | changed, **said)
        found = await line(world, MARKED["id"], "K")
        assert (found.originator, found.state) == ("W", "held")
        assert await codes(world, MARKED["id"], "K") == {"marking.originator-control"}
        assert MARKED["id"] not in await world.read()

    demanding(tmp_path, story, kinds=kinds())


def test_own_item_under_originator_control_goes(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, MARK, MARKED)
        found = await line(world, MARKED["id"], "K")
        assert (found.originator, found.state) == ("B", "queued")

    demanding(tmp_path, story, kinds=kinds())


def test_control_of_another_stays_on_the_tear_line(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, MARK, MARKED, originator="Z")
        child = await derived(world, MARKED["id"], markings=("tlp:green",))
        assert (await line(world, child)).state == "held"
        assert await codes(world, child) == {"marking.originator-control"}

    demanding(tmp_path, story, kinds=kinds())


def test_own_control_is_lowered_on_the_tear_line_as_said(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, MARK, MARKED)
        child = await derived(world, MARKED["id"], markings=("tlp:green",))
        assert (await line(world, child)).state == "queued"

    demanding(tmp_path, story, kinds=kinds())


def test_tear_line_is_no_fresher_than_its_parent(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.clock.advance(240 * HOUR_MS)
        await publish(world, MARKED | {"object_marking_refs": []})
        child = await derived(world, MARKED["id"])
        assert await codes(world, child) == {"freshness.stale"}

    demanding(tmp_path, story, kinds=kinds(VI={"fresh_within_ms": HOUR_MS}))


def test_tear_line_of_what_came_in_bulk_waits_too(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        many = [thing("infrastructure", n, description="secret") for n in range(3)]
        await publish(world, *many)
        world.clock.advance(61_000)
        child = await derived(world, many[0]["id"])
        assert await codes(world, child) == {"bulk"}

    demanding(tmp_path, story, kinds=kinds(VI={"bulk_max": 2}))
