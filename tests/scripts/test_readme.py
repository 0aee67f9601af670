"""The README's session, run as it stands, in a shell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.shared import ROOT

VESSEL = (
    '{"type":"infrastructure","spec_version":"2.1",'
    '"id":"infrastructure--5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01",'
    '"created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z",'
    '"name":"MV Example","infrastructure_types":["vessel"]}'
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def console_lines(text: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [
        line.strip().removeprefix("$ ")
        for block in blocks
        for line in block.splitlines()
        if line.strip().startswith("$ ")
    ]


class Shell:
    """Runs lines of a session; addresses are moved to free ports."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.ports = {"8401": str(free_port()), "8402": str(free_port())}
        self.running: list[subprocess.Popen[bytes]] = []
        program = place / "bin" / "detente"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m detente.main "$@"\n')
        program.chmod(0o755)
        source = str(ROOT / "src")
        self.env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
        self.env["PYTHONPATH"] = source
        (place / "vessel.json").write_text(VESSEL)

    def run(self, line: str) -> str:
        for old, new in self.ports.items():
            line = line.replace(f":{old}", f":{new}")
        if line.endswith("&"):
            words = line.removesuffix("&").split()
            with (self.place / f"log-{words[-1]}").open("wb") as log:
                self.running.append(
                    subprocess.Popen(words, cwd=self.place, env=self.env, stderr=log)
                )
            self.wait_for(self.place / words[-1] / "address")
            return ""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.place,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def wait_for(self, path: Path) -> None:
        end = time.monotonic() + 60
        while not path.exists():
            assert time.monotonic() < end, f"no {path}"
            time.sleep(0.05)

    def close(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(timeout=30)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the session needs bash")
def test_readme_session_runs_as_it_stands(tmp_path: Path) -> None:
    session = console_lines((ROOT / "README.md").read_text())
    assert 10 <= len(session) <= 16
    shell = Shell(tmp_path)
    try:
        told = [shell.run(line) for line in session]
        # The answer to the halt waits a second at most for the partner to be told.
        end = time.monotonic() + 60
        while "HALT H1" not in told[-1] and time.monotonic() < end:
            told[-1] = shell.run(session[-1])
        assert "HALT H1 by A (duty) since" in told[-1]
        assert "SL    open" in re.sub(r" {2,}", "    ", told[-1]).replace(
            "SL      open", "SL    open"
        )
    finally:
        shell.close()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the session needs bash")
def test_tutorial_runs_as_it_stands_and_tells_what_it_says(tmp_path: Path) -> None:
    lines = console_lines((ROOT / "docs" / "tutorial" / "first-exchange.md").read_text())
    shell = Shell(tmp_path)
    told: dict[str, list[str]] = {}
    try:
        for line in lines:
            told.setdefault(" ".join(line.split()[:3]), []).append(shell.run(line))
        checked = told["detente agreement check"]
        assert "0 errors, 1 warning." in checked[0]
        assert "[kind.unruled]" in checked[0]
        assert "[collection.reader-unknown]" in checked[1]
        assert "not good enough to sign" in checked[1]
        assert "resume: 2 of duty, head, among them head" in told["detente agreement show"][0]
        assert "in force" in told["detente standing a"][0]
        assert "receipt" in told["detente trace a"][0]
        held = told["detente hold list"]
        assert "directive H1" in held[0]
        assert "none" in held[1]
        assert "HALT H1 by A (duty) since" in told["detente standing b"][0]
        synced = told["detente peer sync"]
        assert ["1 new items" in one for one in synced] == [True, False, True, False]
        assert "The record holds." in told["detente ledger verify"][0]
        assert "+ widens  Kind VT: expires in hold after: 12h" in told["detente agreement diff"][0]
    finally:
        shell.close()
