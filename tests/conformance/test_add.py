"""Adding objects and the status that tells what became of them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.conformance.kit import MEDIA, TIMESTAMP, Server, Shelf, made, version_of
from tests.conformance.sections import section

STATUS = {
    "id", "status", "request_timestamp", "total_count", "success_count", "successes",
    "failure_count", "failures", "pending_count", "pendings",
}  # fmt: skip
LISTS = {"successes": "success_count", "failures": "failure_count", "pendings": "pending_count"}


@pytest.fixture(scope="module")
def mixed(server: Server) -> dict[str, Any]:
    """The status of a request with two objects."""
    return server.add(server.target.read_write, made(), made("malware", is_family=False))


@section("5.5")
def test_adding_is_accepted_with_a_status(server: Server) -> None:
    answer = server.send(server.target.read_write, {"objects": [made()]})
    assert (answer.status_code, answer.headers["content-type"]) == (202, MEDIA)
    assert answer.json()["status"] in ("complete", "pending")


@section("4.3.1")
def test_a_status_has_an_id_of_version_4(mixed: dict[str, Any]) -> None:
    assert uuid.UUID(mixed["id"]).version == 4


@section("4.3.1")
def test_request_timestamp_is_a_timestamp(mixed: dict[str, Any]) -> None:
    assert TIMESTAMP.match(mixed.get("request_timestamp", "2026-01-01T00:00:00.000000Z"))


@section("4.3.1")
def test_counts_are_integers_and_add_up(mixed: dict[str, Any]) -> None:
    counts = [mixed[name] for name in (*LISTS.values(), "total_count")]
    assert {type(count) for count in counts} == {int}
    assert sum(counts[:3]) == counts[3] == 2


@section("4.3.1")
@pytest.mark.parametrize("name", LISTS)
def test_lists_are_as_long_as_their_counts_say(mixed: dict[str, Any], name: str) -> None:
    """Lists are optional; one that is there is complete."""
    if name in mixed:
        assert len(mixed[name]) == mixed[LISTS[name]]


@section("2")
def test_lists_of_a_status_are_left_out_rather_than_empty(mixed: dict[str, Any]) -> None:
    assert [name for name in LISTS if mixed.get(name) == []] == []


@section("4.3.1")
def test_successes_name_id_and_version(server: Server) -> None:
    """The version is `modified`, else `created`, else one the server chooses."""
    statement = made("marking-definition", definition_type="statement", definition={})
    statement["definition"]["statement"] = "x"
    del statement["modified"]
    address = made("ipv4-addr", value="198.51.100.3")
    del address["created"], address["modified"]
    sent = [made(days=4), statement, address]
    status = server.add(server.target.read_write, *sent)
    assert status["success_count"] == 3
    for one, told in zip(sent, status.get("successes", sent), strict=True):
        assert told["id"] == one["id"]
        if status.get("successes"):
            assert told["version"] == (version_of(one) or told["version"])
            assert isinstance(told["version"], str)


@section("3.8")
def test_a_status_has_no_property_that_the_standard_does_not_name(mixed: dict[str, Any]) -> None:
    assert {name for name in mixed if not name.startswith("x_")} <= STATUS


@section("4.3")
def test_a_status_can_be_asked_for_again(server: Server, mixed: dict[str, Any]) -> None:
    answer = server.get(f"status/{mixed['id']}/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA)
    assert answer.json() == mixed


@section("5.5")
def test_a_repeated_object_is_no_error_and_no_second_entry(server: Server, rw: str) -> None:
    one = made()
    server.add(server.target.read_write, one)
    for _ in range(2):
        assert server.add(server.target.read_write, one)["failure_count"] == 0
    assert len(server.walk(rw + "objects/", match_id=one["id"], match_version="all")) == 1
    assert len(server.walk(rw + "manifest/", match_id=one["id"], match_version="all")) == 1


@section("5.5")
def test_a_repeated_object_keeps_its_time_of_adding(server: Server, rw: str) -> None:
    one = made()
    server.add(server.target.read_write, one)
    before = server.get(rw + "objects/", {"match[id]": one["id"]}).headers
    server.add(server.target.read_write, made())
    server.add(server.target.read_write, one)
    after = server.get(rw + "objects/", {"match[id]": one["id"]}).headers
    assert before["x-taxii-date-added-last"] == after["x-taxii-date-added-last"]


@section("5.5")
def test_an_object_twice_in_one_request_is_no_error_and_one_entry(server: Server, rw: str) -> None:
    one, other = made(), made()
    status = server.add(server.target.read_write, one, other, one)
    assert status["failure_count"] == 0
    assert len(server.walk(rw + "objects/", match_id=one["id"], match_version="all")) == 1


@section("5.5")
def test_another_content_under_the_same_version_never_makes_two_of_one(
    server: Server, rw: str
) -> None:
    """Taken, refused or ignored is the server's choice; one version has one content."""
    one = made()
    other = one | {"name": "another"}
    server.add(server.target.read_write, one)
    status = server.add(server.target.read_write, other)
    found = server.walk(rw + "objects/", match_id=one["id"], match_version="all")
    assert found in ([one], [other])
    if status["failure_count"]:
        assert found == [one]


@section("5.5")
def test_two_versions_in_one_request_are_both_kept(server: Server, rw: str) -> None:
    one = made()
    later = one | {"modified": "2026-01-09T00:00:00.000Z"}
    assert server.add(server.target.read_write, one, later)["success_count"] == 2
    assert server.walk(rw + "objects/", match_id=one["id"], match_version="all") == [one, later]


@section("5.5")
def test_an_older_version_that_comes_later_does_not_become_the_latest(
    server: Server, rw: str
) -> None:
    newer = made(days=5)
    older = newer | {"modified": "2026-01-02T00:00:00.000Z"}
    server.add(server.target.read_write, newer)
    server.add(server.target.read_write, older)
    assert server.read(rw + "objects/", match_id=newer["id"])["objects"] == [newer]


@section("5.5")
def test_a_body_beyond_max_content_length_is_too_large(server: Server) -> None:
    length = server.read("")["max_content_length"]
    body = json.dumps({"objects": [made(description="x" * length)]}).encode()
    assert server.send(server.target.read_write, body).status_code == 413


@section("4.2.1")
def test_a_body_below_max_content_length_is_not_too_large(server: Server) -> None:
    length = server.read("")["max_content_length"]
    body = json.dumps({"objects": [made()]}).encode().ljust(length - 1)
    assert server.send(server.target.read_write, body).status_code != 413


@section("5.5")
def test_what_was_added_is_there_when_the_status_is_complete(
    server: Server, rw: str, shelf: Shelf
) -> None:
    assert shelf.entries
    many = [made() for _ in range(60)]
    assert server.add(server.target.read_write, *many)["success_count"] == 60
    wanted = ",".join(one["id"] for one in many[::20])
    assert server.read(rw + "objects/", match_id=wanted)["objects"] == many[::20]


@section("5.5")
def test_an_envelope_with_blanks_and_escapes_is_taken(server: Server, rw: str) -> None:
    one = made(name="caf\u00e9")
    body = json.dumps({"objects": [one]}, indent=4).encode() + b"\r\n"
    assert b"\\u00e9" in body
    assert server.send(server.target.read_write, body).status_code == 202
    assert server.read(rw + "objects/", match_id=one["id"])["objects"] == [one]
