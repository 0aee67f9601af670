"""Main: the program ``detente``, composed of the command line and the node."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from detente.config import CONFIG_NAME, Config
from detente.errors import Invalid, Missing
from detente.faces.api_why import answer_why
from detente.faces.cli import app
from detente.faces.client import Questions
from detente.faces.documents import KeyCard, charter_of, key_card, new_envelope
from detente.faces.speak import tell
from detente.gateway.verify import Report
from detente.node import NodeFolder, init_node, open_node, serve
from detente.proof import Ed25519Signer, Signer, add_signature
from detente.record import verify_copy

__all__ = ["main"]

T = TypeVar("T")

#: A charter made for an exercise is good until this instant (2100-01-01).
_CHARTER_EXPIRES_MS = 4_102_444_800_000


def _run(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)


class _Stopped:
    """Questions to a node that does not run: its store is opened, asked and closed."""

    def __init__(self, folder: NodeFolder) -> None:
        self._folder = folder

    def get(self, path: str, **query: str | None) -> Any:
        """Answer the questions that need no running node."""
        return msgspec.to_builtins(_run(self._ask(path, query)))

    async def _ask(self, path: str, query: dict[str, str | None]) -> object:
        async with open_node(self._folder) as node:
            chosen = query.get("agreement")
            if path == "/api/standing":
                at = query.get("at_ms")
                names = (chosen,) if chosen else node.book.agreements()
                at_ms = int(at) if at else None
                return {"standings": [node.ask.standing(name, at_ms) for name in names]}
            if path == "/api/trace":
                item = query.get("object") or ""
                kin = await node.derives.lineage(item)
                return {
                    "trace": await node.ask.trace(item, chosen),
                    "parents": kin.parents,
                    "children": kin.children,
                }
            if path == "/api/why":
                said = {name: value for name, value in query.items() if value is not None}
                return await answer_why(node.whys, said)
        raise Missing(
            "node.not-running",
            "Expected a running node for this question, got a stopped one.",
            hint="Start it with `detente serve`.",
        )


class _Host:
    """What the command line cannot do by itself."""

    def init(self, folder: Path, config: Config, offices: tuple[str, ...]) -> dict[str, Any]:
        """Make a node; in an exercise with offices also their keys and the charter."""
        return _run(_init(folder, config, offices))

    def serve(self, folder: Path) -> None:
        """Serve until a signal comes."""
        _run(_serve(NodeFolder(folder)))

    def stopped(self, folder: Path) -> Questions:
        """Questions to a stopped node."""
        return _Stopped(NodeFolder(folder))

    def export(self, folder: Path, out: Path) -> dict[str, Any]:
        """Copy the record out, running or not."""
        return _run(_export(NodeFolder(folder), out))

    def verify(self, place: Path) -> dict[str, Any]:
        """Check a copy; of a node's folder, check a copy made for the purpose."""
        report: Report = _run(_verify(place))
        found: dict[str, Any] = msgspec.to_builtins(report)
        return found


async def _init(path: Path, config: Config, offices: tuple[str, ...]) -> dict[str, Any]:
    if offices and not config.exercise:
        raise Invalid(
            "init.offices",
            "Expected --office only with --exercise: officers of a live party make their own keys.",
            hint="`detente charter key` makes one; `detente charter draft` uses its card.",
        )
    folder = await init_node(path, config)
    made: dict[str, list[str]] = {}
    if offices:
        made = await _make_offices(folder, config, offices)
    return {
        "party": config.party,
        "folder": str(path),
        "exercise": config.exercise,
        "offices": made,
    }


async def _make_offices(
    folder: NodeFolder, config: Config, offices: tuple[str, ...]
) -> dict[str, list[str]]:
    """Keys and a charter for an exercise, where nobody's real key is at stake."""
    (folder.path / "offices").mkdir(mode=0o700)
    made: dict[str, list[str]] = {}
    cards: dict[str, tuple[KeyCard, ...]] = {}
    signers: list[Signer] = []
    for one in offices:
        office, _, count = one.partition(":")
        keys = []
        for number in range(1, int(count or 1) + 1):
            signer = Ed25519Signer(Ed25519PrivateKey.generate())
            name = f"{office}-{number}" if count else office
            folder.write_private(f"offices/{name}.key", signer.pem())
            keys.append(key_card(signer, f"{config.party} {name}"))
            signers.append(signer)
            made.setdefault(office, []).append(f"offices/{name}.key")
        cards[office] = tuple(keys)
    own = {name: folder.signer(name).public for name in ("node", "ledger", "witness")}
    charter = charter_of(
        (config.party, config.name, config.units, config.exercise),
        cards,
        (tuple(cards), 1),
        (config.host, own["node"], own["ledger"], own["witness"]),
        _CHARTER_EXPIRES_MS,
    )
    envelope = new_envelope("charter", charter, exercise=True)
    for one_signer in signers:
        envelope = add_signature(envelope, one_signer)
    folder.write_private("charter.json", envelope.encode())
    async with open_node(folder) as node:
        await node.orders.import_charter(envelope.encode())
    return made


async def _serve(folder: NodeFolder) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    exercise = "EXERCISE " if folder.config().exercise else ""
    party = folder.config().party
    await serve(folder, lambda address: tell(f"{exercise}detente of {party} at {address}"), ended)


async def _export(folder: NodeFolder, out: Path) -> dict[str, Any]:
    async with open_node(folder) as node:
        return await node.export(out)


async def _verify(place: Path) -> Report:
    if not (place / CONFIG_NAME).exists():
        return verify_copy(place)
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "copy"
        await _export(NodeFolder(place), copy)
        return verify_copy(copy)


def main() -> None:
    """The console script."""
    app(obj=_Host())


if __name__ == "__main__":
    main()
