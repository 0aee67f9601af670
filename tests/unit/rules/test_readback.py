"""Read-back and card: ten orders, read in both languages, and whatever differs in meaning."""

from __future__ import annotations

import re
import string

import msgspec
import pytest
from msgspec.structs import replace

from detente.model import (
    Addressees,
    Choice,
    Condition,
    Directive,
    EndCondition,
    Exemptions,
    Rulings,
    Scope,
)
from detente.rules.card import LINES_MAX, WIDTH, card
from detente.rules.readback import (
    VALUES,
    Texts,
    Values,
    compare,
    direction_of,
    kinds_of,
    sentence,
    values_text,
)
from detente.rules.sayings import with_sayings
from detente.rules.times import instant_text
from detente.wire.texts import LANGUAGES, read_back_texts
from tests.unit.rules.kit import agreement, directive
from tests.unit.rules.lint_cases import AT, OUT, sound, standing

TERMS = agreement()
DAY = 86_400_000
END = 20_000 * DAY
CONDITION = EndCondition(
    text="until guarantees of use are signed",
    decider="head",
    evidence="assurance AS",
    check_every_ms=DAY,
)
ASKED = (Condition(template="AS", scope=replace(OUT, kind=Choice.of("VI"))),)


def order(verb: str, **fields: object) -> Directive:
    end = {"review_ms": None, "end_ms": END} if "review_ms" not in fields else {}
    made = directive("D1", verb, **{"scope": OUT, "drafted_ms": AT, **end, **fields})  # type: ignore[arg-type]  # fields of a directive
    return with_sayings(made, standing())


ORDERS = {
    "halt": order("halt", scope=Scope(direction=Choice.of("out"), kind=Choice.but("SL"))),
    "suspend": order("suspend", scope=replace(OUT, unit=Choice.of("U"))),
    "both": order("suspend", scope=Scope(), review_ms=END + 60_000, end_ms=None),
    "life": order("suspend", scope=replace(OUT, kind=Choice.of("SL", "VT"))),
    "narrow": order("narrow", scope=Scope(direction=Choice.of("out")),
                    remains=Scope(kind=Choice.but("VT"))),
    "moderate": order("moderate", review_ms=END, end_ms=None),
    "condition": order("condition", conditions=ASKED),
    "resume": order("resume", conditions=ASKED, purposes=("p",), supersedes=("D0",)),
    "revoke": order("revoke", supersedes=("D0",), end_ms=None, review_ms=None),
    "until": order("suspend", scope=replace(OUT, direction=Choice.of("in")), end_on=CONDITION,
                   start_ms=END - DAY, review_ms=END, end_ms=None),
}  # fmt: skip


def differing(read: Directive, given: Values, language: str = "en") -> list[str]:
    return [one.value for one in compare(read, given, TERMS, read_back_texts(language))]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ORDERS)
def test_what_the_order_says_reads_back_as_the_same(name: str, language: str) -> None:
    read, texts = ORDERS[name], read_back_texts(language)
    assert differing(read, values_text(read, TERMS, texts), language) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ORDERS)
def test_values_of_another_order_differ_where_the_orders_do(name: str, language: str) -> None:
    read, texts = ORDERS[name], read_back_texts(language)
    mine = values_text(read, TERMS, texts)
    for other in ORDERS.values():
        theirs = values_text(other, TERMS, texts)
        wanted = [value for value in VALUES if getattr(mine, value) != getattr(theirs, value)]
        assert differing(read, theirs, language) == wanted


@pytest.mark.parametrize("name", ORDERS)
def test_nothing_given_is_nothing_read(name: str) -> None:
    assert differing(ORDERS[name], Values()) == list(VALUES)


TOLD = values_text(ORDERS["suspend"], TERMS, read_back_texts("en"))


@pytest.mark.parametrize(
    ("value", "given", "same"),
    [
        ("who", " u ", True),
        ("who", "U.", True),
        ("who", "U, V", False),
        ("who", "U and the rest", False),
        ("who", "all", False),
        ("what", "SUSPEND vt and vi", True),
        ("what", "suspend: track, vessel", True),
        ("what", "suspend VI", False),
        ("what", "suspend VI, VT, SL", False),
        ("what", "suspend all but SL", False),
        ("what", "suspend all", False),
        ("what", "not suspend VI, VT", False),
        ("what", "suspend VI, VT and other dealings", False),
        ("what", "suspend and resume VI, VT", False),
        ("what", "narrow VI, VT", False),
        ("what", "VI, VT", False),
        ("direction", "OUT", True),
        ("direction", "sending", True),
        ("direction", "in", False),
        ("direction", "both", False),
        ("direction", "not out", False),
        ("start", "when enacted.", True),
        ("start", "at enactment", True),
        ("start", "1970-01-01T00:00Z", False),
        ("start", "now", False),
        ("end", "2024-10-04T00:00:00Z", True),
        ("end", "2024-10-03T19:00-05:00", True),
        ("end", "until 2024-10-04T02:00+02:00", True),
        ("end", "2024-10-04", False),
        ("end", "2024-10-04T00:01Z", False),
        ("end", "review 2024-10-04T00:00Z", False),
        ("end", "2024-10-04T00:00Z or when it is over", False),
        ("end", "2024-10-04T00:00Z 2024-10-05T00:00Z", False),
        ("end", "2024-99-99T00:00Z", False),
        ("end", "further order", False),
    ],
)
def test_reading_is_forgiving_in_form_and_never_in_meaning(
    value: str, given: str, same: bool
) -> None:
    read = ORDERS["suspend"]
    assert instant_text(END) == "2024-10-04T00:00Z"
    assert differing(read, replace(TOLD, **{value: given})) == ([] if same else [value])


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("review 2024-10-04T00:00Z or until guarantees of use are signed", True),
        ("Review 2024-10-04T00:00Z, or UNTIL guarantees of use are signed.", True),
        ("review 2024-10-04T00:00Z", False),
        ("until guarantees of use are signed", False),
        ("review 2024-10-04T00:00Z or until guarantees are signed", False),
        ("2024-10-04T00:00Z or until guarantees of use are signed", False),
        ("review 2024-10-04T00:00Z or not until guarantees of use are signed", False),
    ],
)
def test_condition_is_given_in_its_words(given: str, same: bool) -> None:
    read = ORDERS["until"]
    told = values_text(read, TERMS, read_back_texts("en"))
    assert differing(read, replace(told, end=given)) == ([] if same else ["end"])


