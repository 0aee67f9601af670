"""The book: who this node is, which acts it knows, and how an entry of its ledgers is written.

It keeps the acts of each agreement in memory (there are few) as the store has them on disk, and
folds them. It decides nothing: ``order`` checks and records, ``gate`` clears.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

import msgspec

from detente.errors import Broken, Missing
from detente.model import (
    Agreement,
    Assessment,
    Assurance,
    Charter,
    Directive,
    Entry,
    Withdrawal,
    decode,
    encode,
)
from detente.model.acts import ENTRY_BYTES_MAX, ActName
from detente.ports import ActRow, Clock, DocumentRow, Opening, Store, Tx, View
from detente.proof import Envelope, Signer, commit
from detente.proof import decode as decode_envelope
from detente.rules.standing import (
    Act,
    AgreementOpened,
    AssessmentMade,
    AssuranceGiven,
    AssuranceWithdrawn,
    CharterSet,
    DirectiveEffect,
    Standing,
    fold,
)

__all__ = ["Book", "Identity", "acts_key", "collection_key", "latest_us", "newest_ms", "split_key"]

#: What the commitment of a publish or page entry opens to: the Merkle root over item digests.
ROOT_MEDIA = "application/vnd.detente.root"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this node is. ``signer`` signs receipts and requests to partners for the party."""

    party: str
    name: str
    host: str
    exercise: bool
    signer: Signer

    @property
    def prefix(self) -> str:
        """The head of every ledger origin of this node (``ledger.md`` 1.1)."""
        return f"{self.host}/detente/{'exercise/' if self.exercise else ''}"

    @property
    def node_log(self) -> str:
        """The private ledger that anchors the others."""
        return f"{self.prefix}node"

    def log_of(self, agreement: str) -> str:
        """The ledger of an agreement, readable by its parties."""
        return f"{self.prefix}{agreement}"


def collection_key(agreement: str, collection: str) -> str:
    """The key of a collection in the store."""
    return f"{agreement}/{collection}"


def split_key(key: str) -> tuple[str, str]:
    """Agreement and collection name of a key."""
    agreement, _, collection = key.partition("/")
    return agreement, collection


