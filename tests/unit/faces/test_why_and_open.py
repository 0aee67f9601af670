"""Why, and opening under caveats, asked of a running node by its API and its command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from detente.faces.cli import app
from detente.gateway.feeds import decode_feed, encode_feed
from detente.gateway.intake import Publication
from detente.gateway.opening import OPEN_MEDIA, code_of
from detente.gateway.recall import RecallAsk
from detente.main import _Host
from detente.model import Entry, decode
from detente.ports import FeedRow, Tx
from detente.proof import check_commitment
from detente.record import verify_copy
from detente.rules.caveats import Caveat
from detente.rules.feed import change
from tests.unit.faces import kit
from tests.unit.faces.kit import Site, compact, item, play

MARK = "marking-definition--5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2df1"
OTHER = "marking-definition--5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2df2"
#: A statement that rings the bell, turns the direction of reading and looks like markup.
WORDS = "[red]For\x07 maritime\u202e safety only[/red]\n+ may be given"
SHOWN = "[red]For\\u{7} maritime\\u{202e} safety only[/red]\\u{a}+ may be given"
MORE = """
[[permitted_uses]]
id = "rescue"
text = "Search and rescue."
[[excluded_uses]]
id = "strikes"
text = "No use in support of strikes."
"""


@pytest.fixture(autouse=True)
def terms_with_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    onward = 'onward = { rule = "consent" }\n'
    monkeypatch.setattr(kit, "TERMS", onward + kit.TERMS + MORE)


def definition(name: str, statement: str) -> dict[str, Any]:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": name,
        "created": "2026-01-01T00:00:00.000Z",
        "definition_type": "statement",
        "definition": {"statement": statement},
    }


def marked(number: int, *refs: str, **more: Any) -> dict[str, Any]:
    return item(number, object_marking_refs=list(refs), **more)


class Node:
    """The API of the site's node, as its operator asks it; and what it has on its record."""

    def __init__(self, site: Site) -> None:
        self._site = site
        token = (site.node.folder.path / "token").read_text().strip()
        self.folder = site.node.folder.path
        self._headers = {"authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        async with httpx.AsyncClient(
            base_url=self._site.address, headers=self._headers, trust_env=False
        ) as client:
            content = None if body is None else compact(body)
            done = await client.request(method, path, content=content, params=query)
            return done.status_code, done.json()

    async def open(self, name: str, **more: Any) -> tuple[int, Any]:
        body = {"item": name, "by": "head", "reason": "A vessel in distress", **more}
        return await self.ask("POST", "/api/items/open", body)

    async def opened(self) -> list[tuple[int, Entry]]:
        log = self._site.node.book.me.node_log
        entries = await self._site.node.store.read(
            lambda view: view.entries(log, 0, view.log_size(log))
        )
        read = [(index, decode(data, Entry)) for index, data in enumerate(entries)]
        return [(index, entry) for index, entry in read if entry.act == "open"]

    async def traced(self, item_id: str) -> Result:
        """Where an item went, in words."""
        command = ["trace", str(self.folder), item_id]
        return await asyncio.to_thread(CliRunner().invoke, app, command, obj=_Host())

    async def run(self, *words: str) -> Result:
        """A command in a thread, so that the node can answer it."""
        command = [words[0], words[1], str(self.folder), *words[2:]]
        if words[0] == "why":
            command = ["why", str(self.folder), *words[1:]]
        return await asyncio.to_thread(CliRunner().invoke, app, command, obj=_Host())


