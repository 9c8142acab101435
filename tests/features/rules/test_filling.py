"""Lists filled by rules: none of them is ever broken, what they take away is made up for, and each removal has its reason."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.rules.codes import CODES, code_of
from features.rules.compiled import CompiledRules, compile_rules
from features.rules.declared import Named, Rules
from features.rules.filling import Filling, bought_lately
from features.rules.shelf import ABSENT, PADDING, Shelf
from tests.rule_oracle import Asked, allowed, random_items, random_rules, shelf_of, violations

LISTS, COLUMNS, K = 12, 25, 8


def compiled(rules: Rules, **columns: Any) -> CompiledRules:
    return compile_rules(rules, Shelf.of_columns(columns))


def filled(ready: CompiledRules, *feeds: list[str], k: int) -> Filling:
    filling = Filling.empty(ready, lists=1, k=k)
    for items in feeds:
        filling.feed(ready.shelf.rows_of(items))
    return filling


def listed(filling: Filling, which: int = 0) -> list[str]:
    rows = filling.chosen[which]
    return filling.compiled.shelf.item_ids[rows[rows != PADDING]].tolist()


def codes(filling: Filling, feed: int = 0, which: int = 0) -> list[str]:
    return [CODES[code] for code in filling.verdicts[feed][which]]


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_no_rule_is_ever_broken(seed: int) -> None:
    generator = np.random.default_rng(seed)
    items = random_items(generator, 40)
    shelf, rules = shelf_of(items), random_rules(generator, list(items))
    sold_out, adult = generator.random(40) < 0.1, bool(generator.random() < 0.5)
    ready = compile_rules(rules, shelf, sold_out=sold_out, adult=adult)
    rows = generator.integers(PADDING, 40, (LISTS, COLUMNS)).astype(np.int32)
    since = np.where(generator.random((LISTS, 40)) < 0.4, generator.integers(0, 20, (LISTS, 40)), np.nan).astype(np.float32)
    due, excluded = generator.random((LISTS, 40)) < 0.3, generator.random((LISTS, 40)) < 0.1
    against = bought_lately(since, due, within_days=rules.bought_within_days, unless_due=rules.unless_due)
    against = np.where(excluded, code_of("EXCLUDED_BY_REQUEST"), against).astype(np.int8)
    against = np.pad(against, ((0, 0), (0, 2)))  # ABSENT and PADDING

    filling = Filling.empty(ready, lists=LISTS, k=K)
    for feed in (np.tile(ready.pinned, (LISTS, 1)), rows, np.tile(np.arange(40, dtype=np.int32), (LISTS, 1))):
        filling.feed(feed, against=np.take_along_axis(against, feed, axis=1))
    filling.shortened(least=rules.min_length)

    ids = list(items)
    for which in range(LISTS):
        asked = Asked(
            adult,
            frozenset(np.array(ids)[sold_out].tolist()),
            frozenset(np.array(ids)[excluded[which]].tolist()),
            {item: float(s) for item, s in zip(ids, since[which], strict=True) if not np.isnan(s)},
            frozenset(np.array(ids)[due[which]].tolist()),
        )
        found = listed(filling, which)
        assert violations(rules, items, found, asked, k=K) == []
        if 0 < len(found) < K:  # everything was offered: only caps may keep out what could be shown
            left = [item for item in ids if item not in found and allowed(rules, items, item, asked)]
            assert all(violations(rules, items, [*found, item], asked, k=K) for item in left)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32))
def test_many_lists_at_once_are_what_each_is_alone_and_longer_lists_begin_with_shorter_ones(seed: int) -> None:
    generator = np.random.default_rng(seed)
    items = random_items(generator, 40)
    ready = compile_rules(random_rules(generator, list(items)), shelf_of(items))
    rows = generator.integers(PADDING, 40, (LISTS, COLUMNS)).astype(np.int32)
    together, longer = Filling.empty(ready, lists=LISTS, k=K), Filling.empty(ready, lists=LISTS, k=K + 5)
    together.feed(rows)
    longer.feed(rows)
    for which in range(LISTS):
        alone = Filling.empty(ready, lists=1, k=K)
        alone.feed(rows[which])
        assert np.array_equal(alone.chosen[0], together.chosen[which])
        assert np.array_equal(alone.verdicts[0][0], together.verdicts[0][which])
    assert np.array_equal(longer.chosen[:, :K], together.chosen)


def test_without_rules_a_list_is_the_first_different_candidates() -> None:
    ready = compiled(Rules("plain"), item_id=["a", "b", "c", "d"])
    filling = filled(ready, ["c", "a", "c", "d", "b"], k=3)

    assert listed(filling) == ["c", "a", "d"]
    assert codes(filling) == ["ALLOWED", "ALLOWED", "ALREADY_IN_LIST", "ALLOWED", "LIST_FULL"]
    assert filling.position.tolist() == [[0, 1, 3]]


def test_what_is_taken_away_is_made_up_for_by_the_next_source() -> None:
    ready = compiled(Rules("shop"), item_id=["a", "b", "c", "d"], available=[False, True, None, True])
    filling = filled(ready, ["a", "b", "gone"], ["b", "c", "d"], k=3)

    assert listed(filling) == ["b", "c", "d"]
    assert codes(filling) == ["OUT_OF_STOCK", "ALLOWED", "NOT_IN_CATALOGUE"]
    assert codes(filling, feed=1) == ["ALREADY_IN_LIST", "ALLOWED", "ALLOWED"]
    assert filling.position.tolist() == [[1, 4, 5]]


def test_a_cap_counts_over_all_sources_and_says_so() -> None:
    rules = Rules("shop", category=Named(cap=1, caps=(("wine", 2),)), brand=Named(caps=(("own", 1),)))
    ready = compiled(
        rules,
        item_id=["w1", "w2", "w3", "b1", "b2", "x1", "x2"],
        category=["wine", "wine", "wine", "bread", "bread", None, None],
        brand=[None, None, None, "own", "other", "own", "other"],
    )
    filling = filled(ready, ["w1", "b1", "w2"], ["w3", "b2", "x1", "x2"], k=7)

    assert listed(filling) == ["w1", "b1", "w2", "x2"]
    assert codes(filling, feed=1) == ["CATEGORY_CAP", "CATEGORY_CAP", "BRAND_CAP", "ALLOWED"]


def test_a_list_that_stays_too_short_is_not_shown() -> None:
    ready = compiled(Rules("shop", min_length=3), item_id=["a", "b"])
    filling = filled(ready, ["a", "b"], k=5)

    assert filling.shortened(least=3).tolist() == [True]
    assert listed(filling) == []
    assert not filling.shortened(least=3).any()


def test_what_was_bought_lately_comes_back_when_it_is_due() -> None:
    days, due = np.array([[0, 7, 8, np.nan, 3]], dtype=np.float32), np.array([[False, False, False, False, True]])
    found = bought_lately(days, due, within_days=7, unless_due=True)
    assert [CODES[code] for code in found[0]] == ["BOUGHT_RECENTLY", "BOUGHT_RECENTLY", "ALLOWED", "ALLOWED", "ALLOWED"]
    assert CODES[bought_lately(days, due, within_days=7, unless_due=False)[0, 4]] == "BOUGHT_RECENTLY"
    assert not bought_lately(days, due, within_days=None, unless_due=True).any()


@pytest.mark.parametrize(
    ("rules", "item", "code"),
    [
        (Rules("r", withdrawn=("a",)), {}, "WITHDRAWN"),
        (Rules("r"), {"available": [False]}, "OUT_OF_STOCK"),
        (Rules("r", adult_categories=("WINE",)), {"department": ["WINE"]}, "AGE_RESTRICTED"),
        (Rules("r", adult_items=("a",)), {}, "AGE_RESTRICTED"),
        (Rules("r", category=Named(include=("x",))), {}, "CATEGORY_NOT_INCLUDED"),
        (Rules("r", category=Named(exclude=("x",))), {"subcategory": ["x"]}, "CATEGORY_EXCLUDED"),
        (Rules("r", brand=Named(include=("x",))), {"brand": ["y"]}, "BRAND_NOT_INCLUDED"),
        (Rules("r", brand=Named(exclude=("x",))), {"brand": ["x"]}, "BRAND_EXCLUDED"),
        (Rules("r", brand=Named(exclude=("x",))), {}, "ALLOWED"),
        (Rules("r", in_stock=False), {"available": [False]}, "ALLOWED"),
    ],
)
def test_each_rule_bars_what_it_is_about(rules: Rules, item: dict[str, Any], code: str) -> None:
    assert CODES[compiled(rules, item_id=["a"], **item).barred[0]] == code


def test_rows_that_are_no_item_are_never_taken() -> None:
    ready = compiled(Rules("r", in_stock=False), item_id=["a"])
    filling = Filling.empty(ready, lists=1, k=3)
    filling.feed(np.array([PADDING, ABSENT, 0], dtype=np.int32))
    assert listed(filling) == ["a"]
    assert codes(filling) == ["NO_CANDIDATE", "NOT_IN_CATALOGUE", "ALLOWED"]


def test_stock_of_a_store_and_age_are_for_the_request_to_say() -> None:
    shelf = Shelf.of_columns({"item_id": ["a", "b"], "category": ["WINE", "BREAD"]})
    rules = Rules("r", adult_categories=("WINE",))
    sold_out = np.array([False, True])

    assert [CODES[c] for c in compile_rules(rules, shelf, sold_out=sold_out).barred[:2]] == ["AGE_RESTRICTED", "NOT_IN_STORE"]
    assert [CODES[c] for c in compile_rules(rules, shelf, adult=True).barred[:2]] == ["ALLOWED", "ALLOWED"]
    anywhere = Rules("r", in_store=False)
    assert not compile_rules(anywhere, shelf, sold_out=sold_out).barred[:2].any()
