"""Sources: a foreign collection is read to its end, once, whatever its server does."""

from __future__ import annotations

import asyncio
import gzip
import stat
from pathlib import Path
from typing import Any

import pytest

from detente.errors import Conflict, DetenteError, Invalid, Missing
from detente.gateway import intern
from detente.gateway.link import Pace, put_off_ms
from detente.gateway.source import SourceReport, Sources
from detente.node import LinkWork, NodeFolder, running_node
from detente.ports import Call
from detente.wire.http import HTTPCaller
from tests.unit.faces.kit import COLLECTION, Site, item, site
from tests.unit.gateway.foreign import Answer, Asked, Foreign, answer, foreign, never, page
from tests.unit.gateway.linked import (
    QUIET,
    OtherCaller,
    forward,
    objects_of,
    quietly,
    source,
    sources_of,
)


def test_a_collection_of_another_node_is_read_once_and_on(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        (tmp_path / "there").mkdir()
        async with site(tmp_path / "there", **QUIET) as there:
            await there.publish(*[item(number) for number in range(5)])
            sources = sources_of(here.node)
            url = f"{there.address}/taxii2/T1/collections/{COLLECTION}/"
            await sources.add(
                source(url, auth="basic", user="k", page_objects=2), there.passwords["K"]
            )
            first = await sources.poll("s")
            assert (first.pages, first.taken, first.refused, first.more) == (3, 5, 0, False)
            again = await sources.poll("s")
            assert (again.taken, again.known, again.failure) == (0, 0, None)
            await there.publish(item(7))
            assert (await sources.poll("s")).taken == 1
            assert await objects_of(here) == await objects_of(there)

    quietly(tmp_path, story)


async def _polled(
    here: Site, *answers: Answer, **more: Any
) -> tuple[SourceReport, Foreign, Sources]:
    sources = sources_of(here.node)
    async with foreign(*answers) as server:
        settings = source(server.url, **more)
        await sources.add(settings, "")
        return await sources.poll(settings.name), server, sources


def test_pages_follow_by_next_with_the_same_filters(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        report, server, sources = await _polled(
            here,
            page([item(1)], more=True, following="a/b c"),
            page([item(2)], last="2026-01-01T00:00:03.5Z"),
            types=("infrastructure",),
            added_after="2025-01-01T00:00:00Z",
            page_objects=1,
        )
        assert report.taken == 2
        same = {
            "limit": "1",
            "added_after": "2025-01-01T00:00:00Z",
            "match[type]": "infrastructure",
        }
        assert [one.query for one in server.asked] == [same, same | {"next": "a/b c"}]
        assert (await sources.show("s")).state.after == "2026-01-01T00:00:03.5Z"

    quietly(tmp_path, story)


#: What a server answers, the code under which that is told, and how many items are taken before.
MISDEEDS: list[tuple[list[Answer], str, int]] = [
    ([page([item(1)], more=True)], "link.loop", 0),
    ([page([item(1)], more=True, following="")], "link.loop", 0),
    ([page([], more=True, following="a")], "link.loop", 0),
    (
        [
            page([item(1)], more=True, following="a"),
            page([item(1)], more=True, following="a"),
        ],
        "link.loop",
        1,
    ),
    (
        [
            page([item(1)], more=True, following="a"),
            page([item(2)], last="2025-12-31T00:00:00Z", first="2025-12-30T00:00:00Z"),
        ],
        "link.date-back",
        1,
    ),
    ([page([item(1)], first="2026-01-01T00:00:03Z")], "link.date-back", 0),
    ([page([item(1)], last="yesterday")], "link.date", 0),
    ([answer({"objects": [item(1)]})], "link.no-date", 0),
    ([answer(b"<html>", media="text/html")], "link.media-type", 0),
    ([answer({}, media="application/taxii+json;version=2.0")], "link.media-type", 0),
    ([answer(b"[]")], "link.envelope", 0),
    ([answer(b'{"objects":')], "link.envelope", 0),
    ([answer(b'{"objects":' + b"[" * 100_000)], "link.envelope", 0),
    ([answer({"more": True, "next": "a" * 5000})], "link.next", 0),
    ([answer({"title": "no"}, 400)], "link.answer", 0),
    ([answer({}, 401)], "link.credentials", 0),
    ([answer({}, 403)], "link.forbidden", 0),
    ([answer({}, 404)], "link.unknown-collection", 0),
    ([answer({}, 500)], "link.server", 0),
    ([answer(b"", 301, location="http://127.0.0.1:1/")], "link.redirect", 0),
    ([answer(b"x" * 2_000_000)], "link.answer-size", 0),
    (
        [answer(gzip.compress(b" " * 20_000_000), content_encoding="gzip")],
        "link.answer-size",
        0,
    ),
]


def test_a_server_that_misbehaves_is_named_and_its_page_not_taken(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        before = 0
        for number, (answers, code, taken) in enumerate(MISDEEDS):
            name = f"s{number}"
            async with foreign(*answers) as server:
                await sources.add(source(server.url, name=name), "")
                report = await sources.poll(name)
            assert report.failure is not None, (number, code)
            assert (report.failure.code, report.taken + report.known) == (code, taken), number
            assert len(server.asked) == len(answers), (number, code)
            state = (await sources.show(name)).state
            assert (state.after, state.failures) == ("", 1), (number, code)
            before += report.taken
            assert len(await objects_of(here)) == before, (number, code)
            assert sources.due(here.node.clock.now_us()) == [], (number, code)

    quietly(tmp_path, story)


def test_one_token_for_a_whole_round_is_followed(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        pages = [page([item(n)], more=n < 4, following="a") for n in range(5)]
        report, _, _ = await _polled(here, *pages)
        assert (report.taken, report.more, report.failure) == (5, False, None)

    quietly(tmp_path, story)


def test_pages_without_end_that_bring_nothing_new_are_a_loop(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        pages = [page([item(n % 2)], more=True, following=str(n)) for n in range(200)]
        report, server, _ = await _polled(here, *pages, requests_per_minute=6_000)
        assert report.failure is not None
        assert (report.failure.code, report.taken) == ("link.loop", 2)
        assert len(server.asked) == 103

    quietly(tmp_path, story)


def test_what_is_refused_is_named_and_counted_and_the_rest_taken(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        bad = item(2) | {"id": "no id"}
        report, _, sources = await _polled(here, page([item(1), bad, item(3)]))
        assert (report.taken, report.refused) == (2, 1)
        assert [(one.id, one.code) for one in report.told] == [("no id", "stix.id")]
        state = (await sources.show("s")).state
        assert (state.refused, state.after) == (1, "2026-01-01T00:00:02Z")

    quietly(tmp_path, story)


def test_a_busy_server_is_left_alone_as_long_as_it_asks_up_to_a_bound(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        asked = (("90", 90), ("0", 2.5), ("9999999", 86_400), ("soon", 2.5), ("-1", 2.5))
        for after, seconds in asked:
            before, name = here.node.clock.now_us(), f"s{after}"
            report, _, sources = await _polled(here, answer({}, 429, retry_after=after), name=name)
            assert report.failure is not None
            assert report.failure.code == "link.busy"
            state = (await sources.show(name)).state
            assert 0 <= state.due_us - before - seconds * 1e6 < 60e6, after
            assert sources.due(state.due_us - 1) == []
            assert sources.due(state.due_us) == [name]

    quietly(tmp_path, story)


def test_a_date_to_come_back_at_is_obeyed(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        clock: Any = here.node.clock
        await clock.set_us(2_000_000_000_000_000)  # 18 May 2033, 03:33:20
        report, _, _ = await _polled(
            here, answer({}, 503, retry_after="Wed, 18 May 2033 04:33:20 GMT")
        )
        assert 2_000_003_599_000 <= report.due_ms <= 2_000_003_660_000

    quietly(tmp_path, story)


def test_failures_in_a_row_double_the_wait_and_a_success_ends_it(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        async with foreign(*[answer({}, 500)] * 3, page([item(1)])) as server:
            await sources.add(source(server.url), "")
            waits = []
            for _ in range(3):
                report = await sources.poll("s")
                waits.append(round((report.due_ms - here.node.book.now_ms()) / 1000, 1))
                await forward(here, 100)
            assert waits == pytest.approx([2.5, 5, 10], abs=1)
            assert (await sources.poll("s")).failure is None
            assert (await sources.show("s")).state.failures == 0

    quietly(tmp_path, story)


def test_the_wait_has_a_bound_and_is_spread() -> None:
    assert [put_off_ms(n, 0.0, 0) for n in (1, 2, 3)] == [2_500, 5_000, 10_000]
    assert put_off_ms(1, 1.0, 0) == 5_000
    assert put_off_ms(50, 1.0, 0) == 3_600_000
    assert put_off_ms(1, 0.0, 10**12) == 86_400_000


def test_a_link_keeps_its_pace() -> None:
    pace = Pace()
    assert [pace.wait_us("a", 2, 0) for _ in range(3)] == [0, 0, 30_000_000]
    assert pace.wait_us("b", 2, 0) == 0
    assert pace.wait_us("a", 2, 29_999_999) == 1
    assert pace.wait_us("a", 2, 30_000_000) == 0
    assert pace.wait_us("a", 2, 30_000_000) == 30_000_000


def test_a_round_beyond_the_pace_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        async with foreign(page([item(1)], more=True, following="a"), page([item(2)])) as server:
            await sources.add(source(server.url, requests_per_minute=1), "")
            first = await sources.poll("s")
            assert (first.taken, first.more, first.failure) == (1, True, None)
            assert sources.due(here.node.clock.now_us()) == []
            await forward(here, 60)
            assert sources.due(here.node.clock.now_us()) == ["s"]
            assert (await sources.poll("s")).taken == 1
            assert server.asked[1].query["next"] == "a"

    quietly(tmp_path, story)


def test_a_stuck_server_holds_up_no_other_and_one_poll_of_a_source_runs_at_a_time(
    tmp_path: Path,
) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node, HTTPCaller(answer_ms=2_000))
        async with foreign(never) as stuck, foreign(page([item(1)])) as other:
            await sources.add(source(stuck.url, name="stuck"), "")
            await sources.add(source(other.url, name="other"), "")
            waiting = asyncio.create_task(sources.poll("stuck"))
            await stuck.arrived.wait()
            with pytest.raises(Conflict):
                await sources.poll("stuck")
            with pytest.raises(Conflict):
                await sources.remove("stuck")
            assert sources.due(here.node.clock.now_us()) == ["other"]
            assert (await sources.poll("other")).taken == 1
            assert not waiting.done()
            report = await waiting
            assert report.failure is not None
            assert report.failure.code == "link.late"

    quietly(tmp_path, story)


def test_a_round_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        second = asyncio.Event()

        async def hang(_server: Foreign, _asked: Asked, _writer: asyncio.StreamWriter) -> bytes:
            second.set()
            await asyncio.Event().wait()
            return b""

        async with foreign(page([item(1)], more=True, following="a"), hang) as server:
            async with site(tmp_path, **QUIET) as here:
                sources = sources_of(here.node)
                await sources.add(source(server.url), "")
                task = asyncio.create_task(sources.poll("s"))
                await second.wait()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            server.answers = [page([item(2)])]
            async with running_node(NodeFolder(tmp_path / "a")) as (node, _):
                sources = sources_of(node)
                await sources.load()
                assert sources.due(node.clock.now_us()) == ["s"]
                report = await sources.poll("s")
                assert (report.taken, report.known) == (1, 0)
                assert server.asked[-1].query["next"] == "a"

    asyncio.run(story())


def test_a_page_whose_place_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        caller = OtherCaller()
        sources = sources_of(here.node, caller)

        async def lose(_call: Call) -> None:
            await here.node.store.write(lambda tx: tx.drop_link("source", "s"))

        caller.before = lose
        async with foreign(page([item(1)])) as server:
            await sources.add(source(server.url), "")
            with pytest.raises(Missing):
                await sources.poll("s")
        assert await objects_of(here) == []

    quietly(tmp_path, story)


def test_a_page_read_again_is_known_already(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        async with foreign(page([item(1), item(2)]), page([item(1), item(2)])) as server:
            await sources.add(source(server.url), "")
            await sources.poll("s")
            again = await sources.poll("s")
            assert (again.taken, again.known, again.refused) == (0, 2, 0)
            assert len(await objects_of(here)) == 2

    quietly(tmp_path, story)


def test_a_next_the_server_forgot_begins_the_round_again(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        pages = page([item(1)], more=True, following="a"), answer({}, 400), page([item(1), item(2)])
        async with foreign(*pages) as server:
            await sources.add(source(server.url), "")
            assert (await sources.poll("s")).failure is not None
            report = await sources.poll("s")
            assert (report.taken, report.known, report.failure) == (1, 1, None)
            assert "next" not in server.asked[2].query

    quietly(tmp_path, story)


def test_a_server_that_fails_for_a_while_keeps_its_place_in_the_round(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        failing = [answer({}, 500)] * 4
        first = page([item(1)], more=True, following="a")
        async with foreign(first, *failing, page([item(2)]), first, *failing) as server:
            await sources.add(source(server.url), "")
            for _ in range(4):
                assert (await sources.poll("s")).failure is not None
            assert (await sources.poll("s")).taken == 1
            assert [one.query.get("next") for one in server.asked] == [None, *["a"] * 5]
            # One that goes on failing is taken to have forgotten the place.
            server.answers += [answer({}, 500), page([])]
            for _ in range(6):
                await sources.poll("s")
            assert [one.query.get("next") for one in server.asked[6:]] == [None, *["a"] * 5, None]

    quietly(tmp_path, story)


def test_a_page_too_large_is_asked_for_in_halves(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node, page_bytes_max=5_000)
        async with foreign(answer(b"x" * 9_000), page([item(1)])) as server:
            await sources.add(source(server.url, page_objects=8), "")
            await sources.poll("s")
            assert (await sources.poll("s")).taken == 1
            assert [one.query["limit"] for one in server.asked] == ["8", "4"]
            assert (await sources.show("s")).state.limit == 8

    quietly(tmp_path, story)


def test_a_page_with_too_many_new_handlings_is_asked_for_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is lost, and nothing is taken of what came at once."""
    monkeypatch.setattr(intern, "HANDLINGS_NEW_MAX", 1)

    def marked(n: int) -> dict[str, object]:
        name = f"marking-definition--00000000-0000-4000-8000-00000000000{n}"
        return {**item(n), "object_marking_refs": [name]}

    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        both = page([marked(1), marked(2)])
        async with foreign(
            both, page([marked(1)], more=True, following="a"), page([marked(2)])
        ) as server:
            await sources.add(source(server.url, page_objects=2), "")
            failed = await sources.poll("s")
            assert failed.failure is not None
            assert (failed.failure.code, failed.taken) == ("publish.handlings", 0)
            assert (await sources.poll("s")).taken == 2
            assert [one.query["limit"] for one in server.asked] == ["2", "1", "1"]
            state = (await sources.show("s")).state
            assert (state.refused, state.taken) == (0, 2)

    quietly(tmp_path, story)


def test_a_password_is_shown_to_its_server_alone(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        secret = "swordfish:ü"
        async with foreign() as thief, foreign() as server:
            server.answers.append(answer(b"", 302, location=thief.url))
            added = await sources.add(source(server.url, auth="basic", user="u"), secret)
            report = await sources.poll("s")
            assert report.failure is not None
            assert thief.connections == 0
            assert server.asked[0].headers["authorization"].startswith("Basic ")
            told = repr([added, report, await sources.views(), await sources.show("s")])
            assert "swordfish" not in told
        kept = tmp_path / "a" / "links" / "source-s"
        assert kept.read_text() == secret
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
        stored = b"".join(one.read_bytes() for one in (tmp_path / "a").glob("detente.db*"))
        assert b"swordfish" not in stored
        await sources.remove("s")
        assert not kept.exists()
        assert await sources.views() == []
        with pytest.raises(Missing):
            await sources.poll("s")

    quietly(tmp_path, story)


def test_a_token_is_shown_as_bearer(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        async with foreign(page([])) as server:
            await sources.add(source(server.url, auth="bearer"), "abc.def")
            await sources.poll("s")
            assert server.asked[0].headers["authorization"] == "Bearer abc.def"

    quietly(tmp_path, story)


URL = "http://127.0.0.1:1/lab/collections/x/"


UNWORKABLE: list[tuple[dict[str, Any], str, type[DetenteError], str]] = [
    ({"address": "http://127.0.0.1:1/lab/"}, "", Invalid, "link.address"),
    ({"address": "http://u:p@127.0.0.1/collections/x/"}, "", Invalid, "link.address"),
    ({"address": "http://192.0.2.7/collections/x/"}, "", Invalid, "link.insecure"),
    ({"collection": "nowhere"}, "", Missing, "collection.unknown"),
    ({"collection": "in"}, "", Invalid, "link.collection"),
    ({"kind": "XX"}, "", Invalid, "publish.kind"),
    ({"purpose": "fun"}, "", Invalid, "publish.purpose"),
    ({"added_after": "now"}, "", Invalid, "link.time"),
    ({"auth": "basic", "user": "u"}, "", Invalid, "link.credentials-form"),
    ({"auth": "basic"}, "p", Invalid, "link.credentials-form"),
    ({"auth": "basic", "user": "a:b"}, "p", Invalid, "link.user"),
    ({}, "p", Invalid, "link.credentials-form"),
    ({"auth": "bearer"}, "a b", Invalid, "link.token"),
    ({"auth": "bearer"}, "a" * 9_000, Invalid, "link.secret"),
    ({"address": "https://127.0.0.1/collections/x/", "pin": "12"}, "", Invalid, "link.pin"),
    (
        {"address": "https://127.0.0.1/collections/x/", "ca_file": "/nowhere.pem"},
        "",
        Invalid,
        "link.tls",
    ),
]


def test_a_source_that_could_not_work_is_refused_and_nothing_kept(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        for changed, secret, kind, code in UNWORKABLE:
            with pytest.raises(kind) as caught:
                await sources.add(source(**({"url": URL} | _renamed(changed))), secret)
            assert caught.value.code == code, changed
        assert await sources.views() == []
        assert not (tmp_path / "a" / "links").exists()

    quietly(tmp_path, story)


def _renamed(changed: dict[str, Any]) -> dict[str, Any]:
    return {("url" if key == "address" else key): value for key, value in changed.items()}


def test_a_name_is_given_once(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        await sources.add(source(URL), "")
        with pytest.raises(Conflict) as caught:
            await sources.add(source(URL, auth="bearer"), "other")
        assert caught.value.code == "link.known"
        assert not (tmp_path / "a" / "links").exists()

    quietly(tmp_path, story)


def test_of_two_with_one_name_the_one_that_is_kept_keeps_its_secret(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        sources = sources_of(here.node)
        added = [
            sources.add(source(URL, auth="basic", user=user), f"secret of {user}") for user in "ab"
        ]
        found = await asyncio.gather(*added, return_exceptions=True)
        assert [one.code for one in found if isinstance(one, Conflict)] == ["link.known"]
        (view,) = await sources.views()
        kept = (tmp_path / "a" / "links" / "source-s").read_text()
        assert kept == f"secret of {view.settings.user}"

    quietly(tmp_path, story)


def test_sources_that_wait_for_their_servers_leave_the_sinks_their_room() -> None:
    """So many of each at a time, and the next when one is done."""

    class Links:
        def __init__(self, *names: str) -> None:
            self.waiting = list(names)
            self.begun: list[str] = []
            self.go = asyncio.Event()

        def due(self, _now_us: int) -> list[str]:
            return [name for name in self.waiting if name not in self.begun]

        async def poll(self, name: str) -> None:
            self.begun.append(name)
            await self.go.wait()

        push = poll

    async def story() -> None:
        sources, sinks = Links("a", "b", "c"), Links("x", "y", "z")
        work = LinkWork(sources, sinks, lambda error: None)  # type: ignore[arg-type]  # as far as it asks
        for at_work_max, begun in ((0, ([], [])), (2, (["a", "b"], ["x", "y"]))):
            work.at_work_max = at_work_max
            for _ in range(2):
                work.begin(0)
                await asyncio.sleep(0)
            assert (sources.begun, sinks.begun) == begun
        sinks.go.set()
        while len(sinks.begun) < 3:
            await asyncio.sleep(0)
            work.begin(0)
        assert sources.begun == ["a", "b"]
        await work.stop()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_the_node_polls_by_itself_once_it_serves(tmp_path: Path) -> None:
    async def story() -> None:
        again = asyncio.Event()

        async def second(_server: Foreign, _asked: Asked, _writer: asyncio.StreamWriter) -> bytes:
            again.set()
            return page([])

        first = page([item(1)], more=True, following="a")
        async with foreign(first, second) as server, site(tmp_path) as here:
            await here.node.sources.add(source(server.url), "")
            async with asyncio.timeout(20):
                await again.wait()
            assert len(await objects_of(here)) == 1

    asyncio.run(story())
