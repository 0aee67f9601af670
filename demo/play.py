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

from detente.errors import DetenteError

sys.path.insert(0, str(Path(__file__).resolve().parent))

from story import Story  # the folder of this file is put on the path above

HERE = Path(__file__).resolve().parent

#: Every step of the story; those without a function are played when their part is built.
STEPS: list[tuple[int, str, Callable[[Story], None] | None]] = [
    (1, "A1 signed by both; checkpoints cosigned", Story.step_1),
    (2, "i01 published, delivered, traced", Story.step_2),
    (3, "a public statement changes nothing", None),
    (4, "the duty officer halts", Story.step_4),
    (5, "a draft from the post's words is refused", None),
    (6, "D1 suspends, 2 of 3 sign, and supersedes the halt", Story.step_6),
    (7, "W is told, and its pull is answered explicitly", Story.step_7),
    (8, "another unit and safety of life go on", Story.step_8),
    (9, "nobody forces a held item out", None),
    (10, "W narrows its own sending", None),
    (11, "six statements beside the state", None),
    (12, "a signed attestation", None),
    (13, "tracks expire in hold", Story.step_13),
    (14, "D2 drafted and previewed", None),
    (15, "D2 resumes on an assurance that is not there yet", Story.step_15),
    (16, "the assurance releases exactly once, through kill -9", Story.step_16),
    (17, "consent to pass on", None),
    (18, "an inspector traces a vessel", None),
    (19, "a correction and a recall", None),
    (20, "counts, and the record verified offline", Story.step_20),
]


def main() -> int:
    """Play all steps; 0 if every one that is played is as expected."""
    began = time.monotonic()
    run = HERE / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    story = Story(run, expect_wrong=int(os.environ.get("EXPECT_WRONG", "0")))
    steps: list[dict[str, Any]] = []
    print("EXERCISE: Two capitals. B and W are invented; so is everything they say.\n")
    try:
        story.prepare()
        for number, name, play in STEPS:
            steps.append(_play(story, number, name, play))
            story.between(number)
        given = os.environ.get("INPUT")
        if given:
            steps.append(_play(story, 21, f"INPUT {Path(given).name}", story.input_step(given)))
    finally:
        if os.environ.get("KEEP") == "1":
            print(f"\nStill running: B at {story.b.address}, W at {story.w.address}")
            print(f"  folders {story.b.folder} and {story.w.folder}")
        else:
            story.close()
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
    story: Story, number: int, name: str, play: Callable[[Story], None] | None
) -> dict[str, Any]:
    if play is None:
        print(f"  –  {number:2}  {name} (pending)")
        return {"n": number, "name": name, "ok": False, "pending": True}
    story.begin(number)
    try:
        play(story)
    except (DetenteError, RuntimeError, OSError, KeyError, StopIteration) as error:
        story.expect(f"no error: {type(error).__name__} {error}", got=False)
    ok = story.ok()
    print(f" {'ok ' if ok else 'NO '} {number:2}  {name}")
    for line in story.lines:
        print(f"          {line}")
    step: dict[str, Any] = {"n": number, "name": name, "ok": ok, "checks": story.checks}
    if story.facts:
        step["facts"] = story.facts
    return step


if __name__ == "__main__":
    sys.exit(main())
