"""Tear-lines through real nodes: nothing hidden goes out, the link stays here, a second person."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detente.errors import Conflict, DetenteError, Invalid, Missing, NotAuthorised
from detente.faces.documents import new_envelope
from detente.gateway.derive import DERIVE_MEDIA, DeriveAsk, Derived
from detente.gateway.intake import Publication
from detente.gateway.recall import RecallAsk, Recalls
from detente.gateway.review import Verdict
from detente.model import Entry, Handling, Minimisation, Power, Step, decode, encode, object_key
from detente.proof import add_signature
from detente.proof.sealed import check_commitment
from detente.testing import World
from detente.testing.parts import AGREEMENT, collection_of, terms_of
from tests.unit.gateway.kit import asking

RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
PARENT_ID = "infrastructure--7d2f1a34-90c1-4b6e-8a55-0c1d2e3f4a5b"
TIME = "2025-10-17T08:13:27.461Z"
PARENT = {
    "type": "infrastructure",
    "spec_version": "2.1",
    "id": PARENT_ID,
    "created": TIME,
    "modified": TIME,
    "name": "MV Alpha",
    "description": "Juan on the quay counted them",
    "created_by_ref": "identity--9b1c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01",
}
STEPS = (
    Step(do="remove", path="description"),
    Step(do="replace", path="name", text="A cargo vessel"),
    Step(do="drop-references"),
)


def passing(item: str, by: str) -> Verdict:
    """An office releases an item to W."""
    return Verdict(item=item, party="W", verdict="release", by=by)


def play(
    folder: Path, story: Callable[[World], Awaitable[None]], *, second_person: bool = True
) -> None:
    """Two nodes that know each other, under an agreement with tear-lines."""

    async def whole() -> None:
        async with World.open(folder / "world", agreed=False) as world:
            terms = terms_of(world.charters)
            powers = (
                *terms.powers,
                *(Power(party=party, verbs=("review",), offices=("duty",)) for party in "BW"),
            )
            terms = msgspec.structs.replace(
                terms,
                second_person=second_person,
                powers=powers,
                minimisations=(Minimisation(id="no-source", title="No source", steps=STEPS),),
            )
            envelope = new_envelope("agreement", terms, exercise=False)
            for party in world.charters:
                envelope = add_signature(envelope, world.keys[party]["head-1"])
            await world.agree(envelope)
            await world.exchange()
            await story(world)

    asyncio.run(asyncio.wait_for(whole(), 60))


async def publish(world: World, value: dict[str, Any], **fields: Any) -> None:
    plain: dict[str, Any] = {
        "agreement": AGREEMENT,
        "collection": collection_of("B"),
        "party": "B",
        "body": json.dumps(value).encode(),
        "kind": "VI",
        "purpose": "interdiction",
        "grade": "admiralty:B2",
        "unit": "B-NAV",
    }
    await world.sites["B"].intake.publish(Publication(**(plain | fields)))


def ask_for(**fields: Any) -> DeriveAsk:
    made = DeriveAsk(
        item=PARENT_ID, agreement=AGREEMENT, to=collection_of("B"), steps=STEPS, by="duty"
    )
    return msgspec.structs.replace(made, **fields)


async def derive(world: World, **fields: Any) -> Derived:
    return await world.sites["B"].derives.derive(ask_for(**fields))


async def state(world: World) -> list[object]:
    """All of B that a refused derivation must leave as it was."""
    site = world.sites["B"]

    def read(view: Any) -> list[object]:
        logs = view.logs()
        return [
            view.collection(f"{AGREEMENT}/{collection_of('B')}").end,
            {log: view.log_size(log) for log in logs},
            view.derived(PARENT_ID, children=True, most=10),
        ]

    return await site.store.read(read)


async def refused(world: World, kind: type[DetenteError] = Invalid, **fields: Any) -> DetenteError:
    before = await state(world)
    with pytest.raises(kind) as caught:
        await derive(world, **fields)
    assert await state(world) == before
    return caught.value


async def handling_of(world: World, item: str) -> Handling:
    def read(view: Any) -> Handling:
        key = f"{AGREEMENT}/{collection_of('B')}"
        (seq,) = view.find(key, object_key(item))
        block = view.block(key, seq)
        return decode(view.handlings(key)[block.handlings[seq - block.first]], Handling)

    return await world.sites["B"].store.read(read)


def test_child_is_a_new_object_with_what_the_parent_was_stated_with(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, {**PARENT, "object_marking_refs": [RED]}, originator="W")
        done = await derive(world)
        child = json.loads(done.content)
        assert child["id"] == done.child != PARENT_ID
        assert child["name"] == "A cargo vessel"
        assert set(child) == set(PARENT) - {"description", "created_by_ref"} | {
            "object_marking_refs"
        }
        assert child["object_marking_refs"] == [RED]
        assert child["created"] == child["modified"]
        assert child["created"].endswith(":00.000Z")
        parent, made = await handling_of(world, PARENT_ID), await handling_of(world, done.child)
        assert made == msgspec.structs.replace(parent, flags=("derived",))
        assert made.originator == "W"

    play(tmp_path, story)


def test_markings_are_lowered_only_as_said(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, {**PARENT, "object_marking_refs": [RED]})
        done = await derive(world, markings=("tlp:green",))
        assert (await handling_of(world, done.child)).markings == ("tlp:green",)
        error = await refused(world, markings=("tlp:pink",))
        assert error.code == "derive.marking"
        error = await refused(world, steps=(Step(do="remove", path="object_marking_refs"),))
        assert error.code == "transform.marking"

    play(tmp_path, story)


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": ["as JUAN ON THE QUAY counted them"]},
        {"x_note": {"deep": [{"mv alpha": 1}]}},
        {"external_references": [{"source_name": "s", "external_id": PARENT_ID}]},
        {"x_by": "identity--9b1c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01"},
    ],
)
def test_hidden_field_in_the_child_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    async def story(world: World) -> None:
        await publish(world, PARENT | fields)
        error = await refused(world)
        assert error.code == "derive.left-over"
        assert "Juan" not in error.sentence
        before = await state(world)
        shown = await derive(world, dry_run=True)
        assert shown.left
        assert shown.published is None
        assert await state(world) == before

    play(tmp_path, story)


def test_what_cannot_be_derived_is_refused_and_nothing_is_noted(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, PARENT)
        for fields, kind, code in (
            ({"item": PARENT_ID[:-1] + "c"}, Missing, "item.unknown"),
            ({"steps": ()}, Invalid, "derive.steps"),
            ({"rule": "other"}, Missing, "derive.rule"),
            ({"by": "nobody"}, Invalid, "derive.office"),
            ({"by": ""}, Invalid, "derive.office"),
            ({"steps": (Step(do="remove", path="name"),)}, Invalid, "transform.required"),
            ({"purpose": "other"}, Invalid, "publish.purpose"),
            ({"to": collection_of("W")}, NotAuthorised, "collection.not-sender"),
        ):
            assert (await refused(world, kind, **fields)).code == code
        # What a partner sent is not ours to narrow.
        (theirs,) = await world.publish("W", "VI", "W-CG")
        await world.sync("B")
        assert (await refused(world, Missing, item=theirs)).code == "item.unknown"

    play(tmp_path, story)


def test_rule_of_the_agreement_does_the_same_steps(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, PARENT)
        plain = json.loads((await derive(world, dry_run=True)).content)
        ruled = json.loads((await derive(world, rule="no-source", steps=(), agreement="")).content)
        assert {**plain, "id": ""} == {**ruled, "id": ""}

    play(tmp_path, story)


def test_second_person_releases_what_was_derived(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, PARENT)
        done = await derive(world, by="duty")
        site = world.sites["B"]
        await world.sync("W")
        assert not await has(world, done.child)
        before = await state(world)
        with pytest.raises(NotAuthorised) as caught:
            await site.review.decide(AGREEMENT, passing(done.child, "duty"))
        assert caught.value.code == "review.second-person"
        assert await state(world) == before
        await site.review.decide(AGREEMENT, passing(done.child, "head"))
        await world.sync("W")
        assert await has(world, done.child)

    play(tmp_path, story)


def test_without_second_person_the_child_goes_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, PARENT)
        done = await derive(world, by="")
        await world.sync("W")
        assert await has(world, done.child)

    play(tmp_path, story, second_person=False)


async def has(world: World, item: str) -> bool:
    """Whether W's node has the item."""
    try:
        return bool(await world.sites["W"].ask.trace(item))
    except Missing:
        return False


