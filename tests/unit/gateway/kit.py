"""Two gateways of a simulated world, and somebody between them who changes answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detente.errors import DetenteError
from detente.gateway.deliver import Sheet
from detente.gateway.gather import PageAsk
from detente.gateway.partner import PeerState
from detente.model import decode, encode
from detente.model.transfer import ActsPage, PageSheet
from detente.proof import decode as decode_envelope
from detente.proof import sign
from detente.rules.document import payload_type
from detente.testing import World, check
from detente.testing.parts import AGREEMENT, READER, collection_of

Change = Callable[[bytes], bytes]


def play(folder: Path, story: Callable[[World], Awaitable[None]], *, checked: bool = True) -> None:
    """Play a story in a world whose nodes know each other, and check it at the end; not where a
    test goes past the world, which then does not know what came to whom."""

    async def whole() -> None:
        async with World.open(folder / "world") as world:
            await world.exchange()
            await story(world)
            world.settled = False
            if checked:
                await check(world, record=True)

    asyncio.run(asyncio.wait_for(whole(), 60))


def asking(**fields: object) -> PageAsk:
    """What K's client asks B for: a page of objects from the beginning, unless said otherwise."""
    made = PageAsk(
        agreement=AGREEMENT,
        collection=collection_of("B"),
        party=READER,
        reader="k-client",
        after_us=0,
        limit=100,
    )
    return msgspec.structs.replace(made, **fields)


async def whole(sheet: Sheet) -> tuple[bytes, ...]:
    """A page that is its objects and nothing around."""
    return (sheet.gathered.body,)


async def look(world: World, party: str) -> list[object]:
    """What of a node an answer that is refused must leave as it was."""
    site = world.sites[party]
    log = site.book.me.log_of(AGREEMENT)
    peers = [decode(row.state, PeerState) for row in await site.exchange.peers()]
    return [
        await site.store.read(lambda view: view.log_size(log)),
        await site.store.read(lambda view: view.collection(f"{AGREEMENT}/b-out").end),
        await site.ask.feeds(AGREEMENT),
        site.ask.current(AGREEMENT).epoch,
        site.ask.standing(AGREEMENT).standing,
        # Serials and the time at which a partner was heard go on; all else stays.
        [msgspec.structs.replace(one, serial=0, heard_ms=0) for one in peers],
    ]


class Between:
    """Somebody on the line who changes what B answers to one path."""

    def __init__(self, world: World, what: str) -> None:
        self._site = world.sites["B"]
        self._what = what
        self._honest = self._site.answer
        self.change: Change = lambda body: body
        self.heard: list[bytes] = []
        self._site.answer = self._answer  # type: ignore[method-assign]  # a man in the middle

    async def _answer(self, path: str, body: bytes, fault: Any) -> bytes | None:
        found = await self._honest(path, body, fault)
        if found is None or not path.endswith(self._what):
            return found
        self.heard.append(found)
        return self.change(found)


async def refused(world: World, between: Between, change: Change) -> str:
    """The code by which W refuses the changed answer; nothing of W may have changed, and the
    honest answer is taken afterwards."""
    before = await look(world, "W")
    between.change = change
    with pytest.raises(DetenteError) as found:
        await world.sync("W")
    assert await look(world, "W") == before
    between.change = lambda body: body
    await check(world)
    return found.value.code


# --- answers made anew --------------------------------------------------------------------------


def parts_of(body: bytes) -> tuple[PageSheet, list[bytes]]:
    """The sheet and the objects of an answer."""
    cut = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    sheet = decode(decode_envelope(bytes(cut["page"])).payload, PageSheet)
    return sheet, [
        bytes(one) for one in msgspec.json.decode(cut["objects"], type=list[msgspec.Raw])
    ]


def page_of(world: World, sheet: PageSheet, objects: list[bytes], *by: str) -> bytes:
    """An answer signed by B's node, or by the keys named."""
    keys = [world.keys["B"][name] for name in by or ("node",)]
    envelope = sign(payload_type("page", exercise=False), encode(sheet), keys)
    return b'{"page":' + envelope.encode() + b',"objects":[' + b",".join(objects) + b"]}"


def acts_of(body: bytes) -> ActsPage:
    return decode(decode_envelope(body).payload, ActsPage)


def signed_acts(world: World, page: ActsPage) -> bytes:
    keys = [world.keys["B"]["node"]]
    return sign(payload_type("acts", exercise=False), encode(page), keys).encode()


def said(body: bytes) -> Any:
    return json.loads(body)
