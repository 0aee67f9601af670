"""A consistent look at the store through one connection, inside one transaction."""

from __future__ import annotations

from array import array
from typing import TypeVar

import apsw
import msgspec

from detente.errors import Missing
from detente.ports import (
    ActRow,
    Block,
    CollectionState,
    CredentialRow,
    DerivedRow,
    DocumentRow,
    FeedRow,
    LinkRow,
    Opening,
    PageRow,
    PassedRow,
    PeerRow,
    StatusRow,
)
from detente.store.blocks import BlockCache, BlockReader
from detente.store.places import find
from detente.store.query import row, rows, value
from detente.store.sequencer import read_tile

__all__ = ["SQLiteView", "columns"]

R = TypeVar("R", bound=msgspec.Struct)

#: No page spans 2**62 entries.
_SPANS = 63


def columns(form: type[msgspec.Struct]) -> str:
    """The columns of a record, in the order of its fields."""
    return ", ".join(f'"{name}"' for name in form.__struct_fields__)


def _select(form: type[msgspec.Struct], table: str, rest: str) -> str:
    return f"SELECT {columns(form)} FROM {table} {rest}"  # noqa: S608  # constants only


_DOCUMENT = _select(DocumentRow, "document", "WHERE digest = ?")
_DOCUMENTS = _select(DocumentRow, "document", "WHERE use = ? ORDER BY row")
_DOCUMENTS_OF = _select(DocumentRow, "document", "WHERE use = ? AND agreement = ? ORDER BY row")
_ACTS = _select(ActRow, "act", "WHERE agreement = ? ORDER BY row")
_FEED = _select(FeedRow, "feed", "WHERE collection = ? AND party = ?")
_FEEDS = _select(FeedRow, "feed", "WHERE collection >= ? AND collection < ? ORDER BY row")
_FEEDS_ALL = _select(FeedRow, "feed", "ORDER BY row")
_PAGE = _select(PageRow, "page", 'WHERE log = ? AND "index" = ?')
_PAGES_IN = _select(PageRow, "page", "WHERE row IN (SELECT value FROM carray(?)) ORDER BY row")
_PAGES_OPEN = _select(PageRow, "page", "WHERE outcome = 'open' ORDER BY row")
_PAGES = _select(PageRow, "page", "WHERE collection = ? AND party = ? ORDER BY row")
_NEWEST_PAGES = _select(
    PageRow, "page", "WHERE collection = ? AND party = ? ORDER BY row DESC LIMIT ?"
)
_PASSED = _select(
    PassedRow, "passed", "WHERE collection >= ? AND collection < ? AND row > ? ORDER BY row LIMIT ?"
)
_DERIVED = {
    True: _select(DerivedRow, "derived", "WHERE parent = ? ORDER BY row LIMIT ?"),
    False: _select(DerivedRow, "derived", "WHERE child = ? ORDER BY row LIMIT ?"),
}
_CREDENTIAL = _select(CredentialRow, "credential", "WHERE name = ?")
_CREDENTIALS = _select(CredentialRow, "credential", "ORDER BY row")
_PEERS = _select(PeerRow, "peer", "ORDER BY row")
_STATUS = _select(StatusRow, "status", "WHERE id = ?")
_LINK = _select(LinkRow, "link", "WHERE use = ? AND name = ?")
_LINKS = _select(LinkRow, "link", "WHERE use = ? ORDER BY row")

_OF_LOG = "WHERE log = (SELECT number FROM log WHERE name = ?)"
_OPENING = _select(Opening, "opening", f'{_OF_LOG} AND "index" = ?')
_NEWEST = f'SELECT max("index") FROM entry {_OF_LOG}'  # noqa: S608  # a constant
_ENTRIES = f'SELECT data FROM entry {_OF_LOG} AND "index" >= ? AND "index" < ? ORDER BY "index"'  # noqa: S608  # a constant


