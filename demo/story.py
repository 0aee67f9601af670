"""The story: what happens in each step, and what must be so afterwards."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import warnings
from collections import Counter

import httpx
from items import ITEMS, encoded
from nodes import NodeProcess, detente
from stage import ARREST, GRADE, HOUR_MS, Stage
from taxii2client.v21 import Server

from detente.errors import DetenteError
from detente.rules.times import time_text


def step_1(stage: Stage) -> None:
    """Hour -3: A1 signed by B and W; one signature missing is not in force."""
    stage.hour(-3)
    charters = (stage.b.folder / "charter.json", stage.w.folder / "charter.json")
    a1 = stage.draft_agreement("a1", *charters)
    stage.sign_agreement(a1, stage.b.key("head"))
    code = stage.b.refused("/api/agreements", a1.read_bytes())
    stage.expect("one signature missing is refused", got=code, wanted="agreement.unsigned")
    known = stage.b.client.get("/api/node")["agreements"]
    stage.expect("and A1 is not in force", got=known, wanted=[])
    stage.sign_agreement(a1, stage.w.key("head"))
    for node in (stage.b, stage.w):
        node.client.post("/api/agreements", a1.read_bytes())
    stage.b.call("/api/peers", party="W", agreement="A1", address=stage.w.address)
    stage.w.call("/api/peers", party="B", agreement="A1", address=stage.line.address)
    ours, theirs = stage.b.standing(), stage.w.standing()
    stage.expect("both nodes say the same standing", got=ours["standing"] == theirs["standing"])
    flows = Counter(flow["state"] for flow in ours["flows"])
    stage.expect("open for 6 kinds in 2 directions", got=dict(flows), wanted={"open": 12})
    cosigned = [stage.w.sync("B", "A1")["cosigned"], stage.b.sync("W", "A1")["cosigned"]]
    stage.expect("both ledgers cosigned", got=all(size for size in cosigned))
    stage.tell(f"A1 in force at {stage.at(-3)}; standing {ours['standing'][:16]}… on both sides")


def step_2(stage: Stage) -> None:
    """Hour -2: i01; no purpose or no grade is refused with its code."""
    stage.hour(-2)
    body = encoded(ITEMS["i01"])
    said = {"collection": "b-to-w", "kind": "VT", "unit": "B-NAV"}
    code = stage.b.refused("/api/publish", body, grade=GRADE, **said)
    stage.expect("without a purpose it is refused", got=code, wanted="publish.purpose")
    code = stage.b.refused("/api/publish", body, purpose=ARREST, **said)
    stage.expect("without a grade it is refused", got=code, wanted="publish.grade")
    stage.send("i01")
    stage.exchange()
    trace = stage.b.trace(ITEMS["i01"].id, "W")
    stage.expect("i01 was received", got=trace["state"], wanted="received")
    stage.expect(
        "with one signed receipt",
        got=len([p for p in trace["pages"] if p["receipt"]]),
        wanted=1,
    )
    stage.expect(
        "the trace is one row with its purpose",
        got=(len(trace["pages"]), trace["purpose"]),
        wanted=(1, ARREST),
    )
    stage.tell(f"i01 received by W, receipt {trace['pages'][0]['receipt'][:16]}…")
    _third_party(stage)


def _third_party(stage: Stage) -> None:
    """K reads its own collection with a stock TAXII 2.1 client."""
    charters = (stage.b.folder / "charter.json", stage.run / "k.charter")
    a2 = stage.draft_agreement("a2", *charters)
    stage.sign_agreement(a2, stage.b.key("head"), stage.run / "k-head.key")
    stage.b.client.post("/api/agreements", a2.read_bytes())
    made = stage.b.call("/api/clients", name="k-rcc", party="K")
    item = encoded(ITEMS["i09"])
    stage.b.publish("b-to-k", item, purpose="safety-of-life", grade=GRADE, unit="B-NAV")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = Server(f"{stage.b.address}/taxii2/", user=made["name"], password=made["password"])
        roots = [root.title for root in server.api_roots]
        collection = server.api_roots[0].collections[0]
        objects = collection.get_objects().get("objects", [])
    stage.expect(
        "K sees its own agreement only", got=roots, wanted=["Rescue information from B to K"]
    )
    stage.expect("K reads the item as it was published", got=objects, wanted=[ITEMS["i09"].object])
    stage.tell("K read 1 object by TAXII 2.1 with a stock client")


def between(stage: Stage, number: int) -> None:
    """What is published and fetched between the steps."""
    if number == 2:
        # The page with i02 reaches W, but W's receipt is lost on the way back.
        stage.send("i02")
        stage.line.lost.add("/peer/v1/receipts")
        stage.failing_sync()
    elif number == 3:
        stage.hour(0.2)


def step_4(stage: Stage) -> None:
    """Hour 0.5: one duty officer halts; nothing covered leaves after the answer."""
    stage.expect("i02 is in flight", got=stage.states("i02"), wanted={"i02": "in flight"})
    stage.line.lost.clear()
    # i03 at 0.2: a statement alone stops nothing. Its page is fetched while i02's receipt
    # is still on its way.
    stage.send("i03")
    stage.line.lost.add("/peer/v1/receipts")
    stage.failing_sync()
    stage.hour(0.5)
    payload = stage.b.draft(
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
    code = stage.b.refused("/api/directives", stage.b.sign("directive", payload, "head"))
    stage.expect("the wrong office is refused", got=code, wanted="authority.quorum")
    done = stage.b.enact(payload, "duty")
    stage.halted_at = time.monotonic()
    stage.expect("the halt is in force", got=done["enacted"]["state"], wanted="in-force")
    stage.expect("on every node", got=done["enacted"]["nodes"], wanted=["b.gw.example"])
    stage.send("i04")
    stage.failing_sync()
    covered = stage.line.carried(ITEMS["i04"].id, since=stage.halted_at)
    stage.expect("0 bytes of covered items on the wire", got=covered, wanted=0)
    stage.line.lost.clear()
    stage.exchange()
    stage.expect(
        "i02 and i03 end received, by W's receipts",
        got=stage.states("i02", "i03"),
        wanted={"i02": "received", "i03": "received"},
    )
    stage.expect("i04 is held", got=stage.states("i04"), wanted={"i04": "held"})
    stage.tell(
        f"H1 in force since {time_text(done['enacted']['in_force_ms'])}; "
        "0 covered bytes on the wire since"
    )


#: ST1, the statement of hour 0, in the words of this demonstration.
POST = (
    "He dado la orden a todos los niveles de la inteligencia de la fuerza pública de suspender el "
    "envío de comunicaciones y otros tratos con las agencias de seguridad del otro Estado, "
    "mientras duren los ataques con misiles."
)


def step_5(stage: Stage) -> None:
    """Hours 1 to 3: the post's words as they are are no order, and cannot be made one."""
    done = detente("directive", "lint", "--text", POST, "--language", "es", "--json")
    found = sorted({one["code"] for one in json.loads(done.stdout)["findings"]})
    wanted = {"L01", "L02", "L06", "L07", "L08", "L09"}
    stage.expect("the words are refused", got=done.returncode, wanted=2)
    stage.expect("for what they leave open", got=wanted <= set(found))
    fields = json.loads(
        stage.b.draft(
            agreement="A1",
            id="D0",
            verb="suspend",
            office="head",
            reason="As was said in public",
            scope={"direction": {"only": ["out"]}},
            supersedes=["H1"],
        )
    )
    # What the post does not say is taken out again.
    said = ("acts", "addressees", "exemptions", "held", "in_transit", "notice", "start_on")
    bare = {name: value for name, value in fields.items() if name not in said}
    bare["review_ms"] = stage.zero_ms + 30 * 24 * HOUR_MS
    payload = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    code = stage.b.refused(
        "/api/directives", stage.b.sign("directive", payload, "head", "minister")
    )
    stage.expect("and signed by two all the same, not enacted", got=code, wanted="directive.lint")
    in_force = [order["directive"] for order in stage.b.standing()["orders"]]
    stage.expect("H1 still governs", got=in_force, wanted=["H1"])
    stage.tell(f"the words give {', '.join(found)}")


