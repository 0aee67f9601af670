"""The store in one SQLite file: one thread that writes, a few that read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

import apsw

from detente.errors import Invalid, Unavailable
from detente.ports import Tx, View
from detente.proof import Signer
from detente.store.schema import FileLock, check_sqlite, from_sqlite, open_reader, prepare_file
from detente.store.sequencer import SignerOf
from detente.store.view import SQLiteView
from detente.store.writer import Commit, Write, Writer, closed, commit_now

__all__ = ["SQLiteStore"]

T = TypeVar("T")

READERS: Final = 2
#: Reads that may wait; more are refused at once rather than answered late.
READS_WAITING_MAX: Final = 1_024


def no_signers(log: str) -> Signer:
    """For a store that is opened to look into: no ledger can grow."""
    raise Invalid("ledger.signer", f"Expected a key for ledger {log}, got none.")


class SQLiteStore:
    """``ports.Store`` in a SQLite file. Made by ``open``."""

    @staticmethod
    def open(
        path: str | Path,
        *,
        signers: SignerOf = no_signers,
        create: bool = False,
        commit: Commit = commit_now,
    ) -> SQLiteStore:
        """Open the file, recover, and start the threads. Blocks; call it while starting.

        ``signers`` gives the key of a ledger by its name, which is its origin; it is called on
        the writer's thread and may raise to refuse a name. Refuses: a missing file unless
        ``create``; a file that others can read (``Invalid``); another program's file or other
        tables; a second process (``Conflict``); ledgers whose parts disagree (``Broken``); a
        SQLite that can lose commits.
        """
        check_sqlite(apsw.sqlite_lib_version())
        path = Path(path)
        prepare_file(path, create=create)
        with ExitStack() as failed:
            lock = FileLock(path)
            failed.callback(lock.release)
            try:
                writer = Writer(path, signers, create=create, commit=commit)
            except apsw.Error as error:
                raise from_sqlite(error) from error
            failed.pop_all()
        return SQLiteStore(path, lock, writer)

    def __init__(self, path: Path, lock: FileLock, writer: Writer) -> None:
        self._path = path
        self._lock = lock
        self._writer = writer
        self._reading = 0
        self._closed = False
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, "store-read", self._open_reader)
        writer.start()

    def _open_reader(self) -> None:
        connection = open_reader(self._path)
        self._local.connection = connection
        self._local.view = SQLiteView(connection, self._writer.cache)
        self._connections.append(connection)

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run the work in a durable transaction; returns when it is on disk.

        What the work raises is raised here and undoes its part. ``Unavailable``: the queue or
        the disk is full, or the store is closed; nothing was written. ``Broken``: the commit
        failed in a way that leaves it open whether it is on disk; the store writes nothing more
        until it is opened anew. A caller that is cancelled while it waits does not know either.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._writer.put(Write(work, future, loop))
        return await future

    async def read(self, work: Callable[[View], T]) -> T:
        """Run the work on a settled look at the store, on a reader's thread."""
        if self._closed:
            raise closed()
        if self._reading >= READS_WAITING_MAX:
            raise Unavailable("store.busy", f"Expected fewer than {READS_WAITING_MAX} reads.")
        self._reading += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._readers, self._read, work)
        finally:
            self._reading -= 1

    def _read(self, work: Callable[[View], T]) -> T:
        connection: apsw.Connection = self._local.connection
        try:
            # The first statement of the work takes the snapshot; all others see the same.
            connection.execute("BEGIN")
            try:
                return work(self._local.view)
            finally:
                connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise from_sqlite(error) from error

    async def close(self) -> None:
        """Finish what waits, then close the file. Again does nothing."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._close)

    def _close(self) -> None:
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self._writer.stop()
        self._lock.release()
