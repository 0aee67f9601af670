"""Intake: what a publication or a page costs the one writer, and what is known, new or refused."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from detente.errors import Conflict, Invalid, PeerError
from detente.gateway import feeds as feeds_module
from detente.gateway import gather, intake, intern, sift, versions
from detente.gateway.feeds import decode_feed
from detente.gateway.gather import Kept, PageAsk
from detente.gateway.intake import Publication, Published, Received
from detente.gateway.recall import RecallAsk, Recalls
from detente.gateway.versions import LAST
from detente.model import Handling
from detente.ports import Block, Tx, View
from detente.store.blocks import BlockReader
from detente.testing import World
from detente.testing.parts import AGREEMENT, READER
from detente.testing.site import Site
from tests.unit.gateway.kit import play
from tests.world.sound_feed import check_feed

T = TypeVar("T")
KEY = f"{AGREEMENT}/b-out"
NAME = "infrastructure--00000000-0000-4000-8000-000000000001"


def stix(
    version: int, *, name: str = NAME, text: str = "a", markings: Sequence[int] = ()
) -> dict[str, object]:
    made: dict[str, object] = {
        "type": "infrastructure",
        "spec_version": "2.1",
        "id": name,
        "created": "2026-01-01T00:00:00.000Z",
        "modified": f"2026-01-01T00:{version // 60:02}:{version % 60:02}.000Z",
        "name": text,
    }
    if markings:
        made["object_marking_refs"] = [f"marking-definition--{uuid_of(n)}" for n in markings]
    return made


def uuid_of(n: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, str(n))


def others(n: int, *, markings: Callable[[int], Sequence[int]] = lambda _: ()) -> list[object]:
    """Objects of different ids."""
    return [stix(0, name=f"infrastructure--{uuid_of(i)}", markings=markings(i)) for i in range(n)]


def publication(objects: Sequence[object], *, partial: bool = False) -> Publication:
    return Publication(
        agreement=AGREEMENT,
        collection="b-out",
        party="B",
        body=json.dumps({"objects": objects}).encode(),
        kind="VI",
        purpose="interdiction",
        grade="admiralty:B2",
        unit="B-NAV",
        partial=partial,
    )


async def publish(world: World, *objects: object, partial: bool = False) -> Published:
    return await world.sites["B"].intake.publish(publication(objects, partial=partial))


async def end_of(site: Site) -> int:
    return await site.store.read(lambda view: view.collection(KEY).end)


def page_of(objects: Sequence[dict[str, object]], handlings: Sequence[Handling]) -> Received:
    raws = [json.dumps(one).encode() for one in objects]
    return Received(
        agreement=AGREEMENT,
        collection="b-out",
        sender="B",
        origin="b.example/detente/A1",
        index=3,
        root=hashlib.sha256(b"root").digest(),
        objects=tuple(
            (raw, str(one["id"]), n % len(handlings))
            for n, (raw, one) in enumerate(zip(raws, objects, strict=True))
        ),
        handlings=tuple(handlings),
    )


def handling(n: int, markings: tuple[str, ...] = ()) -> Handling:
    return Handling(
        collection="b-out",
        kind="VI",
        stix_type="infrastructure",
        originator="B",
        unit="B-NAV",
        grade=f"admiralty:B{n}",
        markings=markings,
    )


async def receive(world: World, page: Received) -> int:
    return await world.sites["W"].intake.receive(page, lambda tx, new, known: None)


# --- what it costs ------------------------------------------------------------------------------


class Counts:
    """How often stored objects are looked into and feeds are read while a work runs."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seen: Counter[str] = Counter()
        for owner, name in (
            (Block, "raw"),
            (BlockReader, "block"),
            (BlockReader, "names"),
            (intern, "decode_feed"),
            (intern, "encode_feed"),
            (versions, "version_of"),
        ):
            patch.setattr(owner, name, self._counting(name, getattr(owner, name)))

    def _counting(self, name: str, found: Callable[..., T]) -> Callable[..., T]:
        def counted(*args: object) -> T:
            self.seen[name] += 1
            return found(*args)

        return counted


@pytest.mark.parametrize("stored", [30, 300])
def test_new_versions_of_an_object_cost_the_same_whatever_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    async def story(world: World) -> None:
        await publish(world, *[stix(n) for n in range(stored)])
        counts = Counts(monkeypatch)
        done = await publish(world, *[stix(1_000 + n) for n in range(20)])
        assert done.taken == 20
        looks = counts.seen["raw"] + counts.seen["block"] + counts.seen["names"]
        assert looks <= 20

    play(tmp_path, story, checked=False)


