"""Feeds in the store: deciding each handling for each party, and bringing feeds to a standing.

``rules.decision`` decides and ``rules.feed`` moves ranges; here they are joined to what is stored,
inside one transaction of the caller. Costs go with handlings and parties, never with items.
"""

from __future__ import annotations

import msgspec

from detente.gateway.book import Book, collection_key, split_key
from detente.gateway.gate import Current
from detente.model import Agreement, Handling, decode
from detente.ports import FeedRow, Tx, View
from detente.rules.decision import Decision, decide
from detente.rules.feed import (
    Feed,
    Outcome,
    change,
    expire,
    open_feed,
    ranges,
    recall,
)

__all__ = [
    "Change",
    "change_feeds",
    "covered_by",
    "decide_for",
    "decode_feed",
    "encode_feed",
    "expire_feeds",
    "feed_parties",
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
    found = []
    for collection in agreement.collections:
        if own == collection.sender or own in collection.readers:
            parties = {own, *(collection.readers if own == collection.sender else ())}
            if collection.sender in collection.readers:
                parties.add(collection.sender)
            found += [(collection.name, party) for party in sorted(parties)]
    return found


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

    What has expired is moved out first, so that a resumption cannot release it (R27).
    """
    agreement = change_.current.standing.agreement
    if agreement is None:
        return []
    entries: list[bytes] = []
    for row, made in expire_feeds(tx, change_, book):
        tx.put_feed(row)
        entries += made
    stored = {
        (row.collection, row.party): row for row in tx.feeds(collection_key(agreement.id, ""))
    }
    clocks: dict[str, int] = {}
    for name, party in feed_parties(agreement, change_.party):
        key = collection_key(agreement.id, name)
        handlings = _handlings(tx, key)
        outcomes = _outcomes(handlings, change_.current, change_.party, party)
        old = stored.get((key, party))
        if old is None:
            own = stored.get((key, change_.party))
            feed = _joined(outcomes, decode_feed(own.value) if own else None)
            tx.put_feed(FeedRow(collection=key, party=party, value=encode_feed(feed)))
            continue
        state = tx.collection(key)
        feed, clock_us = change(
            decode_feed(old.value),
            outcomes,
            end=state.end,
            base_us=max(change_.now_us, state.last_us + 1),
            review=_reviewed(agreement, handlings),
        )
        value = encode_feed(feed)
        if value != old.value:
            tx.put_feed(FeedRow(collection=key, party=party, value=value))
            clocks[key] = max(clocks.get(key, 0), clock_us)
    for key, clock_us in clocks.items():
        # Late blocks of several parties may overlap in time: each is readable by its own party
        # only. Entries to come are later than all of them.
        tx.move_clock(key, clock_us - 1)
    return entries


def _joined(outcomes: dict[int, Outcome], own: Feed | None) -> Feed:
    """The feed of a party that joins: the whole history, but for what was taken back."""
    feed = open_feed(outcomes)
    for stay in own.stays if own else ():
        if stay.state == "recalled":
            for seq in range(stay.a, stay.b):
                feed = recall(feed, stay.handling, seq)
    return feed


def _reviewed(agreement: Agreement, handlings: dict[int, Handling]) -> frozenset[int]:
    kinds = {kind.id for kind in agreement.kinds if kind.held == "review"}
    return frozenset(number for number, handling in handlings.items() if handling.kind in kinds)


def expire_feeds(view: View, change_: Change, book: Book) -> list[tuple[FeedRow, list[bytes]]]:
    """The feeds in which something kept back has outlived its kind's time, as they become, with
    the ledger entries that record it. Nothing is written here."""
    agreement = change_.current.standing.agreement
    if agreement is None:
        return []
    spans = {k.id: k.expire_after_ms for k in agreement.kinds if k.expire_after_ms is not None}
    found = []
    for row in view.feeds(collection_key(agreement.id, "")) if spans else ():
        feed = before = decode_feed(row.value)
        waiting = {stay.handling for stay in feed.stays if stay.state == "held"}
        entries: list[bytes] = []
        for number, handling in _handlings(view, row.collection).items():
            span_ms = spans.get(handling.kind)
            if span_ms is None or number not in waiting:
                continue
            upto = view.seq_after(row.collection, change_.now_us - span_ms * 1000)
            count = sum(
                view.count(row.collection, number, one.a, one.b)
                for one in ranges(feed, upto)
                if one.handling == number and one.state == "held"
            )
            if count:
                feed = expire(feed, number, upto)
                entries.append(
                    book.entry(
                        "expire",
                        collection=split_key(row.collection)[1],
                        party=row.party,
                        kind=handling.kind,
                        count=count,
                    )
                )
        if feed != before:
            new = FeedRow(collection=row.collection, party=row.party, value=encode_feed(feed))
            found.append((new, entries))
    return found
