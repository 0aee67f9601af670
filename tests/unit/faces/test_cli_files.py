"""Commands that are given the wrong file: each says what it expected, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from detente.faces.cli import app
from detente.faces.documents import new_envelope
from detente.testing.world import charter_of_party, keys_of_party


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


def made_key(folder: Path, password: bytes | None = None) -> Path:
    key = Ed25519PrivateKey.generate()
    form = serialization.BestAvailableEncryption(password) if password else None
    file = folder / "officer.key"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            form or serialization.NoEncryption(),
        )
    )
    return file


def charter_in(folder: Path) -> Path:
    file = folder / "charter.json"
    record = charter_of_party("B", ("B-NAV",), keys_of_party())
    file.write_bytes(new_envelope("charter", record, exercise=False).encode())
    return file


def test_key_under_a_password_signs_with_it_and_not_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, key = charter_in(tmp_path), made_key(tmp_path, b"open sesame")
    before = file.read_bytes()
    words = ("charter", "sign", str(file), "--key", str(key))
    for given, said in (("", "key.password"), ("wrong", "key.private")):
        if given:
            monkeypatch.setenv("DETENTE_KEY_PASSWORD", given)
        code, told_ = told(*words)
        assert (code, told_["error"]["code"]) == (2, said)
        assert str(key) in told_["error"]["sentence"]
        assert given == "" or given not in json.dumps(told_)
        assert file.read_bytes() == before
    monkeypatch.setenv("DETENTE_KEY_PASSWORD", "open sesame")
    assert told(*words) == (0, {"signatures": 1})


@pytest.mark.parametrize("command", ["agreement", "directive", "assurance"])
def test_each_kind_of_document_is_signed_by_its_own_command(tmp_path: Path, command: str) -> None:
    file, key = charter_in(tmp_path), made_key(tmp_path)
    before = file.read_bytes()
    code, said = told(command, "sign", str(file), "--key", str(key))
    assert (code, said["error"]["code"]) == (2, "document.type")
    assert file.read_bytes() == before
