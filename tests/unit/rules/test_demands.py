"""What a kind demands of an item, its grade among it, and what a person may pass."""

from __future__ import annotations

import msgspec
import pytest

from detente.errors import Invalid
from detente.model import Kind, Minimisation, PurposeTest, Question, Referred, Step
from detente.rules.answers import ANSWER_LENGTH_MAX, answered
from detente.rules.decision import Decision, decide
from detente.rules.demands import flag_of
from detente.rules.grade import parse_grade, worse_than
from detente.rules.standing import fold
from tests.unit.rules.kit import FROM, agreement, handling, opened

WORSE = [
    ("admiralty:B2", "admiralty:B2", False),
    ("admiralty:A1", "admiralty:B2", False),
    ("admiralty:A3", "admiralty:B2", True),
    ("admiralty:C1", "admiralty:B2", True),
    ("admiralty:E5", "admiralty:E5", False),
    # What cannot be judged is neither good nor bad.
    ("admiralty:F1", "admiralty:E5", None),
    ("admiralty:A6", "admiralty:E5", None),
    ("admiralty:F6", "admiralty:A1", None),
    ("4x4:A1", "4x4:B2", False),
    ("4x4:C2", "4x4:B2", True),
    ("4x4:A4", "4x4:B2", True),
    ("4x4:X1", "4x4:C4", None),
    # UK 5x5x5: 4 cannot be judged, 5 is suspected to be false; E is untested, D unreliable.
    ("5x5x5:B3", "5x5x5:D3", False),
    ("5x5x5:A5", "5x5x5:D3", True),
    ("5x5x5:A4", "5x5x5:D5", None),
    ("5x5x5:A4", "5x5x5:A1", None),
    ("5x5x5:E1", "5x5x5:D3", None),
    ("5x5x5:D1", "5x5x5:C3", True),
    ("5x5x5:B33", "5x5x5:B3", False),
    # UK 3x5x2: D is not known, E suspected to be false; 2 is untested, 3 not reliable.
    ("3x5x2:1AP", "3x5x2:1C", False),
    ("3x5x2:1EC", "3x5x2:3C", True),
    ("3x5x2:1DP", "3x5x2:3E", None),
    ("3x5x2:2A", "3x5x2:3E", None),
    ("3x5x2:3A", "3x5x2:1A", True),
    # Nothing is converted, and a version that is asked for is asked for.
    ("admiralty:A1", "4x4:B2", None),
    ("4x4:A1", "admiralty:E5", None),
    ("own:1", "own:1", None),
    (None, "admiralty:B2", None),
    ("admiralty:Z1", "admiralty:B2", None),
    ("5x5x5@2010:A1", "5x5x5:B2", False),
    ("5x5x5@2010:A1", "5x5x5@2010:B2", False),
    ("5x5x5@2005:A1", "5x5x5@2010:B2", None),
    ("5x5x5:A1", "5x5x5@2010:B2", None),
]


@pytest.mark.parametrize(("grade", "least", "worse"), WORSE)
def test_grades_are_compared_within_their_scheme_and_never_where_nobody_has_judged(
    grade: str | None, least: str, worse: bool | None
) -> None:
    assert worse_than(grade, least) is worse


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("admiralty:B2", ("admiralty", "", "B2")),
        ("5x5x5@2010:B23", ("5x5x5", "2010", "B23")),
        ("propia:muy fiable ñ", ("propia", "", "muy fiable ñ")),
    ],
)
def test_a_grade_is_kept_as_it_is(text: str, parts: tuple[str, str, str]) -> None:
    assert parse_grade(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "", "B2", ":B2", "admiralty:", "admiralty:b2", "admiralty:B", "admiralty:B2 ", "4x4:A5",
        "two words:1", "x:\n", "x: 1", "x:" + "1" * 65, "x@:\x00", "x@y z:1", "-:1",
    ],
)  # fmt: skip
def test_what_is_no_grade_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        parse_grade(text)


def decided(kind: Kind, **fields: object) -> Decision:
    made = agreement(kinds=(kind, Kind(id="XX", title="other", moderated=True)))
    return decide(fold(opened(made), FROM), handling(**fields), sender="A", recipient="B")  # type: ignore[arg-type]  # fields of the handling


def kind(**fields: object) -> Kind:
    return msgspec.structs.replace(Kind(id="VI", title="vessel"), **fields)


DEMANDS = [
    ({}, (), "release", {"agreement"}),
    ({"moderated": True}, (), "moderate", {"moderated"}),
    ({}, ("derived",), "moderate", {"second-check"}),
    ({"bulk_max": 3}, ("bulk",), "moderate", {"bulk"}),
    ({"evidence": True}, (), "hold", {"evidence.missing"}),
    ({"evidence": True}, ("evidence",), "release", {"agreement"}),
    ({"nature": True}, (), "hold", {"nature.missing"}),
    ({"nature": True}, ("fact",), "release", {"agreement"}),
    ({"nature": True}, ("assessment",), "release", {"agreement"}),
    ({"fresh_within_ms": 1000}, ("stale",), "moderate", {"freshness.stale"}),
    ({"tests": ("T1", "T2")}, ("tested:T1",), "moderate", {"test.missing"}),
    ({"tests": ("T1", "T2")}, ("tested:T1", "tested:T2"), "release", {"agreement"}),
    ({"minimise": ("M1",)}, (), "hold", {"minimisation.not-run"}),
    ({"minimise": ("M1",)}, ("minimised:M1",), "release", {"agreement"}),
    # What only a person may pass does not pass what nobody may.
    ({"moderated": True, "evidence": True}, (), "hold", {"moderated", "evidence.missing"}),
    # Consent to use in court is asked for by nothing, and gives nothing.
    ({"evidence": True}, ("court",), "hold", {"evidence.missing"}),
]


