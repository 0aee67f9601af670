"""The JSON API of a node for its operator; the command line uses nothing else.

Every answer is one JSON object; every error has the one shape of ``faces.http``. The operator
shows the node's own token, which only the owner of the node's folder can read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from detente.config import Config
from detente.errors import Conflict, DetenteError, Invalid, Missing
from detente.faces.api_clients import ClientAPI
from detente.faces.api_derive import DeriveAPI
from detente.faces.api_links import LinkAPI
from detente.faces.api_orders import OrderAPI
from detente.faces.api_publish import publication_of
from detente.faces.api_why import WhyAPI
from detente.faces.guard import Guard
from detente.faces.http import error_response, read_body
from detente.gateway.ask import Ask
from detente.gateway.book import Book
from detente.gateway.effect import Effects
from detente.gateway.exchange import Exchange
from detente.gateway.intake import Intake, Publication
from detente.gateway.order import Orders
from detente.gateway.recall import RecallAsk, Recalls
from detente.gateway.review import Review, Verdict
from detente.gateway.versions import Versions, version_key
from detente.model.acts import ActName
from detente.ports import Store
from detente.wire.stix import is_time

__all__ = ["API", "APIParts", "SettableClock"]

DOCUMENT_BYTES_MAX = 2 * 1024 * 1024

Handler = Callable[[Request], Awaitable[object]]
T = TypeVar("T")


class SettableClock(Protocol):
    """The clock of an exercise; a live node has none that can be set."""

    async def set_us(self, now_us: int) -> None: ...


class APIParts(msgspec.Struct, frozen=True, kw_only=True):
    """The services behind the API; ``clock`` only in an exercise."""

    config: Config
    store: Store
    book: Book
    orders: Orders
    intake: Intake
    ask: Ask
    effects: Effects
    review: Review
    recalls: Recalls
    derive: DeriveAPI
    exchange: Exchange
    guard: Guard
    whys: WhyAPI
    links: LinkAPI
    clock: SettableClock | None
    export: Callable[[Path], Awaitable[dict[str, object]]]


class _ExportBody(msgspec.Struct, forbid_unknown_fields=True):
    out: str


class _ClockBody(msgspec.Struct, forbid_unknown_fields=True):
    # To the end of the year 9999: what is later has no written form.
    now_ms: Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]


class _PeerBody(msgspec.Struct, forbid_unknown_fields=True):
    party: str
    agreement: str
    address: str


class _SyncBody(msgspec.Struct, forbid_unknown_fields=True):
    party: str
    agreement: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000


class _RecallBody(msgspec.Struct, forbid_unknown_fields=True):
    agreement: str
    collection: str
    object: str
    version: str | None = None


class _ReviewBody(msgspec.Struct, forbid_unknown_fields=True):
    agreement: str
    item: str
    party: str
    by: str
    code: str = ""
    answers: dict[str, dict[str, str]] = {}


class API:
    """Routes and handlers under ``/api/``."""

    def __init__(self, parts: APIParts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """Every resource."""
        parts = self._parts
        clients = ClientAPI(parts.store, parts.book, parts.guard)
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/api/node", self._node),
            ("GET", "/api/standing", self._standing),
            ("POST", "/api/publish", self._publish),
            ("POST", "/api/publish/preview", self._preview),
            ("POST", "/api/charters", self._charter),
            ("GET", "/api/charters/{party}", self._charter_show),
            ("POST", "/api/agreements", self._agreement),
            ("GET", "/api/agreements", self._agreements),
            ("GET", "/api/agreements/{agreement}", self._agreement_show),
            *OrderAPI(parts.book, parts.effects).table(),
            ("POST", "/api/directives", self._directive),
            ("GET", "/api/directives", self._directives),
            ("POST", "/api/assessments", self._assessment),
            ("POST", "/api/assurances", self._assurance),
            ("GET", "/api/documents/{digest}", self._document),
            ("GET", "/api/feeds", self._feeds),
            ("GET", "/api/holds", self._holds),
            ("POST", "/api/holds/{verdict}", self._decide),
            ("POST", "/api/recalls", self._recall),
            ("POST", "/api/derivations", self._parts.derive.derive),
            ("GET", "/api/trace", self._trace),
            ("GET", "/api/why", self._parts.whys.why),
            ("POST", "/api/items/open", self._parts.whys.open),
            ("GET", "/api/peers", self._peers),
            ("POST", "/api/peers", self._peer_add),
            ("POST", "/api/peers/sync", self._sync),
            ("POST", "/api/peers/notify", self._notify),
            ("GET", "/api/clients", clients.all),
            ("POST", "/api/clients", clients.add),
            ("DELETE", "/api/clients/{name}", clients.remove),
            *self._parts.links.routes(),
            ("POST", "/api/clock", self._clock),
            ("POST", "/api/ledger/export", self._export),
        ]
        return [
            Route(path, self._edge(handler), methods=[method]) for method, path, handler in table
        ]

    def _edge(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def edge(request: Request) -> Response:
            try:
                self._parts.guard.operator(request)
                answer = await handler(request)
            except DetenteError as error:
                return error_response(error)
            return Response(msgspec.json.encode(answer), media_type="application/json")

        return edge

    # --- what is in force ------------------------------------------------------------------

    async def _node(self, _request: Request) -> object:
        config = self._parts.config
        return {
            "party": config.party,
            "name": config.name,
            "host": config.host,
            "exercise": config.exercise,
            "agreements": self._parts.book.agreements(),
            "now_ms": self._parts.book.now_ms(),
        }

    async def _standing(self, request: Request) -> object:
        at = request.query_params.get("at_ms")
        at_ms = None if at is None else _integer("at_ms", at)
        names = self._chosen(request)
        return {"standings": [self._parts.ask.standing(name, at_ms) for name in names]}

    def _chosen(self, request: Request) -> tuple[str, ...]:
        name = request.query_params.get("agreement")
        return (name,) if name else self._parts.book.agreements()

    # --- items -----------------------------------------------------------------------------

    async def _publish(self, request: Request) -> object:
        return await self._parts.intake.publish(await self._publication(request))

    async def _preview(self, request: Request) -> object:
        """What a publication holds and what would come of it; takes nothing."""
        return await self._parts.intake.preview(await self._publication(request))

    async def _publication(self, request: Request) -> Publication:
        config = self._parts.config
        agreement = self._agreement_of(request, _needed(request, "collection"))
        body = await read_body(request.receive, config.body_bytes_max)
        return publication_of(request.query_params, body, agreement=agreement, party=config.party)

    def _agreement_of(self, request: Request, collection: str) -> str:
        """The agreement named, or the only one that has a collection of that name."""
        named = request.query_params.get("agreement")
        if named:
            return named
        book = self._parts.book
        found = [
            name
            for name in book.agreements()
            if (terms := book.standing(name, book.now_ms()).agreement)
            and terms.collection(collection)
        ]
        if len(found) != 1:
            raise Missing(
                "collection.unknown",
                f"Expected one agreement with a collection {collection}, got {len(found)}.",
                hint="`detente agreement show` lists them; --agreement says which one is meant.",
            )
        return found[0]

    async def _feeds(self, request: Request) -> object:
        party = request.query_params.get("party")
        lines = [
            line
            for name in self._chosen(request)
            for line in await self._parts.ask.feeds(name, party)
        ]
        return {"feeds": lines}

    async def _holds(self, request: Request) -> object:
        party = request.query_params.get("party")
        items = [
            item
            for name in self._chosen(request)
            for item in await self._parts.ask.held(name, party)
        ]
        return {"held": items}

    async def _decide(self, request: Request) -> object:
        verdict = request.path_params["verdict"]
        if verdict not in ("release", "refuse"):
            raise Missing("route.unknown", f"Expected release or refuse, got {verdict}.")
        body = await _json(request, _ReviewBody)
        return await self._parts.review.decide(
            body.agreement,
            Verdict(
                item=body.item,
                party=body.party,
                verdict=verdict,
                by=body.by,
                code=body.code,
                answers=body.answers,
            ),
        )

    async def _recall(self, request: Request) -> object:
        body = await _json(request, _RecallBody)
        done = await self._parts.recalls.recall(
            RecallAsk(
                agreement=body.agreement,
                collection=body.collection,
                party=self._parts.config.party,
                id=body.object,
                versions=_one_version(body.version),
            )
        )
        return await self._parts.derive.with_children(done)

    async def _trace(self, request: Request) -> object:
        item = _needed(request, "object")
        lines = await self._parts.ask.trace(item, request.query_params.get("agreement"))
        return {"trace": lines, **await self._parts.derive.kin(item)}

    # --- documents -------------------------------------------------------------------------

    async def _charter(self, request: Request) -> object:
        return await self._parts.orders.import_charter(await _body(request))

    async def _charter_show(self, request: Request) -> object:
        known = self._parts.book.charter(request.path_params["party"])
        if known is None:
            raise Missing("charter.unknown", "Expected a known charter, got none.")
        return {"digest": known.digest, "charter": known.charter}

    async def _agreement(self, request: Request) -> object:
        return await self._parts.orders.import_agreement(await _body(request))

    async def _agreements(self, _request: Request) -> object:
        return {"agreements": self._parts.book.agreements()}

    async def _agreement_show(self, request: Request) -> object:
        book = self._parts.book
        standing = book.standing(request.path_params["agreement"], book.now_ms())
        return {"digest": standing.agreement_digest, "agreement": standing.agreement}

    async def _directive(self, request: Request) -> object:
        """Enact; the partners are told afterwards, for a notice never delays force."""
        enacted = await self._parts.orders.enact(await _body(request))
        told = await self._parts.exchange.notify_soon(enacted.agreement)
        return {"enacted": enacted, "notice": told}

    async def _directives(self, request: Request) -> object:
        book = self._parts.book
        found = []
        for name in self._chosen(request):
            report = self._parts.ask.standing(name)
            past = book.standing(name, book.now_ms()).past
            found += [{"state": "in-force", "order": line} for line in report.orders]
            found += [{"state": "coming", "order": line} for line in report.coming]
            found += [
                {
                    "state": "over",
                    "order": {
                        "directive": o.directive.id,
                        "verb": o.directive.verb,
                        "issuer": o.directive.issuer,
                        "since_ms": o.since_ms,
                        "until_ms": o.until_ms,
                    },
                }
                for o in past
            ]
        return {"directives": found}

    async def _assessment(self, request: Request) -> object:
        # Nobody is told: it is the party's own affair.
        return {"enacted": await self._parts.orders.import_assessment(await _body(request))}

    async def _assurance(self, request: Request) -> object:
        enacted = await self._parts.orders.import_assurance(await _body(request))
        told = await self._parts.exchange.notify_soon(enacted.agreement)
        return {"enacted": enacted, "notice": told}

    async def _document(self, request: Request) -> object:
        digest = request.path_params["digest"]
        row = await self._parts.store.read(lambda view: view.document(digest))
        if row is None:
            raise Missing("document.unknown", f"Expected a known document, got {digest[:64]}.")
        return {"use": row.use, "name": row.name, "envelope": row.envelope.decode()}

    # --- partners and clients --------------------------------------------------------------

    async def _peers(self, _request: Request) -> object:
        rows = await self._parts.exchange.peers()
        return {
            "peers": [
                {
                    "party": row.party,
                    "agreement": row.agreement,
                    "address": row.address,
                    "state": msgspec.Raw(row.state),
                }
                for row in rows
            ]
        }

    async def _peer_add(self, request: Request) -> object:
        body = await _json(request, _PeerBody)
        if not _is_address(body.address):
            raise Invalid(
                "peer.address", f"Expected http(s)://HOST[:PORT], got {body.address[:200]}."
            )
        row = await self._parts.exchange.add_peer(body.party, body.agreement, body.address)
        return {"party": row.party, "agreement": row.agreement, "address": row.address}

    async def _sync(self, request: Request) -> object:
        body = await _json(request, _SyncBody)
        return await self._parts.exchange.sync(body.party, body.agreement, limit=body.limit)

    async def _notify(self, request: Request) -> object:
        return {"notice": await self._parts.exchange.notify(_needed(request, "agreement"))}

    async def _enter(self, act: ActName, **fields: str) -> None:
        """Record an act of the operator in the node's own ledger."""
        book = self._parts.book
        await self._parts.store.write(
            lambda tx: tx.append_entry(book.me.node_log, book.entry(act, at_ms=None, **fields))
        )

    async def _export(self, request: Request) -> object:
        """Write a copy of the record into a new folder on the node's machine."""
        body = await _json(request, _ExportBody)
        return await self._parts.export(Path(body.out))

    async def _clock(self, request: Request) -> object:
        """Set the clock of an exercise, forwards only; what is then due is done at once."""
        body = await _json(request, _ClockBody)
        if self._parts.clock is None:
            raise Conflict("clock.live", "Expected an exercise node, got a live one.")
        await self._parts.clock.set_us(body.now_ms * 1000)
        await self._enter("clock.set")
        while await self._parts.orders.tick():
            pass
        return {"now_ms": self._parts.book.now_ms()}


def _one_version(text: str | None) -> Versions | None:
    if text is not None and not is_time(text):
        raise Invalid("recall.version", f"Expected a time in UTC, got {text[:64]}.")
    return None if text is None else Versions(times=(version_key(text),))


async def _body(request: Request) -> bytes:
    return await read_body(request.receive, DOCUMENT_BYTES_MAX)


def _is_address(text: str) -> bool:
    try:
        place = urlsplit(text)
        return place.scheme in ("http", "https") and bool(place.hostname) and place.port != 0
    except ValueError:
        return False


async def _json(request: Request, form: type[T]) -> T:
    try:
        return msgspec.json.decode(await _body(request), type=form)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid("api.body", f"Expected another body: {error}.") from error


def _needed(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise Invalid("api.query", f"Expected `{name}` in the query, got none.")
    return value


def _integer(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 17):
        raise Invalid("api.query", f"Expected an integer as `{name}`, got {text[:32]!r}.")
    return int(text)
