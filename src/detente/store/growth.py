"""Growing a Merkle tree at its right edge, at about two hashes an entry.

``proof.integrate`` hashes the tiles of the right edge anew on each call: some hundred hashes even
for one entry. Here the roots of the perfect subtrees along the edge are kept between commits
(RFC 6962's tree of size n has one for each bit of n that is set), and whatever a tile needs falls
out of growing them: a subtree of 256**L leaves that is completed is a hash of level L. Tests hold
both to the same tiles and roots; a start computes the edge from the tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from detente.errors import Broken
from detente.proof import EMPTY_ROOT, node_hash, root_of
from detente.proof.tree import ReadTile

__all__ = ["EMPTY", "Edge", "edge_of", "grow"]

_HEIGHT = 8
_HASH = 32


@dataclass(frozen=True, slots=True)
class Edge:
    """A tree by its size and the roots of its perfect subtrees, largest first."""

    size: int
    peaks: tuple[bytes, ...]

    def root(self) -> bytes:
        """The root of the tree."""
        if not self.peaks:
            return EMPTY_ROOT
        found = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            found = node_hash(peak, found)
        return found


EMPTY = Edge(0, ())


def grow(edge: Edge, leaves: Sequence[bytes]) -> tuple[Edge, list[bytes]]:
    """Append leaf hashes: the new edge, and for each level the hashes to append to its tiles."""
    sha256 = hashlib.sha256
    size, peaks = edge.size, list(edge.peaks)
    levels: list[list[bytes]] = [list(leaves)]
    for leaf in leaves:
        node, rest, height = leaf, size, 0
        # Each set bit at the low end of the size is a subtree as large as the one in hand.
        while rest & 1:
            node = sha256(b"\1" + peaks.pop() + node).digest()
            rest >>= 1
            height += 1
            if height % _HEIGHT == 0:
                level = height // _HEIGHT
                while len(levels) <= level:
                    levels.append([])
                levels[level].append(node)
        peaks.append(node)
        size += 1
    return Edge(size, tuple(peaks)), [b"".join(hashes) for hashes in levels]


def edge_of(size: int, read_tile: ReadTile) -> Edge:
    """The edge of a stored tree. Raises ``Broken`` if a tile is shorter than it must be."""
    peaks, start = [], 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            level, inner = divmod(height, _HEIGHT)
            index, offset = divmod(start >> _HEIGHT * level, 1 << _HEIGHT)
            width = 1 << inner
            hashes = read_tile(level, index)[offset * _HASH : (offset + width) * _HASH]
            if len(hashes) != width * _HASH:
                raise Broken("ledger.tile", f"Expected {width} hashes more in {level}/{index}.")
            peaks.append(root_of([hashes[i : i + _HASH] for i in range(0, len(hashes), _HASH)]))
            start += 1 << height
    return Edge(size, tuple(peaks))
