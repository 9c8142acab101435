"""/v1/recommend: k, exclusions, own lists and popular ones, and what each list says about where it came from."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.build import FeatureRows
from features.online_store import RecommendationList, RedisStore
from features.settings import Settings
from features.store_keys import Keys
from serving.list_schemas import RecommendResponse
from tests.serving.asgi import Client, assert_guarded
from tests.serving.conftest import MakeClient
from tests.serving.registries import shrink_catalogue
from training.registry import load, resolve


def ids(row: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in row["items"]]


@pytest.fixture(scope="session")
def popular(mlruns: Path) -> list[str]:
    """What the champion knows to be popular."""
    best: list[str] = load(resolve(mlruns, "recommender")).popular_items(50)  # type: ignore[union-attr]
    return best


def test_a_known_member_gets_the_list_published_for_them(client: Client, settings: Settings, plain_redis: Any) -> None:
    member = "1"
    (row,) = client.recommend(member, k=50)["rows"]
    published = RecommendationList.from_bytes(plain_redis.get(Keys(settings.key_prefix).recommendations(member)))

    assert (row["status"], row["reason"], row["fallback"], row["age_seconds"]) == ("OK", None, "none", 0)
    assert row["as_of"] == published.as_of
    assert [(i["item_id"], i["source"]) for i in row["items"]] == [(i.item_id, i.source) for i in published.items]
    assert len(row["items"]) == 50


def test_the_answer_is_what_the_schema_says(client: Client, members: list[str]) -> None:
    answer = client.post("/v1/recommend", {"member_ids": [*members, "nobody"], "k": 20})

    assert answer.status == 200
    assert_guarded(answer, at_once=True)
    parsed = RecommendResponse.model_validate_json(answer.body)
    assert parsed.model_dump() == answer.json()
    assert [row.member_id for row in parsed.rows] == [*members, "nobody"]
    for row in parsed.rows:
        assert [item.place for item in row.items] == list(range(1, 21))
        assert len({item.item_id for item in row.items}) == 20
    assert {"bought_before", "popular"} <= {item.source for row in parsed.rows for item in row.items}


def test_the_passport_names_the_model_that_made_the_lists(client: Client, mlruns: Path, members: list[str]) -> None:
    answer = client.post("/v1/recommend", {"member_ids": members[:1]})
    passport = answer.json()["passport"]

    assert set(passport["models"]) == {"recommender"}
    assert passport["models"]["recommender"]["version"] == resolve(mlruns, "recommender").version
    assert passport["decision_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("k", [1, 2, 10, 50])
def test_k_is_honoured_and_shorter_lists_are_beginnings_of_longer_ones(client: Client, members: list[str], k: int) -> None:
    longest, shorter = client.recommend(*members[:20], k=50)["rows"], client.recommend(*members[:20], k=k)["rows"]
    assert [ids(row) for row in shorter] == [ids(row)[:k] for row in longest]


def test_ten_items_are_the_default(client: Client, members: list[str]) -> None:
    assert len(client.recommend(members[0])["rows"][0]["items"]) == 10


def test_excluded_items_never_come_and_others_move_up(client: Client, members: list[str]) -> None:
    before = ids(client.recommend(members[0], k=50)["rows"][0])
    excluded = before[0:20:2]
    (row,) = client.recommend(members[0], k=10, exclude=excluded)["rows"]

    assert ids(row) == [item for item in before if item not in excluded][:10]
    assert row["status"] == "OK"


def test_a_list_shortened_by_exclusions_is_topped_up_with_what_sells_in_the_members_buying_group(
    client: Client, settings: Settings, mlruns: Path, members: list[str], plain_redis: Any
) -> None:
    catalogue = load(resolve(mlruns, "recommender")).catalogue  # type: ignore[union-attr]
    own = ids(client.recommend(members[0], k=50)["rows"][0])
    (row,) = client.recommend(members[0], k=5, exclude=own[1:])["rows"]

    group = RecommendationList.from_bytes(plain_redis.get(Keys(settings.key_prefix).recommendations(members[0]))).group
    best = np.argsort(-(np.log1p(catalogue.buyers_28d) + catalogue.group_share[group]), kind="stable")
    assert group >= 0
    assert ids(row) == [own[0], *[item for item in catalogue.item_ids[best].tolist() if item not in own][:4]]
    assert [item["source"] for item in row["items"][1:]] == ["popular_in_group"] * 4


def test_whose_list_cannot_be_read_gets_what_sells_in_the_group_of_what_they_bought(
    make_client: MakeClient, settings: Settings, corner: str, plain_redis: Any, members: list[str]
) -> None:
    there, here = Keys(settings.key_prefix), Keys(corner)
    plain_redis.set(here.recommendations(members[0]), b"garbage")
    plain_redis.copy(there.list_past(members[0]), here.list_past(members[0]), replace=True)
    client = make_client(key_prefix=corner)
    (row,) = client.recommend(members[0], k=5)["rows"]
    assert (row["status"], row["reason"], row["fallback"]) == ("FALLBACK", "record_unreadable", "popular_in_group")
    assert {item["source"] for item in row["items"]} == {"popular_in_group"}
    assert 'rapport_ladder_total{route="recommend",step="popular_in_group"} 1' in client.get("/metrics").body.decode()
    plain_redis.set(here.list_past(members[0]), b"garbage")
    assert client.recommend(members[0], k=5)["rows"][0]["fallback"] == "popular"


def test_unknown_and_repeated_exclusions_are_ignored(client: Client, members: list[str]) -> None:
    plain = client.recommend(members[0])["rows"]
    first = ids(plain[0])[0]

    assert client.recommend(members[0], exclude=["no such item", "no such item", "0"])["rows"] == plain
    once = client.recommend(members[0], exclude=[first])["rows"]
    assert client.recommend(members[0], exclude=[first, "no such item", first, first])["rows"] == once


def test_an_unknown_member_gets_what_is_popular_and_is_told_so(client: Client, popular: list[str]) -> None:
    (row,) = client.recommend("nobody", k=7)["rows"]

    assert (row["status"], row["reason"], row["fallback"], row["as_of"]) == ("COLD", "no_list", "popular", None)
    assert ids(row) == popular[:7]
    assert {item["source"] for item in row["items"]} == {"popular"}


def test_one_id_may_stand_several_times(client: Client, members: list[str]) -> None:
    rows = client.recommend(members[0], "nobody", members[0])["rows"]
    assert len(rows) == 3
    assert rows[0] == rows[2] != rows[1]


def test_everything_excluded_gives_an_empty_list_and_the_reason(make_client: MakeClient, mlruns_copy: Path) -> None:
    catalogue = shrink_catalogue(mlruns_copy, 6)
    client = make_client(mlruns_dir=mlruns_copy)
    own = ids(client.recommend("1", k=50)["rows"][0])
    rows = client.recommend("1", "nobody", exclude=[*own, *catalogue])["rows"]

    for row in rows:
        assert (row["status"], row["reason"], row["items"]) == ("PARTIAL", "all_excluded", [])


def test_k_above_the_catalogue_gives_a_shorter_list(make_client: MakeClient, mlruns_copy: Path) -> None:
    catalogue = shrink_catalogue(mlruns_copy, 6)
    client = make_client(mlruns_dir=mlruns_copy)

    assert ids(client.recommend("nobody", k=50)["rows"][0]) == catalogue
    assert ids(client.recommend("nobody", k=50, exclude=catalogue[:2])["rows"][0]) == catalogue[2:]


def test_a_list_that_expired_gives_way_to_popular_items(
    make_client: MakeClient, settings: Settings, store: RedisStore, corner: str, plain_redis: Any, popular: list[str]
) -> None:
    keys = Keys(corner)
    published = RecommendationList.from_bytes(plain_redis.get(Keys(settings.key_prefix).recommendations("1")))
    store.write_lists(["1"], [published])
    client = make_client(key_prefix=corner)
    assert ids(client.recommend("1", k=3)["rows"][0]) == [item.item_id for item in published.items[:3]]
    assert 0 < plain_redis.ttl(keys.recommendations("1")) <= 2 * 24 * 3600

    assert plain_redis.delete(keys.recommendations("1")) == 1
    (row,) = client.recommend("1", k=3)["rows"]
    assert (row["status"], row["reason"], row["fallback"]) == ("COLD", "no_list", "popular")
    assert ids(row) == popular[:3]


@pytest.mark.parametrize(("hours", "status"), [(26, "OK"), (27, "STALE")])
def test_an_old_list_is_flagged(make_client: MakeClient, rows: FeatureRows, hours: int, status: str) -> None:
    (row,) = make_client(now=rows.as_of + timedelta(hours=hours)).recommend("1")["rows"]
    assert (row["status"], row["age_seconds"], row["fallback"]) == (status, hours * 3600, "none")
