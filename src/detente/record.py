"""Record: a node's ledgers and signed documents as files, written and checked.

manifest.json                 SHA-256 of every other file
record.json                   whose it is, which ledgers, which documents
ledgers/<n>/checkpoint …      each ledger as C2SP ``tlog-tiles``
ledgers/<n>/openings.json     what opens the commitments of pages that have a receipt
documents/<digest>.json       each signed document (DSSE)
partners/<digest>.entry       an entry of a partner's ledger that records an act taken here,
partners/<digest>.proof       and the proof (C2SP ``tlog-proof``) that it is there

No content goes into a copy. A page is opened only if it has a receipt, which tells the root over
its items anyhow; what was erased here is not opened, but a copy made before keeps what it has.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from detente.config import Config
from detente.errors import Invalid, Missing
from detente.gateway.copied import (
    INDEX_NAME,
    MANIFEST_NAME,
    OPENINGS_NAME,
    PARTNERS_NAME,
    LedgerPlace,
    RecordIndex,
)
from detente.gateway.verify import Report, verify_record
from detente.model import canonical, decode, encode
from detente.model.transfer import PLACE, Place
from detente.ports import View
from detente.store.export import export_ledger

__all__ = ["verify_copy", "write_copy"]

#: Beyond any file of a copy: about two million documents in its index.
FILE_BYTES_MAX = 1 << 28

_USES = (
    "agreement",
    "assessment",
    "assurance",
    "charter",
    "directive",
    "read-back",
    "receipt",
    "withdrawal",
)


def write_copy(view: View, out: Path, config: Config, agreements: tuple[str, ...]) -> RecordIndex:
    """Write the copy; the manifest comes last, so that a copy with one is whole."""
    out.mkdir(mode=0o700, parents=True)
    prefix = f"{config.host}/detente/{'exercise/' if config.exercise else ''}"
    places = []
    known = set(view.logs())
    for number, agreement in enumerate(("", *agreements)):
        origin = f"{prefix}{agreement or 'node'}"
        if origin in known:
            folder = f"ledgers/{number}"
            export_ledger(view, origin, out / folder)
            if agreement:
                openings = _openings(view, origin, agreement)
                (out / folder / OPENINGS_NAME).write_bytes(canonical(openings))
            places.append(LedgerPlace(origin=origin, folder=folder, agreement=agreement))
    documents: dict[str, str] = {}
    (out / "documents").mkdir()
    for use in _USES:
        for row in view.documents(use=use):
            documents[row.digest] = use
            (out / "documents" / f"{row.digest}.json").write_bytes(row.envelope)
    _write_places(view, out / PARTNERS_NAME)
    index = RecordIndex(
        party=config.party, exercise=config.exercise, ledgers=tuple(places), documents=documents
    )
    (out / INDEX_NAME).write_bytes(encode(index))
    digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in _names(out)}
    (out / MANIFEST_NAME).write_bytes(canonical(digests))
    return index


def _openings(view: View, log: str, agreement: str) -> dict[str, str]:
    """The salts (hexadecimal) of pages that have a receipt, by the number of the page's entry."""
    found = {}
    for row in view.documents(use="receipt", agreement=agreement):
        origin, _, index = row.name.rpartition("#")
        opening = view.opening(log, int(index)) if origin == log else None
        if opening is not None:
            found[index] = opening.salt.hex()
    return found


def _write_places(view: View, folder: Path) -> None:
    folder.mkdir()
    for row in view.documents(use=PLACE):
        place = decode(row.envelope, Place)
        (folder / f"{row.digest}.entry").write_bytes(place.entry.encode())
        (folder / f"{row.digest}.proof").write_bytes(place.proof.encode())


def _names(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def verify_copy(place: Path) -> Report:
    """Check a copy in a folder, offline."""
    if not (place / MANIFEST_NAME).is_file():
        raise Missing("record.none", f"Expected a copy with {MANIFEST_NAME}, got {place}.")

    def read(name: str) -> bytes:
        try:
            if (place / name).stat().st_size > FILE_BYTES_MAX:
                raise Invalid("record.file-size", f"Expected at most {FILE_BYTES_MAX} bytes.")
            return (place / name).read_bytes()
        except OSError as error:
            raise KeyError(name) from error

    return verify_record(read, _names(place))
