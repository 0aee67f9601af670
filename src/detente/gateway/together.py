"""Together: what is asked while others are being answered is done in one go.

A thousand readers that wake at one ring, or that come at one moment, would otherwise each make a
way to the store and back, and more of them than the store lets wait. Who asks alone waits one turn
of the loop longer and notices nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from detente.errors import DetenteError

__all__ = ["Together"]

#: Goes under way at a time: enough that the store never has to wait for the next, and far fewer
#: than it lets wait.
AT_ONCE_MAX: Final = 64

A = TypeVar("A")
R = TypeVar("R")


class Together(Generic[A, R]):
    """Collects asks and has them answered by ``do``, at most ``most`` in a go and ``at_once``
    goes at a time; what comes meanwhile is collected for the next.

    ``do`` gives for each ask, in order, an answer or an error of ours, which is raised to that one
    alone; what ``do`` itself raises is raised to all. Nothing that was asked later than ``do``
    began is answered by it, so nobody gets an answer older than the question.
    """

    def __init__(
        self,
        do: Callable[[Sequence[A]], Awaitable[Sequence[R | DetenteError]]],
        most: int,
        *,
        at_once: int = AT_ONCE_MAX,
    ) -> None:
        self._do = do
        self._most = most
        self._at_once = at_once
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._doing: set[asyncio.Future[Sequence[R | DetenteError]]] = set()

    async def ask(self, one: A) -> R:
        """The answer to one ask."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._go)
        self._waiting.append((one, future))
        return await future

    def _go(self) -> None:
        while self._waiting and len(self._doing) < self._at_once:
            some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            doing = asyncio.ensure_future(self._do([one for one, _ in some]))  # noqa: RUF006  # kept in the next line
            self._doing.add(doing)
            doing.add_done_callback(partial(self._tell, [future for _, future in some]))

    def _tell(
        self,
        futures: list[asyncio.Future[R]],
        done: asyncio.Future[Sequence[R | DetenteError]],
    ) -> None:
        self._doing.discard(done)
        self._go()
        if done.cancelled():
            for future in futures:
                future.cancel()
            return
        error = done.exception()
        answers = [error] * len(futures) if error is not None else done.result()
        for future, answer in zip(futures, answers, strict=True):
            if future.done():
                continue  # who asked was cancelled meanwhile
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
