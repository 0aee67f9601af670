"""Feeds in the store: deciding each handling for each party, and bringing feeds to a standing.

``rules.decision`` decides and ``rules.feed`` moves ranges; here they are joined to what is stored,
inside one transaction of the caller. Costs go with handlings and parties, never with items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Final

import msgspec

from detente.gateway.book import Book, collection_key, split_key
from detente.gateway.gate import Current
from detente.model import Agreement, Collection, Handling, decode
from detente.model.acts import ActName
from detente.ports import FeedRow, Tx, View
from detente.rules.decision import Decision, decide, likeness
from detente.rules.fate import Outcome, narrowed
from detente.rules.feed import Feed, Grounds, Range, Resumed, change, expire, open_feed, ranges
from detente.rules.releasability import Named, named_by

__all__ = [
    "Change",
    "RESUMED",
    "Decided",
    "Foreseen",
    "Towards",
    "change_feeds",
    "count_of",
    "covered_by",
    "decide_for",
    "decode_feed",
    "encode_feed",
    "expire_feeds",
    "feed_parties",
    "foresee",
    "has_feed",
    "sender_of",
]


#: What kinds that are not given late by range turn to on resumption.
RESUMED: Final[dict[str, Resumed]] = {"return": "returned", "review": "under review"}


#: Sets have no order of their own.
_FEEDS: Final = msgspec.json.Encoder(order="deterministic")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A standing to bring feeds to: whose node, which standing, when."""

    current: Current
    party: str
    now_us: int


def encode_feed(feed: Feed) -> bytes:
    """The stored form of a feed: the same bytes for the same feed."""
    return _FEEDS.encode(feed)


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
    sender = sender_of(current, handling.collection, own, party)
    return decide(current.standing, handling, sender=sender, recipient=party)


def sender_of(current: Current, name: str, own: str, party: str) -> str:
    """From whom a party has what it reads of a collection at this node: itself, if it wrote it."""
    terms = current.standing.agreement
    collection = terms.collection(name) if terms else None
    wrote = collection is not None and collection.sender == party
    return party if wrote else own


