"""Link: what sources and sinks have in common.

Both speak TAXII 2.1 as a client to a server that knows nothing of agreements. Here: what an
operator says of such a server, how it is asked, and when it is asked again. A server that fails is
left alone for longer each time; one that says how long is obeyed, up to a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from detente.errors import Conflict, DetenteError, Invalid, Missing, Unavailable
from detente.gateway.book import Book
from detente.gateway.gate import Cleared, Gate, Send
from detente.model import Agreement, Collection
from detente.model.names import Code, DocumentID, Record
from detente.ports import Answer, Breaker, Call, Caller, LinkRow, Secrets, Target, Tx, Watch
from detente.wire.taxii import (
    Place,
    accept_headers,
    basic,
    bearer,
    fault_of,
    place_of,
    post_headers,
    retry_after_ms,
)

__all__ = [
    "Failure",
    "LinkParts",
    "LinkSettings",
    "LinkState",
    "Links",
    "Pace",
    "Remote",
    "RemoteError",
    "put_off_ms",
]

#: Sources and sinks of one node; each costs a look at the clock.
LINKS_MAX = 1_000
SECRET_BYTES_MAX = 8_192
BACK_OFF_MS_MIN = 5_000
BACK_OFF_MS_MAX = 60 * 60 * 1000
#: A server may ask to be left alone this long; it cannot switch a link off for good.
RETRY_AFTER_MS_MAX = 24 * 60 * 60 * 1000
#: A status resource or an error, in bytes.
SHORT_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_MINUTE_US = 60_000_000

Path = Annotated[str, msgspec.Meta(max_length=1024)]


class LinkSettings(Record, frozen=True, kw_only=True):
    """What an operator says of a foreign collection: where it is, how its server is known, who we
    are there, how often it is asked. A password or token is kept elsewhere (``ports.Secrets``)."""

    name: DocumentID
    address: Annotated[str, msgspec.Meta(max_length=2048)]
    agreement: DocumentID
    collection: Code
    auth: Literal["none", "basic", "bearer"] = "none"
    user: Annotated[str, msgspec.Meta(max_length=256)] = ""
    ca_file: Path = ""
    pin: Annotated[str, msgspec.Meta(max_length=64)] = ""
    certificate: Path = ""
    key: Path = ""
    insecure_http: bool = False
    interval_ms: Annotated[int, msgspec.Meta(ge=1_000, le=7 * 86_400_000)] = 300_000
    page_objects: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1, le=6_000)] = 60


class Failure(Record, frozen=True, kw_only=True):
    """Why the last attempt failed."""

    code: str
    sentence: str
    hint: str = ""


class LinkState(Record, frozen=True, kw_only=True):
    """How a link stands: when it is due, how often in a row it failed and why, and how many
    objects it asks for or sends at a time (fewer after a page was too large)."""

    due_us: int = 0
    failures: int = 0
    failure: Failure | None = None
    limit: int = 0


class LinkParts(msgspec.Struct, frozen=True, kw_only=True):
    """What links stand on. ``chance`` gives numbers in [0, 1) that are not to be foreseen."""

    book: Book
    gate: Gate
    caller: Caller
    secrets: Secrets
    chance: Callable[[], float]


class RemoteError(Exception):
    """A foreign server failed: the error, and how long it asks to be left alone."""

    def __init__(self, error: DetenteError, retry_after_ms: int = 0) -> None:
        super().__init__(error)
        self.error = error
        self.retry_after_ms = retry_after_ms


def put_off_ms(failures: int, chance: float, asked_ms: int) -> int:
    """How long to leave a server alone after so many failures in a row: doubling up to a bound,
    between half and the whole of it so that many nodes do not come back together; longer if the
    server asks for it, up to another bound."""
    whole = min(BACK_OFF_MS_MAX, BACK_OFF_MS_MIN << min(failures - 1, 20))
    return max(round(whole * (1 + chance) / 2), min(asked_ms, RETRY_AFTER_MS_MAX))


class Pace:
    """How many requests a minute a link may make. In memory only: a node that is started again
    begins anew."""

    def __init__(self) -> None:
        self._free_us: dict[str, int] = {}

    def wait_us(self, name: str, per_minute: int, now_us: int) -> int:
        """0, and a request is counted; or how long until there is room for one."""
        step_us = _MINUTE_US // per_minute
        free_us = max(self._free_us.get(name, 0), now_us)
        ahead_us = free_us + step_us - now_us
        if ahead_us > _MINUTE_US:
            return ahead_us - _MINUTE_US
        self._free_us[name] = free_us + step_us
        return 0


class Remote:
    """A foreign server as one link sees it: its place, its trust, our credentials."""

    def __init__(self, parts: LinkParts, settings: LinkSettings, use: str) -> None:
        self._parts = parts
        self._settings = settings
        self._use = use
        self.place: Place = place_of(settings.address)

    def target(self) -> Target:
        """Where requests go and how the server is checked."""
        settings = self._settings
        return Target(
            address=self.place.origin,
            ca_file=settings.ca_file,
            pin=settings.pin,
            certificate=settings.certificate,
            key=settings.key,
            insecure_http=settings.insecure_http,
        )

    async def get(self, path: str, *, answer_bytes_max: int = SHORT_ANSWER_BYTES_MAX) -> Answer:
        """The answer to a question. Raises ``RemoteError`` for everything but a success."""
        credential = await self._credential()
        call = Call(
            target=self.target(),
            method="GET",
            path=path,
            headers=accept_headers(credential),
            answer_bytes_max=answer_bytes_max,
        )
        return await self._checked(call, None)

    async def send(self, path: str, cleared: Cleared) -> Answer:
        """The answer to a cleared shipment, which is in the gate's register from before its first
        byte until the server has answered. Raises ``RemoteError`` for everything but a success,
        ``Conflict`` (``gate.moved``) if an order came before the first byte."""
        credential = await self._credential()
        gate = self._parts.gate
        held = _Held(gate, cleared)
        call = Call(
            target=self.target(),
            method="POST",
            path=path,
            headers=post_headers(credential),
            chunks=cleared.shipment.chunks,
            answer_bytes_max=SHORT_ANSWER_BYTES_MAX,
        )
        whole = False
        try:
            answer = await self._checked(call, held)
        finally:
            if held.entry is not None:
                whole = gate.done(held.entry)
        if not whole:
            # The order has been told that this send was cut, so that is what it is.
            raise RemoteError(Unavailable("link.cut", "Expected leave to send on, got an order."))
        return answer

    async def _credential(self) -> str:
        settings = self._settings
        if settings.auth == "none":
            return ""
        try:
            secret = await asyncio.to_thread(
                self._parts.secrets.get, secret_name(self._use, settings.name)
            )
        except DetenteError as error:
            raise RemoteError(error) from error
        return credential_of(settings, secret)

    async def _checked(self, call: Call, watch: Watch | None) -> Answer:
        try:
            answer = await self._parts.caller.call(call, watch)
        except Conflict:
            raise  # the gate's word, not the server's
        except DetenteError as error:
            raise RemoteError(error) from error
        fault = fault_of(answer)
        if fault is not None:
            now_ms = self._parts.book.now_ms()
            raise RemoteError(fault, retry_after_ms(answer.headers, now_ms))
        return answer


class _Held:
    """Has the gate hold a send: in its register before the first byte, asked before each piece."""

    def __init__(self, gate: Gate, cleared: Cleared) -> None:
        self._gate = gate
        self._cleared = cleared
        self.entry: Send | None = None

    def opened(self, breaker: Breaker) -> None:
        self.entry = self._gate.open(self._cleared, breaker)

    def stands(self) -> bool:
        return self._cleared.stands()


def secret_name(use: str, name: str) -> str:
    """Under which name a link's password or token is kept."""
    return f"{use}-{name}"


