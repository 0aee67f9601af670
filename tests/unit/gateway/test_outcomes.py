"""How sends ended: counted once, in time for what depends on it, and to the safe side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detente.errors import Unavailable
from detente.gateway.deliver import Nothing, PageAsk, Ready
from detente.gateway.outcomes import FLUSH_S
from detente.model import Entry, decode
from detente.ports import PageRow, Tx
from detente.testing import World
from detente.testing.parts import AGREEMENT, HOUR_MS
from tests.unit.gateway.kit import asking, look, play

KEY = f"{AGREEMENT}/b-out"


async def ready(world: World, ask: PageAsk) -> Ready:
    async def render(sheet: object) -> tuple[bytes, ...]:
        return (b"",)

    found = await world.sites["B"].delivery.page(ask, render)
    assert not isinstance(found, Nothing)
    return found


async def page_of(world: World, found: Ready) -> PageRow:
    page = await world.sites["B"].store.read(lambda v: v.page(found.page.log, found.page.index))
    assert page is not None
    return page


async def ends(world: World) -> list[tuple[int | None, str | None]]:
    """What the ledger says of how pages ended."""
    site = world.sites["B"]
    log = site.book.me.log_of(AGREEMENT)
    entries = await site.store.read(lambda view: view.entries(log, 0, view.log_size(log)))
    read = [decode(data, Entry) for data in entries]
    return [(entry.page, entry.outcome) for entry in read if entry.act == "page.end"]


@pytest.mark.parametrize(("complete", "outcome"), [(True, "served"), (False, "cut")])
def test_page_is_open_until_its_outcome_is_written_and_ends_once(
    tmp_path: Path, complete: bool, outcome: str
) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        site, ask = world.sites["B"], asking()
        found = await ready(world, ask)
        assert (await page_of(world, found)).outcome == "open"
        for again in (complete, complete, not complete):
            site.delivery.ended(found.page, found.gathered, ask, complete=again)
        await site.outcomes.flush()
        assert (await page_of(world, found)).outcome == outcome
        assert await ends(world) == [(found.page.index, outcome)]
        before = await look(world, "B")
        await site.outcomes.flush()
        assert await look(world, "B") == before

    play(tmp_path, story, checked=False)


def test_outcome_does_not_undo_a_receipt(tmp_path: Path) -> None:
    """The receipt may come before the sender has noted how its send ended."""

    async def story(world: World) -> None:
        world.fail("late", path="page")
        await world.publish("B", "VI", "B-NAV", 2)
        await world.exchange()
        site = world.sites["B"]
        pages = await site.store.read(lambda view: view.pages(KEY, "W"))
        assert [page.outcome for page in pages] == ["received"]
        before = await ends(world)
        for complete in (True, False):
            ask = asking()
            found = await ready(world, ask)
            site.delivery.ended(pages[0], found.gathered, ask, complete=complete)
        await site.outcomes.flush()
        pages = await site.store.read(lambda view: view.pages(KEY, "W"))
        assert [page.outcome for page in pages] == ["received"]
        assert await ends(world) == before

    play(tmp_path, story)


def test_outcome_that_could_not_be_written_leaves_the_page_unserved(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        site, ask = world.sites["B"], asking()
        found = await ready(world, ask)
        site.delivery.ended(found.page, found.gathered, ask, complete=True)

        def fails(tx: Tx) -> None:
            site.outcomes.apply(tx)
            raise Unavailable("test.fails", "Expected to fail.")

        with pytest.raises(Unavailable):
            await site.store.write(fails)
        await site.outcomes.flush()
        assert (await page_of(world, found)).outcome == "open"
        # A stop withdraws what was not served, so the items wait and come after it.
        await world.halt("B", direction="out")
        await world.resume("B")
        assert len(await world.read()) == 2

    play(tmp_path, story)


def test_page_left_open_by_a_crash_counts_as_cut_and_its_items_come_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        ask = asking()
        found = await ready(world, ask)
        # The client has it all, but the node dies before it has noted that.
        await world.crash("B")
        assert (await page_of(world, found)).outcome == "cut"
        await world.halt("B", direction="out")
        await world.resume("B")
        assert len(await world.read()) == 2

    play(tmp_path, story)


def test_page_without_a_receipt_is_not_served_to_a_gateway(tmp_path: Path) -> None:
    """Its answer was lost: what was in it waits under the stop, and so it expires there."""

    async def story(world: World) -> None:
        await world.publish("B", "VT", "B-NAV")
        world.fail("lost", path="page")
        with pytest.raises(Unavailable):
            await world.sync("W")
        await world.halt("B", direction="out")
        await world.advance(7 * HOUR_MS)
        await world.resume("B")
        assert (await world.sync("W")).items == 0

    play(tmp_path, story)


def test_item_that_is_offered_again_is_known_and_kept_once(tmp_path: Path) -> None:
    """It came, though its send was booked as cut and its receipt has not been brought."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        world.fail("late", path="page")
        world.fail("unreachable", path="receipts")
        assert (await world.sync("W")).items == 2
        await world.halt("B", direction="out")
        await world.resume("B")
        world.fail("unreachable", path="receipts")
        report = await world.sync("W")
        assert (report.items, report.known) == (0, 2)
        end = await world.sites["W"].store.read(lambda view: view.collection(KEY).end)
        assert end == 2

    play(tmp_path, story)


