"""The tree of a decision: what each reason rests on, whose it is, how long, and what turns it."""

from __future__ import annotations

from detente.model import Condition, Handling, Scope
from detente.rules.decision import decide
from detente.rules.standing import Act, fold
from detente.rules.why import LOOKS_MAX, Cause, Texts, Turn, Turns, causes_of
from tests.unit.rules.kit import (
    FROM,
    UNTIL,
    assurance,
    directive,
    effect,
    given,
    handling,
    opened,
)

AT = FROM + 100
CONDITION = directive("D1", "condition", conditions=(Condition(template="AS", scope=Scope()),))


def causes(
    *acts: Act, item: Handling | None = None, to: str = "B", texts: Texts | None = None
) -> tuple[Cause, ...]:
    standing = fold([*opened(), *acts], AT)
    decision = decide(standing, item or handling(), sender="A", recipient=to)
    return causes_of(standing, decision, texts or Texts())


def turn(*acts: Act, item: Handling | None = None, at_ms: int = AT) -> Turn | None:
    known = [*opened(), *acts]
    turns = Turns(known, fold(known, at_ms))
    return turns.next(item or handling(), sender="A", recipient="B")


def test_order_names_issuer_signers_reason_and_span() -> None:
    order = effect(directive("D1", "suspend", reason="Because.", end_ms=9_000), AT - 1)
    (cause,) = causes(order, texts=Texts(signed={order.digest: ("deputy", "head")}))
    (ground,) = cause.grounds
    assert (ground.what, ground.name, ground.by) == ("directive", "D1", "A")
    assert ground.offices == ("deputy", "head")
    assert (ground.words, ground.digest) == ("suspend: Because.", order.digest)
    assert (ground.since_ms, ground.until_ms) == (AT - 1, 9_000)
    assert cause.remedy == (
        "A resumes by an order that supersedes D1, or it ends by itself. "
        "It takes 3 of head, minister (minister among them)."
    )
    (cause,) = causes(order)
    assert cause.grounds[0].offices == ("head",)


def test_orders_of_both_sides_under_one_id_are_both_shown() -> None:
    mine, theirs = effect(directive("D1"), AT), effect(directive("D1", issuer="B"), AT)
    both = causes(mine, theirs)
    assert [[ground.by for ground in cause.grounds] for cause in both] == [["A", "B"], ["A", "B"]]


def test_clause_marking_and_collection_come_with_their_words() -> None:
    (cause,) = causes(to="C")
    clause, collection = cause.grounds
    assert clause.words == "A. Legal basis: none"
    assert (clause.since_ms, clause.until_ms) == (FROM, UNTIL)
    assert collection.words == "C: A to B"
    marked = handling(markings=("statement:x", "tlp:red"))
    (cause,) = causes(item=marked)
    assert cause.grounds[0].words.startswith("Only for the persons")
    unknown = handling(markings=("unknown:y",))
    (cause,) = causes(item=unknown, texts=Texts(markings={"unknown:y": "What it says."}))
    assert (cause.grounds[0].name, cause.grounds[0].words) == ("unknown:y", "What it says.")


def test_condition_names_the_template_and_the_promise_its_giver_and_span() -> None:
    (cause,) = causes(effect(CONDITION, AT))
    assert [(g.what, g.name) for g in cause.grounds] == [("directive", "D1"), ("template", "AS")]
    assert cause.grounds[1].words == "words"
    assert cause.remedy == "B gives assurance AS for kind VI, purpose p."
    agreed, met = causes(effect(CONDITION, AT), given(assurance(), AT))
    assert (agreed.code, met.code, met.remedy) == ("agreement", "assurance", "")
    promise = met.grounds[1]
    assert (promise.what, promise.name, promise.by) == ("assurance", "P1", "B")
    assert (promise.since_ms, promise.until_ms) == (AT, FROM + 5_000)


def test_turn_is_the_first_instant_with_another_outcome_and_not_any_change() -> None:
    first = effect(directive("D1", end_ms=AT + 10), AT)
    second = effect(directive("D2", end_ms=AT + 20), AT)
    assert turn(first, second) == Turn(
        at_ms=AT + 20, state="release", because=("No longer: Stopped by A (suspend D1).",
        "No longer: Stopped by A (suspend D2)."),
    )  # fmt: skip
    coming = effect(directive("D3", start_ms=AT + 15), AT)
    assert turn(coming) == Turn(
        at_ms=AT + 15, state="hold", because=("Stopped by A (suspend D3).",)
    )
    lapse = turn(effect(CONDITION, AT), given(assurance(), AT))
    assert lapse == Turn(
        at_ms=FROM + 5_000, state="hold", because=("Waiting for B to assure AS for VI.",)
    )
    assert turn() == Turn(at_ms=UNTIL, state="hold", because=("No agreement is in force.",))
    assert turn(at_ms=UNTIL) is None


def test_a_term_that_has_not_begun_turns_when_it_does() -> None:
    before = turn(at_ms=FROM - 1)
    assert before is not None
    assert (before.at_ms, before.state) == (FROM, "release")


def test_looking_ahead_ends() -> None:
    orders = [effect(directive(f"D{n}", end_ms=AT + 1 + n), AT) for n in range(LOOKS_MAX + 10)]
    assert turn(*orders) is None
    assert turn(*orders[: LOOKS_MAX - 10]) is not None
