"""What may stand in a file, whatever its language: no registry, no machine, no loose lock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

# Written so that this file does not contain what it looks for.
REGISTRY = re.compile(
    r"py[p]i\.(?:[o]rg|[p]ython)|pythonhoste[d]\.|registry\.n[p]mjs|registry\.[y]arnpkg"
    r"|crates\.[i]o|proxy\.golan[g]|(?:extra-|default-)?index[-]url|find[-]links"
)
MACHINE = re.compile(
    r"(?:^|[^A-Za-z0-9_.$<-])/(?:(?:work|farm|root)/[A-Za-z.]|(?:home|Users)/[a-z][a-z0-9_-]*/"
    r"|tmp/[A-Za-z.])"
)

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)")
DECISION = re.compile(r"^(?P<number>\d{4})-[a-z0-9]+(?:-[a-z0-9]+)*\.md$")
STATUS = re.compile(r"^Status: (?:proposed|accepted|superseded by (?P<by>\d{4}))$", re.MULTILINE)
FRAGMENT = re.compile(r"^[a-z0-9]+(?:-[a-z0-9]+)*\.(?:security|added|changed|fixed|removed)\.md$")


def check_text(place: str, text: str) -> list[str]:
    """Complain of every line that names a package registry or a path of somebody's machine."""
    complaints = []
    for number, line in enumerate(text.splitlines(), start=1):
        if REGISTRY.search(line):
            complaints.append(f"{place}:{number}: names a package registry")
        if MACHINE.search(line):
            complaints.append(f"{place}:{number}: names a path of a machine")
    return complaints


def normal_name(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins_of(text: str) -> dict[str, str]:
    """Package and version of every pin in a lock file."""
    found = (PIN.match(line) for line in text.splitlines())
    return {normal_name(pin["name"]): pin["version"] for pin in found if pin}


def check_lock(place: str, text: str) -> list[str]:
    """Complain of entries without a version or a hash, and of options and addresses."""
    complaints = []
    entries = re.split(r"\n(?=\S)", text.strip())
    for entry in entries:
        first = entry.splitlines()[0]
        if first.startswith("#"):
            continue
        if not PIN.match(first):
            complaints.append(f"{place}: expected name==version, got {first!r}")
        elif "--hash=sha256:" not in entry:
            complaints.append(f"{place}: {first!r} has no hash")
    return complaints


def check_declared(declared: Iterable[str], pins: Mapping[str, str]) -> list[str]:
    """Complain of what pyproject.toml asks for and the lock file does not hold."""
    names = [normal_name(re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0]) for need in declared]
    return [
        f"{name} is declared but not locked: run make lock" for name in names if name not in pins
    ]


def check_decisions(texts: Mapping[str, str]) -> list[str]:
    """Complain of decisions without number, heading, status, or with a gap: none is removed."""
    complaints = []
    numbers = []
    for name, text in sorted(texts.items()):
        if name == "README.md":
            continue
        match = DECISION.match(name)
        if not match:
            complaints.append(f"{name}: expected NNNN-words-with-hyphens.md")
            continue
        number = match["number"]
        numbers.append(int(number))
        if not text.startswith(f"# {number}. "):
            complaints.append(f"{name}: expected the heading '# {number}. …'")
        status = STATUS.search(text)
        if not status:
            complaints.append(f"{name}: expected 'Status: proposed|accepted|superseded by NNNN'")
        elif status["by"] and not any(other.startswith(status["by"]) for other in texts):
            complaints.append(f"{name}: superseded by {status['by']}, which does not exist")
    if numbers != list(range(1, len(numbers) + 1)):
        complaints.append(f"expected numbers from 1 without gap or double, got {numbers}")
    return complaints


def check_fragments(names: Sequence[str]) -> list[str]:
    """Complain of fragments whose name does not say what kind of change it is."""
    return [
        f"changelog.d/{name}: expected words.(security|added|changed|fixed|removed).md"
        for name in names
        if name != "README.md" and not FRAGMENT.match(name)
    ]


def is_text(path: PurePosixPath, content: bytes) -> bool:
    """Tell whether a file is text to be read by people or programs."""
    return b"\0" not in content[:8192] and path.suffix not in {".gz", ".png", ".pem"}