@pytest.mark.parametrize("stored", [30, 300])
def test_received_versions_of_an_object_cost_the_same_whatever_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    async def story(world: World) -> None:
        await receive(world, page_of([stix(n) for n in range(stored)], [handling(1)]))
        counts = Counts(monkeypatch)
        page = page_of([stix(1_000 + n) for n in range(20)], [handling(1)])
        assert await receive(world, page) == 20
        looks = counts.seen["raw"] + counts.seen["block"] + counts.seen["names"]
        assert looks <= 20

    play(tmp_path, story, checked=False)


def test_each_feed_is_read_and_written_once_for_all_new_handlings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        feeds = await world.sites["B"].store.read(lambda view: view.feeds(KEY))
        counts = Counts(monkeypatch)
        done = await publish(world, *others(50, markings=lambda n: [n]))
        assert done.taken == 50
        assert counts.seen["decode_feed"] == counts.seen["encode_feed"] == len(feeds)
        rows = await world.sites["B"].store.read(lambda view: view.feeds(KEY))
        for row in rows:
            feed = decode_feed(row.value)
            check_feed(feed, 50)
            assert len(feed.outcomes) == 50

    play(tmp_path, story, checked=False)


def test_the_writer_decides_nothing_for_many_parties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is decided ahead is taken as it is, unless the standing moved."""
    asked: list[str] = []
    decide, decide_for = feeds_module.decide, intern.decide_for

    async def story(world: World) -> None:
        site = world.sites["B"]
        inside = [False]
        write = site.store.write

        async def watched(work: Callable[[Tx], T]) -> T:
            def within(tx: Tx) -> T:
                inside[0] = True
                try:
                    return work(tx)
                finally:
                    inside[0] = False

            return await write(within)

        def noted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **more: object) -> object:
                asked.append("inside" if inside[0] else "outside")
                return real(*args, **more)

            return call

        monkeypatch.setattr(site.store, "write", watched)
        monkeypatch.setattr(feeds_module, "decide", noted(decide))
        monkeypatch.setattr(intern, "decide_for", noted(decide_for))
        await publish(world, *others(50, markings=lambda n: [n]))

    play(tmp_path, story, checked=False)
    assert "inside" not in asked
    assert "outside" in asked


@pytest.mark.parametrize("moves", [1, 3])
def test_what_was_decided_ahead_is_not_used_once_an_order_came_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    async def story(world: World) -> None:
        site = world.sites["B"]
        ahead = site.intake._ahead
        verbs = ["halt", "suspend", "narrow"][:moves]

        async def late(*args: Any) -> Any:
            found = await ahead(*args)
            if verbs:
                order = getattr(world, verbs.pop(0))
                await (order("B", remains=("SL",)) if order == world.narrow else order("B"))
            return found

        monkeypatch.setattr(site.intake, "_ahead", late)
        types = [f"x-type{n}" for n in range(50)]
        objects = [stix(1) | {"type": name, "id": f"{name}--{uuid_of(0)}"} for name in types]
        if moves == 3:  # as often as it is tried
            with pytest.raises(Conflict) as found:
                await publish(world, *objects)
            assert found.value.code == "gate.moved"
            assert await end_of(site) == 0
            assert await site.store.read(lambda view: view.handlings(KEY)) == {}
        else:
            assert (await publish(world, *objects)).taken == 50
            row = await site.store.read(lambda view: view.feed(KEY, READER))
            assert row is not None
            # Without the order all would be released.
            assert {outcome for _, outcome in decode_feed(row.value).outcomes} == {"hold"}

    play(tmp_path, story, checked=False)


@pytest.mark.parametrize("ids", [(), (NAME,)])
def test_reader_of_the_last_version_looks_at_each_entry_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: tuple[str, ...]
) -> None:
    async def story(world: World) -> None:
        await publish(world, *[stix(n) for n in range(300)])
        counts = Counts(monkeypatch)
        ask = PageAsk(
            agreement=AGREEMENT,
            collection="b-out",
            party=READER,
            reader="k",
            after_us=0,
            limit=10,
            versions=LAST,
            ids=ids,
        )
        found, _ = await world.sites["B"].store.read(
            lambda view: gather.gather(view, ask, Kept(1 << 20))
        )
        assert found is not None
        assert found.count == 1
        assert b"00:04:59.000Z" in found.body
        assert counts.seen["version_of"] == 300
        # By id each entry is looked at by itself; else what follows is passed over at once.
        assert counts.seen["block"] <= (310 if ids else 10)

    play(tmp_path, story, checked=False)


# --- what is known, new and refused -------------------------------------------------------------


def twins(view: View) -> list[int]:
    return view.twins(KEY, 0, 1_000)


def test_known_conflicting_and_new_versions_are_told_apart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        site = world.sites["B"]
        await publish(world, stix(1), *others(1))
        assert await site.store.read(twins) == []
        await publish(world, stix(2), stix(3))
        assert await site.store.read(twins) == [0, 2, 3]
        mixed = [stix(2), stix(2, text="b"), stix(4), stix(4, text="b"), stix(4), stix(1)]
        with pytest.raises(Invalid) as whole:
            await publish(world, *mixed)
        assert whole.value.code == "publish.refused"
        assert await end_of(site) == 4
        done = await publish(world, *mixed, partial=True)
        # The third says the same as the first of its version in the request, so it is no conflict.
        assert [(one.index, one.code) for one in done.refused] == [
            (1, "publish.version"),
            (3, "publish.version"),
        ]
        assert (done.taken, done.known) == (1, 3)
        assert await site.store.read(twins) == [0, 2, 3, 4]

    play(tmp_path, story, checked=False)


def test_the_same_instant_written_in_another_way_is_another_version(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        other = stix(1, text="b") | {"modified": "2026-01-01T00:00:01.0Z"}
        done = await publish(world, stix(1), other)
        assert done.taken == 2

    play(tmp_path, story, checked=False)


def test_objects_without_a_version_never_conflict(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        name = f"ipv4-addr--{uuid_of(1)}"
        made = [{"type": "ipv4-addr", "id": name, "value": f"10.0.0.{n}"} for n in range(3)]
        assert (await publish(world, *made[:2])).taken == 2
        done = await publish(world, *made)
        assert (done.taken, done.known) == (1, 2)
        assert await world.sites["B"].store.read(twins) == [0, 1, 2]

    play(tmp_path, story, checked=False)


def test_recalled_object_may_come_anew_in_the_same_and_in_other_bytes(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        site = world.sites["B"]
        recalls = Recalls(site.book, site.gate, lambda agreement, collection: None)
        ask = RecallAsk(agreement=AGREEMENT, collection="b-out", party="B", id=NAME)
        for text in "abaa":
            done = await publish(world, stix(1, text=text))
            assert (done.taken, done.known, done.refused) == (1, 0, ())
            assert (await publish(world, stix(1, text=text))).known == 1
            with pytest.raises(Invalid):
                await publish(world, stix(1, text="z"))
            assert (await recalls.recall(ask)).count == 1

    play(tmp_path, story, checked=False)


def test_received_page_takes_each_content_once_and_keeps_what_conflicts(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        objects = [stix(1), stix(1, text="b"), stix(1), stix(2)]
        assert await receive(world, page_of(objects, [handling(1)])) == 3
        assert await receive(world, page_of([*objects, stix(3)], [handling(1)])) == 1
        assert await world.sites["W"].store.read(twins) == [0, 1, 2, 3]

    play(tmp_path, story, checked=False)


def test_received_object_whose_version_is_no_text_is_read_as_having_none(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        made = [stix(1) | {"modified": 5}, stix(2)]
        assert await receive(world, page_of(made, [handling(1)])) == 2
        site = world.sites["W"]
        ask = PageAsk(
            agreement=AGREEMENT,
            collection="b-out",
            party="W",
            reader="w",
            after_us=0,
            limit=10,
            versions=LAST,
        )
        found, _ = await site.store.read(lambda view: gather.gather(view, ask, Kept(1 << 20)))
        assert found is not None
        assert found.count == 1

    play(tmp_path, story, checked=False)


# --- bounds -------------------------------------------------------------------------------------


def bounds(patch: pytest.MonkeyPatch, *, new: int, most: int) -> None:
    patch.setattr(intern, "HANDLINGS_NEW_MAX", new)
    patch.setattr(intern, "HANDLINGS_MAX", most)


@pytest.mark.parametrize("partial", [False, True])
def test_publication_with_too_many_new_handlings_is_refused_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partial: bool
) -> None:
    bounds(monkeypatch, new=5, most=100)

    async def story(world: World) -> None:
        site = world.sites["B"]
        with pytest.raises(Invalid) as found:
            await publish(world, *others(6, markings=lambda n: [n]), partial=partial)
        assert found.value.code == "publish.handlings"
        assert "at most 5" in found.value.sentence
        assert found.value.hint
        assert await end_of(site) == 0
        assert await site.store.read(lambda view: view.handlings(KEY)) == {}
        # Handlings that are there already do not count.
        first, rest = others(6, markings=lambda n: [n])[:5], others(6, markings=lambda n: [n])
        assert (await publish(world, *first)).taken == 5
        assert (await publish(world, *rest)).taken == 1

    play(tmp_path, story, checked=False)


def test_objects_beyond_the_handlings_of_a_collection_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds(monkeypatch, new=100, most=4)

    async def story(world: World) -> None:
        site = world.sites["B"]
        objects = others(6, markings=lambda n: [n])
        with pytest.raises(Invalid) as found:
            await publish(world, *objects)
        assert found.value.code == "publish.refused"
        assert await end_of(site) == 0
        done = await publish(world, *objects, partial=True)
        assert done.taken == 4
        assert [(one.index, one.code) for one in done.refused] == [
            (4, "publish.handlings-full"),
            (5, "publish.handlings-full"),
        ]
        assert len(await site.store.read(lambda view: view.handlings(KEY))) == 4
        # What fits a handling that is there is taken still.
        done = await publish(world, stix(9, markings=[2]), stix(9, text="b", markings=[5]),
                             partial=True)  # fmt: skip
        assert done.taken == 1
        assert len(await site.store.read(lambda view: view.handlings(KEY))) == 4

    play(tmp_path, story, checked=False)


def test_many_readers_leave_room_for_fewer_handlings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds(monkeypatch, new=2, most=100)

    async def story(world: World) -> None:
        site = world.sites["B"]
        feeds = len(await site.store.read(lambda view: view.feeds(KEY)))
        monkeypatch.setattr(intern, "PAIRS_MAX", 3 * feeds)
        for n, taken in enumerate((1, 1, 1, 0, 0)):
            done = await publish(world, stix(n, markings=[n]), partial=True)
            assert done.taken == taken
            assert taken or "at most 3" in done.refused[0].sentence
        monkeypatch.setattr(intern, "PAIRS_MAX", feeds)
        # Never fewer than one publication may add; and what is there stays.
        assert await site.store.read(lambda view: intern.handlings_max(view, KEY)) == 2
        assert (await publish(world, stix(9, markings=[2]))).taken == 1

    play(tmp_path, story, checked=False)


def test_publication_that_refers_to_too_many_definitions_is_refused_before_they_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "DEFINITIONS_MAX", 3)

    async def story(world: World) -> None:
        assert (await publish(world, stix(1, markings=range(3)))).taken == 1
        with pytest.raises(Invalid) as refused:
            await publish(world, stix(2, markings=range(2)), stix(3, markings=range(2, 4)))
        assert refused.value.code == "publish.definitions"
        assert await world.sites["B"].store.read(lambda view: view.collection(KEY).end) == 1

    play(tmp_path, story, checked=False)


def test_object_with_too_many_markings_is_refused_by_name(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        most = intern.MARKINGS_MAX
        bad, good = stix(1, markings=range(most + 1)), stix(2, markings=range(most))
        done = await publish(world, bad, good, partial=True)
        assert done.taken == 1
        assert [(one.index, one.code) for one in done.refused] == [(0, "publish.markings")]

    play(tmp_path, story, checked=False)


@pytest.mark.parametrize(
    "page",
    [
        page_of(
            [stix(n) for n in range(6)], [handling(n) for n in range(6)]
        ),
        page_of([stix(1)], [handling(1, tuple(f"unknown:{n}" for n in range(65)))]),
        page_of([stix(1)], [handling(1, ("unknown:" + "x" * 293,))]),
    ],
)  # fmt: skip
def test_page_beyond_the_bounds_is_refused_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Received
) -> None:
    bounds(monkeypatch, new=2, most=5)

    async def story(world: World) -> None:
        site = world.sites["W"]
        log = site.book.me.log_of(AGREEMENT)
        before = await site.store.read(lambda view: view.log_size(log))
        with pytest.raises(PeerError) as found:
            await receive(world, page)
        assert found.value.code == "peer.handlings"
        assert await end_of(site) == 0
        assert await site.store.read(lambda view: view.log_size(log)) == before
        assert await site.store.read(lambda view: view.handlings(KEY)) == {}
        # The first page may bring more than one publication may.
        page5 = page_of([stix(n) for n in range(5)], [handling(n) for n in range(5)])
        assert await receive(world, page5) == 5

    play(tmp_path, story, checked=False)


def test_handlings_that_no_object_of_a_page_has_are_not_kept(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        page = page_of([stix(1)], [handling(n) for n in range(4)])
        assert await receive(world, page) == 1
        site = world.sites["W"]
        assert len(await site.store.read(lambda view: view.handlings(KEY))) == 1

    play(tmp_path, story, checked=False)


def test_sifting_names_each_place_once() -> None:
    """New, in conflict and known are disjoint, whatever a store answers."""

    class Nothing:
        def known(self, key: str, items: Sequence[object]) -> list[int | None]:
            return [None] * len(items)

        def singles(self, key: str, keys: Sequence[bytes]) -> dict[bytes, int | None]:
            return {}

        def same_version(self, key: str, items: Sequence[object]) -> list[list[int]]:
            return [[] for _ in items]

    said = (("1", b"a"), ("1", b"b"), ("", b"c"), ("1", b"a"))
    names = [sift.name_of("x", version, content * 32) for version, content in said]
    found = sift.sift(Nothing(), KEY, names, versions=True)  # type: ignore[arg-type]  # what is asked of it
    assert (found.new, found.conflicts) == ([0, 2], [1])
    assert found.twins(found.new, 7) == [7, 8]
