"""Bodies on their way: one timer for all, in order; who ends on his own account is not taken for slow."""

import asyncio
from typing import Any

import pytest

from serving import bodies
from serving.bodies import Arrivals, BodyTooLarge, BodyTooSlow, Message


def arriving(*parts: bytes, after: float = 0.0, end: bool = True) -> Any:
    """A `receive` that gives these parts, the last of them after a while or never."""
    waiting = list(parts)

    async def receive() -> Message:
        if len(waiting) <= 1:
            await asyncio.sleep(after if end else 60)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    return receive


def test_those_that_come_are_whole_and_those_that_stall_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    arrivals = Arrivals()

    async def all_of_them() -> list[Any]:
        first = [arrivals.whole(arriving(b"a", end=False)), arrivals.whole(arriving(b"b", b"c"))]
        begun = [asyncio.create_task(body) for body in first]
        await asyncio.sleep(0.1)
        later = [arrivals.whole(arriving(b"d", b"e", after=0.15)), arrivals.whole(arriving(b"f", b"g", end=False))]
        begun += [asyncio.create_task(body) for body in later]
        found = await asyncio.gather(*begun, return_exceptions=True)
        again = asyncio.create_task(arrivals.whole(arriving(b"h", end=False)))  # after the timer had nothing left to watch
        return [*found, *(await asyncio.gather(again, return_exceptions=True))]

    found = asyncio.run(all_of_them())
    assert [body if isinstance(body, bytes) else type(body) for body in found] == [
        BodyTooSlow,
        b"bc",
        b"de",
        BodyTooSlow,
        BodyTooSlow,
    ]


def test_a_request_that_is_cancelled_is_not_a_slow_one() -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(Arrivals().whole(arriving(b"a", end=False)))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_a_body_above_the_limit_and_a_sender_who_goes_are_told_apart() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(BodyTooSlow):
        asyncio.run(Arrivals().whole(gone))
    with pytest.raises(BodyTooLarge):
        asyncio.run(Arrivals().whole(arriving(b"x" * bodies.BODY_LIMIT, b"x")))
