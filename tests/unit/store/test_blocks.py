"""Blocks: whatever the sizes of appends, what is read is what was appended."""

from __future__ import annotations

import asyncio
import random
import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detente.errors import Invalid
from detente.ports import NewItem, Tx, View
from detente.store import blocks, writer
from detente.store.blocks import BlockCache
from detente.store.places import Tail
from detente.store.sqlite import SQLiteStore
from tests.unit.store.kit import KEY, item, items, known, opened, play, raws

SIZES = st.one_of(
    st.integers(1, 12), st.integers(90, 120), st.integers(400, 600), st.integers(950, 2_100)
)


class Plain:
    """A collection as a plain list."""

    def __init__(self) -> None:
        self.entries: list[tuple[NewItem, int]] = []
        self.last_us = 0

    def append(self, new: list[NewItem], now_us: int) -> None:
        first = max(now_us, self.last_us + 1)
        self.entries += [(one, first + i) for i, one in enumerate(new)]
        self.last_us = first + len(new) - 1

    def check(self, view: View, dice: random.Random) -> None:
        end = len(self.entries)
        state = view.collection(KEY)
        assert (state.end, state.last_us) == (end, self.last_us)
        assert view.block(KEY, end) is None
        seq = 0
        while seq < end:
            block = view.block(KEY, seq)
            assert block is not None
            assert block.first == seq
            part = self.entries[seq : seq + block.count]
            assert [block.raw(seq + i) for i in range(block.count)] == [e.raw for e, _ in part]
            assert block.body == b",".join(e.raw for e, _ in part)
            assert list(block.added_us) == [us for _, us in part]
            assert list(block.handlings) == [e.handling for e, _ in part]
            assert block.keys == b"".join(e.key for e, _ in part)
            assert block.digests == b"".join(e.sha256 for e, _ in part)
            seq += block.count
        for _ in range(20):
            self._look(view, dice, end)

    def _look(self, view: View, dice: random.Random, end: int) -> None:
        a, b = sorted(dice.choices(range(end + 1), k=2))
        assert list(raws(view, KEY, a, b)) == [e.raw for e, _ in self.entries[a:b]]
        handling = dice.randint(1, 5)
        places = [i for i, (e, _) in enumerate(self.entries) if e.handling == handling]
        assert view.count(KEY, handling, a, b) == sum(a <= i < b for i in places)
        assert view.first_of(KEY, handling, a) == next((i for i in places if i >= a), None)
        us = dice.randint(0, self.last_us + 2)
        after = next((i for i, (_, at) in enumerate(self.entries) if at > us), end)
        assert view.seq_after(KEY, us) == after
        wanted = dice.choice(self.entries)[0].key
        found = [i for i, (e, _) in enumerate(self.entries) if e.key == wanted]
        assert view.find(KEY, wanted) == found


def some(dice: random.Random, count: int, names: int) -> list[NewItem]:
    """Items of few objects in several versions, with handlings in runs."""
    handling = dice.randint(1, 4)
    return [
        item(
            dice.randrange(names),
            handling=handling if i % 7 else dice.randint(1, 4),
            version=dice.randrange(3),
            size=dice.randrange(40),
        )
        for i in range(count)
    ]


async def grow(path: Path, sizes: list[int], seed: int) -> None:
    dice, plain = random.Random(seed), Plain()
    async with opened(path) as store:
        for n, size in enumerate(sizes):
            new, now_us = some(dice, size, 400), dice.randrange(5_000)
            await store.write(lambda tx, new=new, at=now_us: tx.append_items(KEY, new, at))
            plain.append(new, now_us)
            await store.write(lambda tx: check_known(tx, plain, dice))
            if n % 5 == 4:
                await store.read(lambda view: plain.check(view, dice))
        await store.read(lambda view: plain.check(view, dice))
    async with opened(path) as store:
        await store.read(lambda view: plain.check(view, dice))
        await store.write(lambda tx: check_known(tx, plain, dice))


def check_known(tx: Tx, plain: Plain, dice: random.Random) -> None:
    asked = [item(dice.randrange(500), version=dice.randrange(4)) for _ in range(20)]
    asked += [dice.choice(plain.entries)[0] for _ in range(20)]
    newest: dict[tuple[bytes, bytes], int] = {}
    entries: dict[bytes, list[int]] = {}
    versions: dict[tuple[bytes, bytes], list[int]] = {}
    for i, (one, _) in enumerate(plain.entries):
        newest[one.key, one.sha256] = i
        entries.setdefault(one.key, []).append(i)
        versions.setdefault((one.key, one.mark), []).append(i)
    assert known(tx, KEY, asked) == [newest.get((one.key, one.sha256)) for one in asked]
    assert tx.singles(KEY, [one.key for one in asked]) == {
        one.key: seqs[0] if len(seqs) == 1 else None
        for one in asked
        if (seqs := entries.get(one.key))
    }
    pairs = [(one.key, one.mark) for one in asked]
    same = [sorted(seqs) for seqs in tx.same_version(KEY, pairs)]
    assert same == [versions.get(pair, []) for pair in pairs]


