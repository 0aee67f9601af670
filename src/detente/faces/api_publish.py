"""Publications as they are asked for in a query: the body is the objects and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, cast

from starlette.datastructures import QueryParams

from detente.errors import Invalid
from detente.gateway.stated import Publication

__all__ = ["answers_of", "publication_of"]

_ONCE: Final = frozenset(
    """agreement collection court expect grade kind legal_basis nature observed_ms originator
    partial purpose unit""".split()
)
_MANY: Final = frozenset({"answer", "evidence"})


def publication_of(query: QueryParams, body: bytes, *, agreement: str, party: str) -> Publication:
    """The publication that a query and a body make. Refuses a key that it does not know or that
    comes twice: a guard that was misspelt would be no guard."""
    for name in query:
        times = len(query.getlist(name))
        if name not in _ONCE | _MANY or (times > 1 and name not in _MANY):
            known = ", ".join(sorted(_ONCE | _MANY))
            raise Invalid(
                "api.query", f"Expected each once of {known}, got {name[:64]} {times} times."
            )
    nature = query.get("nature")
    if nature not in (None, "fact", "assessment"):
        raise Invalid(
            "publish.nature", f"Expected `fact` or `assessment`, got {str(nature)[:64]!r}."
        )
    return Publication(
        agreement=agreement,
        collection=query["collection"],
        party=party,
        body=body,
        kind=query.get("kind"),
        purpose=query.get("purpose"),
        grade=query.get("grade"),
        unit=query.get("unit"),
        partial=_yes(query, "partial"),
        nature=cast("Literal['fact', 'assessment'] | None", nature),
        evidence=tuple(query.getlist("evidence")),
        observed_ms=_number(query, "observed_ms"),
        originator=query.get("originator"),
        legal_basis=query.get("legal_basis", ""),
        court=_yes(query, "court"),
        expect=_number(query, "expect"),
        answers=answers_of(query.getlist("answer")),
    )


def answers_of(lines: Iterable[str]) -> dict[str, dict[str, str]]:
    """Answers by test and question, from lines such as ``TEST.QUESTION=VALUE``. Up to the first
    dot it is the test. Refuses a line of another form, and two answers to one question."""
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        test, dot, question = name.partition(".")
        if not (test and dot and question and equals):
            raise Invalid("test.form", f"Expected TEST.QUESTION=VALUE, got {line[:80]!r}.")
        if question in found.setdefault(test, {}):
            raise Invalid("test.form", f"Expected one answer to {name[:80]}, got two.")
        found[test][question] = value
    return found


def _yes(query: QueryParams, name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("false", "true"):
        raise Invalid("api.query", f"Expected true or false as `{name}`, got {value[:32]!r}.")
    return value == "true"


def _number(query: QueryParams, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Invalid("api.query", f"Expected a whole number as `{name}`, got {text[:32]!r}.")
    return int(text)
