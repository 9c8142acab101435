"""Faults of the store: what is answered instead, how soon, what readiness says of it, and that all is well afterwards."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import redis

from features.build import FeatureRows
from features.codec import encode
from features.contract import CONTRACT
from features.online_store import RedisStore
from features.settings import Settings
from features.stamp import Edition, Stamp
from features.store_keys import Keys
from serving.list_schemas import RecommendResponse
from serving.score_schemas import ScoreResponse
from tests.serving.asgi import Answer, Client, problem_of
from tests.serving.conftest import MakeClient
from tests.serving.own_redis import OwnRedis

TIMEOUT_MS = 50
AT_MOST_S = 3.0  # about a second, and room for a busy machine; a client that waits or retries by default takes longer
BACK_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def own_redis(plain_redis: Any, published: str) -> Iterator[OwnRedis]:
    """A server that holds what was published."""
    server = OwnRedis()
    server.fill(plain_redis, published)
    yield server
    server.close()


@pytest.fixture
def served(own_redis: OwnRedis, make_client: MakeClient) -> Iterator[Client]:
    """A client of an app on that server, which is up again after the test."""
    yield make_client(redis_url=own_redis.url, redis_timeout_ms=TIMEOUT_MS)
    own_redis.kill()
    own_redis.start()


def timed(ask: Callable[[], Answer]) -> tuple[Answer, float]:
    """An answer and the seconds it took."""
    begun = time.monotonic()
    return ask(), time.monotonic() - begun


def until_scored(client: Client, *member_ids: str) -> Any:
    """The rows of the first score that is answered 200 again."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while (answer := client.post("/v1/score", {"member_ids": member_ids})).status != 200 or b"store_unav" in answer.body:
        assert time.monotonic() < deadline, answer.body
        time.sleep(0.02)
    return answer.json()["rows"]


def readiness(client: Client) -> tuple[int, Any]:
    """Status of the ready endpoint, and what it says of the store."""
    answer = client.get("/health/ready", headers=[])
    return answer.status, answer.json()["store"]


def assert_without_store(client: Client, *, priors: bool = False) -> None:
    """Everything that holds while the store does not answer, each answer in time; with priors if it ever did."""
    answer, seconds = timed(lambda: client.post("/v1/score", {"member_ids": ["1", "nobody"]}))
    assert seconds < AT_MOST_S
    if priors:
        rows = ScoreResponse.model_validate_json(answer.body).rows
        assert {(row.status, row.reason, row.fallback) for row in rows} == {("FALLBACK", "store_unavailable", "prior")}
        assert rows[0].churn == rows[1].churn is not None
        assert answer.json()["passport"]["models"] == {}
    else:
        problem_of(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) >= 1

    answer, seconds = timed(lambda: client.post("/v1/recommend", {"member_ids": ["1", "nobody"], "k": 5}))
    assert answer.status == 200
    assert seconds < AT_MOST_S
    lists = RecommendResponse.model_validate_json(answer.body).rows
    for row in lists:
        assert (row.status, row.reason, row.fallback, row.as_of) == ("FALLBACK", "store_unavailable", "popular", None)
        assert {item.source for item in row.items} == {"popular"}
        assert len(row.items) == 5
    assert lists[0].items == lists[1].items

    assert readiness(client) == (503, "store_unavailable")
    assert client.get("/health/live", headers=[]).status == 200


def test_redis_down(served: Client, own_redis: OwnRedis, active_member: str) -> None:
    before = served.score(active_member, "nobody")["rows"]
    own_redis.kill()

    assert_without_store(served, priors=True)

    own_redis.start()
    assert until_scored(served, active_member, "nobody") == before
    assert readiness(served) == (200, "ok")
    assert served.recommend(active_member)["rows"][0]["status"] == "OK"


def test_redis_down_from_the_start(own_redis: OwnRedis, make_client: MakeClient, active_member: str) -> None:
    own_redis.kill()
    client = make_client(redis_url=own_redis.url, redis_timeout_ms=TIMEOUT_MS)
    assert_without_store(client)

    own_redis.start()
    assert until_scored(client, active_member)[0]["status"] == "OK"


def test_redis_frozen(served: Client, own_redis: OwnRedis, members: list[str]) -> None:
    first, second = (served.score(member)["rows"] for member in members[:2])
    own_redis.freeze()

    assert_without_store(served, priors=True)
    begun = time.monotonic()
    answers = served.together("/v1/score", [{"member_ids": [members[0]]}] * 50)
    assert {answer.json()["rows"][0]["fallback"] for answer in answers} == {"prior"}
    assert time.monotonic() - begun < AT_MOST_S

    own_redis.thaw()
    # The answers to the questions given up must not be taken for answers to these.
    assert until_scored(served, members[1]) == second
    assert until_scored(served, members[0]) == first
    assert readiness(served) == (200, "ok")


