"""Questions that arrive together are answered together: who comes meanwhile is of the next batch, and nobody waits alone."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sized
from typing import Any, Generic, Protocol, TypeVar

from serving.running_loop import RunningLoop

QUIET_TURNS = 3
"""Turns of the loop without another question after which no more are waited for."""


class Question(Protocol):
    """Someone's question about some members, who waits for the answer."""

    @property
    def member_ids(self) -> list[str]:
        """The members."""

    @property
    def answer(self) -> asyncio.Future[Any]:
        """Where the answer is awaited."""


Q = TypeVar("Q", bound=Question)


class Together(Generic[Q]):
    """Gathers questions and has them answered, batch after batch.

    Parameters
    ----------
    answered
        Gives each question of a batch its answer. What it raises, all of them are told that have none yet.
    members
        Members of a batch at most; a question with more is a batch of its own.
    """

    def __init__(self, answered: Callable[[list[Q]], Awaitable[None]], *, members: int) -> None:
        self._answered, self._most = answered, members
        self._waiting: deque[Q] = deque()
        self._working: asyncio.Task[None] | None = None
        self._running = RunningLoop()

    def add(self, question: Q) -> None:
        """Have a question answered soon."""
        self._waiting.append(question)
        if self._working is None or self._working.done():
            self._working = self._running().create_task(self._work())

    async def close(self) -> None:
        """Let what is under way end."""
        if self._working is not None:
            await self._working

    async def _work(self) -> None:
        while self._waiting:
            await let_others_come(self._waiting, quiet_turns=QUIET_TURNS)
            batch = self._take()
            try:
                await self._answered(batch)
            except Exception as error:  # noqa: BLE001 # the named edge: whoever waits has to be told
                for question in batch:
                    if not question.answer.done():
                        question.answer.set_exception(error)

    def _take(self) -> list[Q]:
        batch = [self._waiting.popleft()]
        members = len(batch[0].member_ids)
        while self._waiting and members + len(self._waiting[0].member_ids) <= self._most:
            batch.append(self._waiting.popleft())
            members += len(batch[-1].member_ids)
        return batch


async def let_others_come(waiting: Sized, *, quiet_turns: int, most: float = float("inf")) -> None:
    """Take turns of the loop as long as more arrive, and until so many wait: what is sent at once is read one by one.

    Microseconds each, and a round trip shared.
    """
    quiet, seen = 0, 0
    while quiet < quiet_turns and len(waiting) < most:
        await asyncio.sleep(0)
        quiet = 0 if len(waiting) > seen else quiet + 1
        seen = len(waiting)
