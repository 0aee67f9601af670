"""Intern: handlings that are new to a collection, decided for every party that reads there.

What a handling costs: each party's feed names it, and each order decides it anew for each party.
So their number is bounded, for a publication and for a collection. In practice a collection has a
few hundred: the types of its kinds (some 20) times the markings, purposes, grades and units in
use (a handful each, and far from all combinations). Who makes one for each object, say by grades
or statement markings that differ for each, would have every stop wait; that is what the bounds are
for.

Deciding for many parties takes long, and all writes go through one writer. So it is done before
the transaction, under the standing that the gate holds; if that has moved meanwhile, the
transaction is given up and all is decided again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from detente.errors import Conflict, Invalid
from detente.gateway.feeds import (
    Change,
    Decided,
    Towards,
    decide_for,
    decode_feed,
    encode_feed,
)
from detente.gateway.gate import Current
from detente.model import Handling, encode
from detente.ports import FeedRow, Tx, View
from detente.rules.fate import Outcome
from detente.rules.feed import Grounds, first_seen

__all__ = [
    "HANDLINGS_MAX",
    "HANDLINGS_NEW_MAX",
    "INLINE_MAX",
    "MARKINGS_MAX",
    "Ahead",
    "check_new",
    "decide_ahead",
    "handlings_max",
    "intern",
    "new_handlings",
]

#: Handlings of one collection: ten times what practice has.
HANDLINGS_MAX: Final = 4_096
#: Handlings times feeds of one collection, though never fewer handlings than one publication may
#: add. An order moves each feed, handling by handling, where their parties stand at different
#: places: some seconds at this bound, which a thousand readers and a thousand handlings reach.
PAIRS_MAX: Final = 1_000_000
#: Handlings that one publication may add: more than a whole catalogue of types in one marking has,
#: and the writer has them in a thousand feeds within half a second.
HANDLINGS_NEW_MAX: Final = 256
#: Markings of one object. A decision looks at each.
MARKINGS_MAX: Final = 64
#: Decisions, one for each handling and party, that may be made where they are needed.
INLINE_MAX: Final = 64


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions made ahead under one standing: for each party what was decided of each handling,
    by its number in ``places``."""

    current: Current | None = None
    places: Mapping[Handling, int] = msgspec.field(default_factory=dict)
    towards: Mapping[str, Towards] = msgspec.field(default_factory=dict)


def new_handlings(view: View, key: str, handlings: Collection[Handling]) -> list[Handling]:
    """Those that the collection does not have, each once, no more than fit it."""
    found = [one for one in dict.fromkeys(handlings) if view.number_of(key, encode(one)) is None]
    return found[:HANDLINGS_MAX]


def decide_ahead(
    current: Current, handlings: Collection[Handling], own: str, parties: Collection[str]
) -> Ahead:
    """Decide these handlings, of one collection, for these parties."""
    numbered = dict(enumerate(handlings))
    decided = Decided(current, own)
    name = next((one.collection for one in handlings), "")
    return Ahead(
        current=current,
        places={one: place for place, one in numbered.items()},
        towards={party: decided.towards(name, numbered, party) for party in parties},
    )


def intern(
    tx: Tx, key: str, handlings: Mapping[int, Handling], change: Change, ahead: Ahead
) -> dict[int, int]:
    """The numbers of handlings in the collection, by the caller's own numbers; those without one
    have found the collection full. Raises ``Conflict`` (``gate.moved``) if what was decided ahead
    stands under another standing than that of ``change``."""
    numbers: dict[int, int] = {}
    fresh: dict[bytes, list[int]] = {}
    for local, handling in handlings.items():
        value = encode(handling)
        number = tx.number_of(key, value)
        if number is None:
            fresh.setdefault(value, []).append(local)
        else:
            numbers[local] = number
    if not fresh:
        return numbers
    room = max(0, handlings_max(tx, key) - len(tx.handlings(key)))
    made: dict[int, Handling] = {}
    for value, its in list(fresh.items())[:room]:
        number, _ = tx.intern(key, value)
        made[number] = handlings[its[0]]
        numbers |= dict.fromkeys(its, number)
    _see(tx, key, made, change, ahead)
    return numbers


def handlings_max(view: View, key: str) -> int:
    """How many handlings the collection may have with the feeds it has. Those it has already stay
    when readers are added."""
    feeds = sum(row.collection == key for row in view.feeds(key))
    return min(HANDLINGS_MAX, max(HANDLINGS_NEW_MAX, PAIRS_MAX // max(1, feeds)))


def check_new(tx: Tx, key: str, handlings: Collection[Handling]) -> None:
    """Refuse a publication that brings more new handlings than one may."""
    if len(handlings) > HANDLINGS_NEW_MAX:
        count = len(new_handlings(tx, key, handlings))
        if count > HANDLINGS_NEW_MAX:
            raise Invalid(
                "publish.handlings",
                f"Expected at most {HANDLINGS_NEW_MAX} new combinations of type, markings, "
                f"purpose, grade and unit in one publication, got {count}.",
                hint="Publish it in smaller parts.",
            )


def _see(tx: Tx, key: str, made: Mapping[int, Handling], change: Change, ahead: Ahead) -> None:
    """Take new handlings into every feed of the collection; each feed is read and written once."""
    rows = [row for row in tx.feeds(key) if row.collection == key] if made else []
    moved = ahead.current is not change.current
    if moved and len(made) * len(rows) > INLINE_MAX:
        raise Conflict("gate.moved", "Expected the standing decided under, got another.")
    at_seq = tx.collection(key).end
    places = {number: ahead.places.get(one, -1) for number, one in made.items()}
    for row in rows:
        theirs = None if moved else ahead.towards.get(row.party)
        outcomes: dict[int, Outcome] = {}
        grounds: dict[int, Grounds] = {}
        for number, place in places.items():
            if theirs is not None and place >= 0:
                outcomes[number], grounds[number] = theirs.of(place)
                continue
            one = decide_for(change.current, made[number], own=change.party, party=row.party)
            outcomes[number], grounds[number] = one.outcome, one.grounds
        feed = first_seen(decode_feed(row.value), outcomes, at_seq, grounds)
        tx.put_feed(FeedRow(collection=key, party=row.party, value=encode_feed(feed)))
