"""Node: everything joined, and the one clock.

Folder of a node (``detente init`` makes it, mode 0700):

    detente.toml          configuration (``config.Config``)
    detente.db            the store
    keys/ledger.pem       signs the checkpoints of its ledgers
    keys/node.pem         signs requests and receipts to partners
    keys/witness.pem      cosigns partners' checkpoints
    token                 lets the folder's owner use the API
    secret                seals paging tokens
    links/                passwords and tokens for sources and sinks
    address               where the running node listens
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from detente.config import CONFIG_NAME, Config, parse_config, render_config
from detente.errors import Broken, Conflict, DetenteError, Invalid, Missing
from detente.faces.api import API, APIParts
from detente.faces.api_derive import DeriveAPI
from detente.faces.api_links import LinkAPI
from detente.faces.api_why import WhyAPI
from detente.faces.guard import Guard
from detente.faces.http import Server, ServerSettings, metrics_response
from detente.faces.outer import joined
from detente.faces.peer import Peer
from detente.faces.taxii import TAXII, TAXIIParts
from detente.gateway.ask import Ask
from detente.gateway.bell import Bell
from detente.gateway.book import Book, Identity, latest_us
from detente.gateway.deliver import Delivery
from detente.gateway.derive import Derives
from detente.gateway.desk import Desk
from detente.gateway.effect import Effects
from detente.gateway.exchange import Exchange
from detente.gateway.gate import Gate
from detente.gateway.intake import Intake
from detente.gateway.link import LinkParts
from detente.gateway.opening import Openings
from detente.gateway.order import Orders
from detente.gateway.outcomes import Outcomes
from detente.gateway.recall import Recalls
from detente.gateway.review import Review
from detente.gateway.sink import Sinks
from detente.gateway.source import Sources
from detente.gateway.why import Whys
from detente.gateway.witness import Witness
from detente.ports import Store
from detente.proof import Ed25519Signer, Signer, load_private_key
from detente.record import write_copy
from detente.rules.times import time_text
from detente.store.sqlite import SQLiteStore
from detente.wire.courier import HTTPCourier
from detente.wire.http import HTTPCaller
from detente.wire.stix import Limits

__all__ = ["Node", "NodeFolder", "RunningClock", "init_node", "serve"]

log = structlog.get_logger("detente")

_Due = Callable[[int], list[str]]

#: How often the node looks whether the clock has brought something due.
TICK_S = 0.25
#: How far the machine's clock may be behind what the node has written down, at its start.
CLOCK_BEHIND_MS_MAX = 60_000


class RunningClock:
    """The one clock. It never goes back: neither while the node runs, whichever of its threads
    asks, nor, by ``floor_us``, behind what the node has written down before."""

    def __init__(self, floor_us: int = 0) -> None:
        self._last = floor_us
        self._shift = 0
        self._asked = threading.Lock()

    def now_us(self) -> int:
        """Microseconds since 1970, UTC; in an exercise, as it was set."""
        with self._asked:
            self._last = max(self._last, time.time_ns() // 1000 + self._shift)
            return self._last


class ExerciseClock(RunningClock):
    """The settable clock of an exercise: runs on from where it was set, also after a restart."""

    def __init__(self, store: Store, set_us: int, at_real_us: int, floor_us: int = 0) -> None:
        super().__init__(floor_us)
        self._store = store
        self._shift = set_us - at_real_us if set_us else 0

    async def set_us(self, now_us: int) -> None:
        """Set the clock forwards; kept on disk before it holds."""
        if now_us < self.now_us():
            now, got = time_text(self.now_us() // 1000), time_text(now_us // 1000)
            raise Conflict("clock.backwards", f"Expected a time at or after {now}, got {got}.")
        real = time.time_ns() // 1000
        await self._store.write(lambda tx: tx.put_meta("clock", f"{now_us} {real}"))
        self._shift = now_us - real


class NodeFolder:
    """Where a node keeps its things."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def config(self) -> Config:
        """The configuration; ``Missing`` if the folder is no node's."""
        try:
            return parse_config((self.path / CONFIG_NAME).read_bytes())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Missing(
                "node.folder",
                f"Expected a node's folder with {CONFIG_NAME}, got {self.path}.",
                hint="Make one with `detente init`.",
            ) from error

    def signer(self, name: str) -> Signer:
        """One of the node's own keys."""
        return load_private_key((self.path / "keys" / f"{name}.pem").read_bytes())

    def text(self, name: str) -> str:
        """A small file of the folder."""
        try:
            return (self.path / name).read_text().strip()
        except FileNotFoundError as error:
            raise Missing("node.file", f"Expected {name} in {self.path}, got none.") from error

    def write_private(self, name: str, data: bytes) -> None:
        """Write a file that only the owner reads; whole or not at all."""
        path = self.path / name
        half = path.with_suffix(path.suffix + ".new")
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)

    def drop_private(self, name: str) -> None:
        """Take a file away, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def database(self) -> Path:
        """The store's file."""
        return self.path / "detente.db"