def test_redis_restarted_empty(served: Client, own_redis: OwnRedis, plain_redis: Any, published: str) -> None:
    with redis.Redis.from_url(own_redis.url) as own:
        own.flushall()
    problem_of(served.post("/v1/score", {"member_ids": ["1"]}), 503, "nothing_published")
    assert readiness(served) == (503, "nothing_published")

    own_redis.fill(plain_redis, published)
    assert until_scored(served, "1")[0]["status"] == "OK"


def test_redis_wants_a_password_that_we_do_not_have(served: Client, own_redis: OwnRedis, make_client: MakeClient) -> None:
    with redis.Redis.from_url(own_redis.url) as own:
        own.config_set("requirepass", "of-the-store")
    assert_without_store(make_client(redis_url=own_redis.url, redis_timeout_ms=TIMEOUT_MS))

    address = f"unix://:wrong-password@{own_redis.socket}"
    answer = make_client(redis_url=address, redis_timeout_ms=TIMEOUT_MS).post("/v1/score", {"member_ids": ["1"]})
    problem_of(answer, 503, "store_unavailable")
    assert "password" not in answer.body.decode()
    assert make_client(redis_url=f"unix://:of-the-store@{own_redis.socket}").score("1")["rows"][0]["status"] == "OK"


def test_nothing_published(make_client: MakeClient, corner: str) -> None:
    client = make_client(key_prefix=corner)
    answer = client.post("/v1/score", {"member_ids": ["1"]})

    document = problem_of(answer, 503, "nothing_published")
    assert "rapport publish" in document["detail"]
    assert "retry-after" in answer.headers
    assert readiness(client) == (503, "nothing_published")
    (row,) = client.recommend("1")["rows"]
    assert (row["status"], row["reason"], row["fallback"]) == ("COLD", "no_list", "popular")


@pytest.fixture
def stamp(settings: Settings) -> Stamp:
    """What was published last."""
    store = RedisStore(settings.redis_url, prefix=settings.key_prefix)
    found = store.read_stamp()
    store.close()
    assert found is not None
    return found


def test_features_of_another_contract(make_client: MakeClient, store: RedisStore, corner: str, stamp: Stamp) -> None:
    client = make_client(key_prefix=corner)
    store.write_stamp(replace(stamp, contract="0" * 64))
    answer = client.post("/v1/score", {"member_ids": ["1"]})

    document = problem_of(answer, 503, "contract_mismatch")
    assert "rapport publish" in document["detail"]
    assert CONTRACT.hash[:8] in document["detail"]
    assert "retry-after" in answer.headers
    assert readiness(client) == (503, "contract_mismatch")

    store.write_stamp(stamp)  # published again: no restart is needed
    assert client.score("1")["rows"][0]["status"] == "COLD"
    assert readiness(client) == (200, "ok")


@pytest.mark.parametrize("value", [b"", b"garbage", b"{}", b"[]", b"null", b'{"contract": 1}', b"\xff\xfe"])
def test_a_stamp_that_cannot_be_read(
    make_client: MakeClient, plain_redis: Any, corner: str, store: RedisStore, value: bytes
) -> None:
    plain_redis.set(Keys(corner).stamp, value)
    client = make_client(key_prefix=corner)

    problem_of(client.post("/v1/score", {"member_ids": ["1"]}), 503, "corrupt_record")
    assert readiness(client) == (503, "corrupt_record")


def test_what_nobody_foresaw_is_an_error_without_details(
    make_client: MakeClient, store: RedisStore, corner: str, stamp: Stamp, rows: FeatureRows, caplog: pytest.LogCaptureFixture
) -> None:
    store.write_aggregates(["13812345678"], encode(CONTRACT, rows.records[:1], as_of=rows.as_of, written_at=rows.as_of))
    store.write_stamp(replace(stamp, edges={}))
    answer = make_client(key_prefix=corner).post("/v1/score", {"member_ids": ["13812345678"]})

    document = problem_of(answer, 500, "internal")
    assert document["detail"] == "the server could not answer"
    assert "13812345678" not in answer.body.decode() + caplog.text
    assert f"request {answer.headers['x-request-id']} failed" in caplog.messages


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated by a byte": lambda value: value[:-1],
    "truncated to the header": lambda value: value[:26],
    "padded": lambda value: value + b"\x00",
    "twice": lambda value: value * 2,
    "empty": lambda value: b"",
    "of another contract": lambda value: value[:2] + bytes(8) + value[10:],
    "of another format": lambda value: b"R2" + value[2:],
    "somebody else's": lambda value: b'{"spend": 12}',
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_one_members_record_cannot_be_read(
    make_client: MakeClient,
    settings: Settings,
    store: RedisStore,
    corner: str,
    stamp: Stamp,
    plain_redis: Any,
    members: list[str],
    damage: Callable[[bytes], bytes],
) -> None:
    chosen = members[:5]
    values = [plain_redis.get(Keys(settings.key_prefix).aggregates(member)) for member in chosen]
    store.write_aggregates(chosen, values)
    store.write_stamp(stamp)
    client = make_client(key_prefix=corner)
    whole = client.score(*chosen)["rows"]
    plain_redis.set(Keys(corner).aggregates(chosen[2]), damage(values[2]))

    answer = client.post("/v1/score", {"member_ids": [*chosen, "nobody"]})
    rows = answer.json()["rows"]
    ScoreResponse.model_validate_json(answer.body)
    assert (rows[2]["status"], rows[2]["reason"], rows[2]["fallback"]) == ("FALLBACK", "record_unreadable", "refused")
    assert rows[2]["churn"] is rows[2]["tier"] is None
    assert rows[:2] + rows[3:5] == whole[:2] + whole[3:5]
    assert rows[5]["status"] == "COLD"


