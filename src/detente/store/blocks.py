"""Collections as sealed blocks: entries whose bytes lie together, so that a page is a slice.

A block never changes. An append writes new blocks; small ones at the end of a collection are
merged by tiers into larger ones, which get new ids, so a cache by id never holds anything stale.
Every entry is rewritten at most three times before it rests in a block of full size.
"""

from __future__ import annotations

import sys
import threading
from array import array
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

import apsw

from detente.errors import Invalid
from detente.ports import Block, NewItem
from detente.store.query import row, rows

__all__ = ["BODY_BYTES_MAX", "ITEMS_MAX", "BlockCache", "BlockReader", "BlockWriter"]

#: A block has at most this many entries, and its body at most this many bytes (unless one object
#: alone is larger).
ITEMS_MAX: Final = 1_000
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
#: From here on a block is sealed: it is not merged any more.
_SEALED_ITEMS = ITEMS_MAX // 2
_SEALED_BYTES = BODY_BYTES_MAX // 2
#: Ten blocks of one class make one of the next.
_FAN = 10
#: The unsealed blocks at the end of a collection are fewer than this (see ``_run``).
_TAIL_BLOCKS_MAX = 6 * _FAN
_DIGEST = 32
_KEY = 16
_MARK = 8

CACHE_BYTES_MAX: Final = 48 * 1024 * 1024
#: The keys of blocks that are not in the index yet, for readers that look for an object.
KEYS_BYTES_MAX: Final = 4 * 1024 * 1024

_COLUMNS = "handlings, added, ends, keys, marks, digests, body"


class BlockCache:
    """Decoded blocks and keys by block id, within a bound of bytes; for any thread."""

    def __init__(
        self, bytes_max: int = CACHE_BYTES_MAX, keys_bytes_max: int = KEYS_BYTES_MAX
    ) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._keys: OrderedDict[int, bytes] = OrderedDict()
        self._room = bytes_max
        self._keys_room = keys_bytes_max

    def get(self, block_id: int) -> Block | None:
        """The block, if it is kept."""
        with self._lock:
            found = self._blocks.get(block_id)
            if found is not None:
                self._blocks.move_to_end(block_id)
            return found

    def put(self, block_id: int, block: Block) -> None:
        """Keep a block; the ones used longest ago go."""
        with self._lock:
            if block_id in self._blocks:
                return
            self._blocks[block_id] = block
            self._room -= _weight(block)
            while self._room < 0:
                _, old = self._blocks.popitem(last=False)
                self._room += _weight(old)

    def get_keys(self, block_id: int) -> bytes | None:
        """The keys of a block, if they are kept."""
        with self._lock:
            found = self._blocks.get(block_id)
            return self._keys.get(block_id) if found is None else found.keys

    def put_keys(self, block_id: int, keys: bytes) -> None:
        """Keep the keys of a block."""
        with self._lock:
            if block_id in self._keys:
                return
            self._keys[block_id] = keys
            self._keys_room -= len(keys)
            while self._keys_room < 0:
                _, old = self._keys.popitem(last=False)
                self._keys_room += len(old)


def _weight(block: Block) -> int:
    # Arrays of 4, 4 and 8 bytes, keys, marks, digests, and what Python's objects take besides.
    return len(block.body) + block.count * (16 + _KEY + _MARK + _DIGEST) + 1024


