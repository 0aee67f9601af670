"""Gather: the entries of one page out of a feed, joined as they lie.

What lies together in the store is joined, never parsed and dumped again. Assembled bytes may be
kept (many parties read the same stretch); decisions never are.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import msgspec

from detente.errors import Missing
from detente.gateway.book import collection_key
from detente.gateway.feeds import decode_feed
from detente.gateway.outcomes import numbers_of
from detente.gateway.passed import superseded
from detente.gateway.recall import recalls_of
from detente.gateway.versions import VersionPicker, Versions
from detente.model import Handling, decode, object_key
from detente.ports import Block, View
from detente.proof import leaf_hash, root_of
from detente.rules.feed import Grant, Point, point_of, segments, served, time_of

__all__ = ["Gathered", "Kept", "PageAsk", "What", "gather", "no_feed"]

#: What leaves of the entries: the objects, or only what a manifest or a list of versions tells.
What = Literal["objects", "manifest", "versions"]


class PageAsk(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for what: ``reader`` is the credential or ``peer``; ``after_us`` is exclusive.

    ``versions``: None for every version. ``until_received``: the reader answers with receipts, so
    the mark waits for them.
    """

    agreement: str
    collection: str
    party: str
    reader: str
    after_us: int
    limit: int
    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    versions: Versions | None = None
    what: What = "objects"
    until_received: bool = False

    @property
    def moves_mark(self) -> bool:
        """True if a reader of such pages, who only ever goes on, misses nothing that it should
        have: then a page served moves the mark."""
        passes = self.versions is None or self.versions.passes
        return self.what == "objects" and not self.ids and passes


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of a page. ``pieces`` are slices of grants; ``runs`` say which handling how
    many objects in a row have; times are feed times. ``first_size`` is the length of the first
    object in ``body``. ``passed`` are entries left out for a newer version behind the page's end,
    of each object the newest. ``recalls`` is how many recalls the collection had seen. ``rows``
    (bytes and feed time of each) are there only where the page is not of objects; then ``body`` is
    empty."""

    body: bytes
    count: int
    root: bytes
    pieces: tuple[Grant, ...]
    runs: tuple[tuple[int, int], ...]
    first_us: int
    until: Point
    more: bool
    first_size: int
    recalls: int = 0
    passed: tuple[int, ...] = ()
    rows: tuple[tuple[bytes, int], ...] = ()


def no_feed(ask: PageAsk) -> Missing:
    """What a party is told of a feed that it does not have."""
    return Missing(
        "collection.unknown", f"Expected a collection of the agreement, got {ask.collection}."
    )


def gather(view: View, ask: PageAsk, kept: Kept) -> tuple[Gathered | None, dict[int, Handling]]:
    """The next page of a feed with its handlings; None if there is nothing to give."""
    key = collection_key(ask.agreement, ask.collection)
    row = view.feed(key, ask.party)
    if row is None:
        raise no_feed(ask)
    after = Point(ask.after_us, view.seq_after(key, ask.after_us))
    feed = decode_feed(row.value)
    picker = None if ask.versions is None else VersionPicker(view, key, feed, ask.versions)
    wanted = (
        sorted(seq for one in ask.ids for seq in view.find(key, object_key(one)))
        if ask.ids
        else None
    )
    work = _Gather(view, ask, kept, picker, wanted)
    only = numbers_of(view, key, ask.types)
    for grant in segments(feed, after, only):
        if not work.take(grant):
            break
    gathered = work.finish()
    if gathered is not None and picker is not None and work.passed and ask.moves_mark:
        behind = served(feed, gathered.until, only)
        passed = superseded(view, picker, behind, work.passed)
        gathered = msgspec.structs.replace(gathered, passed=passed)
    numbers = {number for number, _ in gathered.runs} if gathered else set()
    handlings = view.handlings(key) if numbers else {}
    return gathered, {number: decode(handlings[number], Handling) for number in numbers}


class _Stretch(msgspec.Struct, frozen=True):
    """Entries of one collection that follow each other in a grant: bytes, digests, runs."""

    body: bytes
    leaves: bytes
    runs: tuple[tuple[int, int], ...]
    count: int
    a: int
    b: int
    first_added_us: int
    last_added_us: int
    first_size: int
    rows: tuple[tuple[bytes, int], ...] = ()


_WholeKey = tuple[str, int, int, frozenset[int]]


class Kept:
    """Whole stretches by what determines them wholly; entries never change, so neither do these.
    The ones used longest ago go. For any thread: the store's readers gather side by side."""

    def __init__(self, bytes_max: int) -> None:
        self._lock = threading.Lock()
        self._single_max = bytes_max // 4
        self._room = bytes_max
        self._stretches: OrderedDict[_WholeKey, tuple[_Stretch, bytes]] = OrderedDict()

    def get(self, key: _WholeKey) -> tuple[_Stretch, bytes] | None:
        """The stretch and its root, if it is kept."""
        with self._lock:
            found = self._stretches.get(key)
            if found is not None:
                self._stretches.move_to_end(key)
            return found

    def put(self, key: _WholeKey, stretch: _Stretch, root: bytes) -> None:
        """Keep a stretch, unless it is large."""
        with self._lock:
            if key in self._stretches or len(stretch.body) > self._single_max:
                return
            self._room -= len(stretch.body)
            self._stretches[key] = (stretch, root)
            while self._room < 0:
                _, (old, _) = self._stretches.popitem(last=False)
                self._room += len(old.body)