@pytest.mark.parametrize("value", [b"", b"garbage", b"[]", b'{"model": "m", "as_of": "2018-01-01T05:00:00+00:00"}'])
def test_one_members_list_cannot_be_read(
    make_client: MakeClient,
    settings: Settings,
    store: RedisStore,
    corner: str,
    plain_redis: Any,
    members: list[str],
    value: bytes,
) -> None:
    for member in members[:3]:
        stored = plain_redis.get(Keys(settings.key_prefix).recommendations(member))
        plain_redis.set(Keys(corner).recommendations(member), value if member == members[1] else stored)

    rows = make_client(key_prefix=corner).recommend(*members[:3])["rows"]
    assert [row["status"] for row in rows] == ["OK", "FALLBACK", "OK"]
    assert (rows[1]["reason"], rows[1]["fallback"]) == ("record_unreadable", "popular")
    assert {item["source"] for item in rows[1]["items"]} == {"popular"}


def test_a_row_is_as_fresh_as_the_publish_that_left_it_as_it_was(
    make_client: MakeClient,
    store: RedisStore,
    corner: str,
    stamp: Stamp,
    rows: FeatureRows,
    members: list[str],
) -> None:
    """An old header under a fresh stamp is fresh; under an old stamp each row is as old as the newer of the two."""
    long_ago = rows.as_of - timedelta(days=9)
    active = rows.records[np.argsort(rows.column("days_since_last_purchase"), kind="stable")[:2]]
    fresh = encode(CONTRACT, active[:1], as_of=rows.as_of, written_at=rows.as_of)
    old = encode(CONTRACT, active[1:], as_of=long_ago - timedelta(days=20), written_at=long_ago)
    store.write_aggregates(members[:2], [*fresh, *old])
    client = make_client(key_prefix=corner)

    store.write_stamp(stamp)
    answer = client.score(*members[:2])
    assert [row["age_seconds"] for row in answer["rows"]] == [0, 0]
    assert {row["as_of"] for row in answer["rows"]} == {rows.as_of.isoformat()}
    assert [row["status"] for row in answer["rows"]] == ["OK", "OK"]
    assert answer["passport"]["features_age_seconds"] == 0

    store.write_stamp(replace(stamp, as_of=long_ago.isoformat()))
    answer = client.score(*members[:2])
    assert [row["age_seconds"] for row in answer["rows"]] == [0, 9 * 86_400]
    assert [row["as_of"] for row in answer["rows"]] == [rows.as_of.isoformat(), long_ago.isoformat()]
    assert [row["status"] for row in answer["rows"]] == ["OK", "STALE"]
    assert (answer["passport"]["features_as_of"], answer["passport"]["features_age_seconds"]) == (
        long_ago.isoformat(),
        9 * 86_400,
    )


def test_rows_of_a_publish_under_way_are_read_with_its_edges(
    make_client: MakeClient, store: RedisStore, corner: str, stamp: Stamp, rows: FeatureRows, members: list[str]
) -> None:
    """The same record twice, once of the publish under way: edges a hundred times as high make it a lowest fifth."""
    best = int(rows.column("monetary_score").argmax())
    record, under_way = rows.records[[best]], rows.as_of + timedelta(hours=1)
    before = encode(CONTRACT, record, as_of=rows.as_of, written_at=rows.as_of)
    after = encode(CONTRACT, record, as_of=rows.as_of, written_at=under_way)
    edges = {name: value * 100 for name, value in stamp.edges.items() if value is not None}
    assert edges.keys() == stamp.edges.keys()
    store.write_aggregates(members[:2], [*before, *after])
    client = make_client(key_prefix=corner)

    store.write_stamp(stamp)
    first, second = client.score(*members[:2])["rows"]
    assert first["rfm_tier"] == second["rfm_tier"] == "diamond"

    store.write_stamp(stamp.begun(Edition(rows.as_of.isoformat(), under_way.isoformat(), edges)))
    first, second = client.score(*members[:2])["rows"]
    assert first["rfm_tier"] == "diamond"
    assert second["rfm_tier"] != "diamond"
