"""Further faults of a real store: slow, loading, out of memory, flushed, restarted; and how few wait for it."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from features.online_store import RedisStore
from serving.score_schemas import ScoreResponse
from tests.serving.asgi import Client, problem_of
from tests.serving.conftest import MakeClient
from tests.serving.own_redis import OwnRedis
from tests.serving.test_degradation import TIMEOUT_MS, until_scored

ENOUGH_S = 20.0


@pytest.fixture
def own_redis(plain_redis: Any, published: str) -> Iterator[OwnRedis]:
    """A server of this test's own that holds what was published."""
    server = OwnRedis()
    server.fill(plain_redis, published)
    yield server
    server.close()


@pytest.fixture
def served(own_redis: OwnRedis, make_client: MakeClient) -> Client:
    """A client of an app on that server, which has been asked before and so knows priors."""
    client = make_client(redis_url=own_redis.url, redis_timeout_ms=TIMEOUT_MS)
    client.get("/health/ready")
    until_scored(client, "1")
    return client


def fallback(client: Client, member: str = "1") -> str:
    """The step of the ladder from which a member is answered now; always 200."""
    answer = client.post("/v1/score", {"member_ids": [member]})
    (row,) = ScoreResponse.model_validate_json(answer.body).rows
    return row.fallback


def test_a_slow_store_is_answered_around_and_few_wait_for_it(served: Client, own_redis: OwnRedis) -> None:
    """Each command takes 200 ms, four times the patience; once the breaker is open nobody waits."""
    over = threading.Event()

    def hold_up() -> None:
        with redis.Redis.from_url(own_redis.url) as other:
            while not over.is_set():
                other.execute_command("CLIENT", "PAUSE", "200", "ALL")
                over.wait(0.1)
            other.execute_command("CLIENT", "UNPAUSE")

    pausing = threading.Thread(target=hold_up)
    pausing.start()
    try:
        time.sleep(0.1)
        steps = [fallback(served) for _ in range(40)]
    finally:
        over.set()
        pausing.join()
    assert set(steps[5:]) == {"prior"}
    waited = served.api.meter.value("rapport_store_failures_total")
    assert waited < 20, "most of the forty were answered without asking the store"
    assert served.api.meter.value("rapport_store_open_total") >= 1
    assert until_scored(served, "1")[0]["fallback"] == "none"


def test_a_store_that_is_loading_is_answered_around(served: Client, own_redis: OwnRedis) -> None:
    before = fallback(served)
    own_redis.kill()
    own_redis.start(**{"key-load-delay": "4000", "loading-process-events-interval-bytes": "1024"})
    with redis.Redis.from_url(own_redis.url) as other:
        with pytest.raises(redis.BusyLoadingError):
            other.get("rapport:stamp")
        assert fallback(served) == "prior"
        other.config_set("key-load-delay", "0")
    assert until_scored(served, "1")[0]["fallback"] == before == "none"


def test_a_store_out_of_memory_still_answers(served: Client, own_redis: OwnRedis, published: str) -> None:
    with redis.Redis.from_url(own_redis.url) as other:
        other.config_set("maxmemory", "1mb")
        with pytest.raises(redis.OutOfMemoryError):
            other.set("more", "x" * 1000)
    assert fallback(served) == "none"
    assert served.get("/health/ready", headers=[]).status == 200


def test_a_flushed_and_a_restarted_store(served: Client, own_redis: OwnRedis, plain_redis: Any, published: str) -> None:
    with redis.Redis.from_url(own_redis.url) as other:
        other.flushall()
        problem_of(served.post("/v1/score", {"member_ids": ["1"]}), 503, "nothing_published")
    own_redis.kill()
    own_redis.start()  # what was saved is there again
    assert until_scored(served, "1")[0]["fallback"] == "none"


def test_while_the_store_is_away_no_request_waits_for_another(served: Client, own_redis: OwnRedis) -> None:
    own_redis.freeze()
    for _ in range(5):
        fallback(served)
    begun = time.monotonic()
    answers = served.together("/v1/score", [{"member_ids": [str(member)]} for member in range(200)])
    assert {answer.json()["rows"][0]["fallback"] for answer in answers} == {"prior"}
    assert time.monotonic() - begun < ENOUGH_S
    assert served.api.meter.value("rapport_store_failures_total") < 20
    own_redis.thaw()
    assert until_scored(served, "1")[0]["fallback"] == "none"


def test_a_store_of_another_shape_is_said_to_be_so(
    make_client: MakeClient, store: RedisStore, plain_redis: Any, corner: str
) -> None:
    """A wrong database, or somebody else's keys: an error with a code, no trace."""
    plain_redis.rpush(f"{corner}:stamp", "a list where text should be")
    answer = make_client(key_prefix=corner).post("/v1/score", {"member_ids": ["1"]})
    problem_of(answer, 503, "nothing_published")  # MGET gives nothing for what is no text
