"""Changes of what is in force: who stands in an agreement, by which papers, and what a failure in
the midst of it leaves behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import detente.node
from detente.errors import Conflict, Invalid, Missing, Unavailable
from detente.faces.documents import new_envelope
from detente.gateway.book import Book, latest_us
from detente.node import CLOCK_BEHIND_MS_MAX, open_clock
from detente.proof import Envelope, add_signature
from detente.rules.standing import DirectiveEffect
from detente.testing import World
from detente.testing.parts import (
    AGREEMENT,
    HOUR_MS,
    READER,
    SIGNERS,
    Said,
    collection_of,
    terms_of,
)
from detente.testing.world import charter_of_party, keys_of_party
from tests.unit.gateway.kit import asking, play, whole


def next_agreement(world: World, **fields: object) -> Envelope:
    """The second version of the agreement, with other fields, signed by all."""
    terms = msgspec.structs.replace(terms_of(world.charters), version=2, **fields)
    envelope = new_envelope("agreement", terms, exercise=False)
    for party in world.charters:
        envelope = add_signature(envelope, world.keys[party]["head-1"])
    return envelope


def readers_but(world: World, party: str) -> Envelope:
    """The second version, in which one party reads nothing any more."""
    collections = tuple(
        msgspec.structs.replace(one, readers=tuple(r for r in one.readers if r != party))
        for one in terms_of(world.charters).collections
    )
    return next_agreement(world, collections=collections)


def next_charter(world: World, party: str) -> Envelope:
    """The second charter of a party: the same root, another duty officer's and minister's key."""
    old, units = world.keys[party], world.sites[party].config.units
    keys = old | {name: keys_of_party()[name] for name in ("duty-1", "minister-1")}
    charter = msgspec.structs.replace(charter_of_party(party, units, keys), version=2)
    envelope = world.sign("charter", charter, party, "head-1", "head-2")
    world.keys[party] = keys
    return envelope


def orders_at(world: World, party: str) -> list[str]:
    """The directives that a node counts as in force."""
    standing = world.sites[party].ask.standing(AGREEMENT)
    return [order.directive for order in standing.orders]


# --- who reads --------------------------------------------------------------------------------


def test_party_that_a_new_version_leaves_out_receives_nothing_more(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        assert len(await world.read()) == 2
        await world.publish("B", "VI", "B-NAV", 2)
        assert await world.begin_read()
        site = world.sites["B"]
        await site.orders.import_agreement(readers_but(world, READER).encode())
        assert await world.end_read() == ()  # the page under way was cut
        for ask in (asking(), asking(after_us=world._cursor_us)):
            with pytest.raises(Missing):
                await site.delivery.page(ask, whole)
            with pytest.raises(Missing):
                await site.delivery.look(ask)
        lines = [one for one in await site.ask.feeds(AGREEMENT) if one.party == READER]
        assert {one.outcome for one in lines} == {"refuse"}
        assert (await world.sites["W"].exchange.sync("B", AGREEMENT)).items == 4

    play(tmp_path, story, checked=False)


def test_partner_that_a_new_version_leaves_out_is_refused_by_its_gateway_too(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        new = readers_but(world, "W")
        await world.sites["B"].orders.import_agreement(new.encode())
        with pytest.raises(Missing):
            await world.sites["W"].exchange.sync("B", AGREEMENT)
        await world.sites["W"].orders.import_agreement(new.encode())
        assert (await world.sites["W"].exchange.sync("B", AGREEMENT)).items == 0

    play(tmp_path, story, checked=False)


# --- charters and agreements in any order -------------------------------------------------------


def test_new_charter_leaves_what_flows_flowing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV")
        new = next_charter(world, "B").encode()
        for site in world.sites.values():
            await site.orders.import_charter(new)
        assert len(await world.read()) == 1
        assert (await world.sync("W")).items == 1
        await world.exchange()

    play(tmp_path, story)


def test_act_of_a_partner_counts_whenever_the_papers_it_stands_on_came_here(
    tmp_path: Path,
) -> None:
    """B has new papers, and orders under them; W gets the papers hours later."""

    async def story(world: World) -> None:
        papers = [next_charter(world, "B").encode()]
        await world.sites["B"].orders.import_charter(papers[0])
        halted = await world.halt("B", kinds=("FI",))
        report = await world.sites["W"].exchange.sync("B", AGREEMENT)
        assert [one.partition(": ")[2] for one in report.refused] == ["authority.quorum"]
        assert orders_at(world, "W") == []
        # What comes behind it is not held up, brought or fetched.
        told = await world.notify("B")
        assert told == {"W": "refused: authority.quorum"}
        await world.suspend("B", kinds=("VI",), direction="out")
        assert await world.sites["B"].exchange.notify(AGREEMENT) == {"W": "acknowledged"}
        assert len(orders_at(world, "W")) == 1
        await world.advance(HOUR_MS)
        await world.sites["W"].orders.import_charter(papers[0])
        report = await world.sites["W"].exchange.sync("B", AGREEMENT)
        assert (report.refused, report.standing_same) == ((), True)
        assert halted.document in orders_at(world, "W")
        assert orders_at(world, "W") == orders_at(world, "B")
        # And now nothing is asked for again.
        assert (await world.sites["W"].exchange.sync("B", AGREEMENT)).acts == 0

    play(tmp_path, story)


def test_act_under_an_older_or_newer_version_of_the_agreement_counts(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b, w = world.sites["B"], world.sites["W"]
        new = next_agreement(world, title="The second version").encode()
        # W has the second version already; B orders under the first.
        await w.orders.import_agreement(new)
        await world.advance(HOUR_MS)
        await world.suspend("B", kinds=("FI",))
        assert (await w.exchange.sync("B", AGREEMENT)).refused == ()
        assert len(orders_at(world, "W")) == 1
        # B takes in the second and orders under it; a node that has it later takes that as well.
        await b.orders.import_agreement(new)
        await world.advance(HOUR_MS)
        await world.suspend("B", kinds=("VI",))
        assert (await w.exchange.sync("B", AGREEMENT)).refused == ()
        assert orders_at(world, "W") == orders_at(world, "B")
        await world.exchange()

    play(tmp_path, story)


def test_act_made_before_this_node_had_the_agreement_counts(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b, w = world.sites["B"], world.sites["W"]
        await b.orders.import_agreement(world.signed_agreement().encode())
        await b.exchange.add_peer("W", AGREEMENT, "sim://W")
        await world.advance(HOUR_MS)
        await world.order(Said(id="D1", issuer="B", verb="suspend"), *SIGNERS["suspend"])
        await world.advance(HOUR_MS)
        await w.orders.import_agreement(world.signed_agreement().encode())
        await w.exchange.add_peer("B", AGREEMENT, "sim://B")
        report = await w.exchange.sync("B", AGREEMENT)
        assert (report.refused, report.standing_same) == ((), True)
        assert orders_at(world, "W") == ["D1"]

    async def run() -> None:
        async with World.open(tmp_path / "world", agreed=False) as world:
            await story(world)

    asyncio.run(run())


# --- failures in the midst ----------------------------------------------------------------------


async def nothing() -> bool:
    return False


def knows_an_order(book: Book) -> bool:
    return any(isinstance(act, DirectiveEffect) for act in book.acts(AGREEMENT))


@pytest.mark.parametrize("at", [1, 2])
def test_order_that_was_recorded_stops_whatever_fails_behind_it(tmp_path: Path, at: int) -> None:
    """The store fails at one of the steps between the record and the answer."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        assert await world.begin_read()
        site, calls = world.sites["B"], 0
        store, book, tick = site.store, site.book, site.orders.tick
        read, write = store.read, store.write

        def failing(real: Any) -> Any:
            async def call(work: Any) -> Any:
                nonlocal calls
                calls += knows_an_order(book)
                if calls == at:
                    raise Unavailable("store.full", "Expected room on the disk, got none.")
                return await real(work)

            return call

        store.read, store.write = failing(read), failing(write)  # type: ignore[method-assign]  # a store that fails
        site.orders.tick = nothing  # type: ignore[method-assign]  # not before the test says so
        with pytest.raises(Unavailable):
            await world.halt("B", direction="out")
        store.read, store.write, site.orders.tick = read, write, tick  # type: ignore[method-assign]  # and works again
        # Nothing leaves, also before anybody has looked after what failed.
        assert site.gate.closing(AGREEMENT)
        assert not world._reading[0].ready.cleared.stands()
        assert await site.orders.tick()
        assert len(orders_at(world, "B")) == 1
        assert await world.end_read() == ()
        assert not await world.begin_read()
        assert not await site.orders.tick()

    play(tmp_path, story, checked=False)


