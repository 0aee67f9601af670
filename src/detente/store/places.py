"""Where an object is: the index from object keys to entries, built in larger strides than commits.

Keys are hashes, so each new row of the index falls on another page of it; written with every
commit this would be the dearest part of an append. So new rows wait in memory, in buckets by
their first bits. When too many wait, whole buckets are written, one after the other: many rows to
a neighbouring stretch of the index.

Nothing durable hangs on the memory: the rows follow from the blocks. ``collection.indexed`` says
below which entry the table is complete; what lies above is read from the blocks' keys, and on
start ``index_rest`` writes it. Rows that are already there are written again without harm.

Rows hold eight bytes of key and digest; a hit is confirmed against the block in full.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

import apsw

from detente.store.blocks import ITEMS_MAX, BlockReader
from detente.store.query import rows, value

__all__ = ["Tail", "find", "find_many", "index_rest", "known"]

#: Rows that may wait in memory; about 260 bytes each.
WAITING_MAX: Final = 40_000
_BUCKETS = 64
_SHIFT = 58
_DIGEST = 32
_KEY = 16

#: (collection, seq, head), several of them behind one another where a key has several entries.
_Spots = tuple[int, ...]

_INSERT = "INSERT OR IGNORE INTO place (key, collection, seq, head) VALUES (?, ?, ?, ?)"


def _heads(data: bytes, width: int) -> tuple[int, ...]:
    """The first eight bytes of every ``width`` bytes, as signed integers."""
    return struct.unpack(">" + f"q{width - 8}x" * (len(data) // width), data)


class Tail:
    """The rows of the index that are not written yet. For the writer's thread only.

    A transaction in parts: ``mark`` and ``undo`` around each work, ``flush`` before the commit,
    ``keep`` after it or ``undo(0)`` if it failed.
    """

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._buckets: list[dict[int, _Spots]] = [{} for _ in range(_BUCKETS)]
        self._waiting = 0
        self._next = 0
        # The ends of the collections when the present round through the buckets began: when it
        # is over, everything below them is in the table.
        self._round: list[tuple[int, int]] = []
        self._added: list[tuple[int, int, tuple[int, ...]]] = []
        self._flushed: list[tuple[int, dict[int, _Spots], list[tuple[int, int]]]] = []

    def mark(self) -> int:
        """A point to go back to."""
        return len(self._added)

    def add(self, collection: int, first: int, keys: bytes, digests: bytes) -> None:
        """Entries ``first`` onwards with their keys and digests."""
        numbers = _heads(keys, _KEY)
        buckets = self._buckets
        for i, (number, head) in enumerate(zip(numbers, _heads(digests, _DIGEST), strict=True)):
            bucket = buckets[number >> _SHIFT & 63]
            spots = bucket.get(number)
            spot = (collection, first + i, head)
            bucket[number] = spot if spots is None else spots + spot
        self._waiting += len(numbers)
        self._added.append((collection, first, numbers))

    def get(self, number: int) -> _Spots:
        """What waits for a key."""
        return self._buckets[number >> _SHIFT & 63].get(number, ())

    def undo(self, mark: int) -> None:
        """Forget what was added since the mark; with 0, also that anything was written."""
        while self._flushed:
            at, bucket, round_ = self._flushed.pop()
            self._next, self._round, self._buckets[at] = at, round_, bucket
            self._waiting += sum(map(len, bucket.values())) // 3
        while len(self._added) > mark:
            _, _, numbers = self._added.pop()
            for number in reversed(numbers):
                bucket = self._buckets[number >> _SHIFT & 63]
                spots = bucket.pop(number)
                if len(spots) > 3:  # more than one spot
                    bucket[number] = spots[:-3]
            self._waiting -= len(numbers)

    def keep(self) -> None:
        """What was added and flushed is committed."""
        self._added.clear()
        self._flushed.clear()

    def flush(self, connection: apsw.Connection) -> None:
        """Write buckets until few enough rows wait."""
        while self._waiting > self._waiting_max:
            at, bucket = self._next, self._buckets[self._next]
            self._flushed.append((at, bucket, self._round))
            if at == 0:
                query = 'SELECT "end", number FROM collection'
                self._round = rows(connection, tuple[int, int], query)
            found = sorted(_rows(bucket))
            connection.executemany(_INSERT, found)
            self._buckets[at] = {}
            self._waiting -= len(found)
            self._next = (at + 1) % _BUCKETS
            if self._next == 0:
                connection.executemany(
                    "UPDATE collection SET indexed = ? WHERE number = ?", self._round
                )


def _rows(bucket: dict[int, _Spots]) -> Iterator[tuple[int, int, int, int]]:
    for number, spots in bucket.items():
        for i in range(0, len(spots), 3):
            yield number, spots[i], spots[i + 1], spots[i + 2]


def index_rest(connection: apsw.Connection) -> None:
    """Write every row that is still missing. Part of starting; in the caller's transaction."""
    query = 'SELECT number, indexed, "end" FROM collection WHERE indexed < "end"'
    for collection, indexed, end in rows(connection, tuple[int, int, int], query):
        missing: list[tuple[int, int, int, int]] = []
        for first, keys, digests in rows(
            connection,
            tuple[int, bytes, bytes],
            "SELECT first, keys, digests FROM block"
            " WHERE collection = ? AND first > ? AND first + count > ?",
            collection,
            indexed - ITEMS_MAX,
            indexed,
        ):
            heads = zip(_heads(keys, _KEY), _heads(digests, _DIGEST), strict=True)
            missing += [(key, collection, first + i, head) for i, (key, head) in enumerate(heads)]
        missing.sort()
        connection.executemany(_INSERT, missing)
        connection.execute("UPDATE collection SET indexed = ? WHERE number = ?", (end, collection))