def test_outcome_waits_a_moment_for_company_and_is_then_written_by_itself(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        site, ask = world.sites["B"], asking()
        found = await ready(world, ask)
        site.delivery.ended(found.page, found.gathered, ask, complete=True)
        flushing = site.outcomes._flushing
        assert flushing is not None
        await flushing
        assert 0 < FLUSH_S < 1
        assert (await page_of(world, found)).outcome == "served"

    play(tmp_path, story, checked=False)


def test_outcome_added_while_another_is_being_written_is_written_too(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        site = world.sites["B"]
        pages: list[Ready] = []
        for _ in range(2):
            await world.publish("B", "VI", "B-NAV", 2)
            pages.append(await ready(world, asking()))
        first, second = pages
        write = site.store.write

        async def slow(work: Any) -> Any:
            done = await write(work)
            site.store.write = write  # type: ignore[method-assign]  # for this write alone
            site.delivery.ended(second.page, second.gathered, asking(), complete=True)
            return done

        site.store.write = slow  # type: ignore[method-assign,assignment]  # the other ends meanwhile
        site.delivery.ended(first.page, first.gathered, asking(), complete=True)
        flushing = site.outcomes._flushing
        assert flushing is not None
        await flushing
        assert [(await page_of(world, one)).outcome for one in pages] == ["served"] * 2

    play(tmp_path, story, checked=False)


# --- a change of standing that breaks off -------------------------------------------------------


def test_change_that_fails_midway_stays_closed_and_is_taken_up_again(tmp_path: Path) -> None:
    """Recorded but not settled: nothing is cleared, and the next tick brings it into force."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        site = world.sites["B"]
        settle, calls = site.gate.cut, 0

        async def fails(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            raise Unavailable("store.full", "Expected room on the disk, got none.")

        site.gate.cut = fails  # type: ignore[method-assign,assignment]  # the barrier breaks off
        known = site.ask.current(AGREEMENT).epoch
        site.orders.tick, tick = _nothing, site.orders.tick  # type: ignore[method-assign]  # not before the test says so
        with pytest.raises(Unavailable):
            await world.halt("B", direction="out", kinds=("FI",))
        assert calls == 1
        assert site.gate.closing(AGREEMENT)
        site.gate.cut, site.orders.tick = settle, tick  # type: ignore[method-assign]  # the fault is mended
        assert await site.orders.tick()
        assert not site.gate.closing(AGREEMENT)
        assert site.ask.current(AGREEMENT).epoch > known
        assert [order.directive.verb for order in site.ask.current(AGREEMENT).standing.orders] == [
            "halt"
        ]
        assert (await ready(world, asking())).gathered.count == 2

    play(tmp_path, story, checked=False)


async def _nothing() -> bool:
    return False
