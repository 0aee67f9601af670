"""Put faults into a copy of the package, one at a time, and see whether the kill run and the
capture run find them.

    python tests/faults/run_faults.py [WORDS]

prints a table and fails if a fault is not found; WORDS choose faults, such as `kill:`. First both
run against a copy without a fault, and must pass. It takes minutes; the capture needs the right to
open raw sockets.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 400
ROUNDS = {"kill": 40, "capture": 20}


class Fault(NamedTuple):
    """``words`` say what goes wrong; ``sound`` must occur exactly once in ``module``."""

    run: str
    words: str
    module: str
    sound: str
    faulty: str


SOUND = "(nothing)"
FAULTS = (
    Fault("kill", SOUND, "errors.py", "", ""),
    Fault(
        "kill",
        "Publications are answered 100 ms before they are on disk",
        "store/writer.py",
        "            self._sequencer.seal()\n",
        "            _answer([w for w in writes if type(w.result).__name__ == '_Entered'])\n"
        "            __import__('time').sleep(0.1)\n"
        "            self._sequencer.seal()\n",
    ),
    Fault(
        "kill",
        "The reader's place is on disk 100 ms before its items",
        "gateway/exchange.py",
        "        await self._intake.receive(received, keep)\n",
        "        def early(tx: Tx) -> None:\n"
        "            fresh, now = fresh_state(tx, row)\n"
        "            places = {**now.places, collection: sheet.until_us}\n"
        "            put_state(tx, fresh, msgspec.structs.replace(now, places=places))\n"
        "        await self._book.store.write(early)\n"
        "        await __import__('asyncio').sleep(0.1)\n"
        "        await self._intake.receive(received, keep)\n",
    ),
    Fault(
        "kill",
        "The reader's place is on disk 100 ms after its items",
        "gateway/exchange.py",
        "        await self._intake.receive(received, keep)\n",
        "        def late(tx: Tx, new: int, known: int) -> None:\n"
        "            outcome.append((new, known))\n"
        "        await self._intake.receive(received, late)\n"
        "        await __import__('asyncio').sleep(0.1)\n"
        "        await self._book.store.write(lambda tx: keep(tx, *outcome[0]))\n",
    ),
    Fault("capture", SOUND, "errors.py", "", ""),
    Fault(
        "capture",
        "The gate cuts no open send",
        "gateway/gate.py",
        "if send.cleared.shipment.agreement == agreement\n",
        "if send.cleared.shipment.agreement == 'none'\n",
    ),
    Fault(
        "capture",
        "An order that is in force does not reach the feeds",
        "gateway/barrier.py",
        "for entry in change_feeds(tx, change, book):",
        "for entry in change_feeds(tx, change, book) if current.epoch == 1 else ():",
    ),
    Fault(
        "capture",
        "A cut lets the kernel send what it has",
        "faces/edge.py",
        'struct.pack("ii", 1, 0)',
        'struct.pack("ii", 0, 0)',
    ),
    Fault(
        "capture",
        "A send leaves the register before its bytes are acknowledged",
        "faces/send.py",
        "complete = await connection.drained()",
        "complete = True",
    ),
)


def run_alone(program: str, *, rounds: int, seed: int, source: Path = ROOT / "src") -> Any:
    """What a run says against these sources, in a process of its own. Raises if it proves
    nothing."""
    words = ["--rounds", str(rounds), "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, ROOT / "tests/faults" / program, *words],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"The run proves nothing: {done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def outcome(fault: Fault) -> str:
    """What the run says against a copy with the fault; empty if it finds nothing wrong."""
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "src"
        shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / "detente" / fault.module
        text = path.read_text()
        if fault.sound:
            if text.count(fault.sound) != 1:
                raise SystemExit(f"Expected once in {fault.module}: {fault.sound!r}")
            path.write_text(text.replace(fault.sound, fault.faulty))
        said = run_alone(f"{fault.run}_run.py", rounds=ROUNDS[fault.run], seed=1, source=copy)
        return "" if said["ok"] else str(said["fault"])


def main() -> int:
    """Print the table; fail if a fault was missed or something sound was faulted."""
    wrong = 0
    for fault in FAULTS:
        if not any(word in f"{fault.run}: {fault.words}" for word in sys.argv[1:] or ROUNDS):
            continue
        said = outcome(fault)
        wrong += (fault.words == SOUND) == bool(said)
        print(
            f"| {fault.run} | {fault.words} | {said[:160] or 'finds nothing wrong'} |", flush=True
        )
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
