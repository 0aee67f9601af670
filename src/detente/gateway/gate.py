"""The gate: the one door through which anything leaves.

Only this module makes a ``Cleared``, and senders accept nothing else. A ``Cleared`` is bound to
the epoch of the standing it was decided under and to the instant up to which that standing can
be trusted; it is asked again before every piece that is written. The gate also keeps the register
of open sends, so that a restricting order can cut those that carry what it covers.

The barrier of one node, in this order (each step's reason stands at its line):

1. ``begin``   the new standing is taken; nothing is cleared under the old one any more, and
               nothing at all until the feeds have been brought to the new one.
2. ``cut``     open sends that carry covered handlings are reset, and it is waited until their
               connections are gone.
3. ``settle``  the feeds stand as the new standing says; clearing goes on.

Only after 2 may anybody be told that the order is in force. A crash between the steps leaves the
act in the ledger; starting folds it again and brings every feed to it before the first page.

Everything here runs on the event loop's thread; there is no lock because nothing awaits inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from detente.errors import Broken, Conflict, Unavailable
from detente.ports import Breaker, Clock
from detente.rules.standing import Standing

__all__ = ["Cleared", "Current", "Cut", "Gate", "Send", "Shipment"]

#: More open sends than this on one node means clients that do not read: refuse new ones.
SENDS_MAX = 20_000


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """The standing of one agreement on this node, with its number and how many acts it is
    folded from."""

    agreement: str
    epoch: int
    acts: int
    standing: Standing


class Shipment(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to leave: which page of which feed, its bytes in pieces, and what is in it.

    ``log`` and ``index`` name the page's entry in the ledger, written before this exists.
    ``recalls`` is how many recalls its collection had seen when it was gathered.
    """

    agreement: str
    collection: str
    party: str
    log: str
    index: int
    until_us: int
    handlings: frozenset[int]
    chunks: tuple[bytes, ...]
    recalls: int = 0


class _Seal:
    """Held by this module alone, so that nobody else makes a ``Cleared`` by accident."""


_SEAL = _Seal()


class Cleared:
    """Leave for one shipment to one party, under one epoch.

    Not made but by ``Gate.clear``. ``stands`` is asked before every piece that is written.
    """

    __slots__ = ("epoch", "shipment", "stands")

    def __init__(
        self,
        seal: _Seal,
        shipment: Shipment,
        epoch: int,
        stands: Callable[[Cleared], bool],
    ) -> None:
        if seal is not _SEAL:
            raise Broken("gate.forged", "Expected the gate to clear, got another maker.")
        self.shipment = shipment
        self.epoch = epoch
        self.stands: Callable[[], bool] = lambda: stands(self)


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """A send that was cut: the page whose bytes may or may not have arrived."""

    log: str
    index: int


class Send:
    """An open send in the register. ``cut`` is set once it has been broken off."""

    __slots__ = ("breaker", "cleared", "cut")

    def __init__(self, cleared: Cleared, breaker: Breaker) -> None:
        self.cleared = cleared
        self.breaker = breaker
        self.cut = False


