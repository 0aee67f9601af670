"""A feed with a row per item: what ``detente.rules.feed`` must do, said the slow and plain way.

It imports nothing of what it checks and knows no ranges, marks or times: every item has a row
with its state, and its place in the order of reading is a number drawn when it becomes readable.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

WAITING = ("held", "under review")


class Shelf:
    """A collection as a feed sees it: times of entry and handlings, and one clock."""

    def __init__(self) -> None:
        self.added_us: list[int] = []
        self.handlings: list[int] = []
        self.next_us = 0

    @property
    def end(self) -> int:
        return len(self.added_us)

    def append(self, handling: int, now_us: int) -> int:
        added_us = max(now_us, self.next_us)
        self.added_us.append(added_us)
        self.handlings.append(handling)
        self.next_us = added_us + 1
        return self.end - 1

    def seq_after(self, us: int) -> int:
        return bisect_right(self.added_us, us)

    def count(self, handling: int, a: int, b: int) -> int:
        return self.handlings[a:b].count(handling)


def split(word: str) -> tuple[str, frozenset[str]]:
    """An outcome as it is said here, such as ``moderate bulk test``, and for what it asks."""
    outcome, *grounds = word.split()
    return outcome, frozenset(grounds)


@dataclass
class Row:
    """One item towards one party. ``tick`` is its place in the order of reading;
    ``reviewed`` what a person has passed, if one has."""

    seq: int
    handling: int
    state: str
    tick: int = -1
    reviewed: frozenset[str] | None = None
    given: bool = False

    @property
    def shown(self) -> str:
        if self.state == "granted":
            return "given" if self.given else "queued"
        return self.state


class NaiveFeed:
    """The rules of a feed, applied row by row. Outcomes come with what they ask for (``split``)."""

    def __init__(self, outcomes: Mapping[int, str], history: Iterable[int]) -> None:
        self.outcomes = dict(outcomes)
        self.rows: list[Row] = []
        self.ticks = 0
        for handling in history:
            self.publish(handling)

    def publish(self, handling: int) -> None:
        row = Row(seq=len(self.rows), handling=handling, state="held")
        self.rows.append(row)
        outcome, _ = split(self.outcomes[handling])
        if outcome == "release":
            self._grant(row, reviewed=None)
        elif outcome == "moderate":
            row.state = "under review"
        elif outcome == "refuse":
            row.state = "refused"

    def change(self, outcomes: Mapping[int, str], resumed: Mapping[int, str]) -> None:
        turned = {h for h, outcome in outcomes.items() if self.outcomes[h] != outcome}
        self.outcomes = dict(outcomes)
        for row in self.rows:
            if row.handling not in turned:
                continue
            if row.state == "granted" and not row.given:
                self._turn_unread(row)
            elif row.state in WAITING:
                self._turn_waiting(row, resumed)

    def _turn_unread(self, row: Row) -> None:
        outcome, _ = split(self.outcomes[row.handling])
        if outcome == "refuse":
            row.state = "refused"
        elif outcome == "hold":
            row.state = "held" if row.reviewed is None else "under review"
        elif not self.may_read(row, self.outcomes):
            row.state = "under review"

    def _turn_waiting(self, row: Row, resumed: Mapping[int, str]) -> None:
        outcome, _ = split(self.outcomes[row.handling])
        if outcome == "refuse":
            row.state = "refused"
        elif outcome == "moderate":
            row.state = "under review"
        elif outcome == "release" and row.state == "held":
            if row.handling in resumed:
                row.state = resumed[row.handling]
            else:
                self._grant(row, reviewed=None)

    def _grant(self, row: Row, *, reviewed: frozenset[str] | None) -> None:
        row.state, row.tick, row.reviewed = "granted", self.ticks, reviewed
        self.ticks += 1

    def may_read(self, row: Row, outcomes: Mapping[int, str]) -> bool:
        outcome, grounds = split(outcomes[row.handling])
        reviewed = row.reviewed is not None and grounds <= row.reviewed
        return outcome == "release" or (outcome == "moderate" and reviewed)

    def read(self, after: int, only: Collection[int] | None = None) -> list[Row]:
        """Everything readable now after a tick."""
        found = [
            row
            for row in self.rows
            if row.state == "granted"
            and row.tick > after
            and (only is None or row.handling in only)
            and self.may_read(row, self.outcomes)
        ]
        return sorted(found, key=lambda row: row.tick)

    def served(self, until: int, only: Collection[int] | None) -> None:
        for row in self.rows:
            if row.state == "granted" and row.tick <= until:
                row.given = row.given or only is None or row.handling in only

    def received(self, page: Iterable[Row], until: int, only: Collection[int] | None) -> None:
        """``page`` are copies of the rows as they were when the page was made."""
        for then in page:
            row = self.rows[then.seq]
            if not (row.state == "granted" and row.given):
                row.state, row.tick, row.reviewed = "granted", then.tick, then.reviewed
                row.given = True
        self.served(until, only)

    def expire(self, handling: int, upto: int, *, under_review: bool) -> None:
        for row in self.rows[:upto]:
            if row.handling == handling and (
                row.state == "held" or (under_review and row.state == "under review")
            ):
                row.state = "expired"

    def review(self, seq: int, verdict: str) -> str:
        """``done``, or why not."""
        row = self.rows[seq]
        if row.state not in WAITING:
            return "missing"
        if verdict == "refuse":
            row.state = "refused"
            return "done"
        outcome, grounds = split(self.outcomes[row.handling])
        if outcome in ("release", "moderate"):
            self._grant(row, reviewed=grounds)
        else:
            return "conflict"
        return "done"

    def offer_again(self, seqs: Sequence[int]) -> str:
        """``done`` for all of them, or ``refused``. What was reviewed comes after the rest."""
        rows = [self.rows[seq] for seq in seqs]
        if any(row.shown != "given" or not self.may_read(row, self.outcomes) for row in rows):
            return "refused"
        for row in sorted(
            rows, key=lambda row: (row.reviewed is not None, sorted(row.reviewed or ()))
        ):
            row.given = False
            self._grant(row, reviewed=row.reviewed)
        return "done"

    def counts(self) -> Counter[tuple[int, str]]:
        return Counter((row.handling, row.shown) for row in self.rows)