class Towards(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided of handlings towards one party: outcomes, and what those that are moderated
    are reviewed for. Not to be changed: others that stand at the same place have it too."""

    outcomes: dict[int, Outcome]
    grounds: dict[int, Grounds]

    def of(self, number: int) -> tuple[Outcome, Grounds]:
        """Outcome and grounds of one handling; one that is not known is held."""
        return self.outcomes.get(number, "hold"), self.grounds.get(number, frozenset())


class Decided:
    """Outcomes under one standing, decided once for all parties that it does not tell apart."""

    def __init__(self, current: Current, own: str) -> None:
        self._current, self._own = current, own
        self._found: dict[tuple[str, Hashable], Towards] = {}
        self._named: dict[str, Named] = {}

    def outcomes(
        self, collection: str, handlings: Mapping[int, Handling], party: str
    ) -> dict[int, Outcome]:
        """The outcome of each of a collection's handlings towards a party, as in ``towards``."""
        return self.towards(collection, handlings, party).outcomes

    def towards(self, collection: str, handlings: Mapping[int, Handling], party: str) -> Towards:
        """What is decided of each of a collection's handlings towards a party; the same handlings
        with every call."""
        sender = sender_of(self._current, collection, self._own, party)
        standing = self._current.standing
        if collection not in self._named:
            self._named[collection] = named_by(handlings.values())
        named = self._named[collection]
        place = (collection, likeness(standing, collection, named, sender=sender, recipient=party))
        if place not in self._found:
            decisions = {
                number: decide(standing, one, sender=sender, recipient=party)
                for number, one in handlings.items()
            }
            self._found[place] = Towards(
                outcomes={number: one.outcome for number, one in decisions.items()},
                grounds={n: grounds for n, one in decisions.items() if (grounds := one.grounds)},
            )
        return self._found[place]


def _handlings(view: View, key: str) -> dict[int, Handling]:
    return {number: decode(data, Handling) for number, data in view.handlings(key).items()}


def covered_by(view: View, current: Current, own: str) -> dict[tuple[str, str], frozenset[int]]:
    """For each feed: the handlings of which some was released and the new standing releases less:
    nothing, or only what a person has passed, or passes for other reasons."""
    found: dict[tuple[str, str], frozenset[int]] = {}
    decided = Decided(current, own)
    handlings: dict[str, dict[int, Handling]] = {}
    # Feeds of parties that stand at the same place are the same bytes: looked into once.
    same: dict[tuple[bytes, int], frozenset[int]] = {}
    for row in view.feeds(collection_key(current.agreement, "")):
        key = row.collection
        if key not in handlings:
            handlings[key] = _handlings(view, key)
        after = decided.towards(split_key(key)[1], handlings[key], row.party)
        place = (row.value, id(after))
        if place not in same:
            feed = decode_feed(row.value)
            grounds = dict(feed.grounds)
            same[place] = frozenset(
                number
                for number, outcome in feed.outcomes
                if narrowed((outcome, grounds.get(number, frozenset())), after.of(number))
            )
        if same[place]:
            found[(key, row.party)] = same[place]
    return found


#: An act (``expire``, ``return``), a kind, and how many of it.
_Gone = tuple[ActName, str, int]


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """Feeds of one collection that are the same and would be moved alike: whose they are, as they
    are and as they would become. ``end`` is that of the collection."""

    collection: str
    parties: tuple[str, ...]
    before: Feed
    after: Feed
    end: int
    handlings: Mapping[int, Handling]


def foresee(view: View, change_: Change) -> list[Foreseen]:
    """What ``change_feeds`` would make of every feed there is under a standing that may never be;
    nothing is written."""
    agreement = change_.current.standing.agreement
    decided = Decided(change_.current, change_.party)
    shelves: dict[str, _Shelf] = {}
    same: dict[tuple[str, bytes, int], list[str]] = {}
    towards: dict[int, Towards] = {}
    for row in view.feeds(collection_key(agreement.id, "")) if agreement else ():
        key = row.collection
        if key not in shelves:
            shelves[key] = _Shelf(view, key, change_)
        shelf = shelves[key]
        found = decided.towards(split_key(key)[1], shelf.handlings, row.party)
        towards[id(found)] = found
        same.setdefault((key, row.value, id(found)), []).append(row.party)
    return [
        Foreseen(
            collection=key,
            parties=tuple(parties),
            before=decode_feed(value),
            after=decode_feed(_moved(shelves[key], value, towards[place]).value),
            end=shelves[key].end,
            handlings=shelves[key].handlings,
        )
        for (key, value, place), parties in same.items()
    ]


class _Moved(msgspec.Struct, frozen=True):
    """A feed as it becomes: its stored form, the least time of later entries, and how many of
    which kind are gone by which act."""

    value: bytes
    clock_us: int
    gone: tuple[_Gone, ...]


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
    stored = {(row.collection, row.party): row.value for row in tx.feeds(prefix)}
    named = [
        (collection_key(agreement.id, name), party)
        for name, party in feed_parties(agreement, change_.party)
    ]
    places = dict.fromkeys((*named, *stored))
    shelves = {key: _Shelf(tx, key, change_) for key in dict.fromkeys(key for key, _ in places)}
    decided = Decided(change_.current, change_.party)
    # Feeds of parties that stand at the same place are the same bytes: moved once.
    same: dict[tuple[str, bytes, int], _Moved] = {}
    for key, party in places:
        towards = decided.towards(split_key(key)[1], shelves[key].handlings, party)
        before = stored.get((key, party), b"")
        place = (key, before, id(towards))
        if place not in same:
            same[place] = _moved(shelves[key], before, towards)
        moved = same[place]
        entries += _gone(book, key, party, moved.gone)
        if moved.value != before:
            tx.put_feed(FeedRow(collection=key, party=party, value=moved.value))
            clocks[key] = max(clocks.get(key, 0), moved.clock_us)
    for key, clock_us in clocks.items():
        # Late blocks of several parties may overlap in time: each is readable by its own party
        # only. Entries to come are later than all of them.
        tx.move_clock(key, clock_us - 1)
    return entries


def _moved(shelf: _Shelf, before: bytes, towards: Towards) -> _Moved:
    """A feed brought to what was decided; ``before`` is empty for a party that joins."""
    opened = decode_feed(before) if before else open_feed(towards.outcomes, towards.grounds)
    stood, old = shelf.expired(opened)
    feed, clock_us = change(
        stood,
        towards.outcomes,
        end=shelf.end,
        base_us=shelf.base_us,
        resumed=shelf.resumed,
        grounds=towards.grounds,
    )
    returned = shelf.returned(stood, feed)
    feed, new = shelf.expired(feed)
    return _Moved(encode_feed(feed), clock_us, (*old, *returned, *new))


def expire_feeds(view: View, change_: Change, book: Book) -> list[tuple[FeedRow, list[bytes]]]:
    """The feeds in which something kept back has outlived its kind's time, as they become, with
    the ledger entries that record it. Nothing is written here."""
    agreement = change_.current.standing.agreement
    if agreement is None or not any(kind.expire_after_ms for kind in agreement.kinds):
        return []
    found = []
    shelves: dict[str, _Shelf] = {}
    for row in view.feeds(collection_key(agreement.id, "")):
        key = row.collection
        if key not in shelves:
            shelves[key] = _Shelf(view, key, change_)
        feed, expired = shelves[key].expired(decode_feed(row.value))
        if expired:
            new = FeedRow(collection=key, party=row.party, value=encode_feed(feed))
            found.append((new, _gone(book, key, row.party, expired)))
    return found


def _gone(book: Book, key: str, party: str, gone: Iterable[_Gone]) -> list[bytes]:
    name = split_key(key)[1]
    return [
        book.entry(act, collection=name, party=party, kind=kind, count=count)
        for act, kind, count in gone
    ]


def count_of(view: View, key: str, one: Range) -> int:
    """How many entries a range of a feed has, without those that were taken back."""
    found = view.count(key, one.handling, one.a, one.b)
    return found and found - view.count_recalled(key, one.handling, one.a, one.b)


class _Shelf:
    """One collection as its feeds are brought to a standing: read once for all parties."""

    def __init__(self, view: View, key: str, change_: Change) -> None:
        self._view, self._key = view, key
        state = view.collection(key)
        self.end = state.end
        self.base_us = max(change_.now_us, state.last_us + 1)
        self.handlings = _handlings(view, key)
        terms = change_.current.standing.agreement
        kinds = {kind.id: kind for kind in terms.kinds} if terms else {}
        #: What becomes of what was held, where it is not simply given late.
        self.resumed: dict[int, Resumed] = {
            number: RESUMED[kinds[handling.kind].held]
            for number, handling in self.handlings.items()
            if handling.kind in kinds and kinds[handling.kind].held in RESUMED
        }
        #: For each handling that loses its worth in hold: the first entry still young enough.
        self._young: dict[int, int] = {}
        for number, handling in self.handlings.items():
            kind = kinds.get(handling.kind)
            if kind is not None and kind.expire_after_ms is not None:
                old_us = change_.now_us - kind.expire_after_ms * 1000
                self._young[number] = view.seq_after(key, old_us)

    def returned(self, before: Feed, after: Feed) -> tuple[_Gone, ...]:
        """How many of which kind have gone back to their units from one feed to the next."""
        counts: Counter[str] = Counter()
        if "returned" in self.resumed.values():
            for feed, sign in ((before, -1), (after, 1)):
                for one in ranges(feed, self.end):
                    if one.state == "returned":
                        kind = self.handlings[one.handling].kind
                        counts[kind] += sign * count_of(self._view, self._key, one)
        return tuple(("return", kind, count) for kind, count in sorted(counts.items()) if count)

    def expired(self, feed: Feed) -> tuple[Feed, tuple[_Gone, ...]]:
        """The feed without what has been kept back for too long, and of which kind how many."""
        counts: dict[int, int] = {}
        for one in ranges(feed, self.end) if self._young else ():
            upto = min(one.b, self._young.get(one.handling, 0))
            if one.state == "held" and one.a < upto:
                old = msgspec.structs.replace(one, b=upto)
                count = count_of(self._view, self._key, old)
                counts[one.handling] = counts.get(one.handling, 0) + count
        found: list[_Gone] = []
        for number, count in counts.items():
            if count:
                feed = expire(feed, number, self._young[number])
                found.append(("expire", self.handlings[number].kind, count))
        return feed, tuple(found)
