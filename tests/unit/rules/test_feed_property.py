"""Feeds against a model with a row per item, over random histories.

After every step: a full read, what each walking reader got, every item's state, the counts, and
the feed's own invariants. Readers of one machine share no handling, but for the last machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Literal, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from detente.errors import Conflict, Missing
from detente.rules.fate import Outcome, narrowed
from detente.rules.feed import (
    OPEN,
    START,
    Feed,
    Grant,
    Grounds,
    Point,
    Resumed,
    change,
    expire,
    first_seen,
    grant_of,
    offer_again,
    open_feed,
    point_of,
    ranges,
    readable_ranges,
    received,
    review,
    segments,
    served,
    state_of,
    time_of,
)
from tests.world.naive_feed import NaiveFeed, Row, Shelf, split
from tests.world.sound_feed import check_feed

HANDLINGS = range(3)
handlings = st.sampled_from(HANDLINGS)
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(
    ("release", "release", "hold", "hold", "moderate", "refuse")
)
#: Outcomes with what they ask a person for, as the model has them.
words = st.sampled_from(
    (
        "release", "release", "hold", "hold", "refuse",
        "moderate", "moderate a", "moderate b", "moderate a b",
    )
)  # fmt: skip
fates = st.sampled_from(("returned", "under review"))
gaps = st.integers(0, 4)

Only = frozenset[int] | None
Verdict = Literal["release", "refuse"]


@dataclass
class Page:
    """A page as recorded: its slices, where it ended, and its rows as they were."""

    slices: list[Grant] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    until: Point = START
    rows: list[Row] = field(default_factory=list)


@dataclass
class Reader:
    """A client that only ever moves its cursor forward."""

    only: Only
    cursor_us: int = -1
    tick: int = -1
    got: list[int] = field(default_factory=list)
    in_flight: Page | None = None
    to_receipt: Page | None = None


def take(feed: Feed, shelf: Shelf, after_us: int, limit: int, only: Only) -> Page:
    """A page, as a gateway takes it: walk the slices, pass over other handlings."""
    page = Page()
    for piece in segments(feed, Point(after_us, shelf.seq_after(after_us)), only):
        page.slices.append(piece)
        for seq in range(piece.a, min(piece.b, shelf.end)):
            if shelf.handlings[seq] not in piece.handlings:
                continue
            page.seqs.append(seq)
            page.times.append(time_of(piece, seq, shelf.added_us[seq]))
            page.until = point_of(piece, seq, shelf.added_us[seq])
            if len(page.seqs) == limit:
                return page
    return page


def said(words: Mapping[int, str]) -> tuple[dict[int, Outcome], dict[int, Grounds]]:
    """Outcomes and grounds, as a feed wants them, of words as the model has them."""
    found = {handling: split(word) for handling, word in words.items()}
    return {h: cast(Outcome, one) for h, (one, _) in found.items()}, {
        h: grounds for h, (_, grounds) in found.items()
    }


class FeedMachine(RuleBasedStateMachine):
    """A party with the readers of ``filters``; ``disjoint`` if none shares a handling."""

    filters: Sequence[Only] = (None,)
    disjoint = True

    @initialize(
        history=st.lists(handlings, max_size=6),
        first=st.fixed_dictionaries(dict.fromkeys(HANDLINGS, words)),
        all_known=st.booleans(),
    )
    def join(self, history: list[int], first: dict[int, str], all_known: bool) -> None:
        self.now_us = 0
        self.shelf = Shelf()
        for handling in history:
            self.shelf.append(handling, self.now_us)
        known = first if all_known else {h: first[h] for h in set(history)}
        self.feed = open_feed(*said(known))
        self.naive = NaiveFeed(known, history)
        self.readers = [Reader(only) for only in self.filters]

    # --- the authority's side ---

    @rule(published=st.lists(handlings, min_size=1, max_size=4), outcome=words, gap=gaps)
    def publish(self, published: list[int], outcome: str, gap: int) -> None:
        self.now_us += gap
        for handling in published:
            if handling not in self.naive.outcomes:
                new, grounds = said({handling: outcome})
                self.feed = first_seen(self.feed, new, self.shelf.end, grounds)
                self.naive.outcomes[handling] = outcome
            self.shelf.append(handling, self.now_us)
            self.naive.publish(handling)

    @rule(
        picks=st.dictionaries(handlings, words, max_size=3),
        resumed=st.dictionaries(handlings, fates, max_size=2),
        arrived=st.booleans(),
        gap=gaps,
    )
    def narrow_or_widen(
        self, picks: dict[int, str], resumed: dict[int, Resumed], arrived: bool, gap: int
    ) -> None:
        new = {h: picks.get(h, outcome) for h, outcome in self.naive.outcomes.items()}
        self._change(new, resumed, arrived, gap)

    @rule(
        outcome=st.sampled_from(("hold", "release")),
        resumed=st.dictionaries(handlings, fates, max_size=1),
        arrived=st.booleans(),
        gap=gaps,
    )
    def stop_or_resume_all(
        self, outcome: str, resumed: dict[int, Resumed], arrived: bool, gap: int
    ) -> None:
        self._change(dict.fromkeys(self.naive.outcomes, outcome), resumed, arrived, gap)

    @rule(handling=handlings, arrived=st.booleans())
    def stop_or_resume_one(self, handling: int, arrived: bool) -> None:
        new = dict(self.naive.outcomes)
        if handling in new:
            new[handling] = "hold" if new[handling] == "release" else "release"
            self._change(new, {}, arrived, 0)

    def _change(
        self, new: dict[int, str], resumed: dict[int, Resumed], arrived: bool, gap: int
    ) -> None:
        for reader in self.readers:
            page = reader.in_flight
            if page and not all(self.naive.may_read(row, new) for row in page.rows):
                # The gate cuts what carries covered bytes; it may have arrived all the same.
                self._break_off(reader, arrived)
        self.now_us += gap
        before = self.feed
        base_us = max(self.now_us, self.shelf.next_us)
        outcomes, grounds = said(new)
        for handling, outcome in before.outcomes:
            was = outcome, dict(before.grounds).get(handling, frozenset[str]())
            if not narrowed(was, (outcomes[handling], grounds[handling])):
                # What is not broken off may still be read.
                assert all(
                    self.naive.may_read(row, new)
                    for row in self.naive.rows
                    if row.handling == handling
                    and row.state == "granted"
                    and self.naive.may_read(row, self.naive.outcomes)
                )
        self.feed, clock_us = change(
            before, outcomes, end=self.shelf.end, base_us=base_us, resumed=resumed, grounds=grounds
        )
        assert clock_us >= base_us
        self.shelf.next_us = clock_us
        if new == self.naive.outcomes:
            assert self.feed is before
        self.naive.change(new, resumed)

    @rule(handling=handlings, back=st.integers(0, 6), under_review=st.booleans())
    def expire(self, handling: int, back: int, under_review: bool) -> None:
        upto = max(0, self.shelf.end - back)
        self.feed = expire(self.feed, handling, upto, under_review=under_review)
        self.naive.expire(handling, upto, under_review=under_review)

    @precondition(lambda self: self.shelf.end)
    @rule(data=st.data(), verdict=st.sampled_from(("release", "release", "refuse")), gap=gaps)
    def review(self, data: st.DataObject, verdict: Verdict, gap: int) -> None:
        waiting = [row.seq for row in self.naive.rows if row.state in ("held", "under review")]
        seq = data.draw(st.sampled_from(waiting) if waiting else st.just(0))
        before, handling = self.feed, self.shelf.handlings[seq]
        self.now_us += gap
        base_us = max(self.now_us, self.shelf.next_us)
        result = self.naive.review(seq, verdict)
        try:
            self.feed, self.shelf.next_us = review(
                before, handling, seq, verdict, end=self.shelf.end, base_us=base_us
            )
            assert result == "done"
        except Missing:
            assert result == "missing"
        except Conflict:
            assert result == "conflict"

    @precondition(lambda self: self.shelf.end)
    @rule(data=st.data(), gap=gaps)
    def offer_again(self, data: st.DataObject, gap: int) -> None:
        """What counts as given, though its reader was not given it: as if it never had it."""
        pages = [page for r in self.readers for page in (r.in_flight, r.to_receipt) if page]
        under_way = {seq for page in pages for seq in page.seqs}
        given = [row.seq for row in self.naive.rows if row.shown == "given"]
        some = st.sampled_from(given) if given else st.integers(0, self.shelf.end - 1)
        seqs = sorted(data.draw(st.frozensets(some, min_size=1, max_size=3)))
        if set(seqs) & under_way:
            return
        self.now_us += gap
        base_us = max(self.now_us, self.shelf.next_us)
        result = self.naive.offer_again(seqs)
        try:
            self.feed, self.shelf.next_us = offer_again(
                self.feed,
                [(self.shelf.handlings[seq], seq) for seq in seqs],
                end=self.shelf.end,
                base_us=base_us,
            )
            assert result == "done"
            for reader in self.readers:
                reader.got = [one for one in reader.got if one not in seqs]
        except (Missing, Conflict):
            assert result == "refused"

    # --- the partner's side ---

    @rule(data=st.data(), limit=st.integers(1, 7))
    def read(self, data: st.DataObject, limit: int) -> None:
        self._read(data, limit)

    def _read(self, data: st.DataObject, limit: int) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        if reader.in_flight:
            return
        self._receipt(reader)
        page = take(self.feed, self.shelf, reader.cursor_us, limit, reader.only)
        rows = self.naive.read(reader.tick, reader.only)[:limit]
        assert page.seqs == [row.seq for row in rows]
        # Said directly, beside the model: what is stopped does not leave.
        for row in rows:
            assert split(self.naive.outcomes[row.handling])[0] in ("release", "moderate")
        if rows:
            page.rows = [copy(row) for row in rows]
            reader.in_flight = page

    @rule(data=st.data(), limit=st.integers(1, 7), arrived=st.booleans(), prompt=st.booleans())
    def stop_upon_a_page(
        self, data: st.DataObject, limit: int, arrived: bool, prompt: bool
    ) -> None:
        """The stop that falls while bytes are under way, said outright because chance is slow to
        say it; the receipt comes at once or some other time."""
        self._read(data, limit)
        for reader in self.readers:
            if reader.in_flight:
                stopped = reader.in_flight.rows[-1].handling
                self._change(self.naive.outcomes | {stopped: "hold"}, {}, arrived, 0)
                if prompt:
                    self._receipt(reader)

    @rule(data=st.data(), by_receipt=st.booleans())
    def deliver(self, data: st.DataObject, by_receipt: bool) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        if not (page := reader.in_flight):
            return
        self._take_in(reader, page)
        if by_receipt:
            reader.to_receipt = page
            self._receipt(reader)
        else:
            self.feed = served(self.feed, page.until, reader.only)
            self.naive.served(page.rows[-1].tick, reader.only)

    @rule(data=st.data(), arrived=st.booleans())
    def lose(self, data: st.DataObject, arrived: bool) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        if reader.in_flight:
            self._break_off(reader, arrived)

    @rule(data=st.data())
    def receipt(self, data: st.DataObject) -> None:
        self._receipt(data.draw(st.sampled_from(self.readers)))

    def _break_off(self, reader: Reader, arrived: bool) -> None:
        page, reader.in_flight = reader.in_flight, None
        assert page
        if arrived:
            self._take_in(reader, page)
            reader.to_receipt = page

    def _take_in(self, reader: Reader, page: Page) -> None:
        for seq, time_us in zip(page.seqs, page.times, strict=True):
            assert time_us > reader.cursor_us
            reader.cursor_us = time_us
            reader.got.append(seq)
        reader.tick = page.rows[-1].tick
        reader.in_flight = None

    def _receipt(self, reader: Reader) -> None:
        """A receipt goes out before the next request, however long that takes."""
        page, reader.to_receipt = reader.to_receipt, None
        if page:
            self.feed = received(self.feed, page.slices, page.until, reader.only)
            assert received(self.feed, page.slices, page.until, reader.only) == self.feed
            self.naive.received(page.rows, page.rows[-1].tick, reader.only)

    # --- what must hold after every step ---

    @invariant()
    def feed_is_sound(self) -> None:
        if hasattr(self, "feed"):
            check_feed(self.feed, self.shelf.end)

    @invariant()
    def full_read_is_that_of_the_model(self) -> None:
        if hasattr(self, "feed"):
            page = take(self.feed, self.shelf, -1, OPEN, None)
            assert page.seqs == [row.seq for row in self.naive.read(-1)]
            assert page.times == sorted(set(page.times))
            assert not page.times or page.times[-1] < self.shelf.next_us

    @invariant()
    def states_and_counts_are_those_of_the_model(self) -> None:
        if not hasattr(self, "feed"):
            return
        for row in self.naive.rows:
            assert state_of(self.feed, row.handling, row.seq) == row.shown
            reads = readable_ranges(self.feed, row.handling)
            assert sum(a <= row.seq < b for a, b in reads) == (
                row.state == "granted" and self.naive.may_read(row, self.naive.outcomes)
            )
            assert (grant_of(self.feed, row.handling, row.seq) is None) == (row.state != "granted")
        counts: Counter[tuple[int, str]] = Counter()
        for one in ranges(self.feed, self.shelf.end):
            counts[one.handling, one.state] += self.shelf.count(one.handling, one.a, one.b)
        assert +counts == self.naive.counts()

    @invariant()
    def readers_got_what_was_given_once(self) -> None:
        if not hasattr(self, "feed") or not self.disjoint:
            return
        for reader in self.readers:
            assert len(reader.got) == len(set(reader.got))
            pending = set(reader.to_receipt.seqs) if reader.to_receipt else set()
            given = {
                row.seq
                for row in self.naive.rows
                if row.shown == "given" and (reader.only is None or row.handling in reader.only)
            }
            assert given == set(reader.got) - pending

    def teardown(self) -> None:
        """Everybody reads on to the end: then nothing that may be read is unread."""
        if not hasattr(self, "feed"):
            return
        for reader in self.readers:
            if reader.in_flight:
                self._break_off(reader, arrived=False)
            self._receipt(reader)
            while (page := take(self.feed, self.shelf, reader.cursor_us, 3, reader.only)).seqs:
                page.rows = self.naive.read(reader.tick, reader.only)[:3]
                self._take_in(reader, page)
                self.feed = served(self.feed, page.until, reader.only)
                self.naive.served(page.rows[-1].tick, reader.only)
        self.readers_got_what_was_given_once()
        assert not any(row.shown == "queued" for row in self.naive.rows)


class TwoReadersByHandling(FeedMachine):
    filters = (frozenset({0, 1}), frozenset({2}))


class TwoReadersOfTheSame(FeedMachine):
    """Such readers may miss or repeat (the known limit), the feed's account stays right."""

    filters = (None, frozenset({0, 1}))
    disjoint = False


