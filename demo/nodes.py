"""Real nodes for the demonstration: processes of their own, on loopback, run by the program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from detente.errors import DetenteError, Missing, Unavailable
from detente.faces.client import NodeClient
from detente.proof import add_signature, load_private_key, sign
from detente.rules.document import payload_type

__all__ = ["NodeProcess", "detente", "free_port"]

START_S = 30.0


def detente(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "detente.main", *words], capture_output=True, text=True, check=False
    )


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NodeProcess:
    """One node: its folder, its process, and its operator."""

    def __init__(self, folder: Path, party: str, units: list[str], offices: list[str]) -> None:
        self.folder = folder
        self.party = party
        self.port = free_port()
        words = ["init", str(folder), "--party", party, "--exercise"]
        words += ["--listen", f"127.0.0.1:{self.port}", "--host", f"{party.lower()}.gw.example"]
        for unit in units:
            words += ["--unit", unit]
        for office in offices:
            words += ["--office", office]
        made = detente(*words)
        if made.returncode:
            raise RuntimeError(made.stderr)
        self.process: subprocess.Popen[bytes] | None = None
        self.client: NodeClient

    @property
    def address(self) -> str:
        """Where the node serves."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "detente.main", "serve", str(self.folder)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                self.client = NodeClient(self.folder)
                self.client.get("/api/node")
                return
            except Unavailable:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """End the process in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    # --- what its people do ------------------------------------------------------------------

    def key(self, name: str) -> Path:
        """An officer's private key."""
        return self.folder / "offices" / f"{name}.key"

    def call(self, path: str, **body: object) -> Any:
        """POST a JSON body to the API."""
        return self.client.post(path, msgspec.json.encode(body))

    def publish(self, collection: str, body: bytes, **query: str | None) -> Any:
        """Publish bytes."""
        return self.client.post("/api/publish", body, collection=collection, **query)

    def sync(self, party: str, agreement: str, limit: int = 1000) -> Any:
        """Exchange everything there is."""
        return self.call("/api/peers/sync", party=party, agreement=agreement, limit=limit)

    def draft(self, **fields: object) -> bytes:
        """The payload of a directive."""
        return str(self.call("/api/directives/draft", **fields)["payload"]).encode()

    def foresee(self, payload: bytes) -> Any:
        """What a drafted directive would do now, and whether that is what its draft says."""
        return self.client.post("/api/directives/preview", self.sign("directive", payload))

    def sign(self, use: str, payload: bytes, *keys: str) -> bytes:
        """A document with the signatures of these officers."""
        envelope = sign(payload_type(use, exercise=True), payload, [])
        for name in keys:
            envelope = add_signature(envelope, load_private_key(self.key(name).read_bytes()))
        return envelope.encode()

    def enact(self, payload: bytes, *keys: str) -> Any:
        """Sign and enact a directive."""
        return self.client.post("/api/directives", self.sign("directive", payload, *keys))

    def standing(self, agreement: str = "A1") -> Any:
        """What is in force."""
        return self.client.get("/api/standing", agreement=agreement)["standings"][0]

    def trace(self, item: str, party: str) -> Any:
        """Where an item stands towards a party."""
        lines = self.client.get("/api/trace", object=item)["trace"]
        return next(line for line in lines if line["party"] == party)

    def why(self, item: str, party: str) -> Any:
        """Why an item stands as it does towards a party."""
        (line,) = self.client.get("/api/why", object=item, to=party, agreement="A1")["why"]
        return line

    def knows(self, item: str) -> bool:
        """Whether the node has the item at all."""
        try:
            self.client.get("/api/trace", object=item)
        except Missing:
            return False
        return True

    def state(self, item: str, party: str) -> str:
        """The state of an item towards a party."""
        return str(self.trace(item, party)["state"])

    def held(self, party: str) -> list[Any]:
        """What waits."""
        return list(self.client.get("/api/holds", party=party)["held"])

    def refused(self, path: str, body: bytes = b"", **query: str | None) -> str:
        """The code with which a call is refused; empty if it is not."""
        try:
            self.client.post(path, body, **query)
        except DetenteError as error:
            return error.code
        return ""
