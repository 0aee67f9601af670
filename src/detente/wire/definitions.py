"""Words of marking definitions, for people: what a reason or a caveat shows of a marking."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["TEXT_MAX", "definition_text", "marking_refs"]

#: Characters of one text that are shown; how many there are in all is said.
TEXT_MAX = 20_000
#: Markings of one object that are looked up.
REFS_MAX = 64


class _Marked(msgspec.Struct, frozen=True):
    object_marking_refs: Any = None
    granular_markings: Any = None


class _Definition(msgspec.Struct, frozen=True):
    name: str = ""
    definition_type: str = ""
    definition: Any = None
    extensions: Any = None


def definition_text(raw: bytes) -> str:
    """The statement of a statement marking; of another kind its name and what it says, as JSON. A
    text that is too long ends with how long it is."""
    try:
        found = msgspec.json.decode(raw, type=_Definition)
    except (msgspec.DecodeError, RecursionError):
        return ""
    inner = found.definition if isinstance(found.definition, dict) else {}
    statement = inner.get("statement")
    if isinstance(statement, str):
        text = statement
    else:
        parts = [found.name, *(_plain(one) for one in (found.definition, found.extensions) if one)]
        text = " ".join(part for part in parts if part)
    if len(text) > TEXT_MAX:
        return f"{text[:TEXT_MAX]} … (the first {TEXT_MAX} of {len(text)} characters)"
    return text


def _plain(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def marking_refs(raw: bytes) -> tuple[str, ...]:
    """The ids of the markings that an object refers to, those of its parts too, up to ``REFS_MAX``;
    what has another form is left out, for the names in its handling count, not these."""
    try:
        found = msgspec.json.decode(raw, type=_Marked)
    except (msgspec.DecodeError, RecursionError):
        return ()
    whole = found.object_marking_refs if isinstance(found.object_marking_refs, list) else []
    parts = found.granular_markings if isinstance(found.granular_markings, list) else []
    refs = [*whole, *(one.get("marking_ref") for one in parts if isinstance(one, dict))]
    return tuple(dict.fromkeys(ref for ref in refs if isinstance(ref, str)))[:REFS_MAX]