class FolderSecrets:
    """``ports.Secrets`` in files of the node's folder that only its owner reads."""

    def __init__(self, folder: NodeFolder) -> None:
        self._folder = folder

    def get(self, name: str) -> str:
        """The secret; ``Missing`` if its file is gone."""
        try:
            return (self._folder.path / "links" / name).read_text()
        except FileNotFoundError as error:
            raise Missing(
                "link.secret-gone",
                f"Expected links/{name} in the node's folder, got none.",
                hint="Remove the source or sink and add it again.",
            ) from error

    def put(self, name: str, secret: str) -> None:
        """Write it; the folder of secrets comes into being with the first."""
        (self._folder.path / "links").mkdir(mode=0o700, exist_ok=True)
        self._folder.write_private(f"links/{name}", secret.encode())

    def drop(self, name: str) -> None:
        """Take its file away."""
        self._folder.drop_private(f"links/{name}")


async def init_node(path: Path, config: Config) -> NodeFolder:
    """Make the folder of a new node: configuration, keys, token, empty store."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Conflict("node.exists", f"Expected an empty or new folder, got {path}.")
    parse_config(render_config(config))
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (NotADirectoryError, PermissionError) as error:
        raise Invalid(
            "node.place", f"Expected a place for a folder, got {path}: {error.strerror}."
        ) from error
    path.chmod(0o700)
    (path / "keys").mkdir(mode=0o700)
    folder = NodeFolder(path)
    for name in ("ledger", "node", "witness"):
        folder.write_private(f"keys/{name}.pem", Ed25519Signer(Ed25519PrivateKey.generate()).pem())
    folder.write_private("token", secrets.token_urlsafe(32).encode())
    folder.write_private("secret", secrets.token_hex(32).encode())
    await open_store(folder, create=True).close()
    # Last, so that a folder half made is not taken for a node's.
    folder.write_private(CONFIG_NAME, render_config(config))
    return folder


def open_store(folder: NodeFolder, *, create: bool = False) -> SQLiteStore:
    """The node's store, with the key that signs its ledgers."""
    signer = folder.signer("ledger")
    return SQLiteStore.open(folder.database(), create=create, signers=lambda _: signer)


def identity_of(folder: NodeFolder, config: Config) -> Identity:
    """Who the node is."""
    return Identity(
        party=config.party,
        name=config.name,
        host=config.host,
        exercise=config.exercise,
        signer=folder.signer("node"),
    )


async def open_clock(store: Store, *, exercise: bool) -> RunningClock:
    """The clock: the machine's, or in an exercise the one that was set.

    It begins no earlier than the latest instant the node has written down: an act made just before
    would not count yet, and a stop would be open. A machine whose clock is further behind than
    ``CLOCK_BEHIND_MS_MAX`` is refused (``Conflict``): the time would stand still for so long that
    nothing would lapse or expire when it should.
    """
    kept, latest = await store.read(lambda view: (view.meta("clock"), latest_us(view)))
    clock: RunningClock
    if exercise:
        set_us, real_us = (int(part) for part in kept.split()) if kept else (0, 0)
        clock = ExerciseClock(store, set_us, real_us, latest)
        now_us = ExerciseClock(store, set_us, real_us).now_us()
    else:
        clock, now_us = RunningClock(latest), RunningClock().now_us()
    if latest - now_us > CLOCK_BEHIND_MS_MAX * 1000:
        raise Conflict(
            "clock.behind",
            f"Expected a time from {time_text(latest // 1000)} on, the newest on record, got "
            f"{time_text(now_us // 1000)}.",
            hint="Set the machine's clock (NTP), then start again.",
        )
    return clock


async def outlived(
    work: Callable[[], Awaitable[object]], broken: Callable[[Broken], None], **about: str
) -> None:
    """Do what is done again and again, and come back whatever happens in it: it is logged, with
    what it is ``about``, and ``broken`` is told where an invariant does not hold."""
    try:
        await work()
    except DetenteError as error:
        log.error("failed", code=error.code, sentence=error.sentence, **about)
        if isinstance(error, Broken):
            broken(error)
    except Exception as error:  # else nothing of the kind would be done any more
        log.error("unforeseen", exc_info=error, **about)


