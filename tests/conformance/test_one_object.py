"""One object: its versions, its latest, its deletion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.kit import MEDIA, Server, Shelf, made
from tests.conformance.sections import section

UNKNOWN = "indicator--00000000-0000-4000-8000-000000000000"


@section("5.6")
@pytest.mark.parametrize("kind", ["malware", "marking-definition", "ipv4-addr", "relationship"])
def test_an_object_by_its_id(server: Server, rw: str, shelf: Shelf, kind: str) -> None:
    one = shelf.of(kind)[0]
    body = server.read(f"{rw}objects/{one.id}/")
    assert body["objects"] == [one.one]
    assert body.get("more", False) is False


@section("5.6")
def test_an_object_is_its_latest_version(server: Server, rw: str, shelf: Shelf) -> None:
    latest = shelf.of("indicator")[-1]
    assert server.read(f"{rw}objects/{latest.id}/")["objects"] == [latest.one]


@section("5.6")
@pytest.mark.parametrize(
    ("asked", "places"),
    [("last", [2]), ("first", [0]), ("all", [0, 1, 2]), ("first,last", [0, 2]), ("{1}", [1]),
     ("first,{1}", [0, 1])],
)  # fmt: skip
def test_an_object_in_other_versions(
    server: Server, rw: str, shelf: Shelf, asked: str, places: list[int]
) -> None:
    mine = shelf.of("indicator")
    query = {"match_version": asked.format(*(entry.version for entry in mine))}
    body = server.read(f"{rw}objects/{mine[0].id}/", **query)
    assert body["objects"] == [mine[place].one for place in places]


@section("5.6")
def test_an_object_without_the_version_asked_for_is_an_empty_envelope_or_not_found(
    server: Server, rw: str, shelf: Shelf
) -> None:
    query = {"match[version]": "1999-01-01T00:00:00.000Z"}
    answer = server.get(f"{rw}objects/{shelf.entries[0].id}/", query)
    assert answer.status_code in (200, 404)
    assert answer.status_code == 404 or answer.json() in ({}, {"more": False})


@section("5.6")
@pytest.mark.parametrize(("asked", "given"), [("2.1", True), ("2.0", False), ("2.0,2.1", True)])
def test_an_object_by_its_spec_version(
    server: Server, rw: str, shelf: Shelf, asked: str, given: bool
) -> None:
    one = shelf.entries[1]
    answer = server.get(f"{rw}objects/{one.id}/", {"match[spec_version]": asked})
    assert answer.status_code in ((200,) if given else (200, 404))
    if answer.status_code == 200:
        assert answer.json().get("objects") == ([one.one] if given else None)


@section("5.6")
def test_versions_of_an_object_are_paged(server: Server, rw: str, shelf: Shelf) -> None:
    mine = shelf.of("indicator")
    place = f"{rw}objects/{mine[0].id}/"
    assert server.read(place, match_version="all", limit=2)["more"] is True
    found = server.walk(place, match_version="all", limit=1)
    assert found == [entry.one for entry in mine]


@section("5.6")
def test_an_object_added_after(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]]
) -> None:
    mine = shelf.of("indicator")
    query = {"match_version": "all", "added_after": records[0]["date_added"]}
    found = server.read(f"{rw}objects/{mine[0].id}/", **query)
    assert found["objects"] == [entry.one for entry in mine[1:]]


@section("5.6")
@pytest.mark.parametrize("name", [UNKNOWN, "no-stix-id", "%2e%2e", "x%2Fy"])
def test_an_unknown_object_is_not_found(server: Server, rw: str, name: str) -> None:
    assert server.get(f"{rw}objects/{name}/").status_code in (404, 400)
    assert server.get(f"{rw}objects/{UNKNOWN}/").status_code == 404


@section("5.6", "RFC 3986, 2.1")
def test_an_id_may_be_percent_encoded(server: Server, rw: str, shelf: Shelf) -> None:
    one = shelf.entries[1]
    coded = one.id.replace("-", "%2D").replace("m", "%6D")
    assert server.read(f"{rw}objects/{coded}/")["objects"] == [one.one]


@section("5.6")
@pytest.mark.parametrize("query", ["limit=0", "added_after=x", "match[version]=x", "next=x"])
def test_malformed_filters_of_an_object_are_a_bad_request(
    server: Server, rw: str, shelf: Shelf, query: str
) -> None:
    assert server.get(f"{rw}objects/{shelf.entries[0].id}/?{query}").status_code == 400


# --- versions -------------------------------------------------------------------------------


@section("5.8.1")
def test_versions_are_all_in_the_order_of_adding(server: Server, rw: str, shelf: Shelf) -> None:
    """3.3 orders objects and manifests, 3.5 all that is paged, as versions are."""
    mine = shelf.of("indicator")
    body = server.read(f"{rw}objects/{mine[0].id}/versions/")
    assert body["versions"] == [entry.version for entry in mine]
    assert body.get("more", False) is False


@section("5.8")
def test_the_version_of_what_is_not_versioned_is_created(
    server: Server, rw: str, shelf: Shelf
) -> None:
    mark = shelf.of("marking-definition")[0]
    assert server.read(f"{rw}objects/{mark.id}/versions/")["versions"] == [mark.one["created"]]


@section("5.8.1")
def test_versions_has_more_and_versions_only(server: Server, rw: str, shelf: Shelf) -> None:
    body = server.read(f"{rw}objects/{shelf.entries[0].id}/versions/", limit=2)
    assert {name for name in body if not name.startswith("x_")} <= {"more", "next", "versions"}
    assert len(body["versions"]) == 2
    assert body["more"] is True


@section("5.8")
def test_versions_are_paged_by_added_after(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]]
) -> None:
    mine = shelf.of("indicator")
    place = f"{rw}objects/{mine[0].id}/versions/"
    answer = server.get(place, {"limit": 1})
    assert answer.json()["versions"] == [mine[0].version]
    assert answer.headers["x-taxii-date-added-last"] == records[0]["date_added"]
    rest = server.read(place, added_after=records[0]["date_added"])
    assert rest["versions"] == [entry.version for entry in mine[1:]]


@section("5.8")
@pytest.mark.parametrize(("asked", "given"), [("2.1", True), ("2.0", False)])
def test_versions_by_spec_version(
    server: Server, rw: str, shelf: Shelf, asked: str, given: bool
) -> None:
    mine = shelf.of("indicator")
    place = f"{rw}objects/{mine[0].id}/versions/"
    answer = server.get(place, {"match[spec_version]": asked})
    assert answer.status_code in ((200,) if given else (200, 404))
    if answer.status_code == 200:
        assert answer.json() == {} or given
        assert len(answer.json().get("versions", [])) == (3 if given else 0)


@section("5.8")
def test_versions_of_an_unknown_object_are_not_found(server: Server, rw: str) -> None:
    assert server.get(f"{rw}objects/{UNKNOWN}/versions/").status_code == 404


@section("5.8")
@pytest.mark.parametrize("query", ["limit=0", "added_after=x", "next=x"])
def test_malformed_filters_of_versions_are_a_bad_request(
    server: Server, rw: str, shelf: Shelf, query: str
) -> None:
    assert server.get(f"{rw}objects/{shelf.entries[0].id}/versions/?{query}").status_code == 400


# --- deletion -------------------------------------------------------------------------------


@pytest.fixture
def doomed(server: Server) -> list[dict[str, Any]]:
    """A fresh object in two versions."""
    one = made()
    both = [one, one | {"modified": "2026-01-05T00:00:00.000Z"}]
    server.add(server.target.read_write, *both)
    return both


def left(server: Server, rw: str, stix_id: str) -> list[dict[str, Any]]:
    return server.walk(rw + "objects/", match_id=stix_id, match_version="all")


@section("5.7")
def test_deleting_is_done_or_forbidden(
    server: Server, rw: str, doomed: list[dict[str, Any]]
) -> None:
    """403: the client has access to the object, but not to delete it."""
    answer = server.http.delete(f"{rw}objects/{doomed[0]['id']}/", params={"match[version]": "all"})
    assert answer.status_code in (200, 403)
    assert answer.headers["content-type"] == MEDIA


@section("5.7")
def test_what_was_deleted_is_nowhere_and_what_was_not_is_everywhere(
    server: Server, rw: str, doomed: list[dict[str, Any]]
) -> None:
    """After a 200 the object is not found and in no list; after a 403 all is as before."""
    one = doomed[0]["id"]
    done = server.http.delete(f"{rw}objects/{one}/", params={"match[version]": "all"})
    gone = done.status_code == 200
    assert server.get(f"{rw}objects/{one}/").status_code == (404 if gone else 200)
    assert left(server, rw, one) == ([] if gone else doomed)
    listed = server.walk(rw + "manifest/", match_id=one, match_version="all")
    assert len(listed) == (0 if gone else 2)


@section("5.7")
@pytest.mark.parametrize(("asked", "rest"), [("first", [1]), ("last", [0]), ("{}", [0])])
def test_one_version_is_deleted_and_the_other_stays(
    server: Server, rw: str, doomed: list[dict[str, Any]], asked: str, rest: list[int]
) -> None:
    one = doomed[0]["id"]
    asked = asked.format(doomed[1]["modified"])
    done = server.http.delete(f"{rw}objects/{one}/", params={"match[version]": asked})
    assert done.status_code in (200, 403)
    wanted = [doomed[place] for place in rest] if done.status_code == 200 else doomed
    assert left(server, rw, one) == wanted


@section("5.7")
def test_deleting_what_is_unknown_is_not_found(server: Server, rw: str) -> None:
    """A server that lets nobody delete may say so first."""
    assert server.http.delete(f"{rw}objects/{UNKNOWN}/").status_code in (404, 403)
