"""The story: what happens in each step, and what must be so afterwards."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from items import ITEMS, encoded
from nodes import NodeProcess, detente
from taxii2client.v21 import Server
from wire import Line

from detente.errors import DetenteError
from detente.wire.stix import Limits, cut
from detente.wire.terms import time_text

HERE = Path(__file__).resolve().parent
HOUR_MS = 3_600_000
GRADE = "admiralty:B2"
ARREST = "interdiction-and-arrest"


class Story:
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

    # --- telling -----------------------------------------------------------------------------

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

    def tell(self, words: str) -> None:
        """A line for people."""
        self.lines.append(words)

    def ok(self) -> bool:
        """Whether all expectations of the step held; a step without any has failed."""
        return bool(self.checks) and all(check["ok"] for check in self.checks)

    # --- time --------------------------------------------------------------------------------

    def hour(self, hour: float) -> None:
        """Set both clocks to this hour of the story, if it is still to come."""
        now_ms = round(self.zero_ms + hour * HOUR_MS)
        for node in (self.b, self.w):
            if node.client.get("/api/node")["now_ms"] < now_ms:
                node.call("/api/clock", now_ms=now_ms)

    def at(self, hour: float) -> str:
        """That hour as a time."""
        return time_text(round(self.zero_ms + hour * HOUR_MS))

    # --- what people do ----------------------------------------------------------------------

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

    # --- the stage ---------------------------------------------------------------------------

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

    def _draft_agreement(self, name: str, *charters: Path) -> Path:
        out = self.run / f"{name}.json"
        words = ["agreement", "draft", str(HERE / f"terms_{name}.toml"), "-o", str(out)]
        for charter in charters:
            words += ["--charter", str(charter)]
        self._say(*words)
        return out

    def _sign_agreement(self, path: Path, *keys: Path) -> None:
        words = ["agreement", "sign", str(path)]
        for key in keys:
            words += ["--key", str(key)]
        self._say(*words)

    # --- the steps ---------------------------------------------------------------------------

    def step_1(self) -> None:
        """Hour -3: A1 signed by B and W; one signature missing is not in force."""
        self.hour(-3)
        charters = (self.b.folder / "charter.json", self.w.folder / "charter.json")
        a1 = self._draft_agreement("a1", *charters)
        self._sign_agreement(a1, self.b.key("head"))
        code = self.b.refused("/api/agreements", a1.read_bytes())
        self.expect("one signature missing is refused", got=code, wanted="agreement.unsigned")
        known = self.b.client.get("/api/node")["agreements"]
        self.expect("and A1 is not in force", got=known, wanted=[])
        self._sign_agreement(a1, self.w.key("head"))
        for node in (self.b, self.w):
            node.client.post("/api/agreements", a1.read_bytes())
        self.b.call("/api/peers", party="W", agreement="A1", address=self.w.address)
        self.w.call("/api/peers", party="B", agreement="A1", address=self.line.address)
        ours, theirs = self.b.standing(), self.w.standing()
        self.expect("both nodes say the same standing", got=ours["standing"] == theirs["standing"])
        flows = Counter(flow["state"] for flow in ours["flows"])
        self.expect("open for 6 kinds in 2 directions", got=dict(flows), wanted={"open": 12})
        cosigned = [self.w.sync("B", "A1")["cosigned"], self.b.sync("W", "A1")["cosigned"]]
        self.expect("both ledgers cosigned", got=all(size for size in cosigned))
        self.tell(f"A1 in force at {self.at(-3)}; standing {ours['standing'][:16]}… on both sides")

    def step_2(self) -> None:
        """Hour -2: i01; no purpose or no grade is refused with its code."""
        self.hour(-2)
        body = encoded(ITEMS["i01"])
        said = {"collection": "b-to-w", "kind": "VT", "unit": "B-NAV"}
        code = self.b.refused("/api/publish", body, grade=GRADE, **said)
        self.expect("without a purpose it is refused", got=code, wanted="publish.purpose")
        code = self.b.refused("/api/publish", body, purpose=ARREST, **said)
        self.expect("without a grade it is refused", got=code, wanted="publish.grade")
        self.send("i01")
        self.exchange()
        trace = self.b.trace(ITEMS["i01"].id, "W")
        self.expect("i01 was received", got=trace["state"], wanted="received")
        self.expect(
            "with one signed receipt",
            got=len([p for p in trace["pages"] if p["receipt"]]),
            wanted=1,
        )
        self.expect(
            "the trace is one row with its purpose",
            got=(len(trace["pages"]), trace["purpose"]),
            wanted=(1, ARREST),
        )
        self.tell(f"i01 received by W, receipt {trace['pages'][0]['receipt'][:16]}…")
        self._third_party()

    def _third_party(self) -> None:
        """K reads its own collection with a stock TAXII 2.1 client."""
        charters = (self.b.folder / "charter.json", self.run / "k.charter")
        a2 = self._draft_agreement("a2", *charters)
        self._sign_agreement(a2, self.b.key("head"), self.run / "k-head.key")
        self.b.client.post("/api/agreements", a2.read_bytes())
        made = self.b.call("/api/clients", name="k-rcc", party="K")
        item = encoded(ITEMS["i09"])
        self.b.publish("b-to-k", item, purpose="safety-of-life", grade=GRADE, unit="B-NAV")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server = Server(
                f"{self.b.address}/taxii2/", user=made["name"], password=made["password"]
            )
            roots = [root.title for root in server.api_roots]
            collection = server.api_roots[0].collections[0]
            objects = collection.get_objects().get("objects", [])
        self.expect(
            "K sees its own agreement only", got=roots, wanted=["Rescue information from B to K"]
        )
        self.expect(
            "K reads the item as it was published", got=objects, wanted=[ITEMS["i09"].object]
        )
        self.tell("K read 1 object by TAXII 2.1 with a stock client")

    def between(self, number: int) -> None:
        """What is published and fetched between the steps."""
        if number == 2:
            # The page with i02 reaches W, but W's receipt is lost on the way back.
            self.send("i02")
            self.line.lost.add("/peer/v1/receipts")
            self._failing_sync()
        elif number == 3:
            self.hour(0.2)

    def _failing_sync(self) -> None:
        with contextlib.suppress(DetenteError):
            self.w.sync("B", "A1")

    def step_4(self) -> None:
        """Hour 0.5: one duty officer halts; nothing covered leaves after the answer."""
        self.expect("i02 is in flight", got=self.states("i02"), wanted={"i02": "in flight"})
        self.line.lost.clear()
        # i03 at 0.2: a statement alone stops nothing. Its page is fetched while i02's receipt
        # is still on its way.
        self.send("i03")
        self.line.lost.add("/peer/v1/receipts")
        self._failing_sync()
        self.hour(0.5)
        payload = self.b.draft(
            agreement="A1",
            id="H1",
            verb="halt",
            office="duty",
            reason="Orders are being checked",
            scope={
                "direction": {"only": ["out"]},
                "kind": {"except": ["SL"]},
                "unit": {"only": ["B-NAV", "B-POL"]},
            },
            lasts_ms=24 * HOUR_MS,
        )
        code = self.b.refused("/api/directives", self.b.sign("directive", payload, "head"))
        self.expect("the wrong office is refused", got=code, wanted="authority.quorum")
        done = self.b.enact(payload, "duty")
        self.halted_at = time.monotonic()
        self.expect("the halt is in force", got=done["enacted"]["state"], wanted="in-force")
        self.expect("on every node", got=done["enacted"]["nodes"], wanted=["b.gw.example"])
        self.send("i04")
        self._failing_sync()
        covered = self.line.carried(ITEMS["i04"].id, since=self.halted_at)
        self.expect("0 bytes of covered items on the wire", got=covered, wanted=0)
        self.line.lost.clear()
        self.exchange()
        self.expect(
            "i02 and i03 end received, by W's receipts",
            got=self.states("i02", "i03"),
            wanted={"i02": "received", "i03": "received"},
        )
        self.expect("i04 is held", got=self.states("i04"), wanted={"i04": "held"})
        self.tell(
            f"H1 in force since {time_text(done['enacted']['in_force_ms'])}; "
            "0 covered bytes on the wire since"
        )

    def step_6(self) -> None:
        """Hour 4: D1 with 2 of 3 signatures; it takes over from H1 at one instant."""
        for name in ("i05", "i06", "i07", "i08", "i09", "i10"):
            self.send(name)
        self.send("j01")
        self.hour(4)
        payload = self.b.draft(
            agreement="A1",
            id="D1",
            verb="suspend",
            office="head",
            reason="Suspension ordered; guarantees of use are being negotiated",
            scope={
                "direction": {"only": ["out"]},
                "kind": {"except": ["SL"]},
                "unit": {"only": ["B-NAV", "B-POL"]},
            },
            supersedes=["H1"],
            review_ms=self.zero_ms + (4 + 30 * 24) * HOUR_MS,
        )
        code = self.b.refused("/api/directives", self.b.sign("directive", payload, "head"))
        self.expect("one signature is not enough", got=code, wanted="authority.quorum")
        in_force = [order["directive"] for order in self.b.standing()["orders"]]
        self.expect("and H1 still governs", got=in_force, wanted=["H1"])
        twice = ""
        try:
            self.b.sign("directive", payload, "head", "head")
        except DetenteError as error:
            twice = error.code
        self.expect("one key cannot sign twice", got=twice, wanted="envelope.signed")
        self.b.enact(payload, "head", "minister")
        orders = self.b.client.get("/api/directives", agreement="A1")["directives"]
        by_id = {one["order"]["directive"]: one["order"] for one in orders}
        self.expect(
            "H1 ends at the instant at which D1 begins",
            got=by_id["H1"]["until_ms"] == by_id["D1"]["since_ms"],
        )
        held = sorted(item["id"] for item in self.b.held("W"))
        wanted = sorted(ITEMS[name].id for name in ("i04", "i05", "i06", "i07", "i10"))
        self.expect("5 are held: i04 i05 i06 i07 i10", got=held, wanted=wanted)
        flows = {
            f["kind"]: f["state"] for f in self.b.standing()["flows"] if f["collection"] == "b-to-w"
        }
        self.expect(
            "B-FIU and safety of life stay open",
            got=(flows["SL"], "open: B-FIU" in flows["FI"]),
            wanted=("open", True),
        )
        self.tell(f"D1 in force since {time_text(by_id['D1']['since_ms'])}; 5 held")

    def step_7(self) -> None:
        """Hour 4: W knows of D1 at once; whoever pulls gets an explicit answer."""
        theirs = self.w.standing()
        self.expect(
            "W's node has D1 by notice",
            got=[order["directive"] for order in theirs["orders"]],
            wanted=["D1"],
        )
        self.expect(
            "both sides say the same", got=theirs["standing"], wanted=self.b.standing()["standing"]
        )
        done = self.exchange()
        self.expect("new objects of other kinds are still served", got=done["items"], wanted=2)
        done = self.w.sync("B", "A1")
        self.expect("then the pull is answered with D1", got="D1" in done["stopped"]["b-to-w"])
        made = self.b.call("/api/clients", name="w-taxii", party="W")
        answer = httpx.get(
            f"{self.b.address}/taxii2/A1/collections/b-to-w/objects/",
            params={"added_after": self.at(4)},
            auth=(made["name"], made["password"]),
            headers={"accept": "application/taxii+json;version=2.1"},
        )
        error = answer.json()
        self.expect(
            "by TAXII too, with an error and no object",
            got=(answer.status_code, "objects" in error),
            wanted=(403, False),
        )
        self.expect(
            "that names D1, since when, and whom to ask",
            got=(
                error["details"]["directives"],
                error["details"]["since"][:13],
                "duty@b.example" in error["details"]["contact"],
            ),
            wanted=("D1", self.at(4)[:13], True),
        )
        self.tell(error["description"])

    def step_8(self) -> None:
        """Hours 1 to 5: what is not covered, or exempt, is delivered."""
        self.expect(
            "i08 and i09 were received",
            got=self.states("i08", "i09"),
            wanted={"i08": "received", "i09": "received"},
        )
        why = " ".join(self.b.trace(ITEMS["i09"].id, "W")["reasons"])
        self.expect("i09 as exempt for safety of life", got="Exempt: safety of life" in why)
        why = " ".join(self.b.trace(ITEMS["i08"].id, "W")["reasons"])
        self.expect("i08 as not in the scope of D1", got="D1" not in why)
        self._w_narrows()

    def _w_narrows(self) -> None:
        """Hour 4.5: W keeps back persons; j02 stays at W (counted at the end)."""
        self.hour(4.5)
        payload = self.w.draft(
            agreement="A1",
            id="N1",
            verb="narrow",
            office="head",
            reason="Persons under review",
            scope={"direction": {"only": ["out"]}},
            remains={"kind": {"except": ["PE"]}},
            review_ms=self.zero_ms + 30 * 24 * HOUR_MS,
        )
        self.w.enact(payload, "duty", "head")
        self.send("j02")
        self.exchange()

    def step_13(self) -> None:
        """Hours 6.6 to 36: held tracks expire on the record and are never sent."""
        self.hour(6.59)
        self.expect(
            "i04 still waits just before its hour", got=self.states("i04"), wanted={"i04": "held"}
        )
        self.hour(6.61)
        self.expect(
            "i04 has expired",
            got=self.states("i04", "i05"),
            wanted={"i04": "expired", "i05": "held"},
        )
        self.hour(7.01)
        self.expect("so has i05", got=self.states("i05"), wanted={"i05": "expired"})
        self.send("i11")
        self.hour(36.01)
        self.expect("and i11", got=self.states("i11"), wanted={"i11": "expired"})
        sent = sum(self.line.carried(ITEMS[name].id) for name in ("i04", "i05", "i11"))
        self.expect("none was ever sent", got=sent, wanted=0)
        self.send("i12")
        self.hour(45)
        self.exchange()
        held = sorted(item["id"] for item in self.b.held("W"))
        wanted = sorted(ITEMS[name].id for name in ("i06", "i07", "i10", "i12"))
        self.expect("4 are held at hour 45", got=held, wanted=wanted)
        self.tell("3 expired, 4 held")

    def step_15(self) -> None:
        """Hour 46: D2 needs 3 signatures with the minister's, and waits for its assurance."""
        self.hour(46)
        scope = {
            "direction": {"only": ["out"]},
            "kind": {"except": ["SL"]},
            "unit": {"only": ["B-NAV", "B-POL"]},
        }
        payload = self.b.draft(
            agreement="A1",
            id="D2",
            verb="resume",
            office="minister",
            reason="Sharing on guarantees of use",
            scope=scope,
            supersedes=["D1"],
            conditions=[
                {"template": "AS", "scope": {**scope, "kind": {"only": ["FI", "PE", "VI", "VT"]}}}
            ],
            purposes=[ARREST, "prosecution", "safety-of-life"],
            end_ms=self.zero_ms + (46 + 90 * 24) * HOUR_MS,
            review_ms=self.zero_ms + (46 + 30 * 24) * HOUR_MS,
        )
        code = self.b.refused("/api/directives", self.b.sign("directive", payload, "head", "duty"))
        self.expect("two signatures are not enough", got=code, wanted="authority.quorum")
        in_force = [
            order["directive"] for order in self.b.standing()["orders"] if order["issuer"] == "B"
        ]
        self.expect("and D1 still governs", got=in_force, wanted=["D1"])
        self.b.enact(payload, "duty", "head", "minister")
        self.send("i13")
        before = time.monotonic()
        done = self.exchange()
        self.expect(
            "the feed waits for the assurance",
            got="waits for an assurance" in done["stopped"].get("b-to-w", ""),
        )
        self.expect("i13 is held", got=self.states("i13"), wanted={"i13": "held"})
        covered = sum(self.line.carried(ITEMS[n].id, since=before) for n in ("i06", "i12", "i13"))
        self.expect("covered bytes are still 0", got=covered, wanted=0)
        self.tell("D2 in force; B waits for W's assurance")

    def step_16(self) -> None:
        """Hour 47: AS1 releases i06, i12, i13 exactly once, though B is killed between two."""
        self.hour(47)
        payload = self.w.call(
            "/api/assurances/draft",
            agreement="A1",
            id="AS1",
            template="AS",
            holder="B",
            office="head",
            kinds=["FI", "VI", "VT"],
        )["payload"].encode()
        code = self.w.refused("/api/assurances", self.w.sign("assurance", payload, "duty"))
        self.expect("a signer without the power is refused", got=code, wanted="authority.quorum")
        self.w.client.post("/api/assurances", self.w.sign("assurance", payload, "head"))
        self._kill_between_deliveries()
        names = ("i06", "i12", "i13")
        self.expect(
            "i06, i12 and i13 were received",
            got=self.states(*names),
            wanted=dict.fromkeys(names, "received"),
        )
        receipts = [
            page["receipt"]
            for name in names
            for page in self.b.trace(ITEMS[name].id, "W")["pages"]
            if page["receipt"]
        ]
        self.expect(
            "by 3 receipts, each another", got=(len(receipts), len(set(receipts))), wanted=(3, 3)
        )
        why = self.b.trace(ITEMS["i07"].id, "W")
        self.expect(
            "i07 is held for want of an assurance for persons",
            got=(why["state"], any("assurance.awaiting" in r for r in why["reasons"])),
            wanted=("held", True),
        )
        carried = [self.b.trace(ITEMS[name].id, "W") for name in names]
        self.expect(
            "each carries D2, AS1 and its purpose",
            got=all(
                "D2" in " ".join(t["reasons"])
                and "AS1" in " ".join(t["reasons"])
                and t["purpose"] == ARREST
                for t in carried
            ),
        )
        self.tell("i06, i12, i13 delivered once each; B was killed in between and came back")

    def _kill_between_deliveries(self) -> None:
        """One item a page; after the first page B dies before anything else is said."""
        killed: list[float] = []

        def kill(path: str) -> None:
            if path == "/peer/v1/page" and not killed:
                self.b.kill()
                killed.append(time.monotonic())

        self.line.after_answer = kill
        with contextlib.suppress(DetenteError):
            self.w.sync("B", "A1", limit=1)
        self.line.after_answer = None
        self.expect("B was killed between two deliveries", got=len(killed), wanted=1)
        self.b.start()
        self.w.sync("B", "A1", limit=1)
        self.exchange()

    def step_20(self) -> None:
        """Hours 48 to 72: the last items, the sums, and the record verified by itself."""
        self.send("i14")
        self.exchange()
        self.hour(49)
        body = {"agreement": "A1", "item": ITEMS["i10"].id, "party": "W", "by": "head"}
        self.b.call("/api/holds/release", **body)
        self.exchange()
        self.hour(72)
        self.exchange()
        outbound = Counter(self.states(*(n for n in ITEMS if n.startswith("i"))).values())
        self.expect(
            "14 sent out are 10 received, 3 expired, 1 held",
            got=dict(outbound),
            wanted={"received": 10, "expired": 3, "held": 1},
        )
        inbound = Counter(self.states("j01", "j02").values())
        self.expect(
            "2 sent in are 1 received, 1 held", got=dict(inbound), wanted={"received": 1, "held": 1}
        )
        self._at_the_other_side()
        for node in (self.b, self.w):
            self._verify(node)
        self._timeline()

    def _at_the_other_side(self) -> None:
        """W reads its own copy: exactly the ten, byte for byte."""
        raws = self._read_copy("A1", "b-to-w")
        wanted = {
            encoded(ITEMS[n])
            for n in ITEMS
            if n.startswith("i") and n not in ("i04", "i05", "i07", "i11")
        }
        self.expect(
            "W holds exactly the ten, byte for byte, none twice",
            got=(len(raws), set(raws) == wanted),
            wanted=(10, True),
        )

    def _read_copy(self, agreement: str, collection: str) -> list[bytes]:
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

    def _verify(self, node: NodeProcess) -> None:
        """Another program checks a copy of the record, and finds one changed byte."""
        copy = self.run / f"record-{node.party}"
        done = detente("ledger", "export", str(node.folder), str(copy), "--json")
        self.expect(f"{node.party}'s record is exported", got=done.returncode, wanted=0)
        done = detente("ledger", "verify", str(copy), "--json")
        report = json.loads(done.stdout or "{}")
        self.expect(
            f"{node.party}'s record holds, offline",
            got=(done.returncode, report.get("ok"), report.get("faults")),
            wanted=(0, True, []),
        )
        spoilt = self.run / f"spoilt-{node.party}"
        shutil.copytree(copy, spoilt)
        ledger = next(log for log in report["logs"] if log["origin"].endswith("/A1"))
        self.facts[f"ledger {node.party}"] = ledger
        bundle = next((spoilt / "ledgers").glob("1/tile/entries/*"))
        bundle = bundle if bundle.is_file() else next(bundle.iterdir())
        data = bytearray(bundle.read_bytes())
        data[len(data) // 2] ^= 1
        bundle.write_bytes(data)
        done = detente("ledger", "verify", str(spoilt), "--json")
        places = [fault["place"] for fault in json.loads(done.stdout or "{}").get("faults", [])]
        self.expect(
            f"one changed byte in {node.party}'s record is found and named",
            got=(done.returncode, any(" entry " in place for place in places)),
            wanted=(5, True),
        )
        self.tell(
            f"{node.party}: {ledger['size']} entries, {ledger['pages']} pages, "
            f"{ledger['cosigned']} cosigned: the record holds; one changed byte is found at "
            f"{next((p for p in places if ' entry ' in p), '?')}"
        )

    def _timeline(self) -> None:
        """Who ordered what since when, the same on both sides."""
        lines = [
            {
                one["order"]["directive"]: one["order"]["since_ms"]
                for one in node.client.get("/api/directives", agreement="A1")["directives"]
            }
            for node in (self.b, self.w)
        ]
        self.expect("both sides tell the same orders and instants", got=lines[0], wanted=lines[1])
        hours = {name: round((ms - self.zero_ms) / HOUR_MS, 2) for name, ms in lines[0].items()}
        self.expect(
            "halt 0.5, directive 4, resumption 46",
            got=(hours["H1"], hours["D1"], hours["D2"]),
            wanted=(0.5, 4.0, 46.0),
        )
        self.facts["hours"] = hours

    # --- a bundle given by the operator --------------------------------------------------------

    def input_step(self, given: str) -> Callable[[Story], None]:
        """Publish a given STIX bundle and account for each of its objects."""

        def play(story: Story) -> None:
            story.play_input(Path(given))

        return play

    def play_input(self, path: Path) -> None:
        """Every object is delivered or refused with a reason; W holds exactly the delivered."""
        body = path.read_bytes()
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        charters = (self.b.folder / "charter.json", self.w.folder / "charter.json")
        a3 = self._draft_agreement("a3", *charters)
        self._sign_agreement(a3, self.b.key("head"), self.w.key("head"))
        for node in (self.b, self.w):
            node.client.post("/api/agreements", a3.read_bytes())
        self.b.call("/api/peers", party="W", agreement="A3", address=self.w.address)
        self.w.call("/api/peers", party="B", agreement="A3", address=self.line.address)
        done = self.b.publish("reference", body, unit="B-NAV", partial="true")
        self.w.sync("B", "A3")
        whole = cut(body, Limits())
        refused = {one["index"]: one for one in done["refused"]}
        accepted = [one for one in whole.objects if one.index not in refused]
        total = len(whole.objects) + len(whole.refusals)
        raws = self._read_copy("A3", "reference") if accepted else []
        have = Counter(raws)
        held_ids = {item["id"] for item in self.b.held("W") if item["collection"] == "reference"}
        rows: dict[str, Counter[str]] = {}
        for one in accepted:
            state = "delivered" if have[one.raw] else "held" if one.id in held_ids else "LOST"
            rows.setdefault(one.type, Counter())[state] += 1
        for item in refused.values():
            rows.setdefault(item["type"] or "unknown", Counter())["refused"] += 1
        lost = sum(row["LOST"] for row in rows.values())
        self.expect(
            "every object is delivered, held, or refused with a reason",
            got=(lost, sum(sum(row.values()) for row in rows.values())),
            wanted=(0, total),
        )
        delivered = {one.raw for one in accepted if have[one.raw]}
        self.expect(
            "W holds exactly the delivered, byte for byte, none twice",
            got=(set(raws) == delivered, len(raws)),
            wanted=(True, len(delivered)),
        )
        self.facts["types"] = {kind: dict(row) for kind, row in sorted(rows.items())}
        self.facts["warnings"] = len(done["warnings"])
        for kind, row in sorted(rows.items()):
            self.tell(f"{kind:32} " + ", ".join(f"{n} {state}" for state, n in row.items()))
        for item in list(refused.values())[:10]:
            self.tell(f"refused {item['id'] or item['index']}: {item['sentence']}")

    def close(self) -> None:
        """End both nodes and the line."""
        self.line.close()
        for node in (self.b, self.w):
            node.stop()
