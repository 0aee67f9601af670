"""Lint on the command line: what it tells, and that nobody signs what can be misread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from detente.faces.cli import app
from detente.faces.documents import new_envelope
from detente.model import Directive, InternalReason, digest, encode
from tests.unit.rules.kit import agreement
from tests.unit.rules.lint_cases import POST, sound


def run(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, [*words, "--json"])
    return done.exit_code, json.loads(done.output)


def written(folder: Path, order: Directive) -> Path:
    file = folder / f"{order.id}.json"
    file.write_bytes(new_envelope("directive", order, exercise=order.exercise).encode())
    return file


def key_in(folder: Path) -> Path:
    key = folder / "officer.key"
    assert run("charter", "key", str(key), "--holder", "h")[0] == 0
    return key


def test_sound_document_ends_with_nothing_found(tmp_path: Path) -> None:
    code, said = run("directive", "lint", str(written(tmp_path, sound())))
    assert (code, said["findings"]) == (0, [])


@pytest.mark.parametrize(
    ("language", "title"), [("en", "Safety of life"), ("es", "Salvaguarda de la vida")]
)
def test_finding_is_told_in_the_readers_language(tmp_path: Path, language: str, title: str) -> None:
    file = written(tmp_path, sound(exemptions=None))
    code, said = run("directive", "lint", str(file), "--language", language)
    found = said["findings"][0]
    assert (code, found["code"], found["title"]) == (2, "L10", title)


def test_acknowledged_warning_is_told_and_stops_nothing(tmp_path: Path) -> None:
    order = sound(reason="Sensitive", acknowledged=("L14",))
    code, said = run("directive", "lint", str(written(tmp_path, order)))
    assert code == 0
    assert [one["acknowledged"] for one in said["findings"]] == [True]


@pytest.mark.parametrize("language", ["en", "es"])
def test_words_said_in_public_give_a_draft_with_its_gaps(tmp_path: Path, language: str) -> None:
    terms = tmp_path / "a.json"
    terms.write_bytes(new_envelope("agreement", agreement(), exercise=False).encode())
    words = ("directive", "lint", "--text", POST[language], "--language", language)
    for more in ((), ("--agreement", str(terms))):
        code, said = run(*words, *more)
        assert code == 2
        seen = {one["code"] for one in said["findings"]}
        assert {"L01", "L02", "L06", "L07", "L08", "L09"} <= seen
        for one in said["draft"]:
            if one["at"]:
                assert POST[language][slice(*one["at"])] == one["quote"]
        assert {one["gap"] for one in said["draft"] if "gap" in one} == {"L01", "L02"}


@pytest.mark.parametrize(
    "words", [(), ("FILE", "--text", "x"), ("--text", "x", "--language", "xx")]
)
def test_what_is_to_be_looked_at_is_named_once_in_a_language_there_is(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = str(written(tmp_path, sound()))
    code, said = run("directive", "lint", *(file if one == "FILE" else one for one in words))
    assert (code, said["error"]["code"]) in ((2, "cli.lint"), (2, "language.unknown"))


def test_what_can_be_misread_is_not_signed_and_the_file_stays(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    file = written(tmp_path, sound(in_transit=None))
    before = file.read_bytes()
    code, said = run("directive", "sign", str(file), "--key", str(key))
    assert (code, said["error"]["code"]) == (2, "directive.lint")
    assert "L08" in said["error"]["sentence"]
    assert file.read_bytes() == before
    whole = written(tmp_path, replace(sound(), id="D2"))
    code, said = run("directive", "sign", str(whole), "--key", str(key))
    assert (code, said["signatures"]) == (0, 1)


def test_internal_reason_is_bound_by_its_digest(tmp_path: Path) -> None:
    kept = InternalReason(directive="D1", issuer="A", text="only here", salt="0" * 64)
    data = encode(kept)
    inside = tmp_path / "d1.internal.json"
    inside.write_bytes(data)
    file = written(tmp_path, sound(reason_internal=digest(data)))
    assert b"only here" not in file.read_bytes()
    assert run("directive", "show", str(file), "--internal", str(inside))[0] == 0
    inside.write_bytes(data.replace(b"only", b"also"))
    code, said = run("directive", "show", str(file), "--internal", str(inside))
    assert (code, said["error"]["code"]) == (2, "directive.internal")
