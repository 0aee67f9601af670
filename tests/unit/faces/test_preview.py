"""A draft says what it would do, over the API and for a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from detente.errors import Conflict
from detente.faces.cli_effect import effect_lines
from detente.faces.documents import new_envelope
from detente.model import (
    Directive,
    Effect,
    Expiring,
    FlowChange,
    Moved,
    OtherOrder,
    Seen,
    Withheld,
    decode,
    digest,
)
from tests.unit.faces import kit
from tests.unit.faces.kit import Site, compact, item, play

DRAFT = {
    "agreement": "T1",
    "id": "D1",
    "verb": "suspend",
    "office": "head",
    "reason": "test",
    "scope": {"direction": {"only": ["out"]}, "kind": {"except": ["SL"]}},
    "acknowledged": ["L16"],
}


def operator(site: Site) -> httpx.AsyncClient:
    token = site.node.folder.text("token")
    return httpx.AsyncClient(
        base_url=site.address, headers={"authorization": f"Bearer {token}"}, trust_env=False
    )


async def asked(site: Site, path: str, body: bytes) -> Any:
    async with operator(site) as client:
        answer = await client.post(path, content=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


def test_draft_names_what_it_would_do_and_a_preview_tells_the_drift(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.publish(item(1), item(2))
        drafted = await asked(site, "/api/directives/draft", compact(DRAFT))
        order = decode(drafted["payload"].encode(), Directive)
        assert drafted["effect"]["held"] == 2
        envelope = new_envelope("directive", order, exercise=True).encode()
        found = await asked(site, "/api/directives/preview", envelope)
        assert found["signed"] == drafted["effect"]
        assert found["drift"] == []
        assert order.preview is not None
        await site.publish(*(item(number) for number in range(3, 40)))
        found = await asked(site, "/api/directives/preview", envelope)
        assert found["drift"] == ["39 items of VI would be held, not 2"]
        bare = Directive(**{**_fields(order), "preview": None})
        envelope = new_envelope("directive", bare, exercise=True).encode()
        assert (await asked(site, "/api/directives/preview", envelope))["signed"] is None

    play(tmp_path, story)


def _fields(order: Directive) -> dict[str, Any]:
    return {name: getattr(order, name) for name in Directive.__struct_fields__}


def test_agreement_that_asks_for_it_lets_nothing_go_without_a_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "TERMS", "preview = true\n" + kit.TERMS)

    async def story(site: Site) -> None:
        await site.order("suspend", "D1")
        with pytest.raises(Conflict) as refused:
            await site.order("resume", "R1", supersedes=("D1",))
        assert refused.value.code == "directive.unpreviewed"

    play(tmp_path, story)


def test_effect_on_a_screen_says_each_of_its_lines() -> None:
    effect = Effect(
        agreement="A1",
        directive="D1",
        issuer="B",
        exercise=True,
        at_ms=1_767_225_600_000,
        force_ms=1_767_225_600_000,
        standing=digest(b"a"),
        held=5,
        in_flight=1,
        feeds=2,
        moves=(
            Moved(kind="VI", unit="U", before="queued", after="held", count=5,
                  reasons=("directive (directive D1): Stopped.",)),
            Moved(kind="PE", unit="U", before="held", after="held", count=1),
        ),
        flows=(
            FlowChange(collection="c", sender="B", recipients=("W", "X", "Y"), readers=9,
                       kind="VI", before="open", after="held"),
            FlowChange(collection="c", sender="B", recipients=("W",), readers=1, kind="SL",
                       before="open", after="open", reasons=("exempt (agreement A1): Life.",)),
        ),
        others=(
            OtherOrder(issuer="B", directive="H1", verb="halt", since_ms=0, then="ends",
                       same_flow=True),
            OtherOrder(issuer="W", directive="N1", verb="narrow", since_ms=0, then="stays",
                       same_flow=True),
        ),
        seen=(Seen(collection="c", recipients=("W",), readers=1, words="Stopped\x1b[31m."),),
        expiring=(Expiring(kind="VI", count=5, first_ms=1_767_229_200_000),),
        history=(Withheld(kind="VI", count=70),),
        exempt=("SL",),
        left_out=3,
        nonce="0" * 32,
    )  # fmt: skip
    text = "\n".join(effect_lines(effect))
    for words in (
        "EXERCISE D1 of B",
        "5 held, 0 released",
        "1 in flight",
        "5 VI U: queued to held (directive (directive D1))",
        "1 PE U: stay held",
        "VI c B to W, X, Y and 6 more: open to held",
        "SL c B to W: open (exempt (agreement A1))",
        "B H1 (halt)",
        "ended by this",
        "STANDS ON",
        r"W, c: Stopped\u{1b}[31m.",
        "5 VI, the first at 2026-01-01T01:00",
        "were given: 70 VI",
        "3 lines for which there was no room",
    ):
        assert words in text
