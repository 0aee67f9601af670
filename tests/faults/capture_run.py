"""Watches the wire while a suspension takes force under readers at full speed.

    python tests/faults/capture_run.py --rounds 100 [--readers 8] [--seed N]

One exercise node as a process of its own, with 6,000 covered objects of about 1 kB and some that
are exempt; readers, each a process of its own, pull by TAXII from the beginning, again and again:
eight at full speed in pages of 5 MB, so that sends outlast an order, and two slow ones besides, so
that the node's kernel always has bytes that it has not sent. In each round, once every reader at
full speed has got covered pages, a suspension is enacted by the API. The capture takes what the
kernel sends from the node's port; the instant of the answer is that of the packet that carries
it, so there is one clock only. It is checked that

- covered bytes flowed in the last moment before the order was sent (else the round proves nothing);
- after the packet with the answer, no packet carries a byte of an answer with covered content;
- what the readers asked for after the answer they got without a covered object, exempt ones apart,
  and every reader did ask;
- the capture missed no packet.

Then a resumption releases everything again. Needs the right to open raw sockets. Prints a summary
in JSON; exits 1 if covered bytes left after an answer, 2 if the capture proves nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

from nodes import NodeProcess, detente  # noqa: E402  # the path above must be set first

from tests.faults.wire_watch import Incomplete, Streams, Tap  # noqa: E402  # the path above must be set first

COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26301"
COVERED, EXEMPT, BATCH = 6_000, 100, 1_000
#: So large that sends take longer than an order: at any moment every reader has one under way.
PAGE_OBJECTS = 5_000
SCOPE = {"direction": {"only": ["out"]}, "kind": {"except": ["SL"]}}
#: Nothing that is waited for takes longer, unless something is broken.
WAIT_S = 60
#: Besides those at full speed.
SLOW_READERS = 2
#: "The last moment before": this much before the order was sent.
MOMENT_NS = 50_000_000

TERMS = f"""
id = "C1"
title = "Agreement under which the wire is watched"
legal_basis = "none: a test"
from = 2020-01-01T00:00:00Z
until = 2090-01-01T00:00:00Z
review = 2080-01-01T00:00:00Z
grade_required = false
[[members]]
party = "A"
units = ["A1"]
contact = {{ office = "Duty officer of A", reach = "duty@a.example" }}
[[members]]
party = "K"
units = ["K1"]
contact = {{ office = "Duty officer of K", reach = "duty@k.example" }}
[[collections]]
name = "out"
id = "{COLLECTION}"
title = "From A"
sender = "A"
readers = ["K"]
purpose = "test"
[[kinds]]
id = "VI"
title = "vessel"
[[kinds]]
id = "SL"
title = "safety of life"
exempt = true
[[kind_rules]]
kind = "SL"
types = ["incident"]
[[kind_rules]]
kind = "VI"
[[purposes]]
id = "test"
title = "Test"
[[powers]]
party = "A"
verbs = ["agree", "suspend", "resume"]
offices = ["head"]
[[powers]]
party = "K"
verbs = ["agree"]
offices = ["head"]
"""


class Leak(Exception):
    """Covered bytes left the node after the order was answered."""


class Scene:
    """The node, its readers, and what is seen of them from outside."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.dice = random.Random(seed)
        # Any 32 bytes of a covered object's filler hold the mark whole.
        self.mark = secrets.token_hex(8)
        self.node = NodeProcess(place / "a", "A", ["A1"], ["head"])
        self.streams = Streams((self.mark.encode(), b'"infrastructure'))
        self.tap: Tap | None = None
        self.readers: list[subprocess.Popen[bytes]] = []
        self.fast = 0
        self.orders = 0

    def prepare(self, readers: int) -> None:
        """The node with its agreement and items, the tap, the readers."""
        config = self.node.folder / "detente.toml"
        text = config.read_text()
        small = "page_objects_max = 1000\n"
        if small not in text:
            raise Incomplete(f"expected {small!r} in the node's configuration")
        config.write_text(text.replace(small, f"page_objects_max = {PAGE_OBJECTS}\n"))
        # Before the first connection, so that of each the start is seen.
        self.tap = Tap(self.node.port, self.streams.take)
        self.node.start()
        key, charter, terms = (self.place / name for name in ("k.key", "k.charter", "terms.toml"))
        _say("charter", "key", str(key), "--holder", "K head")
        words = ["--party", "K", "--unit", "K1", "--office", f"head={key}.card"]
        _say("charter", "draft", *words, "--root", "head", "--exercise", "-o", str(charter))
        _say("charter", "sign", str(charter), "--key", str(key))
        terms.write_text(TERMS)
        paper = self.place / "c1.json"
        own = self.node.folder / "charter.json"
        words = ["--charter", str(own), "--charter", str(charter)]
        _say("agreement", "draft", str(terms), "-o", str(paper), *words)
        head = str(self.node.key("head"))
        _say("agreement", "sign", str(paper), "--key", head, "--key", str(key))
        self.node.client.post("/api/charters", charter.read_bytes())
        self.node.client.post("/api/agreements", paper.read_bytes())
        for first in range(0, COVERED, BATCH):
            self.node.publish("out", _bundle(first, min(BATCH, COVERED - first), self.mark))
        self.node.publish("out", _bundle(COVERED, EXEMPT, ""))
        for number in range(readers + SLOW_READERS):
            self._start_reader(number, slow=number >= readers)
        self.fast = readers

    def _start_reader(self, number: int, *, slow: bool) -> None:
        made = self.node.call("/api/clients", name=f"reader-{number}", party="K")
        path = f"/taxii2/C1/collections/{COLLECTION}/objects/"
        words = [str(self.node.port), path, made["name"], made["password"], self.mark]
        program = str(Path(__file__).with_name("capture_reader.py"))
        command = [sys.executable, "-S", program, *words, str(self._lines(number))]
        command += ["slow"] if slow else []
        self.readers.append(subprocess.Popen(command))

    def _lines(self, number: int) -> Path:
        return self.place / f"reader-{number}"

    def close(self) -> None:
        """End the readers, the tap and the node."""
        for reader in self.readers:
            reader.terminate()
            reader.wait()
        if self.tap is not None:
            self.tap.close()
        self.node.stop()

    # --- one round ---------------------------------------------------------------------------

    def round(self) -> dict[str, int]:
        """Suspend under full flow, look, resume. Raises ``Leak`` or ``Incomplete``."""
        assert self.tap is not None  # prepare has set it
        began_ns = time.time_ns()
        self._until(lambda: self._each(began_ns, covered=True), "covered pages for every reader")
        payload = self._draft("suspend")
        amount = self.streams.flowed + self.dice.randrange(1, 20_000_000)
        self._until(lambda: self.streams.flowed > amount, "a full flow")
        sent_ns, answer_ns, answer = self._enact(payload)
        if answer["enacted"]["state"] != "in-force":
            raise Incomplete(f"the order is {answer['enacted']['state']}")
        self._until(lambda: self._each(answer_ns, covered=False), "questions after the answer")
        self.tap.check()
        seen = {
            "before": self.streams.covered_bytes(sent_ns - MOMENT_NS, sent_ns),
            "until the answer": self.streams.covered_bytes(sent_ns, answer_ns),
            "covered after": self.streams.covered_bytes(answer_ns),
            "other after": self.streams.other_bytes(answer_ns),
            "cut": len(answer["enacted"]["cut_pages"]),
            "barrier_us": (answer_ns - sent_ns) // 1000,
            "readers with covered": sum(
                any(c for at, _, _, c in self._asked(n) if at > answer_ns)
                for n in range(len(self.readers))
            ),
        }
        if seen["covered after"] or seen["readers with covered"]:
            raise Leak(json.dumps(seen))
        if not seen["before"]:
            raise Incomplete("no covered bytes flowed when the order was sent")
        self._enact(self._draft("resume"))
        self.streams.forget()
        return seen

    def _draft(self, verb: str) -> bytes:
        self.orders += 1
        orders = self.node.standing("C1")["orders"]
        payload = self.node.draft(
            agreement="C1",
            id=f"{verb}-{self.orders}",
            verb=verb,
            office="head",
            reason="test",
            scope=SCOPE,
            acknowledged=["L16"],
            supersedes=[one["directive"] for one in orders],
            review_ms=self.node.client.get("/api/node")["now_ms"] + 10**9,
        )
        return self.node.sign("directive", payload, "head")

    def _enact(self, body: bytes) -> tuple[int, int, Any]:
        """Enact by the API on a connection of its own: when it was sent, when the packet with the
        answer left the node, and the answer."""
        token = (self.node.folder / "token").read_text().strip()
        head = (
            "POST /api/directives HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=WAIT_S) as connection:
            port = connection.getsockname()[1]
            sent_ns = time.time_ns()
            connection.sendall(head.encode() + body)
            data = b""
            while b"\r\n\r\n" not in data or not _whole(data):
                got = connection.recv(65536)
                if not got:
                    raise Incomplete(f"an order without an answer: {data[:500]!r}")
                data += got
            self._until(lambda: self._done(port), "the packet with the answer")
            (seen,) = self.streams.answers(port)
        status, answer = data[9:12], json.loads(data.split(b"\r\n\r\n", 1)[1])
        if status != b"200":
            raise Incomplete(f"the order was refused: {answer}")
        return sent_ns, seen.at_ns, answer

    def _done(self, port: int) -> bool:
        answers = self.streams.answers(port)
        return bool(answers) and answers[-1].done_ns is not None

    # --- what the readers say ----------------------------------------------------------------

    def _asked(self, number: int) -> list[tuple[int, int, int, int]]:
        """When each request was sent, its status, its bytes, whether it had covered content."""
        path = self._lines(number)
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        return [tuple(map(int, line.split())) for line in whole.splitlines()]  # type: ignore[misc]  # four fields each

    def _each(self, since_ns: int, *, covered: bool) -> bool:
        """Whether every reader has asked, and been answered whole, twice since; if ``covered``,
        every one at full speed with covered content."""
        for number, reader in enumerate(self.readers):
            if reader.poll() is not None:
                raise Incomplete(f"reader {number} has ended")
            if covered and number >= self.fast:
                continue
            lines = [line for line in self._asked(number) if line[0] > since_ns and line[1]]
            if sum(not covered or bool(line[3]) for line in lines) < 2:
                return False
        return True

    def _until(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not ready():
            if self.tap is not None and self.tap.failure is not None:
                self.tap.check()
            if time.monotonic() > end:
                raise Incomplete(f"expected {what} within {WAIT_S} s")
            time.sleep(0.002)


def _whole(data: bytes) -> bool:
    head, _, body = data.partition(b"\r\n\r\n")
    return len(body) >= int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


def _say(*words: str) -> None:
    done = detente(*words)
    if done.returncode:
        raise RuntimeError(done.stderr)


def _bundle(first: int, count: int, mark: str) -> bytes:
    """Covered objects if there is a mark, exempt ones otherwise."""
    kind = "infrastructure" if mark else "incident"
    time_ = "2026-01-01T00:00:00.000Z"
    objects = [
        {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--{uuid.UUID(int=number, version=4)}",
            "created": time_,
            "modified": time_,
            "name": (mark or "rescue ") * 2,
            "description": (mark or "rescue at sea, ") * 50,
        }
        for number in range(first, first + count)
    ]
    return json.dumps({"objects": objects}, separators=(",", ":")).encode()


def play(rounds: int, readers: int, seed: int, place: Path) -> dict[str, Any]:
    """All rounds; a summary. Raises ``Leak`` or ``Incomplete``."""
    scene = Scene(place, seed)
    began = time.monotonic()
    seen = []
    try:
        scene.prepare(readers)
        for number in range(1, rounds + 1):
            seen.append(scene.round())
            if number % 10 == 0:
                print(f"round {number}: {seen[-1]}", file=sys.stderr, flush=True)
    finally:
        scene.close()
    barriers = sorted(one["barrier_us"] for one in seen)
    return {
        "ok": True,
        "rounds": rounds,
        "readers": readers,
        "seconds": round(time.monotonic() - began, 1),
        "covered_bytes_after_the_answer": sum(one["covered after"] for one in seen),
        "other_bytes_after_the_answer": sum(one["other after"] for one in seen),
        "covered_bytes_in_the_50_ms_before": {
            "least": min(one["before"] for one in seen),
            "sum": sum(one["before"] for one in seen),
        },
        "covered_bytes_between_order_and_answer": sum(one["until the answer"] for one in seen),
        "sends_cut": sum(one["cut"] for one in seen),
        "rounds_with_sends_cut": sum(one["cut"] > 0 for one in seen),
        "order_to_answer_ms": {
            "median": barriers[len(barriers) // 2] / 1000,
            "most": barriers[-1] / 1000,
        },
    }


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        try:
            summary = play(given.rounds, given.readers, given.seed, Path(place))
        except (Leak, Incomplete) as fault:
            print(json.dumps({"ok": False, "fault": f"{type(fault).__name__}: {fault}"}))
            return 1 if isinstance(fault, Leak) else 2
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
