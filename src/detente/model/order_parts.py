"""The parts of a directive besides its effect: what makes it impossible to misread.

Each is optional, so that a directive without it is still one; that nothing needed is missing is
asked by ``rules.lint``. Whatever a part says about the effect must be what happens: the effect
follows from verb, scope, remains, conditions, purposes and times alone.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.agreement import Held, Language
from detente.model.names import Code, Digest, DocumentID, KindID, Millis, PartyID, Record, UnitID

__all__ = [
    "HEADINGS",
    "ActName",
    "Addressees",
    "Amendment",
    "Area",
    "Definition",
    "Delegation",
    "EndCondition",
    "Exemptions",
    "Form",
    "Heading",
    "HeldRule",
    "InTransit",
    "InternalReason",
    "OrderRef",
    "PartnerNotice",
    "PublicText",
    "Ruling",
    "Rulings",
    "Subjects",
    "Words",
]

#: The legal instrument (a court's order, or one from outside, is carried out by a directive).
Form = Literal[
    "court-order",
    "decree",
    "emergency-halt",
    "exercise",
    "law",
    "ministerial-directive",
    "service-order",
]
#: Words for people in a heading; longer ones are no order any more.
Words = Annotated[str, msgspec.Meta(max_length=2000)]
#: Whether an act goes on (``yes``), is stopped (``no``), or is not touched.
Ruling = Literal["no", "no-change", "yes"]
#: The closed list of acts (L02): the fields of ``Rulings``.
ActName = Literal["answer", "joint", "liaison", "publish", "pull", "push", "release", "view"]


class Delegation(Record, frozen=True, kw_only=True):
    """By what a person exercises the office for a time; ``until_ms`` is its end, excluded."""

    reference: Words
    until_ms: Millis


class Addressees(Record, frozen=True, kw_only=True):
    """The units of the issuer that the order is addressed to, one by one. ``all_at_ms``: these
    are all units that there were at that instant, for *all* means nothing without a date."""

    units: Annotated[tuple[UnitID, ...], msgspec.Meta(max_length=1000)] = ()
    all_at_ms: Millis | None = None


class Rulings(Record, frozen=True, kw_only=True):
    """For each act of the closed list: does it go on for what the scope covers? None may be left
    out. A flow is stopped whole, so ``release``, ``pull``, ``push`` and ``view`` are ruled alike;
    ``liaison`` (talk) and ``joint`` (support of joint operations) are for people: no gateway sees
    them."""

    publish: Ruling
    release: Ruling
    answer: Ruling
    push: Ruling
    pull: Ruling
    view: Ruling
    liaison: Ruling
    joint: Ruling


class Area(Record, frozen=True, kw_only=True):
    """An area as people call it, and as the text of a GeoJSON geometry (RFC 7946): Polygon or
    MultiPolygon. Text, for signed documents hold no floating-point numbers."""

    name: Words
    geojson: Annotated[str, msgspec.Meta(max_length=20_000)]


class Subjects(Record, frozen=True, kw_only=True):
    """Whom or what the order has in view: areas, vessels (``imo:``, ``mmsi:`` or a STIX id),
    cases, categories of persons.

    They are carried and shown; no decision sees them yet. So an order that would be limited to
    them (``limit``) is refused: it would stop more or less than it says.
    """

    areas: Annotated[tuple[Area, ...], msgspec.Meta(max_length=20)] = ()
    vessels: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=100)], ...], msgspec.Meta(max_length=1000)
    ] = ()
    cases: Annotated[tuple[Words, ...], msgspec.Meta(max_length=100)] = ()
    persons: Annotated[tuple[Words, ...], msgspec.Meta(max_length=100)] = ()
    limit: bool = False


class Exemptions(Record, frozen=True, kw_only=True):
    """The line on safety of life, said outright: it stays open, or it is stopped by its name."""

    safety_of_life: Literal["open", "stopped"]
    note: Words = ""


class InTransit(Record, frozen=True, kw_only=True):
    """What becomes of items that are on their way or have arrived when the order takes force.

    ``unreceipted``: sent, and no receipt has come: the partner's receipt decides, or they are to
    be recalled as well. ``abroad``: copies the partner has; ``derived``: what it made of them.
    To recall or restrict is a duty for people (`detente recall`); the order itself recalls nothing.
    """

    unreceipted: Literal["recall", "receipt-decides"]
    abroad: Literal["keep", "recall", "restrict"]
    derived: Literal["keep", "recall", "restrict"]


class HeldRule(Record, frozen=True, kw_only=True):
    """What becomes of held items of a kind; the agreement says it, the order repeats it."""

    kind: KindID
    then: Held
    after_ms: Millis | None = None


class EndCondition(Record, frozen=True, kw_only=True):
    """What would end the order: in words, by whose decision (an office), on what evidence, and how
    often it is looked at. It ends nothing by itself: an order of that office does."""

    text: Words
    decider: Words = ""
    evidence: Words = ""
    check_every_ms: Millis | None = None


class PartnerNotice(Record, frozen=True, kw_only=True):
    """Who is told, when, how urgently, and until when an acknowledgement is expected. Nobody
    (``to`` empty) needs ``silent_reason``. Force never waits for notice."""

    to: Annotated[tuple[PartyID, ...], msgspec.Meta(max_length=5000)] = ()
    when: Literal["after", "at", "before"] = "at"
    precedence: Literal["flash", "immediate", "priority", "routine"] = "immediate"
    acknowledge_within_ms: Millis | None = None
    silent_reason: Words = ""


class PublicText(Record, frozen=True, kw_only=True):
    """What may be said in public, in one language."""

    language: Language
    text: Words


class Definition(Record, frozen=True, kw_only=True):
    """What a word means in this order (L14)."""

    term: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    meaning: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class OrderRef(Record, frozen=True, kw_only=True, order=True):
    """Another directive: an id is its issuer's."""

    issuer: PartyID
    id: DocumentID