def test_content_comes_only_with_the_code_and_after_the_act_is_on_record(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        node, shown = Node(site), marked(1, MARK)
        await site.publish(definition(MARK, WORDS), shown)
        status, told = await node.open(shown["id"])
        assert (status, told["opened"]) == (200, False)
        assert "content" not in told
        caveats = {(one["kind"], one["name"]): one.get("words", "") for one in told["caveats"]}
        assert caveats == {
            ("statement", f"statement:{MARK}"): WORDS,
            ("purpose", "test"): "To be used only for: Test",
            ("permitted-use", "rescue"): "Search and rescue.",
            ("excluded-use", "strikes"): "No use in support of strikes.",
            ("onward", "consent"): "Passed on only to whom the originator consents.",
        }
        _, wrong = await node.open(shown["id"], accept="0" * 8)
        assert wrong == {**told, "wrong_code": True}
        assert await node.opened() == []
        code = told["code"]
        status, done = await node.open(shown["id"], accept=f"{code[:4]}-{code[4:]}".upper())
        assert (status, done["opened"], json.loads(done["content"])) == (200, True, shown)
        ((index, entry),) = await node.opened()
        assert (entry.ref, entry.collection, entry.count) == ("head", "out", 1)
        assert entry.origin == site.node.book.me.log_of("T1")
        assert done["entry"] == index

    play(tmp_path, story)


def test_the_reason_lies_beside_the_entry_which_commits_to_it(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        node = Node(site)
        await site.publish(item(1))
        _, told = await node.open(item(1)["id"])
        await node.open(item(1)["id"], accept=told["code"])
        ((index, entry),) = await node.opened()
        store, log = site.node.store, site.node.book.me.node_log
        opening = await store.read(lambda view: view.opening(log, index))
        assert opening is not None
        said = msgspec.json.decode(opening.payload)
        assert (said["by"], said["reason"]) == ("head", "A vessel in distress")
        assert (said["item"], said["agreement"]) == (item(1)["id"], "T1")
        assert entry.c is not None
        committed = msgspec.json.decode(f'"{entry.c}"'.encode(), type=bytes)
        check_commitment(committed, opening.salt, OPEN_MEDIA, opening.payload)
        assert b"distress" not in (await store.read(lambda view: view.entry(log, index)))
        await site.node.export(tmp_path / "copy")
        assert verify_copy(tmp_path / "copy").ok

    play(tmp_path, story)


def test_other_caveats_need_a_new_code_and_the_same_do_not(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        node = Node(site)
        await site.publish(definition(MARK, "One."), definition(OTHER, "Two."), marked(1, MARK))
        _, first = await node.open(item(1)["id"])
        await site.publish(marked(1, MARK, modified="2026-02-01T00:00:00.000Z"))
        _, same = await node.open(item(1)["id"])
        assert (same["code"], same["version"]) == (first["code"], "2026-02-01T00:00:00.000Z")
        await site.publish(marked(1, MARK, OTHER, modified="2026-03-01T00:00:00.000Z"))
        _, more = await node.open(item(1)["id"], accept=first["code"])
        assert (more["opened"], more["wrong_code"]) == (False, True)
        assert await node.opened() == []
        _, old = await node.open(item(1)["id"], version=first["version"], accept=first["code"])
        assert (old["opened"], json.loads(old["content"])) == (True, marked(1, MARK))
        await site.publish(marked(2, MARK))
        _, other = await node.open(item(2)["id"], accept=first["code"])
        assert other["wrong_code"]

    play(tmp_path, story)


def test_the_code_hangs_on_the_object_and_on_each_word_of_each_caveat() -> None:
    base = Caveat(kind="statement", name="n", words="a")
    others = [replace(base, words="b"), replace(base, name="m"), replace(base, kind="purpose")]
    codes = [
        code_of("x", (base,)),
        code_of("y", (base,)),
        code_of("x", ()),
        code_of("x", (base,) * 2),
    ]
    codes += [code_of("x", (other,)) for other in others]
    assert len(set(codes)) == len(codes)
    assert all(len(code) == 8 for code in codes)
    assert code_of("x", (base,)) == codes[0]


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"by": "press"}, 403, "open.office"),
        ({"by": "node"}, 403, "open.office"),
        ({"reason": "  "}, 400, "open.reason"),
        ({"reason": ""}, 400, "api.body"),
        ({"reason": "x" * 1001}, 400, "api.body"),
        ({"by": "he\nad"}, 400, "api.body"),
        ({"accept": "x" * 101}, 400, "api.body"),
        ({"sure": True}, 400, "api.body"),
        ({"version": "2020-01-01T00:00:00.000Z"}, 404, "item.unknown"),
        ({"agreement": "T9"}, 404, "item.unknown"),
        ({"item": item(9)["id"]}, 404, "item.unknown"),
    ],
)
def test_what_is_asked_wrongly_opens_and_records_nothing(
    tmp_path: Path, more: dict[str, Any], status: int, code: str
) -> None:
    async def story(site: Site) -> None:
        node = Node(site)
        await site.publish(item(1))
        _, told = await node.open(item(1)["id"])
        asked = {"accept": told["code"], **more}
        name = asked.pop("item", item(1)["id"])
        found, said = await node.open(name, **asked)
        assert (found, said["error"]["code"]) == (status, code)
        assert await node.opened() == []

    play(tmp_path, story)


