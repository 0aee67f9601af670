"""TAXII 2.1 as a client speaks it: what is asked, and what counts as an answer.

Only forms: nothing is sent here and nothing is kept. An answer that does not keep to the standard
is refused by name, because a place in a foreign collection is derived from it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

import msgspec

from detente.errors import (
    Conflict,
    DetenteError,
    Invalid,
    Missing,
    NotAuthorised,
    PeerError,
    Unavailable,
)
from detente.ports import Answer

__all__ = [
    "Envelope",
    "Place",
    "RefusedObject",
    "Status",
    "accept_headers",
    "basic",
    "bearer",
    "check_time",
    "fault_of",
    "objects_query",
    "place_of",
    "post_headers",
    "read_envelope",
    "read_status",
    "retry_after_ms",
]

#: TAXII 2.1, 1.6.8.
MEDIA = "application/taxii+json;version=2.1"
#: A ``next`` is opaque (3.4); this long it is no place any more but a burden.
NEXT_LETTERS_MAX = 4096
#: Refusals of a server that are told by name; more are counted only.
FAILURES_TOLD_MAX = 1000

_COLLECTION = re.compile(r"\A(/(?:.*/)?)collections/([^/]+)/(?:objects/?)?\Z")
_TIME = re.compile(r"\A(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII)
_TOKEN = re.compile(r"\A[\x21-\x7e]+\Z")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a collection is: ``origin`` is scheme, host and port; paths end with a slash."""

    origin: str
    root: str
    collection: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope (3.7) around objects that stay in the body: how many, and what follows.

    ``last`` is the newest time of addition on the page as the server wrote it, ``first_ns`` and
    ``last_ns`` are nanoseconds since 1970, to compare; empty and 0 without objects.
    """

    count: int
    more: bool
    next: str
    last: str
    first_ns: int
    last_ns: int


class RefusedObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object that the server did not take, and why it says so."""

    id: str
    words: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A status resource (4.3). ``refused`` are the first named failures, ``failures`` counts
    them all."""

    id: str
    complete: bool
    failures: int
    refused: tuple[RefusedObject, ...]


class _Envelope(msgspec.Struct):
    more: bool = False
    next: str = ""
    objects: list[msgspec.Raw] = msgspec.field(default_factory=list)


class _Failure(msgspec.Struct):
    id: str = ""
    message: str = ""


class _Status(msgspec.Struct):
    id: str
    status: str
    failure_count: int = 0
    failures: list[_Failure] = msgspec.field(default_factory=list)


# --- what is asked --------------------------------------------------------------------------


def place_of(url: str) -> Place:
    """The collection at ``…/collections/ID/`` (1.6.4), with or without ``objects/`` behind it."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _no_collection(url) from error
    match = _COLLECTION.match(parts.path if parts.path.endswith("/") else parts.path + "/")
    if match is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise _no_collection(url)
    root = match[1]
    return Place(
        origin=f"{parts.scheme}://{parts.netloc}",
        root=root,
        collection=f"{root}collections/{match[2]}/",
    )


def _no_collection(url: str) -> Invalid:
    return Invalid(
        "link.address",
        f"Expected the address of a TAXII collection, …/collections/ID/, got {url[:200]!r}.",
        hint="Names and passwords never stand in an address; use --user and --password-file.",
    )


def objects_query(*, after: str, following: str, limit: int, types: tuple[str, ...]) -> str:
    """The query for one page (3.4, 5.4). ``following`` is the ``next`` of the page before; the
    filters stay the same on every page of a round."""
    wanted = [("limit", str(limit))]
    if after:
        wanted.append(("added_after", after))
    if types:
        wanted.append(("match[type]", ",".join(types)))
    if following:
        wanted.append(("next", following))
    return "&".join(f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in wanted)


def accept_headers(credential: str) -> tuple[tuple[str, str], ...]:
    """The headers of a question; ``credential`` is a whole authorization header or empty."""
    shown = (("authorization", credential),) if credential else ()
    return (("accept", MEDIA), *shown)


def post_headers(credential: str) -> tuple[tuple[str, str], ...]:
    """The headers of an envelope that is sent."""
    return (*accept_headers(credential), ("content-type", MEDIA))


def basic(name: str, password: str) -> str:
    """An authorization header with name and password (RFC 7617, in UTF-8)."""
    if ":" in name or not name or not name.isprintable():
        raise Invalid("link.user", "Expected a user's name without a colon, got another.")
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def bearer(token: str) -> str:
    """An authorization header with a token (RFC 6750)."""
    if not _TOKEN.match(token):
        raise Invalid("link.token", "Expected a token of printable ASCII without blanks.")
    return "Bearer " + token


