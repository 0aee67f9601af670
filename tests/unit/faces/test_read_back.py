"""A sender without a gateway that is named among its own readers reads back what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from detente.model import Scope
from tests.unit.faces import kit
from tests.unit.faces.kit import MEDIA, Site, answer_of, compact, item, play

BOTH = "91a7b528-80eb-42ed-a74d-c6fbd5a26103"
OBJECTS = f"/taxii2/T1/collections/{BOTH}/objects/"
MORE = f"""
[[collections]]
name = "both"
id = "{BOTH}"
title = "Written and read by K"
sender = "K"
readers = ["K", "A"]
purpose = "test"
"""


@pytest.fixture(autouse=True)
def terms_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "TERMS", kit.TERMS + MORE)


async def post(site: Site, number: int) -> None:
    async with site.client("K") as k:
        done = await k.post(
            OBJECTS,
            content=compact({"objects": [item(number)]}),
            headers={"content-type": MEDIA},
        )
        assert (done.status_code, answer_of(done)["success_count"]) == (202, 1)


def test_what_a_party_wrote_it_reads_back_and_the_host_too(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        async with site.client("K") as k, site.client("A") as a, site.client("L") as l_:
            assert answer_of(await k.get(OBJECTS)) == {}
            await post(site, 1)
            for reader in (k, a):
                assert answer_of(await reader.get(OBJECTS))["objects"] == [item(1)]
            assert (await l_.get(OBJECTS)).status_code == 404

    play(tmp_path, story)


def test_an_order_about_the_feed_does_not_hide_a_partys_own_from_it(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await post(site, 1)
        await site.order("suspend", "D1", scope=Scope())
        await post(site, 2)
        async with site.client("K") as k:
            assert answer_of(await k.get(OBJECTS))["objects"] == [item(1), item(2)]
            late = {"added_after": "2090-01-01T00:00:00.000000Z"}
            assert answer_of(await k.get(OBJECTS, params=late)) == {}

    play(tmp_path, story)
