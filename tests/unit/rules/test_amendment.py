"""Orders that carry on another, orders that only end, and orders that have each item reviewed."""

from __future__ import annotations

import json

import msgspec
import pytest

from detente.errors import DetenteError
from detente.model import (
    HEADINGS,
    Amendment,
    Area,
    Choice,
    Condition,
    Directive,
    Heading,
    Scope,
    Subjects,
    digest,
    encode,
)
from detente.rules.amendment import changed_headings
from detente.rules.authority import check_directive, required_verbs
from detente.rules.decision import decide, likeness
from detente.rules.releasability import Named
from detente.rules.standing import Standing, fold
from tests.unit.rules.kit import agreement, directive, effect, handling, opened, signed

AT = 2_000
HEADS = ("anna-1", "ben")
ALL = ("anna-1", "ben", "minister")
OUT = Scope(direction=Choice.of("out"), kind=Choice.of("VI"))


def standing(*orders: Directive, at_ms: int = AT) -> Standing:
    return fold([*opened(), *(effect(order, AT) for order in orders)], at_ms)


def enacted(order: Directive, *names: str, on: Standing) -> str:
    try:
        check_directive(signed("directive", order, *names), on, at_ms=AT, exercise=False)
    except DetenteError as error:
        return error.code
    return "ok"


def amended(old: Directive, verb: str, **fields: object) -> Directive:
    """The order that carries on ``old``, with every heading as it is."""
    new = msgspec.structs.replace(
        old,
        id="D9",
        verb=verb,  # type: ignore[arg-type]  # extend or correct
        carries=old.does,  # type: ignore[arg-type]  # one of the effects
        supersedes=(old.id,),
        **fields,  # type: ignore[arg-type]  # fields of a directive
    )
    changed = changed_headings(old, new)
    headings = tuple(
        Heading(name=name, change="changed" if name in changed else "no-change")
        for name in HEADINGS
    )
    amends = Amendment(id=old.id, digest=digest(encode(old)), headings=headings)
    return msgspec.structs.replace(new, amends=amends)


OLD = directive("D1", scope=OUT, end_ms=AT + 100, review_ms=None)


@pytest.mark.parametrize(
    ("verb", "fields", "code"),
    [
        ("extend", {"end_ms": AT + 200}, "ok"),
        ("extend", {"end_ms": None, "review_ms": AT + 500}, "ok"),
        ("extend", {"review_ms": AT + 50}, "ok"),
        ("extend", {}, "directive.extension"),
        ("extend", {"end_ms": AT + 99}, "directive.extension"),
        ("extend", {"end_ms": AT + 200, "scope": Scope(direction=Choice.of("out"))},
         "directive.amendment-effect"),
        ("extend", {"end_ms": AT + 200, "purposes": ("p",)}, "directive.amendment-effect"),
        ("correct", {"reason": "in better words"}, "ok"),
        ("correct", {}, "ok"),
        ("correct", {"end_ms": AT + 101}, "directive.amendment-effect"),
        ("correct", {"review_ms": AT + 50}, "directive.amendment-effect"),
        ("correct", {"scope": Scope()}, "directive.amendment-effect"),
    ],
)  # fmt: skip
def test_amendment_changes_only_what_its_verb_may_change(
    verb: str, fields: dict[str, object], code: str
) -> None:
    order = amended(OLD, verb, **fields)
    assert enacted(order, *HEADS, on=standing(OLD)) == code
    # The power to resume does not make it an amendment either.
    assert enacted(order, *ALL, on=standing(OLD)) == code


def test_amendment_stops_what_the_old_order_stopped_and_takes_over_from_it() -> None:
    order = amended(OLD, "extend", end_ms=AT + 200)
    on = fold([*opened(), effect(OLD, AT), effect(order, AT + 50)], AT + 150)
    assert [one.directive.id for one in on.orders] == ["D9"]
    assert on.orders[0].stops == (OLD.scope,)
    assert decide(on, handling("VI"), sender="A", recipient="B").outcome == "hold"


