"""Keys: public keys strictly loaded and named by what they are, and signers.

Schemes: Ed25519 (RFC 8032) and ECDSA on P-256 with SHA-256, signatures as raw ``r || s``. A key
id is the SHA-256 of the DER SubjectPublicKeyInfo: computed, never believed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from detente.errors import Invalid

__all__ = [
    "Ed25519Signer",
    "P256Signer",
    "PublicKey",
    "Scheme",
    "Signer",
    "load_private_key",
]

Scheme = Literal["ed25519", "p256"]

_P = 2**255 - 19
#: The constant d of edwards25519 (RFC 8032, 5.1).
_D = -121665 * pow(121666, -1, _P) % _P
#: The y coordinates of the eight points of small order, without the sign bit. A signature under
#: such a key says nothing, so the key is refused when it is listed.
_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        _P - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: its scheme and DER SubjectPublicKeyInfo."""

    scheme: Scheme
    der: bytes

    @property
    def keyid(self) -> str:
        """SHA-256 of the DER SubjectPublicKeyInfo, lower-case hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 key."""
        return self.der[-32:]

    @staticmethod
    def from_der(der: bytes, *, scheme: Scheme) -> PublicKey:
        """Load strictly: refuses other schemes, other encodings of the same key, Ed25519 points
        of small order or not canonical, and points off the curve."""
        try:
            key = serialization.load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise Invalid("key.malformed", f"Expected a {scheme} key in DER: {error}.") from error
        if scheme == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            _check_point(key.public_bytes_raw())
        elif not (
            scheme == "p256"
            and isinstance(key, ec.EllipticCurvePublicKey)
            and isinstance(key.curve, ec.SECP256R1)
        ):
            raise Invalid("key.scheme", f"Expected a {scheme} key, got {type(key).__name__}.")
        form = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if form != der:
            raise Invalid("key.encoding", "Expected the usual DER form, got another encoding.")
        return PublicKey(scheme, der)

    @staticmethod
    def from_raw(raw: bytes) -> PublicKey:
        """An Ed25519 key from its 32 bytes."""
        if len(raw) != 32:  # RFC 8032, 5.1.5
            raise Invalid("key.length", f"Expected 32 bytes, got {len(raw)}.")
        _check_point(raw)
        return PublicKey("ed25519", _ED25519_HEAD + raw)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """True if the signature is this key's over the message; malformed ones are not."""
        key = serialization.load_der_public_key(self.der)
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
                return True
            if (
                isinstance(key, ec.EllipticCurvePublicKey) and len(signature) == 64
            ):  # r and s of 32 bytes
                r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))
                key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
                return True
        except (InvalidSignature, ValueError):
            return False
        return False


#: SubjectPublicKeyInfo of Ed25519 up to the key itself (RFC 8410, 4).
_ED25519_HEAD = bytes.fromhex("302a300506032b6570032100")


def _check_point(raw: bytes) -> None:
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    if y >= _P:
        raise Invalid("key.point", "Expected a canonical Ed25519 point, got another encoding.")
    if y in _SMALL_ORDER_Y:
        raise Invalid("key.point", "Expected an Ed25519 point of full order, got a small one.")
    # x*x = (y*y - 1) / (d*y*y + 1) must have a root (Euler's criterion); else no signature by this
    # key could ever hold, and a quorum would wait for it in vain.
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if pow(square, (_P - 1) // 2, _P) != 1:
        raise Invalid("key.point", "Expected a point of edwards25519, got another number.")


class Signer(Protocol):
    """Whatever signs: a file, a card, a module. Signing is one method over bytes."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes: ...


class Ed25519Signer:
    """Signs with an Ed25519 private key in memory."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        self._key = key

    @staticmethod
    def from_seed(seed: bytes) -> Ed25519Signer:
        """From the 32-byte seed."""
        return Ed25519Signer(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public(self) -> PublicKey:
        """The public half. It was computed, not received: its point needs no check."""
        return PublicKey("ed25519", _ED25519_HEAD + self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032, 5.1.6)."""
        return self._key.sign(message)

    def pem(self, password: bytes | None = None) -> bytes:
        """PKCS#8 in PEM, encrypted if a password is given."""
        return _pem(self._key, password)


class P256Signer:
    """Signs with a P-256 private key in memory; raw ``r || s``."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(key.curve, ec.SECP256R1):
            raise Invalid("key.curve", f"Expected P-256, got {key.curve.name}.")
        self._key = key

    @property
    def public(self) -> PublicKey:
        """The public half."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return PublicKey("p256", der)

    def sign(self, message: bytes) -> bytes:
        """64 bytes, ``r || s``."""
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def pem(self, password: bytes | None = None) -> bytes:
        """PKCS#8 in PEM, encrypted if a password is given."""
        return _pem(self._key, password)


def _pem(
    key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None
) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def load_private_key(pem: bytes, password: bytes | None = None) -> Ed25519Signer | P256Signer:
    """A signer from PKCS#8 in PEM; refuses other kinds of keys and a wrong password."""
    try:
        key = serialization.load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Invalid("key.private", f"Expected a private key in PEM: {error}.") from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Ed25519Signer(key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return P256Signer(key)
    raise Invalid("key.private", f"Expected Ed25519 or P-256, got {type(key).__name__}.")
