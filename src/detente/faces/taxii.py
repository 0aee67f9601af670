"""TAXII 2.1 (OASIS Standard, 10 June 2021) over feeds.

Discovery, one API root per agreement, collections, objects, one object, its versions, manifest,
status; ``taxii_forms`` has the forms. Beyond the standard: ``wait`` holds an answer back until
there is something to give, and a feed that an order stops answers with an error object that names
the directive, since when, and whom to ask; never with an empty success. What a party may not see
does not exist for it. DELETE is a recall: on the record, never an erasure in secret.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from detente.config import Config
from detente.errors import DetenteError, Invalid, Missing, NotAuthorised
from detente.faces import taxii_forms as forms
from detente.faces.guard import Caller, Guard
from detente.faces.http import Connection, read_body
from detente.faces.send import ClearedResponse
from detente.faces.taxii_forms import MEDIA, Place
from detente.gateway.bell import Bell
from detente.gateway.deliver import Delivery, Nothing, Ready, Sheet
from detente.gateway.gate import Gate
from detente.gateway.gather import PageAsk, What
from detente.gateway.intake import Intake, Publication, Published
from detente.gateway.recall import RecallAsk, Recalls
from detente.gateway.versions import LAST, Versions
from detente.model import Agreement, Collection
from detente.ports import Clock, StatusRow, Store, Tx

__all__ = ["TAXII", "TAXIIParts"]

Handler = Callable[[Request], Awaitable[Response]]

_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")
_EVERY = Versions(every=True)


class TAXIIParts(msgspec.Struct, frozen=True, kw_only=True):
    """The services the face stands on."""

    gate: Gate
    delivery: Delivery
    intake: Intake
    recalls: Recalls
    bell: Bell
    store: Store
    guard: Guard


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for which collection, and what it may do there."""

    agreement: Agreement
    collection: Collection
    party: str
    client: str
    reads: bool
    writes: bool