def test_amendment_repeats_every_heading_in_order_and_truly() -> None:
    on, whole = standing(OLD), amended(OLD, "correct", reason="other words")
    assert whole.amends is not None
    listed = whole.amends.headings
    lied = tuple(msgspec.structs.replace(one, change="no-change") for one in listed)
    for headings, code in (
        (listed[:-1], "directive.amendment-partial"),
        ((), "directive.amendment-partial"),
        (listed[::-1], "directive.amendment-partial"),
        (lied, "directive.amendment-heading"),
    ):
        amends = msgspec.structs.replace(whole.amends, headings=headings)
        order = msgspec.structs.replace(whole, amends=amends)
        assert enacted(order, *HEADS, on=on) == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"amends": None}, "directive.incomplete"),
        ({"carries": None}, "directive.incomplete"),
        ({"carries": "moderate"}, "directive.amendment-effect"),
        ({"supersedes": ()}, "directive.amends"),
        ({"verb": "suspend"}, "directive.amends"),
        ({"verb": "suspend", "amends": None}, "directive.amends"),
    ],
)
def test_amendment_that_does_not_fit_its_order_is_refused(
    fields: dict[str, object], code: str
) -> None:
    whole = amended(OLD, "correct")
    assert enacted(whole, *HEADS, on=standing(OLD)) == "ok"
    order = msgspec.structs.replace(whole, **fields)
    assert enacted(order, *ALL, on=standing(OLD)) == code


def test_amendment_is_of_the_very_order_that_is_in_force() -> None:
    other = directive("D1", scope=OUT, end_ms=AT + 100, review_ms=None, reason="another")
    assert enacted(amended(OLD, "correct"), *HEADS, on=standing(other)) == (
        "directive.amended-unknown"
    )


def test_halt_may_be_corrected_by_its_officer_but_not_extended() -> None:
    halt = directive("H1", "halt", scope=OUT, end_ms=AT + 100, review_ms=None)
    on = standing(halt)
    assert enacted(amended(halt, "correct", reason="x"), "duty", on=on) == "ok"
    assert enacted(amended(halt, "extend", end_ms=AT + 200), "duty", on=on) == (
        "directive.halt-again"
    )
    # A corrected halt is a halt still: none may follow it.
    after = fold([*opened(), effect(halt, AT), effect(amended(halt, "correct"), AT + 1)], AT + 2)
    again = directive("H2", "halt", end_ms=AT + 900)
    with pytest.raises(DetenteError) as found:
        check_directive(signed("directive", again, "duty"), after, at_ms=AT + 2, exercise=False)
    assert found.value.code == "directive.halt-again"


def test_revocation_ends_orders_with_the_power_to_resume_and_sets_nothing() -> None:
    on = standing(OLD)
    order = directive("D2", "revoke", scope=OUT, supersedes=("D1",), review_ms=None)
    assert required_verbs(order, on) == ("resume",)
    assert enacted(order, *HEADS, on=on) == "authority.quorum"
    assert enacted(order, *ALL, on=on) == "ok"
    after = fold([*opened(), effect(OLD, AT), effect(order, AT + 1)], AT + 1)
    assert decide(after, handling("VI"), sender="A", recipient="B").outcome == "release"
    for fields, code in (
        ({"supersedes": ()}, "directive.incomplete"),
        ({"purposes": ("p",)}, "directive.revoke"),
        ({"conditions": (Condition(template="AS", scope=OUT),)}, "directive.conditions"),
        ({"scope": Scope(kind=Choice.of("VT"))}, "directive.part"),
    ):
        assert enacted(msgspec.structs.replace(order, **fields), *ALL, on=on) == code


# --- review of each item ------------------------------------------------------------------------


def test_moderated_flow_waits_for_a_person_and_says_by_which_order() -> None:
    order = directive("M1", "moderate", scope=OUT)
    on = standing(order)
    assert enacted(order, *HEADS, on=standing()) == "ok"
    decision = decide(on, handling("VI"), sender="A", recipient="B")
    assert (decision.outcome, decision.orders) == ("moderate", ("M1",))
    assert [one.code for one in decision.reasons] == ["directive.moderated"]
    assert decide(on, handling("VT"), sender="A", recipient="B").outcome == "release"
    # Nobody passes by review what is stopped besides.
    both = standing(order, directive("D2", scope=OUT))
    decision = decide(both, handling("VI"), sender="A", recipient="B")
    assert (decision.outcome, decision.orders) == ("hold", ("D2", "M1"))


