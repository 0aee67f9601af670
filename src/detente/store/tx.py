"""One work's part of a durable transaction."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from detente.errors import Conflict, Missing
from detente.ports import (
    ActRow,
    CollectionState,
    CredentialRow,
    DerivedRow,
    DocumentRow,
    FeedRow,
    LinkRow,
    NewItem,
    Opening,
    PageRow,
    PeerRow,
    StatusRow,
)
from detente.store.blocks import BlockCache, BlockWriter
from detente.store.places import Tail, known, same_version, singles
from detente.store.query import row, value
from detente.store.sequencer import Sequencer
from detente.store.view import SQLiteView, columns

__all__ = ["SQLiteTx"]


def _put(form: type[msgspec.Struct], table: str, rest: str = "", more: tuple[str, ...] = ()) -> str:
    names = ", ".join((columns(form), *more))
    marks = ", ".join("?" * len((*form.__struct_fields__, *more)))
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) {rest}"  # noqa: S608  # constants only


def _update(form: type[msgspec.Struct], *key: str) -> str:
    sets = ", ".join(
        f'"{name}" = excluded."{name}"' for name in form.__struct_fields__ if name not in key
    )
    return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets}"


_DOCUMENT = _put(DocumentRow, "document", "ON CONFLICT (digest) DO NOTHING")
_ACT = _put(ActRow, "act")
_FEED = _put(FeedRow, "feed", _update(FeedRow, "collection", "party"))
_CREDENTIAL = _put(CredentialRow, "credential", _update(CredentialRow, "name"))
_PEER = _put(PeerRow, "peer", _update(PeerRow, "party", "agreement"))
_STATUS = _put(StatusRow, "status", _update(StatusRow, "id"))
_LINK = _put(LinkRow, "link", _update(LinkRow, "use", "name"))
_DERIVED = _put(DerivedRow, "derived")
_PAGE = _put(PageRow, "page", more=("span",))


class SQLiteTx(SQLiteView):
    """``ports.Tx`` over the writer's connection. It reads its own writes."""

    def __init__(
        self,
        connection: apsw.Connection,
        cache: BlockCache,
        sequencer: Sequencer,
        tail: Tail,
    ) -> None:
        super().__init__(connection, cache)
        newest = value(connection, int, "SELECT max(id) FROM block") or 0
        self.blocks = BlockWriter(connection, cache, newest + 1)
        self._blocks = self.blocks
        self._sequencer = sequencer
        self._tail = tail

    def _insert(self, query: str, record: msgspec.Struct, *more: int) -> None:
        self._db.execute(query, (*msgspec.structs.astuple(record), *more))

    # --- acts and documents ---------------------------------------------------------------

    def put_meta(self, key: str, value: str) -> None:
        """Set a value by name."""
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def put_document(self, row: DocumentRow) -> None:
        """Keep a document; the same digest again changes nothing."""
        self._insert(_DOCUMENT, row)

    def put_act(self, row: ActRow) -> None:
        """Record an act behind all others."""
        self._insert(_ACT, row)

    # --- collections ----------------------------------------------------------------------

    def _open_collection(self, key: str) -> tuple[int, int, int]:
        """Number, end and last time of a collection; makes it if it is new."""
        query = 'SELECT number, "end", last_us FROM collection WHERE key = ?'
        found = row(self._db, tuple[int, int, int], query, key)
        if found is None:
            self._db.execute(
                'INSERT INTO collection (key, "end", last_us, indexed) VALUES (?, 0, 0, 0)', (key,)
            )
            found = (self._db.last_insert_rowid(), 0, 0)
        return found

    def intern(self, key: str, handling: bytes) -> tuple[int, bool]:
        """The number of a handling in a collection, and whether it was new."""
        found = self.number_of(key, handling)
        if found is not None:
            return found, False
        number, _, _ = self._open_collection(key)
        query = "SELECT max(number) FROM handling WHERE collection = ?"
        new = (value(self._db, int, query, number) or 0) + 1
        self._db.execute("INSERT INTO handling VALUES (?, ?, ?)", (number, new, handling))
        return new, True

    def known(self, key: str, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[int | None]:
        """For each (object key, version mark, SHA-256) the newest entry with all, or None."""
        number = self._number(key)
        if not number:
            return [None] * len(items)
        return known(self._db, self._blocks, self._tail, number, items)

    def singles(self, key: str, object_keys: Sequence[bytes]) -> dict[bytes, int | None]:
        """For each of these objects that has any entry: its one entry, or None for several."""
        number = self._number(key)
        return singles(self._db, self._tail, number, object_keys) if number else {}

    def same_version(self, key: str, items: Sequence[tuple[bytes, bytes]]) -> list[list[int]]:
        """For each (object key, version mark) the entries that have both."""
        number = self._number(key)
        return same_version(self._db, self._tail, number, items) if number else [[] for _ in items]

    def append_items(self, key: str, items: Sequence[NewItem], now_us: int) -> CollectionState:
        """Append in order, at ``max(now, last + 1)`` and the microseconds behind it."""
        number, end, last_us = self._open_collection(key)
        if items:
            first_us = max(now_us, last_us + 1)
            names = self.blocks.append(number, end, first_us, items)
            self._tail.add(number, end, *names)
            end, last_us = end + len(items), first_us + len(items) - 1
            self._db.execute(
                'UPDATE collection SET "end" = ?, last_us = ? WHERE number = ?',
                (end, last_us, number),
            )
        return CollectionState(key=key, end=end, last_us=last_us)

    def put_twins(self, key: str, seqs: Sequence[int]) -> None:
        """Note entries as those of objects that have more than one."""
        number, _, _ = self._open_collection(key)
        self._db.executemany(
            "INSERT OR IGNORE INTO twin VALUES (?, ?)", [(number, seq) for seq in seqs]
        )

    def put_recalled(self, key: str, entries: Sequence[tuple[int, int]]) -> None:
        """Note entries as taken back by their originator."""
        number, _, _ = self._open_collection(key)
        self._db.executemany(
            "INSERT OR IGNORE INTO recalled VALUES (?, ?, ?)",
            [(number, seq, handling) for seq, handling in entries],
        )

    def put_derived(self, row: DerivedRow) -> None:
        """Note an item as made from another."""
        self._insert(_DERIVED, row)

    def move_clock(self, key: str, past_us: int) -> None:
        """No later entry gets a time at or below ``past_us``."""
        number, _, _ = self._open_collection(key)
        self._db.execute(
            "UPDATE collection SET last_us = max(last_us, ?) WHERE number = ?", (past_us, number)
        )

    # --- feeds and pages ------------------------------------------------------------------

    def put_feed(self, row: FeedRow) -> None:
        """Write what one party can read of one collection."""
        self._insert(_FEED, row)

    def put_page(self, row: PageRow) -> None:
        """Record a page. Raises ``Conflict`` if its entry has one already."""
        if self.page(row.log, row.index) is not None:
            raise Conflict("page.exists", f"Expected no page at {row.log} {row.index}, got one.")
        self._insert(_PAGE, row, (row.high - row.low).bit_length())

    def end_page(self, log: str, index: int, outcome: str, receipt: str | None = None) -> None:
        """Record how a page ended; a receipt once recorded stays."""
        self._db.execute(
            "UPDATE page SET outcome = ?, receipt = coalesce(?, receipt)"
            ' WHERE log = ? AND "index" = ?',
            (outcome, receipt, log, index),
        )
        if self._db.changes() != 1:
            raise Missing("page.unknown", f"Expected a page at {log} {index}, got none.")

    def put_passed(self, key: str, party: str, seqs: Sequence[int]) -> None:
        """Note entries as passed over for a party."""
        self._db.executemany(
            "INSERT OR IGNORE INTO passed (collection, party, seq) VALUES (?, ?, ?)",
            [(key, party, seq) for seq in seqs],
        )

    def drop_passed(self, numbers: Sequence[int]) -> None:
        """Forget rows of entries passed over."""
        self._db.executemany("DELETE FROM passed WHERE row = ?", [(number,) for number in numbers])

    # --- ledgers --------------------------------------------------------------------------

    def append_entry(self, log: str, entry: bytes) -> int:
        """Put an entry into a ledger; its index. The checkpoint follows in the same commit."""
        return self._sequencer.append(log, entry)

    def put_opening(self, log: str, index: int, opening: Opening) -> None:
        """Keep what opens the commitment of an entry."""
        self._db.execute(
            "INSERT INTO opening VALUES (?, ?, ?, ?, ?)",
            (self._log(log), index, opening.salt, opening.media, opening.payload),
        )

    def put_cosigned(self, log: str, size: int, note: bytes) -> None:
        """Keep a cosigned checkpoint, unless a newer one is kept."""
        self._db.execute(
            "UPDATE log SET cosigned_size = ?1, cosigned_note = ?2"
            " WHERE number = ?3 AND coalesce(cosigned_size, 0) <= ?1",
            (size, note, self._log(log)),
        )

    def _log(self, log: str) -> int:
        found = value(self._db, int, "SELECT number FROM log WHERE name = ?", log)
        if found is None:
            raise Missing("ledger.unknown", f"Expected a ledger {log}, got none.")
        return found

    # --- clients and partners -------------------------------------------------------------

    def put_credential(self, row: CredentialRow) -> None:
        """Write a TAXII client."""
        self._insert(_CREDENTIAL, row)

    def put_peer(self, row: PeerRow) -> None:
        """Write a partner's gateway."""
        self._insert(_PEER, row)

    def put_receipt(self, party: str, agreement: str, envelope: bytes) -> None:
        """Keep a receipt that is to be brought to a partner."""
        self._db.execute(
            "INSERT INTO receipt (party, agreement, envelope) VALUES (?, ?, ?)",
            (party, agreement, envelope),
        )

    def drop_receipts(self, numbers: Sequence[int]) -> None:
        """Forget receipts."""
        self._db.executemany("DELETE FROM receipt WHERE row = ?", [(number,) for number in numbers])

    def put_status(self, row: StatusRow) -> None:
        """Write a TAXII status resource."""
        self._insert(_STATUS, row)

    def put_link(self, row: LinkRow) -> None:
        """Write a source or a sink."""
        self._insert(_LINK, row)

    def drop_link(self, use: str, name: str) -> bool:
        """Forget a source or a sink."""
        self._db.execute("DELETE FROM link WHERE use = ? AND name = ?", (use, name))
        return self._db.changes() == 1
