"""What real clients rest on: taxii2-client 2.3.0, and rules read from OpenCTI's connector."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

import pytest

from tests.conformance.kit import Server, Shelf, Target, ids, made
from tests.conformance.sections import section

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    v21 = pytest.importorskip("taxii2client.v21")

pytestmark = pytest.mark.oracle
STOCK = "taxii2-client 2.3.0"
OPENCTI = "OpenCTI, connector taxii2"


@pytest.fixture(scope="module")
def stock(target: Target) -> Iterator[Any]:
    made_ = v21.Server(target.base + "/taxii2/", user=target.user, password=target.password)
    yield made_
    made_.close()


def collection(target: Target, name: str) -> Any:
    return v21.Collection(
        f"{target.root}collections/{name}/", user=target.user, password=target.password
    )


@pytest.fixture
def shared(target: Target) -> Iterator[Any]:
    made_ = collection(target, target.read_write)
    yield made_
    made_.close()


@section("4.1", STOCK)
def test_stock_client_discovers(stock: Any, target: Target) -> None:
    assert stock.title
    assert urlparse(target.root).path in [urlparse(root.url).path for root in stock.api_roots]


@section("4.2", STOCK)
def test_stock_client_reads_the_api_root(stock: Any, target: Target) -> None:
    roots = [one for one in stock.api_roots if urlparse(one.url).path == urlparse(target.root).path]
    assert roots[0].max_content_length > 0
    assert target.read_write in [one.id for one in roots[0].collections]


@section("5.4", STOCK)
def test_stock_client_reads_objects(shared: Any, shelf: Shelf) -> None:
    found = shared.get_objects(id=shelf.entries[1].id)
    assert found["objects"] == [shelf.entries[1].one]


@section("3.4.1", STOCK)
def test_stock_client_filters(shared: Any, shelf: Shelf) -> None:
    one = shelf.entries[0].id
    found = shared.get_objects(id=one, version="all", type="indicator", spec_version="2.1")
    assert found["objects"] == [entry.one for entry in shelf.of("indicator")]


@section("5.3", STOCK)
def test_stock_client_reads_the_manifest(shared: Any, shelf: Shelf) -> None:
    found = shared.get_manifest(id=shelf.entries[0].id, version="all")
    assert [one["version"] for one in found["objects"]] == [
        entry.version for entry in shelf.of("indicator")
    ]


@section("5.8", STOCK)
def test_stock_client_reads_versions(shared: Any, shelf: Shelf) -> None:
    found = shared.object_versions(shelf.entries[0].id)
    assert found["versions"] == [entry.version for entry in shelf.of("indicator")]


@section("5.6", STOCK)
def test_stock_client_reads_one_object(shared: Any, shelf: Shelf) -> None:
    last = shelf.of("indicator")[-1]
    assert shared.get_object(last.id)["objects"] == [last.one]


@section("5.5", STOCK)
def test_stock_client_adds_and_waits(shared: Any, server: Server, rw: str) -> None:
    one = made()
    status = shared.add_objects({"objects": [one]}, wait_for_completion=True, timeout=20)
    assert (status.status, status.success_count) == ("complete", 1)
    assert server.read(rw + "objects/", match_id=one["id"])["objects"] == [one]


@section("3.5", STOCK)
def test_stock_client_pages(target: Target, server: Server, ro: str) -> None:
    shelf_ = collection(target, target.read_only)
    pages = list(v21.as_pages(shelf_.get_objects, per_request=2))
    shelf_.close()
    found = [one for page in pages for one in page.get("objects", [])]
    assert found == server.walk(ro + "objects/")
    assert len(pages) > 1


@section("3.5", OPENCTI)
@pytest.mark.parametrize("limit", [None, 2])
def test_next_works_alone(server: Server, rw: str, shelf: Shelf, limit: int | None) -> None:
    """On further pages it sends `limit` and `next` and nothing else: the filters must live in
    the token."""
    query: dict[str, Any] = {"match_id": shelf.all_ids, "match_version": "all", "limit": 2}
    body = server.read(rw + "objects/", **query)
    found = ids(body)
    while body.get("more") and len(found) <= len(shelf.entries):
        alone = {"next": body["next"]} if limit is None else {"next": body["next"], "limit": limit}
        body = server.read(rw + "objects/", **alone)
        found += ids(body)
    # Within a page an object that has `spec_version` may be moved to the front.
    assert sorted(found) == sorted(entry.id for entry in shelf.entries)


@section("3.7", OPENCTI)
def test_more_is_never_without_next(server: Server, ro: str, rw: str) -> None:
    """Without `next` it asks for the same page for ever."""
    for place in (ro, rw):
        for body, _ in server.pages(place + "objects/", limit=3):
            assert ("next" in body) == bool(body.get("more"))


@section("3.7", OPENCTI)
def test_the_first_object_of_a_page_tells_its_spec_version(server: Server, ro: str) -> None:
    """Else it takes the server for one of TAXII 2.0. Observables need not tell theirs."""
    for limit in (1, 2, 3):
        for body, _ in server.pages(ro + "objects/", limit=limit):
            assert body.get("spec_version") or body["objects"][0]["spec_version"] == "2.1"


@section("3.5", OPENCTI)
def test_a_next_that_stayed_from_another_collection_is_a_clean_error(
    server: Server, ro: str, rw: str
) -> None:
    """It keeps the last `next` of one collection and sends it to the next one."""
    token = server.read(ro + "objects/", limit=1)["next"]
    answer = server.get(rw + "objects/", {"next": token, "limit": 100})
    assert answer.status_code == 400
    assert answer.json()["title"]


@section("4.1.1", OPENCTI)
def test_the_name_of_an_api_root_is_its_last_part(server: Server) -> None:
    """It splits the URL at slashes and takes the last part but one."""
    for url in server.read(server.target.base + "/taxii2/")["api_roots"]:
        assert url.split("/")[-1] == ""
        assert url.split("/")[-2]


@section("5.2.1", OPENCTI)
def test_titles_are_unique_and_without_a_dot(server: Server) -> None:
    """It names a collection as root.title."""
    titles = [one["title"] for one in server.read("collections/")["collections"]]
    assert len(set(titles)) == len(titles)
    assert [title for title in titles if "." in title] == []


@section("3.4", OPENCTI)
@pytest.mark.parametrize(
    "after", ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:00.000000Z"]
)
def test_added_after_in_the_precision_that_clients_send(
    server: Server, ro: str, after: str
) -> None:
    assert server.read(ro + "objects/", added_after=after)["objects"]
