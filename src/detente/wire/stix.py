"""STIX 2.1 in: a request cut into objects, each with its own bytes as they came.

Nothing is re-serialised: what is hashed, signed and sent later are the bytes received. Real STIX
is often not strictly valid, so there are three outcomes: accepted, accepted with warnings, refused
with the reason. What is refused is what would make an object ambiguous or unaddressable (STIX 2.1,
2.9, 3.2, 3.3); other breaches of the OASIS schemas are warnings, unless ``strict``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from detente.errors import Invalid
from detente.wire.json import load, load_object
from detente.wire.schemas import validators

__all__ = [
    "Cut",
    "CutObject",
    "Limits",
    "Refusal",
    "Warning_",
    "cut",
    "is_id",
    "is_time",
    "version_of",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request; ``strict``: breaches of the schemas refuse."""

    body_bytes_max: int = 64 * 1024 * 1024
    object_bytes_max: int = 1024 * 1024
    objects_max: int = 10_000
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Warning_:  # noqa: N801  # `Warning` is Python's own
    """Why an accepted object is not strictly valid."""

    code: str
    sentence: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an object was not accepted; ``index`` is its place in the request."""

    index: int
    id: str
    type: str
    code: str
    sentence: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class CutObject:
    """An accepted object: its bytes, their SHA-256, and what decisions look at."""

    index: int
    raw: bytes
    sha256: bytes
    type: str
    id: str
    version: str
    marking_refs: tuple[str, ...]
    granular_marking_refs: tuple[str, ...]
    extensions: tuple[str, ...]
    warnings: tuple[Warning_, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """What a request holds: accepted objects in order, and refusals."""

    objects: tuple[CutObject, ...]
    refusals: tuple[Refusal, ...]


_TYPE = re.compile(r"\A[a-z][a-z0-9]?(?:-?[a-z0-9]+)*-?\Z", re.ASCII)
_ID = re.compile(
    r"\A[a-z][a-z0-9-]{0,249}--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z",
    re.ASCII,
)
_TIME = re.compile(
    r"\A\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)"
    r"(?:\.\d{1,9})?Z\Z",
    re.ASCII,
)
#: Types that need neither ``created`` nor ``modified`` nor ``spec_version`` (STIX 2.1, 3.2).
_OBSERVABLES = frozenset(
    """artifact autonomous-system directory domain-name email-addr email-message file ipv4-addr
    ipv6-addr mac-addr mutex network-traffic process software url user-account
    windows-registry-key x509-certificate""".split()
)
_PLAIN = ("id", "type")


def is_id(text: str) -> bool:
    """True if a text is an identifier as STIX writes them: a type and a UUID (STIX 2.1, 2.9)."""
    return _ID.match(text) is not None


def is_time(text: str) -> bool:
    """True if a text is a timestamp as STIX and TAXII write them: RFC 3339 in UTC with ``Z``."""
    return _TIME.match(text) is not None


def cut(body: bytes, limits: Limits) -> Cut:
    """Cut a bundle, a TAXII envelope, an array or one object.

    Raises ``Invalid`` where the request as a whole cannot be trusted: too large, not UTF-8, not
    JSON, an unknown shape, a repeated key around the objects, too many objects.
    """
    if len(body) > limits.body_bytes_max:
        raise Invalid(
            "http.body_too_large",
            f"Expected at most {limits.body_bytes_max} bytes, got {len(body)}.",
        )
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise Invalid("json.utf8", f"Expected UTF-8, got another byte at {error.start}.") from error
    raws = _objects(body)
    if len(raws) > limits.objects_max:
        raise Invalid(
            "stix.objects", f"Expected at most {limits.objects_max} objects, got {len(raws)}."
        )
    schemas = validators()
    objects: list[CutObject] = []
    refusals: list[Refusal] = []
    for index, part in enumerate(raws):
        raw = bytes(part)
        known = dict.fromkeys(_PLAIN, "")
        try:
            objects.append(_object(index, raw, limits, schemas, known))
        except Invalid as error:
            refusals.append(
                Refusal(index, known["id"], known["type"], error.code, error.sentence, error.path)
            )
    return Cut(tuple(objects), tuple(refusals))


def _objects(body: bytes) -> list[msgspec.Raw]:
    """The objects of a request as slices of it."""
    try:
        if body.lstrip()[:1] == b"[":
            return msgspec.json.decode(body, type=list[msgspec.Raw])
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if "objects" not in fields:
            if b'"' + b'type"' in body and _text(fields.get("type")) != "bundle":
                return [msgspec.Raw(body.strip())]
            if (
                _text(fields.get("type")) == "bundle"
                or not fields
                or set(fields) <= {"more", "next"}
            ):
                _check_around(body, fields)
                return []
            raise Invalid(
                "stix.shape", "Expected a bundle, an envelope, an array or an object with a type."
            )
        _check_around(body, fields)
        return msgspec.json.decode(fields["objects"], type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        code = "json.depth" if isinstance(error, RecursionError) else "json.malformed"
        raise Invalid(code, f"Expected JSON, got: {error}.") from error


def _text(raw: msgspec.Raw | None) -> str:
    value = (
        load(bytes(raw)) if raw is not None and len(bytes(raw)) < 300 else None
    )  # a type is short
    return value if isinstance(value, str) else ""


def _check_around(body: bytes, fields: dict[str, msgspec.Raw]) -> None:
    """A repeated key beside the objects. What is left of the body once the values found are taken
    out is small; a second ``objects`` stays in it and shows."""
    left, at = [], 0
    for value in fields.values():
        data = bytes(value)
        start = body.find(data, at)
        if start < 0:
            raise Invalid("json.duplicate-key", "Expected each key once, got one again.")
        left.append(body[at:start] + b"0")
        at = start + len(data)
    rest = b"".join(left) + body[at:]
    if len(load_object(rest)) != len(fields):
        raise Invalid("json.duplicate-key", "Expected each key once, got one again.")


def _object(
    index: int, raw: bytes, limits: Limits, schemas: dict[str, Any], known: dict[str, str]
) -> CutObject:
    if len(raw) > limits.object_bytes_max:
        raise Invalid(
            "stix.object-size",
            f"Expected at most {limits.object_bytes_max} bytes, got {len(raw)}.",
        )
    value = load_object(raw)
    kind, stix_id = value.get("type"), value.get("id")
    known["type"] = kind[:250] if isinstance(kind, str) else ""
    known["id"] = stix_id[:300] if isinstance(stix_id, str) else ""
    _check_common(value, kind, stix_id)
    warnings = _warnings(value, schemas, limits)
    extensions = value.get("extensions")
    labels, unread = _labels(value.get("labels"))
    return CutObject(
        index,
        raw,
        hashlib.sha256(raw).digest(),
        known["type"],
        known["id"],
        value.get("modified") or value.get("created") or "",
        _refs(value.get("object_marking_refs")) + unread,
        _granular(value.get("granular_markings")),
        tuple(sorted(extensions)) if isinstance(extensions, dict) else (),
        warnings,
        labels,
    )


def _check_common(value: dict[str, Any], kind: object, stix_id: object) -> None:
    """Common properties without which an object cannot be told from another (3.2)."""
    if (
        not isinstance(kind, str) or not 2 <= len(kind) <= 250 or not _TYPE.match(kind)
    ):  # STIX 2.1, 3.1; one letter less than the standard's three, as real types have
        raise Invalid("stix.type", f"Expected a type of STIX, got {kind!r:.80}.", path="$.type")
    if kind == "bundle":
        raise Invalid("stix.bundle", "Expected an object, got a bundle inside.", path="$.type")
    if not isinstance(stix_id, str) or not _ID.match(stix_id):
        raise Invalid("stix.id", f"Expected type--UUID, got {stix_id!r:.80}.", path="$.id")
    if stix_id.rpartition("--")[0] != kind:
        raise Invalid("stix.id", f"Expected an id of type {kind}, got {stix_id}.", path="$.id")
    version = value.get("spec_version")
    if kind in _OBSERVABLES:
        if version not in (None, "2.1"):
            raise Invalid(
                "stix.version", f"Expected 2.1, got {version!r:.20}.", path="$.spec_version"
            )
    elif version != "2.1":
        raise Invalid(
            "stix.version",
            f"Expected spec_version 2.1, got {version!r:.20}.",
            hint="Objects of STIX 2.0 have none; convert them.",
            path="$.spec_version",
        )
    for name in ("created", "modified"):
        time = value.get(name)
        needed = kind not in _OBSERVABLES and not (
            # These have no `modified`; custom observables have neither (7.2.1, 2.9).
            (name == "modified" and kind == "marking-definition")
            or ("modified" not in value and "created" not in value)
        )
        if time is None and not needed:
            continue
        if not (isinstance(time, str) and _TIME.match(time)):
            raise Invalid(
                "stix.time",
                f"Expected a time in UTC as {name}, got {time!r:.60}.",
                path=f"$.{name}",
            )
    refs = value.get("object_marking_refs")
    if refs is not None and not (
        isinstance(refs, list) and all(isinstance(r, str) and _ID.match(r) for r in refs)
    ):
        raise Invalid(
            "stix.markings", "Expected a list of ids of markings.", path="$.object_marking_refs"
        )


def _warnings(
    value: dict[str, Any], schemas: dict[str, Any], limits: Limits
) -> tuple[Warning_, ...]:
    found: list[Warning_] = []
    schema = schemas.get(value["type"])
    if schema is not None and not schema.is_valid(value):
        for error in schema.iter_errors(value):
            place = "$" + "".join(f".{part}" for part in error.instance_path)
            found.append(Warning_("stix.schema", str(error.message)[:300], place))
            if len(found) >= 10:  # enough to see what is wrong
                break
        if limits.strict:
            raise Invalid("stix.schema", found[0].sentence, path=found[0].path)
    created, modified = value.get("created"), value.get("modified")
    if created and modified and modified < created:
        found.append(Warning_("stix.modified", "`modified` is before `created`.", "$.modified"))
    return tuple(found)


def _refs(value: Any) -> tuple[str, ...]:
    return tuple(value) if value else ()


def _labels(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels, and a marking of an unknown form if some cannot be read: labels may be markings
    (``wire.tags``)."""
    given = value if isinstance(value, list) else [] if value is None else [value]
    found = tuple(one for one in given if isinstance(one, str))
    return found, () if len(found) == len(given) else ("unreadable",)


def _granular(value: Any) -> tuple[str, ...]:
    """The markings that parts of the object carry. Any of an unknown form counts as unknown."""
    if not value:
        return ()
    if not isinstance(value, list):
        return ("unreadable",)
    found = []
    for one in value:
        ref = one.get("marking_ref") if isinstance(one, dict) else None
        if isinstance(ref, str):
            found.append(ref)
        elif not (isinstance(one, dict) and isinstance(one.get("lang"), str)):
            found.append("unreadable")
    return tuple(found)


class _Version(msgspec.Struct):
    modified: str = ""
    created: str = ""


_VERSIONS: Final[msgspec.json.Decoder[_Version]] = msgspec.json.Decoder(_Version)


def version_of(raw: bytes) -> str:
    """The version of an object that was accepted before; none if a partner let one in whose
    version is no text."""
    try:
        found = _VERSIONS.decode(raw)
    except msgspec.ValidationError:
        return ""
    return found.modified or found.created
