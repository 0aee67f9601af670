"""Outer: what stands around all faces. Path tricks are refused, addresses and methods that no face
has are answered in the shape of the face they lie under, and what nobody foresaw is answered
without telling how it came.
"""

from __future__ import annotations

import contextlib
import secrets
import traceback
from pathlib import PurePath

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from detente.errors import Broken, DetenteError, Invalid, Missing
from detente.faces.http import error_response
from detente.faces.taxii_forms import error_answer

__all__ = ["joined"]

log = structlog.get_logger("detente")

PATH_BYTES_MAX = 2048
QUERY_BYTES_MAX = 8192
_METHOD_REFUSED = 405  # HTTP


def joined(routes: list[Route]) -> ASGIApp:
    """One application of the routes of all faces."""
    handlers = {HTTPException: _no_route, Exception: _unforeseen}
    app = Starlette(routes=routes, exception_handlers=handlers)
    # A redirect would say that an address exists, and lead to the host the client has named.
    app.router.redirect_slashes = False

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = _refused(scope)
        if refusal is not None:
            await _shaped(scope["path"], refusal)(scope, receive, send)
            return
        # What nobody foresaw has been entered and answered by then, and comes here once more.
        with contextlib.suppress(Exception):
            await app(scope, receive, send)

    return outer


def _places(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " ".join(f"{PurePath(one.filename).name}:{one.lineno}" for one in frames)


def _shaped(path: str, error: DetenteError) -> Response:
    under_taxii = path == "/taxii2" or path.startswith("/taxii2/")
    return error_answer(error) if under_taxii else error_response(error)


async def _no_route(request: Request, error: Exception) -> Response:
    """What the routes themselves refuse: no such address, or another method there."""
    if isinstance(error, HTTPException) and error.status_code == _METHOD_REFUSED:
        method = request.method[:32]
        refusal: DetenteError = Invalid("http.method", f"Expected another method, got {method}.")
        answer = _shaped(request.url.path, refusal)
        answer.headers.update(error.headers or {})
        return answer
    return _shaped(request.url.path, Missing("route.unknown", "Expected a known address."))


async def _unforeseen(request: Request, error: Exception) -> Response:
    incident = secrets.token_hex(8)
    # The places only: the values at hand there may be anybody's passwords and objects.
    log.error("unforeseen", incident=incident, kind=type(error).__name__, at=_places(error))
    answer = Broken("http.unforeseen", f"Expected to answer, got incident {incident}.")
    return _shaped(request.url.path, answer)


def _refused(scope: Scope) -> Invalid | None:
    raw, query = scope["raw_path"], scope["query_string"]
    if len(raw) > PATH_BYTES_MAX or len(query) > QUERY_BYTES_MAX:
        return Invalid("http.path", "Expected a shorter address, got one too long.")
    lowered = raw.lower()
    parts = scope["path"].split("/")
    if b"%2f" in lowered or b"%00" in lowered or "." in parts or ".." in parts:
        return Invalid("http.path", "Expected a plain path, got one with dots or hidden slashes.")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in scope["path"]):  # control characters
        return Invalid("http.path", "Expected a plain path, got control characters.")
    return None
