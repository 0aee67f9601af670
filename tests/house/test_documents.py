"""What a document claims: the reference is the code's, links lead somewhere, tests named exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.shared import ROOT


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "reference.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr


def test_every_file_named_in_a_document_exists() -> None:
    missing = []
    for document in documents():
        text = document.read_text()
        for name in re.findall(r"`((?:tests|docs|src|demo|tools|bench)/[A-Za-z0-9_./-]+)`", text):
            if not (ROOT / name).exists() and not name.startswith(("demo/report", "demo/run")):
                missing.append(f"{document.relative_to(ROOT)}: {name}")
        for name in re.findall(r"`((?:wire|gateway|rules|faces|store)/[a-z_]+\.py)`", text):
            if not (ROOT / "src" / "detente" / name).exists():
                missing.append(f"{document.relative_to(ROOT)}: {name}")
    assert not missing


def test_the_walks_name_functions_that_exist() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    named = re.findall(r"`((?:wire|gateway|rules|faces)/[a-z_]+\.py)` \(([^)]*)\)", text)
    assert len(named) >= 10
    for name, functions in named:
        source = (ROOT / "src" / "detente" / name).read_text()
        for function in re.findall(r"`([a-z_]+)`", functions):
            assert f"def {function}(" in source, (name, function)


def test_the_readme_names_the_five_promises_each_with_a_test() -> None:
    text = (ROOT / "README.md").read_text()
    part = text.split("## What is promised")[1].split("\n## ")[0]
    promises = re.split(r"^\d\. ", part, flags=re.MULTILINE)[1:]
    assert len(promises) == 5
    for promise in promises:
        assert re.search(r"`tests/[^`]+`", promise), promise


def test_every_reason_of_a_marking_stands_with_the_markings() -> None:
    reference = ROOT / "docs" / "reference"
    codes = re.findall(
        r"^## `(marking\.[^`]+)`", (reference / "reasons.md").read_text(), re.MULTILINE
    )
    told = (reference / "markings.md").read_text()
    assert len(codes) >= 10
    assert [code for code in codes if f"`{code}`" not in told] == []