class TAXII:
    """Routes and handlers. ``secret`` seals ``next`` tokens."""

    def __init__(self, parts: TAXIIParts, config: Config, clock: Clock, secret: bytes) -> None:
        self._parts = parts
        self._config = config
        self._clock = clock
        self._secret = secret

    def routes(self) -> list[Route]:
        """Every resource, with the final slash of the standard and without; what else lies under
        ``/taxii2/`` does not exist."""
        root = "/taxii2/{root}/"
        one = root + "collections/{collection}/"
        item = one + "objects/{object}/"
        table: list[tuple[str, dict[str, Handler]]] = [
            ("/taxii2/", {"GET": self._discovery}),
            (root, {"GET": self._root}),
            (root + "collections/", {"GET": self._collections}),
            (one, {"GET": self._collection_info}),
            (one + "objects/", {"GET": self._objects, "POST": self._add}),
            (one + "manifest/", {"GET": self._manifest}),
            (item, {"GET": self._object, "DELETE": self._delete}),
            (item + "versions/", {"GET": self._versions}),
            (root + "status/{status}/", {"GET": self._status}),
        ]
        found = []
        for path, handlers in table:
            edge = self._edge(handlers)
            found += [Route(each, edge, methods=_METHODS) for each in (path, path.rstrip("/"))]
        return [*found, Route("/taxii2/{rest:path}", self._edge({}), methods=_METHODS)]

    def _edge(self, handlers: dict[str, Handler]) -> Handler:
        """Answer every stated error with an error object."""
        allowed = [*handlers, *(["HEAD"] if "GET" in handlers else []), "OPTIONS"]

        async def edge(request: Request) -> Response:
            try:
                if request.method == "OPTIONS" and handlers:
                    return Response(status_code=204, headers={"allow": ", ".join(allowed)})
                return await self._answer(request, handlers)
            except DetenteError as error:
                answer = forms.error_answer(error)
                if error.code == "http.method":
                    answer.headers["allow"] = ", ".join(allowed)
                return answer

        return edge

    async def _answer(self, request: Request, handlers: dict[str, Handler]) -> Response:
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            await self._parts.guard.client(request)
            if not handlers:
                raise Missing(
                    "taxii.resource", "Expected a resource of TAXII, got another address."
                )
            raise Invalid("http.method", f"Expected another method here, got {request.method}.")
        accept = ",".join(request.headers.getlist("accept")) or "*/*"
        if not forms.acceptable(accept):
            raise Invalid(
                "http.not-acceptable", f"Expected to be asked for {MEDIA}, got {accept[:200]}."
            )
        return await handler(request)

    # --- what there is ---------------------------------------------------------------------

    async def _discovery(self, request: Request) -> Response:
        caller = await self._parts.guard.client(request)
        roots = [_about(request, agreement.id) for agreement in self._agreements(caller)]
        marked = " (EXERCISE)" if self._config.exercise else ""
        body: dict[str, object] = {
            "title": f"Detente, {self._config.name}{marked}",
            "description": "Collections of the agreements to which you are a party.",
        }
        if roots:  # an empty list is no value (TAXII 2.1, 2)
            body |= {"default": roots[0], "api_roots": roots}
        return forms.answer(body)

    async def _root(self, request: Request) -> Response:
        agreement, _ = await self._agreement(request)
        return forms.answer(
            {
                "title": agreement.title,
                "description": f"Agreement {agreement.id}: {agreement.legal_basis}",
                "versions": [MEDIA],
                "max_content_length": self._config.body_bytes_max,
            }
        )

    async def _collections(self, request: Request) -> Response:
        agreement, caller = await self._agreement(request)
        seen = [
            self._describe(self._asked_of(agreement, one, caller))
            for one in agreement.collections
            if _sees(agreement, one, caller)
        ]
        return forms.answer({"collections": seen} if seen else {})

    async def _collection_info(self, request: Request) -> Response:
        asked = await self._asked(request)
        return forms.answer(self._describe(asked))

    def _describe(self, asked: _Asked) -> dict[str, object]:
        return forms.describe(asked.collection, can_read=asked.reads, can_write=asked.writes)

    def _agreements(self, caller: Caller) -> list[Agreement]:
        found = []
        for agreement_id in self._parts.gate.agreements():
            current = self._parts.gate.current(agreement_id)
            terms = current.standing.agreement if current else None
            if terms is not None and any(_sees(terms, one, caller) for one in terms.collections):
                found.append(terms)
        return found

    async def _agreement(self, request: Request) -> tuple[Agreement, Caller]:
        caller = await self._parts.guard.client(request)
        name = request.path_params["root"]
        for agreement in self._agreements(caller):
            if agreement.id == name:
                return agreement, caller
        raise Missing("root.unknown", f"Expected an API root of yours, got {name}.")

    async def _asked(self, request: Request) -> _Asked:
        agreement, caller = await self._agreement(request)
        name = request.path_params["collection"]
        collection = agreement.collection(name)
        if collection is None or not _sees(agreement, collection, caller):
            raise Missing("collection.unknown", f"Expected a collection of yours, got {name}.")
        return self._asked_of(agreement, collection, caller)

    def _asked_of(self, agreement: Agreement, collection: Collection, caller: Caller) -> _Asked:
        party = caller.party
        # Readers read; the node's own party reads its own copy; a foreign sender only writes.
        reads = party in collection.readers or party == self._config.party
        return _Asked(
            agreement=agreement,
            collection=collection,
            party=party,
            client=caller.name,
            reads=reads and caller.reads,
            writes=party == collection.sender and caller.writes,
        )

    # --- reading ---------------------------------------------------------------------------

    async def _objects(self, request: Request) -> Response:
        return await self._page(request, await self._asked(request), "objects")

    async def _manifest(self, request: Request) -> Response:
        return await self._page(request, await self._asked(request), "manifest")

    async def _object(self, request: Request) -> Response:
        asked = await self._asked(request)
        return await self._page(request, asked, "objects", request.path_params["object"])

    async def _versions(self, request: Request) -> Response:
        asked = await self._asked(request)
        return await self._page(request, asked, "versions", request.path_params["object"])

    async def _page(
        self, request: Request, asked: _Asked, what: What, named: str | None = None
    ) -> Response:
        """One page of a feed, or, with ``named``, of what it has of one object."""
        if not asked.reads:
            raise NotAuthorised(
                "collection.no-read", f"Expected a right to read {asked.collection.name}."
            )
        forms.check_once([name for name, _ in request.query_params.multi_items()])
        place = self._place(request, asked, what, named)
        ask = PageAsk(
            agreement=asked.agreement.id,
            collection=asked.collection.name,
            party=asked.party,
            reader=asked.client,
            after_us=place.after_us,
            limit=forms.limit_of(request.query_params, self._config.page_objects_max),
            types=place.types,
            ids=place.ids,
            versions=place.versions,
            what=what,
        )
        if request.method == "HEAD":
            return await self._head(request, ask, place, named)
        ready = await self._ready(request, ask, place)
        if isinstance(ready, Nothing):
            return _nothing(request, ask, ready, named)

        def ended(*, complete: bool) -> None:
            self._parts.delivery.ended(ready.page, ready.gathered, ask, complete=complete)

        encoding = _encoding(request, ready.gathered.count)
        return ClearedResponse(
            self._parts.gate,
            ready.cleared,
            ended,
            media_type=MEDIA,
            headers={
                **_added(ready.gathered.first_us, ready.gathered.until.us),
                **({"content-encoding": encoding} if encoding else {}),
                "vary": "accept, accept-encoding, authorization",
                "cache-control": "no-store",
            },
        )

    def _place(self, request: Request, asked: _Asked, what: What, named: str | None) -> Place:
        query = request.query_params
        start = Place(
            collection=asked.collection.id,
            client=asked.client,
            what=what,
            after_us=0,
            versions=_EVERY if what == "versions" else LAST,
        )
        token = query.get("next")
        if token is None:
            place = forms.filters_of(query, start)
            if what == "versions":
                place = msgspec.structs.replace(place, versions=_EVERY)
        else:
            place = forms.unseal(self._secret, token)
            if (place.collection, place.client, place.what) != (
                start.collection,
                start.client,
                start.what,
            ) or (named is not None and place.ids != (named,)):
                raise Invalid(
                    "taxii.next",
                    "Expected a `next` of this collection and client, got another.",
                    hint="Start again without `next`.",
                )
        return place if named is None else msgspec.structs.replace(place, ids=(named,))

    async def _ready(self, request: Request, ask: PageAsk, place: Place) -> Ready | Nothing:
        """The next page; with ``wait``, as soon as there is one."""
        parts, loop = self._parts, asyncio.get_running_loop()
        end = loop.time() + forms.wait_of(request.query_params)
        connection: Connection = request.scope["extensions"]["detente.connection"]

        async def render(sheet: Sheet) -> tuple[bytes, ...]:
            return await self._render(request, ask, place, sheet)

        while True:
            heard = parts.bell.heard(ask.agreement, ask.collection)
            ready: Ready | Nothing = Nothing(stopped=None)
            if place.current:
                ready = await parts.delivery.page(ask, render)
            left_s = end - loop.time()
            if isinstance(ready, Ready) or left_s <= 0 or connection.gone():
                return ready
            rung = await parts.bell.wait(ask.agreement, ask.collection, heard, left_s, connection)
            if not rung:
                return ready

    async def _render(
        self, request: Request, ask: PageAsk, place: Place, sheet: Sheet
    ) -> tuple[bytes, ...]:
        gathered = sheet.gathered
        head: dict[str, object] = {"more": gathered.more}
        if gathered.more:
            after = msgspec.structs.replace(place, after_us=gathered.until.us)
            head["next"] = forms.seal(self._secret, after)
        listed = (
            forms.objects_first(gathered)
            if ask.what == "objects"
            else forms.records(gathered, ask.what)
        )
        name = b'"versions"' if ask.what == "versions" else b'"objects"'
        chunks = (msgspec.json.encode(head)[:-1] + b"," + name + b":[", listed, b"]}")
        encoding = _encoding(request, gathered.count)
        if not encoding:
            return chunks
        return (await asyncio.to_thread(forms.compressed, b"".join(chunks), encoding),)

    async def _head(
        self, request: Request, ask: PageAsk, place: Place, named: str | None
    ) -> Response:
        """Like GET without a body: looked up, but nothing is given and so nothing recorded."""
        found = await self._parts.delivery.look(ask) if place.current else Nothing(stopped=None)
        if isinstance(found, Nothing):
            return _nothing(request, ask, found, named)
        answer = forms.answer(b"", headers=_added(found.first_us, found.until.us))
        # How long the body would be is not known without making it (RFC 9110, 8.6).
        del answer.headers["content-length"]
        return answer

    # --- writing ---------------------------------------------------------------------------

    async def _add(self, request: Request) -> Response:
        asked = await self._asked(request)
        _check_writes(asked)
        content = request.headers.get("content-type", "")
        if not forms.content_fits(content):
            raise Invalid("http.media-type", f"Expected {MEDIA}, got {content[:100] or 'none'}.")
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise Invalid("http.encoding", f"Expected a body as it is, got {encoding[:40]}.")
        body = await read_body(request.receive, self._config.body_bytes_max)
        _check_envelope(body)
        rows: list[StatusRow] = []

        def keep(tx: Tx, published: Published) -> None:
            # In the transaction of the objects: a status is never there without them.
            rows.append(_status_row(asked, published, self._clock.now_us()))
            tx.put_status(rows[-1])

        await self._parts.intake.publish(
            Publication(
                agreement=asked.agreement.id,
                collection=asked.collection.name,
                party=asked.party,
                body=body,
                partial=True,
            ),
            keep,
        )
        return forms.answer(rows[-1].body, status=202)

    async def _delete(self, request: Request) -> Response:
        asked = await self._asked(request)
        _check_writes(asked)
        if not asked.reads:
            raise NotAuthorised(
                "collection.no-read",
                f"Expected rights to read and to write {asked.collection.name}, got one of them.",
                hint="`detente recall` on the originator's own node needs no right to read.",
            )
        query = request.query_params
        forms.check_once([name for name, _ in query.multi_items()])
        start = Place(collection="", client="", after_us=0, versions=_EVERY)
        place = forms.filters_of(query, start)
        named = request.path_params["object"]
        if not place.current:
            raise Missing("object.unknown", f"Expected an object of this collection, got {named}.")
        await self._parts.recalls.recall(
            RecallAsk(
                agreement=asked.agreement.id,
                collection=asked.collection.name,
                party=asked.party,
                id=named,
                versions=None if place.versions.every else place.versions,
            )
        )
        return forms.answer(b"")

    async def _status(self, request: Request) -> Response:
        agreement, caller = await self._agreement(request)
        name = request.path_params["status"]
        row = await self._parts.store.read(lambda view: view.status(name))
        if row is None or (row.agreement, row.party) != (agreement.id, caller.party):
            raise Missing("status.unknown", f"Expected a status of yours, got {name}.")
        return forms.answer(row.body)


