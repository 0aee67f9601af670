"""Content negotiation: what is asked for, what is sent, what is told."""

from __future__ import annotations

import pytest

from tests.conformance.kit import MEDIA, Server, Shelf, made
from tests.conformance.sections import section

GOOD = [
    "application/taxii+json;version=2.1",
    "application/taxii+json",
    "application/taxii+json; version=2.1",
    "Application/TAXII+JSON;Version=2.1",
    'application/taxii+json;version="2.1"',
    "application/taxii+json;version=2.1, application/stix+json;version=2.1",
    "text/html, application/taxii+json;version=2.1;q=0.5",
    "application/taxii+json;version=2.0, application/taxii+json;version=2.1",
    "application/taxii+json;version=2.1;q=0.001",
    "text/html;q=0.9,*/*;q=0.1",
    "*/*",
    "application/*",
]
BAD = [
    "text/html",
    "application/json",
    "application/taxii+json;version=2.0",
    "application/taxii+json;version=9.9",
    "application/stix+json;version=2.1",
    "application/vnd.oasis.taxii+json;version=2.0",
    "nonsense",
]


@section("3.1")
@pytest.mark.parametrize("accept", GOOD)
def test_what_may_be_asked_for_is_not_refused_as_not_acceptable(
    server: Server, accept: str
) -> None:
    """Media ranges and weights are those of RFC 7231, 5.3.2, which 1.6.8 refers to."""
    answer = server.get("", accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA)


@section("3.1")
@pytest.mark.parametrize("accept", BAD)
def test_what_is_not_defined_is_served_or_not_acceptable_but_never_mislabelled(
    server: Server, accept: str
) -> None:
    answer = server.get("", accept=accept)
    assert answer.status_code in (200, 406)
    if answer.status_code == 200:
        assert answer.headers["content-type"] == MEDIA


@section("1.6.8.2")
@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_a_version_that_the_server_does_not_name_is_not_acceptable(
    server: Server, version: str
) -> None:
    asked = f"application/taxii+json;version={version}"
    if asked in server.read("")["versions"]:
        assert server.get("", accept=asked).status_code == 200
    else:
        assert server.get("", accept=asked).status_code == 406


@section("3.1", "RFC 7231, 5.3.2")
def test_without_accept_the_answer_is_taxii_or_a_refusal(server: Server) -> None:
    """A request must have one; a server may take its absence as any media type."""
    request = server.http.build_request("GET", "")
    del request.headers["accept"]
    answer = server.http.send(request)
    assert answer.status_code in (200, 400, 406)
    assert answer.headers["content-type"] == MEDIA


@section("3.1")
@pytest.mark.parametrize(
    "path",
    ["/taxii2/", "", "collections/", "{}", "{}objects/", "{}manifest/", "{}objects/{id}/",
     "{}objects/{id}/versions/"],
)  # fmt: skip
def test_answers_are_labelled_exactly(server: Server, rw: str, shelf: Shelf, path: str) -> None:
    if path == "/taxii2/":
        path = server.target.base + path
    place = path.replace("{id}", shelf.entries[0].id).replace("{}", rw)
    answer = server.get(place)
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA)


@section("3.1")
def test_errors_are_labelled_exactly(server: Server) -> None:
    answer = server.get("collections/no-such-collection/")
    assert (answer.status_code, answer.headers["content-type"]) == (404, MEDIA)


@section("5.5")
@pytest.mark.parametrize(
    "content", [MEDIA, "application/taxii+json", "application/taxii+json; version=2.1"]
)
def test_what_may_be_sent_is_taken(server: Server, content: str) -> None:
    answer = server.send(server.target.read_write, {"objects": [made()]}, content_type=content)
    assert (answer.status_code, answer.headers["content-type"]) == (202, MEDIA)


@section("5.5")
@pytest.mark.parametrize(
    "content", ["text/plain", "application/xml", "application/taxii+json;version=9.9", ""]
)
def test_what_is_not_defined_is_taken_or_an_unsupported_media_type(
    server: Server, content: str
) -> None:
    """3.1 lets a server satisfy such a request; then it is really done."""
    one = made()
    answer = server.send(server.target.read_write, {"objects": [one]}, content_type=content)
    assert answer.status_code in (202, 415)
    place = f"collections/{server.target.read_write}/objects/"
    found = server.read(place, match_id=one["id"])
    assert bool(found.get("objects")) == (answer.status_code == 202)


@section("5.5")
def test_a_post_that_accepts_no_taxii_is_served_or_not_acceptable(server: Server) -> None:
    answer = server.send(server.target.read_write, {"objects": [made()]}, accept="text/html")
    assert answer.status_code in (202, 406)
