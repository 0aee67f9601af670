"""What is printed for people: foreign words stay words."""

from __future__ import annotations

import pytest

from detente.faces.speak import table


def test_foreign_words_in_a_table_mean_nothing_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table("Held", ("id", "reason"), [("[bold red]x[/]", "a\x1b[2Jb\u202ec\nd")])
    shown = capsys.readouterr().out
    assert "[bold red]x[/]" in shown
    assert "a\\u{1b}[2Jb\\u{202e}c\\u{a}d" in shown
    assert not {"\x1b", "\u202e"} & set(shown)


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    table("Held", ("id",), [])
    assert capsys.readouterr().out == "Held: none\n"
