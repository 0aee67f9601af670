"""Sinks: exactly what the party may read arrives, and an order stops it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from detente.errors import Broken, Conflict, Invalid, Missing, NotAuthorised
from detente.gateway.sink import SinkReport, Sinks
from detente.model import Choice, Scope
from detente.node import NodeFolder, running_node
from detente.ports import Answer as Taken
from detente.ports import Call, PageRow, Watch
from detente.wire.http import HTTPCaller
from tests.unit.faces.kit import INWARD, Site, item, site
from tests.unit.gateway.foreign import (
    ROOT,
    UUID,
    Answer,
    Asked,
    Foreign,
    answer,
    foreign,
    status,
)
from tests.unit.gateway.linked import (
    QUIET,
    OtherCaller,
    forward,
    objects_of,
    quietly,
    sink,
    sinks_of,
)


def ids_of(asked: Asked) -> list[str]:
    return [one["id"] for one in json.loads(asked.body)["objects"]]


def ids(*numbers: int, kind: str = "infrastructure") -> list[str]:
    return [item(number, kind)["id"] for number in numbers]


async def pages_of(site_: Site) -> list[PageRow]:
    await site_.node.outcomes.flush()
    return await site_.node.store.read(lambda view: view.pages("T1/out", "K"))


async def pushed(here: Site, *answers: Answer, **more: Any) -> tuple[SinkReport, Foreign, Sinks]:
    sinks = sinks_of(here.node)
    async with foreign(*answers) as server:
        await sinks.add(sink(server.url, **more), "")
        return await sinks.push("s"), server, sinks


def test_what_the_party_may_read_arrives_at_another_server_byte_for_byte(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        (tmp_path / "there").mkdir()
        async with site(tmp_path / "there", **QUIET) as there:
            await here.publish(*[item(number) for number in range(5)])
            sinks = sinks_of(here.node)
            url = f"{there.address}/taxii2/T1/collections/{INWARD}/objects/"
            settings = sink(url, auth="basic", user="k", page_objects=2)
            await sinks.add(settings, there.passwords["K"])
            report = await sinks.push("s")
            assert (report.pages, report.sent, report.refused, report.failure) == (3, 5, 0, None)
            assert await objects_of(there, "in") == await objects_of(here)
            assert [one.outcome for one in await pages_of(here)] == ["served"] * 3
            assert (await sinks.push("s")).pages == 0
            await here.publish(item(9))
            assert (await sinks.push("s")).sent == 1
            assert len(await objects_of(there, "in")) == 6

    quietly(tmp_path, story)


def test_under_a_stop_nothing_covered_leaves_and_afterwards_what_was_held_once(
    tmp_path: Path,
) -> None:
    async def story(here: Site) -> None:
        sinks = sinks_of(here.node)
        async with foreign(*[status()] * 9) as server:
            await sinks.add(sink(server.url), "")
            await here.publish(item(1))
            await sinks.push("s")
            await here.publish(item(2))
            await here.order("suspend", "S1")
            await here.publish(item(3), item(4, "incident"))
            stopped = await sinks.push("s")
            assert stopped.sent == 1
            assert "S1" in stopped.stopped
            assert (await sinks.push("s")).sent == 0
            await here.order("resume", "R1", supersedes=("S1",), scope=_all())
            resumed = await sinks.push("s")
            assert (resumed.sent, resumed.stopped) == (2, "")
            assert (await sinks.push("s")).sent == 0
            sent = [ids_of(one) for one in server.asked]
            assert sent == [ids(1), ids(4, kind="incident"), ids(2, 3)]

    quietly(tmp_path, story)


def _all() -> Scope:
    return Scope(direction=Choice.of("out"), kind=Choice.but("SL"))


def test_an_order_cuts_a_send_and_the_page_comes_again_after_the_resumption(
    tmp_path: Path,
) -> None:
    """The server takes the head of the request and then nothing: bytes wait to leave."""

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        began.set()
        await stopped.wait()
        try:
            got.extend(await reader.read(-1))
        except ConnectionResetError:
            reset.set()
        writer.close()

    async def story(here: Site) -> None:
        server = await asyncio.start_server(stall, "127.0.0.1", 0, limit=1024)
        port = server.sockets[0].getsockname()[1]
        sinks = sinks_of(here.node)
        objects = [item(n, description="x" * 500_000) for n in range(40)]
        await here.publish(*objects)
        await sinks.add(sink(f"http://127.0.0.1:{port}/collections/x/", page_objects=100), "")
        push = asyncio.create_task(sinks.push("s"))
        await began.wait()
        assert here.node.gate.sends() == 1
        await here.order("suspend", "S1")
        assert here.node.gate.sends() == 0
        stopped.set()
        report = await push
        assert report.failure is not None
        assert (report.failure.code, report.sent) == ("link.cut", 0)
        await reset.wait()
        assert len(got) < 20_000_000
        server.close()
        await server.wait_closed()
        assert [one.outcome for one in await pages_of(here)] == ["cut"]
        assert (await sinks.show("s")).state.failures == 0
        await here.order("resume", "R1", supersedes=("S1",), scope=_all())
        await sinks.remove("s")
        async with foreign(status()) as other:
            await sinks.add(sink(other.url, page_objects=100), "")
            assert (await sinks.push("s")).sent == 40

    began, stopped, reset = asyncio.Event(), asyncio.Event(), asyncio.Event()
    got = bytearray()
    quietly(tmp_path, story)


def test_an_order_between_clearing_and_sending_leaves_nothing_to_be_sent(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        caller = OtherCaller()
        sinks = sinks_of(here.node, caller)

        async def stop(_call: Call) -> None:
            caller.before = None
            await here.order("suspend", "S1")

        caller.before = stop
        await here.publish(item(1))
        async with foreign() as server:
            await sinks.add(sink(server.url), "")
            report = await sinks.push("s")
            assert (report.sent, report.failure) == (0, None)
            assert "S1" in report.stopped
            assert server.asked == []  # a connection, and not one byte of a request

    quietly(tmp_path, story)


def test_an_order_takes_the_leave_to_send_on_from_what_is_under_way(tmp_path: Path) -> None:
    """What the caller asks before each piece; the breaker comes on top."""

    async def story(here: Site) -> None:
        stood = []

        class Asking(HTTPCaller):
            async def call(self, call: Call, watch: Watch | None = None) -> Taken:
                assert watch is not None
                stood.append(watch.stands())
                await here.order("suspend", "S1")
                stood.append(watch.stands())
                return await super().call(call, watch)

        sinks = sinks_of(here.node, Asking())
        await here.publish(item(1))
        async with foreign() as server:
            await sinks.add(sink(server.url), "")
            await sinks.push("s")
        assert stood == [True, False]

    quietly(tmp_path, story)


def test_a_page_that_an_order_was_told_is_cut_counts_as_cut_whatever_the_server_says(
    tmp_path: Path,
) -> None:
    """The order falls between the server's answer and our taking it."""

    async def story(here: Site) -> None:
        class Late(HTTPCaller):
            async def call(self, call: Call, watch: Watch | None = None) -> Taken:
                found = await super().call(call, watch)
                await here.order("suspend", "S1")
                return found

        sinks = sinks_of(here.node, Late())
        await here.publish(item(1))
        async with foreign(status()) as server:
            await sinks.add(sink(server.url), "")
            report = await sinks.push("s")
        assert report.failure is not None
        assert (report.failure.code, report.sent) == ("link.cut", 0)
        assert [one.outcome for one in await pages_of(here)] == ["cut"]

    quietly(tmp_path, story)


