"""Lists over HTTP: rules of placements, stock, refusals, similar items, the till, and input that is refused."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.online_reader import RedisReader
from features.online_store import RecommendationList, RedisStore
from features.rules.codes import MEANINGS
from features.settings import Settings
from features.shop_store import ShopStore
from features.store_keys import Keys
from serving.cashier import KIND_OF_SOURCE
from serving.list_schemas import CashierResponse, RecommendResponse, SimilarResponse
from tests.serving.asgi import Client, problem_of
from tests.serving.conftest import MakeClient
from training.registry import load, resolve

RULES = {
    "no_milk": "[category]\nexclude = ['FLUID MILK PRODUCTS']\ncap = 1\n[list]\nmin_length = 2",
    "nothing": "[price]\nmin_cents = 999999999",
    "chance": "[exploration]\nshare = 0.5\npool = 10",
    "strict": "[consent]\nopted_out = 'empty'",
    "broken": "[list]\nmin_length = 'two'",
}


def ids(row: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in row["items"]]


@pytest.fixture(scope="module")
def rules_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    for name, text in RULES.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def ruled(settings: Settings, rules_dir: Path) -> Iterator[Client]:
    """A client of a worker with rules files."""
    from dataclasses import replace

    from serving.api import Api

    opened = Client(Api(replace(settings, rules_dir=rules_dir)))
    yield opened
    opened.close()


@pytest.fixture
def shop_copy(store: RedisStore, corner: str, settings: Settings, plain_redis: Any, store_url: str) -> Iterator[ShopStore]:
    """The item table and the list of member 1 under a prefix of the test's own."""
    for name in ("shelf", "shelf:version"):
        plain_redis.copy(f"{settings.key_prefix}:{name}", f"{corner}:{name}", replace=True)
    plain_redis.copy(Keys(settings.key_prefix).recommendations("1"), Keys(corner).recommendations("1"), replace=True)
    opened = ShopStore(store_url, prefix=corner)
    yield opened
    opened.close()


def test_a_placement_has_its_own_rules(ruled: Client, members: list[str]) -> None:
    answer = ruled.recommend(*members[:50], placement="no_milk", k=8)
    assert answer["passport"]["rules"]["name"] == "no_milk"
    assert answer["passport"]["rules"]["stock_checked"] is True
    plain = ruled.recommend(*members[:50], k=8)
    assert plain["passport"]["rules"]["name"] == "default"
    assert plain["passport"]["rules"]["version"] != answer["passport"]["rules"]["version"]
    assert plain["rows"] != answer["rows"]
    for row in answer["rows"]:
        assert len(row["items"]) == 8, "what the rules take away is made up for"


def test_a_dry_run_tells_what_was_taken_and_by_which_rule(ruled: Client, members: list[str]) -> None:
    rows = ruled.recommend(*members[:20], placement="no_milk", dry_run=True)["rows"]
    removed = [each for row in rows for each in row["removed"]]
    assert {each["rule"] for each in removed} == {"CATEGORY_EXCLUDED", "CATEGORY_CAP"}
    assert all(each["meaning"] == MEANINGS[each["rule"]] for each in removed)
    for row in rows:
        assert not {each["item_id"] for each in row["removed"]} & set(ids(row))
    assert all(row["removed"] is None for row in ruled.recommend(*members[:2])["rows"])


def test_rules_that_leave_nothing_give_an_empty_list_with_the_reason(ruled: Client) -> None:
    for row in ruled.recommend("1", "nobody", placement="nothing")["rows"]:
        assert (row["items"], row["status"], row["reason"]) == ([], "PARTIAL", "nothing_allowed")


def test_a_placement_without_a_file_is_pointed_at(ruled: Client) -> None:
    problem = problem_of(ruled.post("/v1/recommend", {"member_ids": ["1"], "placement": "elsewhere"}), 422, "invalid_request")
    assert problem["errors"] == [{"pointer": "/placement", "problem": "no rules file has this name"}]


def test_a_broken_file_is_no_absence_of_rules(ruled: Client) -> None:
    problem = problem_of(ruled.post("/v1/recommend", {"member_ids": ["1"], "placement": "broken"}), 503, "rules_refused")
    assert "two" not in json.dumps(problem)


