"""What can be misread: a draft for every sentence, golden files in both languages, words said."""

from __future__ import annotations

import string
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from detente.errors import Invalid
from detente.model import (
    HEADINGS,
    Choice,
    Condition,
    Definition,
    EndCondition,
    OrderRef,
    PublicText,
    Rulings,
    Scope,
    decode,
    encode,
)
from detente.model.agreement import Held
from detente.model.directive import EffectVerb
from detente.model.order_parts import Ruling
from detente.rules.finding import CODES, Facts, blocking
from detente.rules.lexicon import Lexicon, find
from detente.rules.lint import check_lint, lint
from detente.rules.lint_words import Facets
from detente.rules.sayings import amending, with_sayings
from detente.rules.spoken import read_words
from detente.wire.texts import LANGUAGES, lexicons, lint_texts, told
from tests.unit.rules import lint_cases
from tests.unit.rules.kit import directive, effect, opened
from tests.unit.rules.lint_cases import (
    AT,
    CASES,
    GOLDEN,
    ORDER,
    OUT,
    POST,
    facts,
    found,
    golden,
    sound,
    standing,
)


def codes(order: object, known: Facts) -> set[str]:
    return {one.key for one in lint(order, known)}  # type: ignore[arg-type]  # a directive


@pytest.mark.parametrize("key", sorted(CASES))
def test_every_sentence_has_a_draft_that_it_is_said_of(key: str) -> None:
    assert key in {one.key for one in found(key)}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", CODES)
def test_golden_file_of_every_code(code: str, language: str) -> None:
    assert golden(code, language) == (GOLDEN / f"{code}.{language}.txt").read_text()


def test_nothing_is_found_in_a_sound_draft_and_what_is_changed_is_all_that_is_found() -> None:
    assert lint(sound(), facts()) == ()
    for key in ("L01.none", "L02.none", "L05.none", "L08.none", "L09.none", "L10.none", "L13.none"):
        assert {one.key for one in found(key)} == {key}


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same_with_the_same_places_to_fill() -> None:
    english, spanish = (lint_texts(language) for language in LANGUAGES)
    assert english.keys() == spanish.keys()
    assert {key[:3] for key in english} == {*CODES, "wor"}
    assert {key for key in english if "." in key} == set(CASES)
    for key, said in english.items():
        assert said.keys() == spanish[key].keys()
        for part, text in said.items():
            assert fields_of(text) == fields_of(spanish[key][part]), key
            assert text.strip()
            assert text != spanish[key][part] or key == "words"


def test_both_lexicons_hold_words_for_the_same_things() -> None:
    english, spanish = (lexicons()[language] for language in LANGUAGES)
    for name in Lexicon.__struct_fields__:
        one, other = getattr(english, name), getattr(spanish, name)
        if isinstance(one, dict):
            assert one.keys() == other.keys()
            assert all(one.values())
            assert all(other.values())
        else:
            assert one
            assert other


def test_acts_of_the_lexicon_are_those_of_the_closed_list() -> None:
    for lexicon in lexicons().values():
        assert set(lexicon.acts) == set(Rulings.__struct_fields__)


def test_names_of_closed_lists_are_told_in_the_readers_words() -> None:
    named = {*HEADINGS, *Rulings.__struct_fields__, *Facets.__struct_fields__}
    named |= {*get_args(Ruling), *get_args(Held), *get_args(EffectVerb)}
    for language in LANGUAGES:
        assert named <= lint_texts(language)["words"].keys()


# --- what stops signing -------------------------------------------------------------------------


def test_error_stops_and_warning_stops_until_it_is_acknowledged_by_name() -> None:
    total = with_sayings(replace(ORDER, scope=Scope(direction=Choice.of("out"))), standing())
    assert [one.key for one in blocking(lint(total, facts()), total)] == ["L16.total"]
    with pytest.raises(Invalid) as stopped:
        check_lint(total, facts())
    assert stopped.value.code == "directive.lint"
    meant = replace(total, acknowledged=("L16",))
    check_lint(meant, facts())
    other = replace(total, acknowledged=("L17",))
    assert blocking(lint(other, facts()), other)
    # No name makes an error less of one.
    wrong = replace(meant, start_on=None, acknowledged=("L05", "L16"))
    assert [one.key for one in blocking(lint(wrong, facts()), wrong)] == ["L05.none"]


def test_form_alone_is_looked_at_where_nothing_is_known() -> None:
    bare = directive("D1", scope=OUT)
    offline = {key[:3] for key in codes(bare, Facts(lexicons=lexicons()))}
    assert offline == {"L01", "L02", "L05", "L08", "L09", "L10", "L13"}
    assert lint(sound(), Facts(lexicons=lexicons())) == ()


