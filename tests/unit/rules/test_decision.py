"""Decisions, by hand. A sends collection c to B; VI and VT are kinds, SL is exempt."""

from __future__ import annotations

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from msgspec.structs import replace

from detente.model import (
    Agreement,
    Choice,
    Condition,
    Contact,
    Handling,
    Member,
    Referred,
    Scope,
)
from detente.rules.decision import Decision, decide, likeness
from detente.rules.releasability import Named, named_by
from detente.rules.standing import fold
from tests.unit.rules.kit import (
    FROM,
    UNTIL,
    agreement,
    assurance,
    directive,
    effect,
    given,
    handling,
    opened,
    withdrawn,
)

AT = 2_000


def decided(
    item: Handling, *acts: object, at_ms: int = AT, sender: str = "A", recipient: str = "B"
) -> Decision:
    standing = fold([*opened(), *acts], at_ms)  # type: ignore[list-item]  # acts of the kit
    return decide(standing, item, sender=sender, recipient=recipient)


def codes(decision: Decision) -> tuple[str, ...]:
    return tuple(reason.code for reason in decision.reasons)


def test_what_the_agreement_covers_and_nothing_stops_is_released() -> None:
    found = decided(handling())
    assert (found.outcome, codes(found)) == ("release", ("agreement",))


@pytest.mark.parametrize("at_ms", [FROM - 1, UNTIL])
def test_outside_the_agreements_term_all_is_held(at_ms: int) -> None:
    found = decided(handling(), at_ms=at_ms)
    assert (found.outcome, codes(found)) == ("hold", ("agreement.not-in-force",))


def test_own_copy_is_released_even_without_an_agreement() -> None:
    assert decide(fold([], 0), handling(), sender="A", recipient="A").outcome == "release"


@pytest.mark.parametrize(
    ("item", "to", "code"),
    [
        (handling(), "C", "outside-agreement"),
        (handling(), "X", "outside-agreement"),
        (handling(collection="d"), "B", "outside-agreement"),
        (handling("ZZ"), "B", "outside-agreement"),
        (handling(purpose=None), "B", "purpose.missing"),
        (handling(purpose="r"), "B", "purpose.excluded"),
        (handling(grade=None), "B", "grade.missing"),
    ],
)
def test_what_the_agreement_rules_out_is_refused(item: Handling, to: str, code: str) -> None:
    found = decided(item, effect(directive("D1"), AT), recipient=to)
    assert (found.outcome, codes(found)) == ("refuse", (code,))


@pytest.mark.parametrize(
    ("markings", "outcome", "code"),
    [
        ((), "release", "agreement"),
        (("tlp:clear",), "release", "agreement"),
        (("tlp:amber+strict",), "release", "agreement"),
        (("tlp:red",), "hold", "marking.above-limit"),
        (("tlp:green", "tlp:red"), "hold", "marking.above-limit"),
        (("tlp:purple",), "hold", "marking.unknown"),
        (("unreadable",), "hold", "marking.unknown"),
        (("marking-definition--5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01",), "hold", "marking.unknown"),
        (("statement:Copyright",), "release", "agreement"),
        (("rel-to:B",), "hold", "marking.unknown"),
    ],
)
def test_marking_above_the_limit_or_unknown_holds(
    markings: tuple[str, ...], outcome: str, code: str
) -> None:
    found = decided(handling(markings=markings))
    assert (found.outcome, codes(found)) == (outcome, (code,))


STOPS = [
    (Scope(), True),
    (Scope(kind=Choice.of("VI")), True),
    (Scope(kind=Choice.but("VT")), True),
    (Scope(kind=Choice.of("VT")), False),
    (Scope(unit=Choice.of("V")), False),
    (Scope(direction=Choice.of("in")), False),
    (Scope(direction=Choice.of("out"), party=Choice.of("B")), True),
    (Scope(party=Choice.of("C")), False),
    (Scope(purpose=Choice.of("q")), False),
    (Scope(marking=Choice.of("unmarked")), True),
    # One way out named is every way stopped: what is asked is never which way.
    (Scope(act=Choice.of("push")), True),
]


