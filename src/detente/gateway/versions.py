"""Versions: which of an object's entries a reader asks for (TAXII 2.1, 3.4.1 and 5.x).

By default a TAXII client is given the newest version of each object that it may read; it may ask
for the first, for all, or for those of stated times. *Newest* is meant among what this party may
read now: a newer version that is kept back from it does not exist for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from detente.ports import Block, View
from detente.rules.feed import Feed, readable
from detente.wire.stix import version_of

__all__ = ["LAST", "Versions", "VersionPicker", "version_key"]


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions are asked for: any that one of the fields names. ``times`` are as
    ``version_key`` writes them."""

    first: bool = False
    last: bool = False
    every: bool = False
    times: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """True if what such a reader passes over needs not be given to it again: superseded
        versions, and nothing else."""
        return self.every or (self.last and not self.first and not self.times)


LAST = Versions(last=True)


def version_key(text: str) -> str:
    """A time of RFC 3339 in UTC without the zeros that do not count, so that equal versions are
    equal and text sorts by time."""
    head, dot, fraction = text.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return head + (dot + fraction if fraction else "")


class VersionPicker:
    """Says which entries of a collection a reader of ``feed`` does not want, for one request."""

    def __init__(self, view: View, key: str, feed: Feed, versions: Versions) -> None:
        self._view = view
        self._key = key
        self._feed = feed
        self._versions = versions
        self._families: dict[bytes, tuple[int, int]] = {}
        self._places = tuple(time[:19].encode() for time in versions.times)

    @property
    def one_by_one(self) -> bool:
        """True if every entry must be looked at by itself."""
        return bool(self._versions.times) and not self._versions.every

    def out(self, block: Block, a: int, b: int) -> Sequence[int]:
        """The entries ``a <= seq < b`` of a block that are not asked for, in order; for requests
        that need not look at each."""
        if self._versions.every:
            return ()
        twins = self._view.twins(self._key, a, b)
        return [seq for seq in twins if not self._is_end(block, seq)]

    def may_hold(self, block: Block) -> bool:
        """False if no entry of the block has a version that is asked for by its time."""
        return (
            self._versions.first
            or self._versions.last
            or any(place in block.body for place in self._places)
        )

    def fits(self, block: Block, seq: int) -> bool:
        """True if this entry is asked for."""
        versions = self._versions
        if versions.every:
            return True
        if versions.times and version_key(version_of(block.raw(seq))) in versions.times:
            return True
        if not (versions.first or versions.last):
            return False
        return not self._view.twins(self._key, seq, seq + 1) or self._is_end(block, seq)

    def last(self, block: Block, seq: int) -> int:
        """The entry with the last version of this entry's object that the party may read; -1 if
        it may read none."""
        at = (seq - block.first) * 16
        name = block.keys[at : at + 16]
        if name not in self._families:
            self._families[name] = self._ends(name)
        return self._families[name][1]

    def _is_end(self, block: Block, seq: int) -> bool:
        """True if the entry is the first or last version, as far as that is asked for."""
        at = (seq - block.first) * 16
        name = block.keys[at : at + 16]
        if name not in self._families:
            self._families[name] = self._ends(name)
        first, last = self._families[name]
        return (self._versions.first and seq == first) or (self._versions.last and seq == last)

    def _ends(self, name: bytes) -> tuple[int, int]:
        """The entries with the first and the last version among those the party may read."""
        found = []
        for seq in self._view.find(self._key, name):
            block = self._view.block(self._key, seq)
            if block is None or self._view.recalled(self._key, seq, seq + 1):
                continue
            if not readable(self._feed, block.handlings[seq - block.first], seq):
                continue
            # What has no version of its own (observables) is told apart by its entry.
            found.append((version_key(version_of(block.raw(seq))), seq))
        return (min(found)[1], max(found)[1]) if found else (-1, -1)
