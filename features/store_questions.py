"""Several commands to Redis in one round trip, over a connection of redis-py's, for the paths that have to be fast.

redis-py's pipelines look after the time of each reply: with one client's time limit, sending makes a task and every reply a
timer, which together cost more than the round trip. Here all replies to a question have one limit; and commands are packed by
hiredis, by which redis-py parses replies, at a tenth of what redis-py's own code takes.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from hiredis import pack_command

from features.store_errors import address_checked

Command = tuple[str | int | float | bytes | memoryview, ...]
"""Its name and arguments."""


class Questions:
    """Asks one Redis; impatient and without retries.

    Parameters
    ----------
    timeout_s
        For a connection to be made, and again for all replies to a question.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        with address_checked():
            self._pool: Any = redis.asyncio.ConnectionPool.from_url(url, socket_connect_timeout=timeout_s, socket_timeout=None)

    async def ask(self, *commands: Command) -> list[Any]:
        """The reply to each command, in their order.

        Raises
        ------
        redis.RedisError
            There was no connection or no reply in time, or a reply is an error.
        """
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                connection = await self._pool.get_connection()
                try:
                    limit.reschedule(asyncio.get_running_loop().time() + self._timeout_s)
                    return await _replies(connection, commands)
                finally:
                    await self._pool.release(connection)
        except TimeoutError:
            raise redis.TimeoutError("no reply in time") from None

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.aclose()


async def _replies(connection: Any, commands: Sequence[Command]) -> list[Any]:
    complete = False
    try:
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type] # its stubs know one argument only
        await connection.send_packed_command(packed)
        replies = [await connection.read_response() for _ in commands]
        complete = True
    finally:
        if not complete:  # replies may be on their way, and the next question must not take them for its own
            await connection.disconnect(nowait=True)
    return replies