def step_6(stage: Stage) -> None:
    """Hour 4: D1 with 2 of 3 signatures; it takes over from H1 at one instant."""
    for name in ("i05", "i06", "i07", "i08", "i09", "i10"):
        stage.send(name)
    stage.send("j01")
    stage.hour(4)
    payload = stage.b.draft(
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
        review_ms=stage.zero_ms + (4 + 30 * 24) * HOUR_MS,
    )
    _foresee_d1(stage, payload)
    code = stage.b.refused("/api/directives", stage.b.sign("directive", payload, "head"))
    stage.expect("one signature is not enough", got=code, wanted="authority.quorum")
    in_force = [order["directive"] for order in stage.b.standing()["orders"]]
    stage.expect("and H1 still governs", got=in_force, wanted=["H1"])
    twice = ""
    try:
        stage.b.sign("directive", payload, "head", "head")
    except DetenteError as error:
        twice = error.code
    stage.expect("one key cannot sign twice", got=twice, wanted="envelope.signed")
    stage.b.enact(payload, "head", "minister")
    orders = stage.b.client.get("/api/directives", agreement="A1")["directives"]
    by_id = {one["order"]["directive"]: one["order"] for one in orders}
    stage.expect(
        "H1 ends at the instant at which D1 begins",
        got=by_id["H1"]["until_ms"] == by_id["D1"]["since_ms"],
    )
    held = sorted(item["id"] for item in stage.b.held("W"))
    wanted = sorted(ITEMS[name].id for name in ("i04", "i05", "i06", "i07", "i10"))
    stage.expect("5 are held: i04 i05 i06 i07 i10", got=held, wanted=wanted)
    flows = {
        f["kind"]: f["state"] for f in stage.b.standing()["flows"] if f["collection"] == "b-to-w"
    }
    stage.expect(
        "B-FIU and safety of life stay open",
        got=(flows["SL"], "open: B-FIU" in flows["FI"]),
        wanted=("open", True),
    )
    stage.tell(f"D1 in force since {time_text(by_id['D1']['since_ms'])}; 5 held")


