"""Tear-lines on the command line and in the API, against a running node."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from detente.main import _Stopped
from detente.node import NodeFolder
from detente.record import verify_copy
from tests.unit.faces.kit import Site, item, play
from tests.unit.faces.test_cli_links import run, told

AREA = item(
    1,
    "location",
    latitude=12.123456,
    longitude=-71.987654,
    description="Counted by Juan",
    x_seen="2025-11-01T10:20:30Z",
    created_by_ref="identity--9b1c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01",
)


def test_tear_line_is_made_traced_and_asked_about(tmp_path: Path) -> None:
    folder = str(tmp_path / "a")

    async def story(site: Site) -> None:
        await site.publish(AREA)
        words = ("derive", folder, AREA["id"], "--to", "out", "--remove", "description")
        words += ("--replace", "name=An area", "--coarsen-position", "=0.1", "--by", "head")
        words += ("--coarsen-time", "x_seen=1h", "--drop-references", "--marking", "tlp:green")
        code, shown = await run(*words, "--dry-run")
        assert (code, shown.get("published")) == (0, None)
        code, done = await run(*words, "--remove", "nothing")
        child = json.loads(done["content"])
        assert code == 0
        assert (child["latitude"], child["longitude"], child["precision"]) == (12.1, -72.0, 7900.0)
        assert (child["name"], child["x_seen"]) == ("An area", "2025-11-01T10:00:00Z")
        assert not {"description", "created_by_ref"} & set(child)
        assert [step["touched"] for step in done["steps"]] == [1, 0, 1, 2, 1, 1]
        assert done["published"]["outcomes"] == {"K": {"release": 1}}

        code, traced = await run("trace", folder, AREA["id"])
        assert [one["id"] for one in traced["children"]] == [child["id"]]
        code, traced = await run("trace", folder, child["id"])
        assert [one["id"] for one in traced["parents"]] == [AREA["id"]]
        _, output = await asyncio.to_thread(told, "trace", folder, child["id"])
        assert f"made from: {AREA['id']}" in " ".join(output.split())

        # A copy of the record for others to check has the act, and neither of the names.
        copy = tmp_path / "copy"
        await site.node.export(copy)
        assert verify_copy(copy).ok
        record = b"".join(one.read_bytes() for one in copy.rglob("*") if one.is_file())
        assert b'"act":"derive"' in record
        assert AREA["id"].encode() not in record
        assert child["id"].encode() not in record

        recall = ("recall", folder, AREA["id"], "--agreement", "T1", "--collection", "out")
        _, output = await asyncio.to_thread(told, *recall)
        assert f"NOT taken back: {child['id']}" in " ".join(output.split())
        code, done = await run("recall", folder, child["id"], *recall[3:])
        assert (code, done.get("children", [])) == (0, [])

    play(tmp_path, story)


def test_what_is_no_longer_strictly_valid_is_told(tmp_path: Path) -> None:
    folder = str(tmp_path / "a")

    async def story(site: Site) -> None:
        await site.publish(AREA)
        words = ("derive", folder, AREA["id"], "--to", "out", "--remove", "longitude")
        code, output = await asyncio.to_thread(told, *words)
        assert code == 0
        assert "not strictly valid" in output

    play(tmp_path, story)


def test_stopped_node_tells_what_was_made_from_which(tmp_path: Path) -> None:
    folder = tmp_path / "a"

    async def story(site: Site) -> str:
        await site.publish(AREA)
        _, done = await run(
            *("derive", str(folder), AREA["id"], "--to", "out", "--replace", "name=An area")
        )
        found: str = done["child"]
        return found

    child = play(tmp_path, story)
    traced = _Stopped(NodeFolder(folder)).get("/api/trace", object=AREA["id"])
    assert [one["id"] for one in traced["children"]] == [child]


REFUSED = [
    (("--replace", "name=x", "--remove", "x_none"), 2, "derive.left-over"),
    ((), 2, "derive.steps"),
    (("--remove", "type"), 2, "transform.required"),
    (("--remove", "description", "--rule", "R"), 4, "derive.rule"),
    (("--remove", "description", "--by", "nobody"), 2, "derive.office"),
    (("--replace", "description"), 2, "cli.step"),
    (("--coarsen-position", "latitude=0.0001"), 2, "cli.step"),
    (("--coarsen-position", "latitude=NaN"), 2, "cli.step"),
    (("--coarsen-time", "x_seen=soon"), 2, "time.span"),
    (("--coarsen-time", "x_seen=1ms"), 2, "api.body"),
]


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    folder = str(tmp_path / "a")

    async def story(site: Site) -> None:
        await site.publish({**AREA, "labels": ["item 1 again"]})

        def sizes(view: Any) -> list[int]:
            return [view.collection("T1/out").end, *map(view.log_size, view.logs())]

        before = await site.node.store.read(sizes)
        for options, exit_code, code in REFUSED:
            found, output = await run("derive", folder, AREA["id"], "--to", "out", *options)
            assert (found, output["error"]["code"]) == (exit_code, code)
            assert await site.node.store.read(sizes) == before

    play(tmp_path, story)


def test_derivations_are_for_the_operator_only(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(AREA)
        body = {"item": AREA["id"], "to": "out", "steps": [{"do": "remove", "path": "description"}]}
        async with httpx.AsyncClient(base_url=site.address, trust_env=False) as anybody:
            answer = await anybody.post("/api/derivations", json=body)
            assert answer.status_code == 401
        token = site.node.folder.text("token")
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            base_url=site.address, headers=headers, trust_env=False
        ) as operator:
            answer = await operator.post("/api/derivations", json=body | {"flags": ["tested:x"]})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "api.body")
            answer = await operator.post("/api/derivations", json=body)
            assert answer.status_code == 200

    play(tmp_path, story)
