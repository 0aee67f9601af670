"""Insides: what of an object does not meet the eye of whoever looks at it in a list or a table.

Properties that STIX does not have, extensions that this node does not know, payloads in base64,
objects inside of objects: places where a sheet with 18,714 lines travels as one with 150. Told, not
judged; what is encoded in words or pictures is not seen.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import orjson

from detente.wire.schemas import properties
from detente.wire.stated import STATED
from detente.wire.vessel import INTERDICTION, TRACK, VESSEL, VOYAGE

__all__ = ["Insides", "insides"]

_KNOWN: Final = frozenset({INTERDICTION, STATED, TRACK, VESSEL, VOYAGE})
#: Texts from this length on that are nothing but base64: a SHA-512 in hexadecimal has 128 letters.
BASE64_LENGTH_MIN: Final = 256
_BASE64: Final = re.compile(r"\A[A-Za-z0-9+/_-]+={0,2}\Z", re.ASCII)
#: Letters of a name that are told.
_NAME_LENGTH_MAX: Final = 100


class Insides(msgspec.Struct, frozen=True, kw_only=True):
    """What one object has inside. ``person``: an identity of an individual. ``properties`` are
    those that STIX does not have, ``extensions`` those unknown here, ``payloads`` the sizes in
    bytes of what is encoded in base64, ``embedded`` the number of objects inside."""

    person: bool
    properties: tuple[str, ...]
    extensions: tuple[str, ...]
    payloads: tuple[int, ...]
    embedded: int


def insides(raw: bytes) -> Insides:
    """Look into an object that was accepted."""
    value = orjson.loads(raw)
    known = properties().get(value["type"])
    strange = {name for name in value if name.startswith("x_")}
    if known is not None:
        strange |= value.keys() - known
    extensions = value.get("extensions")
    found = _Found()
    for name, inner in value.items():
        found.walk(name, inner)
    return Insides(
        person=value["type"] == "identity" and value.get("identity_class") == "individual",
        properties=tuple(sorted(one[:_NAME_LENGTH_MAX] for one in {*strange, *found.strange})),
        extensions=tuple(
            sorted(
                one[:_NAME_LENGTH_MAX]
                for one in (extensions if isinstance(extensions, dict) else ())
                # Names like `pdf-ext` are the standard's own (STIX 2.1, 6.7 and others).
                if one not in _KNOWN and not one.endswith("-ext")
            )
        ),
        payloads=tuple(found.payloads),
        embedded=found.embedded,
    )


class _Found:
    def __init__(self) -> None:
        self.strange: set[str] = set()
        self.payloads: list[int] = []
        self.embedded = 0

    def walk(self, name: str, value: Any) -> None:
        """Go through a value, whatever its depth: it was bounded when it was cut."""
        if isinstance(value, str):
            self._text(name, value)
        elif isinstance(value, list):
            for one in value:
                self.walk(name, one)
        elif isinstance(value, dict):
            kind = value.get("type")
            self.embedded += isinstance(kind, str) and kind in properties()
            for inner, one in value.items():
                if inner.startswith("x_"):
                    self.strange.add(inner)
                self.walk(inner, one)

    def _text(self, name: str, text: str) -> None:
        head, _, rest = text.partition(";base64,")
        encoded = rest if head.startswith("data:") and rest else text
        if (
            name.endswith("_bin")
            or encoded is rest
            or (len(encoded) >= BASE64_LENGTH_MIN and _BASE64.match(encoded))
        ):
            self.payloads.append(len(encoded.rstrip("=")) * 3 // 4)
