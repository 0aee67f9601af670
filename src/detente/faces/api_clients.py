"""The API's answers about TAXII credentials: who may read and write, added, listed, taken away."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from starlette.requests import Request

from detente.errors import Conflict, Invalid
from detente.faces.guard import ClientTerms, Guard
from detente.faces.http import read_body
from detente.gateway.book import Book
from detente.model.names import DocumentID, PartyID
from detente.ports import Store, Tx

__all__ = ["ClientAPI"]

BODY_BYTES_MAX = 256 * 1024


class _ClientBody(msgspec.Struct, forbid_unknown_fields=True):
    name: DocumentID
    party: PartyID
    kind: Literal["password", "token", "certificate"] = "password"
    certificate: Annotated[str, msgspec.Meta(max_length=65_536)] = ""
    lasts_ms: Annotated[int, msgspec.Meta(ge=1000, lt=2**53)] | None = None
    collections: Annotated[tuple[str, ...], msgspec.Meta(max_length=1000)] = ()
    rights: Literal["read", "write", "both"] = "both"
    per_minute: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None


class ClientAPI:
    """Handlers under ``/api/clients``."""

    def __init__(self, store: Store, book: Book, guard: Guard) -> None:
        self._store = store
        self._book = book
        self._guard = guard

    async def all(self, _request: Request) -> object:
        """All credentials in use, without their secrets."""
        rows = await self._store.read(lambda view: view.credentials())
        return {
            "clients": [
                {
                    "name": r.name,
                    "party": r.party,
                    "kind": r.kind,
                    "created_ms": r.created_ms,
                    "expires_ms": r.expires_ms,
                    "collections": msgspec.json.decode(r.collections) if r.collections else None,
                    "rights": r.rights,
                    "per_minute": r.per_minute,
                }
                for r in rows
                if r.removed_ms is None
            ]
        }

    async def add(self, request: Request) -> object:
        """A new credential; its secret is told once."""
        body = await _asked(request)
        for name in body.collections:
            agreement, slash, collection = name.partition("/")
            if not (agreement and slash and collection) or "/" in collection:
                raise Invalid(
                    "client.collection", f"Expected AGREEMENT/COLLECTION, got {name[:200]}."
                )
        known = await self._store.read(lambda view: view.credential(body.name))
        if known is not None and known.removed_ms is None:
            raise Conflict("client.known", f"Expected a new name, got {body.name}.")
        lasts_ms = body.lasts_ms
        secret = await self._guard.add(
            ClientTerms(
                name=body.name,
                party=body.party,
                kind=body.kind,
                certificate=body.certificate,
                expires_ms=None if lasts_ms is None else self._book.now_ms() + lasts_ms,
                collections=body.collections,
                rights=body.rights,
                per_minute=body.per_minute,
            )
        )
        await self._enter(body.name, body.party, "added")
        told = "fingerprint" if body.kind == "certificate" else body.kind
        return {"name": body.name, "party": body.party, "kind": body.kind, told: secret}

    async def remove(self, request: Request) -> object:
        """Take a credential away."""
        name = request.path_params["name"]
        row = await self._guard.remove_client(name)
        await self._enter(name, row.party, "removed")
        return {"name": name, "removed_ms": row.removed_ms}

    async def _enter(self, name: str, party: str, outcome: str) -> None:
        """Record it in the node's own ledger."""
        book = self._book

        def work(tx: Tx) -> None:
            # Made in its turn: the times in a ledger never go back.
            entry = book.entry("credential", ref=name, party=party, outcome=outcome)
            tx.append_entry(book.me.node_log, entry)

        await self._store.write(work)


async def _asked(request: Request) -> _ClientBody:
    try:
        body = await read_body(request.receive, BODY_BYTES_MAX)
        return msgspec.json.decode(body, type=_ClientBody)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid("api.body", f"Expected another body: {error}.") from error
