"""A commit can fail in two ways: not stored, or stored and reported as failed. In both nobody is
told that it is done, the store never continues on a state it does not know, and a start finds
either all of it or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from detente.errors import Broken, Unavailable
from detente.ports import Tx, View
from detente.proof import leaf_hash, root_of, verify_checkpoint
from detente.store import places, writer
from detente.store.sqlite import SQLiteStore
from tests.unit.store.kit import KEY, LOG, SIGNER, VKEY, item, items, known, opened, play, raws

STEP = 40


class Faulty:
    """Commits, except where a fault is due: ``faults`` names it by the number of the commit."""

    def __init__(self, faults: dict[int, str]) -> None:
        self.faults = faults
        self.count = 0

    def __call__(self, connection: apsw.Connection) -> None:
        fault = self.faults.get(self.count)
        self.count += 1
        if fault == "full":
            raise apsw.FullError("database or disk is full")
        if fault == "not stored":
            raise apsw.IOError("disk I/O error")
        connection.execute("COMMIT")
        if fault == "stored":
            raise apsw.IOError("disk I/O error")


def publish(n: int) -> Callable[[Tx], int]:
    """Work ``n``: items, a handling, an entry, and a name."""

    def work(tx: Tx) -> int:
        number, _ = tx.intern(KEY, b"%d" % n)
        tx.append_items(KEY, items(n * STEP, (n + 1) * STEP, handling=number), 1)
        tx.put_meta(str(n), "done")
        return tx.append_entry(LOG, b"work %d" % n)

    return work


def check(view: View, works: list[int]) -> None:
    """The store holds exactly these works, in this order, and everything fits together."""
    end = len(works) * STEP
    assert view.collection(KEY).end == end
    wanted = [one.raw for n in works for one in items(n * STEP, (n + 1) * STEP)]
    assert list(raws(view, KEY, 0, end)) == wanted
    assert view.entries(LOG, 0, 1_000) == [b"work %d" % n for n in works]
    assert [n for n in range(max(works) + 5) if view.meta(str(n))] == sorted(works)
    assert sorted(view.handlings(KEY).values()) == sorted(b"%d" % n for n in works)
    note = view.checkpoint(LOG)
    assert note is not None
    checkpoint = verify_checkpoint(note, VKEY)
    assert checkpoint.size == len(works)
    assert checkpoint.root == root_of([leaf_hash(b"work %d" % n) for n in works])
    for place, n in enumerate(works):
        assert view.find(KEY, item(n * STEP + 7).key) == [place * STEP + 7]


async def check_known(store: SQLiteStore, works: list[int]) -> None:
    one = [item(n * STEP + 3) for n in range(max(works) + 5)]
    found = await store.write(lambda tx: known(tx, KEY, one))
    places_of = {n: place * STEP + 3 for place, n in enumerate(works)}
    assert found == [places_of.get(n) for n in range(max(works) + 5)]


@pytest.mark.parametrize("waiting", [places.WAITING_MAX, 30])
def test_full_disk_loses_nothing_and_the_store_goes_on(
    waiting: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "Tail", lambda: places.Tail(waiting))
    commit = Faulty({2: "full", 3: "full", 7: "full"})

    async def story(store: SQLiteStore) -> list[int]:
        done: list[int] = []
        for n in range(9):
            if n in commit.faults:
                with pytest.raises(Unavailable, match=r"store\.full"):
                    await store.write(publish(n))
            else:
                assert await store.write(publish(n)) == len(done)
                done.append(n)
            await store.read(lambda view: check(view, done))
        commit.faults.clear()
        await check_known(store, done)
        return done

    path = tmp_path / "store.db"
    done = play(path, story, commit=commit)
    assert done == [0, 1, 4, 5, 6, 8]

    async def again(store: SQLiteStore) -> None:
        await store.read(lambda view: check(view, done))
        await check_known(store, done)

    play(path, again)


@pytest.mark.parametrize("fault", ["not stored", "stored"])
def test_failed_commit_stops_the_writer_and_a_start_finds_all_or_nothing(
    fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"

    async def story(store: SQLiteStore) -> None:
        for n in range(3):
            await store.write(publish(n))
        with pytest.raises(Broken, match=r"store\.failed"):
            await store.write(publish(3))
        # The outcome is open: nothing is built on it.
        for work in (publish(4), lambda tx: tx.put_meta("x", "y"), publish(3)):
            with pytest.raises(Broken, match=r"store\.failed"):
                await store.write(work)

    play(path, story, commit=Faulty({3: fault}))
    works = [0, 1, 2, 3] if fault == "stored" else [0, 1, 2]

    async def again(store: SQLiteStore) -> None:
        await store.read(lambda view: check(view, works))
        await check_known(store, works)
        await store.write(publish(9))
        await store.read(lambda view: check(view, [*works, 9]))
        assert await store.read(lambda view: view.meta("x")) is None

    play(path, again)


def test_all_that_shared_a_failed_commit_are_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def story(store: SQLiteStore) -> None:
        await store.write(publish(0))
        answers = await asyncio.gather(
            *(store.write(publish(n)) for n in range(1, 30)), return_exceptions=True
        )
        assert [type(one) for one in answers] == [Broken] * 29

    play(path, story, commit=Faulty({1: "not stored"}))

    async def again(store: SQLiteStore) -> None:
        await store.read(lambda view: check(view, [0]))

    play(path, again)


def test_key_that_fails_to_sign_undoes_the_commit_and_the_next_may_do_better(
    tmp_path: Path,
) -> None:
    class Card:
        public = SIGNER.public
        away = False

        def sign(self, message: bytes) -> bytes:
            if self.away:
                raise Unavailable("key.away", "Expected the card, got none.")
            return SIGNER.sign(message)

    card = Card()

    async def story(store: SQLiteStore) -> None:
        await store.write(publish(0))
        card.away = True
        with pytest.raises(Unavailable, match=r"key\.away"):
            await store.write(publish(1))
        await store.read(lambda view: check(view, [0]))
        card.away = False
        await store.write(publish(2))
        await store.read(lambda view: check(view, [0, 2]))
        await check_known(store, [0, 2])

    play(tmp_path / "store.db", story, signers=lambda _: card)


def test_error_nobody_thought_of_is_told_and_stops_the_writer(tmp_path: Path) -> None:
    def commit(connection: apsw.Connection) -> None:
        raise KeyError("surprise")

    async def story() -> None:
        async with opened(tmp_path / "store.db", commit=commit) as store:
            with pytest.raises(Broken, match="surprise"):
                await store.write(publish(0))
            with pytest.raises(Broken, match="surprise"):
                await store.write(publish(1))

    asyncio.run(story())
