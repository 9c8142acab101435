"""A limit of seconds that many things under way share: one timer for all of them, as all have the same time.

They are given up in the order in which they began. `asyncio.timeout` makes a timer for each and asks for the running loop
several times; that took a twentieth of what an answer takes.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from serving.running_loop import RunningLoop

T = TypeVar("T")


class TimeLimit:
    """Ends what takes longer than some seconds. One loop each: what is awaited elsewhere has a limit of its own."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[asyncio.Task[Any], float] = {}
        self._given_up: set[asyncio.Task[Any]] = set()
        self._running = RunningLoop()
        self._watched_on: asyncio.AbstractEventLoop | None = None

    async def within(self, doing: Coroutine[Any, Any, T]) -> T:
        """What comes of it. A task may have one thing at a time under way here.

        Raises
        ------
        TimeoutError
            It took too long, and was cancelled.
        """
        loop = self._running()
        task = cast("asyncio.Task[Any]", asyncio.current_task(loop))  # whoever answers a request is one
        self._until[task] = loop.time() + self._seconds
        if self._watched_on is not loop:
            self._watched_on = loop
            loop.call_later(self._seconds, self._look, loop)
        try:
            return await doing
        except asyncio.CancelledError:
            if task not in self._given_up:
                raise
            task.uncancel()
            raise TimeoutError from None
        finally:
            self._until.pop(task, None)
            self._given_up.discard(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up what has taken too long, and look again when the next one's time ends."""
        now = loop.time()
        while self._until:
            task, until = next(iter(self._until.items()))
            if until > now:
                loop.call_at(until, self._look, loop)
                return
            del self._until[task]
            self._given_up.add(task)
            task.cancel()
        self._watched_on = None
