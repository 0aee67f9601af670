"""Server information: discovery, API root, and what all answers have in common."""

from __future__ import annotations

from urllib.parse import urlparse

import pytest

from tests.conformance.kit import MEDIA, Server
from tests.conformance.sections import section

DISCOVERY = {"title": str, "description": str, "contact": str, "default": str, "api_roots": list}


@pytest.fixture(scope="module")
def discovery(server: Server) -> dict[str, object]:
    return server.read(server.target.base + "/taxii2/")


@pytest.fixture(scope="module")
def root(server: Server) -> dict[str, object]:
    return server.read("")


@section("8.2.1")
def test_discovery_is_at_taxii2_below_the_root_of_the_server(server: Server) -> None:
    answer = server.get(server.target.base + "/taxii2/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA)


@section("4.1.1")
def test_discovery_has_a_title(discovery: dict[str, object]) -> None:
    assert isinstance(discovery["title"], str)
    assert discovery["title"]


@section("4.1.1")
@pytest.mark.parametrize("name", DISCOVERY)
def test_discovery_property_is_of_its_type_if_it_is_there(
    discovery: dict[str, object], name: str
) -> None:
    assert isinstance(discovery.get(name, DISCOVERY[name]()), DISCOVERY[name])


@section("3.8")
def test_discovery_has_no_property_that_the_standard_does_not_name(
    discovery: dict[str, object],
) -> None:
    """Own properties are allowed under a name that begins with x_ (7.1.1)."""
    assert {name for name in discovery if not name.startswith("x_")} <= set(DISCOVERY)


@section("2")
def test_api_roots_are_left_out_rather_than_empty(discovery: dict[str, object]) -> None:
    assert discovery.get("api_roots", ["left out"]) != []


@section("4.1.1")
def test_default_is_one_of_the_api_roots(discovery: dict[str, object]) -> None:
    if "default" in discovery:
        assert discovery["default"] in discovery["api_roots"]


@section("4.1.1")
def test_api_roots_are_absolute_or_relative_from_one_slash(
    server: Server, discovery: dict[str, object]
) -> None:
    """Absolute ones are HTTPS; HTTP is let pass where the server under test is itself reached
    without TLS."""
    schemes = {"https", urlparse(server.target.base).scheme}
    for url in discovery["api_roots"]:
        parts = urlparse(url)
        if parts.scheme:
            assert parts.scheme in schemes
            assert parts.netloc
        else:
            assert url.startswith("/")
            assert not url.startswith("//")


@section("4.1.1")
def test_api_roots_have_no_query(discovery: dict[str, object]) -> None:
    assert [url for url in discovery["api_roots"] if "?" in url] == []


@section("3.1")
def test_api_roots_end_in_a_slash(discovery: dict[str, object]) -> None:
    assert [url for url in discovery["api_roots"] if not url.endswith("/")] == []


@section("4.2")
def test_api_roots_are_unique(discovery: dict[str, object]) -> None:
    assert len(set(discovery["api_roots"])) == len(discovery["api_roots"])


@section("4.1")
def test_the_api_root_under_test_is_advertised(
    server: Server, discovery: dict[str, object]
) -> None:
    paths = {urlparse(url).path for url in discovery["api_roots"]}
    assert urlparse(server.target.root).path in paths


@section("4.2.1")
def test_api_root_has_a_title(root: dict[str, object]) -> None:
    assert isinstance(root["title"], str)
    assert root["title"]


@section("4.2.1")
def test_api_root_names_taxii_21_among_its_versions(root: dict[str, object]) -> None:
    assert MEDIA in root["versions"]


@section("4.2.1")
def test_api_root_versions_are_media_types_with_their_version(root: dict[str, object]) -> None:
    for version in root["versions"]:
        assert version.startswith("application/taxii+json;version=")


@section("4.2.1")
def test_max_content_length_is_a_positive_integer(root: dict[str, object]) -> None:
    length = root["max_content_length"]
    assert type(length) is int
    assert 0 < length < 2**53


@section("3.8")
def test_api_root_has_no_property_that_the_standard_does_not_name(
    root: dict[str, object],
) -> None:
    known = {"title", "description", "versions", "max_content_length"}
    assert {name for name in root if not name.startswith("x_")} <= known


@section("4.2")
def test_an_unknown_api_root_is_not_found(server: Server) -> None:
    assert server.get(server.target.base + "/no-such-root/").status_code == 404
    assert server.get(server.target.base + "/taxii2/no-such-root/").status_code == 404


@section("4.3")
@pytest.mark.parametrize("name", ["2d086da7-4bdc-4f91-900e-d77486753710", "no-uuid"])
def test_an_unknown_status_is_not_found(server: Server, name: str) -> None:
    assert server.get(f"status/{name}/").status_code == 404


@section("8.2.1")
def test_a_request_without_user_agent_is_served(server: Server) -> None:
    request = server.http.build_request("GET", "")
    del request.headers["user-agent"]
    assert server.http.send(request).status_code == 200


@section("1.6.7")
def test_answers_are_utf8_json_objects_without_repeated_keys(server: Server) -> None:
    import json

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    for path in (server.target.base + "/taxii2/", "", "collections/"):
        text = server.get(path).content.decode("utf-8", "strict")
        assert isinstance(json.loads(text, object_pairs_hook=once), dict)
