"""Every reason code of the rules is given by ``decide`` in some case, with a remedy where it stands
in the way. A new code needs a line in ``CASES``."""

from __future__ import annotations

import ast

import pytest
from msgspec.structs import replace

from detente.model import (
    Agreement,
    Condition,
    Handling,
    Kind,
    Minimisation,
    PurposeTest,
    Question,
    Referred,
    Scope,
    Step,
)
from detente.rules.decision import Decision, decide
from detente.rules.standing import Act, fold
from tests.shared import ROOT
from tests.unit.rules.kit import (
    FROM,
    agreement,
    assurance,
    directive,
    effect,
    given,
    handling,
    opened,
)

AT = FROM + 100
CONDITION = directive("D1", "condition", conditions=(Condition(template="AS", scope=Scope()),))


def wanting(**demands: object) -> Agreement:
    """An agreement whose kind VI demands something."""
    terms = agreement(
        tests=(PurposeTest(id="T", title="Test", questions=(Question(id="q", text="Why?"),)),),
        minimisations=(Minimisation(id="M", title="Less", steps=(Step(do="keep", path="name"),)),),
    )
    first, *others = terms.kinds
    assert isinstance(first, Kind)
    return replace(terms, kinds=(replace(first, **demands), *others))


def inland() -> Agreement:
    """An agreement that says the countries of its members."""
    terms = agreement()
    return replace(terms, members=tuple(replace(one, country="USA") for one in terms.members))


#: What it takes for each code: the agreement, the handling, acts besides, and the recipient.
CASES: dict[str, tuple[Agreement, Handling, tuple[Act, ...], str]] = {
    "own": (agreement(), handling(), (), "A"),
    "agreement": (agreement(), handling(), (), "B"),
    "agreement.not-in-force": (agreement(from_ms=AT + 1), handling(), (), "B"),
    "outside-agreement": (agreement(), handling(), (), "C"),
    "purpose.missing": (agreement(), handling(purpose=None), (), "B"),
    "purpose.excluded": (agreement(), handling(purpose="r"), (), "B"),
    "grade.missing": (agreement(), handling(grade=None), (), "B"),
    "directive": (agreement(), handling(), (effect(directive("D1"), AT),), "B"),
    "directive.moderated": (
        agreement(), handling(), (effect(directive("D1", "moderate"), AT),), "B"
    ),
    "exempt": (agreement(), handling("SL"), (effect(directive("D1"), AT),), "B"),
    "assurance": (agreement(), handling(), (effect(CONDITION, AT), given(assurance(), AT)), "B"),
    "assurance.awaiting": (agreement(), handling(), (effect(CONDITION, AT),), "B"),
    "marking.above-limit": (agreement(), handling(markings=("tlp:red",)), (), "B"),
    "marking.unknown": (agreement(), handling(markings=("other:x",)), (), "B"),
    "marking.pap-without-limit": (agreement(), handling(markings=("pap:green",)), (), "B"),
    "marking.pap-above-limit": (
        agreement(pap_max="green"), handling(markings=("pap:red",)), (), "B"
    ),
    "marking.not-agreed": (agreement(), handling(markings=("europol:h0",)), (), "B"),
    "marking.originator-control": (
        agreement(), handling(markings=("orcon",), originator="C"), (), "B"
    ),
    "marking.country-unsaid": (agreement(), handling(markings=("rel:COL",)), (), "B"),
    "marking.not-releasable": (inland(), handling(markings=("rel:COL",)), (), "B"),
    "marking.no-foreign": (inland(), handling(markings=("noforn:COL",)), (), "B"),
    "marking.some-units": (inland(), handling(markings=("rel:unit/B/U",)), (), "B"),
    "assessment.missing": (wanting(assessed=True), handling(), (), "B"),
    "reference.unknown": (
        wanting(references="hold"), handling(refers=(Referred(),)), (), "B"
    ),
    "reference.held": (
        wanting(references="hold"),
        handling(refers=(Referred.to(handling("VT", markings=("tlp:red",))),)),
        (),
        "B",
    ),
    "moderated": (wanting(moderated=True), handling(), (), "B"),
    "second-check": (agreement(second_person=True), handling(flags=("derived",)), (), "B"),
    "bulk": (wanting(bulk_max=1), handling(flags=("bulk",)), (), "B"),
    "evidence.missing": (wanting(evidence=True), handling(), (), "B"),
    "nature.missing": (wanting(nature=True), handling(), (), "B"),
    "freshness.stale": (wanting(fresh_within_ms=1000), handling(flags=("stale",)), (), "B"),
    "grade.below": (
        wanting(grade_least="admiralty:B2"), handling(grade="admiralty:C3"), (), "B"
    ),
    "grade.not-comparable": (wanting(grade_least="admiralty:B2"), handling(), (), "B"),
    "test.missing": (wanting(tests=("T",)), handling(), (), "B"),
    "minimisation.not-run": (wanting(minimise=("M",)), handling(), (), "B"),
}  # fmt: skip
#: Codes that stand for what lets an item go: nothing has to change.
GOOD = {"agreement", "assurance", "exempt", "own"}


def decided(code: str) -> Decision:
    terms, item, acts, recipient = CASES[code]
    return decide(fold([*opened(terms), *acts], AT), item, sender="A", recipient=recipient)


def _texts(node: ast.expr) -> set[str]:
    """Every text that an expression may be, as far as it is written out."""
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def codes_in_source() -> set[str]:
    found: set[str] = set()
    for path in sorted((ROOT / "src" / "detente" / "rules").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason":
                written = [_texts(word.value) for word in node.keywords if word.arg == "code"]
                assert all(written), f"{path.name}:{node.lineno}: a code that is not written out"
                found = found.union(*written)
    return found


@pytest.mark.parametrize("code", CASES)
def test_each_reason_is_given_with_words_and_what_would_change_it(code: str) -> None:
    decision = decided(code)
    reason = next(one for one in decision.reasons if one.code == code)
    assert reason.words
    if code in GOOD:
        assert (decision.outcome, reason.remedy) == ("release", "")
    else:
        assert decision.outcome != "release"
        assert reason.remedy


def test_every_code_of_the_rules_is_given_in_some_case() -> None:
    produced = {reason.code for code in CASES for reason in decided(code).reasons}
    assert produced == codes_in_source() == CASES.keys()


def test_every_code_of_the_rules_has_its_heading_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "reasons.md").read_text()
    headed = {line[4:-1] for line in text.splitlines() if line.startswith("## `")}
    assert headed == codes_in_source()
