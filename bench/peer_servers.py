"""Three TAXII servers to measure side by side: Detente, medallion, OpenTAXII.

Each runs in one process of its own on loopback and starts empty. The peers are no dependencies:
each gets a venv under ``bench/run``, made by pip from ``bench/peers-*.txt`` when first needed. They
run under gunicorn with one worker of four threads, which keeps connections alive.

So that no time is spent on passwords, OpenTAXII is asked with its own token (by password, it would
hash it anew for each request); medallion compares passwords in clear, and Detente remembers a right
one.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["PEERS", "NotInstalled", "Server", "installed", "opened"]

HERE = Path(__file__).resolve().parent
RUN = HERE / "run"
PEERS = ("medallion", "OpenTAXII")
START_S_MAX = 60
INSTALL_S_MAX = 300
CONFIG = """---
domain: "127.0.0.1:{port}"
support_basic_auth: yes
auth_api:
  class: opentaxii.auth.sqldb.SQLDatabaseAPI
  parameters:
    db_connection: sqlite:///{folder}/auth.db
    create_tables: yes
    secret: {secret}
    token_ttl_secs: 86400
taxii1:
taxii2:
  title: OpenTAXII
  description: Lab
  contact: none
  public_discovery: true
  allow_custom_properties: true
  max_content_length: 67108864
  persistence_api:
    class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI
    parameters:
      db_connection: sqlite:///{folder}/data.db
      create_tables: yes
logging:
  opentaxii: error
  root: error
"""


class NotInstalled(Exception):
    """A peer that cannot be had here, and why."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server serves one empty collection, and the header that opens it. ``objects`` is
    the path of the collection, without its final resource; ``durable`` says what a write that
    was answered has gone through."""

    name: str
    host: str
    port: int
    path: str
    authorization: str
    durable: str
    pid: int


def installed(name: str) -> Path:
    """The Python of a peer's venv; makes it if need be. Raises ``NotInstalled``."""
    wanted = HERE / f"peers-{name.lower()}.txt"
    place = RUN / f"venv-{name.lower()}"
    python, mark = place / "bin" / "python", place / "made-from.txt"
    if mark.exists() and mark.read_bytes() == wanted.read_bytes():
        return python
    shutil.rmtree(place, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(wanted)],
    ):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalled(str(error)) from error
        if done.returncode:
            raise NotInstalled((done.stderr.strip() or "pip failed").splitlines()[-1])
    mark.write_bytes(wanted.read_bytes())
    return python


@contextlib.contextmanager
def opened(name: str, folder: Path) -> Iterator[Server]:
    """A server by its name, started empty with its files in a fresh folder; it ends with the
    block."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    starts = {"Detente": _detente, "medallion": _medallion, "OpenTAXII": _opentaxii}
    with (folder / "log").open("wb") as log, contextlib.ExitStack() as stack:
        server, process = starts[name](folder, log)
        stack.callback(_end, process)
        _wait(server, process, folder / "log")
        yield server


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        # gunicorn waits for a request that is still being answered; its group goes as a whole.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(
    command: Sequence[str], log: Any, environment: dict[str, str] | None = None, **more: Any
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stderr=log,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
        **{"stdout": log, **more},
    )


def _detente(folder: Path, log: Any) -> tuple[Server, subprocess.Popen[bytes]]:
    process = _start(
        [sys.executable, str(HERE.parent / "tools" / "taxii_lab.py")],
        log,
        {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    address, _, path = told["api_root"].partition("//")[2].partition("/")
    host, _, port = address.partition(":")
    return Server(
        name="Detente",
        host=host,
        port=int(port),
        path=f"/{path}collections/{told['read_write']}/",
        authorization=_basic(told["user"], told["password"]),
        durable="on disk, with ledger entry",
        pid=process.pid,
    ), process


def _medallion(folder: Path, log: Any) -> tuple[Server, subprocess.Popen[bytes]]:
    python, port = installed("medallion"), _free_port()
    collection, password = str(uuid.uuid4()), secrets.token_urlsafe(16)
    names = {
        "PEER_COLLECTION": collection,
        "PEER_PASSWORD": password,
        "PEER_FOLDER": str(folder),
    }
    process = _start([*_gunicorn(python, port), "peer_medallion:app"], log, names)
    return Server(
        name="medallion",
        host="127.0.0.1",
        port=port,
        path=f"/lab/collections/{collection}/",
        authorization=_basic("lab", password),
        durable="in memory only",
        pid=process.pid,
    ), process


def _opentaxii(folder: Path, log: Any) -> tuple[Server, subprocess.Popen[bytes]]:
    python, port = installed("OpenTAXII"), _free_port()
    config = folder / "opentaxii.yml"
    text = CONFIG.format(port=port, folder=folder, secret=secrets.token_hex(32))
    config.write_text(text, encoding="utf-8")
    names = {"OPENTAXII_CONFIG": str(config)}

    def told(*command: str) -> str:
        done = subprocess.run(
            command,
            env={**os.environ, **names},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=START_S_MAX,
            check=True,
        )
        return done.stdout.strip().splitlines()[-1]

    account = str(python.parent / "opentaxii-create-account")
    password = secrets.token_urlsafe(16)
    token = told(account, "--username", "lab", "--password", password, "--admin").split()[-1]
    made = json.loads(told(str(python), str(HERE / "peer_opentaxii.py")))
    process = _start([*_gunicorn(python, port), "peer_opentaxii:app"], log, names)
    return Server(
        name="OpenTAXII",
        host="127.0.0.1",
        port=port,
        path=f"/taxii2/{made['root']}/collections/{made['collection']}/",
        authorization=f"Bearer {token}",
        durable="on disk (SQLite as it comes)",
        pid=process.pid,
    ), process


def _gunicorn(python: Path, port: int) -> list[str]:
    return [
        *(str(python.parent / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "1"),
        *("--worker-class", "gthread", "--threads", "4", "--keep-alive", "600"),
        *("--timeout", "600", "--graceful-timeout", "1", "--pythonpath", str(HERE)),
    ]


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when it answers at all; the first envelope shows whether it takes any."""
    end = time.monotonic() + START_S_MAX
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=5)
        try:
            connection.request("GET", "/taxii2/")
            connection.getresponse()
        except OSError:
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    raise RuntimeError(f"{server.name} does not serve: {log.read_text()[-2000:]}")
