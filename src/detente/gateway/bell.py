"""The bell: readers that wait hear that something may have changed for them.

It says only *look again*: what may be given is decided anew by everybody who looks. Waiting costs
a future each, and no thread, timer wheel or look into the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

__all__ = ["Bell", "Leaving", "Ring"]

#: Rung with an agreement and the collection that has something new; None: all collections of it.
Ring = Callable[[str, str | None], None]


class Leaving(Protocol):
    """Somebody who may go away while waiting: calls back when that happens."""

    def on_end(self, call: Callable[[], None]) -> None: ...
    def off_end(self, call: Callable[[], None]) -> None: ...


class Bell:
    """For the event loop's thread only."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], set[asyncio.Future[bool]]] = {}
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
                    future.set_result(True)

    def heard(self, agreement: str, collection: str) -> int:
        """A number that changes with every ring for this collection: to be taken before looking,
        so that what comes between looking and waiting is not missed."""
        return self._all.get(agreement, 0) + self._rung.get((agreement, collection), 0)

    async def wait(
        self,
        agreement: str,
        collection: str,
        since: int,
        seconds: float,
        leaving: Leaving | None = None,
    ) -> bool:
        """Wait for a ring after ``since``; False if none came in time, if whoever asked has left,
        or if the node ends."""
        if self._closed or seconds <= 0:
            return False
        if self.heard(agreement, collection) != since:
            return True
        loop, key = asyncio.get_running_loop(), (agreement, collection)
        future: asyncio.Future[bool] = loop.create_future()

        def give_up() -> None:
            if not future.done():
                future.set_result(False)

        # One timer and one callback each: a task for every reader that waits would cost more than
        # its answer, in the moment in which all of them are answered.
        timer = loop.call_later(seconds, give_up)
        if leaving is not None:
            leaving.on_end(give_up)
        self._waiting.setdefault(key, set()).add(future)
        try:
            return await future
        finally:
            timer.cancel()
            if leaving is not None:
                leaving.off_end(give_up)
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.discard(future)

    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """Nobody waits any more: answers that are held open end by themselves."""
        self._closed = True
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(False)
        self._waiting.clear()
