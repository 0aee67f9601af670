"""The part of the API about sources and sinks.

A password or token comes in the body of the request that adds one, over the node's own address,
and is in no answer: settings have no field for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from starlette.requests import Request

from detente.errors import Invalid
from detente.faces.http import read_body
from detente.gateway.sink import Sinks, SinkSettings
from detente.gateway.source import Sources, SourceSettings
from detente.model.names import Record

__all__ = ["LinkAPI"]

BODY_BYTES_MAX = 64 * 1024

Secret = Annotated[str, msgspec.Meta(max_length=8_192)]


class _SourceBody(Record, frozen=True, kw_only=True):
    settings: SourceSettings
    secret: Secret = ""


class _SinkBody(Record, frozen=True, kw_only=True):
    settings: SinkSettings
    secret: Secret = ""


class LinkAPI:
    """Handlers; ``faces.api`` routes to them and answers their errors."""

    def __init__(self, sources: Sources, sinks: Sinks) -> None:
        self._sources = sources
        self._sinks = sinks

    def routes(self) -> list[tuple[str, str, Callable[[Request], Awaitable[object]]]]:
        """Method, path and handler of each."""
        return [
            ("GET", "/api/sources", self.sources),
            ("POST", "/api/sources", self.source_add),
            ("GET", "/api/sources/{name}", self.source_show),
            ("DELETE", "/api/sources/{name}", self.source_remove),
            ("POST", "/api/sources/{name}/poll", self.source_poll),
            ("GET", "/api/sinks", self.sinks),
            ("POST", "/api/sinks", self.sink_add),
            ("GET", "/api/sinks/{name}", self.sink_show),
            ("DELETE", "/api/sinks/{name}", self.sink_remove),
            ("POST", "/api/sinks/{name}/push", self.sink_push),
        ]

    async def sources(self, _request: Request) -> object:
        """All sources."""
        return {"sources": await self._sources.views()}

    async def source_add(self, request: Request) -> object:
        """A new source."""
        body = await read_body(request.receive, BODY_BYTES_MAX)
        try:
            asked = msgspec.json.decode(body, type=_SourceBody)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _another_body(error) from error
        return await self._sources.add(asked.settings, asked.secret)

    async def source_show(self, request: Request) -> object:
        """One source."""
        return await self._sources.show(request.path_params["name"])

    async def source_remove(self, request: Request) -> object:
        """Forget a source."""
        name = request.path_params["name"]
        await self._sources.remove(name)
        return {"name": name, "removed": True}

    async def source_poll(self, request: Request) -> object:
        """Read from a source now."""
        return await self._sources.poll(request.path_params["name"])

    async def sinks(self, _request: Request) -> object:
        """All sinks."""
        return {"sinks": await self._sinks.views()}

    async def sink_add(self, request: Request) -> object:
        """A new sink."""
        body = await read_body(request.receive, BODY_BYTES_MAX)
        try:
            asked = msgspec.json.decode(body, type=_SinkBody)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _another_body(error) from error
        return await self._sinks.add(asked.settings, asked.secret)

    async def sink_show(self, request: Request) -> object:
        """One sink."""
        return await self._sinks.show(request.path_params["name"])

    async def sink_remove(self, request: Request) -> object:
        """Forget a sink."""
        name = request.path_params["name"]
        await self._sinks.remove(name)
        return {"name": name, "removed": True}

    async def sink_push(self, request: Request) -> object:
        """Push to a sink now."""
        return await self._sinks.push(request.path_params["name"])


def _another_body(error: Exception) -> Invalid:
    return Invalid("api.body", f"Expected another body: {error}.")
