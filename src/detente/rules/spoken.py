"""Words: from what somebody said in public to a draft with every gap marked.

What is in the closed lists is quoted with its place. What is not is a gap, and never guessed: a
draft from words is no order, and nothing here makes it one. Statements change no standing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

import msgspec

from detente.errors import Invalid
from detente.model import Addressees, Choice, Directive, EndCondition, Scope
from detente.model.directive import DirectiveVerb
from detente.rules.finding import Facts, Gap
from detente.rules.lexicon import TEXT_MAX, Lexicon, Quote, find, names_in, plain
from detente.rules.times import parse_instant_ms

__all__ = ["Found", "WordsDraft", "read_words"]

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2}))?")
_CLAUSE_END = re.compile(r"[.;!?\n]|,(?=\s)|$")
#: How far behind a word like "until" its instant may begin.
_NEAR = 12
_DIRECTIONS = {"out": ("out",), "in": ("in",), "both": ("in", "out")}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says that an order can say: the heading, the value, and the words."""

    heading: str
    value: str
    quote: Quote


class WordsDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What was found and what was not. ``directive`` is what the lint looks at: it has what was
    found and nothing else, and cannot be signed."""

    text: str
    language: str
    found: tuple[Found, ...]
    gaps: tuple[Gap, ...]
    directive: Directive


def read_words(text: str, language: str, lexicon: Lexicon, facts: Facts) -> WordsDraft:
    """Draft from words. ``facts`` may bring the agreement, whose units, kinds and parties are then
    known by their names."""
    if len(text) > TEXT_MAX:
        raise Invalid("words.length", f"Expected at most {TEXT_MAX} characters, got {len(text)}.")
    found: list[Found] = []
    gaps: list[Gap] = []
    verb = _verb(text, lexicon, found, gaps)
    direction = _direction(text, lexicon, found)
    _acts(text, lexicon, found, gaps)
    units = _addressees(text, lexicon, facts, found, gaps)
    kinds = _names(text, facts, found, gaps, lexicon)
    start_ms, at_once = _start(text, lexicon, found, gaps)
    end_ms = _instant_after(text, lexicon.until, "end", found, gaps)
    condition = _condition(text, lexicon, found)
    scope = Scope(
        direction=Choice.of(*direction) if direction else Choice(),
        kind=Choice.of(*kinds) if kinds else Choice(),
    )
    directive = Directive(
        id="words",
        agreement=facts.terms.id if facts.terms else "none",
        agreement_digest="0" * 64,
        issuer="none",
        office="",
        # A verb that was not found is a gap; the lint needs one to look at the rest with.
        verb=verb or "suspend",
        scope=scope,
        addressees=Addressees(units=units) if units else None,
        start_ms=start_ms,
        start_on="enactment" if at_once and start_ms is None else None,
        end_ms=end_ms,
        end_on=condition,
        language=language,
        reason="",
        drafted_ms=0,
        sign_by_ms=0,
        nonce="0" * 32,
    )
    return WordsDraft(
        text=text,
        language=language,
        found=tuple(sorted(found, key=lambda one: (one.quote, one.heading))),
        gaps=tuple(gaps),
        directive=directive,
    )


def _verb(text: str, lexicon: Lexicon, found: list[Found], gaps: list[Gap]) -> DirectiveVerb | None:
    """The one verb of the text. Two, or one that is denied, order nothing that could be told."""
    said = list(_listed(lexicon.verbs, text))
    negated = [
        quote
        for _, quote in said
        if any(_stands_before(one, quote, text) for one in find(lexicon.negations, text))
    ]
    names = {name for name, _ in said}
    if not said:
        gaps.append(Gap(code="L02", case="verb", path="$.verb"))
        return None
    if negated or len(names) > 1 or "recall" in names:
        quote = negated[0] if negated else said[-1][1]
        gaps.append(Gap(code="L02", case="verbs", path="$.verb", quote=quote))
        return None
    name, quote = said[0]
    found.append(Found(heading="verb", value=name, quote=quote))
    return cast(DirectiveVerb, name)


def _listed(words: Mapping[str, tuple[str, ...]], text: str) -> Iterator[tuple[str, Quote]]:
    """What of a list stands in the text; inside a longer phrase a shorter one does not count."""
    all_found = [(name, one) for name, said in words.items() for one in find(said, text)]
    for name, one in sorted(all_found, key=lambda pair: pair[1]):
        if not any(
            other.start <= one.start and one.end <= other.end and len(other.text) > len(one.text)
            for _, other in all_found
        ):
            yield name, one


def _stands_before(first: Quote, then: Quote, text: str) -> bool:
    """True if at most one word lies between the two."""
    between = text[first.end : then.start] if first.end <= then.start else None
    return between is not None and len(between.split()) <= 1


def _direction(text: str, lexicon: Lexicon, found: list[Found]) -> tuple[str, ...]:
    said: dict[str, Quote] = {}
    for name, quote in _listed(lexicon.directions, text):
        said.setdefault(name, quote)
    for name, quote in said.items():
        found.append(Found(heading="direction", value=name, quote=quote))
    return tuple(sorted({way for name in said for way in _DIRECTIONS[name]}))


def _acts(text: str, lexicon: Lexicon, found: list[Found], gaps: list[Gap]) -> None:
    for name, quote in _listed(lexicon.acts, text):
        found.append(Found(heading="acts", value=name, quote=quote))
    gaps += [
        Gap(code="L02", case="gap", path="$.acts", quote=quote)
        for quote in find(lexicon.other_acts, text)
    ]


def _addressees(
    text: str, lexicon: Lexicon, facts: Facts, found: list[Found], gaps: list[Gap]
) -> tuple[str, ...]:
    known = {unit for member in facts.terms.members for unit in member.units} if facts.terms else ()
    units = set()
    for unit, quote in names_in(known, text):
        units.add(unit)
        found.append(Found(heading="addressees", value=unit, quote=quote))
    gaps += [
        Gap(code="L01", case="gap", path="$.addressees", quote=quote)
        for quote in find(lexicon.everybody, text)
    ]
    return tuple(sorted(units))


def _names(
    text: str, facts: Facts, found: list[Found], gaps: list[Gap], lexicon: Lexicon
) -> tuple[str, ...]:
    """Kinds by id or title; words that mean a part, where no kind is named, are a gap."""
    kinds = set()
    for kind in facts.terms.kinds if facts.terms else ():
        for quote in (*(q for _, q in names_in((kind.id,), text)), *find((kind.title,), text)):
            kinds.add(kind.id)
            found.append(Found(heading="kinds", value=kind.id, quote=quote))
    if not kinds:
        gaps += [
            Gap(code="L04", case="gap", path="$.scope.kind", quote=quote)
            for quote in find(lexicon.part, text)
        ]
    return tuple(sorted(kinds))


def _start(
    text: str, lexicon: Lexicon, found: list[Found], gaps: list[Gap]
) -> tuple[int | None, bool]:
    at_once = next(find(lexicon.at_once, text), None)
    if at_once is not None:
        found.append(Found(heading="start", value="enactment", quote=at_once))
    return _instant_after(text, lexicon.from_, "start", found, gaps), at_once is not None


def _instant_after(
    text: str, cues: tuple[str, ...], heading: str, found: list[Found], gaps: list[Gap]
) -> int | None:
    """The instant behind one of these words. A day without hour and zone is no instant."""
    for cue in find(cues, text):
        match = _INSTANT.search(text, cue.end)
        if match is None or match.start() - cue.end > _NEAR:
            continue
        quote = Quote(start=cue.start, end=match.end(), text=text[cue.start : match.end()])
        try:
            ms = parse_instant_ms(match.group())
        except Invalid:
            code, path = ("L05", "$.start_ms") if heading == "start" else ("L06", "$.end_ms")
            gaps.append(Gap(code=code, case="gap", path=path, quote=quote))
            continue
        found.append(Found(heading=heading, value=match.group(), quote=quote))
        return ms
    return None


def _condition(text: str, lexicon: Lexicon, found: list[Found]) -> EndCondition | None:
    """The clause that says while or until when; who decides it, the words never say."""
    for cue in find((*lexicon.while_, *lexicon.until), text):
        after = _INSTANT.search(text, cue.end)
        if after is not None and after.start() - cue.end <= _NEAR:
            continue
        end = _CLAUSE_END.search(text, cue.end)
        stop = end.start() if end else len(text)
        words = text[cue.start : stop].strip()
        if plain(words) == plain(cue.text):
            continue
        quote = Quote(start=cue.start, end=cue.start + len(words), text=words)
        found.append(Found(heading="end", value=words, quote=quote))
        return EndCondition(text=words[:2000])
    return None
