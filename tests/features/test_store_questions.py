"""Questions of several commands: replies in order, one limit for all of them, and no reply that belongs to another question."""

import asyncio
import time

import pytest
import redis

from features.errors import StoreUnavailable
from features.online_reader import RedisReader
from features.store_keys import Keys
from features.store_questions import Questions
from tests.serving.own_redis import OwnRedis


def test_replies_come_in_order_and_an_error_leaves_nothing_behind(store_url: str) -> None:
    async def ask() -> None:
        questions = Questions(store_url, timeout_s=2.0)
        assert await questions.ask(("SET", "questions", "1"), ("MGET", "questions", "none"), ("EXISTS", "questions")) == [
            b"OK",
            [b"1", None],
            1,
        ]
        for _ in range(3):
            with pytest.raises(redis.ResponseError):
                await questions.ask(("HGETALL", "questions"), ("GET", "questions"))
            assert await questions.ask(("GET", "questions")) == [b"1"]
        assert await questions.ask(("DEL", "questions")) == [1]
        await questions.close()

    asyncio.run(ask())


def test_a_store_that_is_frozen_or_away_costs_no_more_than_the_limit() -> None:
    own = OwnRedis()

    async def ask() -> None:
        reader = RedisReader(own.url, prefix="p", timeout_ms=100)
        with redis.Redis.from_url(own.url) as other:
            other.set(Keys("p").recommendations("a"), b"list")
        assert (await reader.read_for_lists(["a"], [1])).lists == [b"list"]
        own.freeze()
        begun = time.monotonic()
        for _ in range(2):  # on a connection that stands, and on one to be made
            with pytest.raises(StoreUnavailable, match="TimeoutError"):
                await reader.read_for_lists(["b"], [1])
        assert time.monotonic() - begun < 20
        own.thaw()
        assert [(await reader.read_for_lists([member])).lists for member in "ab"] == [[b"list"], [None]]
        own.kill()
        with pytest.raises(StoreUnavailable):
            await reader.read_for_lists(["a"])
        own.start()
        assert (await reader.read_for_lists(["a"])).lists == [None]
        await reader.close()

    try:
        asyncio.run(ask())
    finally:
        own.close()


def test_what_members_did_is_fetched_only_where_somebody_did_anything(store_url: str) -> None:
    keys = Keys("questions")

    async def ask() -> None:
        reader = RedisReader(store_url, prefix="questions", timeout_ms=2000)
        with redis.Redis.from_url(store_url) as other:
            other.set(keys.opted_out("b"), b"said")
            before = other.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"]
            found = await reader.read_for_lists(["a", "b", "c"], [7, 8])
            assert (found.refused, found.live) == ([False, True, False], [])
            assert other.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"] == before
            other.hset(keys.live_items("c", 8), "p:1", 1)
            other.set(keys.live_items("a", 7), "of another type")
            found = await reader.read_for_lists(["a", "b", "c"], [7, 8])
            assert found.live == [{}, {}, {}, {}, {}, {b"p:1": b"1"}]
            other.delete(keys.opted_out("b"), keys.live_items("c", 8), keys.live_items("a", 7))
        await reader.close()

    asyncio.run(ask())