def _foresee_d1(stage: Stage, payload: bytes) -> None:
    """The preview: what would wait, what stays open and why, and what else stands there."""
    found = stage.b.foresee(payload)
    effect = found["effect"]
    kept = sum(one["count"] for one in effect["moves"] if one["after"] == "held")
    stage.expect(
        "it is foreseen that 5 wait and 0 are in flight",
        got=(kept, effect["in_flight"]),
        wanted=(5, 0),
    )
    flows = {f["kind"]: f["after"] for f in effect["flows"] if f["collection"] == "b-to-w"}
    stage.expect(
        "that safety of life and B-FIU stay open",
        got=(effect["exempt"], flows["SL"], "open: B-FIU" in flows["FI"]),
        wanted=(["SL"], "open", True),
    )
    stage.expect(
        "and that it ends H1 and meets no other",
        got=[(one["directive"], one["then"]) for one in effect["others"]],
        wanted=[("H1", "ends")],
    )
    stage.expect("the digest of this is what will be signed", got=found["drift"], wanted=[])


def step_7(stage: Stage) -> None:
    """Hour 4: W knows of D1 at once; whoever pulls gets an explicit answer."""
    # The answer to an order waits a second at most for the partner to be told.
    stage.until(lambda: any(one["directive"] == "D1" for one in stage.w.standing()["orders"]))
    theirs = stage.w.standing()
    stage.expect(
        "W's node has D1 by notice",
        got=[order["directive"] for order in theirs["orders"]],
        wanted=["D1"],
    )
    stage.expect(
        "both sides say the same", got=theirs["standing"], wanted=stage.b.standing()["standing"]
    )
    done = stage.exchange()
    stage.expect("new objects of other kinds are still served", got=done["items"], wanted=2)
    done = stage.w.sync("B", "A1")
    stage.expect("then the pull is answered with D1", got="D1" in done["stopped"]["b-to-w"])
    made = stage.b.call("/api/clients", name="w-taxii", party="W")
    answer = httpx.get(
        f"{stage.b.address}/taxii2/A1/collections/b-to-w/objects/",
        params={"added_after": stage.at(4)},
        auth=(made["name"], made["password"]),
        headers={"accept": "application/taxii+json;version=2.1"},
    )
    error = answer.json()
    stage.expect(
        "by TAXII too, with an error and no object",
        got=(answer.status_code, "objects" in error),
        wanted=(403, False),
    )
    stage.expect(
        "that names D1, since when, and whom to ask",
        got=(
            error["details"]["directives"],
            error["details"]["since"][:13],
            "duty@b.example" in error["details"]["contact"],
        ),
        wanted=("D1", stage.at(4)[:13], True),
    )
    stage.tell(error["description"])


