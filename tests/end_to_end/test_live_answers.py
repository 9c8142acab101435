"""A purchase from its request to the answers it moves, through the real pieces: /v1/events, stream, worker, score and list."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands.live_minute import live_minute
from features.build import FeatureRows
from features.events.keys import EventKeys
from features.events.publish_shop import publish_event_shop
from features.facts import Facts
from features.list_records import ListStamp
from features.online_store import RedisStore
from features.publish import publish
from features.screen import Screen
from features.settings import Settings
from serving.api import Api
from serving.stream_at_work import open_worker
from serving.stream_worker import StreamWorker
from tests.serving.asgi import Client
from training.publish_answers import champion_of, publish_lists


@dataclass
class Shop:
    """A shop at nine in the morning, published that midnight: a server, a worker, and two members who have lists."""

    client: Client
    worker: StreamWorker
    settings: Settings
    silent: str
    other: str

    def answers(self, member: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is said of a member: the row of the score and the row of the list."""
        return self.client.score(member)["rows"][0], self.client.recommend(member, k=20)["rows"][0]

    def purchase(self, items: list[str]) -> dict[str, Any]:
        """The event of an order by the silent member, half an hour ago."""
        assert self.settings.now is not None
        return {
            "schema_version": 1,
            "type": "purchase",
            "event_id": "one-order",
            "occurred_at": (self.settings.now - timedelta(minutes=30)).isoformat(),
            "member_id": self.silent,
            "order_id": "one-order",
            "channel": "store",
            "lines": [{"item_id": item, "quantity": 1, "net_cents": 3000} for item in items],
        }


@pytest.fixture
def settings(rows: FeatureRows, mlruns: Path, store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        mlruns_dir=mlruns,
        redis_url=store_url,
        redis_timeout_ms=2000,
        key_prefix=f"test-{request.node.name}",
        triggers_dir=tmp_path / "triggers",
        now=rows.as_of + timedelta(hours=9),
    )


@pytest.fixture
def shop(settings: Settings, facts: Facts, rows: FeatureRows) -> Iterator[Shop]:
    silence = rows.column("days_since_last_purchase")
    by_silence = rows.member_ids[np.argsort(np.where(silence <= 80, silence, -1))]
    silent, other = str(by_silence[-1]), str(by_silence[-2])
    store, champion = (
        RedisStore(settings.redis_url, prefix=settings.key_prefix),
        champion_of(settings.mlruns_dir, "recommender"),
    )
    assert champion is not None
    publish(rows, store)
    publish_event_shop(facts, settings.redis_url, EventKeys(settings.key_prefix, settings.event_partitions))
    as_of = rows.as_of.isoformat()
    publish_lists(np.array([silent, other]), facts, champion, store, day=rows.day, as_of=as_of)
    store.write_list_stamp(ListStamp(champion.label, as_of, rows.day))
    with closing(Client(Api(settings))) as client, closing(open_worker(settings, settings.redis_url)) as worker:
        yield Shop(client, worker, settings, silent, other)


def test_a_purchase_over_http_moves_the_next_score_and_the_next_list(shop: Shop) -> None:
    before, others = shop.answers(shop.silent), shop.answers(shop.other)
    assert before[1]["live"] is False
    bought = [item["item_id"] for item in before[1]["items"]][:3]
    order = shop.purchase(bought)

    assert shop.client.post("/v1/events", order).status == 202
    assert shop.answers(shop.silent) == before, "an event moves nothing before a worker has applied it"
    assert shop.worker.drain() == 1
    score, listed = shop.answers(shop.silent)

    assert before[0]["churn"]["probability"] - score["churn"]["probability"] > 0.02
    assert listed["live"] is True
    assert listed["as_of"] == before[1]["as_of"]
    assert len(listed["items"]) == 20
    assert not {item["item_id"] for item in listed["items"]} & set(bought)
    assert shop.answers(shop.other) == others

    assert shop.client.post("/v1/events", order).status == 202
    shop.worker.drain()
    assert shop.answers(shop.silent) == (score, listed), "the same event again counts nothing"


def test_the_demos_live_minute_shows_features_risk_and_list_moving(
    settings: Settings, facts: Facts, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = live_minute(settings, Screen(as_json=False), store_url, facts)

    shown = capsys.readouterr().out
    assert figures["live_mismatches"] == 0
    assert figures["live_offers_moved"] > 0
    table = [line.split("│") for line in shown.splitlines() if line.startswith("│") and line.split("│")[1].strip()]
    assert len(table) > 1
    for column in (3, 4, 5):  # spend, days since, risk
        assert table[0][column] != table[-1][column]
    left = RedisStore(store_url, prefix=f"{settings.key_prefix}-live")
    assert left.read_stamp() is None, "nothing of it stays in the store"
    left.close()
