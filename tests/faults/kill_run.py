"""Kills either of two nodes at random instants of their traffic, and accounts for every object.

    python tests/faults/kill_run.py --rounds 200 [--seed N]

Two exercise nodes, B and W, as real processes on loopback. In each round one action runs
(publish, exchange, suspend, resume) and, 0 to 150 ms after it began, B or W gets SIGKILL and is
started again. Every few rounds the traffic is brought to rest and it is checked from outside:

- every object whose publication was answered is at W exactly once, byte for byte;
- an unanswered publication is there wholly or not at all, and nothing else is there;
- what was published under a stop that had been answered "in force" was not at W before the end of
  the stop;
- no object has two pages with receipts in B's trace;
- both records hold, offline.

Prints a summary in JSON; exits 1 at the first loss, repeat or broken record.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "demo"))

from nodes import detente  # noqa: E402  # the path above must be set first
from stage import GRADE, Stage  # noqa: E402  # the path above must be set first

from detente.errors import DetenteError  # noqa: E402  # the path above must be set first

KINDS = ("VI", "FI", "SL")
SCOPE = {"direction": {"only": ["out"]}, "kind": {"except": ["SL"]}}
REST_EVERY = 5


class Fault(Exception):
    """Something was lost, repeated, sent under a stop, or does not verify."""


class Run:
    """The nodes and what is known of their traffic from outside."""

    def __init__(self, place: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.stage = Stage(place)
        self.b, self.w = self.stage.b, self.stage.w
        self.published: dict[bytes, str] = {}
        self.groups: list[tuple[list[bytes], bool]] = []
        self.stopped = False
        self.under_stop: set[bytes] = set()
        self.orders = 0
        self.last = ""
        self.count: Counter[str] = Counter()

    def prepare(self) -> None:
        """Nodes, agreement A1, partners known to each other."""
        stage = self.stage
        stage.prepare()
        charters = (self.b.folder / "charter.json", self.w.folder / "charter.json")
        a1 = stage.draft_agreement("a1", *charters)
        stage.sign_agreement(a1, self.b.key("head"), self.w.key("head"))
        for node, other in ((self.b, self.w), (self.w, self.b)):
            node.client.post("/api/agreements", a1.read_bytes())
            node.call("/api/peers", party=other.party, agreement="A1", address=other.address)

    # --- actions -----------------------------------------------------------------------------

    def publish(self) -> None:
        """Publish 1 to 50 objects; answered means on disk."""
        kind = self.dice.choice(KINDS)
        raws = [_object(self.dice) for _ in range(self.dice.randint(1, 50))]
        for raw in raws:
            self.published[raw] = kind
        group = len(self.groups)
        self.groups.append((raws, False))
        if self.stopped and kind != "SL":
            self.under_stop.update(raws)
        self.b.publish(
            "b-to-w",
            b'{"objects":[' + b",".join(raws) + b"]}",
            kind=kind,
            unit="B-NAV",
            grade=GRADE,
            purpose="prosecution",
        )
        self.groups[group] = (raws, True)

    def exchange(self) -> None:
        """W fetches from B, in pages of random size."""
        done = self.w.sync("B", "A1", limit=self.dice.choice((3, 40, 1000)))
        self.count["pages"] += done["pages"]
        self.count["sent again and known"] += done["known"]

    def turn(self) -> None:
        """Suspend, or resume what is suspended."""
        self.orders += 1
        name = f"D{self.orders}"
        fields: dict[str, Any] = {
            "agreement": "A1",
            "id": name,
            "office": "head",
            "reason": "test",
            "scope": SCOPE,
        }
        in_force = [o["directive"] for o in self.b.standing()["orders"]]
        if in_force:
            payload = self.b.draft(**fields, verb="resume", supersedes=in_force)
            # From here on the stop may be over, whether the answer comes or not.
            self.stopped = False
            self.under_stop.clear()
            self.b.enact(payload, "duty", "head", "minister")
        else:
            payload = self.b.draft(**fields, verb="suspend", review_ms=self.stage.zero_ms + 10**10)
            self.b.enact(payload, "duty", "head")
            self.stopped = True

    # --- rounds ------------------------------------------------------------------------------

    def round(self) -> None:
        """One action, and a kill in the midst of it."""
        action = self.dice.choice(
            (self.publish, self.publish, self.exchange, self.exchange, self.turn)
        )
        victim = self.dice.choice((self.b, self.w))
        worker = threading.Thread(target=_tried, args=(action,))
        worker.start()
        time.sleep(self.dice.uniform(0, 0.15))
        victim.kill()
        worker.join(120)
        if worker.is_alive():
            raise Fault(f"{action.__name__} hangs after a kill of {victim.party}")
        self.count[f"killed {victim.party}"] += 1
        victim.start()

    def rest(self) -> None:
        """Bring the traffic to rest and account for everything."""
        early = self.under_stop & self._at_w() if self.stopped else set()
        if early:
            raise Fault(f"{len(early)} objects came under a stop, such as {min(early)[:200]!r}")
        while self.b.standing()["orders"]:
            self.turn()
        for _ in range(20):
            done = self.w.sync("B", "A1")
            if not done["pages"] and not done["receipts_waiting"]:
                break
        else:
            raise Fault("the exchange does not come to rest")
        here = self.stage.read_copy("A1", "b-to-w") if self.published else []
        repeated = [raw for raw, times in Counter(here).items() if times > 1]
        if repeated:
            raise Fault(f"{len(repeated)} objects stand twice, such as {repeated[0][:200]!r}")
        have = set(here)
        if have - self.published.keys():
            raise Fault("objects at W that nobody published")
        for raws, answered in self.groups:
            there = sum(raw in have for raw in raws)
            if there not in ((len(raws),) if answered else (0, len(raws))):
                raise Fault(f"{there} of {len(raws)} objects of a publication, answered={answered}")
        for raw in self.dice.sample(sorted(have), min(5, len(have))):
            trace = self.b.trace(json.loads(raw)["id"], "W")
            receipts = [page for page in trace["pages"] if page["receipt"]]
            if trace["state"] != "received" or len(receipts) != 1:
                raise Fault(f"{trace['state']} with {len(receipts)} receipts: {raw[:200]!r}")
        self.count["rests"] += 1

    def _at_w(self) -> set[bytes]:
        return set(self.stage.read_copy("A1", "b-to-w")) if self.published else set()

    def verify(self) -> None:
        """Both records, by the program."""
        for node in (self.b, self.w):
            done = detente("ledger", "verify", str(node.folder), "--json")
            if done.returncode:
                raise Fault(f"record of {node.party}: {done.stdout[:2000]}{done.stderr[:500]}")


def _tried(action: Callable[[], None]) -> None:
    try:
        action()
    except (DetenteError, OSError, KeyError, ValueError):
        pass  # The node died under it; what it had answered is what counts.


def _object(dice: random.Random) -> bytes:
    name = uuid.UUID(int=dice.getrandbits(128), version=4)
    time_ = "2026-01-01T00:00:00.000Z"
    return json.dumps(
        {
            "type": "infrastructure",
            "spec_version": "2.1",
            "id": f"infrastructure--{name}",
            "created": time_,
            "modified": time_,
            "name": f"object {name}",
        },
        separators=(",", ":"),
    ).encode()


def play(rounds: int, seed: int, place: Path) -> dict[str, Any]:
    """All rounds; a summary. Raises ``Fault``."""
    run = Run(place, seed)
    began = time.monotonic()
    try:
        run.prepare()
        for number in range(1, rounds + 1):
            run.round()
            if number % REST_EVERY == 0 or number == rounds:
                run.rest()
            if number % 10 == 0:
                print(f"round {number}: {dict(run.count)}", file=sys.stderr, flush=True)
        run.verify()
    finally:
        run.stage.close()
    return {
        "ok": True,
        "rounds": rounds,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "objects": len(run.published),
        "publications": len(run.groups),
        "answered": sum(answered for _, answered in run.groups),
        "orders": run.orders,
        **run.count,
    }


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        try:
            summary = play(given.rounds, given.seed, Path(place))
        except Fault as fault:
            print(json.dumps({"ok": False, "seed": given.seed, "fault": str(fault)}))
            return 1
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
