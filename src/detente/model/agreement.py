"""Agreement: what a flow stands on, signed by all its parties (R30).

It says who exchanges which kinds of items in which collections for which purposes, which office
may give which order with how many signatures, and what becomes of each kind while it is held.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import msgspec

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
    "Agreement",
    "AssuranceTemplate",
    "Collection",
    "Contact",
    "ExcludedUse",
    "Held",
    "Kind",
    "KindRule",
    "Member",
    "Power",
    "Purpose",
    "Verb",
]

#: What an office may do. ``agree`` signs agreements, ``assure`` gives assurances, ``review``
#: decides single held items; the others are the verbs of directives.
Verb = Literal["agree", "assure", "condition", "halt", "narrow", "resume", "review", "suspend"]
#: What becomes of a kind that was held when the flow resumes (R25, R27).
Held = Literal["expire", "release", "review"]


class Contact(Record, frozen=True, kw_only=True):
    """Whom a partner asks about a stop; told to outsiders, so an office, never a person."""

    office: Text
    reach: Text


class Member(Record, frozen=True, kw_only=True):
    """A party of the agreement; ``charter`` is the digest of the charter it joined with."""

    party: PartyID
    units: tuple[UnitID, ...]
    charter: Digest
    contact: Contact


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
    """

    id: KindID
    title: Text
    held: Held = "release"
    expire_after_ms: Annotated[int, msgspec.Meta(ge=1000, lt=2**53)] | None = None
    exempt: bool = False


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
    distinct keys and distinct holders, among them each office of ``including`` (R7)."""

    party: PartyID
    verbs: tuple[Verb, ...]
    offices: tuple[OfficeID, ...]
    threshold: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    including: tuple[OfficeID, ...] = ()
    duration_max_ms: Millis | None = None


class Agreement(Record, frozen=True, kw_only=True, dict=True):
    """The agreement; a later version names the digest of the one it supersedes."""

    v: Literal[1] = 1
    id: DocumentID
    version: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] = 1
    title: Text
    exercise: bool = False
    language: Annotated[str, msgspec.Meta(pattern=r"\A[a-z]{2}\Z")] = "en"
    legal_basis: Text
    members: Annotated[tuple[Member, ...], msgspec.Meta(min_length=2, max_length=5000)]
    collections: Annotated[tuple[Collection, ...], msgspec.Meta(min_length=1, max_length=1000)]
    kinds: Annotated[tuple[Kind, ...], msgspec.Meta(min_length=1, max_length=1000)]
    kind_rules: tuple[KindRule, ...] = ()
    purposes: Annotated[tuple[Purpose, ...], msgspec.Meta(min_length=1, max_length=1000)]
    purpose_required: bool = True
    grade_required: bool = True
    tlp_max: Literal["clear", "green", "amber", "amber+strict", "red"] = "amber+strict"
    excluded_uses: tuple[ExcludedUse, ...] = ()
    assurances: tuple[AssuranceTemplate, ...] = ()
    powers: tuple[Power, ...]
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

    def powers_of(self, party: str, verb: str) -> tuple[Power, ...]:
        """Every way in which this party may do this."""
        return tuple(p for p in self.powers if p.party == party and verb in p.verbs)