class _Gather:
    """Takes entries out of slices of grants until a page is full; one entry more shows that
    there is more."""

    def __init__(
        self,
        view: View,
        ask: PageAsk,
        kept: Kept,
        picker: VersionPicker | None,
        wanted: list[int] | None,
    ) -> None:
        self._view = view
        self._key = collection_key(ask.agreement, ask.collection)
        self._limit = ask.limit
        self._rows = ask.what != "objects"
        self._kept = kept
        self._picker = picker
        self._wanted = wanted
        #: Entries are looked at one by one, and each is a piece of its own.
        self._single = wanted is not None or (picker is not None and picker.one_by_one)
        self._bulk = not self._single and not self._rows
        self._end = view.collection(self._key).end
        self._recalls = recalls_of(view, self._key)
        self._stretches: list[_Stretch] = []
        self._pieces: list[Grant] = []
        self._count = 0
        self._more = False
        self._first_us = 0
        self._until = Point(-1, 0)
        self._whole: _WholeKey | None = None
        self._root: bytes | None = None
        self._skipped = False
        self._left_out: tuple[tuple[int, int], Sequence[int]] = ((-1, -1), ())
        #: Entries that were left out before the end of the page.
        self.passed: list[int] = []

    def take(self, grant: Grant) -> bool:
        """Take from one slice; False when the page is full and more is known to follow."""
        a, b = grant.a, min(grant.b, self._end)
        if self._count < self._limit:
            whole = (self._key, a, self._limit, grant.handlings)
            kept = self._kept.get(whole) if self._bulk and not self._stretches else None
            if kept is not None and kept[0].b <= b and self._all_fit(a, kept[0].b):
                stretch, self._root = kept
                self._add(grant, [stretch])
                a = stretch.b
            else:
                first = not self._stretches
                a = self._walk(grant, a, b)
                if first and self._bulk and self._count == self._limit:
                    self._whole = whole
        if self._count == self._limit:
            before = len(self.passed)
            self._more = self._next(grant.handlings, a, b) is not None
            del self.passed[before:]  # the page does not reach so far
            return not self._more
        return True

    def _all_fit(self, a: int, b: int) -> bool:
        """True if every entry of the range is for everybody: none has other versions, so that
        nobody's choice matters, and none was taken back."""
        if self._recalls and self._view.recalled(self._key, a, b):
            return False
        return self._picker is None or not self._view.twins(self._key, a, b)

    def _walk(self, grant: Grant, a: int, b: int) -> int:
        found: list[_Stretch] = []
        room = self._limit - self._count
        while room:
            seq = self._next(grant.handlings, a, b)
            block = None if seq is None else self._view.block(self._key, seq)
            if seq is None or block is None:
                break
            if found and (self._single or self._skipped):
                self._add(grant, found)
                found = []
            stop = seq + 1 if self._single else min(b, block.first + block.count)
            out = self._out(block, seq, stop)
            stop = out[0] if out else stop
            stretch = _cut(block, (seq, stop), grant, room, rows=self._rows)
            found.append(stretch)
            room -= stretch.count
            a = stretch.b
        self._add(grant, found)
        return a

    def _out(self, block: Block, a: int, b: int) -> Sequence[int]:
        """The entries of a range within a block that are not asked for, or were taken back."""
        if self._single or (self._picker is None and not self._recalls):
            return ()
        first, last = block.first, block.first + block.count
        if self._left_out[0] != (first, last):
            left = self._picker.out(block, first, last) if self._picker else ()
            if self._recalls and (gone := self._view.recalled(self._key, first, last)):
                left = sorted({*left, *gone})
            self._left_out = (first, last), left
        found = self._left_out[1]
        return found[bisect_left(found, a) : bisect_left(found, b)]

    def _next(self, handlings: frozenset[int], a: int, b: int) -> int | None:
        """The first entry in ``[a, b)`` with one of these handlings that is asked for; notes
        whether one that is not was passed over."""
        self._skipped = False
        if self._wanted is not None:
            between = range(bisect_left(self._wanted, a), bisect_left(self._wanted, b))
            seqs = (self._wanted[at] for at in between)
            return next((seq for seq in seqs if self._fits(handlings, seq)), None)
        while a < b:
            seq = self._first(handlings, a, b)
            block = None if seq is None else self._view.block(self._key, seq)
            if seq is None or block is None:
                return None
            if self._wants(handlings, block, seq):
                return seq
            self._skipped = True
            a = self._past(block, seq)
        return None

    def _wants(self, handlings: frozenset[int], block: Block, seq: int) -> bool:
        """True if this entry is asked for and has not been taken back."""
        if not self._single:
            return not self._out(block, seq, seq + 1)
        return (self._picker is None or self._picker.may_hold(block)) and self._fits(handlings, seq)

    def _past(self, block: Block, seq: int) -> int:
        """Where to look on behind an entry that is not asked for: behind all that follow it in its
        block and are not asked for either, for an object may have very many versions."""
        end = block.first + block.count
        if self._single:
            return seq + 1 if self._picker is None or self._picker.may_hold(block) else end
        for other in self._out(block, seq, end):
            if other != seq:
                break
            self.passed.append(seq)
            seq += 1
        return seq

    def _fits(self, handlings: frozenset[int], seq: int) -> bool:
        block = self._view.block(self._key, seq)
        return (
            block is not None
            and block.handlings[seq - block.first] in handlings
            and not (self._recalls and self._view.recalled(self._key, seq, seq + 1))
            and (self._picker is None or self._picker.fits(block, seq))
        )

    def _first(self, handlings: frozenset[int], a: int, b: int) -> int | None:
        """The first entry in ``[a, b)`` with one of these handlings."""
        block = self._view.block(self._key, a)
        if block is not None and block.handlings[a - block.first] in handlings:
            return a
        starts = [self._view.first_of(self._key, handling, a) for handling in handlings]
        first = min((seq for seq in starts if seq is not None), default=None)
        return first if first is not None and first < b else None

    def _add(self, grant: Grant, found: list[_Stretch]) -> None:
        """Take stretches that follow each other in one slice. They are one piece of the page:
        what lies between them has other handlings. What was left out lies between pieces, as
        does what was kept back between two slices."""
        for number, stretch in enumerate(found):
            piece = msgspec.structs.replace(grant, a=stretch.a, b=stretch.b)
            if number:
                piece = msgspec.structs.replace(piece, a=self._pieces.pop().a)
            self._pieces.append(piece)
            if not self._stretches:
                self._first_us = time_of(grant, stretch.a, stretch.first_added_us)
            self._stretches.append(stretch)
            self._count += stretch.count
            self._until = point_of(grant, stretch.b - 1, stretch.last_added_us)

    def finish(self) -> Gathered | None:
        """The page, or None if there was nothing."""
        if not self._count:
            return None
        stretches = self._stretches
        body = stretches[0].body if len(stretches) == 1 else b",".join(s.body for s in stretches)
        root = self._root if self._root and len(stretches) == 1 else None
        if root is None:
            leaves = b"".join(s.leaves for s in stretches)
            root = root_of([leaf_hash(leaves[i : i + 32]) for i in range(0, len(leaves), 32)])
        runs = _runs([run for s in stretches for run in s.runs])
        if self._whole is not None and len(self._pieces) == 1:
            self._keep(self._whole, body, root, runs)
        return Gathered(
            body=b"" if self._rows else body,
            count=self._count,
            root=root,
            pieces=tuple(self._pieces),
            runs=runs,
            first_us=self._first_us,
            until=self._until,
            more=self._more,
            first_size=stretches[0].first_size,
            recalls=self._recalls,
            rows=tuple(row for s in stretches for row in s.rows),
        )

    def _keep(
        self, whole: _WholeKey, body: bytes, root: bytes, runs: tuple[tuple[int, int], ...]
    ) -> None:
        """Keep a full page for other readers; not where a version was left out of it."""
        first, last = self._stretches[0], self._stretches[-1]
        if not self._all_fit(whole[1], last.b):
            return
        one = _Stretch(
            body,
            b"",
            runs,
            self._count,
            first.a,
            last.b,
            first.first_added_us,
            last.last_added_us,
            first.first_size,
        )
        self._kept.put(whole, one, root)


