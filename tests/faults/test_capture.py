"""A stop is a stop: watched from outside, on the wire, while readers pull at full speed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("capture_run.py")


def may_watch() -> bool:
    """True if this process may open raw sockets."""
    if not hasattr(socket, "AF_PACKET"):
        return False
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except OSError:
        return False
    return True


@pytest.mark.capture
@pytest.mark.slow
@pytest.mark.skipif(not may_watch(), reason="needs the right to open raw sockets")
def test_no_covered_byte_leaves_after_an_order_was_answered_in_force() -> None:
    """The long form is ``make capture-test``; it tells when it proves nothing (exit code 2)."""
    done = subprocess.run(
        [sys.executable, str(RUN), "--rounds", "3", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert seen["covered_bytes_after_the_answer"] == 0
    assert seen["covered_bytes_in_the_50_ms_before"]["least"] > 0
    assert seen["sends_cut"] > 0
