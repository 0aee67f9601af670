"""Agreement: what a flow stands on, signed by all its parties (R30).

It says who exchanges which kinds of items in which collections for which purposes, which office
may give which order with how many signatures, and what becomes of each kind while it is held.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import msgspec

from detente.model.demand import Minimisation, PurposeTest
from detente.model.names import (
    Code,
    Digest,
    DocumentID,
    KindID,
    Millis,
    OfficeID,
    PartyID,
    Record,
    Text,
    UnitID,
    UUIDText,
)

__all__ = [
    "TLP",
    "Agreement",
    "AssuranceTemplate",
    "Collection",
    "Contact",
    "Country",
    "StandIn",
    "ExcludedUse",
    "Held",
    "Kind",
    "KindRule",
    "Language",
    "Member",
    "Notice",
    "Onward",
    "Oversight",
    "PermittedUse",
    "Power",
    "Purpose",
    "References",
    "Verb",
]

#: What an office may do. ``agree`` signs agreements, ``assess`` signs what its party thinks of a
#: partner, ``assure`` gives assurances, ``review`` decides single held items; the others are what
#: directives do: who extends or corrects an order has its power, who revokes has that to resume.
Verb = Literal[
    "agree",
    "assess",
    "assure",
    "condition",
    "halt",
    "moderate",
    "narrow",
    "resume",
    "review",
    "suspend",
]
#: What becomes of a kind that was held when the flow resumes (R25, R27). What is returned goes back
#: to the unit that published it: it is not given, and must be published anew.
Held = Literal["expire", "release", "return", "review"]
#: What becomes of an object that refers to others which a party is not given: it is given with the
#: ids as they are, waits until they are given as well, or had those references taken out when it
#: was published.
References = Literal["drop", "hold", "keep"]
#: FIRST TLP 2.0, least to most restrictive.
TLP = Literal["clear", "green", "amber", "amber+strict", "red"]
#: ISO 3166-1 alpha-3, as releasability markings name countries.
Country = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]
#: ISO 639-1.
Language = Annotated[str, msgspec.Meta(pattern=r"\A[a-z]{2}\Z")]
#: How many of a thing one publication may bring.
Several = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]


class Contact(Record, frozen=True, kw_only=True):
    """Whom a partner asks about a stop; told to outsiders, so an office, never a person."""

    office: Text
    reach: Text


class Member(Record, frozen=True, kw_only=True):
    """A party of the agreement; ``charter`` is the digest of the charter it joined with,
    ``country`` the one by which releasability markings know it."""

    party: PartyID
    units: tuple[UnitID, ...]
    charter: Digest
    contact: Contact
    country: Country | None = None


class Collection(Record, frozen=True, kw_only=True):
    """One ordered sequence of items from one sender to its readers (TAXII 2.1, 5).

    ``purpose``, ``grade`` and ``unit`` are what the parties agree to take as said where a
    publisher says nothing: a TAXII client has no field for them.
    """

    name: Code
    id: UUIDText
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"\A[^.]+\Z")]
    sender: PartyID
    readers: tuple[PartyID, ...]
    purpose: Code | None = None
    grade: str | None = None
    unit: UnitID | None = None


class Kind(Record, frozen=True, kw_only=True):
    """A kind of item as the parties name it.

    ``held`` says what becomes of held items on resumption; ``expire_after_ms`` is how long an
    item of a perishable kind is worth holding, counted from its publication. ``exempt`` kinds
    (safety of life) are stopped only by a directive that names them outright (R28).

    What must be true of an item before it is given:
    ``assurances``: templates that its recipient must have assured for this kind (R45);
    ``moderated``: an office with the power to review has released this very item (R23);
    ``evidence``: it names its evidence (R34); ``nature``: it says whether it is fact or assessment;
    ``fresh_within_ms``: what it tells was seen no longer ago than this when it was published;
    ``grade_least``: scheme and value, such as ``admiralty:C3``; it is graded in that scheme and no
    worse in any part, and what cannot be judged has not been judged good (R35);
    ``tests``: those of the agreement that are answered before it leaves (R44);
    ``minimise``: minimisations of the agreement that have run on it (R42);
    ``assessed``: the sender has a valid assessment of the recipient for this kind (R32);
    ``bulk_max``: no more of this kind came in one publication, else each waits for review (R41);
    ``tlp_max``: a lower limit than the agreement's.

    ``persons``: items of this kind are about persons, and a preview counts them so (R41).
    """

    id: KindID
    title: Text
    held: Held = "release"
    expire_after_ms: Annotated[int, msgspec.Meta(ge=1000, lt=2**53)] | None = None
    exempt: bool = False
    assurances: tuple[Code, ...] = ()
    moderated: bool = False
    evidence: bool = False
    nature: bool = False
    fresh_within_ms: Annotated[int, msgspec.Meta(ge=1000, lt=2**53)] | None = None
    grade_least: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    tests: tuple[Code, ...] = ()
    minimise: tuple[Code, ...] = ()
    assessed: bool = False
    bulk_max: Several | None = None
    tlp_max: TLP | None = None
    references: References = "keep"
    persons: bool = False


class KindRule(Record, frozen=True, kw_only=True):
    """Items of these STIX types (all types if absent), with this extension if given, are of
    this kind; the first rule that fits decides, and a publisher may name another kind."""

    kind: KindID
    types: tuple[str, ...] = ()
    extension: str | None = None


class Purpose(Record, frozen=True, kw_only=True):
    """A purpose for which items may be used; released items carry it."""

    id: Code
    title: Text


class PermittedUse(Record, frozen=True, kw_only=True):
    """A use that is agreed to, in the parties' words; shown, never judged."""

    id: Code
    text: Text


