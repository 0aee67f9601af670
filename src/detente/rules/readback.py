"""Read-back: the reader gives the five critical values in their own words, and they are compared.

Who, what, which direction, from when, until when or on which condition. All follow from the fields
of the order alone; no text of it is repeated but the words of its condition. The comparison is
forgiving in form (order, case, accents, the zone of a time, a kind by its title) and never in
meaning: what is not understood differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from detente.errors import Invalid
from detente.model import Agreement, Choice, Directive, Scope, without
from detente.model.scope import ANY, DIMENSIONS
from detente.rules.lexicon import find, plain
from detente.rules.times import instant_text, parse_instant_ms

__all__ = [
    "VALUES",
    "Difference",
    "Texts",
    "Values",
    "clauses",
    "compare",
    "direction_of",
    "end_text",
    "kinds_of",
    "kinds_text",
    "life_text",
    "partners_text",
    "sentence",
    "start_text",
    "values_text",
]

VALUES = ("who", "what", "direction", "start", "end")
#: Characters of one value.
VALUE_MAX = 5000
_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})"
)

Words = tuple[str, ...]


class Texts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The words of a language: what is said, and what is understood (``…_words``)."""

    sentence: str
    mark: str
    who: str
    what: str
    direction: str
    start: str
    end: str
    verbs: dict[str, str]
    verb_words: dict[str, Words]
    ways: dict[str, str]
    way_words: dict[str, Words]
    all: str
    but: str
    all_words: Words
    but_words: Words
    enacted: str
    enacted_words: Words
    review: str
    review_words: Words
    or_: str = msgspec.field(name="or")
    or_words: Words
    no_end: str
    no_end_words: Words
    filler_words: Words
    open: str
    stopped: str
    nobody: str
    nothing: str
    not_asked: str
    unknown: str
    match: str
    mismatch: str
    card_title: str
    card_force: str
    card_not_addressed: str
    card_not_covered: str
    may: str
    may_not: str
    ask: str
    acts: dict[str, str]
    no_change: str
    about: str
    card_life: str
    reviewed: str
    assured: str
    purposes: str
    limits: str
    remains: str
    any_but: str
    dimensions: dict[str, str]
    card_not_asked: str
    card_cut: str


