"""Guard: who is asking. TAXII clients by name and password, the operator by the node's token.

Passwords are kept as argon2id hashes. A password that was right is remembered for a short time
under a keyed hash in memory, so that a client that asks often does not cost 50 ms each time. All
comparisons of secrets take constant time; a name that does not exist costs as much as a wrong
password.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec.structs import replace
from starlette.requests import Request

from detente.errors import Missing, NotAuthorised
from detente.faces.http import basic_credentials
from detente.ports import Clock, CredentialRow, Store

__all__ = ["Guard"]

_REMEMBERED_MAX = 10_000
_REMEMBERED_US = 300 * 1_000_000
#: Argon2 runs on at most this many threads at a time, so that guessing cannot starve the node.
_CHECKS_MAX = 2


class Guard:
    """Tells the party and name of a client, and whether it is the operator who asks."""

    def __init__(self, store: Store, clock: Clock, token: str) -> None:
        self._store = store
        self._clock = clock
        self._token = token.encode()
        self._hasher = PasswordHasher()
        self._decoy = self._hasher.hash(secrets.token_hex(16))
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, int] = OrderedDict()
        self._rows: dict[str, CredentialRow] = {}
        self._room = asyncio.Semaphore(_CHECKS_MAX)

    def operator(self, request: Request) -> None:
        """Refuse unless the request carries the node's own token."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthorised(
                "auth.missing",
                "Expected the node's token, got none.",
                hint="The command line reads it from the node's folder.",
            )
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            raise NotAuthorised("auth.wrong", "Expected the node's token, got another.")

    async def client(self, request: Request) -> tuple[str, str]:
        """The party and name behind HTTP Basic credentials (TAXII 2.1, 1.6.7)."""
        given = basic_credentials(request.headers.get("authorization"))
        if given is None:
            raise NotAuthorised("auth.missing", "Expected HTTP Basic credentials, got none.")
        name, password = given
        row = await self._credential(name)
        alive = row if row is not None and row.removed_ms is None else None
        if not await self._right(alive, name, password) or alive is None:
            raise NotAuthorised("auth.wrong", "Expected a known name and its password.")
        return alive.party, alive.name

    async def _credential(self, name: str) -> CredentialRow | None:
        """The stored credential. Kept in memory while it is right: only this object writes."""
        if name not in self._rows:
            row = await self._store.read(lambda view: view.credential(name))
            if row is None:
                return None
            self._rows[name] = row
        return self._rows[name]

    async def _right(self, row: CredentialRow | None, name: str, password: str) -> bool:
        stored = row.secret_hash if row else self._decoy
        mark = hmac.digest(self._key, f"{stored}\0{name}\0{password}".encode(), hashlib.sha256)
        now = self._clock.now_us()
        if self._seen.get(mark, -1) > now:
            return True
        async with self._room:
            right = await asyncio.to_thread(self._verify, stored, password)
        if right and row is not None:
            self._seen[mark] = now + _REMEMBERED_US
            while len(self._seen) > _REMEMBERED_MAX:
                self._seen.popitem(last=False)
        return right

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def add_client(self, name: str, party: str) -> str:
        """Make a credential; its password is told once and kept only as a hash."""
        password = secrets.token_urlsafe(24)
        row = CredentialRow(
            name=name,
            party=party,
            secret_hash=await asyncio.to_thread(self._hasher.hash, password),
            created_ms=self._clock.now_us() // 1000,
        )
        await self._put(row)
        return password

    async def remove_client(self, name: str) -> CredentialRow:
        """Take a credential away; from then on it opens nothing."""
        row = await self._store.read(lambda view: view.credential(name))
        if row is None or row.removed_ms is not None:
            raise Missing("client.unknown", f"Expected a known client, got {name}.")
        gone = replace(row, removed_ms=self._clock.now_us() // 1000)
        await self._put(gone)
        return gone

    async def _put(self, row: CredentialRow) -> None:
        await self._store.write(lambda tx: tx.put_credential(row))
        self._rows.pop(row.name, None)
