"""Sift: what of a batch is new to a collection, known byte for byte, or in conflict.

The store is asked once a batch, and for each object at a cost that does not grow with the
versions that are there: all writes go through one writer, and an order that stops a flow waits
behind a publication like any other.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import msgspec

from detente.model import NO_MARK, object_key, version_mark
from detente.ports import Tx

__all__ = ["Name", "Sifted", "name_of", "sift"]

#: What an object is known by: object key, mark of its version, SHA-256 of its bytes.
Name = tuple[bytes, bytes, bytes]


def name_of(stix_id: str, version: str, sha256: bytes) -> Name:
    """What an object is known by."""
    key = object_key(stix_id)
    return key, version_mark(key, version), sha256


class Sifted(msgspec.Struct, frozen=True, kw_only=True):
    """Places in the batch: ``new`` of what is to be entered, each content once; ``conflicts`` of
    what says something else under an id and version that was taken before, here or in the batch:
    two readers would hold two truths. The rest is known. ``before`` has the objects of what is not
    known that have any entry: the one, or None for several."""

    names: Sequence[Name]
    before: Mapping[bytes, int | None]
    new: list[int]
    conflicts: list[int]

    def twins(self, entered: Sequence[int], first: int) -> list[int]:
        """The entries of objects of which there are several once these places have been entered,
        from ``first`` on: the new ones, and the one before them. Where there were several before,
        they have been noted already."""
        found: list[int] = []
        seen: dict[bytes, int] = {}
        for seq, place in enumerate(entered, first):
            name = self.names[place][0]
            if name in self.before:
                single = self.before[name]
                found += [seq] if single is None else [single, seq]
            elif name in seen:
                found += [seen[name], seq]
            seen.setdefault(name, seq)
        return found


def sift(
    tx: Tx, key: str, names: Sequence[Name], gone: Container[int] = (), *, versions: bool
) -> Sifted:
    """Sift a batch. ``gone`` are entries that were taken back: who took an object back may enter
    it anew. ``versions``: conflicts are looked for; a partner's were decided at its own door."""
    known = [seq is not None and seq not in gone for seq in tx.known(key, names)]
    unknown = [name for (name, _, _), same in zip(names, known, strict=True) if not same]
    before = tx.singles(key, unknown)
    conflicts = _conflicts(tx, key, (names, known), before, gone) if versions else []
    out = frozenset(conflicts)
    contents: dict[tuple[bytes, bytes], int] = {}
    for place, (name, _, sha256) in enumerate(names):
        if not known[place] and place not in out:
            contents.setdefault((name, sha256), place)
    return Sifted(names=names, before=before, new=list(contents.values()), conflicts=conflicts)


def _conflicts(
    tx: Tx,
    key: str,
    batch: tuple[Sequence[Name], Sequence[bool]],
    before: Container[bytes],
    gone: Container[int],
) -> list[int]:
    """The conflicts of a batch, given what of it is known: that conflicts with nothing stored."""
    names, known = batch
    asked = list(
        dict.fromkeys(
            (name, mark)
            for (name, mark, _), same in zip(names, known, strict=True)
            if not same and mark != NO_MARK and name in before
        )
    )
    taken = {
        version
        for version, seqs in zip(asked, tx.same_version(key, asked), strict=True)
        if any(seq not in gone for seq in seqs)
    }
    seen: dict[tuple[bytes, bytes], bytes] = {}
    found = []
    for place, ((name, mark, sha256), same) in enumerate(zip(names, known, strict=True)):
        if mark == NO_MARK:
            continue
        other = seen.setdefault((name, mark), sha256) != sha256
        if other or (not same and (name, mark) in taken):
            found.append(place)
    return found
