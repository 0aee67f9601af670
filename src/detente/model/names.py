"""Names: the forms of every identifier that appears in a signed document.

Nothing here looks anything up; a name of the right form may still name nothing.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = [
    "Code",
    "Digest",
    "DocumentID",
    "KeyID",
    "KindID",
    "Micros",
    "Millis",
    "OfficeID",
    "PartyID",
    "Record",
    "StixID",
    "Text",
    "UnitID",
    "UUIDText",
]

# A name is short, printable ASCII without space, so that it can stand in a path, a header, a
# ledger entry and a command line without quoting. Patterns are anchored: msgspec searches.
_NAME = r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"

PartyID = Annotated[str, msgspec.Meta(pattern=_NAME)]
UnitID = Annotated[str, msgspec.Meta(pattern=_NAME)]
OfficeID = Annotated[str, msgspec.Meta(pattern=_NAME)]
KindID = Annotated[str, msgspec.Meta(pattern=_NAME)]
Code = Annotated[str, msgspec.Meta(pattern=_NAME)]
DocumentID = Annotated[str, msgspec.Meta(pattern=_NAME)]
UUIDText = Annotated[
    str, msgspec.Meta(pattern=r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
]
StixID = Annotated[str, msgspec.Meta(max_length=300)]
#: SHA-256 in lower-case hexadecimal.
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
#: SHA-256 of the DER SubjectPublicKeyInfo, computed, never believed (RFC 5280, 4.1.2.7).
KeyID = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
#: Words for people, in one of the agreement's languages.
Text = Annotated[str, msgspec.Meta(max_length=20_000)]
#: Whole milliseconds since 1970-01-01T00:00:00Z; exact in every JSON parser (below 2**53).
Millis = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
#: Whole microseconds since 1970-01-01T00:00:00Z: the time of an entry of a collection.
Micros = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Record(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The base of every document record: frozen, strict in, and absent means default.

    A field that has its default is left out of the canonical form, so that one value has one
    form (``ledger.md`` asks for documents without ``null``).
    """
