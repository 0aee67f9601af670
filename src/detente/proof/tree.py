"""Tree: RFC 6962 Merkle trees, stored as C2SP ``tlog-tiles`` of height 8.

``leaf = SHA-256(00 || entry)``, ``node = SHA-256(01 || left || right)``, empty tree SHA-256("").
A tile of level L holds up to 256 hashes of perfect subtrees of 256**L leaves; a partial tile is a
prefix of the full one. Everything reads tiles through a callback ``(level, index) -> hashes``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from detente.errors import Broken, Invalid

__all__ = [
    "EMPTY_ROOT",
    "Integration",
    "ReadTile",
    "Tile",
    "check_consistency",
    "check_inclusion",
    "consistency_proof",
    "entries_path",
    "entry_bundle",
    "inclusion_path",
    "inclusion_proof",
    "integrate",
    "leaf_hash",
    "node_hash",
    "parse_tile_path",
    "prefix_roots",
    "root_from_tiles",
    "root_of",
    "split_bundle",
    "tile_path",
]

_HASH = 32
_WIDTH = 256
EMPTY_ROOT = hashlib.sha256(b"").digest()

ReadTile = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962, 2.1: the hash of a leaf."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962, 2.1: the hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes in order. Pairing level by level and carrying an odd last hash
    up is the same tree as splitting at the largest power of two below the size."""
    if not hashes:
        return EMPTY_ROOT
    sha256 = hashlib.sha256
    level = list(hashes)
    while len(level) > 1:
        odd = [level[-1]] if len(level) % 2 else []
        pairs = iter(level)
        level = [sha256(b"\1" + a + b).digest() for a, b in zip(pairs, pairs, strict=False)] + odd
    return level[0]


def prefix_roots(hashes: Sequence[bytes], sizes: Iterable[int]) -> dict[int, bytes]:
    """The root over the first so many hashes, for each of these sizes that there are: in one go
    through the hashes, however many sizes are asked for."""
    found: dict[int, bytes] = {}
    # The roots of the perfect subtrees so far, the widest first.
    peaks: list[bytes] = []
    done = 0
    for size in sorted(size for size in set(sizes) if 0 <= size <= len(hashes)):
        for number in range(done, size):
            top, at = hashes[number], number
            while at & 1:
                top, at = node_hash(peaks.pop(), top), at >> 1
            peaks.append(top)
        done = size
        root = peaks[-1] if peaks else EMPTY_ROOT
        for peak in reversed(peaks[:-1]):
            root = node_hash(peak, root)
        found[size] = root
    return found


# --- building -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tile:
    """The hashes of a tile as far as it is filled; its width is ``len(hashes) // 32``."""

    level: int
    index: int
    hashes: bytes

    @property
    def width(self) -> int:
        """How many hashes are in it, 1 to 256."""
        return len(self.hashes) // _HASH


@dataclass(frozen=True, slots=True)
class Integration:
    """A tree after growing: its size, root, and every tile that is new or longer."""

    size: int
    root: bytes
    tiles: tuple[Tile, ...]


