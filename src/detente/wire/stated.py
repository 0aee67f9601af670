"""Stated: what an object says of itself beyond STIX, and where STIX says it already.

One property extension with a fixed id, frozen like those of the vessel profile: partners rely on
it. It is read strictly: what is not understood must not be taken for not said. Beside it, what an
object names as evidence, when what it tells was seen, and which objects it refers to.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson

from detente.errors import Invalid
from detente.model.names import Code, PartyID
from detente.wire.stix import is_id, is_time

__all__ = ["STATED", "Look", "Own", "look", "time_ms"]

STATED: Final = "extension-definition--0b1e5a3c-6d0f-4c58-8a3e-2f9d5c7b1a06"

#: Properties that say when what the object tells was seen, best first (STIX 2.1, 4.14, 5.2, 4.7).
#: The later end of a span counts: what was seen for a week was seen at its end.
_SEEN: Final = (
    "last_observed",
    "last_seen",
    "first_observed",
    "first_seen",
    "valid_from",
    "modified",
)
#: References that are handling, not content.
_MARKINGS: Final = frozenset({"object_marking_refs", "granular_markings"})


class Own(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the extension says; empty is not said. ``grades`` are native, one for each scheme.
    ``court``: consent to use as evidence in court, said by nothing else."""

    extension_type: Literal["property-extension"]
    purpose: Code = ""
    grades: Annotated[tuple[str, ...], msgspec.Meta(max_length=8)] = ()
    nature: Literal["fact", "assessment", ""] = ""
    evidence: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=1000)], ...],
        msgspec.Meta(max_length=100),
    ] = ()
    observed: str = ""
    originator: PartyID = ""
    legal_basis: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    court: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def observed_ms(self) -> int | None:
        """When it was observed, by its own word."""
        return time_ms(self.observed)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of one object. ``evidence``: STIX itself names some; ``seen_ms``: when what it
    tells was seen, by the properties of STIX, None if none says so; ``refs``: ids it refers to,
    markings left out."""

    own: Own | None
    evidence: bool
    seen_ms: int | None
    refs: tuple[str, ...]


def look(raw: bytes) -> Look:
    """Look at an object that was accepted; ``Invalid`` with the path if its extension is not as
    it should be."""
    value = orjson.loads(raw)
    return Look(
        own=_own(value),
        evidence=_names_evidence(value),
        seen_ms=_seen_ms(value),
        refs=tuple(dict.fromkeys(one for one in _refs(value) if one != value.get("id"))),
    )


def time_ms(text: str) -> int | None:
    """Milliseconds of a time as STIX writes it; None for what is no instant."""
    if not is_time(text):
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:  # the 30th of February, a leap second
        return None


def _own(value: dict[str, Any]) -> Own | None:
    extensions = value.get("extensions")
    found = extensions.get(STATED) if isinstance(extensions, dict) else None
    if found is None and not (isinstance(extensions, dict) and STATED in extensions):
        return None
    place = f"$.extensions.{STATED}"
    try:
        own = msgspec.convert(found, Own, strict=True)
    except msgspec.ValidationError as error:
        sentence, _, at = str(error).partition(" - at `$")
        raise Invalid("publish.stated", f"{sentence}.", path=place + at.rstrip("`")) from error
    if own.observed and time_ms(own.observed) is None:
        raise Invalid(
            "publish.stated",
            f"Expected a time in UTC, got {own.observed[:40]!r}.",
            path=f"{place}.observed",
        )
    if len({one.partition(":")[0].partition("@")[0] for one in own.grades}) != len(own.grades):
        raise Invalid(
            "publish.stated", "Expected one grade of each scheme, got two.", path=f"{place}.grades"
        )
    return own


def _names_evidence(value: dict[str, Any]) -> bool:
    """Properties by which STIX names what something rests on: external references that lead
    somewhere (a URL, hashes, an id in a source's own system), observed data behind a sighting,
    samples behind a malware analysis. A name or a description alone leads nowhere."""
    outside = value.get("external_references")
    return (
        bool(value.get("observed_data_refs"))
        or bool(value.get("sample_refs"))
        or bool(value.get("sample_ref"))
        or any(
            isinstance(one, dict) and any(one.get(k) for k in ("url", "hashes", "external_id"))
            for one in (outside if isinstance(outside, list) else ())
        )
    )


def _seen_ms(value: dict[str, Any]) -> int | None:
    for name in _SEEN:
        text = value.get(name)
        found = time_ms(text) if isinstance(text, str) else None
        if found is not None:
            return found
    return None


def _refs(value: Any) -> Iterator[str]:
    """The ids in properties named ``…_ref`` and ``…_refs`` (STIX 2.1, 2.7), at any depth."""
    if isinstance(value, list):
        for one in value:
            if isinstance(one, dict | list):
                yield from _refs(one)
        return
    for name, inner in value.items():
        if name in _MARKINGS:
            continue
        if name.endswith(("_ref", "_refs")):
            for one in inner if isinstance(inner, list) else (inner,):
                if isinstance(one, str) and is_id(one):
                    yield one
        if isinstance(inner, dict | list):
            yield from _refs(inner)