def _status_row(asked: _Asked, published: Published, now_us: int) -> StatusRow:
    name = str(uuid.uuid4())
    return StatusRow(
        id=name,
        agreement=asked.agreement.id,
        party=asked.party,
        created_ms=now_us // 1000,
        body=msgspec.json.encode(forms.status_body(published, name, now_us)),
    )


def _nothing(request: Request, ask: PageAsk, nothing: Nothing, named: str | None) -> Response:
    if nothing.stopped is not None:
        return forms.stopped_answer(nothing.stopped, _about(request, ask.agreement))
    if named is not None:
        raise Missing("object.unknown", f"Expected an object of this collection, got {named}.")
    return forms.answer({})


class _Envelope(msgspec.Struct):
    objects: msgspec.Raw = msgspec.Raw(b"")  # a constant


def _check_envelope(body: bytes) -> None:
    """What a client adds is an envelope with objects; JSON of another shape cannot be processed,
    and what is no JSON at all is refused where it is cut."""
    try:
        found = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.DecodeError, RecursionError):
        found = _Envelope()
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError):
            return
    if bytes(memoryview(found.objects)[:1]) != b"[":
        raise Invalid("taxii.envelope", "Expected an envelope with a list of objects.")


def _check_writes(asked: _Asked) -> None:
    if not asked.writes:
        raise NotAuthorised(
            "collection.no-write", f"Expected a right to write to {asked.collection.name}."
        )


def _about(request: Request, agreement: str) -> str:
    """The address of an API root."""
    return f"{str(request.base_url).rstrip('/')}/taxii2/{agreement}/"


def _added(first_us: int, last_us: int) -> dict[str, str]:
    return {
        "x-taxii-date-added-first": forms.time_text(first_us),
        "x-taxii-date-added-last": forms.time_text(last_us),
    }


def _encoding(request: Request, count: int) -> str:
    """The encoding of a page. One object may be small, but then little is lost."""
    return forms.encoding_of(request.headers.get("accept-encoding", "")) if count > 1 else ""


def _sees(agreement: Agreement, collection: Collection, caller: Caller) -> bool:
    party = caller.party
    mine = party == collection.sender or party in collection.readers
    return mine and caller.may_use(agreement.id, collection.name)
