"""Seeded faults: does each way of getting feeds wrong make a test fail?

Each fault is one textual change to a copy of ``detente.rules.feed`` or ``.grant``. For each, the
property test and the hand-written tables run against the copy; a fault that the property test
does not find makes this fail. First both run without a fault, and must pass. It takes minutes and
is not part of the tests that run on every change:

    python tests/faults/feed_faults.py            # prints the table
    python tests/faults/feed_faults.py --write    # and puts it into the documentation
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/explanation/testing.md"
HEADING = "## Seeded faults: the feed"

#: What a run of tests ends with. Not 0 and 1, so that a run that broke down, in pytest or before
#: it, is never taken for tests that passed or failed.
PASSED, FAILED = 20, 21

#: The search is the same each time, does not shrink, and ends with the first failure.
RUN = f"""
import sys, pytest

class Watch:
    outcomes = set()

    def pytest_configure(self, config):
        from hypothesis import Phase, settings
        settings.register_profile("faults", max_examples=2400, phases=[Phase.generate],
            derandomize=True, database=None, deadline=None, report_multiple_bugs=False)
        settings.load_profile("faults")

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self.outcomes.add(report.outcome)

code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Watch()])
if code == 1 and "failed" in Watch.outcomes:
    sys.exit({FAILED})
sys.exit({PASSED} if code == 0 and Watch.outcomes == {{"passed"}} else code)
"""


class Fault(NamedTuple):
    """``words`` say what goes wrong; ``old`` must occur exactly once in ``module``."""

    words: str
    module: str
    old: str
    new: str


FAULTS = (
    Fault(
        "A stop withdraws nothing: what was not served yet is lost to a walking reader",
        "feed",
        "unread = first_after(grant, ahead.get(h, feed.mark))\n            if fate",
        "unread = grant.b\n            if fate",
    ),
    Fault(
        "A stop withdraws all of a grant, also what was served: given twice",
        "feed",
        "unread = first_after(grant, ahead.get(h, feed.mark))\n            if fate",
        "unread = grant.a\n            if fate",
    ),
    Fault(
        "A cursor in a late grant is off by one: its last entry comes again",
        "grant",
        "point.us - grant.late.shift_us + 1",
        "point.us - grant.late.shift_us",
    ),
    Fault(
        "The point after a live entry does not pass it",
        "grant",
        "return Point(added_us, seq + 1)",
        "return Point(added_us, seq)",
    ),
    Fault(
        "A page begins at the grant's first entry, not after the cursor",
        "feed",
        "yield replace(grant, a=first_after(grant, after), handlings=handlings)",
        "yield replace(grant, handlings=handlings)",
    ),
    Fault(
        "Late grants of one resumption share their times",
        "feed",
        "        base_us += b - a\n",
        "",
    ),
    Fault(
        "The clock is not moved past what is given late",
        "feed",
        "    return changed, clock_us\n",
        "    return changed, base_us\n",
    ),
    Fault(
        "A stop shows what lies behind the mark",
        "feed",
        'if outcomes[h] == "release" or (reviewed and outcomes[h] == "moderate")',
        "if outcomes[h]",
    ),
    Fault(
        "Moderation shows what nobody reviewed",
        "feed",
        '(reviewed and outcomes[h] == "moderate")',
        'outcomes[h] == "moderate"',
    ),
    Fault(
        "A resumption releases by range what asks for review",
        "feed",
        'if fate == "queued" and stay.handling in review:',
        "if False:",
    ),
    Fault(
        "A resumption releases by range what was under review from before",
        "feed",
        '        "held": "queued",\n        "under review": "under review",\n',
        '        "held": "queued",\n        "under review": "queued",\n',
    ),
    Fault(
        "What was reviewed and unread is plainly held after a stop",
        "feed",
        '        "reviewed": "under review",\n        "held": "held",\n',
        '        "reviewed": "held",\n        "held": "held",\n',
    ),
    Fault(
        "A refusal goes on for entries that come after its end",
        "feed",
        "kept.append(replace(stay, b=b))",
        "kept.append(stay)",
    ),
    Fault(
        "A refusal lets go of what was under review",
        "feed",
        '        "under review": "refused",\n',
        '        "under review": "under review",\n',
    ),
    Fault(
        "Expiry takes what is under review without being told",
        "feed",
        'states = {"held", "under review"} if under_review else {"held"}',
        'states = {"held", "under review"}',
    ),
    Fault(
        "A receipt takes one entry more than its page out of the stay",
        "feed",
        "carved(feed.stays, piece.handlings, piece.a, piece.b)",
        "carved(feed.stays, piece.handlings, piece.a, piece.b + 1)",
    ),
    Fault(
        "A receipt after resumption leaves its entries in the late grant: given twice",
        "feed",
        "        found += out\n        grants += without(grant, out)\n",
        "        grants.append(grant)\n",
    ),
    Fault(
        "A receipt does not move the mark",
        "feed",
        "    return served(feed, until, only)\n",
        "    return feed\n",
    ),
    Fault(
        "A receipt puts late entries back inside a live grant that has grown over the place",
        "feed",
        "    if piece.late:\n",
        "    if False:\n",
    ),
    Fault(
        "The mark moves back",
        "feed",
        "        if until <= feed.mark:\n            return feed\n",
        "",
    ),
    Fault(
        "A reader of some handlings moves the mark of all",
        "feed",
        "    if only is None:\n        if until",
        "    if True:\n        if until",
    ),
    Fault(
        "A reader of all forgets how far readers of some have come",
        "feed",
        "ahead=tuple(x for x in feed.ahead if x[1] > until)",
        "ahead=()",
    ),
    Fault(
        "Stays that touch are made one although one of them is gone",
        "grant",
        "(last.handling, last.b, last.state) == (stay.handling, stay.a, stay.state)",
        "(last.handling, last.b) == (stay.handling, stay.a)",
    ),
    Fault(
        "The live grant does not take in what has been released",
        "feed",
        'for h, o in outcomes.items() if o == "release"))',
        'for h in outcomes if known[h] == "release"))',
    ),
)


def failing(source: Path, tests: str) -> bool:
    """Whether these tests fail against a source tree. Anything but pass and fail is an error."""
    environment = dict(os.environ, PYTHONPATH=f"{source}{os.pathsep}{ROOT}")
    done = subprocess.run(
        [sys.executable, "-c", RUN, f"tests/unit/rules/{tests}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode not in (PASSED, FAILED):
        raise SystemExit(f"The tests did not run.\n{done.stdout}{done.stderr}")
    return done.returncode == FAILED


def seeded(fault: Fault | None, place: Path) -> Path:
    """A copy of the sources, with the fault in it if there is one."""
    source = place / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    if fault is not None:
        module = source / f"detente/rules/{fault.module}.py"
        text = module.read_text()
        if text.count(fault.old) != 1:
            raise SystemExit(f"Expected the text once in {fault.module}: {fault.old!r}")
        module.write_text(text.replace(fault.old, fault.new))
    return source


def run(fault: Fault | None) -> tuple[bool, bool]:
    """Whether the property test and the tables fail with this fault, or with none."""
    with tempfile.TemporaryDirectory() as place:
        source = seeded(fault, Path(place))
        return failing(source, "test_feed_property.py"), failing(source, "test_feed.py")


def main() -> int:
    rows = ["| fault | property test | tables |", "|---|---|---|"]
    if any(run(None)):
        raise SystemExit("Expected the tests to pass without a fault; they fail.")
    missed = 0
    for fault in FAULTS:
        found, by_hand = run(fault)
        missed += not found
        words = {True: "finds it", False: "does not"}
        rows.append(f"| {fault.words} | {words[found]} | {words[by_hand]} |")
        print(rows[-1], flush=True)
    if "--write" in sys.argv[1:]:
        text = DOCUMENT.read_text()
        section = re.compile(rf"({re.escape(HEADING)}\n.*?)\|.*?(?=\n\n|\Z)", re.DOTALL)
        DOCUMENT.write_text(section.sub(lambda m: m[1] + "\n".join(rows), text))
    print(f"{len(FAULTS) - missed} of {len(FAULTS)} found by the property test")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