class Values(msgspec.Struct, frozen=True, kw_only=True):
    """The five values as words."""

    who: str = ""
    what: str = ""
    direction: str = ""
    start: str = ""
    end: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One value that differs: what the order says, and what was given."""

    value: str
    wanted: str
    got: str


# --- what the order says --------------------------------------------------------------------------


def direction_of(directive: Directive) -> str:
    """``in``, ``out`` or ``both``."""
    only = directive.scope.direction.only
    return only[0] if only is not None and len(only) == 1 else "both"


def kinds_of(directive: Directive) -> Choice:
    """The kinds that the order bears on: for a narrowing those that it keeps back, where it goes by
    kinds alone."""
    if directive.does != "narrow" or directive.remains is None:
        return directive.scope.kind
    boxes = without(directive.scope, directive.remains)
    return boxes[0].kind if len(boxes) == 1 else directive.scope.kind


def _named(kinds: Iterable[str], terms: Agreement | None) -> str:
    found = []
    for name in kinds:
        kind = terms.kind(name) if terms else None
        found.append(f"{name} ({kind.title})" if kind else name)
    return ", ".join(found)


def kinds_text(choice: Choice, terms: Agreement | None, texts: Texts) -> str:
    """The kinds, by id and title."""
    if choice.only is not None:
        return _named(choice.only, terms)
    if choice.excluding is not None:
        return texts.but.format(kinds=_named(choice.excluding, terms))
    return texts.all


def start_text(directive: Directive, texts: Texts) -> str:
    """When it begins."""
    return texts.enacted if directive.start_ms is None else instant_text(directive.start_ms)


def end_text(directive: Directive, texts: Texts) -> str:
    """When or on which condition it ends, or when it is reviewed."""
    if directive.end_ms is not None:
        time = instant_text(directive.end_ms)
    elif directive.review_ms is not None:
        time = texts.review.format(time=instant_text(directive.review_ms))
    else:
        time = texts.no_end
    if directive.end_on is None:
        return time
    # In one line: words of a condition must not look like lines of their own.
    return texts.or_.format(time=time, text=" ".join(directive.end_on.text.split()))


def values_text(directive: Directive, terms: Agreement | None, texts: Texts) -> Values:
    """The five values as the order says them."""
    units = directive.addressees.units if directive.addressees else ()
    kinds = kinds_text(kinds_of(directive), terms, texts)
    return Values(
        who=", ".join(units) or texts.nobody,
        what=f"{texts.verbs[directive.does]} {kinds}",
        direction=texts.ways[direction_of(directive)],
        start=start_text(directive, texts),
        end=end_text(directive, texts),
    )


def partners_text(directive: Directive, terms: Agreement | None) -> str:
    """The partners that the order bears on."""
    party = directive.scope.party
    if party.only is not None:
        return ", ".join(party.only)
    members = [m.party for m in terms.members] if terms else []
    found = [one for one in members if one != directive.issuer and party.has(one)]
    if not found and directive.notice is not None:
        found = list(directive.notice.to)
    return ", ".join(found) or directive.agreement


def life_text(directive: Directive, texts: Texts) -> str:
    """Whether safety of life stays open."""
    said = directive.exemptions
    return texts.stopped if said and said.safety_of_life == "stopped" else texts.open


def _scope_text(scope: Scope, texts: Texts, dimensions: Iterable[str]) -> str:
    """What limits a scope in these dimensions; empty if nothing does."""
    parts = []
    for name in dimensions:
        choice: Choice = getattr(scope, name)
        if choice.only is not None:
            values = choice.only
            said = ", ".join(texts.ways[v] for v in values) if name == "direction" else None
            parts.append(f"{texts.dimensions[name]} {said or ', '.join(values)}")
        elif choice.excluding is not None:
            values_but = texts.any_but.format(values=", ".join(choice.excluding))
            parts.append(f"{texts.dimensions[name]} {values_but}")
    return "; ".join(parts)


def clauses(directive: Directive, terms: Agreement | None, texts: Texts) -> Iterator[str]:
    """What else limits the order, and under what the flow goes on."""
    limits = _scope_text(directive.scope, texts, ("unit", "collection", "marking", "purpose"))
    if limits:
        yield texts.limits.format(text=limits)
    if directive.remains is not None:
        yield texts.remains.format(text=_scope_text(directive.remains, texts, DIMENSIONS))
    if directive.does == "moderate":
        yield texts.reviewed
    for one in directive.conditions:
        kinds = kinds_text(one.scope.kind, terms, texts)
        yield texts.assured.format(template=one.template, kinds=kinds)
    if directive.purposes:
        yield texts.purposes.format(purposes=", ".join(directive.purposes))


def sentence(directive: Directive, terms: Agreement | None, texts: Texts) -> str:
    """The order in one piece, from its fields alone."""
    values = values_text(directive, terms, texts)
    return texts.sentence.format(
        mark=texts.mark if directive.exercise else "",
        issuer=directive.issuer,
        office=directive.office,
        id=directive.id,
        verb=texts.verbs[directive.does],
        kinds=kinds_text(kinds_of(directive), terms, texts),
        direction=values.direction,
        partners=partners_text(directive, terms),
        clauses="".join(f" {one}" for one in clauses(directive, terms, texts)),
        units=values.who,
        start=values.start,
        end=values.end,
        life=life_text(directive, texts),
        supersedes=", ".join(directive.supersedes) or texts.nothing,
        unchanged=", ".join(f"{one.issuer} {one.id}" for one in directive.unchanged)
        or texts.nothing,
    )


# --- what was given -------------------------------------------------------------------------------


def compare(
    directive: Directive, given: Values, terms: Agreement | None, texts: Texts
) -> tuple[Difference, ...]:
    """What of the given values differs from the order; none if all say the same."""
    checks = {
        "who": _same_who(directive, given.who, texts),
        "what": _same_what(directive, given.what, terms, texts),
        "direction": _one_of(texts.way_words, given.direction) == direction_of(directive),
        "start": _same_start(directive, given.start, texts),
        "end": _same_end(directive, given.end, texts),
    }
    wanted = values_text(directive, terms, texts)
    return tuple(
        Difference(
            value=name,
            wanted=getattr(wanted, name),
            got=getattr(given, name)[:VALUE_MAX] or texts.not_asked,
        )
        for name in VALUES
        if not checks[name]
    )


def _squeezed(text: str) -> str:
    """Without case, accents, doubled blanks and what stands around words."""
    return " ".join(plain(text[:VALUE_MAX]).split()).strip(" .,;:!¡?¿\"'«»“”()")


def _without(phrases: Iterable[str], text: str) -> tuple[str, bool]:
    """The text with the phrases blanked, and whether there were any."""
    spans = list(find(phrases, text))
    for one in spans:
        text = text[: one.start] + " " * (one.end - one.start) + text[one.end :]
    return text, bool(spans)


def _same_who(directive: Directive, text: str, texts: Texts) -> bool:
    units = directive.addressees.units if directive.addressees else ()
    # Case is form, unless it tells two units apart.
    form = str.casefold if len({one.casefold() for one in units}) == len(units) else str
    by_form = {form(one): one for one in units}
    fillers = {plain(one) for one in texts.filler_words}
    said = [one for one in re.split(r"[\s,;]+", text[:VALUE_MAX].strip(" .")) if one]
    named = [by_form.get(form(one), "") for one in said]
    # A word that is no unit and binds nothing is somebody else, or not understood.
    if any(not unit and plain(one) not in fillers for unit, one in zip(named, said, strict=True)):
        return False
    return {unit for unit in named if unit} == set(units) and bool(units)


def _one_of(words: Mapping[str, Words], text: str) -> str | None:
    said = _squeezed(text)
    return next(
        (name for name, listed in words.items() if said in {_squeezed(one) for one in listed}),
        None,
    )


def _same_what(directive: Directive, text: str, terms: Agreement | None, texts: Texts) -> bool:
    rest = text[:VALUE_MAX]
    # Kinds first: a title may hold words that mean something else alone.
    rest, kinds = _kinds_in(rest, directive, terms)
    verbs = set()
    for name, words in texts.verb_words.items():
        rest, said = _without((*words, texts.verbs[name]), rest)
        if said:
            verbs.add(name)
    rest, everything = _without((texts.all, *texts.all_words), rest)
    rest, but = _without(texts.but_words, rest)
    rest, _ = _without(texts.filler_words, rest)
    if re.sub(r"[\s,;:.()]+", "", rest) or verbs != {directive.does}:
        return False
    if everything and but:
        said_choice = Choice.but(*kinds) if kinds else None
    elif everything:
        said_choice = None if kinds else ANY
    else:
        said_choice = Choice.of(*kinds) if kinds and not but else None
    return said_choice == kinds_of(directive)


def _kinds_in(text: str, directive: Directive, terms: Agreement | None) -> tuple[str, set[str]]:
    """The kinds named by id or title; longer titles first, so that none is taken for a part."""
    choice = kinds_of(directive)
    names: dict[str, Words] = {
        one: (one,) for one in (*(choice.only or ()), *(choice.excluding or ()))
    }
    if terms is not None:
        names = {kind.id: (kind.title, kind.id) for kind in terms.kinds}
    pairs = sorted(
        ((word, name) for name, words in names.items() for word in words),
        key=lambda pair: len(pair[0]),
        reverse=True,
    )
    found = set()
    for word, name in pairs:
        text, said = _without((word,), text)
        if said:
            found.add(name)
    return text, found


def _instants(text: str) -> tuple[str, list[int]]:
    found = []
    for match in _INSTANT.finditer(text):
        try:
            found.append(parse_instant_ms(match.group()))
        except Invalid:
            continue
    return _INSTANT.sub(" ", text), found


def _same_start(directive: Directive, text: str, texts: Texts) -> bool:
    if directive.start_ms is None:
        said = {_squeezed(one) for one in (texts.enacted, *texts.enacted_words)}
        return _squeezed(text) in said
    rest, instants = _instants(text[:VALUE_MAX])
    rest, _ = _without(texts.filler_words, rest)
    return instants == [directive.start_ms] and not _squeezed(rest)


def _same_end(directive: Directive, text: str, texts: Texts) -> bool:
    rest, instants = _instants(text[:VALUE_MAX])
    wanted_ms = directive.end_ms if directive.end_ms is not None else directive.review_ms
    if instants != ([] if wanted_ms is None else [wanted_ms]):
        return False
    condition = _squeezed(directive.end_on.text) if directive.end_on else ""
    left = _squeezed(rest)
    if condition:
        if not left.endswith(condition):
            return False
        left = left.removesuffix(condition)
        left, _ = _without(texts.or_words, left)
    reviews = directive.end_ms is None and directive.review_ms is not None
    left, review = _without(texts.review_words, left)
    if review != reviews:
        return False
    left, none = _without(texts.no_end_words, left)
    if none and directive.end_ms is not None:
        return False
    if wanted_ms is None and not condition and not none:
        return False
    left, _ = _without(texts.filler_words, left)
    return not _squeezed(left)
