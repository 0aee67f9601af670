"""Gaps: each way to get an agreement wrong is told with its code, place and remedy; of what is
right, nothing is told."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from detente.model import (
    Agreement,
    AssuranceTemplate,
    Charter,
    Collection,
    Contact,
    ExcludedUse,
    Kind,
    KindRule,
    Member,
    Minimisation,
    Notice,
    Onward,
    Oversight,
    PermittedUse,
    Power,
    Purpose,
    PurposeTest,
    Question,
    StandIn,
    Step,
)
from detente.rules import gaps as gaps_module
from detente.rules import gaps_open
from detente.rules.gaps import gaps
from tests.unit.rules.kit import charter

UUID = "5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d0"
YEAR_MS = 366 * 24 * 3_600_000
VERBS: Any = ("agree", "assure", "halt", "narrow", "review", "suspend")


def member(party: str, **fields: Any) -> Member:
    contact = Contact(office="Duty", reach="radio")
    made = Member(party=party, units=("U",), charter="0" * 64, contact=contact, country="XAA")
    return replace(made, **fields)


def powers(party: str) -> tuple[Power, ...]:
    return (
        Power(party=party, verbs=VERBS, offices=("head",)),
        Power(
            party=party, verbs=("resume",), offices=("head", "minister"), threshold=2,
            including=("minister",),
        ),
    )  # fmt: skip


#: Of this, nothing is to be said.
GOOD = Agreement(
    id="A1",
    title="A",
    legal_basis="memorandum",
    members=(member("A"), member("B")),
    collections=tuple(
        Collection(
            name=f"from-{sender}", id=f"{UUID}{number}", title=f"From {sender}", sender=sender,
            readers=(reader,),
        )
        for number, (sender, reader) in enumerate(("AB", "BA"), start=1)
    ),
    kinds=(
        Kind(id="PE", title="person", held="review", moderated=True, assurances=("AS",)),
        Kind(id="VT", title="track", held="expire", expire_after_ms=6000, grade_least="4x4:B2"),
        Kind(id="SL", title="life", exempt=True),
    ),
    kind_rules=(
        KindRule(kind="SL", types=("incident",)),
        KindRule(kind="VT", types=("sighting",), extension="x"),
        KindRule(kind="PE"),
    ),
    purposes=(Purpose(id="p", title="P"),),
    permitted_uses=(PermittedUse(id="PU", text="yes"),),
    excluded_uses=(ExcludedUse(id="XU", text="no"),),
    assurances=(AssuranceTemplate(id="AS", text="words", valid_max_ms=5000),),
    tests=(
        PurposeTest(
            id="T",
            title="t",
            questions=(Question(id="q", text="?", choices=("y", "n"), passing=("y",)),),
        ),
    ),
    minimisations=(
        Minimisation(id="M", title="m", steps=(Step(do="remove", path="name"),)),
    ),
    onward=Onward(),
    oversight=tuple(Oversight(party=party, body="court", inside=True) for party in "AB"),
    notice=Notice(end_ms=5),
    powers=(*powers("A"), *powers("B")),
    from_ms=1000,
    until_ms=1000 + YEAR_MS,
    review_ms=1000 + YEAR_MS,
)  # fmt: skip


def kind(**fields: Any) -> dict[str, Any]:
    return {"kinds": (replace(GOOD.kinds[0], **fields), *GOOD.kinds[1:])}


def collection(**fields: Any) -> dict[str, Any]:
    return {"collections": (replace(GOOD.collections[0], **fields), *GOOD.collections[1:])}


def power(**fields: Any) -> dict[str, Any]:
    return {"powers": (replace(GOOD.powers[0], **fields), *GOOD.powers[1:])}


def stand_in(**fields: Any) -> dict[str, Any]:
    one = StandIn(party="A", office="head", to="duty", verbs=(), until_ms=5)
    return {"delegations": (replace(one, **fields),)}


def without(verb: str, party: str = "A") -> dict[str, Any]:
    return {
        "powers": tuple(
            replace(one, verbs=tuple(v for v in one.verbs if v != verb) or ("condition",))
            if one.party == party
            else one
            for one in GOOD.powers
        )
    }


def step(**fields: Any) -> dict[str, Any]:
    return {"minimisations": (Minimisation(id="M", title="m", steps=(Step(**fields),)),)}


def question(**fields: Any) -> PurposeTest:
    made = Question(id="q", text="?", choices=("y", "n"), passing=("y",))
    return PurposeTest(id="T", title="t", questions=(replace(made, **fields),))


QUESTIONS = (*question().questions, *question().questions)
THIRD = {
    "members": (*GOOD.members, member("C")),
    "oversight": (*GOOD.oversight, Oversight(party="C", body="court", inside=True)),
}
C_READS = {**THIRD, **collection(readers=("B", "C"))}
C_AGREES = (*GOOD.powers, Power(party="C", verbs=("agree", "assure"), offices=("head",)))
RULES = GOOD.kind_rules

ERRORS: list[tuple[str, str, dict[str, Any]]] = [
    ("name.repeated", "$.members[2]", {"members": (*GOOD.members, member("A"))}),
    ("name.repeated", "$.kinds[3]", {"kinds": (*GOOD.kinds, GOOD.kinds[0])}),
    ("name.repeated", "$.purposes[1]", {"purposes": GOOD.purposes * 2}),
    ("name.repeated", "$.assurances[1]", {"assurances": GOOD.assurances * 2}),
    ("name.repeated", "$.tests[1]", {"tests": GOOD.tests * 2}),
    ("name.repeated", "$.minimisations[1]", {"minimisations": GOOD.minimisations * 2}),
    ("name.repeated", "$.permitted_uses[1]", {"permitted_uses": GOOD.permitted_uses * 2}),
    ("name.repeated", "$.excluded_uses[1]", {"excluded_uses": GOOD.excluded_uses * 2}),
    ("collection.repeated", "$.collections[1]", collection(name="from-B")),
    ("collection.repeated", "$.collections[1]", collection(id=f"{UUID}2")),
    ("collection.repeated", "$.collections[1].title", collection(title="From B")),
    ("use.both", "$.excluded_uses[0]", {"excluded_uses": (ExcludedUse(id="PU", text="no"),)}),
    (
        "unit.repeated",
        "$.members[0].units[1]",
        {"members": (member("A", units=("U", "U")), member("B"))},
    ),
    ("unit.none", "$.members[1].units", {"members": (member("A"), member("B", units=()))}),
    ("collection.sender-unknown", "$.collections[0].sender", collection(sender="X")),
    ("collection.reader-unknown", "$.collections[0].readers[1]", collection(readers=("B", "X"))),
    ("collection.unit-unknown", "$.collections[0].unit", collection(unit="X")),
    ("collection.purpose-unknown", "$.collections[0].purpose", collection(purpose="x")),
    ("grade.form", "$.collections[0].grade", collection(grade="good")),
    (
        "grade.not-counted",
        "$.collections[0].grade",
        {**collection(grade="admiralty:B2"), "grades": ("4x4",)},
    ),
    ("grade.not-counted", "$.kinds[1].grade_least", {"grades": ("admiralty",)}),
    ("grade.unmeetable", "$.kinds[0].grade_least", kind(grade_least="admiralty:F3")),
    ("grade.unmeetable", "$.kinds[0].grade_least", kind(grade_least="home:1")),
    ("grade.unmeetable", "$.kinds[0].grade_least", kind(grade_least="good")),
    ("kind.demand-unknown", "$.kinds[0].assurances[0]", kind(assurances=("X",))),
    ("kind.demand-unknown", "$.kinds[0].tests[1]", kind(tests=("T", "X"))),
    ("kind.demand-unknown", "$.kinds[0].minimise[0]", kind(minimise=("X",))),
    ("kind.no-time", "$.kinds[0].expire_after", kind(held="expire")),
    ("kind.time-unused", "$.kinds[0].expire_after", kind(expire_after_ms=5000)),
    (
        "rule.kind-unknown",
        "$.kind_rules[0].kind",
        {"kind_rules": (KindRule(kind="X", types=("a",)), *RULES)},
    ),
    (
        "test.question-repeated",
        "$.tests[0].questions[1]",
        {"tests": (replace(question(), questions=QUESTIONS),)},
    ),
    (
        "test.passing-unknown",
        "$.tests[0].questions[0].passing[0]",
        {"tests": (question(passing=("x",)),)},
    ),
    (
        "test.passing-unknown",
        "$.tests[0].questions[0].passing[0]",
        {"tests": (question(choices=()),)},
    ),
    ("step.incomplete", "$.minimisations[0].steps[0].path", step(do="remove")),
    ("step.incomplete", "$.minimisations[0].steps[0].path", step(do="keep")),
    ("step.incomplete", "$.minimisations[0].steps[0].text", step(do="replace", path="name")),
    (
        "step.incomplete",
        "$.minimisations[0].steps[0].cell_mdeg",
        step(do="coarsen-position", path="x"),
    ),
    ("step.incomplete", "$.minimisations[0].steps[0].span", step(do="coarsen-time", path="x")),
    (
        "power.party-unknown",
        "$.powers[0].party",
        {"powers": (Power(party="X", verbs=("halt",), offices=("duty",)), *GOOD.powers)},
    ),
    (
        "power.no-verb",
        "$.powers[0].verbs",
        {"powers": (Power(party="A", verbs=(), offices=("duty",)), *GOOD.powers)},
    ),
    ("power.no-office", "$.powers[0].offices", power(offices=())),
    ("power.including-unknown", "$.powers[0].including[0]", power(including=("minister",))),
    (
        "power.threshold-low",
        "$.powers[0].threshold",
        power(offices=("duty", "head"), including=("duty", "head")),
    ),
    ("power.over", "$.powers[0].until", power(until_ms=GOOD.from_ms)),
    ("delegation.party-unknown", "$.delegations[0].party", stand_in(party="C")),
    ("delegation.no-time", "$.delegations[0].until", stand_in(from_ms=5)),
    ("delegation.no-power", "$.delegations[0].verbs[0]", stand_in(office="x", verbs=("halt",))),
    ("power.no-agree", "$.powers", without("agree")),
    ("power.no-agree", "$.powers", {**C_READS}),
    ("power.no-suspend", "$.powers", without("suspend")),
    ("power.no-resume", "$.powers", without("resume")),
    ("power.no-review", "$.powers", without("review", "B")),
    ("power.no-assure", "$.powers", without("assure", "B")),
    ("term.empty", "$.until", {"until_ms": 1000}),
    ("term.review", "$.review", {"review_ms": 1000}),
    ("term.review", "$.review", {"review_ms": GOOD.until_ms + 1}),
    ("version.first", "$.supersedes", {"supersedes": "0" * 64}),
    (
        "oversight.party-unknown",
        "$.oversight[2].party",
        {"oversight": (*GOOD.oversight, Oversight(party="X", body="b", inside=True))},
    ),
]

WARNINGS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "rule.never-reached",
        "$.kind_rules[3]",
        {"kind_rules": (*RULES, KindRule(kind="VT", types=("note",)))},
    ),
    (
        "rule.never-reached",
        "$.kind_rules[1]",
        {
            "kind_rules": (
                KindRule(kind="SL", types=("sighting", "incident")),
                KindRule(kind="VT", types=("sighting",), extension="x"),
                RULES[2],
            )
        },
    ),
    ("kind.unruled", "$.kinds[2]", {"kind_rules": RULES[1:]}),
    ("kind.tlp-above", "$.kinds[0].tlp_max", kind(tlp_max="red")),
    ("step.unused", "$.minimisations[0].steps[0].text", step(do="remove", path="x", text="y")),
    ("step.unused", "$.minimisations[0].steps[0].span", step(do="drop-references", span_ms=5000)),
    ("basis.none", "$.legal_basis", {"legal_basis": " "}),
    ("onward.none", "$.onward", {"onward": None}),
    ("use.none-excluded", "$.excluded_uses", {"excluded_uses": ()}),
    ("kind.none-exempt", "$.kinds", {"kinds": GOOD.kinds[:2], "kind_rules": RULES[1:]}),
    ("notice.none", "$.notice", {"notice": None}),
    ("notice.too-long", "$.notice.end", {"notice": Notice(end_ms=YEAR_MS)}),
    ("version.supersedes", "$.supersedes", {"version": 2}),
    (
        "contact.none",
        "$.members[1].contact.reach",
        {"members": (member("A"), member("B", contact=Contact(office="Duty", reach=" ")))},
    ),
    ("oversight.none", "$.oversight", {"oversight": GOOD.oversight[:1]}),
    ("member.no-country", "$.members", {"members": (member("A"), member("B", country=None))}),
    (
        "member.no-country",
        "$.members",
        {"members": tuple(member(p, country=None) for p in "AB"), "markings": ("rel",)},
    ),
    ("member.idle", "$.members", {**THIRD, "powers": C_AGREES}),
    ("power.reader-no-suspend", "$.powers", {**C_READS, "powers": C_AGREES}),
    (
        "power.resume-cheap",
        "$.powers",
        {
            "powers": (
                replace(GOOD.powers[0], threshold=2, offices=("a", "b")),
                replace(GOOD.powers[1], including=()),
                *GOOD.powers[2:],
            )
        },
    ),
    (
        "power.resume-cheap",
        "$.powers",
        {"powers": (replace(GOOD.powers[0], verbs=(*VERBS, "resume")), *GOOD.powers[1:])},
    ),
    ("collection.no-reader", "$.collections[0].readers", collection(readers=())),
    ("collection.reads-itself", "$.collections[0].readers", collection(readers=("A", "B"))),
    ("collection.reader-twice", "$.collections[0].readers[1]", collection(readers=("B", "B"))),
    (
        "kind.exempt-waits",
        "$.kinds[2].moderated",
        {"kinds": (*GOOD.kinds[:2], replace(GOOD.kinds[2], moderated=True))},
    ),
    (
        "kind.stale-released",
        "$.kinds[0].held",
        kind(held="release", moderated=False, fresh_within_ms=5000),
    ),
    ("marking.not-enforced", "$.markings[1]", {"markings": ("iep", "nato")}),
    ("grade.not-compared", "$.grades[1]", {"grades": ("4x4", "home")}),
    ("language.twice", "$.languages[0]", {"languages": ("en",)}),
    (
        "term.no-review",
        "$.review",
        {"until_ms": 1001 + 5 * YEAR_MS, "review_ms": 1001 + 5 * YEAR_MS},
    ),
]

#: The charters of the kit: offices duty, head (three holders), minister, deputy, node.
CHARTERS = {party: charter(party, expires_ms=2 * YEAR_MS) for party in "AB"}
BY_CHARTER: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("error", "power.office-unknown", "$.powers[0].offices[0]", power(offices=("chief",)), {}),
    ("error", "power.node", "$.powers[0].offices", power(offices=("head", "node")), {}),
    ("error", "power.unmeetable", "$.powers[0].threshold", power(threshold=4), {}),
    # The deputies are two of the heads: two offices, but not four holders.
    (
        "error",
        "power.unmeetable",
        "$.powers[0].threshold",
        power(offices=("deputy", "head"), threshold=4),
        {},
    ),
    ("error", "delegation.office-unknown", "$.delegations[0].to", stand_in(to="chief"), {}),
    ("error", "delegation.node", "$.delegations[0].to", stand_in(to="node"), {}),
    ("error", "kind.unreachable", "$.kinds[2]", {"kind_rules": RULES[1:]}, {"node": None}),
    (
        "warning",
        "unit.not-in-charter",
        "$.members[0].units[0]",
        {"members": (member("A", units=("X",)), member("B"))},
        {},
    ),
    ("warning", "charter.expires", "$.members[0].charter", {}, {"expires_ms": YEAR_MS}),
]


def told(
    agreement: Agreement, charters: dict[str, Charter] | None = None
) -> list[tuple[str, str, str]]:
    return [(gap.level, gap.code, gap.path) for gap in gaps(agreement, charters)]


def test_of_a_good_agreement_nothing_is_told() -> None:
    assert gaps(GOOD) == ()
    assert gaps(GOOD, CHARTERS) == ()


@pytest.mark.parametrize(("code", "path", "fields"), ERRORS)
def test_what_cannot_work_is_an_error(code: str, path: str, fields: dict[str, Any]) -> None:
    assert ("error", code, path) in told(replace(GOOD, **fields))


@pytest.mark.parametrize(("code", "path", "fields"), WARNINGS)
def test_what_will_be_regretted_is_a_warning(code: str, path: str, fields: dict[str, Any]) -> None:
    assert told(replace(GOOD, **fields)) == [("warning", code, path)]


@pytest.mark.parametrize(("level", "code", "path", "terms", "charters"), BY_CHARTER)
def test_charters_show_what_the_terms_alone_do_not(
    level: str, code: str, path: str, terms: dict[str, Any], charters: dict[str, Any]
) -> None:
    agreement = replace(GOOD, **terms)
    known = {party: replace(one, **charters) for party, one in CHARTERS.items()}
    assert (level, code, path) in told(agreement, known)
    assert code not in [one[1] for one in told(agreement)]


def test_errors_come_first_and_each_says_what_would_mend_it() -> None:
    found = gaps(replace(GOOD, onward=None, until_ms=1, notice=None))
    assert [gap.level for gap in found] == sorted(gap.level for gap in found)
    assert all(gap.words.endswith(".") and gap.remedy.endswith(".") for gap in found)


def codes_in(module: ModuleType) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("weak", "wrong"):
            code = node.args[0]
            if isinstance(code, ast.Constant):
                found.add(code.value)
    return found


def test_every_code_has_its_case() -> None:
    cases = {code for code, _, _ in (*ERRORS, *WARNINGS)} | {one[1] for one in BY_CHARTER}
    assert codes_in(gaps_module) | codes_in(gaps_open) <= cases


def test_a_large_agreement_is_looked_through_in_proportion() -> None:
    """As many members as an agreement may have, each with all its verbs: no loop within a loop."""
    parties = [f"P{n}" for n in range(5_000)]
    large = replace(
        GOOD,
        members=tuple(member(party) for party in parties),
        collections=(
            replace(GOOD.collections[0], sender="P0", readers=tuple(parties[1:])),
            replace(GOOD.collections[1], sender="P1", readers=("P0",)),
        ),
        oversight=tuple(Oversight(party=p, body="court", inside=True) for p in parties),
        powers=tuple(one for party in parties for one in powers(party)),
    )
    assert gaps(large) == ()
