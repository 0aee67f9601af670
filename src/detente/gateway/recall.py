"""Recall: an originator takes objects back. No erasure in secret: what was given stays on the
record, and the recall is an entry of its own (R49; TAXII 2.1, 5.7, DELETE).

From then on nobody reads the object here any more, the node's own party included. Its bytes stay
in the store until they are erased by order; what partners have received is theirs to handle, and
they are told.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from detente.errors import Missing, NotAuthorised
from detente.gateway.bell import Ring
from detente.gateway.book import Book, collection_key
from detente.gateway.feeds import decode_feed, encode_feed
from detente.gateway.gate import Gate
from detente.gateway.versions import VersionPicker, Versions
from detente.model import object_key
from detente.model.names import Record
from detente.ports import FeedRow, Tx, View
from detente.proof import leaf_hash, root_of
from detente.rules.feed import recall

__all__ = ["RecallAsk", "Recalled", "Recalls", "recalled_entries"]


class RecallAsk(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes back which versions of which object; ``versions`` None: all of them."""

    agreement: str
    collection: str
    party: str
    id: str
    versions: Versions | None = None


class Recalled(Record, frozen=True, kw_only=True):
    """How many versions were taken back, and the entry that says so."""

    id: str
    agreement: str
    collection: str
    count: int
    entry: int


class Recalls:
    """Takes objects out of every feed of a collection, in one durable transaction."""

    def __init__(self, book: Book, gate: Gate, changed: Ring) -> None:
        self._book = book
        self._gate = gate
        self._changed = changed

    async def recall(self, ask: RecallAsk) -> Recalled:
        """Take the object back; answers when it is on disk.

        Refuses another party than the collection's sender (``NotAuthorised``), and an object or
        version that is not there or was taken back before (``Missing``).
        """
        await self._gate.settled(ask.agreement)
        current = self._gate.current(ask.agreement)
        terms = current.standing.agreement if current else None
        collection = terms.collection(ask.collection) if terms else None
        if collection is None:
            raise Missing("collection.unknown", f"Expected a collection, got {ask.collection}.")
        if collection.sender != ask.party:
            raise NotAuthorised(
                "recall.not-originator",
                f"Expected {collection.sender} to take back what it published, got {ask.party}.",
            )
        count, entry = await self._book.store.write(lambda tx: self._work(tx, ask))
        self._changed(ask.agreement, ask.collection)
        return Recalled(
            id=ask.id,
            agreement=ask.agreement,
            collection=ask.collection,
            count=count,
            entry=entry,
        )

    def _work(self, tx: Tx, ask: RecallAsk) -> tuple[int, int]:
        book = self._book
        key = collection_key(ask.agreement, ask.collection)
        found = self._entries(tx, key, ask)
        if not found:
            raise Missing("item.unknown", f"Expected an object of this collection, got {ask.id}.")
        for row in tx.feeds(key):
            if row.collection != key:
                continue
            feed = decode_feed(row.value)
            for seq, number, _ in found:
                feed = recall(feed, number, seq)
            tx.put_feed(FeedRow(collection=key, party=row.party, value=encode_feed(feed)))
        root = root_of([leaf_hash(digest) for _, _, digest in found])
        entry, _ = book.write_root_entry(
            tx,
            book.me.log_of(ask.agreement),
            "recall",
            root,
            collection=ask.collection,
            party=ask.party,
            count=len(found),
        )
        return len(found), entry

    def _entries(self, tx: Tx, key: str, ask: RecallAsk) -> list[tuple[int, int, bytes]]:
        """Sequence number, handling and digest of every entry that is meant."""
        gone = recalled_entries(tx, key, self._book.me.party)
        row = tx.feed(key, self._book.me.party)
        picker = (
            None
            if ask.versions is None or row is None
            else VersionPicker(tx, key, decode_feed(row.value), ask.versions)
        )
        found = []
        for seq in tx.find(key, object_key(ask.id)):
            block = tx.block(key, seq)
            if block is None or seq in gone or (picker and not picker.fits(block, seq)):
                continue
            at = seq - block.first
            found.append((seq, block.handlings[at], block.digests[at * 32 : at * 32 + 32]))
        return found


class _Ranges:
    """Whether a sequence number lies in one of some ranges."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._starts = [a for a, _ in ranges]
        self._ends = [b for _, b in ranges]

    def __contains__(self, seq: object) -> bool:
        if not isinstance(seq, int):
            return False
        at = bisect_right(self._starts, seq) - 1
        return at >= 0 and seq < self._ends[at]

    def __bool__(self) -> bool:
        return bool(self._starts)


def recalled_entries(view: View, key: str, own: str) -> _Ranges:
    """The entries of a collection that were taken back. All feeds agree on them; this looks at
    that of the node's own party."""
    row = view.feed(key, own)
    stays = decode_feed(row.value).stays if row else ()
    return _Ranges(sorted((stay.a, stay.b) for stay in stays if stay.state == "recalled"))
