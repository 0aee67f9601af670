"""Two parties and two credentials of one party on one node: no one reads with another's cursor,
and what is hidden looks like what is not there."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from detente.errors import Invalid
from detente.faces import taxii_forms as forms
from detente.faces.guard import ClientTerms
from detente.node import running_node
from tests.unit.faces.kit import COLLECTION, INWARD, MEDIA, Site, answer_of, item, play, site

BASE = f"/taxii2/T1/collections/{COLLECTION}/"
ONE = f"objects/{item(0)['id']}/"
ABSENT = "00000000-0000-4000-8000-000000000000"


async def cursors(reader: httpx.AsyncClient) -> dict[str, str]:
    """One cursor of each resource."""
    found = {}
    for what in ("objects/", "manifest/", ONE + "versions/"):
        page = answer_of(await reader.get(BASE + what, params={"limit": 1}))
        found[what] = page["next"]
    page = await reader.get(BASE + ONE, params={"limit": 1, "match[version]": "all"})
    found[ONE] = answer_of(page)["next"]
    return found


async def filled(made: Site) -> None:
    later = [item(0, modified=f"2026-01-02T00:00:0{n}.000Z") for n in range(3)]
    await made.publish(item(0), *later, *[item(n) for n in range(1, 4)])


def second(made: Site, password: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=made.address, auth=("k2", password), headers={"accept": MEDIA}, trust_env=False
    )


def refused(answer: httpx.Response) -> bool:
    return (answer.status_code, answer_of(answer).get("error_code")) == (400, "taxii.next")


def test_cursor_serves_its_client_its_collection_and_its_resource_only(tmp_path: Path) -> None:
    async def story(made: Site) -> None:
        await filled(made)
        password = await made.node.guard.add_client("k2", "K")
        async with made.client("K") as k, made.client("A") as a, second(made, password) as k2:
            mine = await cursors(k)
            other = f"/taxii2/T1/collections/{INWARD}/objects/"
            for what, token in mine.items():
                assert (await k.get(BASE + what, params={"next": token})).status_code == 200
                for thief in (a, k2):
                    assert refused(await thief.get(BASE + what, params={"next": token})), what
                assert refused(await a.get(other, params={"next": token})), what
                for elsewhere in {*mine, f"objects/{item(1)['id']}/"} - {what}:
                    swapped = await k.get(BASE + elsewhere, params={"next": token})
                    # The objects of one object are objects: a feed's cursor is one of several ids.
                    both = {what, elsewhere} == {"objects/", ONE} and elsewhere == "objects/"
                    assert refused(swapped) or both, (what, elsewhere)

    play(tmp_path, story)


def test_cursor_that_was_changed_anywhere_is_refused(tmp_path: Path) -> None:
    async def story(made: Site) -> None:
        await filled(made)
        async with made.client("K") as k:
            token = (await cursors(k))["objects/"]
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            flipped = [
                bytes([*raw[:at], raw[at] ^ (1 << at % 8), *raw[at + 1 :]])
                for at in range(len(raw))
            ]
            shorter = [raw[:at] for at in (0, 1, 15, 16, 17, len(raw) - 1)]
            forged = raw.replace(b'"client":"k"', b'"client":"a"')
            assert forged != raw
            for bad in (*flipped, *shorter, forged, raw + b"x", raw * 2, b"\0" * 200):
                text = base64.urlsafe_b64encode(bad).decode().rstrip("=")
                assert refused(await k.get(BASE + "objects/", params={"next": text}))
            for text in ("\0", "é", "=", "====", "%", "a" * 4000, "🛑", "null", " "):
                assert refused(await k.get(BASE + "objects/", params={"next": text}))

    play(tmp_path, story)


@pytest.mark.parametrize("same", [True, False], ids=["same secret", "other secret"])
def test_cursor_outlives_a_restart_but_not_the_secret(tmp_path: Path, *, same: bool) -> None:
    async def run() -> None:
        async with site(tmp_path) as made:
            await filled(made)
            async with made.client("K") as k:
                first = answer_of(await k.get(BASE + "objects/", params={"limit": 2}))
            folder, auth = made.node.folder, ("k", made.passwords["K"])
        if not same:
            folder.write_private("secret", b"ab" * 32)
        async with (
            running_node(folder) as (_, address),
            httpx.AsyncClient(base_url=address, auth=auth, trust_env=False) as k,
        ):
            rest = await k.get(BASE + "objects/", params={"next": first["next"]})
            if same:
                names = [one["id"] for one in answer_of(rest)["objects"]]
                assert names == [item(n)["id"] for n in (2, 3)]
            else:
                assert refused(rest)
                assert "hint" not in answer_of(rest)
                assert answer_of(rest)["description"] == "Start again without `next`."

    asyncio.run(run())


def test_cursor_of_another_party_under_the_same_name_is_refused_by_the_seal() -> None:
    place = forms.Place(collection=COLLECTION, client="k", after_us=5)
    token = forms.seal(b"one", place)
    assert forms.unseal(b"one", token) == place
    with pytest.raises(Invalid) as caught:
        forms.unseal(b"two", token)
    assert caught.value.code == "taxii.next"


# --- hidden is absent ----------------------------------------------------------------------------

HEADERS: list[dict[str, str]] = [
    {},
    {"accept": "text/html"},
    {"accept": "*/*;q=0"},
    {"accept-encoding": "gzip"},
    {"range": "bytes=0-1"},
    {"content-type": MEDIA},
    {"content-type": "text/plain"},
    {"content-encoding": "gzip"},
    {"if-none-match": "*"},
    {"x-http-method-override": "DELETE"},
]
QUERIES = ("", "?limit=1", "?limit=x", "?next=AAAA", "?wait=0", "?wait=x", "?limit=1&limit=2",
           "?match[version]=all,all", "?added_after=now")  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")


async def looks(client: httpx.AsyncClient, path: str, name: str) -> list[Any]:
    """Every answer about a name, with the name itself taken out."""
    asked = [("GET", headers, "") for headers in HEADERS]
    asked += [("GET", {}, query) for query in QUERIES]
    asked += [(method, {"content-type": MEDIA}, "") for method in METHODS]
    found = []
    for method, headers, query in asked:
        body = b"{" if method == "POST" else b""
        answer = await client.request(method, path + query, headers=headers, content=body)
        told = sorted((k, v) for k, v in answer.headers.items() if k != "date")
        text = json.dumps([answer.status_code, told]) + answer.text
        found.append((method, headers, query, text.replace(name, "NAME")))
    return found


async def check_alike(client: httpx.AsyncClient, shape: str, hidden: str, absent: str) -> None:
    assert len(hidden) == len(absent)
    first = await looks(client, shape.format(hidden), hidden)
    second_ = await looks(client, shape.format(absent), absent)
    for one, other in zip(first, second_, strict=True):
        assert one == other


COLLECTION_SHAPES = [
    "/taxii2/T1/collections/{}/", "/taxii2/T1/collections/{}/objects/",
    "/taxii2/T1/collections/{}/manifest/", "/taxii2/T1/collections/{}/" + ONE,
    "/taxii2/T1/collections/{}/" + ONE + "versions/",
]  # fmt: skip


@pytest.mark.parametrize("shape", COLLECTION_SHAPES)
def test_collection_that_is_hidden_looks_as_if_it_were_not_there(
    tmp_path: Path, shape: str
) -> None:
    async def story(made: Site) -> None:
        await filled(made)
        terms = ClientTerms(name="k2", party="K", kind="token", collections=("T1/in",))
        token = await made.node.guard.add(terms)
        limited = httpx.AsyncClient(
            base_url=made.address, headers={"authorization": f"Bearer {token}"}, trust_env=False
        )
        async with limited as client:
            assert (await client.get(f"/taxii2/T1/collections/{INWARD}/")).status_code == 200
            await check_alike(client, shape, COLLECTION, ABSENT)

    play(tmp_path, story)


@pytest.mark.parametrize(
    "shape", ["/taxii2/{}/", "/taxii2/{}/collections/", "/taxii2/{}/status/" + ABSENT + "/"]
)
def test_agreement_and_status_that_are_hidden_look_as_if_they_were_not_there(
    tmp_path: Path, shape: str
) -> None:
    async def story(made: Site) -> None:
        async with made.client("L") as l_:
            await check_alike(l_, shape, "T1", "T9")
        async with made.client("K") as k, made.client("A") as a:
            body = json.dumps({"objects": [item(1)]}).encode()
            done = await k.post(
                f"/taxii2/T1/collections/{INWARD}/objects/",
                content=body,
                headers={"content-type": MEDIA},
            )
            status = answer_of(done)["id"]
            assert (await k.get(f"/taxii2/T1/status/{status}/")).status_code == 200
            await check_alike(a, "/taxii2/T1/status/{}/", status, ABSENT)

    play(tmp_path, story)


def test_object_of_another_collection_looks_as_if_it_were_not_there(tmp_path: Path) -> None:
    async def story(made: Site) -> None:
        await filled(made)
        async with made.client("K") as k:
            body = json.dumps({"objects": [item(8)]}).encode()
            path = f"/taxii2/T1/collections/{INWARD}/objects/"
            sent = await k.post(path, content=body, headers={"content-type": MEDIA})
            assert sent.status_code == 202
            # What lies in one collection is not there in another.
            shape = BASE + "objects/{}/"
            await check_alike(k, shape, item(8)["id"], item(7)["id"])
            await check_alike(k, shape + "versions/", item(8)["id"], item(7)["id"])

    play(tmp_path, story)