def step_8(stage: Stage) -> None:
    """Hours 1 to 5: what is not covered, or exempt, is delivered."""
    stage.expect(
        "i08 and i09 were received",
        got=stage.states("i08", "i09"),
        wanted={"i08": "received", "i09": "received"},
    )
    exempt, unit = (stage.b.why(ITEMS[name].id, "W") for name in ("i09", "i08"))
    stage.expect(
        "i09 as exempt for safety of life, whatever D1 says",
        got=[(one["code"], "D1" in one["words"]) for one in exempt["causes"]],
        wanted=[("agreement", False), ("exempt", True)],
    )
    stage.expect(
        "i08 under A1, its unit not in the scope of D1",
        got=([one["code"] for one in unit["causes"]], "D1" in json.dumps(unit)),
        wanted=(["agreement"], False),
    )
    held = stage.b.why(ITEMS["i06"].id, "W")
    stage.expect(
        "and i06 is held by D1, and it is said what would change that",
        got=(
            held["state"],
            [one["code"] for one in held["causes"]],
            [bool(one["remedy"]) for one in held["causes"]],
        ),
        wanted=("held", ["directive"], [True]),
    )
    stage.tell(f"i06: {held['causes'][0]['words']} {held['causes'][0]['remedy']}")


def step_10(stage: Stage) -> None:
    """Hours 3 to 4.5: W keeps back persons; both sides' orders stand, and each sees both."""
    stage.hour(4.5)
    payload = stage.w.draft(
        agreement="A1",
        id="N1",
        verb="narrow",
        office="head",
        reason="Persons under review",
        scope={"direction": {"only": ["out"]}},
        remains={"kind": {"except": ["PE"]}},
        review_ms=stage.zero_ms + 30 * 24 * HOUR_MS,
    )
    stage.w.enact(payload, "duty", "head")
    stage.send("j02")
    stage.exchange()
    stage.until(lambda: any(one["directive"] == "N1" for one in stage.b.standing()["orders"]))
    sides = [stage.b.standing(), stage.w.standing()]
    stage.expect(
        "each side sees D1 and N1",
        got=[sorted(one["directive"] for one in side["orders"]) for side in sides],
        wanted=[["D1", "N1"]] * 2,
    )
    stage.expect("and says the same", got=sides[0]["standing"] == sides[1]["standing"])
    flows = [{(f["collection"], f["kind"]): f for f in side["flows"]} for side in sides]
    stage.expect("the same of every flow", got=flows[0] == flows[1])
    held = {place for place, flow in flows[0].items() if flow["state"] == "held"}
    stage.expect(
        "from W only persons are held, by N1",
        got=(
            {kind for collection, kind in held if collection == "w-to-b"},
            flows[0]["w-to-b", "PE"]["by"],
        ),
        wanted=({"PE"}, ["N1"]),
    )
    stage.expect("j01 was received", got=stage.states("j01"), wanted={"j01": "received"})
    stage.expect("j02 is held at W", got=stage.states("j02"), wanted={"j02": "held"})
    stage.expect("and is not at B", got=stage.b.knows(ITEMS["j02"].id), wanted=False)
    stage.tell("D1 (B) and N1 (W) stand together; j02 waits at W")


