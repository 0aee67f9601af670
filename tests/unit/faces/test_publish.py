"""Publishing through the faces: what a query says, what a TAXII client can say, the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import QueryParams
from typer.testing import CliRunner

from detente.errors import Invalid
from detente.faces.api_publish import answers_of, publication_of
from detente.faces.cli import app
from detente.wire.stated import STATED
from tests.unit.faces.kit import INWARD, MEDIA, Site, compact, item, play

WHOLE = [
    ("collection", "out"), ("agreement", "T1"), ("kind", "VI"), ("purpose", "test"),
    ("grade", "admiralty:B2"), ("unit", "A1"), ("nature", "fact"), ("evidence", "one"),
    ("evidence", "two"), ("observed_ms", "12"), ("originator", "K"), ("legal_basis", "Art. 3"),
    ("court", "true"), ("expect", "7"), ("answer", "T1.a=no"), ("answer", "T1.b=a=b, c.d"),
    ("partial", "true"),
]  # fmt: skip


def query(*pairs: tuple[str, str]) -> QueryParams:
    return QueryParams([("collection", "out"), *pairs])


def test_a_query_says_all_that_a_publication_says() -> None:
    found = publication_of(QueryParams(WHOLE), b"{}", agreement="T1", party="A")
    assert found.party == "A"
    assert (found.nature, found.evidence, found.observed_ms) == ("fact", ("one", "two"), 12)
    assert (found.originator, found.legal_basis, found.court) == ("K", "Art. 3", True)
    assert (found.expect, found.partial) == (7, True)
    assert found.answers == {"T1": {"a": "no", "b": "a=b, c.d"}}


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        (("expct", "150"), "api.query"),
        (("collection", "in"), "api.query"),
        (("expect", "-1"), "api.query"),
        (("expect", "many"), "api.query"),
        (("expect", "١"), "api.query"),
        (("observed_ms", "9" * 16), "api.query"),
        (("court", "yes"), "api.query"),
        (("partial", ""), "api.query"),
        (("nature", "rumour"), "publish.nature"),
        (("answer", "T1=no"), "test.form"),
        (("answer", "T1.a"), "test.form"),
        (("answer", ".a=no"), "test.form"),
    ],
)
def test_a_key_that_is_not_known_or_says_nothing_is_refused(
    pair: tuple[str, str], code: str
) -> None:
    with pytest.raises(Invalid) as found:
        publication_of(query(pair), b"{}", agreement="T1", party="A")
    assert found.value.code == code


def test_two_answers_to_one_question_are_refused() -> None:
    with pytest.raises(Invalid) as found:
        answers_of(["T1.a=no", "T1.a=yes"])
    assert found.value.code == "test.form"


def test_a_taxii_client_says_it_in_the_object(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        said = {"extension_type": "property-extension", "nature": "assessment", "court": True,
                "grades": ["admiralty:C3"], "originator": "L"}  # fmt: skip
        good = item(1, extensions={STATED: said})
        bad = item(2, extensions={STATED: {**said, "nature": "rumour"}})
        async with site.client("K") as client:
            answer = await client.post(
                f"/taxii2/T1/collections/{INWARD}/objects/",
                content=compact({"objects": [good, bad]}),
                headers={"content-type": MEDIA},
            )
        status = answer.json()
        assert (status["success_count"], status["failure_count"]) == (1, 1)
        assert status["failures"][0]["id"] == bad["id"]
        (found,) = [one for one in await site.node.ask.trace(good["id"]) if one.party == "A"]
        assert found.flags == ("assessment", "court")
        assert (found.grade, found.originator) == ("admiralty:C3", "L")

    play(tmp_path, story)


async def run(*arguments: str) -> tuple[int, Any]:
    result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--json"])
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def written(place: Path, objects: Sequence[object]) -> str:
    place.write_bytes(compact({"objects": objects}))
    return str(place)


def test_the_command_previews_counts_and_publishes(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        folder, file = str(tmp_path / "a"), written(tmp_path / "f.json", [item(1), item(2)])
        command = ("publish", folder, file, "--collection", "out")
        code, told = await run(*command, "--preview")
        assert (code, told["preview"][0]["objects"]) == (0, 2)
        assert told["preview"][0]["to"]["K"]["outcomes"] == {"release": 2}
        assert (await site.node.store.read(lambda view: view.collection("T1/out").end)) == 0
        code, told = await run(*command, "--expect", "3")
        assert (code, told["error"]["code"]) == (2, "publish.count")
        assert (await site.node.store.read(lambda view: view.collection("T1/out").end)) == 0
        said = ("--expect", "2", "--fact", "--evidence", "one", "--evidence", "two", "--court")
        code, told = await run(*command, *said, "--observed", "2026-01-01T00:00:00Z")
        assert (code, told["published"][0]["taken"]) == (0, 2)
        code, told = await run("trace", folder, item(1)["id"])
        assert told["trace"][0]["flags"] == ["court", "evidence", "fact"]
        code, told = await run(*command, "--fact", "--assessment")
        assert (code, told["error"]["code"]) == (2, "publish.nature")

    play(tmp_path, story)


def test_of_several_files_it_is_said_which_was_taken_and_none_is_sent_if_one_cannot_be_read(
    tmp_path: Path,
) -> None:
    async def story(site: Site) -> None:
        good = written(tmp_path / "good.json", [item(1)])
        many = written(tmp_path / "many.json", [item(2), item(3)])
        command = ["publish", str(tmp_path / "a"), good, many, "--collection", "out"]

        async def end() -> int:
            return await site.node.store.read(lambda view: view.collection("T1/out").end)

        missing = [*command, str(tmp_path / "none.json")]
        told = await asyncio.to_thread(CliRunner().invoke, app, missing)
        assert (told.exit_code, "none.json" in told.output, await end()) == (2, True, 0)
        told = await asyncio.to_thread(CliRunner().invoke, app, [*command, "--expect", "1"])
        assert told.exit_code == 2
        assert "many.json is refused; taken before it: good.json." in told.output
        assert await end() == 1

    play(tmp_path, story)


def test_words_for_people_tell_the_same(tmp_path: Path) -> None:
    async def story(_: Site) -> None:
        folder, file = str(tmp_path / "a"), written(tmp_path / "f.json", [item(1, x_more="y")])
        command = ["publish", folder, file, "--collection", "out"]
        told = await asyncio.to_thread(CliRunner().invoke, app, [*command, "--preview"])
        assert told.exit_code == 0, told.output
        assert "1 objects, 0 of them refused; 0 about persons. Nothing was taken." in told.stdout
        assert "1 x_more" in told.stdout
        told = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert "f.json: 1 taken" in told.stdout
        told = await asyncio.to_thread(CliRunner().invoke, app, ["trace", folder, item(1)["id"]])
        assert "originator A" in told.stdout

    play(tmp_path, story)
