"""HTTP for every face: the server, bounded bodies, and errors in one shape.

The only place with HTTP numbers for errors.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import socket
import ssl

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive

from detente.errors import (
    Broken,
    Conflict,
    DetenteError,
    Invalid,
    Missing,
    NotAuthorised,
    PeerError,
    Unavailable,
    Unchecked,
)
from detente.faces.edge import Connection, EdgeLimits, edge_protocol

__all__ = [
    "Connection",
    "Server",
    "ServerSettings",
    "basic_credentials",
    "error_response",
    "metrics_response",
    "read_body",
    "status_of",
]

#: Kernel send buffer of each connection: what is in it when an order comes is discarded by the
#: reset, so it is kept small.
SEND_BUFFER_BYTES = 64 * 1024
CREDENTIAL_BYTES_MAX = 512

_STATUS: dict[type[DetenteError], int] = {
    Invalid: 400,
    NotAuthorised: 403,
    Missing: 404,
    Conflict: 409,
    Unchecked: 503,
    PeerError: 502,
    Unavailable: 503,
    Broken: 500,
}
_STATUS_BY_CODE = {
    "auth.missing": 401,
    "auth.wrong": 401,
    "http.body_too_large": 413,
    "http.media-type": 415,
    "http.not-acceptable": 406,
    "http.body-late": 408,
    "http.method": 405,
    "http.rate": 429,
    "http.encoding": 415,
    "taxii.envelope": 422,
}


def status_of(error: DetenteError) -> int:
    """The HTTP status for an error."""
    return _STATUS_BY_CODE.get(error.code) or _STATUS[type(error)]


def error_response(error: DetenteError) -> Response:
    """The one JSON shape: ``{"error": {"code", "sentence", "hint", "path"}}``."""
    body = {
        "error": {
            "code": error.code,
            "sentence": error.sentence,
            "hint": error.hint,
            "path": error.path,
        }
    }
    status = status_of(error)
    headers = {"retry-after": "1"} if status == 503 else {}  # HTTP
    if status == 401:  # HTTP
        headers["www-authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


def basic_credentials(header: str | None) -> tuple[str, str] | None:
    """Name and password of an HTTP Basic header (RFC 7617), or None if it is no such header."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic" or len(encoded) > CREDENTIAL_BYTES_MAX:
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    name, colon, password = text.partition(":")
    return (name, password) if colon else None


async def read_body(receive: Receive, body_bytes_max: int) -> bytes:
    """The body of a request, counted while it is read, never after."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unavailable("http.gone", "Expected a whole body, got an end of the connection.")
        piece = message.get("body", b"")
        size += len(piece)
        if size > body_bytes_max:
            raise Invalid(
                "http.body_too_large", f"Expected at most {body_bytes_max} bytes of body, got more."
            )
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def metrics_response() -> Response:
    """Prometheus text."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to serve; port 0 takes a free one."""

    host: str
    port: int
    headers_ms: int = 10_000
    body_ms: int = 60_000
    stall_ms: int = 60_000
    requests_max: int = 2_000
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""


class Server:
    """uvicorn inside a running event loop."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._settings = settings
        limits = EdgeLimits(
            headers_ms=settings.headers_ms,
            body_ms=settings.body_ms,
            stall_ms=settings.stall_ms,
            connections_max=settings.requests_max,
        )
        config = uvicorn.Config(
            app,
            http=edge_protocol(limits),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            log_level="error",
            timeout_keep_alive=30,
            ssl_certfile=settings.tls_certificate or None,
            ssl_keyfile=settings.tls_key or None,
            ssl_ca_certs=settings.tls_client_ca or None,
            # A client may show a certificate; if it does, an authority we trust has issued it.
            ssl_cert_reqs=ssl.CERT_OPTIONAL if settings.tls_client_ca else ssl.CERT_NONE,
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        self._server = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> tuple[str, int]:
        """Listen and serve; the address in use. ``Conflict`` if it is taken."""
        listening = _listen(self._settings.host, self._settings.port)
        # Signals belong to whoever runs the node, so uvicorn's own handling is left out.
        self._task = asyncio.create_task(
            self._server._serve([listening])
        )  # the public one takes over the process's signals
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)
        host, port = listening.getsockname()[:2]
        return host, port

    async def stop(self, *, grace_ms: int) -> None:
        """Stop accepting, let requests end, cut what is left at the deadline."""
        if self._task is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=grace_ms / 1000)
        if not done:
            self._server.force_exit = True
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit the small send buffer from the socket that accepts them.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Conflict(
            "http.address",
            f"Expected a free address, got {host}:{port}: {error.strerror}.",
            hint="Another node may be running; set `listen` in detente.toml.",
        ) from error
    listening.listen(1024)
    listening.settimeout(0)
    return listening
