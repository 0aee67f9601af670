"""Commands about sources and sinks, against a running node."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from detente.faces.cli import app
from detente.main import _Host
from tests.unit.faces.kit import Site, item, play
from tests.unit.gateway.foreign import answer, foreign, page, status


def told(*words: str, given: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words), input=given, obj=_Host())
    return done.exit_code, done.output


async def run(*words: str, given: str = "") -> tuple[int, Any]:
    code, output = await asyncio.to_thread(lambda: told(*words, "--json", given=given))
    return code, json.loads(output)


def test_a_source_is_added_polled_shown_and_removed(tmp_path: Path) -> None:
    folder = str(tmp_path / "a")
    secret = tmp_path / "password"
    secret.write_text("swordfish\n")

    async def story(_: Site) -> None:
        async with foreign(page([item(1)]), answer({}, 500)) as server:
            code, made = await run(
                *("source", "add", folder, server.url, "--collection", "out", "--every", "30s"),
                *("--user", "u", "--password-file", str(secret), "--purpose", "test"),
            )
            assert (code, made["settings"]["name"], made["settings"]["interval_ms"]) == (
                0,
                "out",
                30_000,
            )
            code, done = await run("source", "poll", folder, "out")
            assert (code, done["taken"], done["failure"]) == (0, 1, None)
            code, done = await run("source", "poll", folder, "out")
            assert (code, done["failure"]["code"]) == (6, "link.server")
            code, listed = await run("source", "list", folder)
            assert [one["state"]["taken"] for one in listed["sources"]] == [1]
            code, shown = await run("source", "show", folder, "out")
            assert shown["settings"]["user"] == "u"
            assert "swordfish" not in json.dumps([made, done, listed, shown])
            assert (await asyncio.to_thread(told, "source", "list", folder))[0] == 0
            assert (await run("source", "remove", folder, "out"))[0] == 0
            assert (await run("source", "show", folder, "out"))[0] == 4

    play(tmp_path, story, links_at_work_max=0)


def test_a_sink_is_added_pushed_shown_and_removed(tmp_path: Path) -> None:
    folder = str(tmp_path / "a")

    async def story(here: Site) -> None:
        await here.publish(item(1))
        async with foreign(status()) as server:
            code, made = await run(
                *("sink", "add", folder, server.url, "--from", "out", "--to", "K"),
                *("--token-file", "-"),
                given="abc.def\n",
            )
            assert (code, made["settings"]["name"]) == (0, "out-K")
            code, done = await run("sink", "push", folder, "out-K")
            assert (code, done["sent"], done["pending"]) == (0, 1, 0)
            assert server.asked[0].headers["authorization"] == "Bearer abc.def"
            code, listed = await run("sink", "list", folder)
            assert [one["state"]["sent"] for one in listed["sinks"]] == [1]
            code, shown = await run("sink", "show", folder, "out-K")
            assert "abc.def" not in json.dumps([made, done, listed, shown])
            assert (await asyncio.to_thread(told, "sink", "list", folder))[0] == 0
            assert (await run("sink", "remove", folder, "out-K"))[0] == 0
            assert (await run("sink", "remove", folder, "out-K"))[0] == 4

    play(tmp_path, story, links_at_work_max=0)


def test_credentials_come_in_whole_or_not_at_all(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/collections/x/"
    folder = str(tmp_path / "a")
    empty, two = tmp_path / "empty", tmp_path / "two"
    empty.write_text("")
    two.write_text("a\nb\n")

    async def story(_: Site) -> None:
        for words, code in (
            (("--user", "u"), "link.credentials-form"),
            (("--password-file", str(two)), "link.credentials-form"),
            (("--user", "u", "--token-file", str(two)), "link.credentials-form"),
            (("--token-file", str(empty)), "link.secret"),
            (("--token-file", str(two)), "link.secret"),
            (("--token-file", str(tmp_path / "none")), "link.secret"),
        ):
            exit_code, said = await run("source", "add", folder, url, "--collection", "out", *words)
            assert (exit_code, said["error"]["code"]) == (2, code)
        assert (await run("source", "list", folder))[1] == {"sources": []}

    play(tmp_path, story, links_at_work_max=0)
