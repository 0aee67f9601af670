"""Orders as their words have it: what can be misread is not enacted, amendments take over, and
under review a person passes each item."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from detente.errors import Conflict, Invalid, NotAuthorised
from detente.gateway.book import collection_key
from detente.gateway.draft import DirectiveDraft, draft_directive
from detente.gateway.feeds import covered_by
from detente.gateway.gate import Current
from detente.gateway.order import Enacted
from detente.gateway.stopped import stopped_of
from detente.model import Choice, Directive, Scope
from detente.rules.standing import DirectiveEffect, fold
from detente.testing import World
from detente.testing.parts import AGREEMENT, HOUR_MS, collection_of
from tests.unit.gateway.kit import asking, play

OUT = Scope(direction=Choice.of("out"), kind=Choice.of("VI"))
TWO, THREE = ("head-1", "head-2"), ("head-1", "head-2", "minister-1")


def draft(world: World, name: str, verb: str, **fields: object) -> Directive:
    """B's order, on its standing now."""
    now = world.now_ms()
    said = {"scope": OUT} if verb not in ("correct", "extend") else {}
    made = DirectiveDraft(
        agreement=AGREEMENT,
        id=name,
        verb=verb,  # type: ignore[arg-type]  # one of the verbs
        office="head",
        **{"reason": "Ordered in a test", **said, **fields},  # type: ignore[arg-type]  # fields of a draft
    )
    standing = world.sites["B"].book.standing(AGREEMENT, now)
    nonce = name.encode().hex().ljust(32, "0")
    return draft_directive(made, standing, party="B", exercise=False, now_ms=now, nonce=nonce)


async def enact(world: World, order: Directive, *names: str) -> Enacted:
    envelope = world.sign("directive", order, "B", *names)
    world.clock.advance(1)
    return await world.sites["B"].orders.enact(envelope.encode())


async def state(world: World, item: str) -> set[str]:
    lines = await world.sites["B"].ask.trace(item, AGREEMENT)
    return {line.state for line in lines if line.party == "W"}


def in_force(world: World) -> list[str]:
    standing = world.sites["B"].book.standing(AGREEMENT, world.now_ms())
    return [one.directive.id for one in standing.orders]


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"in_transit": None}, "L08"),
        ({"held": ()}, "L09"),
        ({"start_on": None, "notice": None}, "L05"),
        ({"scope": Scope(direction=Choice.of("out"))}, "L16"),
        ({"reason": "This is a drill"}, "L18"),
    ],
)
def test_order_that_can_be_misread_is_refused_and_changes_nothing(
    tmp_path: Path, fields: dict[str, object], codes: str
) -> None:
    async def story(world: World) -> None:
        order = draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
        acts = len(world.sites["B"].book.acts(AGREEMENT))
        with pytest.raises(Invalid) as refused:
            await enact(world, replace(order, **fields), *TWO)
        assert refused.value.code == "directive.lint"
        assert codes in refused.value.sentence
        assert in_force(world) == []
        assert len(world.sites["B"].book.acts(AGREEMENT)) == acts
        (item,) = await world.publish("B", "VI", "B-NAV")
        assert await state(world, item) == {"queued"}
        # The same order, whole, is enacted.
        assert (await enact(world, order, *TWO)).state == "in-force"

    play(tmp_path, story, checked=False)


