"""What two gateways say to each other about items: request, page, receipt.

Each is signed (DSSE) by a key of the speaking party's node office; none of them can change what
is in force.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.handling import Handling
from detente.model.names import Code, Digest, DocumentID, Micros, Millis, PartyID, Record, Text

__all__ = [
    "PLACE",
    "ActsPage",
    "NoticeTaken",
    "PageSheet",
    "PeerActSheet",
    "Place",
    "Receipt",
    "ReceiptsTaken",
    "Refused",
    "Request",
    "Stopped",
]

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class PeerActSheet(Record, frozen=True, kw_only=True):
    """An act as its party's ledger holds it: the signed document (DSSE, text), the entry that
    records it, and the proof (``c2sp.org/tlog-proof@v1``) that the ledger contains the entry."""

    use: Literal["assurance", "directive", "withdrawal"]
    envelope: Annotated[str, msgspec.Meta(max_length=200_000)]
    entry: Annotated[str, msgspec.Meta(max_length=8192)]
    index: Count
    proof: Annotated[str, msgspec.Meta(max_length=20_000)]


#: The use under which the place of a partner's act is kept among the documents, by the digest of
#: the partner's entry.
PLACE = "place"


class Place(Record, frozen=True, kw_only=True):
    """Where a partner's act stands: the entry that records it, and the proof
    (``c2sp.org/tlog-proof@v1``) that the partner's ledger contains the entry."""

    entry: Annotated[str, msgspec.Meta(max_length=8192)]
    proof: Annotated[str, msgspec.Meta(max_length=20_000)]


class Request(Record, frozen=True, kw_only=True):
    """One request. ``serial`` grows with every request of a party to another, so that a captured
    one cannot be replayed; ``after_us`` is the reader's place in a feed, ``since`` in the list of
    acts."""

    v: Literal[1] = 1
    what: Literal["acts", "notice", "page", "receipts"]
    sender: PartyID
    to: PartyID
    agreement: DocumentID
    exercise: bool = False
    serial: Micros
    collection: Code | None = None
    after_us: Micros = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    since: Count = 0
    receipts: Annotated[tuple[Text, ...], msgspec.Meta(max_length=1000)] = ()
    acts: Annotated[tuple[PeerActSheet, ...], msgspec.Meta(max_length=1000)] = ()


class ActsPage(Record, frozen=True, kw_only=True):
    """Acts of the answering party from ``since`` on, and how many there are in all."""

    v: Literal[1] = 1
    agreement: DocumentID
    sender: PartyID
    exercise: bool = False
    acts: tuple[PeerActSheet, ...]
    total: Count
    standing: Digest
    checkpoint: Annotated[str, msgspec.Meta(max_length=20_000)]


class PageSheet(Record, frozen=True, kw_only=True):
    """What goes with the objects of a page (R34): the ledger entry that released them with its
    proof, the root over their digests with what opens the entry's commitment, each item's
    handling (``runs``: handling number and how many objects in a row), and what it stands on."""

    v: Literal[1] = 1
    agreement: DocumentID
    collection: Code
    sender: PartyID
    recipient: PartyID
    exercise: bool = False
    origin: Annotated[str, msgspec.Meta(max_length=255)]
    index: Count
    entry: Annotated[str, msgspec.Meta(max_length=8192)]
    proof: Annotated[str, msgspec.Meta(max_length=20_000)]
    root: Digest
    salt: Digest
    count: Count
    from_us: Micros
    until_us: Micros
    more: bool
    epoch: Count
    handlings: tuple[Handling, ...]
    runs: tuple[tuple[Count, Count], ...]
    orders: tuple[DocumentID, ...] = ()
    assurances: tuple[DocumentID, ...] = ()


class Receipt(Record, frozen=True, kw_only=True):
    """The recipient has the page with this root: so many objects were new to it, so many known.

    ``origin`` and ``index`` name the page's entry in the sender's ledger."""

    v: Literal[1] = 1
    agreement: DocumentID
    collection: Code
    giver: PartyID
    to: PartyID
    exercise: bool = False
    origin: Annotated[str, msgspec.Meta(max_length=255)]
    index: Count
    root: Digest
    count: Count
    new: Count
    known: Count
    at_ms: Millis


class Refused(Record, frozen=True, kw_only=True):
    """A receipt or an act that does not count: its place in the request, from 0, and why."""

    at: Count
    code: Code
    words: Text = ""


class ReceiptsTaken(Record, frozen=True, kw_only=True):
    """The answer to receipts that were brought: how many were new, and those that do not fit.
    All others were known. Each stands alone, so the answer speaks for every one of them."""

    new: Count
    refused: Annotated[tuple[Refused, ...], msgspec.Meta(max_length=1000)] = ()


class NoticeTaken(Record, frozen=True, kw_only=True):
    """The answer to acts that were brought: how many count here by now, and those that do not."""

    taken: Count
    refused: Annotated[tuple[Refused, ...], msgspec.Meta(max_length=1000)] = ()


class Stopped(Record, frozen=True, kw_only=True):
    """Why a feed gives nothing: never an empty success (R29)."""

    code: Code
    words: Text
    directives: tuple[DocumentID, ...]
    since_ms: Millis | None = None
    until_ms: Millis | None = None
    contact: Text = ""
