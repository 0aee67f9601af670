"""The store as a whole: who may open it, what shares a commit, and what a read sees."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from detente.errors import Conflict, Invalid, Missing, NotAuthorised, Unavailable
from detente.ports import Opening, Tx, View
from detente.store import schema, sqlite, writer
from detente.store.sqlite import SQLiteStore
from tests.unit.store.kit import KEY, LOG, SIGNER, item, items, known, opened, play


async def nothing(store: SQLiteStore) -> None:
    """A story in which nothing happens."""


# --- opening --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ("3.40.1", False),
        ("3.44.5", False),
        ("3.44.6", True),
        ("3.45.0", False),
        ("3.50.6", False),
        ("3.50.7", True),
        ("3.51.0", False),
        ("3.51.2", False),
        ("3.51.3", True),
        ("3.54.1", True),
        ("4.0.0", True),
    ],
)
def test_sqlite_that_can_lose_commits_is_refused(version: str, sound: bool) -> None:
    if sound:
        schema.check_sqlite(version)
    else:
        with pytest.raises(Invalid, match=version):
            schema.check_sqlite(version)


def test_store_on_a_bad_sqlite_does_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(Invalid):
        SQLiteStore.open(tmp_path / "store.db", create=True)
    assert list(tmp_path.iterdir()) == []


def test_missing_file_is_an_error_and_nothing_is_created(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        SQLiteStore.open(tmp_path / "store.db")
    assert list(tmp_path.iterdir()) == []


def modes_in(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:

        async def story(store: SQLiteStore) -> None:
            await store.write(lambda tx: tx.put_meta("a", "b"))
            assert modes_in(tmp_path) == dict.fromkeys(
                ("store.db", "store.db-wal", "store.db-shm", "store.db.lock"), 0o600
            )

        play(tmp_path / "store.db", story)
    finally:
        os.umask(old)


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    play(path, nothing)
    path.chmod(0o640)
    with pytest.raises(Invalid, match="640"):
        SQLiteStore.open(path)


def test_settings_are_the_durable_ones(tmp_path: Path) -> None:
    async def story(store: SQLiteStore) -> None:
        def look(tx: Tx) -> dict[str, object]:
            names = ("journal_mode", "synchronous", "page_size", "mmap_size", "secure_delete")
            return {name: store._writer._db.pragma(name) for name in names}

        assert await store.write(look) == {
            "journal_mode": "wal",
            "synchronous": 2,
            "page_size": 8192,
            "mmap_size": 0,
            "secure_delete": 2,
        }

    play(tmp_path / "store.db", story)


def change(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_unknown_version_of_the_tables_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    play(path, nothing)
    change(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(Invalid, match="99"):
        SQLiteStore.open(path, create=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("create", [False, True])
def test_other_programs_file_is_refused(create: bool, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    change(path, "CREATE TABLE theirs (a)")
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(Invalid, match=r"store\.foreign"):
        SQLiteStore.open(path, create=create)
    path.write_bytes(b"no database at all" * 1_000)
    with pytest.raises(Invalid, match=r"store\.foreign"):
        SQLiteStore.open(path, create=create)
    path.write_bytes(before)


def test_empty_file_left_by_a_crash_is_filled_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch(mode=0o600)
    with pytest.raises(Invalid, match=r"store\.foreign"):
        SQLiteStore.open(path)
    play(path, nothing)


def test_second_opening_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def story() -> None:
        async with opened(path):
            with pytest.raises(Conflict, match=r"store\.locked"):
                SQLiteStore.open(path)
        async with opened(path):
            pass

    asyncio.run(story())


def test_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    program = (
        "import sys\n"
        "from detente.errors import Conflict\n"
        "from detente.store.sqlite import SQLiteStore\n"
        "try:\n"
        "    SQLiteStore.open(sys.argv[1])\n"
        "except Conflict as error:\n"
        "    print(error.code)\n"
    )

    def second() -> bytes:
        return subprocess.run(
            [sys.executable, "-c", program, str(path)],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ).stdout

    async def story(store: SQLiteStore) -> None:
        assert await asyncio.to_thread(second) == b"store.locked\n"

    play(path, story)


# --- writing --------------------------------------------------------------------------------


class Commits:
    """Counts commits, and can hold the first one up until told."""

    def __init__(self) -> None:
        self.count = 0
        self.go = threading.Event()
        self.begun = threading.Event()

    def __call__(self, connection: apsw.Connection) -> None:
        self.begun.set()
        assert self.go.wait(10)
        self.count += 1
        writer.commit_now(connection)


def test_writes_that_wait_share_a_commit(tmp_path: Path) -> None:
    commits = Commits()

    async def story(store: SQLiteStore) -> None:
        first = asyncio.ensure_future(store.write(lambda tx: tx.put_meta("first", "1")))
        await asyncio.to_thread(commits.begun.wait, 10)
        rest = [
            asyncio.ensure_future(store.write(lambda tx, n=n: tx.append_entry(LOG, b"e%d" % n)))
            for n in range(100)
        ]
        await asyncio.to_thread(lambda: None)
        commits.go.set()
        assert await asyncio.gather(*rest) == list(range(100))
        await first
        assert commits.count == 1 + 2
        assert await store.read(lambda view: view.log_size(LOG)) == 100

    play(tmp_path / "store.db", story, commit=commits)


def everything(tx: Tx, n: int) -> None:
    """A write to each kind of table."""
    number, _ = tx.intern(KEY, b'{"kind":%d}' % n)
    tx.append_items(KEY, [item(n, handling=number)], 1)
    index = tx.append_entry(LOG, b"entry %d" % n)
    tx.put_opening(LOG, index, Opening(salt=b"s", media="m", payload=b"%d" % n))
    tx.put_meta(f"n{n}", "written")


def test_work_that_raises_undoes_its_own_part_only(tmp_path: Path) -> None:
    commits = Commits()

    def fails(tx: Tx) -> None:
        everything(tx, 7)
        tx.append_entry(LOG + "-new", b"first of a new ledger")
        tx.append_items("agr-1/new", items(0, 4), 1)
        tx.move_clock(KEY, 10**15)
        raise NotAuthorised("test.no", "Expected to fail.")

    async def story(store: SQLiteStore) -> None:
        first = asyncio.ensure_future(store.write(lambda tx: everything(tx, 0)))
        await asyncio.to_thread(commits.begun.wait, 10)
        works = [lambda tx: everything(tx, 1), fails, lambda tx: everything(tx, 2), fails]
        rest = [asyncio.ensure_future(store.write(work)) for work in works]
        await asyncio.to_thread(lambda: None)
        commits.go.set()
        answers = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [type(one) for one in answers] == [
            type(None),
            type(None),
            NotAuthorised,
            type(None),
            NotAuthorised,
        ]
        assert commits.count == 2
        await store.write(lambda tx: everything(tx, 3))
        await store.read(check)
        assert await store.write(lambda tx: known(tx, KEY, [item(7)])) == [None]

    def check(view: View) -> None:
        assert view.collection(KEY).end == 4
        assert view.collection(KEY).last_us < 10**15
        assert view.entries(LOG, 0, 9) == [b"entry %d" % n for n in (0, 1, 2, 3)]
        assert view.logs() == [LOG]
        assert view.meta("n7") is None
        assert view.find(KEY, item(7).key) == []
        assert view.find(KEY, item(2).key) == [2]
        assert view.collection("agr-1/new").end == 0
        assert view.opening(LOG, 2) == Opening(salt=b"s", media="m", payload=b"2")

    path = tmp_path / "store.db"
    play(path, story, commit=commits)

    async def again(store: SQLiteStore) -> None:
        await store.read(check)

    play(path, again)


def test_write_that_sqlite_refuses_fails_alone(tmp_path: Path) -> None:
    def twice(tx: Tx) -> None:
        tx.append_entry(LOG, b"x")
        for _ in range(2):
            tx.put_opening(LOG, 0, Opening(salt=b"s", media="m", payload=b"p"))

    async def story(store: SQLiteStore) -> None:
        with pytest.raises(Conflict, match=r"store\.refused"):
            await store.write(twice)
        assert await store.write(lambda tx: tx.append_entry(LOG, b"y")) == 0

    play(tmp_path / "store.db", story)


def test_stop_iteration_reaches_the_caller(tmp_path: Path) -> None:
    async def story(store: SQLiteStore) -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await store.write(lambda tx: next(iter(())))

    play(tmp_path / "store.db", story)


def test_transaction_reads_its_own_writes(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        everything(tx, 0)
        one = item(0)
        assert known(tx, KEY, [one]) == [0]
        assert tx.find(KEY, one.key) == [0]
        assert tx.collection(KEY).end == 1
        assert tx.count(KEY, 1, 0, 1) == 1
        assert tx.log_size(LOG) == 1
        assert tx.entry(LOG, 0) == b"entry 0"
        assert tx.meta("n0") == "written"

    async def story(store: SQLiteStore) -> None:
        await store.write(work)

    play(tmp_path / "store.db", story)


def test_unwritten_work_is_invisible_to_readers(tmp_path: Path) -> None:
    commits = Commits()

    async def story(store: SQLiteStore) -> None:
        writing = asyncio.ensure_future(store.write(lambda tx: everything(tx, 0)))
        await asyncio.to_thread(commits.begun.wait, 10)

        def look(view: View) -> tuple[object, ...]:
            return view.collection(KEY).end, view.block(KEY, 0), view.checkpoint(LOG), view.logs()

        assert await store.read(look) == (0, None, None, [])
        commits.go.set()
        await writing
        assert (await store.read(look))[0] == 1

    play(tmp_path / "store.db", story, commit=commits)


def test_read_sees_one_state_from_beginning_to_end(tmp_path: Path) -> None:
    async def story(store: SQLiteStore) -> None:
        begun, go = threading.Event(), threading.Event()
        await store.write(lambda tx: everything(tx, 0))

        def look(view: View) -> tuple[int, int]:
            before = view.log_size(LOG)
            begun.set()
            assert go.wait(10)
            return before, view.log_size(LOG)

        reading = asyncio.ensure_future(store.read(look))
        await asyncio.to_thread(begun.wait, 10)
        await store.write(lambda tx: everything(tx, 1))
        go.set()
        assert await reading == (1, 1)
        assert await store.read(lambda view: view.log_size(LOG)) == 2

    play(tmp_path / "store.db", story)


def test_full_queues_refuse_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING_MAX", 3)
    monkeypatch.setattr(sqlite, "READS_WAITING_MAX", 3)
    commits = Commits()

    async def story(store: SQLiteStore) -> None:
        first = asyncio.ensure_future(store.write(lambda tx: tx.put_meta("a", "1")))
        await asyncio.to_thread(commits.begun.wait, 10)
        waiting = [
            asyncio.ensure_future(store.write(lambda tx: tx.put_meta("b", "2"))) for _ in range(3)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=r"store\.busy"):
            await store.write(lambda tx: tx.put_meta("c", "3"))
        go = threading.Event()
        reads = [asyncio.ensure_future(store.read(lambda view: go.wait(10))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=r"store\.busy"):
            await store.read(lambda view: None)
        go.set()
        commits.go.set()
        await asyncio.gather(first, *waiting, *reads)
        assert await store.read(lambda view: view.meta("c")) is None

    play(tmp_path / "store.db", story, commit=commits)


def test_close_finishes_what_waits_and_refuses_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def story() -> None:
        async with opened(path) as store:
            writing = [
                asyncio.ensure_future(store.write(lambda tx, n=n: tx.put_meta(str(n), "x")))
                for n in range(200)
            ]
            await asyncio.sleep(0)
            await store.close()
            await asyncio.gather(*writing)
            with pytest.raises(Unavailable, match=r"store\.closed"):
                await store.write(lambda tx: None)
            with pytest.raises(Unavailable, match=r"store\.closed"):
                await store.read(lambda view: None)
        async with opened(path) as store:
            found = await store.read(lambda view: [view.meta(str(n)) for n in range(200)])
            assert found == ["x"] * 200

    asyncio.run(story())


def test_cancelled_caller_leaves_the_store_working(tmp_path: Path) -> None:
    commits = Commits()

    async def story(store: SQLiteStore) -> None:
        writing = asyncio.ensure_future(store.write(lambda tx: tx.put_meta("a", "1")))
        await asyncio.to_thread(commits.begun.wait, 10)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        commits.go.set()
        await store.write(lambda tx: tx.put_meta("b", "2"))
        assert await store.read(lambda view: view.meta("a")) == "1"

    play(tmp_path / "store.db", story, commit=commits)


def test_ledger_without_a_key_cannot_grow(tmp_path: Path) -> None:
    def signers(log: str) -> object:
        if log != LOG:
            raise NotAuthorised("test.key", f"Expected another ledger, got {log}.")
        return SIGNER

    async def story(store: SQLiteStore) -> None:
        with pytest.raises(NotAuthorised, match=r"test\.key"):
            await store.write(lambda tx: tx.append_entry(LOG + "-other", b"x"))
        assert await store.write(lambda tx: tx.append_entry(LOG, b"x")) == 0

    play(tmp_path / "store.db", story, signers=signers)

    async def without() -> None:
        store = SQLiteStore.open(tmp_path / "store.db")
        with pytest.raises(Invalid, match=r"ledger\.signer"):
            await store.write(lambda tx: tx.append_entry(LOG, b"x"))
        assert await store.read(lambda view: view.entries(LOG, 0, 5)) == [b"x"]
        await store.close()

    asyncio.run(without())
