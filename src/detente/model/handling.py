"""Handling: everything about an item that a decision depends on, and nothing else.

Handlings are interned by the store: a few hundred rows serve a hundred million items, and every
decision is made once per handling and standing, never per item.
"""

from __future__ import annotations

from detente.model.names import Code, KindID, PartyID, Record, UnitID
from detente.model.scope import Cell

__all__ = ["UNMARKED", "Handling", "Referred"]

#: The value of the marking dimension for an item that carries no marking.
UNMARKED = "unmarked"


class Referred(Record, frozen=True, kw_only=True, order=True):
    """What a decision sees of an object that an item refers to: all of its own handling but the
    collection, which is the item's. ``kind`` is absent for one that is not in the collection:
    nothing is known of it."""

    kind: KindID | None = None
    stix_type: str = ""
    unit: UnitID | None = None
    markings: tuple[str, ...] = ()
    purpose: Code | None = None
    originator: PartyID | None = None
    grade: str | None = None
    flags: tuple[str, ...] = ()

    @classmethod
    def to(cls, handling: Handling) -> Referred:
        """What is seen of an object of this handling."""
        return cls(
            kind=handling.kind,
            stix_type=handling.stix_type,
            unit=handling.unit,
            markings=handling.markings,
            purpose=handling.purpose,
            originator=handling.originator,
            grade=handling.grade,
            flags=handling.flags,
        )


class Handling(Record, frozen=True, kw_only=True):
    """What a decision sees of an item.

    ``markings`` are names (``tlp:amber``, ``rules.markings`` has the schemes), sorted; ``grade`` is
    native, scheme and value (``admiralty:B2``), never converted (R35). ``refers`` is what it refers
    to, sorted, where its kind is held for that.

    ``flags`` are sorted: ``part`` (some of the markings are those of a part of the object),
    ``evidence`` (it names its evidence), ``fact`` or ``assessment``, ``stale`` (older than its kind
    may be when it was published), ``bulk`` (it came with more of its kind than one publication may
    bring), ``derived`` (a tear-line that a second person has to see), ``tested:ID@…`` (this
    test was answered before it was entered), ``minimised:ID@…`` (this minimisation has run on it;
    of both the flag has a short digest of what the agreement said then), ``court``
    (its originator has consented to its use as evidence in court: a consent of its own, which no
    purpose, evidence or grade implies; absent is no consent).
    """

    collection: Code
    kind: KindID
    stix_type: str
    originator: PartyID
    unit: UnitID
    markings: tuple[str, ...] = ()
    purpose: Code | None = None
    grade: str | None = None
    flags: tuple[str, ...] = ()
    refers: tuple[Referred, ...] = ()

    def referred(self, one: Referred) -> Handling | None:
        """The handling of an object that this one refers to; None if nothing is known of it."""
        if one.kind is None:
            return None
        return Handling(
            collection=self.collection,
            kind=one.kind,
            stix_type=one.stix_type,
            originator=one.originator or self.originator,
            unit=one.unit or self.unit,
            markings=one.markings,
            purpose=one.purpose,
            grade=one.grade,
            flags=one.flags,
        )

    def cells(self, *, party: str, direction: str, act: str) -> tuple[Cell, ...]:
        """The points this handling occupies: one for each of its markings.

        A restriction applies if it covers any of them; a permission must cover all of them.
        """
        return tuple(
            Cell(
                party=party,
                unit=self.unit,
                direction=direction,
                collection=self.collection,
                kind=self.kind,
                marking=marking,
                purpose=self.purpose or "unstated",
                act=act,
            )
            for marking in self.markings or (UNMARKED,)
        )
