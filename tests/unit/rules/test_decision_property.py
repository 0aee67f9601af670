"""Decisions over random agreements, items and acts: total, and no looser for one restriction more.

A restriction is anything that only takes away: a demand more, a lower limit, a reader or an
understood scheme less, a marking more, a flag that speaks for the item less, an order more that
does not resume, an assurance or an assessment less. Left out is what an order says of markings: an
order may well leave open what is marked in some way, and to mark an item so opens it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from detente.model import (
    Agreement,
    Assessment,
    Choice,
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
from detente.rules.demands import flag_of
from detente.rules.standing import Act, AssessmentMade, fold
from tests.unit.rules.kit import FROM, UNTIL, agreement, assurance, directive, effect, handling
from tests.unit.rules.kit import given as promised
from tests.unit.rules.kit import opened as opening

AT = FROM + 100
#: How far an outcome lets an item go: at once, one by one, not at all.
OPEN = {"release": 2, "moderate": 1, "hold": 0, "refuse": 0}

MARKINGS = (
    "tlp:clear", "tlp:green", "tlp:amber", "tlp:red", "pap:green", "pap:red", "rel:USA", "rel:COL",
    "rel:party/B", "rel:unit/B/U", "noforn:USA", "orcon", "europol:h0", "europol:h2", "iep:x",
    "acs:x", "cise:green", "statement:x", "unknown:x", "other",
)  # fmt: skip
TEST = PurposeTest(id="T", title="T", questions=(Question(id="q", text="?"),))
LESS = Minimisation(id="M", title="M", steps=(Step(do="remove", path="x"),))
ASKED = agreement(tests=(TEST,), minimisations=(LESS,))
GOOD_FLAGS = (
    "evidence", "fact", flag_of(ASKED, "tested", "T"), flag_of(ASKED, "minimised", "M"),
)  # fmt: skip
BAD_FLAGS = ("bulk", "derived", "stale")
GRADES = ("admiralty:A1", "admiralty:C3", "admiralty:F6", "4x4:A1", "x:1")

#: Most of what is drawn stands in no way: else hardly an item would go, and nothing be shut.
seldom = st.sampled_from([False] * 7 + [True])
names = st.frozensets(st.sampled_from(MARKINGS), max_size=3).map(lambda some: tuple(sorted(some)))
flags = st.builds(
    lambda less, more: tuple(sorted({*GOOD_FLAGS} - less | more)),
    st.frozensets(st.sampled_from(GOOD_FLAGS), max_size=1),
    st.one_of(
        st.just(frozenset()), st.just(frozenset()), st.frozensets(st.sampled_from(BAD_FLAGS))
    ),
)
kinds = st.builds(
    Kind,
    id=st.just("VI"),
    title=st.just("vessel"),
    exempt=st.booleans(),
    assurances=seldom.map(lambda asked: ("AS",) if asked else ()),
    moderated=seldom,
    evidence=seldom,
    nature=seldom,
    grade_least=st.sampled_from([*[None] * 6, "admiralty:B2", "4x4:B2"]),
    tests=seldom.map(lambda asked: ("T",) if asked else ()),
    minimise=seldom.map(lambda asked: ("M",) if asked else ()),
    assessed=seldom,
    tlp_max=st.sampled_from([None, None, None, "green", "amber", "red"]),
    references=st.sampled_from(["keep", "keep", "keep", "hold"]),
)
agreements = st.builds(
    lambda kind, tlp, pap, schemes, country, readers: with_kind(
        replace(
            agreement(tlp_max=tlp, pap_max=pap, markings=schemes),
            collections=(replace(agreement().collections[0], readers=readers),),
            members=tuple(replace(one, country=country) for one in agreement().members),
        ),
        kind,
    ),
    kinds,
    st.sampled_from(["clear", "amber", "amber", "amber", "red"]),
    st.sampled_from([None, "green", "green", "red"]),
    st.sampled_from([(), *[("acs", "cise", "europol", "iep")] * 3]),
    st.sampled_from([None, "USA", "USA", "USA", "COL"]),
    st.sampled_from([("B",), ("B", "C"), ("B", "C"), ("C",)]),
)
referred = st.builds(
    Referred,
    kind=st.sampled_from([None, "VI", "VT", "ZZ"]),
    stix_type=st.just("identity"),
    unit=st.just("U"),
    markings=names,
    purpose=st.sampled_from(["p", "r"]),
    originator=st.just("A"),
    grade=st.just("x:1"),
)
items = st.builds(
    lambda markings, said, grade, purpose, owner, refers: handling(
        markings=markings,
        flags=said,
        grade=grade,
        purpose=purpose,
        originator=owner,
        refers=tuple(sorted(refers, key=repr)),
    ),
    names,
    flags,
    st.sampled_from((*GRADES, None)),
    st.sampled_from(["p", "p", "p", "p", "q", "r", None]),
    st.sampled_from(["A", "A", "A", "C"]),
    st.lists(referred, max_size=2, unique=True),
)
choices = st.sampled_from(
    [Choice(), Choice(), Choice.of("VI"), Choice.but("VI"), Choice.but("SL"), Choice.of("VT")]
)
scopes = st.builds(
    lambda kind, purpose, unit: Scope(kind=kind, purpose=purpose, unit=unit),
    choices,
    st.sampled_from([Choice(), Choice.of("p"), Choice.but("p")]),
    st.sampled_from([Choice(), Choice.of("U"), Choice.of("V")]),
)


def with_kind(terms: Agreement, kind: Kind) -> Agreement:
    """The agreement with this kind in place of its own of that id, and what it may name."""
    return replace(
        terms,
        kinds=(kind, *(one for one in terms.kinds if one.id != kind.id)),
        tests=(TEST,),
        minimisations=(LESS,),
    )


@st.composite
def orders(draw: st.DrawFn, number: int = 0) -> Act:
    verb = draw(st.sampled_from(["suspend", "halt", "narrow", "condition"]))
    more: dict[str, Any] = {"issuer": draw(st.sampled_from(["A", "B"])), "scope": draw(scopes)}
    if verb == "narrow":
        more["remains"] = draw(scopes)
    if verb == "condition":
        more["conditions"] = (Condition(template="AS", scope=draw(scopes)),)
    return effect(directive(f"D{number}", verb, **more), AT - 10)


def assessed(covered: tuple[str, ...]) -> Act:
    made = Assessment(
        id="N", agreement="A1", agreement_digest="0" * 64, assessor="A", partner="B",
        kinds=covered, from_ms=FROM, until_ms=UNTIL, review_ms=UNTIL, office="head",
        nonce="0" * 32,
    )  # fmt: skip
    return AssessmentMade(assessment=made, digest="1" * 64, at_ms=FROM)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Act, ...]:
    acts: list[Act] = [draw(orders(n)) for n in range(draw(st.sampled_from([0, 0, 0, 1, 2])))]
    if draw(st.booleans()):
        acts.append(promised(assurance(), AT - 5))
    if draw(st.booleans()):
        acts.append(assessed(("VI",)))
    return tuple(acts)


class World:
    """What a decision stands on."""

    def __init__(self, terms: Agreement, item: Handling, acts: tuple[Act, ...]) -> None:
        self.terms, self.item, self.acts = terms, item, acts

    def __repr__(self) -> str:
        return f"World({self.terms!r}, {self.item!r}, {self.acts!r})"

    def decide(self, recipient: str = "B") -> Decision:
        standing = fold([*opening(self.terms), *self.acts], AT)
        return decide(standing, self.item, sender="A", recipient=recipient)

    def less(self, **terms: Any) -> World:
        return World(replace(self.terms, **terms), self.item, self.acts)

    def kind(self, **fields: Any) -> World:
        kind = self.terms.kind("VI")
        assert kind is not None
        return World(with_kind(self.terms, replace(kind, **fields)), self.item, self.acts)

    def other(self, **fields: Any) -> World:
        return World(self.terms, replace(self.item, **fields), self.acts)


worlds = st.builds(World, agreements, items, histories())


def _marked(world: World, draw: st.DrawFn) -> World:
    more = {*world.item.markings, draw(st.sampled_from(MARKINGS))}
    return world.other(markings=tuple(sorted(more)))


def _unflagged(world: World, draw: st.DrawFn) -> World:
    gone = draw(st.sampled_from(GOOD_FLAGS))
    return world.other(flags=tuple(one for one in world.item.flags if one != gone))


def _flagged(world: World, draw: st.DrawFn) -> World:
    return world.other(flags=tuple(sorted({*world.item.flags, draw(st.sampled_from(BAD_FLAGS))})))


def _ordered(world: World, draw: st.DrawFn) -> World:
    return World(world.terms, world.item, (*world.acts, draw(orders(9))))


def _forgotten(world: World, draw: st.DrawFn) -> World:
    """An assurance or an assessment less; an order less would be no restriction."""
    kept = [one for one in world.acts if type(one).__name__ == "DirectiveEffect"]
    others = [one for one in world.acts if one not in kept]
    gone = draw(st.sampled_from(others)) if others else None
    return World(world.terms, world.item, (*kept, *(one for one in others if one is not gone)))


def _referring(world: World, draw: st.DrawFn) -> World:
    refers = tuple(sorted({*world.item.refers, draw(referred)}, key=repr))
    return world.other(refers=refers)


RESTRICTIONS: dict[str, Callable[[World, st.DrawFn], World]] = {
    "another marking": _marked,
    "a flag less": _unflagged,
    "a flag more": _flagged,
    "another order": _ordered,
    "a promise less": _forgotten,
    "another reference": _referring,
    "no purpose": lambda world, _: world.other(purpose=None),
    "no grade": lambda world, _: world.other(grade=None),
    "a lower limit": lambda world, _: world.less(tlp_max="clear"),
    "a lower limit of the kind": lambda world, _: world.kind(tlp_max="clear"),
    "no limit for PAP": lambda world, _: world.less(pap_max=None),
    "no schemes understood": lambda world, _: world.less(markings=()),
    "no readers": lambda world, _: world.less(
        collections=(replace(world.terms.collections[0], readers=()),)
    ),
    "no purposes but one": lambda world, _: world.less(purposes=world.terms.purposes[:1]),
    "moderated": lambda world, _: world.kind(moderated=True),
    "evidence": lambda world, _: world.kind(evidence=True),
    "nature": lambda world, _: world.kind(nature=True),
    "a test": lambda world, _: world.kind(tests=("T",)),
    "a minimisation": lambda world, _: world.kind(minimise=("M",)),
    "an assurance": lambda world, _: world.kind(assurances=("AS",)),
    "an assessment": lambda world, _: world.kind(assessed=True),
    "references held": lambda world, _: world.kind(references="hold"),
    "no exemption": lambda world, _: world.kind(exempt=False),
    "its end": lambda world, _: world.less(until_ms=AT),
}


@given(worlds, st.sampled_from(["A", "B", "C", "X"]))
def test_every_combination_has_an_outcome_with_its_reasons(world: World, recipient: str) -> None:
    found = world.decide(recipient)
    assert found.outcome in OPEN
    assert found.reasons
    against = [one for one in found.reasons if one.remedy]
    # What stands in the way says what would change it; what lets an item go does not.
    assert bool(against) is (found.outcome != "release")
    assert all(one.review for one in found.reasons) is (found.outcome == "moderate")
    assert world.decide(recipient) == found


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds, st.data())
def test_one_restriction_more_never_opens(world: World, data: st.DataObject) -> None:
    before = OPEN[world.decide().outcome]
    for name, restrict in RESTRICTIONS.items():
        tighter = restrict(world, data.draw)  # type: ignore[arg-type]  # drawn in the same way
        assert OPEN[tighter.decide().outcome] <= before, (name, tighter)


@example(World(agreement(), handling(), ()))
@given(worlds)
def test_an_own_copy_is_always_ones_own(world: World) -> None:
    assert world.decide("A").outcome == "release"
