"""Throttle: how often a client may ask, and how often somebody may guess. Counts in memory only,
within bounds; time comes in as microseconds.
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Buckets", "Guesses"]

#: Clients or addresses that are remembered; those not seen for the longest time go first.
KEPT_MAX = 10_000
#: A client that was quiet may ask for this part of a minute's allowance at once.
_BURST = 6
#: Wrong guesses that cost nothing; each one more doubles the time to wait.
FREE_GUESSES = 5
LOCKED_S_MAX = 300
_FORGET_US = 3_600 * 1_000_000


class Buckets:
    """An allowance of requests a minute for each client, refilled steadily."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, name: str, per_minute: int, now_us: int) -> int:
        """Take one request out of the allowance. 0 if it was there; else the seconds until one
        will be, and nothing is taken."""
        most = max(1.0, per_minute / _BURST)
        left, at_us = self._left.pop(name, (most, now_us))
        left = min(most, left + (now_us - at_us) * per_minute / 60_000_000)
        granted = left >= 1
        self._left[name] = (left - 1 if granted else left, now_us)
        while len(self._left) > KEPT_MAX:
            self._left.popitem(last=False)
        return 0 if granted else max(1, round((1 - left) * 60 / per_minute))


class Guesses:
    """Wrong secrets by who offers them for which name: from the sixth in a row on, each doubles
    the time in which that one is not heard."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def locked_s(self, address: str, name: str, now_us: int) -> int:
        """For how many more seconds nothing from there is checked for that name; 0 if it is."""
        count, at_us = self._wrong.get((address, name), (0, 0))
        if count < FREE_GUESSES:
            return 0
        span_s = min(LOCKED_S_MAX, 1 << min(count - FREE_GUESSES, 20))
        left_us = at_us + span_s * 1_000_000 - now_us
        return max(0, -(-left_us // 1_000_000))

    def wrong(self, address: str, name: str, now_us: int) -> None:
        """A wrong secret was offered."""
        count, at_us = self._wrong.pop((address, name), (0, now_us))
        count = 0 if now_us - at_us > _FORGET_US else count
        self._wrong[address, name] = (count + 1, now_us)
        while len(self._wrong) > KEPT_MAX:
            self._wrong.popitem(last=False)

    def right(self, address: str, name: str) -> None:
        """The right secret was offered: what was before is forgotten."""
        self._wrong.pop((address, name), None)
