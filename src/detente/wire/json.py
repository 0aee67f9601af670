"""Strict JSON: what every reader would read the same.

Refused: invalid UTF-8, repeated keys (two parties could read two markings from the same bytes),
NaN and infinities, numbers beyond a double, lone surrogates, nesting beyond ``DEPTH_MAX``.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from detente.errors import Invalid

__all__ = ["DEPTH_MAX", "load", "load_object"]

#: Real STIX nests about ten levels.
DEPTH_MAX = 100


def load_object(raw: bytes) -> dict[str, Any]:
    """The value of one JSON object, strictly. Bytes that are what the parsed value encodes to
    have no repeated key, and that is cheaper to see than to search; all others are searched."""
    value = load(raw)
    if not isinstance(value, dict):
        raise Invalid("json.object", f"Expected an object, got {type(value).__name__}.")
    return value


def load(raw: bytes) -> Any:
    """The value of a JSON text, strictly."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _malformed(raw, error) from error
    # A dict has each key once, so the bytes it encodes to have too (orjson keeps the order). What
    # orjson cannot write (an integer beyond 64 bits was read as a float) is never equal.
    try:
        plain = orjson.dumps(value) == raw
    except orjson.JSONEncodeError as error:
        raise Invalid("json.depth", f"Expected at most {DEPTH_MAX} levels, got more.") from error
    if not plain:
        _search(raw)
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX:
        _check_depth(value)
    return value


def _malformed(raw: bytes, error: ValueError) -> Invalid:
    if raw.count(b"[") + raw.count(b"{") > 1000 and "recursion" in str(error).lower():
        return Invalid("json.depth", f"Expected at most {DEPTH_MAX} levels, got more.")
    return Invalid("json.malformed", f"Expected JSON, got: {error}.")


def _search(raw: bytes) -> None:
    try:
        json.loads(raw, object_pairs_hook=_pairs, parse_constant=_constant)
    except RecursionError as error:
        raise Invalid("json.depth", f"Expected at most {DEPTH_MAX} levels, got more.") from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid("json.duplicate-key", f"Expected each key once, got {twice[:80]!r} again.")
    return found


def _constant(name: str) -> Any:
    raise Invalid("json.number", f"Expected a number of JSON, got {name}.")


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise Invalid("json.depth", f"Expected at most {DEPTH_MAX} levels, got more.")
