"""Guard: who is asking. TAXII clients by password, token or certificate; the operator by the
node's own token.

Passwords are kept as argon2id hashes. A password that was right is remembered for a short time
under a keyed hash in memory, so that a client that asks often does not cost 50 ms each time.
Tokens are long random texts and kept as plain hashes. A certificate is known by its fingerprint,
after the server has checked that an authority it trusts has issued it. Each may be limited to
collections, to reading or writing, and to a time; each can be taken away at once.

All comparisons of secrets take constant time; a name that does not exist costs as much as a wrong
password. Who guesses is heard less and less often (``throttle``).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from starlette.requests import Request

from detente.errors import Conflict, DetenteError, Invalid, Missing, NotAuthorised, Unavailable
from detente.faces.http import CREDENTIAL_BYTES_MAX, basic_credentials
from detente.faces.throttle import Buckets, Guesses
from detente.gateway.together import Together
from detente.ports import Clock, CredentialRow, Store

__all__ = ["Caller", "ClientTerms", "Guard"]

_REMEMBERED_MAX = 10_000
_REMEMBERED_US = 300 * 1_000_000
#: Argon2 runs on at most this many threads at a time, so that guessing cannot starve the node.
_CHECKS_MAX = 2
#: Credentials that are looked up in one go.
_LOOKS_MAX = 64
#: An address of IPv6 with its zone is shorter; behind a proxy it is what a header says.
_ADDRESS_CHARS_MAX = 64


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the party, the credential's name, and what the credential is limited to.
    ``collections`` are ``agreement/collection``; None for all that the party sees."""

    party: str
    name: str
    collections: frozenset[str] | None = None
    reads: bool = True
    writes: bool = True

    def may_use(self, agreement: str, collection: str) -> bool:
        """True unless the credential is limited to other collections."""
        return self.collections is None or f"{agreement}/{collection}" in self.collections


class ClientTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a new credential is: its kind and its limits. ``certificate`` is PEM."""

    name: str
    party: str
    kind: str = "password"
    certificate: str = ""
    expires_ms: int | None = None
    collections: tuple[str, ...] = ()
    rights: str = "both"
    per_minute: int | None = None


class Guard:
    """Tells who a client is, and whether it is the operator who asks. ``per_minute`` is the
    allowance of clients that have none of their own."""

    def __init__(self, store: Store, clock: Clock, token: str, per_minute: int = 60_000) -> None:
        self._store = store
        self._clock = clock
        self._token = token.encode()
        self._per_minute = per_minute
        self._hasher = PasswordHasher()
        self._decoy = self._hasher.hash(secrets.token_hex(16))
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, int] = OrderedDict()
        self._rows: dict[str, CredentialRow] = {}
        self._certificates: dict[str, str] | None = None
        self._changes = 0
        self._room = asyncio.Semaphore(_CHECKS_MAX)
        self._looks = Together(self._look_up, _LOOKS_MAX)
        self._buckets = Buckets()
        self._guesses = Guesses()

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

    async def client(self, request: Request) -> Caller:
        """Who asks, by HTTP Basic, a Bearer token or the connection's certificate.

        ``NotAuthorised`` if nobody known does, ``Unavailable`` (``http.rate``) if it asks or
        guesses too often.
        """
        row = await self._row_of(request)
        if row is None:
            raise NotAuthorised("auth.wrong", "Expected a known client and its secret.")
        now_us = self._clock.now_us()
        per_minute = row.per_minute or self._per_minute
        wait_s = self._buckets.take(row.name, per_minute, now_us)
        if wait_s:
            raise Unavailable(
                "http.rate", f"Expected at most {per_minute} requests a minute.", retry_s=wait_s
            )
        return Caller(
            party=row.party,
            name=row.name,
            collections=frozenset(msgspec.json.decode(row.collections, type=list[str]))
            if row.collections
            else None,
            reads=row.rights != "write",
            writes=row.rights != "read",
        )

    async def _row_of(self, request: Request) -> CredentialRow | None:
        header = request.headers.get("authorization")
        if header is None:
            certificate = request.scope["extensions"]["tls"]["client_cert"]
            if certificate is None:
                raise NotAuthorised(
                    "auth.missing", "Expected credentials: Basic, Bearer or a certificate."
                )
            return await self._by_certificate(certificate)
        address = request.client.host[:_ADDRESS_CHARS_MAX] if request.client else ""
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer" and len(given) <= CREDENTIAL_BYTES_MAX:
            name, _, secret = given.strip().rpartition(".")
            return await self._by_secret(address, name, secret, "token")
        basic = basic_credentials(header)
        if basic is None:
            raise NotAuthorised(
                "auth.missing", "Expected credentials: Basic, Bearer or a certificate."
            )
        return await self._by_secret(address, *basic, "password")

    async def _by_secret(
        self, address: str, name: str, secret: str, kind: str
    ) -> CredentialRow | None:
        now_us = self._clock.now_us()
        known = self._fit(self._rows.get(name), kind)
        if known is not None and self._remembered(known, secret, now_us):
            return known
        self._hear(address, name, now_us)
        # Looked up although it may be in memory: known and unknown names go the same way.
        alive = self._fit(await self._stored(name), kind)
        if kind == "token":
            right = self._token_right(alive, secret)
        else:
            # Of many guesses at once, those that have had to wait are heard no more often.
            async with self._room:
                self._hear(address, name, self._clock.now_us())
                # While this one waited, the same client may have shown the same password.
                shown = alive is not None and self._remembered(alive, secret, now_us)
                right = shown or await self._password_right(alive, secret)
        if not right or alive is None:
            self._guesses.wrong(address, name, self._clock.now_us())
            return None
        self._guesses.right(address, name)
        self._remember(alive, secret, now_us)
        return alive

    def _hear(self, address: str, name: str, now_us: int) -> None:
        """Refuse whoever has guessed too often."""
        locked_s = self._guesses.locked_s(address, name, now_us)
        if locked_s:
            raise Unavailable(
                "http.rate",
                "Expected fewer wrong secrets from this address.",
                hint="Nothing is checked until then.",
                retry_s=locked_s,
            )

    async def _by_certificate(self, certificate: bytes) -> CredentialRow | None:
        if self._certificates is None:
            changes = self._changes
            rows = await self._store.read(lambda view: view.credentials())
            found = {one.secret_hash: one.name for one in rows if _is_certificate(one)}
            if changes == self._changes:
                self._certificates = found
        else:
            found = self._certificates
        name = found.get(hashlib.sha256(certificate).hexdigest())
        if name is None:
            return None
        return self._fit(self._rows.get(name) or await self._stored(name), "certificate")

    def _fit(self, row: CredentialRow | None, kind: str) -> CredentialRow | None:
        """The credential, if it is of this kind and still opens something."""
        return row if row is not None and row.kind == kind and self._alive(row) else None

    def _alive(self, row: CredentialRow) -> bool:
        now_ms = self._clock.now_us() // 1000
        return row.removed_ms is None and (row.expires_ms is None or now_ms < row.expires_ms)

    async def _stored(self, name: str) -> CredentialRow | None:
        """The stored credential, which is then kept in memory: only this object writes. What was
        read before a change and comes after it is not kept, else what was taken away would live
        on."""
        changes = self._changes
        row = await self._looks.ask(name)
        if row is not None and changes == self._changes:
            self._rows[name] = row
        return row

    async def _look_up(self, names: Sequence[str]) -> list[CredentialRow | DetenteError | None]:
        """Those of many clients that come at one moment in one look, else more would wait for the
        store than it lets wait."""
        asked = dict.fromkeys(names)
        rows = await self._store.read(lambda view: {one: view.credential(one) for one in asked})
        return [rows[name] for name in names]

    # --- secrets -----------------------------------------------------------------------------

    def _mark(self, row: CredentialRow, secret: str) -> bytes:
        text = f"{row.secret_hash}\0{row.name}\0{secret}"
        return hmac.digest(self._key, text.encode("utf-8", "replace"), hashlib.sha256)

    def _remembered(self, row: CredentialRow, secret: str, now_us: int) -> bool:
        return self._seen.get(self._mark(row, secret), -1) > now_us

    def _remember(self, row: CredentialRow, secret: str, now_us: int) -> None:
        self._seen[self._mark(row, secret)] = now_us + _REMEMBERED_US
        while len(self._seen) > _REMEMBERED_MAX:
            self._seen.popitem(last=False)

    def _token_right(self, row: CredentialRow | None, secret: str) -> bool:
        stored = row.secret_hash if row else hashlib.sha256(self._key).hexdigest()
        return hmac.compare_digest(stored, _hash_of(secret))

    async def _password_right(self, row: CredentialRow | None, secret: str) -> bool:
        stored = row.secret_hash if row else self._decoy
        return await asyncio.to_thread(self._verify, stored, secret)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    # --- making and taking away --------------------------------------------------------------

    async def add(self, terms: ClientTerms) -> str:
        """Make a credential; its secret is told once and kept only as a hash. Of a certificate
        the fingerprint is told. ``Conflict`` if another credential has that certificate."""
        if terms.kind == "certificate":
            told = stored = fingerprint(terms.certificate)
            await self._check_new(stored)
        else:
            secret = secrets.token_urlsafe(32)
            told = secret if terms.kind == "password" else f"{terms.name}.{secret}"
            stored = (
                await asyncio.to_thread(self._hasher.hash, secret)
                if terms.kind == "password"
                else _hash_of(secret)
            )
        row = CredentialRow(
            name=terms.name,
            party=terms.party,
            kind=terms.kind,
            secret_hash=stored,
            created_ms=self._clock.now_us() // 1000,
            expires_ms=terms.expires_ms,
            collections=msgspec.json.encode(terms.collections).decode()
            if terms.collections
            else "",
            rights=terms.rights,
            per_minute=terms.per_minute,
        )
        await self._put(row)
        return told

    async def add_client(self, name: str, party: str) -> str:
        """Make a credential with a password and no limits."""
        return await self.add(ClientTerms(name=name, party=party))

    async def remove_client(self, name: str) -> CredentialRow:
        """Take a credential away; from then on it opens nothing."""
        row = await self._store.read(lambda view: view.credential(name))
        if row is None or row.removed_ms is not None:
            raise Missing("client.unknown", f"Expected a known client, got {name}.")
        gone = msgspec.structs.replace(row, removed_ms=self._clock.now_us() // 1000)
        await self._put(gone)
        return gone

    async def _check_new(self, stored: str) -> None:
        rows = await self._store.read(lambda view: view.credentials())
        if any(one.secret_hash == stored and _is_certificate(one) for one in rows):
            raise Conflict(
                "client.certificate-known",
                "Expected a certificate of no other client.",
                hint="Remove the other client first; `detente client list` names it.",
            )

    async def _put(self, row: CredentialRow) -> None:
        await self._store.write(lambda tx: tx.put_credential(row))
        self._changes += 1
        self._rows.pop(row.name, None)
        self._certificates = None


def _is_certificate(row: CredentialRow) -> bool:
    return row.kind == "certificate" and row.removed_ms is None


def _hash_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def fingerprint(pem: str) -> str:
    """SHA-256 over the DER of the first certificate in a PEM text, in hex."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode("ascii", "replace"))
        return found.fingerprint(hashes.SHA256()).hex()
    except ValueError as error:
        raise Invalid("client.certificate", "Expected a certificate in PEM.") from error
