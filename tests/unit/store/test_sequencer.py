"""Ledgers: tiles, checkpoints and exports are those of ``proof``, and a fork is refused."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detente.errors import Broken, Invalid, Missing
from detente.ports import View
from detente.proof import (
    check_proof,
    entries_path,
    inclusion_proof,
    integrate,
    leaf_hash,
    parse_tile_path,
    root_from_tiles,
    root_of,
    split_bundle,
    tile_path,
    verify_checkpoint,
)
from detente.proof.checkpoint import Proof, encode_proof
from detente.store.export import export_ledger
from detente.store.growth import EMPTY, edge_of, grow
from detente.store.sqlite import SQLiteStore
from tests.unit.store.kit import LOG, VKEY, opened, play


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"entry %d" % n) for n in range(count)]


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.integers(1, 700), max_size=8), seed=st.integers(0, 9))
def test_growing_gives_the_tiles_and_roots_of_proof(batches: list[int], seed: int) -> None:
    edge, size = EMPTY, 0
    tiles: dict[tuple[int, int], bytes] = {}
    wanted: dict[tuple[int, int], bytes] = {}
    all_leaves = leaves(sum(batches))
    for count in batches:
        part = all_leaves[size : size + count]
        old = edge
        edge, levels = grow(edge, part)
        for level, hashes in enumerate(levels):
            at = old.size >> 8 * level
            for i in range(0, len(hashes), 32):
                index = (at + i // 32) // 256
                tiles[level, index] = tiles.get((level, index), b"") + hashes[i : i + 32]
        grown = integrate(size, lambda level, index, at=dict(wanted): at[level, index], part)
        wanted |= {(tile.level, tile.index): tile.hashes for tile in grown.tiles}
        size += count
        assert (edge.size, edge.root()) == (grown.size, grown.root)
        assert tiles == wanted
        assert edge_of(size, lambda level, index: tiles[level, index]) == edge


def test_growing_over_three_levels_gives_the_root_of_proof() -> None:
    all_leaves = leaves(256 * 257 + 3)
    edge, levels = grow(EMPTY, all_leaves)
    assert edge.root() == root_of(all_leaves)
    assert [len(hashes) // 32 for hashes in levels] == [256 * 257 + 3, 257, 1]


def test_edge_of_a_short_tile_is_refused() -> None:
    with pytest.raises(Broken):
        edge_of(5, lambda level, index: b"h" * 32 * 4)


async def fill(store: SQLiteStore, count: int, seed: int = 1) -> None:
    """Entries ``0`` to ``count - 1``, in works of random size, several at once."""
    dice, n = random.Random(seed), 0
    while n < count:
        works = []
        for _ in range(dice.randint(1, 5)):
            size = min(dice.choice((1, 1, 2, 40, 300)), count - n)
            works.append((n, n + size))
            n += size
        await asyncio.gather(
            *(
                store.write(
                    lambda tx, a=a, b=b: [
                        tx.append_entry(LOG, b"entry %d" % i) for i in range(a, b)
                    ]
                )
                for a, b in works
            )
        )


def test_tiles_on_disk_are_those_of_proof_over_all_entries(tmp_path: Path) -> None:
    count = 1_500

    def look(view: View) -> None:
        assert view.log_size(LOG) == count
        assert view.entries(LOG, 0, count) == [b"entry %d" % n for n in range(count)]
        grown = integrate(0, lambda level, index: b"", leaves(count))
        for tile in grown.tiles:
            assert view.tile(LOG, tile.level, tile.index) == tile.hashes
        assert view.tile(LOG, 0, count // 256 + 1) == b""
        assert view.tile(LOG, 2, 0) == b""
        assert view.tile("none", 0, 0) == b""
        note = view.checkpoint(LOG)
        assert note is not None
        checkpoint = verify_checkpoint(note, VKEY)
        assert (checkpoint.size, checkpoint.root) == (count, grown.root)

    async def story(store: SQLiteStore) -> None:
        await fill(store, count)
        await store.read(look)

    path = tmp_path / "store.db"
    play(path, story)

    async def again(store: SQLiteStore) -> None:
        await store.read(look)
        await store.write(lambda tx: tx.append_entry(LOG, b"after a restart"))
        note = await store.read(lambda view: view.checkpoint(LOG))
        assert note is not None
        wanted = root_of([*leaves(count), leaf_hash(b"after a restart")])
        assert verify_checkpoint(note, VKEY).root == wanted

    play(path, again)


def test_one_commit_signs_one_checkpoint_for_each_ledger(tmp_path: Path) -> None:
    names = [f"{LOG}-{n}" for n in range(3)]

    async def story(store: SQLiteStore) -> None:
        await store.write(lambda tx: [tx.append_entry(name, b"x") for name in names for _ in "ab"])
        assert await store.read(lambda view: view.logs()) == names
        assert await store.read(lambda view: [view.log_size(name) for name in names]) == [2] * 3
        notes = await store.read(lambda view: [view.checkpoint(name) for name in names])
        assert [note.split(b"\n")[:2] for note in notes if note] == [
            [name.encode(), b"2"] for name in names
        ]

    play(tmp_path / "store.db", story)


@pytest.mark.parametrize("entry", [b"", b"x" * 65_536])
def test_entry_that_a_bundle_cannot_hold_is_refused(entry: bytes, tmp_path: Path) -> None:
    async def story(store: SQLiteStore) -> None:
        with pytest.raises(Invalid, match=r"ledger\.entry"):
            await store.write(lambda tx: tx.append_entry(LOG, entry))
        assert await store.write(lambda tx: tx.append_entry(LOG, b"x" * 65_535)) == 0

    play(tmp_path / "store.db", story)


# --- forks and damage -----------------------------------------------------------------------


def change(path: Path, statement: str, *values: apsw.SQLiteValue) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement, values)
    assert connection.changes() > 0
    connection.close()


def test_head_that_was_swapped_is_not_signed_over(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def story() -> None:
        async with opened(path) as store:
            await fill(store, 300)
            old = await store.read(lambda view: view.checkpoint(LOG))
            change(path, "UPDATE log SET root = ?", hashlib.sha256(b"fork").digest())
            with pytest.raises(Broken, match=r"ledger\.swapped"):
                await store.write(lambda tx: tx.append_entry(LOG, b"x"))
            # Nothing was written, and nothing is from now on, not even elsewhere.
            with pytest.raises(Broken, match=r"ledger\.swapped"):
                await store.write(lambda tx: tx.put_meta("a", "b"))
            with pytest.raises(Broken, match=r"ledger\.swapped"):
                await store.write(lambda tx: tx.append_entry(LOG + "-2", b"x"))
            assert await store.read(lambda view: view.checkpoint(LOG)) == old
            assert await store.read(lambda view: view.log_size(LOG)) == 300
            assert await store.read(lambda view: view.meta("a")) is None
        with pytest.raises(Broken, match=r"ledger\.head"):
            SQLiteStore.open(path)

    asyncio.run(story())


DAMAGE = {
    "tile": "UPDATE tile SET hashes = zeroblob(length(hashes)) WHERE level = 1",
    "short tile": 'UPDATE tile SET hashes = substr(hashes, 33) WHERE level = 0 AND "index" = 1',
    "entry": "UPDATE entry SET data = CAST('other' AS BLOB) WHERE \"index\" = 299",
    "missing entry": 'DELETE FROM entry WHERE "index" = 299',
    "entry too many": "INSERT INTO entry VALUES (1, 300, CAST('more' AS BLOB))",
    "size": "UPDATE log SET size = 299",
    "no note": "UPDATE log SET note = NULL",
    "other note": "UPDATE log SET note = CAST('gw\n1\nx\n\n-' AS BLOB)",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_start_refuses_a_ledger_whose_parts_disagree(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    play(path, lambda store: fill(store, 300))
    change(path, DAMAGE[damage])
    with pytest.raises(Broken, match=r"ledger\.head"):
        SQLiteStore.open(path)


def test_tile_that_lost_hashes_under_a_running_store_is_not_built_on(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def story() -> None:
        async with opened(path) as store:
            await fill(store, 300)
            change(path, DAMAGE["short tile"])
            with pytest.raises(Broken, match=r"ledger\.tile"):
                await store.write(lambda tx: tx.append_entry(LOG, b"x"))

    asyncio.run(story())


# --- export ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 256, 700])
def test_export_can_be_verified_with_nothing_else(count: int, tmp_path: Path) -> None:
    out = tmp_path / "export"

    async def story(store: SQLiteStore) -> None:
        await fill(store, count)
        assert await store.read(lambda view: export_ledger(view, LOG, out)) == count

    play(tmp_path / "store.db", story)
    note = (out / "checkpoint").read_bytes()
    checkpoint = verify_checkpoint(note, VKEY)
    assert checkpoint.size == count

    def width(index: int) -> int:
        return min(256, count - index * 256)

    entries: list[bytes] = []
    for index in range(-(-count // 256)):
        entries += split_bundle((out / entries_path(index, width(index))).read_bytes())
    hashes = [leaf_hash(entry) for entry in entries]
    assert root_of(hashes) == checkpoint.root

    def read_tile(level: int, index: int) -> bytes:
        return (
            out / tile_path(level, index, min(256, (count >> 8 * level) - index * 256))
        ).read_bytes()

    assert root_from_tiles(count, read_tile) == checkpoint.root
    for index in {0, count // 2, count - 1}:
        path = inclusion_proof(index, count, read_tile)
        check_proof(encode_proof(Proof(index, path, note)), entries[index], VKEY)
    files = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    for name in files - {"checkpoint"}:
        parse_tile_path(name)
    assert not any(name.endswith(".p/0") for name in files)


def test_export_takes_the_cosigned_head_along(tmp_path: Path) -> None:
    out = tmp_path / "export"

    async def story(store: SQLiteStore) -> None:
        with pytest.raises(Missing):
            await store.read(lambda view: export_ledger(view, LOG, out))
        assert not out.exists()
        await fill(store, 3)
        await store.write(lambda tx: tx.put_cosigned(LOG, 2, b"note of two"))
        await store.read(lambda view: export_ledger(view, LOG, out))

    play(tmp_path / "store.db", story)
    assert (out / "checkpoint.cosigned").read_bytes() == b"note of two"