@pytest.mark.parametrize(("scope", "stopped"), STOPS)
@pytest.mark.parametrize("verb", ["halt", "suspend"])
def test_order_holds_what_its_scope_covers_and_nothing_else(
    verb: str, scope: Scope, stopped: bool
) -> None:
    found = decided(handling(), effect(directive("D1", verb, scope=scope, end_ms=9_000), AT))  # type: ignore[arg-type]  # one of the verbs
    assert found.outcome == ("hold" if stopped else "release")
    assert ("directive" in codes(found)) is stopped
    assert found.orders == (("D1",) if stopped else ())


def test_stop_by_the_recipient_holds_at_the_sender_and_a_third_partys_does_not() -> None:
    incoming = Scope(direction=Choice.of("in"))
    assert (
        decided(handling(), effect(directive("D1", issuer="B", scope=incoming), AT)).outcome
        == "hold"
    )
    assert decided(handling(), effect(directive("D1", issuer="C"), AT)).outcome == "release"


def test_one_marking_among_several_is_enough_to_stop() -> None:
    order = directive("D1", scope=Scope(marking=Choice.of("tlp:amber")))
    both = handling(markings=("tlp:amber", "tlp:green"))
    assert decided(both, effect(order, AT)).outcome == "hold"
    assert decided(handling(markings=("tlp:green",)), effect(order, AT)).outcome == "release"


@pytest.mark.parametrize(
    ("scope", "outcome"),
    [
        (Scope(), "release"),
        (Scope(kind=Choice.but("VI")), "release"),
        (Scope(kind=Choice.of("SL", "VI")), "hold"),
    ],
)
def test_exempt_kind_is_stopped_only_where_it_is_named(scope: Scope, outcome: str) -> None:
    order = directive("D1", scope=scope)
    found = decided(handling("SL"), effect(order, AT))
    assert found.outcome == outcome
    if outcome == "release":
        assert codes(found) == ("agreement", "exempt")
    asked = directive("D1", "condition", conditions=(Condition(template="AS", scope=scope),))
    assert decided(handling("SL"), effect(asked, AT)).outcome == outcome


CONDITION = directive("D1", "condition", conditions=(Condition(template="AS", scope=Scope()),))


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, "release"),
        ({"kinds": ("VT",)}, "hold"),
        ({"kinds": ("VI", "VT")}, "release"),
        ({"giver": "C"}, "hold"),
        ({"holder": "C"}, "hold"),
        ({"template": "AT"}, "hold"),
        ({"purposes": ("p",)}, "release"),
        ({"purposes": ("q",)}, "hold"),
        ({"until_ms": AT + 1}, "release"),
        ({"until_ms": AT}, "hold"),
        ({"from_ms": AT + 1}, "hold"),
    ],
)
def test_condition_is_met_by_the_fitting_assurance_only(
    change: dict[str, object], outcome: str
) -> None:
    found = decided(handling(), effect(CONDITION, AT), given(assurance(**change), AT))
    assert found.outcome == outcome
    if outcome == "release":
        assert (found.orders, found.assurances) == (("D1",), ("P1",))
    else:
        assert codes(found) == ("assurance.awaiting",)


def test_condition_waits_without_an_assurance_and_after_its_withdrawal() -> None:
    assert decided(handling(), effect(CONDITION, AT)).outcome == "hold"
    taken = [effect(CONDITION, AT), given(assurance(), AT), withdrawn("P1", AT + 5)]
    assert decided(handling(), *taken, at_ms=AT + 4).outcome == "release"
    assert decided(handling(), *taken, at_ms=AT + 5).outcome == "hold"


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (None, "hold"),
        ({}, "release"),
        ({"kinds": ("VT",)}, "hold"),
        ({"giver": "C"}, "hold"),
        ({"holder": "C"}, "hold"),
        ({"purposes": ("q",)}, "hold"),
        ({"until_ms": AT}, "hold"),
    ],
)
def test_what_the_agreement_asks_of_a_recipient_waits_for_its_assurance(
    change: dict[str, object] | None, outcome: str
) -> None:
    first, *others = agreement().kinds
    terms = agreement(kinds=(replace(first, assurances=("AS",)), *others))
    acts = [] if change is None else [given(assurance(**change), AT)]
    standing = fold([*opened(terms), *acts], AT)
    found = decide(standing, handling(), sender="A", recipient="B")
    assert found.outcome == outcome
    assert codes(found) == (
        ("assurance.awaiting",) if outcome == "hold" else ("agreement", "assurance")
    )
    assert decide(standing, handling("VT"), sender="A", recipient="B").outcome == "release"