def step_13(stage: Stage) -> None:
    """Hours 6.6 to 36: held tracks expire on the record and are never sent."""
    stage.hour(6.59)
    stage.expect(
        "i04 still waits just before its hour", got=stage.states("i04"), wanted={"i04": "held"}
    )
    stage.hour(6.61)
    stage.expect(
        "i04 has expired",
        got=stage.states("i04", "i05"),
        wanted={"i04": "expired", "i05": "held"},
    )
    stage.hour(7.01)
    stage.expect("so has i05", got=stage.states("i05"), wanted={"i05": "expired"})
    stage.send("i11")
    stage.hour(36.01)
    stage.expect("and i11", got=stage.states("i11"), wanted={"i11": "expired"})
    sent = sum(stage.line.carried(ITEMS[name].id) for name in ("i04", "i05", "i11"))
    stage.expect("none was ever sent", got=sent, wanted=0)
    stage.send("i12")
    stage.hour(45)
    stage.exchange()
    held = sorted(item["id"] for item in stage.b.held("W"))
    wanted = sorted(ITEMS[name].id for name in ("i06", "i07", "i10", "i12"))
    stage.expect("4 are held at hour 45", got=held, wanted=wanted)
    stage.tell("3 expired, 4 held")


def step_14(stage: Stage) -> None:
    """Hour 45: D2 is drafted, and what it would do is foreseen by the rules that will do it."""
    scope = {
        "direction": {"only": ["out"]},
        "kind": {"except": ["SL"]},
        "unit": {"only": ["B-NAV", "B-POL"]},
    }
    stage.d2 = stage.b.draft(
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
        end_ms=stage.zero_ms + (46 + 90 * 24) * HOUR_MS,
        review_ms=stage.zero_ms + (46 + 30 * 24) * HOUR_MS,
    )
    found = stage.b.foresee(stage.d2)
    effect = found["effect"]
    moves: Counter[tuple[str, str]] = Counter()
    for one in effect["moves"]:
        moves[one["kind"], one["after"]] += one["count"]
    stage.expect(
        "of 4 held, 3 then wait for an assurance, 2 of them for VI and 1 for PE; 1 is reviewed",
        got=dict(moves),
        wanted={("VI", "held"): 2, ("PE", "held"): 1, ("RA", "under review"): 1},
    )
    waits = [r for one in effect["moves"] if one["after"] == "held" for r in one["reasons"]]
    stage.expect("by D2 for want of AS", got=all("assurance.awaiting" in r for r in waits))
    stage.expect(
        "D1 ends, and W's own N1 is seen to stand",
        got=[(one["issuer"], one["directive"], one["then"]) for one in effect["others"]],
        wanted=[("B", "D1", "ends"), ("W", "N1", "stays")],
    )
    told = [one["words"] for one in effect["seen"] if one["collection"] == "b-to-w"]
    stage.expect("W would be told what it has to assure", got="assurance under" in told[0])
    findings = stage.b.client.post("/api/directives/lint", stage.b.sign("directive", stage.d2))
    stage.expect("and nothing in it can be misread", got=findings["findings"], wanted=[])
    given = {one["kind"]: one["count"] for one in effect["history"]}
    stage.tell(
        f"foreseen: {effect['held']} more held, {effect['reviewed']} to review; cost {given}"
    )


