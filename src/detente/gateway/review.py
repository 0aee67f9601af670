"""Review: single items that wait, released or refused by a person, on the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from detente.errors import Conflict, Invalid, Missing, NotAuthorised
from detente.gateway.bell import Ring
from detente.gateway.book import Book, collection_key
from detente.gateway.derive import check_second_person
from detente.gateway.enter import write_tests
from detente.gateway.feeds import decide_for, decode_feed, encode_feed, feed_parties
from detente.gateway.gate import Current, Gate
from detente.model import Handling, decode, encode, object_key
from detente.model.names import Record
from detente.ports import FeedRow, Tx, View
from detente.rules.answers import Answered, answered
from detente.rules.decision import Decision
from detente.rules.demands import untested
from detente.rules.feed import review, state_of

__all__ = ["REFUSAL_CODES", "Decided", "Review", "Reviewed", "Verdict", "decided_of"]

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


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an office decides for one item towards one party. A refusal has a ``code`` of
    ``REFUSAL_CODES``; a release answers the tests that were not answered before (R44)."""

    item: str
    party: str
    verdict: Literal["refuse", "release"]
    by: str
    code: str = ""
    answers: Mapping[str, Mapping[str, str]] = msgspec.field(default_factory=dict)


class Decided(Record, frozen=True, kw_only=True):
    """What an office last decided of one entry towards one party, when, and where the ledger has
    it."""

    verdict: Literal["refuse", "release"]
    by: str
    code: str = ""
    at_ms: int
    entry: int


def _decided_key(key: str, party: str, seq: int) -> str:
    return f"decided/{key}/{party}/{seq}"


def decided_of(view: View, key: str, party: str, seq: int) -> Decided | None:
    """What an office last decided of an entry towards a party; None if it decided nothing."""
    kept = view.meta(_decided_key(key, party, seq))
    return decode(kept.encode(), Decided) if kept else None


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

    async def decide(self, agreement: str, verdict: Verdict) -> Reviewed:
        """Release or refuse the newest waiting version of an item towards a party.

        A release needs that nothing stands in the way but what a person may pass: what is stopped,
        unassured or unknown stays held (``Conflict`` with the reason). Tests that were not
        answered before it was entered are answered and passed with it; the answers are recorded
        before the release. What was derived from another item is released by another office than
        the one that derived it (``NotAuthorised``).
        """
        await self._gate.settled(agreement)
        current = self._gate.current(agreement)
        if current is None:
            raise Missing("agreement.unknown", f"Expected a known agreement, got {agreement}.")
        if verdict.verdict == "refuse" and verdict.code not in REFUSAL_CODES:
            raise Invalid(
                "review.code",
                f"Expected a code among {', '.join(REFUSAL_CODES)}, got {verdict.code!r}.",
            )
        self._check_office(current, verdict.by)
        terms = current.standing.agreement
        tests = answered(terms, verdict.answers) if terms else ()
        entry = await self._book.store.write(lambda tx: self._work(tx, current, verdict, tests))
        self._released(agreement, None)
        return Reviewed(
            item=verdict.item,
            agreement=agreement,
            party=verdict.party,
            verdict=verdict.verdict,
            by=verdict.by,
            entry=entry,
        )

    def _check_office(self, current: Current, by: str) -> None:
        """Refuse a name that is no office with the power to review: the record would say so for
        good. Who of that office it was, the record does not prove."""
        terms, me = current.standing.agreement, self._book.me.party
        now_ms = self._book.now_ms()
        offices = sorted(terms.offices_of(me, "review", now_ms)) if terms else []
        if by not in offices:
            raise NotAuthorised(
                "review.office",
                f"Expected an office with the power to review ({', '.join(offices) or 'none has'})"
                f", got {by}.",
            )

    def _work(self, tx: Tx, current: Current, verdict: Verdict, tests: tuple[Answered, ...]) -> int:
        book, party = self._book, verdict.party
        found = self._find(tx, current, verdict.item, party)
        row = tx.feed(found.key, party)
        if row is None:
            raise Missing("item.unknown", f"Expected a waiting item, got {verdict.item}.")
        if verdict.verdict == "release":
            decision = decide_for(current, found.handling, own=book.me.party, party=party)
            _check_stopped(verdict.item, decision)
            _check_tests(current, found.handling, tests)
            derived = "derived" in found.handling.flags
            check_second_person(tx, verdict.item, verdict.by, derived=derived)
        state = tx.collection(found.key)
        feed, clock_us = review(
            decode_feed(row.value),
            found.number,
            found.seq,
            verdict.verdict,
            end=state.end,
            base_us=max(book.clock.now_us(), state.last_us + 1),
        )
        tx.put_feed(FeedRow(collection=found.key, party=party, value=encode_feed(feed)))
        tx.move_clock(found.key, clock_us - 1)
        log = book.me.log_of(current.agreement)
        about = {"collection": found.handling.collection, "party": party, "first": found.seq}
        write_tests(tx, book, log, tests, **about, count=1)
        at_ms = book.now_ms()
        index = tx.append_entry(
            log,
            book.entry(
                "review",
                at_ms=at_ms,
                **about,
                kind=found.handling.kind,
                count=1,
                outcome=verdict.code or verdict.verdict,
                ref=verdict.by,
            ),
        )
        decided = Decided(
            verdict=verdict.verdict, by=verdict.by, code=verdict.code, at_ms=at_ms, entry=index
        )
        tx.put_meta(_decided_key(found.key, party, found.seq), encode(decided).decode())
        return index

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


def _check_stopped(item: str, decision: Decision) -> None:
    """Refuse what stands in the way and no person may pass."""
    if decision.outcome not in ("moderate", "release"):
        words = "; ".join(reason.words for reason in decision.reasons if not reason.review)
        raise Conflict("review.stopped", f"Expected that {item} may be released, got: {words}")


def _check_tests(current: Current, handling: Handling, tests: tuple[Answered, ...]) -> None:
    """Refuse to pass a test that was not answered without its answers (R44)."""
    terms = current.standing.agreement
    kind = terms.kind(handling.kind) if terms else None
    passed = {one.test for one in tests if one.passed}
    asked = untested(terms, kind, handling) if terms and kind else ()
    missing = [test for test in asked if test not in passed]
    if missing:
        raise Conflict(
            "review.test",
            f"Expected answers that pass {', '.join(missing)}, got none.",
            hint="Give them with --answer TEST.QUESTION=VALUE.",
        )