class SQLiteView:
    """``ports.View`` over one connection. What it reads is settled: the caller holds a
    transaction open around it."""

    def __init__(self, connection: apsw.Connection, cache: BlockCache) -> None:
        self._db = connection
        self._blocks = BlockReader(connection, cache)

    def _rows(self, form: type[R], query: str, *values: apsw.SQLiteValue) -> list[R]:
        names = form.__struct_fields__
        return [
            form(**dict(zip(names, one, strict=True)))
            for one in self._db.execute(query, values).fetchall()
        ]

    def _row(self, form: type[R], query: str, *values: apsw.SQLiteValue) -> R | None:
        found = self._rows(form, query, *values)
        return found[0] if found else None

    # --- acts and documents ---------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """A value by name."""
        return value(self._db, str, "SELECT value FROM meta WHERE key = ?", key)

    def document(self, digest: str) -> DocumentRow | None:
        """A document by the digest of its payload."""
        return self._row(DocumentRow, _DOCUMENT, digest)

    def documents(self, *, use: str, agreement: str | None = None) -> list[DocumentRow]:
        """All documents of a use, of one agreement or of all."""
        if agreement is None:
            return self._rows(DocumentRow, _DOCUMENTS, use)
        return self._rows(DocumentRow, _DOCUMENTS_OF, use, agreement)

    def acts(self, agreement: str) -> list[ActRow]:
        """The acts of an agreement; those of none (charters) under the empty name."""
        return self._rows(ActRow, _ACTS, agreement)

    def agreements(self) -> list[str]:
        """The ids of all agreements that have an act."""
        query = "SELECT agreement FROM act WHERE agreement != '' GROUP BY 1 ORDER BY min(row)"
        return [name for (name,) in rows(self._db, tuple[str], query)]

    # --- collections ----------------------------------------------------------------------

    def _number(self, key: str) -> int:
        """The number of a collection; 0, which none has, before its first entry."""
        return value(self._db, int, "SELECT number FROM collection WHERE key = ?", key) or 0

    def collection(self, key: str) -> CollectionState:
        """The state of a collection; one without entries is empty, not missing."""
        query = 'SELECT "end", last_us FROM collection WHERE key = ?'
        end, last_us = row(self._db, tuple[int, int], query, key) or (0, 0)
        return CollectionState(key=key, end=end, last_us=last_us)

    def block(self, key: str, seq: int) -> Block | None:
        """The block that holds an entry, or None behind the end."""
        return self._blocks.block(self._number(key), seq)

    def seq_after(self, key: str, added_us: int) -> int:
        """The first entry later than a time; the end if there is none."""
        found = self._blocks.seq_after(self._number(key), added_us)
        return self.collection(key).end if found is None else found

    def find(self, key: str, object_key: bytes) -> list[int]:
        """The entries of all versions of one object."""
        number = self._number(key)
        return find(self._db, self._blocks, number, object_key) if number else []

    def twins(self, key: str, a: int, b: int) -> list[int]:
        """The entries ``a <= seq < b`` of objects that have more than one entry."""
        query = "SELECT seq FROM twin WHERE collection = ? AND seq >= ? AND seq < ? ORDER BY seq"
        return [seq for (seq,) in rows(self._db, tuple[int], query, self._number(key), a, b)]

    def recalled(self, key: str, a: int, b: int) -> list[int]:
        """The entries that their originator took back."""
        query = (
            "SELECT seq FROM recalled WHERE collection = ? AND seq >= ? AND seq < ? ORDER BY seq"
        )
        return [seq for (seq,) in rows(self._db, tuple[int], query, self._number(key), a, b)]

    def count_recalled(self, key: str, handling: int, a: int, b: int) -> int:
        """How many entries of a handling were taken back."""
        query = (
            "SELECT count(*) FROM recalled"
            " WHERE collection = ? AND handling = ? AND seq >= ? AND seq < ?"
        )
        return value(self._db, int, query, self._number(key), handling, a, b) or 0

    def count(self, key: str, handling: int, a: int, b: int) -> int:
        """How many of the entries ``a <= seq < b`` have this handling."""
        return self._blocks.count(self._number(key), handling, a, b)

    def first_of(self, key: str, handling: int, a: int) -> int | None:
        """The first entry at or after ``a`` with this handling."""
        return self._blocks.first_of(self._number(key), handling, a)

    def handlings(self, key: str) -> dict[int, bytes]:
        """The canonical bytes of each handling of a collection, by number."""
        query = "SELECT number, value FROM handling WHERE collection = ? ORDER BY number"
        return dict(rows(self._db, tuple[int, bytes], query, self._number(key)))

    def number_of(self, key: str, handling: bytes) -> int | None:
        """The number of a handling in a collection, or None if it is new there."""
        query = "SELECT number FROM handling WHERE collection = ? AND value = ?"
        return value(self._db, int, query, self._number(key), handling)

    # --- feeds and pages ------------------------------------------------------------------

    def feed(self, key: str, party: str) -> FeedRow | None:
        """What one party can read of one collection."""
        return self._row(FeedRow, _FEED, key, party)

    def feeds(self, prefix: str) -> list[FeedRow]:
        """All feeds on collections whose key begins with ``prefix``."""
        if not prefix:
            return self._rows(FeedRow, _FEEDS_ALL)
        # SQLite compares text by its UTF-8 bytes, which order as code points do.
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return self._rows(FeedRow, _FEEDS, prefix, after)

    def page(self, log: str, index: int) -> PageRow | None:
        """A page by the place of its entry."""
        return self._row(PageRow, _PAGE, log, index)

    def pages_of(self, key: str, seq: int) -> list[PageRow]:
        """The pages whose bounds contain an entry."""
        query = (
            "SELECT row FROM page"
            " WHERE collection = ? AND span = ? AND low > ? AND low <= ? AND high > ?"
        )
        found: list[int] = []
        for span in range(1, _SPANS):
            low = seq - (1 << span)
            found += [n for (n,) in rows(self._db, tuple[int], query, key, span, low, seq, seq)]
        return self._rows(PageRow, _PAGES_IN, apsw.carray(array("q", found))) if found else []

    def pages_open(self) -> list[PageRow]:
        """The pages whose outcome is not recorded yet."""
        return self._rows(PageRow, _PAGES_OPEN)

    def pages(self, key: str, party: str) -> list[PageRow]:
        """All pages of a collection for a party."""
        return self._rows(PageRow, _PAGES, key, party)

    def newest_pages(self, key: str, party: str, most: int) -> list[PageRow]:
        """The pages of a collection for a party that were begun last, at most so many."""
        return self._rows(PageRow, _NEWEST_PAGES, key, party, most)

    def passed(self, prefix: str, after: int, most: int) -> list[PassedRow]:
        """Entries passed over in collections whose key begins with ``prefix``."""
        past = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return self._rows(PassedRow, _PASSED, prefix, past, after, most)

    def derived(self, stix_id: str, *, children: bool, most: int) -> list[DerivedRow]:
        """What was made from an object, or what it was made from."""
        return self._rows(DerivedRow, _DERIVED[children], stix_id, most)

    def has_derived(self) -> bool:
        """True if anything was ever made from an object here."""
        return value(self._db, int, "SELECT 1 FROM derived LIMIT 1") is not None

    # --- ledgers --------------------------------------------------------------------------

    def log_size(self, log: str) -> int:
        """How many entries a ledger has; 0 if it does not exist."""
        found = value(self._db, int, _NEWEST, log)
        return 0 if found is None else found + 1

    def entry(self, log: str, index: int) -> bytes:
        """The bytes of an entry. Raises ``Missing`` behind the end."""
        found = self.entries(log, index, index + 1)
        if not found:
            raise Missing("ledger.entry", f"Expected entry {index} of {log}, got none.")
        return found[0]

    def entries(self, log: str, a: int, b: int) -> list[bytes]:
        """The entries ``a <= index < b``, as far as they exist."""
        return [data for (data,) in rows(self._db, tuple[bytes], _ENTRIES, log, a, b)]

    def checkpoint(self, log: str) -> bytes | None:
        """The newest signed checkpoint, as a note."""
        return value(self._db, bytes, "SELECT note FROM log WHERE name = ?", log)

    def cosignatures(self, log: str) -> tuple[int, bytes] | None:
        """Size and note of the newest checkpoint with a partner's cosignature."""
        query = (
            "SELECT cosigned_size, cosigned_note FROM log"
            " WHERE name = ? AND cosigned_size IS NOT NULL"
        )
        return row(self._db, tuple[int, bytes], query, log)

    def tile(self, log: str, level: int, index: int) -> bytes:
        """The hashes of a tile as far as it is filled; empty if it does not exist."""
        number = value(self._db, int, "SELECT number FROM log WHERE name = ?", log)
        return b"" if number is None else read_tile(self._db, number, level, index)

    def logs(self) -> list[str]:
        """The names of all ledgers that have an entry."""
        return [
            name for (name,) in rows(self._db, tuple[str], "SELECT name FROM log ORDER BY number")
        ]

    def opening(self, log: str, index: int) -> Opening | None:
        """What opens the commitment of an entry, unless it was erased."""
        return self._row(Opening, _OPENING, log, index)

    # --- clients and partners -------------------------------------------------------------

    def credential(self, name: str) -> CredentialRow | None:
        """A TAXII client by name, removed ones included."""
        return self._row(CredentialRow, _CREDENTIAL, name)

    def credentials(self) -> list[CredentialRow]:
        """All TAXII clients."""
        return self._rows(CredentialRow, _CREDENTIALS)

    def peers(self) -> list[PeerRow]:
        """All partners' gateways."""
        return self._rows(PeerRow, _PEERS)

    def receipts(self, party: str, agreement: str, most: int) -> list[tuple[int, bytes]]:
        """The oldest receipts that wait to be brought to a partner."""
        query = (
            "SELECT row, envelope FROM receipt WHERE party = ? AND agreement = ?"
            " ORDER BY row LIMIT ?"
        )
        return rows(self._db, tuple[int, bytes], query, party, agreement, most)

    def receipts_waiting(self, party: str, agreement: str) -> int:
        """How many receipts wait to be brought to a partner."""
        query = "SELECT count(*) FROM receipt WHERE party = ? AND agreement = ?"
        return value(self._db, int, query, party, agreement) or 0

    def status(self, status_id: str) -> StatusRow | None:
        """A TAXII status resource."""
        return self._row(StatusRow, _STATUS, status_id)

    def link(self, use: str, name: str) -> LinkRow | None:
        """A source or sink by name."""
        return self._row(LinkRow, _LINK, use, name)

    def links(self, use: str) -> list[LinkRow]:
        """All sources, or all sinks."""
        return self._rows(LinkRow, _LINKS, use)
