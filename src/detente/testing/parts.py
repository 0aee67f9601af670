"""Parts: what a simulated world is made of, and the rows it keeps of itself."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Literal

import msgspec

from detente.model import (
    Agreement,
    AssuranceTemplate,
    Choice,
    Collection,
    Contact,
    Kind,
    Member,
    Power,
    Purpose,
    Scope,
    digest,
)
from detente.model.agreement import Verb
from detente.model.directive import DirectiveVerb
from detente.proof import Envelope

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: The world begins on 1 January 2026.
BEGIN_MS = 1_767_225_600_000
AGREEMENT = "A1"
TEMPLATE = "AS"
KINDS = ("FI", "PE", "RA", "SL", "VI", "VT")
EXEMPT = frozenset({"SL"})
#: Kinds that lose their worth in hold, and after how long.
SPAN_MS = {"VT": 6 * HOUR_MS}
REVIEWED = frozenset({"PE", "RA"})
PARTIES = {"B": ("B-FIU", "B-NAV", "B-POL"), "W": ("W-CG", "W-LEA")}
READER = "K"
#: Who signs what, by default: one officer halts, two heads stop, resuming takes the minister.
SIGNERS: dict[str, tuple[str, ...]] = {
    "halt": ("duty-1",),
    "suspend": ("head-1", "head-2"),
    "narrow": ("head-1", "head-2"),
    "condition": ("head-1", "head-2"),
    "resume": ("head-1", "head-2", "minister-1"),
}
SEATS = {"duty": 1, "head": 3, "minister": 1}
_NAMESPACE = uuid.UUID("0d6e1c52-6f0a-4b6e-8b9a-2f6f3a1c7e10")

#: What can go wrong with one request: the partner cannot be reached; its answer is lost after it
#: was handled; the answer is cut off; it is booked as cut but came; the partner dies while it
#: answers; the request arrives twice.
Fault = Literal["unreachable", "lost", "cut", "late", "crash", "twice"]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An item whose publication was acknowledged."""

    id: str
    raw: bytes
    sender: str
    kind: str
    unit: str
    at_ms: int


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An order in plain words; empty means all. ``remains``: kinds that a narrowing leaves;
    ``assured``: what is in scope passes under an assurance only."""

    id: str
    issuer: str
    verb: DirectiveVerb
    kinds: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    partner: str = ""
    direction: str = ""
    remains: tuple[str, ...] = ()
    assured: bool = False
    supersedes: tuple[str, ...] = ()
    starts_in_ms: int = 0
    lasts_ms: int | None = None


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """An order that was answered, and its span: the end excluded, None if it has none."""

    said: Said
    digest: str
    since_ms: int
    end_ms: int | None


class Promised(msgspec.Struct, kw_only=True):
    """An assurance that was answered; ``taken_back`` is the digest of its withdrawal."""

    id: str
    giver: str
    holder: str
    kinds: tuple[str, ...]
    digest: str
    since_ms: int
    until_ms: int
    taken_back: str = ""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """Objects whose bytes left a node, or may have."""

    sender: str
    reader: str
    at_ms: int
    ids: tuple[str, ...]


class SetClock:
    """A clock that goes only when it is told to."""

    def __init__(self, now_ms: int) -> None:
        self._us = now_ms * 1000

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""
        return self._us

    def advance(self, ms: int) -> None:
        """Go on; never back."""
        if ms < 0:
            raise ValueError(f"Expected a time to come, got {ms} ms")
        self._us += ms * 1000


def other_of(party: str) -> str:
    return next(one for one in PARTIES if one != party)


def collection_of(party: str) -> str:
    """The collection that a party sends."""
    return f"{party.lower()}-out"


def readers_of(party: str) -> tuple[str, ...]:
    """Who reads what a party sends."""
    return (other_of(party), READER) if party == "B" else (other_of(party),)


def scope_of(said: Said) -> Scope:
    def choice(values: Sequence[str]) -> Choice:
        return Choice.of(*values) if values else Choice()

    return Scope(
        party=choice((said.partner,) if said.partner else ()),
        unit=choice(said.units),
        direction=choice((said.direction,) if said.direction else ()),
        kind=choice(said.kinds),
    )


def stix_bytes(party: str, number: int) -> bytes:
    """An object with blanks, letters and a number that no re-serialising would leave as is."""
    name = uuid.uuid5(_NAMESPACE, f"{party} {number}")
    return (
        f'{{ "type" : "infrastructure", "spec_version":"2.1","id":"infrastructure--{name}",'
        f'"created":"2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",'
        f' "name":"Lancha \\u00f1 ñ {number}" ,"x_length":12.50, "x_none": null }}'
    ).encode()


def _powers_of(party: str) -> list[Power]:
    powers: list[tuple[tuple[Verb, ...], tuple[str, ...], int, tuple[str, ...], int | None]] = [
        (("halt",), ("duty",), 1, (), DAY_MS),
        (("condition", "moderate", "narrow", "suspend"), ("head",), 2, (), None),
        (("resume",), ("head", "minister"), 3, ("minister",), None),
        (("agree", "assure", "review"), ("head",), 1, (), None),
    ]
    return [
        Power(
            party=party,
            verbs=verbs,
            offices=offices,
            threshold=threshold,
            including=including,
            duration_max_ms=limit,
        )
        for verbs, offices, threshold, including, limit in powers
    ]


def terms_of(charters: dict[str, Envelope]) -> Agreement:
    """The agreement between the parties of these charters."""
    units = {**PARTIES, READER: ("K-CG",)}
    return Agreement(
        id=AGREEMENT,
        title="Agreement of a simulated world",
        legal_basis="None: a simulation",
        members=tuple(
            Member(
                party=party,
                units=units[party],
                charter=digest(charter.payload),
                contact=Contact(office=f"Duty officer of {party}", reach="by radio"),
            )
            for party, charter in charters.items()
        ),
        collections=tuple(
            Collection(
                name=collection_of(party),
                id=str(uuid.uuid5(_NAMESPACE, party)),
                title=f"From {party}",
                sender=party,
                readers=readers_of(party),
            )
            for party in PARTIES
        ),
        kinds=tuple(
            Kind(
                id=kind,
                title=kind,
                expire_after_ms=SPAN_MS.get(kind),
                exempt=kind in EXEMPT,
                held="expire" if kind in SPAN_MS else "review" if kind in REVIEWED else "release",
            )
            for kind in KINDS
        ),
        purposes=(Purpose(id="interdiction", title="Interdiction"),),
        assurances=(AssuranceTemplate(id=TEMPLATE, text="Agreed words", valid_max_ms=90 * DAY_MS),),
        powers=tuple(power for party in charters for power in _powers_of(party)),
        from_ms=BEGIN_MS - DAY_MS,
        until_ms=BEGIN_MS + 3650 * DAY_MS,
        review_ms=BEGIN_MS + 365 * DAY_MS,
    )


class _Head(msgspec.Struct, frozen=True):
    id: str


def id_of(raw: bytes) -> str:
    """The id of an object."""
    return msgspec.json.decode(raw, type=_Head).id


def objects_of(body: bytes) -> list[bytes]:
    """The objects of a page, each with its bytes."""
    return [bytes(one) for one in msgspec.json.decode(b"[" + body + b"]", type=list[msgspec.Raw])]
