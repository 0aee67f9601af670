"""TAXII 2.1 (OASIS Standard, 10 June 2021) over feeds: the first cut.

Discovery, one API root per agreement, collections, objects (GET with ``limit``, ``next``,
``added_after``, ``match[type]``, ``match[id]``; POST with status). A feed that an order stops
answers with an error object that names the directive, since when, and whom to ask; never with an
empty success. What a party may not see does not exist for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from detente.config import Config
from detente.errors import DetenteError, Invalid, Missing, NotAuthorised
from detente.faces.guard import Guard
from detente.faces.http import read_body, status_of
from detente.faces.send import ClearedResponse
from detente.gateway.deliver import Delivery, Nothing, Sheet
from detente.gateway.gate import Gate
from detente.gateway.gather import PageAsk
from detente.gateway.intake import Intake, Publication, Published
from detente.model import Agreement, Collection
from detente.model.names import Record
from detente.model.transfer import Stopped
from detente.ports import Clock, StatusRow, Store

__all__ = ["TAXII", "MEDIA"]

#: TAXII 2.1, 1.6.8.
MEDIA = "application/taxii+json;version=2.1"
#: Text of one query value; ids of STIX have at most a few dozen characters each.
QUERY_BYTES_MAX = 8192
#: Accepted forms of the media type, with blanks removed (TAXII 2.1, 1.6.8).
_ACCEPTED = {"application/taxii+json;version=2.1", "application/taxii+json", "*/*", "application/*"}

Handler = Callable[[Request], Awaitable[Response]]


class _Place(Record, frozen=True, kw_only=True):
    """What a ``next`` token carries: the place and every filter, so that it works alone, for
    this client and this collection only."""

    collection: str
    client: str
    after_us: int
    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


class TAXII:
    """Routes and handlers. ``secret`` seals ``next`` tokens."""

    def __init__(self, parts: TAXIIParts, config: Config, clock: Clock, secret: bytes) -> None:
        self._gate = parts.gate
        self._delivery = parts.delivery
        self._intake = parts.intake
        self._store = parts.store
        self._guard = parts.guard
        self._config = config
        self._clock = clock
        self._secret = secret

    def routes(self) -> list[Route]:
        """Every TAXII resource; trailing slashes as the standard writes them (1.6.4)."""
        root = "/taxii2/{root}/"
        one = root + "collections/{collection}/"
        return [
            Route("/taxii2/", self._edge(self._discovery), methods=["GET"]),
            Route(root, self._edge(self._root), methods=["GET"]),
            Route(root + "status/{status}/", self._edge(self._status), methods=["GET"]),
            Route(root + "collections/", self._edge(self._collections), methods=["GET"]),
            Route(one, self._edge(self._collection_info), methods=["GET"]),
            Route(one + "objects/", self._edge(self._objects), methods=["GET"]),
            Route(one + "objects/", self._edge(self._add), methods=["POST"]),
        ]

    def _edge(self, handler: Handler) -> Handler:
        """Answer every stated error in the form of the standard (3.6.1)."""

        async def edge(request: Request) -> Response:
            try:
                accept = request.headers.get("accept", "*/*")
                if not _acceptable(accept):
                    raise Invalid(
                        "http.not-acceptable", f"Expected to be asked for {MEDIA}, got {accept}."
                    )
                return await handler(request)
            except DetenteError as error:
                return _error(error)

        return edge

    # --- what there is ---------------------------------------------------------------------

    async def _discovery(self, request: Request) -> Response:
        party, _ = await self._guard.client(request)
        base = str(request.base_url).rstrip("/")
        roots = [f"{base}/taxii2/{agreement.id}/" for agreement in self._agreements(party)]
        marked = " (EXERCISE)" if self._config.exercise else ""
        body: dict[str, object] = {
            "title": f"Detente, {self._config.name}{marked}",
            "api_roots": roots,
        }
        if roots:
            body["default"] = roots[0]
        return _answer(body)

    async def _root(self, request: Request) -> Response:
        agreement, _, _ = await self._agreement(request)
        return _answer(
            {
                "title": agreement.title,
                "description": f"Agreement {agreement.id}: {agreement.legal_basis}",
                "versions": [MEDIA],
                "max_content_length": self._config.body_bytes_max,
            }
        )

    async def _collections(self, request: Request) -> Response:
        agreement, party, _ = await self._agreement(request)
        seen = [
            _describe(one, party, self._config.party)
            for one in agreement.collections
            if _sees(one, party)
        ]
        return _answer({"collections": seen} if seen else {})

    async def _collection_info(self, request: Request) -> Response:
        _, collection, party, _ = await self._named(request)
        return _answer(_describe(collection, party, self._config.party))

    def _agreements(self, party: str) -> list[Agreement]:
        found = []
        for agreement_id in self._gate.agreements():
            current = self._gate.current(agreement_id)
            terms = current.standing.agreement if current else None
            if terms is not None and any(_sees(one, party) for one in terms.collections):
                found.append(terms)
        return found

    async def _agreement(self, request: Request) -> tuple[Agreement, str, str]:
        party, client = await self._guard.client(request)
        name = request.path_params["root"]
        for agreement in self._agreements(party):
            if agreement.id == name:
                return agreement, party, client
        raise Missing("root.unknown", f"Expected an API root of yours, got {name}.")

    async def _named(self, request: Request) -> tuple[Agreement, Collection, str, str]:
        agreement, party, client = await self._agreement(request)
        name = request.path_params["collection"]
        collection = agreement.collection(name)
        if collection is None or not _sees(collection, party):
            raise Missing("collection.unknown", f"Expected a collection of yours, got {name}.")
        return agreement, collection, party, client

    # --- reading ---------------------------------------------------------------------------

    async def _objects(self, request: Request) -> Response:
        agreement, collection, party, client = await self._named(request)
        if not _reads(collection, party, self._config.party):
            raise NotAuthorised(
                "collection.no-read", f"Expected a right to read {collection.name}."
            )
        place, limit = self._place(request, collection.id, client)
        ask = PageAsk(
            agreement=agreement.id,
            collection=collection.name,
            party=party,
            reader=client,
            after_us=place.after_us,
            limit=limit,
            types=place.types,
            ids=place.ids,
        )

        async def render(sheet: Sheet) -> tuple[bytes, ...]:
            gathered = sheet.gathered
            head: dict[str, object] = {"more": gathered.more}
            if gathered.more:
                after = msgspec.structs.replace(place, after_us=gathered.until.us)
                head["next"] = _seal(self._secret, after)
            return (
                msgspec.json.encode(head)[:-1] + b',"objects":[',
                gathered.body,
                b"]}",
            )

        ready = await self._delivery.page(ask, render)
        if isinstance(ready, Nothing):
            return _answer({}) if ready.stopped is None else _stopped(ready.stopped)

        def ended(*, complete: bool) -> None:
            self._delivery.ended(ready.page, ready.gathered, ask, complete=complete)

        return ClearedResponse(
            self._gate,
            ready.cleared,
            ended,
            media_type=MEDIA,
            headers={
                "x-taxii-date-added-first": time_text(ready.gathered.first_us),
                "x-taxii-date-added-last": time_text(ready.gathered.until.us),
            },
        )

    def _place(self, request: Request, collection: str, client: str) -> tuple[_Place, int]:
        query = request.query_params
        limit = _limit(query.get("limit"), self._config.page_objects_max)
        token = query.get("next")
        if token is not None:
            place = _unseal(self._secret, token)
            if (place.collection, place.client) != (collection, client):
                raise Invalid(
                    "taxii.next",
                    "Expected a `next` of this collection and client, got another.",
                    hint="Start again without `next`.",
                )
            return place, limit
        after = query.get("added_after")
        return (
            _Place(
                collection=collection,
                client=client,
                after_us=0 if after is None else parse_time(after),
                types=_listed(query.get("match[type]")),
                ids=_listed(query.get("match[id]")),
            ),
            limit,
        )

    # --- writing ---------------------------------------------------------------------------

    async def _add(self, request: Request) -> Response:
        agreement, collection, party, _ = await self._named(request)
        if collection.sender != party:
            raise NotAuthorised(
                "collection.no-write", f"Expected a right to write to {collection.name}."
            )
        content = request.headers.get("content-type", "").replace(" ", "").lower()
        if content not in _ACCEPTED - {"*/*", "application/*"}:
            raise Invalid("http.media-type", f"Expected {MEDIA}, got {content or 'none'}.")
        body = await read_body(request.receive, self._config.body_bytes_max)
        published = await self._intake.publish(
            Publication(
                agreement=agreement.id,
                collection=collection.name,
                party=party,
                body=body,
                partial=True,
            )
        )
        now_us = self._clock.now_us()
        status_id = str(uuid.uuid4())
        status = _status(published, status_id, now_us)
        row = StatusRow(
            id=status_id,
            agreement=agreement.id,
            party=party,
            created_ms=now_us // 1000,
            body=msgspec.json.encode(status),
        )
        await self._store.write(lambda tx: tx.put_status(row))
        return Response(row.body, status_code=202, media_type=MEDIA)

    async def _status(self, request: Request) -> Response:
        agreement, party, _ = await self._agreement(request)
        name = request.path_params["status"]
        row = await self._store.read(lambda view: view.status(name))
        if row is None or (row.agreement, row.party) != (agreement.id, party):
            raise Missing("status.unknown", f"Expected a status of yours, got {name}.")
        return Response(row.body, media_type=MEDIA)


class TAXIIParts(msgspec.Struct, frozen=True, kw_only=True):
    """The services the face stands on."""

    gate: Gate
    delivery: Delivery
    intake: Intake
    store: Store
    guard: Guard


# --- forms ----------------------------------------------------------------------------------


def time_text(us: int) -> str:
    """RFC 3339 with microseconds (TAXII 2.1, 3.1)."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + (
        f".{us % 1_000_000:06d}Z"
    )


