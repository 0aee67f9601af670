"""`kill -9` of either node in the midst of its traffic loses nothing and sends nothing twice: a
short form of the run. `make kill-test` is the long one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.kill_run import Fault, Flow, Group
from tests.faults.run_faults import run_alone

ROUNDS = 6
SEED = 20251123


@pytest.mark.slow
def test_killed_nodes_lose_nothing_and_send_nothing_twice() -> None:
    summary = run_alone("kill_run.py", rounds=ROUNDS, seed=SEED)
    assert summary["ok"], summary
    assert summary["killed B"] + summary["killed W"] == ROUNDS
    assert summary["killed B"] > 0
    assert summary["killed W"] > 0
    # The kills fell into traffic, and the traffic brought something.
    assert summary["kills that broke a call off"] > 0
    assert summary["calls answered"] > 0
    assert summary["arrived"] > 0


def flow(here: list[bytes], *groups: Group, receipts: int = 1, state: str = "received") -> Flow:
    """A direction of which the recipient has these objects, each traced alike at its sender."""
    pages = [{"receipt": "r"}] * receipts + [{"receipt": None}]
    sender = SimpleNamespace(trace=lambda item, party: {"state": state, "pages": pages})

    class Told(Flow):
        def copy(self) -> list[bytes]:
            return here

    nodes: Any = (sender, SimpleNamespace(party="W"))
    return Told(*nodes, "b-to-w", "B-NAV", groups=list(groups))


ONE, TWO = b'{"id":"a--1"}', b'{"id":"a--2"}'


def test_account_counts_what_arrived_once() -> None:
    lost = Group([b'{"id":"a--3"}'], "VI")
    assert flow([ONE, TWO], Group([ONE, TWO], "VI", answered=True), lost).account(again=True) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (flow([ONE], Group([ONE, TWO], "VI", answered=True)), "1 of 2 objects"),
        (flow([], Group([ONE], "VI", answered=True)), "0 of 1 objects"),
        (flow([ONE], Group([ONE, TWO], "VI")), "1 of 2 objects"),
        (flow([ONE, ONE], Group([ONE], "VI", answered=True)), "stand twice"),
        (flow([ONE, TWO], Group([ONE], "VI", answered=True)), "nobody published"),
        (flow([ONE], Group([ONE], "VI", answered=True), receipts=2), "2 receipts"),
        (flow([ONE], Group([ONE], "VI", answered=True), receipts=0), "0 receipts"),
        (flow([ONE], Group([ONE], "VI", answered=True), state="held"), "held with 1"),
    ],
)
def test_account_finds_what_is_lost_or_repeated(wrong: Flow, words: str) -> None:
    with pytest.raises(Fault, match=words):
        wrong.account(again=True)