def _unpack(typecode: str, data: bytes) -> array[int]:
    found = array(typecode, data)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _pack(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


class BlockReader:
    """Looks into blocks through one connection. Collections are given by number."""

    def __init__(self, connection: apsw.Connection, cache: BlockCache) -> None:
        self._db = connection
        self._cache = cache

    def block(self, collection: int, seq: int) -> Block | None:
        """The block that holds an entry; None behind the end."""
        place = self._place(collection, seq)
        if place is None:
            return None
        block_id, first, count = place
        return self._cache.get(block_id) or self._load(block_id, first, count)

    def seq_after(self, collection: int, added_us: int) -> int | None:
        """The first entry later than ``added_us``; None if there is none."""
        found = row(
            self._db,
            tuple[int, int, int],
            "SELECT id, first, first_us FROM block WHERE collection = ? AND last_us > ?"
            " ORDER BY last_us LIMIT 1",
            collection,
            added_us,
        )
        if found is None:
            return None
        block_id, first, first_us = found
        if added_us < first_us:
            return first
        kept = self._cache.get(block_id)
        added = _unpack("q", self._column(block_id, "added")) if kept is None else kept.added_us
        return first + bisect_right(added, added_us)

    def count(self, collection: int, handling: int, a: int, b: int) -> int:
        """How many of the entries ``a <= seq < b`` have a handling."""
        if a >= b:
            return 0
        return self._below(collection, handling, b) - self._below(collection, handling, a)

    def first_of(self, collection: int, handling: int, a: int) -> int | None:
        """The first entry at or after ``a`` with a handling."""
        tally = self._tally(collection, handling, a + 1)
        if tally is not None and tally[1] > a:
            first = tally[0]
            numbers = self._numbers(collection, first)
            for i in range(a - first, len(numbers)):
                if numbers[i] == handling:
                    return first + i
        found = row(
            self._db,
            tuple[int],
            "SELECT first FROM tally WHERE collection = ? AND handling = ? AND first > ?"
            " ORDER BY first LIMIT 1",
            collection,
            handling,
            a,
        )
        if found is None:
            return None
        return found[0] + self._numbers(collection, found[0]).index(handling)

    def keys_from(self, collection: int, seq: int) -> Iterator[tuple[int, bytes]]:
        """First entry and keys of every block that reaches beyond ``seq``, in order."""
        for block_id, first in rows(
            self._db,
            tuple[int, int],
            "SELECT id, first FROM block WHERE collection = ? AND first > ? AND first + count > ?"
            " ORDER BY first",
            collection,
            seq - ITEMS_MAX,
            seq,
        ):
            keys = self._cache.get_keys(block_id)
            if keys is None:
                keys = self._column(block_id, "keys")
                self._cache.put_keys(block_id, keys)
            yield first, keys

    def names(self, collection: int, seq: int) -> tuple[int, bytes, bytes]:
        """First entry, keys and digests of the block that holds an entry, without its body."""
        place = self._place(collection, seq)
        if place is None:
            return seq, b"", b""
        block_id, first, _ = place
        kept = self._cache.get(block_id)
        if kept is not None:
            return first, kept.keys, kept.digests
        keys, digests = self._one("SELECT keys, digests FROM block WHERE id = ?", block_id)
        return first, keys, digests

    def _place(self, collection: int, seq: int) -> tuple[int, int, int] | None:
        found = row(
            self._db,
            tuple[int, int, int],
            "SELECT id, first, count FROM block WHERE collection = ? AND first <= ?"
            " ORDER BY first DESC LIMIT 1",
            collection,
            seq,
        )
        return found if found is not None and seq < found[1] + found[2] else None

    def _load(self, block_id: int, first: int, count: int) -> Block:
        handlings, added, ends, keys, marks, digests, body = self._one(
            f"SELECT {_COLUMNS} FROM block WHERE id = ?",  # noqa: S608  # a constant
            block_id,
        )
        block = Block(
            first=first,
            count=count,
            body=body,
            ends=_unpack("I", ends),
            added_us=_unpack("q", added),
            handlings=_unpack("I", handlings),
            keys=keys,
            marks=marks,
            digests=digests,
        )
        self._cache.put(block_id, block)
        return block

    def _one(self, query: str, block_id: int) -> tuple[bytes, ...]:
        found = row(self._db, tuple[bytes, ...], query, block_id)
        assert found is not None  # the id was read in the same transaction
        return found

    def _column(self, block_id: int, name: str) -> bytes:
        return self._one(f"SELECT {name} FROM block WHERE id = ?", block_id)[0]  # noqa: S608  # names of columns only

    def _numbers(self, collection: int, first: int) -> array[int]:
        place = self._place(collection, first)
        assert place is not None  # tallies and blocks are written together
        kept = self._cache.get(place[0])
        if kept is not None:
            return kept.handlings
        return _unpack("I", self._column(place[0], "handlings"))

    def _tally(
        self, collection: int, handling: int, below: int
    ) -> tuple[int, int, int, int] | None:
        """First, upto, before and here of the last block with this handling that begins below."""
        return row(
            self._db,
            tuple[int, int, int, int],
            "SELECT first, upto, before, here FROM tally"
            " WHERE collection = ? AND handling = ? AND first < ? ORDER BY first DESC LIMIT 1",
            collection,
            handling,
            below,
        )

    def _below(self, collection: int, handling: int, seq: int) -> int:
        tally = self._tally(collection, handling, seq)
        if tally is None:
            return 0
        first, upto, before, here = tally
        if upto <= seq:
            return before + here
        return before + self._numbers(collection, first)[: seq - first].count(handling)


class BlockWriter(BlockReader):
    """Appends entries and merges small blocks. ``next_id`` must be above every id ever used by
    this process, also by transactions that were undone: the cache goes by id."""

    def __init__(self, connection: apsw.Connection, cache: BlockCache, next_id: int) -> None:
        super().__init__(connection, cache)
        self._next_id = next_id
        self.rewritten = 0

    def append(
        self, collection: int, first: int, first_us: int, items: Sequence[NewItem]
    ) -> tuple[bytes, bytes, bytes]:
        """Append items; entry ``first + i`` gets the time ``first_us + i``. Gives their keys,
        marks and digests, joined. Refuses empty bytes and names of another length."""
        raws = [item.raw for item in items]
        if not all(raws):
            raise Invalid("item.empty", "Expected the bytes of an object, got none.")
        keys = _joined([item.key for item in items], _KEY)
        marks = _joined([item.mark for item in items], _MARK)
        digests = _joined([item.sha256 for item in items], _DIGEST)
        handlings = array("I", [item.handling for item in items])
        last: Block | None = None
        for i, j in _cuts([len(raw) for raw in raws], ITEMS_MAX):
            last = Block(
                first=first + i,
                count=j - i,
                body=b",".join(raws[i:j]),
                ends=_ends(raws[i:j]),
                added_us=array("q", range(first_us + i, first_us + j)),
                handlings=handlings[i:j],
                keys=keys[i * _KEY : j * _KEY],
                marks=marks[i * _MARK : j * _MARK],
                digests=digests[i * _DIGEST : j * _DIGEST],
            )
            self._insert(collection, last)
        if last is not None and _class(last.count, len(last.body)) < _SEALED:
            self._merge(collection)
        return keys, marks, digests

    def _insert(self, collection: int, block: Block) -> None:
        block_id, self._next_id = self._next_id, self._next_id + 1
        self._db.execute(
            f"INSERT INTO block (id, collection, first, count, first_us, last_us, size, {_COLUMNS})"  # noqa: S608  # a constant
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                block_id,
                collection,
                block.first,
                block.count,
                block.added_us[0],
                block.added_us[-1],
                len(block.body),
                _pack(block.handlings),
                _pack(block.added_us),
                _pack(block.ends),
                block.keys,
                block.marks,
                block.digests,
                block.body,
            ),
        )
        upto = block.first + block.count
        tallies = []
        for handling, here in Counter(block.handlings).items():
            last = self._tally(collection, handling, block.first)
            before = 0 if last is None else last[2] + last[3]
            tallies.append((collection, handling, block.first, upto, before, here))
        self._db.executemany("INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?)", tallies)
        self._cache.put(block_id, block)

    def _merge(self, collection: int) -> None:
        """Merge the small blocks at the end if there are enough of them."""
        last = rows(
            self._db,
            tuple[int, int, int, int],
            "SELECT id, first, count, size FROM block WHERE collection = ?"
            " ORDER BY first DESC LIMIT ?",
            collection,
            _TAIL_BLOCKS_MAX,
        )
        old = last[: _run([(count, size) for _, _, count, size in last])]
        if not old:
            return
        whole = _concat(
            [
                self._cache.get(block_id) or self._load(block_id, first, count)
                for block_id, first, count, _ in reversed(old)
            ]
        )
        numbers = set(whole.handlings)
        self._db.executemany("DELETE FROM block WHERE id = ?", [(one[0],) for one in old])
        self._db.executemany(
            "DELETE FROM tally WHERE collection = ? AND handling = ? AND first >= ?",
            [(collection, number, whole.first) for number in numbers],
        )
        pieces = -(-whole.count // ITEMS_MAX)
        sizes = [b - a - 1 for a, b in zip((-1, *whole.ends), whole.ends, strict=False)]
        for i, j in _cuts(sizes, -(-whole.count // pieces)):
            self._insert(collection, _slice(whole, i, j))
        self.rewritten += whole.count


_SEALED = 3


def _class(count: int, size: int) -> int:
    """0, 1 and 2 for blocks below 10, below 100 and above; 3 for sealed ones."""
    if count >= _SEALED_ITEMS or size >= _SEALED_BYTES:
        return _SEALED
    return 0 if count < _FAN else 1 if count < _FAN**2 else 2


def _run(blocks: Sequence[tuple[int, int]]) -> int:
    """How many blocks (count, size), counted from the end, are to be merged; 0 for none.

    Ten at the end that are all of class 0 make one of class 1. Twenty of class 0 and 1 make one
    of class 2: more than ten of them are of class 1, since ten of class 0 would have been merged
    before. All that are unsealed make sealed ones as soon as they fill one. So each merge lifts
    its entries by a class, whatever sizes the appends have, and an entry is moved three times.
    """
    lengths = [0, 0, 0]
    items = size = 0
    for n, (count, body) in enumerate(blocks, 1):
        found = _class(count, body)
        if found == _SEALED:
            break
        for at_least in range(found, _SEALED):
            if lengths[at_least] == n - 1:
                lengths[at_least] = n
        items += count
        size += body
    if items >= ITEMS_MAX or size >= BODY_BYTES_MAX or lengths[2] == _TAIL_BLOCKS_MAX:
        return lengths[2]
    if lengths[1] >= 2 * _FAN:
        return lengths[1]
    return lengths[0] if lengths[0] >= _FAN else 0


def _cuts(sizes: Sequence[int], items_max: int) -> list[tuple[int, int]]:
    """Ranges of at most ``items_max`` objects, whose bytes and commas fit a body."""
    found: list[tuple[int, int]] = []
    start, filled = 0, 0
    for i, size in enumerate(sizes):
        if i > start and (i - start == items_max or filled + size > BODY_BYTES_MAX):
            found.append((start, i))
            start, filled = i, 0
        filled += size + 1
    if sizes:
        found.append((start, len(sizes)))
    return found


def _ends(raws: Sequence[bytes]) -> array[int]:
    """The end of each object in the body: lengths and the commas between them, summed up."""
    ends = array("I", accumulate(len(raw) + 1 for raw in raws))
    return array("I", [end - 1 for end in ends])


def _joined(parts: Sequence[bytes], width: int) -> bytes:
    if any(len(part) != width for part in parts):
        raise Invalid("item.width", f"Expected {width} bytes each, got another length.")
    return b"".join(parts)


def _concat(blocks: Sequence[Block]) -> Block:
    ends, added, handlings = array("I"), array("q"), array("I")
    offset = 0
    for block in blocks:
        ends.extend([offset + end for end in block.ends])
        added.extend(block.added_us)
        handlings.extend(block.handlings)
        offset += len(block.body) + 1
    return Block(
        first=blocks[0].first,
        count=len(ends),
        body=b",".join([block.body for block in blocks]),
        ends=ends,
        added_us=added,
        handlings=handlings,
        keys=b"".join([block.keys for block in blocks]),
        marks=b"".join([block.marks for block in blocks]),
        digests=b"".join([block.digests for block in blocks]),
    )


def _slice(block: Block, i: int, j: int) -> Block:
    if (i, j) == (0, block.count):
        return block
    start = block.ends[i - 1] + 1 if i else 0
    return Block(
        first=block.first + i,
        count=j - i,
        body=block.body[start : block.ends[j - 1]],
        ends=array("I", [end - start for end in block.ends[i:j]]),
        added_us=block.added_us[i:j],
        handlings=block.handlings[i:j],
        keys=block.keys[i * _KEY : j * _KEY],
        marks=block.marks[i * _MARK : j * _MARK],
        digests=block.digests[i * _DIGEST : j * _DIGEST],
    )