def test_who_may_not_is_told_so_before_the_words_are_looked_at(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        order = draft(world, "D1", "suspend", review_ms=world.now_ms() + HOUR_MS)
        with pytest.raises(NotAuthorised) as refused:
            await enact(world, replace(order, held=()), "head-1")
        assert refused.value.code == "authority.quorum"

    play(tmp_path, story, checked=False)


def test_extended_and_corrected_order_takes_over_and_what_waits_goes_on_waiting(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        end = world.now_ms() + HOUR_MS
        await enact(world, draft(world, "D1", "suspend", end_ms=end), *TWO)
        (item,) = await world.publish("B", "VI", "B-NAV")
        corrected = draft(world, "D2", "correct", amends="D1", reason="In better words")
        assert (corrected.end_ms, corrected.scope) == (end, OUT)
        await enact(world, corrected, *TWO)
        extended = draft(world, "D3", "extend", amends="D2", end_ms=end + HOUR_MS)
        assert extended.amends is not None
        changed = [one.name for one in extended.amends.headings if one.change == "changed"]
        assert changed == ["end", "reason"]
        await enact(world, extended, *TWO)
        assert in_force(world) == ["D3"]
        assert await state(world, item) == {"held"}
        world.clock.advance(HOUR_MS)
        await world.sites["B"].orders.tick()
        assert await state(world, item) == {"held"}
        world.clock.advance(HOUR_MS)
        await world.sites["B"].orders.tick()
        assert in_force(world) == []
        assert await state(world, item) == {"queued"}

    play(tmp_path, story, checked=False)


def test_amendment_of_an_order_that_is_not_in_force_is_not_drafted(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        with pytest.raises(Conflict) as refused:
            draft(world, "D2", "extend", amends="D1")
        assert refused.value.code == "directive.amended-unknown"

    play(tmp_path, story, checked=False)


def test_moderated_item_waits_for_a_person_and_revocation_lets_the_flow_go(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        review = world.now_ms() + HOUR_MS
        await enact(world, draft(world, "M1", "moderate", review_ms=review), *TWO)
        (one,) = await world.publish("B", "VI", "B-NAV")
        (other,) = await world.publish("B", "VT", "B-NAV")
        assert await state(world, one) == {"under review"}
        assert await state(world, other) == {"queued"}
        await world.review(one, "W", "release")
        assert await state(world, one) == {"queued"}
        order = draft(world, "R1", "revoke", supersedes=("M1",))
        with pytest.raises(NotAuthorised):
            await enact(world, order, *TWO)
        await enact(world, replace(order, id="R2"), *THREE)
        assert in_force(world) == ["R2"]
        (late,) = await world.publish("B", "VI", "B-NAV")
        assert await state(world, late) == {"queued"}

    play(tmp_path, story, checked=False)


def test_review_of_each_item_cuts_what_is_being_sent_and_tells_why_nothing_comes(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        book = world.sites["B"].book
        for kind in ("VI", "VT"):
            await world.publish("B", kind, "B-NAV")
        order = draft(world, "M1", "moderate", review_ms=world.now_ms() + HOUR_MS)
        act = DirectiveEffect(directive=order, digest="0" * 64, at_ms=world.now_ms())
        standing = fold([*book.acts(AGREEMENT), act], world.now_ms())
        current = Current(agreement=AGREEMENT, epoch=9, acts=9, standing=standing)
        covered = await book.store.read(lambda view: covered_by(view, current, "B"))
        key = collection_key(AGREEMENT, collection_of("B"))
        # Of the two handlings that were open towards W, the one under review.
        assert len(covered[(key, "W")]) == 1
        told = stopped_of(current, "B", asking(party="W"))
        assert told is not None
        assert (told.code, told.directives) == ("feed.moderated", ("M1",))

    play(tmp_path, story, checked=False)


def test_order_drafted_before_another_came_is_not_let_go_unread(tmp_path: Path) -> None:
    """A resumption names every other order on the flow, also one that came after it was drafted."""

    async def story(world: World) -> None:
        review = world.now_ms() + HOUR_MS
        await enact(world, draft(world, "D1", "suspend", review_ms=review), *TWO)
        resume = draft(world, "R1", "resume", supersedes=("D1",))
        world.clock.advance(10)
        late = draft(world, "D2", "suspend", review_ms=review)
        assert [one.id for one in late.unchanged] == ["D1"]
        await enact(world, late, *TWO)
        with pytest.raises(Invalid) as refused:
            await enact(world, resume, *THREE)
        assert "L11" in refused.value.sentence
        again = draft(world, "R2", "resume", supersedes=("D1",))
        assert [one.id for one in again.unchanged] == ["D2"]
        await enact(world, again, *THREE)
        assert in_force(world) == ["D2", "R2"]

    play(tmp_path, story, checked=False)
