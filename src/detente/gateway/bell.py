"""The bell: readers that wait hear that something may have changed for them.

It says only *look again*: what may be given is decided anew by everybody who looks. Waiting costs
a future each, and no thread, timer wheel or look into the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Bell", "Ring"]

#: Rung with an agreement and the collection that has something new; None: all collections of it.
Ring = Callable[[str, str | None], None]


class Bell:
    """For the event loop's thread only."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], set[asyncio.Future[None]]] = {}
        self._rung: dict[tuple[str, str], int] = {}
        self._all: dict[str, int] = {}
        self._closed = False

    def ring(self, agreement: str, collection: str | None) -> None:
        """Something was published, released, stopped or lapsed."""
        if collection is None:
            self._all[agreement] = self._all.get(agreement, 0) + 1
            keys = [key for key in self._waiting if key[0] == agreement]
        else:
            keys = [(agreement, collection)]
            self._rung[keys[0]] = self._rung.get(keys[0], 0) + 1
        for key in keys:
            for future in self._waiting.pop(key, ()):
                if not future.done():
                    future.set_result(None)

    def heard(self, agreement: str, collection: str) -> int:
        """A number that changes with every ring for this collection: to be taken before looking,
        so that what comes between looking and waiting is not missed."""
        return self._all.get(agreement, 0) + self._rung.get((agreement, collection), 0)

    async def wait(self, agreement: str, collection: str, since: int, seconds: float) -> bool:
        """Wait for a ring after ``since``; False if none came in time or the node ends."""
        if self._closed or seconds <= 0:
            return False
        if self.heard(agreement, collection) != since:
            return True
        key = (agreement, collection)
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(future)
        try:
            await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return False
        finally:
            self._waiting.get(key, set()).discard(future)
        return not self._closed

    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """Nobody waits any more: answers that are held open end by themselves."""
        self._closed = True
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)
        self._waiting.clear()
