"""Agreements as a person writes them at the command line: template, check, draft, diff, show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detente.faces import cli
from detente.faces.cli import app
from detente.faces.documents import charter_of, key_card, new_envelope
from detente.model import Agreement
from detente.proof import Ed25519Signer
from detente.wire.terms import Language, read_terms

TEMPLATES = ("bilateral", "bilateral-police", "coast-guard", "fiu", "humanitarian", "isac")
#: What every template but the smallest shows, in a comment's neighbourhood.
SHOWN = (
    "legal_basis", "languages", "review", "until", "notice", "onward", "purposes", "oversight",
    "permitted_uses", "excluded_uses", "assurances", "moderated", "tests", "minimise",
    "bulk_max", "exempt", "including", "second_person", "tlp_max", "inside",
)  # fmt: skip


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def told(*words: str, code: int = 0) -> Any:
    done = run(*words, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def charter_in(folder: Path, party: str, units: tuple[str, ...], *offices: str) -> Path:
    """The charter of a party whose offices have one holder each."""
    keys = {
        office: Ed25519Signer.from_seed((party + office).ljust(32, ".").encode())
        for office in offices
    }
    cards = {office: (key_card(key, f"{party} {office}"),) for office, key in keys.items()}
    node = [Ed25519Signer.from_seed((party + use).ljust(32, ".").encode()).public for use in "nlw"]
    own = (f"{party.lower()}.example", node[0], node[1], node[2])
    record = charter_of((party, party, units, False), cards, (("head",), 1), own, 10**13)
    file = folder / f"{party}.charter"
    file.write_bytes(new_envelope("charter", record, exercise=False).encode())
    return file


def language_of(name: str) -> Language:
    return "yaml" if name == "humanitarian" else "toml"


def template(folder: Path, name: str) -> tuple[Path, Agreement, list[str]]:
    """The template in a file, what it says, and the options that name its members' charters."""
    text = run("agreement", "template", name).stdout
    file = folder / f"{name}.{language_of(name)}"
    file.write_text(text)
    terms = read_terms(text, {}, exercise=False, language=language_of(name), unsigned=True)
    words = []
    for member in terms.members:
        words += ["--charter", str(charter_in(folder, member.party, member.units, "duty", "head"))]
    return file, terms, words


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_template_is_free_of_errors_and_becomes_a_document(tmp_path: Path, name: str) -> None:
    file, terms, charters = template(tmp_path, name)
    checked = told("agreement", "check", str(file), *charters)
    # Of the smallest one the tutorial shows what a warning looks like.
    unruled = ["kind.unruled"] if name == "bilateral" else []
    assert [gap["code"] for gap in checked["gaps"]] == unruled
    paper = tmp_path / "paper.json"
    done = told("agreement", "draft", str(file), "-o", str(paper), *charters)
    assert [gap["code"] for gap in done["gaps"]] == unruled
    shown = told("agreement", "show", str(paper))
    assert (shown["agreement"]["id"], shown["digest"]) == (terms.id, done["digest"])
    assert told("agreement", "check", str(paper))["ok"]


@pytest.mark.parametrize("name", TEMPLATES[1:])
def test_each_template_shows_every_decision_with_a_comment(tmp_path: Path, name: str) -> None:
    text = run("agreement", "template", name).stdout
    missing = [word for word in SHOWN if word not in text]
    assert not missing
    # A comment stands over each part, or beside the line.
    parts = [part for part in text.split("\n\n") if part.strip()]
    tables = [part for part in parts if not part.lstrip().startswith(("#", "[["))]
    assert all("#" in part for part in tables[1:]), tables


def test_without_a_name_the_bilateral_template_is_printed() -> None:
    assert run("agreement", "template").stdout == run("agreement", "template", "bilateral").stdout
    listed = run("agreement", "template", "--list").stdout.splitlines()
    assert sorted(line.split()[0] for line in listed) == sorted(TEMPLATES)
    assert all(len(line) <= 115 for line in listed)


def test_a_template_that_is_not_there_is_told() -> None:
    done = run("agreement", "template", "../../cli.py")
    assert done.exit_code == 4
    assert "terms.template" in done.stderr
    assert done.stdout == ""


