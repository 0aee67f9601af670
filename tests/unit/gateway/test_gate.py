"""The gate: what may leave, what stops it, and what is waited for before anybody is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from detente.errors import Broken, Conflict, DetenteError, Unavailable
from detente.gateway import gate as gate_module
from detente.gateway.gate import Cleared, Current, Cut, Gate, Shipment
from detente.rules.standing import Standing, fold
from detente.testing.parts import SetClock

NOW_MS = 1_000_000
STANDING = fold([], NOW_MS)


class Wire:
    """A connection that is gone when the test says so."""

    def __init__(self) -> None:
        self.broken = False
        self.gone = asyncio.Event()

    def cut(self) -> None:
        self.broken = True

    async def ended(self) -> None:
        await self.gone.wait()


def standing(next_ms: int | None = None) -> Standing:
    return msgspec.structs.replace(STANDING, next_ms=next_ms)


def current(epoch: int = 1, *, agreement: str = "A1", next_ms: int | None = None) -> Current:
    return Current(agreement=agreement, epoch=epoch, acts=3, standing=standing(next_ms))


def shipment(*handlings: int, agreement: str = "A1", index: int = 7) -> Shipment:
    return Shipment(
        agreement=agreement,
        collection=f"{agreement}/c",
        party="B",
        log="l",
        index=index,
        until_us=1,
        handlings=frozenset(handlings),
        chunks=(b"x",),
    )


def settled(epoch: int = 1, *, next_ms: int | None = None, clock: SetClock | None = None) -> Gate:
    made = Gate(clock or SetClock(NOW_MS))
    made.begin(current(epoch, next_ms=next_ms))
    made.settle("A1")
    return made


def code_of(kind: type[DetenteError], work: Callable[[], object]) -> str:
    with pytest.raises(kind) as found:
        work()
    return found.value.code


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 30))


def everything(_: Shipment) -> bool:
    return True


def nothing(_: Shipment) -> bool:
    return False


# --- clearing -------------------------------------------------------------------------------------


def test_nobody_else_makes_a_cleared() -> None:
    def always(_: Cleared) -> bool:
        return True

    for seal in (None, object(), gate_module._Seal()):
        assert code_of(Broken, lambda s=seal: Cleared(s, shipment(1), 1, always)) == "gate.forged"


def test_cleared_says_what_it_was_cleared_for() -> None:
    gate = settled(4)
    asked = shipment(1, 2)
    cleared = gate.clear(asked, epoch=4)
    assert (cleared.shipment, cleared.epoch, cleared.stands()) == (asked, 4, True)
    assert gate.current("A1") == current(4)
    assert gate.agreements() == ("A1",)


@pytest.mark.parametrize("epoch", [0, 1, 3, 2**40])
def test_nothing_is_cleared_under_another_epoch(epoch: int) -> None:
    assert code_of(Conflict, lambda: settled(2).clear(shipment(), epoch=epoch)) == "gate.moved"


def test_nothing_is_cleared_without_a_standing() -> None:
    gate = settled()
    assert gate.current("A2") is None
    assert not gate.overdue("A2")
    other = shipment(agreement="A2")
    assert code_of(Conflict, lambda: gate.clear(other, epoch=1)) == "gate.moved"


def test_nothing_is_cleared_between_begin_and_settle() -> None:
    gate = settled()
    gate.begin(current(2))
    for epoch in (1, 2):
        assert code_of(Conflict, lambda e=epoch: gate.clear(shipment(), epoch=e)) == "gate.moved"
    gate.settle("A1")
    assert gate.clear(shipment(), epoch=2).stands()
    assert code_of(Conflict, lambda: gate.clear(shipment(), epoch=1)) == "gate.moved"


def test_closing_one_agreement_leaves_the_others_open() -> None:
    gate = settled()
    gate.begin(current(agreement="A2"))
    assert gate.clear(shipment(), epoch=1).stands()
    gate.settle("A2")
    assert gate.clear(shipment(agreement="A2"), epoch=1).stands()


@pytest.mark.parametrize(("ahead_ms", "overdue"), [(2, False), (1, False), (0, True), (-1, True)])
def test_clearing_ends_at_the_instant_at_which_the_standing_changes(
    ahead_ms: int, overdue: bool
) -> None:
    gate = settled(next_ms=NOW_MS + ahead_ms)
    assert gate.overdue("A1") is overdue
    if overdue:
        assert code_of(Conflict, lambda: gate.clear(shipment(), epoch=1)) == "gate.moved"
    else:
        assert gate.clear(shipment(), epoch=1).stands()


def test_the_clock_ends_a_clearance_that_is_under_way_without_being_asked() -> None:
    clock = SetClock(NOW_MS)
    gate = settled(next_ms=NOW_MS + 10, clock=clock)
    waiting, sent = gate.clear(shipment(1), epoch=1), gate.clear(shipment(1), epoch=1)
    gate.open(sent, Wire())
    clock.advance(9)
    assert waiting.stands()
    assert sent.stands()
    clock.advance(1)
    assert not waiting.stands()
    assert not sent.stands()
    assert code_of(Conflict, lambda: gate.open(waiting, Wire())) == "gate.moved"


# --- the register ---------------------------------------------------------------------------------


def test_send_is_not_opened_once_an_order_has_begun_or_settled() -> None:
    gate = settled()
    cleared = gate.clear(shipment(1), epoch=1)
    gate.begin(current(2))
    assert not cleared.stands()
    assert code_of(Conflict, lambda: gate.open(cleared, Wire())) == "gate.moved"
    gate.settle("A1")
    assert code_of(Conflict, lambda: gate.open(cleared, Wire())) == "gate.moved"
    assert gate.sends() == 0


def test_send_leaves_the_register_when_it_is_done() -> None:
    gate = settled()
    send = gate.open(gate.clear(shipment(1), epoch=1), Wire())
    assert gate.sends() == 1
    assert gate.done(send)
    assert gate.sends() == 0
    assert gate.done(send)


def test_clearance_serves_for_one_send() -> None:
    gate = settled()
    cleared = gate.clear(shipment(1), epoch=1)
    first = gate.open(cleared, Wire())
    assert code_of(Broken, lambda: gate.open(cleared, Wire())) == "gate.twice"
    assert gate.sends() == 1
    assert gate.done(first)


def test_register_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "SENDS_MAX", 2)
    gate = settled()
    sends = [gate.open(gate.clear(shipment(1), epoch=1), Wire()) for _ in range(2)]
    third = gate.clear(shipment(1), epoch=1)
    assert code_of(Unavailable, lambda: gate.open(third, Wire())) == "gate.busy"
    gate.done(sends[0])
    assert gate.open(third, Wire()).cleared is third


# --- the barrier ----------------------------------------------------------------------------------


def test_cut_breaks_what_is_covered_and_waits_until_it_is_gone() -> None:
    async def story() -> None:
        gate = settled()
        hit, left, foreign = Wire(), Wire(), Wire()
        covered = gate.open(gate.clear(shipment(1, 2, index=1), epoch=1), hit)
        spared = gate.open(gate.clear(shipment(3, index=2), epoch=1), left)
        gate.begin(current(agreement="A2"))
        gate.settle("A2")
        other = gate.open(gate.clear(shipment(1, agreement="A2", index=3), epoch=1), foreign)
        gate.begin(current(2))
        cutting = asyncio.create_task(gate.cut("A1", lambda s: bool(s.handlings & {2})))
        for _ in range(10):
            await asyncio.sleep(0)
        # The connection is broken, but until it is gone a byte could follow: nobody is told.
        assert (hit.broken, left.broken, foreign.broken) == (True, False, False)
        assert not cutting.done()
        assert not covered.cleared.stands()
        assert spared.cleared.stands()
        assert other.cleared.stands()
        hit.gone.set()
        assert await cutting == (Cut(log="l", index=1),)
        assert (gate.done(covered), gate.done(spared), gate.done(other)) == (False, True, True)

    play(story)


def test_send_that_is_not_covered_goes_on_under_the_next_epoch() -> None:
    async def story() -> None:
        gate = settled()
        send = gate.open(gate.clear(shipment(3), epoch=1), Wire())
        for epoch in (2, 3):
            gate.begin(current(epoch))
            assert await gate.cut("A1", nothing) == ()
            assert send.cleared.stands()
            gate.settle("A1")
        assert send.cleared.stands()
        assert gate.done(send)
        # Off the register nobody could cut it any more.
        assert not send.cleared.stands()

    play(story)


def test_cut_by_the_clock_takes_what_the_clock_has_ended() -> None:
    async def story() -> None:
        clock = SetClock(NOW_MS)
        gate = settled(next_ms=NOW_MS + 5, clock=clock)
        wire = Wire()
        wire.gone.set()
        send = gate.open(gate.clear(shipment(3), epoch=1), wire)
        clock.advance(5)
        assert await gate.cut("A1", nothing) == ()
        assert [cut.index for cut in await gate.cut("A1", nothing, clock=True)] == [7]
        assert wire.broken
        assert not gate.done(send)

    play(story)


def test_settled_waits_for_the_agreement_that_is_closing_and_for_no_other() -> None:
    async def story() -> None:
        gate = settled()
        await gate.settled("A1")
        gate.begin(current(2))
        await gate.settled("A2")
        waiting = asyncio.create_task(gate.settled("A1"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        gate.settle("A1")
        await waiting

    play(story)


def test_two_changes_in_a_row_open_the_gate_after_the_last() -> None:
    gate = settled()
    gate.begin(current(2))
    gate.begin(current(3))
    gate.settle("A1")
    assert gate.clear(shipment(), epoch=3).stands()
    assert code_of(Conflict, lambda: gate.clear(shipment(), epoch=2)) == "gate.moved"


@pytest.mark.parametrize("epoch", [5, 4, 0])
def test_epoch_that_does_not_grow_shuts_the_gate(epoch: int) -> None:
    gate = settled(5)
    wire = Wire()
    cleared = gate.clear(shipment(1), epoch=5)
    gate.open(cleared, wire)
    assert code_of(Broken, lambda: gate.begin(current(epoch))) == "gate.epoch"
    assert gate.current("A1") == current(5)
    assert wire.broken
    assert not cleared.stands()
    reason = gate.reason_shut()
    assert reason is not None
    assert reason.code == "gate.epoch"


# --- shut -----------------------------------------------------------------------------------------


def test_shut_gate_clears_nothing_ever_again_and_keeps_its_first_reason() -> None:
    gate = settled()
    waiting = gate.clear(shipment(1), epoch=1)
    assert gate.reason_shut() is None
    first = Broken("store.broken", "First.")
    gate.shut(first)
    gate.shut(Broken("another.code", "Second."))
    assert gate.reason_shut() is first
    gate.begin(current(2))
    gate.settle("A1")
    for epoch in (1, 2):
        assert code_of(Broken, lambda e=epoch: gate.clear(shipment(), epoch=e)) == "store.broken"
    assert not waiting.stands()
    assert code_of(Conflict, lambda: gate.open(waiting, Wire())) == "gate.moved"


def test_shutting_cuts_every_send_of_every_agreement() -> None:
    gate = settled()
    gate.begin(current(agreement="A2"))
    gate.settle("A2")
    wires = [Wire(), Wire()]
    sends = [
        gate.open(gate.clear(shipment(1, agreement=name), epoch=1), wire)
        for name, wire in zip(("A1", "A2"), wires, strict=True)
    ]
    gate.shut(Broken("store.broken", "Broken."))
    assert [wire.broken for wire in wires] == [True, True]
    assert [gate.done(send) for send in sends] == [False, False]


def test_who_waits_for_a_change_is_not_left_waiting_by_a_gate_that_shuts() -> None:
    async def story() -> None:
        gate = settled()
        gate.begin(current(2))
        waiting = asyncio.create_task(gate.settled("A1"))
        await asyncio.sleep(0)
        gate.shut(Broken("store.broken", "Broken."))
        await waiting
        assert code_of(Broken, lambda: gate.clear(shipment(), epoch=2)) == "store.broken"

    play(story)


def test_every_send_is_cut_where_all_are_covered() -> None:
    async def story() -> None:
        gate = settled()
        wires = [Wire() for _ in range(3)]
        for number, wire in enumerate(wires):
            wire.gone.set()
            gate.open(gate.clear(shipment(number, index=number), epoch=1), wire)
        gate.begin(current(2))
        cuts = await gate.cut("A1", everything)
        assert sorted(cut.index for cut in cuts) == [0, 1, 2]
        assert all(wire.broken for wire in wires)

    play(story)


def test_closing_is_said_from_begin_to_settle() -> None:
    gate = settled()
    gate.begin(current(2))
    assert gate.closing("A1")
    assert not gate.closing("A2")
    gate.settle("A1")
    assert not gate.closing("A1")
