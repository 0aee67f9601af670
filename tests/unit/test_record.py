"""A copy of the record: it holds, and any changed bit is found with its place."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detente import record
from detente.errors import Missing
from detente.gateway.intake import Publication
from detente.gateway.verify import verify_record
from detente.record import verify_copy
from tests.unit.faces.kit import Site, compact, item, play


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record with agreement, orders, publications and pages."""
    place = tmp_path_factory.mktemp("record")

    async def story(site: Site) -> None:
        path = "/taxii2/T1/collections/out/objects/"
        async with site.client("K") as k:
            await site.publish(item(1), item(2))
            await k.get(path)
            await site.order("suspend", "D1")
            await site.publish(item(3), item(4, "incident"))
            await k.get(path)
            await site.order("resume", "D2", supersedes=("D1",))
            await k.get(path)
        await site.node.export(place / "copy")

    play(place, story)
    return place / "copy"


def files_of(copy: Path) -> dict[str, bytes]:
    return {str(p.relative_to(copy)): p.read_bytes() for p in copy.rglob("*") if p.is_file()}


def checked(files: dict[str, bytes]) -> Any:
    return verify_record(files.__getitem__, list(files))


def test_a_record_holds_and_says_what_it_holds(copy: Path) -> None:
    report = verify_copy(copy)
    assert report.ok
    assert not report.faults
    ledger = next(log for log in report.logs if log.origin.endswith("/T1"))
    assert ledger.pages >= 3
    assert ledger.items >= 5
    assert set(report.charters) == {"A", "K", "L"}


def test_what_was_said_of_items_is_proved_and_its_words_do_not_leave_with_the_record(
    tmp_path: Path,
) -> None:
    async def story(site: Site) -> None:
        asked = Publication(
            agreement="T1",
            collection="out",
            party="A",
            body=compact({"objects": [item(1)]}),
            evidence=("exhibit of a named person",),
        )
        await site.node.intake.publish(asked)
        await site.node.export(tmp_path / "copy")

    play(tmp_path, story)
    assert verify_copy(tmp_path / "copy").ok
    files = files_of(tmp_path / "copy")
    assert any(b'"act":"said"' in data for data in files.values())
    assert not any(b"exhibit" in data for data in files.values())


def test_any_flipped_bit_is_found_and_its_file_named(copy: Path) -> None:
    files = files_of(copy)
    dice = random.Random(20)
    for name in sorted(files):
        if not files[name]:
            continue
        places = {dice.randrange(len(files[name]) * 8) for _ in range(6)}
        for place in places | {0, len(files[name]) * 8 - 1}:
            broken = bytearray(files[name])
            broken[place // 8] ^= 1 << (place % 8)
            report = checked(files | {name: bytes(broken)})
            assert not report.ok, (name, place)
            named = {fault.place for fault in report.faults}
            folder = name.partition("/tile/")[0]
            assert any(
                at == name or at.startswith(folder) or name.startswith(("record", "manifest"))
                for at in named
            ), (name, place, named)


def test_a_changed_entry_is_named_by_its_number_even_if_the_manifest_agrees(copy: Path) -> None:
    files = files_of(copy)
    name = next(n for n in files if n.startswith("ledgers/1/tile/entries/"))
    broken = bytearray(files[name])
    at = broken.index(b'"act":"page"')
    broken[at + 8 : at + 12] = b"pagf"
    files[name] = bytes(broken)
    import_digest(files, name)
    report = checked(files)
    assert not report.ok
    assert any(f.place.startswith("ledgers/1 entry ") for f in report.faults)


def import_digest(files: dict[str, bytes], name: str) -> None:
    """Write the changed file's digest into the manifest, as a forger would."""
    manifest = msgspec.json.decode(files["manifest.json"], type=dict[str, str])
    manifest[name] = hashlib.sha256(files[name]).hexdigest()
    files["manifest.json"] = msgspec.json.encode(manifest)


def test_missing_and_foreign_files_are_named(copy: Path) -> None:
    files = files_of(copy)
    gone = next(name for name in files if name.startswith("documents/"))
    report = checked({name: data for name, data in files.items() if name != gone})
    assert gone in {fault.place for fault in report.faults}
    report = checked(files | {"extra": b"x"})
    assert "extra" in {fault.place for fault in report.faults}


def test_what_is_no_copy_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        verify_copy(tmp_path)


def test_a_file_that_is_too_large_is_named_and_not_read(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max((p for p in copy.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    monkeypatch.setattr(record, "FILE_BYTES_MAX", largest.stat().st_size - 1)
    assert "record.file-size" in {fault.code for fault in verify_copy(copy).faults}
