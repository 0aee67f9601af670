"""Keys: what is listed must be the one form of a sound key; what signs must be its own."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from detente.errors import DetenteError
from detente.proof import Ed25519Signer, P256Signer, PublicKey, load_private_key
from tests.unit.proof.kit import KEYS, code_of, flips

P = 2**255 - 19
#: The five y coordinates of small order. The two of order 8 as they stand in libsodium's and
#: other lists of points to refuse: 26e8…fc05 and c717…037a, little-endian.
SMALL = [
    0,
    1,
    P - 1,
    int.from_bytes(
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
    ),
    int.from_bytes(
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
    ),
]
ED25519_HEAD = bytes.fromhex("302a300506032b6570032100")
P256 = P256Signer(ec.derive_private_key(7, ec.SECP256R1()))
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def point(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def refused(raw: bytes) -> set[str]:
    """The codes by which both ways to list an Ed25519 key refuse it."""
    return {
        code_of(lambda: PublicKey.from_raw(raw)),
        code_of(lambda: PublicKey.from_der(ED25519_HEAD + raw, scheme="ed25519")),
    }


# --- Ed25519 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", SMALL)
def test_no_point_of_small_order_is_listed(y: int, sign: int) -> None:
    assert refused(point(y, sign)) == {"key.point"}


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [*range(19)])
def test_no_point_in_a_second_encoding_is_listed(y: int, sign: int) -> None:
    assert refused(point(P + y, sign)) == {"key.point"}


@pytest.mark.parametrize("y", [2, 7, 8])
def test_number_that_is_no_point_is_not_listed(y: int) -> None:
    """No x belongs to these; such a key would never verify, and a quorum would wait for it."""
    assert refused(point(y)) == {"key.point"}


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_ed25519_key_has_32_bytes(length: int) -> None:
    assert code_of(lambda: PublicKey.from_raw(b"\x05" * length)) == "key.length"


def test_sound_keys_are_listed_and_named_by_their_der() -> None:
    for key in KEYS:
        der = key.public.der
        assert PublicKey.from_der(der, scheme="ed25519") == key.public
        assert PublicKey.from_raw(der[-32:]) == key.public
        assert key.public.keyid == hashlib.sha256(der).hexdigest()
    assert len({key.public.keyid for key in KEYS}) == len(KEYS)
    assert PublicKey.from_der(P256.public.der, scheme="p256") == P256.public


def test_key_in_any_other_der_is_refused() -> None:
    der, other = KEYS[0].public.der, P256.public.der
    compressed = serialization.load_der_public_key(other).public_bytes(  # type: ignore[union-attr]  # it is a P-256 key
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    short = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + compressed
    for data, scheme in (
        (b"", "ed25519"), (der[:-1], "ed25519"), (der + b"\0", "ed25519"), (der, "p256"),
        (other, "ed25519"), (other + b"\0", "p256"), (short, "p256"),
        (other[:-1] + bytes([other[-1] ^ 1]), "p256"),
    ):  # fmt: skip
        with pytest.raises(DetenteError) as found:
            PublicKey.from_der(data, scheme=scheme)  # type: ignore[arg-type]  # a table of both
        assert found.value.code in ("key.malformed", "key.scheme", "key.encoding"), data.hex()


def test_keys_of_other_curves_and_kinds_are_refused() -> None:
    for key in (
        ec.derive_private_key(7, ec.SECP384R1()),
        ec.derive_private_key(7, ec.SECP256K1()),
        rsa.generate_private_key(65537, 2048),
    ):
        der = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        for scheme in ("ed25519", "p256"):
            assert code_of(lambda d=der, s=scheme: PublicKey.from_der(d, scheme=s)) == "key.scheme"
        assert code_of(lambda p=pem: load_private_key(p)) in ("key.private", "key.curve")


# --- signatures ---------------------------------------------------------------------------------


def test_ed25519_signature_holds_for_its_bytes_and_for_no_flipped_bit() -> None:
    signer, message = KEYS[0], b"a message"
    good = signer.sign(message)
    assert signer.public.verify(message, good)
    assert not any(signer.public.verify(message, other) for other in flips(good))
    assert not any(signer.public.verify(other, good) for other in flips(message))
    assert not KEYS[1].public.verify(message, good)
    for wrong in (b"", good[:-1], good + b"\0", good + good):
        assert not signer.public.verify(message, wrong)


def test_p256_signature_is_r_and_s_of_32_bytes_and_never_der() -> None:
    message = b"a message"
    good = P256.sign(message)
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
    assert len(good) == 64
    assert P256.public.verify(message, good)
    assert not P256.public.verify(message + b"x", good)
    for wrong in (
        encode_dss_signature(r, s), b"", good[:-1], good + b"\0", good[32:] + good[:32],
        bytes(64), good[:32] + bytes(32), bytes(32) + good[32:],
        (ORDER).to_bytes(32, "big") + good[32:], good[:32] + (ORDER).to_bytes(32, "big"),
        b"\xff" * 64,
    ):  # fmt: skip
        assert not P256.public.verify(message, wrong)


def test_p256_signature_of_r_with_leading_zeros_keeps_its_64_bytes() -> None:
    found = next(
        made for n in range(5000) if (made := P256.sign(b"%d" % n))[0] == 0 or made[32] == 0
    )
    assert len(found) == 64


# --- private keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [None, b"a password"])
@pytest.mark.parametrize("signer", [KEYS[0], P256])
def test_private_key_comes_back_from_its_pem_and_not_by_another_password(
    signer: Ed25519Signer | P256Signer, password: bytes | None
) -> None:
    pem = signer.pem(password)
    assert load_private_key(pem, password).public == signer.public
    assert (b"ENCRYPTED" in pem) is (password is not None)
    for wrong in (b"another", None if password else b"one too many"):
        if wrong != password:
            assert code_of(lambda w=wrong: load_private_key(pem, w)) == "key.private"


@pytest.mark.parametrize("pem", [b"", b"x", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_no_private_key_is_refused(pem: bytes) -> None:
    assert code_of(lambda: load_private_key(pem)) == "key.private"


def test_public_half_of_a_signer_is_a_key_that_would_be_listed() -> None:
    for number in range(20):
        made = Ed25519Signer(
            ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(bytes([number])).digest())
        )
        assert PublicKey.from_raw(made.public.raw) == made.public