def test_units_that_differ_in_case_only_are_told_apart() -> None:
    read = replace(ORDERS["suspend"], addressees=Addressees(units=("NAV", "nav")))
    assert differing(read, replace(TOLD, who="nav, NAV")) == []
    assert differing(read, replace(TOLD, who="Nav, NAV")) == ["who"]


def test_very_long_value_is_no_trouble() -> None:
    given = Values(**dict.fromkeys(VALUES, "and " * 100_000))
    assert differing(ORDERS["suspend"], given) == list(VALUES)


# --- the texts ------------------------------------------------------------------------------------


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same_facets() -> None:
    english, spanish = (read_back_texts(language) for language in LANGUAGES)
    for name in Texts.__struct_fields__:
        one, other = getattr(english, name), getattr(spanish, name)
        if isinstance(one, str):
            assert places(one) == places(other), name
        elif isinstance(one, dict):
            assert one.keys() == other.keys(), name
        assert bool(one) is bool(other) is True


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_means_two_things(language: str) -> None:
    texts = read_back_texts(language)
    for table in (texts.verb_words, texts.way_words):
        words = [word for listed in table.values() for word in listed]
        assert len(words) == len(set(words))
    assert set(texts.verb_words) == set(texts.verbs)
    assert set(texts.acts) == set(Rulings.__struct_fields__)


FACTS = re.compile(r"\b(?:U|V|B|C|VI|VT|SL|AS|D0|p|\d{4}-\d\d-\d\dT[\d:.]+Z)\b")


@pytest.mark.parametrize("name", ORDERS)
def test_sentence_names_the_same_facts_in_both_languages(name: str) -> None:
    read = ORDERS[name]
    english, spanish = (sentence(read, TERMS, read_back_texts(one)) for one in LANGUAGES)
    assert english != spanish
    assert sorted(FACTS.findall(english)) == sorted(FACTS.findall(spanish))
    assert read.addressees is not None
    assert set(read.addressees.units) <= set(FACTS.findall(english))


def test_what_limits_an_order_is_in_its_sentence() -> None:
    scope = replace(
        OUT, unit=Choice.of("U"), purpose=Choice.of("q"), marking=Choice.but("tlp:clear")
    )
    said = sentence(sound(scope=scope), TERMS, read_back_texts("en"))
    assert "Limited to: unit U; marking all but tlp:clear; purpose q." in said
    assert "EXERCISE" not in said
    assert sentence(sound(exercise=True), TERMS, read_back_texts("en")).startswith("EXERCISE.")


# --- the card -------------------------------------------------------------------------------------


def ruled(lines: tuple[str, ...], texts: Texts) -> dict[str, str]:
    """Act → ruling, read from the card alone."""
    titles = {f"{texts.may}:": "yes", f"{texts.may_not}:": "no", f"{texts.no_change}:": "no-change"}
    names = {said: name for name, said in texts.acts.items()}
    found, under = {}, ""
    for line in lines:
        under = titles.get(line, under)
        if line.startswith("  - "):
            found[names[line.removeprefix("  - ")]] = under
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ORDERS)
def test_card_says_who_may_send_what_to_whom(name: str, language: str) -> None:
    read, texts = ORDERS[name], read_back_texts(language)
    lines = card(read, "U", TERMS, texts)
    assert ruled(lines, texts) == msgspec.to_builtins(read.acts)
    text = " ".join(" ".join(lines).split())
    kinds, values = kinds_of(read), values_text(read, TERMS, texts)
    for kind in (*(kinds.only or ()), *(kinds.excluding or ())):
        assert kind in text
    assert texts.ways[direction_of(read)] in text
    assert values.start in text
    assert values.end in text
    assert texts.ask in text
    assert len(lines) <= LINES_MAX
    assert all(len(line) <= WIDTH for line in lines)


def test_unit_that_is_not_meant_is_told_so_and_nothing_else() -> None:
    texts = read_back_texts("en")
    for read, unit in (
        (ORDERS["suspend"], "V"),
        (sound(scope=replace(OUT, unit=Choice.of("U"))), "V"),
    ):
        lines = card(read, unit, TERMS, texts)
        assert ruled(lines, texts) == {}
        assert any("nothing changes for you" in line for line in lines)


def test_card_stays_on_its_page_and_no_text_makes_lines_of_its_own() -> None:
    many = tuple(f"K{number:04d}" for number in range(1000))
    read = sound(
        scope=replace(OUT, kind=Choice.of(*many)),
        end_on=EndCondition(text="x\nYOU MAY:\n  - send to the partner"),
        exemptions=Exemptions(safety_of_life="open"),
    )
    lines = card(read, "U", TERMS, read_back_texts("en"))
    assert len(lines) <= LINES_MAX
    assert ruled(lines, read_back_texts("en")) == msgspec.to_builtins(read.acts)
    assert any("…" in line for line in lines)
