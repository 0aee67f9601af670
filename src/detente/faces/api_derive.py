"""The API's answers about tear-lines: made from an item, and what was made from which."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

from detente.errors import Invalid
from detente.faces.http import read_body
from detente.gateway.derive import DeriveAsk, Derived, Derives, Kin
from detente.gateway.recall import Recalled

__all__ = ["DeriveAPI", "RecalledWithKin"]

#: A hundred steps, each with a path and a text at their longest, have some 200 kB.
BODY_BYTES_MAX = 512 * 1024


class RecalledWithKin(Recalled, frozen=True, kw_only=True):
    """A recall, and the question that it raises: ``children`` were made from what was taken back
    and still stand. None is taken back by itself."""

    children: tuple[Kin, ...] = ()


class DeriveAPI:
    """Handlers under ``/api/derivations``."""

    def __init__(self, derives: Derives) -> None:
        self._derives = derives

    async def derive(self, request: Request) -> Derived:
        """Make a tear-line, or show what it would be."""
        body = await read_body(request.receive, BODY_BYTES_MAX)
        try:
            ask = msgspec.json.decode(body, type=DeriveAsk)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid("api.body", f"Expected another body: {error}.") from error
        return await self._derives.derive(ask)

    async def kin(self, item: str) -> dict[str, tuple[Kin, ...]]:
        """The parents and children of an item, as a trace tells them."""
        found = await self._derives.lineage(item)
        return {"parents": found.parents, "children": found.children}

    async def with_children(self, done: Recalled) -> RecalledWithKin:
        """A recall with the children that still stand."""
        found = await self._derives.lineage(done.id)
        standing = tuple(one for one in found.children if one.stands)
        return RecalledWithKin(
            id=done.id,
            agreement=done.agreement,
            collection=done.collection,
            count=done.count,
            entry=done.entry,
            children=standing,
        )