def credential_of(settings: LinkSettings, secret: str) -> str:
    """The authorization header; refuses what cannot stand in one."""
    if settings.auth == "none":
        return ""
    return basic(settings.user, secret) if settings.auth == "basic" else bearer(secret)


class Links:
    """The rows of all sources, or of all sinks: kept, listed, removed, and when each is due."""

    def __init__(self, parts: LinkParts, use: Literal["source", "sink"]) -> None:
        self._parts = parts
        self._use: Literal["source", "sink"] = use
        self._due: dict[str, int] = {}
        self._busy: set[str] = set()
        self._adding = asyncio.Lock()

    async def load(self, due_us: Callable[[LinkRow], int]) -> None:
        """Learn from the store which links there are."""
        self._due = {row.name: due_us(row) for row in await self.rows()}

    async def rows(self) -> list[LinkRow]:
        """All of them, in the order in which they were added."""
        return await self._parts.book.store.read(lambda view: view.links(self._use))

    async def row(self, name: str) -> LinkRow:
        """One of them; ``Missing`` if there is none."""
        row = await self._parts.book.store.read(lambda view: view.link(self._use, name))
        if row is None:
            raise self._unknown(name)
        return row

    def _unknown(self, name: str) -> Missing:
        return Missing(
            "link.unknown",
            f"Expected a known {self._use}, got {name[:64]!r}.",
            hint=f"`detente {self._use} list` names them.",
        )

    async def add(
        self,
        settings: LinkSettings,
        secret: str,
        row: LinkRow,
        fits: Callable[[list[LinkRow]], None] = lambda _: None,
    ) -> None:
        """Keep a new link that ``fits`` beside those there are. The secret is written first: a
        crash in between leaves a file that nobody reads, and that the next attempt writes again."""
        self._check_secret(settings, secret)
        remote = Remote(self._parts, settings, self._use)
        await asyncio.to_thread(self._parts.caller.check, remote.target())

        def check(rows: list[LinkRow]) -> None:
            if any(known.name == settings.name for known in rows):
                raise Conflict(
                    "link.known",
                    f"Expected a new name for a {self._use}, got {settings.name}.",
                    hint="Give another with --name, or remove the old one first.",
                )
            if len(rows) >= LINKS_MAX:
                raise Conflict("link.many", f"Expected fewer than {LINKS_MAX} {self._use}s.")
            fits(rows)

        def work(tx: Tx) -> None:
            check(tx.links(self._use))
            tx.put_link(row)

        async with self._adding:  # or of two of one name, one would leave the other its secret
            check(await self.rows())
            if secret:
                name = secret_name(self._use, settings.name)
                await asyncio.to_thread(self._parts.secrets.put, name, secret)
            await self._parts.book.store.write(work)
        self._due[settings.name] = self._parts.book.clock.now_us()

    def _check_secret(self, settings: LinkSettings, secret: str) -> None:
        if (settings.auth == "none") != (secret == "") or (
            (settings.auth == "basic") != (settings.user != "")
        ):
            raise Invalid(
                "link.credentials-form",
                "Expected a user and a password, a token, or neither.",
                hint="--user with --password-file, or --token-file; `-` reads standard input.",
            )
        if len(secret.encode()) > SECRET_BYTES_MAX:
            raise Invalid("link.secret", f"Expected at most {SECRET_BYTES_MAX} bytes of secret.")
        credential_of(settings, secret)

    async def remove(self, name: str) -> None:
        """Forget a link and its secret; what it brought or sent stays."""
        if name in self._busy:
            raise self._is_busy(name)
        if not await self._parts.book.store.write(lambda tx: tx.drop_link(self._use, name)):
            raise self._unknown(name)
        self._due.pop(name, None)
        await asyncio.to_thread(self._parts.secrets.drop, secret_name(self._use, name))

    def put(self, tx: Tx, name: str, state: bytes) -> None:
        """Keep a link's state, in a transaction; ``Missing`` if it was removed meanwhile."""
        row = tx.link(self._use, name)
        if row is None:
            raise self._unknown(name)
        tx.put_link(LinkRow(use=self._use, name=name, settings=row.settings, state=state))

    # --- when ------------------------------------------------------------------------------

    def due(self, now_us: int) -> list[str]:
        """The links whose time has come and that are not at work, the longest waiting first."""
        found = [
            (due_us, name)
            for name, due_us in self._due.items()
            if due_us <= now_us and name not in self._busy
        ]
        return [name for _, name in sorted(found)]

    def set_due(self, name: str, due_us: int) -> None:
        """When a link is to work again; one that was removed stays so."""
        if name in self._due:
            self._due[name] = due_us

    def begin(self, name: str) -> None:
        """One piece of work at a time for each link."""
        if name in self._busy:
            raise self._is_busy(name)
        self._busy.add(name)

    def end(self, name: str) -> None:
        """The work is over."""
        self._busy.discard(name)

    def _is_busy(self, name: str) -> Conflict:
        return Conflict(
            "link.at-work",
            f"Expected {self._use} {name} to be at rest, got one at work.",
            hint="Ask again in a moment.",
        )


def own_collection(parts: LinkParts, settings: LinkSettings) -> tuple[Agreement, Collection]:
    """The collection a link fills or empties; only one that this node's party sends."""
    current = parts.gate.current(settings.agreement)
    agreement = current.standing.agreement if current else None
    collection = agreement.collection(settings.collection) if agreement else None
    if agreement is None or collection is None:
        raise Missing(
            "collection.unknown",
            f"Expected a collection of {settings.agreement}, got {settings.collection}.",
            hint="`detente agreement show` lists the collections.",
        )
    if collection.sender != parts.book.me.party:
        raise Invalid(
            "link.collection",
            f"Expected a collection that {parts.book.me.party} sends, got {collection.name} of "
            f"{collection.sender}.",
        )
    return agreement, collection
