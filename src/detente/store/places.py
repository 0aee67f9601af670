"""Where an object is: the index from object keys to entries, built in larger strides than commits.

Keys are hashes, so each new row of the index falls on another page of it; written with every
commit this would be the dearest part of an append. So new rows wait in memory, in buckets by
their first bits. When too many wait, whole buckets are written, one after the other: many rows to
a neighbouring stretch of the index.

Nothing durable hangs on the memory: the rows follow from the blocks. ``collection.indexed`` says
below which entry the table is complete; what lies above is read from the blocks' keys, and on
start ``index_rest`` writes it. Rows that are already there are written again without harm.

Rows hold eight bytes of key and digest, and the mark of the version. That an entry has the same
bytes is confirmed against the block in full. Each question about an object is one step in the
index and one in memory, however many versions it has: an object with a hundred thousand versions
must not hold up the writer.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import apsw

from detente.store.blocks import ITEMS_MAX, BlockReader
from detente.store.query import rows, value

__all__ = ["Tail", "find", "index_rest", "known", "same_version", "singles"]

#: Rows that may wait in memory; about 300 bytes each, 700 where an object has several.
WAITING_MAX: Final = 40_000
_BUCKETS = 64
_SHIFT = 58
_DIGEST = 32
_KEY = 16
_MARK = 8

#: Entries with the same mark and head of a digest that are looked at, newest first. The same bytes
#: enter again only after all before them were recalled, so the newest decides; others are there
#: only where somebody has found digests that begin alike.
_ALIKE_MAX: Final = 8

#: An entry under a key: (collection, mark, head, seq), as in the table.
_Spot = tuple[int, int, int, int]

_INSERT = "INSERT OR IGNORE INTO place (key, collection, mark, head, seq) VALUES (?, ?, ?, ?, ?)"


def _heads(data: bytes, width: int) -> tuple[int, ...]:
    """The first eight bytes of every ``width`` bytes, as signed integers."""
    return struct.unpack(">" + f"q{width - 8}x" * (len(data) // width), data)


class _Spots:
    """Several entries under one key, in order; found by collection, by mark, and by digest."""

    __slots__ = ("_seqs", "all")

    def __init__(self, first: _Spot) -> None:
        self.all: list[_Spot] = []
        self._seqs: dict[tuple[int, ...], list[int]] = {}
        self.add(first)

    def add(self, spot: _Spot) -> None:
        self.all.append(spot)
        for n in (1, 2, 3):
            self._seqs.setdefault(spot[:n], []).append(spot[3])

    def pop(self) -> None:
        """Forget the last."""
        spot = self.all.pop()
        for n in (1, 2, 3):
            seqs = self._seqs[spot[:n]]
            seqs.pop()
            if not seqs:
                del self._seqs[spot[:n]]

    def get(self, head: tuple[int, ...]) -> Sequence[int]:
        return self._seqs.get(head, ())


_Bucket = dict[int, "_Spot | _Spots"]


class Tail:
    """The rows of the index that are not written yet. For the writer's thread only.

    A transaction in parts: ``mark`` and ``undo`` around each work, ``flush`` before the commit,
    ``keep`` after it or ``undo(0)`` if it failed.
    """

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._buckets: list[_Bucket] = [{} for _ in range(_BUCKETS)]
        self._waiting = 0
        self._next = 0
        # The ends of the collections when the present round through the buckets began: when it
        # is over, everything below them is in the table.
        self._round: list[tuple[int, int]] = []
        self._added: list[tuple[int, int, tuple[int, ...]]] = []
        self._flushed: list[tuple[int, _Bucket, list[tuple[int, int]]]] = []

    def mark(self) -> int:
        """A point to go back to."""
        return len(self._added)

    def add(self, collection: int, first: int, keys: bytes, marks: bytes, digests: bytes) -> None:
        """Entries ``first`` onwards with their keys, marks and digests."""
        numbers = _heads(keys, _KEY)
        buckets = self._buckets
        rest = zip(_heads(marks, _MARK), _heads(digests, _DIGEST), strict=True)
        for seq, (number, (mark, head)) in enumerate(zip(numbers, rest, strict=True), first):
            bucket = buckets[number >> _SHIFT & 63]
            spots = bucket.get(number)
            spot = (collection, mark, head, seq)
            if spots is None:
                bucket[number] = spot
                continue
            if isinstance(spots, tuple):
                bucket[number] = spots = _Spots(spots)
            spots.add(spot)
        self._waiting += len(numbers)
        self._added.append((collection, first, numbers))

    def get(self, number: int, *head: int) -> Sequence[int]:
        """The entries that wait for a key, in order: of a collection, and of a mark and a digest
        in it, if they are given."""
        spots = self._buckets[number >> _SHIFT & 63].get(number)
        if isinstance(spots, tuple):
            return spots[3:] if spots[: len(head)] == head else ()
        return () if spots is None else spots.get(head)

    def undo(self, mark: int) -> None:
        """Forget what was added since the mark; with 0, also that anything was written."""
        while self._flushed:
            at, bucket, round_ = self._flushed.pop()
            self._next, self._round, self._buckets[at] = at, round_, bucket
            self._waiting += sum(1 for _ in _rows(bucket))
        while len(self._added) > mark:
            _, _, numbers = self._added.pop()
            for number in reversed(numbers):
                bucket = self._buckets[number >> _SHIFT & 63]
                spots = bucket[number]
                if isinstance(spots, _Spots):
                    spots.pop()
                if isinstance(spots, tuple) or not spots.all:
                    del bucket[number]
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


_Row = tuple[int, int, int, int, int]


def _rows(bucket: _Bucket) -> Iterator[_Row]:
    for number, spots in bucket.items():
        for spot in (spots,) if isinstance(spots, tuple) else spots.all:
            yield number, *spot


def index_rest(connection: apsw.Connection) -> None:
    """Write every row that is still missing. Part of starting; in the caller's transaction."""
    query = 'SELECT number, indexed, "end" FROM collection WHERE indexed < "end"'
    for collection, indexed, end in rows(connection, tuple[int, int, int], query):
        missing: list[_Row] = []
        for first, keys, marks, digests in rows(
            connection,
            tuple[int, bytes, bytes, bytes],
            "SELECT first, keys, marks, digests FROM block"
            " WHERE collection = ? AND first > ? AND first + count > ?",
            collection,
            indexed - ITEMS_MAX,
            indexed,
        ):
            names = _heads(keys, _KEY), _heads(marks, _MARK), _heads(digests, _DIGEST)
            missing += [
                (key, collection, mark, head, seq)
                for seq, (key, mark, head) in enumerate(zip(*names, strict=True), first)
            ]
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
    first, keys = 0, b""
    # In order, so that the names of each block are read once, however many versions lie in it.
    for seq in sorted(seq for (seq,) in rows(connection, tuple[int], query, wanted, number)):
        if not first <= seq < first + len(keys) // _KEY:
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


