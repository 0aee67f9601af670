"""The carrier: it carries the write-ahead log over into the file, beside the writer.

SQLite does this inside a commit once the log is long: 160 MB at once, half a second in which
nobody's write returns, an order's neither. So a thread of its own carries over what is there after
every few megabytes (SQLite calls it a passive checkpoint: it waits for nobody and nobody for it).
The log can begin anew only when all of it is carried over and no read looks at it, which under
steady writing is never so; therefore the writer carries the small rest itself when the log has
grown to its bound.

Nothing durable hangs on it: what is in the log is committed, and is found there by every reader
and after every crash. An error here is left to the next commit, which meets it where it matters.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import apsw

from detente.store.schema import open_carrier

__all__ = ["Carrier"]

#: Pages (of 8 KiB) from one carrying to the next, and those at which the writer takes the rest.
STEP_PAGES: Final = 2_000
BOUND_PAGES: Final = 20_000


class Carrier:
    """A thread and its connection. ``committed`` is the writer's hook after each commit."""

    def __init__(self, path: Path) -> None:
        self._db = open_carrier(path)
        self._carried = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="store-carry", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._db.close()

    def committed(self, connection: apsw.Connection, _name: str, pages: int) -> int:
        """The log now has so many pages. Never fails: the commit is on disk already."""
        if pages < self._carried:
            self._carried = 0  # the log has begun anew
        if pages >= BOUND_PAGES:
            _carry(connection)
        elif pages >= self._carried + STEP_PAGES:
            self._carried = pages
            self._wake.set()
        return apsw.SQLITE_OK

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopping:
                return
            _carry(self._db)


def _carry(connection: apsw.Connection) -> None:
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.Error:
        # The other one is at it, or the disk has an error: the log stays as it is, and whole.
        return