@pytest.mark.parametrize("asked", [{}, {"placement": "default"}])
def test_a_broken_default_is_no_absence_of_rules_either(make_client: MakeClient, tmp_path: Path, asked: dict[str, str]) -> None:
    (tmp_path / "default.toml").write_text(RULES["broken"])
    client = make_client(rules_dir=tmp_path)
    problem_of(client.post("/v1/recommend", {"member_ids": ["1"], **asked}), 503, "rules_refused")


def test_what_is_sold_out_is_gone_from_every_path_within_the_next_look(
    make_client: MakeClient, corner: str, shop_copy: ShopStore, mlruns: Path
) -> None:
    client = make_client(key_prefix=corner)
    client.api._lists.rules._refresh_s = 0.0
    before = client.recommend("1", "nobody", k=20)["rows"]
    gone = [ids(before[0])[0], ids(before[0])[3], ids(before[1])[0], ids(before[1])[1]]
    shop_copy.mark_sold_out(gone)
    after = client.recommend("1", "nobody", k=20, context=[ids(before[0])[5]])["rows"]
    similar = client.post("/v1/similar", {"item_ids": gone[:1], "k": 50}).json()
    for listed in (*map(ids, after), ids(similar)):
        assert listed
        assert not set(gone) & set(listed)
    assert all(len(row["items"]) == 20 for row in after)
    shop_copy.mark_back(gone)
    assert client.recommend("1", "nobody", k=20)["rows"] == before


def test_the_stock_of_a_store_counts_where_the_request_names_it(
    make_client: MakeClient, corner: str, shop_copy: ShopStore
) -> None:
    client = make_client(key_prefix=corner)
    client.api._lists.rules._refresh_s = 0.0
    first = ids(client.recommend("1")["rows"][0])[0]
    shop_copy.mark_sold_out([first], store="s9")
    assert first in ids(client.recommend("1", store="s8")["rows"][0])
    (row,) = client.recommend("1", store="s9", dry_run=True)["rows"]
    assert first not in ids(row)
    assert {"item_id": first, "rule": "NOT_IN_STORE", "meaning": MEANINGS["NOT_IN_STORE"]} in row["removed"]


def test_what_is_sold_out_stays_gone_while_redis_is_away(make_client: MakeClient, corner: str, shop_copy: ShopStore) -> None:
    client = make_client(key_prefix=corner)
    first = ids(client.recommend("nobody", k=3)["rows"][0])[0]
    shop_copy.mark_sold_out([first])
    client.api._lists.rules._refresh_s = 0.0
    client.recommend("nobody")
    nowhere = RedisReader("unix:///nowhere.sock", prefix=corner, timeout_ms=50)
    client.api._lists.members._reader.reader = nowhere
    client.api._lists.rules._reader = client.api._lists._shop.__class__("unix:///nowhere.sock", prefix=corner, timeout_ms=50)
    (row,) = client.recommend("1", k=3)["rows"]
    assert (row["status"], row["reason"], row["fallback"]) == ("FALLBACK", "store_unavailable", "popular")
    assert first not in ids(row)
    assert len(row["items"]) == 3


def test_without_an_item_table_the_answer_says_that_stock_was_not_checked(make_client: MakeClient, corner: str) -> None:
    answer = make_client(key_prefix=corner).recommend("1", k=5)
    assert answer["passport"]["rules"] | {"version": ""} == {
        "name": "default", "version": "", "items_version": None, "stock_checked": False,
        "stock_age_seconds": answer["passport"]["rules"]["stock_age_seconds"],
    }  # fmt: skip
    assert len(answer["rows"][0]["items"]) == 5


def test_who_refused_marketing_gets_the_list_of_everybody_at_once(
    ruled: Client, settings: Settings, plain_redis: Any, members: list[str]
) -> None:
    key = Keys(settings.key_prefix).opted_out(members[3])
    stranger = ruled.recommend("nobody")["rows"][0]
    assert ruled.recommend(members[3])["rows"][0]["items"] != stranger["items"]
    plain_redis.set(key, b"said")
    try:
        (row,) = ruled.recommend(members[3])["rows"]
        assert (row["status"], row["fallback"], row["as_of"]) == ("OPTED_OUT", "popular", None)
        assert row["items"] == stranger["items"]
        assert ruled.recommend(members[3], placement="strict")["rows"][0]["items"] == []
        till = ruled.post("/v1/cashier", {"member_id": members[3]}).json()
        assert {thing["kind"] for thing in till["things"]} == {"popular"}
    finally:
        plain_redis.delete(key)
    assert ruled.recommend(members[3])["rows"][0]["status"] == "OK"


