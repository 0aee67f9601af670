"""Reading back and the card on the command line: nobody is shown what to type."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from detente.faces.cli import app
from detente.faces.documents import envelope_in, new_envelope
from detente.model import ReadBack, decode
from tests.unit.faces.test_cli_lint import key_in, run, written
from tests.unit.rules.kit import agreement
from tests.unit.rules.lint_cases import sound

RIGHT = {
    "--who": "U and V",
    "--what": "suspend VI, VT",
    "--direction": "out",
    "--start": "when enacted",
    "--end": "review 1970-01-01T00:00:02.009Z",
}


def words(**changed: str) -> list[str]:
    said = RIGHT | {f"--{name}": value for name, value in changed.items()}
    return [word for pair in said.items() for word in pair]


def test_right_values_match_and_the_sentence_is_told_then_only(tmp_path: Path) -> None:
    file = written(tmp_path, sound())
    code, said = run("directive", "read-back", str(file), *words())
    assert (code, said["match"]) == (0, True)
    assert "suspend VI, VT" in said["sentence"]
    code, said = run("directive", "read-back", str(file), *words(direction="in", end="never"))
    assert (code, said["error"]["code"]) == (5, "read-back.mismatch")
    assert "direction, end" in said["error"]["sentence"]
    assert "sentence" not in said


def test_titles_count_with_the_agreement_and_in_spanish(tmp_path: Path) -> None:
    file, terms = written(tmp_path, sound()), tmp_path / "a.json"
    terms.write_bytes(new_envelope("agreement", agreement(), exercise=False).encode())
    spanish = words(
        who="U y V",
        what="Suspender vessel y track",
        direction="salida",
        start="al entrar en vigor",
        end="revisión 1970-01-01T00:00:02.009Z",
    )
    more = ("--language", "es", "--agreement", str(terms))
    assert run("directive", "read-back", str(file), *spanish, *more)[0] == 0
    # Without the agreement a title is a word like any other.
    assert run("directive", "read-back", str(file), *spanish, "--language", "es")[0] == 5


@pytest.mark.parametrize("given", [{}, {"direction": "in"}])
def test_what_was_given_is_signed_as_it_was_given(tmp_path: Path, given: dict[str, str]) -> None:
    key, file, out = key_in(tmp_path), written(tmp_path, sound()), tmp_path / "rb.json"
    run("directive", "read-back", str(file), *words(**given), "--key", str(key), "-o", str(out))
    kept = envelope_in(out)
    read = decode(kept.payload, ReadBack)
    assert len(kept.signatures) == 1
    assert (read.directive, read.what) == ("D1", "suspend VI, VT")
    assert read.direction == given.get("direction", "out")


def test_value_that_is_missing_is_asked_for_at_a_terminal_only(tmp_path: Path) -> None:
    file = written(tmp_path, sound())
    code, said = run("directive", "read-back", str(file), "--who", "U, V")
    assert (code, said["error"]["code"]) == (2, "cli.read-back")
    code, said = run("directive", "read-back", str(file), *words(), "--key", str(file))
    assert (code, said["error"]["code"]) == (2, "cli.read-back")


def test_card_is_printed_for_a_unit(tmp_path: Path) -> None:
    file = written(tmp_path, sound())
    done = CliRunner().invoke(app, ["directive", "card", str(file), "--unit", "U"])
    assert done.exit_code == 0
    assert "YOU MAY NOT:" in done.output
    done = CliRunner().invoke(
        app, ["directive", "card", str(file), "--unit", "X", "--language", "es"]
    )
    assert "no se dirige a X" in done.output