def test_the_twenty_purposes_of_cise_can_be_taken(tmp_path: Path) -> None:
    taken = run("agreement", "purposes").stdout
    file, terms, charters = template(tmp_path, "coast-guard")
    text = file.read_text()
    start, end = text.index("[[purposes]]"), text.index("# Uses in agreed words")
    file.write_text(text[:start] + taken + text[end:])
    paper = tmp_path / "paper.json"
    told("agreement", "draft", str(file), "-o", str(paper), *charters)
    purposes = [one["id"] for one in told("agreement", "show", str(paper))["agreement"]["purposes"]]
    assert len(purposes) == len(set(purposes)) == 20
    assert {one.id for one in terms.purposes} <= set(purposes)


def test_errors_are_told_all_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    file, _, charters = template(tmp_path, "fiu")
    text = file.read_text().replace('readers = ["G"]', 'readers = ["H"]')
    file.write_text(text.replace('tests = ["RECIPROCITY"]', 'tests = ["NONE"]'))
    checked = told("agreement", "check", str(file), code=2)
    codes = [gap["code"] for gap in checked["gaps"] if gap["level"] == "error"]
    assert codes == ["collection.reader-unknown", "kind.demand-unknown"]
    assert not checked["ok"]
    paper = tmp_path / "paper.json"
    said = told("agreement", "draft", str(file), "-o", str(paper), *charters, code=2)
    assert said["error"]["code"] == "terms.gaps"
    assert all(code in said["error"]["sentence"] for code in codes)
    assert not paper.exists()
    words = run("agreement", "check", str(file))
    assert words.exit_code == 2
    assert "2 errors, 0 warnings" in words.stdout
    assert "$.kinds[1].tests[0]" in words.stdout


def test_charters_that_cannot_bring_a_quorum_together_are_told_before_signing(
    tmp_path: Path,
) -> None:
    file, _, charters = template(tmp_path, "fiu")
    charters[1] = str(charter_in(tmp_path, "F", ("F-FIU",), "head", "dutty"))
    paper = tmp_path / "paper.json"
    said = told("agreement", "draft", str(file), "-o", str(paper), *charters, code=2)
    assert "power.office-unknown" in said["error"]["sentence"]
    assert "power.unmeetable" in said["error"]["sentence"]
    assert not paper.exists()


def test_warnings_are_told_and_the_document_is_made(tmp_path: Path) -> None:
    file, _, charters = template(tmp_path, "fiu")
    file.write_text(file.read_text().replace("onward =", "# onward ="))
    paper = tmp_path / "paper.json"
    done = run("agreement", "draft", str(file), "-o", str(paper), *charters)
    assert done.exit_code == 0
    assert "[onward.none]" in done.stderr
    assert "Say onward" in done.stderr
    assert paper.exists()


def test_what_a_new_version_changes_is_told_widening_first(tmp_path: Path) -> None:
    file, _, charters = template(tmp_path, "humanitarian")
    paper, next_ = tmp_path / "paper.json", tmp_path / "next.yml"
    told("agreement", "draft", str(file), "-o", str(paper), *charters)
    text = file.read_text().replace("moderated: true", "moderated: false")
    text = text.replace("expire_after: 12h", "expire_after: 2h")
    next_.write_text(text.replace("title: Exchange for", "version: 2\ntitle: Exchange only for"))
    found = told("agreement", "diff", str(paper), str(next_))
    assert (found["old"], found["new"]) == (1, 2)
    assert [(one["effect"], one["path"]) for one in found["differences"]] == [
        ("widens", "$.kinds[PN].moderated"),
        ("narrows", "$.kinds[CV].expire_after"),
        ("neither", "$.title"),
    ]
    words = run("agreement", "diff", str(paper), str(next_)).stdout.splitlines()
    assert [line[0] for line in words[1:]] == ["+", "-", "="]
    assert "nothing is different" in run("agreement", "diff", str(file), str(paper)).stdout


