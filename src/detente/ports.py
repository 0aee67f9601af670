"""Ports: what the gateway asks of the world outside it, as protocols and plain records.

``store`` implements ``Store``; ``faces`` and ``wire.http`` implement ``Breaker``;
``wire.courier`` implements ``Courier``, ``wire.http`` ``Caller``; ``node`` gives ``Secrets`` and
the one ``Clock``. Nothing here does anything.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from detente.errors import Conflict
from detente.model import NO_MARK

__all__ = [
    "ActRow",
    "Answer",
    "Block",
    "Breaker",
    "Call",
    "Caller",
    "Clock",
    "CollectionState",
    "Courier",
    "CredentialRow",
    "DerivedRow",
    "DocumentRow",
    "FeedRow",
    "LinkRow",
    "NewItem",
    "Opening",
    "OtherSize",
    "PageRow",
    "PassedRow",
    "PeerRow",
    "Secrets",
    "StatusRow",
    "Store",
    "Target",
    "Tx",
    "View",
    "Watch",
]

T = TypeVar("T")


class Clock(Protocol):
    """The one clock. Microseconds since 1970, UTC; never goes back while a node runs."""

    def now_us(self) -> int: ...


class Breaker(Protocol):
    """The way to break off one open send."""

    def cut(self) -> None:
        """Reset the connection now; what has not left the machine never leaves it."""

    async def ended(self) -> None:
        """Return when the connection is closed: no byte can leave through it any more."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Entries ``first`` … ``first + count - 1`` of a collection, their bytes lying together.

    ``body`` is the objects' bytes as they came, joined by single commas; object ``i`` ends
    before ``ends[i]`` and begins after the comma behind ``ends[i - 1]``. ``added_us`` are the
    times of entry (strictly increasing), ``handlings`` the interned numbers, ``keys`` 16 bytes
    each (``model.object_key``), ``marks`` 8 bytes each (``model.version_mark``), ``digests`` 32
    bytes each (SHA-256 of the object's bytes).
    """

    first: int
    count: int
    body: bytes
    ends: array[int]
    added_us: array[int]
    handlings: array[int]
    keys: bytes
    marks: bytes
    digests: bytes

    def raw(self, seq: int) -> bytes:
        """The bytes of one object."""
        i = seq - self.first
        return self.body[self.ends[i - 1] + 1 if i else 0 : self.ends[i]]


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item about to enter a collection. ``mark`` stands for its version among those of its
    object (``model.version_mark``)."""

    key: bytes
    raw: bytes
    sha256: bytes
    handling: int
    mark: bytes = NO_MARK


class CollectionState(msgspec.Struct, frozen=True, kw_only=True):
    """``end`` is the next sequence number; the next entry gets a time above ``last_us``."""

    key: str
    end: int
    last_us: int


class ActRow(msgspec.Struct, frozen=True, kw_only=True):
    """An act that bears on the standing, in the order in which this node learned of it.

    ``use`` is the kind of document; ``party`` whose act it is; ``at_ms`` the time in that
    party's ledger; ``log`` and ``index`` the place in the own ledger.
    """

    agreement: str
    use: str
    party: str
    doc: str
    at_ms: int
    log: str
    index: int


class DocumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A signed document: ``envelope`` is DSSE, ``digest`` that of its payload."""

    digest: str
    use: str
    agreement: str
    name: str
    envelope: bytes


class FeedRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one party can read of one collection; ``value`` is an encoded ``rules.feed.Feed``."""

    collection: str
    party: str
    value: bytes


class PageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A page that was or is being sent: intent first, outcome after.

    ``index`` is its entry in the agreement's ledger ``log``. ``pieces`` is JSON: a list of
    ``[grant base or null, a, b, [handlings]]``. ``low`` and ``high`` bound its sequence numbers
    (high exclusive). ``what`` left: the objects, or only their ids, versions and times (TAXII 2.1,
    5.3 and 5.8). ``outcome`` is ``open``, ``served``, ``cut`` or ``received``.
    """

    log: str
    index: int
    collection: str
    party: str
    reader: str
    what: Literal["objects", "manifest", "versions"] = "objects"
    at_ms: int
    epoch: int
    from_us: int
    until_us: int
    low: int
    high: int
    count: int
    root: bytes
    pieces: bytes
    outcome: Literal["open", "served", "cut", "received"]
    receipt: str | None = None


class PassedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that a party was not given because a newer version was to come; ``row`` numbers
    such entries in the order in which they were noted."""

    row: int
    collection: str
    party: str
    seq: int


class DerivedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An item that was made from another: ids, collections (keys), sequence numbers, by which
    office, and its entry in the private ledger of the node. It never leaves this node."""

    parent: str
    parent_collection: str
    parent_seq: int
    child: str
    child_collection: str
    child_seq: int
    office: str
    at_ms: int
    index: int


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What opens the commitment of an entry; deleting it erases, and every proof still holds."""

    salt: bytes
    media: str
    payload: bytes


class CredentialRow(msgspec.Struct, frozen=True, kw_only=True):
    """A TAXII client, bound to a party. ``kind`` is ``password`` (``secret_hash`` by argon2),
    ``token`` (SHA-256) or ``certificate`` (its fingerprint). ``collections`` is a JSON list of
    ``agreement/collection``, empty for no limit; ``rights`` is ``read``, ``write`` or ``both``."""

    name: str
    party: str
    secret_hash: str
    created_ms: int
    removed_ms: int | None = None
    kind: str = "password"
    expires_ms: int | None = None
    collections: str = ""
    rights: str = "both"
    per_minute: int | None = None


class PeerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A partner's gateway: where it is, and what this node knows of its ledger (``state`` is
    canonical JSON kept by ``gateway.exchange``)."""

    party: str
    agreement: str
    address: str
    state: bytes


class StatusRow(msgspec.Struct, frozen=True, kw_only=True):
    """A TAXII status resource (TAXII 2.1, 4.3.1); ``body`` is its JSON as served."""

    id: str
    agreement: str
    party: str
    created_ms: int
    body: bytes


class LinkRow(msgspec.Struct, frozen=True, kw_only=True):
    """A source (a foreign TAXII collection that is polled) or a sink (one that is pushed to).

    ``settings`` is what the operator said, ``state`` how far it has come; both canonical JSON kept
    by ``gateway.source`` and ``gateway.sink``. Neither holds a password or a token.
    """

    use: Literal["source", "sink"]
    name: str
    settings: bytes
    state: bytes


class View(Protocol):
    """A consistent look at the store. Lists are in the order in which rows were written."""

    def meta(self, key: str) -> str | None: ...
    def document(self, digest: str) -> DocumentRow | None: ...
    def documents(self, *, use: str, agreement: str | None = None) -> list[DocumentRow]: ...
    def acts(self, agreement: str) -> list[ActRow]: ...
    def agreements(self) -> list[str]:
        """The ids of all agreements that have an act."""
        ...

    def collection(self, key: str) -> CollectionState:
        """The state of a collection; one that has no entry yet is empty, not missing."""
        ...

    def block(self, key: str, seq: int) -> Block | None:
        """The block that holds this entry, or None behind the end. May come from a cache."""
        ...

    def seq_after(self, key: str, added_us: int) -> int:
        """The first sequence number whose time is greater than ``added_us``; the end if none."""
        ...

    def find(self, key: str, object_key: bytes) -> list[int]:
        """The sequence numbers of all versions of one object in a collection."""
        ...

    def twins(self, key: str, a: int, b: int) -> list[int]:
        """The entries ``a <= seq < b`` of objects that have more than one entry, in order."""
        ...

    def recalled(self, key: str, a: int, b: int) -> list[int]:
        """The entries ``a <= seq < b`` that their originator took back, in order."""
        ...

    def count_recalled(self, key: str, handling: int, a: int, b: int) -> int:
        """How many of the entries ``a <= seq < b`` of a handling were taken back."""
        ...

    def count(self, key: str, handling: int, a: int, b: int) -> int:
        """How many entries ``a <= seq < b`` have this handling, from counters, not rows;
        what was taken back is among them."""
        ...

    def first_of(self, key: str, handling: int, a: int) -> int | None:
        """The first entry at or after ``a`` with this handling, or None."""
        ...

    def handlings(self, key: str) -> dict[int, bytes]:
        """The canonical bytes of each handling seen in the collection, by number."""
        ...

    def number_of(self, key: str, handling: bytes) -> int | None:
        """The number of a handling in a collection, or None if it is new there."""
        ...

    def feed(self, key: str, party: str) -> FeedRow | None: ...
    def feeds(self, prefix: str) -> list[FeedRow]:
        """All feeds on collections whose key begins with ``prefix``."""
        ...

    def page(self, log: str, index: int) -> PageRow | None: ...
    def pages_of(self, key: str, seq: int) -> list[PageRow]:
        """The pages whose bounds contain this entry."""
        ...

    def pages_open(self) -> list[PageRow]: ...
    def pages(self, key: str, party: str) -> list[PageRow]: ...
    def newest_pages(self, key: str, party: str, most: int) -> list[PageRow]:
        """The pages of a collection for a party that were begun last, at most so many."""
        ...

    def passed(self, prefix: str, after: int, most: int) -> list[PassedRow]:
        """Entries passed over in collections whose key begins with ``prefix``, after a row."""
        ...

    def derived(self, stix_id: str, *, children: bool, most: int) -> list[DerivedRow]:
        """What was made from an object, or what it was made from, oldest first."""
        ...

    def has_derived(self) -> bool:
        """True if anything was ever made from an object here."""
        ...

    def log_size(self, log: str) -> int: ...
    def entry(self, log: str, index: int) -> bytes: ...
    def entries(self, log: str, a: int, b: int) -> list[bytes]: ...
    def checkpoint(self, log: str) -> bytes | None:
        """The newest signed checkpoint of a log, as a note."""
        ...

    def cosignatures(self, log: str) -> tuple[int, bytes] | None:
        """Size and note of the newest checkpoint that carries a partner's cosignature."""
        ...

    def tile(self, log: str, level: int, index: int) -> bytes:
        """The hashes of a tile as far as it is filled; empty if it does not exist."""
        ...

    def logs(self) -> list[str]: ...
    def opening(self, log: str, index: int) -> Opening | None: ...
    def credential(self, name: str) -> CredentialRow | None: ...
    def credentials(self) -> list[CredentialRow]: ...
    def peers(self) -> list[PeerRow]: ...
    def receipts(self, party: str, agreement: str, most: int) -> list[tuple[int, bytes]]:
        """The oldest receipts that wait to be brought to a partner, with their numbers."""
        ...

    def receipts_waiting(self, party: str, agreement: str) -> int:
        """How many receipts wait to be brought to a partner."""
        ...

    def status(self, status_id: str) -> StatusRow | None: ...
    def link(self, use: str, name: str) -> LinkRow | None: ...
    def links(self, use: str) -> list[LinkRow]: ...