#: Every heading of an order, in the fixed order, with the fields under it. What stands under none
#: of them is the document's own: names, dates of signing, and what it amends.
HEADINGS: dict[str, tuple[str, ...]] = {
    "form": ("form",),
    "legal-basis": ("legal_basis", "legal_reference"),
    "issuer": ("office", "person", "delegation"),
    "scope": ("scope", "remains"),
    "addressees": ("addressees",),
    "acts": ("acts",),
    "subjects": ("subjects",),
    "purposes": ("purposes",),
    "exemptions": ("exemptions",),
    "in-transit": ("in_transit",),
    "held": ("held",),
    "start": ("start_ms", "start_on"),
    "end": ("end_ms", "end_on"),
    "review": ("review_ms",),
    "conditions": ("conditions",),
    "onward": ("onward",),
    "notice": ("notice",),
    "public-text": ("language", "public_text"),
    "reason": ("reason", "reason_public", "reason_internal"),
    "risk": ("risk_of_acting", "risk_of_withholding"),
    "definitions": ("definitions",),
    "contact": ("contact",),
}


class Heading(Record, frozen=True, kw_only=True):
    """One heading of an amendment."""

    name: Code
    change: Literal["changed", "no-change"]


class Amendment(Record, frozen=True, kw_only=True):
    """The order of the same issuer that is amended, and for every heading whether it changes.

    The amending order is whole: it repeats what stays, so nobody has to read two documents, and
    says *no change* beside it, so that nobody wonders what was left out (R4)."""

    id: DocumentID
    digest: Digest
    headings: Annotated[tuple[Heading, ...], msgspec.Meta(max_length=100)]


class InternalReason(Record, frozen=True, kw_only=True):
    """The reason that never leaves the house: a document of its own, of which the directive holds
    the digest only. ``salt`` keeps the words from being guessed by it."""

    v: Literal[1] = 1
    directive: DocumentID
    issuer: PartyID
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    salt: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