def test_nothing_of_the_link_leaves(tmp_path: Path) -> None:
    """All bytes that B's node sends to W's, and all that W then has, while W never gets the
    parent: nothing names it, its times, or its entry of the private ledger."""

    async def story(world: World) -> None:
        site = world.sites["B"]
        honest, heard = site.answer, []

        async def listening(path: str, body: bytes, fault: Any) -> bytes | None:
            found = await honest(path, body, fault)
            heard.append(found or b"")
            return found

        site.answer = listening  # type: ignore[method-assign]  # somebody on the line who reads
        # The parent is refused to W for its marking; only the child is W's.
        await publish(world, {**PARENT, "object_marking_refs": [RED]})
        done = await derive(world, markings=("tlp:amber",))
        await site.review.decide(AGREEMENT, passing(done.child, "head"))
        await world.sync("W")
        await world.sync("B")
        await Recalls(site.book, site.gate, lambda *_: None).recall(
            RecallAsk(agreement=AGREEMENT, collection=collection_of("B"), party="B", id=PARENT_ID)
        )
        await world.exchange()
        with pytest.raises(DetenteError) as caught:
            await site.delivery.page(asking(party="W", collection="none"), None)  # type: ignore[arg-type]  # refused before it is rendered
        heard.append(str(caught.value).encode())
        everything = b"\n".join(heard)
        assert done.child.encode() in everything
        secrets = [PARENT_ID, PARENT_ID.partition("--")[2], TIME, "Juan", "MV Alpha", "duty"]

        def files(party: str) -> bytes:
            folder = world.sites[party].file.parent
            return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())

        for secret in secrets[:-1]:
            assert secret.encode() not in everything, secret
            assert secret.encode() not in files("W"), secret
            assert secret.encode() in files("B"), secret

        def ledger(view: Any) -> list[bytes]:
            return list(view.entries(site.book.me.log_of(AGREEMENT), 0, 1000))

        entries = await site.store.read(ledger)
        assert not [one for one in entries if decode(one, Entry).act == "derive"]
        assert not [one for one in entries if b"duty" in one]

    play(tmp_path, story)