def test_order_whose_writing_is_uncertain_counts_if_it_was_written(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        site = world.sites["B"]
        write, tick = site.store.write, site.orders.tick

        async def unclear(work: Any) -> Any:
            await write(work)
            raise Unavailable("store.full", "Expected an answer, got none.")

        site.store.write, site.orders.tick = unclear, nothing  # type: ignore[method-assign]  # it is on disk
        with pytest.raises(Unavailable):
            await world.halt("B", direction="out")
        site.store.write, site.orders.tick = write, tick  # type: ignore[method-assign]  # and works again
        assert not knows_an_order(site.book)
        assert await site.orders.tick()
        assert len(orders_at(world, "B")) == 1
        assert not await world.begin_read()

    play(tmp_path, story, checked=False)


def test_who_goes_away_after_giving_an_order_breaks_nothing_off(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        site = world.sites["B"]
        for turns in range(40):
            directive = world.draft(Said(id=f"D{turns}", issuer="B", verb="suspend"))
            envelope = world.sign("directive", directive, "B", *SIGNERS["suspend"])
            asked = asyncio.create_task(site.orders.enact(envelope.encode()))
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await site.orders.close()
            assert not site.gate.closing(AGREEMENT)
            current = site.gate.current(AGREEMENT)
            assert current is not None
            assert current.acts == len(site.book.acts(AGREEMENT))
        assert len(orders_at(world, "B")) >= 39  # the first had not begun
        assert not await world.begin_read()

    play(tmp_path, story, checked=False)


# --- the clock ----------------------------------------------------------------------------------


@pytest.mark.parametrize("behind_ms", [0, 1, 30_000, CLOCK_BEHIND_MS_MAX - 2_000])
def test_acts_count_after_a_restart_with_a_clock_that_is_behind(
    tmp_path: Path, behind_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        await world.suspend("B", direction="out")
        site = world.sites["B"]
        then_ns = (world.now_ms() - behind_ms) * 1_000_000
        monkeypatch.setattr(detente.node.time, "time_ns", lambda: then_ns)
        for exercise in (False, True):
            clock = await open_clock(site.store, exercise=exercise)
            book = Book(site.store, clock, site.book.me)
            await book.load()
            assert len(book.standing(AGREEMENT, book.now_ms()).orders) == 1

    play(tmp_path, story)


def test_node_starts_though_very_much_was_given_late(tmp_path: Path) -> None:
    """Times in feeds run ahead of the clock then; what the node has written down does not."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV")
        site = world.sites["B"]
        ahead_us = world.clock.now_us() + 100 * CLOCK_BEHIND_MS_MAX * 1000
        key = f"{AGREEMENT}/{collection_of('B')}"
        await site.store.write(lambda tx: tx.move_clock(key, ahead_us))
        latest = await site.store.read(latest_us)
        assert latest <= world.clock.now_us()
        await world.publish("B", "VI", "B-NAV")
        assert len(await world.read()) == 2

    play(tmp_path, story, checked=False)


def test_clock_that_is_far_behind_starts_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV")
        then_ns = (world.now_ms() - CLOCK_BEHIND_MS_MAX - 1_000) * 1_000_000
        monkeypatch.setattr(detente.node.time, "time_ns", lambda: then_ns)
        with pytest.raises(Conflict) as found:
            await open_clock(world.sites["B"].store, exercise=False)
        assert found.value.code == "clock.behind"

    play(tmp_path, story)


# --- what is kept back too long -----------------------------------------------------------------


def test_what_an_order_keeps_back_is_expired_at_once_if_its_time_is_over(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VT", "B-NAV")
        await world.advance(7 * HOUR_MS)
        site = world.sites["B"]
        site.orders.tick, tick = nothing, site.orders.tick  # type: ignore[method-assign]  # the order alone
        await world.suspend("B", direction="out")
        site.orders.tick = tick  # type: ignore[method-assign]  # and on with the clock
        lines = await site.ask.feeds(AGREEMENT, READER)
        assert [one.states for one in lines] == [{"expired": 1}]

    play(tmp_path, story)


def test_an_act_that_has_waited_beyond_its_end_is_refused_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    """It is checked for the instant for which it is entered."""

    async def story(world: World) -> None:
        site = world.sites["B"]
        log, write = site.book.me.log_of(AGREEMENT), site.store.write

        async def late(work: Any) -> Any:
            site.store.write = write  # type: ignore[method-assign]  # only the next is late
            world.clock.advance(10)
            await write(lambda tx: tx.append_entry(log, site.book.entry("expire", count=1)))
            return await write(work)

        draft = world.draft(Said(id="DX", issuer="B", verb="suspend", kinds=("PE",), lasts_ms=5))
        envelope = world.sign("directive", draft, "B", *SIGNERS["suspend"])
        site.store.write = late  # type: ignore[method-assign]  # somebody else is before it
        before = site.book.acts(AGREEMENT)
        with pytest.raises(Invalid) as found:
            await site.orders.enact(envelope.encode())
        assert found.value.code == "directive.end"
        size = await site.store.read(lambda view: view.log_size(log))
        newest = await site.store.read(lambda view: view.entry(log, size - 1))
        assert b'"expire"' in newest
        world.clock.advance(1)
        await site.orders.tick()
        assert site.book.acts(AGREEMENT) == before

    play(tmp_path, story)
