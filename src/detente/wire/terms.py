"""Terms: agreements as people write them (TOML or YAML), made into the record that is signed.

Names are those of ``model.agreement`` in both languages, but that a span is text such as ``6h`` or
``90d`` and a time has a zone, and their keys end without ``_ms``. Unknown keys are refused with
their path.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from detente.errors import Invalid
from detente.model import Agreement, Notice, decode
from detente.model.codec import canonical
from detente.rules.times import instant_ms, parse_instant_ms, parse_span_ms
from detente.wire.yaml import read_yaml

__all__ = [
    "NO_CHARTER",
    "Language",
    "language_of",
    "read_terms",
    "written_fields",
]

#: The languages that terms are written in.
Language = Literal["toml", "yaml"]
#: Of a member whose charter is not given: checked before there are charters, never signed.
NO_CHARTER = "0" * 64
#: Fields of the agreement itself that are instants; every other field in milliseconds is a span.
_TIMES = frozenset({"from_ms", "until_ms", "review_ms"})


def language_of(file: Path) -> Language:
    """The language that a file is written in, by the ending of its name."""
    return "yaml" if file.suffix.lower() in (".yaml", ".yml") else "toml"


def read_terms(
    text: str,
    charters: Mapping[str, str],
    *,
    exercise: bool,
    language: Language = "toml",
    unsigned: bool = False,
) -> Agreement:
    """The agreement in a written form; ``charters`` gives the digest of each member's charter.

    ``unsigned``: the terms are only looked at, so charters may be missing; what comes back then
    names the charter ``NO_CHARTER`` and must not be signed.
    """
    written = read_yaml(text) if language == "yaml" else _toml(text)
    if not isinstance(written, dict):
        raise Invalid("terms.table", f"Expected a table of terms, got {_sort(written)}.")
    terms = _record(written, Agreement, "$")
    for index, member in enumerate(terms.get("members", [])):
        digest = charters.get(member.get("party", ""))
        if digest is None and "charter" not in member and not unsigned:
            raise Invalid(
                "terms.charter",
                f"Expected the charter of {member.get('party')}, got none.",
                hint="Give it with --charter FILE.",
                path=f"$.members[{index}]",
            )
        member["charter"] = digest or member.get("charter", NO_CHARTER)
    if exercise:
        terms["exercise"] = True
    try:
        agreement = msgspec.convert(terms, Agreement, strict=True)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at `")
        raise Invalid("terms.field", f"{sentence}.", path=place.rstrip("`") or "$") from error
    # Through the canonical form and back, so that what is written is what will be signed.
    return decode(canonical(msgspec.to_builtins(agreement)), Agreement)


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("terms.toml", f"Expected TOML: {error}.") from error


# --- from written keys and values to those of the record ------------------------------------


@functools.cache
def written_fields(form: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    """For each key as it is written: the field's name and its type."""
    hints = typing.get_type_hints(form, include_extras=True)
    fields = {
        name: hints[name] for name in form.__struct_fields__ if (form, name) != (Agreement, "v")
    }
    return {name.removesuffix("_ms"): (name, kind) for name, kind in fields.items()}


def _record(value: Any, form: type[msgspec.Struct], path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("terms.field", f"Expected a table, got {_sort(value)}.", path=path)
    fields = written_fields(form)
    found = {}
    for key, inner in value.items():
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            raise Invalid(
                "terms.unknown",
                f"Expected one of {', '.join(fields)}, got {key[:64]!r}.",
                hint=f"Is {near[0]!r} meant?" if near else "",
                path=path,
            )
        name, kind = fields[key]
        found[name] = _value(inner, (form, name, kind), f"{path}.{key}")
    return found


def _value(value: Any, field: tuple[type[msgspec.Struct], str, Any], path: str) -> Any:
    form, name, kind = field
    if name.endswith("_ms"):
        return _milliseconds(value, path, time=name in _TIMES and form is not Notice)
    inner = _plain(kind)
    if typing.get_origin(inner) is tuple:
        if not isinstance(value, list):
            raise Invalid("terms.field", f"Expected a list, got {_sort(value)}.", path=path)
        one = (form, name, typing.get_args(inner)[0])
        return [_value(each, one, f"{path}[{index}]") for index, each in enumerate(value)]
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        return _record(value, inner, path)
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise Invalid("terms.field", _expected(inner, value, str(error)), path=path) from error


def _expected(kind: Any, value: Any, words: str) -> str:
    """A sentence for people in place of the decoder's."""
    got = f"{value[:64]!r}" if isinstance(value, str) else _sort(value)
    if typing.get_origin(kind) is Literal:
        return f"Expected one of {', '.join(typing.get_args(kind))}, got {got}."
    if isinstance(value, str) and kind is str and "regex" in words:
        return (
            "Expected a name (letters, digits, dot, underscore and hyphen, at most 64) or the form "
            f"that this field has, got {got}."
        )
    return f"{words}."


def _milliseconds(value: Any, path: str, *, time: bool) -> int:
    try:
        if isinstance(value, datetime) and time:
            return instant_ms(value)
        if isinstance(value, str):
            return parse_instant_ms(value) if time else parse_span_ms(value)
    except Invalid as error:
        raise Invalid(error.code, error.sentence, hint=error.hint, path=path) from error
    form = "a time such as 2030-01-01T00:00:00Z" if time else "a span in quotes such as 6h"
    raise Invalid("terms.field", f"Expected {form}, got {_sort(value)}.", path=path)


def _plain(kind: Any) -> Any:
    """The type without its bounds and without None."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(kind) if one is not types.NoneType]
        return _plain(rest[0]) if len(rest) == 1 else kind
    return kind


def _sort(value: Any) -> str:
    names = {dict: "a table", list: "a list", str: "text", bool: "true or false", int: "a number"}
    return names.get(type(value), type(value).__name__)
