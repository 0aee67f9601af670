"""Other TAXII 2.1 servers, and Detente, each started afresh in a process of its own.

medallion keeps everything in memory; OpenTAXII writes to SQLite, served by one worker of gunicorn;
Detente is the lab (``make taxii-lab``). The others are installed into ``bench/run`` on first use.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Rival", "detente", "install", "medallion", "opentaxii"]

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "bench" / "run"
PAGE = 1_000
START_S = 60

_OPENTAXII = """
domain: "127.0.0.1:{port}"
support_basic_auth: yes
auth_api:
  class: opentaxii.auth.sqldb.SQLDatabaseAPI
  parameters: {{db_connection: "sqlite:///{folder}/auth.db", create_tables: yes, secret: bench}}
taxii1:
taxii2:
  contact: nobody
  max_content_length: 104857600
  public_discovery: true
  allow_custom_properties: true
  persistence_api:
    class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI
    parameters: {{db_connection: "sqlite:///{folder}/data.db", create_tables: yes}}
logging: {{root: error}}
"""
_OPENTAXII_SETUP = """
from opentaxii.cli import app
with app.app_context():
    api = app.taxii_server.servers.taxii2.persistence.api
    root = api.add_api_root(title="bench", description=None, default=True)
    made = api.add_collection(api_root_id=str(root.id), title="bench", description=None,
                              alias=None, is_public=True, is_public_write=True)
print(root.id, made.id)
"""


@dataclass(frozen=True)
class Rival:
    """A server that runs: where its one collection is, and what a client sends to be let in."""

    name: str
    durable: bool
    host: str
    port: int
    path: str
    headers: dict[str, str]


def install(names: tuple[str, ...]) -> Path | None:
    """The Python of an environment with these packages; None, with a line why, if it cannot be
    made."""
    wanted = [
        line
        for line in (ROOT / "bench" / "peers.txt").read_text().splitlines()
        if line.partition("==")[0] in names
    ]
    place = HOME / names[0]
    python = place / "bin" / "python"
    if not python.exists():
        print(f"installing {', '.join(wanted)} …", file=sys.stderr, flush=True)
        for command in (
            [sys.executable, "-m", "venv", str(place)],
            [str(python), "-m", "pip", "install", "--quiet", *wanted],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{names[0]} is left out: {done.stderr[-300:]}", file=sys.stderr)
                python.unlink(missing_ok=True)
                return None
    return python


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(
    command: list[str], folder: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _of_lab(name: str, line: str, *, durable: bool) -> Rival:
    lab = json.loads(line)
    host, _, port = lab["base"].partition("//")[2].partition(":")
    secret = b64encode(f"{lab['user']}:{lab['password']}".encode()).decode()
    path = lab["api_root"].removeprefix(lab["base"]) + f"collections/{lab['read_write']}/"
    return Rival(name, durable, host, int(port), path, {"authorization": f"Basic {secret}"})


@contextlib.contextmanager
def detente(folder: Path) -> Iterator[Rival]:
    """Our own lab."""
    command = [sys.executable, str(ROOT / "tools" / "taxii_lab.py"), "--page", str(PAGE)]
    with _running(command, folder) as process:
        assert process.stdout is not None  # asked for above
        yield _of_lab("Detente", process.stdout.readline(), durable=True)


@contextlib.contextmanager
def medallion(folder: Path, python: Path) -> Iterator[Rival]:
    """OASIS's reference server, with its memory back end."""
    script = ROOT / "tests" / "conformance" / "medallion_lab.py"
    with _running([str(python), str(script), str(PAGE)], folder) as process:
        assert process.stdout is not None  # asked for above
        yield _of_lab("medallion", process.stdout.readline(), durable=False)


@contextlib.contextmanager
def opentaxii(folder: Path, python: Path) -> Iterator[Rival]:
    """EclecticIQ's server over SQLite. Its collection is open to all, which spares it the check
    of a password that the others make."""
    port = _free_port()
    (folder / "conf.yml").write_text(_OPENTAXII.format(port=port, folder=folder))
    environment = {"OPENTAXII_CONFIG": str(folder / "conf.yml")}
    made = subprocess.run(
        [str(python), "-c", _OPENTAXII_SETUP],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, **environment},
    )
    root, collection = made.stdout.split()[-2:]
    command = [str(python.parent / "gunicorn"), "-w", "1", "-b", f"127.0.0.1:{port}"]
    command += ["--timeout", "600", "--keep-alive", "60", "-k", "gthread", "--threads", "1"]
    with _running([*command, "opentaxii.http:app"], folder, environment):
        end = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if time.monotonic() > end:
                raise RuntimeError((folder / "log").read_text()[-500:])
            time.sleep(0.05)
        yield Rival(
            "OpenTAXII",
            durable=True,
            host="127.0.0.1",
            port=port,
            path=f"/taxii2/{root}/collections/{collection}/",
            headers={},
        )