_TIME = re.compile(r"\A(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII)


def parse_time(text: str) -> int:
    """Microseconds of an RFC 3339 time in UTC; what is finer is cut off."""
    match = _TIME.match(text)
    try:
        if match is None:
            raise ValueError(text)
        seconds = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise Invalid(
            "taxii.time", f"Expected a time such as 2026-01-02T03:04:05.000006Z, got {text[:64]}."
        ) from error
    micros = int((match[2] or "0")[:6].ljust(6, "0"))
    return max(0, int(seconds.timestamp()) * 1_000_000 + micros)


def _acceptable(accept: str) -> bool:
    for part in accept.split(","):
        media, *params = (piece.strip().lower() for piece in part.split(";"))
        version = [p for p in params if not p.startswith("q=")]
        if ";".join([media, *version]).replace(" ", "") in _ACCEPTED:
            return True
    return False


def _limit(text: str | None, most: int) -> int:
    if text is None:
        return most
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise Invalid("taxii.limit", f"Expected a positive integer, got {text[:32]!r}.")
    return min(int(text), most)


def _listed(text: str | None) -> tuple[str, ...]:
    """Values of a match filter: separated by commas, any of them (TAXII 2.1, 3.4)."""
    return tuple(sorted({one for one in text.split(",") if one})) if text else ()


def _seal(secret: bytes, place: _Place) -> str:
    data = msgspec.json.encode(place)
    mac = hmac.digest(secret, data, hashlib.sha256)[:16]
    return base64.urlsafe_b64encode(mac + data).decode().rstrip("=")


def _unseal(secret: bytes, token: str) -> _Place:
    try:
        raw = base64.urlsafe_b64decode(token[:QUERY_BYTES_MAX] + "=" * (-len(token) % 4))
        mac, data = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, hmac.digest(secret, data, hashlib.sha256)[:16]):
            raise ValueError
        return msgspec.json.decode(data, type=_Place)
    except (ValueError, msgspec.DecodeError) as error:
        raise Invalid(
            "taxii.next",
            "Expected a `next` this server gave, got another.",
            hint="Start again without `next`.",
        ) from error


