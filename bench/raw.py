"""The raw limit of the machine: the same bytes into a bare SQLite table, and out of it.

One table, one row an object, no index but the row's number, no ledger, no checks, no HTTP.
"""

from __future__ import annotations

import time
from pathlib import Path

import apsw

__all__ = ["bare_in", "bare_out"]

ENVELOPE = 1_000


def _open(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("page_size", 8192)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", 20_000)
    return connection


def bare_in(path: Path, objects: list[bytes]) -> float:
    """Objects a second into a bare table, durable, a thousand to a commit."""
    connection = _open(path)
    connection.execute("CREATE TABLE item (seq INTEGER PRIMARY KEY, raw BLOB NOT NULL)")
    began = time.perf_counter()
    for start in range(0, len(objects), ENVELOPE):
        rows = [(raw,) for raw in objects[start : start + ENVELOPE]]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO item (raw) VALUES (?)", rows)
        connection.execute("COMMIT")
    rate = len(objects) / (time.perf_counter() - began)
    connection.close()
    return rate


def bare_out(path: Path, rounds: int = 3) -> float:
    """Objects a second out of that table, in pages of a thousand, each joined to one body."""
    connection = _open(path)
    (last,) = connection.execute("SELECT max(seq) FROM item").fetchall()[0]
    began = time.perf_counter()
    for _ in range(rounds):
        for start in range(0, last, ENVELOPE):
            found = connection.execute(
                "SELECT raw FROM item WHERE seq > ? ORDER BY seq LIMIT ?", (start, ENVELOPE)
            ).fetchall()
            b",".join([raw for (raw,) in found])
    rate = rounds * last / (time.perf_counter() - began)
    connection.close()
    return rate