def _cut(
    block: Block, between: tuple[int, int], grant: Grant, room: int, *, rows: bool
) -> _Stretch:
    """Entries of a block between two sequence numbers with the handlings of a grant, at most
    ``room``; with ``rows`` also one by one with their times."""
    (a, b), handlings = between, grant.handlings
    first, numbers, ends = block.first, block.handlings, block.ends
    i, j = a - first, b - first
    part = numbers[i : min(j, i + room)]
    plain = handlings.issuperset(part)
    picked = (
        range(i, i + len(part))
        if plain
        else [k for k in range(i, j) if numbers[k] in handlings][:room]
    )
    if plain:
        j = i + len(part)
        body = block.body[ends[i - 1] + 1 if i else 0 : ends[j - 1]]
        leaves = block.digests[i * 32 : j * 32]
    else:
        body = b",".join(block.raw(first + k) for k in picked)
        leaves = b"".join(block.digests[k * 32 : k * 32 + 32] for k in picked)
    low, high = picked[0], picked[-1]
    return _Stretch(
        body,
        leaves,
        _runs([(numbers[k], 1) for k in picked]),
        len(picked),
        first + low,
        first + high + 1,
        block.added_us[low],
        block.added_us[high],
        ends[low] - (ends[low - 1] + 1 if low else 0),
        tuple((block.raw(first + k), time_of(grant, first + k, block.added_us[k])) for k in picked)
        if rows
        else (),
    )


def _runs(pairs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for number, count in pairs:
        if found and found[-1][0] == number:
            found[-1] = (number, found[-1][1] + count)
        else:
            found.append((number, count))
    return tuple(found)
