"""Acts: what a ledger records, one entry for each, never one per item.

An entry is canonical JSON of at most 8 KiB without personal data or free text; contents are
reachable only through salted commitments (``ledger.md`` 1.2, 5). What the partner did enters the
own ledger as ``peer.act`` with the partner's entry inside reach of its proof.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.names import Code, Digest, DocumentID, KeyID, KindID, Millis, PartyID, Record

__all__ = ["ENTRY_BYTES_MAX", "ActName", "Entry", "Head", "Signer"]

#: ``ledger.md`` section 0; the format itself ends at 65,535 bytes.
ENTRY_BYTES_MAX = 8192

ActName = Literal[
    "agreement.open",
    "anchor",
    "assessment",
    "assurance",
    "assurance.withdraw",
    "charter",
    "clock.set",
    "credential",
    "derive",
    "directive.effect",
    "directive.read-back",
    "directive.sign",
    "expire",
    "minimise",
    "open",
    "page",
    "page.end",
    "peer.act",
    "publish",
    "recall",
    "receipt",
    "receive",
    "return",
    "review",
    "said",
    "standing",
    "test",
]


class Signer(Record, frozen=True, kw_only=True):
    """By which key, for which office; an office, never a person."""

    office: Code = ""
    keyid: KeyID


class Head(Record, frozen=True, kw_only=True):
    """A tree head: origin, size and root (base64), never a hash of the note (1.4)."""

    origin: Annotated[str, msgspec.Meta(max_length=255)]
    size: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    root: Annotated[str, msgspec.Meta(max_length=44)]


Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Nonce = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{22}==\Z")]


class Entry(Record, frozen=True, kw_only=True):
    """One ledger entry.

    Always: ``v``, ``act``, ``at`` (milliseconds, a claim), ``n`` (16 random bytes in base64, so
    that a low-entropy entry cannot be guessed from its leaf hash).
    As needed: ``by``; ``c`` (commitment, base64) to the Merkle root over the items' digests;
    ``doc`` (digest of a signed document); ``sig`` (a signature over it, base64); ``st`` (size of
    this ledger on which the decision stands); ``saw`` (newest head of the partner's ledger);
    ``page`` (index of the page entry this one is about); ``origin``, ``index``, ``entry`` and
    ``peer_at`` (place, digest and time of the partner's entry that this one records).
    """

    v: Literal[1] = 1
    act: ActName
    at: Millis
    n: Nonce
    by: Signer | None = None
    c: Annotated[str, msgspec.Meta(max_length=44)] | None = None
    doc: Digest | None = None
    sig: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    st: Count | None = None
    saw: Head | None = None
    verb: Code | None = None
    ref: DocumentID | None = None
    collection: Code | None = None
    party: PartyID | None = None
    kind: KindID | None = None
    count: Count | None = None
    first: Count | None = None
    epoch: Count | None = None
    page: Count | None = None
    outcome: Code | None = None
    standing: Digest | None = None
    entry: Digest | None = None
    origin: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    index: Count | None = None
    peer_at: Millis | None = None
