"""Card: an order on one page for one unit: what it may, what it may not, and whom it asks (R18).

From the fields alone, in the reader's language, at most ``LINES_MAX`` lines of ``WIDTH`` letters.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from detente.model import Agreement, Directive, Rulings
from detente.rules.readback import (
    Texts,
    clauses,
    direction_of,
    end_text,
    kinds_of,
    kinds_text,
    life_text,
    partners_text,
    start_text,
)

__all__ = ["LINES_MAX", "WIDTH", "card"]

LINES_MAX = 60
WIDTH = 100
#: Letters of one list; a longer one says how much is left out, and where it stands whole.
_LIST_MAX = 1200


def card(directive: Directive, unit: str, terms: Agreement | None, texts: Texts) -> tuple[str, ...]:
    """The lines of the card. A unit that the order is not addressed to, or whose sending it does
    not cover, is told so, and nothing else."""
    lines = [_line(line, texts.card_cut) for line in _lines(directive, unit, terms, texts)]
    return tuple(one for wrapped in lines for one in wrapped)[:LINES_MAX]


def _line(text: str, cut: str) -> list[str]:
    if len(text) > _LIST_MAX:
        text = f"{text[:_LIST_MAX]} {cut}"
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent + "  ") or [""]


def _lines(directive: Directive, unit: str, terms: Agreement | None, texts: Texts) -> Iterator[str]:
    mark = texts.mark if directive.exercise else ""
    yield texts.card_title.format(mark=mark, unit=unit, id=directive.id, issuer=directive.issuer)
    yield texts.card_force.format(
        start=start_text(directive, texts), end=end_text(directive, texts)
    )
    yield ""
    addressed = directive.addressees.units if directive.addressees else ()
    if unit not in addressed:
        yield texts.card_not_addressed.format(unit=unit)
    elif direction_of(directive) == "out" and not directive.scope.unit.has(unit):
        yield texts.card_not_covered.format(unit=unit)
    else:
        yield texts.about.format(
            partners=partners_text(directive, terms),
            direction=texts.ways[direction_of(directive)],
            kinds=kinds_text(kinds_of(directive), terms, texts),
        )
        yield from _rulings(directive, texts)
        yield from clauses(directive, terms, texts)
        yield texts.card_life.format(life=life_text(directive, texts))
    yield ""
    yield f"{texts.ask}: {directive.contact or directive.office}"
    yield texts.card_not_asked


def _rulings(directive: Directive, texts: Texts) -> Iterator[str]:
    acts = directive.acts
    for ruling, title in (
        ("yes", texts.may),
        ("no", texts.may_not),
        ("no-change", texts.no_change),
    ):
        ruled = [
            texts.acts[name]
            for name in Rulings.__struct_fields__
            if acts is not None and getattr(acts, name) == ruling
        ]
        if ruled:
            yield ""
            yield f"{title}:"
            yield from (f"  - {one}" for one in ruled)
    yield ""
