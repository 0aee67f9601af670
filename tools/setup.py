"""Make `.venv` from the locked files, once; do nothing if it is up to date.

Promised: afterwards `.venv` holds exactly the packages of `requirements/dev.txt`, each with a hash
that is listed there, and this project in editable form. A half-made, moved or outdated `.venv` is
made anew. Whatever is missing is said in one line that names the remedy. Uses `uv` where it is on
the path, else the pip that the venv module brings. Not checked: packages that somebody installed
into `.venv` by hand afterwards.

Standard library only, and no syntax newer than Python 3.7, so that an old Python gets to the line
that says it is too old.
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
PYTHON_MIN = (3, 11)
OUTPUT_LINES_MAX = 30
# Wheels only: building a package from source would fetch build tools that no lock file names.
PICK = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(LOCKED)]
OURSELVES = ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]


class Stop(Exception):  # noqa: N818 - not a fault of the program but its last word to a person
    """Something is missing; its text is the one line that a person reads."""


def wanted() -> str:
    """Say what a finished `.venv` stands for; the place counts because scripts in it name it."""
    parts = [sys.version.encode(), str(ROOT).encode()]
    parts += [path.read_bytes() for path in (LOCKED, PROJECT, Path(__file__))]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def is_ready(stamp: str) -> bool:
    """Tell whether `.venv` was finished for this stamp; the stamp is written last of all."""
    try:
        return STAMP.read_text() == stamp and os.access(str(PYTHON), os.X_OK)
    except OSError:
        return False


def check_python() -> None:
    """Refuse a Python that is too old, or one that cannot make a virtual environment."""
    if sys.version_info < PYTHON_MIN:
        have = ".".join(str(part) for part in sys.version_info[:3])
        raise Stop(
            f"Expected Python 3.11 or newer, got {have} ({sys.executable}): "
            "name a newer one, as in `make PYTHON=python3.12 test`."
        )
    if shutil.which("uv"):
        return
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise Stop("python3-venv is missing: run apt-get install python3-venv")


def run(step: str, command: list[str]) -> None:
    """Run one step; what it printed is shown only if it fails, as the detail behind our line."""
    try:
        done = subprocess.run(
            command, cwd=str(ROOT), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as fault:
        raise Stop(f"{step} failed: {fault}.") from fault
    if done.returncode:
        lines = done.stdout.decode(errors="replace").splitlines()
        print("\n".join(lines[-OUTPUT_LINES_MAX:]), file=sys.stderr)
        raise Stop(f"{step} failed: mend what stands above, then run make again.")


def install() -> None:
    """Make `.venv` anew and fill it."""
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    shutil.rmtree(str(VENV), ignore_errors=True)
    if shutil.which("uv"):
        pip = ["uv", "pip", "install", "--quiet", "--python", str(PYTHON)]
        run("Making .venv", ["uv", "venv", "--quiet", "--python", sys.executable, str(VENV)])
    else:
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run("Making .venv", [sys.executable, "-m", "venv", str(VENV)])
    run("Installing the locked packages", [*pip, *PICK])
    run("Installing Detente itself", [*pip, *OURSELVES])


def main() -> int:
    try:
        check_python()
        # Two makes at once take turns; the second finds the work done. The lock goes with us.
        with PROJECT.open("rb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            stamp = wanted()
            if is_ready(stamp):
                return 0
            print("setup: making .venv from requirements/dev.txt (once, about half a minute)")
            install()
            STAMP.write_text(stamp)
    except Stop as word:
        print(f"setup: {word}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
