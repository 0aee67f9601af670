"""Lint of the words: what texts say beside the fields, and what no two readers read alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from detente.model import Agreement, Directive
from detente.model.scope import ANY
from detente.rules.finding import Facts, Finding, values_of
from detente.rules.lexicon import Lexicon, Quote, find, names_in, plain
from detente.rules.times import date_text

__all__ = ["WORDS", "Facets", "facets"]

_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
#: What a public text may call an order that does this, besides its own verb.
_ALIKE: dict[str, frozenset[str]] = {
    "condition": frozenset(("condition", "resume")),
    "halt": frozenset(("halt", "suspend")),
    "moderate": frozenset(("moderate",)),
    "narrow": frozenset(("narrow", "suspend")),
    "resume": frozenset(("condition", "resume")),
    "revoke": frozenset(("resume", "revoke")),
    "suspend": frozenset(("halt", "suspend")),
}


class Facets(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says that an order also says in fields."""

    verbs: frozenset[str]
    directions: frozenset[str]
    units: frozenset[str]
    kinds: frozenset[str]
    parties: frozenset[str]
    dates: frozenset[str]


def facets(text: str, lexicon: Lexicon, directive: Directive, terms: Agreement | None) -> Facets:
    """The facets of a text. Units, kinds and parties are known by their ids only: titles have a
    language of their own."""

    def listed(words: dict[str, tuple[str, ...]]) -> frozenset[str]:
        return frozenset(name for name, said in words.items() if any(find(said, text)))

    ways = listed(lexicon.directions)
    both = frozenset(("in", "out"))
    members = terms.members if terms else ()
    units = {unit for member in members for unit in member.units}
    units |= set(directive.addressees.units if directive.addressees else ())
    kinds = {kind.id for kind in terms.kinds} if terms else {rule.kind for rule in directive.held}
    parties = {member.party for member in members} | {directive.issuer}
    return Facets(
        verbs=listed(lexicon.verbs),
        directions=both if "both" in ways else ways,
        units=frozenset(name for name, _ in names_in(units, text)),
        kinds=frozenset(name for name, _ in names_in(kinds, text)),
        parties=frozenset(name for name, _ in names_in(parties - units - kinds, text)),
        dates=frozenset(_DATE.findall(text)),
    )


def _lexicon(facts: Facts, language: str | None) -> Lexicon | None:
    return facts.lexicons.get(language or "")


