"""Filters: added_after, limit and the fields of match."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.kit import Entry, Server, Shelf, ids, made, shifted, version_of
from tests.conformance.sections import section

STIX = {
    "domain": "attack-pattern,campaign,course-of-action,grouping,identity,incident,indicator,"
    "infrastructure,intrusion-set,location,malware,malware-analysis,note,observed-data,opinion,"
    "report,threat-actor,tool,vulnerability",
    "relationship": "relationship,sighting",
    "observable": "artifact,autonomous-system,directory,domain-name,email-addr,email-message,file,"
    "ipv4-addr,ipv6-addr,mac-addr,mutex,network-traffic,process,software,url,user-account,"
    "windows-registry-key,x509-certificate",
    "meta": "extension-definition,language-content,marking-definition",
}
ENDPOINTS = ["objects/", "manifest/"]


def seen(server: Server, place: str, **query: Any) -> list[str]:
    return [one["id"] for one in server.walk(place, **query)]


def pairs(server: Server, place: str, **query: Any) -> list[tuple[str, str]]:
    return [(one["id"], version_of(one)) for one in server.walk(place, **query)]


def of(entries: list[Entry]) -> list[tuple[str, str]]:
    return [(entry.id, entry.version) for entry in entries]


# --- added_after ----------------------------------------------------------------------------


@section("3.4")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(("micros", "first"), [(0, 3), (-1, 2), (1, 3)])
def test_added_after_is_exclusive_to_the_microsecond(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]], path: str, micros: int,
    first: int,
) -> None:  # fmt: skip
    after = shifted(records[2]["date_added"], micros)
    query = {"match_id": shelf.all_ids, "match_version": "all", "added_after": after}
    assert seen(server, rw + path, **query) == [entry.id for entry in shelf.entries[first:]]


@section("3.4")
def test_added_after_the_last_gives_nothing(server: Server, ro: str) -> None:
    last = [headers for _, headers in server.pages(ro + "objects/")][-1]["x-taxii-date-added-last"]
    assert server.read(ro + "objects/", added_after=last).get("objects") is None


@section("3.4")
def test_added_after_long_ago_gives_all(server: Server, ro: str) -> None:
    everything = server.walk(ro + "objects/")
    for after in ("1970-01-01T00:00:00.000000Z", "2000-02-29T23:59:59.999999Z"):
        assert server.walk(ro + "objects/", added_after=after) == everything


@section("3.4")
def test_added_after_is_about_adding_not_about_the_object(
    server: Server, rw: str, shelf: Shelf
) -> None:
    """Objects here were created in January 2026 by their own account and added since."""
    one = made(created="1999-01-01T00:00:00.000Z", modified="1999-01-01T00:00:00.000Z")
    server.add(server.target.read_write, one)
    after = server.get(rw + "objects/", {"match[id]": one["id"]}).headers[
        "x-taxii-date-added-first"
    ]
    earlier = shifted(after, -1)
    query = {"match_id": f"{one['id']},{shelf.all_ids}", "added_after": earlier}
    assert seen(server, rw + "objects/", **query) == [one["id"]]


@section("3.4")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "after",
    ["yesterday", "2026-01-01", "2026-01-01T00:00:00.000000", "2026-13-01T00:00:00.000000Z",
     "2026-02-30T00:00:00.000000Z", "2026-01-01T25:00:00.000000Z", "1767225600", "",
     "2026-01-01T00:00:00.000000Z,2026-01-02T00:00:00.000000Z"],
)  # fmt: skip
def test_a_malformed_added_after_is_a_bad_request(
    server: Server, rw: str, path: str, after: str
) -> None:
    assert server.get(rw + path, {"added_after": after}).status_code == 400


@section("3.4")
@pytest.mark.parametrize(
    "query",
    ["added_after=2026-01-01T00:00:00.000000Z&added_after=2026-01-01T00:00:00.000000Z",
     "match[type]=indicator&match[type]=malware", "limit=1&limit=2"],
    ids=["added_after", "match", "limit"],
)  # fmt: skip
def test_a_parameter_that_must_not_be_repeated_is_a_bad_request(
    server: Server, rw: str, query: str
) -> None:
    assert server.get(f"{rw}objects/?{query}").status_code == 400


# --- limit ----------------------------------------------------------------------------------


@section("3.4")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("limit", ["0", "-1", "ten", "1.5", "", "1,2", " ", "0x10"])
def test_a_malformed_limit_is_a_bad_request(server: Server, rw: str, path: str, limit: str) -> None:
    assert server.get(rw + path, {"limit": limit}).status_code == 400


@section("3.4")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_no_more_than_the_limit_and_more_says_so(
    server: Server, rw: str, shelf: Shelf, path: str, limit: int
) -> None:
    body = server.read(rw + path, match_id=shelf.all_ids, limit=limit)
    assert ids(body) == [entry.id for entry in shelf.last][:limit]
    assert body["more"] is True


@section("3.4")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_limit_that_is_just_enough_gives_all_without_more(
    server: Server, rw: str, shelf: Shelf, path: str
) -> None:
    body = server.read(rw + path, match_id=shelf.all_ids, limit=len(shelf.last))
    assert ids(body) == [entry.id for entry in shelf.last]
    assert body.get("more", False) is False


@section("3.4")
def test_a_limit_beyond_what_the_server_gives_is_no_error(server: Server, rw: str) -> None:
    body = server.read(rw + "objects/", limit=10**9)
    assert body["objects"]


# --- match ----------------------------------------------------------------------------------


@section("3.4.1")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_match_id_one(server: Server, rw: str, shelf: Shelf, path: str) -> None:
    one = shelf.entries[1].id
    assert ids(server.read(rw + path, match_id=one)) == [one]


@section("3.4")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_match_id_several_is_any_of_them_in_the_order_of_adding(
    server: Server, rw: str, shelf: Shelf, path: str
) -> None:
    wanted = [shelf.entries[1].id, shelf.entries[3].id]
    assert ids(server.read(rw + path, match_id=",".join(reversed(wanted)))) == wanted


@section("3.4.1")
def test_match_id_unknown_beside_a_known_one_is_passed_over(
    server: Server, rw: str, shelf: Shelf
) -> None:
    wanted = shelf.entries[1].id
    assert ids(server.read(rw + "objects/", match_id=f"{made()['id']},{wanted}")) == [wanted]


@section("3.4.1")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("kind", ["indicator", "marking-definition", "ipv4-addr", "relationship"])
def test_match_type_one(server: Server, rw: str, shelf: Shelf, path: str, kind: str) -> None:
    found = seen(server, rw + path, match_type=kind)
    assert shelf.of(kind)[0].id in found
    assert {one.partition("--")[0] for one in found} == {kind}


@section("3.4")
def test_match_type_several_is_any_of_them(server: Server, rw: str, shelf: Shelf) -> None:
    found = seen(server, rw + "objects/", match_type="ipv4-addr,malware", match_id=shelf.all_ids)
    assert found == [shelf.of("malware")[0].id, shelf.of("ipv4-addr")[0].id]


@section("3.4.1")
@pytest.mark.parametrize("group", STIX)
def test_types_of_stix_21_are_no_error(server: Server, rw: str, group: str) -> None:
    for kind in STIX[group].split(","):
        assert server.get(rw + "objects/", {"match[type]": kind, "limit": 1}).status_code == 200
    assert server.get(rw + "objects/", {"match[type]": STIX[group]}).status_code == 200


@section("3.4.1")
def test_a_type_that_stix_does_not_define_gives_nothing_or_an_error(
    server: Server, rw: str
) -> None:
    answer = server.get(rw + "objects/", {"match[type]": "x-no-such-type"})
    assert answer.status_code in (200, 400)
    assert answer.status_code == 400 or answer.json().get("objects") is None


@section("3.4.1")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_without_match_version_only_the_latest(
    server: Server, rw: str, shelf: Shelf, path: str
) -> None:
    assert ids(server.read(rw + path, match_id=shelf.all_ids)) == [e.id for e in shelf.last]


@section("3.4.1")
@pytest.mark.parametrize(
    ("asked", "places"),
    [("last", [2]), ("first", [0]), ("all", [0, 1, 2]), ("first,last", [0, 2]),
     ("last,first", [0, 2]), ("{1}", [1]), ("{0},{1}", [0, 1]), ("first,{1}", [0, 1]),
     ("{2},first", [0, 2]), ("first,{1},last", [0, 1, 2]), ("{2},last", [2])],
)  # fmt: skip
@pytest.mark.parametrize("path", ENDPOINTS)
def test_match_version(
    server: Server, rw: str, shelf: Shelf, path: str, asked: str, places: list[int]
) -> None:
    mine = shelf.of("indicator")
    asked = asked.format(*(entry.version for entry in mine))
    found = server.walk(rw + path, match_id=mine[0].id, match_version=asked)
    got = [one.get("version") or version_of(one) for one in found]
    assert got == [mine[place].version for place in places]


@section("3.4.1")
def test_match_version_default_is_last(server: Server, ro: str) -> None:
    assert server.walk(ro + "objects/") == server.walk(ro + "objects/", match_version="last")


@section("3.4.1")
def test_match_version_all_is_more_than_last_where_there_are_versions(
    server: Server, ro: str
) -> None:
    every = pairs(server, ro + "objects/", match_version="all")
    latest = pairs(server, ro + "objects/")
    assert len(every) > len(latest) == len({one for one, _ in latest})
    assert set(latest) < set(every)
    assert len(set(every)) == len(every)


@section("3.4.1")
def test_match_version_that_no_object_has_gives_nothing(server: Server, rw: str) -> None:
    body = server.read(rw + "objects/", match_version="1998-01-01T00:00:00.000Z")
    assert body.get("objects") is None


@section("3.4.1")
def test_match_version_of_what_is_not_versioned_is_created(
    server: Server, rw: str, shelf: Shelf
) -> None:
    mark = shelf.of("marking-definition")[0]
    query = {"match_id": mark.id, "match_version": mark.one["created"]}
    assert server.read(rw + "objects/", **query)["objects"] == [mark.one]


@section("3.4.1")
@pytest.mark.parametrize("asked", ["last", "first", "all"])
@pytest.mark.parametrize("kind", ["marking-definition", "ipv4-addr", "domain-name"])
def test_what_has_one_version_only_is_its_first_and_last(
    server: Server, rw: str, shelf: Shelf, kind: str, asked: str
) -> None:
    one = shelf.of(kind)[0]
    found = server.read(rw + "objects/", match_id=one.id, match_version=asked)
    assert found["objects"] == [one.one]


@section("3.4.1")
@pytest.mark.parametrize(
    "asked", ["all,last", "all,2026-01-01T00:00:00.000Z", "last,last", "yesterday", "",
              "2026-01-01", "2026-01-01T00:00:00.000Z,2026-01-01T00:00:00.000Z", "Last"],
)  # fmt: skip
def test_a_malformed_match_version_is_a_bad_request(server: Server, rw: str, asked: str) -> None:
    """`all` stands alone, no value stands twice, a time is a timestamp of STIX."""
    assert server.get(rw + "objects/", {"match[version]": asked}).status_code == 400


@section("3.4.1")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    ("asked", "given"), [("2.1", True), ("2.0", False), ("2.0,2.1", True), ("2.1,2.0", True)]
)
def test_match_spec_version(
    server: Server, rw: str, shelf: Shelf, path: str, asked: str, given: bool
) -> None:
    """An observable that does not say its version is of 2.1, where observables came in."""
    found = seen(server, rw + path, match_id=shelf.all_ids, match_spec_version=asked)
    assert found == ([entry.id for entry in shelf.last] if given else [])


@section("3.4")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_match_fields_are_anded(server: Server, rw: str, shelf: Shelf, path: str) -> None:
    malware, link = shelf.of("malware")[0].id, shelf.of("relationship")[0].id
    both = f"{malware},{link}"
    assert ids(server.read(rw + path, match_id=both, match_type="malware")) == [malware]
    assert server.read(rw + path, match_id=link, match_type="malware").get("objects") is None


@section("3.4")
def test_all_filters_together(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]]
) -> None:
    body = server.read(
        rw + "objects/",
        match_id=shelf.all_ids,
        match_type="indicator,malware",
        match_version="all",
        match_spec_version="2.1",
        added_after=records[1]["date_added"],
        limit=1,
    )
    assert body["objects"] == [shelf.of("indicator")[1].one]
    assert body["more"] is True


@section("3.4")
def test_the_latest_version_and_added_after_together(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]]
) -> None:
    """After the second version was added there is the third; after the third there is nothing."""
    one = shelf.of("indicator")[0].id
    after = records[2]["date_added"]
    assert pairs(server, rw + "objects/", match_id=one, added_after=after) == of(
        shelf.of("indicator")[2:]
    )
    gone = server.read(rw + "objects/", match_id=one, added_after=records[5]["date_added"])
    assert gone.get("objects") is None


@section("3.4")
@pytest.mark.parametrize("query", ["match[no_such_field]=1", "match[]=1", "match[name]=x"])
def test_a_field_that_is_not_known_is_ignored_or_a_bad_request(
    server: Server, rw: str, shelf: Shelf, query: str
) -> None:
    one = shelf.entries[1].id
    answer = server.get(f"{rw}objects/?match[id]={one}&{query}")
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert ids(answer.json()) == [one]


@section("3.4", "RFC 3986, 2.1")
@pytest.mark.parametrize("name", ["match[id]", "match%5Bid%5D", "match%5bid%5d"])
def test_brackets_may_be_percent_encoded(server: Server, rw: str, shelf: Shelf, name: str) -> None:
    one = shelf.entries[1].id
    assert ids(server.get(f"{rw}objects/?{name}={one}").json()) == [one]


@section("3.4", "RFC 3986, 2.1")
def test_values_may_be_percent_encoded(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]]
) -> None:
    wanted = f"{shelf.entries[1].id},{shelf.entries[3].id}"
    coded = "".join(f"%{ord(char):02X}" for char in wanted)
    assert len(ids(server.get(f"{rw}objects/?match[id]={coded}").json())) == 2
    after = quote(records[1]["date_added"], safe="")
    answer = server.get(f"{rw}objects/?match[id]={coded}&added_after={after}")
    assert ids(answer.json()) == [shelf.entries[3].id]


@section("3.4")
def test_filters_hold_for_ids_that_are_not_of_stix(server: Server, rw: str) -> None:
    for odd in ("'; drop table", "%00", "*", "a" * 300, "ñ"):
        answer = server.get(rw + "objects/", {"match[id]": odd})
        assert answer.status_code in (200, 400)
        assert answer.status_code == 400 or answer.json().get("objects") is None
