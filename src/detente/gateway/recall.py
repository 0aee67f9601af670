"""Recall: an originator takes objects back. No erasure in secret: what was given stays on the
record, and the recall is an entry of its own (R49; TAXII 2.1, 5.7, DELETE).

From the answer on nobody reads the object here any more, the node's own party included: pages
that were gathered before do not leave, and those under way are broken off. Its bytes stay
in the store until they are erased by order; what partners have received is theirs to handle, and
they are told.
"""

from __future__ import annotations

import asyncio

import msgspec

from detente.errors import Missing, NotAuthorised
from detente.gateway.bell import Ring
from detente.gateway.book import Book, collection_key
from detente.gateway.feeds import decode_feed
from detente.gateway.gate import Gate
from detente.gateway.versions import VersionPicker, Versions
from detente.model import object_key
from detente.model.names import Record
from detente.ports import Tx, View
from detente.proof import leaf_hash, root_of

__all__ = ["RecallAsk", "Recalled", "RecalledEntries", "Recalls", "recalls_of"]


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
    """Takes objects out of every feed of a collection at once."""

    def __init__(self, book: Book, gate: Gate, changed: Ring) -> None:
        self._book = book
        self._gate = gate
        self._changed = changed

    async def recall(self, ask: RecallAsk) -> Recalled:
        """Take the object back; answers when it is on disk and no byte of it leaves any more.

        Refuses another party than the collection's sender (``NotAuthorised``), and an object or
        version that is not there or was taken back before (``Missing``). Who asks and goes away
        breaks nothing off between the record and the gate.
        """
        return await asyncio.shield(asyncio.ensure_future(self._recall(ask)))

    async def _recall(self, ask: RecallAsk) -> Recalled:
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
        done, number, handlings = await self._book.store.write(lambda tx: self._work(tx, ask))
        key = collection_key(ask.agreement, ask.collection)
        await self._gate.recall(ask.agreement, key, number, handlings)
        self._changed(ask.agreement, ask.collection)
        return done

    def _work(self, tx: Tx, ask: RecallAsk) -> tuple[Recalled, int, frozenset[int]]:
        """Write it: what was done, the number of the recall, and the handlings it is about."""
        book = self._book
        key = collection_key(ask.agreement, ask.collection)
        found = self._entries(tx, key, ask)
        if not found:
            raise Missing("item.unknown", f"Expected an object of this collection, got {ask.id}.")
        tx.put_recalled(key, [(seq, number) for seq, number, _ in found])
        recalls = recalls_of(tx, key) + 1
        tx.put_meta(_recalls_key(key), str(recalls))
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
        done = Recalled(
            id=ask.id,
            agreement=ask.agreement,
            collection=ask.collection,
            count=len(found),
            entry=entry,
        )
        return done, recalls, frozenset(number for _, number, _ in found)

    def _entries(self, tx: Tx, key: str, ask: RecallAsk) -> list[tuple[int, int, bytes]]:
        """Sequence number, handling and digest of every entry that is meant."""
        gone = RecalledEntries(tx, key)
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


class RecalledEntries:
    """Whether a sequence number is of an entry that was taken back."""

    def __init__(self, view: View, key: str) -> None:
        self._view, self._key = view, key
        self._any = recalls_of(view, key) > 0

    def __contains__(self, seq: object) -> bool:
        return isinstance(seq, int) and bool(self and self._view.recalled(self._key, seq, seq + 1))

    def __bool__(self) -> bool:
        return self._any


def _recalls_key(key: str) -> str:
    return f"recalls/{key}"


def recalls_of(view: View, key: str) -> int:
    """How many recalls a collection has seen: a page gathered before the last may not leave."""
    return int(view.meta(_recalls_key(key)) or 0)
