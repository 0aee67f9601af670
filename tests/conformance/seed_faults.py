"""Runs the suite once for each fault of `faulty.py` and tells which check sees it first.

`python tests/conformance/seed_faults.py` starts a server for each run (``--lab COMMAND``: another
than the project's own lab), compares with a run without a fault, and fails if a fault is not seen.
``--out FILE`` writes the table. All take a few minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.conformance.faulty import FAULTS, NOTHING  # noqa: E402  # the path is set above

RUN_S = 300


def failing(lab: str, fault: str, known: Sequence[str] = ()) -> list[str]:
    """The checks that fail with this fault on a fresh server. With ``known``, which fail anyhow,
    those are left out, and the first other one is enough."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as left_out:
        left_out.write("".join(f"--deselect={name}\n" for name in known))
        left_out.flush()
        words = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=no", f"@{left_out.name}"]
        words += ["-x"] if known else []
        with subprocess.Popen(
            shlex.split(lab),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        ) as server:
            try:
                assert server.stdout is not None
                told = server.stdout.readline()
                done = subprocess.run(
                    [sys.executable, "-m", "pytest", "tests/conformance", *words],
                    env={**os.environ, "TAXII_LAB": told, "CONFORMANCE_FAULT": fault},
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=RUN_S,
                )
            finally:
                server.terminate()
    if done.returncode not in (0, 1):
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)


def main() -> int:
    """Run all, tell all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lab", default=f"{sys.executable} tools/taxii_lab.py --page 50")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    base = failing(options.lab, NOTHING)
    if set(base) != set(failing(options.lab, "")):
        sys.exit("the way through the faults changes what fails")
    # One is always left out, so that the first other one is enough also where all pass.
    known = base or ["tests/conformance/none"]
    lines = [
        f"{len(base)} checks fail without a fault.",
        "",
        "| fault | first seen by |",
        "|---|---|",
    ]
    missed = []
    with ThreadPoolExecutor(2) as pool:
        for fault, seen in zip(
            FAULTS, pool.map(lambda fault: failing(options.lab, fault, known), FAULTS), strict=True
        ):
            first = _words(seen[0]) if seen else "**nothing**"
            missed += [] if seen else [fault]
            lines.append(f"| {fault} | {first} |")
            print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
    print(f"{len(FAULTS)} faults, not seen: {missed or 'none'}")
    return bool(missed)


def _words(name: str) -> str:
    """A check's name as a sentence."""
    file, _, check = name.partition("::")
    part = Path(file).stem.removeprefix("test_").replace("_", " ")
    return f"{part}: {check.partition('[')[0].removeprefix('test_').replace('_', ' ')}"


if __name__ == "__main__":
    sys.exit(main())
