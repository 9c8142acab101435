"""Lists answered on the spot are to the byte those answered by themselves, and know at once of all that changes."""

import re
from typing import Any

import pytest

from features.list_records import RecommendationList
from features.settings import Settings
from features.store_keys import Keys
from serving.list_engine import FEW, ListEngine
from tests.serving.asgi import Client
from tests.serving.conftest import MakeClient

VARYING = re.compile(rb'"decision_id":"[0-9a-f]{32}"|"stock_age_seconds":(\d+|null)')


def body_of(client: Client, content: dict[str, Any]) -> bytes:
    """The body of an answer but for what no two answers share."""
    answer = client.post("/v1/recommend", content)
    assert answer.status == 200, answer.body
    return VARYING.sub(b"", answer.body)


@pytest.fixture
def by_itself(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client whose requests are read together, and answered one by one, by those who look at everything."""
    client = make_client()
    monkeypatch.setattr(client.api._lists._engine, "_answer", lambda *_: None)
    return client


def test_bodies_are_the_same_whoever_answers(client: Client, by_itself: Client, members: list[str]) -> None:
    bodies: list[dict[str, Any]] = [
        {"member_ids": members[:1]},
        {"member_ids": [members[0], members[1], members[0]], "k": 50},
        {"member_ids": members[:FEW], "k": 20, "adult": True},
        {"member_ids": members[: FEW + 1], "k": 20},
        {"member_ids": [members[0], "nobody"], "k": 3},
        {"member_ids": members[:2], "exclude": ["1082185", "1029743"], "store": "367"},
        {"member_ids": members[:2], "context": ["1082185"]},
        {"member_ids": members[:2], "dry_run": True},
    ]
    for content in bodies:
        first = body_of(client, content)
        assert body_of(client, content) == first
        assert body_of(by_itself, content) == first, content


def test_plain_requests_are_answered_on_the_spot_and_others_are_not(
    client: Client, members: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spot: list[bool] = []
    answer = ListEngine._answer

    def noted(*given: Any) -> bytes | None:
        told = answer(*given)
        spot.append(told is not None)
        return told

    monkeypatch.setattr(ListEngine, "_answer", noted)
    for content in (
        {"member_ids": members[:2], "k": 20},
        {"member_ids": members[:2], "k": 20, "exclude": ["1"]},
        {"member_ids": ["nobody"]},
        {"member_ids": members[:1], "context": ["1082185"]},
        {"member_ids": members[: FEW + 1]},
        {"member_ids": members[:1], "placement": "no-such"},
    ):
        client.post("/v1/recommend", content)
    assert spot == [True, True, False, False, False, False]


def test_who_refuses_is_erased_or_gets_another_list_is_answered_so_at_once(
    client: Client, settings: Settings, plain_redis: Any
) -> None:
    keys, asked = Keys(settings.key_prefix), {"member_ids": ["1"], "k": 5}
    record = plain_redis.get(keys.recommendations("1"))
    first = body_of(client, asked)
    stands = RecommendationList.from_bytes(record)
    try:
        plain_redis.set(keys.opted_out("1"), b"said")
        assert b'"OPTED_OUT"' in body_of(client, asked)
        plain_redis.delete(keys.opted_out("1"))
        assert body_of(client, asked) == first
        plain_redis.delete(keys.recommendations("1"))
        assert b'"no_list"' in body_of(client, asked)
        turned = RecommendationList(stands.model, stands.as_of, stands.items[::-1], stands.day, stands.lately, stands.group)
        plain_redis.set(keys.recommendations("1"), turned.to_bytes())
        assert body_of(client, asked) != first
    finally:
        plain_redis.delete(keys.opted_out("1"))
        plain_redis.set(keys.recommendations("1"), record, ex=100_000)
    assert body_of(client, asked) == first
