"""Past: where one item stood towards one party at a past instant, from the record alone.

Feeds are kept as they are now. What they were for one item is played again: from the ledger's own
entries, by the rules that moved the feeds (``rules.decision``, ``rules.feed``), over a collection
that has this item only. What this node learnt later, such as a partner's act of an earlier
instant, is left out: it is told what stood here then, the same whenever it is asked. The cost goes
with the entries of the ledger in between, and with the standings that differ.

Known limit: which entries a page passed over for a newer version is not in the ledger. An item
that no page carried counts as passed over from when a newer version of it was given.
"""

from __future__ import annotations

import contextlib
import functools
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from detente.errors import Conflict, Missing
from detente.gateway.ask import item_state
from detente.gateway.book import Book, collection_key
from detente.gateway.deliver import PEER
from detente.gateway.feeds import RESUMED, decide_for, has_feed
from detente.gateway.gate import Current
from detente.gateway.passed import carries
from detente.model import Entry, Handling, Kind, decode
from detente.ports import PageRow, View
from detente.proof import leaf_hash, root_of
from detente.rules.fate import Outcome, narrowed
from detente.rules.feed import (
    Feed,
    Grant,
    Grounds,
    Point,
    change,
    expire,
    open_feed,
    review,
    served,
)
from detente.rules.standing import Act, Standing, fold

__all__ = ["Past", "Place", "entries_until"]

