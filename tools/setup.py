"""Make `.venv` from the locked files, once; do nothing if it is up to date.

Promised: afterwards `.venv` holds exactly the packages of `requirements/dev.txt`, each with a hash
that is listed there, and this project in editable form. A half-made, moved or outdated `.venv` is
made anew. Whatever is missing is said in one line that names the remedy. Uses `uv` where it is on
the path, else the pip that the venv module brings. Not checked: packages that somebody installed
into `.venv` by hand afterwards.

Standard library only. That Python is there and new enough, the Makefile has checked already: an
old one could not even read this file.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "detente-stamp"
LOCKED = ROOT / "requirements" / "dev.txt"
PROJECT = ROOT / "pyproject.toml"
OUTPUT_LINES_MAX = 30
# Wheels only: building a package from source would fetch build tools that no lock file names.
PICK = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(LOCKED)]
OURSELVES = ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]


class Stop(Exception):
    """Something is missing; its text is the one line that a person reads."""


def wanted() -> str:
    """Say what a finished `.venv` stands for; the place counts because scripts in it name it."""
    parts = [sys.version.encode(), str(ROOT).encode()]
    parts += [path.read_bytes() for path in (LOCKED, PROJECT, Path(__file__))]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def is_ready(stamp: str) -> bool:
    """Tell whether `.venv` was finished for this stamp; the stamp is written last of all."""
    try:
        return STAMP.read_text() == stamp and os.access(PYTHON, os.X_OK)
    except OSError:
        return False


def has_venv() -> bool:
    """Tell whether this Python can make a virtual environment; Debian packs that part apart."""
    return all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))


def run(step: str, command: list[str]) -> None:
    """Run one step; what it printed is shown only if it fails, as the detail behind our line."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as fault:
        raise Stop(f"{step} failed: {fault}.") from fault
    if done.returncode:
        lines = done.stdout.decode(errors="replace").splitlines()
        print("\n".join(lines[-OUTPUT_LINES_MAX:]), file=sys.stderr)
        raise Stop(f"{step} failed, see above.")


def install() -> None:
    """Make `.venv` anew and fill it: by uv if it is on the path, by pip if not or if uv fails."""
    if shutil.which("uv"):
        try:
            make_anew(
                ["uv", "venv", "--quiet", "--python", sys.executable],
                ["uv", "pip", "install", "--quiet", "--python", str(PYTHON)],
            )
        except Stop as word:
            # Its settings are its own: a mirror that pip has been told of, uv may not know.
            if not has_venv():
                raise
            print(f"setup: with uv: {word} Trying pip.", file=sys.stderr)
        else:
            return
    make_anew(
        [sys.executable, "-m", "venv"],
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"],
    )


def make_anew(make: list[str], fill: list[str]) -> None:
    """Remove what lies there, make `.venv` with one command and fill it with the other."""
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    shutil.rmtree(VENV, ignore_errors=True)
    run("Making .venv", [*make, str(VENV)])
    run("Installing the locked packages", [*fill, *PICK])
    run("Installing Detente itself", [*fill, *OURSELVES])


def main() -> int:
    try:
        # Two makes at once take turns; the second finds the work done. The lock goes with us.
        with PROJECT.open("rb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            stamp = wanted()
            if is_ready(stamp):
                return 0
            if not (has_venv() or shutil.which("uv")):
                raise Stop("python3-venv is missing: run apt-get install python3-venv")
            print("setup: making .venv from requirements/dev.txt (once, about half a minute)")
            install()
            STAMP.write_text(stamp)
    except Stop as word:
        print(f"setup: {word}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