class LinkWork:
    """Sources and sinks at work: starts what is due, so many of each at a time, and never waits
    for any. Sources whose servers are slow leave the sinks their room, and the other way round.

    ``at_work_max`` is 0 until the node serves: a command that opens a stopped node to ask it
    something must not begin to send.
    """

    def __init__(self, sources: Sources, sinks: Sinks, broken: Callable[[Broken], None]) -> None:
        self.at_work_max = 0
        self._broken = broken
        self._kinds: tuple[tuple[str, _Due, Callable[[str], Awaitable[object]]], ...] = (
            ("source", sources.due, sources.poll),
            ("sink", sinks.due, sinks.push),
        )
        self._tasks: dict[str, set[asyncio.Task[None]]] = {"source": set(), "sink": set()}

    def begin(self, now_us: int) -> None:
        """Start what is due, as far as there is room."""
        for use, due, work in self._kinds:
            tasks = self._tasks[use]
            for name in due(now_us)[: max(0, self.at_work_max - len(tasks))]:
                task = asyncio.create_task(self._work(use, name, work))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    async def _work(self, use: str, name: str, work: Callable[[str], Awaitable[object]]) -> None:
        # One link's fault must not end the others' work.
        await outlived(lambda: work(name), self._broken, use=use, name=name)

    async def stop(self) -> None:
        """Break off what is at work; each begins again from its last durable place."""
        tasks = [task for of_kind in self._tasks.values() for task in of_kind]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Node:
    """A node's services, joined. ``start`` before use, ``stop`` after."""

    def __init__(
        self, folder: NodeFolder, config: Config, store: Store, clock: RunningClock
    ) -> None:
        self.folder = folder
        self.config = config
        self.store = store
        self.clock = clock
        self.gate = Gate(clock)
        self.bell = Bell()
        self.book = Book(store, clock, identity_of(folder, config))
        self.outcomes = Outcomes(self.book)
        self.orders = Orders(self.book, self.gate, self.outcomes, self.bell.ring)
        self.delivery = Delivery(self.book, self.gate, self.outcomes, self.orders.tick)
        limits = Limits(body_bytes_max=config.body_bytes_max, objects_max=config.objects_max)
        self.intake = Intake(self.book, self.gate, limits, self.bell.ring)
        self.derives = Derives(self.book, self.gate, self.intake)
        self.ask = Ask(self.book, self.gate, self.outcomes)
        self.whys = Whys(self.book, self.gate, self.outcomes)
        self.openings = Openings(self.book, self.gate)
        self.review = Review(self.book, self.gate, self.bell.ring)
        self.recalls = Recalls(self.book, self.gate, self.bell.ring)
        self.courier = HTTPCourier()
        self.witness = Witness(self.book, self.courier, folder.signer("witness"))
        self.exchange = Exchange(self.book, self.orders, self.intake, self.witness, self.courier)
        self.desk = Desk(self.book, self.delivery, self.exchange)
        self.guard = Guard(store, clock, folder.text("token"), config.client_requests_per_minute)
        self._tasks: list[asyncio.Task[None]] = []
        links = LinkParts(
            book=self.book,
            gate=self.gate,
            caller=HTTPCaller(),
            secrets=FolderSecrets(folder),
            chance=secrets.SystemRandom().random,
        )
        self.sources = Sources(links, self.intake, page_bytes_max=config.body_bytes_max)
        self.sinks = Sinks(links, self.delivery)
        self.link_work = LinkWork(self.sources, self.sinks, self.gate.shut)

    async def start(self) -> None:
        """Fold, settle, and begin to watch the clock."""
        await self.book.load()
        await self.orders.start()
        await self.sources.load()
        await self.sinks.load()
        self._tasks.append(asyncio.create_task(self._watch()))
        if self.config.sync_ms:
            self._tasks.append(asyncio.create_task(self._sync()))

    async def _watch(self) -> None:
        async def begin() -> None:
            self.link_work.begin(self.clock.now_us())

        while True:
            await asyncio.sleep(TICK_S)
            # Time goes on and so must this loop; the gate does not clear past an instant that was
            # not folded, so nothing leaves meanwhile.
            await outlived(self.orders.tick, self.gate.shut, use="tick")
            await outlived(begin, self.gate.shut, use="links")

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(self.config.sync_ms / 1000)
            await outlived(self.exchange.sync_all, self.gate.shut, use="sync")

    async def stop(self) -> None:
        """End what runs beside and close the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.exchange.close()
        await self.link_work.stop()
        await self.orders.close()
        await self.courier.close()
        await self.outcomes.flush()
        await self.store.close()

    async def export(self, out: Path) -> dict[str, object]:
        """Write a copy of the record into a new folder: ledgers and signed documents, no
        contents. What it holds is told."""
        await self.outcomes.flush()
        try:
            if not out.is_absolute() or "\0" in str(out) or out.exists():
                raise Invalid("export.place", f"Expected a new folder by its full path, got {out}.")
            index = await self.store.read(
                lambda view: write_copy(view, out, self.config, self.book.agreements())
            )
        except OSError as error:
            raise Invalid(
                "export.place", f"Expected a place to write to, got {out}: {error.strerror}."
            ) from error
        return {
            "folder": str(out),
            "ledgers": len(index.ledgers),
            "documents": len(index.documents),
        }

    def app(self) -> ASGIApp:
        """All faces as one application."""
        secret = bytes.fromhex(self.folder.text("secret"))
        taxii = TAXII(
            TAXIIParts(
                gate=self.gate,
                delivery=self.delivery,
                intake=self.intake,
                recalls=self.recalls,
                bell=self.bell,
                store=self.store,
                guard=self.guard,
            ),
            self.config,
            self.clock,
            secret,
        )
        api = API(
            APIParts(
                config=self.config,
                store=self.store,
                book=self.book,
                orders=self.orders,
                intake=self.intake,
                ask=self.ask,
                effects=Effects(self.book, self.outcomes),
                review=self.review,
                recalls=self.recalls,
                derive=DeriveAPI(self.derives),
                exchange=self.exchange,
                guard=self.guard,
                whys=WhyAPI(self.whys, self.openings),
                links=LinkAPI(self.sources, self.sinks),
                clock=self.clock if isinstance(self.clock, ExerciseClock) else None,
                export=self.export,
            )
        )
        peer = Peer(self.desk, self.delivery, self.gate, self.witness, self.config)
        own = [
            Route("/healthz", self._health, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]
        return joined([*own, *taxii.routes(), *peer.routes(), *api.routes()])

    async def _health(self, _request: Request) -> Response:
        shut = self.gate.reason_shut()
        if shut is not None:
            return Response(shut.code, status_code=503)
        return Response("EXERCISE ok" if self.config.exercise else "ok")

    async def _metrics(self, _request: Request) -> Response:
        return metrics_response()


@contextlib.asynccontextmanager
async def open_node(folder: NodeFolder) -> AsyncIterator[Node]:
    """A node that has started but does not serve: for commands on a stopped node."""
    config = folder.config()
    store = open_store(folder)
    async with contextlib.AsyncExitStack() as failed:
        failed.push_async_callback(store.close)
        clock = await open_clock(store, exercise=config.exercise)
        failed.pop_all()
    node = Node(folder, config, store, clock)
    try:
        await node.start()
        yield node
    finally:
        await node.stop()


@contextlib.asynccontextmanager
async def running_node(
    folder: NodeFolder, listen: str | None = None
) -> AsyncIterator[tuple[Node, str]]:
    """A node that serves; gives it and its address. Ends in order when the block ends."""
    async with open_node(folder) as node:
        config = node.config
        host, port = config.address if listen is None else _address(listen)
        server = Server(node.app(), _settings(config, host, port))
        try:
            bound_host, bound_port = await server.start()
            scheme = "https" if config.tls_certificate else "http"
            address = f"{scheme}://{bound_host}:{bound_port}"
            folder.write_private("address", address.encode())
            node.link_work.at_work_max = config.links_at_work_max
            yield node, address
        finally:
            node.bell.close()
            await server.stop(grace_ms=5_000)
            (folder.path / "address").unlink(missing_ok=True)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not (host and port.isdigit()):
        raise Invalid("config.listen", f"Expected HOST:PORT, got {listen}.")
    return host, int(port)


def _settings(config: Config, host: str, port: int) -> ServerSettings:
    return ServerSettings(
        host=host,
        port=port,
        headers_ms=config.headers_ms,
        body_ms=config.body_ms,
        requests_max=config.requests_max,
        tls_certificate=config.tls_certificate,
        tls_key=config.tls_key,
        tls_client_ca=config.tls_client_ca,
    )


async def serve(folder: NodeFolder, told: Callable[[str], None], ended: asyncio.Event) -> None:
    """Serve until ``ended``; ``told`` hears the address once the node answers."""
    async with running_node(folder) as (_, address):
        told(address)
        await ended.wait()
