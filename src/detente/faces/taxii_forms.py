"""Forms of TAXII 2.1 (OASIS Standard, 10 June 2021): what is asked and how it is answered.

Media types, times, filters, cursors, error objects. Pure: values in, values out; who may see what
is decided elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import sys
import uuid
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from starlette.responses import Response

from detente.errors import DetenteError, Invalid
from detente.faces.http import status_of
from detente.gateway.gather import Gathered, What
from detente.gateway.intake import Published
from detente.gateway.versions import LAST, Versions, version_key
from detente.model import Collection
from detente.model.names import Record
from detente.model.transfer import Stopped
from detente.wire.stix import is_time, version_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = [
    "COMPRESSED_FROM_BYTES",
    "MEDIA",
    "Place",
    "acceptable",
    "answer",
    "check_once",
    "compressed",
    "content_fits",
    "describe",
    "encoding_of",
    "error_answer",
    "filters_of",
    "limit_of",
    "objects_first",
    "parse_time",
    "records",
    "seal",
    "status_body",
    "stopped_answer",
    "time_text",
    "unseal",
    "versions_of",
    "wait_of",
]

MEDIA: Final = "application/taxii+json;version=2.1"
STIX_MEDIA: Final = "application/stix+json;version=2.1"
#: Text of one query value; ids of STIX have at most a few dozen characters each.
QUERY_BYTES_MAX: Final = 8192
#: Values of one filter.
VALUES_MAX: Final = 100
#: An answer is held open at most this long.
WAIT_S_MAX: Final = 60
#: Answers below this size gain nothing by compression.
COMPRESSED_FROM_BYTES: Final = 1024
#: What a client may name as the type of its body, with blanks removed and in small letters.
_CONTENT = frozenset({MEDIA, "application/taxii+json"})
#: Forms that our one media type satisfies, from the most exact.
_RANGES = (MEDIA, "application/taxii+json", "application/*", "*/*")


class Place(Record, frozen=True, kw_only=True):
    """What a ``next`` token carries: the place and every filter, so that it works alone, for
    this client, this collection and this resource only."""

    collection: str
    client: str
    what: What = "objects"
    after_us: int
    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    versions: Versions = LAST
    #: False if the client asks for no version of STIX that we have.
    current: bool = True


# --- what a client accepts ---------------------------------------------------------------------


def acceptable(accept: str) -> bool:
    """True if an ``Accept`` header (RFC 9110, 12.5.1) lets us answer with our media type: the
    most exact range that fits decides, and one with ``q=0`` refuses."""
    best: dict[str, float] = {}
    for part in accept.split(","):
        media, *params = (piece.strip().lower() for piece in part.split(";"))
        quality, kept = 1.0, []
        for param in params:
            name, _, value = param.replace(" ", "").partition("=")
            if name == "q":
                quality = _quality(value)
            elif name:
                kept.append(name + "=" + value.strip('"'))
        best[";".join([media, *kept])] = quality
    return next((best[one] > 0 for one in _RANGES if one in best), False)


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.\d{0,3})?", text, re.ASCII) else 0.0


def content_fits(content_type: str) -> bool:
    """True if a body of this type is taken."""
    return content_type.replace(" ", "").replace('"', "").lower() in _CONTENT


def encoding_of(accept_encoding: str) -> str:
    """``zstd``, ``gzip`` or nothing, as the client prefers (RFC 9110, 12.5.3)."""
    wanted: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, _, q = part.replace(" ", "").partition(";q=")
        wanted[name] = _quality(q) if q else 1.0
    found = max(("zstd", "gzip"), key=lambda name: wanted.get(name, wanted.get("*", 0.0)))
    return found if wanted.get(found, wanted.get("*", 0.0)) > 0 else ""


def compressed(data: bytes, encoding: str) -> bytes:
    """The bytes in an encoding; fast rather than small, for pages are large and many."""
    if encoding == "zstd":
        return bytes(zstd.compress(data, level=1))
    work = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return work.compress(data) + work.flush()


# --- what a client asks ------------------------------------------------------------------------


def time_text(us: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    return f"{_second_text(us // 1_000_000)}.{us % 1_000_000:06d}Z"


@lru_cache(maxsize=64)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time(text: str) -> int:
    """Microseconds of an RFC 3339 time in UTC; what is finer is cut off."""
    try:
        if not is_time(text):
            raise ValueError(text)
        head, _, fraction = text[:-1].partition(".")
        # A leap second is the end of its minute.
        leap = head.endswith(":60")
        seconds = datetime.fromisoformat((head[:-2] + "59" if leap else head) + "+00:00")
    except ValueError as error:
        raise Invalid(
            "taxii.time", f"Expected a time such as 2026-01-02T03:04:05.000006Z, got {text[:64]}."
        ) from error
    micros = int(fraction[:6].ljust(6, "0") or "0") + (1_000_000 if leap else 0)
    return max(0, int(seconds.timestamp()) * 1_000_000 + micros)


def limit_of(query: Mapping[str, str], most: int) -> int:
    """The page size: as asked, at most what the server gives."""
    text = query.get("limit")
    if text is None:
        return most
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) > 0):
        raise Invalid("taxii.limit", f"Expected a positive integer, got {text[:32]!r}.")
    return min(int(text), most)


def wait_of(query: Mapping[str, str]) -> int:
    """For how many seconds an answer without content may be held back."""
    text = query.get("wait")
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid("taxii.wait", f"Expected whole seconds to wait, got {text[:32]!r}.")
    return min(int(text), WAIT_S_MAX)


def filters_of(query: Mapping[str, str], place: Place) -> Place:
    """A place with the filters of a query. Filters of other names are passed over, as the
    standard asks; values that cannot match anything are no error."""
    after = query.get("added_after")
    specs = _listed(query.get("match[spec_version]"))
    return msgspec.structs.replace(
        place,
        after_us=0 if after is None else parse_time(after),
        types=_listed(query.get("match[type]")),
        ids=_listed(query.get("match[id]")),
        versions=versions_of(query.get("match[version]"), place.versions),
        current=not specs or "2.1" in specs,
    )


def check_once(names: Sequence[str]) -> None:
    """Refuse a query that names a parameter twice: which of the two counts would be a guess."""
    for name in ("added_after", "limit", "next", "wait"):
        if names.count(name) > 1:
            raise Invalid("taxii.repeated", f"Expected {name} once, got it again.")
    filters = [name for name in names if name.startswith("match[")]
    if len(filters) != len(set(filters)):
        raise Invalid("taxii.repeated", "Expected each filter once, got one again.")


def versions_of(text: str | None, default: Versions) -> Versions:
    """Which versions ``match[version]`` names: ``first``, ``last``, times, several of these, or
    ``all`` alone. Each once."""
    if text is None:
        return default
    values = text.split(",")
    if len(values) > VALUES_MAX or len(set(values)) < len(values) or ("all" in values[1:]):
        raise Invalid(
            "taxii.version", f"Expected each version once, or all alone, got {text[:64]}."
        )
    if values[0] == "all" and len(values) > 1:
        raise Invalid("taxii.version", f"Expected all alone, got {text[:64]}.")
    times = [one for one in values if one not in ("first", "last", "all")]
    for one in times:
        if not is_time(one):
            raise Invalid(
                "taxii.version", f"Expected first, last, all or a time in UTC, got {one[:64]}."
            )
    return Versions(
        first="first" in values,
        last="last" in values,
        every="all" in values,
        times=tuple(version_key(one) for one in times),
    )


def _listed(text: str | None) -> tuple[str, ...]:
    """Values of a filter: separated by commas, any of them."""
    values = sorted({one for one in text.split(",") if one}) if text else []
    if len(values) > VALUES_MAX:
        raise Invalid(
            "taxii.filter", f"Expected at most {VALUES_MAX} values of a filter, got {len(values)}."
        )
    return tuple(values)


# --- cursors -----------------------------------------------------------------------------------


def seal(secret: bytes, place: Place) -> str:
    """A ``next`` token that nobody else can make."""
    data = msgspec.json.encode(place)
    mac = hmac.digest(secret, data, hashlib.sha256)[:16]
    return base64.urlsafe_b64encode(mac + data).decode().rstrip("=")


def unseal(secret: bytes, token: str) -> Place:
    """The place in a token of ours."""
    try:
        raw = base64.urlsafe_b64decode(token[:QUERY_BYTES_MAX] + "=" * (-len(token) % 4))
        mac, data = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, hmac.digest(secret, data, hashlib.sha256)[:16]):
            raise ValueError
        return msgspec.json.decode(data, type=Place)
    except (ValueError, msgspec.DecodeError) as error:
        raise Invalid(
            "taxii.next",
            "Expected a `next` this server gave, got another.",
            hint="Start again without `next`.",
        ) from error


# --- answers -----------------------------------------------------------------------------------


class _Head(msgspec.Struct):
    id: str = ""
    spec_version: str | None = None


_HEADS = msgspec.json.Decoder(_Head)


def objects_first(gathered: Gathered) -> bytes:
    """The objects of a page with one that has ``spec_version`` first, if any has: clients read
    the version of STIX off the first object, and it is optional on observables."""
    body = gathered.body
    if _HEADS.decode(body[: gathered.first_size]).spec_version is not None:
        return body
    raws = msgspec.json.decode(b"[" + body + b"]", type=list[msgspec.Raw])
    for at, raw in enumerate(raws):
        if _HEADS.decode(raw).spec_version is not None:
            return b",".join(bytes(one) for one in (raw, *raws[:at], *raws[at + 1 :]))
    return body


class _Named(msgspec.Struct):
    id: str
    created: str = ""
    modified: str = ""


class _Record(msgspec.Struct):
    id: str
    date_added: str
    version: str
    media_type: str = STIX_MEDIA


_NAMED = msgspec.json.Decoder(_Named)


def records(gathered: Gathered, what: What) -> bytes:
    """The entries of a manifest, or the versions of an object, without brackets around. What has
    no version of its own is told apart by when it was added."""
    if what == "versions":
        found: list[object] = [version_of(raw) or time_text(us) for raw, us in gathered.rows]
    else:
        found = []
        for raw, us in gathered.rows:
            named, added = _NAMED.decode(raw), time_text(us)
            found.append(_Record(named.id, added, named.modified or named.created or added))
    return msgspec.json.encode(found)[1:-1]


def describe(collection: Collection, *, can_read: bool, can_write: bool) -> dict[str, object]:
    """A collection resource."""
    return {
        "id": collection.id,
        "title": collection.title,
        "alias": collection.name,
        "can_read": can_read,
        "can_write": can_write,
        "media_types": [STIX_MEDIA],
    }


_HEADERS = {"cache-control": "no-store", "vary": "accept, accept-encoding, authorization"}


def answer(
    body: Mapping[str, object] | bytes,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A resource."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(
        data, status_code=status, media_type=MEDIA, headers={**_HEADERS, **(headers or {})}
    )


def error_answer(error: DetenteError) -> Response:
    """An error object for a stated error."""
    status = status_of(error)
    body = {
        "title": error.sentence,
        "description": error.hint or error.sentence,
        "error_code": error.code,
        "http_status": str(status),
    }
    headers = {}
    if status == 401:  # HTTP
        headers["www-authenticate"] = 'Basic realm="detente", charset="UTF-8", Bearer'
    if status in (429, 503):  # HTTP
        headers["retry-after"] = str(getattr(error, "retry_s", 1))
    return answer(body, status=status, headers=headers)


def stopped_answer(stopped: Stopped, about: str) -> Response:
    """A stop is told, with everything a partner needs to ask about it (R29); never an empty
    success."""
    details = {"directives": ", ".join(stopped.directives), "contact": stopped.contact}
    if stopped.since_ms is not None:
        details["since"] = time_text(stopped.since_ms * 1000)
    if stopped.until_ms is not None:
        details["until"] = time_text(stopped.until_ms * 1000)
    body = {
        "title": "Transmission is suspended" if stopped.directives else "Nothing may be sent",
        "description": f"{stopped.words} What is held is kept. Ask: {stopped.contact}.",
        "error_code": stopped.code,
        "http_status": "403",
        "external_details": about,
        "details": details,
    }
    return answer(body, status=403)


def status_body(published: Published, status_id: str, now_us: int) -> dict[str, object]:
    """A status resource: what is taken is complete, for intake answers when it is on disk."""
    now = time_text(now_us)
    failures = [
        {
            "id": one.id or f"unidentified--{uuid.uuid4()}",
            "version": one.version or now,
            "message": f"{one.code}: {one.sentence}",
        }
        for one in published.refused
    ]
    successes = [
        {"id": name, "version": version or now}
        for name, version in zip(published.ids, published.versions, strict=True)
    ]
    body: dict[str, object] = {
        "id": status_id,
        "status": "complete",
        "request_timestamp": now,
        "total_count": len(successes) + len(failures),
        "success_count": len(successes),
        "failure_count": len(failures),
        "pending_count": 0,
    }
    if successes:
        body["successes"] = successes
    if failures:
        body["failures"] = failures
    return body
