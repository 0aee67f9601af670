"""Agreements on the command line, as people write and read them: templates, check, draft, diff,
show. All of it works on files; no node is asked."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from detente.errors import Invalid, Missing
from detente.faces.cli_papers import File, Json, Out, agreement
from detente.faces.documents import envelope_in, new_envelope, read_file, write_new
from detente.faces.speak import answer, stated, tell
from detente.faces.summary import summary
from detente.model import Agreement, Charter, decode
from detente.proof import Envelope
from detente.rules.differences import Difference, differences
from detente.rules.document import document_digest
from detente.rules.gaps import Gap, gaps
from detente.wire.terms import NO_CHARTER, language_of, read_terms

__all__ = ["agreement"]

Charters = Annotated[list[Path] | None, typer.Option(help="A member's charter (repeat).")]
_DEFAULT = "bilateral"
_MARKS = {"widens": "+", "narrows": "-", "neither": "="}


# --- templates ----------------------------------------------------------------------------------


@agreement.command("template")
@stated
def agreement_template(
    name: Annotated[str, typer.Argument(help="Which one; see --list.", metavar="NAME")] = _DEFAULT,
    as_list: Annotated[bool, typer.Option("--list", help="Tell which there are.")] = False,
) -> None:
    """Print a commented agreement to start from."""
    if as_list:
        for stem, place in _shipped("templates").items():
            print(f"{stem:18}{place.read_text().splitlines()[0].lstrip('# ')}")
        return
    print(_shipped_text("templates", name), end="")


@agreement.command("purposes")
@stated
def agreement_purposes(
    name: Annotated[str, typer.Argument(help="Whose purposes.", metavar="NAME")] = "cise",
) -> None:
    """Print a list of purposes that others use already, to take from: `cise`."""
    print(_shipped_text("purposes", name), end="")


def _shipped(folder: str) -> dict[str, Traversable]:
    place = importlib.resources.files("detente.faces").joinpath(folder)
    return {one.name.partition(".")[0]: one for one in sorted(place.iterdir(), key=str)}


def _shipped_text(folder: str, name: str) -> str:
    known = _shipped(folder)
    if name not in known:
        raise Missing("terms.template", f"Expected one of {', '.join(known)}, got {name[:64]!r}.")
    return known[name].read_text()


# --- check and draft ----------------------------------------------------------------------------


@agreement.command("check")
@stated
def agreement_check(
    file: Annotated[
        Path, typer.Argument(help="Terms (TOML, YAML) or the document.", metavar="FILE")
    ],
    charter: Charters = None,
    as_json: Json = False,
) -> None:
    """What an agreement cannot do, contradicts, or leaves open. With charters it is also seen
    whether the offices of its powers can bring their quorums together."""
    charters = _charters_in(charter)
    terms = _agreement_in(file, charters)
    found = gaps(terms, {party: record for party, (record, _) in charters.items()})
    wrongs = sum(gap.level == "error" for gap in found)
    body = {"agreement": terms.id, "ok": not wrongs, "gaps": found}
    answer(body, as_json=as_json, words=lambda: _tell_checked(terms, found))
    if wrongs:
        raise typer.Exit(2)


def _tell_checked(terms: Agreement, found: tuple[Gap, ...]) -> None:
    wrongs = sum(gap.level == "error" for gap in found)
    counts = f"{_count(wrongs, 'error')}, {_count(len(found) - wrongs, 'warning')}"
    print(f"Agreement {terms.id}: {counts if found else 'nothing is missing'}.")
    for gap in found:
        print(_gap_words(gap))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _gap_words(gap: Gap) -> str:
    return f"{gap.level:8}{gap.path}  {gap.words} [{gap.code}]\n        {gap.remedy}"


@agreement.command("draft")
@stated
def agreement_draft(
    terms: Annotated[Path, typer.Argument(help="The terms (TOML, or YAML in .yaml or .yml).")],
    out: Out,
    charter: Annotated[list[Path], typer.Option(help="Each member's charter (repeat).")],
    after: Annotated[
        Path | None, typer.Option(help="The version that this one follows; tells what differs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the document that members sign from terms as people write them. What `check` calls an
    error is refused; warnings are told."""
    charters = _charters_in(charter)
    exercises = {record.exercise for record, _ in charters.values()}
    if len(exercises) > 1:
        raise Invalid("document.exercise", "Expected charters of one sort, got both.")
    exercise = True in exercises
    made = _written_in(terms, _digests(charters), exercise=exercise)
    changed: tuple[Difference, ...] = ()
    if after is not None:
        old, made = _following(after, made)
        changed = differences(old, made)
    found = gaps(made, {party: record for party, (record, _) in charters.items()})
    _check_gaps(terms, found)
    envelope = new_envelope("agreement", made, exercise=exercise)
    write_new(out, envelope.encode())
    for line in (*map(_gap_words, found), *map(_difference_words, changed)):
        tell(line)
    body = {
        "file": str(out),
        "agreement": made.id,
        "version": made.version,
        "digest": document_digest(envelope),
        "gaps": found,
        "differences": changed,
    }
    answer(body, as_json=as_json, words=lambda: tell(f"Written to {out}; each member signs it."))


