"""What people ask, off the hot path: blocking work in a few threads, so that no score waits for it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from serving.problems import ApiError

THREADS = 2
MOST_WAITING = 16
STORE_TIMEOUT_S = 5.0
T = TypeVar("T")


class Desk:
    """Runs blocking work for requests, some at a time; refuses more than may wait."""

    def __init__(self, *, threads: int = THREADS, waiting: int = MOST_WAITING) -> None:
        self._free = asyncio.Semaphore(threads)
        self._most = threads + waiting
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What the work gives, from a thread.

        Raises
        ------
        ApiError
            Too many requests wait already.
        """
        if self._inside >= self._most:
            raise ApiError("overloaded", "too many of these requests are under way")
        self._inside += 1
        try:
            async with self._free:
                return await asyncio.to_thread(work)
        finally:
            self._inside -= 1