@pytest.mark.parametrize("verb", ["halt", "suspend", "narrow", "moderate", "condition", "resume"])
def test_draft_that_says_nothing_more_than_it_must_can_be_signed(verb: str) -> None:
    old = directive("D0", scope=OUT)
    end = AT + 100 if verb == "halt" else None
    order = directive(
        "D1",
        verb,  # type: ignore[arg-type]  # one of the verbs
        scope=OUT,
        end_ms=end,
        drafted_ms=AT,
        remains=Scope(kind=Choice.of("VI")) if verb == "narrow" else None,
        conditions=(Condition(template="AS", scope=OUT),) if verb == "condition" else (),
        supersedes=("D0",) if verb == "resume" else (),
    )
    said = with_sayings(order, standing(old))
    assert lint(said, facts(old)) == ()
    # It is a document like any other, and reads back as what it says.
    assert decode(encode(said), type(said)) == said
    # And the sayings change nothing of what it does.
    for field in ("verb", "remains", "conditions", "purposes", "end_ms", "supersedes"):
        assert getattr(said, field) == getattr(order, field)


def test_halt_of_everything_needs_no_second_word() -> None:
    halt = directive(
        "H1", "halt", scope=Scope(direction=Choice.of("out")), end_ms=AT + 9, drafted_ms=AT
    )
    said = with_sayings(halt, standing())
    assert codes(said, facts()) == {"L16.total"}
    check_lint(said, facts())


def test_halt_is_not_kept_up_by_other_orders_and_a_stop_by_none_that_came_after_it() -> None:
    halt = with_sayings(directive("H1", "halt", scope=OUT, end_ms=AT + 9), standing())
    assert "L11.unsaid" not in codes(halt, facts(directive("D0", scope=OUT)))
    late = effect(directive("D0", scope=OUT), AT)
    stop = sound(drafted_ms=AT - 1)
    on = lint_cases.fold([*opened(), late], AT)
    known = replace(facts(), standing=on)
    assert "L11.unsaid" not in codes(stop, known)
    # What lets go names also that one.
    free = replace(stop, verb="revoke", supersedes=("D8",), acts=None)
    assert "L11.unsaid" in codes(free, known)


def test_partners_order_over_the_same_flow_is_named_from_the_other_side() -> None:
    into = Scope(direction=Choice.of("in"), party=Choice.of("A"))
    for scope, said in (
        (into, True),
        (replace(into, direction=Choice.of("out")), False),
        (replace(into, party=Choice.of("C")), False),
    ):
        theirs = directive("D7", issuer="B", scope=scope)
        assert ("L11.unsaid" in codes(sound(), facts(theirs))) is said
        named = sound(unchanged=(OrderRef(issuer="B", id="D7"),))
        assert "L11.unsaid" not in codes(named, facts(theirs))


def test_correction_of_words_alone_is_sound() -> None:
    old = sound()
    on = standing(old)
    new = replace(
        old, id="D2", verb="correct", carries="suspend", supersedes=("D1",), reason="Better words"
    )
    said = amending(with_sayings(new, on), on.orders[0])
    assert lint(said, facts(old)) == ()
    # Offline, the headings that it says it changes are looked at.
    marks = tuple(replace(one, change="changed") for one in said.amends.headings)  # type: ignore[union-attr]  # made above
    more = replace(said, amends=replace(said.amends, headings=marks))  # type: ignore[type-var]  # made above
    assert "L20.effect" in codes(more, Facts())


# --- words ----------------------------------------------------------------------------------------


def test_word_without_measure_is_an_error_where_people_act_by_it_and_silent_once_defined() -> None:
    condition = EndCondition(
        text="while matters are sensitive", decider="head", evidence="a report", check_every_ms=1
    )
    order = sound(end_on=condition)
    assert [(one.key, one.severity) for one in lint(order, facts())] == [("L14.undefined", "error")]
    meant = replace(order, definitions=(Definition(term="Sensitive", meaning="of kind VI"),))
    assert lint(meant, facts()) == ()


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("Sending of VI is suspended.", None),
        ("A has suspended sending to B.", None),
        ("A has suspended sending; safety of life (SL) stays open.", None),
        ("Sending is resumed.", "verb"),
        ("Sending and receiving is suspended.", "direction"),
        ("Sending is suspended until 2031-01-01.", "date"),
        ("Sending is suspended until 1970-01-01.", None),
    ],
)
def test_public_text_says_what_the_fields_say(text: str, more: str | None) -> None:
    order = sound(public_text=(PublicText(language="en", text=text),), language="en")
    found = [one for one in lint(order, facts()) if one.key == "L19.more"]
    assert [one.values["facet"] for one in found] == ([more] if more else [])


