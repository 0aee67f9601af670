"""The canonical bytes of our own documents: JCS out, strict in.

Canonical form is RFC 8785 restricted to what Detente signs: objects with ASCII keys, arrays,
strings, booleans and integers below 2**53 in size; no floats, no null. For such values sorted
compact JSON is byte for byte what RFC 8785 asks for.

STIX never passes through here: its bytes are kept as they came (``wire.stix``).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

import msgspec

from detente.errors import Invalid

__all__ = ["DOCUMENT_BYTES_MAX", "canonical", "decode", "digest", "encode"]

#: No agreement seen in practice comes near it; a charter of 1,000 keys has about 300 kB.
DOCUMENT_BYTES_MAX = 1_048_576
#: Our deepest document nests nine levels.
_DEPTH_MAX = 32
_INTEGER_LIMIT = 2**53

R = TypeVar("R")


def digest(data: bytes) -> str:
    """SHA-256 of ``data`` in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def encode(record: msgspec.Struct) -> bytes:
    """The canonical bytes of a record. Raises ``Invalid`` where the value has no such form."""
    return canonical(msgspec.to_builtins(record))


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a plain value; refuses floats, null, non-ASCII keys and large integers."""
    _check_plain(value, "$", _DEPTH_MAX)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Invalid(
            "document.surrogate", "Expected well-formed text, got a lone surrogate."
        ) from error


def decode(data: bytes, form: type[R], *, bytes_max: int = DOCUMENT_BYTES_MAX) -> R:
    """Read a record from its canonical bytes.

    Refuses anything but the one canonical form: unknown, missing or repeated fields, another
    type, another order, white space, a default written out. ``data`` is not changed.
    """
    if len(data) > bytes_max:
        raise Invalid(
            "document.too_large", f"Expected at most {bytes_max} bytes, got {len(data)} bytes."
        )
    try:
        record = msgspec.json.decode(data, type=form, strict=True)
    except msgspec.ValidationError as error:
        raise _with_path(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("document.malformed", f"Expected JSON, got: {error}.") from error
    if canonical(msgspec.to_builtins(record)) != data:
        raise Invalid(
            "document.not_canonical",
            "Expected the canonical form (RFC 8785, defaults left out), got another form.",
            hint="Write documents with `detente … draft`; what is signed is bytes.",
        )
    return record


def _with_path(error: msgspec.ValidationError) -> Invalid:
    sentence, _, place = str(error).rpartition(" - at `")
    if not sentence:
        sentence, place = str(error), "$`"
    return Invalid("document.field", sentence + ".", path=place.rstrip("`"))


def _check_plain(value: Any, path: str, depth: int) -> None:
    if depth == 0:
        raise Invalid("document.too_deep", f"Expected at most {_DEPTH_MAX} levels.", path=path)
    if isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
            raise Invalid(
                "document.integer", f"Expected an integer below 2**53, got {value}.", path=path
            )
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise Invalid("document.key", f"Expected an ASCII key, got {key!r}.", path=path)
            _check_plain(inner, f"{path}.{key}", depth - 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check_plain(inner, f"{path}[{index}]", depth - 1)
    else:
        raise Invalid(
            "document.value",
            f"Expected text, integer, boolean, list or object, got {type(value).__name__}.",
            path=path,
        )