#: Entries read in one go.
ENTRIES_MAX = 4096
#: Versions of one object that are looked at; of one with more it is not said that an older one was
#: passed over.
VERSIONS_MAX = 50
#: Entries that bear on where items stand; those of pages, which are many, with their page.
_ACT = re.compile(rb'"act":"(?:expire|recall|review|standing|(page\.end|receipt))"')
_PAGE = re.compile(rb'"page":(\d+)')


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a collection, and every entry of the same object, by sequence number."""

    collection: str
    seq: int
    number: int
    handling: Handling
    added_us: int
    family: tuple[int, ...]


class Past:
    """An agreement as this node knew it at a past instant."""

    def __init__(self, view: View, book: Book, agreement: str, at_ms: int) -> None:
        self._view, self._book, self.agreement, self.at_ms = view, book, agreement, at_ms
        self._log = book.me.log_of(agreement)
        self._end = entries_until(view, self._log, at_ms)
        # A row for each act, in the order in which both were learnt.
        self._acts = [
            (row, act) for row, act in zip(view.acts(agreement), book.acts(agreement), strict=False)
        ]
        # Assessments stand in the node's own ledger, where places are others.
        self._private = [act for row, act in self._acts if row.log != self._log]
        self.acts = self._known(self._end, at_ms)
        self.standing = self._fold(self._end, at_ms)

    def _known(self, end: int, at_ms: int) -> list[Act]:
        """What was known when the agreement's ledger had so many entries, at that instant. Times
        in the node's own ledger never go back either, so there the time says what was known."""
        return [
            act
            for row, act in self._acts
            if (row.index < end if row.log == self._log else act.at_ms <= at_ms)
        ]

    def _fold(self, end: int, at_ms: int) -> Standing:
        return replace(fold(self._known(end, at_ms), at_ms), own=self._book.me.party)

    def _key(self, entry: Entry) -> tuple[object, ...]:
        """What is the same for standings that decide alike. A digest says nothing of assessments,
        for it is the same on both sides."""
        return entry.standing or "", *fold(self._private, entry.at).assessments

    def current(self, standing: Standing) -> Current:
        """The form in which decisions are asked for; a past standing has no epoch here."""
        return Current(agreement=self.agreement, epoch=0, acts=len(self.acts), standing=standing)

    def state(self, place: Place, party: str) -> str:
        """Where the item stood towards the party; ``no feed`` where it had none then."""
        start = entries_until(self._view, self._log, place.added_us // 1000 - 1)
        told = _Told(self._view, place, party, self._end)
        entries = list(_entries(self._view, self._log, start, self._end, told.rows.keys()))
        if self._recalled(place, entries):
            return "recalled"
        played = _Played(self, place, party, self._book.me.party)
        first_ms = place.added_us // 1000
        played.stand((), first_ms, lambda: self._fold(start, first_ms))
        for index, entry in entries:
            if told.hear(entry):
                played.served(entry.at)
            if entry.act == "standing":
                told.stand(index, functools.partial(self._cut_at, place.handling.collection, party))
                known = functools.partial(self._fold, index, entry.at)
                played.stand(self._key(entry), entry.at, known)
            elif (entry.collection, entry.party) == (place.handling.collection, party):
                played.act(entry)
        if played.feed is None:
            return "no feed"
        state = item_state(played.feed, 0, 0, told.pages())
        return "passed over" if state == "queued" and told.newer_given() else state

    def _cut_at(self, name: str, party: str, row: PageRow) -> int | None:
        """The entry of the standing that broke off a page of which no entry says how it ended: the
        first that covers what was on it, or repeats the one it left under, as a node does that
        starts again; None where an entry does say it."""
        view, log = self._view, self._log
        pieces, _ = msgspec.json.decode(row.pieces, type=tuple[tuple[Grant, ...], object])
        numbers = {number for piece in pieces for number in piece.handlings}
        stored = view.handlings(collection_key(self.agreement, name))
        handlings = [decode(stored[number], Handling) for number in numbers]
        left = decode(view.entry(log, row.index), Entry)
        before = self._said(row.index, left.at, handlings, party)
        first, cut = None, None
        end = view.log_size(log)
        for index, entry in _entries(view, log, row.index + 1, end, {row.index}):
            if entry.act == "page.end" and entry.page == row.index:
                return None
            if entry.act == "standing" and cut is None:
                first = index if first is None else first
                after = self._said(index, entry.at, handlings, party)
                if (
                    entry.standing == left.standing
                    or any(map(narrowed, before, after))
                    or any(outcome not in ("moderate", "release") for outcome, _ in after)
                ):
                    cut = index
                before = after
        return first if cut is None else cut

    def _said(
        self, index: int, at_ms: int, handlings: Sequence[Handling], party: str
    ) -> list[tuple[Outcome, Grounds]]:
        """What was decided of each when the ledger had so many entries."""
        current = self.current(self._fold(index, at_ms))
        own = self._book.me.party
        decisions = [decide_for(current, one, own=own, party=party) for one in handlings]
        return [(one.outcome, one.grounds) for one in decisions]

    def _recalled(self, place: Place, entries: Iterable[tuple[int, Entry]]) -> bool:
        """True if a recall by then was about this entry. Its own entry commits to the root over
        the digests of what was taken back: one version, those of one time, or all there were."""
        key = collection_key(self.agreement, place.handling.collection)
        if not self._view.recalled(key, place.seq, place.seq + 1):
            return False
        versions = [one for seq in place.family if (one := _version(self._view, key, seq))]
        left = list(versions)
        for index, entry in entries:
            if entry.act != "recall" or entry.collection != place.handling.collection:
                continue
            opening = self._view.opening(self._log, index)
            there = [one for one in left if one.added_us // 1000 <= entry.at]
            groups = [there, *([o for o in there if o.mark == mark] for mark in _marks(there))]
            gone = next(
                (group for group in groups if opening and _root(group) == opening.payload), []
            )
            if any(one.seq == place.seq for one in gone):
                return True
            left = [one for one in left if one not in gone]
        return False


class _Version(msgspec.Struct, frozen=True):
    seq: int
    mark: bytes
    digest: bytes
    added_us: int


def _version(view: View, key: str, seq: int) -> _Version | None:
    block = view.block(key, seq)
    if block is None:
        return None
    at = seq - block.first
    return _Version(
        seq=seq,
        mark=block.marks[at * 8 : at * 8 + 8],
        digest=block.digests[at * 32 : at * 32 + 32],
        added_us=block.added_us[at],
    )


def _marks(versions: Sequence[_Version]) -> set[bytes]:
    return {one.mark for one in versions}


def _root(versions: Sequence[_Version]) -> bytes:
    return root_of([leaf_hash(one.digest) for one in versions]) if versions else b""


class _Told:
    """What the pages that carried an item were known to have come to, as entries are heard."""

    def __init__(self, view: View, place: Place, party: str, end: int) -> None:
        self._seq = place.seq
        self.rows: dict[int, PageRow] = {}
        #: Pages that are known by now to have been cut.
        self._cut: set[int] = set()
        self._cut_at: dict[int, int | None] = {}
        self._carried: dict[int, set[int]] = {}
        several = place.family if len(place.family) <= VERSIONS_MAX else (place.seq,)
        for seq in several:
            block = view.block(place.collection, seq)
            number = block.handlings[seq - block.first] if block is not None else -1
            for row in view.pages_of(place.collection, seq):
                if row.index < end and carries(row, party, number, seq):
                    self.rows[row.index] = replace(row, outcome="open", receipt=None)
                    self._carried.setdefault(row.index, set()).add(seq)
                    if row.outcome == "cut":
                        self._cut.add(row.index)

    def hear(self, entry: Entry) -> bool:
        """Take an entry in; True if the item has now been served to a reader without receipts."""
        row = self.rows.get(-1 if entry.page is None else entry.page)
        if row is None:
            return False
        if entry.act == "receipt":
            self.rows[row.index] = replace(row, outcome="received", receipt=entry.doc)
        elif entry.act == "page.end" and row.outcome == "open":
            whole = entry.outcome == "served"
            self.rows[row.index] = replace(row, outcome="served" if whole else "cut")
            mine = self._seq in self._carried[row.index]
            return whole and mine and row.reader != PEER and row.what == "objects"
        return False

    def stand(self, index: int, cut_at: Callable[[PageRow], int | None]) -> None:
        """A new standing breaks off open sends that it covers, and no other entry says so."""
        for page in sorted(self._cut):
            row = self.rows[page]
            if row.outcome != "open" or page > index:
                continue
            if page not in self._cut_at:
                self._cut_at[page] = cut_at(row)
            if self._cut_at[page] == index:
                self.rows[page] = replace(row, outcome="cut")

    def pages(self) -> list[PageRow]:
        """The pages of the item itself, as they stood, in the order of the ledger."""
        return [row for page, row in sorted(self.rows.items()) if self._seq in self._carried[page]]

    def newer_given(self) -> bool:
        """True if a page gave a later entry of the same object."""
        return any(
            row.what == "objects"
            and row.outcome == "served"
            and max(self._carried[page]) > self._seq
            for page, row in self.rows.items()
        )


class _Played:
    """The feed of one party as it would be if the item were alone in its collection."""

    def __init__(self, past: Past, place: Place, party: str, own: str) -> None:
        self._past, self._place, self._party, self._own = past, place, party, own
        self.feed: Feed | None = None
        self._base_us = place.added_us
        #: By ``Past._key``: the outcome (None where the party has no feed), what a person has to
        #: pass, and the kind.
        self._known: dict[tuple[object, ...], tuple[Outcome | None, Grounds, Kind | None]] = {}
        self._kind: Kind | None = None

    def stand(self, key: tuple[object, ...], at_ms: int, standing: Callable[[], Standing]) -> None:
        """A standing took force."""
        if key not in self._known:
            self._known[key] = self._decided(standing())
        outcome, grounds, self._kind = self._known[key]
        if self.feed is None:
            # A party that joins gets the feed of one that was always there.
            self.feed = None if outcome is None else open_feed({0: outcome}, {0: grounds})
            return
        resumed = RESUMED.get(self._kind.held) if self._kind is not None else None
        self.feed, _ = change(
            self.feed,
            {0: outcome or "refuse"},
            end=1,
            base_us=self._next_us(at_ms),
            resumed={0: resumed} if resumed else {},
            grounds={0: grounds},
        )
        self._expire(at_ms)

    def _decided(self, standing: Standing) -> tuple[Outcome | None, Grounds, Kind | None]:
        handling, terms = self._place.handling, standing.agreement
        kind = terms.kind(handling.kind) if terms else None
        if terms is None or not (
            self.feed is not None or has_feed(terms, self._own, handling.collection, self._party)
        ):
            return None, frozenset(), kind
        current = self._past.current(standing)
        decision = decide_for(current, handling, own=self._own, party=self._party)
        return decision.outcome, decision.grounds, kind

    def act(self, entry: Entry) -> None:
        """What was recorded of this party's feed: an expiry of the kind, a review of the item."""
        if self.feed is None:
            return
        if entry.act == "expire" and entry.kind == self._place.handling.kind:
            self._expire(entry.at)
        elif entry.act == "review" and entry.first == self._place.seq:
            verdict: Literal["release", "refuse"] = (
                "release" if entry.outcome == "release" else "refuse"
            )
            with contextlib.suppress(Conflict, Missing):
                self.feed, _ = review(
                    self.feed, 0, 0, verdict, end=1, base_us=self._next_us(entry.at)
                )

    def served(self, at_ms: int) -> None:
        """A reader without receipts has the item: the mark lies behind it."""
        if self.feed is not None:
            self.feed = served(self.feed, Point(self._next_us(at_ms), 1))

    def _expire(self, at_ms: int) -> None:
        span = self._kind.expire_after_ms if self._kind is not None else None
        # The entry has milliseconds, the clock it was written by had microseconds.
        old_us = -1 if span is None else at_ms * 1000 + 999 - span * 1000
        if self.feed is not None and self._place.added_us <= old_us:
            self.feed = expire(self.feed, 0, 1)

    def _next_us(self, at_ms: int) -> int:
        self._base_us = max(self._base_us + 1, at_ms * 1000)
        return self._base_us


# --- the ledger ---------------------------------------------------------------------------------


def entries_until(view: View, log: str, at_ms: int) -> int:
    """How many entries a ledger had when the instant was over; their times never go back."""
    return bisect_right(
        range(view.log_size(log)),
        at_ms,
        key=lambda index: msgspec.json.decode(view.entry(log, index), type=_Time).at,
    )


class _Time(msgspec.Struct, frozen=True):
    at: int


def _entries(
    view: View, log: str, a: int, b: int, pages: Collection[int] = ()
) -> Iterator[tuple[int, Entry]]:
    """The entries ``a <= index < b`` that bear on where items stand, of pages only those of
    ``pages``. The others are passed over unread."""
    for first in range(a, b, ENTRIES_MAX):
        for index, data in enumerate(view.entries(log, first, min(b, first + ENTRIES_MAX)), first):
            found = _ACT.search(data)
            page = _PAGE.search(data) if found is not None and found[1] else None
            if found is not None and (page is None or int(page[1]) in pages):
                yield index, decode(data, Entry)
