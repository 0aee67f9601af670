"""YAML as people write it, read as strictly as JSON.

Only the parser's events are used; what they mean is decided here, by the core schema of YAML 1.2.2
(10.3.2): so ``no`` is a text (Norway, Norwegian), not false, and nothing is ever made an object of
a class. A time stays the text that it is; who asks for a time reads it. Refused: keys that come
twice, keys that are no text, anchors and aliases, tags, several documents, numbers with a point,
and more levels or values than any terms have. What was signed must be what was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from detente.errors import Invalid

__all__ = ["read_yaml"]

#: Our deepest terms nest eight levels.
_DEPTH_MAX = 32
#: 5,000 members with what belongs to each are about a quarter of a million values.
_VALUES_MAX = 1_000_000
_INTEGER = re.compile(r"\A[-+]?[0-9]{1,16}\Z", re.ASCII)
_FLOAT = re.compile(
    r"\A(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)\Z",
    re.ASCII | re.IGNORECASE,
)
_WORDS: dict[str, bool] = {
    word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")
}
_NOTHING = ("", "~", "null", "Null", "NULL")


def read_yaml(text: str) -> Any:
    """The value in a text of YAML; ``Invalid`` with its line where it is refused."""
    try:
        return _Reader(text).read()
    except UnicodeEncodeError as error:
        raise Invalid("terms.yaml", "Expected well-formed text, got a lone surrogate.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        words = getattr(error, "problem", None) or "it cannot be read"
        raise Invalid(
            "terms.yaml", f"Expected YAML, got: {words}{_place(mark)}.", hint=_TABS
        ) from error


_TABS = "Indent with blanks, never tabs; put texts with a colon or a sharp in quotes."


class _Reader:
    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._values = 0

    def read(self) -> Any:
        self._next()  # the start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise Invalid("terms.yaml", "Expected a table of terms, got nothing.")
        value = self._value(self._next(), "$", _DEPTH_MAX)
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise _refusal("one document", "a second one", after)
        return value

    def _next(self) -> Any:
        return next(self._events)

    def _value(self, event: Any, path: str, depth: int) -> Any:
        self._values += 1
        if self._values > _VALUES_MAX or depth == 0:
            limit = f"at most {_DEPTH_MAX} levels and {_VALUES_MAX} values"
            raise _refusal(limit, "more", event, path)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refusal("every value written out", "an anchor or alias", event, path)
        if event.tag is not None and event.tag != "!":
            raise _refusal("plain values", "a tag", event, path)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path, depth)
        return self._table(path, depth)

    def _list(self, path: str, depth: int) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            found.append(self._value(event, f"{path}[{len(found)}]", depth - 1))
        return found

    def _table(self, path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._value(event, path, depth - 1)
            if not isinstance(key, str):
                raise _refusal("a text as key", f"{type(key).__name__}", event, path)
            if key in found:
                raise _refusal("each key once", f"{key[:64]!r} again", event, path)
            found[key] = self._value(self._next(), f"{path}.{key[:64]}", depth - 1)
        return found


def _scalar(event: Any, path: str) -> Any:
    text = str(event.value)
    if event.style or not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    if text in _NOTHING:
        raise _refusal("a value", "none", event, path)
    if _FLOAT.match(text):
        raise _refusal("a whole number or a text in quotes", text[:40], event, path)
    return text


def _refusal(expected: str, got: str, event: Any, path: str = "") -> Invalid:
    return Invalid(
        "terms.yaml", f"Expected {expected}, got {got}{_place(event.start_mark)}.", path=path
    )


def _place(mark: Any) -> str:
    return "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