def test_next_version_is_drafted_after_the_one_it_follows(tmp_path: Path) -> None:
    file, _, charters = template(tmp_path, "fiu")
    first, second, third = (tmp_path / f"{n}.json" for n in (1, 2, 3))
    digest = told("agreement", "draft", str(file), "-o", str(first), *charters)["digest"]
    file.write_text(file.read_text().replace("from = 2026", "from = 2031-02-02T00:00:00Z # 2026"))
    file.write_text(file.read_text().replace("until = 2031", "until = 2036-01-01T00:00:00Z # 2031"))
    file.write_text(file.read_text().replace("review = 2028", "review = 2033-01-01T00:00:00Z # 8"))
    words = ("agreement", "draft", str(file), *charters, "--after", str(first))
    done = run(*words, "-o", str(second))
    assert done.exit_code == 0
    assert "From 2031-01-01T00:00:00.000Z to 2031-02-02T00:00:00.000Z no version" in done.stderr
    made = told("agreement", "show", str(second))["agreement"]
    assert (made["version"], made["supersedes"]) == (2, digest)
    said = told(*words, "-o", str(third))
    assert [one["effect"] for one in said["differences"]] == [
        "widens", "narrows", "narrows", "neither",
    ]  # fmt: skip
    none = tmp_path / "none.json"
    file.write_text("version = 5\n" + file.read_text())
    said = told(*words, "-o", str(none), code=2)["error"]
    assert (said["code"], said["path"]) == ("agreement.follows", "$.version")
    other, _, more = template(tmp_path, "isac")
    wrong = ("agreement", "draft", str(other), *more, "--after", str(first), "-o", str(none))
    assert told(*wrong, code=2)["error"]["code"] == "agreement.other"
    assert not none.exists()


def test_two_agreements_are_no_two_versions(tmp_path: Path) -> None:
    fiu, isac = (str(template(tmp_path, name)[0]) for name in ("fiu", "isac"))
    assert told("agreement", "diff", fiu, isac, code=2)["error"]["code"] == "agreement.other"


def test_an_agreement_is_shown_in_words_on_one_screen(tmp_path: Path) -> None:
    file, terms, charters = template(tmp_path, "coast-guard")
    paper = tmp_path / "paper.json"
    digest = told("agreement", "draft", str(file), "-o", str(paper), *charters)["digest"]
    lines = run("agreement", "show", str(paper)).stdout.splitlines()
    assert len(lines) <= 45
    text = "\n".join(lines)
    assert f"{digest}, 0 signatures" in text
    assert "review      2028-01-01T00:00:00.000Z; told before: end 180d, review 90d" in text
    assert "expires after 6h in hold; minimised COARSE; seen within 2h" in text
    assert "SL distress, search and rescue: release when the flow goes on; EXEMPT" in text
    assert "resume: 2 of duty, head, among them head (N, S, W)" in text
    for word in (*(one.text for one in terms.excluded_uses), *(k.id for k in terms.kinds)):
        assert word in text


def test_what_is_to_come_is_told_with_the_standing(capsys: pytest.CaptureFixture[str]) -> None:
    one = {
        "exercise": False, "in_force": True, "agreement": "A1", "title": "T", "at_ms": 5,
        "standing": "0" * 64, "orders": [], "flows": [], "notices": ["The term ends."],
    }  # fmt: skip
    cli._tell_standings([one])
    assert "  NOTICE The term ends.\n" in capsys.readouterr().out


def test_terms_that_are_no_text_and_unknown_keys_are_told_in_either_language(
    tmp_path: Path,
) -> None:
    for name, code in (
        ("t.toml", "terms.toml"),
        ("t.yaml", "terms.table"),
        ("t.YML", "terms.table"),
    ):
        file = tmp_path / name
        file.write_bytes(b"\xff\xfe")
        assert told("agreement", "check", str(file), code=2)["error"]["code"] == "terms.text"
        file.write_text("- one")
        assert told("agreement", "check", str(file), code=2)["error"]["code"] == code
    file, _, _ = template(tmp_path, "isac")
    file.write_text(file.read_text().replace("bulk_max", "bulk_maximum", 1))
    said = told("agreement", "check", str(file), code=2)["error"]
    assert (said["code"], said["path"]) == ("terms.unknown", "$.kinds[0]")
    assert "bulk_max" in said["hint"]
