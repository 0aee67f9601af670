"""Kills either of two nodes at random instants of their traffic, and accounts for every object.

    python tests/faults/kill_run.py --rounds 200 [--seed N]

Two exercise nodes, B and W, as real processes on loopback, with the agreement of the
demonstration. In each round the people of both work without a pause: B publishes, suspends,
resumes, resumes on conditions, and fetches from W; W publishes, gives assurances that soon lapse,
and fetches from B. At a random instant B or W gets SIGKILL, and is started again. Every few
rounds the traffic is brought to rest and checked from outside:

- every object whose publication was answered is at the recipient exactly once, byte for byte;
- an unanswered publication is there wholly or not at all, and nothing else is there;
- what was published under a stop in force was not at W before the end of the stop;
- no exchange brings an object that its recipient has already;
- every object that arrived is "received" at its sender, with exactly one receipt, ever;
- both sides say the same standing; at the end both records hold, offline.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "demo"))

from nodes import NodeProcess, detente  # noqa: E402  # the path above must be set first
from stage import GRADE, Stage  # noqa: E402  # the path above must be set first

from detente.errors import DetenteError, Unavailable  # noqa: E402  # the path above must be set first
from detente.wire.stix import Limits, cut  # noqa: E402  # the path above must be set first

SCOPE = {"direction": {"only": ["out"]}, "kind": {"except": ["SL"]}}
CONDITION = {"template": "AS", "scope": {**SCOPE, "kind": {"only": ["FI", "VI"]}}}
PURPOSES = ("prosecution", "safety-of-life")
REST_EVERY = 10
#: The kill comes within this time after the people began; one act takes 5 to 50 ms.
INSTANT_S = 0.4
#: A call that does not end in this time hangs: nobody waits for a dead node.
HANG_S = 60
#: Assurances lapse after this, so that conditions are met and missed in turn.
PROMISED_MS = 3_000
#: Exchanges until the traffic rests, and pages of a copy, at most.
EXCHANGES_MAX = 20
PAGES_MAX = 1_000


class Fault(Exception):
    """Something was lost, repeated, sent under a stop, or does not verify."""


@dataclass
class Group:
    """One publication: its objects, what is said of them, whether it was answered."""

    raws: list[bytes]
    kind: str
    answered: bool = False


@dataclass
class Flow:
    """One direction: who sends to whom, and what is known of it from outside."""

    sender: NodeProcess
    recipient: NodeProcess
    collection: str
    unit: str
    groups: list[Group] = field(default_factory=list)
    traced: set[bytes] = field(default_factory=set)
    reader: tuple[str, str] | None = None

    def next_group(self, dice: random.Random) -> tuple[Group, bool]:
        """1 to 50 objects that are new (then true), or once more what was not answered."""
        last = self.groups[-1] if self.groups else None
        if last is not None and not last.answered and dice.random() < 0.5:
            return last, False
        raws = [_object(dice) for _ in range(dice.randint(1, 50))]
        self.groups.append(Group(raws, dice.choice(("VI", "FI", "SL"))))
        return self.groups[-1], True

    def publish(self, group: Group) -> None:
        """Publish it. What is answered is on disk."""
        self.sender.publish(
            self.collection,
            b'{"objects":[' + b",".join(group.raws) + b"]}",
            kind=group.kind,
            unit=self.unit,
            grade=GRADE,
            purpose="prosecution",
        )
        group.answered = True

    def copy(self) -> list[bytes]:
        """Every object the recipient has, read by TAXII from its own node."""
        node = self.recipient
        if self.reader is None:
            made = node.call("/api/clients", name=f"{node.party.lower()}-desk", party=node.party)
            self.reader = made["name"], made["password"]
        url = f"{node.address}/taxii2/A1/collections/{self.collection}/objects/"
        raws: list[bytes] = []
        query: dict[str, str] = {}
        with httpx.Client(auth=self.reader, timeout=HANG_S, trust_env=False) as client:
            for _ in range(PAGES_MAX):
                answer = client.get(
                    url, params=query, headers={"accept": "application/taxii+json;version=2.1"}
                )
                answer.raise_for_status()
                raws += [one.raw for one in cut(answer.content, Limits()).objects]
                if not answer.json().get("more"):
                    return raws
                query = {"next": answer.json()["next"]}
        raise Fault(f"the copy of {self.collection} has no end")

    def account(self, *, again: bool) -> int:
        """Check that each object is there once, wholly, with one receipt; how many are there."""
        here = Counter(self.copy())
        repeated = [raw for raw, times in here.items() if times > 1]
        if repeated:
            raise Fault(f"{len(repeated)} objects stand twice, such as {repeated[0][:200]!r}")
        if here.keys() - {raw for group in self.groups for raw in group.raws}:
            raise Fault("objects at the recipient that nobody published")
        for group in self.groups:
            there, all_ = sum(raw in here for raw in group.raws), len(group.raws)
            if there not in ((all_,) if group.answered else (0, all_)):
                raise Fault(
                    f"{self.collection}: {there} of {all_} objects of a publication are there, "
                    f"answered={group.answered}"
                )
        if again:
            self.traced.clear()
        for raw in here.keys() - self.traced:
            trace = self.sender.trace(json.loads(raw)["id"], self.recipient.party)
            receipts = [page["receipt"] for page in trace["pages"] if page["receipt"]]
            if trace["state"] != "received" or len(receipts) != 1:
                raise Fault(f"{trace['state']} with {len(receipts)} receipts: {raw[:200]!r}")
            self.traced.add(raw)
        return len(here)


class Run:
    """The nodes, their people, and the one who kills."""

    def __init__(self, place: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.stage = Stage(place)
        self.b, self.w = self.stage.b, self.stage.w
        self.out = Flow(self.b, self.w, "b-to-w", "B-NAV")
        self.back = Flow(self.w, self.b, "w-to-b", "W-CG")
        self.under_stop: set[bytes] = set()
        self.stopped = False
        self.numbers = 0
        self.count: Counter[str] = Counter()
        self.faults: list[str] = []

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

    # --- what B's people do ----------------------------------------------------------------

    def publish(self, dice: random.Random) -> None:
        group, new = self.out.next_group(dice)
        if self.stopped and new and group.kind != "SL":
            self.under_stop.update(group.raws)
        self.out.publish(group)

    def turn(self, dice: random.Random) -> None:
        """Suspend what flows; resume what is suspended, at times on the condition of AS."""
        suspended = self._stops()
        if suspended:
            self._order("resume", conditional=dice.random() < 0.5)
        else:
            self._order("suspend")

    def _orders(self) -> list[str]:
        orders = self.b.standing()["orders"]
        return [one["directive"] for one in orders if one["issuer"] == "B"]

    def _stops(self) -> list[str]:
        return [name for name in self._orders() if name.startswith("suspend")]

    def _order(self, verb: str, *, conditional: bool = False) -> None:
        """One directive, which takes over from all that stand, so that few ever do."""
        self.numbers += 1
        more: dict[str, Any] = {}
        if conditional:
            more = {"conditions": [CONDITION], "purposes": PURPOSES}
        payload = self.b.draft(
            agreement="A1",
            id=f"{verb}{'-if' if conditional else ''}-{self.numbers}",
            verb=verb,
            office="head",
            reason="test",
            scope=SCOPE,
            acknowledged=["L16"],
            supersedes=self._orders(),
            review_ms=self.stage.zero_ms + 10**10,
            **more,
        )
        if verb == "resume":
            # From here on the stop may be over, whether the answer comes or not.
            self.stopped = False
            self.under_stop.clear()
        done = self.b.enact(payload, "duty", "head", "minister")
        if done["enacted"]["state"] != "in-force":
            raise Fault(f"{verb}: {done['enacted']['state']}")
        self.stopped = verb == "suspend"
        self.count["orders"] += 1

    # --- what W's people do ----------------------------------------------------------------

    def assure(self, dice: random.Random) -> None:
        """W promises what B's conditions ask for, for a while."""
        self.numbers += 1
        payload = self.w.call(
            "/api/assurances/draft",
            agreement="A1",
            id=f"AS-{uuid.UUID(int=dice.getrandbits(128), version=4)}",
            template="AS",
            holder="B",
            office="head",
            kinds=["FI", "VI"],
            lasts_ms=PROMISED_MS,
        )["payload"].encode()
        self.w.client.post("/api/assurances", self.w.sign("assurance", payload, "head"))
        self.count["assurances"] += 1

    def fetch(self, flow: Flow, dice: random.Random) -> None:
        """The recipient fetches, in pages of random size."""
        limit = dice.choice((3, 40, 1000))
        done = flow.recipient.sync(flow.sender.party, "A1", limit=limit)
        self._check_new(done)
        self.count["pages"] += done["pages"]

    def _check_new(self, done: dict[str, Any]) -> None:
        """A page of which nothing is known whether it came is offered again; what has been taken
        is never sent again."""
        if done["known"]:
            raise Fault(f"{done['party']} sent {done['known']} objects twice")

    # --- rounds ------------------------------------------------------------------------------

    def round(self) -> None:
        """Both work; one node dies in the midst of it and is started again."""
        # A suspension whose answer was lost stands all the same.
        self.stopped = bool(self._stops())
        if not self.stopped:
            self.under_stop.clear()
        over = threading.Event()

        def b_fetches(dice: random.Random) -> None:
            self.fetch(self.back, dice)

        def w_fetches(dice: random.Random) -> None:
            self.fetch(self.out, dice)

        def w_publishes(dice: random.Random) -> None:
            self.back.publish(self.back.next_group(dice)[0])

        people = (
            (self.publish, self.publish, self.turn, b_fetches),
            (w_fetches, w_fetches, w_fetches, w_publishes, self.assure),
        )
        workers = [
            threading.Thread(
                target=self._work,
                args=(acts, random.Random(self.dice.getrandbits(64)), over),
                daemon=True,
            )
            for acts in people
        ]
        broken = self.count["calls broken off"]
        victim = self.dice.choice((self.b, self.w))
        instant = self.dice.uniform(0, INSTANT_S)
        for worker in workers:
            worker.start()
        time.sleep(instant)
        victim.kill()
        over.set()
        end = time.monotonic() + HANG_S
        for worker in workers:
            worker.join(max(0, end - time.monotonic()))
            if worker.is_alive():
                raise Fault(f"a call hangs after a kill of {victim.party}")
        if self.faults:
            raise Fault(self.faults[0])
        self.count[f"killed {victim.party}"] += 1
        self.count["kills that broke a call off"] += self.count["calls broken off"] > broken
        try:
            victim.start()
        except RuntimeError as error:
            raise Fault(f"{victim.party} does not start: {error}") from error

    def _work(
        self,
        acts: tuple[Callable[[random.Random], None], ...],
        dice: random.Random,
        over: threading.Event,
    ) -> None:
        while not over.is_set():
            act = dice.choice(acts)
            try:
                act(dice)
            except Unavailable:
                # A node died under it; what it had answered is what counts.
                self.count["calls broken off"] += 1
            except (DetenteError, Fault) as error:
                self.faults.append(f"{act.__name__}: {error!r}")
                return
            else:
                self.count["calls answered"] += 1

    def rest(self, *, last: bool) -> None:
        """Bring the traffic to rest and account for everything."""
        if not self.stopped:
            self.under_stop.clear()
        self._check_new(self.w.sync("B", "A1"))
        early = self.under_stop & set(self.out.copy())
        if early:
            raise Fault(f"{len(early)} objects came under a stop, such as {min(early)[:200]!r}")
        self.count["held at rest"] += len(self.under_stop)
        if self._orders():
            self._order("resume")
        for _ in range(EXCHANGES_MAX):
            done = [self.w.sync("B", "A1"), self.b.sync("W", "A1")]
            for one in done:
                self._check_new(one)
            moving = any(one["pages"] or one["receipts_waiting"] for one in done)
            # An assurance may lapse between one side's word and the other's: then it is asked
            # again, and lapses come to an end.
            same = all(one["standing_same"] for one in done)
            if same and not moving:
                break
        else:
            words = "the exchange does not come to rest"
            raise Fault(words if moving else "the two sides do not say the same standing")
        self.count["arrived"] = sum(flow.account(again=last) for flow in (self.out, self.back))
        self.count["rests"] += 1

    def verify(self) -> None:
        """Both records, by the program."""
        for node in (self.b, self.w):
            node.stop()
            done = detente("ledger", "verify", str(node.folder), "--json")
            if done.returncode:
                raise Fault(f"record of {node.party}: {done.stdout[:2000]}{done.stderr[:500]}")


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
                run.rest(last=number == rounds)
                print(f"round {number}: {dict(run.count)}", file=sys.stderr, flush=True)
        run.verify()
    finally:
        run.stage.close()
    groups = run.out.groups + run.back.groups
    return {
        "ok": True,
        "rounds": rounds,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "objects": sum(len(group.raws) for group in groups),
        "publications": len(groups),
        "answered": sum(group.answered for group in groups),
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
