"""Send: the only code that writes released bytes to a client.

It takes nothing but a ``Cleared`` of the gate, enters the send into the gate's register, asks
before every piece whether the clearance stands, and leaves the register only when the client's
machine has acknowledged the last byte. So an order finds in the register every send of which a
byte could still leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from detente.errors import Conflict, DetenteError, Unavailable
from detente.faces.http import Connection
from detente.gateway.gate import Cleared, Gate

__all__ = ["ClearedResponse", "Ended"]

#: A piece is asked for leave and then written; small enough that little is under way at a time.
PIECE_BYTES = 64 * 1024


class Ended(Protocol):
    """Told once how a send ended."""

    def __call__(self, *, complete: bool) -> None: ...


class ClearedResponse(Response):
    """An answer whose body is a cleared shipment. ``ended`` is told how it went."""

    def __init__(
        self,
        gate: Gate,
        cleared: Cleared,
        ended: Ended,
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._gate = gate
        self._cleared = cleared
        self._ended = ended
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        size = sum(len(chunk) for chunk in cleared.shipment.chunks)
        self.init_headers({**(headers or {}), "content-length": str(size)})

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Write the shipment, or break the connection off where the clearance ends."""
        connection: Connection = scope["extensions"]["detente.connection"]
        complete = False
        try:
            entry = self._gate.open(self._cleared, connection)
        except (Conflict, Unavailable) as error:
            # An order came between clearing and sending, or too many sends are open. Nothing has
            # been written.
            self._ended(complete=False)
            await _busy(send, error)
            return
        try:
            complete = await self._write(connection, send)
        except (OSError, asyncio.CancelledError):
            # The client went away; what it got is unknown, so it counts as nothing.
            connection.cut()
            raise
        finally:
            if not complete:
                connection.cut()
            complete = self._gate.done(entry) and complete
            self._ended(complete=complete)

    async def _write(self, connection: Connection, send: Send) -> bool:
        if not self._cleared.stands():
            return False
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for piece in _pieces(self._cleared.shipment.chunks):
            if not self._cleared.stands() or connection.gone():
                return False
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        # Every byte is acknowledged before the answer ends and the register is left. The client
        # does not wait for this: the length it was told is complete already.
        complete = await connection.drained()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return complete


def _pieces(chunks: tuple[bytes, ...]) -> Iterator[memoryview | bytes]:
    for chunk in chunks:
        if len(chunk) <= PIECE_BYTES:
            yield chunk
            continue
        for start in range(0, len(chunk), PIECE_BYTES):
            yield chunk[start : start + PIECE_BYTES]


async def _busy(send: Send, error: DetenteError) -> None:
    body = msgspec.json.encode({"error": {"code": error.code, "sentence": error.sentence}})
    headers = [
        (b"content-type", b"application/json"),
        (b"retry-after", b"1"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
