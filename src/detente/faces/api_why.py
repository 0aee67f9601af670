"""The API's answers about why things stand as they do, and the opening of items under caveats."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

from detente.errors import Invalid
from detente.faces.http import read_body
from detente.gateway.opening import OpenAsk, Openings
from detente.gateway.why import GROUPS_MAX, Whys

__all__ = ["WhyAPI", "answer_why"]

BODY_BYTES_MAX = 64 * 1024
#: Groups in an answer that does not say how many it wants.
GROUPS = 50


class WhyAPI:
    """Handlers of ``/api/why`` and ``/api/items/open``."""

    def __init__(self, whys: Whys, openings: Openings) -> None:
        self._whys = whys
        self._openings = openings

    async def why(self, request: Request) -> object:
        """How an item (``object``), or without one a whole feed, stands to a party, and why."""
        return await answer_why(self._whys, dict(request.query_params))

    async def open(self, request: Request) -> object:
        """The caveats of an item; with their code its content, on the record."""
        try:
            ask = msgspec.json.decode(
                await read_body(request.receive, BODY_BYTES_MAX), type=OpenAsk
            )
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid("api.body", f"Expected another body: {error}.") from error
        return await self._openings.open(ask)


async def answer_why(whys: Whys, query: dict[str, str]) -> dict[str, object]:
    """The answer to a question by its query; a stopped node answers by it too."""
    party, at_ms = query.get("to"), _integer(query, "at_ms")
    if not party:
        raise Invalid("api.query", "Expected `to` in the query, got none.")
    agreement, item = query.get("agreement"), query.get("object")
    if item is not None:
        lines, more = await whys.item(item, party, agreement=agreement, at_ms=at_ms)
        return {"why": lines, "more": more}
    limit = _integer(query, "limit")
    found = await whys.feed(
        party,
        agreement=agreement,
        at_ms=at_ms,
        after=_integer(query, "after") or 0,
        limit=GROUPS if limit is None else min(limit, GROUPS_MAX),
    )
    return {"feeds": found}


def _integer(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 17):
        raise Invalid("api.query", f"Expected an integer as `{name}`, got {text[:32]!r}.")
    return int(text)
