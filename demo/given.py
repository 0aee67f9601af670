"""A bundle given by the operator: every one of its objects is accounted for."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

from stage import Stage

from detente.wire.stix import Limits, cut

__all__ = ["play_input"]


def play_input(stage: Stage, path: Path) -> None:
    """Every object is delivered or refused with a reason; W holds exactly the delivered."""
    body = path.read_bytes()
    body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    charters = (stage.b.folder / "charter.json", stage.w.folder / "charter.json")
    a3 = stage.draft_agreement("a3", *charters)
    stage.sign_agreement(a3, stage.b.key("head"), stage.w.key("head"))
    for node in (stage.b, stage.w):
        node.client.post("/api/agreements", a3.read_bytes())
    stage.b.call("/api/peers", party="W", agreement="A3", address=stage.w.address)
    stage.w.call("/api/peers", party="B", agreement="A3", address=stage.line.address)
    done = stage.b.publish("reference", body, unit="B-NAV", partial="true")
    stage.w.sync("B", "A3")
    whole = cut(body, Limits())
    refused = {one["index"]: one for one in done["refused"]}
    accepted = [one for one in whole.objects if one.index not in refused]
    total = len(whole.objects) + len(whole.refusals)
    raws = stage.read_copy("A3", "reference") if accepted else []
    have = Counter(raws)
    held_ids = {item["id"] for item in stage.b.held("W") if item["collection"] == "reference"}
    rows: dict[str, Counter[str]] = {}
    for one in accepted:
        state = "delivered" if have[one.raw] else "held" if one.id in held_ids else "LOST"
        rows.setdefault(one.type, Counter())[state] += 1
    for item in refused.values():
        rows.setdefault(item.get("type", "unknown"), Counter())["refused"] += 1
    lost = sum(row["LOST"] for row in rows.values())
    stage.expect(
        "every object is delivered, held, or refused with a reason",
        got=(lost, sum(sum(row.values()) for row in rows.values())),
        wanted=(0, total),
    )
    delivered = {one.raw for one in accepted if have[one.raw]}
    stage.expect(
        "W holds exactly the delivered, byte for byte, none twice",
        got=(set(raws) == delivered, len(raws)),
        wanted=(True, len(delivered)),
    )
    stage.facts["types"] = {kind: dict(row) for kind, row in sorted(rows.items())}
    stage.facts["warnings"] = len(done["warnings"])
    for kind, row in sorted(rows.items()):
        stage.tell(f"{kind:32} " + ", ".join(f"{n} {state}" for state, n in row.items()))
    for item in list(refused.values())[:10]:
        stage.tell(f"refused {item.get('id', item['index'])}: {item['sentence']}")
