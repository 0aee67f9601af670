"""Fate: what becomes of a handling's entries when the handling turns to another outcome.

Here it is said for one handling and one grant, in tables. Which ranges of a feed it concerns is
worked out by ``rules.feed``; what the outcome is, by ``rules.decision``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from detente.rules.grant import Grant, Grounds

__all__ = [
    "FATES",
    "Fate",
    "Outcome",
    "Was",
    "narrowed",
    "readable_handlings",
    "was",
]

#: ``moderate``: entries wait under review, and single ones may be given. A plain ``hold`` would
#: have to hide what was reviewed, or could not tell it from what a stop must hide.
Outcome = Literal["release", "moderate", "hold", "refuse"]

Was = Literal["queued", "reviewed", "reviewed otherwise", "held", "under review", "new"]
Fate = Literal["queued", "held", "under review", "refused", "returned"]

#: What becomes of an entry when its handling turns to an outcome, by what it was: unread and
#: released by range (``queued``) or one by one (``reviewed``, or ``reviewed otherwise`` if there is
#: a reason now for which it was not), waiting in one of two ways, or not published yet. It depends
#: on nothing else, not even on the outcome before:
#:
#: - what is under review leaves it only one by one, or by refusal;
#: - what was reviewed goes on under ``moderate``, but a stop sends it back to be reviewed again,
#:   for it is resumed under other circumstances;
#: - ``held`` that turns to ``release`` is given late, or goes under review or back to its unit if
#:   its kind asks for that after a stop (``resumed`` of ``rules.feed.change``);
#: - what has been given, has expired, was refused or returned stays what it is.
FATES: Final[Mapping[Outcome, Mapping[Was, Fate]]] = {
    "release": {
        "queued": "queued",
        "reviewed": "queued",
        "reviewed otherwise": "queued",
        "held": "queued",
        "under review": "under review",
        "new": "queued",
    },
    "moderate": {
        "queued": "under review",
        "reviewed": "queued",
        "reviewed otherwise": "under review",
        "held": "under review",
        "under review": "under review",
        "new": "under review",
    },
    "hold": {
        "queued": "held",
        "reviewed": "under review",
        "reviewed otherwise": "under review",
        "held": "held",
        "under review": "under review",
        "new": "held",
    },
    "refuse": {
        "queued": "refused",
        "reviewed": "refused",
        "reviewed otherwise": "refused",
        "held": "refused",
        "under review": "refused",
        "new": "refused",
    },
}


def was(grant: Grant, grounds: Grounds) -> Was:
    """How unread entries of a grant were released, where a person now has to pass ``grounds``."""
    if grant.late is None or not grant.late.reviewed:
        return "queued"
    return "reviewed" if grounds <= grant.late.passed else "reviewed otherwise"


def narrowed(before: tuple[Outcome, Grounds], after: tuple[Outcome, Grounds]) -> bool:
    """True if something of a handling might be read before, and may not be after: what is under
    way of it has to be broken off."""
    if before[0] == "release":
        return after[0] != "release"
    if before[0] == "moderate":
        return after[0] != "release" and not (after[0] == "moderate" and after[1] <= before[1])
    return False


def readable_handlings(
    grant: Grant, outcomes: Mapping[int, Outcome], grounds: Mapping[int, Grounds]
) -> frozenset[int]:
    """The handlings of the grant that may be read now: a moderated one only where reviewed for
    every reason there is."""
    return frozenset(
        h
        for h in grant.handlings
        if outcomes[h] == "release"
        or (outcomes[h] == "moderate" and was(grant, grounds.get(h, frozenset())) == "reviewed")
    )