def step_15(stage: Stage) -> None:
    """Hour 46: D2 needs 3 signatures with the minister's, and waits for its assurance."""
    stage.hour(46)
    payload = stage.d2
    code = stage.b.refused("/api/directives", stage.b.sign("directive", payload, "head", "duty"))
    stage.expect("two signatures are not enough", got=code, wanted="authority.quorum")
    in_force = [
        order["directive"] for order in stage.b.standing()["orders"] if order["issuer"] == "B"
    ]
    stage.expect("and D1 still governs", got=in_force, wanted=["D1"])
    stage.b.enact(payload, "duty", "head", "minister")
    stage.send("i13")
    before = time.monotonic()
    done = stage.exchange()
    stage.expect(
        "the feed waits for the assurance",
        got="waits for an assurance" in done["stopped"].get("b-to-w", ""),
    )
    stage.expect("i13 is held", got=stage.states("i13"), wanted={"i13": "held"})
    covered = sum(stage.line.carried(ITEMS[n].id, since=before) for n in ("i06", "i12", "i13"))
    stage.expect("covered bytes are still 0", got=covered, wanted=0)
    stage.tell("D2 in force; B waits for W's assurance")


def step_16(stage: Stage) -> None:
    """Hour 47: AS1 releases i06, i12, i13 exactly once, though B is killed between two."""
    stage.hour(47)
    payload = stage.w.call(
        "/api/assurances/draft",
        agreement="A1",
        id="AS1",
        template="AS",
        holder="B",
        office="head",
        kinds=["FI", "VI", "VT"],
    )["payload"].encode()
    code = stage.w.refused("/api/assurances", stage.w.sign("assurance", payload, "duty"))
    stage.expect("a signer without the power is refused", got=code, wanted="authority.quorum")
    stage.w.client.post("/api/assurances", stage.w.sign("assurance", payload, "head"))
    _kill_between_deliveries(stage)
    names = ("i06", "i12", "i13")
    stage.expect(
        "i06, i12 and i13 were received",
        got=stage.states(*names),
        wanted=dict.fromkeys(names, "received"),
    )
    receipts = [
        page["receipt"]
        for name in names
        for page in stage.b.trace(ITEMS[name].id, "W")["pages"]
        if page["receipt"]
    ]
    stage.expect(
        "by 3 receipts, each another", got=(len(receipts), len(set(receipts))), wanted=(3, 3)
    )
    why = stage.b.trace(ITEMS["i07"].id, "W")
    stage.expect(
        "i07 is held for want of an assurance for persons",
        got=(why["state"], any("assurance.awaiting" in r for r in why["reasons"])),
        wanted=("held", True),
    )
    carried = [stage.b.trace(ITEMS[name].id, "W") for name in names]
    stage.expect(
        "each carries D2, AS1 and its purpose",
        got=all(
            "D2" in " ".join(t["reasons"])
            and "AS1" in " ".join(t["reasons"])
            and t["purpose"] == ARREST
            for t in carried
        ),
    )
    stage.tell("i06, i12, i13 delivered once each; B was killed in between and came back")


def _kill_between_deliveries(stage: Stage) -> None:
    """One item a page; after the first page B dies before anything else is said."""
    killed: list[float] = []

    def kill(path: str) -> None:
        if path == "/peer/v1/page" and not killed:
            stage.b.kill()
            killed.append(time.monotonic())

    stage.line.after_answer = kill
    with contextlib.suppress(DetenteError):
        stage.w.sync("B", "A1", limit=1)
    stage.line.after_answer = None
    stage.expect("B was killed between two deliveries", got=len(killed), wanted=1)
    stage.b.start()
    stage.w.sync("B", "A1", limit=1)
    stage.exchange()


