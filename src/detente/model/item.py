"""Item: one version of one STIX object, with the bytes as they came."""

from __future__ import annotations

import hashlib

import msgspec

__all__ = ["NO_MARK", "Item", "object_key", "version_mark"]

#: The mark of an object that has no version.
NO_MARK = bytes(8)


def object_key(stix_id: str) -> bytes:
    """The 16 bytes by which a STIX object is found: the head of SHA-256 over its id.

    Hashing makes keys of equal length and spread, whatever an outsider chooses as an id.
    """
    return hashlib.sha256(stix_id.encode()).digest()[:16]


def version_mark(object_key: bytes, version: str) -> bytes:
    """The eight bytes by which a version is found among those of its object; zeros if the object
    has no version. The text counts as it stands: the same instant written in another way is
    another version, as for ``publish.version``."""
    if not version:
        return NO_MARK
    return hashlib.sha256(object_key + version.encode()).digest()[:8]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one STIX object.

    ``version`` is the text of ``modified`` (else ``created``, else empty: STIX 2.1, 3.6);
    ``raw`` are the bytes as received; ``sha256`` is their digest (32 bytes);
    ``handling`` is the number under which the handling is interned.
    """

    stix_id: str
    stix_type: str
    version: str
    raw: bytes
    sha256: bytes
    handling: int