def integrate(size: int, read_tile: ReadTile, leaves: Sequence[bytes]) -> Integration:
    """Append leaf hashes to the tree of ``size``. Reads only tiles on the right edge, at most
    one a level. How leaves are batched changes neither tiles nor root."""
    changed: dict[tuple[int, int], bytes] = {}
    level, count, hashes = 0, size, list(leaves)
    while hashes:
        index, filled = divmod(count, _WIDTH)
        data = _read(read_tile, level, index, filled) if filled else b""
        data += b"".join(hashes)
        full: list[bytes] = []
        for start in range(0, len(data), _WIDTH * _HASH):
            tile = data[start : start + _WIDTH * _HASH]
            changed[(level, index + start // (_WIDTH * _HASH))] = tile
            if len(tile) == _WIDTH * _HASH:
                full.append(root_of(_split(tile)))
        count //= _WIDTH
        level, hashes = level + 1, full
    new_size = size + len(leaves)

    def read(at_level: int, index: int) -> bytes:
        found = changed.get((at_level, index))
        return read_tile(at_level, index) if found is None else found

    tiles = tuple(Tile(lv, i, data) for (lv, i), data in sorted(changed.items()))
    return Integration(new_size, root_from_tiles(new_size, read), tiles)


def root_from_tiles(size: int, read_tile: ReadTile) -> bytes:
    """The root of the tree of ``size`` from the tiles of its right edge."""
    return _range_root(0, size, read_tile) if size else EMPTY_ROOT


def _read(read_tile: ReadTile, level: int, index: int, width: int) -> bytes:
    data = read_tile(level, index)
    if len(data) < width * _HASH:
        raise Broken(
            "ledger.tile",
            f"Expected {width} hashes in tile {level}/{index}, got {len(data) // _HASH}.",
        )
    return data[: width * _HASH]


def _split(data: bytes) -> list[bytes]:
    return [data[i : i + _HASH] for i in range(0, len(data), _HASH)]


def _range_root(a: int, b: int, read_tile: ReadTile) -> bytes:
    """MTH of leaves ``[a, b)``; ``a`` is aligned to the largest power of two not above b - a."""
    count = b - a
    height = count.bit_length() - 1
    if count == 1 << height:
        return _perfect(a, height, read_tile)
    k = 1 << height
    return node_hash(_perfect(a, height, read_tile), _range_root(a + k, b, read_tile))


def _perfect(start: int, height: int, read_tile: ReadTile) -> bytes:
    level, inner = divmod(height, 8)
    first = start >> (8 * level)
    index, offset = divmod(first, _WIDTH)
    width = offset + (1 << inner)
    data = _read(read_tile, level, index, width)
    return root_of(_split(data[offset * _HASH :]))


# --- proofs ---------------------------------------------------------------------------------


def inclusion_proof(index: int, size: int, read_tile: ReadTile) -> tuple[bytes, ...]:
    """RFC 6962, 2.1.1: the audit path of a leaf, from the leaf upwards."""
    if not 0 <= index < size:
        raise Invalid("proof.index", f"Expected an index below {size}, got {index}.")
    path: list[bytes] = []
    a, b = 0, size
    while b - a > 1:
        k = _split_point(b - a)
        if index < a + k:
            path.append(_range_root(a + k, b, read_tile))
            b = a + k
        else:
            path.append(_range_root(a, a + k, read_tile))
            a += k
    return tuple(reversed(path))


def inclusion_path(index: int, hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """The audit path in a small tree that is held in memory: the items of one page."""
    if not 0 <= index < len(hashes):
        raise Invalid("proof.index", f"Expected an index below {len(hashes)}, got {index}.")
    path: list[bytes] = []
    part = list(hashes)
    while len(part) > 1:
        k = _split_point(len(part))
        if index < k:
            path.append(root_of(part[k:]))
            part = part[:k]
        else:
            path.append(root_of(part[:k]))
            part, index = part[k:], index - k
    return tuple(reversed(path))


def consistency_proof(old: int, new: int, read_tile: ReadTile) -> tuple[bytes, ...]:
    """RFC 6962, 2.1.2: that the tree of ``new`` begins with the tree of ``old``."""
    if not 0 < old <= new:
        raise Invalid("proof.sizes", f"Expected 0 < {old} <= {new}.")
    path: list[bytes] = []
    a, b, whole = 0, new, True
    while old != b:
        k = _split_point(b - a)
        if old <= a + k:
            path.append(_range_root(a + k, b, read_tile))
            b = a + k
        else:
            path.append(_range_root(a, a + k, read_tile))
            a, whole = a + k, False
    if not whole:
        path.append(_range_root(a, b, read_tile))
    return tuple(reversed(path))


def _split_point(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)


def _check_hashes(hashes: Iterable[bytes]) -> None:
    for one in hashes:
        if len(one) != _HASH:
            raise Invalid("proof.hash", f"Expected hashes of 32 bytes, got {len(one)}.")


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """RFC 9162, 2.1.3.2. Raises ``Invalid`` unless the leaf hash is at ``index``."""
    _check_hashes((leaf, root, *proof))
    if not 0 <= index < size:
        raise Invalid("proof.index", f"Expected an index below {size}, got {index}.")
    fn, sn, acc = index, size - 1, leaf
    for one in proof:
        if sn == 0:
            raise Invalid("proof.length", "Expected a shorter inclusion proof.")
        if fn & 1 or fn == sn:
            acc = node_hash(one, acc)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            acc = node_hash(acc, one)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Invalid("proof.length", "Expected a longer inclusion proof.")
    if acc != root:
        raise Invalid("proof.root", "Expected the root the proof leads to, got another.")


def check_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """RFC 9162, 2.1.4.2. Raises ``Invalid`` unless the new tree begins with the old one. An old
    size of 0 is no claim and is refused here; the witness layer treats it."""
    _check_hashes((old_root, new_root, *proof))
    if not 0 < old <= new:
        raise Invalid("proof.sizes", f"Expected 0 < old <= new, got {old} and {new}.")
    if old == new:
        if proof or old_root != new_root:
            raise Invalid("proof.root", "Expected equal roots and no proof for equal sizes.")
        return
    # RFC 9162 begins with the old root where the old tree is perfect, else with the first hash.
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise Invalid("proof.length", "Expected a longer consistency proof.")
    fr, sr = _climb(old - 1, new - 1, path)
    if fr != old_root or sr != new_root:
        raise Invalid("proof.root", "Expected the roots the proof leads to, got others.")


def _climb(fn: int, sn: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Both roots a consistency proof leads to (RFC 9162, 2.1.4.2, steps 4 to 6)."""
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for one in path[1:]:
        if sn == 0:
            raise Invalid("proof.length", "Expected a shorter consistency proof.")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(one, fr), node_hash(one, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, one)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Invalid("proof.length", "Expected a longer consistency proof.")
    return fr, sr


# --- files (C2SP tlog-tiles) -----------------------------------------------------------------


def _number(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def _path(head: str, index: int, width: int) -> str:
    return f"{head}/{_number(index)}" + ("" if width == _WIDTH else f".p/{width}")


def tile_path(level: int, index: int, width: int = _WIDTH) -> str:
    """``tile/<L>/<N>[.p/<W>]``."""
    return _path(f"tile/{level}", index, width)


def entries_path(index: int, width: int = _WIDTH) -> str:
    """``tile/entries/<N>[.p/<W>]``."""
    return _path("tile/entries", index, width)


_TILE = re.compile(
    r"\Atile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?\Z"
)


def parse_tile_path(path: str) -> tuple[int | None, int, int]:
    """Level (None: entries), index and width of a path; only the one form of each is known."""
    match = _TILE.match(path)
    if match is not None:
        level = None if match[1] == "entries" else int(match[1])
        index = int(match[2].replace("x", "").replace("/", ""))
        width = int(match[3]) if match[3] else _WIDTH
        head = "tile/entries" if level is None else f"tile/{level}"
        if 0 < width <= _WIDTH and _path(head, index, width) == path:
            return level, index, width
    raise Invalid("ledger.path", f"Expected a tile path, got {path[:100]!r}.")


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries behind one another, each after its length as uint16 big-endian."""
    return b"".join(len(one).to_bytes(2, "big") + one for one in entries)


def split_bundle(data: bytes) -> list[bytes]:
    """The entries of a bundle; refuses one that ends inside an entry."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        if at + 2 + size > len(data):
            raise Invalid("ledger.bundle", "Expected whole entries, got a bundle cut short.")
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return found
