"""World: the parties, their nodes, time and faults; every act of a history is a method."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from detente.faces.documents import charter_of, key_card, new_envelope
from detente.gateway.deliver import Nothing
from detente.gateway.draft import AssuranceDraft, DirectiveDraft, draft_assurance, draft_directive
from detente.gateway.exchange import SyncReport
from detente.gateway.gather import PageAsk
from detente.gateway.intake import Publication
from detente.gateway.order import Enacted
from detente.gateway.review import Verdict
from detente.model import Charter, Choice, Condition, Directive, Scope, Withdrawal
from detente.model.directive import DirectiveVerb
from detente.proof import Ed25519Signer, Envelope, add_signature
from detente.testing.parts import (
    AGREEMENT,
    BEGIN_MS,
    DAY_MS,
    PARTIES,
    READER,
    SEATS,
    SIGNERS,
    TEMPLATE,
    Fault,
    Item,
    Ordered,
    Promised,
    Said,
    collection_of,
    id_of,
    objects_of,
    other_of,
    scope_of,
    stix_bytes,
    terms_of,
)
from detente.testing.rows import Rows
from detente.testing.site import Line, Reading, Site

__all__ = ["World"]


class World(Rows):
    """Two parties, B and W, with a node each, and K, who reads what B sends by TAXII.

    Kinds: VT (expires after six hours in hold), VI and FI (released on resumption), PE (reviewed),
    SL (exempt). Every act takes one millisecond, so that no two fall on one instant. What a node
    refuses is raised as it is and changes nothing in the world's own rows.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.keys: dict[str, dict[str, Ed25519Signer]] = {}
        self.sites: dict[str, Site] = {}
        self.charters: dict[str, Envelope] = {}
        self._faults: list[tuple[str, Fault]] = []
        self._reading: list[Reading] = []
        self._cursor_us = 0
        self._number = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, folder: Path, *, agreed: bool = True) -> AsyncIterator[World]:
        """A new world in an empty folder; its nodes end with the block. Unless ``agreed``, the
        parties know each other's charters and no more."""
        world = cls(folder)
        for party, units in {**PARTIES, READER: ("K-CG",)}.items():
            world.keys[party] = keys_of_party()
            charter = charter_of_party(party, units, world.keys[party])
            world.charters[party] = world.sign("charter", charter, party, "head-1", "head-2")
        try:
            for party in PARTIES:
                site = Site(world, party, folder / party / "1", world.keys[party])
                world.sites[party] = site
                await site.open(create=True)
                for signed in world.charters.values():
                    await site.orders.import_charter(signed.encode())
            if agreed:
                await world.agree(world.signed_agreement())
            yield world
        finally:
            for site in world.sites.values():
                await site.store.close()

    # --- documents -------------------------------------------------------------------------

    def sign(
        self, use: str, record: msgspec.Struct, party: str, *names: str, exercise: bool = False
    ) -> Envelope:
        """A document signed by keys of a party."""
        envelope = new_envelope(use, record, exercise=exercise)
        for name in names:
            envelope = add_signature(envelope, self.keys[party][name])
        return envelope

    def signed_agreement(self, *parties: str) -> Envelope:
        """The agreement, signed by the heads of these parties; of all, if none is named."""
        envelope = new_envelope("agreement", terms_of(self.charters), exercise=False)
        for party in parties or tuple(self.charters):
            envelope = add_signature(envelope, self.keys[party]["head-1"])
        return envelope

    async def agree(self, envelope: Envelope) -> None:
        """Open the agreement on both nodes and make the partners known to each other."""
        for party, site in self.sites.items():
            await site.orders.import_agreement(envelope.encode())
            for other in self.sites:
                if other != party:
                    await site.exchange.add_peer(other, AGREEMENT, f"sim://{other}")
        self.clock.advance(1)

    def draft(self, said: Said) -> Directive:
        """The directive that says it, on the issuer's standing now."""
        scope = scope_of(said)
        now = self.now_ms()
        start = now + 1 + said.starts_in_ms if said.starts_in_ms else None
        end = None if said.lasts_ms is None else (start or now + 1) + said.lasts_ms
        assured = said.assured or said.verb == "condition"
        drafted = DirectiveDraft(
            agreement=AGREEMENT,
            id=said.id,
            verb=said.verb,
            office="duty" if said.verb == "halt" else "head",
            reason="Ordered in a simulated world",
            scope=scope,
            remains=Scope(kind=Choice.of(*said.remains)) if said.verb == "narrow" else None,
            conditions=(Condition(template=TEMPLATE, scope=scope),) if assured else (),
            supersedes=said.supersedes,
            start_ms=start,
            end_ms=end,
            review_ms=None if said.verb == "resume" else now + 30 * DAY_MS,
            # Histories stop everything, and what is exempt, on purpose.
            acknowledged=("L16", "L17"),
        )
        standing = self.sites[said.issuer].book.standing(AGREEMENT, now)
        return draft_directive(
            drafted, standing, party=said.issuer, exercise=False, now_ms=now, nonce=self._nonce()
        )

    def _nonce(self) -> str:
        self._number += 1
        return f"{self._number:032x}"

    # --- acts ------------------------------------------------------------------------------

    async def order(self, said: Said, *by: str) -> Enacted:
        """Draft, sign and enact an order on its issuer's node."""
        directive = self.draft(said)
        names = by or SIGNERS[said.verb]
        envelope = self.sign("directive", directive, said.issuer, *names)
        async with self._step():
            now = self.now_ms()
            enacted = await self.sites[said.issuer].orders.enact(envelope.encode())
            self.ordered.append(
                Ordered(
                    said=said,
                    digest=enacted.digest,
                    since_ms=max(now, directive.start_ms or 0),
                    end_ms=directive.end_ms,
                )
            )
            starts = directive.start_ms is not None and directive.start_ms > now
            if enacted.state != ("coming" if starts else "in-force"):
                self.complain(f"{said.id} was answered {enacted.state}")
        return enacted

    def _said(self, party: str, verb: DirectiveVerb, more: dict[str, object]) -> Said:
        self._number += 1
        fields = {"id": f"D{self._number}", "issuer": party, "verb": verb, **more}
        return msgspec.convert(fields, Said)

    async def halt(self, party: str, **more: object) -> Enacted:
        """One officer's emergency stop, for a day unless ``lasts_ms`` says less."""
        return await self.order(self._said(party, "halt", {"lasts_ms": DAY_MS, **more}))

    async def suspend(self, party: str, **more: object) -> Enacted:
        """A stop by quorum; ``more`` are fields of the order (kinds, units, …)."""
        return await self.order(self._said(party, "suspend", more))

    async def narrow(self, party: str, **more: object) -> Enacted:
        """A stop of all but the kinds in ``remains``."""
        return await self.order(self._said(party, "narrow", more))

    async def condition(self, party: str, **more: object) -> Enacted:
        """Let pass under an assurance only."""
        return await self.order(self._said(party, "condition", more))

    async def resume(self, party: str, *ids: str, **more: object) -> Enacted:
        """End these orders; all in force of this party, if none is named."""
        ids = ids or tuple(
            one.said.id
            for one in self.ordered
            if one.said.issuer == party and self.in_force(one, party, self.now_ms() + 1)
        )
        return await self.order(self._said(party, "resume", {"supersedes": ids, **more}))

    async def assure(
        self, giver: str, holder: str, kinds: tuple[str, ...], *, lasts_ms: int = 30 * DAY_MS
    ) -> Enacted:
        """Give an assurance; it is recorded on the giver's node, or, where the giver has none,
        brought to every node by hand: a partner passes on its own acts only."""
        site, *others = self._homes(giver)
        drafted = AssuranceDraft(
            agreement=AGREEMENT,
            id=f"P{self._number + 1}",
            template=TEMPLATE,
            holder=holder,
            office="head",
            kinds=kinds,
            lasts_ms=lasts_ms,
        )
        standing = site.book.standing(AGREEMENT, self.now_ms())
        assurance = draft_assurance(
            drafted,
            standing,
            party=giver,
            exercise=False,
            now_ms=self.now_ms(),
            nonce=self._nonce(),
        )
        envelope = self.sign("assurance", assurance, giver, "head-1")
        async with self._step():
            enacted = await site.orders.import_assurance(envelope.encode())
            for other in others:
                await other.orders.import_assurance(envelope.encode())
            self.promised.append(
                Promised(
                    id=assurance.id,
                    giver=giver,
                    holder=holder,
                    kinds=kinds,
                    digest=enacted.digest,
                    since_ms=self.now_ms(),
                    until_ms=assurance.until_ms,
                )
            )
        return enacted

    def _homes(self, party: str) -> list[Site]:
        """The nodes on which a party's acts are recorded first."""
        return [self.sites[party]] if party in self.sites else list(self.sites.values())

    async def withdraw(self, assurance: str) -> Enacted:
        """Take an assurance back."""
        promised = next(one for one in self.promised if one.id == assurance)
        site, *others = self._homes(promised.giver)
        document = Withdrawal(
            id=f"X{self._number + 1}",
            agreement=AGREEMENT,
            assurance=assurance,
            giver=promised.giver,
            office="head",
            nonce=self._nonce(),
        )
        envelope = self.sign("withdrawal", document, promised.giver, "head-1")
        async with self._step():
            enacted = await site.orders.import_withdrawal(envelope.encode())
            for other in others:
                await other.orders.import_withdrawal(envelope.encode())
            promised.taken_back = enacted.digest
        return enacted

    # --- items -----------------------------------------------------------------------------

    async def publish(self, party: str, kind: str, unit: str, n: int = 1) -> tuple[str, ...]:
        """Publish ``n`` new items; their ids, once they are acknowledged."""
        raws = []
        for _ in range(n):
            self._number += 1
            raws.append(stix_bytes(party, self._number))
        body = b'{"type":"bundle","objects":[' + b" , ".join(raws) + b"]}"
        publication = Publication(
            agreement=AGREEMENT,
            collection=collection_of(party),
            party=party,
            body=body,
            kind=kind,
            purpose="interdiction",
            grade="admiralty:B2",
            unit=unit,
        )
        async with self._step():
            published = await self.sites[party].intake.publish(publication)
            for name, raw in zip(published.ids, raws, strict=True):
                self.items.append(
                    Item(id=name, raw=raw, sender=party, kind=kind, unit=unit, at_ms=self.now_ms())
                )
        return published.ids

    async def review(
        self, item: str, reader: str, verdict: Literal["refuse", "release"], *, code: str = ""
    ) -> None:
        """Release or refuse one waiting item."""
        party = next(one.sender for one in self.items if one.id == item)
        async with self._step():
            await self.sites[party].review.decide(
                AGREEMENT,
                Verdict(item=item, party=reader, verdict=verdict, by="head", code=code),
            )
            if verdict == "refuse":
                self.refused[item, reader] = self.now_ms()

    async def sync(self, party: str, limit: int = 1000) -> SyncReport:
        """One exchange that ``party`` begins with its partner."""
        partner = other_of(party)
        async with self._step():
            report = await self.sites[party].exchange.sync(partner, AGREEMENT, limit=limit)
            if report.refused:
                self.complain(f"{party} refused acts of {partner}: {report.refused}")
            stayed = [i for i in self.items if i.sender == partner and self.stopped(i, party)]
            if stayed and not (report.pages or report.stopped) and not self.got_all(party, stayed):
                self.complain(f"{party} was told nothing though {len(stayed)} items wait for it")
        return report

    async def notify(self, party: str) -> dict[str, str]:
        """Bring this party's acts to its partner."""
        async with self._step():
            return await self.sites[party].exchange.notify(AGREEMENT)

    async def exchange(self, limit: int = 1000) -> None:
        """Both ask both, without faults, until there is nothing more to say."""
        self._faults.clear()
        for party in (*PARTIES, *PARTIES):
            await self.sync(party, limit)
        self.settled = True

    async def read(self, limit: int = 100) -> tuple[str, ...]:
        """One page for K, at its cursor; the ids it got."""
        if not await self.begin_read(limit):
            return ()
        return await self.end_read()

    async def begin_read(self, limit: int = 100) -> bool:
        """Open a page for K without writing it out; False if there is none."""
        ask = PageAsk(
            agreement=AGREEMENT,
            collection=collection_of("B"),
            party=READER,
            reader="k-client",
            after_us=self._cursor_us,
            limit=limit,
        )
        async with self._step():
            site = self.sites["B"]
            ready = await site.delivery.page(ask, lambda sheet: _plain(sheet.gathered.body))
            if isinstance(ready, Nothing):
                stayed = [i for i in self.items if i.sender == "B" and self.stopped(i, READER)]
                if stayed and ready.stopped is None and not self.got_all(READER, stayed):
                    self.complain(f"K was told nothing though {len(stayed)} items wait for it")
                return False
            send = site.gate.open(ready.cleared, Line())
            self._reading.append(Reading(site, ready, ask, send))
            return True

    def reading(self) -> int:
        """How many pages for K are open."""
        return len(self._reading)

    async def end_read(self) -> tuple[str, ...]:
        """Write out the oldest open page, unless it was cut; the ids that came."""
        reading = self._reading.pop(0)
        async with self._step():
            body = await reading.site.finish(reading.ready, reading.ask, reading.send)
            if body is None:
                return ()
            self.got += objects_of(body)
            self._cursor_us = max(self._cursor_us, reading.ready.gathered.until.us)
            return tuple(id_of(raw) for raw in objects_of(body))

    # --- time and faults -------------------------------------------------------------------

    async def advance(self, ms: int) -> None:
        """Let time pass."""
        self.clock.advance(ms)
        await self._look()

    async def crash(self, party: str) -> None:
        """A node dies between two acts and comes back from its files."""
        async with self._step():
            await self.restart(party)

    async def restart(self, party: str) -> None:
        """Abandon a node as it stands and open a copy of its files."""
        old = self.sites[party]
        self._reading = [one for one in self._reading if one.site is not old]
        new = Site(self, party, old.abandoned(), old.keys)
        await old.store.close()
        await new.open()
        self.sites[party] = new

    def fail(self, fault: Fault, *, path: str = "") -> None:
        """Let the next request (to a path that ends so) go wrong."""
        self._faults.append((path, fault))

    def next_fault(self, path: str) -> Fault | None:
        """The fault that meets this request, used up by it."""
        for number, (end, fault) in enumerate(self._faults):
            if path.endswith(end):
                del self._faults[number]
                return fault
        return None

    # --- the world's own rows --------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _step(self) -> AsyncIterator[None]:
        self.clock.advance(1)
        self.settled = False
        try:
            yield
        finally:
            await self._look()

    async def _look(self) -> None:
        """Let every node do what is due, and note which acts it has learnt by now."""
        for party, site in self.sites.items():
            await site.orders.tick()
            rows = await site.store.read(lambda view: view.acts(AGREEMENT))
            known = self.known.setdefault(party, {})
            for row in rows:
                known.setdefault(row.doc, self.now_ms())


def keys_of_party() -> dict[str, Ed25519Signer]:
    """New keys for a party's node and for every seat in its offices."""
    seats = [f"{office}-{i + 1}" for office, count in SEATS.items() for i in range(count)]
    names = ("node", "ledger", "witness", *seats)
    return {name: Ed25519Signer(Ed25519PrivateKey.generate()) for name in names}


def charter_of_party(party: str, units: tuple[str, ...], keys: dict[str, Ed25519Signer]) -> Charter:
    """A party's charter; one that only reads names no node."""
    cards = {
        office: tuple(
            key_card(key, f"{party} {name}")
            for name, key in keys.items()
            if name.partition("-")[0] == office
        )
        for office in SEATS
    }
    public = [keys[name].public for name in ("node", "ledger", "witness")]
    host = f"{party.lower()}.example"
    node = (host, public[0], public[1], public[2]) if party in PARTIES else None
    named = (party, f"Service {party}", units, False)
    return charter_of(named, cards, (("head",), 2), node, BEGIN_MS + 3650 * DAY_MS)


async def _plain(body: bytes) -> tuple[bytes, ...]:
    return (body,)