@pytest.mark.parametrize("machine", [FeedMachine, TwoReadersByHandling, TwoReadersOfTheSame])
def test_feed_does_what_a_row_per_item_would(machine: type[FeedMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(1, settings().max_examples // 4),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# --- cost ---

Step = tuple[str, int, dict[int, Outcome]]

steps = st.lists(
    st.tuples(
        st.sampled_from(("publish", "change", "change", "serve", "expire", "review")),
        st.integers(0, 20),
        st.dictionaries(st.sampled_from(range(4)), outcomes, min_size=1, max_size=4),
    ),
    max_size=30,
)


def play(history: list[Step], scale: int) -> tuple[int, int]:
    """Play a history in which each publish adds ``scale`` entries; grants and stays at the end."""
    feed = open_feed(dict.fromkeys(range(4), "release"))
    end = clock_us = 0
    points = [START]
    for name, pick, turned in history:
        handling, point = pick % 4, points[pick % len(points)]
        if name == "publish":
            end, clock_us = end + scale, clock_us + scale
            points.append(Point(clock_us - 1, end))
        elif name == "change":
            feed, clock_us = change(
                feed,
                dict(feed.outcomes) | turned,
                end=end,
                base_us=clock_us,
                resumed={handling: "under review"} if pick > 10 else {},
            )
            points.append(Point(clock_us - 1, end))
        elif name == "serve":
            feed = served(feed, point, None if pick > 5 else turned.keys())
        elif name == "expire":
            feed = expire(feed, handling, point.seq, under_review=pick > 15)
        elif point.seq and state_of(feed, handling, point.seq - 1) == "under review":
            verdict: Verdict = "release" if feed.outcomes[handling][1] != "hold" else "refuse"
            seq = point.seq - 1
            feed, clock_us = review(feed, handling, seq, verdict, end=end, base_us=clock_us)
        check_feed(feed, end)
    return len(feed.grants), len(feed.stays)


@given(history=steps)
@settings(deadline=None)
def test_grants_and_stays_grow_with_acts_and_handlings_never_with_entries(
    history: list[Step],
) -> None:
    grants, stays = play(history, 3)
    assert grants + stays <= 5 * (2 * len(history) + 1)
    assert play(history, 1_000_000_000) == (grants, stays)
