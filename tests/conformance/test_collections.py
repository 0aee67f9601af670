"""Collections: the list, one by its id, one by its alias."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.conformance.kit import Server
from tests.conformance.sections import section

RIGHTS = {"read_write": (True, True), "read_only": (True, False), "write_only": (False, True)}
KNOWN = {"id", "title", "description", "alias", "can_read", "can_write", "media_types"}


@pytest.fixture(scope="module")
def listed(server: Server) -> list[dict[str, Any]]:
    return server.read("collections/")["collections"]


@section("5.1.1")
def test_the_list_is_the_only_property_and_not_empty(server: Server) -> None:
    body = server.read("collections/")
    assert {name for name in body if not name.startswith("x_")} <= {"collections"}
    assert body.get("collections", ["left out"]) != []


@section("3.3")
def test_the_list_keeps_its_order(server: Server, listed: list[dict[str, Any]]) -> None:
    for _ in range(3):
        assert server.read("collections/")["collections"] == listed


@section("5.2.1")
def test_ids_are_version_4_uuids(listed: list[dict[str, Any]]) -> None:
    for one in listed:
        assert str(uuid.UUID(one["id"])) == one["id"].lower()
        assert uuid.UUID(one["id"]).variant == uuid.RFC_4122
        assert uuid.UUID(one["id"]).version == 4


@section("5.2.1")
def test_ids_are_unique(listed: list[dict[str, Any]]) -> None:
    assert len({one["id"] for one in listed}) == len(listed)


@section("5.2.1")
def test_titles_are_texts(listed: list[dict[str, Any]]) -> None:
    for one in listed:
        assert isinstance(one["title"], str)
        assert one["title"]


@section("5.2.1")
@pytest.mark.parametrize("right", ["can_read", "can_write"])
def test_rights_are_literal_booleans(listed: list[dict[str, Any]], right: str) -> None:
    assert {type(one[right]) for one in listed} == {bool}


@section("5.2.1")
@pytest.mark.parametrize("which", RIGHTS)
def test_rights_are_those_the_client_has(
    server: Server, listed: list[dict[str, Any]], which: str
) -> None:
    wanted = getattr(server.target, which)
    found = [(one["can_read"], one["can_write"]) for one in listed if one["id"] == wanted]
    assert found == [RIGHTS[which]]


@section("1.6.9")
def test_what_a_client_may_not_see_is_not_listed(
    server: Server, listed: list[dict[str, Any]]
) -> None:
    assert server.target.not_visible not in {one["id"] for one in listed}


@section("5.2.1")
def test_media_types_are_a_list_of_stix_media_types(listed: list[dict[str, Any]]) -> None:
    for one in listed:
        types = one.get("media_types", ["application/stix+json"])
        assert types
        assert [t for t in types if not t.startswith("application/stix+json")] == []


@section("5.2.1")
def test_aliases_are_unique_and_no_ids_of_others(listed: list[dict[str, Any]]) -> None:
    aliases = [one["alias"] for one in listed if "alias" in one]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & {one["id"] for one in listed}


@section("3.8")
def test_a_collection_has_no_property_that_the_standard_does_not_name(
    listed: list[dict[str, Any]],
) -> None:
    for one in listed:
        assert {name for name in one if not name.startswith("x_")} <= KNOWN


@section("5.2")
@pytest.mark.parametrize("which", RIGHTS)
def test_a_collection_by_its_id_is_the_one_of_the_list(
    server: Server, listed: list[dict[str, Any]], which: str
) -> None:
    wanted = getattr(server.target, which)
    assert server.read(f"collections/{wanted}/") in listed


@section("5.2.1")
def test_a_collection_by_its_alias_is_the_same(
    server: Server, listed: list[dict[str, Any]]
) -> None:
    """An alias may be left out; where there is one, it opens what the id opens."""
    for one in listed:
        if "alias" in one:
            assert server.read(f"collections/{one['alias']}/") == one


@section("5.2.1")
def test_objects_by_the_alias_are_the_same(server: Server, listed: list[dict[str, Any]]) -> None:
    for one in listed:
        if "alias" in one and one["can_read"]:
            by_id, by_alias = (
                server.read(f"collections/{name}/objects/", limit=2).get("objects")
                for name in (one["id"], one["alias"])
            )
            assert by_alias == by_id


@section("5.2")
@pytest.mark.parametrize(
    "name", ["5b0f0f3c-7f0e-4b0e-9f0e-0f0e0f0e0f0e", "no-such-alias", "%2e%2e", "a%2Fb", "%00"]
)
def test_an_unknown_collection_is_not_found(server: Server, name: str) -> None:
    assert server.get(f"collections/{name}/").status_code in (404, 400)
