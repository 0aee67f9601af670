"""The tree against RFC 6962 as it is written, and every proof that is not one refused."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detente.errors import Broken, Invalid
from detente.proof import (
    EMPTY_ROOT,
    check_consistency,
    check_inclusion,
    consistency_proof,
    entries_path,
    entry_bundle,
    inclusion_path,
    inclusion_proof,
    integrate,
    leaf_hash,
    node_hash,
    parse_tile_path,
    prefix_roots,
    root_from_tiles,
    root_of,
    split_bundle,
    tile_path,
)
from tests.unit.proof.kit import (
    Tiles,
    code_of,
    flips,
    leaves_of,
    naive_consistency,
    naive_inclusion,
    naive_root,
    refuses,
)

#: Beyond two full tiles of level 0, so that level 1 is in use.
SIZE_MAX = 600
LEAVES = leaves_of(SIZE_MAX)
SIZES = st.one_of(
    st.integers(1, 20), st.integers(250, 260), st.integers(505, 520), st.integers(1, SIZE_MAX)
)


def grown(size: int) -> Tiles:
    tiles = Tiles()
    tiles.grow(LEAVES[:size])
    return tiles


WHOLE = grown(SIZE_MAX)


# --- against the naive tree ---------------------------------------------------------------------


@given(st.lists(st.integers(-2, SIZE_MAX + 2), max_size=8), SIZES)
@settings(max_examples=30)
def test_roots_of_prefixes_are_those_of_the_trees_they_are(sizes: list[int], size: int) -> None:
    found = prefix_roots(LEAVES[:size], sizes)
    assert found == {n: naive_root(LEAVES[:n]) for n in set(sizes) if 0 <= n <= size}


def test_leaf_node_and_empty_root_are_those_of_rfc_6962() -> None:
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT == root_of([])
    assert leaf_hash(b"") == hashlib.sha256(b"\0").digest()
    assert node_hash(b"a" * 32, b"b" * 32) == hashlib.sha256(b"\1" + b"a" * 32 + b"b" * 32).digest()
    assert root_from_tiles(0, WHOLE.read) == EMPTY_ROOT
    assert integrate(0, WHOLE.read, []).root == EMPTY_ROOT


@given(size=SIZES, cuts=st.lists(st.integers(0, SIZE_MAX), max_size=5))
@settings(max_examples=60, deadline=None)
def test_root_and_tiles_are_the_same_however_leaves_are_batched(size: int, cuts: list[int]) -> None:
    tiles, at, root = Tiles(), 0, EMPTY_ROOT
    for end in sorted({min(cut, size) for cut in cuts} | {size}):
        tiles.reads.clear()
        before = dict(tiles.kept)
        root, changed = tiles.grow(LEAVES[at:end])
        # Two levels are in use: one tile of each to grow, one of each for the root.
        assert len(tiles.reads) <= 4
        for tile in changed:
            assert tile.hashes.startswith(before.get((tile.level, tile.index), b""))
            assert 0 < tile.width <= 256
        at = end
    assert root == naive_root(LEAVES[:size]) == root_of(LEAVES[:size])
    assert root == root_from_tiles(size, tiles.read)
    assert tiles.kept == grown(size).kept


@given(size=SIZES)
@settings(max_examples=40, deadline=None)
def test_tiles_hold_what_tlog_tiles_says(size: int) -> None:
    kept = grown(size).kept
    wanted = {}
    level, hashes = 0, LEAVES[:size]
    while hashes:
        for start in range(0, len(hashes), 256):
            wanted[level, start // 256] = b"".join(hashes[start : start + 256])
        full = len(hashes) // 256
        hashes = [naive_root(hashes[i * 256 : (i + 1) * 256]) for i in range(full)]
        level += 1
    assert kept == wanted


@given(size=SIZES, data=st.data())
@settings(max_examples=80, deadline=None)
def test_inclusion_proofs_are_those_of_rfc_6962_from_newer_tiles_too(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    wanted = tuple(naive_inclusion(index, LEAVES[:size]))
    # The tiles of a tree that has grown since hold the older tree as well.
    assert inclusion_proof(index, size, WHOLE.read) == wanted
    assert inclusion_path(index, LEAVES[:size]) == wanted
    check_inclusion(LEAVES[index], index, size, wanted, naive_root(LEAVES[:size]))


@given(new=SIZES, data=st.data())
@settings(max_examples=80, deadline=None)
def test_consistency_proofs_are_those_of_rfc_6962(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    wanted = tuple(naive_consistency(old, LEAVES[:new]))
    assert consistency_proof(old, new, WHOLE.read) == wanted
    check_consistency(old, new, wanted, naive_root(LEAVES[:old]), naive_root(LEAVES[:new]))


# --- what is no proof -----------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (2, 5), (4, 5), (6, 7), (257, 300)])
def test_every_bit_index_and_size_of_an_inclusion_proof_counts(index: int, size: int) -> None:
    leaf, root = LEAVES[index], naive_root(LEAVES[:size])
    proof = naive_inclusion(index, LEAVES[:size])
    check_inclusion(leaf, index, size, proof, root)
    for other in flips(leaf):
        assert refuses(check_inclusion, other, index, size, proof, root)
    for other in flips(root):
        assert refuses(check_inclusion, leaf, index, size, proof, other)
    for at, one in enumerate(proof):
        for other in flips(one):
            changed = [*proof[:at], other, *proof[at + 1 :]]
            assert refuses(check_inclusion, leaf, index, size, changed, root)
    for wrong in {*range(-1, size + 2), 2**40} - {index}:
        assert refuses(check_inclusion, leaf, wrong, size, proof, root)
    for wrong in (-1, 0, index):
        assert refuses(check_inclusion, leaf, index, wrong, proof, root)


@pytest.mark.parametrize(
    ("index", "size", "wrong"), [(0, 4, 2), (2, 5, 4), (2, 5, 9), (3, 4, 5), (0, 1, 2), (5, 8, 16)]
)
def test_inclusion_proof_for_a_tree_of_another_height_is_refused(
    index: int, size: int, wrong: int
) -> None:
    root, proof = naive_root(LEAVES[:size]), naive_inclusion(index, LEAVES[:size])
    assert code_of(lambda: check_inclusion(LEAVES[index], index, wrong, proof, root)) in (
        "proof.length",
        "proof.root",
    )


def test_size_is_bound_by_the_signed_head_and_not_by_the_path() -> None:
    """The first leaf has one path in trees of five and of six: so a size may only ever come from
    the head that was signed together with the root."""
    root, proof = naive_root(LEAVES[:5]), naive_inclusion(0, LEAVES[:5])
    check_inclusion(LEAVES[0], 0, 5, proof, root)
    check_inclusion(LEAVES[0], 0, 6, proof, root)
    assert refuses(check_inclusion, LEAVES[0], 0, 6, proof, naive_root(LEAVES[:6]))


@pytest.mark.parametrize(
    ("old", "new"), [(1, 2), (2, 3), (3, 5), (4, 7), (4, 8), (6, 8), (256, 300), (257, 300)]
)
def test_every_bit_and_size_of_a_consistency_proof_counts(old: int, new: int) -> None:
    first, second = naive_root(LEAVES[:old]), naive_root(LEAVES[:new])
    proof = naive_consistency(old, LEAVES[:new])
    check_consistency(old, new, proof, first, second)
    for other in flips(first):
        assert refuses(check_consistency, old, new, proof, other, second)
    for other in flips(second):
        assert refuses(check_consistency, old, new, proof, first, other)
    for at, one in enumerate(proof):
        for other in flips(one):
            changed = [*proof[:at], other, *proof[at + 1 :]]
            assert refuses(check_consistency, old, new, changed, first, second)
    for wrong in range(-1, new + 2):
        if wrong != old:
            assert refuses(check_consistency, wrong, new, proof, first, second)
    assert refuses(check_consistency, old, old - 1, proof, first, second)
    assert refuses(check_consistency, old, old, proof, first, second)


@given(size=st.integers(1, 70), data=st.data())
@settings(max_examples=80, deadline=None)
def test_proofs_with_more_or_fewer_hashes_are_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root, path = naive_root(LEAVES[:size]), naive_inclusion(index, LEAVES[:size])
    for wrong in ([*path, root], [root, *path], path[:-1] if path else [root], path[1:] or [root]):
        assert refuses(check_inclusion, LEAVES[index], index, size, wrong, root)
    old = data.draw(st.integers(1, size))
    first, proof = naive_root(LEAVES[:old]), naive_consistency(old, LEAVES[:size])
    for wrong in ([*proof, root], [root, *proof], proof[:-1] or [root], proof[1:] or [root]):
        assert refuses(check_consistency, old, size, wrong, first, root)


def test_proof_far_longer_than_any_tree_is_refused_for_its_length() -> None:
    root = naive_root(LEAVES[:5])
    long = [root] * 100
    for work in (
        lambda: check_inclusion(LEAVES[2], 2, 5, long, root),
        lambda: check_consistency(3, 5, long, root, root),
        lambda: check_inclusion(LEAVES[2], 2, 5, [], root),
        lambda: check_consistency(3, 5, [], root, root),
        lambda: check_consistency(3, 5, [root], root, root),
    ):
        assert code_of(work) == "proof.length"


def test_hash_of_another_length_is_no_hash() -> None:
    root = naive_root(LEAVES[:2])
    for wrong in (b"", root[:-1], root + b"\0"):
        for work in (
            lambda w=wrong: check_inclusion(LEAVES[0], 0, 2, [w], root),
            lambda w=wrong: check_inclusion(w, 0, 2, [LEAVES[1]], root),
            lambda w=wrong: check_inclusion(LEAVES[0], 0, 2, [LEAVES[1]], w),
            lambda w=wrong: check_consistency(1, 2, [w], LEAVES[0], root),
            lambda w=wrong: check_consistency(2, 2, [], w, w),
        ):
            assert code_of(work) == "proof.hash"


def test_equal_sizes_take_equal_roots_and_no_proof() -> None:
    root, other = naive_root(LEAVES[:3]), naive_root(LEAVES[:4])
    check_consistency(3, 3, [], root, root)
    assert code_of(lambda: check_consistency(3, 3, [], root, other)) == "proof.root"
    assert code_of(lambda: check_consistency(3, 3, [root], root, root)) == "proof.root"
    assert code_of(lambda: check_consistency(0, 3, [], EMPTY_ROOT, root)) == "proof.sizes"


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0)])
def test_no_proof_is_made_for_what_is_not_there(index: int, size: int) -> None:
    assert code_of(lambda: inclusion_proof(index, size, WHOLE.read)) == "proof.index"
    assert code_of(lambda: inclusion_path(index, LEAVES[:size])) == "proof.index"


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5), (-1, 5)])
def test_no_consistency_is_shown_from_nothing_or_backwards(old: int, new: int) -> None:
    assert code_of(lambda: consistency_proof(old, new, WHOLE.read)) == "proof.sizes"


def test_tile_that_is_shorter_than_the_tree_says_is_broken() -> None:
    short = {place: data[:-32] for place, data in WHOLE.kept.items()}

    def read(level: int, index: int) -> bytes:
        return short[level, index]

    for work in (
        lambda: root_from_tiles(SIZE_MAX, read),
        lambda: inclusion_proof(0, SIZE_MAX, read),
        lambda: integrate(SIZE_MAX, read, [LEAVES[0]]),
    ):
        with pytest.raises(Broken) as found:
            work()
        assert found.value.code == "ledger.tile"


# --- files ------------------------------------------------------------------------------------


@given(
    level=st.one_of(st.none(), st.integers(0, 63)),
    index=st.integers(0, 2**40),
    width=st.integers(1, 256),
)
@settings(max_examples=100, deadline=None)
def test_paths_are_read_as_they_are_written(level: int | None, index: int, width: int) -> None:
    path = entries_path(index, width) if level is None else tile_path(level, index, width)
    assert parse_tile_path(path) == (level, index, width)


def test_path_of_the_specification() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert entries_path(0, 5) == "tile/entries/000.p/5"


@pytest.mark.parametrize(
    "path",
    [
        "", "tile/0/0", "tile/0/0000", "tile/00/000", "tile/64/000", "tile/-1/000",
        "tile/0/x000/000", "tile/0/001/x002", "tile/0/x001x002/003", "tile/0/000.p/0",
        "tile/0/000.p/256", "tile/0/000.p/257", "tile/0/000.p/01", "tile/0/000.p/", "/tile/0/000",
        "tile/0/000\n", "tile/0/000/", "tile/entries/x000/000", "tile/0/٠٠٠", "tile/data/000",
        "tile/0/../000", "TILE/0/000",
    ],
)  # fmt: skip
def test_no_other_form_of_a_path_is_known(path: str) -> None:
    assert code_of(lambda: parse_tile_path(path)) == "ledger.path"


@given(entries=st.lists(st.binary(max_size=40), max_size=8))
@settings(max_examples=60, deadline=None)
def test_bundle_is_split_as_it_was_joined_and_not_if_cut_short(entries: list[bytes]) -> None:
    data = entry_bundle(entries)
    assert split_bundle(data) == entries
    starts = {len(entry_bundle(entries[:n])) for n in range(len(entries) + 1)}
    for end in range(len(data)):
        if end in starts:
            assert split_bundle(data[:end]) == entries[: len(split_bundle(data[:end]))]
        else:
            with pytest.raises(Invalid):
                split_bundle(data[:end])


def test_bundle_holds_an_entry_of_65535_bytes_and_no_longer_one() -> None:
    longest = b"x" * 65_535
    assert split_bundle(entry_bundle([longest, b""])) == [longest, b""]
    with pytest.raises(OverflowError):
        entry_bundle([longest + b"x"])
