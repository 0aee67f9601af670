"""Put faults into a copy of the package, one at a time, and see which tests of the world find them.

`python tests/faults/world_faults.py` prints a table and fails if a fault is not found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HAND, BAD, RANDOM = "test_two_parties.py", "test_bad_input.py", "test_histories.py"
STANDING, DECISION, AUTHORITY = "test_standing.py", "test_decision.py", "test_authority.py"

#: What is wrong; the module; the sound text; the faulty one; the test that is to find it.
FAULTS = [
    ("An order stops nothing at the sender", "rules/decision.py",
     "if order.directive.issuer == sender:", "if order.directive.issuer == 'nobody':", HAND),
    ("An order still stands at its last instant", "rules/standing.py",
     "at_ms < until_ms)", "at_ms <= until_ms)", STANDING),
    ("A superseding order leaves one millisecond between", "rules/standing.py",
     "ended[old] = min(start, ended.get(old, start))",
     "ended[old] = min(start, ended.get(old, start)) - 1", STANDING),
    ("A condition holds safety of life", "rules/decision.py",
     "if exempt and not condition.scope.kind.names(handling.kind):", "if False:", HAND),
    ("An unknown marking is let through", "rules/decision.py",
     'elif scheme != "statement":', 'elif scheme == "none":', DECISION),
    ("An assurance counts for kinds it does not name", "rules/decision.py",
     "and handling.kind in promise.assurance.kinds", "", HAND),
    ("Two cards of one person count twice", "rules/authority.py",
     "holders = {charter.keys[keyid].holder for keyid in eligible}", "holders = eligible",
     AUTHORITY),
    ("A widening needs no power to resume", "rules/authority.py",
     'if directive.verb != "resume" and widens(directive, standing):', "if False:", AUTHORITY),
    ("A halt follows a halt", "rules/authority.py",
     'max(mine, key=lambda o: o.since_ms).directive.verb == "halt"', "False", AUTHORITY),
    ("The gate cuts no open send", "gateway/gate.py",
     "if send.cleared.shipment.agreement == agreement\n",
     "if send.cleared.shipment.agreement == 'none'\n", HAND),
    ("The gate does not ask the clock", "gateway/gate.py",
     "return self._clock.now_us() >= current.standing.next_ms * 1000", "return False", HAND),
    ("A page without a receipt counts as read", "gateway/deliver.py",
     "if complete and not ask.until_received and not ask.ids:", "if complete and not ask.ids:",
     HAND),
    ("A page that was cut counts as read", "gateway/deliver.py",
     "if complete and not ask.until_received", "if not ask.until_received", HAND),
    ("Known items are taken again", "gateway/intake.py",
     "if at is None and (name, sha256) not in seen:", "if (name, sha256) not in seen:", HAND),
    ("Nothing expires", "gateway/feeds.py",
     "            if count:\n", "            if False:\n", HAND),
    ("Serials are not compared", "gateway/desk.py",
     "if request.serial <= state.serial:", "if False:", BAD),
    ("An assurance taken back is recorded again", "gateway/order.py",
     "if any(act.assurance.id == assurance.id for act in given):", "if False:", BAD),
    ("An empty answer while something waits for an assurance", "gateway/stopped.py",
     "and kind.id in promise.assurance.kinds", "", HAND),
    ("The epoch begins anew after a crash", "gateway/order.py",
     "epoch=max(stored, known.epoch if known else 0) + 1",
     "epoch=(known.epoch if known else 0) + 1", HAND),
    ("A partner's objects are not compared with the root", "gateway/exchange.py",
     '        ("root", root.hex(), sheet.root),\n', "", BAD),
    ("A start in the future is answered as in force", "gateway/order.py",
     'state="coming" if coming else', "state=", HAND),
    ("An order that the partner gave is not folded", "rules/decision.py",
     "if order.directive.issuer == recipient:", "if False:", RANDOM),
]  # fmt: skip


def found(fault: tuple[str, str, str, str, str]) -> bool:
    """Run the test against a copy with the fault; True if it fails."""
    _, module, sound, faulty, test = fault
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "src"
        shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / "detente" / module
        text = path.read_text()
        if text.count(sound) < 1:
            raise SystemExit(f"{module}: expected {sound!r}, got none")
        path.write_text(text.replace(sound, faulty))
        (place,) = (ROOT / "tests").rglob(test)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", str(place)]
        env = {**os.environ, "PYTHONPATH": f"{copy}:{ROOT}", "HYPOTHESIS_STORAGE_DIRECTORY": made}
        run = subprocess.run(
            command, cwd=made, env=env, capture_output=True, check=False
        )  # its code is the answer
        return run.returncode == 1


def main() -> int:
    """Print the table; the number of faults nobody found."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(found, FAULTS))
    for fault, seen in zip(FAULTS, results, strict=True):
        print(f"| {fault[0]} | `{fault[4]}` | {'finds it' if seen else 'MISSES IT'} |")
    return results.count(False)


if __name__ == "__main__":
    sys.exit(main())