class Book:
    """Acts, standings and entries of this node."""

    def __init__(self, store: Store, clock: Clock, identity: Identity) -> None:
        self.store = store
        self.clock = clock
        self.me = identity
        self._acts: dict[str, list[Act]] = {}
        self._charters: dict[str, CharterSet] = {}
        self._chains: dict[str, set[str]] = {}
        #: How many charters and versions of agreements are known; grows whenever one is learnt.
        self.papers = 0

    def now_ms(self) -> int:
        """The clock in milliseconds."""
        return self.clock.now_us() // 1000

    # --- acts ------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read every act from the store. An act whose document is gone or of no known use means
        that the standing cannot be known: raises ``Broken``."""
        rows = await self.store.read(_all_acts)
        self._acts, self._charters, self._chains, self.papers = {}, {}, {}, 0
        for row, document in rows:
            self.learn(row, decode_envelope(document.envelope))

    def learn(self, row: ActRow, envelope: Envelope) -> None:
        """Take a recorded act into memory."""
        act = act_of(row, envelope)
        if isinstance(act, CharterSet):
            self._chains.setdefault(row.party, set()).add(act.digest)
        self.papers += isinstance(act, CharterSet | AgreementOpened)
        if isinstance(act, CharterSet) and not row.agreement:
            known = self._charters.get(row.party)
            if known is None or known.charter.version < act.charter.version:
                self._charters[row.party] = act
        if row.agreement:
            self._acts.setdefault(row.agreement, []).append(act)

    def agreements(self) -> tuple[str, ...]:
        """The ids of all agreements with an act."""
        return tuple(sorted(self._acts))

    def acts(self, agreement: str) -> tuple[Act, ...]:
        """All acts of an agreement in the order they were learnt."""
        return tuple(self._acts.get(agreement, ()))

    def charter(self, party: str) -> CharterSet | None:
        """The newest charter of a party this node has accepted."""
        return self._charters.get(party)

    def charters_of(self, party: str) -> frozenset[str]:
        """The digests of all charters of a party this node has accepted."""
        return frozenset(self._chains.get(party, ()))

    def standing(self, agreement: str, at_ms: int) -> Standing:
        """The standing at an instant, past ones included (R65)."""
        if agreement not in self._acts:
            raise Missing("agreement.unknown", f"Expected a known agreement, got {agreement}.")
        return msgspec.structs.replace(fold(self._acts[agreement], at_ms), own=self.me.party)

    # --- entries ---------------------------------------------------------------------------

    def entry(self, act: ActName, *, at_ms: int | None = None, **fields: object) -> bytes:
        """The canonical bytes of a ledger entry made now, or at the instant that the act it
        records was checked for: an entry never says another time than what was folded."""
        nonce = base64.b64encode(secrets.token_bytes(16)).decode()
        at_ms = self.now_ms() if at_ms is None else at_ms
        data = encode(Entry(act=act, at=at_ms, n=nonce, **fields))  # type: ignore[arg-type]  # the record checks its fields when it is read back
        if len(data) > ENTRY_BYTES_MAX:
            raise Broken("ledger.entry", f"Expected at most {ENTRY_BYTES_MAX} bytes of entry.")
        return data

    def write_root_entry(
        self, tx: Tx, log: str, act: ActName, root: bytes, **fields: object
    ) -> tuple[int, Opening]:
        """Append an entry that commits to a Merkle root over item digests."""
        return self.write_sealed_entry(tx, log, act, (ROOT_MEDIA, root), **fields)

    def write_sealed_entry(
        self, tx: Tx, log: str, act: ActName, kept: tuple[str, bytes], **fields: object
    ) -> tuple[int, Opening]:
        """Append an entry that commits to what is kept beside it (a media type and bytes), with
        what opens the commitment, so that it can be erased while every proof still holds."""
        salt = secrets.token_bytes(32)
        media, payload = kept
        commitment = base64.b64encode(commit(salt, media, payload)).decode()
        index = tx.append_entry(log, self.entry(act, c=commitment, **fields))  # type: ignore[arg-type]  # at_ms may be among the fields
        opening = Opening(salt=salt, media=media, payload=payload)
        tx.put_opening(log, index, opening)
        return index, opening


_FORMS: dict[str, Callable[[bytes], object]] = {
    "charter": lambda data: decode(data, Charter),
    "agreement": lambda data: decode(data, Agreement),
    "directive": lambda data: decode(data, Directive),
    "assurance": lambda data: decode(data, Assurance),
    "withdrawal": lambda data: decode(data, Withdrawal),
    "assessment": lambda data: decode(data, Assessment),
}


def act_of(row: ActRow, envelope: Envelope) -> Act:
    """The act a row and its document stand for."""
    form = _FORMS.get(row.use)
    if form is None:
        raise Broken("act.use", f"Expected one of {', '.join(_FORMS)}, got {row.use}.")
    record = form(envelope.payload)
    if isinstance(record, Charter):
        return CharterSet(charter=record, digest=row.doc, at_ms=row.at_ms)
    if isinstance(record, Agreement):
        return AgreementOpened(agreement=record, digest=row.doc, at_ms=row.at_ms)
    if isinstance(record, Directive):
        return DirectiveEffect(directive=record, digest=row.doc, at_ms=row.at_ms)
    if isinstance(record, Assurance):
        return AssuranceGiven(assurance=record, digest=row.doc, at_ms=row.at_ms)
    if isinstance(record, Assessment):
        return AssessmentMade(assessment=record, digest=row.doc, at_ms=row.at_ms)
    assert isinstance(record, Withdrawal)  # the table above has no other form
    return AssuranceWithdrawn(withdrawal=record, digest=row.doc, at_ms=row.at_ms)


def _all_acts(view: View) -> list[tuple[ActRow, DocumentRow]]:
    found = []
    for agreement in ("", *view.agreements()):
        for row in view.acts(agreement):
            document = view.document(row.doc)
            if document is None:
                raise Broken("act.document", f"Expected document {row.doc} of an act, got none.")
            found.append((row, document))
    return found


def newest_ms(view: View, log: str) -> int:
    """The time of a ledger's last entry, 0 if it has none; no entry before it has a later one."""
    size = view.log_size(log)
    return decode(view.entry(log, size - 1), Entry).at if size else 0


def latest_us(view: View) -> int:
    """The latest instant at which this node has written something down, in microseconds: that of
    its ledgers' newest entries. What a partner says of its own clock is not among them, nor are
    the times in feeds, which run ahead of the clock where very much is given late."""
    return max((newest_ms(view, log) * 1000 for log in view.logs()), default=0)


def acts_key(agreement: str) -> str:
    """Where the store counts the acts of an agreement: a page is written only if none has come
    since its standing was folded."""
    return f"acts/{agreement}"
