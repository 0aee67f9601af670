"""Answers: a purpose test is passed or failed by what somebody said to its questions (R44).

Every question is answered or none: half a test is no test. A failed one is an answer too, and is
kept like a passed one; it only opens nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from detente.errors import Invalid
from detente.model import Agreement, PurposeTest
from detente.model.names import Code, Record

__all__ = ["ANSWER_LENGTH_MAX", "Answered", "answered"]

#: Letters of one answer in words: a page.
ANSWER_LENGTH_MAX: Final = 4000


class Answered(Record, frozen=True, kw_only=True):
    """A test, what was said to each of its questions, and whether that passes it."""

    test: Code
    answers: dict[Code, Annotated[str, msgspec.Meta(max_length=ANSWER_LENGTH_MAX)]]
    passed: bool


def answered(agreement: Agreement, given: Mapping[str, Mapping[str, str]]) -> tuple[Answered, ...]:
    """The tests that these answers are for, by name.

    Refuses a test or question that the agreement does not have, one that is left out or without
    words, and an answer that is none of the choices.
    """
    tests = {test.id: test for test in agreement.tests}
    found = []
    for name, answers in sorted(given.items()):
        test = tests.get(name)
        if test is None:
            raise Invalid(
                "test.unknown",
                f"Expected a test among {', '.join(tests) or 'none'}, got {name[:64]}.",
            )
        found.append(_checked(test, answers))
    return tuple(found)


def _checked(test: PurposeTest, answers: Mapping[str, str]) -> Answered:
    strange = sorted(answers.keys() - {one.id for one in test.questions})
    if strange:
        raise Invalid(
            "test.question",
            f"Expected a question of {test.id} "
            f"({', '.join(one.id for one in test.questions)}), got {strange[0][:64]}.",
        )
    passed = True
    for question in test.questions:
        said = answers.get(question.id, "").strip()
        if not said:
            raise Invalid(
                "test.unanswered", f"Expected an answer to {test.id}.{question.id}, got none."
            )
        if question.choices and said not in question.choices:
            raise Invalid(
                "test.choice",
                f"Expected one of {', '.join(question.choices)} to {test.id}.{question.id}, "
                f"got {said[:64]}.",
            )
        if len(said) > ANSWER_LENGTH_MAX:
            raise Invalid(
                "test.length",
                f"Expected at most {ANSWER_LENGTH_MAX} letters to {test.id}.{question.id}, "
                f"got {len(said)}.",
            )
        passed = passed and (not question.passing or said in question.passing)
    plain = {question.id: answers[question.id].strip() for question in test.questions}
    return Answered(test=test.id, answers=plain, passed=passed)