def _sees(collection: Collection, party: str) -> bool:
    return party == collection.sender or party in collection.readers


def _reads(collection: Collection, party: str, own: str) -> bool:
    """Readers read; the node's own party reads its own copy; a foreign sender only writes."""
    return party in collection.readers or party == own


def _describe(collection: Collection, party: str, own: str) -> dict[str, object]:
    return {
        "id": collection.id,
        "title": collection.title,
        "alias": collection.name,
        "can_read": _reads(collection, party, own),
        "can_write": party == collection.sender,
        "media_types": ["application/stix+json;version=2.1"],
    }


def _answer(body: dict[str, object]) -> Response:
    return Response(msgspec.json.encode(body), media_type=MEDIA)


def _error(error: DetenteError) -> Response:
    status = status_of(error)
    body = {
        "title": error.sentence,
        "description": error.hint or error.sentence,
        "error_code": error.code,
        "http_status": str(status),
    }
    headers = (
        {"www-authenticate": 'Basic realm="detente", charset="UTF-8"'} if status == 401 else {}
    )
    return Response(
        msgspec.json.encode(body), status_code=status, media_type=MEDIA, headers=headers
    )


def _stopped(stopped: Stopped) -> Response:
    """A stop is told, with everything a partner needs to ask about it (R29)."""
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
        "details": details,
    }
    return Response(msgspec.json.encode(body), status_code=403, media_type=MEDIA)


def _status(published: Published, status_id: str, now_us: int) -> dict[str, object]:
    """TAXII 2.1, 4.3: what is taken is complete, for intake answers when it is on disk."""
    failures = [
        {"id": one.id or f"unidentified--{uuid.uuid4()}", "version": "", "message": one.sentence}
        for one in published.refused
    ]
    successes = [{"id": one} for one in published.ids]
    return {
        "id": status_id,
        "status": "complete",
        "request_timestamp": time_text(now_us),
        "total_count": len(successes) + len(failures),
        "success_count": len(successes),
        "successes": successes,
        "failure_count": len(failures),
        "failures": failures,
        "pending_count": 0,
    }
