"""The sequencer: it puts entries into ledgers, and signs one checkpoint a commit for each.

A ledger is a Merkle log (C2SP ``tlog-tiles``). Entries, tiles and the signed checkpoint that
contains them are written by **one** transaction, and the checkpoint only by compare-and-swap on
(origin, size, root): whoever restores an old file under a running node, or opens a second one,
would otherwise sign a second history of the same log, and that fork could never be taken back.

What a crash leaves behind, step by step:

1. Works append entries; nothing is durable. A crash leaves the state before the commit.
2. ``seal`` writes tiles and checkpoint into the same transaction. A crash leaves the same.
   A signature may have been made over a head that never becomes durable. It was not handed to
   anybody: readers see a checkpoint only after the commit. So signing before committing is safe,
   and the head that is signed next may differ.
3. COMMIT writes the last frame of the transaction to the write-ahead log and syncs it. A crash
   before the sync ends leaves all or nothing of it: a frame counts only with its checksum.
4. The commit has returned, the callers have not been answered. A crash leaves the work done and
   its callers in doubt; they ask again, and intake and receipts know what they have seen.

Recovery runs the normal code: SQLite replays its log when the file is opened, and ``recover``
reads every head from the tiles as any commit would, and refuses to start if they differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apsw

from detente.errors import Broken, DetenteError, Invalid
from detente.proof import (
    EMPTY_ROOT,
    Checkpoint,
    Signer,
    leaf_hash,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
)
from detente.store.growth import EMPTY, Edge, edge_of, grow
from detente.store.query import rows, value

__all__ = ["LOG_ENTRY_BYTES_MAX", "SignerOf", "Sequencer", "read_tile"]

#: An entry bundle writes lengths as uint16 (C2SP ``tlog-tiles``).
LOG_ENTRY_BYTES_MAX = 65_535

SignerOf = Callable[[str], Signer]

_HEIGHT = 8
_WIDTH = 1 << _HEIGHT
_HASH = 32
_TILE_BYTES = _WIDTH * _HASH


def read_tile(connection: apsw.Connection, log: int, level: int, index: int) -> bytes:
    """The hashes of a tile as far as it is filled; empty if it does not exist."""
    query = 'SELECT hashes FROM tile WHERE log = ? AND level = ? AND "index" = ?'
    return value(connection, bytes, query, log, level, index) or b""


@dataclass(slots=True)
class _Head:
    """A ledger as the last commit left it, and the leaves that wait for the next."""

    number: int
    log: str
    edge: Edge
    root: bytes
    signer: Signer | None
    leaves: list[bytes]


class Sequencer:
    """Keeps the heads of all ledgers. For the writer's thread only.

    A transaction in parts: ``mark`` and ``undo`` around each work, ``seal`` before the commit,
    ``keep`` after it or ``undo`` to an empty mark if it failed.
    """

    def __init__(self, connection: apsw.Connection, signer_of: SignerOf) -> None:
        self._db = connection
        self._signer_of = signer_of
        self._heads: dict[str, _Head] = {}
        # The logs of the appended entries, in order, so that the last ones can be taken back.
        self._appended: list[_Head] = []
        self._created: list[str] = []
        self._sealed: list[tuple[_Head, Edge, bytes]] = []

    # --- recovery -------------------------------------------------------------------------

    def recover(self) -> None:
        """Read every head, and refuse to go on unless entries, tiles and checkpoint agree.

        The root is computed from the tiles on the right edge, which is what the next commit
        builds on; the newest leaves are hashed again from their entries. Older tiles are not
        read here: ``ledger verify`` does that.
        """
        for number, name, size, root, note in rows(
            self._db,
            tuple[int, str, int, bytes, bytes | None],
            "SELECT number, name, size, root, note FROM log ORDER BY number",
        ):
            edge = self._check(number, Checkpoint(name, size, root), note)
            self._heads[name] = _Head(number, name, edge, root, None, [])

    def _check(self, number: int, head: Checkpoint, note: bytes | None) -> Edge:
        def broken(got: str) -> Broken:
            return Broken(
                "ledger.head",
                f"Expected ledger {head.origin} to end as signed at {head.size}, got {got}.",
                hint="Do not continue this ledger; restore it from the partner's mirror.",
            )

        if (note is None) != (head.size == 0):
            raise broken("no checkpoint")
        try:
            if note is not None and parse_checkpoint(parse_note(note).text) != head:
                raise broken("a checkpoint that says otherwise")
            edge = edge_of(
                head.size, lambda level, index: read_tile(self._db, number, level, index)
            )
        except DetenteError as error:
            raise broken(str(error)) from error
        if edge.root() != head.root:
            raise broken("tiles with another root")
        start = (head.size - 1) // _WIDTH * _WIDTH if head.size else 0
        last = rows(
            self._db,
            tuple[int, bytes],
            'SELECT "index", data FROM entry WHERE log = ? AND "index" >= ? ORDER BY "index"',
            number,
            start,
        )
        if [index for index, _ in last] != list(range(start, head.size)):
            raise broken("other entries")
        leaves = b"".join(leaf_hash(data) for _, data in last)
        if leaves != read_tile(self._db, number, 0, start // _WIDTH):
            raise broken("entries that do not hash to the tiles")
        return edge

    # --- one transaction ------------------------------------------------------------------

    def mark(self) -> tuple[int, int]:
        """A point to go back to."""
        return len(self._appended), len(self._created)

    def append(self, log: str, entry: bytes) -> int:
        """Write an entry; its index. A log comes into being with its first entry.

        Raises whatever the caller's ``signers`` raises for a log that has no key: an entry that
        could not be signed for must not get in, and only the work that brought it fails.
        """
        if not 0 < len(entry) <= LOG_ENTRY_BYTES_MAX:
            raise Invalid(
                "ledger.entry",
                f"Expected an entry of 1 to {LOG_ENTRY_BYTES_MAX} bytes, got {len(entry)}.",
            )
        head = self._head(log)
        index = head.edge.size + len(head.leaves)
        self._db.execute(
            'INSERT INTO entry (log, "index", data) VALUES (?, ?, ?)', (head.number, index, entry)
        )
        head.leaves.append(leaf_hash(entry))
        self._appended.append(head)
        return index

    def _head(self, log: str) -> _Head:
        head = self._heads.get(log)
        if head is None:
            signer = self._signer_of(log)
            self._db.execute(
                "INSERT INTO log (name, size, root) VALUES (?, 0, ?)", (log, EMPTY_ROOT)
            )
            head = _Head(self._db.last_insert_rowid(), log, EMPTY, EMPTY_ROOT, signer, [])
            self._heads[log] = head
            self._created.append(log)
        elif head.signer is None:
            head.signer = self._signer_of(log)
        return head

    def undo(self, mark: tuple[int, int] = (0, 0)) -> None:
        """Forget what was appended since the mark; the database undoes the rest."""
        for head, edge, root in self._sealed:
            head.edge, head.root = edge, root
        self._sealed.clear()
        appended, created = mark
        while len(self._appended) > appended:
            self._appended.pop().leaves.pop()
        while len(self._created) > created:
            del self._heads[self._created.pop()]

    def seal(self) -> None:
        """Grow the trees by the waiting leaves, and write tiles and one checkpoint for each.

        Raises ``Broken`` if a stored checkpoint is not the one that this process wrote last.
        """
        for head in {head.number: head for head in self._appended}.values():
            self._seal_one(head)

    def _seal_one(self, head: _Head) -> None:
        old, (new, levels) = head.edge, grow(head.edge, head.leaves)
        for level, hashes in enumerate(levels):
            self._write_tiles(head.number, level, old.size >> _HEIGHT * level, hashes)
        checkpoint = Checkpoint(head.log, new.size, new.root())
        assert head.signer is not None  # ``_head`` gave it one before any entry
        note = sign_checkpoint(checkpoint, head.signer).encode()
        # The compare-and-swap: the row must still be what this process committed last. The
        # transaction holds the write lock, so nobody can come between this and the commit.
        self._db.execute(
            "UPDATE log SET size = ?, root = ?, note = ? WHERE name = ? AND size = ? AND root = ?",
            (new.size, checkpoint.root, note, head.log, old.size, head.root),
        )
        if self._db.changes() != 1:
            raise Broken(
                "ledger.swapped",
                f"Expected ledger {head.log} to end at {old.size} entries, got another head.",
                hint="The file was changed from outside. Do not continue this ledger.",
            )
        self._sealed.append((head, old, head.root))
        head.edge, head.root = new, checkpoint.root

    def _write_tiles(self, number: int, level: int, filled: int, hashes: bytes) -> None:
        """Append hashes to a level that has ``filled``. Only the widest form of a tile is kept:
        narrower ones are its beginnings."""
        index, used = divmod(filled, _WIDTH)
        if used:
            begun = read_tile(self._db, number, level, index)
            if len(begun) != used * _HASH:
                raise Broken(
                    "ledger.tile",
                    f"Expected {used} hashes in tile {level}/{index}, got {len(begun) // _HASH}.",
                )
            hashes = begun + hashes
        self._db.executemany(
            'INSERT INTO tile (log, level, "index", hashes) VALUES (?, ?, ?, ?)'
            " ON CONFLICT DO UPDATE SET hashes = excluded.hashes",
            [
                (number, level, index + i, hashes[i * _TILE_BYTES : (i + 1) * _TILE_BYTES])
                for i in range(-(-len(hashes) // _TILE_BYTES))
            ],
        )

    def keep(self) -> None:
        """The transaction is committed: what waited is in the tree."""
        for head in self._appended:
            head.leaves.clear()
        self._appended.clear()
        self._created.clear()
        self._sealed.clear()