def test_another_rule_of_the_same_name_has_not_run_and_was_not_answered() -> None:
    test = PurposeTest(id="T1", title="t", questions=(Question(id="q", text="Why?"),))
    less = Minimisation(id="M1", title="m", steps=(Step(do="remove", path="x"),))
    asked = kind(tests=("T1",), minimise=("M1",))
    terms = agreement(kinds=(asked,), tests=(test,), minimisations=(less,))
    done = (flag_of(terms, "minimised", "M1"), flag_of(terms, "tested", "T1"))
    other = msgspec.structs.replace(less, steps=(Step(do="remove", path="y"),))
    another = msgspec.structs.replace(test, title="Another")
    for changed, codes in (
        ({}, {"agreement"}),
        ({"minimisations": (other,)}, {"minimisation.not-run"}),
        ({"tests": (another,)}, {"test.missing"}),
    ):
        made = msgspec.structs.replace(terms, **changed)
        found = decide(fold(opened(made), FROM), handling(flags=done), sender="A", recipient="B")
        assert {one.code for one in found.reasons} == codes


@pytest.mark.parametrize(("demands", "flags", "outcome", "codes"), DEMANDS)
def test_what_is_demanded_and_not_there_keeps_it_back_and_says_what_would_help(
    demands: dict[str, object], flags: tuple[str, ...], outcome: str, codes: set[str]
) -> None:
    found = decided(kind(**demands), flags=flags)
    assert (found.outcome, {one.code for one in found.reasons}) == (outcome, codes)
    assert outcome == "release" or all(one.remedy for one in found.reasons)


VESSEL = Referred(
    kind="VI", stix_type="infrastructure", unit="U", purpose="p", originator="A", grade="x:1"
)


@pytest.mark.parametrize(
    ("refers", "outcome", "code"),
    [
        ((), "release", "agreement"),
        ((VESSEL,), "release", "agreement"),
        ((Referred(),), "moderate", "reference.unknown"),
        ((msgspec.structs.replace(VESSEL, markings=("tlp:red",)),), "hold", "reference.held"),
        ((msgspec.structs.replace(VESSEL, kind="ZZ"),), "hold", "reference.held"),
        ((msgspec.structs.replace(VESSEL, purpose="war"),), "hold", "reference.held"),
        ((msgspec.structs.replace(VESSEL, grade=None),), "hold", "reference.held"),
        # What waits for an eye is passed by the same eye.
        ((msgspec.structs.replace(VESSEL, kind="XX"),), "moderate", "reference.held"),
        ((msgspec.structs.replace(VESSEL, flags=("bulk",)),), "moderate", "reference.held"),
    ],
)
def test_an_item_waits_for_what_it_refers_to(
    refers: tuple[Referred, ...], outcome: str, code: str
) -> None:
    found = decided(kind(references="hold"), refers=refers)
    assert (found.outcome, [one.code for one in found.reasons]) == (outcome, [code])
    assert decided(kind(), refers=refers).outcome == "release"


TEST = PurposeTest(
    id="T1",
    title="Test",
    questions=(
        Question(id="a", text="?", choices=("no", "yes"), passing=("no",)),
        Question(id="b", text="?", choices=("x", "y")),
        Question(id="c", text="?"),
    ),
)


@pytest.mark.parametrize(
    ("answers", "passed"),
    [
        ({"a": "no", "b": "x", "c": "words"}, True),
        ({"a": "no", "b": "y", "c": "w" * ANSWER_LENGTH_MAX}, True),
        ({"a": "yes", "b": "x", "c": "words"}, False),
    ],
)
def test_a_test_is_passed_by_its_passing_answers_only(
    answers: dict[str, str], passed: bool
) -> None:
    (found,) = answered(agreement(tests=(TEST,)), {"T1": answers})
    assert (found.test, found.answers, found.passed) == ("T1", answers, passed)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"T2": {}}, "test.unknown"),
        ({"T1": {}}, "test.unanswered"),
        ({"T1": {"a": "no", "b": "x"}}, "test.unanswered"),
        ({"T1": {"a": "no", "b": "x", "c": " \n"}}, "test.unanswered"),
        ({"T1": {"a": "no", "b": "x", "c": "w", "d": "w"}}, "test.question"),
        ({"T1": {"a": "No", "b": "x", "c": "w"}}, "test.choice"),
        ({"T1": {"a": "no", "b": "z", "c": "w"}}, "test.choice"),
        ({"T1": {"a": "no", "b": "x", "c": "w" * (ANSWER_LENGTH_MAX + 1)}}, "test.length"),
    ],
)
def test_half_an_answer_is_none(given: dict[str, dict[str, str]], code: str) -> None:
    with pytest.raises(Invalid) as found:
        answered(agreement(tests=(TEST,)), given)
    assert found.value.code == code
