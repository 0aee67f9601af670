"""Sources and sinks of a running node, with a clock that is set and a chance that is known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from detente.gateway.link import LinkParts
from detente.gateway.sink import Sinks, SinkSettings
from detente.gateway.source import Sources, SourceSettings
from detente.node import FolderSecrets, Node
from detente.ports import Answer, Call, Watch
from detente.wire.http import HTTPCaller
from tests.unit.faces.kit import Site, play

#: No background work: each test polls and pushes by itself.
QUIET = {"links_at_work_max": 0}


class OtherCaller(HTTPCaller):
    """The real caller; before each call a test may have something happen in the world."""

    def __init__(self, **bounds: int) -> None:
        super().__init__(**bounds)
        self.before: Callable[[Call], Awaitable[None]] | None = None

    async def call(self, call: Call, watch: Watch | None = None) -> Answer:
        if self.before is not None:
            await self.before(call)
        return await super().call(call, watch)


def parts_of(node: Node, caller: HTTPCaller | None = None, chance: float = 0.0) -> LinkParts:
    return LinkParts(
        book=node.book,
        gate=node.gate,
        caller=caller or HTTPCaller(answer_ms=20_000),
        secrets=FolderSecrets(node.folder),
        chance=lambda: chance,
    )


def sources_of(
    node: Node, caller: HTTPCaller | None = None, page_bytes_max: int = 1 << 20
) -> Sources:
    return Sources(parts_of(node, caller), node.intake, page_bytes_max=page_bytes_max)


def sinks_of(node: Node, caller: HTTPCaller | None = None) -> Sinks:
    return Sinks(parts_of(node, caller), node.delivery)


def source(url: str, **more: Any) -> SourceSettings:
    plain: dict[str, Any] = {"name": "s", "address": url, "agreement": "T1", "collection": "out"}
    return SourceSettings(**(plain | more))


def sink(url: str, **more: Any) -> SinkSettings:
    plain: dict[str, Any] = {
        "name": "s",
        "address": url,
        "agreement": "T1",
        "collection": "out",
        "party": "K",
    }
    return SinkSettings(**(plain | more))


async def objects_of(site: Site, collection: str = "out") -> list[bytes]:
    """The bytes of all items in a collection of the node."""

    def read(view: Any) -> list[bytes]:
        key = f"T1/{collection}"
        found = []
        for seq in range(view.collection(key).end):
            block = view.block(key, seq)
            found.append(bytes(block.raw(seq)))
        return found

    return await site.node.store.read(read)


async def forward(site: Site, seconds: int) -> None:
    clock: Any = site.node.clock
    await clock.set_us(site.node.clock.now_us() + seconds * 1_000_000)


def quietly(place: Path, story: Callable[[Site], Any]) -> Any:
    return play(place, story, **QUIET)