@settings(max_examples=12, deadline=None)
@given(sizes=st.lists(SIZES, min_size=1, max_size=14), seed=st.integers(0, 2**32))
def test_merging_never_changes_what_is_read(sizes: list[int], seed: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(grow(Path(directory) / "store.db", sizes, seed))


@pytest.mark.parametrize("waiting", [0, 60, 2_000])
def test_index_in_strides_finds_all(
    waiting: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "Tail", partial(Tail, waiting))
    asyncio.run(grow(tmp_path / "store.db", [1, 700, 3, 1_200, 40, 40, 900, 5, 2], waiting))


@pytest.mark.parametrize("seed", range(3))
def test_large_bodies_are_cut_earlier(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BODY_BYTES_MAX", 3_000)
    monkeypatch.setattr(blocks, "_SEALED_BYTES", 1_500)
    asyncio.run(grow(tmp_path / "store.db", [1] * 30 + [200, 7, 7, 7] * 3, seed))

    async def story(store: SQLiteStore) -> None:
        def lengths(view: View) -> list[int]:
            found, seq = [], 0
            while (block := view.block(KEY, seq)) is not None:
                found.append(len(block.body))
                seq += block.count
            return found

        assert max(await store.read(lengths)) <= 3_000

    play(tmp_path / "store.db", story)


def test_object_larger_than_a_body_gets_its_own_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BODY_BYTES_MAX", 500)
    new = [item(1), item(2, size=900), item(3)]

    async def story(store: SQLiteStore) -> None:
        await store.write(lambda tx: tx.append_items(KEY, new, 1))
        block = await store.read(lambda view: view.block(KEY, 1))
        assert block is not None
        assert (block.first, block.count, block.raw(1)) == (1, 1, new[1].raw)

    play(tmp_path / "store.db", story)


def test_single_appends_end_in_few_blocks_and_are_moved_at_most_three_times(tmp_path: Path) -> None:
    count = 2_300

    async def story(store: SQLiteStore) -> None:
        for n in range(0, count, 50):
            await asyncio.gather(
                *(
                    store.write(lambda tx, n=n + i: tx.append_items(KEY, [item(n)], 1))
                    for i in range(50)
                )
            )
        spans = await store.read(spans_of)
        assert sum(spans) == count
        assert len(spans) < 2 + 9 + 20 + 10
        assert spans[0] >= 500
        assert store._writer._tx.blocks.rewritten <= 3 * count

    play(tmp_path / "store.db", story)


def spans_of(view: View) -> list[int]:
    found: list[int] = []
    while (block := view.block(KEY, sum(found))) is not None:
        found.append(block.count)
    return found


def test_alternating_sizes_merge_too(tmp_path: Path) -> None:
    async def story(store: SQLiteStore) -> None:
        for n in range(120):
            size = 30 if n % 4 == 3 else 1
            await store.write(lambda tx, s=size: tx.append_items(KEY, items(0, s), 1))
        assert len(await store.read(spans_of)) < 45

    play(tmp_path / "store.db", story)


@pytest.mark.parametrize(
    ("field", "value"), [("key", b"short"), ("sha256", b"short"), ("raw", b"")]
)
def test_malformed_item_is_refused_and_nothing_changes(
    field: str, value: bytes, tmp_path: Path
) -> None:
    good = item(1)
    fields = {"key": good.key, "raw": good.raw, "sha256": good.sha256, field: value}
    bad = NewItem(handling=1, **fields)

    async def story(store: SQLiteStore) -> None:
        with pytest.raises(Invalid):
            await store.write(lambda tx: tx.append_items(KEY, [good, bad], 1))
        assert (await store.read(lambda view: view.collection(KEY))).end == 0

    play(tmp_path / "store.db", story)


def test_times_rise_and_the_clock_can_be_moved(tmp_path: Path) -> None:
    async def story(store: SQLiteStore) -> None:
        state = await store.write(lambda tx: tx.append_items(KEY, items(0, 3), 100))
        assert (state.end, state.last_us) == (3, 102)
        state = await store.write(lambda tx: tx.append_items(KEY, items(3, 4), 50))
        assert state.last_us == 103
        await store.write(lambda tx: tx.move_clock(KEY, 500))
        await store.write(lambda tx: tx.move_clock(KEY, 400))
        assert (await store.read(lambda view: view.collection(KEY))).last_us == 500
        state = await store.write(lambda tx: tx.append_items(KEY, items(4, 5), 300))
        assert (state.end, state.last_us) == (5, 501)
        assert await store.read(lambda view: view.seq_after(KEY, 103)) == 4

    play(tmp_path / "store.db", story)


def test_collections_do_not_mix(tmp_path: Path) -> None:
    async def story(store: SQLiteStore) -> None:
        for key in ("agr-1/a", "agr-1/b"):
            await store.write(lambda tx, key=key: tx.append_items(key, items(0, 5), 1))
        one = item(3)
        found = await store.write(
            lambda tx: [known(tx, key, [one]) for key in ("agr-1/a", "agr-1/b", "agr-1/c")]
        )
        assert found == [[3], [3], [None]]
        assert await store.read(lambda view: view.find("agr-1/b", one.key)) == [3]
        assert await store.read(lambda view: view.find("agr-1/c", one.key)) == []

    play(tmp_path / "store.db", story)


def test_cache_keeps_within_its_bound() -> None:
    async def story(store: SQLiteStore) -> list[object]:
        await store.write(lambda tx: tx.append_items(KEY, items(0, 3_000), 1))
        return [await store.read(lambda view, n=n: view.block(KEY, n)) for n in (0, 1_000, 2_000)]

    with tempfile.TemporaryDirectory() as directory:
        found = play(Path(directory) / "store.db", story)
    cache = BlockCache(bytes_max=250_000, keys_bytes_max=20_000)
    for n, block in enumerate(found):
        assert isinstance(block, blocks.Block)
        cache.put(n, block)
        cache.put_keys(n, block.keys)
    assert cache.get(0) is None
    assert cache.get(2) is found[2]
    assert cache.get_keys(0) is None
    assert cache.get_keys(2) == found[2].keys
