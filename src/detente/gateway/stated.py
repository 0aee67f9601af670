"""Stated: what a publication says of its objects, or its collection says for it.

An object's own extension (``wire.stated``) wins over the publication, the publication over the
collection. What is demanded and said by none of them refuses; nothing is made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from detente.errors import DetenteError, Invalid, Missing, NotAuthorised
from detente.gateway.gate import Current
from detente.model import Agreement, Kind
from detente.model import Collection as Terms
from detente.model.names import PartyID, Record
from detente.rules.answers import Answered, answered
from detente.rules.grade import parse_grade
from detente.wire.stated import STATED
from detente.wire.stix import Cut, CutObject

__all__ = [
    "Publication",
    "Published",
    "Refused",
    "Said",
    "Stated",
    "Warned",
    "check_said",
    "collection_of",
    "grade_of",
    "purpose_of",
    "refusal",
    "stated_of",
    "whole",
]

#: References to evidence that one publication may name for all its objects.
EVIDENCE_MAX: Final = 100
#: Letters of one such reference, and of a legal basis.
REFERENCE_LENGTH_MAX: Final = 1000
LEGAL_LENGTH_MAX: Final = 2000

Nature = Literal["fact", "assessment"]


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher gives: the bytes, and what STIX has no field for.

    ``court``: its originator consents to use as evidence in court; never taken from anything else.
    ``expect``: how many objects it is meant to have. ``answers`` are to purpose tests, by test and
    question. ``originator``: whose it is, if not the publisher's own. ``flags`` and ``markings``
    (of the handling, besides what the objects say) are for services of this node; no face hands
    them on.
    """

    agreement: str
    collection: str
    party: str
    body: bytes
    kind: str | None = None
    purpose: str | None = None
    grade: str | None = None
    unit: str | None = None
    partial: bool = False
    nature: Nature | None = None
    evidence: tuple[str, ...] = ()
    observed_ms: int | None = None
    originator: str | None = None
    legal_basis: str = ""
    court: bool = False
    expect: int | None = None
    answers: Mapping[str, Mapping[str, str]] = msgspec.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    markings: tuple[str, ...] = ()


class Refused(Record, frozen=True, kw_only=True):
    """One object that was not taken: its place in the request, and why."""

    index: int
    id: str = ""
    type: str = ""
    code: str
    sentence: str
    path: str = ""
    version: str = ""


class Warned(Record, frozen=True, kw_only=True):
    """One object that was taken though it is not strictly valid, or not as it came."""

    index: int
    id: str
    code: str
    sentence: str
    path: str = ""


class Published(Record, frozen=True, kw_only=True):
    """The answer to a publication, once it is on disk.

    ``ids`` and ``versions`` are those of all objects that are here now, known ones included (no
    version where the object has none). ``outcomes`` says for each reader how many of the new items
    are released, moderated, held or refused by the present standing; ``first`` and ``end`` bound
    their sequence numbers. ``tests`` says which were passed or failed, ``bulk`` of which kinds more
    came at once than pass without review, and how many.
    """

    agreement: str
    collection: str
    taken: int
    known: int
    refused: tuple[Refused, ...]
    warnings: tuple[Warned, ...]
    first: int
    end: int
    entry: int | None
    root: str
    by_type: dict[str, int]
    outcomes: dict[str, dict[str, int]]
    ids: tuple[str, ...]
    versions: tuple[str, ...]
    tests: dict[str, str] = msgspec.field(default_factory=dict)
    bulk: dict[str, int] = msgspec.field(default_factory=dict)


