"""The TAXII face where it meets orders, versions and recalls, and what it adds to the standard."""

from __future__ import annotations

import asyncio
import gzip
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from detente.model import Choice, Scope
from detente.record import verify_copy
from tests.unit.faces import kit
from tests.unit.faces.kit import COLLECTION, MEDIA, Site, answer_of, compact, item, play

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BOTH = "91a7b528-80eb-42ed-a74d-c6fbd5a26103"
ROOT = f"/taxii2/T1/collections/{COLLECTION}/"
OBJECTS = ROOT + "objects/"
WRITTEN = f"/taxii2/T1/collections/{BOTH}/objects/"
MORE = f"""
[[collections]]
name = "both"
id = "{BOTH}"
title = "Written and read by K"
sender = "K"
readers = ["K", "A"]
purpose = "test"
"""


@pytest.fixture(autouse=True)
def terms_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "TERMS", kit.TERMS + MORE)


def version(number: int, year: int, **changed: Any) -> dict[str, Any]:
    return item(number, modified=f"{year}-01-01T00:00:00.000Z", name=f"{year}", **changed)


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(
        path, params={k.replace("_", "[") + "]" * ("_" in k): v for k, v in query.items()}
    )
    assert answer.status_code == 200, answer.text
    return answer_of(answer)


async def write(client: httpx.AsyncClient, *objects: dict[str, Any]) -> Any:
    done = await client.post(
        WRITTEN, content=compact({"objects": list(objects)}), headers={"content-type": MEDIA}
    )
    assert done.status_code == 202, done.text
    return answer_of(done)


def names(body: Any) -> list[str]:
    return [one["name"] for one in body.get("objects", [])]


# --- versions -----------------------------------------------------------------------------------