def test_lists_carry_reasons_with_the_members_own_record(client: Client, settings: Settings, plain_redis: Any) -> None:
    (row,) = client.recommend("1", k=50)["rows"]
    stored = RecommendationList.from_bytes(plain_redis.get(Keys(settings.key_prefix).recommendations("1")))
    facts = {item.item_id: item for item in stored.items}
    again = [item for item in row["items"] if item["reason"]["code"] in {"DUE_AGAIN", "BOUGHT_BEFORE"}]
    assert again
    for item in again:
        known = facts[item["item_id"]]
        assert known.last_day is not None
        assert stored.day is not None
        days = stored.day - known.last_day
        assert f"{days} day{'' if days == 1 else 's'} ago" in item["reason"]["en"] or days == 0
        assert item["reason"]["zh"]
    assert stored.lately, "what was bought lately and is not listed is known, too"
    assert not set(stored.lately) & set(facts)


def test_places_left_to_chance_are_logged_without_the_member(ruled: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="rapport.decisions")
    logging.getLogger("rapport").propagate = True
    answer = ruled.recommend("1", "10", placement="chance", k=5)
    lines = [json.loads(record.message) for record in caplog.records if record.name == "rapport.decisions"]
    assert [line["row"] for line in lines] == [0, 1]
    for line, row in zip(lines, answer["rows"], strict=True):
        assert set(line) == {"decision_id", "row", "rules", "shown"}
        assert line["decision_id"] == answer["passport"]["decision_id"]
        assert line["shown"] == [[i["item_id"], i["place"], i["propensity"], i["list_propensity"]] for i in row["items"]]
        assert all(item["propensity"] in {0.5, 0.05} for item in row["items"])
    caplog.clear()
    ruled.recommend("1", k=5)
    till = ruled.post("/v1/cashier", {"member_id": "1", "placement": "chance"}).json()["things"]
    similar = ruled.post("/v1/similar", {"item_ids": ["1082185"], "placement": "chance"}).json()["items"]
    assert not any(item["explored"] for item in [*similar, *(thing["item"] for thing in till)])
    assert not [record for record in caplog.records if record.name == "rapport.decisions"]


def test_similar_items_are_those_of_the_model_under_the_rules(ruled: Client, mlruns: Path) -> None:
    recommender: Any = load(resolve(mlruns, "recommender"))
    item = str(recommender.popular_items(3)[2])
    answer = ruled.post("/v1/similar", {"item_ids": [item, "no such item"], "k": 6})
    assert answer.status == 200
    parsed = SimilarResponse.model_validate_json(answer.body)
    assert parsed.model_dump() == answer.json()
    rows, scores = recommender.similar(recommender.catalogue.rows_of([item]), k=6)
    assert ids(answer.json()) == recommender.item_ids[rows].tolist()
    assert [each.score for each in parsed.items] == pytest.approx(scores.tolist())
    assert (parsed.status, parsed.unknown_items) == ("OK", 1)
    assert {each.reason.code for each in parsed.items} == {"GOES_WITH_CONTEXT"}
    excluded = ids(answer.json())[:2]
    assert ids(ruled.post("/v1/similar", {"item_ids": [item], "k": 4, "exclude": excluded}).json()) == ids(answer.json())[2:6]


def test_items_that_nobody_knows_have_nothing_similar(ruled: Client) -> None:
    found = ruled.post("/v1/similar", {"item_ids": ["no such item"]}).json()
    assert (found["status"], found["reason"], found["items"], found["unknown_items"]) == ("COLD", "unknown_items", [], 1)


def test_the_till_hears_three_things_of_different_kinds(ruled: Client, members: list[str]) -> None:
    basket = ids(ruled.recommend(members[5])["rows"][0])[:2]
    answer = ruled.post("/v1/cashier", {"member_id": members[5], "basket": basket})
    assert answer.status == 200, answer.body
    parsed = CashierResponse.model_validate_json(answer.body)
    assert parsed.model_dump() == answer.json()
    assert len(parsed.things) == 3
    kinds = [thing.kind for thing in parsed.things]
    listed = ruled.recommend(members[5], k=50, context=basket)["rows"][0]["items"]
    there = {KIND_OF_SOURCE[item["source"]] for item in listed}
    assert len(set(kinds)) == min(3, len(there)), "a second of a kind only where no other kind is left"
    assert "goes_with_basket" in kinds
    assert not {thing.item.item_id for thing in parsed.things} & set(basket)
    assert all(thing.item.reason.en and thing.item.reason.zh for thing in parsed.things)


