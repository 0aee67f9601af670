"""Site: one party's node in a simulated world, and the courier between two of them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Protocol

import msgspec

from detente.config import Config
from detente.errors import Conflict, Unavailable
from detente.gateway.ask import Ask
from detente.gateway.book import Book, Identity
from detente.gateway.deliver import Delivery, Nothing, Ready
from detente.gateway.derive import Derives
from detente.gateway.desk import Desk
from detente.gateway.exchange import Exchange
from detente.gateway.gate import Gate, Send
from detente.gateway.gather import PageAsk
from detente.gateway.intake import Intake
from detente.gateway.opening import Openings
from detente.gateway.order import Orders
from detente.gateway.outcomes import Outcomes
from detente.gateway.review import Review
from detente.gateway.why import Whys
from detente.gateway.witness import Witness
from detente.model import encode
from detente.ports import OtherSize
from detente.proof import Ed25519Signer
from detente.store.sqlite import SQLiteStore
from detente.testing.parts import PARTIES, Fault, SetClock
from detente.wire.stix import Limits

__all__ = ["Line", "Reading", "Site"]


class Surroundings(Protocol):
    """What a site needs of the world around it."""

    clock: SetClock
    sites: dict[str, Site]

    def next_fault(self, path: str) -> Fault | None: ...
    def complain(self, sentence: str) -> None: ...
    def left(self, sender: str, reader: str, body: bytes) -> None: ...
    async def restart(self, party: str) -> None: ...


class Line:
    """The connection of one open send."""

    def __init__(self) -> None:
        self.broken = False

    def cut(self) -> None:
        self.broken = True

    async def ended(self) -> None:
        """Nothing is under way in a simulated line."""


class Courier:
    """Carries requests by calling the partner's services; a fault holds for one request."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world

    async def post(self, address: str, path: str, body: bytes) -> bytes:
        world, party = self._world, address.removeprefix("sim://")
        fault = world.next_fault(path)
        gone = Unavailable("peer.unreachable", f"Expected an answer of {party}, got none.")
        if fault == "unreachable":
            raise gone
        site = world.sites[party]
        answer = await site.answer(path, body, fault)
        if fault == "twice":
            # A captured request is refused as a replay; nothing may come of it.
            with contextlib.suppress(Conflict):
                await site.answer(path, body, None)
                if path.startswith("/peer/"):
                    world.complain(f"{party} answered a replayed request to {path}")
        if fault == "crash":
            await world.restart(party)
        if fault in ("lost", "cut", "crash") or answer is None:
            raise gone
        return answer


class Site:
    """One party's node: the real services over a store in a folder."""

    def __init__(
        self, world: Surroundings, party: str, folder: Path, keys: dict[str, Ed25519Signer]
    ) -> None:
        self.world, self.party, self.keys = world, party, keys
        self.file = folder / "detente.db"
        self.config = Config(
            party=party,
            name=f"Service {party}",
            host=f"{party.lower()}.example",
            units=PARTIES[party],
        )

    async def open(self, *, create: bool = False) -> None:
        """Open the store and start the services as a node does."""
        if create:
            self.file.parent.mkdir(mode=0o700, parents=True)
        clock, keys, config = self.world.clock, self.keys, self.config
        self.store = SQLiteStore.open(self.file, create=create, signers=lambda _: keys["ledger"])
        self.gate = Gate(clock)
        me = Identity(
            party=config.party,
            name=config.name,
            host=config.host,
            exercise=False,
            signer=keys["node"],
        )
        self.book = Book(self.store, clock, me)
        self.outcomes = Outcomes(self.book)
        self.orders = Orders(self.book, self.gate, self.outcomes, _nothing)
        self.delivery = Delivery(self.book, self.gate, self.outcomes, self.orders.tick)
        self.intake = Intake(self.book, self.gate, Limits(), _nothing)
        self.review = Review(self.book, self.gate, _nothing)
        self.derives = Derives(self.book, self.gate, self.intake)
        self.ask = Ask(self.book, self.gate, self.outcomes)
        self.whys = Whys(self.book, self.gate, self.outcomes)
        self.openings = Openings(self.book, self.gate)
        courier = Courier(self.world)
        self.witness = Witness(self.book, courier, keys["witness"])
        self.exchange = Exchange(self.book, self.orders, self.intake, self.witness, courier)
        self.desk = Desk(self.book, self.delivery, self.exchange)
        await self.book.load()
        await self.orders.start()

    def abandoned(self) -> Path:
        """A copy of the files as they lie now. The log before the tables: what is carried over in
        between is in both then, never in neither."""
        number = int(self.file.parent.name) + 1
        folder = self.file.parent.with_name(str(number))
        folder.mkdir(mode=0o700)
        for tail in ("-wal", ""):
            source = self.file.with_name(self.file.name + tail)
            if source.exists():
                shutil.copy(source, folder / source.name)
        return folder

    async def answer(self, path: str, body: bytes, fault: Fault | None) -> bytes | None:
        """What the faces answer to a partner's gateway."""
        what = path.rpartition("/")[2]
        if what == "add-checkpoint":
            status, media, data = await self.witness.serve(body)
            if (status, media) == (409, "text/x.tlog.size"):
                raise OtherSize(int(data))
            if status != 200:  # as HTTP says it
                raise Conflict("witness.refused", f"Expected a cosignature, got {status}.")
            return data
        heard = await self.desk.hear(body, what)
        if what == "acts":
            return await self.desk.serve_acts(heard)
        if what == "receipts":
            return encode(await self.desk.serve_receipts(heard))
        if what == "notice":
            return encode(await self.desk.serve_notice(heard))
        ready = await self.desk.serve_page(heard)
        if isinstance(ready, Nothing):
            return b"{}" if ready.stopped is None else b'{"stopped":' + encode(ready.stopped) + b"}"
        ask = PageAsk(
            agreement=heard.agreement,
            collection=heard.collection or "",
            party=heard.sender,
            reader="peer",
            after_us=heard.after_us,
            limit=heard.limit,
            until_received=True,
        )
        return await self.finish(ready, ask, self.gate.open(ready.cleared, Line()), fault)

    async def finish(
        self, ready: Ready, ask: PageAsk, send: Send, fault: Fault | None = None
    ) -> bytes | None:
        """Write a page out, if it may still go, and book how it ended."""
        stands = ready.cleared.stands()
        whole = self.gate.done(send) and stands
        if whole:
            self.world.left(self.party, ask.party, ready.gathered.body)
        if fault != "crash":
            complete = whole and fault not in ("cut", "late")
            self.delivery.ended(ready.page, ready.gathered, ask, complete=complete)
            await self.outcomes.flush()
        return b"".join(ready.cleared.shipment.chunks) if whole else None


class Reading(msgspec.Struct, frozen=True):
    """A page under way to the reader."""

    site: Site
    ready: Ready
    ask: PageAsk
    send: Send


def _nothing(_agreement: str, _collection: str | None) -> None:
    """Nobody waits for news in the world."""
