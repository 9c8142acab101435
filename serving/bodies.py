"""Bodies of requests as they arrive: each has a limit of bytes and one of seconds, however it comes."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from serving.paths import BODY_LIMITS
from serving.paths import BODY_SECONDS as LONGER_SECONDS
from serving.time_limits import TimeLimit

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
BODY_LIMIT = 1_048_576
BODY_SECONDS = 5.0


class BodyTooLarge(Exception):
    """More bytes arrived than a body may have."""


class BodyTooSlow(Exception):
    """A body did not arrive in time, or its sender has gone."""


class Arrivals:
    """Bodies of ordinary size on their way to one guard."""

    def __init__(self) -> None:
        self._limit = TimeLimit(BODY_SECONDS)

    async def whole(self, receive: Receive) -> bytes:
        """The body of a request.

        Raises
        ------
        BodyTooLarge
            It passes the limit.
        BodyTooSlow
            It does not arrive in time, or its sender has gone.
        """
        try:
            return await self._limit.within(_whole(receive))
        except TimeoutError:
            raise BodyTooSlow from None


async def _whole(receive: Receive) -> bytes:
    parts, arrived, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyTooSlow
        part, more = message.get("body", b""), message.get("more_body", False)
        arrived += len(part)
        if arrived > BODY_LIMIT:
            raise BodyTooLarge
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def limited(receive: Receive, path: str) -> Receive:
    """`receive` that ends what takes too much or too long, as this path has it."""
    arrived, whole = 0, False
    loop = asyncio.get_running_loop()
    until = loop.time() + LONGER_SECONDS.get(path, BODY_SECONDS)
    most = BODY_LIMITS.get(path, BODY_LIMIT)

    async def receive_limited() -> Message:
        nonlocal arrived, whole
        if whole:  # what comes now is the client's going away, for which one may wait long
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow from None
        arrived += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if arrived > most:
            raise BodyTooLarge
        if message["type"] == "http.disconnect":
            raise BodyTooSlow
        return message

    return receive_limited