def test_newest_version_is_the_newest_that_the_party_may_read(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(version(1, 2026), version(2, 2027))
        await site.order("suspend", "D1")
        await site.publish(version(1, 2028), item(3, "incident", name="open"))
        async with site.client("K") as k:
            hidden = await get(k, OBJECTS)
            assert names(hidden) == ["open"]
            await site.order("resume", "D2", supersedes=("D1",))
            assert names(await get(k, OBJECTS)) == ["open", "2027", "2028"]
            assert names(await get(k, OBJECTS, match_version="all")) == [
                "open", "2026", "2027", "2028",
            ]  # fmt: skip
            assert names(await get(k, OBJECTS, match_version="first")) == ["open", "2026", "2027"]

    play(tmp_path, story)


def test_older_version_is_newest_while_the_newer_one_is_held(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(version(1, 2026), version(2, 2026))
        held = Scope(direction=Choice.of("out"), kind=Choice.of("SL"))
        await site.order("suspend", "D1", scope=held)
        body = compact({"objects": [version(1, 2030)]})
        await site.node.intake.publish(
            kit.Publication(agreement="T1", collection="out", party="A", body=body, kind="SL")
        )
        async with site.client("K") as k:
            assert names(await get(k, OBJECTS)) == ["2026", "2026"]
            one = f"{OBJECTS}{item(1)['id']}/"
            assert (await get(k, one + "versions/"))["versions"] == ["2026-01-01T00:00:00.000Z"]
            times = await get(k, OBJECTS, match_version="2030-01-01T00:00:00.000Z,last")
            assert names(times) == ["2026", "2026"]
            assert "2030" not in (await k.get(ROOT + "manifest/?match[version]=all")).text

    play(tmp_path, story)


def test_pages_of_the_newest_are_full_and_each_object_comes_once(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for year in (2026, 2027, 2028):
            await site.publish(*[version(n, year) for n in range(12) if year != 2027 or n % 3])
        async with site.client("K") as k:
            for limit in (1, 2, 5, 100):
                found: list[Any] = []
                query: dict[str, Any] = {"limit": limit}
                while True:
                    body = await get(k, OBJECTS, **query)
                    found += body["objects"]
                    assert len(body["objects"]) == limit or not body["more"]
                    if not body["more"]:
                        break
                    query = {"limit": limit, "next": body["next"]}
                assert found == [version(n, 2028) for n in range(12)]

    play(tmp_path, story)


def test_superseded_version_is_told_as_passed_over(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(item(3), version(1, 2026), version(1, 2027), item(2))
        async with site.client("K") as k:
            assert names(await get(k, OBJECTS)) == ["item 3", "2027", "item 2"]
        lines = await site.node.ask.trace(item(1)["id"])
        assert [one.state for one in lines if one.party == "K"] == ["passed over", "sent"]
        assert [len(one.pages) for one in lines if one.party == "K"] == [0, 1]

    play(tmp_path, story)


# --- what there is ------------------------------------------------------------------------------


def test_manifest_goes_through_the_gate_and_gives_nothing_away(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(item(1), item(2))
        async with site.client("K") as k:
            listed = (await get(k, ROOT + "manifest/"))["objects"]
            assert [one["id"] for one in listed] == [item(1)["id"], item(2)["id"]]
            line = (await site.node.ask.trace(item(1)["id"]))[1]
            assert (line.party, line.state) == ("K", "queued")
            assert [page.what for page in line.pages] == ["manifest"]
            await site.order("suspend", "D1")
            one = f"objects/{item(1)['id']}/"
            for path in ("manifest/", "objects/", one, one + "versions/", "objects/url--x/"):
                for method in ("GET", "HEAD"):
                    stopped = await k.request(method, ROOT + path)
                    assert stopped.status_code == 403, (method, path)
            error = answer_of(await k.get(ROOT + "manifest/"))
            assert error["details"]["directives"] == "D1"
            assert error["external_details"] == f"{site.address}/taxii2/T1/"

    play(tmp_path, story)


def test_object_without_spec_version_never_comes_first(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        observable = {"type": "url", "id": item(1, "url")["id"], "value": "https://a.example/"}
        await site.publish(observable, item(2), {**observable, "id": item(3, "url")["id"]})
        async with site.client("K") as k:
            got = (await get(k, OBJECTS))["objects"]
            assert [one["type"] for one in got] == ["infrastructure", "url", "url"]
            alone = (await get(k, OBJECTS, match_type="url"))["objects"]
            assert [one["type"] for one in alone] == ["url", "url"]

    play(tmp_path, story)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_answer_has_the_same_bytes(tmp_path: Path, encoding: str) -> None:
    async def story(site: Site) -> None:
        await site.publish(*[item(n) for n in range(50)])
        async with site.client("K") as k:
            plain = await k.get(OBJECTS, headers={"accept-encoding": "identity"})
            assert "content-encoding" not in plain.headers
            async with k.stream("GET", OBJECTS, headers={"accept-encoding": encoding}) as packed:
                data = b"".join([piece async for piece in packed.aiter_raw()])
                assert packed.headers["content-encoding"] == encoding
            undo = gzip.decompress if encoding == "gzip" else zstd.decompress
            assert undo(data) == plain.content
            assert len(data) < len(plain.content) / 3

    play(tmp_path, story)


# --- recall -------------------------------------------------------------------------------------


def test_delete_is_a_recall_on_the_record(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        async with site.client("K") as k, site.client("A") as a:
            await write(k, version(1, 2026), version(1, 2027), item(2))
            assert names(await get(a, WRITTEN)) == ["2027", "item 2"]
            one = f"{WRITTEN}{item(1)['id']}/"
            assert (await a.delete(one)).status_code == 403
            assert (await k.delete(one, params={"match[version]": "last"})).status_code == 200
            assert names(await get(a, WRITTEN)) == ["2026", "item 2"]
            assert (await k.delete(one)).status_code == 200
            for reader in (a, k):
                assert names(await get(reader, WRITTEN, match_version="all")) == ["item 2"]
                assert (await reader.get(one)).status_code == 404
            assert (await k.delete(one)).status_code == 404
            lines = await site.node.ask.trace(item(1)["id"])
            assert {one.state for one in lines} == {"recalled"}
            # What was given before stays on the record.
            given = [p for one in lines if one.party == "A" for p in one.pages]
            assert len(given) == 2
            await write(k, version(1, 2027))
            assert names(await get(a, WRITTEN)) == ["item 2", "2027"]
            again = await write(k, version(1, 2027))
            assert again["success_count"] == 1
            assert names(await get(a, WRITTEN, match_version="all")) == ["item 2", "2027"]
        out = tmp_path / "copy"
        await site.node.export(out)
        assert verify_copy(out).ok
        log = site.node.book.me.log_of("T1")
        entries = await site.node.store.read(lambda view: view.entries(log, 0, 1000))
        recalls = [e for e in map(msgspec.json.decode, entries) if e["act"] == "recall"]
        assert [e["count"] for e in recalls] == [1, 1]

    play(tmp_path, story)


def test_recalled_object_is_not_held_released_or_resumed(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.order("suspend", "D1")
        await site.publish(item(1), item(2))
        body = {"agreement": "T1", "collection": "out", "object": item(1)["id"]}
        token = site.node.folder.text("token")
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=site.address, headers=headers) as operator:
            done = await operator.post("/api/recalls", json=body)
            assert done.json()["count"] == 1
            again = await operator.post("/api/recalls", json=body)
            assert (again.status_code, again.json()["error"]["code"]) == (404, "item.unknown")
        await site.order("resume", "D2", supersedes=("D1",))
        async with site.client("K") as k:
            assert names(await get(k, OBJECTS)) == ["item 2"]

    play(tmp_path, story)


# --- long poll ----------------------------------------------------------------------------------


async def until(condition: Any) -> None:
    """Give way until something holds that the node is about to do."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0)


def test_waiting_answer_leaves_when_something_is_released(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        bell, first = site.node.bell, ""
        async with site.client("K") as k:
            for path, number in ((OBJECTS, 1), (ROOT + "manifest/", 2)):
                late = {} if number == 1 else {"added_after": first}
                waiting = asyncio.create_task(k.get(path, params={"wait": 60} | late))
                await until(lambda: bell.waiting() == 1)
                await site.publish(item(number))
                answer = await waiting
                first = answer.headers["x-taxii-date-added-last"]
                assert [one["id"] for one in answer_of(answer)["objects"]] == [item(number)["id"]]
            waiting = asyncio.create_task(
                k.get(OBJECTS, params={"wait": 60, "added_after": "2050-01-01T00:00:00Z"})
            )
            await until(lambda: bell.waiting() == 1)
            await site.publish(item(3))  # rings, but is not after that time: it waits on
            await until(lambda: bell.waiting() == 1)
            assert not waiting.done()
            waiting.cancel()
            for bad in ("x", "-1", "1.5", ""):
                assert (await k.get(OBJECTS, params={"wait": bad})).status_code == 400

    play(tmp_path, story)


def test_waiting_under_a_stop_ends_with_the_resumption_or_tells_the_stop(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        bell = site.node.bell
        await site.publish(item(1))
        await site.order("suspend", "D1")
        async with site.client("K") as k:
            waiting = asyncio.create_task(k.get(OBJECTS, params={"wait": 60}))
            await until(lambda: bell.waiting() == 1)
            await site.publish(item(2))  # is held: it rings, and is not given
            await until(lambda: bell.waiting() == 1 and not waiting.done())
            await site.order("resume", "D2", supersedes=("D1",))
            assert names(answer_of(await waiting)) == ["item 1", "item 2"]
            await site.order("suspend", "D3")
            told = asyncio.create_task(k.get(OBJECTS, params={"wait": 60}))
            await until(lambda: bell.waiting() == 1)
            bell.close()  # as when the node ends
            answer = await told
            assert (answer.status_code, answer_of(answer)["error_code"]) == (403, "feed.suspended")

    play(tmp_path, story)


def test_client_that_goes_away_while_it_waits_is_given_nothing(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        bell = site.node.bell
        async with site.client("K") as k:
            waiting = asyncio.create_task(k.get(OBJECTS, params={"wait": 60}))
            await until(lambda: bell.waiting() == 1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: bell.waiting() == 0)
        await site.publish(item(1))
        line = (await site.node.ask.trace(item(1)["id"]))[1]
        assert (line.party, line.state, line.pages) == ("K", "queued", ())

    play(tmp_path, story)


# --- the stock client ---------------------------------------------------------------------------


def test_stock_client_walks_from_discovery_to_deletion_through_a_stop(tmp_path: Path) -> None:
    v21 = pytest.importorskip("taxii2client.v21")

    def collections(site: Site) -> dict[str, Any]:
        server = v21.Server(f"{site.address}/taxii2/", user="k", password=site.passwords["K"])
        (root,) = server.api_roots
        assert root.title == "Test agreement"
        return {one.title: one for one in root.collections}

    def read(collection: Any, after: str | None) -> tuple[list[str], str | None]:
        """Everything new, as a client does that keeps the time of the last object."""
        query = {"added_after": after} if after else {}
        found = []
        for page in v21.as_pages(collection.get_objects, per_request=2, **query):
            found += names(page)
        records = collection.get_manifest(**query).get("objects", [])
        return found, records[-1]["date_added"] if records else after

    def refused(call: Any) -> int:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # requests' own, which this file need not know
            return int(error.response.status_code)  # type: ignore[attr-defined]  # requests' errors carry the answer
        return 200

    async def story(site: Site) -> None:
        own = await asyncio.to_thread(collections, site)
        feed, shared = own["From A"], own["Written and read by K"]
        await site.publish(*[item(n) for n in range(5)])
        found, after = await asyncio.to_thread(read, feed, None)
        assert found == [f"item {n}" for n in range(5)]
        await site.order("suspend", "D1")
        await site.publish(*[item(n) for n in range(5, 9)], item(9, "incident", name="open"))
        found, after = await asyncio.to_thread(read, feed, after)
        assert found == ["open"]
        assert await asyncio.to_thread(refused, lambda: feed.get_objects(added_after=after)) == 403
        await site.order("resume", "D2", supersedes=("D1",))
        found, after = await asyncio.to_thread(read, feed, after)
        assert found == [f"item {n}" for n in range(5, 9)]
        found, after = await asyncio.to_thread(read, feed, after)
        assert found == []
        status = await asyncio.to_thread(
            lambda: shared.add_objects({"objects": [item(20), item(21)]})
        )
        assert (status.status, status.success_count) == ("complete", 2)
        named = item(20)["id"]
        versions = await asyncio.to_thread(lambda: shared.object_versions(named))
        assert versions["versions"] == [item(20)["modified"]]
        one = await asyncio.to_thread(lambda: shared.get_object(named))
        assert one["objects"] == [item(20)]
        await asyncio.to_thread(lambda: shared.delete_object(named))
        assert await asyncio.to_thread(refused, lambda: shared.get_object(named)) == 404
        assert names(await asyncio.to_thread(shared.get_objects)) == ["item 21"]

    play(tmp_path, story)
