"""Reading on a node: signed read-backs are recorded, and asked for before an order lets go."""

from __future__ import annotations

from detente.errors import Missing, NotAuthorised
from detente.gateway.book import Book, newest_ms
from detente.model import Charter, Directive, ReadBack, Signer
from detente.model.names import Record
from detente.ports import DocumentRow, Tx
from detente.proof import Envelope, only_signed_by
from detente.proof import decode as decode_envelope
from detente.rules.document import document_digest, keys_of
from detente.rules.reading import check_read, must_be_read, open_read_back
from detente.rules.standing import Standing
from detente.wire.texts import LANGUAGES, read_back_texts

__all__ = ["ReadBackTaken", "check_read_here", "take_read_back"]

READ_BACK = "read-back"


class ReadBackTaken(Record, frozen=True, kw_only=True):
    """A read-back was recorded. Whether it matches shows when the order is enacted."""

    directive: str
    digest: str
    recorded_ms: int


async def take_read_back(book: Book, data: bytes) -> ReadBackTaken:
    """Record what an officer of this party has read back of an order, matching or not; the same
    once more changes nothing. Raises what ``open_read_back`` raises, and then nothing is kept."""
    envelope = decode_envelope(data)
    charter = _charter(book)
    read, _ = open_read_back(envelope, charter, exercise=book.me.exercise)
    if read.agreement not in book.agreements():
        raise Missing("agreement.unknown", f"Expected a known agreement, got {read.agreement}.")
    kept = only_signed_by(envelope, keys_of(charter).values())
    at_ms = await book.store.write(lambda tx: _write(tx, book, read, kept))
    return ReadBackTaken(
        directive=read.directive, digest=document_digest(envelope), recorded_ms=at_ms
    )


def _charter(book: Book) -> Charter:
    known = book.charter(book.me.party)
    if known is None:
        raise NotAuthorised(
            "authority.charter", f"Expected the charter of {book.me.party}, got none."
        )
    return known.charter


def _write(tx: Tx, book: Book, read: ReadBack, envelope: Envelope) -> int:
    digest = document_digest(envelope)
    log = book.me.log_of(read.agreement)
    at_ms = max(book.now_ms(), newest_ms(tx, log))
    if tx.document(digest) is not None:
        return at_ms
    tx.put_document(
        DocumentRow(
            digest=digest,
            use=READ_BACK,
            agreement=read.agreement,
            name=read.digest,
            envelope=envelope.encode(),
        )
    )
    for one in envelope.signatures:
        by = Signer(keyid=one.keyid or "")
        entry = book.entry(
            "directive.read-back", at_ms=at_ms, doc=digest, ref=read.directive, by=by
        )
        tx.append_entry(log, entry)
    return at_ms


async def check_read_here(
    book: Book, directive: Directive, digest: str, standing: Standing
) -> None:
    """Refuse an order that must be read back first and was not, by what is recorded here. What was
    signed by keys that the charter has dropped since counts for nothing."""
    if not must_be_read(directive, standing):
        return
    rows = await book.store.read(
        lambda view: view.documents(use=READ_BACK, agreement=directive.agreement)
    )
    charter, given = _charter(book), []
    for row in rows:
        if row.name != digest:
            continue
        try:
            envelope = decode_envelope(row.envelope)
            given.append(open_read_back(envelope, charter, exercise=book.me.exercise))
        except NotAuthorised:
            continue
    check_read(directive, given, standing, {one: read_back_texts(one) for one in LANGUAGES})
