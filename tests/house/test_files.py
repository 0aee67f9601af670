"""Files: no registry, no machine, locks with hashes, numbered decisions, a glossary."""

from __future__ import annotations

import re
import tomllib
from pathlib import PurePosixPath

import pytest

from tests.house.files import (
    check_decisions,
    check_declared,
    check_fragments,
    check_lock,
    check_text,
    is_text,
    pins_of,
)
from tests.house.source import ROOT, expect_none, tracked_files

RUN = (ROOT / "requirements" / "run.txt").read_text()
DEV = (ROOT / "requirements" / "dev.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# One word per idea, everywhere; each has its entry in the glossary.
WORDS = """
party, office, agreement, purpose, assurance, directive, read-back, quorum, in force, standing,
epoch, barrier, decision, reason, item, transfer, hold, release, refuse, receipt, recall, trace,
halt, act, ledger, entry, checkpoint, cosignature, witness, notice, statement, claim,
contradiction, marking, originator, unit, charter, kind, handling, feed, grant, stay, page,
collection, inclusion proof
"""


def test_no_tracked_file_names_a_registry_or_a_machine() -> None:
    complaints = []
    for path in tracked_files():
        content = path.read_bytes()
        place = path.relative_to(ROOT).as_posix()
        if is_text(PurePosixPath(place), content):
            complaints += check_text(place, content.decode("utf-8", errors="replace"))
    expect_none(complaints)


def test_locks_hold_versions_and_hashes_only() -> None:
    expect_none(check_lock("run.txt", RUN) + check_lock("dev.txt", DEV))


def test_what_runs_is_locked_to_the_versions_that_are_tested() -> None:
    tested = pins_of(DEV)
    assert {name: tested.get(name) for name in pins_of(RUN)} == pins_of(RUN)


def test_everything_declared_is_locked() -> None:
    project = PROJECT["project"]
    build = PROJECT["build-system"]["requires"]
    assert check_declared(project["dependencies"], pins_of(RUN)) == []
    extra = project["optional-dependencies"]["dev"]
    assert check_declared([*project["dependencies"], *extra, *build], pins_of(DEV)) == []


def test_every_decision_is_numbered_and_none_is_missing() -> None:
    folder = ROOT / "docs" / "decisions"
    assert check_decisions({path.name: path.read_text() for path in folder.glob("*.md")}) == []


def test_every_fragment_says_what_kind_of_change_it_is() -> None:
    assert check_fragments([path.name for path in (ROOT / "changelog.d").iterdir()]) == []


def test_every_word_of_the_design_has_its_entry_in_the_glossary() -> None:
    text = (ROOT / "GLOSSARY.md").read_text()
    entries = set(re.findall(r"^\*\*([^*]+)\*\*", text, re.MULTILINE))
    words = {word.strip() for word in WORDS.replace("\n", " ").split(",")}
    assert words - entries == set()
    assert list(re.findall(r"^\*\*([^*]+)\*\*", text, re.MULTILINE)) == sorted(entries)


def test_every_module_without_types_is_excused_with_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    places = [n for n, line in enumerate(lines) if line == "[[tool.mypy.overrides]]"]
    assert [lines[n + 1] for n in places if not lines[n - 1].startswith("#")] == []


@pytest.mark.parametrize(
    "line",
    [
        "https://" + "py" + "pi.org/simple",
        "files." + "pythonhost" + "ed.org",
        "--index" + "-url https://example.org",
        "--find" + "-links wheels",
        "see /" + "work/main/x",
        "open('/" + "root/.ssh')",
        "/" + "tmp/out.txt",
        "/" + "home/ana/detente",
        "http://127.0.0.1:{port}/" + "root/collections/",
    ],
)
def test_a_registry_or_a_machine_in_a_file_is_complained_of(line: str) -> None:
    assert len(check_text("file", f"fine\n{line}\nfine")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "https://example.org/work/item",
        "docs/work/plan.md",
        "$HOME/home/ana/x",
        "/" + "tmp",
        "the route /api/root/x",
        "GET /taxii2/root/collections/",
        "~/detente",
    ],
)
def test_ordinary_paths_are_left_alone(line: str) -> None:
    assert check_text("file", line) == []


def test_a_loose_lock_is_complained_of() -> None:
    good = "a==1 \\\n    --hash=sha256:00\n    # via b\n"
    assert check_lock("lock", good) == []
    for bad in ("a==1\n", "a>=1 \\\n    --hash=sha256:00\n", "-r other.txt\n", "a @ file:x\n"):
        assert len(check_lock("lock", good + bad)) == 1


def test_a_package_that_is_declared_but_not_locked_is_complained_of() -> None:
    pins = pins_of("stix2_validator==3 \\\n")
    assert check_declared(["stix2-validator>=2", "stix2.validator[x]"], pins) == []
    assert len(check_declared(["stix2-validator", "apsw>=3"], pins)) == 1


def test_a_decision_out_of_order_is_complained_of() -> None:
    def page(number: str, status: str = "accepted") -> str:
        return f"# {number}. Words\n\nStatus: {status}\n"

    good = {"README.md": "", "0001-a.md": page("0001"), "0002-b-c.md": page("0002")}
    assert check_decisions(good) == []
    assert check_decisions({**good, "0001-a.md": page("0001", "superseded by 0002")}) == []
    for change in (
        {"0004-d.md": page("0004")},
        {"0002-twice.md": page("0002")},
        {"0003_d.md": page("0003")},
        {"0003-d.md": page("0004")},
        {"0003-d.md": page("0003", "maybe")},
        {"0003-d.md": page("0003", "superseded by 0009")},
    ):
        assert len(check_decisions({**good, **change})) == 1


def test_a_fragment_of_no_kind_is_complained_of() -> None:
    assert check_fragments(["README.md", "first-release.added.md"]) == []
    assert len(check_fragments(["first.md", "First.added.md", "x.news.md"])) == 3
