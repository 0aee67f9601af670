"""Differences between two versions: none is left out, and each leads where it is said to lead."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from detente.model import (
    Agreement,
    KindRule,
    Minimisation,
    Oversight,
    Power,
    Purpose,
    PurposeTest,
    Question,
    StandIn,
    Step,
)
from detente.rules.differences import differences
from tests.unit.rules.test_gaps import GOOD, collection, kind, member, power, question
from tests.unit.wire.test_terms import FULL, records

TEST = GOOD.tests[0]
ANY_ANSWER = PurposeTest(id="T", title="t", questions=(Question(id="q", text="?"),))
MORE = replace(TEST, questions=(*TEST.questions, Question(id="r", text="?")))
STEPS = GOOD.minimisations[0]
TWO_STEPS = replace(STEPS, steps=(*STEPS.steps, Step(do="remove", path="x")))

#: What a first version says, what the next one says, and whether that widens.
WIDENING: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Member C is added", {}, {"members": (*GOOD.members, member("C"))}),
    ("Unit of A X is gone", {"members": (member("A", units=("U", "X")), member("B"))}, {}),
    ("Unit of A X is added", {}, {"members": (member("A", units=("U", "X")), member("B"))}),
    ("Collection from-A is added", {"collections": GOOD.collections[1:]}, {}),
    ("Reader of from-A C is added", {}, collection(readers=("B", "C"))),
    ("purpose taken as said is p", {}, collection(purpose="p")),
    ("Kind PE (person) is added", {"kinds": GOOD.kinds[1:]}, {}),
    ("assurance AS is gone", {}, kind(assurances=())),
    ("test T is gone", kind(tests=("T",)), {}),
    ("minimisation M is gone", kind(minimise=("M",)), {}),
    ("releases each item, no longer", {}, kind(moderated=False)),
    ("name its evidence, no longer", kind(evidence=True), {}),
    ("fact or assessment, no longer", kind(nature=True), {}),
    ("assessed the recipient, no longer", kind(assessed=True), {}),
    ("exempt from stops", {}, kind(exempt=True)),
    ("held: release in place of review", {}, kind(held="release")),
    ("references: keep in place of hold", kind(references="hold"), {}),
    ("expires in hold after: 9s", kind(expire_after_ms=6000), kind(expire_after_ms=9000)),
    ("seen no longer ago than: no limit", kind(fresh_within_ms=6000), {}),
    ("at once: 20 in place of 10", kind(bulk_max=10), kind(bulk_max=20)),
    ("grade admiralty:C3", kind(grade_least="admiralty:B2"), kind(grade_least="admiralty:C3")),
    ("grade 4x4:A1", kind(grade_least="admiralty:B2"), kind(grade_least="4x4:A1")),
    ("of any worth", kind(grade_least="admiralty:B2"), {}),
    ("marked at most: tlp:amber+strict", kind(tlp_max="green"), {}),
    (
        "of type x are of kind VT, not none",
        {"kind_rules": ()},
        {"kind_rules": (KindRule(kind="VT", types=("x",)),)},
    ),
    (
        "of type note are of kind VT, not PE",
        {},
        {"kind_rules": (KindRule(kind="VT", types=("note",)), *GOOD.kind_rules)},
    ),
    (
        "all other types are of kind VT",
        {},
        {"kind_rules": (*GOOD.kind_rules[:2], KindRule(kind="VT"))},
    ),
    ("Purpose q is added", {}, {"purposes": (*GOOD.purposes, Purpose(id="q", title="Q"))}),
    ("need not come with a purpose", {}, {"purpose_required": False}),
    ("need not come with a grade", {}, {"grade_required": False}),
    (
        "deputy of A for head to resume",
        {},
        {
            "delegations": (
                StandIn(party="A", office="head", to="deputy", verbs=("resume",), until_ms=9_000),
            )
        },
    ),
    (
        "deputy of A for head to suspend, from 1970-01-01T00:00:00.000Z until "
        "1970-01-01T00:00:09.000Z is gone",
        {
            "delegations": (
                StandIn(party="A", office="head", to="deputy", verbs=("suspend",), until_ms=9_000),
            )
        },
        {},
    ),
    ("Marked at most: tlp:red", {}, {"tlp_max": "red"}),
    ("Marked at most: pap:green", {}, {"pap_max": "green"}),
    ("Scheme of markings iep is added", {}, {"markings": ("iep",)}),
    ("Grades that count: all", {"grades": ("4x4",)}, {}),
    ("Scheme of grades x is added", {"grades": ("4x4",)}, {"grades": ("4x4", "x")}),
    ("derived waits for nobody", {"second_person": True}, {}),
    ("Permitted use PU is added", {"permitted_uses": ()}, {}),
    ("Excluded use XU is gone", {}, {"excluded_uses": ()}),
    (
        "Assurance AS holds for at most: 9s",
        {},
        {"assurances": (replace(GOOD.assurances[0], valid_max_ms=9000),)},
    ),
    ("question r is gone", {"tests": (MORE,)}, {}),
    ("answer that passes, n is added", {}, {"tests": (question(passing=("y", "n")),)}),
    ("is passed by any answer", {}, {"tests": (ANY_ANSWER,)}),
    ("step remove x is gone", {"minimisations": (TWO_STEPS,)}, {}),
    (
        "in another order",
        {"minimisations": (TWO_STEPS,)},
        {"minimisations": (replace(STEPS, steps=TWO_STEPS.steps[::-1]),)},
    ),
    ("Passed on to others: unsaid", {}, {"onward": None}),
    (
        "Oversight, A: x: inside",
        {},
        {"oversight": (*GOOD.oversight, Oversight(party="A", body="x", inside=True))},
    ),
    (
        "A to resume: 1 of head",
        {},
        {"powers": (*GOOD.powers, Power(party="A", verbs=("resume",), offices=("head",)))},
    ),
    ("A to suspend: 2 of head, x", {}, power(threshold=2, offices=("head", "x"))),
    ("A to halt: 1 of head, for 5s at most", {}, power(duration_max_ms=5000)),
    ("A to agree: 1 of head, x", {}, power(offices=("head", "x"))),
    ("It ends", {}, {"until_ms": GOOD.until_ms + 1}),
    ("It begins", {}, {"from_ms": GOOD.from_ms - 1}),
    ("A: country XBB", {}, {"members": (member("A", country="XBB"), member("B"))}),
]

#: Without a way back that narrows: whichever way these change, somebody should look.
BOTH_WAYS = (
    "Unit of A X",
    "are of kind",
    "country XBB",
    "4x4:A1",
    "in another order",
    "A to suspend",
    "A to halt",
    "A to agree",
)


@pytest.mark.parametrize(("words", "old", "new"), WIDENING)
def test_what_widens_is_said_to_and_its_reverse_narrows(
    words: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    first, second = replace(GOOD, **old), replace(GOOD, **new)
    found = differences(first, second)
    assert found[0].effect == "widens"
    assert words in " ".join(one.words for one in found if one.effect == "widens")
    back = differences(second, first)
    if not any(part in words for part in BOTH_WAYS):
        assert {one.effect for one in back} <= {"narrows", "neither"}
        assert back[0].effect == "narrows"


@pytest.mark.parametrize("verb", ["agree", "assure", "resume", "review"])
@pytest.mark.parametrize("stop", ["condition", "halt", "narrow", "suspend"])
def test_cheaper_to_let_go_widens_and_cheaper_to_stop_narrows(verb: Any, stop: Any) -> None:
    def terms(threshold: int, *verbs: Any) -> Agreement:
        power = Power(party="A", verbs=verbs, offices=("x", "y"), threshold=threshold)
        return replace(GOOD, powers=(power,))

    def effects(old: Agreement, new: Agreement) -> list[str]:
        return [one.effect for one in differences(old, new)]

    assert effects(terms(2, verb), terms(1, verb)) == ["widens"]
    assert effects(terms(1, verb), terms(2, verb)) == ["narrows"]
    assert effects(terms(2, stop), terms(1, stop)) == ["narrows"]
    assert effects(terms(1, stop), terms(2, stop)) == ["widens"]
    assert effects(terms(1, verb), terms(1, verb, stop)) == ["narrows"]
    assert effects(terms(1, verb, stop), terms(1, verb)) == ["widens"]


NEITHER: list[tuple[str, dict[str, Any]]] = [
    ("is called 'x'", kind(title="x")),
    ("held: return in place of review", kind(held="return")),
    ("Purpose p now says: x", {"purposes": (Purpose(id="p", title="x"),)}),
    ("Assurance AS now says: x", {"assurances": (replace(GOOD.assurances[0], text="x"),)}),
    ("Its title is now: x", {"title": "x"}),
    ("Its legal basis is now: x", {"legal_basis": "x"}),
    ("The language that counts is now: es", {"language": "es"}),
    ("It is reviewed by", {"review_ms": 5000}),
    ("How long before", {"notice": None}),
    (
        "Minimisation N is defined",
        {
            "minimisations": (
                *GOOD.minimisations,
                Minimisation(id="N", title="n", steps=STEPS.steps),
            )
        },
    ),
    ("joins with charter 1111", {"members": (member("A", charter="1" * 64), member("B"))}),
]


@pytest.mark.parametrize(("words", "new"), NEITHER)
def test_what_changes_no_flow_is_said_to_do_neither(words: str, new: dict[str, Any]) -> None:
    found = differences(GOOD, replace(GOOD, **new))
    assert [one.effect for one in found] == ["neither"]
    assert words in found[0].words


def test_between_a_version_and_itself_there_is_none() -> None:
    assert differences(GOOD, GOOD) == differences(FULL, FULL) == ()
    assert differences(GOOD, replace(GOOD, version=2, supersedes="0" * 64)) == ()


def test_what_widens_comes_first_and_the_rest_last() -> None:
    found = differences(GOOD, replace(GOOD, title="x", excluded_uses=(), permitted_uses=()))
    assert [one.effect for one in found] == ["widens", "narrows", "neither"]


#: Names of things: another name is another thing, gone and added.
UNSAID = {"id", "version", "supersedes", "v"}


def changed(record: msgspec.Struct) -> list[tuple[str, msgspec.Struct]]:
    """The record with each field put back to its default, or to another value, in turn."""
    found = []
    for name in record.__struct_fields__:
        value: Any = getattr(record, name)
        if isinstance(value, msgspec.Struct):
            found += [
                (f"{name}.{deep}", replace(record, **{name: one})) for deep, one in changed(value)
            ]
        elif isinstance(value, tuple) and isinstance(value[0], msgspec.Struct):
            found += [
                (f"{name}.{deep}", replace(record, **{name: (one, *value[1:])}))
                for deep, one in changed(value[0])
            ]
            found.append((name, replace(record, **{name: value[1:]})))
        elif name not in UNSAID:
            other = {"do": "remove", "references": "drop", "rule": "units", "held": "return"}.get(
                name
            )
            new = other or another(value)
            found.append((name, replace(record, **{name: new})))
    return found


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return ()
    levels = {"red": "green", "green": "red", "amber": "green"}
    return levels.get(value, f"{value}x")


@pytest.mark.parametrize(("name", "terms"), [one for one in changed(FULL) if one[1] is not FULL])
def test_no_field_changes_untold(name: str, terms: Agreement) -> None:
    assert differences(FULL, terms), name
    assert differences(terms, FULL), name


def test_every_record_of_the_agreement_was_changed() -> None:
    kinds = {type(record).__name__ for record in records(FULL)}
    assert len(kinds) == 19
    assert len(changed(FULL)) > 70
