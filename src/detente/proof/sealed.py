"""Sealed: salted commitments for what must stay erasable (``ledger.md`` 5.1).

Hiding as long as the salt is secret, binding by SHA-256. Deleting salt and content erases; every
proof over the commitment still holds.
"""

from __future__ import annotations

import hashlib
import hmac

from detente.errors import Invalid

__all__ = ["SALT_BYTES", "check_commitment", "commit"]

SALT_BYTES = 32
_LABEL = b"detente/commit/v1\0"


def commit(salt: bytes, media_type: str, payload: bytes) -> bytes:
    """``HMAC-SHA-256(salt, "detente/commit/v1" 00 media-type 00 payload)``.

    The salt must have 32 bytes: HMAC pads shorter keys, so lengths must not vary. The byte 00 ends
    the media type, so none may stand in it: else one text could be read as two.
    """
    if len(salt) != SALT_BYTES:
        raise Invalid("sealed.salt", f"Expected {SALT_BYTES} bytes of salt, got {len(salt)}.")
    if "\0" in media_type:
        raise Invalid("sealed.media", "Expected a media type, got one with a zero byte.")
    return hmac.digest(salt, _LABEL + media_type.encode() + b"\0" + payload, hashlib.sha256)


def check_commitment(commitment: bytes, salt: bytes, media_type: str, payload: bytes) -> None:
    """Raise ``Invalid`` unless this opens the commitment."""
    if not hmac.compare_digest(commitment, commit(salt, media_type, payload)):
        raise Invalid("sealed.opening", "Expected what opens the commitment, got something else.")
