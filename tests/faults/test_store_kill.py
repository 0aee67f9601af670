"""Killed in the midst of writes: every acknowledged write is there, and none in part."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from detente.ports import View
from detente.proof import leaf_hash, root_of, verify_checkpoint
from detente.store.sqlite import SQLiteStore
from tests.faults.store_victim import entry_of, made_by
from tests.unit.store.kit import KEY, LOG, VKEY, known, play, raws

ROUNDS = 20


def kill_one(path: Path, first: int, acks: int) -> set[int]:
    """Let a process write until it has acknowledged so many works, kill it, and give all works
    that it acknowledged."""
    victim = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.store_victim", str(path), str(first)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert victim.stdout is not None
    lines = [victim.stdout.readline() for _ in range(acks)]
    victim.kill()
    lines += victim.stdout.read().splitlines(keepends=True)
    victim.wait()
    victim.stdout.close()
    # A number whose line was cut short was not acknowledged.
    return {int(line) for line in lines if line.endswith(b"\n")}


def look(view: View) -> list[int]:
    """The works in the store, in order; fails if one is there in part, or anything disagrees."""
    size = view.log_size(LOG)
    works = [int(entry[8:-1]) for entry in view.entries(LOG, 0, size)]
    assert view.entries(LOG, 0, size) == [entry_of(n) for n in works]
    wanted = [one.raw for n in works for one in made_by(n)]
    end = view.collection(KEY).end
    assert list(raws(view, KEY, 0, end)) == wanted
    for handling in range(1, 6):
        count = sum(len(made_by(n)) for n in works if 1 + n % 5 == handling)
        assert view.count(KEY, handling, 0, end) == count
    note = view.checkpoint(LOG)
    assert note is not None
    checkpoint = verify_checkpoint(note, VKEY)
    assert checkpoint.size == size
    assert checkpoint.root == root_of([leaf_hash(entry_of(n)) for n in works])
    return works


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    dice = random.Random(20251123)
    acknowledged: set[int] = set()
    first = 0
    for _ in range(ROUNDS):
        acknowledged |= kill_one(path, first, dice.choice((1, 3, 10, 40, 120)))

        async def check(store: SQLiteStore) -> list[int]:
            works = await store.read(look)
            asked = [one for n in works[-40:] for one in made_by(n)]
            found = await store.write(lambda tx: known(tx, KEY, asked))
            end = await store.read(lambda view: view.collection(KEY).end)
            assert found == list(range(end - len(asked), end))
            return works

        works = play(path, check)
        assert len(works) == len(set(works))
        assert acknowledged <= set(works)
        # What nobody was told of may be there or not, but at most what was under way.
        assert len(set(works) - acknowledged) <= 4 * ROUNDS
        first = max(works) // 4 * 4 + 4
    assert len(acknowledged) > ROUNDS


@pytest.mark.parametrize("create", [True, False])
def test_kill_leaves_the_lock_free(create: bool, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    kill_one(path, 0, 1)

    async def story(store: SQLiteStore) -> None:
        assert await store.read(look)

    play(path, story, create=create)
