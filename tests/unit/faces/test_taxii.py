"""The TAXII face over real HTTP: what is served, what is told, what does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.faces.kit import (
    COLLECTION,
    INWARD,
    MEDIA,
    Site,
    answer_of,
    compact,
    item,
    play,
    token_text,
)

OBJECTS = f"/taxii2/T1/collections/{COLLECTION}/objects/"


async def ids(client: httpx.AsyncClient, **query: Any) -> list[str]:
    """Every id of a feed, page by page, each once."""
    found: list[str] = []
    params = {key.replace("_type", "[type]"): value for key, value in query.items()}
    while True:
        answer = await client.get(OBJECTS, params=params)
        assert answer.status_code == 200, answer.text
        body = answer_of(answer)
        found += [one["id"] for one in body.get("objects", [])]
        assert bool(body.get("more")) == ("next" in body)
        if not body.get("more"):
            return found
        params = {"next": body["next"], **({"limit": query["limit"]} if "limit" in query else {})}


def test_discovery_roots_and_collections_show_a_party_its_own(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        async with site.client("K") as k, site.client("L") as l_:
            found = answer_of(await k.get("/taxii2/"))
            assert found["api_roots"] == [f"{site.address}/taxii2/T1/"]
            root = answer_of(await k.get("/taxii2/T1/"))
            assert root["versions"] == [MEDIA]
            listed = answer_of(await k.get("/taxii2/T1/collections/"))["collections"]
            rights = [(one["id"], one["can_read"], one["can_write"]) for one in listed]
            assert rights == [(COLLECTION, True, False), (INWARD, False, True)]
            # L is a member without a collection: nothing exists for it, by the same answer.
            assert not answer_of(await l_.get("/taxii2/")).keys() & {"api_roots", "default"}
            for path in ("/taxii2/T1/", OBJECTS, "/taxii2/T9/"):
                mine = await l_.get(path)
                assert mine.status_code == 404
                assert "From A" not in mine.text

    play(tmp_path, story)


def test_pages_filters_and_times(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(*[item(n) for n in range(7)], item(7, "incident"))
        async with site.client("K") as k:
            everything = [item(n)["id"] for n in range(7)] + [item(7, "incident")["id"]]
            for limit in (1, 3, 8, 100):
                assert await ids(k, limit=limit) == everything
            assert await ids(k, match_type="incident") == everything[7:]
            wanted = ",".join(everything[1:3])
            got = await k.get(OBJECTS, params={"match[id]": wanted})
            assert [one["id"] for one in answer_of(got)["objects"]] == everything[1:3]
            first = await k.get(OBJECTS, params={"limit": 3})
            last = first.headers["x-taxii-date-added-last"]
            rest = await k.get(OBJECTS, params={"added_after": last})
            assert [one["id"] for one in answer_of(rest)["objects"]] == everything[3:]
            assert first.headers["x-taxii-date-added-first"] < last
            assert first.content.count(compact(item(0))) == 1

    play(tmp_path, story)


def test_a_stop_is_told_and_what_was_held_comes_once_afterwards(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(item(1))
        async with site.client("K") as k:
            first = await k.get(OBJECTS)
            after = first.headers["x-taxii-date-added-last"]
            await site.order("suspend", "D1")
            await site.publish(item(2), item(3, "incident"))
            partly = await k.get(OBJECTS, params={"added_after": after})
            assert [one["id"] for one in answer_of(partly)["objects"]] == [
                item(3, "incident")["id"]
            ]
            after = partly.headers["x-taxii-date-added-last"]
            stopped = await k.get(OBJECTS, params={"added_after": after})
            assert stopped.status_code == 403
            error = answer_of(stopped)
            assert error["error_code"] == "feed.suspended"
            assert error["details"]["directives"] == "D1"
            assert "duty@a.example" in error["details"]["contact"]
            assert error["details"]["since"].endswith("Z")
            again = await k.get(OBJECTS)
            assert item(1)["id"] not in again.text  # a stop hides what was read before, too
            await site.order("resume", "D2", supersedes=("D1",))
            held = await k.get(OBJECTS, params={"added_after": after})
            assert [one["id"] for one in answer_of(held)["objects"]] == [item(2)["id"]]
            nothing = await k.get(
                OBJECTS, params={"added_after": held.headers["x-taxii-date-added-last"]}
            )
            assert (nothing.status_code, answer_of(nothing)) == (200, {})

    play(tmp_path, story)


def test_a_writer_gets_a_status_for_each_object(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        path = f"/taxii2/T1/collections/{INWARD}/objects/"
        body = compact({"objects": [item(1), {"type": "nonsense"}, item(2)]})
        async with site.client("K") as k, site.client("A") as a:
            done = await k.post(path, content=body, headers={"content-type": MEDIA})
            assert done.status_code == 202
            status = answer_of(done)
            assert (status["success_count"], status["failure_count"]) == (2, 1)
            assert [one["id"] for one in status["successes"]] == [item(1)["id"], item(2)["id"]]
            assert status["failures"][0]["message"]
            kept = await k.get(f"/taxii2/T1/status/{status['id']}/")
            assert answer_of(kept) == status
            assert (await a.get(f"/taxii2/T1/status/{status['id']}/")).status_code == 404
            assert (await k.get(path)).status_code == 403
            read = await a.get(path)
            assert [one["id"] for one in answer_of(read)["objects"]] == [
                item(1)["id"],
                item(2)["id"],
            ]
            again = answer_of(await k.post(path, content=body, headers={"content-type": MEDIA}))
            assert again["success_count"] == 2
            assert len(answer_of(await a.get(path))["objects"]) == 2
            refused = await k.post(path, content=body, headers={"content-type": "text/plain"})
            assert refused.status_code == 415
            forbidden = await k.post(OBJECTS, content=body, headers={"content-type": MEDIA})
            assert forbidden.status_code == 403

    play(tmp_path, story)


def test_credentials_media_and_cursors_are_checked(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(item(1), item(2))
        async with site.client(None) as nobody, site.client("K") as k, site.client("A") as a:
            missing = await nobody.get("/taxii2/")
            assert missing.status_code == 401
            assert missing.headers["www-authenticate"].startswith("Basic")
            for name, password in (("k", "wrong"), ("x", "wrong"), ("k", site.passwords["A"])):
                wrong = await nobody.get("/taxii2/", auth=(name, password))
                assert (wrong.status_code, answer_of(wrong)["error_code"]) == (401, "auth.wrong")
            html = await k.get(OBJECTS, headers={"accept": "text/html"})
            assert html.status_code == 406
            plain = await k.get(OBJECTS, headers={"accept": "application/taxii+json"})
            assert plain.status_code == 200
            token = answer_of(await k.get(OBJECTS, params={"limit": 1}))["next"]
            assert b'"client":"k"' in token_text(token)
            stolen = await a.get(OBJECTS, params={"next": token})
            assert (stolen.status_code, answer_of(stolen)["error_code"]) == (400, "taxii.next")
            other = "B" if token[0] == "A" else "A"
            for bad in ("", "x", token[:-2], other + token[1:], "é"):
                forged = await k.get(OBJECTS, params={"next": bad})
                assert forged.status_code == 400, bad
            for query in ({"limit": "0"}, {"limit": "-1"}, {"limit": "x"}, {"added_after": "now"}):
                assert (await k.get(OBJECTS, params=query)).status_code == 400

    play(tmp_path, story)


@pytest.mark.parametrize(
    "path",
    ["/taxii2/../etc/passwd", "/taxii2/%2e%2e/", "/taxii2/T1%2fcollections/", "/" + "a" * 3000],
)
def test_path_tricks_are_refused_plainly(tmp_path: Path, path: str) -> None:
    async def story(site: Site) -> None:
        async with site.client("K") as k:
            request = k.build_request("GET", "/")
            request.url = httpx.URL(site.address + path)
            answer = await k.send(request)
            assert answer.status_code in (400, 404)

    play(tmp_path, story)