def test_safety_of_life_is_reviewed_only_where_it_is_named() -> None:
    for kind, outcome in ((Choice(), "release"), (Choice.of("SL"), "moderate")):
        order = directive("M1", "moderate", scope=Scope(kind=kind))
        assert decide(standing(order), handling("SL"), sender="A", recipient="B").outcome == outcome


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        ("suspend", "moderate", True),
        ("moderate", "moderate", False),
        ("moderate", "suspend", False),
        ("moderate", "condition", True),
        ("condition", "moderate", True),
        ("moderate", "resume", False),
    ],
)
def test_review_may_become_a_stop_but_nothing_weaker_without_the_power_to_resume(
    old: str, new: str, wider: bool
) -> None:
    asked = (Condition(template="AS", scope=OUT),)
    first = directive("D1", old, scope=OUT, conditions=asked if old == "condition" else ())  # type: ignore[arg-type]  # one of the verbs
    then = directive(
        "D2",
        new,  # type: ignore[arg-type]  # one of the verbs
        scope=OUT,
        supersedes=("D1",),
        conditions=asked if new == "condition" else (),
    )
    verbs = required_verbs(then, standing(first))
    assert verbs == ((new, "resume") if wider else (new,))


def test_readers_of_whom_only_one_is_under_review_are_not_decided_as_one() -> None:
    (one,) = agreement().collections
    terms = agreement(collections=(msgspec.structs.replace(one, readers=("B", "C")),))
    scope = msgspec.structs.replace(OUT, party=Choice.of("B"))
    on = fold([*opened(terms), effect(directive("M1", "moderate", scope=scope), AT)], AT)
    assert [
        decide(on, handling("VI"), sender="A", recipient=party).outcome for party in ("B", "C")
    ] == ["moderate", "release"]
    alike = {likeness(on, "c", Named(), sender="A", recipient=party) for party in ("B", "C")}
    assert len(alike) == 2


# --- subjects -----------------------------------------------------------------------------------

BOX = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}


@pytest.mark.parametrize(
    ("subjects", "code"),
    [
        (Subjects(vessels=("imo:9074729", "mmsi:123456789")), "ok"),
        (Subjects(vessels=("infrastructure--5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01",)), "ok"),
        (Subjects(cases=("C 12",), persons=("crew",)), "ok"),
        (Subjects(vessels=("imo:9074728",)), "directive.vessel"),
        (Subjects(vessels=("mmsi:12345678",)), "directive.vessel"),
        (Subjects(vessels=("MV Example",)), "directive.vessel"),
        (Subjects(cases=("C 12",), limit=True), "directive.subject-limit"),
        (Subjects(areas=(Area(name="box", geojson=json.dumps(BOX)),)), "ok"),
        (Subjects(areas=(Area(name="box", geojson='{"type":"Point"}'),)), "directive.area"),
        (Subjects(areas=(Area(name="box", geojson="[" * 20_000),)), "directive.area"),
        (Subjects(areas=(Area(name="open", geojson=json.dumps(
            {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]})),)),
         "directive.area"),
        (Subjects(areas=(Area(name="off", geojson=json.dumps(
            {"type": "MultiPolygon", "coordinates": [[[[0, 91], [1, 0], [1, 1], [0, 91]]]]})),)),
         "directive.area"),
        (Subjects(areas=(Area(name="none", geojson='{"type":"Polygon","coordinates":[]}'),)),
         "directive.area"),
    ],
)  # fmt: skip
def test_subjects_are_of_sound_form_and_no_limit(subjects: Subjects, code: str) -> None:
    order = directive("D1", scope=OUT, subjects=subjects)
    assert enacted(order, *HEADS, on=standing()) == code
