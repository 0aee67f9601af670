"""Who may do what; what does not exist for whom; how a refusal is told."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.conformance.kit import MEDIA, Server, Shelf, made
from tests.conformance.sections import section

#: Endpoints with a section each; ``{}`` is a collection, ``{id}`` an object.
READS = {
    "objects/": "5.4",
    "manifest/": "5.3",
    "objects/{id}/": "5.6",
    "objects/{id}/versions/": "5.8",
}
OPEN = {"/taxii2/": "4.1", "": "4.2", "collections/": "5.1", "{}": "5.2"} | {
    "{}" + path: number for path, number in READS.items()
}
TEXTS = ("title", "description", "error_id", "error_code", "http_status", "external_details")


def by_section(paths: dict[str, str]) -> list[Any]:
    return [
        pytest.param(path, marks=section(number), id=f"{number}-{path or 'root'}")
        for path, number in paths.items()
    ]


def place_of(server: Server, path: str, collection: str, object_id: str) -> str:
    if path == "/taxii2/":
        return server.target.base + path
    return path.replace("{id}", object_id).replace("{}", f"collections/{collection}/")


@section("1.6.9")
@pytest.mark.parametrize("path", by_section(OPEN))
def test_without_credentials_nothing_is_told(server: Server, shelf: Shelf, path: str) -> None:
    """401 with a challenge; the endpoints of collections may say 404 instead."""
    place = place_of(server, path, server.target.read_write, shelf.entries[0].id)
    request = server.http.build_request("GET", place)
    answer = server.http.send(request, auth=None)
    assert answer.status_code in ((401, 404) if path.startswith(("{}", "coll")) else (401,))
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"]
    assert shelf.entries[0].id not in answer.text


@section("1.6.9")
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_without_credentials_nothing_is_changed(
    server: Server, rw: str, shelf: Shelf, method: str
) -> None:
    """Authentication is asked for regardless of the method."""
    one = made()
    place = rw + ("objects/" if method == "POST" else f"objects/{shelf.entries[0].id}/")
    content = httpx.Request("POST", "http://x/", json={"objects": [one]}).content
    request = server.http.build_request(
        method,
        place,
        content=content if method == "POST" else None,
        headers={"content-type": MEDIA},
    )
    assert server.http.send(request, auth=None).status_code in (401, 404)
    assert server.read(rw + "objects/", match_id=one["id"]).get("objects") is None
    assert server.read(rw + "objects/", match_id=shelf.entries[0].id)["objects"]


@section("1.6.9", "RFC 7235, 4.2")
@pytest.mark.parametrize(
    "given",
    ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Basic Og==", "Bearer abc", "Nonsense abc"],
)
def test_malformed_or_foreign_credentials_are_unauthorised(server: Server, given: str) -> None:
    request = server.http.build_request("GET", "", headers={"authorization": given})
    answer = server.http.send(request, auth=None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]


@section("1.6.9", "RFC 7617")
@pytest.mark.parametrize("wrong", ["user", "password", "case", "empty"])
def test_wrong_credentials_are_unauthorised(server: Server, wrong: str) -> None:
    target = server.target
    auth = {
        "user": ("nobody", target.password),
        "password": (target.user, target.password + "x"),
        "case": (target.user, target.password.swapcase()),
        "empty": (target.user, ""),
    }[wrong]
    assert server.http.get("", auth=auth).status_code == 401


@section("8.2.2", "RFC 7617")
def test_basic_is_among_the_challenges(server: Server) -> None:
    answer = server.http.send(server.http.build_request("GET", ""), auth=None)
    assert answer.headers["www-authenticate"].lower().startswith("basic realm=")


@pytest.mark.parametrize("path", by_section(READS))
@section("5.2.1")
def test_without_the_right_to_read_nothing_is_given(
    server: Server, shelf: Shelf, path: str
) -> None:
    one = made()
    server.add(server.target.write_only, one)
    place = place_of(server, "{}" + path, server.target.write_only, one["id"])
    answer = server.get(place)
    assert answer.status_code in (403, 404)
    assert one["pattern"] not in answer.text


@section("5.5")
def test_without_the_right_to_write_nothing_is_taken(server: Server, ro: str) -> None:
    one = made()
    answer = server.send(server.target.read_only, {"objects": [one]})
    assert answer.status_code in (403, 404)
    assert server.read(ro + "objects/", match_id=one["id"]).get("objects") is None


@section("5.5")
def test_writing_to_the_write_only_collection_is_taken(server: Server) -> None:
    assert server.add(server.target.write_only, made())["success_count"] == 1


@section("5.7")
def test_deleting_needs_both_rights_forbidden_to_who_only_reads(server: Server, ro: str) -> None:
    known = server.read(ro + "objects/", limit=1)["objects"][0]["id"]
    assert server.http.delete(f"{ro}objects/{known}/").status_code == 403
    assert server.read(ro + "objects/", match_id=known)["objects"]


@section("5.7")
def test_deleting_needs_both_rights_forbidden_to_who_only_writes(server: Server) -> None:
    one = made()
    server.add(server.target.write_only, one)
    path = f"collections/{server.target.write_only}/objects/{one['id']}/"
    assert server.http.delete(path).status_code == 403


@section("5.7")
def test_deleting_in_what_is_not_visible_is_not_found(server: Server) -> None:
    path = f"collections/{server.target.not_visible}/objects/{made()['id']}/"
    assert server.http.delete(path).status_code == 404


@pytest.mark.parametrize("path", by_section({"": "5.2", **READS}))
@section("1.6.9")
def test_what_is_not_visible_answers_as_what_does_not_exist(server: Server, path: str) -> None:
    """Status, headers and body, but for the id that was asked for."""
    unknown, one = str(uuid.uuid4()), made()["id"]
    hidden = server.target.not_visible
    answers = [server.get(place_of(server, "{}" + path, name, one)) for name in (unknown, hidden)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(unknown, "X") == answers[1].text.replace(hidden, "X")
    assert set(answers[0].headers) == set(answers[1].headers)


@section("5.5")
def test_writing_to_what_is_not_visible_answers_as_what_does_not_exist(server: Server) -> None:
    unknown, hidden = str(uuid.uuid4()), server.target.not_visible
    answers = [server.send(name, {"objects": [made()]}) for name in (unknown, hidden)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(unknown, "X") == answers[1].text.replace(hidden, "X")


def refusals(server: Server) -> dict[str, httpx.Response]:
    """One refusal of each status that can be had."""
    objects = f"collections/{server.target.read_write}/objects/"
    return {
        "400": server.get(objects, {"limit": "none"}),
        "401": server.http.send(server.http.build_request("GET", ""), auth=None),
        "403": server.send(server.target.read_only, {"objects": [made()]}),
        "404": server.get("collections/no-such-collection/"),
        "406": server.get("", accept="application/taxii+json;version=9.9"),
    }


@section("3.6.1")
@pytest.mark.parametrize("status", ["400", "401", "403", "404", "406"])
def test_an_error_has_a_title_and_texts(server: Server, status: str) -> None:
    """An error may come without a body; with one, it is an error message."""
    answer = refusals(server)[status]
    assert str(answer.status_code) == status
    if answer.content:
        body = answer.json()
        assert body["title"]
        assert {type(body[name]) for name in TEXTS if name in body} == {str}
        assert isinstance(body.get("details", {}), dict)
        assert {name for name in body if not name.startswith("x_")} <= {*TEXTS, "details"}


@section("3.6.1")
@pytest.mark.parametrize("status", ["400", "401", "403", "404", "406"])
def test_http_status_in_an_error_is_the_one_of_the_answer(server: Server, status: str) -> None:
    answer = refusals(server)[status]
    if answer.content:
        assert answer.json().get("http_status", status) == status == str(answer.status_code)


@section("3.1")
@pytest.mark.parametrize("status", ["400", "401", "403", "404", "406"])
def test_an_error_is_labelled_as_taxii(server: Server, status: str) -> None:
    answer = refusals(server)[status]
    assert (str(answer.status_code), answer.headers["content-type"]) == (status, MEDIA)
