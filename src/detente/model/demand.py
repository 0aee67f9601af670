"""Demands: what an agreement wants done to an item, or answered about it, before it is given.

A *test* is questions that somebody answers before items leave (R44); a *minimisation* is steps that
have run on an object before it is entered (R42). The same steps make tear-lines (R38).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.names import Code, Record, Text

__all__ = ["Minimisation", "PurposeTest", "Question", "Step", "StepName"]

#: Things that are done to an object. Each takes something away; none adds what was not there.
StepName = Literal[
    "coarsen-position", "coarsen-time", "drop-references", "keep", "remove", "replace"
]


class Question(Record, frozen=True, kw_only=True):
    """One question; with ``choices`` the answer is one of them, else words. ``passing`` are the
    choices with which the test is passed (all if empty)."""

    id: Code
    text: Text
    choices: tuple[Code, ...] = ()
    passing: tuple[Code, ...] = ()


class PurposeTest(Record, frozen=True, kw_only=True):
    """Questions to be answered, on the record, before what they are about leaves."""

    id: Code
    title: Text
    questions: Annotated[tuple[Question, ...], msgspec.Meta(min_length=1, max_length=100)]


class Step(Record, frozen=True, kw_only=True):
    """One step of a transform, on what ``path`` names: property names with dots between, ``[0]``
    for an element of a list, ``*`` for every element of a list or every value of an object.

    ``remove`` takes it away; ``keep`` takes away all other properties of the object but those
    that STIX requires and the markings (several in a row keep what any of them names); ``replace``
    puts ``text`` in place of a text; ``coarsen-position`` rounds degrees to a grid of ``cell_mdeg``
    thousandths; ``coarsen-time`` rounds times down to ``span_ms``; ``drop-references`` takes out
    references to objects that are not given. The last three are done to all of the object if
    ``path`` is empty.
    """

    do: StepName
    path: Annotated[str, msgspec.Meta(max_length=300)] = ""
    text: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    cell_mdeg: Annotated[int, msgspec.Meta(ge=1, le=90_000)] | None = None
    span_ms: Annotated[int, msgspec.Meta(ge=1000, lt=2**53)] | None = None


class Minimisation(Record, frozen=True, kw_only=True):
    """Steps that take out what the recipient does not need."""

    id: Code
    title: Text
    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1, max_length=100)]