def test_context_items_are_never_offered_and_bring_what_goes_with_them(ruled: Client, members: list[str]) -> None:
    context = ids(ruled.recommend(members[0])["rows"][0])[:3]
    answer = ruled.recommend(members[0], "nobody", context=context)
    RecommendResponse.model_validate(answer)
    for row in answer["rows"]:
        assert not set(context) & set(ids(row))
        assert sum(item["source"] == "goes_with_context" for item in row["items"]) >= 5
    assert [row["fallback"] for row in answer["rows"]] == ["none", "item_item"]


def test_lists_are_counted_by_status_and_step(make_client: MakeClient) -> None:
    client = make_client()
    client.recommend("1", "nobody", context=["1082185"])
    text = client.get("/metrics").body.decode()
    for line in (
        'rapport_rows_total{route="recommend",status="OK"} 1',
        'rapport_rows_total{route="recommend",status="COLD"} 1',
        'rapport_ladder_total{route="recommend",step="none"} 1',
        'rapport_ladder_total{route="recommend",step="item_item"} 1',
    ):
        assert line in text


BAD = [
    ("/v1/recommend", {"member_ids": ["1"], "placement": "Till"}, "/placement"),
    ("/v1/recommend", {"member_ids": ["1"], "placement": "../secret"}, "/placement"),
    ("/v1/recommend", {"member_ids": ["1"], "placement": ""}, "/placement"),
    ("/v1/recommend", {"member_ids": ["1"], "context": ["a"] * 101}, "/context"),
    ("/v1/recommend", {"member_ids": ["1"], "context": "a"}, "/context"),
    ("/v1/recommend", {"member_ids": ["1"], "store": "{s}"}, "/store"),
    ("/v1/recommend", {"member_ids": ["1"], "adult": 1}, "/adult"),
    ("/v1/recommend", {"member_ids": ["1"], "dry_run": "yes"}, "/dry_run"),
    ("/v1/recommend", {"member_ids": ["1"] * 21, "dry_run": True}, ""),
    ("/v1/similar", {"item_ids": []}, "/item_ids"),
    ("/v1/similar", {"item_ids": ["a"] * 101}, "/item_ids"),
    ("/v1/similar", {"item_ids": ["a"], "k": 0}, "/k"),
    ("/v1/similar", {"item_ids": ["a"], "k": 10**9}, "/k"),
    ("/v1/similar", {"item_ids": ["a"], "member_ids": ["1"]}, "/member_ids"),
    ("/v1/cashier", {"member_id": ["1"]}, "/member_id"),
    ("/v1/cashier", {"member_id": "1", "things": 9}, "/things"),
    ("/v1/cashier", {"basket": ["1"]}, "/member_id"),
]


@pytest.mark.parametrize(("path", "body", "pointer"), BAD)
def test_what_cannot_be_asked_is_pointed_at(client: Client, path: str, body: dict[str, Any], pointer: str) -> None:
    problem = problem_of(client.post(path, body), 422, "invalid_request")
    assert any(error["pointer"].startswith(pointer) for error in problem["errors"])
    assert "secret" not in json.dumps(problem)


def test_a_stranger_in_a_store_gets_what_sells_there(ruled: Client, mlruns: Path) -> None:
    recommender: Any = load(resolve(mlruns, "recommender"))
    catalogue, store = recommender.catalogue, "367"
    best = np.argsort(-(np.log1p(catalogue.buyers_28d) + catalogue.store_share[catalogue.store_ids == store][0]), kind="stable")
    for _ in range(2):
        (row,) = ruled.recommend("nobody", store=store, k=5)["rows"]
        assert (row["fallback"], ids(row)) == ("popular_in_store", catalogue.item_ids[best[:5]].tolist())
    (row,) = ruled.recommend("nobody", store="no such store", k=5)["rows"]
    assert row["fallback"] == "popular"
