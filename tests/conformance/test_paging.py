"""Paging: all of it, each once, in order, whatever the size of a page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.kit import Server, Shelf, ids, made, version_of
from tests.conformance.sections import section

ENDPOINTS = ["objects/", "manifest/"]


def key(one: dict[str, Any]) -> tuple[str, str]:
    return str(one["id"]), str(one.get("version") or version_of(one))


@pytest.fixture(scope="module")
def many(server: Server) -> list[str]:
    """More objects than most servers give at once; their ids in order."""
    objects = [made() for _ in range(125)]
    server.add(server.target.read_write, *objects)
    return [one["id"] for one in objects]


@section("3.5")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 1000])
def test_pages_of_any_size_give_each_once_and_in_order(
    server: Server, ro: str, path: str, limit: int
) -> None:
    whole = [key(one) for one in server.walk(ro + path, match_version="all")]
    paged = [key(one) for one in server.walk(ro + path, match_version="all", limit=limit)]
    assert paged == whole
    assert len(set(whole)) == len(whole) > 1


@section("3.5")
@pytest.mark.parametrize("limit", [None, 11, 50])
def test_a_long_collection_is_read_whole(
    server: Server, rw: str, many: list[str], limit: int | None
) -> None:
    query = {} if limit is None else {"limit": limit}
    found = [one["id"] for one in server.walk(rw + "objects/", **query)]
    assert len(set(found)) == len(found)
    assert [one for one in found if one in set(many)] == many


@section("3.5")
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_by_added_after_give_each_once_too(server: Server, ro: str, limit: int) -> None:
    """The way without `next`: X-TAXII-Date-Added-Last of the page before. Where objects were
    added at one time a page must not end between them, or they are lost to this way."""
    whole = server.walk(ro + "objects/")
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": limit}
    for _ in range(len(whole) + 1):
        answer = server.get(ro + "objects/", query)
        found += answer.json().get("objects", [])
        if not answer.json().get("more"):
            break
        query["added_after"] = answer.headers["x-taxii-date-added-last"]
    assert found == whole


@section("3.5")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_filters_hold_over_pages(server: Server, rw: str, shelf: Shelf, path: str) -> None:
    query = {"match_id": shelf.all_ids, "match_version": "all", "match_type": "indicator,ipv4-addr"}
    wanted = [
        entry.id for entry in shelf.entries if entry.one["type"] in ("indicator", "ipv4-addr")
    ]
    assert [one["id"] for one in server.walk(rw + path, limit=1, **query)] == wanted


@section("3.5")
def test_the_size_of_pages_may_change_on_the_way(server: Server, ro: str) -> None:
    whole = ids({"objects": server.walk(ro + "objects/")})
    first = server.read(ro + "objects/", limit=1)
    second = server.read(ro + "objects/", limit=2, next=first["next"])
    assert ids(first) + ids(second) == whole[:3]


@section("3.5")
def test_the_same_next_gives_the_same_page(server: Server, ro: str) -> None:
    """A client that lost an answer asks again."""
    first = server.read(ro + "objects/", limit=2)
    pages = [server.read(ro + "objects/", limit=2, next=first["next"]) for _ in range(2)]
    assert ids(pages[0]) == ids(pages[1]) != []


@section("3.4")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "token",
    ["garbage", "", "%00", "0", "A" * 5000, "e30", "ñ"],
    ids=["text", "empty", "nul", "zero", "long", "base64", "letter"],
)
def test_a_next_that_the_server_never_gave_is_a_bad_request(
    server: Server, ro: str, path: str, token: str
) -> None:
    assert server.get(ro + path, {"limit": 1, "next": token}).status_code == 400


@section("3.4")
def test_a_next_that_was_tampered_with_is_a_bad_request(server: Server, ro: str) -> None:
    token = server.read(ro + "objects/", limit=1)["next"]
    swapped = ("B" if token[0] == "A" else "A") + token[1:]
    for other in (swapped, token[:-4], token[::-1]):
        assert server.get(ro + "objects/", {"limit": 1, "next": other}).status_code == 400


@section("3.4")
def test_a_next_of_another_collection_gives_nothing(server: Server, ro: str, rw: str) -> None:
    token = server.read(ro + "objects/", limit=1)["next"]
    answer = server.get(rw + "objects/", {"limit": 1, "next": token})
    assert answer.status_code in (400, 404)


@section("3.5")
def test_a_next_under_other_filters_gives_what_it_was_made_for_or_nothing(
    server: Server, rw: str, shelf: Shelf
) -> None:
    """The original filters belong to it. Others are refused or passed over, never mixed."""
    query = {"match_id": shelf.all_ids, "limit": 2}
    token = server.read(rw + "objects/", **query)["next"]
    right = ids(server.read(rw + "objects/", **query, next=token))
    changed = {"match[type]": "domain-name", "limit": 2, "next": token}
    answer = server.get(rw + "objects/", changed)
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert ids(answer.json()) == right


@section("3.5")
def test_what_is_added_on_the_way_disturbs_nothing(server: Server, rw: str) -> None:
    """What was there comes once; what is added meanwhile comes last, or is left for later."""
    batch = [made() for _ in range(5)]
    server.add(server.target.read_write, *batch)
    late = made()
    wanted = ",".join(one["id"] for one in [*batch, late])
    found: list[str] = []
    for body, headers in server.pages(rw + "objects/", match_id=wanted, limit=2):
        found += ids(body)
        if late is not None and len(found) == 2:
            server.add(server.target.read_write, late)
        last = headers["x-taxii-date-added-last"]
    rest = ids(server.read(rw + "objects/", match_id=wanted, added_after=last))
    assert found + rest == [one["id"] for one in [*batch, late]]


@section("3.5")
def test_a_version_added_on_the_way_loses_no_other_object(server: Server, rw: str) -> None:
    batch = [made() for _ in range(6)]
    server.add(server.target.read_write, *batch)
    newer = batch[3] | {"modified": "2026-02-01T00:00:00.000Z"}
    wanted = ",".join(one["id"] for one in batch)
    found: list[str] = []
    for body, _ in server.pages(rw + "objects/", match_id=wanted, limit=2):
        if not found:
            server.add(server.target.read_write, newer)
        found += ids(body)
    others = [one["id"] for one in batch if one is not batch[3]]
    assert [one for one in found if one != batch[3]["id"]] == others


@section("3.5")
def test_polling_by_the_last_time_finds_only_what_is_new(server: Server, rw: str) -> None:
    last = [headers for _, headers in server.pages(rw + "objects/")][-1]["x-taxii-date-added-last"]
    fresh = [made(), made()]
    for one in fresh:
        server.add(server.target.read_write, one)
    assert server.walk(rw + "objects/", added_after=last) == fresh
