"""Record: a node's ledgers and signed documents as files, written and checked.

manifest.json                 SHA-256 of every other file
record.json                   whose it is, which ledgers, which documents
ledgers/<n>/checkpoint …      each ledger as C2SP ``tlog-tiles``
documents/<digest>.json       each signed document (DSSE)
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from detente.config import Config
from detente.errors import Missing
from detente.gateway.verify import (
    INDEX_NAME,
    MANIFEST_NAME,
    LedgerPlace,
    RecordIndex,
    Report,
    verify_record,
)
from detente.model import canonical, encode
from detente.ports import View
from detente.store.export import export_ledger

__all__ = ["verify_copy", "write_copy"]

_USES = ("agreement", "assurance", "charter", "directive", "receipt", "withdrawal")


def write_copy(view: View, out: Path, config: Config, agreements: tuple[str, ...]) -> RecordIndex:
    """Write the copy; the manifest comes last, so that a copy with one is whole."""
    out.mkdir(mode=0o700, parents=True)
    prefix = f"{config.host}/detente/{'exercise/' if config.exercise else ''}"
    places = []
    known = set(view.logs())
    for number, agreement in enumerate(("", *agreements)):
        origin = f"{prefix}{agreement or 'node'}"
        if origin in known:
            export_ledger(view, origin, out / "ledgers" / str(number))
            places.append(
                LedgerPlace(origin=origin, folder=f"ledgers/{number}", agreement=agreement)
            )
    documents: dict[str, str] = {}
    (out / "documents").mkdir()
    for use in _USES:
        for row in view.documents(use=use):
            documents[row.digest] = use
            (out / "documents" / f"{row.digest}.json").write_bytes(row.envelope)
    index = RecordIndex(
        party=config.party, exercise=config.exercise, ledgers=tuple(places), documents=documents
    )
    (out / INDEX_NAME).write_bytes(encode(index))
    digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in _names(out)}
    (out / MANIFEST_NAME).write_bytes(canonical(digests))
    return index


def _names(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def verify_copy(place: Path) -> Report:
    """Check a copy in a folder, offline."""
    if not (place / MANIFEST_NAME).is_file():
        raise Missing("record.none", f"Expected a copy with {MANIFEST_NAME}, got {place}.")

    def read(name: str) -> bytes:
        try:
            return (place / name).read_bytes()
        except OSError as error:
            raise KeyError(name) from error

    return verify_record(read, _names(place))
