"""Markings: whether what an item is marked with lets it go to a party (R36).

The strictest of them wins; one that is not known means hold.
"""

from __future__ import annotations

from detente.model import Agreement, Handling
from detente.rules.reason import Reason

__all__ = ["TLP_LEVELS", "marking_holds"]

#: FIRST TLP 2.0, least to most restrictive. TLP 1.0's white is clear under its old name.
TLP_LEVELS = ("clear", "green", "amber", "amber+strict", "red")


def marking_holds(
    agreement: Agreement, handling: Handling, sender: str, recipient: str
) -> tuple[Reason, ...]:
    """Every marking that keeps the item from the recipient."""
    limit = TLP_LEVELS.index(agreement.tlp_max)
    found = []
    for marking in handling.markings:
        scheme, _, value = marking.partition(":")
        if scheme == "tlp" and value in TLP_LEVELS:
            if TLP_LEVELS.index(value) > limit:
                found.append(
                    Reason(
                        code="marking.above-limit",
                        source=f"marking {marking}",
                        words=f"Marked {marking}; the agreement allows tlp:{agreement.tlp_max}.",
                    )
                )
        elif scheme != "statement":
            found.append(
                Reason(
                    code="marking.unknown",
                    source=f"marking {marking}",
                    words=f"Marking {marking} is not known here, so nothing is assumed.",
                )
            )
    return tuple(found)
