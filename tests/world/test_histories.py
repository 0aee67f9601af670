"""Random histories of the whole world, checked after every step.

``DETENTE_HISTORIES=500`` plays so many instead of the few of every run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from detente.errors import Conflict, Invalid, Missing, NotAuthorised, Unavailable
from detente.testing import World, check
from detente.testing.parts import AGREEMENT, DAY_MS, HOUR_MS, KINDS, PARTIES

#: The same few histories in every run, and some that are new each time.
FEW, LONG = 25, int(os.environ.get("DETENTE_HISTORIES", "40"))
STEPS = 25

parties = st.sampled_from(sorted(PARTIES))
kinds = st.sampled_from(KINDS)
some_kinds = st.sampled_from([(), ("VI",), ("VT",), ("PE",), ("SL", "VI"), ("FI", "VI", "VT")])
directions = st.sampled_from(["", "in", "out"])
partners = st.sampled_from(["", "W"])
faults = st.sampled_from(["unreachable", "lost", "cut", "late", "crash", "twice"])
paths = st.sampled_from(["", "page", "page", "receipts", "acts", "notice", "add-checkpoint"])


class Histories(RuleBasedStateMachine):
    """The acts of a history; hypothesis chooses their order and their words."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.opened = World.open(Path(self.folder.name) / "world")
        self.world = self.run(self.opened.__aenter__())
        self.open_reads = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            self.run(self.world.exchange())
            self.run(check(self.world, record=True))
        finally:
            self.run(self.opened.__aexit__(None, None, None))
            self.runner.close()
            self.folder.cleanup()

    @invariant()
    def every_promise_holds(self) -> None:
        self.run(check(self.world))

    @rule(party=parties, kind=kinds, number=st.integers(1, 3), unit=st.integers(0, 2))
    def publish(self, party: str, kind: str, number: int, unit: int) -> None:
        units = PARTIES[party]
        self.run(self.world.publish(party, kind, units[unit % len(units)], number))

    @rule(party=parties, kinds=some_kinds, direction=directions, hours=st.integers(1, 24))
    def halt(self, party: str, kinds: tuple[str, ...], direction: str, hours: int) -> None:
        # A second halt in a row is refused, and then nothing has changed.
        with contextlib.suppress(NotAuthorised):
            self.run(
                self.world.halt(party, kinds=kinds, direction=direction, lasts_ms=hours * HOUR_MS)
            )

    @rule(party=parties, kinds=some_kinds, direction=directions, wait=st.sampled_from([0, HOUR_MS]))
    def suspend(self, party: str, kinds: tuple[str, ...], direction: str, wait: int) -> None:
        self.run(self.world.suspend(party, kinds=kinds, direction=direction, starts_in_ms=wait))

    @rule(party=parties, remains=some_kinds.filter(bool), direction=directions)
    def narrow(self, party: str, remains: tuple[str, ...], direction: str) -> None:
        self.run(self.world.narrow(party, remains=remains, direction=direction))

    @rule(kinds=some_kinds, partner=partners)
    def condition(self, kinds: tuple[str, ...], partner: str) -> None:
        self.run(self.world.condition("B", kinds=kinds, partner=partner, direction="out"))

    @rule(party=parties, assured=st.booleans(), number=st.integers(0, 3), whole=st.booleans())
    def resume(self, party: str, assured: bool, number: int, whole: bool) -> None:
        now = self.world.now_ms() + 1
        mine = [
            one.said.id
            for one in self.world.ordered
            if one.said.issuer == party and self.world.in_force(one, party, now)
        ]
        if mine:
            ids = [mine[number % len(mine)]] if number else mine
            direction = "" if whole else "out"
            # What speaks of less than it ends is refused, and then nothing has changed.
            with contextlib.suppress(Invalid):
                self.run(self.world.resume(party, *ids, assured=assured, direction=direction))

    @rule(kinds=some_kinds.filter(bool), giver=st.sampled_from(["K", "W"]), days=st.booleans())
    def assure(self, kinds: tuple[str, ...], giver: str, days: bool) -> None:
        lasts = 30 * DAY_MS if days else HOUR_MS
        self.run(self.world.assure(giver, "B", kinds, lasts_ms=lasts))

    @precondition(lambda self: self.world.promised)
    @rule(number=st.integers(0, 5))
    def withdraw(self, number: int) -> None:
        promised = self.world.promised[number % len(self.world.promised)]
        with contextlib.suppress(Conflict):
            self.run(self.world.withdraw(promised.id))

    @rule(party=parties, limit=st.integers(1, 4))
    def sync(self, party: str, limit: int) -> None:
        with contextlib.suppress(Unavailable):
            self.run(self.world.sync(party, limit))

    @rule(party=parties)
    def notify(self, party: str) -> None:
        self.run(self.world.notify(party))

    @rule(limit=st.integers(1, 5))
    def exchange(self, limit: int) -> None:
        self.run(self.world.exchange(limit))

    @precondition(lambda self: not self.open_reads)
    @rule(limit=st.integers(1, 4))
    def read(self, limit: int) -> None:
        self.run(self.world.read(limit))

    @precondition(lambda self: not self.open_reads)
    @rule(limit=st.integers(1, 4))
    def begin_read(self, limit: int) -> None:
        self.open_reads += self.run(self.world.begin_read(limit))

    @precondition(lambda self: self.open_reads)
    @rule()
    def end_read(self) -> None:
        self.open_reads = 0
        if self.world.reading():
            self.run(self.world.end_read())

    @rule(ms=st.sampled_from([1, 60_000, HOUR_MS, 6 * HOUR_MS, DAY_MS]))
    def advance(self, ms: int) -> None:
        self.run(self.world.advance(ms))

    @rule(party=parties)
    def crash(self, party: str) -> None:
        self.run(self.world.crash(party))

    @rule(fault=faults, path=paths)
    def fail(self, fault: Any, path: str) -> None:
        self.world.fail(fault, path=path)

    @precondition(lambda self: any(item.sender == "B" for item in self.world.items))
    @rule(data=st.data(), reader=st.sampled_from(["K", "W"]), release=st.booleans())
    def review(self, data: st.DataObject, reader: str, release: bool) -> None:
        held = self.run(self.world.sites["B"].ask.held(AGREEMENT, reader))
        if held:
            item = data.draw(st.sampled_from([one.id for one in held]))
            # What is stopped cannot be released, and then nothing has changed.
            with contextlib.suppress(Conflict, Missing):
                self.run(
                    self.world.review(
                        item, reader, "release" if release else "refuse", code="other"
                    )
                )


def histories(number: int) -> settings:
    return settings(
        max_examples=number,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=number == FEW,
        print_blob=False,
    )


class TestHistories(Histories.TestCase):  # type: ignore[name-defined,misc]  # made by hypothesis
    settings = histories(FEW)


@pytest.mark.slow
class TestManyHistories(Histories.TestCase):  # type: ignore[name-defined,misc]  # made by hypothesis
    settings = histories(LONG)