def find(connection: apsw.Connection, blocks: BlockReader, number: int, key: bytes) -> list[int]:
    """All entries of a collection with an object key, in order."""
    query = "SELECT indexed FROM collection WHERE number = ?"
    indexed = value(connection, int, query, number) or 0
    (wanted,) = _heads(key, _KEY)
    found = set()
    query = "SELECT seq FROM place WHERE key = ? AND collection = ?"
    for (seq,) in rows(connection, tuple[int], query, wanted, number):
        first, keys, _ = blocks.names(number, seq)
        if keys[(seq - first) * _KEY :][:_KEY] == key:
            found.add(seq)
    for first, keys in blocks.keys_from(number, indexed):
        at = keys.find(key)
        while at >= 0:
            if at % _KEY == 0:
                found.add(first + at // _KEY)
            at = keys.find(key, at + 1)
    return sorted(found)


def _spots_of(
    connection: apsw.Connection, tail: Tail, collection: int, keys: Sequence[int]
) -> dict[int, list[tuple[int, int]]]:
    """For each head of a key: the entries (seq, head of digest) that may have it. In one query."""
    spots: dict[int, list[tuple[int, int]]] = {}
    for key, seq, head in rows(
        connection,
        tuple[int, int, int],
        "SELECT place.key, seq, head FROM carray(?) AS wanted CROSS JOIN place"
        " ON place.key = wanted.value AND collection = ?",
        apsw.carray(array("q", sorted(set(keys)))),
        collection,
    ):
        spots.setdefault(key, []).append((seq, head))
    for key in set(keys):
        waiting = tail.get(key)
        for i in range(0, len(waiting), 3):
            if waiting[i] == collection:
                spots.setdefault(key, []).append((waiting[i + 1], waiting[i + 2]))
    return spots


def known(
    connection: apsw.Connection,
    blocks: BlockReader,
    tail: Tail,
    collection: int,
    items: Sequence[tuple[bytes, bytes]],
) -> list[int | None]:
    """For each (object key, digest) the first entry that has both, or None. In one query."""
    if not items:
        return []
    keys = array("q", _heads(b"".join([key for key, _ in items]), _KEY))
    heads = _heads(b"".join([digest for _, digest in items]), _DIGEST)
    spots = _spots_of(connection, tail, collection, keys)
    if not spots:
        return [None] * len(items)
    check = _Check(blocks, collection)
    return [
        check.first(sorted(seq for seq, its in spots.get(key, ()) if its == head), item)
        for key, head, item in zip(keys, heads, items, strict=True)
    ]


def find_many(
    connection: apsw.Connection,
    blocks: BlockReader,
    tail: Tail,
    collection: int,
    keys: Sequence[bytes],
) -> dict[bytes, list[int]]:
    """The entries of each object key that has any. In one query."""
    if not keys:
        return {}
    heads = array("q", _heads(b"".join(keys), _KEY))
    spots = _spots_of(connection, tail, collection, heads)
    found: dict[bytes, list[int]] = {}
    for key, head in zip(keys, heads, strict=True) if spots else ():
        seqs = []
        for seq in sorted({seq for seq, _ in spots.get(head, ())}):
            first, its_keys, _ = blocks.names(collection, seq)
            if its_keys[(seq - first) * _KEY :][:_KEY] == key:
                seqs.append(seq)
        if seqs:
            found[key] = seqs
    return found


class _Check:
    """Confirms hits against whole keys and digests; keeps the names of the last block, since
    what was published together is asked for together."""

    def __init__(self, blocks: BlockReader, collection: int) -> None:
        self._blocks = blocks
        self._collection = collection
        self._first, self._keys, self._digests = 0, b"", b""

    def first(self, seqs: Sequence[int], item: tuple[bytes, bytes]) -> int | None:
        for seq in seqs:
            at = seq - self._first
            if not 0 <= at < len(self._keys) // _KEY:
                self._first, self._keys, self._digests = self._blocks.names(self._collection, seq)
                at = seq - self._first
            if (
                self._keys[at * _KEY : at * _KEY + _KEY] == item[0]
                and self._digests[at * _DIGEST : at * _DIGEST + _DIGEST] == item[1]
            ):
                return seq
        return None