class Onward(Record, frozen=True, kw_only=True):
    """Who but the recipient may have what was given: nobody (``none``), other units of the same
    party (``units``), or whom the originator consents to (``consent``); ``text`` says it in the
    parties' words (third-party rule, R37)."""

    rule: Literal["consent", "none", "units"] = "consent"
    text: Text = ""


class Oversight(Record, frozen=True, kw_only=True):
    """A body that oversees a party. ``inside``: it counts as part of the recipient under the
    third-party rule, so that it may see what was given without the originator's consent (R30)."""

    party: PartyID
    body: Text
    inside: bool


class Notice(Record, frozen=True, kw_only=True):
    """How long before it takes force a party is to be told: of a new version, of the end, of a
    review that is due. A restriction never waits for notice."""

    amend_ms: Millis = 0
    end_ms: Millis = 0
    review_ms: Millis = 0


class ExcludedUse(Record, frozen=True, kw_only=True):
    """A use that is ruled out, in the parties' agreed words; shown, never judged (R46)."""

    id: Code
    text: Text


class AssuranceTemplate(Record, frozen=True, kw_only=True):
    """Words that a recipient's office can sign as an assurance (R45)."""

    id: Code
    text: Text
    valid_max_ms: Millis


class Power(Record, frozen=True, kw_only=True):
    """What it takes that a party's act counts: so many signatures from these offices, of
    distinct keys and distinct holders, among them each office of ``including`` (R7). From
    ``until_ms`` on it is no power any more."""

    party: PartyID
    verbs: tuple[Verb, ...]
    offices: tuple[OfficeID, ...]
    threshold: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    including: tuple[OfficeID, ...] = ()
    duration_max_ms: Millis | None = None
    until_ms: Millis | None = None


class StandIn(Record, frozen=True, kw_only=True):
    """From ``from_ms`` until ``until_ms`` holders of ``to`` may sign for ``office`` what these
    verbs say, as if they sat there: a duty roster that the partners have agreed to (R14)."""

    party: PartyID
    office: OfficeID
    to: OfficeID
    verbs: tuple[Verb, ...]
    from_ms: Millis = 0
    until_ms: Millis


