"""Outcomes: how sends ended, written together with whatever is written next.

A page's intent is on disk before its first byte leaves; its outcome may follow a moment later,
with the next write or after ``FLUSH_S``, so that reading does not cost two commits a page. Until
then, and after a crash in between, the page counts as not served: its items are offered again
rather than lost. Before feeds are moved or asked about, what waits here is written.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from detente.gateway.book import Book
from detente.gateway.feeds import decode_feed, encode_feed
from detente.model import Handling, decode
from detente.ports import FeedRow, PageRow, Tx, View
from detente.rules.feed import Feed, Point, served

__all__ = ["Outcomes", "PageEnd", "numbers_of"]

FLUSH_S = 0.02


class PageEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a page's send ended. ``until`` moves the feed's mark (for items of ``types`` only, if
    any are named); None leaves it. ``passed`` are entries that it left out for later ones."""

    page: PageRow
    complete: bool
    until: Point | None
    types: tuple[str, ...]
    passed: tuple[int, ...] = ()


def numbers_of(view: View, key: str, types: tuple[str, ...]) -> frozenset[int] | None:
    """The handlings of these STIX types in a collection; None means all."""
    if not types:
        return None
    return frozenset(
        number
        for number, data in view.handlings(key).items()
        if decode(data, Handling).stix_type in types
    )


class Outcomes:
    """Outcomes that wait to be written; the event loop adds, the store's writer takes."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._waiting: deque[PageEnd] = deque()
        self._flushing: asyncio.Task[None] | None = None

    def add(self, end: PageEnd) -> None:
        """Take an outcome; it is written soon."""
        self._waiting.append(end)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._later())

    async def _later(self) -> None:
        # What is added while a write is on its way to the disk waits for the next one.
        while self._waiting:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits now; returns when it is on disk."""
        if self._waiting:
            await self._book.store.write(self.apply)

    def apply(self, tx: Tx, at_ms: int | None = None) -> None:
        """Write what waits, as part of a transaction, as of now or of that transaction's instant.
        If that transaction fails, the outcomes are lost and the pages count as not served, which
        errs to the safe side."""
        feeds: dict[tuple[str, str], tuple[Feed, Feed]] = {}
        while self._waiting:
            end = self._waiting.popleft()
            page = end.page
            known = tx.page(page.log, page.index)
            if known is None or known.outcome != "open":
                continue
            outcome = "served" if end.complete else "cut"
            tx.end_page(page.log, page.index, outcome)
            entry = self._book.entry("page.end", at_ms=at_ms, page=page.index, outcome=outcome)
            tx.append_entry(page.log, entry)
            place = (page.collection, page.party)
            if not end.complete or end.until is None:
                continue
            if place not in feeds:
                row = tx.feed(*place)
                if row is None:
                    continue
                feed = decode_feed(row.value)
                feeds[place] = (feed, feed)
            before, feed = feeds[place]
            tx.put_passed(page.collection, page.party, end.passed)
            only = numbers_of(tx, page.collection, end.types)
            feeds[place] = (before, served(feed, end.until, only))
        for (key, party), (before, feed) in feeds.items():
            if feed is not before:
                tx.put_feed(FeedRow(collection=key, party=party, value=encode_feed(feed)))
