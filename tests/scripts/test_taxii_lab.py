"""The TAXII lab tells one line, serves what it says, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.shared import ROOT

KEYS = ["base", "api_root", "user", "password", "read_write", "read_only", "write_only"]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A lab with 1,203 objects; its temporary folder is the second."""
    place = tmp_path / "temporary"
    place.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(place)}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "taxii_lab.py"), "--objects", "1203"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield process, place
        process.kill()


def objects(told: dict[str, Any], name: str, **query: str) -> httpx.Response:
    return httpx.get(
        f"{told['api_root']}collections/{told[name]}/objects/",
        params=query,
        auth=(told["user"], told["password"]),
        headers={"accept": "application/taxii+json;version=2.1"},
        trust_env=False,
    )


def test_the_lab_tells_one_line_serves_and_leaves_nothing(
    lab: tuple[subprocess.Popen[str], Path],
) -> None:
    process, place = lab
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert list(told) == [*KEYS, "not_visible"]
    assert len(list(place.iterdir())) == 1
    page = objects(told, "read_only").json()
    # Of the one with three versions, the newest.
    rest = objects(told, "read_only", next=page["next"]).json()
    assert (len(page["objects"]), len(rest["objects"]), rest["more"]) == (1000, 201, False)
    assert objects(told, "read_write").json() == {}
    assert objects(told, "write_only").status_code == 403
    assert objects(told, "not_visible").status_code == 404
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert list(place.iterdir()) == []
