"""HTTP as TAXII rests on it: methods, slashes, compression, connections."""

from __future__ import annotations

import gzip

import httpx
import pytest

from tests.conformance.kit import Server, Shelf, made
from tests.conformance.sections import section

PLACES = [
    "{base}/taxii2/",
    "",
    "collections/",
    "{rw}",
    "{rw}objects/",
    "{rw}manifest/",
    "{rw}objects/{id}/",
    "{rw}objects/{id}/versions/",
]
WRONG = [
    ("POST", "{base}/taxii2/"),
    ("DELETE", "{base}/taxii2/"),
    ("PUT", ""),
    ("POST", "collections/"),
    ("DELETE", "{rw}"),
    ("PUT", "{rw}objects/"),
    ("DELETE", "{rw}objects/"),
    ("PATCH", "{rw}objects/{id}/"),
    ("POST", "{rw}objects/{id}/"),
    ("POST", "{rw}manifest/"),
    ("DELETE", "{rw}objects/{id}/versions/"),
]


def filled(server: Server, place: str, rw: str, shelf: Shelf) -> str:
    return place.format(base=server.target.base, rw=rw, id=shelf.entries[0].id)


@section("8.2.1", "RFC 7231, 4.3.2")
@pytest.mark.parametrize("place", PLACES)
def test_head_is_get_without_a_body(server: Server, rw: str, shelf: Shelf, place: str) -> None:
    path = filled(server, place, rw, shelf)
    # One object at most, so that both answers are of the same page.
    query = {"limit": 1} if "objects" in path or "manifest" in path else None
    got, head = server.get(path, query), server.http.head(path, params=query)
    assert (got.status_code, head.status_code) == (200, 200)
    assert head.content == b""
    for name in ("content-type", "x-taxii-date-added-first", "x-taxii-date-added-last"):
        assert head.headers.get(name) == got.headers.get(name)
    length = head.headers.get("content-length", str(len(got.content)))
    assert length == str(len(got.content))


@section("8.2.1", "RFC 7231, 4.3.2")
def test_head_of_what_is_not_there_is_not_found(server: Server) -> None:
    answer = server.http.head("collections/no-such-collection/")
    assert (answer.status_code, answer.content) == (404, b"")


@section("8.2.1", "RFC 7231, 7.4.1")
@pytest.mark.parametrize("place", PLACES)
def test_options_tells_what_is_allowed(server: Server, rw: str, shelf: Shelf, place: str) -> None:
    """A server that does not serve OPTIONS says 405, and still what it allows."""
    answer = server.http.options(filled(server, place, rw, shelf))
    assert answer.status_code in (200, 204, 405)
    allowed = {method.strip() for method in answer.headers["allow"].split(",")}
    assert "GET" in allowed
    if place == "{rw}objects/":
        assert "POST" in allowed


@section("3.1", "RFC 7231, 6.5.5")
@pytest.mark.parametrize(("method", "place"), WRONG)
def test_a_method_that_an_endpoint_does_not_have_is_not_allowed(
    server: Server, rw: str, shelf: Shelf, method: str, place: str
) -> None:
    answer = server.http.request(method, filled(server, place, rw, shelf), json={"objects": []})
    assert answer.status_code in (404, 405)
    if answer.status_code == 405:
        assert "GET" in answer.headers["allow"]


@section("3.1")
@pytest.mark.parametrize("place", PLACES)
def test_without_the_final_slash_it_is_not_another_thing(
    server: Server, rw: str, shelf: Shelf, place: str
) -> None:
    """Requests must have it. A server may redirect, serve all the same, or know no such thing."""
    path = filled(server, place, rw, shelf) or server.target.root
    answer = server.http.get(path.rstrip("/"))
    assert answer.status_code in (200, 301, 307, 308, 404)
    if answer.is_redirect:
        assert answer.headers["location"].partition("?")[0].endswith("/")


@section("3.1", "RFC 7231, 5.3.4")
@pytest.mark.parametrize("place", ["{rw}objects/", "{rw}manifest/", "collections/"])
def test_gzip_decodes_to_the_same_bytes(server: Server, rw: str, shelf: Shelf, place: str) -> None:
    path = filled(server, place, rw, shelf)
    query = None if place == "collections/" else {"match[id]": shelf.all_ids}
    plain = server.get(path, query)
    assert "content-encoding" not in plain.headers
    request = server.http.build_request(
        "GET", path, params=query, headers={"accept-encoding": "gzip"}
    )
    answer = server.http.send(request, stream=True)
    raw = b"".join(answer.iter_raw())
    answer.close()
    if answer.headers.get("content-encoding") == "gzip":
        assert "accept-encoding" in answer.headers["vary"].lower()
        raw = gzip.decompress(raw)
    assert raw == plain.content


@section("3.1", "RFC 7231, 5.3.4")
@pytest.mark.parametrize("accepted", ["gzip;q=0", "br", "identity;q=1, gzip;q=0", ""])
def test_gzip_is_not_sent_to_who_does_not_take_it(server: Server, ro: str, accepted: str) -> None:
    answer = server.get(ro + "objects/", accept_encoding=accepted)
    assert answer.status_code == 200
    assert answer.headers.get("content-encoding", "identity") != "gzip"
    assert answer.json()["objects"]


@section("8.2.1", "RFC 7230, 6.3")
def test_a_connection_serves_several_requests(server: Server, ro: str) -> None:
    ends = set()
    for path in ("", "collections/", ro + "objects/"):
        answer = server.http.get(path)
        assert answer.http_version == "HTTP/1.1"
        assert answer.headers.get("connection", "keep-alive").lower() != "close"
        ends.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(ends) == 1


@section("8.2.1", "RFC 7230, 6.3")
def test_a_connection_survives_a_refusal(server: Server) -> None:
    ends = set()
    for path in ("", "collections/no-such-collection/", ""):
        answer = server.http.get(path)
        assert answer.headers.get("connection", "keep-alive").lower() != "close"
        ends.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(ends) == 1


@section("5.5", "RFC 7230, 4.1")
def test_a_body_in_chunks_is_taken(server: Server, rw: str) -> None:
    """A client that streams does not say the length beforehand."""
    one = made()
    body = httpx.Request("POST", "http://x/", json={"objects": [one]}).content
    parts = (body[at : at + 50] for at in range(0, len(body), 50))
    answer = server.http.post(
        rw + "objects/", content=parts, headers={"content-type": "application/taxii+json"}
    )
    assert answer.status_code == 202
    assert server.read(rw + "objects/", match_id=one["id"])["objects"] == [one]
