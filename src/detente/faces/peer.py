"""The peer protocol: what partners' gateways ask of this one (``gateway.desk`` answers)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from detente.config import Config
from detente.errors import DetenteError, Unavailable
from detente.faces.http import error_response, read_body
from detente.faces.send import ClearedResponse
from detente.gateway.deliver import PEER, Delivery, Nothing
from detente.gateway.desk import Desk
from detente.gateway.gate import Gate
from detente.gateway.gather import PageAsk
from detente.gateway.witness import Witness
from detente.model import encode

__all__ = ["Peer"]

MEDIA = "application/json"
#: As much as an envelope may have (``proof.envelope``); pages come the other way.
BODY_BYTES_MAX = 2 * 1024 * 1024
#: Who sends is known only when a body is whole; so much of them is held at a time.
HELD_BYTES_MAX = 256 * 1024 * 1024

Handler = Callable[[Request], Awaitable[Response]]


class Peer:
    """Routes under ``/peer/v1/`` and the witness's ``add-checkpoint``."""

    def __init__(
        self, desk: Desk, delivery: Delivery, gate: Gate, witness: Witness, config: Config
    ) -> None:
        self._desk = desk
        self._delivery = delivery
        self._gate = gate
        self._witness = witness
        self._config = config
        self._held_bytes = 0

    def routes(self) -> list[Route]:
        """Every resource of the protocol; all are POST, for each carries a signed request."""
        return [
            Route("/peer/v1/acts", _edge(self._acts), methods=["POST"]),
            Route("/peer/v1/page", _edge(self._page), methods=["POST"]),
            Route("/peer/v1/receipts", _edge(self._receipts), methods=["POST"]),
            Route("/peer/v1/notice", _edge(self._notice), methods=["POST"]),
            Route("/witness/add-checkpoint", _edge(self._add_checkpoint), methods=["POST"]),
        ]

    async def _acts(self, request: Request) -> Response:
        heard = await self._desk.hear(await self._body(request), "acts")
        return Response(await self._desk.serve_acts(heard), media_type=MEDIA)

    async def _receipts(self, request: Request) -> Response:
        heard = await self._desk.hear(await self._body(request), "receipts")
        return Response(encode(await self._desk.serve_receipts(heard)), media_type=MEDIA)

    async def _notice(self, request: Request) -> Response:
        heard = await self._desk.hear(await self._body(request), "notice")
        return Response(encode(await self._desk.serve_notice(heard)), media_type=MEDIA)

    async def _page(self, request: Request) -> Response:
        heard = await self._desk.hear(await self._body(request), "page")
        ready = await self._desk.serve_page(heard)
        if isinstance(ready, Nothing):
            stopped = ready.stopped
            body = b"{}" if stopped is None else b'{"stopped":' + encode(stopped) + b"}"
            return Response(body, media_type=MEDIA)
        ask = PageAsk(
            agreement=heard.agreement,
            collection=heard.collection or "",
            party=heard.sender,
            reader=PEER,
            after_us=heard.after_us,
            limit=heard.limit,
            until_received=True,
        )

        def ended(*, complete: bool) -> None:
            self._delivery.ended(ready.page, ready.gathered, ask, complete=complete)

        return ClearedResponse(self._gate, ready.cleared, ended, media_type=MEDIA)

    async def _add_checkpoint(self, request: Request) -> Response:
        status, media, body = await self._witness.serve(await self._body(request))
        return Response(body, status_code=status, media_type=media)

    async def _body(self, request: Request) -> bytes:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await request.receive()
            size = len(message.get("body", b""))
            taken += size
            self._held_bytes += size
            if self._held_bytes > HELD_BYTES_MAX:
                raise Unavailable("http.busy", "Expected fewer bodies at a time.")
            return message

        try:
            return await read_body(counted, BODY_BYTES_MAX)
        finally:
            self._held_bytes -= taken


def _edge(handler: Handler) -> Handler:
    async def edge(request: Request) -> Response:
        try:
            return await handler(request)
        except DetenteError as error:
            return error_response(error)

    return edge