def test_assurance_does_not_lift_a_stop() -> None:
    acts = [effect(CONDITION, AT), given(assurance(), AT), effect(directive("D2"), AT)]
    found = decided(handling(), *acts)
    assert (found.outcome, codes(found), found.orders) == ("hold", ("directive",), ("D2",))


def test_resumption_for_some_purposes_leaves_the_others_stopped() -> None:
    acts = [
        effect(directive("D1"), AT),
        effect(directive("D2", "resume", supersedes=("D1",), purposes=("p",)), AT + 1),
    ]
    assert decided(handling(purpose="p"), *acts, at_ms=AT + 1).outcome == "release"
    assert decided(handling(purpose="q"), *acts, at_ms=AT + 1).outcome == "hold"


def test_every_reason_for_a_hold_is_told() -> None:
    acts = [
        effect(directive("D1"), AT),
        effect(directive("D2"), AT),
        effect(directive("D3", "condition", conditions=CONDITION.conditions), AT),
    ]
    found = decided(handling(markings=("tlp:red",)), *acts)
    assert sorted(codes(found)) == [
        "assurance.awaiting",
        "directive",
        "directive",
        "marking.above-limit",
    ]
    assert set(found.orders) == {"D1", "D2"}


def test_limit_of_the_agreement_decides_what_marking_is_too_high() -> None:
    standing = fold(opened(agreement(tlp_max="green")), AT)
    for level, outcome in (("green", "release"), ("amber", "hold")):
        item = handling(markings=(f"tlp:{level}",))
        assert decide(standing, item, sender="A", recipient="B").outcome == outcome


# --- recipients that are alike ------------------------------------------------------------------

PARTIES = ("A", "B", "C", "D", "E")
some = st.frozensets(st.sampled_from(PARTIES), min_size=1, max_size=3)
choices = st.one_of(
    st.just(Choice()), some.map(lambda s: Choice.of(*s)), some.map(lambda s: Choice.but(*s))
)
scopes = st.builds(
    lambda party, kind, direction: Scope(party=party, kind=kind, direction=direction),
    choices,
    st.sampled_from([Choice(), Choice.of("VI"), Choice.but("VT"), Choice.of("SL")]),
    st.sampled_from([Choice(), Choice.of("in"), Choice.of("out")]),
)


@st.composite
def histories(draw: st.DrawFn) -> list[object]:
    acts: list[object] = []
    for number in range(draw(st.integers(0, 4))):
        issuer, scope = draw(st.sampled_from(PARTIES)), draw(scopes)
        verb = draw(st.sampled_from(["suspend", "condition", "moderate", "narrow"]))
        more: dict[str, object] = {}
        if verb == "condition":
            more["conditions"] = (Condition(template="AS", scope=draw(scopes)),)
        if verb == "narrow":
            more["remains"] = draw(scopes)
        order = directive(f"D{number}", verb, issuer=issuer, scope=scope, **more)  # type: ignore[arg-type]  # one of the verbs
        acts.append(effect(order, AT))
    for number in range(draw(st.integers(0, 3))):
        giver, holder = draw(st.permutations(PARTIES))[:2]
        acts.append(given(assurance(f"P{number}", giver=giver, holder=holder), AT))
    return acts


#: Members of the agreement but for E; of C it is not said of which country it is.
COUNTRIES = {"A": "COL", "B": "USA", "C": None, "D": "USA"}
targets = st.sampled_from(
    ["COL", "USA", "NLD", "party/B", "party/D", "party/E", "unit/B/U", "unit/B/V", "unit/C/U"]
)
markings = st.one_of(
    st.sampled_from(["noforn:USA", "noforn:COL", "noforn:NLD", "orcon", "tlp:red", "rel:?"]),
    st.frozensets(targets, min_size=1, max_size=4).map(
        lambda some: "rel:" + ",".join(sorted(some))
    ),
)
marked = st.frozensets(markings, max_size=2).map(lambda some: tuple(sorted(some)))