class Agreement(Record, frozen=True, kw_only=True, dict=True):
    """The agreement; a later version names the digest of the one it supersedes.

    ``language`` is the canonical one, ``languages`` those that translations exist in. ``grades``
    are the schemes that count (all if empty). ``markings`` are the schemes of markings that the
    parties understand besides TLP and statements (``rules.markings``); an item with one of another
    scheme is held. ``pap_max`` is the limit of the Permissible Actions Protocol; without it an
    item that carries one is held. ``second_person``: what is derived from another item (a
    tear-line) waits until a second person has released it (R38). ``read_back``: an order that lets
    anything go takes force only when an officer of its issuer has read it back as it is (R5).
    ``preview``: it takes force only when its signers have seen what it would do, and that is still
    what it would do (R6).
    """

    v: Literal[1] = 1
    id: DocumentID
    version: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] = 1
    title: Text
    exercise: bool = False
    language: Language = "en"
    languages: tuple[Language, ...] = ()
    legal_basis: Text
    treaty: Text = ""
    members: Annotated[tuple[Member, ...], msgspec.Meta(min_length=2, max_length=5000)]
    collections: Annotated[tuple[Collection, ...], msgspec.Meta(min_length=1, max_length=1000)]
    kinds: Annotated[tuple[Kind, ...], msgspec.Meta(min_length=1, max_length=1000)]
    kind_rules: tuple[KindRule, ...] = ()
    purposes: Annotated[tuple[Purpose, ...], msgspec.Meta(min_length=1, max_length=1000)]
    purpose_required: bool = True
    grade_required: bool = True
    grades: tuple[Code, ...] = ()
    tlp_max: TLP = "amber+strict"
    pap_max: Literal["clear", "green", "amber", "red"] | None = None
    markings: tuple[Code, ...] = ()
    permitted_uses: tuple[PermittedUse, ...] = ()
    excluded_uses: tuple[ExcludedUse, ...] = ()
    assurances: tuple[AssuranceTemplate, ...] = ()
    tests: tuple[PurposeTest, ...] = ()
    minimisations: tuple[Minimisation, ...] = ()
    second_person: bool = False
    read_back: bool = False
    preview: bool = False
    onward: Onward | None = None
    oversight: tuple[Oversight, ...] = ()
    notice: Notice | None = None
    powers: tuple[Power, ...]
    delegations: tuple[StandIn, ...] = ()
    from_ms: Millis
    until_ms: Millis
    review_ms: Millis
    supersedes: Digest | None = None

    def member(self, party: str) -> Member | None:
        """The member of that name, or None."""
        return self._members.get(party)

    @cached_property
    def _members(self) -> dict[str, Member]:
        # An order decides every handling for every reader, and asks for its member each time.
        return {member.party: member for member in reversed(self.members)}

    def collection(self, name: str) -> Collection | None:
        """The collection of that name or UUID, or None."""
        return next((one for one in self.collections if name in (one.name, one.id)), None)

    def kind(self, kind_id: str) -> Kind | None:
        """The kind of that id, or None."""
        return next((kind for kind in self.kinds if kind.id == kind_id), None)

    def powers_of(self, party: str, verb: str, at_ms: int | None = None) -> tuple[Power, ...]:
        """Every way in which this party may do this, at an instant if one is given."""
        return tuple(
            p
            for p in self.powers
            if p.party == party
            and verb in p.verbs
            and (at_ms is None or p.until_ms is None or at_ms < p.until_ms)
        )

    def offices_of(self, party: str, verb: str, at_ms: int) -> frozenset[str]:
        """Every office of a party that may do this at an instant, or may stand in for one."""
        stand_ins = self.stand_ins(party, verb, at_ms)
        return frozenset(
            room
            for power in self.powers_of(party, verb, at_ms)
            for office in power.offices
            for room in (office, *stand_ins.get(office, ()))
        )

    def stand_ins(self, party: str, verb: str, at_ms: int) -> dict[str, frozenset[str]]:
        """For each office of a party the offices that may sign this for it at an instant."""
        found: dict[str, frozenset[str]] = {}
        for one in self.delegations:
            if one.party == party and verb in one.verbs and one.from_ms <= at_ms < one.until_ms:
                found[one.office] = found.get(one.office, frozenset()) | {one.to}
        return found
