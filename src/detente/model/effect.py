"""Effect: what an order would do, as it was foreseen before it was signed (R6).

A document of the issuer's own house: it stays at the node, and the order has its digest alone.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.names import Code, Digest, DocumentID, KindID, Millis, PartyID, Record, UnitID

__all__ = ["Effect", "Expiring", "FlowChange", "Moved", "OtherOrder", "Seen", "Withheld"]

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Moved(Record, frozen=True, kw_only=True, omit_defaults=False):
    """Items of a kind and unit that stand in one state and would stand in another, towards all
    readers together; ``reasons`` are those of the state they would have. What would stay where it
    is and is kept back is told as well, for that is what a resumption does not bring."""

    kind: KindID
    unit: UnitID
    before: str
    after: str
    count: Count
    reasons: tuple[str, ...] = ()


class FlowChange(Record, frozen=True, kw_only=True, omit_defaults=False):
    """How a kind would stand from a sender towards readers who stand alike: ``recipients`` by name
    as far as they are few, ``readers`` all. Same ``before`` and ``after``: it stays, and why."""

    collection: Code
    sender: PartyID
    recipients: tuple[PartyID, ...]
    readers: Count
    kind: KindID
    before: str
    after: str
    by: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class OtherOrder(Record, frozen=True, kw_only=True):
    """Another order between the same parties: ``then`` says whether this one ends it or leaves it;
    ``same_flow``: it keeps back something of the flow that this one is about (R11)."""

    issuer: PartyID
    directive: DocumentID
    verb: Code
    since_ms: Millis
    until_ms: Millis | None = None
    then: Literal["ends", "stays"]
    same_flow: bool


class Expiring(Record, frozen=True, kw_only=True, omit_defaults=False):
    """Items of a kind that would wait and lose their worth in hold: how many, and when the first
    of them does."""

    kind: KindID
    count: Count
    first_ms: Millis


class Withheld(Record, frozen=True, kw_only=True, omit_defaults=False):
    """Items of a kind that were given in the time looked back on, and would not be given."""

    kind: KindID
    count: Count


class Seen(Record, frozen=True, kw_only=True, omit_defaults=False):
    """What readers that stand alike would be told of a collection, by an empty answer or an
    explicit one."""

    collection: Code
    recipients: tuple[PartyID, ...]
    readers: Count
    words: str


class Effect(Record, frozen=True, kw_only=True, omit_defaults=False):
    """The effect of an order, foreseen by the rules that decide and move items, over the standing
    as it would be at ``force_ms``; nothing was changed by it.

    ``standing`` is the digest of the standing without the order. ``held``,
    ``released``, ``reviewed``, ``expired``, ``returned``: items, counted once for each reader, that
    would come to wait, be given late, go under review, expire, go back to their unit.
    ``in_flight``: items
    on pages that no receipt has come for. ``feeds``: how many feeds would stand otherwise.
    ``history``: of each kind, how many items were given in the thirty days before that would not be
    given under it: what it costs to withhold. ``exempt``: kinds that stay open whatever it says.
    ``left_out``: lines of moves, flows and answers there was no room for; counts are whole.
    """

    v: Literal[1] = 1
    agreement: DocumentID
    directive: DocumentID
    issuer: PartyID
    exercise: bool = False
    at_ms: Millis
    force_ms: Millis
    standing: Digest
    held: Count = 0
    released: Count = 0
    reviewed: Count = 0
    expired: Count = 0
    returned: Count = 0
    in_flight: Count = 0
    feeds: Count = 0
    moves: tuple[Moved, ...] = ()
    flows: tuple[FlowChange, ...] = ()
    others: tuple[OtherOrder, ...] = ()
    seen: tuple[Seen, ...] = ()
    expiring: tuple[Expiring, ...] = ()
    history: tuple[Withheld, ...] = ()
    exempt: tuple[KindID, ...] = ()
    left_out: Count = 0
    nonce: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
