"""Plays "Two capitals" on two real nodes over loopback, and checks every expected outcome.

Two gateways, B and W, run as two processes; K has no gateway and reads by TAXII with a stock
client. The clock of the exercise is set from hour to hour; hour 0 is the first public statement.
Writes ``demo/report.json``; exits non-zero if anything is not as expected.

Environment: ``KEEP=1`` leaves both nodes running and prints their addresses; ``INPUT=FILE`` also
publishes that STIX bundle and reports what became of its objects.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import given
import story
from stage import Stage

from detente.errors import DetenteError

HERE = Path(__file__).resolve().parent

#: Every step of the story; those without a function are played when their part is built.
STEPS: list[tuple[int, str, Callable[[Stage], None] | None]] = [
    (1, "A1 signed by both; checkpoints cosigned", story.step_1),
    (2, "i01 published, delivered, traced", story.step_2),
    (3, "a public statement changes nothing", None),
    (4, "the duty officer halts", story.step_4),
    (5, "a draft from the post's words is refused", story.step_5),
    (6, "D1 suspends, 2 of 3 sign, and supersedes the halt", story.step_6),
    (7, "W is told, and its pull is answered explicitly", story.step_7),
    (8, "another unit and safety of life go on", story.step_8),
    (9, "nobody forces a held item out", None),
    (10, "W narrows its own sending", story.step_10),
    (11, "six statements beside the state", None),
    (12, "a signed attestation", None),
    (13, "tracks expire in hold", story.step_13),
    (14, "D2 drafted and previewed", story.step_14),
    (15, "D2 resumes on an assurance that is not there yet", story.step_15),
    (16, "the assurance releases exactly once, through kill -9", story.step_16),
    (17, "consent to pass on", None),
    (18, "an inspector traces a vessel", None),
    (19, "a correction and a recall", None),
    (20, "counts, and the record verified offline", story.step_20),
]


def main() -> int:
    """Play all steps; 0 if every one that is played is as expected."""
    began = time.monotonic()
    run = HERE / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    stage = Stage(run, expect_wrong=int(os.environ.get("EXPECT_WRONG", "0")))
    steps: list[dict[str, Any]] = []
    print("EXERCISE: Two capitals. B and W are invented; so is everything they say.\n")
    try:
        stage.prepare()
        for number, name, play in STEPS:
            steps.append(_play(stage, number, name, play))
            story.between(stage, number)
        named = os.environ.get("INPUT")
        if named:
            path = Path(named)
            steps.append(
                _play(stage, 21, f"INPUT {path.name}", lambda s: given.play_input(s, path))
            )
    finally:
        if os.environ.get("KEEP") == "1":
            print(f"\nStill running: B at {stage.b.address}, W at {stage.w.address}")
            print(f"  folders {stage.b.folder} and {stage.w.folder}")
        else:
            stage.close()
    ok = all(step["ok"] for step in steps if not step.get("pending"))
    report = {"ok": ok, "seconds": round(time.monotonic() - began, 1), "steps": steps}
    (HERE / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n")
    played = [step for step in steps if not step.get("pending")]
    print(
        f"\n{sum(step['ok'] for step in played)} of {len(played)} steps as expected, "
        f"{len(steps) - len(played)} not built yet; {report['seconds']} s; demo/report.json"
    )
    return 0 if ok else 1


def _play(
    stage: Stage, number: int, name: str, play: Callable[[Stage], None] | None
) -> dict[str, Any]:
    if play is None:
        print(f"  –  {number:2}  {name} (pending)")
        return {"n": number, "name": name, "ok": False, "pending": True}
    stage.begin(number)
    try:
        play(stage)
    except (DetenteError, RuntimeError, OSError, KeyError, StopIteration) as error:
        stage.expect(f"no error: {type(error).__name__} {error}", got=False)
    ok = stage.ok()
    print(f" {'ok ' if ok else 'NO '} {number:2}  {name}")
    for line in stage.lines:
        print(f"          {line}")
    step: dict[str, Any] = {"n": number, "name": name, "ok": ok, "checks": stage.checks}
    if stage.facts:
        step["facts"] = stage.facts
    return step


if __name__ == "__main__":
    sys.exit(main())