# --- what is answered -----------------------------------------------------------------------


def check_time(text: str) -> int:
    """Nanoseconds since 1970 of a time of TAXII (3.1); refuses another form."""
    match = _TIME.match(text)
    try:
        if match is None:
            raise ValueError(text)
        whole = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise Invalid(
            "link.time", f"Expected a time such as 2026-01-02T03:04:05.000006Z, got {text[:64]!r}."
        ) from error
    return int(whole.timestamp()) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))


def fault_of(answer: Answer) -> DetenteError | None:
    """What an answer that is no success means; None for a success."""
    status = answer.status
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return PeerError(
            "link.redirect",
            f"Expected an answer, got a redirect ({status}), which is not followed.",
            hint="Give the address that the server means, if you trust it.",
        )
    words = f"Expected success, got status {status}{_words_of(answer)}."
    if status == 401:
        return NotAuthorised("link.credentials", words)
    if status == 403:
        return NotAuthorised("link.forbidden", words)
    if status == 404:
        return Missing("link.unknown-collection", words)
    if status == 413:
        return Conflict("link.page-size", words)
    if status == 422:
        return Conflict("link.page-refused", words)
    if status in (429, 503):
        return Unavailable("link.busy", words)
    if status >= 500:
        return PeerError("link.server", words)
    return PeerError("link.answer", words)


def _words_of(answer: Answer) -> str:
    """The title of an error message (3.6.1), if it is one: a stranger's words, so cut short."""
    try:
        title = msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw]).get("title")
        words = msgspec.json.decode(bytes(title), type=str) if title else ""
    except (msgspec.DecodeError, RecursionError):
        return ""
    plain = "".join(letter if letter.isprintable() else " " for letter in words[:160])
    return f" ({plain})" if plain else ""


def retry_after_ms(headers: Mapping[str, str], now_ms: int) -> int:
    """How long the server asks to be left alone: seconds or a date (RFC 9110, 10.2.3); 0 if it
    does not say."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text) * 1000
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0, round(date.timestamp() * 1000) - now_ms)


def _check_media(answer: Answer) -> None:
    media, *params = (
        part.strip().lower() for part in answer.headers.get("content-type", "").split(";")
    )
    versions = [p.partition("=")[2].strip('"') for p in params if p.startswith("version")]
    if media != "application/taxii+json" or versions not in ([], ["2.1"]):
        raise PeerError("link.media-type", f"Expected {MEDIA}, got {media[:80] or 'none'!r}.")


def read_envelope(answer: Answer) -> Envelope:
    """What an answer says around its objects (3.7, 5.4)."""
    _check_media(answer)
    try:
        found = msgspec.json.decode(answer.body, type=_Envelope)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PeerError("link.envelope", f"Expected an envelope, got: {error}.") from error
    if len(found.next) > NEXT_LETTERS_MAX:
        raise PeerError("link.next", f"Expected at most {NEXT_LETTERS_MAX} letters of next.")
    count = len(found.objects)
    first, last = (
        answer.headers.get(f"x-taxii-date-added-{which}", "") if count else ""
        for which in ("first", "last")
    )
    last = last or first  # a page of one object has one time, and some servers say it once
    if count and not last:
        raise PeerError("link.no-date", "Expected X-TAXII-Date-Added-Last with objects, got none.")
    try:
        last_ns = check_time(last) if last else 0
        first_ns = check_time(first) if first else last_ns
    except Invalid as error:
        raise PeerError("link.date", error.sentence) from error
    return Envelope(
        count=count,
        more=found.more,
        next=found.next,
        last=last,
        first_ns=first_ns,
        last_ns=last_ns,
    )


def read_status(answer: Answer) -> Status:
    """A status resource (4.3)."""
    _check_media(answer)
    try:
        found = msgspec.json.decode(answer.body, type=_Status)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PeerError("link.status", f"Expected a status, got: {error}.") from error
    if found.status not in ("complete", "pending") or not 0 < len(found.id) <= 200:
        raise PeerError("link.status", f"Expected complete or pending, got {found.status[:40]!r}.")
    return Status(
        id=found.id,
        complete=found.status == "complete",
        failures=max(found.failure_count, len(found.failures)),
        refused=tuple(
            RefusedObject(id=one.id[:300], words=_plain(one.message))
            for one in found.failures[:FAILURES_TOLD_MAX]
        ),
    )


def _plain(words: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in words[:300])