def test_what_was_taken_back_or_is_kept_back_from_the_own_party_is_not_opened(
    tmp_path: Path,
) -> None:
    async def story(site: Site) -> None:
        node, store = Node(site), site.node.store
        await site.publish(item(1), item(2))
        codes = [(await node.open(item(n)["id"]))[1]["code"] for n in (1, 2)]
        ask = RecallAsk(agreement="T1", collection="out", party="A", id=item(1)["id"])
        await site.node.recalls.recall(ask)

        def hold(tx: Tx) -> None:
            row = tx.feed("T1/out", "A")
            assert row is not None
            feed, end = decode_feed(row.value), tx.collection("T1/out").end
            outcomes = {number: "hold" for number, _ in feed.outcomes}
            feed, _ = change(feed, outcomes, end=end, base_us=2**52)  # type: ignore[arg-type]  # one of the outcomes
            tx.put_feed(FeedRow(collection="T1/out", party="A", value=encode_feed(feed)))

        status, said = await node.open(item(1)["id"], accept=codes[0])
        assert (status, said["error"]["code"]) == (404, "item.unknown")
        await store.write(hold)
        status, said = await node.open(item(2)["id"], accept=codes[1])
        assert (status, said["error"]["code"]) == (409, "open.kept-back")
        assert await node.opened() == []

    play(tmp_path, story)


