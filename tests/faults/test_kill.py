"""Held, not lost; never twice: nodes are killed in the midst of their traffic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("kill_run.py")


@pytest.mark.slow
def test_kills_at_random_instants_lose_nothing_and_send_nothing_twice() -> None:
    """The long form is ``make kill-test``."""
    done = subprocess.run(
        [sys.executable, str(RUN), "--rounds", "6", "--seed", "4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert seen["ok"]
    assert seen["arrived"] > 0
    assert seen["kills that broke a call off"] > 0
