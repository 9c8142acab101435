"""An event moves the answers: base and today are read together, and a member whom only the stream knows is answered too."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from features.build import FeatureRows
from features.days import day_of
from features.events.schema import Line
from features.facts import Facts
from features.live_store import LIVE_SECONDS
from features.online_store import RedisStore
from features.publish import publish
from features.store_keys import Keys
from tests.serving.asgi import Client
from tests.serving.stream_world import NOON, World, event

MakeClient = Callable[..., Client]


@pytest.fixture
def world(rows: FeatureRows, store_url: str, corner: str) -> World:
    publish(rows, RedisStore(store_url, prefix=corner))
    return World(store_url, corner)


@pytest.fixture
def later(make_client: MakeClient, corner: str, rows: FeatureRows) -> Client:
    """A client of a worker that answers some hours after the publish."""
    return make_client(key_prefix=corner, now=rows.as_of + timedelta(hours=9))


def hours_after(rows: FeatureRows, hours: float) -> float:
    """What `event` calls the moment so many hours after the publish."""
    return (rows.as_of + timedelta(hours=hours) - NOON).total_seconds() / 3600


def score(client: Client, member: str) -> dict[str, Any]:
    answer = client.post("/v1/score", {"member_ids": [member]})
    assert answer.status == 200
    row: dict[str, Any] = answer.json()["rows"][0]
    return row


def test_a_purchase_moves_the_score_of_its_member_and_of_nobody_else(
    world: World, later: Client, rows: FeatureRows, facts: Facts
) -> None:
    silence = rows.column("days_since_last_purchase")
    lapsed = str(rows.member_ids[int(np.argsort(np.where(silence <= 80, silence, -1))[-1])])
    other = str(rows.member_ids[int(silence.argmin())])
    before, others = score(later, lapsed), score(later, other)

    world.accept(event("purchase", lapsed, at=hours_after(rows, 8), lines=(Line(net_cents=9000, item_id="1"),)))
    world.worker().drain()
    after = score(later, lapsed)

    assert before["churn"]["probability"] - after["churn"]["probability"] > 0.02
    assert score(later, other) == others


def test_a_member_whom_only_the_stream_knows_is_answered(world: World, later: Client, rows: FeatureRows) -> None:
    assert score(later, "newcomer")["status"] == "COLD"

    world.accept(event("purchase", "newcomer", at=hours_after(rows, 8)))
    world.worker().drain()
    row = score(later, "newcomer")

    assert row["status"] in {"OK", "PARTIAL"}
    assert row["lifecycle_stage"] == "new"
    assert row["age_seconds"] == 9 * 3600
    assert [score(later, "newcomer"), score(later, "nobody")["status"]] == [row, "COLD"]


def test_a_batch_of_members_with_and_without_base_and_news_is_each_as_alone(
    world: World, later: Client, rows: FeatureRows
) -> None:
    members = [*rows.member_ids[:20].tolist(), "newcomer", "nobody"]
    world.accept(*(event("purchase", m, at=hours_after(rows, 8)) for m in [*members[:20:3], "newcomer"]))
    world.worker().drain()

    together = later.post("/v1/score", {"member_ids": members}).json()["rows"]

    assert together == [score(later, member) for member in members]


def test_what_the_shop_does_not_know_is_told_in_the_stamp(world: World, rows: FeatureRows) -> None:
    stamp = RedisStore(world.url, prefix=world.prefix).read_stamp()

    assert stamp is not None
    assert "views_7d" in stamp.unknown
    assert "purchases_7d" not in stamp.unknown


def test_a_publish_takes_over_what_its_facts_hold(world: World, later: Client, rows: FeatureRows, facts: Facts) -> None:
    member = str(rows.member_ids[0])
    world.accept(event("purchase", member, at=hours_after(rows, 8)))
    world.worker().drain()
    moved = score(later, member)
    next_day = replace(rows, as_of=rows.as_of + timedelta(days=1), day=day_of(rows.as_of, facts.zone) + 1)
    publish(next_day, RedisStore(world.url, prefix=world.prefix), all_rows=True)

    settled = score(later, member)

    assert moved["churn"] != settled["churn"]  # these facts do not hold it: what the base should hold is not added again


def test_a_live_value_that_cannot_be_read_is_left_out(world: World, later: Client, rows: FeatureRows) -> None:
    member = str(rows.member_ids[0])
    before = score(later, member)
    world.plain.set(Keys(world.prefix).live(member), b"not ours", ex=LIVE_SECONDS)

    assert score(later, member) == before
