"""A sector's agreement with a thousand members: written from the template by a program, checked,
drafted, signed by all, and opened at the centre's node, within the sizes that the node takes."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detente.config import Config
from detente.faces.cli import app
from detente.faces.documents import charter_of, key_card, new_envelope
from detente.gateway.intake import Publication
from detente.model.codec import DOCUMENT_BYTES_MAX
from detente.node import init_node, running_node
from detente.proof import Ed25519Signer, add_signature
from tests.unit.faces.kit import compact, item
from tests.unit.wire.test_terms import as_toml

MEMBERS = 1_000
NAMES = [f"M{number}" for number in range(1, MEMBERS)]


def scaled(text: str) -> str:
    """The terms of the template with a thousand members, each with what M1 has in it."""
    said = tomllib.loads(text)
    for key in ("members", "collections", "oversight", "powers"):
        of = {"collections": "sender"}.get(key, "party")
        centre = [one for one in said[key] if one[of] == "CENTRE"]
        model = json.dumps([one for one in said[key] if one[of] == "M1"])
        said[key] = centre
        for number, name in enumerate(NAMES, start=1):
            own = model.replace("M1", name).replace("m1", name.lower())
            said[key] += json.loads(own.replace("0d01", f"{number:04x}"))
    said["collections"][0]["readers"] = NAMES
    times = ("from", "until", "review")
    lines = [f"{key} = {as_toml(one)}" for key, one in said.items() if key not in times]
    lines += [f"{key} = {said[key].isoformat()}" for key in times]
    return "\n".join(lines)


def told(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_thousand_members_agree_and_are_served(tmp_path: Path) -> None:
    async def story() -> None:
        config = Config(
            party="CENTRE", name="CENTRE", host="centre.example", exercise=True,
            units=("ANALYSIS",), listen="127.0.0.1:0",
        )  # fmt: skip
        folder = await init_node(tmp_path / "centre", config)
        charters, keys = [], []
        for number, party in enumerate(("CENTRE", *NAMES)):
            seats = {
                office: Ed25519Signer.from_seed((number * 2 + seat).to_bytes(32, "big"))
                for seat, office in enumerate(("duty", "head"), start=1)
            }
            own = None
            if party == "CENTRE":
                node = [folder.signer(name).public for name in ("node", "ledger", "witness")]
                own = ("centre.example", node[0], node[1], node[2])
            cards = {office: (key_card(key, f"{party} {office}"),) for office, key in seats.items()}
            unit = "ANALYSIS" if party == "CENTRE" else f"{party}-SOC"
            record = charter_of((party, party, (unit,), True), cards, (("head",), 1), own, 10**13)
            signed = add_signature(new_envelope("charter", record, exercise=True), seats["head"])
            charters.append(tmp_path / f"{party}.charter")
            charters[-1].write_bytes(signed.encode())
            keys.append(tmp_path / f"{party}.key")
            keys[-1].write_bytes(seats["head"].pem())
        terms, paper = tmp_path / "isac.toml", tmp_path / "isac.json"
        terms.write_text(scaled(CliRunner().invoke(app, ["agreement", "template", "isac"]).stdout))
        named = [word for path in charters for word in ("--charter", str(path))]
        assert told("agreement", "check", str(terms), *named)["gaps"] == []
        told("agreement", "draft", str(terms), "-o", str(paper), *named)
        by = [word for path in keys for word in ("--key", str(path))]
        assert told("agreement", "sign", str(paper), *by) == {"signatures": MEMBERS}
        assert paper.stat().st_size < 2 * DOCUMENT_BYTES_MAX
        assert len(told("agreement", "show", str(paper))["agreement"]["members"]) == MEMBERS
        async with running_node(folder) as (node, _):
            for path in charters:
                await node.orders.import_charter(path.read_bytes())
            opened = await node.orders.import_agreement(paper.read_bytes())
            assert opened.state == "in-force"
            body = compact({"objects": [item(1, "malware", is_family=False)]})
            publication = Publication(
                agreement="ISAC-1", collection="to-all", party="CENTRE", body=body
            )
            assert len((await node.intake.publish(publication)).ids) == 1
            states = [line.states for line in await node.ask.feeds("ISAC-1")]
            assert states == [{"queued": 1}] * MEMBERS
            assert len(node.ask.standing("ISAC-1").flows) == 2 * 4 * (MEMBERS - 1)

    asyncio.run(asyncio.wait_for(story(), 280))
