"""The golden vector of the ledger's formats, written down before any code."""

from __future__ import annotations

import base64
import hashlib

import pytest

from detente.errors import DetenteError
from detente.proof import (
    Checkpoint,
    Ed25519Signer,
    Note,
    VerifierKey,
    check_consistency,
    check_inclusion,
    commit,
    consistency_proof,
    cosign,
    entry_bundle,
    inclusion_proof,
    integrate,
    leaf_hash,
    parse_note,
    root_of,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
)

ENTRIES = [
    b'{"act":"agreement.open","at":1763900000000,"n":"1KIbwtjBwbvBpMRuSNmWkg==","v":1}',
    b'{"act":"release","at":1763900001000,"c":"kabEoohqGEbqV2KRLTCEw469JO0iF/uGb1BpzkZ8cJM=",'
    b'"n":"ddVBHYiiHa/nVQY/YpCupw==","v":1}',
    b'{"act":"directive.effect","at":1763900002000,"n":"6gBIIUmuCYZroBa5yiJZWw==","v":1,'
    b'"verb":"suspend"}',
    b'{"act":"hold","at":1763900003000,"n":"Bk/O1y0ffS+dc7Jsupyawg==","v":1}',
    b'{"act":"directive.effect","at":1763900004000,"n":"e9MgtUBJNuHLhXaRgJ90cA==","v":1,'
    b'"verb":"resume"}',
]
LEAVES = [
    "5f12bd41d5f4c1347f172bf78073331a937c8240d0963e1e065a1b8ade601e8b",
    "b0596475bd766fb5bf98bde26ed5647b3df2e2d6ece99032491ce8638a2926db",
    "9bf315faf411e75371b8a0b47fadfe16bbd356bcad4945ea05bf310bcaab30fd",
    "0d9cb86dec2fdbd5b5737702a8bc2034d6e3c646462e48cbcfee8711c9f6853f",
    "1f0d3ae8a2f67cf75e1d2e2a06c2a5a5e5c517f211dc1f0ee2c48c3cf116a8be",
]
ROOT_3 = "30985954b3e73e04305d5e406b4c4cdb9d973bb8e66b729f47114a7c967c0712"
ROOT_5 = "da52982718f5f1bfe129c493246287973b331639c457bd2335914df9446bc5fe"
INNER = "33f2755348ffb11a90e0152df06b4e9cf0d1304c3c632246a4035ec792c0a9dc"
ORIGIN = "gw.alfa.example/detente/agr-7f3a"
NOTE = (
    "gw.alfa.example/detente/agr-7f3a\n5\n2lKYJxj18b/hKcSTJGKHlzszFjnEV70jNZFN+URrxf4=\n\n"
    "— gw.alfa.example/detente/agr-7f3a 9tNsa5UebZDefMFn2MavDDws9JenHCz7yMwvmehFtzlpK8TMaVjKTLp/"
    "SEjJfudLA9x59dIn0zmvZy50BMr1TunS1gU=\n"
    "— gw.bravo.example/witness zNceUgAAAABpIvpl3DYzMxfZPL3PPPIjgrMumC4klysLF4oPtSA/j00UpvvH7Ka3t"
    "W1iykAr99nDcwRlU9/uHRcDDl5bzulu17jGDg==\n"
).encode()
LOG_VKEY = "gw.alfa.example/detente/agr-7f3a+f6d36c6b+AUCZqWT8qWlM10s6H4OR/p5aIsuZWM+E2xRktkQc0F7m"
WITNESS_VKEY = "gw.bravo.example/witness+ccd71e52+BPrbTQ3rZHymXso8iXg/Ye06byuxmrLLVy7VUyrctRNV"


def seed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def tiles(size: int) -> dict[tuple[int, int], bytes]:
    done = integrate(0, lambda level, index: b"", [leaf_hash(e) for e in ENTRIES[:size]])
    return {(tile.level, tile.index): tile.hashes for tile in done.tiles}


def test_leaf_hashes_and_roots_are_the_vectors() -> None:
    leaves = [leaf_hash(entry) for entry in ENTRIES]
    assert [leaf.hex() for leaf in leaves] == LEAVES
    assert root_of(leaves[:1]).hex() == LEAVES[0]
    assert root_of(leaves[:3]).hex() == ROOT_3
    assert root_of(leaves).hex() == ROOT_5


def test_proofs_are_the_vectors_and_verify() -> None:
    stored = tiles(5)
    path = inclusion_proof(2, 5, lambda level, index: stored[level, index])
    assert [one.hex() for one in path] == [LEAVES[3], INNER, LEAVES[4]]
    check_inclusion(bytes.fromhex(LEAVES[2]), 2, 5, path, bytes.fromhex(ROOT_5))
    proof = consistency_proof(3, 5, lambda level, index: stored[level, index])
    assert [one.hex() for one in proof] == [LEAVES[2], LEAVES[3], INNER, LEAVES[4]]
    check_consistency(3, 5, proof, bytes.fromhex(ROOT_3), bytes.fromhex(ROOT_5))


def test_checkpoint_and_cosignature_are_the_vectors_byte_for_byte() -> None:
    log = Ed25519Signer.from_seed(seed("detente vector log key"))
    witness = Ed25519Signer.from_seed(seed("detente vector witness key"))
    note = sign_checkpoint(Checkpoint(ORIGIN, 5, bytes.fromhex(ROOT_5)), log)
    time_s = int.from_bytes(parse_note(NOTE).lines[1][1][4:12], "big")
    line = cosign(note.text, "gw.bravo.example/witness", witness, time_s)
    assert Note(note.text, (*note.lines, line)).encode() == NOTE
    assert VerifierKey(ORIGIN, 1, log.public).encode() == LOG_VKEY
    assert VerifierKey("gw.bravo.example/witness", 4, witness.public).encode() == WITNESS_VKEY


def test_note_verifies_and_no_flipped_bit_does() -> None:
    log, witness = VerifierKey.parse(LOG_VKEY), VerifierKey.parse(WITNESS_VKEY)
    assert verify_checkpoint(NOTE, log).size == 5
    assert verify_cosignature(parse_note(NOTE), witness) > 0
    good = verify_checkpoint(NOTE, log)
    body = NOTE.index(b"\n\n")
    for at in range(body):
        for bit in range(8):
            broken = bytearray(NOTE)
            broken[at] ^= 1 << bit
            with pytest.raises(DetenteError):
                verify_checkpoint(bytes(broken), log)
    assert good.root.hex() == ROOT_5


def test_bundle_and_commitment_are_the_vectors() -> None:
    assert entry_bundle(ENTRIES)[:4].hex() == "0050" + "7b22"
    payload = b'{"type":"vessel","name":"MV Example"}'
    made = commit(seed("detente vector salt"), "application/stix+json;version=2.1", payload)
    assert base64.b64encode(made).decode() == "kabEoohqGEbqV2KRLTCEw469JO0iF/uGb1BpzkZ8cJM="
