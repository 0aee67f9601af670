"""Feeds in the store: deciding each handling for each party, and bringing feeds to a standing.

``rules.decision`` decides and ``rules.feed`` moves ranges; here they are joined to what is stored,
inside one transaction of the caller. Costs go with handlings and parties, never with items.
"""

from __future__ import annotations

import msgspec

from detente.gateway.book import Book, collection_key, split_key
from detente.gateway.gate import Current
from detente.model import Agreement, Collection, Handling, decode
from detente.ports import FeedRow, Tx, View
from detente.rules.decision import Decision, decide
from detente.rules.feed import (
    Feed,
    Outcome,
    Range,
    change,
    expire,
    open_feed,
    ranges,
)

__all__ = [
    "Change",
    "change_feeds",
    "count_of",
    "covered_by",
    "decide_for",
    "decode_feed",
    "encode_feed",
    "expire_feeds",
    "feed_parties",
    "has_feed",
]


#: Outcomes under which some entry of a handling may be read.
_READABLE = ("moderate", "release")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A standing to bring feeds to: whose node, which standing, when."""

    current: Current
    party: str
    now_us: int


def encode_feed(feed: Feed) -> bytes:
    """The stored form of a feed."""
    return msgspec.json.encode(feed)


def decode_feed(value: bytes) -> Feed:
    """A feed from its stored form, which only this node has written."""
    return msgspec.json.decode(value, type=Feed)


def feed_parties(agreement: Agreement, own: str) -> list[tuple[str, str]]:
    """Every (collection name, party) that has a feed on this node: the readers of what the node
    sends or keeps for others; its own party's, which reads its own copy; and that of a sender
    without a gateway that is named among its own readers, which reads back what it wrote."""
    return [
        (collection.name, party)
        for collection in agreement.collections
        for party in sorted({own, collection.sender, *collection.readers})
        if _reads(collection, own, party)
    ]


def has_feed(agreement: Agreement, own: str, collection: str, party: str) -> bool:
    """True if the party has a feed of that collection on this node (as in ``feed_parties``)."""
    found = agreement.collection(collection)
    return found is not None and found.name == collection and _reads(found, own, party)


def _reads(collection: Collection, own: str, party: str) -> bool:
    if own != collection.sender and own not in collection.readers:
        return False
    if party == own:
        return True
    return party in collection.readers and (own == collection.sender or party == collection.sender)


def decide_for(current: Current, handling: Handling, *, own: str, party: str) -> Decision:
    """The decision for one handling towards one party that reads at this node. What a party
    wrote itself is its own, whoever keeps it."""
    terms = current.standing.agreement
    collection = terms.collection(handling.collection) if terms else None
    wrote = collection is not None and collection.sender == party
    return decide(current.standing, handling, sender=party if wrote else own, recipient=party)


def _outcomes(
    handlings: dict[int, Handling], current: Current, own: str, party: str
) -> dict[int, Outcome]:
    return {
        number: decide_for(current, handling, own=own, party=party).outcome
        for number, handling in handlings.items()
    }


def _handlings(view: View, key: str) -> dict[int, Handling]:
    return {number: decode(data, Handling) for number, data in view.handlings(key).items()}


def covered_by(view: View, current: Current, own: str) -> dict[tuple[str, str], frozenset[int]]:
    """For each feed: the handlings that it released and the new standing does not."""
    found = {}
    for row in view.feeds(collection_key(current.agreement, "")):
        before = decode_feed(row.value)
        after = _outcomes(_handlings(view, row.collection), current, own, row.party)
        lost = frozenset(
            number
            for number, outcome in before.outcomes
            if outcome in _READABLE and after.get(number) not in _READABLE
        )
        if lost:
            found[(row.collection, row.party)] = lost
    return found


def change_feeds(tx: Tx, change_: Change, book: Book) -> list[bytes]:
    """Bring every feed of the agreement to the standing; the ledger entries this makes.

    What has expired is moved out first, so that a resumption cannot release it, and again
    afterwards: what is kept back from now on may have outlived its time already (R27). A party
    that an agreement leaves out keeps its feed, in which everything is refused.
    """
    agreement = change_.current.standing.agreement
    if agreement is None:
        return []
    entries: list[bytes] = []
    clocks: dict[str, int] = {}
    prefix = collection_key(agreement.id, "")
    stored = {(row.collection, row.party): decode_feed(row.value) for row in tx.feeds(prefix)}
    named = [
        (collection_key(agreement.id, name), party)
        for name, party in feed_parties(agreement, change_.party)
    ]
    shelves = {key: _Shelf(tx, key, change_) for key in dict.fromkeys(k for k, _ in named)}
    for key, party in dict.fromkeys((*named, *stored)):
        shelf = shelves.setdefault(key, _Shelf(tx, key, change_))
        outcomes = _outcomes(shelf.handlings, change_.current, change_.party, party)
        before = stored.get((key, party))
        feed, told = shelf.expired(before or open_feed(outcomes), party, book)
        feed, clock_us = change(
            feed,
            outcomes,
            end=shelf.end,
            base_us=max(change_.now_us, shelf.last_us + 1),
            review=shelf.reviewed,
        )
        feed, more = shelf.expired(feed, party, book)
        entries += told + more
        if feed != before:
            tx.put_feed(FeedRow(collection=key, party=party, value=encode_feed(feed)))
            clocks[key] = max(clocks.get(key, 0), clock_us)
    for key, clock_us in clocks.items():
        # Late blocks of several parties may overlap in time: each is readable by its own party
        # only. Entries to come are later than all of them.
        tx.move_clock(key, clock_us - 1)
    return entries


def expire_feeds(view: View, change_: Change, book: Book) -> list[tuple[FeedRow, list[bytes]]]:
    """The feeds in which something kept back has outlived its kind's time, as they become, with
    the ledger entries that record it. Nothing is written here."""
    agreement = change_.current.standing.agreement
    if agreement is None or not any(kind.expire_after_ms for kind in agreement.kinds):
        return []
    found = []
    shelves: dict[str, _Shelf] = {}
    for row in view.feeds(collection_key(agreement.id, "")):
        before = decode_feed(row.value)
        if row.collection not in shelves:
            shelves[row.collection] = _Shelf(view, row.collection, change_)
        feed, entries = shelves[row.collection].expired(before, row.party, book)
        if feed != before:
            new = FeedRow(collection=row.collection, party=row.party, value=encode_feed(feed))
            found.append((new, entries))
    return found


def count_of(view: View, key: str, one: Range) -> int:
    """How many entries a range of a feed has, without those that were taken back."""
    found = view.count(key, one.handling, one.a, one.b)
    return found and found - view.count_recalled(key, one.handling, one.a, one.b)


class _Shelf:
    """One collection as its feeds are brought to a standing: read once for all parties."""

    def __init__(self, view: View, key: str, change_: Change) -> None:
        self._view, self._key = view, key
        state = view.collection(key)
        self.end, self.last_us = state.end, state.last_us
        self.handlings = _handlings(view, key)
        terms = change_.current.standing.agreement
        kinds = {kind.id: kind for kind in terms.kinds} if terms else {}
        self.reviewed = frozenset(
            number
            for number, handling in self.handlings.items()
            if handling.kind in kinds and kinds[handling.kind].held == "review"
        )
        #: For each handling that loses its worth in hold: the first entry still young enough.
        self._young: dict[int, int] = {}
        for number, handling in self.handlings.items():
            kind = kinds.get(handling.kind)
            if kind is not None and kind.expire_after_ms is not None:
                old_us = change_.now_us - kind.expire_after_ms * 1000
                self._young[number] = view.seq_after(key, old_us)

    def expired(self, feed: Feed, party: str, book: Book) -> tuple[Feed, list[bytes]]:
        """The feed without what has been kept back for too long, and the entries that say so."""
        entries: list[bytes] = []
        waiting = {stay.handling for stay in feed.stays if stay.state == "held"}
        for number in sorted(waiting & self._young.keys()):
            upto = self._young[number]
            count = sum(
                count_of(self._view, self._key, one)
                for one in ranges(feed, upto)
                if one.handling == number and one.state == "held"
            )
            if count:
                feed = expire(feed, number, upto)
                entries.append(
                    book.entry(
                        "expire",
                        collection=split_key(self._key)[1],
                        party=party,
                        kind=self.handlings[number].kind,
                        count=count,
                    )
                )
        return feed, entries