class Said(Record, frozen=True, kw_only=True):
    """What was said for all objects of a publication and stands in no handling as it was said.
    Kept beside the ledger, which holds a salted commitment only: it may be erased."""

    nature: str = ""
    evidence: tuple[str, ...] = ()
    observed_ms: int | None = None
    originator: str = ""
    legal_basis: str = ""
    court: bool = False


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all objects that do not say otherwise themselves, checked."""

    agreement: Agreement
    collection: str
    sender: str
    unit: str
    kind: str | None
    purpose: str | None
    grades: tuple[str, ...]
    partial: bool
    said: Said
    tests: tuple[Answered, ...]
    flags: tuple[str, ...]
    markings: tuple[str, ...]
    now_ms: int


def collection_of(current: Current | None, publication: Publication) -> tuple[Agreement, Terms]:
    """The agreement and the collection, if this party may write to it."""
    agreement = current.standing.agreement if current else None
    collection = agreement.collection(publication.collection) if agreement else None
    if agreement is None or collection is None:
        raise Missing(
            "collection.unknown",
            f"Expected a collection of an agreement, got {publication.collection}.",
            hint="`detente agreement show` lists the collections.",
        )
    if collection.sender != publication.party:
        raise NotAuthorised(
            "collection.not-sender",
            f"Expected {collection.sender} to write to {collection.name}, got {publication.party}.",
        )
    return agreement, collection


def stated_of(
    publication: Publication, agreement: Agreement, collection: Terms, *, now_ms: int
) -> Stated:
    """What the publication says, completed by its collection. Refuses what is not the agreement's:
    a purpose, grade, unit, kind or test; not what is missing, for each object may say it itself
    (``check_said``)."""
    if publication.kind is not None and agreement.kind(publication.kind) is None:
        raise Invalid(
            "publish.kind",
            f"Expected a kind among {', '.join(k.id for k in agreement.kinds)}, "
            f"got {publication.kind}.",
        )
    purpose = publication.purpose or collection.purpose
    if purpose is not None:
        purpose_of(agreement, purpose)
    grade = publication.grade or collection.grade
    grades = () if grade is None else (grade,)
    grade_of(agreement, None, grades)
    return Stated(
        agreement=agreement,
        collection=collection.name,
        sender=publication.party,
        unit=_unit(publication, agreement, collection),
        kind=publication.kind,
        purpose=purpose,
        grades=grades,
        partial=publication.partial,
        said=_said(publication),
        tests=answered(agreement, publication.answers),
        flags=publication.flags,
        markings=publication.markings,
        now_ms=now_ms,
    )


def _unit(publication: Publication, agreement: Agreement, collection: Terms) -> str:
    member = agreement.member(publication.party)
    units = member.units if member else ()
    unit = publication.unit or collection.unit or (units[0] if len(units) == 1 else None)
    if unit is None or unit not in units:
        raise Invalid(
            "publish.unit",
            f"Expected a unit among {', '.join(units)}, got {unit or 'none'}.",
            hint="Say it with --unit.",
        )
    return unit


def _said(publication: Publication) -> Said:
    """Through the record's own bounds: what comes from a query is any text."""
    longest = max((len(one) for one in publication.evidence), default=0)
    for what, count, most in (
        ("references to evidence", len(publication.evidence), EVIDENCE_MAX),
        ("letters of a reference", longest, REFERENCE_LENGTH_MAX),
        ("letters of legal basis", len(publication.legal_basis), LEGAL_LENGTH_MAX),
    ):
        if count > most:
            raise Invalid("publish.said", f"Expected at most {most} {what}, got {count}.")
    if not all(one.strip() for one in publication.evidence):
        raise Invalid("publish.said", "Expected references to evidence, got an empty one.")
    said = Said(
        nature=publication.nature or "",
        evidence=publication.evidence,
        observed_ms=publication.observed_ms,
        originator=publication.originator or "",
        legal_basis=publication.legal_basis,
        court=publication.court,
    )
    if said.originator:
        try:
            msgspec.convert(said.originator, PartyID)
        except msgspec.ValidationError as error:
            raise Invalid(
                "publish.originator", f"Expected the id of a party, got {said.originator[:64]!r}."
            ) from error
    return said


def check_said(stated: Stated, done: Cut) -> None:
    """Refuse as a whole what no object could make good by what it says of itself."""
    if any(STATED in one.extensions for one in done.objects):
        return
    purpose_of(stated.agreement, stated.purpose)
    grade_of(stated.agreement, None, stated.grades, missing=stated.agreement.grade_required)


def purpose_of(agreement: Agreement, purpose: str | None, *, path: str = "") -> str | None:
    """The purpose, if it is one of the agreement's; missing only where none is demanded (R34)."""
    known = [one.id for one in agreement.purposes]
    if purpose is None and agreement.purpose_required:
        raise Invalid(
            "publish.purpose",
            f"Expected a purpose ({', '.join(known)}), got none.",
            hint="Say it with --purpose.",
        )
    if purpose is not None and purpose not in known:
        raise Invalid(
            "publish.purpose",
            f"Expected a purpose among {', '.join(known)}, got {purpose[:64]}.",
            path=path,
        )
    return purpose


def grade_of(
    agreement: Agreement,
    kind: Kind | None,
    grades: Iterable[str],
    *,
    missing: bool = False,
    path: str = "",
) -> str | None:
    """The grade that counts of those given, each native and none converted: the one in the scheme
    that the kind has its minimum in, else the first whose scheme the agreement counts. Refuses
    what is no grade, and grades of which no scheme counts; none at all if ``missing`` (R34, R35).
    """
    schemes: dict[str, str] = {}
    for grade in grades:
        try:
            scheme, _, _ = parse_grade(grade)
        except ValueError as error:
            raise Invalid("publish.grade", f"{error}.", path=path) from error
        if not agreement.grades or scheme in agreement.grades:
            schemes.setdefault(scheme, grade)
        elif not schemes:
            schemes[""] = grade
    other = schemes.pop("", None)
    if other is not None and not schemes:
        raise Invalid(
            "publish.grade-scheme",
            f"Expected a grade in a scheme that counts ({', '.join(agreement.grades)}), "
            f"got {other}.",
            path=path,
        )
    if not schemes:
        if missing:
            raise Invalid(
                "publish.grade",
                "Expected a grade (scheme:value, such as admiralty:B2), got none.",
                hint="Say it with --grade.",
            )
        return None
    least = (kind.grade_least or "") if kind is not None else ""
    wanted = least.partition(":")[0].partition("@")[0]
    return schemes.get(wanted) or next(iter(schemes.values()))


def refusal(one: CutObject, error: DetenteError) -> Refused:
    """One object that is refused, and why."""
    return Refused(
        index=one.index,
        id=one.id,
        type=one.type,
        code=error.code,
        sentence=error.sentence,
        path=error.path,
        version=one.version,
    )


def whole(refused: list[Refused]) -> Invalid:
    """The refusal of a publication that was to be taken whole."""
    first = min(refused, key=lambda one: one.index)
    return Invalid(
        "publish.refused",
        f"Expected every object to be acceptable, got {len(refused)} that are not; first: "
        f"object {first.index} {first.id}: {first.sentence}",
        hint="Publish with --partial to take what is acceptable.",
        path=first.path,
    )
