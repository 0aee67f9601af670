"""A draft for every sentence of the lint. ``python -m tests.unit.rules.lint_cases`` writes the
golden files anew; look at what changed before you keep it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from detente.model import (
    HEADINGS,
    Addressees,
    Agreement,
    Amendment,
    Choice,
    Delegation,
    Directive,
    EndCondition,
    Exemptions,
    Heading,
    HeldRule,
    Onward,
    PartnerNotice,
    PublicText,
    Scope,
    Subjects,
)
from detente.rules.finding import Facts, Finding, say
from detente.rules.lint import lint
from detente.rules.sayings import with_sayings
from detente.rules.spoken import read_words
from detente.rules.standing import Standing, fold
from detente.wire.texts import LANGUAGES, lexicons, lint_texts
from tests.unit.rules.kit import FROM, agreement, directive, effect, opened

GOLDEN = Path(__file__).parent / "golden"
AT = 2_000
OUT = Scope(direction=Choice.of("out"), kind=Choice.of("VI", "VT"))
ORDER = replace(directive("D1", scope=OUT, review_ms=AT + 9), drafted_ms=AT, reason="Under review")

#: The seed: what was said in public, in the words of this test.
POST = {
    "es": (
        "He dado la orden a todos los niveles de la inteligencia de la fuerza pública de suspender "
        "el envío de comunicaciones y otros tratos con las agencias de seguridad del otro Estado. "
        "La medida se mantendrá mientras duren los ataques con misiles."
    ),
    "en": (
        "I have ordered the intelligence of the public force, to all levels, to suspend sending "
        "communications and other dealings with the security agencies of the other State, while "
        "the missile attacks last."
    ),
}


def standing(*orders: Directive, terms: Agreement | None = None) -> Standing:
    return fold([*opened(terms), *(effect(one, FROM) for one in orders)], AT)


def facts(*orders: Directive, terms: Agreement | None = None) -> Facts:
    return Facts(standing=standing(*orders, terms=terms), at_ms=AT, lexicons=lexicons())


def sound(order: Directive = ORDER, **fields: Any) -> Directive:
    """A draft in which nothing can be misread, but for ``fields``."""
    return replace(with_sayings(order, standing()), **fields)


def _units(*units: str) -> Agreement:
    terms = agreement()
    members = tuple(replace(one, units=units) for one in terms.members)
    return replace(terms, members=members)


def _words(text: str) -> tuple[Directive, Facts]:
    known = Facts(agreement=agreement(), lexicons=lexicons())
    draft = read_words(text, "en", lexicons()["en"], known)
    return draft.directive, replace(known, gaps=draft.gaps)


def _changed(**fields: Any) -> Callable[[], tuple[Directive, Facts]]:
    return lambda: (sound(**fields), facts())


def _said(**fields: Any) -> Callable[[], tuple[Directive, Facts]]:
    """A draft whose other headings follow from these."""
    return lambda: (sound(replace(ORDER, **fields)), facts())


def _public(*texts: tuple[str, str], **fields: Any) -> Callable[[], tuple[Directive, Facts]]:
    said = tuple(PublicText(language=language, text=text) for language, text in texts)
    return _changed(public_text=said, language="en", **fields)


def _correction(**fields: Any) -> Callable[[], tuple[Directive, Facts]]:
    old = sound()
    marks = tuple(Heading(name=name, change="no-change") for name in HEADINGS)
    amends = Amendment(id="D1", digest="0" * 64, headings=marks)
    whole = {"id": "D2", "verb": "correct", "carries": "suspend", "supersedes": ("D1",)}
    new = replace(old, **{**whole, "amends": amends, **fields})
    return lambda: (new, facts(old))


def _acts(**rulings: str) -> Any:
    acts = sound().acts
    assert acts is not None
    return replace(acts, **rulings)


CASES: dict[str, Callable[[], tuple[Directive, Facts]]] = {
    "L01.none": _changed(addressees=None),
    "L01.unknown": _changed(addressees=Addressees(units=("Z",))),
    "L01.many": lambda: (
        sound(addressees=Addressees(units=("nav",))),
        facts(terms=_units("NAV", "Nav")),
    ),
    "L01.all": _changed(addressees=Addressees(units=("U",), all_at_ms=AT)),
    "L01.scope": _changed(
        scope=replace(OUT, unit=Choice.of("U", "V")), addressees=Addressees(units=("U",))
    ),
    "L01.gap": lambda: _words("All units shall suspend sending VT."),
    "L02.verb": lambda: _words("U is to think about sending VT."),
    "L02.verbs": lambda: _words("U shall not suspend sending VT."),
    "L02.none": _changed(acts=None),
    "L02.contradicts": _changed(acts=_acts(view="yes")),
    "L02.gap": lambda: _words("U shall suspend sending VT and other dealings."),
    "L03.none": _changed(scope=replace(OUT, direction=Choice())),
    "L04.subjects": _changed(
        scope=Scope(direction=Choice.of("out")), subjects=Subjects(vessels=("mmsi:123456789",))
    ),
    "L04.words": _changed(
        scope=Scope(direction=Choice.of("out")), reason="Some of it is under review"
    ),
    "L04.gap": lambda: _words("U shall suspend sending certain tracks."),
    "L05.none": _changed(start_on=None),
    "L05.both": _changed(start_ms=AT + 5),
    "L05.past": _changed(start_on=None, start_ms=AT - 5),
    "L05.gap": lambda: _words("U shall suspend sending VT from 2025-11-11."),
    "L06.none": _changed(review_ms=None),
    "L06.gap": lambda: _words("U shall suspend sending VT until 2025-12-11."),
    "L07.text": _changed(
        end_on=EndCondition(text="", decider="head", evidence="a report", check_every_ms=1)
    ),
    "L07.decider": _changed(
        end_on=EndCondition(text="while it lasts", evidence="a report", check_every_ms=1)
    ),
    "L07.evidence": _changed(
        end_on=EndCondition(text="while it lasts", decider="head", check_every_ms=1)
    ),
    "L07.check": _changed(
        end_on=EndCondition(text="while it lasts", decider="head", evidence="a report")
    ),
    "L08.none": _changed(in_transit=None),
    "L09.none": _changed(held=()),
    "L09.kind": _changed(held=(HeldRule(kind="VI", then="release"),)),
    "L09.differs": _changed(
        held=(
            HeldRule(kind="VI", then="review"),
            HeldRule(kind="VT", then="expire", after_ms=6_000),
        )
    ),
    "L10.none": _changed(exemptions=None),
    "L10.open": _changed(exemptions=Exemptions(safety_of_life="stopped")),
    "L10.stopped": lambda: (
        sound(
            replace(ORDER, scope=replace(OUT, kind=Choice.of("SL"))),
            exemptions=Exemptions(safety_of_life="open"),
        ),
        facts(),
    ),
    "L11.unsaid": lambda: (
        sound(),
        facts(directive("D0", scope=OUT), directive("D7", issuer="B", scope=Scope())),
    ),
    "L12.none": lambda: _words("Suspend sending VT."),
    "L12.power": _changed(office="duty"),
    "L12.delegation": _changed(delegation=Delegation(reference="7/2026", until_ms=AT)),
    "L13.none": _changed(notice=None),
    "L13.untold": _changed(notice=PartnerNotice(to=("B",), acknowledge_within_ms=1)),
    "L13.silent": _changed(notice=PartnerNotice(silent_reason="A source would be known")),
    "L13.unknown": _changed(notice=PartnerNotice(to=("B", "C", "Z"), acknowledge_within_ms=1)),
    "L13.acknowledge": _changed(notice=PartnerNotice(to=("B", "C"))),
    "L13.before": _changed(
        notice=PartnerNotice(to=("B", "C"), when="before", acknowledge_within_ms=1)
    ),
    "L14.undefined": _changed(reason="Sensitive matters are under review"),
    "L15.canonical": _public(("es", "Se suspende el envío.")),
    "L15.repeated": _public(("en", "Sending is suspended."), ("en", "Sending is suspended.")),
    "L15.differs": _public(("en", "Sending is suspended."), ("es", "Se reanuda el envío.")),
    "L16.total": _said(scope=Scope(direction=Choice.of("out"))),
    "L16.empty": _said(scope=replace(OUT, direction=Choice.of("in"))),
    "L17.life": _said(scope=replace(OUT, kind=Choice.of("SL", "VI"))),
    "L17.onward": lambda: (
        sound(onward=Onward(rule="consent")),
        facts(terms=agreement(onward=Onward(rule="none"))),
    ),
    "L18.form": _changed(form="exercise"),
    "L18.drill": _changed(reason="This is a drill"),
    "L18.live": _changed(exercise=True, reason="This is not a drill"),
    "L19.more": _public(("en", "Sending of SX and receiving VI is suspended, as U was told.")),
    "L19.less": _public(("en", "Sending is being looked at.")),
    "L20.none": _correction(amends=None),
    "L20.effect": _correction(scope=replace(OUT, kind=Choice.of("VI"))),
}


def found(key: str) -> tuple[Finding, ...]:
    """What the lint says to the draft of a case."""
    return lint(*CASES[key]())


def golden(code: str, language: str) -> str:
    """Every sentence of a code with the place and the remedy."""
    lines = [f"{code} {lint_texts(language)[code]['title']}", ""]
    for key in sorted(CASES):
        if not key.startswith(code):
            continue
        for one in found(key):
            if one.key == key:
                says, remedy = say(one, lint_texts(language))
                lines += [f"{one.case}, {one.severity}, {one.path}", says, f"→ {remedy}", ""]
    return "\n".join(lines)


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for code in sorted({key[:3] for key in CASES}):
        for language in LANGUAGES:
            (GOLDEN / f"{code}.{language}.txt").write_text(golden(code, language))


if __name__ == "__main__":
    main()
