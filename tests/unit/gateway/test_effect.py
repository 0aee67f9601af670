"""What an order would do, and that it then does: foreseen and real counts are the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from detente.errors import Conflict
from detente.gateway.effect import Effects
from detente.model import Choice, Condition, Directive, Effect, Scope
from detente.testing import World
from detente.testing.parts import AGREEMENT, HOUR_MS
from tests.unit.gateway.kit import play
from tests.unit.gateway.test_written_orders import THREE, TWO, draft, enact, in_force, state

ALL = Scope(direction=Choice.of("out"), kind=Choice.but("SL"))
States = Counter[tuple[str, str, str]]


def effects(world: World) -> Effects:
    site = world.sites["B"]
    return Effects(site.book, site.outcomes)


async def previewed(world: World, order: Directive) -> Directive:
    """The order with the digest of its effect, as the node's API drafts it."""
    found = effects(world)
    return replace(order, preview=await found.keep(await found.foresee(order)))


async def states(world: World) -> States:
    """Items towards all readers of B's collections, by kind, unit and state."""
    counts: States = Counter()
    for line in await world.sites["B"].ask.feeds(AGREEMENT):
        if line.collection == "b-out":
            for name, count in line.states.items():
                counts[line.kind, line.unit, name] += count
    return counts


def moved(before: States, effect: Effect) -> States:
    """The states as they would be."""
    after = before.copy()
    for one in effect.moves:
        after[one.kind, one.unit, one.before] -= one.count
        after[one.kind, one.unit, one.after] += one.count
    return +after


def test_foreseen_is_what_then_happens_and_asking_changes_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for kind in ("VT", "VI", "PE", "RA", "SL"):
            await world.publish("B", kind, "B-NAV", 3)
        await world.sync("W")
        for kind in ("VT", "VI", "PE", "SL"):
            await world.publish("B", kind, "B-NAV", 2)
        review = world.now_ms() + HOUR_MS
        stop = draft(world, "D1", "suspend", scope=ALL, review_ms=review, acknowledged=("L16",))
        before = await states(world)
        effect = await effects(world).foresee(stop)
        assert await states(world) == before
        assert in_force(world) == []
        assert (effect.released, effect.exempt) == (0, ("SL",))
        assert effect.held == sum(one.count for one in effect.moves if one.after == "held") > 0
        assert effect.expiring[0].kind == "VT"
        assert {one.kind: one.count for one in effect.history}["VI"] == 3
        await enact(world, stop, *TWO)
        assert await states(world) == moved(before, effect)

        before = await states(world)
        resume = draft(world, "R1", "resume", scope=ALL, supersedes=("D1",))
        effect = await effects(world).foresee(resume)
        assert [(one.directive, one.then) for one in effect.others] == [("D1", "ends")]
        assert effect.released > 0
        assert effect.reviewed > 0
        await enact(world, resume, *THREE)
        assert await states(world) == moved(before, effect)

    play(tmp_path, story, checked=False)


VERBS = st.sampled_from(["suspend", "narrow", "moderate", "condition"])
KIND_SETS = st.sets(st.sampled_from(["FI", "PE", "RA", "SL", "VI", "VT"]), min_size=1)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(verb=VERBS, kinds=KIND_SETS, remains=KIND_SETS, synced=st.booleans(), late=st.booleans())
def test_foreseen_is_what_happens_for_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    verb: str,
    kinds: set[str],
    remains: set[str],
    *,
    synced: bool,
    late: bool,
) -> None:
    scope = Scope(direction=Choice.of("out"), kind=Choice.of(*kinds))
    more: dict[str, object] = {"scope": scope}
    if verb == "narrow":
        more["remains"] = Scope(kind=Choice.of(*remains))
    if verb == "condition":
        more["conditions"] = (Condition(template="AS", scope=scope),)

    async def story(world: World) -> None:
        for kind in ("FI", "PE", "RA", "SL", "VI", "VT"):
            await world.publish("B", kind, "B-POL", 2)
        if synced:
            await world.sync("W")
        for kind in ("PE", "VI", "VT"):
            await world.publish("B", kind, "B-POL")
        if late:
            await world.advance(7 * HOUR_MS)
        order = draft(world, "D1", verb, review_ms=world.now_ms() + HOUR_MS, **more)
        before = await states(world)
        effect = await effects(world).foresee(order)
        # What the lint asks to be meant by name is meant.
        await enact(world, replace(order, acknowledged=("L16", "L17")), *TWO)
        assert await states(world) == moved(before, effect)

    play(tmp_path_factory.mktemp("world"), story, checked=False)


def test_what_was_sent_without_an_answer_is_in_flight(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        (item,) = await world.publish("B", "VI", "B-NAV")
        world.fail("unreachable", path="receipts")
        await world.sync("W")
        stop = draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
        effect = await effects(world).foresee(stop)
        assert await state(world, item) == {"in flight"}
        assert effect.in_flight == 1
        await world.sync("W")
        assert (await effects(world).foresee(stop)).in_flight == 0

    play(tmp_path, story, checked=False)


def test_order_of_the_partner_is_told_and_every_order_between_them(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("W", kinds=("VI",), direction="in")
        await world.narrow("W", remains=("VI",), direction="out")
        await world.exchange()
        order = draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
        others = (await effects(world).foresee(order)).others
        assert [(one.verb, one.then, one.same_flow) for one in others] == [
            ("suspend", "stays", True),
            ("narrow", "stays", False),
        ]

    play(tmp_path, story, checked=False)


# --- drift --------------------------------------------------------------------------------------


def test_what_lets_go_is_refused_when_its_effect_has_drifted(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await enact(world, draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS), *TWO)
        await world.publish("B", "VI", "B-NAV", 5)
        order = await previewed(world, draft(world, "R1", "resume", supersedes=("D1",)))
        await world.publish("B", "VI", "B-NAV", 40)
        with pytest.raises(Conflict) as refused:
            await enact(world, order, *THREE)
        assert refused.value.code == "directive.drifted"
        assert "VI" in refused.value.sentence
        assert in_force(world) == ["D1"]
        again = await previewed(world, draft(world, "R2", "resume", supersedes=("D1",)))
        await world.publish("B", "VI", "B-NAV")
        await enact(world, again, *THREE)
        assert in_force(world) == ["R2"]

    play(tmp_path, story, checked=False)


def test_stop_takes_force_whatever_has_drifted_since(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        order = await previewed(
            world, draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
        )
        await world.publish("B", "VI", "B-NAV", 100)
        await enact(world, order, *TWO)
        assert in_force(world) == ["D1"]

    play(tmp_path, story, checked=False)


@pytest.mark.parametrize("digest", ["0" * 64, "other"])
def test_effect_that_was_not_foreseen_here_for_this_order_lets_nothing_go(
    tmp_path: Path, digest: str
) -> None:
    async def story(world: World) -> None:
        await enact(world, draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS), *TWO)
        order = draft(world, "R1", "resume", supersedes=("D1",))
        named = digest
        if digest == "other":
            named = (await previewed(world, replace(order, id="R9"))).preview or ""
        with pytest.raises(Conflict) as refused:
            await enact(world, replace(order, preview=named), *THREE)
        assert refused.value.code == "directive.preview-unknown"
        assert in_force(world) == ["D1"]

    play(tmp_path, story, checked=False)
