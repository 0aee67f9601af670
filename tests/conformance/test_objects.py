"""Objects: the envelope, what stands in it, and the times that its headers tell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.kit import TIMESTAMP, Server, Shelf, ids, made, version_of
from tests.conformance.sections import section

FIRST, LAST = "x-taxii-date-added-first", "x-taxii-date-added-last"
ENVELOPE = {"more", "next", "objects"}


@section("3.7")
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_an_envelope_has_more_next_and_objects_only(server: Server, ro: str, limit: int) -> None:
    body = server.read(ro + "objects/", limit=limit)
    assert {name for name in body if not name.startswith("x_")} <= ENVELOPE
    assert isinstance(body.get("more", False), bool)
    assert isinstance(body.get("next", ""), str)
    assert isinstance(body["objects"], list)


@section("3.7")
def test_next_is_there_only_with_more(server: Server, ro: str) -> None:
    for limit in (1, 1000):
        body = server.read(ro + "objects/", limit=limit)
        assert "next" not in body or body.get("more") is True


@section("5.4")
def test_nothing_found_is_an_empty_envelope(server: Server, rw: str) -> None:
    assert server.read(rw + "objects/", match_id=made()["id"]) in ({}, {"more": False})


@section("2")
def test_no_page_has_an_empty_list_of_objects(server: Server, ro: str, rw: str) -> None:
    for place in (ro, rw):
        for body, _ in server.pages(place + "objects/", limit=1):
            assert body.get("objects", ["left out"]) != []
            assert "objects" in body or not body.get("more")


@section("3.7")
def test_objects_are_stix_objects(server: Server, ro: str) -> None:
    for one in server.walk(ro + "objects/"):
        assert one["id"].partition("--")[0] == one["type"]
        assert one["type"] != "bundle"


@section("5.4")
def test_what_was_written_is_given_back_as_it_was(server: Server, rw: str, shelf: Shelf) -> None:
    found = server.walk(rw + "objects/", match_id=shelf.all_ids, match_version="all")
    assert found == [entry.one for entry in shelf.entries]


@section("5.4")
def test_properties_that_are_not_known_come_back(server: Server, rw: str) -> None:
    one = made(x_own={"deep": [1, 2.5, "é", None, True]}, labels=["ñ", "\u2028", "\U0001f6a2"])
    server.add(server.target.read_write, one)
    assert server.read(rw + "objects/", match_id=one["id"])["objects"] == [one]


@section("3.3")
def test_objects_come_in_the_order_they_were_added(server: Server, rw: str, shelf: Shelf) -> None:
    found = server.walk(rw + "objects/", match_id=shelf.all_ids, match_version="all")
    got = [(one["id"], version_of(one)) for one in found]
    assert got == [(entry.id, entry.version) for entry in shelf.entries]


@section("3.4")
def test_without_added_after_the_oldest_come_first(server: Server, rw: str, shelf: Shelf) -> None:
    wanted = [entry.id for entry in shelf.last][:2]
    body = server.read(rw + "objects/", match_id=shelf.all_ids, limit=2)
    assert ids(body) == wanted


@section("3.2")
@pytest.mark.parametrize("name", [FIRST, LAST])
@pytest.mark.parametrize(
    "path", ["objects/", "manifest/", "objects/{id}/", "objects/{id}/versions/"]
)
def test_times_of_adding_are_told_as_timestamps(
    server: Server, rw: str, shelf: Shelf, path: str, name: str
) -> None:
    answer = server.get(rw + path.replace("{id}", shelf.entries[0].id))
    assert answer.status_code == 200
    assert TIMESTAMP.match(answer.headers[name])


@section("3.2")
@pytest.mark.parametrize("path", ["objects/", "manifest/"])
@pytest.mark.parametrize(("skip", "limit"), [(0, 1), (0, 3), (2, 2), (0, 100)])
def test_times_of_adding_are_those_of_the_first_and_last_on_the_page(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]], path: str, skip: int,
    limit: int,
) -> None:  # fmt: skip
    """On every page, however it was come by."""
    query: dict[str, Any] = {"match_id": shelf.all_ids, "match_version": "all", "limit": limit}
    if skip:
        query["added_after"] = records[skip - 1]["date_added"]
    answer = server.get(rw + path, {_plain(key): value for key, value in query.items()})
    page = records[skip : skip + limit]
    assert ids(answer.json()) == [one["id"] for one in page]
    told = (answer.headers[FIRST], answer.headers[LAST])
    assert told == (page[0]["date_added"], page[-1]["date_added"])


def _plain(name: str) -> str:
    return f"match[{name[6:]}]" if name.startswith("match_") else name


@section("3.2")
def test_times_of_one_object_span_its_versions(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]]
) -> None:
    mine = [one["date_added"] for one in records if one["id"] == shelf.entries[0].id]
    place = f"{rw}objects/{shelf.entries[0].id}/"
    for path, query in ((place, {"match[version]": "all"}), (place + "versions/", {})):
        headers = server.get(path, query).headers
        assert (headers[FIRST], headers[LAST]) == (mine[0], mine[-1])


@section("3.2")
def test_times_go_forwards_over_pages(server: Server, ro: str) -> None:
    last = ""
    for _, headers in server.pages(ro + "objects/", limit=2):
        assert last <= headers[FIRST] <= headers[LAST]
        last = headers[LAST]
    assert last


@section("3.2")
def test_an_empty_answer_tells_no_false_time(server: Server, rw: str) -> None:
    """The header is demanded of every success, but nothing can be its value; a server may
    leave it out or tell some timestamp, never an empty or other text."""
    answer = server.get(rw + "objects/", {"match[id]": made()["id"]})
    for name in (FIRST, LAST):
        assert name not in answer.headers or TIMESTAMP.match(answer.headers[name])
