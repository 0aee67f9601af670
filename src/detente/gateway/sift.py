"""Sift: what of a batch is new to a collection, known byte for byte, or in conflict.

The store is asked once a batch, and for each object at a cost that does not grow with the
versions that are there: all writes go through one writer, and an order that stops a flow waits
behind a publication like any other.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec

from detente.model import NO_MARK, object_key, version_mark
from detente.ports import Earlier, Tx

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
    two readers would hold two truths. The rest is known."""

    names: Sequence[Name]
    earlier: Sequence[Earlier | None]
    new: list[int]
    conflicts: list[int]

    def twins(self, entered: Sequence[int], first: int) -> list[int]:
        """The entries of objects of which there are several once these places have been entered,
        from ``first`` on: the new ones, and the one before them. Where there were several before,
        they have been noted already."""
        found: list[int] = []
        seen: dict[bytes, int] = {}
        for seq, place in enumerate(entered, first):
            name, earlier = self.names[place][0], self.earlier[place]
            if earlier is not None:
                found += [seq] if earlier.single is None else [earlier.single, seq]
            elif name in seen:
                found += [seen[name], seq]
            seen.setdefault(name, seq)
        return found


def sift(
    tx: Tx, key: str, names: Sequence[Name], gone: Container[int] = (), *, versions: bool
) -> Sifted:
    """Sift a batch. ``gone`` are entries that were taken back: who took an object back may enter
    it anew. ``versions``: conflicts are looked for; a partner's were decided at its own door."""
    earlier = tx.earlier(key, names)
    known = [one is not None and one.known is not None and one.known not in gone for one in earlier]
    conflicts = _conflicts(tx, key, names, earlier, known, gone) if versions else []
    out = frozenset(conflicts)
    contents: dict[tuple[bytes, bytes], int] = {}
    for place, (name, _, sha256) in enumerate(names):
        if not known[place] and place not in out:
            contents.setdefault((name, sha256), place)
    return Sifted(names=names, earlier=earlier, new=list(contents.values()), conflicts=conflicts)


def _conflicts(  # three lists in step; a record would only rename them
    tx: Tx,
    key: str,
    names: Sequence[Name],
    earlier: Sequence[Earlier | None],
    known: Sequence[bool],
    gone: Container[int],
) -> list[int]:
    """What is known byte for byte conflicts with nothing that is stored."""
    asked = list(
        dict.fromkeys(
            (name, mark)
            for (name, mark, _), before, same in zip(names, earlier, known, strict=True)
            if before is not None and not same and mark != NO_MARK
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
