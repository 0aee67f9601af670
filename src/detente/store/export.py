"""Export: a ledger as the files of C2SP ``tlog-tiles``, for checking offline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from detente.errors import Missing
from detente.ports import View
from detente.proof import entries_path, entry_bundle, parse_checkpoint, parse_note, tile_path

__all__ = ["export_ledger"]

_WIDTH = 256
_HASH = 32


def export_ledger(view: View, log: str, directory: Path) -> int:
    """Write ``checkpoint``, ``tile/<L>/<N>[.p/<W>]`` and ``tile/entries/<N>[.p/<W>]`` as of the
    newest checkpoint into a directory, which is made if it is missing. The size of the tree.

    The checkpoint is written last, so that a directory with one is whole. If a partner has
    cosigned a head, that note goes beside it as ``checkpoint.cosigned``. Raises ``Missing`` for
    a ledger that does not exist. Nothing is verified here.
    """
    note = view.checkpoint(log)
    if note is None:
        raise Missing("ledger.unknown", f"Expected a ledger {log}, got none.")
    size = parse_checkpoint(parse_note(note).text).size
    for path, data in _files(view, log, size):
        _write(directory / path, data)
    cosigned = view.cosignatures(log)
    if cosigned is not None:
        _write(directory / "checkpoint.cosigned", cosigned[1])
    _write(directory / "checkpoint", note)
    return size


def _files(view: View, log: str, size: int) -> Iterator[tuple[str, bytes]]:
    for start in range(0, size, _WIDTH):
        entries = view.entries(log, start, min(start + _WIDTH, size))
        yield entries_path(start // _WIDTH, len(entries)), entry_bundle(entries)
    level, count = 0, size
    while count:
        for index in range(-(-count // _WIDTH)):
            width = min(_WIDTH, count - index * _WIDTH)
            yield tile_path(level, index, width), view.tile(log, level, index)[: width * _HASH]
        level, count = level + 1, count // _WIDTH


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        file.write(data)
