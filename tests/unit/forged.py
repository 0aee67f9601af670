"""What a dishonest operator can do to a copy of the own record: it has the ledger's key."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from detente.model import Entry, canonical, decode, digest, encode
from detente.proof import (
    Checkpoint,
    Envelope,
    Signer,
    entries_path,
    entry_bundle,
    leaf_hash,
    parse_checkpoint,
    parse_note,
    root_of,
    sign_checkpoint,
    split_bundle,
    tile_path,
)

NONCE = base64.b64encode(bytes(16)).decode()


def files_of(copy: Path) -> dict[str, bytes]:
    """The files of a copy by name."""
    return {str(p.relative_to(copy)): p.read_bytes() for p in copy.rglob("*") if p.is_file()}


class Forger:
    """A copy that is changed and then made whole again: tiles, checkpoints, index and manifest."""

    def __init__(self, files: dict[str, bytes], signer: Signer) -> None:
        self.files = dict(files)
        self.signer = signer
        self.index: dict[str, Any] = msgspec.json.decode(files["record.json"])
        self.ledgers = {place["folder"]: self._entries(place["folder"]) for place in self.places}

    @property
    def places(self) -> list[dict[str, Any]]:
        return list(self.index["ledgers"])

    def folder(self, agreement: str = "A1") -> str:
        """Where the ledger of an agreement lies; of the node itself, for the empty name."""
        found = [one["folder"] for one in self.places if one.get("agreement", "") == agreement]
        return str(found[0])

    def entries(self, agreement: str = "A1") -> list[bytes]:
        """The entries, to be changed."""
        return self.ledgers[self.folder(agreement)]

    def find(self, act: str, agreement: str = "A1", **fields: object) -> int:
        """The number of the last entry of this act with these fields."""
        for number, raw in reversed(list(enumerate(self.entries(agreement)))):
            entry = decode(raw, Entry)
            if entry.act == act and all(getattr(entry, k) == v for k, v in fields.items()):
                return number
        raise AssertionError(f"no entry {act} {fields}")

    def change(self, number: int, agreement: str = "A1", **fields: object) -> None:
        """Write an entry anew with other fields."""
        entries = self.entries(agreement)
        entry = decode(entries[number], Entry)
        entries[number] = encode(msgspec.structs.replace(entry, **fields))

    def add(self, act: str, at: int, agreement: str = "A1", **fields: Any) -> int:
        """Append an entry; its number."""
        entry = Entry(act=act, at=at, n=NONCE, **fields)  # type: ignore[arg-type]  # an act's name
        self.entries(agreement).append(encode(entry))
        return len(self.entries(agreement)) - 1

    def document(self, use: str, envelope: Envelope) -> str:
        """Add a signed document, or put another in its place; its digest."""
        name = digest(envelope.payload)
        self.files[f"documents/{name}.json"] = envelope.encode()
        self.index["documents"][name] = use
        return name

    def drop(self, start: str) -> None:
        """Leave out files."""
        for name in [name for name in self.files if name.startswith(start)]:
            del self.files[name]

    def whole(self) -> dict[str, bytes]:
        """The changed copy, signed again."""
        for folder, entries in self.ledgers.items():
            self._write(folder, entries)
        self.files["record.json"] = canonical(self.index)
        self.files.pop("manifest.json", None)
        digests = {n: hashlib.sha256(data).hexdigest() for n, data in self.files.items()}
        self.files["manifest.json"] = canonical(digests)
        return self.files

    def _entries(self, folder: str) -> list[bytes]:
        size = self._head(folder).size
        found: list[bytes] = []
        for start in range(0, size, 256):
            name = entries_path(start // 256, min(256, size - start))
            found += split_bundle(self.files[f"{folder}/{name}"])
        return found

    def _head(self, folder: str) -> Checkpoint:
        return parse_checkpoint(parse_note(self.files[f"{folder}/checkpoint"]).text)

    def _write(self, folder: str, entries: list[bytes]) -> None:
        origin = self._head(folder).origin
        self.drop(f"{folder}/tile/")
        leaves = [leaf_hash(raw) for raw in entries]
        for start in range(0, len(entries), 256):
            part = entries[start : start + 256]
            name = entries_path(start // 256, len(part))
            self.files[f"{folder}/{name}"] = entry_bundle(part)
        level, hashes = 0, leaves
        while hashes:
            upper = []
            for start in range(0, len(hashes), 256):
                row = hashes[start : start + 256]
                self.files[f"{folder}/{tile_path(level, start // 256, len(row))}"] = b"".join(row)
                if len(row) == 256:
                    upper.append(root_of(row))
            level, hashes = level + 1, upper
        head = Checkpoint(origin, len(entries), root_of(leaves))
        self.files[f"{folder}/checkpoint"] = sign_checkpoint(head, self.signer).encode()
