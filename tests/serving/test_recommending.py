"""Lists put together from own candidates and the steps below them: under rules, refilled, told why, and traced."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.online_store import RecommendationList, RecommendedItem
from features.rules.compiled import CompiledRules, compile_rules
from features.rules.declared import Exploration, Named, Rules
from features.rules.shelf import Shelf
from serving.candidates import Asked, Below, Member, read_member
from serving.recommending import recommend_members
from tests.rule_oracle import Asked as OracleAsked
from tests.rule_oracle import random_items, random_rules, shelf_of, violations

TODAY = 17_532
STANDING = {"status": "OK", "reason": None, "as_of": "2018-01-01T05:00:00+00:00", "age_seconds": 0}
SHELF = Shelf.of_columns(
    {
        "item_id": ["milk", "bread", "wine", "soap", "tea", "jam"],
        "category": ["DAIRY", "BAKERY", "WINE", "CARE", "TEA", "TEA"],
        "available": [True, True, True, False, True, True],
    }
)
POPULAR = Below(popular=[("bread", None), ("tea", None), ("jam", None), ("milk", None)])
MOMENT_DAY = {"times": 6, "last_day": TODAY - 13, "gap_days": 12.0}


def own(*items: RecommendedItem, **more: Any) -> Member:
    return Member("ann", RecommendationList("recommender@1", STANDING["as_of"], items, TODAY, **more), STANDING, TODAY)  # type: ignore[arg-type]


def item(name: str, source: str = "bought_before", **facts: Any) -> RecommendedItem:
    return RecommendedItem(name, 0.5, source, **facts)


def rules(**changes: Any) -> CompiledRules:
    return compile_rules(Rules("till", **changes), SHELF)


def answer(member: Member, asked: Asked, ready: CompiledRules, below: Below = POPULAR) -> dict[str, Any]:
    (row,) = recommend_members([member], asked, below, ready)
    return row


def names(row: dict[str, Any]) -> list[str]:
    return [each["item_id"] for each in row["items"]]


def test_own_items_come_first_and_popular_ones_fill_up() -> None:
    row = answer(own(item("wine"), item("soap"), item("tea")), Asked(k=4), rules())
    assert names(row) == ["wine", "tea", "bread", "jam"], "soap is sold out, and the next ones move up"
    assert [each["source"] for each in row["items"]] == ["bought_before", "bought_before", "popular", "popular"]
    assert [each["place"] for each in row["items"]] == [1, 2, 3, 4]
    assert (row["status"], row["fallback"], row["removed"]) == ("OK", "none", None)


def test_the_reason_speaks_of_the_members_own_rhythm() -> None:
    (first, *_) = answer(own(item("milk", "due_again", **MOMENT_DAY)), Asked(k=1), rules())["items"]
    assert first["reason"]["code"] == "DUE_AGAIN"
    assert first["reason"]["en"] == "you usually buy this every 12 days; last time 13 days ago"
    later = replace(own(item("milk", "due_again", **MOMENT_DAY)), day=TODAY + 2)
    assert "15 days ago" in answer(later, Asked(k=1), rules())["items"][0]["reason"]["en"]


def test_what_goes_with_the_basket_takes_turns_with_own_items_and_nothing_of_the_basket_comes() -> None:
    below = Below(with_context=[("jam", 0.9), ("milk", 0.8)], popular=POPULAR.popular)
    row = answer(own(item("wine"), item("tea"), item("bread")), Asked(k=5, context=("bread",)), rules(), below)
    assert names(row) == ["jam", "wine", "milk", "tea"]
    assert row["items"][0]["reason"]["en"] == "often bought together with bread"
    assert row["items"][0]["score"] == 0.9


def test_the_ladder_is_labelled_by_the_step_it_starts_from() -> None:
    stranger = Member("new", None, {**STANDING, "status": "COLD", "reason": "no_list"})
    with_context, in_store = [("tea", 0.5)], [("jam", 1.0)]
    assert answer(stranger, Asked(k=2), rules(), Below(with_context, in_store, POPULAR.popular))["fallback"] == "item_item"
    assert answer(stranger, Asked(k=2), rules(), Below((), in_store, POPULAR.popular))["fallback"] == "popular_in_store"
    row = answer(stranger, Asked(k=2), rules(), Below((), in_store, POPULAR.popular))
    assert [each["source"] for each in row["items"]] == ["popular_in_store", "popular"]
    assert answer(stranger, Asked(k=2), rules())["fallback"] == "popular"


def test_below_own_lists_and_stores_stands_what_sells_in_the_members_buying_group() -> None:
    below = Below((), (), POPULAR.popular, [[("tea", 2.0)], [("jam", 1.5), ("wine", 1.0), ("milk", 0.5)]])
    lost = Member("lost", None, {**STANDING, "status": "FALLBACK", "reason": "record_unreadable"}, group=1)
    row = answer(lost, Asked(k=4), rules(), below)
    assert (row["fallback"], names(row)) == ("popular_in_group", ["jam", "wine", "milk", "bread"])
    assert [each["source"] for each in row["items"]] == [*["popular_in_group"] * 3, "popular"]
    assert row["items"][0]["reason"]["code"] == "POPULAR_IN_GROUP"
    known = replace(own(item("wine"), item("soap")), group=0)
    both = recommend_members([known, lost, replace(lost, group=-1), replace(lost, group=9)], Asked(k=3), below, rules())
    assert [names(each) for each in both] == [["wine", "tea", "bread"], ["jam", "wine", "milk"], *[["bread", "tea", "jam"]] * 2]
    assert [each["fallback"] for each in both] == ["none", "popular_in_group", "popular", "popular"]
    in_store = replace(below, in_store=[("bread", 1.0)])
    assert names(answer(lost, Asked(k=2), rules(), in_store)) == ["bread", "jam"]


def test_what_was_bought_lately_is_left_out_of_every_step_unless_it_is_due() -> None:
    ready = rules(bought_within_days=14)
    member = own(
        item("milk", "due_again", **MOMENT_DAY),
        item("wine", last_day=TODAY - 3, times=2, gap_days=20.0),
        lately={"bread": TODAY},
    )
    assert names(answer(member, Asked(k=4), ready)) == ["milk", "tea", "jam"]
    strict = rules(bought_within_days=14, unless_due=False)
    assert names(answer(member, Asked(k=4), strict)) == ["tea", "jam"]
    again = own(item("milk", "due_again", **MOMENT_DAY), lately={"milk": TODAY - 1})
    assert "milk" not in names(answer(again, Asked(k=4), ready)), "it was due, but has been bought since"


def test_dry_run_says_which_rule_took_which_item_at_every_step() -> None:
    ready = rules(category=Named(exclude=("WINE",), cap=1), withdrawn=("milk",))
    asked = Asked(k=3, exclude=frozenset({"bread"}), context=("jam",), dry_run=True)
    row = answer(own(item("gone"), item("wine"), item("soap"), item("tea")), asked, ready)
    assert {each["item_id"]: each["rule"] for each in row["removed"]} == {
        "gone": "NOT_IN_CATALOGUE",
        "wine": "CATEGORY_EXCLUDED",
        "soap": "OUT_OF_STOCK",
        "bread": "EXCLUDED_BY_REQUEST",
        "jam": "IN_BASKET",
        "milk": "WITHDRAWN",
    }
    assert names(row) == ["tea"]
    assert not {each["item_id"] for each in row["removed"]} & set(names(row))


@pytest.mark.parametrize(
    ("asked", "changes", "reason"),
    [
        (Asked(k=3, exclude=frozenset(SHELF.item_ids.tolist())), {"in_stock": False}, "all_excluded"),
        (Asked(k=3), {"category": Named(include=("NOTHING",))}, "nothing_allowed"),
        (Asked(k=3), {"category": Named(include=("DAIRY",)), "min_length": 2}, "too_short"),
    ],
)
def test_an_empty_list_has_its_reason(asked: Asked, changes: dict[str, Any], reason: str) -> None:
    row = answer(own(item("milk")), asked, rules(**changes))
    assert (row["items"], row["status"], row["reason"]) == ([], "PARTIAL", reason)


def test_fewer_than_the_least_may_be_asked_for() -> None:
    assert names(answer(own(item("milk")), Asked(k=1), rules(min_length=3))) == ["milk"]


def test_who_refused_gets_the_list_of_everybody_or_none() -> None:
    stored = own(item("wine")).own
    assert stored is not None
    refused = read_member("ann", stored.to_bytes(), refused=True, personal=True, moment=_moment(), stale_after_s=9e9)
    row, stranger = answer(refused, Asked(k=2), rules()), Member("x", None, STANDING)
    assert row["status"] == "OPTED_OUT"
    assert row["items"] == answer(stranger, Asked(k=2), rules())["items"]
    assert answer(refused, Asked(k=2), rules(opted_out="empty"))["items"] == []


def test_pinned_items_come_first_where_the_rules_let_them() -> None:
    row = answer(own(item("wine"), item("tea")), Asked(k=3), rules(pinned=("jam", "soap", "milk")))
    assert names(row) == ["jam", "milk", "wine"]
    assert [each["reason"]["code"] for each in row["items"]] == ["PINNED", "PINNED", "BOUGHT_BEFORE"]


def test_a_source_that_has_no_words_here_is_another_versions_list() -> None:
    stored = RecommendationList("r@1", "2018-01-01T05:00:00+00:00", (item("wine", "by_magic"),)).to_bytes()
    member = read_member("ann", stored, refused=False, personal=True, moment=_moment(), stale_after_s=9e9)
    assert (member.own, member.standing["reason"]) == (None, "record_unreadable")


def test_places_left_to_chance_are_told_with_their_probabilities_and_a_dry_run_has_none() -> None:
    shelf = Shelf.of_ids([f"i{n:02}" for n in range(30)])
    ready = compile_rules(Rules("till", exploration=Exploration(0.5, 10)), shelf)
    below = Below(popular=[(name, None) for name in shelf.item_ids.tolist()])
    rows = [answer(own(), Asked(k=5, decision_id=f"d{n}"), ready, below) for n in range(60)]
    items = [each for row in rows for each in row["items"]]
    drawn = [each for each in items if each["explored"]]
    assert 0.35 < len(drawn) / len(items) < 0.65
    assert {each["propensity"] for each in drawn} == {0.05}
    assert {each["list_propensity"] for each in drawn} == {0.25}
    assert {each["propensity"] for each in items if not each["explored"]} == {0.5}
    assert rows[3] == answer(own(), Asked(k=5, decision_id="d3"), ready, below)
    plain = answer(own(), Asked(k=5, decision_id="d3", dry_run=True), ready, below)
    assert names(plain) == ["i00", "i01", "i02", "i03", "i04"]
    assert all(each["propensity"] is None for each in plain["items"])


def test_no_path_breaks_a_rule() -> None:
    for seed in range(60):
        generator = np.random.default_rng(seed)
        items = random_items(generator, 50)
        ids, made = list(items), random_rules(generator, list(items))
        made = replace(made, exploration=Exploration(0.3 if seed % 2 else 0.0, 8))
        ready = compile_rules(made, shelf_of(items))
        since = {name: int(generator.integers(1, 20)) for name in generator.choice(ids, 15, replace=False)}
        last_day = {name: TODAY - days for name, days in since.items()}
        mine = [item(str(name), last_day=last_day.get(name)) for name in generator.permutation(ids)[:20]]
        shown = {each.item_id for each in mine}
        lately = {name: day for name, day in last_day.items() if name not in shown}
        scored = [(str(name), 1.0) for name in generator.permutation(ids)[:10]]
        below = Below(scored if seed % 3 else (), scored[::-1], [(name, None) for name in ids])
        asked = Asked(
            int(generator.integers(1, 12)),
            frozenset(generator.choice(ids, 3).tolist()),
            tuple(generator.choice(ids, 2).tolist()),
        )
        people = [own(*mine, lately=lately), Member("x", None, STANDING)]
        for member, row in zip(people, recommend_members(people, asked, below, ready), strict=True):
            mine_since = {name: float(days) for name, days in since.items()} if member.own else {}
            oracle = OracleAsked(excluded=asked.exclude | set(asked.context), days_since=mine_since)
            limited = replace(made, min_length=min(made.min_length, asked.k))
            assert violations(limited, items, names(row), oracle, k=asked.k) == [], seed


def _moment() -> Any:
    from datetime import UTC, datetime

    return datetime(2018, 1, 1, 5, tzinfo=UTC)