class Tx(View, Protocol):
    """One durable transaction. It sees its own writes; raising undoes all of them."""

    def put_meta(self, key: str, value: str) -> None: ...
    def put_document(self, row: DocumentRow) -> None:
        """Keep a document; the same digest again changes nothing."""
        ...

    def put_act(self, row: ActRow) -> None: ...
    def intern(self, key: str, handling: bytes) -> tuple[int, bool]:
        """The number of a handling in a collection, and whether it was new."""
        ...

    def known(self, key: str, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[int | None]:
        """For each (object key, version mark, SHA-256): the newest entry that has all of them, or
        None. This and the next two cost the logarithm of what is stored for each item, however
        many versions an object has."""
        ...

    def singles(self, key: str, object_keys: Sequence[bytes]) -> dict[bytes, int | None]:
        """For each of these objects that has any entry: its one entry, or None if it has several.
        Goes by the heads of the keys, which two objects share by somebody's design only: then they
        count as one here."""
        ...

    def same_version(self, key: str, items: Sequence[tuple[bytes, bytes]]) -> list[list[int]]:
        """For each (object key, version mark) the entries that have both, by the heads of them:
        128 bits of two hashes."""
        ...

    def append_items(self, key: str, items: Sequence[NewItem], now_us: int) -> CollectionState:
        """Append in order; entry times are ``max(now, last + 1)`` onwards. The new state."""
        ...

    def put_twins(self, key: str, seqs: Sequence[int]) -> None:
        """Note entries as those of objects that have more than one; again changes nothing."""
        ...

    def put_recalled(self, key: str, entries: Sequence[tuple[int, int]]) -> None:
        """Note entries (sequence number, handling) as taken back; again changes nothing."""
        ...

    def move_clock(self, key: str, past_us: int) -> None:
        """No later entry gets a time at or below ``past_us``."""
        ...

    def put_derived(self, row: DerivedRow) -> None: ...
    def put_feed(self, row: FeedRow) -> None: ...
    def put_page(self, row: PageRow) -> None: ...
    def put_passed(self, key: str, party: str, seqs: Sequence[int]) -> None:
        """Note entries as passed over for a party; again changes nothing."""
        ...

    def drop_passed(self, numbers: Sequence[int]) -> None:
        """Forget rows of entries passed over."""
        ...

    def end_page(self, log: str, index: int, outcome: str, receipt: str | None = None) -> None: ...
    def append_entry(self, log: str, entry: bytes) -> int:
        """Put an entry into a ledger; its index. The tree and the signed checkpoint that
        contain it are written by the same transaction."""
        ...

    def put_opening(self, log: str, index: int, opening: Opening) -> None: ...
    def put_cosigned(self, log: str, size: int, note: bytes) -> None: ...
    def put_credential(self, row: CredentialRow) -> None: ...
    def put_peer(self, row: PeerRow) -> None: ...
    def put_receipt(self, party: str, agreement: str, envelope: bytes) -> None:
        """Keep a signed receipt until its partner has answered for it."""
        ...

    def drop_receipts(self, numbers: Sequence[int]) -> None:
        """Forget receipts that have been answered for."""
        ...

    def put_status(self, row: StatusRow) -> None: ...
    def put_link(self, row: LinkRow) -> None: ...
    def drop_link(self, use: str, name: str) -> bool:
        """Forget a source or sink; False if there was none."""
        ...


class Store(Protocol):
    """Durable state. ``write`` returns only when the work is on disk.

    Several writes may share one commit (group commit); each stands or falls by itself. The work
    runs on the store's own writer thread, one at a time, so it sees a settled state; it must not
    block. A crash keeps every write that returned and no part of one that raised.
    """

    async def write(self, work: Callable[[Tx], T]) -> T: ...
    async def read(self, work: Callable[[View], T]) -> T: ...
    async def close(self) -> None: ...


class OtherSize(Conflict):
    """A witness has cosigned another ``size`` than it was told (C2SP ``tlog-witness``: status 409
    with ``text/x.tlog.size``); by that one it may be asked again."""

    def __init__(self, size: int) -> None:
        super().__init__("peer.answer", f"Expected success, got another size: {size}.")
        self.size = size


class Courier(Protocol):
    """Carries one request to a partner's gateway and brings its answer.

    Raises ``Unavailable`` if the partner cannot be reached, ``OtherSize`` where a witness answers
    so, ``PeerError`` if what it answers is no answer. Bounded in time and size.
    """

    def post(self, address: str, path: str, body: bytes) -> Awaitable[bytes]: ...


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign server and how it is known to be the right one.

    ``address`` is scheme, host and port. By default the system's certificate authorities vouch for
    it; ``ca_file`` (PEM) takes their place. ``pin`` is the SHA-256 (hexadecimal) of the public key
    of the server's own certificate (DER SubjectPublicKeyInfo, as in RFC 7469): with a pin and no
    ``ca_file`` the pin alone decides, with both, both must hold. ``certificate`` and ``key`` (PEM)
    show who we are. Plain HTTP goes to this machine only, unless ``insecure_http``.
    """

    address: str
    ca_file: str = ""
    pin: str = ""
    certificate: str = ""
    key: str = ""
    insecure_http: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request. ``path`` begins with a slash and has the query with it; ``chunks`` are the
    body, sent piece by piece; ``answer_bytes_max`` bounds the answer's body, unpacked."""

    target: Target
    method: Literal["GET", "POST"]
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] = ()
    answer_bytes_max: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Watch(Protocol):
    """Looks over one call's shoulder, so that the gate can hold it."""

    def opened(self, breaker: Breaker) -> None:
        """The connection stands and nothing has been sent; raising ends it there."""

    def stands(self) -> bool:
        """Asked before every piece of the body; False breaks the connection off."""
        ...


class Caller(Protocol):
    """Makes one request to a foreign server, on a connection of its own.

    Raises ``Unavailable`` if there was no answer (not reached, too late, broken off),
    ``PeerError`` if the server is not the one it should be or its answer is no HTTP, too large or
    packed in an unknown way. Whatever status it has, an answer is an answer; a redirect is not
    followed. Bounded in time and size.
    """

    def check(self, target: Target) -> None:
        """Raise ``Invalid`` for a target that could never be called."""
        ...

    def call(self, call: Call, watch: Watch | None = None) -> Awaitable[Answer]: ...


class Secrets(Protocol):
    """Passwords and tokens by name, kept for the node's owner alone. May block briefly."""

    def get(self, name: str) -> str:
        """The secret; raises ``Missing`` if there is none."""
        ...

    def put(self, name: str, secret: str) -> None: ...
    def drop(self, name: str) -> None:
        """Forget it; a name that is not known is forgotten already."""
        ...


#: Given (log, level, index) → the tile's hashes so far; what proofs are made from.
TileReader = Callable[[int, int], bytes]
Entries = Iterable[bytes]
