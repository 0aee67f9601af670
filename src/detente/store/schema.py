"""The SQLite file: its tables, how a connection is opened, and what is refused beforehand."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import apsw

from detente.errors import Broken, Conflict, Invalid, Missing, Unavailable

__all__ = [
    "FileLock",
    "check_sqlite",
    "from_sqlite",
    "open_carrier",
    "open_reader",
    "open_writer",
    "prepare_file",
]

#: "DETE": tells ``file`` and other programs whose database this is.
APPLICATION_ID: Final = 0x44455445
#: The number of the tables below. A file with another number is not touched.
SCHEMA_VERSION: Final = 4

_PAGE_BYTES = 8192
#: Negative numbers are KiB (SQLite's own convention for ``cache_size``).
_WRITER_CACHE_KIB = -8_192
_READER_CACHE_KIB = -2_048
#: A write-ahead log that grew beyond this in a burst is cut back when it is begun anew.
_WAL_BYTES_KEPT = 320 * 1024 * 1024
_BUSY_MS = 5_000

_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE document (
    row INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    use TEXT NOT NULL,
    agreement TEXT NOT NULL,
    name TEXT NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
CREATE INDEX document_use ON document (use, agreement);

CREATE TABLE act (
    row INTEGER PRIMARY KEY,
    agreement TEXT NOT NULL,
    use TEXT NOT NULL,
    party TEXT NOT NULL,
    doc TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    log TEXT NOT NULL,
    "index" INTEGER NOT NULL
) STRICT;
CREATE INDEX act_agreement ON act (agreement);

-- Entries at and above "indexed" may be missing in "place"; see places.py.
CREATE TABLE collection (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    "end" INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    indexed INTEGER NOT NULL
) STRICT;

CREATE TABLE handling (
    collection INTEGER NOT NULL,
    number INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (collection, number),
    UNIQUE (collection, value)
) STRICT, WITHOUT ROWID;

-- What is small stands before what is large: reading a column does not touch those behind it.
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    collection INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    size INTEGER NOT NULL,
    handlings BLOB NOT NULL,
    added BLOB NOT NULL,
    ends BLOB NOT NULL,
    keys BLOB NOT NULL,
    marks BLOB NOT NULL,
    digests BLOB NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (collection, first),
    UNIQUE (collection, last_us)
) STRICT;

-- How often a handling occurs in the block that spans [first, upto), and before it.
CREATE TABLE tally (
    collection INTEGER NOT NULL,
    handling INTEGER NOT NULL,
    first INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    before INTEGER NOT NULL,
    here INTEGER NOT NULL,
    PRIMARY KEY (collection, handling, first)
) STRICT, WITHOUT ROWID;

-- "key" and "head" are the first eight bytes of an object key and of a digest, as integers; "mark"
-- stands for the version. So whether an object, a version or the very bytes are there is one step
-- each, however many versions an object has.
CREATE TABLE place (
    key INTEGER NOT NULL,
    collection INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    head INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (key, collection, mark, head, seq)
) STRICT, WITHOUT ROWID;

-- Entries of objects that have more than one entry: the versions among which a reader may choose.
CREATE TABLE twin (
    collection INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (collection, seq)
) STRICT, WITHOUT ROWID;

-- Entries that their originator took back: out of every feed of the collection.
CREATE TABLE recalled (
    collection INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    handling INTEGER NOT NULL,
    PRIMARY KEY (collection, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX recalled_handling ON recalled (collection, handling, seq);

-- Items made from others. Nothing of it leaves this node.
CREATE TABLE derived (
    row INTEGER PRIMARY KEY,
    parent TEXT NOT NULL,
    parent_collection TEXT NOT NULL,
    parent_seq INTEGER NOT NULL,
    child TEXT NOT NULL,
    child_collection TEXT NOT NULL,
    child_seq INTEGER NOT NULL,
    office TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    "index" INTEGER NOT NULL
) STRICT;
CREATE INDEX derived_parent ON derived (parent, row);
CREATE INDEX derived_child ON derived (child, row);

-- Entries that a party's page passed over because a newer version was to come later.
CREATE TABLE passed (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    party TEXT NOT NULL,
    seq INTEGER NOT NULL,
    UNIQUE (collection, party, seq)
) STRICT;

CREATE TABLE feed (
    row INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    party TEXT NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (collection, party)
) STRICT;

-- "span" is the bit length of high - low: pages that hold an entry are found by a few short
-- ranges of "low", one for each span.
CREATE TABLE page (
    row INTEGER PRIMARY KEY,
    log TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    collection TEXT NOT NULL,
    party TEXT NOT NULL,
    reader TEXT NOT NULL,
    what TEXT NOT NULL CHECK (what IN ('objects', 'manifest', 'versions')),
    at_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    from_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    count INTEGER NOT NULL,
    root BLOB NOT NULL,
    pieces BLOB NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('open', 'served', 'cut', 'received')),
    receipt TEXT,
    span INTEGER NOT NULL,
    UNIQUE (log, "index")
) STRICT;
CREATE INDEX page_open ON page (row) WHERE outcome = 'open';
CREATE INDEX page_low ON page (collection, span, low);
CREATE INDEX page_party ON page (collection, party);

-- The head of a ledger: the newest signed checkpoint, and the newest one with a cosignature.
CREATE TABLE log (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note BLOB,
    cosigned_size INTEGER,
    cosigned_note BLOB
) STRICT;
CREATE TABLE entry (
    log INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (log, "index")
) STRICT, WITHOUT ROWID;
-- With a rowid: a tile of up to 8192 bytes is one page then, and it is rewritten as it fills.
CREATE TABLE tile (
    row INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    level INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    UNIQUE (log, level, "index")
) STRICT;
CREATE TABLE opening (
    log INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    salt BLOB NOT NULL,
    media TEXT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (log, "index")
) STRICT, WITHOUT ROWID;

CREATE TABLE credential (
    row INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    party TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    removed_ms INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('password', 'token', 'certificate')),
    expires_ms INTEGER,
    collections TEXT NOT NULL,
    rights TEXT NOT NULL CHECK (rights IN ('read', 'write', 'both')),
    per_minute INTEGER
) STRICT;
CREATE TABLE peer (
    row INTEGER PRIMARY KEY,
    party TEXT NOT NULL,
    agreement TEXT NOT NULL,
    address TEXT NOT NULL,
    state BLOB NOT NULL,
    UNIQUE (party, agreement)
) STRICT;
-- Foreign TAXII collections that are polled (sources) or pushed to (sinks).
CREATE TABLE link (
    row INTEGER PRIMARY KEY,
    use TEXT NOT NULL CHECK (use IN ('source', 'sink')),
    name TEXT NOT NULL,
    settings BLOB NOT NULL,
    state BLOB NOT NULL,
    UNIQUE (use, name)
) STRICT;
-- Receipts that a partner has not answered for yet, oldest first.
CREATE TABLE receipt (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    party TEXT NOT NULL,
    agreement TEXT NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
CREATE INDEX receipt_peer ON receipt (party, agreement, row);
CREATE TABLE status (
    id TEXT PRIMARY KEY,
    agreement TEXT NOT NULL,
    party TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""


def check_sqlite(version: str) -> None:
    """Refuse a SQLite with the WAL-reset bug, which loses committed writes in a race of
    checkpoint and commit (SQLite 3.7.0 to 3.51.2; mended in 3.51.3, 3.50.7 and 3.44.6)."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    sound = (
        numbers >= (3, 51, 3) or (3, 50, 7) <= numbers < (3, 51) or (3, 44, 6) <= numbers < (3, 45)
    )
    if not sound:
        raise Invalid(
            "store.sqlite",
            f"Expected SQLite 3.51.3 or newer (or 3.50.7+, 3.44.6+), got {version}.",
            hint="Install the apsw wheel from PyPI; it brings its own SQLite.",
        )