def test_link_is_in_the_private_ledger_and_opens(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, PARENT)
        done = await derive(world)
        site = world.sites["B"]
        log = site.book.me.node_log

        def read(view: Any) -> tuple[Any, ...]:
            (row,) = view.derived(done.child, children=False, most=10)
            return row, decode(view.entry(log, row.index), Entry), view.opening(log, row.index)

        row, entry, opening = await site.store.read(read)
        assert (row.parent, row.child, row.office) == (PARENT_ID, done.child, "duty")
        assert (entry.act, entry.ref, opening.media) == ("derive", "duty", DERIVE_MEDIA)
        check_commitment(base64.b64decode(entry.c), opening.salt, opening.media, opening.payload)
        assert PARENT_ID not in encode(entry).decode()
        assert done.child not in encode(entry).decode()

    play(tmp_path, story)


def test_lineage_is_told_here_and_a_recall_raises_the_question(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, PARENT)
        first = await derive(world)
        second = await derive(
            world, item=first.child, steps=(Step(do="replace", path="name", text="A hull"),)
        )
        derives = world.sites["B"].derives
        found = await derives.lineage(PARENT_ID)
        assert [(one.id, one.stands) for one in found.children] == [
            (first.child, True),
            (second.child, True),
        ]
        assert [one.id for one in (await derives.lineage(second.child)).parents] == [first.child]
        site = world.sites["B"]
        recalls = Recalls(site.book, site.gate, lambda *_: None)
        await recalls.recall(
            RecallAsk(agreement=AGREEMENT, collection=collection_of("B"), party="B", id=first.child)
        )
        found = await derives.lineage(PARENT_ID)
        assert [one.stands for one in found.children] == [False, True]
        assert (await world.sites["W"].derives.lineage(PARENT_ID)).children == ()

    play(tmp_path, story)


def test_parent_taken_back_meanwhile_gives_no_child(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, PARENT)
        site = world.sites["B"]
        honest = site.intake.publish

        async def slow(publication: Publication, keep: Any = None) -> Any:
            await Recalls(site.book, site.gate, lambda *_: None).recall(
                RecallAsk(
                    agreement=AGREEMENT, collection=collection_of("B"), party="B", id=PARENT_ID
                )
            )
            slow_state.append(await state(world))
            return await honest(publication, keep)

        slow_state: list[object] = []
        site.intake.publish = slow  # type: ignore[method-assign]  # a moment before the record
        with pytest.raises(Conflict) as caught:
            await derive(world)
        assert caught.value.code == "derive.recalled"
        assert [await state(world)] == slow_state

    play(tmp_path, story)


def test_no_child_without_its_link_and_no_link_without_its_child(tmp_path: Path) -> None:
    """The transaction fails after the child was entered, before its link is; then the node goes
    down and comes up."""

    async def story(world: World) -> None:
        await publish(world, PARENT)
        before = await state(world)
        site = world.sites["B"]
        entry = site.book.entry

        def broken(act: Any, **fields: Any) -> bytes:
            if act == "derive":
                raise RuntimeError("power is gone")
            return entry(act, **fields)

        site.book.entry = broken  # type: ignore[method-assign]  # a crash between
        with pytest.raises(RuntimeError):
            await derive(world)
        site.book.entry = entry  # type: ignore[method-assign]  # as it was before
        assert await state(world) == before
        await world.restart("B")
        end, _, links = await state(world)
        assert [end, links] == [before[0], before[2]]
        done = await derive(world)
        await world.restart("B")
        found = await world.sites["B"].derives.lineage(PARENT_ID)
        assert [one.id for one in found.children] == [done.child]

    play(tmp_path, story)
