"""Demands: what the agreement asks of an item of a kind before it is given.

Each that is not met keeps the item back, with its reason. Some a person may pass for a single item
(``Reason.review``): those that ask for a person's eye, and those that a person can make good by
answering. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from detente.model import (
    Agreement,
    Handling,
    Kind,
    Minimisation,
    PurposeTest,
    digest,
    encode,
)
from detente.rules.grade import worse_than
from detente.rules.reason import Reason

__all__ = ["flag_of", "unmet", "untested"]


def unmet(agreement: Agreement, kind: Kind, handling: Handling) -> tuple[Reason, ...]:
    """What the item lacks of what the agreement demands for its kind, in the order of the fields
    of ``Kind``. Assurances and assessments are no matter of the item: ``decision`` asks for them.
    """
    source = f"agreement {agreement.id}, kind {kind.id}"
    return (
        *_eyes(agreement, kind, handling, source),
        *_said(kind, handling, source),
        *_done(agreement, kind, handling),
    )


def _eyes(agreement: Agreement, kind: Kind, handling: Handling, source: str) -> Iterator[Reason]:
    """What a person has to see before it goes."""
    if kind.moderated:
        yield Reason(
            code="moderated",
            source=source,
            words=f"Each item of kind {kind.id} is reviewed before it is given.",
            remedy="An office with the power to review releases this item.",
            review=True,
        )
    if "derived" in handling.flags:
        yield Reason(
            code="second-check",
            source=f"agreement {agreement.id}",
            words="Derived from another item; a second person has to see it.",
            remedy="An office with the power to review, not its author, releases this item.",
            review=True,
        )
    if "bulk" in handling.flags:
        yield Reason(
            code="bulk",
            source=source,
            words=f"It came with more of kind {kind.id} at once than go without review.",
            remedy="An office with the power to review releases this item.",
            review=True,
        )


def _said(kind: Kind, handling: Handling, source: str) -> Iterator[Reason]:
    """What has to be said of it."""
    if kind.evidence and "evidence" not in handling.flags:
        yield Reason(
            code="evidence.missing",
            source=source,
            words=f"Kind {kind.id} is not given without evidence, and none is named.",
            remedy="Publish a version that names its evidence.",
        )
    if kind.nature and not {"assessment", "fact"} & {*handling.flags}:
        yield Reason(
            code="nature.missing",
            source=source,
            words="It is not said whether this is fact or assessment.",
            remedy="Publish a version that says it.",
        )
    if "stale" in handling.flags:
        yield Reason(
            code="freshness.stale",
            source=source,
            words="What it tells was seen longer ago than is given of this kind.",
            remedy="An office with the power to review releases this item.",
            review=True,
        )
    if kind.grade_least is not None:
        yield from _grade(kind, handling, source)


def _done(agreement: Agreement, kind: Kind, handling: Handling) -> Iterator[Reason]:
    """What has to be answered about it, and done to it."""
    for test in untested(agreement, kind, handling):
        yield Reason(
            code="test.missing",
            source=f"agreement {agreement.id}, test {test}",
            words=f"Test {test} was not answered before it was entered.",
            remedy=f"An office with the power to review answers {test} and releases this item.",
            review=True,
        )
    for one in kind.minimise:
        if flag_of(agreement, "minimised", one) not in handling.flags:
            yield Reason(
                code="minimisation.not-run",
                source=f"agreement {agreement.id}, minimisation {one}",
                words=f"Minimisation {one} has not run on it.",
                remedy="Publish it with its minimisations.",
            )


def untested(agreement: Agreement, kind: Kind, handling: Handling) -> tuple[str, ...]:
    """The tests of its kind that were not answered before the item was entered (R44)."""
    return tuple(
        test for test in kind.tests if flag_of(agreement, "tested", test) not in handling.flags
    )


def flag_of(agreement: Agreement, what: Literal["minimised", "tested"], name: str) -> str:
    """The flag of an item on which this minimisation has run, or for which this test was passed.
    It has a short digest of what the agreement says there: a later version that asks or takes out
    something else under the same name does not hold what came before it for done."""
    rules: tuple[Minimisation | PurposeTest, ...] = (
        agreement.minimisations if what == "minimised" else agreement.tests
    )
    said = next((one for one in rules if one.id == name), None)
    return f"{what}:{name}" if said is None else f"{what}:{name}@{digest(encode(said))[:8]}"


def _grade(kind: Kind, handling: Handling, source: str) -> list[Reason]:
    least = kind.grade_least or ""
    worse = worse_than(handling.grade, least)
    if worse is False:
        return []
    return [
        Reason(
            code="grade.below" if worse else "grade.not-comparable",
            source=source,
            words=f"Graded {handling.grade or 'not at all'}; kind {kind.id} is given from {least}.",
            remedy=f"Publish a version graded {least} or better, in that scheme.",
        )
    ]