def test_translation_that_says_the_same_is_sound() -> None:
    texts = (
        PublicText(language="en", text="Sending of VI to B is suspended."),
        PublicText(language="es", text="Se suspende el envío de VI a B."),
    )
    assert lint(sound(public_text=texts, language="en"), facts()) == ()
    other = replace(texts[1], text="Se suspende el envío de VT a B.")
    order = sound(public_text=(texts[0], other), language="en")
    assert codes(order, facts()) == {"L15.differs"}


def test_exercise_may_say_that_it_is_one() -> None:
    assert "L18.drill" not in codes(sound(exercise=True, reason="This is a drill"), facts())
    assert "L18.drill" not in codes(sound(reason="This is not a drill"), facts())


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_the_post_cannot_be_signed(language: str) -> None:
    draft = read_words(POST[language], language, lexicons()[language], Facts())
    known = Facts(gaps=draft.gaps, lexicons=lexicons())
    found = lint(draft.directive, known)
    seen = {one.code for one in blocking(found, draft.directive)}
    assert {"L01", "L02", "L06", "L07", "L08", "L09"} <= seen
    said = {(one.heading, one.value) for one in draft.found}
    assert {("verb", "suspend"), ("direction", "out"), ("acts", "release")} <= said
    for one in (*draft.found, *draft.gaps):
        assert one.quote is not None
        assert POST[language][one.quote.start : one.quote.end] == one.quote.text
    gaps = {(gap.code, gap.quote.text) for gap in draft.gaps if gap.quote}
    assert {code for code, _ in gaps} == {"L01", "L02"}
    assert told(found, (), language)


@pytest.mark.parametrize(
    ("language", "text", "verb"),
    [
        ("en", "U shall suspend sending VT.", "suspend"),
        ("en", "U shall not suspend sending VT.", None),
        ("en", "U shall suspend and later resume sending VT.", None),
        ("en", "What was sent is recalled.", None),
        ("es", "Se reanuda el envío.", "resume"),
        ("es", "No se reanuda el envío.", None),
        ("es", "SUSPENSIÓN del envío de VT.", "suspend"),
        ("es", "suspension del envio de VT.", "suspend"),
    ],
)
def test_verb_is_found_or_is_a_gap_and_never_guessed(
    language: str, text: str, verb: str | None
) -> None:
    draft = read_words(text, language, lexicons()[language], Facts())
    found = [one.value for one in draft.found if one.heading == "verb"]
    assert found == ([verb] if verb else [])
    assert bool([gap for gap in draft.gaps if gap.path == "$.verb"]) is (verb is None)


def test_names_of_the_agreement_and_instants_are_found_and_days_are_not() -> None:
    known = Facts(agreement=lint_cases.agreement(), lexicons=lexicons())
    text = "U suspends sending VI from 2025-11-12T08:00-05:00 until 2025-12-01."
    draft = read_words(text, "en", lexicons()["en"], known)
    said = {one.heading: one.value for one in draft.found}
    assert said["addressees"] == "U"
    assert said["kinds"] == "VI"
    assert draft.directive.start_ms == 1_762_952_400_000
    assert draft.directive.end_ms is None
    assert [gap.code for gap in draft.gaps] == ["L06"]


def test_words_beyond_measure_are_refused() -> None:
    with pytest.raises(Invalid) as refused:
        read_words("a" * 20_001, "en", lexicons()["en"], Facts())
    assert refused.value.code == "words.length"


def test_phrases_are_whole_words_and_the_longest() -> None:
    assert [one.text for one in find(("no", "no es", "alto"), "No es asalto, no.")] == [
        "No es",
        "no",
    ]
    assert not list(find((), "anything"))
    assert [one.text for one in find(("prorroga",), "La PRÓRROGA")] == ["PRÓRROGA"]


def test_document_with_every_heading_survives_its_canonical_form() -> None:
    whole = sound(
        definitions=(Definition(term="a", meaning="b"),),
        public_text=(PublicText(language="en", text="Sending is suspended."),),
        reason_internal="a" * 64,
        risk_of_acting="a",
        risk_of_withholding="b",
    )
    data = encode(whole)
    assert encode(decode(data, type(whole))) == data
    with pytest.raises(Invalid):
        decode(data.replace(b'"held"', b'"helt"'), type(whole))
    assert msgspec.json.decode(data)["acts"]["liaison"] == "no-change"