def _following(after: Path, made: Agreement) -> tuple[Agreement, Agreement]:
    """The older version, and the terms as the version that follows it. What they say of that
    themselves, they must say rightly."""
    envelope = envelope_in(after)
    old = decode(envelope.payload, Agreement)
    _check_same(old, made)
    number, digest = old.version + 1, document_digest(envelope)
    if made.version not in (1, number) or made.supersedes not in (None, digest):
        raise Invalid(
            "agreement.follows",
            f"Expected version {number} that supersedes {digest}, got version {made.version} that "
            f"supersedes {made.supersedes or 'none'}.",
            hint="Leave version and supersedes out of the terms.",
            path="$.version",
        )
    return old, replace(made, version=number, supersedes=digest)


def _check_gaps(terms: Path, found: tuple[Gap, ...]) -> None:
    wrongs = [gap for gap in found if gap.level == "error"]
    if wrongs:
        lines = "".join(f"\n{_gap_words(gap)}" for gap in wrongs)
        raise Invalid(
            "terms.gaps",
            f"Expected an agreement without errors, got {len(wrongs)}:{lines}",
            hint=f"`detente agreement check {terms}` tells them one by one.",
            path=wrongs[0].path,
        )


def _charters_in(files: list[Path] | None) -> dict[str, tuple[Charter, Envelope]]:
    found = {}
    for path in files or ():
        envelope = envelope_in(path)
        record = decode(envelope.payload, Charter)
        found[record.party] = (record, envelope)
    return found


def _digests(charters: dict[str, tuple[Charter, Envelope]]) -> dict[str, str]:
    return {party: document_digest(envelope) for party, (_, envelope) in charters.items()}


def _agreement_in(
    file: Path, charters: dict[str, tuple[Charter, Envelope]] | None = None
) -> Agreement:
    """An agreement to look at: a document, or terms as people write them."""
    if read_file(file).lstrip()[:1] == b"{" and language_of(file) != "yaml":
        return decode(envelope_in(file).payload, Agreement)
    return _written_in(file, _digests(charters or {}), exercise=False, unsigned=True)


def _written_in(
    file: Path, digests: dict[str, str], *, exercise: bool, unsigned: bool = False
) -> Agreement:
    language = language_of(file)
    try:
        text = read_file(file).decode()
    except UnicodeDecodeError as error:
        raise Invalid("terms.text", f"Expected UTF-8 in {file}: {error}.") from error
    return read_terms(text, digests, exercise=exercise, language=language, unsigned=unsigned)


# --- reading ------------------------------------------------------------------------------------


@agreement.command("diff")
@stated
def agreement_diff(
    old: Annotated[Path, typer.Argument(help="The older terms or document.")],
    new: Annotated[Path, typer.Argument(help="The newer terms or document.")],
    as_json: Json = False,
) -> None:
    """What a new version changes, in plain words: what widens the flow first, then what narrows
    it, then the rest."""
    before, after = _agreement_in(old), _agreement_in(new)
    before, after = _beside(before, after), _beside(after, before)
    _check_same(before, after)
    found = differences(before, after)
    body = {"agreement": before.id, "old": before.version, "new": after.version}
    answer(
        {**body, "differences": found},
        as_json=as_json,
        words=lambda: _tell_differences(before, after, found),
    )


def _check_same(old: Agreement, new: Agreement) -> None:
    if old.id != new.id:
        raise Invalid(
            "agreement.other",
            f"Expected two versions of {old.id}, got one of {new.id}.",
            path="$.id",
        )


def _difference_words(one: Difference) -> str:
    return f"{_MARKS[one.effect]} {one.effect:8}{one.words} ({one.path})"


def _beside(terms: Agreement, other: Agreement) -> Agreement:
    """Terms as they are written do not say yet what the document adds, so that is no difference."""
    members = []
    for one in terms.members:
        same = other.member(one.party)
        if one.charter == NO_CHARTER and same is not None:
            one = replace(one, charter=same.charter)
        members.append(one)
    written = any(one.charter == NO_CHARTER for one in terms.members)
    exercise = other.exercise if written else terms.exercise
    return replace(terms, members=tuple(members), exercise=exercise)


def _tell_differences(old: Agreement, new: Agreement, found: tuple[Difference, ...]) -> None:
    print(f"Agreement {old.id}, version {old.version} to version {new.version}:")
    for one in found:
        print(_difference_words(one))
    if not found:
        print("nothing is different but its number.")


@agreement.command("show")
@stated
def agreement_show(file: File, as_json: Json = False) -> None:
    """What an agreement says, in words, and its digest."""
    envelope = envelope_in(file)
    record = decode(envelope.payload, Agreement)
    digest, signatures = document_digest(envelope), len(envelope.signatures)
    answer(
        {"digest": digest, "signatures": signatures, "agreement": record},
        as_json=as_json,
        words=lambda: print("\n".join(summary(record, digest, signatures))),
    )
