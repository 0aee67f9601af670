"""What the tests of proofs share: RFC 6962 as it is written, and how refusals are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import pytest

from detente.errors import DetenteError, Invalid
from detente.proof import Ed25519Signer, Tile, integrate, leaf_hash

KEYS = [Ed25519Signer.from_seed(bytes([number]) * 32) for number in range(1, 6)]


def code_of(work: Callable[[], object]) -> str:
    """The code of the refusal; fails if there is none."""
    with pytest.raises(DetenteError) as found:
        work()
    return found.value.code


def refuses(check: Callable[..., None], *args: object) -> bool:
    """Whether a check refuses these as invalid; any other error is not caught."""
    try:
        check(*args)
    except Invalid:
        return True
    return False


def flips(data: bytes) -> list[bytes]:
    """The data with each single bit changed."""
    return [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]


# --- RFC 6962, 2.1, by recursion over leaf hashes -----------------------------------------------


def split(count: int) -> int:
    """The largest power of two below the count."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\1" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*naive_inclusion(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_inclusion(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_consistency(old: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = split(len(leaves))
    if old <= k:
        return [*naive_consistency(old, leaves[:k], whole=whole), naive_root(leaves[k:])]
    return [*naive_consistency(old - k, leaves[k:], whole=False), naive_root(leaves[:k])]


# --- a tree on tiles --------------------------------------------------------------------------


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(b"entry %d" % number) for number in range(count)]


class Tiles:
    """Tiles as a store keeps them, and how often one was read."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], bytes] = {}
        self.size = 0
        self.reads: list[tuple[int, int]] = []

    def read(self, level: int, index: int) -> bytes:
        self.reads.append((level, index))
        return self.kept[level, index]

    def grow(self, leaves: Sequence[bytes]) -> tuple[bytes, tuple[Tile, ...]]:
        done = integrate(self.size, self.read, leaves)
        self.size = done.size
        for tile in done.tiles:
            self.kept[tile.level, tile.index] = tile.hashes
        return done.root, done.tiles
