"""What should not be sent, and what comes of it.

Last of all by its name: a server that keeps what it cannot read may answer nothing any more.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.kit import MEDIA, Server, made
from tests.conformance.sections import section


@section("4.3.1")
@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "no-stix-id"},
        {"id": "malware--31b940d4-6f7f-459a-80ea-9c1f17b5891b"},
        {"modified": "yesterday"},
        {"type": 5},
    ],
    ids=["id", "type-of-id", "modified", "type"],
)
def test_a_bad_object_among_good_ones_is_a_failure_of_its_own(
    server: Server, rw: str, wrong: dict[str, Any]
) -> None:
    """Or the request is refused as a whole; then nothing of it is there. A server need not
    check what STIX demands; then the object counts as added."""
    good, bad = made(), made() | wrong
    answer = server.send(server.target.read_write, {"objects": [good, bad]})
    assert answer.status_code in (202, 422)
    found = server.read(rw + "objects/", match_id=good["id"]).get("objects", [])
    if answer.status_code == 202:
        status = answer.json()
        assert status["total_count"] == 2
        assert status["success_count"] + status["failure_count"] == 2
        assert [one["message"] for one in status.get("failures", []) if "version" not in one] == []
        assert found == [good]
    else:
        assert found == []


@section("5.5")
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nothing", b'{"objects": [}', b"\xff\xfe{}", b"[" * 5000, b'{"objects":[{}]} x'],
    ids=["empty", "cut", "text", "broken", "not-utf8", "deep", "trailing"],
)
def test_what_is_no_json_is_refused(server: Server, body: bytes) -> None:
    answer = server.send(server.target.read_write, body)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == MEDIA


@section("5.5")
@pytest.mark.parametrize(
    "body", ["[]", '"text"', "17", "null", "true", '{"objects": {}}', '{"objects": "x"}',
             '{"objects": 1}', '{"objects": null}'],
)  # fmt: skip
def test_json_that_is_no_envelope_is_unprocessable(server: Server, body: str) -> None:
    """422 names it; 400, which names what is not understood, is let pass."""
    assert server.send(server.target.read_write, body.encode()).status_code in (400, 422)


@section("5.5")
@pytest.mark.parametrize("shape", ["array", "object"])
def test_objects_outside_an_envelope_are_refused(server: Server, rw: str, shape: str) -> None:
    """Clients must deliver all objects in an envelope."""
    one = made()
    body = [one] if shape == "array" else one
    answer = server.send(server.target.read_write, body)
    assert answer.status_code in (400, 422)
    assert server.read(rw + "objects/", match_id=one["id"]).get("objects") is None


@section("2")
def test_an_envelope_with_an_empty_list_adds_nothing(server: Server) -> None:
    answer = server.send(server.target.read_write, {"objects": []})
    assert answer.status_code in (202, 400, 422)
    if answer.status_code == 202:
        assert answer.json()["success_count"] == 0


@section("7.1.1")
def test_an_own_property_of_the_envelope_is_ignored_or_unprocessable(
    server: Server, rw: str
) -> None:
    one = made()
    answer = server.send(server.target.read_write, {"objects": [one], "x_own_note": "n"})
    assert answer.status_code in (202, 422)
    found = server.read(rw + "objects/", match_id=one["id"]).get("objects")
    assert bool(found) == (answer.status_code == 202)


@section("5.5")
def test_stix_of_another_version_is_unprocessable_or_counted(server: Server, rw: str) -> None:
    """An object of STIX 2.0 has no spec_version; it is never passed off as 2.1."""
    one = made()
    del one["spec_version"]
    answer = server.send(server.target.read_write, {"objects": [one]})
    assert answer.status_code in (202, 422)
    query = {"match_id": one["id"], "match_spec_version": "2.1"}
    assert server.read(rw + "objects/", **query).get("objects") is None
