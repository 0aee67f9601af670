"""The manifest: what is known of objects without giving them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.kit import TIMESTAMP, Server, Shelf, ids, made, version_of
from tests.conformance.sections import section

RECORD = {"id", "date_added", "version", "media_type"}


@section("5.3.1")
def test_a_manifest_has_more_and_objects_only(server: Server, ro: str) -> None:
    """`next` is let pass: the table of 5.3.1 forgets it, but 5.3 takes it as a parameter."""
    for limit in (1, 1000):
        body = server.read(ro + "manifest/", limit=limit)
        assert {name for name in body if not name.startswith("x_")} <= {"more", "next", "objects"}
        assert isinstance(body.get("more", False), bool)


@section("5.3.1")
def test_a_record_has_id_date_added_version_and_media_type(server: Server, ro: str) -> None:
    for one in server.walk(ro + "manifest/", match_version="all"):
        assert {"id", "date_added", "version"} <= set(one)
        assert {name for name in one if not name.startswith("x_")} <= RECORD
        assert {type(value) for value in one.values()} == {str}


@section("2")
def test_date_added_is_a_timestamp(server: Server, ro: str) -> None:
    for one in server.walk(ro + "manifest/", match_version="all"):
        assert TIMESTAMP.match(one["date_added"])


@section("3.3")
def test_records_come_in_the_order_they_were_added(server: Server, ro: str) -> None:
    times = [one["date_added"] for one in server.walk(ro + "manifest/", match_version="all")]
    assert times == sorted(times)
    assert len(times) > 1


@section("5.3.1")
def test_media_type_is_one_of_the_collection(server: Server, ro: str) -> None:
    known = server.read(ro).get("media_types", ["application/stix+json"])
    for one in server.walk(ro + "manifest/", match_version="all"):
        assert one.get("media_type", known[0]) in known


@section("5.3.1")
def test_the_version_is_modified_else_created(shelf: Shelf, records: list[dict[str, Any]]) -> None:
    for entry, record in zip(shelf.entries, records, strict=True):
        assert record["version"] == (entry.version or record["version"])
        assert record["version"]


@section("5.3.1")
def test_the_version_of_what_has_none_stays_the_same(
    server: Server, rw: str, shelf: Shelf, records: list[dict[str, Any]]
) -> None:
    """The server chooses it, and by it the object is found."""
    one = shelf.of("ipv4-addr")[0].id
    told = [record["version"] for record in records if record["id"] == one]
    assert [r["version"] for r in server.walk(rw + "manifest/", match_id=one)] == told
    assert server.read(f"{rw}objects/{one}/versions/")["versions"] == told


@section("5.3.1")
def test_a_record_stands_for_one_version(records: list[dict[str, Any]]) -> None:
    assert len({(one["id"], one["version"]) for one in records}) == len(records)


@section("5.3")
@pytest.mark.parametrize("version", ["all", "last", "first"])
def test_the_manifest_lists_what_the_objects_are(server: Server, ro: str, version: str) -> None:
    objects = server.walk(ro + "objects/", match_version=version)
    manifest = server.walk(ro + "manifest/", match_version=version)
    assert ids({"objects": manifest}) == ids({"objects": objects})
    for one, record in zip(objects, manifest, strict=True):
        assert record["version"] == (version_of(one) or record["version"])


@section("5.3.1")
def test_nothing_found_is_an_empty_object(server: Server, rw: str) -> None:
    assert server.read(rw + "manifest/", match_id=made()["id"]) == {}


@section("5.3")
def test_accept_with_stix_beside_taxii_is_served(server: Server, ro: str) -> None:
    """The header as 5.3 writes it."""
    both = "application/taxii+json;version=2.1,application/stix+json;version=2.1"
    assert server.get(ro + "manifest/", accept=both).status_code == 200
