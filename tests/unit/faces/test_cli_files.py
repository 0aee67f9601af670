"""Commands that are given the wrong file: each says what it expected, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detente.faces.cli import app


def told(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, [*words, "--json"])
    return done.exit_code, json.loads(done.output)


@pytest.mark.parametrize("command", [("hold", "list"), ("directive", "list"), ("feed", "show")])
def test_a_file_in_the_place_of_a_nodes_folder_is_told(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    code, said = told(*command, str(file))
    assert (code, said["error"]["code"]) == (6, "node.not-running")
    assert str(file) in said["error"]["sentence"]


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    place = tmp_path / "none" / "key"
    code, said = told("charter", "key", str(place), "--holder", "h")
    assert (code, said["error"]["code"]) == (2, "file.place")
    assert not place.parent.exists()


def test_a_key_in_the_place_of_its_card_is_told(tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert told("charter", "key", str(key), "--holder", "h")[0] == 0
    words = ("charter", "draft", "--party", "C", "--root", "head", "-o", str(tmp_path / "c.json"))
    done = CliRunner().invoke(app, [*words, "--office", f"head={key}"])
    assert done.exit_code == 2
    assert "charter.card" in done.output
    assert f"{key}." in done.output
    assert not (tmp_path / "c.json").exists()
