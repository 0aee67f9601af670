"""The demonstration plays as expected, and can fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.shared import ROOT


def play(tmp_path: Path, **environment: str) -> tuple[int, dict[str, object], str]:
    """Play a copy of the demonstration, so that a run by hand is not disturbed."""
    place = tmp_path / "demo"
    shutil.copytree(ROOT / "demo", place, ignore=shutil.ignore_patterns("run", "__pycache__"))
    done = subprocess.run(
        [sys.executable, str(place / "play.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "KEEP": "", **environment},
        timeout=280,
    )
    return done.returncode, json.loads((place / "report.json").read_text()), done.stdout


def test_two_capitals_and_a_given_bundle_play_as_expected(tmp_path: Path) -> None:
    given = tmp_path / "given.json"
    objects = [
        {
            "type": "identity",
            "spec_version": "2.1",
            "id": f"identity--5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d{n:02x}",
            "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-01T00:00:00.000Z",
            "name": f"Authority {n}",
        }
        for n in range(5)
    ]
    given.write_text(json.dumps({"type": "bundle", "objects": [*objects, {"type": "broken"}]}))
    code, report, told = play(tmp_path, INPUT=str(given))
    assert (code, report["ok"]) == (0, True), told
    steps = {step["n"]: step for step in report["steps"]}  # type: ignore[attr-defined]  # a list of steps
    assert [n for n, step in steps.items() if step["ok"]] == [
        1, 2, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16, 20, 21,
    ]  # fmt: skip
    assert steps[21]["facts"]["types"] == {"broken": {"refused": 1}, "identity": {"delivered": 5}}


def test_a_deliberately_wrong_expectation_makes_it_fail(tmp_path: Path) -> None:
    code, report, told = play(tmp_path, EXPECT_WRONG="20")
    assert (code, report["ok"]) == (1, False)
    assert "NOT AS EXPECTED" in told
