"""The stage: two nodes, the line between them, the clock of the story, and the checks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from items import ITEMS, encoded
from nodes import NodeProcess, detente
from wire import Line

from detente.errors import DetenteError
from detente.rules.times import time_text
from detente.wire.stix import Limits, cut

__all__ = ["ARREST", "GRADE", "HOUR_MS", "Stage"]

HERE = Path(__file__).resolve().parent
HOUR_MS = 3_600_000
#: A node that is slow does by then what it does by itself.
PATIENCE_S = 60
GRADE = "admiralty:B2"
ARREST = "interdiction-and-arrest"


class Stage:
    """The two nodes, the line between them, the clock, and the checks of the step in play."""

    def __init__(self, run: Path, *, expect_wrong: int = 0) -> None:
        self.run = run
        self.expect_wrong = expect_wrong
        self.number = 0
        self.checks: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.facts: dict[str, Any] = {}
        self.b = NodeProcess(
            run / "b", "B", ["B-NAV", "B-POL", "B-FIU"], ["duty", "head", "minister"]
        )
        self.w = NodeProcess(run / "w", "W", ["W-CG", "W-LEA", "W-MIL"], ["duty", "head"])
        self.line = Line(self.b.address)
        self.zero_ms = 0
        self.halted_at = 0.0
        #: D2 as it was drafted in one step and is signed in the next.
        self.d2 = b""

    def begin(self, number: int) -> None:
        """A new step."""
        self.number = number
        self.checks, self.lines, self.facts = [], [], {}

    def expect(self, what: str, *, got: object, wanted: object = True) -> None:
        """One expectation; kept with what was got, so that the report shows it."""
        if self.number == self.expect_wrong and not self.checks:
            wanted = ("deliberately wrong", wanted)
        ok = got == wanted
        check: dict[str, Any] = {"what": what, "ok": ok}
        if not ok:
            check |= {"wanted": repr(wanted), "got": repr(got)}
            self.lines.append(f"NOT AS EXPECTED: {what}: wanted {wanted!r}, got {got!r}")
        self.checks.append(check)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that a node does by itself; what then holds is expected."""
        end = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < end:
            time.sleep(0.05)

    def tell(self, words: str) -> None:
        """A line for people."""
        self.lines.append(words)

    def ok(self) -> bool:
        """Whether all expectations of the step held; a step without any has failed."""
        return bool(self.checks) and all(check["ok"] for check in self.checks)

    def hour(self, hour: float) -> None:
        """Set both clocks to this hour of the story, if it is still to come."""
        now_ms = round(self.zero_ms + hour * HOUR_MS)
        for node in (self.b, self.w):
            if node.client.get("/api/node")["now_ms"] < now_ms:
                node.call("/api/clock", now_ms=now_ms)

    def at(self, hour: float) -> str:
        """That hour as a time."""
        return time_text(round(self.zero_ms + hour * HOUR_MS))

    def send(self, name: str, **changed: str | None) -> Any:
        """Publish an item of the story at its hour."""
        item = ITEMS[name]
        self.hour(item.hour)
        node, collection = (self.b, "b-to-w") if name.startswith("i") else (self.w, "w-to-b")
        said: dict[str, str | None] = {
            "kind": item.kind,
            "unit": item.unit,
            "purpose": "safety-of-life" if item.kind == "SL" else ARREST,
            "grade": GRADE,
            **changed,
        }
        return node.publish(collection, encoded(item), **said)

    def states(self, *names: str) -> dict[str, str]:
        """The state of items towards their recipient, as the sender's node tells it."""
        found = {}
        for name in names:
            node, party = (self.b, "W") if name.startswith("i") else (self.w, "B")
            found[name] = node.state(ITEMS[name].id, party)
        return found

    def exchange(self) -> Any:
        """W fetches from B, and B from W."""
        done = self.w.sync("B", "A1")
        self.b.sync("W", "A1")
        return done

    def failing_sync(self) -> None:
        with contextlib.suppress(DetenteError):
            self.w.sync("B", "A1")

    def prepare(self) -> None:
        """Nodes, charters, agreements drafted, partners and clients known."""
        self.b.start()
        self.w.start()
        now_ms = self.b.client.get("/api/node")["now_ms"]
        # The exercise's clocks only go forwards, so hour -3 is a while from now.
        self.zero_ms = (now_ms // HOUR_MS + 5) * HOUR_MS
        self.hour(-3.5)
        self._charter_of_k()
        charters = [self.b.folder / "charter.json", self.w.folder / "charter.json"]
        self.b.client.post("/api/charters", charters[1].read_bytes())
        self.b.client.post("/api/charters", (self.run / "k.charter").read_bytes())
        self.w.client.post("/api/charters", charters[0].read_bytes())

    def _charter_of_k(self) -> None:
        """K has officers and keys, but no gateway."""
        key = self.run / "k-head.key"
        self._say("charter", "key", str(key), "--holder", "K head")
        charter = self.run / "k.charter"
        self._say(
            "charter",
            "draft",
            "--party",
            "K",
            "--unit",
            "K-CG",
            "--office",
            f"head={key}.card",
            "--root",
            "head",
            "--exercise",
            "-o",
            str(charter),
        )
        self._say("charter", "sign", str(charter), "--key", str(key))

    def _say(self, *words: str) -> None:
        done = detente(*words)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def draft_agreement(self, name: str, *charters: Path) -> Path:
        out = self.run / f"{name}.json"
        words = ["agreement", "draft", str(HERE / f"terms_{name}.toml"), "-o", str(out)]
        for charter in charters:
            words += ["--charter", str(charter)]
        self._say(*words)
        return out

    def sign_agreement(self, path: Path, *keys: Path) -> None:
        words = ["agreement", "sign", str(path)]
        for key in keys:
            words += ["--key", str(key)]
        self._say(*words)

    def read_copy(self, agreement: str, collection: str) -> list[bytes]:
        """Every object W has of a collection, as bytes, read by TAXII from W's own node."""
        if not hasattr(self, "_own_reader"):
            self._own_reader = self.w.call("/api/clients", name="w-desk", party="W")
        url = f"{self.w.address}/taxii2/{agreement}/collections/{collection}/objects/"
        auth = (self._own_reader["name"], self._own_reader["password"])
        raws: list[bytes] = []
        query: dict[str, str] = {}
        while True:
            answer = httpx.get(
                url,
                params=query,
                auth=auth,
                timeout=60,
                headers={"accept": "application/taxii+json;version=2.1"},
            )
            answer.raise_for_status()
            raws += [one.raw for one in cut(answer.content, Limits()).objects]
            if not answer.json().get("more"):
                return raws
            query = {"next": answer.json()["next"]}

    def close(self) -> None:
        """End both nodes and the line."""
        self.line.close()
        for node in (self.b, self.w):
            node.stop()