def _public(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L15: every language says the same. L19: and that is what the fields say."""
    texts = directive.public_text
    if not texts:
        return
    path = "$.public_text"
    names = [one.language for one in texts]
    canonical = next((one for one in texts if one.language == directive.language), None)
    if canonical is None or len(set(names)) < len(names):
        case = "canonical" if canonical is None else "repeated"
        yield Finding(code="L15", case=case, severity="error", path=path)
        return
    lexicon = _lexicon(facts, canonical.language)
    if lexicon is None:
        return
    said = facets(canonical.text, lexicon, directive, facts.terms)
    yield from _against_fields(said, directive, facts.terms)
    for one in texts:
        other = _lexicon(facts, one.language)
        if one is canonical or other is None:
            continue
        differ = _differing(said, facets(one.text, other, directive, facts.terms))
        if differ:
            yield Finding(
                code="L15",
                case="differs",
                severity="error",
                path=path,
                values=values_of(language=one.language, facets=differ),
            )


def _differing(first: Facets, second: Facets) -> list[str]:
    return [
        name for name in Facets.__struct_fields__ if getattr(first, name) != getattr(second, name)
    ]


def _against_fields(
    said: Facets, directive: Directive, terms: Agreement | None
) -> Iterator[Finding]:
    alike = _ALIKE.get(directive.does, frozenset())
    scope = directive.scope
    open_kinds = {kind.id for kind in terms.kinds if kind.exempt} if terms else set()
    # What is left out by name is spoken of for that very reason.
    open_kinds |= set(scope.kind.excluding or ())
    open_kinds |= set(directive.remains.kind.only or ()) if directive.remains else set()
    addressed = set(directive.addressees.units) if directive.addressees else set()
    units = {one for one in said.units if one not in addressed and not scope.unit.names(one)}
    dates = {
        date_text(ms)
        for ms in (directive.start_ms, directive.end_ms, directive.review_ms, directive.drafted_ms)
        if ms is not None
    }
    more = {
        "verb": said.verbs - alike - {directive.verb},
        "direction": {way for way in said.directions if not scope.direction.has(way)},
        "unit": units - set(scope.unit.excluding or ()),
        "kind": {k for k in said.kinds - open_kinds if not scope.kind.has(k)},
        "party": {p for p in said.parties - {directive.issuer} if not scope.party.has(p)},
        "date": said.dates - dates,
    }
    for facet, values in more.items():
        if values:
            yield Finding(
                code="L19",
                case="more",
                severity="error",
                path="$.public_text",
                values=values_of(facet=facet, said=sorted(values)),
            )
    if not said.verbs & (alike | {directive.verb}):
        yield Finding(
            code="L19",
            case="less",
            severity="warning",
            path="$.public_text",
            values=values_of(verb=directive.does),
        )


def _texts(directive: Directive) -> Iterator[tuple[str, str, bool]]:
    """Every text of the order with its place, and whether people act by it."""
    yield "$.reason", directive.reason, False
    yield "$.reason_public", directive.reason_public, False
    yield "$.risk_of_acting", directive.risk_of_acting, False
    yield "$.risk_of_withholding", directive.risk_of_withholding, False
    for index, one in enumerate(directive.public_text):
        yield f"$.public_text[{index}]", one.text, True
    if directive.exemptions is not None:
        yield "$.exemptions.note", directive.exemptions.note, True
    if directive.end_on is not None:
        yield "$.end_on.text", directive.end_on.text, True
        yield "$.end_on.evidence", directive.end_on.evidence, True
    if directive.onward is not None:
        yield "$.onward.text", directive.onward.text, True


def _languages(directive: Directive, facts: Facts, path: str) -> list[Lexicon]:
    """The lexicon of a text's language; every one, where its language is not said."""
    language = directive.language
    if path.startswith("$.public_text"):
        language = directive.public_text[int(path.partition("[")[2].rstrip("]"))].language
    known = _lexicon(facts, language)
    return [known] if known else list(facts.lexicons.values()) if language is None else []


def _adjectives(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L14: words of measure that mean nothing without a definition."""
    defined = {plain(one.term) for one in directive.definitions}
    for path, text, operative in _texts(directive):
        quotes: dict[str, Quote] = {}
        for lexicon in _languages(directive, facts, path):
            for quote in find(lexicon.adjectives, text):
                quotes.setdefault(plain(quote.text), quote)
        for word in sorted(set(quotes) - defined):
            yield Finding(
                code="L14",
                case="undefined",
                severity="error" if operative else "warning",
                path=path,
                values=values_of(word=quotes[word].text),
            )


def _part(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L04: words that mean a part, where the scope names none."""
    scope = directive.scope
    narrowed = any(
        getattr(scope, name) != ANY for name in ("kind", "purpose", "marking", "collection")
    )
    if narrowed or directive.remains or directive.purposes:
        return
    for path, text, _ in _texts(directive):
        for lexicon in _languages(directive, facts, path):
            for quote in find(lexicon.part, text):
                yield Finding(
                    code="L04",
                    case="words",
                    severity="warning",
                    path=path,
                    values=values_of(quote=quote.text),
                )
                return


def _exercise(directive: Directive, facts: Facts) -> Iterator[Finding]:
    """L18: a live order never speaks like an exercise, nor the reverse."""
    if (directive.form == "exercise") and not directive.exercise:
        yield Finding(code="L18", case="form", severity="error", path="$.form")
    for path, text, _ in _texts(directive):
        for lexicon in _languages(directive, facts, path):
            denied = list(find(lexicon.no_exercise, text))
            said = [
                one
                for one in find(lexicon.exercise, text)
                if not any(one.start < other.end and other.start < one.end for other in denied)
            ]
            wrong, case = (denied, "live") if directive.exercise else (said, "drill")
            for quote in wrong[:1]:
                yield Finding(
                    code="L18",
                    case=case,
                    severity="error",
                    path=path,
                    values=values_of(quote=quote.text),
                )


WORDS: tuple[Callable[[Directive, Facts], Iterator[Finding]], ...] = (
    _public,
    _adjectives,
    _part,
    _exercise,
)
