"""Handling: everything about an item that a decision depends on, and nothing else.

Handlings are interned by the store: a few hundred rows serve a hundred million items, and every
decision is made once per handling and standing, never per item.
"""

from __future__ import annotations

from detente.model.names import Code, KindID, PartyID, Record, UnitID
from detente.model.scope import Cell

__all__ = ["UNMARKED", "Handling"]

#: The value of the marking dimension for an item that carries no marking.
UNMARKED = "unmarked"


class Handling(Record, frozen=True, kw_only=True):
    """What a decision sees of an item.

    ``markings`` are names (``tlp:amber``) or ids of marking definitions, sorted; ``grade`` is
    native, scheme and value (``admiralty:B2``), never converted (R35); ``flags`` are sorted.
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
