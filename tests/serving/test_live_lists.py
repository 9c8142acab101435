"""A purchase or a look moves the list of the next answer, without any job: for members of the night and for newcomers."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.build import FeatureRows
from features.errors import CorruptRecord, StoreUnavailable
from features.list_records import ListStamp, RecommendationList
from features.live_items import live_items
from features.online_reader import RedisReader
from features.settings import Settings
from features.store_keys import Keys
from serving import live_members
from serving.list_reading import ListReader
from serving.list_schemas import CashierResponse, RecommendResponse
from serving.live_members import CART, VIEW
from tests.serving.asgi import Client
from tests.serving.conftest import MakeClient
from training.lists.behaviour import LOOKS
from training.predictors import Recommender
from training.predictors.live_lists import list_of_now
from training.registry import load, resolve

Act = Callable[..., None]


def ids(row: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in row["items"]]


@pytest.fixture
def act(plain_redis: Any, settings: Settings, rows: FeatureRows) -> Iterator[Act]:
    """Counts what a member does on a day as the stream does; forgotten after the test."""
    written: set[str] = set()

    def count(member: str, *, day: int = rows.day, **items: list[str]) -> None:
        key = Keys(settings.key_prefix).live_items(member, day)
        written.add(key)
        for kind, names in items.items():
            for name in names:
                plain_redis.hincrby(key, f"{kind}:{name}", 1)

    yield count
    plain_redis.delete(*(written or {"nothing"}))


@pytest.fixture(scope="session")
def recommender(mlruns: Path) -> Recommender:
    """The champion."""
    found = load(resolve(mlruns, "recommender"))
    assert isinstance(found, Recommender)
    return found


def test_what_was_just_bought_is_gone_and_the_rest_stays_sensible(client: Client, act: Act) -> None:
    (before,) = client.recommend("1", k=50)["rows"]
    bought = ids(before)[:3]
    assert before["live"] is False

    act("1", p=bought)
    (after,) = client.recommend("1", k=50)["rows"]

    assert after["live"] is True
    assert not set(bought) & set(ids(after))
    assert len(after["items"]) == 50
    assert len(set(ids(after)) & set(ids(before))) > 25
    for name in ("status", "reason", "fallback", "as_of", "age_seconds", "list_model"):
        assert after[name] == before[name]
    assert client.recommend("10", k=50)["rows"][0]["live"] is False


def test_a_look_brings_the_thing_itself_and_what_goes_with_it(client: Client, act: Act, recommender: Recommender) -> None:
    before = {item["item_id"]: item for item in client.recommend("1", k=50)["rows"][0]["items"]}
    bought = {item for item in before if before[item]["source"] in {"due_again", "bought_before"}}
    strange = [item for item in recommender.popular_items(300)[200:] if item not in before][:3]

    act("1", v=strange, c=strange)
    act("1", c=strange)
    (row,) = client.recommend("1", k=50)["rows"]
    after = {item["item_id"]: item for item in row["items"]}

    assert row["live"] is True
    assert set(after) != set(before)
    shown = [after[item] for item in strange]
    assert sorted(item["place"] for item in shown) == [3, 6, 9]
    assert {item["source"] for item in shown} == {"viewed"}
    assert {item["reason"]["code"] for item in shown} == {"VIEWED"}
    assert len(bought & set(after)) > len(bought) / 2


def test_what_is_only_done_by_others_or_unknown_to_the_catalogue_changes_nothing(client: Client, act: Act) -> None:
    before = client.recommend("1")["rows"]
    act("10", p=[ids(before[0])[0]])
    act("1", p=["no such item"], v=["nor this one"], x=["of another kind"])
    assert client.recommend("1")["rows"] == before


def test_a_newcomer_has_a_list_of_their_own_from_the_second_event_on(
    client: Client, act: Act, recommender: Recommender
) -> None:
    stranger = client.recommend("new", k=20)["rows"][0]
    assert (stranger["status"], stranger["reason"], stranger["live"]) == ("COLD", "no_list", False)
    milk, other = recommender.popular_items(40)[30], recommender.popular_items(40)[35]

    act("new", v=[milk])
    act("new", p=[other])
    (row,) = client.recommend("new", k=20)["rows"]

    assert (row["status"], row["reason"], row["fallback"], row["live"]) == ("OK", None, "none", True)
    assert (row["as_of"], row["age_seconds"]) == (None, None)
    assert row["list_model"] == "recommender@1"
    assert other not in ids(row)
    assert ids(row) != ids(stranger)
    assert {"goes_with", "similar_taste", "category", "viewed"} & {item["source"] for item in row["items"]}
    catalogue = recommender.catalogue
    near = catalogue.neighbours[catalogue.rows_of(np.array([milk, other]))].ravel()
    assert set(catalogue.item_ids[near[near >= 0]].tolist()) & set(ids(row))


def test_the_till_hears_of_it_and_answers_keep_to_their_schema(client: Client, act: Act) -> None:
    first = client.post("/v1/cashier", {"member_id": "1"}).json()["things"][0]["item"]["item_id"]
    act("1", p=[first])
    answer = client.post("/v1/cashier", {"member_id": "1"})
    parsed = CashierResponse.model_validate_json(answer.body)
    assert parsed.live
    assert first not in {thing.item.item_id for thing in parsed.things}
    RecommendResponse.model_validate(client.recommend("1", "new", "10"))


def test_rules_hold_for_lists_made_anew(make_client: MakeClient, act: Act, tmp_path: Path, client: Client) -> None:
    text = "[bought]\nwithin_days = 7\nunless_due = false\n[category]\nexclude = ['FLUID MILK PRODUCTS']"
    (tmp_path / "strict.toml").write_text(text)
    ruled = make_client(rules_dir=tmp_path)
    bought = ids(client.recommend("1", k=50)["rows"][0])[5:9]
    act("1", p=bought)
    excluded = ids(ruled.recommend("1", placement="strict", k=50)["rows"][0])[0]
    (row,) = ruled.recommend("1", placement="strict", k=50, exclude=[excluded])["rows"]
    assert row["live"] is True
    assert not {excluded, *bought} & set(ids(row))
    traced = ruled.recommend("1", placement="strict", k=50, dry_run=True)["rows"][0]
    assert {each["rule"] for each in traced["removed"]} >= {"CATEGORY_EXCLUDED"}
    assert traced["live"] is True


def test_nothing_of_those_who_refused_is_used(client: Client, act: Act, settings: Settings, plain_redis: Any) -> None:
    key = Keys(settings.key_prefix).opted_out("1")
    act("1", p=ids(client.recommend("1")["rows"][0])[:2])
    plain_redis.set(key, b"said")
    try:
        (row,) = client.recommend("1")["rows"]
        assert (row["status"], row["live"], row["as_of"]) == ("OPTED_OUT", False, None)
        assert row["items"] == client.recommend("nobody")["rows"][0]["items"]
    finally:
        plain_redis.delete(key)


@pytest.mark.parametrize("hours", [30, 54])
def test_a_night_that_is_late_is_made_up_for_by_the_days_since(
    make_client: MakeClient, act: Act, rows: FeatureRows, hours: int
) -> None:
    client = make_client(now=rows.as_of + timedelta(hours=hours))
    (before,) = client.recommend("1", k=50)["rows"]
    today = rows.day + hours // 24
    act("1", p=[ids(before)[0]], day=today)
    act("1", p=[ids(before)[1]], day=rows.day)
    act("1", p=[ids(before)[2]], day=rows.day - 1)  # the night had it in its facts, or will never have it
    (after,) = client.recommend("1", k=50)["rows"]
    assert (before["status"], after["status"], after["live"]) == ("STALE", "STALE", True)
    assert ids(before)[0] not in ids(after)
    told = {item["item_id"]: item["reason"]["en"] for item in after["items"]}
    if ids(before)[1] in told:
        assert "day" in told[ids(before)[1]]


@pytest.mark.parametrize("damage", ["past", "catalogue", "gone"])
def test_without_a_history_to_read_what_was_bought_still_goes(
    client: Client, act: Act, settings: Settings, plain_redis: Any, damage: str
) -> None:
    key = Keys(settings.key_prefix).list_past("1")
    record = plain_redis.get(key)
    broken = {"past": record[:40], "catalogue": record[:16] + b"87654321" + record[24:]}
    (before,) = client.recommend("1", k=20)["rows"]
    bought = ids(before)[:2]
    act("1", p=bought)
    if damage == "gone":
        plain_redis.delete(key)
    else:
        plain_redis.set(key, broken[damage])
    try:
        (row,) = client.recommend("1", k=18)["rows"]
    finally:
        plain_redis.set(key, record, ex=1000)
    assert ids(row) == ids(before)[2:]
    assert row["live"] is True


def test_counts_that_cannot_be_read_leave_the_list_of_the_night(
    client: Client, act: Act, settings: Settings, plain_redis: Any, rows: FeatureRows
) -> None:
    before = client.recommend("1")["rows"]
    act("1", p=["1"])
    plain_redis.hset(Keys(settings.key_prefix).live_items("1", rows.day), "p:2", "many")
    assert client.recommend("1")["rows"] == before


def test_who_asks_again_gets_the_same_list_without_another_ranking(
    make_client: MakeClient, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, ranked = make_client(), []

    def counted(*given: Any, **named: Any) -> Any:
        ranked.append(given)
        return list_of_now(*given, **named)

    monkeypatch.setattr(live_members, "list_of_now", counted)
    monkeypatch.setattr(live_members, "REMEMBERED", 2)
    act("1", p=["1082185"])
    first = client.recommend("1", k=50)["rows"]
    assert client.recommend("1", k=50)["rows"] == first
    assert len(ranked) == 1
    act("1", v=["1029743"])
    assert client.recommend("1", k=50)["rows"] != first
    assert len(ranked) == 2
    for member in ("new", "newer"):
        act(member, v=["1082185"])
        assert client.recommend(member)["rows"][0]["live"] is True
    client.recommend("1")
    assert len(ranked) == 3, "two strangers who did the same share a list"
    for item in ("1029743", "995242"):
        act("new", v=[item])
        client.recommend("new")
    client.recommend("1")
    assert len(ranked) == 6, "what was asked for longest ago is forgotten"


def test_a_key_of_another_type_is_one_members_trouble(
    client: Client, act: Act, settings: Settings, plain_redis: Any, rows: FeatureRows
) -> None:
    before = client.recommend("1", "10")["rows"]
    act("10", p=["nothing"])
    key = Keys(settings.key_prefix).live_items("10", rows.day)
    plain_redis.delete(key)
    plain_redis.set(key, "text")
    assert client.recommend("1", "10")["rows"] == before


def test_where_histories_cannot_be_fetched_what_was_bought_still_goes(
    make_client: MakeClient, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    (before,) = client.recommend("1", k=20)["rows"]
    act("1", p=ids(before)[:1])

    async def away(member_ids: list[str]) -> list[bytes | None]:
        raise StoreUnavailable("the online store does not answer")

    monkeypatch.setattr(client.api._lists.members._reader.reader, "read_list_pasts", away)
    (row,) = client.recommend("1", k=19)["rows"]
    assert (ids(row), row["status"], row["live"]) == (ids(before)[1:], "OK", True)


def test_requests_that_come_together_are_read_together_and_each_gets_its_own(
    client: Client, act: Act, members: list[str], plain_redis: Any
) -> None:
    alone = [client.recommend(member, k=20)["rows"][0] for member in members[:30]]
    act(members[3], p=[alone[3]["items"][0]["item_id"]])
    alone[3] = client.recommend(members[3], k=20)["rows"][0]
    assert alone[3]["live"] is True
    before = plain_redis.info("commandstats")["cmdstat_mget"]["calls"]
    together = client.together("/v1/recommend", [{"member_ids": [member], "k": 20} for member in members[:30]])
    asked = plain_redis.info("commandstats")["cmdstat_mget"]["calls"] - before
    assert [answer.json()["rows"][0] for answer in together] == alone
    assert asked <= 10


def test_an_unchanged_list_is_as_fresh_as_the_night_that_would_have_written_it(
    make_client: MakeClient, corner: str, settings: Settings, plain_redis: Any, rows: FeatureRows, store: Any
) -> None:
    stored = plain_redis.get(Keys(settings.key_prefix).recommendations("1"))
    plain_redis.set(Keys(corner).recommendations("1"), stored)
    content = RecommendationList.from_bytes(stored)
    later = rows.as_of + timedelta(days=1)
    client = make_client(key_prefix=corner, now=later + timedelta(hours=3))
    assert client.recommend("1")["rows"][0]["status"] == "STALE"

    store.write_list_stamp(ListStamp(content.model, later.isoformat(), rows.day + 1))
    (row,) = client.recommend("1")["rows"]
    assert (row["status"], row["as_of"], row["age_seconds"]) == ("OK", later.isoformat(), 3 * 3600)
    store.write_list_stamp(ListStamp("recommender@7", later.isoformat(), rows.day + 1))
    assert client.recommend("1")["rows"][0]["status"] == "STALE", "another model would have written another list"
    plain_redis.set(Keys(corner).lists, b"damaged")
    assert client.recommend("1")["rows"][0]["age_seconds"] == 27 * 3600


def test_looks_count_as_in_training() -> None:
    assert (LOOKS["view"], LOOKS["cart"]) == (VIEW, CART)


FIELDS: Mapping[bytes, bytes] = {
    b"p:1": b"2",
    "v:件".encode(): b"1",
    b"c:a:b": b"3",
    b"p:back": b"0",
    b"p:less": b"-1",
    b"?": b"1",
}


def test_a_hash_is_read_by_kinds_and_what_came_to_nothing_is_left_out() -> None:
    found = live_items(5, FIELDS)
    assert (found.day, found.bought, found.viewed, found.carted) == (5, {"1": 2}, {"件": 1}, {"a:b": 3})
    for fields in ({b"p:1": b"x"}, {b"p:\xff": b"1"}):
        with pytest.raises(CorruptRecord):
            live_items(5, fields)


def test_a_reader_asks_again_after_a_failure_and_whoever_has_gone_is_passed_over(store_url: str, rows: FeatureRows) -> None:
    async def ask() -> None:
        reader = RedisReader(store_url, prefix="nobody", timeout_ms=2000)
        failing = [True, False]

        async def guarded(asking: Any) -> Any:
            found = await asking
            if failing.pop(0) if failing else False:
                raise ValueError("broken")
            return found

        lists = ListReader(reader, guarded)
        with pytest.raises(ValueError, match="broken"):
            await lists.members(["a"], rows.as_of)
        gone = asyncio.ensure_future(lists.members(["a"], rows.as_of))
        await asyncio.sleep(0)
        gone.cancel()
        assert [one.content for one in await lists.members(["a", "b"], rows.as_of)] == [None, None]
        await lists.close()
        await reader.close()

    asyncio.run(ask())
