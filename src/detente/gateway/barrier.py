"""Barrier: takes the standing as it is by now through the gate, one change at a time.

After an act, at an instant at which the standing changes by itself, at the start, and wherever a
failure broke a change off, the same code runs: ``settle``. Nothing of an agreement leaves between
its ``begin`` and its end; what a crash leaves behind, the next start settles.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from detente.errors import Broken, DetenteError
from detente.gateway.bell import Ring
from detente.gateway.book import Book
from detente.gateway.feeds import Change, change_feeds, covered_by, expire_feeds
from detente.gateway.gate import Current, Cut, Gate
from detente.gateway.outcomes import Outcomes
from detente.gateway.passed import bring_back, judge
from detente.model import Head
from detente.ports import Tx
from detente.proof import parse_checkpoint, parse_note

__all__ = ["Barrier"]

R = TypeVar("R")


class Barrier:
    """Brings feeds and open sends to the present standing. ``unsure`` is set by who writes an act
    for as long as it is not known whether it was written."""

    def __init__(self, book: Book, gate: Gate, outcomes: Outcomes, released: Ring) -> None:
        self._book = book
        self._gate = gate
        self._outcomes = outcomes
        self._released = released
        self.unsure = False
        self._turn = asyncio.Lock()
        self._at_work: set[asyncio.Task[object]] = set()
        self._looked: dict[str, int] = {}

    async def whole(self, work: Callable[[], Awaitable[R]]) -> R:
        """Do one change, alone and to its end: who asked for it and went away breaks nothing off
        between the record and the barrier."""

        async def in_turn() -> R:
            async with self._turn:
                if self.unsure:
                    await self._book.load()
                    self.unsure = False
                return await work()

        task = asyncio.create_task(in_turn())
        self._at_work.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._at_work.discard(task)
        # Who asked may have gone away; then nobody else takes what was raised.
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """Return when nothing is being changed any more."""
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def tick(self, only: str | None = None) -> bool:
        """Do what is due by the clock, in all agreements or ``only`` in one: changes of standing,
        expiry in hold; and what a failure has left undone. True if anything was due.

        What fails in one agreement keeps the clock from no other; an error is raised when all have
        been looked after.
        """
        due, errors = False, []
        known = {*self._gate.agreements(), *self._book.agreements()}
        for agreement in sorted(known if only is None else known & {only}):
            try:
                due = await self.whole(partial(self._tick, agreement)) or due
            except DetenteError as error:
                errors.append(error)
        if errors:
            # What is broken must shut the gate, whatever else went wrong before it.
            raise next((one for one in errors if isinstance(one, Broken)), errors[0])
        return due

    async def _tick(self, agreement: str) -> bool:
        # Nobody else has the turn, so what is closing still, or folded from fewer acts than there
        # are, was broken off by a failure: it is settled now, and not left so.
        current = self._gate.current(agreement)
        if (
            current is None
            or current.acts != len(self._book.acts(agreement))
            or self._gate.overdue(agreement)
            or self._gate.closing(agreement)
        ):
            await self.settle(agreement)
            return True
        expired = await self._expire(agreement)
        return await self._bring_back(agreement) or expired

    async def _bring_back(self, agreement: str) -> bool:
        """Offer late what was passed over for a newer version that does not come (``passed``)."""
        book = self._book
        after = self._looked.get(agreement, 0)
        found = await book.store.read(lambda view: judge(view, agreement, after))
        self._looked[agreement] = found.after
        if not (found.done or found.again):
            return False

        def work(tx: Tx) -> bool:
            self._outcomes.apply(tx)
            now = judge(tx, agreement, after)
            bring_back(tx, now, book.clock.now_us())
            return bool(now.again)

        if not await book.store.write(work):
            return False
        self._released(agreement, None)
        return True

    async def start(self) -> None:
        """Bring every agreement to its present standing; nothing is served before this.

        Pages whose outcome a crash left open count as cut: their items are offered again unless
        a receipt says that they came.
        """
        async with self._turn:
            await self._book.store.write(_close_open_pages)
            for agreement in self._book.agreements():
                await self.settle(agreement)

    async def settle(self, agreement: str) -> tuple[Cut, ...]:
        """Take the present standing through the barrier (design of the gate, steps 1 to 3).

        Nothing that can fail stands before ``begin``: an act that is recorded stops at once what
        it stops, and if the rest fails the agreement stays closed until it has been settled.
        """
        book, gate = self._book, self._gate
        standing = book.standing(agreement, book.now_ms())
        key = f"epoch/{agreement}"
        known = gate.current(agreement)
        # A node that has just started clears nothing yet.
        before = known.epoch if known else await book.store.read(lambda v: int(v.meta(key) or 0))
        current = Current(
            agreement=agreement,
            epoch=before + 1,
            acts=len(book.acts(agreement)),
            standing=standing,
        )
        gate.begin(current)
        # Only now, when nothing more is cleared, is it read what each feed had released: a
        # handling first seen a moment ago cannot be missed.
        try:
            covered = await book.store.read(lambda view: covered_by(view, current, book.me.party))
        except DetenteError:
            # What it covers is not known, so nothing of the agreement goes on.
            await gate.cut(agreement, lambda _: True)
            raise
        cuts = await gate.cut(
            agreement,
            lambda s: bool(s.handlings & covered.get((s.collection, s.party), frozenset())),
            clock=True,
        )
        change = Change(current=current, party=book.me.party, now_us=book.clock.now_us())

        def work(tx: Tx) -> None:
            # What was served to its end before the cut must count before the mark is used.
            self._outcomes.apply(tx)
            for cut in cuts:
                tx.end_page(cut.log, cut.index, "cut")
            for entry in change_feeds(tx, change, book):
                tx.append_entry(book.me.log_of(agreement), entry)
            tx.put_meta(key, str(current.epoch))
            tx.append_entry(
                book.me.log_of(agreement),
                book.entry("standing", epoch=current.epoch, standing=standing.digest),
            )
            _anchor(tx, book, agreement)

        await book.store.write(work)
        gate.settle(agreement)
        self._released(agreement, None)
        return cuts

    async def _expire(self, agreement: str) -> bool:
        current = self._gate.current(agreement)
        if current is None:
            return False
        change = Change(
            current=current, party=self._book.me.party, now_us=self._book.clock.now_us()
        )
        log = self._book.me.log_of(agreement)
        if not await self._book.store.read(
            lambda view: bool(expire_feeds(view, change, self._book))
        ):
            return False

        def work(tx: Tx) -> bool:
            expired = expire_feeds(tx, change, self._book)
            for row, entries in expired:
                tx.put_feed(row)
                for entry in entries:
                    tx.append_entry(log, entry)
            return bool(expired)

        return await self._book.store.write(work)


def _anchor(tx: Tx, book: Book, agreement: str) -> None:
    """Tie the agreement's ledger to the node's own: its head as of the last commit."""
    note = tx.checkpoint(book.me.log_of(agreement))
    if note is not None:
        head = parse_checkpoint(parse_note(note).text)
        root = base64.b64encode(head.root).decode()
        saw = Head(origin=head.origin, size=head.size, root=root)
        tx.append_entry(book.me.node_log, book.entry("anchor", saw=saw))


def _close_open_pages(tx: Tx) -> None:
    for page in tx.pages_open():
        tx.end_page(page.log, page.index, "cut")
