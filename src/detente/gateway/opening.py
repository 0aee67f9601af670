"""Opening: a person reads an item at the own node, after its caveats and on the record.

What goes to other parties goes through the gate; this is a read by the own party, of its own copy.
It is shown what its feed lets it read, and nothing that was taken back. Without the code of the
caveats there is no content, so that nobody has opened what they did not know how to treat; with it
the act is on disk, in the node's private ledger, before the content is answered.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Annotated, Final

import msgspec

from detente.errors import Conflict, Invalid, Missing, NotAuthorised
from detente.gateway.book import Book, collection_key
from detente.gateway.feeds import decode_feed, has_feed
from detente.gateway.gate import Gate
from detente.gateway.texts import marking_texts
from detente.model import Agreement, Handling, canonical, decode, object_key
from detente.model.names import OfficeID, Record, StixID
from detente.ports import Opening, Tx, View
from detente.proof import commit
from detente.rules.caveats import Caveat, caveats_of
from detente.rules.feed import readable
from detente.wire.stix import version_of

__all__ = ["OpenAsk", "Opened", "Openings", "code_of"]

#: What the commitment of an ``open`` entry opens to: who opened what, and why.
OPEN_MEDIA: Final = "application/vnd.detente.open+json"
#: Letters and digits that are not taken for one another when they are read out.
_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_CODE_LETTERS: Final = 8


class OpenAsk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who would open which object and why. ``accept`` is the code of its caveats; ``version`` its
    ``modified`` time, else the newest that may be read; ``agreement`` where several have it."""

    item: StixID
    by: OfficeID
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    accept: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    version: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    agreement: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Opened(Record, frozen=True, kw_only=True):
    """The caveats and their code; with ``opened`` also the content, and the entry that says so.
    ``wrong_code``: a code was given, and it is not that of these caveats."""

    id: str
    version: str
    agreement: str
    collection: str
    originator: str
    kind: str
    caveats: tuple[Caveat, ...]
    code: str
    opened: bool
    wrong_code: bool = False
    entry: int | None = None
    content: str | None = None


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    agreement: Agreement
    collection: str
    seq: int
    raw: bytes
    handling: Handling
    caveats: tuple[Caveat, ...]