def _keys_there(
    connection: apsw.Connection, tail: Tail, collection: int, keys: Sequence[int]
) -> set[int]:
    """Those heads of keys under which there is an entry. In one query."""
    found = {
        key
        for (key,) in rows(
            connection,
            tuple[int],
            "SELECT wanted.value FROM carray(?) AS wanted WHERE EXISTS"
            " (SELECT 1 FROM place WHERE key = wanted.value AND collection = ?)",
            apsw.carray(array("q", sorted(set(keys)))),
            collection,
        )
    }
    return found | {key for key in keys if tail.get(key, collection)}


def _each(
    connection: apsw.Connection, query: str, asked: Iterable[tuple[int, ...]]
) -> Iterator[tuple[int, ...]]:
    """The rows of a query for each of many sets of values."""
    return cast("Iterator[tuple[int, ...]]", connection.executemany(query, asked))


def known(
    connection: apsw.Connection,
    blocks: BlockReader,
    tail: Tail,
    collection: int,
    items: Sequence[tuple[bytes, bytes, bytes]],
) -> list[int | None]:
    """For each (object key, mark, digest) the newest entry that has all of them, or None."""
    if not items:
        return []
    keys = _heads(b"".join([key for key, _, _ in items]), _KEY)
    there = _keys_there(connection, tail, collection, keys)
    if not there:
        return [None] * len(items)
    marks = _heads(b"".join([mark for _, mark, _ in items]), _MARK)
    heads = _heads(b"".join([digest for _, _, digest in items]), _DIGEST)
    found: list[list[int]] = []
    asked = []
    for i, (key, mark, head) in enumerate(zip(keys, marks, heads, strict=True)):
        seqs = tail.get(key, collection, mark, head) if key in there else ()
        found.append([*seqs[: -_ALIKE_MAX - 1 : -1]])
        if key in there:
            asked.append((i, key, collection, mark, head, _ALIKE_MAX))
    query = (
        "SELECT ?, seq FROM place WHERE key = ? AND collection = ? AND mark = ? AND head = ?"
        " ORDER BY seq DESC LIMIT ?"
    )
    for i, seq in _each(connection, query, asked):
        found[i].append(seq)
    check = _Check(blocks, collection)
    return [
        check.first(seqs, (key, digest)) if seqs else None
        for seqs, (key, _, digest) in zip(found, items, strict=True)
    ]


def singles(
    connection: apsw.Connection, tail: Tail, collection: int, keys: Sequence[bytes]
) -> dict[bytes, int | None]:
    """For each object key under whose head there is an entry: the one, or None for several."""
    if not keys:
        return {}
    heads = _heads(b"".join(keys), _KEY)
    there = _keys_there(connection, tail, collection, heads)
    found = {head: [*tail.get(head, collection)[:2]] for head in there}
    query = "SELECT key, seq FROM place WHERE key = ? AND collection = ? LIMIT 2"
    asked = [(head, collection) for head, seqs in found.items() if len(seqs) < 2]
    for head, seq in _each(connection, query, asked):
        found[head].append(seq)
    return {
        key: found[head][0] if len(found[head]) == 1 else None
        for key, head in zip(keys, heads, strict=True)
        if head in there
    }


def same_version(
    connection: apsw.Connection,
    tail: Tail,
    collection: int,
    items: Sequence[tuple[bytes, bytes]],
) -> list[list[int]]:
    """For each (object key, mark) the entries that have both, by their heads."""
    keys = _heads(b"".join([key for key, _ in items]), _KEY)
    marks = _heads(b"".join([mark for _, mark in items]), _MARK)
    found = [[*tail.get(key, collection, mark)] for key, mark in zip(keys, marks, strict=True)]
    query = "SELECT ?, seq FROM place WHERE key = ? AND collection = ? AND mark = ?"
    asked = ((i, keys[i], collection, marks[i]) for i in range(len(items)))
    for i, seq in _each(connection, query, asked):
        found[i].append(seq)
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
