"""A limit that many share: each has its own time, whoever ends of himself is not taken for slow, and loops may change."""

import asyncio

import pytest

from serving.running_loop import RunningLoop
from serving.time_limits import TimeLimit


async def after(seconds: float, answer: str) -> str:
    """An answer that takes a while."""
    await asyncio.sleep(seconds)
    return answer


def test_each_has_its_own_time_from_when_it_began() -> None:
    limit = TimeLimit(2.0)

    async def all_of_them() -> list[str | BaseException]:
        begun = [asyncio.create_task(limit.within(after(seconds, "early"))) for seconds in (0.0, 60)]
        await asyncio.sleep(1.0)  # what begins now may end behind the limit of those before
        begun += [asyncio.create_task(limit.within(after(seconds, "later"))) for seconds in (1.2, 60)]
        return await asyncio.gather(*begun, return_exceptions=True)

    found = asyncio.run(all_of_them())
    assert [answer if isinstance(answer, str) else type(answer) for answer in found] == [
        "early",
        TimeoutError,
        "later",
        TimeoutError,
    ]


def test_one_limit_serves_one_loop_after_another() -> None:
    limit = TimeLimit(0.05)
    assert asyncio.run(limit.within(after(0.0, "first"))) == "first"  # ends with the loop's timer still to come
    with pytest.raises(TimeoutError):
        asyncio.run(limit.within(after(60, "never")))
    assert asyncio.run(limit.within(after(0.0, "third"))) == "third"


def test_what_fails_or_is_cancelled_says_so_itself() -> None:
    async def failing() -> str:
        raise LookupError("of its own")

    async def cancelled() -> str:
        task = asyncio.create_task(TimeLimit(5).within(after(60, "never")))
        await asyncio.sleep(0.01)
        task.cancel()
        return await task

    with pytest.raises(LookupError, match="of its own"):
        asyncio.run(TimeLimit(5).within(failing()))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_the_loop_that_runs_is_the_one_that_calls() -> None:
    running = RunningLoop()

    async def same() -> bool:
        return running() is asyncio.get_running_loop() is running()

    assert asyncio.run(same())
    assert asyncio.run(same())
