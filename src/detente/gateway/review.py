"""Review: single items that wait, released or refused by a person, on the record."""

from __future__ import annotations

import msgspec

from detente.errors import Conflict, Invalid, Missing, NotAuthorised
from detente.gateway.bell import Ring
from detente.gateway.book import Book, collection_key
from detente.gateway.derive import check_second_person
from detente.gateway.feeds import decide_for, decode_feed, encode_feed, feed_parties
from detente.gateway.gate import Current, Gate
from detente.model import Handling, decode, object_key
from detente.model.names import Record
from detente.ports import FeedRow, Tx
from detente.rules.feed import review, state_of

__all__ = ["REFUSAL_CODES", "Review", "Reviewed"]

#: Reasons for a refusal that a partner can be told (``domain.md`` 8.1).
REFUSAL_CODES = (
    "court-order",
    "disproportionate",
    "law-of-sender",
    "not-held",
    "ongoing-case",
    "originator-refuses",
    "other",
    "outside-agreement",
    "purpose-excluded",
    "risk-to-person",
    "risk-to-source",
    "wrong-or-stale",
)


class Reviewed(Record, frozen=True, kw_only=True):
    """What was decided, for which item, by which office, and its place in the ledger."""

    item: str
    agreement: str
    party: str
    verdict: str
    by: str
    entry: int


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    seq: int
    number: int
    handling: Handling


class Review:
    """Decides single waiting items. It can never release what an order stops."""

    def __init__(self, book: Book, gate: Gate, released: Ring) -> None:
        self._book = book
        self._gate = gate
        self._released = released

    async def decide(
        self, agreement: str, item: str, party: str, verdict: str, *, by: str, code: str = ""
    ) -> Reviewed:
        """Release or refuse the newest waiting version of an item towards a party.

        A release needs that the item may be released now: what is stopped, unassured or unknown
        stays held (``Conflict`` with the reason), and what was derived from another item is
        released by another office than the one that derived it (``NotAuthorised``). A refusal
        needs a code of ``REFUSAL_CODES``.
        """
        await self._gate.settled(agreement)
        current = self._gate.current(agreement)
        if current is None:
            raise Missing("agreement.unknown", f"Expected a known agreement, got {agreement}.")
        if verdict == "refuse" and code not in REFUSAL_CODES:
            raise Invalid(
                "review.code", f"Expected a code among {', '.join(REFUSAL_CODES)}, got {code!r}."
            )
        self._check_office(current, by)
        entry = await self._book.store.write(
            lambda tx: self._work(tx, current, item, party, verdict, by, code)
        )
        self._released(agreement, None)
        return Reviewed(
            item=item, agreement=agreement, party=party, verdict=verdict, by=by, entry=entry
        )

    def _check_office(self, current: Current, by: str) -> None:
        """Refuse a name that is no office with the power to review: the record would say so for
        good. Who of that office it was, the record does not prove."""
        terms, me = current.standing.agreement, self._book.me.party
        powers = terms.powers_of(me, "review") if terms else ()
        offices = sorted({office for power in powers for office in power.offices})
        if by not in offices:
            raise NotAuthorised(
                "review.office",
                f"Expected an office with the power to review ({', '.join(offices) or 'none has'})"
                f", got {by}.",
            )

    def _work(  # noqa: PLR0913  # one transaction over one decision; a record would only rename it
        self, tx: Tx, current: Current, item: str, party: str, verdict: str, by: str, code: str
    ) -> int:
        book = self._book
        found = self._find(tx, current, item, party)
        row = tx.feed(found.key, party)
        if row is None:
            raise Missing("item.unknown", f"Expected a waiting item, got {item}.")
        decision = decide_for(current, found.handling, own=book.me.party, party=party)
        if verdict == "release":
            check_second_person(tx, item, by)
        if verdict == "release" and decision.outcome not in ("moderate", "release"):
            words = "; ".join(reason.words for reason in decision.reasons)
            raise Conflict("review.stopped", f"Expected that {item} may be released, got: {words}")
        state = tx.collection(found.key)
        feed, clock_us = review(
            decode_feed(row.value),
            found.number,
            found.seq,
            "release" if verdict == "release" else "refuse",
            end=state.end,
            base_us=max(book.clock.now_us(), state.last_us + 1),
        )
        tx.put_feed(FeedRow(collection=found.key, party=party, value=encode_feed(feed)))
        tx.move_clock(found.key, clock_us - 1)
        return tx.append_entry(
            book.me.log_of(current.agreement),
            book.entry(
                "review",
                collection=found.handling.collection,
                party=party,
                kind=found.handling.kind,
                first=found.seq,
                count=1,
                outcome=code or verdict,
                ref=by,
            ),
        )

    def _find(self, tx: Tx, current: Current, item: str, party: str) -> _Found:
        terms = current.standing.agreement
        for name, reader in feed_parties(terms, self._book.me.party) if terms else ():
            key = collection_key(current.agreement, name)
            row = tx.feed(key, party) if reader == party else None
            for seq in sorted(tx.find(key, object_key(item)), reverse=True) if row else ():
                block = tx.block(key, seq)
                if block is None or row is None or tx.recalled(key, seq, seq + 1):
                    continue
                number = block.handlings[seq - block.first]
                if state_of(decode_feed(row.value), number, seq) in ("held", "under review"):
                    handling = decode(tx.handlings(key)[number], Handling)
                    return _Found(key=key, seq=seq, number=number, handling=handling)
        raise Missing("item.not-waiting", f"Expected an item waiting for {party}, got {item}.")
