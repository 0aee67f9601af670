"""Public test vectors: Merkle proofs, a tiled log, Ed25519 and P-256. Nobody here wrote them."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from detente.errors import DetenteError
from detente.proof import (
    PublicKey,
    VerifierKey,
    check_consistency,
    check_inclusion,
    entries_path,
    entry_bundle,
    integrate,
    leaf_hash,
    split_bundle,
    tile_path,
    verify_checkpoint,
)
from tests.shared import shared_data

LOG_VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
#: Equal "roots" of 12 bytes: we insist on 32, so this one is refused on purpose.
SHORT_ROOTS = "sizes-are-equal-one-and-proof-is-empty"


def holds(check: object, *args: object) -> bool:
    try:
        check(*args)  # type: ignore[operator]  # one of the two checks
    except DetenteError:
        return False
    return True


def raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def proof(vector: dict[str, object]) -> list[bytes]:
    return [raw(one) for one in vector["proof"] or []]  # type: ignore[attr-defined]  # a list or null


def test_inclusion_vectors_agree() -> None:
    files = sorted(shared_data("vectors", "merkle", "inclusion").rglob("*.json"))
    assert len(files) == 98
    for file in files:
        v = json.loads(file.read_text())
        got = holds(
            check_inclusion,
            raw(v["leafHash"]),
            v["leafIdx"],
            v["treeSize"],
            proof(v),
            raw(v["root"]),
        )
        assert got is not v["wantErr"], file.name


def test_consistency_vectors_agree() -> None:
    files = sorted(shared_data("vectors", "merkle", "consistency").rglob("*.json"))
    assert len(files) == 98
    deviations = []
    for file in files:
        v = json.loads(file.read_text())
        got = holds(
            check_consistency, v["size1"], v["size2"], proof(v), raw(v["root1"]), raw(v["root2"])
        )
        if got is v["wantErr"]:
            deviations.append(file.stem)
    assert deviations == [SHORT_ROOTS]


def test_tessera_log_is_rebuilt_byte_for_byte() -> None:
    log = shared_data("vectors", "tessera-log")
    vkey = VerifierKey.parse(LOG_VKEY)
    entries = split_bundle((log / entries_path(0, 15)).read_bytes())
    size, stored = 0, {}
    for entry in entries:
        done = integrate(
            size, lambda level, index: stored.get((level, index), b""), [leaf_hash(entry)]
        )
        size = done.size
        for tile in done.tiles:
            stored[tile.level, tile.index] = tile.hashes
            assert (log / tile_path(tile.level, tile.index, tile.width)).read_bytes() == tile.hashes
        assert (log / entries_path(0, size)).read_bytes() == entry_bundle(entries[:size])
        checkpoint = verify_checkpoint((log / f"checkpoint.{size}").read_bytes(), vkey)
        assert (checkpoint.size, checkpoint.root) == (done.size, done.root)
    assert size == 15


def test_wycheproof_ed25519_agrees() -> None:
    suite = json.loads(shared_data("vectors", "wycheproof", "ed25519_test.json").read_text())
    seen = 0
    for group in suite["testGroups"]:
        key = PublicKey.from_raw(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            got = key.verify(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert got is (case["result"] == "valid"), case["tcId"]
            seen += 1
    assert seen == 151


def test_wycheproof_p256_agrees() -> None:
    path = shared_data("vectors", "wycheproof", "ecdsa_secp256r1_sha256_test.json")
    seen = 0
    for group in json.loads(path.read_text())["testGroups"]:
        key = PublicKey.from_der(bytes.fromhex(group["publicKeyDer"]), scheme="p256")
        for case in group["tests"]:
            try:
                r, s = decode_dss_signature(bytes.fromhex(case["sig"]))
                signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
            except (ValueError, OverflowError):
                continue  # not DER of two numbers of 32 bytes: it has no raw form at all
            if case["result"] != "acceptable":
                got = key.verify(bytes.fromhex(case["msg"]), signature)
                assert got is (case["result"] == "valid"), case["tcId"]
                seen += 1
    assert seen == 249


@pytest.mark.parametrize("y", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18])
def test_small_or_non_canonical_ed25519_points_are_refused(y: int) -> None:
    with pytest.raises(DetenteError):
        PublicKey.from_raw(y.to_bytes(32, "little"))