class Openings:
    """Opens items for people of the own party."""

    def __init__(self, book: Book, gate: Gate) -> None:
        self._book = book
        self._gate = gate

    async def open(self, ask: OpenAsk) -> Opened:
        """The caveats of an item, and its content if ``ask.accept`` is their code; then the act is
        on disk.

        Refuses an office that the own charter does not have and a reason of blanks; an object that
        no collection here has or that was taken back (``Missing``); one that the own party may not
        read (``Conflict``). A wrong code is answered with the caveats and writes nothing.
        """
        self._check(ask)
        names = (ask.agreement,) if ask.agreement else self._gate.agreements()
        for name in names:
            await self._gate.settled(name)
        if ask.accept is None:
            found = await self._book.store.read(lambda view: self._find(view, ask, names))
            return _answer(ask, found)

        def work(tx: Tx) -> Opened:
            found = self._find(tx, ask, names)
            code = code_of(ask.item, found.caveats)
            if not secrets.compare_digest(code.encode(), _plain(ask.accept or "").encode()):
                return _answer(ask, found)
            return _answer(ask, found, self._record(tx, ask, found, code))

        return await self._book.store.write(work)

    def _check(self, ask: OpenAsk) -> None:
        charter = self._book.charter(self._book.me.party)
        offices = [office.id for office in charter.charter.offices] if charter else []
        if ask.by not in offices or (charter and ask.by == charter.charter.node):
            named = ", ".join(one for one in offices if charter and one != charter.charter.node)
            raise NotAuthorised(
                "open.office", f"Expected an office of the own charter ({named}), got {ask.by}."
            )
        if not ask.reason.strip():
            raise Invalid("open.reason", "Expected a reason for opening it, got blanks.")

    def _find(self, view: View, ask: OpenAsk, names: tuple[str, ...]) -> _Found:
        """The newest version that is asked for and may be read here."""
        kept = False
        for name in names:
            current = self._gate.current(name)
            terms = current.standing.agreement if current else None
            for collection in terms.collections if terms else ():
                assert terms is not None  # else there are none
                for seq in sorted(self._seqs(view, terms.id, collection.name, ask), reverse=True):
                    found = self._entry(view, terms, collection.name, seq)
                    if found is not None:
                        return found
                    kept = True
        if kept:
            raise Conflict(
                "open.kept-back",
                f"Expected an item that {self._book.me.party} may read, got {ask.item}, which is "
                "kept back from it.",
            )
        raise Missing(
            "item.unknown",
            f"Expected an item of this node, got {ask.item}.",
            hint="What was taken back is not opened.",
        )

    def _seqs(self, view: View, agreement: str, name: str, ask: OpenAsk) -> list[int]:
        key = collection_key(agreement, name)
        found = []
        for seq in view.find(key, object_key(ask.item)):
            block = view.block(key, seq)
            if block is None or view.recalled(key, seq, seq + 1):
                continue
            if ask.version is None or version_of(block.raw(seq)) == ask.version:
                found.append(seq)
        return found

    def _entry(self, view: View, terms: Agreement, name: str, seq: int) -> _Found | None:
        """The entry with its caveats; None if the own party's feed does not let it be read."""
        own = self._book.me.party
        key = collection_key(terms.id, name)
        row, block = view.feed(key, own), view.block(key, seq)
        if row is None or block is None or not has_feed(terms, own, name, own):
            return None
        number = block.handlings[seq - block.first]
        if not readable(decode_feed(row.value), number, seq):
            return None
        raw = block.raw(seq)
        handling = decode(view.handlings(key)[number], Handling)
        texts = marking_texts(view, key, handling.markings, raw)
        return _Found(
            agreement=terms,
            collection=name,
            seq=seq,
            raw=raw,
            handling=handling,
            caveats=caveats_of(terms, handling, texts),
        )

    def _record(self, tx: Tx, ask: OpenAsk, found: _Found, code: str) -> int:
        """Write the act. Who, what and why in full lie beside the entry, which commits to them:
        a reason is free text, and a ledger has none."""
        book = self._book
        told = {
            "agreement": found.agreement.id,
            "collection": found.collection,
            "item": ask.item,
            "sha256": hashlib.sha256(found.raw).hexdigest(),
            "by": ask.by,
            "reason": ask.reason,
            "code": code,
        }
        salt, payload = secrets.token_bytes(32), canonical(told)
        commitment = base64.b64encode(commit(salt, OPEN_MEDIA, payload)).decode()
        log = book.me.node_log
        entry = book.entry(
            "open",
            c=commitment,
            ref=ask.by,
            origin=book.me.log_of(found.agreement.id),
            collection=found.collection,
            kind=found.handling.kind,
            party=found.handling.originator,
            first=found.seq,
            count=1,
        )
        index = tx.append_entry(log, entry)
        tx.put_opening(log, index, Opening(salt=salt, media=OPEN_MEDIA, payload=payload))
        return index


def code_of(item: str, caveats: tuple[Caveat, ...]) -> str:
    """The code of these caveats on this object: another text, another code. It is no secret; it
    shows that the caveats were before whoever typed it."""
    told = canonical([item, [[one.kind, one.name, one.words] for one in caveats]])
    number = int.from_bytes(hashlib.sha256(told).digest()[:8])
    return "".join(_LETTERS[number >> (5 * place) & 31] for place in range(_CODE_LETTERS))


def _plain(code: str) -> str:
    """A code as it was made, however it was typed."""
    return code.replace("-", "").replace(" ", "").lower()


def _answer(ask: OpenAsk, found: _Found, entry: int | None = None) -> Opened:
    return Opened(
        id=ask.item,
        version=version_of(found.raw),
        agreement=found.agreement.id,
        collection=found.collection,
        originator=found.handling.originator,
        kind=found.handling.kind,
        caveats=found.caveats,
        code=code_of(ask.item, found.caveats),
        opened=entry is not None,
        wrong_code=ask.accept is not None and entry is None,
        entry=entry,
        content=None if entry is None else found.raw.decode("utf-8", "replace"),
    )