def test_a_page_too_large_is_halved_and_a_single_object_passed_over(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        await here.publish(item(1), item(2), item(3))
        report, server, sinks = await pushed(
            here, answer({}, 413), answer({}, 413), status(), status(), page_objects=3
        )
        assert [len(ids_of(one)) for one in server.asked] == [3, 1, 1, 1]
        assert [ids_of(one) for one in server.asked[1:]] == [ids(1), ids(2), ids(3)]
        assert (report.sent, report.refused, report.failure) == (2, 1, None)
        assert [one.id for one in report.told] == ids(1)
        assert (await sinks.show("s")).state.limit == 3

    quietly(tmp_path, story)


def test_what_the_server_refuses_is_named_counted_and_not_sent_again(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        await here.publish(item(1), item(2))
        refused = ids(2)[0]
        report, server, sinks = await pushed(here, status(failures=(refused,)))
        assert (report.sent, report.refused, len(server.asked)) == (1, 1, 1)
        assert [(one.id, one.sentence) for one in report.told] == [
            (refused, f"will not have {refused}")
        ]
        assert (await sinks.show("s")).state.refused == 1

    quietly(tmp_path, story)


def test_a_pending_page_is_asked_for_until_it_is_complete_and_only_then_is_the_mark_moved(
    tmp_path: Path,
) -> None:
    async def story(here: Site) -> None:
        await here.publish(item(1), item(2))
        sinks = sinks_of(here.node)
        late = ids(1)[0]
        answers = status("pending"), status("pending", code=200), status(failures=(late,), code=200)
        async with foreign(*answers) as server:
            await sinks.add(sink(server.url), "")
            first = await sinks.push("s")
            assert (first.sent, first.pending, first.failure) == (0, 2, None)
            assert sinks.due(here.node.clock.now_us()) == []
            assert [one.outcome for one in await pages_of(here)] == ["open"]
            assert (await sinks.push("s")).pending == 2
            last = await sinks.push("s")
            assert (last.sent, last.refused, last.pending) == (1, 1, 0)
            assert [one.outcome for one in await pages_of(here)] == ["served"]
            assert [(one.method, one.path) for one in server.asked[1:]] == [
                ("GET", f"{ROOT}status/{UUID}/")
            ] * 2

    quietly(tmp_path, story)


def test_a_page_accepted_during_a_stop_is_not_sent_again_after_it(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        await here.publish(item(1))
        sinks = sinks_of(here.node)
        async with foreign(status("pending"), status(code=200), status()) as server:
            await sinks.add(sink(server.url), "")
            await sinks.push("s")
            await here.order("suspend", "S1")
            await here.publish(item(2))
            assert (await sinks.push("s")).sent == 1
            await here.order("resume", "R1", supersedes=("S1",), scope=_all())
            assert (await sinks.push("s")).sent == 1
            assert ids_of(server.asked[2]) == ids(2)

    quietly(tmp_path, story)


def test_a_page_pending_for_too_long_is_sent_again(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        await here.publish(item(1))
        sinks = sinks_of(here.node)
        async with foreign(status("pending"), status("pending"), status()) as server:
            await sinks.add(sink(server.url), "")
            await sinks.push("s")
            await forward(here, 2 * 3600)
            late = await sinks.push("s")
            assert late.failure is not None
            assert late.failure.code == "sink.pending"
            assert (await sinks.push("s")).sent == 1
            assert ids_of(server.asked[2]) == ids(1)
            assert [one.outcome for one in await pages_of(here)] == ["cut", "served"]

    quietly(tmp_path, story)


def test_after_a_restart_what_was_not_answered_for_is_sent_again_and_nothing_else(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with foreign(status(), status("pending"), status()) as server:
            async with site(tmp_path, **QUIET) as here:
                sinks = sinks_of(here.node)
                await sinks.add(sink(server.url), "")
                await here.publish(item(1))
                await sinks.push("s")
                await here.publish(item(2))
                assert (await sinks.push("s")).pending == 1
            async with running_node(NodeFolder(tmp_path / "a")) as (node, _):
                sinks = sinks_of(node)
                await sinks.load()
                report = await sinks.push("s")
                assert (report.sent, report.pending) == (1, 0)
            assert [ids_of(one) for one in server.asked] == [ids(1), ids(2), ids(2)]

    asyncio.run(story())


MISDEEDS: list[tuple[bytes, str]] = [
    (answer({}, 500), "link.server"),
    (answer({}, 400), "link.answer"),
    (answer({}, 403), "link.forbidden"),
    (answer({}, 429, retry_after="60"), "link.busy"),
    (answer(b"", 307, location="http://127.0.0.1:1/"), "link.redirect"),
    (answer(b"ok", 200, media="text/plain"), "link.media-type"),
    (status("lost"), "link.status"),
    (b"", "link.broken-off"),
]


def test_a_failure_is_named_the_page_counts_as_cut_and_comes_again(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sinks = sinks_of(here.node)
        async with foreign() as server:
            await sinks.add(sink(server.url), "")
            for number, (bad, code) in enumerate(MISDEEDS):
                await here.publish(item(number))
                server.answers, server.asked = [bad, status()], []
                report = await sinks.push("s")
                assert report.failure is not None, code
                assert (report.failure.code, report.sent) == (code, 0)
                assert sinks.due(here.node.clock.now_us()) == []
                assert (await sinks.push("s")).sent == 1
                assert [ids_of(one) for one in server.asked] == [ids(number)] * 2
                outcomes = [one.outcome for one in await pages_of(here)]
                assert outcomes[-2:] == ["cut", "served"]

    quietly(tmp_path, story)


def test_a_sink_is_for_a_reader_and_a_feed_has_one(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sinks = sinks_of(here.node)
        url = "http://127.0.0.1:1/collections/x/"
        for changed, kind, code in (
            ({"party": "L"}, NotAuthorised, "sink.not-reader"),
            ({"party": "A"}, NotAuthorised, "sink.not-reader"),
            ({"collection": "in"}, Invalid, "link.collection"),
            ({"agreement": "T9"}, Missing, "collection.unknown"),
        ):
            with pytest.raises(kind) as caught:
                await sinks.add(sink(url, **changed), "")
            assert caught.value.code == code
        await sinks.add(sink(url), "")
        with pytest.raises(Conflict) as caught:
            await sinks.add(sink(url, name="t"), "")
        assert caught.value.code == "sink.feed-taken"
        with pytest.raises(Conflict) as caught:
            await sinks.add(sink(url), "")
        assert caught.value.code == "link.known"
        assert [one.settings.name for one in await sinks.views()] == ["s"]

    quietly(tmp_path, story)


def test_of_two_sinks_for_a_feed_that_are_added_at_a_time_one_is_kept(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sinks = sinks_of(here.node)
        url = "http://127.0.0.1:1/collections/x/"
        added = [sinks.add(sink(url, name=name), "") for name in ("s", "t")]
        found = await asyncio.gather(*added, return_exceptions=True)
        codes = [one.code for one in found if isinstance(one, Conflict)]
        assert codes == ["sink.feed-taken"]
        assert len(await sinks.views()) == 1

    quietly(tmp_path, story)


def test_a_broken_invariant_is_no_failure_of_the_server(tmp_path: Path) -> None:
    """Whoever composes the node shuts the gate on it; a failure that is kept would hide it."""

    async def story(here: Site) -> None:
        sinks = sinks_of(here.node)

        async def broken(*_: object) -> None:
            raise Broken("store.entry", "Expected an entry, got none.")

        await here.publish(item(1))
        here.node.delivery.page = broken  # type: ignore[method-assign]  # a damaged store
        async with foreign() as server:
            await sinks.add(sink(server.url), "")
            with pytest.raises(Broken):
                await sinks.push("s")
            assert server.connections == 0
        assert (await sinks.show("s")).state.failure is None

    quietly(tmp_path, story)