def step_20(stage: Stage) -> None:
    """Hours 48 to 72: the last items, the sums, and the record verified by itstage."""
    stage.send("i14")
    stage.exchange()
    stage.hour(49)
    body = {"agreement": "A1", "item": ITEMS["i10"].id, "party": "W", "by": "head"}
    stage.b.call("/api/holds/release", **body)
    stage.exchange()
    stage.hour(72)
    stage.exchange()
    outbound = Counter(stage.states(*(n for n in ITEMS if n.startswith("i"))).values())
    stage.expect(
        "14 sent out are 10 received, 3 expired, 1 held",
        got=dict(outbound),
        wanted={"received": 10, "expired": 3, "held": 1},
    )
    inbound = Counter(stage.states("j01", "j02").values())
    stage.expect(
        "2 sent in are 1 received, 1 held", got=dict(inbound), wanted={"received": 1, "held": 1}
    )
    _at_the_other_side(stage)
    for node in (stage.b, stage.w):
        _verify(stage, node)
    _timeline(stage)


def _at_the_other_side(stage: Stage) -> None:
    """W reads its own copy: exactly the ten, byte for byte."""
    raws = stage.read_copy("A1", "b-to-w")
    wanted = {
        encoded(ITEMS[n])
        for n in ITEMS
        if n.startswith("i") and n not in ("i04", "i05", "i07", "i11")
    }
    stage.expect(
        "W holds exactly the ten, byte for byte, none twice",
        got=(len(raws), set(raws) == wanted),
        wanted=(10, True),
    )


def _verify(stage: Stage, node: NodeProcess) -> None:
    """Another program checks a copy of the record, and finds one changed byte."""
    copy = stage.run / f"record-{node.party}"
    done = detente("ledger", "export", str(node.folder), str(copy), "--json")
    stage.expect(f"{node.party}'s record is exported", got=done.returncode, wanted=0)
    done = detente("ledger", "verify", str(copy), "--json")
    report = json.loads(done.stdout or "{}")
    stage.expect(
        f"{node.party}'s record holds, offline",
        got=(done.returncode, report.get("ok"), report.get("faults")),
        wanted=(0, True, []),
    )
    spoilt = stage.run / f"spoilt-{node.party}"
    shutil.copytree(copy, spoilt)
    ledger = next(log for log in report["logs"] if log["origin"].endswith("/A1"))
    stage.facts[f"ledger {node.party}"] = ledger
    bundle = next((spoilt / "ledgers").glob("1/tile/entries/*"))
    bundle = bundle if bundle.is_file() else next(bundle.iterdir())
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    done = detente("ledger", "verify", str(spoilt), "--json")
    places = [fault["place"] for fault in json.loads(done.stdout or "{}").get("faults", [])]
    stage.expect(
        f"one changed byte in {node.party}'s record is found and named",
        got=(done.returncode, any(" entry " in place for place in places)),
        wanted=(5, True),
    )
    stage.tell(
        f"{node.party}: {ledger['size']} entries, {ledger['pages']} pages, "
        f"{ledger['cosigned']} cosigned: the record holds; one changed byte is found at "
        f"{next((p for p in places if ' entry ' in p), '?')}"
    )


def _timeline(stage: Stage) -> None:
    """Who ordered what since when, the same on both sides."""
    lines = [
        {
            one["order"]["directive"]: one["order"]["since_ms"]
            for one in node.client.get("/api/directives", agreement="A1")["directives"]
        }
        for node in (stage.b, stage.w)
    ]
    stage.expect("both sides tell the same orders and instants", got=lines[0], wanted=lines[1])
    hours = {name: round((ms - stage.zero_ms) / HOUR_MS, 2) for name, ms in lines[0].items()}
    stage.expect(
        "halt 0.5, directive 4, resumption 46",
        got=(hours["H1"], hours["D1"], hours["D2"]),
        wanted=(0.5, 4.0, 46.0),
    )
    stage.facts["hours"] = hours