class Gate:
    """Holds the current standings, clears shipments and keeps the register of open sends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._current: dict[str, Current] = {}
        self._closing: dict[str, asyncio.Event] = {}
        self._sends: dict[int, Send] = {}
        self._recalls: dict[str, int] = {}
        self._shut: Broken | None = None

    # --- what is current -----------------------------------------------------------------

    def current(self, agreement: str) -> Current | None:
        """The standing in use for an agreement, or None if it has none."""
        return self._current.get(agreement)

    def agreements(self) -> tuple[str, ...]:
        """The ids of all agreements this node has a standing for."""
        return tuple(self._current)

    def overdue(self, agreement: str) -> bool:
        """True if the clock has reached an instant at which the standing changes by itself."""
        current = self._current.get(agreement)
        if current is None or current.standing.next_ms is None:
            return False
        return self._clock.now_us() >= current.standing.next_ms * 1000

    def closing(self, agreement: str) -> bool:
        """True from ``begin`` to ``settle``."""
        return agreement in self._closing

    async def settled(self, agreement: str) -> None:
        """Wait while the agreement's standing is being changed."""
        event = self._closing.get(agreement)
        if event is not None:
            await event.wait()

    # --- clearing ------------------------------------------------------------------------

    def clear(self, shipment: Shipment, *, epoch: int) -> Cleared:
        """Give leave for a shipment that was decided under ``epoch``.

        Raises ``Conflict`` (``gate.moved``) if that epoch is over or its standing changes by the
        clock now: decide again. Raises ``Broken`` if the gate is shut.
        """
        if self._shut is not None:
            raise self._shut
        current = self._current.get(shipment.agreement)
        if (
            current is None
            or current.epoch != epoch
            or shipment.agreement in self._closing
            or self.overdue(shipment.agreement)
            or self._outdated(shipment)
        ):
            raise Conflict("gate.moved", f"Expected epoch {epoch} to be current, got another.")
        return Cleared(_SEAL, shipment, epoch, self._stands)

    def _stands(self, cleared: Cleared) -> bool:
        # A later epoch may leave a shipment untouched, so the epoch alone does not undo a
        # clearance that is in the register: what a new standing covers has been cut (``cut``).
        # What the clock changes warns nobody, so it is asked every time.
        agreement = cleared.shipment.agreement
        if self._shut is not None or self.overdue(agreement):
            return False
        send = self._sends.get(id(cleared))
        if send is not None:
            return not send.cut
        current = self._current.get(agreement)
        same = current is not None and current.epoch == cleared.epoch
        return same and not self._outdated(cleared.shipment)

    def open(self, cleared: Cleared, breaker: Breaker) -> Send:
        """Enter a send into the register before its first byte is written."""
        if len(self._sends) >= SENDS_MAX:
            raise Unavailable("gate.busy", f"Expected fewer than {SENDS_MAX} open sends.")
        # The clearance may be older than this call: between the two an order may have begun.
        current = self._current.get(cleared.shipment.agreement)
        moved = current is None or current.epoch != cleared.epoch
        if moved or cleared.shipment.agreement in self._closing or not cleared.stands():
            raise Conflict("gate.moved", "Expected the clearance to stand, got a newer epoch.")
        if id(cleared) in self._sends:
            # The register would forget the first, and no order could cut it any more.
            raise Broken("gate.twice", "Expected one send for a clearance, got a second.")
        send = Send(cleared, breaker)
        self._sends[id(cleared)] = send
        return send

    def _outdated(self, shipment: Shipment) -> bool:
        """True if something was taken back since the shipment was gathered."""
        return shipment.recalls < self._recalls.get(shipment.collection, 0)

    def done(self, send: Send) -> bool:
        """Take a send off the register; True if it ended by itself, False if it was cut."""
        self._sends.pop(id(send.cleared), None)
        return not send.cut

    def sends(self) -> int:
        """How many sends are open."""
        return len(self._sends)

    # --- the barrier ---------------------------------------------------------------------

    def begin(self, current: Current) -> None:
        """Step 1: take the new standing. From here nothing is cleared until ``settle``.

        Raises ``Broken`` if the epoch would run backwards, and shuts the gate.
        """
        known = self._current.get(current.agreement)
        if known is not None and current.epoch <= known.epoch:
            self.shut(Broken("gate.epoch", f"Expected an epoch above {known.epoch}."))
            raise Broken("gate.epoch", f"Expected above {known.epoch}, got {current.epoch}.")
        self._current[current.agreement] = current
        self._closing.setdefault(current.agreement, asyncio.Event())

    async def cut(
        self, agreement: str, covered: Callable[[Shipment], bool], *, clock: bool = False
    ) -> tuple[Cut, ...]:
        """Step 2: reset open sends that carry what is covered; return when they are gone.

        ``clock`` cuts also those whose clearance the clock has ended.
        """
        hit = [
            send
            for send in self._sends.values()
            if send.cleared.shipment.agreement == agreement
            and (covered(send.cleared.shipment) or (clock and not send.cleared.stands()))
        ]
        for send in hit:
            send.cut = True
            send.breaker.cut()
        # Not before the connection is gone is it certain that no byte follows: what the server
        # had taken but not written would otherwise still leave.
        await asyncio.gather(*(send.breaker.ended() for send in hit))
        return tuple(
            Cut(log=send.cleared.shipment.log, index=send.cleared.shipment.index) for send in hit
        )

    async def recall(
        self, agreement: str, collection: str, recalls: int, handlings: frozenset[int]
    ) -> None:
        """Something of these handlings was taken back, as the collection's recall of this number:
        no page gathered before leaves from here on, and those under way are broken off."""
        self._recalls[collection] = max(recalls, self._recalls.get(collection, 0))
        await self.cut(
            agreement,
            lambda s: (
                s.collection == collection and s.recalls < recalls and bool(s.handlings & handlings)
            ),
        )

    def settle(self, agreement: str) -> None:
        """Step 3: the feeds stand as the standing says; clear again."""
        event = self._closing.pop(agreement, None)
        if event is not None:
            event.set()

    def shut(self, reason: Broken) -> None:
        """Close for good: an invariant does not hold, so nothing leaves (fail closed)."""
        if self._shut is None:
            self._shut = reason
        for send in self._sends.values():
            send.cut = True
            send.breaker.cut()
        # Who waits for a change shall be told, not wait for ever; nothing is cleared for them.
        for event in self._closing.values():
            event.set()

    def reason_shut(self) -> Broken | None:
        """Why the gate is shut for good, or None."""
        return self._shut