def test_an_item_of_another_party_is_opened_with_its_originator(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        body = compact({"objects": [item(1)]})
        await site.node.intake.publish(
            Publication(agreement="T1", collection="in", party="K", body=body)
        )
        _, told = await Node(site).open(item(1)["id"])
        assert (told["originator"], told["collection"]) == ("K", "in")
        _, done = await Node(site).open(item(1)["id"], accept=told["code"])
        assert json.loads(done["content"]) == item(1)

    play(tmp_path, story)


def test_the_command_shows_caveats_first_and_foreign_words_as_they_are(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        node, shown = Node(site), marked(1, MARK, name="a\u202eb \x9b31m [bold]c")
        await site.publish(definition(MARK, WORDS))
        body = json.dumps(shown, ensure_ascii=False).encode()  # the letters themselves
        await site.node.intake.publish(
            Publication(agreement="T1", collection="out", party="A", body=body)
        )
        words = ("item", "open", shown["id"], "--by", "head", "--reason", "r")
        asked = await node.run(*words)
        assert (asked.exit_code, asked.stdout) == (0, "")
        assert " ".join(SHOWN.split()) in " ".join(asked.stderr.split())
        wrong = await node.run(*words, "--accept", "nonsense")
        assert (wrong.exit_code, wrong.stdout) == (5, "")
        assert "Nothing was opened" in wrong.stderr
        _, told = await node.open(shown["id"])
        done = await node.run(*words, "--accept", told["code"])
        assert (done.exit_code, "CAVEATS" in done.stderr) == (0, True)
        assert '"name": "a\\u{202e}b \\u{9b}31m [bold]c"' in done.stdout
        for text in (asked.output, wrong.output, done.output):
            assert all(letter.isprintable() or letter == "\n" for letter in text)

    play(tmp_path, story)


def test_why_is_a_tree_that_fits_a_screen(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        node = Node(site)
        await site.publish(definition(MARK, WORDS), marked(1, MARK))
        await site.order("suspend", "D1")
        done = await node.run("why", item(1)["id"], "--to", "K")
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert len(lines) <= 24
        assert all(len(line) <= 100 and line.isprintable() for line in lines)
        text = " ".join(line.strip(" │") for line in lines)
        assert "! to K: HELD · as of " in text
        assert "└─ Stopped by A (suspend D1). [directive]" in text
        assert "directive D1 of A (head): suspend: test since " in text
        assert "→ A resumes by an order that supersedes D1. It takes 1 of head." in text
        assert "next: nothing changes this by itself." in text
        assert "then: Once nothing stands in its way it is given." in text
        absent = await node.run("why", item(1)["id"], "--to", "K", "--at", "2020-01-01T00:00:00Z")
        assert (absent.exit_code, "NOT HERE YET" in absent.stdout) == (0, True)
        as_json = await node.run("why", item(1)["id"], "--to", "K", "--json")
        assert json.loads(as_json.stdout)["why"][0]["state"] == "held"

    play(tmp_path, story)


def test_a_marking_that_is_not_known_is_shown_with_what_its_definition_says(
    tmp_path: Path,
) -> None:
    async def story(site: Site) -> None:
        unknown = definition(MARK, "") | {
            "definition_type": "own",
            "definition": {"level": "R\x07"},
        }
        await site.publish({**unknown, "name": "Eyes of A"}, marked(1, MARK))
        status, told = await Node(site).ask("GET", "/api/why", object=item(1)["id"], to="K")
        assert status == 200
        ((cause,),) = [line["causes"] for line in told["why"]]
        assert cause["code"] == "marking.unknown"
        assert cause["grounds"][0]["words"] == 'Eyes of A {"level":"R\\u0007"}'

    play(tmp_path, story)


def test_what_only_a_person_may_pass_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = 'id = "VI"\ntitle = "vessel"\n'
    monkeypatch.setattr(kit, "TERMS", kit.TERMS.replace(kind, f"{kind}moderated = true\n"))

    async def story(site: Site) -> None:
        node = Node(site)
        await site.publish(item(1))
        done = await node.run("why", item(1)["id"], "--to", "K")
        assert "? to K: UNDER REVIEW · as of" in done.stdout
        assert "(a review may pass this item all the same)" in done.stdout
        assert "then: An office with the power to review releases or refuses it." in done.stdout
        status, told = await node.ask("GET", "/api/standing")
        (flow,) = [
            one
            for one in told["standings"][0]["flows"]
            if (one["kind"], one["recipient"]) == ("VI", "K")
        ]
        assert (status, flow["state"]) == (200, "reviewed one by one")

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("verdict", "code", "words"),
    [("release", "", "released by head at "), ("refuse", "not-held", "refused by head (not-held)")],
)
def test_who_decided_of_an_item_is_told_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, code: str, words: str
) -> None:
    kind = 'id = "VI"\ntitle = "vessel"\n'
    terms = kit.TERMS.replace(kind, f"{kind}moderated = true\n")
    terms = terms.replace('"narrow", "condition"]', '"narrow", "condition", "review"]')
    monkeypatch.setattr(kit, "TERMS", terms)

    async def story(site: Site) -> None:
        node, item_id = Node(site), item(1)["id"]
        await site.publish(item(1))
        before = site.node.book.now_ms()
        held = await node.run("hold", "list")
        assert f"{item_id}  to K" in held.stdout.splitlines()
        said = ("--to", "K", "--by", "head", "--agreement", "T1")
        more = ("--code", code) if code else ()
        done = await node.run("hold", verdict, item_id, *said, *more)
        assert done.exit_code == 0, done.output
        for command in (("why", item_id, "--to", "K"), ("trace", item_id)):
            told = await node.run(*command) if command[0] == "why" else await node.traced(item_id)
            assert words in told.stdout, told.stdout
        status, line = await node.ask("GET", "/api/why", object=item_id, to="K")
        assert (status, line["why"][0]["decided"]["verdict"]) == (200, verdict)
        then = await node.ask("GET", "/api/why", object=item_id, to="K", at_ms=str(before))
        assert "decided" not in then[1]["why"][0]

    play(tmp_path, story)


def test_counts_of_all_feeds_are_those_of_now(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        done = await Node(site).run("feed", "show", "--at", "2026-01-01T00:00:00Z")
        assert (done.exit_code, "cli.at" in done.output) == (2, True)

    play(tmp_path, story)


def test_feed_show_groups_a_thousand_handlings(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        node = Node(site)
        names = [f"marking-definition--5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c{n:04x}" for n in range(200)]
        await site.publish(*(marked(n, name) for n, name in enumerate(names)))
        await site.order("suspend", "D1")
        await site.publish(item(201))
        done = await node.run("feed", "show", "--to", "K")
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert len(lines) <= 40
        assert "200 held · kind VI · 200 handlings" in done.stdout
        assert "196 more such reasons" in done.stdout
        assert "(1 of 200)" in done.stdout
        whole = await node.run("why", "--to", "K", "--json", "--limit", "1")
        (feed,) = json.loads(whole.stdout)["feeds"]
        assert (feed["groups_all"], feed["next"]) == (2, 1)
        counts = await node.run("feed", "show", "--json")
        assert "feeds" in json.loads(counts.stdout)

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({}, 400, "api.query"),
        ({"to": "K", "at_ms": "-1"}, 400, "api.query"),
        ({"to": "K", "at_ms": "9" * 17}, 400, "api.query"),
        ({"to": "K", "at_ms": "9" * 16}, 400, "why.future"),
        ({"to": "K", "limit": "0"}, 400, "why.limit"),
        ({"to": "nobody"}, 404, "feed.unknown"),
        ({"to": "K", "object": ""}, 404, "item.unknown"),
        ({"to": "K", "object": "x" * 3000}, 404, "item.unknown"),
        ({"to": "K", "agreement": "T9"}, 404, "agreement.unknown"),
    ],
)
def test_a_wrong_question_is_told(
    tmp_path: Path, query: dict[str, str], status: int, code: str
) -> None:
    async def story(site: Site) -> None:
        await site.publish(item(1))
        found, said = await Node(site).ask("GET", "/api/why", **query)
        assert (found, said["error"]["code"]) == (status, code)

    play(tmp_path, story)


def test_a_stopped_node_says_why(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(item(1))

    play(tmp_path, story)
    words = ["why", str(tmp_path / "a"), item(1)["id"], "--to", "K", "--json"]
    done = CliRunner().invoke(app, words, obj=_Host())
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["why"][0]["state"] == "queued"
