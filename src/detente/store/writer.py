"""The writer: one thread, one commit for all writes that wait at the same moment.

Each work runs in a savepoint of its own, so that one that raises takes back its own part only;
then the ledgers they touched are sealed and all is committed. Nobody is answered before that.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar, cast

import apsw

from detente.errors import Broken, Conflict, DetenteError, Unavailable
from detente.ports import Tx
from detente.store.blocks import BlockCache
from detente.store.carrier import Carrier
from detente.store.places import Tail, index_rest
from detente.store.schema import from_sqlite, open_writer
from detente.store.sequencer import Sequencer, SignerOf
from detente.store.tx import SQLiteTx

__all__ = ["Commit", "Write", "Writer", "closed", "commit_now"]

T = TypeVar("T")

Commit = Callable[[apsw.Connection], None]

#: What SQLite refuses without harm to the rest of the transaction.
_REFUSED = (apsw.ConstraintError, apsw.TooBigError)

#: Writes that share one commit, at most.
BATCH_MAX: Final = 64
#: Writes that may wait; more are refused at once rather than answered late.
WAITING_MAX: Final = 1_024


def commit_now(connection: apsw.Connection) -> None:
    """The one step that makes things durable. Tests put faults in its place."""
    connection.execute("COMMIT")


def closed() -> Unavailable:
    """What a closed store answers."""
    return Unavailable("store.closed", "Expected an open store, got a closed one.")


class Waiting(Protocol):
    """A write in the queue; only the one who waits for it knows its type."""

    loop: asyncio.AbstractEventLoop
    error: BaseException | None

    def run(self, tx: Tx) -> None: ...
    def answer(self) -> None: ...


@dataclass(slots=True)
class Write(Generic[T]):
    """A work, who waits for it, and how it ended."""

    work: Callable[[Tx], T]
    future: asyncio.Future[T]
    loop: asyncio.AbstractEventLoop
    error: BaseException | None = None
    result: T | None = None

    def run(self, tx: Tx) -> None:
        """Do it; on the writer's thread."""
        self.result = self.work(tx)

    def answer(self) -> None:
        """Tell the caller, unless it was cancelled; on the caller's loop."""
        if self.future.done():
            return
        if self.error is not None:
            stop = isinstance(self.error, StopIteration)  # a future cannot carry it
            self.future.set_exception(RuntimeError(repr(self.error)) if stop else self.error)
        else:
            self.future.set_result(cast("T", self.result))


class Writer:
    """The thread that writes, with its connection and everything only it may touch."""

    def __init__(
        self,
        path: Path,
        signers: SignerOf,
        *,
        create: bool,
        commit: Commit,
    ) -> None:
        self.cache = BlockCache()
        self._commit_now = commit
        self._queue: queue.Queue[Waiting | None] = queue.Queue(WAITING_MAX)
        self._gate = threading.Lock()
        self._open = True
        self._broken: Broken | None = None
        with ExitStack() as failed:
            self._db = open_writer(path, create=create)
            failed.callback(self._db.close)
            self._sequencer = Sequencer(self._db, signers)
            self._tail = Tail()
            self._recover()
            self._tx = SQLiteTx(self._db, self.cache, self._sequencer, self._tail)
            self._carrier = Carrier(path)
            self._db.set_wal_hook(self._carrier.committed)
            failed.pop_all()
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)

    def _recover(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._sequencer.recover()
        index_rest(self._db)
        self._db.execute("COMMIT")

    def start(self) -> None:
        self._carrier.start()
        self._thread.start()

    def stop(self) -> None:
        """Let the thread finish what waits, and close the file."""
        with self._gate:
            self._open = False
        self._queue.put(None)
        self._thread.join()
        self._carrier.stop()
        self._db.close()

    def put(self, write: Waiting) -> None:
        # The gate keeps a write from slipping in behind the mark that ends the thread.
        with self._gate:
            if not self._open:
                raise closed()
            try:
                self._queue.put_nowait(write)
            except queue.Full:
                raise Unavailable(
                    "store.busy", f"Expected fewer than {WAITING_MAX} waiting writes."
                ) from None

    # --- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        last = False
        while not last:
            writes: list[Waiting] = []
            item = self._queue.get()
            while item is not None:
                writes.append(item)
                if len(writes) == BATCH_MAX:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            last = item is None
            if writes:
                self._transact(writes)
                _answer(writes)

    def _transact(self, writes: list[Waiting]) -> None:
        """One commit for all of them. Fills in results and errors, and raises nothing."""
        if self._broken is not None:
            self._fail(writes, self._broken)
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for write in writes:
                self._work(write)
            self._sequencer.seal()
            self._tail.flush(self._db)
            self._commit_now(self._db)
        except apsw.Error as error:
            self._fail(writes, from_sqlite(error))
        except DetenteError as error:
            self._fail(writes, error)
        except Exception as error:  # noqa: BLE001  # else nobody would ever be answered
            self._fail(writes, Broken("store.failed", f"Expected to commit, got: {error!r}."))
        else:
            self._sequencer.keep()
            self._tail.keep()

    def _work(self, write: Waiting) -> None:
        marks = self._sequencer.mark(), self._tail.mark()
        self._db.execute("SAVEPOINT work")
        try:
            write.run(self._tx)
        except _REFUSED as error:
            write.error = Conflict("store.refused", f"Expected rows that fit, got: {error}.")
        except apsw.Error:
            # SQLite itself failed, and may have undone the whole transaction: so do we.
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to the caller
            write.error = error
        if write.error is not None:
            self._db.execute("ROLLBACK TO work")
            self._sequencer.undo(marks[0])
            self._tail.undo(marks[1])
        self._db.execute("RELEASE work")

    def _fail(self, writes: list[Waiting], error: DetenteError) -> None:
        """Nobody's work stands, except for what may be on disk in spite of a failed commit.

        A full disk or a key that cannot sign is found before anything is durable, and the next
        write may do better. After everything else it is open what is on disk; only opening the
        file again, which reads it, can tell. So nothing more is written, and the gate shuts.
        """
        if isinstance(error, Broken):
            self._broken = error
        for write in writes:
            write.error = write.error or error
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except apsw.Error as worse:
            self._broken = self._broken or Broken(
                "store.failed", f"Expected to undo a failed commit, got: {worse}."
            )
        self._sequencer.undo()
        self._tail.undo(0)


def _answer(writes: list[Waiting]) -> None:
    """Resolve the futures, with one wake-up for each loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for write in writes:
        loops.setdefault(write.loop, []).append(write)
    for loop, its in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, its)
        except RuntimeError:
            # The loop was closed while its callers waited; there is nobody to tell.
            continue


def _resolve(writes: list[Waiting]) -> None:
    for write in writes:
        write.answer()