def from_sqlite(error: apsw.Error) -> Broken | Unavailable:
    """What an error of SQLite means to callers. Only a full disk passes by itself."""
    if isinstance(error, apsw.FullError):
        return Unavailable("store.full", "Expected room on the disk, got none.")
    return Broken("store.failed", f"Expected SQLite to do its work, got: {error}.")


class FileLock:
    """One process to a file. The lock is on a file beside the database, never on the database
    itself: closing any handle of that would drop SQLite's own locks (POSIX)."""

    def __init__(self, path: Path) -> None:
        name = path.with_name(path.name + ".lock")
        self._handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise Conflict(
                "store.locked",
                f"Expected no other process on {path}, got one that holds it.",
                hint="Stop the running node first, or use its API.",
            ) from error

    def release(self) -> None:
        """Let others in. The file stays: removing it would race with the next holder."""
        os.close(self._handle)


def prepare_file(path: Path, *, create: bool) -> None:
    """See that the file is there and for its owner only. A missing file is made only if asked."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not create:
            raise Missing(
                "store.missing",
                f"Expected a store at {path}, got no file.",
                hint="`detente init` makes one.",
            ) from None
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        _sync_directory(path.parent)
        return
    if mode & 0o077:
        raise Invalid(
            "store.mode",
            f"Expected {path} to be for its owner only, got mode {mode & 0o777:o}.",
            hint=f"chmod 600 {path}",
        )


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_writer(path: Path, *, create: bool) -> apsw.Connection:
    """The one connection that writes. Makes the tables in an empty file if asked to.

    A crash before the tables are committed leaves an empty file, in which the next call with
    ``create`` makes them.
    """
    with ExitStack() as failed:
        connection = _connect(path)
        failed.callback(connection.close)
        try:
            _set_up(connection, _WRITER_CACHE_KIB)
            _settle(connection, path, create=create)
        except apsw.NotADBError as error:
            raise _foreign(path, "something that is no database") from error
        failed.pop_all()
    return connection


def _settle(connection: apsw.Connection, path: Path, *, create: bool) -> None:
    version = connection.pragma("user_version")
    owner = connection.pragma("application_id")
    empty = not connection.execute("SELECT count(*) FROM sqlite_schema").get
    fresh = create and empty and (version, owner) == (0, 0)
    if not fresh and owner != APPLICATION_ID:
        raise _foreign(path, "another program's file or an empty one")
    if not fresh and version != SCHEMA_VERSION:
        raise Invalid(
            "store.version",
            f"Expected tables of version {SCHEMA_VERSION}, got version {version}.",
            hint="Use the release of Detente that wrote the file.",
        )
    if fresh:
        connection.pragma("page_size", _PAGE_BYTES)
    if connection.pragma("journal_mode", "wal") != "wal":
        raise Invalid("store.wal", f"Expected a file system with shared memory for {path}.")
    connection.pragma("wal_autocheckpoint", 0)  # see carrier.py
    connection.pragma("journal_size_limit", _WAL_BYTES_KEPT)
    connection.pragma("secure_delete", "fast")
    if fresh:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_TABLES)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", SCHEMA_VERSION)
        connection.execute("COMMIT")


def _foreign(path: Path, got: str) -> Invalid:
    return Invalid("store.foreign", f"Expected a Detente store at {path}, got {got}.")


def open_reader(path: Path) -> apsw.Connection:
    """A connection that can only read."""
    connection = _connect(path)
    _set_up(connection, _READER_CACHE_KIB)
    connection.pragma("query_only", 1)
    return connection


def open_carrier(path: Path) -> apsw.Connection:
    """A connection that carries the write-ahead log over into the file, and does nothing else."""
    connection = _connect(path)
    _set_up(connection, _READER_CACHE_KIB)
    connection.pragma("wal_autocheckpoint", 0)
    return connection


def _connect(path: Path) -> apsw.Connection:
    # READWRITE without CREATE: nothing comes into being by opening it. Readers need it too, to
    # take part in the shared memory of the write-ahead log.
    flags = apsw.SQLITE_OPEN_READWRITE
    return apsw.Connection(str(path), flags=flags, statementcachesize=200)


def _set_up(connection: apsw.Connection, cache_kib: int) -> None:
    connection.set_busy_timeout(_BUSY_MS)
    connection.pragma("synchronous", "full")
    connection.pragma("cache_size", cache_kib)
    connection.pragma("mmap_size", 0)
    connection.pragma("trusted_schema", 0)
