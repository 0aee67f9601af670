"""Recalls: what an originator takes back leaves nobody any more, and costs once, not per reader."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from detente.errors import Conflict, Missing
from detente.gateway.gate import Cleared
from detente.gateway.gather import PageAsk
from detente.gateway.recall import RecallAsk, Recalled, Recalls
from detente.model import Entry, decode
from detente.testing import World
from detente.testing.parts import AGREEMENT, READER, collection_of
from detente.testing.site import Line
from tests.unit.gateway.kit import asking, play, whole


async def recall(world: World, item: str) -> Recalled:
    site = world.sites["B"]
    ask = RecallAsk(agreement=AGREEMENT, collection=collection_of("B"), party="B", id=item)
    return await Recalls(site.book, site.gate, lambda *_: None).recall(ask)


async def cleared(world: World, render: Any = whole) -> Cleared:
    found = await world.sites["B"].delivery.page(asking(), render)
    assert hasattr(found, "cleared")
    return found.cleared


def test_page_cleared_before_a_recall_does_not_leave_after_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first, second = await world.publish("B", "VI", "B-NAV", 2)
        gate = world.sites["B"].gate
        before, under_way = await cleared(world), await cleared(world)
        line = Line()
        send = gate.open(under_way, line)
        await recall(world, first)
        with pytest.raises(Conflict):
            gate.open(before, Line())
        assert (line.broken, under_way.stands(), gate.done(send)) == (True, False, False)
        again = await cleared(world)
        assert second.encode() in again.shipment.chunks[0]
        assert first.encode() not in again.shipment.chunks[0]
        gate.done(gate.open(again, Line()))

    play(tmp_path, story, checked=False)


def test_page_that_is_being_made_while_a_recall_is_taken_is_made_anew(tmp_path: Path) -> None:
    """Whether the recall comes before the page's record, or between it and the clearance."""

    async def story(world: World) -> None:
        first, second, third = await world.publish("B", "VI", "B-NAV", 3)
        site, done = world.sites["B"], []

        async def render(sheet: Any) -> tuple[bytes, ...]:
            if not done:
                done.append(await recall(world, first))
            return await whole(sheet)

        (body,) = (await cleared(world, render)).shipment.chunks
        assert first.encode() not in body
        looks = site.delivery._looks.ask

        async def slow(ask: PageAsk) -> Any:
            found = await looks(ask)
            if len(done) == 1:
                done.append(await recall(world, second))
            return found

        site.delivery._looks.ask = slow  # type: ignore[method-assign]  # a moment before the record
        (body,) = (await cleared(world)).shipment.chunks
        assert [name.encode() in body for name in (first, second, third)] == [False, False, True]
        # A page recorded behind a recall has nothing of what it took back.
        log = site.book.me.log_of(AGREEMENT)
        entries = await site.store.read(lambda view: view.entries(log, 0, 10_000))
        acts = [decode(entry, Entry) for entry in entries]
        last = max(at for at, entry in enumerate(acts) if entry.act == "recall")
        assert [entry.count for entry in acts[last:] if entry.act == "page"] == [1]

    play(tmp_path, story, checked=False)


def test_feeds_do_not_grow_with_recalls(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        names = await world.publish("B", "VI", "B-NAV", 60)
        store = world.sites["B"].store
        before = await store.read(lambda view: view.feeds(""))
        for name in names[::2]:
            assert (await recall(world, name)).count == 1
            with pytest.raises(Missing):
                await recall(world, name)
        assert await store.read(lambda view: view.feeds("")) == before
        (body,) = (await cleared(world)).shipment.chunks
        assert [name.encode() in body for name in names] == [False, True] * 30
        (line,) = await world.sites["B"].ask.feeds(AGREEMENT, READER)
        assert line.states == {"queued": 30, "recalled": 30}
        assert (await world.sites["W"].exchange.sync("B", AGREEMENT)).items == 30

    play(tmp_path, story, checked=False)


def test_recalled_item_neither_waits_nor_expires_nor_is_reviewed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("B", direction="out")
        perishable, other = await world.publish("B", "VT", "B-NAV", 2)
        (person,) = await world.publish("B", "PE", "B-POL")
        for name in (perishable, person):
            await recall(world, name)
        site = world.sites["B"]
        assert {one.id for one in await site.ask.held(AGREEMENT)} == {other}
        await world.advance(7 * 3_600_000)
        lines = {one.kind: one.states for one in await site.ask.feeds(AGREEMENT, READER)}
        assert lines == {"VT": {"expired": 1, "recalled": 1}, "PE": {"recalled": 1}}
        log = site.book.me.log_of(AGREEMENT)
        entries = await site.store.read(lambda view: view.entries(log, 0, 10_000))
        expired = [entry for entry in entries if b'"act":"expire"' in entry]
        assert len(expired) == 2  # towards K and towards W
        assert all(b'"count":1' in entry for entry in expired)
        await world.resume("B")
        with pytest.raises(Missing):
            await world.review(person, READER, "release")
        assert {one.state for one in await site.ask.trace(person)} == {"recalled"}

    play(tmp_path, story, checked=False)


def test_many_at_once_recall_one_object_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        (name,) = await world.publish("B", "VI", "B-NAV")
        found = await asyncio.gather(
            *(recall(world, name) for _ in range(5)), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in found) == ["Missing"] * 4 + ["Recalled"]

    play(tmp_path, story, checked=False)