def terms_read_by(readers: frozenset[str]) -> Agreement:
    contact = Contact(office="Duty", reach="radio")
    (one,) = agreement().collections
    return agreement(
        collections=(replace(one, readers=tuple(sorted(readers))),),
        members=tuple(
            Member(
                party=party, units=("U", "V"), charter="0" * 64, contact=contact, country=country
            )
            for party, country in COUNTRIES.items()
        ),
    )


@drawn(
    acts=histories(),
    readers=st.frozensets(st.sampled_from(PARTIES)),
    sets=st.lists(marked, max_size=4),
)
def test_recipients_that_are_alike_get_the_same_outcome(
    acts: list[object], readers: frozenset[str], sets: list[tuple[str, ...]]
) -> None:
    """What is decided once for many is what each would have been told."""
    items = [handling(kind) for kind in ("VI", "VT", "SL")]
    check_alike(readers, acts, [*items, *(handling(markings=names) for names in sets)])


@pytest.mark.parametrize("asked_by", ["A", "B"])
def test_readers_of_whom_one_has_an_assurance_are_not_alike(asked_by: str) -> None:
    """Whether it was given to the sender, or by it to a recipient that asks for one."""
    between = {"giver": "B", "holder": "A"} if asked_by == "A" else {"giver": "A", "holder": "B"}
    order = directive("D1", "condition", issuer=asked_by, conditions=CONDITION.conditions)
    with_one = [effect(order, AT), given(assurance(**between), AT)]
    for acts in ([effect(order, AT)], with_one):
        check_alike(frozenset("BC"), acts, [handling()])
    # The same words to two are the same, whatever the papers are called.
    both = [given(assurance(f"P{giver}", giver=giver), AT) for giver in "BC"]
    standing = fold([*opened(terms_read_by(frozenset("BC"))), *both], AT)
    one, other = (
        likeness(standing, "c", named_by([]), sender="A", recipient=reader) for reader in "BC"
    )
    assert one == other


@drawn(sets=st.lists(marked, min_size=1, max_size=4))
def test_readers_that_the_markings_at_hand_do_not_tell_apart_get_the_same_outcome(
    sets: list[tuple[str, ...]],
) -> None:
    check_alike(frozenset("BCDE"), [], [handling(markings=names) for names in sets])


def check_alike(readers: frozenset[str], acts: list[object], items: list[Handling]) -> None:
    standing = fold([*opened(terms_read_by(readers)), *acts], AT)  # type: ignore[list-item]  # acts of the kit
    named = named_by(items)
    found: dict[object, list[str]] = {}
    for recipient in PARTIES:
        outcomes = [decide(standing, i, sender="A", recipient=recipient).outcome for i in items]
        alike = likeness(standing, "c", named, sender="A", recipient=recipient)
        assert found.setdefault(alike, list(outcomes)) == outcomes


def test_readers_that_no_marking_names_are_alike_whatever_their_country() -> None:
    """A thousand readers are decided a few times, not a thousand: those whom a marking names, and
    once for all others of each country that one names."""
    parties = [f"R{number}" for number in range(1000)]
    contact = Contact(office="Duty", reach="radio")
    (one,) = agreement().collections
    terms = agreement(
        collections=(replace(one, readers=tuple(parties)),),
        members=(
            *agreement().members,
            *(
                Member(
                    party=party,
                    units=("U",),
                    charter="0" * 64,
                    contact=contact,
                    country=("COL", "NLD", "USA", "GBR", None)[number % 5],
                )
                for number, party in enumerate(parties)
            ),
        ),
    )
    standing = fold(opened(terms), AT)
    items = [handling(), handling(markings=("rel:COL,NLD",)), handling(markings=("noforn:COL",))]

    def kinds_of_reader(named: Named) -> int:
        return len({likeness(standing, "c", named, sender="A", recipient=p) for p in parties})

    assert kinds_of_reader(named_by(items[:1])) == 1
    assert kinds_of_reader(named_by(items)) == 3  # Colombian, Dutch, all others
    items.append(handling(markings=("rel:party/R0,unit/R1/U",)))
    assert kinds_of_reader(named_by(items)) == 5


def test_what_referred_objects_are_marked_with_tells_readers_apart_too() -> None:
    item = handling(refers=(Referred(kind="VI", markings=("rel:USA,party/B",)),))
    assert named_by([item]) == Named(countries=frozenset({"USA"}), parties=frozenset({"B"}))
