"""Sources and sinks against medallion, the TAXII server of OASIS; skips where it is not installed.

It runs as a process of its own, under `MEDALLION_PYTHON` if that is set: it brings two dozen
packages that nothing here needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.faces.kit import Site, item, site
from tests.unit.gateway.linked import QUIET, objects_of, quietly, sink, sinks_of, source, sources_of

PYTHON = os.environ.get("MEDALLION_PYTHON", sys.executable)
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(
        "MEDALLION_PYTHON" not in os.environ and importlib.util.find_spec("medallion") is None,
        reason="medallion is not installed",
    ),
]

COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
PASSWORD = "Password0"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def medallion(folder: Path) -> AsyncIterator[str]:
    """A server with one empty collection; gives the collection's address."""
    data = {
        "/discovery": {"title": "Test", "api_roots": []},
        "lab": {
            "information": {
                "title": "Root",
                "versions": ["application/taxii+json;version=2.1"],
                "max_content_length": 100_000,
            },
            "status": [],
            "collections": [
                {
                    "id": COLLECTION,
                    "title": "Test",
                    "can_read": True,
                    "can_write": True,
                    "media_types": ["application/stix+json;version=2.1"],
                    "objects": [],
                    "manifest": [],
                }
            ],
        },
    }
    (folder / "data.json").write_text(json.dumps(data))
    backend = {
        "module": "medallion.backends.memory_backend",
        "module_class": "MemoryBackend",
        "filename": str(folder / "data.json"),
    }
    config = {"backend": backend, "users": {"u": PASSWORD}, "taxii": {"max_page_size": 20}}
    (folder / "config.json").write_text(json.dumps(config))
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-m", "medallion.scripts.run", "--port", str(port)),
        str(folder / "config.json"),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while f":{port}".encode() not in (line := await process.stderr.readline()):
                assert line, "the server ended"
        drain = asyncio.create_task(process.stderr.read())
        yield f"http://127.0.0.1:{port}/lab/collections/{COLLECTION}/"
        process.terminate()
        await drain
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def test_a_feed_goes_to_medallion_and_comes_back_once(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        async with medallion(tmp_path) as url:
            await here.publish(*[item(number) for number in range(50)])
            sinks, sources = sinks_of(here.node), sources_of(here.node)
            settings = sink(url, auth="basic", user="u", page_objects=25)
            await sinks.add(settings, PASSWORD)
            sent = await sinks.push("s")
            assert (sent.pages, sent.sent, sent.refused, sent.failure) == (2, 50, 0, None)
            await sources.add(source(url, auth="basic", user="u"), PASSWORD)
            first = await sources.poll("s")
            # It writes the JSON anew, so the bytes are others under the same id and version.
            codes = {one.code for one in first.told}
            assert (first.pages, first.refused, first.failure) == (3, 50, None)
            assert codes == {"publish.version"}
            assert len(await objects_of(here)) == 50
            again = await sources.poll("s")
            assert (again.pages, again.taken, again.refused, again.failure) == (1, 0, 0, None)

    quietly(tmp_path, story)


def test_what_medallion_has_is_read_to_the_end(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        (tmp_path / "there").mkdir()
        async with medallion(tmp_path) as url:
            await here.publish(*[item(number) for number in range(45)])
            sinks = sinks_of(here.node)
            await sinks.add(sink(url, auth="basic", user="u"), PASSWORD)
            await sinks.push("s")

            async with site(tmp_path / "there", **QUIET) as other:
                sources = sources_of(other.node)
                settings = source(url, auth="basic", user="u", types=("infrastructure",))
                await sources.add(settings, PASSWORD)
                got = await sources.poll("s")
                assert (got.pages, got.taken, got.refused, got.failure) == (3, 45, 0, None)
                await here.publish(item(50))
                await sinks.push("s")
                assert (await sources.poll("s")).taken == 1

    quietly(tmp_path, story)


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    async def story(here: Site) -> None:
        async with medallion(tmp_path) as url:
            sources = sources_of(here.node)
            await sources.add(source(url, auth="basic", user="u"), "wrong")
            report = await sources.poll("s")
            assert report.failure is not None
            assert report.failure.code == "link.credentials"

    quietly(tmp_path, story)
