"""The contract: what it refuses, what its hash notices, and that one declaration reaches everything made from it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import numpy as np
import pytest
from shops import Event, Line, moment_of, shop

from features.build import FeatureRows, build
from features.codec import decode, encode, missing_value, record_dtype
from features.contract import CONTRACT, CONTRACT_HASH, Contract
from features.declarations import (
    COUNT,
    DAY,
    DECAYED,
    LARGEST,
    TOTAL,
    Aggregate,
    Declaration,
    Family,
    Feature,
    Quintiles,
    Threshold,
)
from features.derive import derive, label_of, model_columns
from features.document import features_page
from features.errors import ConfigurationError
from features.expressions import ratio, where
from features.facts import Facts
from features.live import fold, merge
from features.sources.schema import EVENTS, ORDERS, STORED
from training.datasets import Snapshots, examples

SPEND = Aggregate("spend_cents_30d", TOTAL, ORDERS, "cents", "spend", ORDERS.net_cents, days=30, dtype="int64")
VISITS = Aggregate("visits_30d", COUNT, ORDERS, "orders", "orders", days=30)
LAST_DAY = Aggregate("last_order_day", LARGEST, ORDERS, "day", "last day", ORDERS.local_day)
FADING = Aggregate("fading_orders", DECAYED, ORDERS, "orders", "orders", half_life_days=30, last_day=LAST_DAY, dtype="float64")
PER_VISIT = Feature("spend_per_visit_30d", ratio(SPEND, VISITS), "cents", "mean order", "rfm")
SPEND_AS_FEATURE = Feature("spend_cents_30d", SPEND, "cents", "spend", "rfm")
FIFTHS = Quintiles("spend_per_visit_30d", PER_VISIT, VISITS > 0)
RANK = Feature("spend_score", FIFTHS.rank(), "1 to 5", "fifth by spend", "rfm")
LARGE = Aggregate("large_orders", COUNT, ORDERS, "orders", "orders", where=ORDERS.net_cents > 99)
SMALL: tuple[Declaration, ...] = (SPEND, VISITS, LAST_DAY, FADING, LARGE, PER_VISIT, SPEND_AS_FEATURE, FIFTHS, RANK)


def swapped(old: Declaration, new: Declaration, declarations: Sequence[Declaration] = SMALL) -> list[Declaration]:
    return [new if declaration is old else declaration for declaration in declarations]


# What is refused


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="more than once under one name: spend_per_visit_30d"):
        Contract.of([*SMALL, replace(PER_VISIT, formula=ratio(VISITS, SPEND))])


def test_two_aggregates_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="more than once under one name: visits_30d"):
        Contract.of([*SMALL, replace(VISITS, days=31)])


def test_two_sets_of_edges_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="more than once"):
        Contract.of([*SMALL, Quintiles(FIFTHS.name, SPEND_AS_FEATURE, VISITS > 0)])


def test_the_same_declaration_under_two_python_names_counts_once() -> None:
    assert Contract.of([*SMALL, *SMALL]).hash == Contract.of(SMALL).hash


def test_a_feature_over_an_aggregate_that_is_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="spend_per_visit_30d rests on visits_30d, declared nowhere"):
        Contract.of([SPEND, PER_VISIT])


def test_a_feature_over_another_aggregate_of_a_declared_name_is_refused() -> None:
    stranger = replace(VISITS, days=60)

    with pytest.raises(ValueError, match="rests on visits_30d"):
        Contract.of([SPEND, VISITS, Feature("x", ratio(SPEND, stranger), "", "", "rfm")])


def test_a_feature_over_a_feature_that_is_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="doubled rests on spend_per_visit_30d, declared nowhere before it"):
        Contract.of([SPEND, VISITS, Feature("doubled", PER_VISIT * 2, "cents", "", "rfm")])


def test_a_feature_before_the_one_it_rests_on_is_refused() -> None:
    doubled = Feature("doubled", PER_VISIT * 2, "cents", "", "rfm")

    assert Contract.of([SPEND, VISITS, PER_VISIT, doubled]).feature_names[-1] == "doubled"
    with pytest.raises(ValueError, match="declared nowhere before it"):
        Contract.of([SPEND, VISITS, doubled, PER_VISIT])


def test_a_feature_over_edges_that_are_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="spend_per_visit_30d_edge_20"):
        Contract.of([SPEND, VISITS, PER_VISIT, RANK])


def test_a_feature_named_as_an_aggregate_must_be_that_aggregate() -> None:
    with pytest.raises(ValueError, match="another value"):
        Contract.of([SPEND, VISITS, Feature("spend_cents_30d", SPEND * 2, "cents", "", "rfm")])


def test_a_misspelt_column_is_an_error_where_it_is_written() -> None:
    with pytest.raises(AttributeError, match="net_cent"):
        _ = ORDERS.net_cent


# What the hash notices


@pytest.mark.parametrize(
    "changed",
    [
        swapped(FADING, replace(FADING, half_life_days=31)),
        swapped(FADING, replace(FADING, kind=TOTAL, half_life_days=None, value=ORDERS.net_cents)),
        swapped(FADING, replace(FADING, name="fading")),
        swapped(FADING, replace(FADING, unit="orders / 65536")),
        swapped(LARGE, replace(LARGE, freshness="nightly")),
        swapped(LARGE, replace(LARGE, dtype="float64")),
        swapped(FADING, replace(FADING, value=ORDERS.net_cents)),
        swapped(LARGE, replace(LARGE, where=ORDERS.kind.equals("sale"))),
        swapped(LARGE, replace(LARGE, where=ORDERS.kind.equals("return"))),
        swapped(LARGE, replace(LARGE, where=ORDERS.net_cents > 1_234_567)),
        swapped(LARGE, replace(LARGE, where=ORDERS.net_cents > 1_234_568)),
        swapped(LARGE, replace(LARGE, kind=LARGEST, value=ORDERS.net_cents)),
        swapped(RANK, replace(RANK, formula=6 - FIFTHS.rank())),
        swapped(RANK, replace(RANK, name="rank")),
        swapped(RANK, replace(RANK, unit="fifth")),
        swapped(RANK, replace(RANK, in_models=False)),
        swapped(RANK, replace(RANK, categories=("low", "high"))),
        swapped(FIFTHS, replace(FIFTHS, among=VISITS > 1)),
        swapped(FIFTHS, replace(FIFTHS, over=SPEND_AS_FEATURE)),
        [SPEND, VISITS, LAST_DAY, FADING, LARGE, SPEND_AS_FEATURE, PER_VISIT, FIFTHS, RANK],
        [SPEND, VISITS, LAST_DAY, FADING, PER_VISIT, SPEND_AS_FEATURE, FIFTHS, RANK],
        [SPEND, LAST_DAY, VISITS, FADING, LARGE, PER_VISIT, SPEND_AS_FEATURE, FIFTHS, RANK],
    ],
)
def test_the_hash_notices_each_change(changed: list[Declaration]) -> None:
    assert Contract.of(changed).hash != Contract.of(SMALL).hash


def test_changes_give_hashes_of_their_own() -> None:
    limits = [Contract.of(swapped(LARGE, replace(LARGE, where=ORDERS.net_cents > limit))).hash for limit in (10**6, 10**6 + 1)]

    assert len(set(limits)) == 2


def test_the_hash_leaves_out_what_changes_no_number() -> None:
    same = swapped(RANK, replace(RANK, meaning="in other words"), swapped(FADING, replace(FADING, meaning="anew")))

    assert Contract.of(same).hash == Contract.of(SMALL).hash


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_the_hash_is_the_same_in_another_process(seed: str) -> None:
    code = "from features.contract import CONTRACT_HASH; print(CONTRACT_HASH)"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Shanghai", "LC_ALL": "C"}

    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert found.stdout.strip() == CONTRACT_HASH
    assert re.fullmatch("[0-9a-f]{64}", CONTRACT_HASH)


# What ours holds


def test_models_see_at_least_110_features_and_more_than_that_are_left_to_a_shop_with_purchases_alone() -> None:
    seen = [feature for feature in CONTRACT.features if feature.in_models]
    of_purchases = [f for f in seen if {table for table, _ in f.columns()} <= {"orders", "purchases", "items"}]

    assert len(seen) >= 110
    assert len(of_purchases) >= 110
    for family in get_args(Family):
        assert sum(feature.family == family for feature in CONTRACT.features) >= 5


def test_every_declaration_names_the_columns_it_rests_on() -> None:
    columns = {a.name: a.columns() for a in CONTRACT.aggregates}

    assert columns["purchases_30d"] == {("orders", "kind"), ("orders", "local_day")}
    assert columns["coupon_purchases_180d"] == {("orders", "kind"), ("orders", "coupon_cents"), ("orders", "local_day")}
    assert ("items", "category") in columns["categories_30d"]
    assert ("purchases", "net_cents") in columns["top_brand_cents_180d"]
    assert columns["sessions_30d"] == {("events", "session_id"), ("events", "local_day")}
    assert CONTRACT.feature("holiday_share_365d").columns() >= {("orders", "holiday")}
    stored = {(table.name, column.name) for table in STORED for column in table.columns}
    assert frozenset().union(*columns.values()) <= stored


def test_a_feature_without_its_facts_is_missing_and_not_zero() -> None:
    """Whatever a shop does not know: if all aggregates on it are missing, no feature makes a number of them."""
    facts = shop([Line("ann", float(day), discount=day % 2, coupon=day % 3) for day in range(0, 60, 7)])
    rows = build(facts, as_of=moment_of(61))
    everything = frozenset().union(*(a.columns() for a in CONTRACT.aggregates))
    always = {("orders", name) for name in ("kind", "local_day", "net_cents", "lines")} | {("purchases", "kind")}
    for absent in sorted(everything - always):
        records = rows.records.copy()
        for aggregate in CONTRACT.aggregates:
            if absent in aggregate.columns():
                records[aggregate.name] = missing_value(records.dtype[aggregate.name])
        matrix = derive(CONTRACT, records, day=rows.day, edges=rows.edges)
        for position, feature in enumerate(CONTRACT.features):
            if absent in feature.columns():
                assert np.isnan(matrix[0, position]), (absent, feature.name)


def test_names_carry_unit_and_window() -> None:
    for declared in (*CONTRACT.aggregates, *CONTRACT.features):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", declared.name), declared.name
        assert "recency" not in declared.name or declared.name == "recency_score"
        assert declared.unit, declared.name
        assert declared.meaning, declared.name
    for aggregate in CONTRACT.aggregates:
        if aggregate.days is not None:
            assert re.search(rf"_{aggregate.days}d(_nightly)?$", aggregate.name), aggregate.name
        if aggregate.half_life_days is not None:
            assert aggregate.name.endswith(f"_h{aggregate.half_life_days}d")
        if aggregate.unit == "cents":
            assert "cents" in aggregate.name


WITHOUT_WINDOW = {
    *("recency_score", "frequency_score", "monetary_score", "rfm_score", "rfm_tier", "lifecycle_stage", "value_band")
}
"""Names of long standing; their meaning says the window."""


def test_a_window_in_a_feature_name_is_that_of_its_aggregates() -> None:
    for feature in CONTRACT.features:
        windows = {s.days for s in feature.sources() if isinstance(s, Aggregate) and s.days is not None}
        named = {int(days) for days in re.findall(r"_(\d+)d(?=_|$)", feature.name)}
        if feature.name not in WITHOUT_WINDOW:
            assert windows == named, feature.name


def test_aggregates_stand_in_the_order_of_the_stored_record() -> None:
    assert record_dtype(CONTRACT).names == tuple(aggregate.name for aggregate in CONTRACT.aggregates)
    assert record_dtype(CONTRACT).itemsize == sum(np.dtype(a.dtype).itemsize for a in CONTRACT.aggregates)


def test_a_feature_of_a_nightly_aggregate_is_nightly_and_a_label_names_its_codes() -> None:
    assert CONTRACT.feature("top_store_share_180d").freshness == "nightly"
    assert CONTRACT.feature("spend_cents_30d").freshness == "event"
    assert label_of(CONTRACT, "lifecycle_stage", 3.0) == "at_risk"
    assert label_of(CONTRACT, "lifecycle_stage", float("nan")) is None
    with pytest.raises(KeyError):
        CONTRACT.feature("no_such_feature")


# Thresholds

SILENT = Threshold("silent_days", 30, "days", "silence")
IS_SILENT = Feature("is_silent", where(DAY - LAST_DAY > SILENT, 1, 0), "0 or 1", "silent", "lifecycle", in_models=False)
WITH_THRESHOLD = [*SMALL, SILENT, IS_SILENT]


def test_a_shop_sets_a_threshold_and_it_travels_with_the_features() -> None:
    contract = Contract.of(WITH_THRESHOLD)
    lines = [Line("ann", 0.0), Line("bob", 20.0)]

    usual, own = (
        build(shop(lines, thresholds=chosen), as_of=moment_of(25), contract=contract) for chosen in (None, {"silent_days": 10})
    )

    assert usual.column("is_silent").tolist() == [0, 0]
    assert own.column("is_silent").tolist() == [1, 0]
    assert own.edges["silent_days"] == 10
    assert set(own.edges) == {scalar.name for scalar in contract.scalars}
    assert derive(contract, own.records, day=own.day, edges=own.edges).tobytes() == own.matrix.tobytes()


def test_a_threshold_that_is_not_declared_is_refused_where_features_are_built() -> None:
    with pytest.raises(ConfigurationError, match="silent_day") as refused:
        build(shop([Line("ann", 0.0)], thresholds={"silent_day": 10}), as_of=moment_of(1), contract=Contract.of(WITH_THRESHOLD))

    assert "silent_days" in refused.value.remedy


def test_models_may_not_see_what_a_shop_sets_for_itself() -> None:
    with pytest.raises(ValueError, match="is_silent is seen by models"):
        Contract.of(swapped(IS_SILENT, replace(IS_SILENT, in_models=True), WITH_THRESHOLD))


def test_the_hash_notices_a_threshold() -> None:
    other = swapped(SILENT, replace(SILENT, unit="weeks"), WITH_THRESHOLD)
    moved = [replace(SILENT, default=31) if d is SILENT else d for d in WITH_THRESHOLD if d is not IS_SILENT]

    assert Contract.of([d for d in other if d is not IS_SILENT]).hash != Contract.of([*SMALL, SILENT]).hash
    assert Contract.of(moved).hash != Contract.of([*SMALL, SILENT]).hash


# Totals that decay need the last day of their own facts


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (replace(FADING, last_day=None), "needs last_day"),
        (replace(FADING, last_day=replace(LAST_DAY, name="stranger")), "needs last_day"),
        (replace(FADING, where=ORDERS.net_cents > 0), "other facts"),
        (replace(FADING, days=90), "all history"),
        (replace(FADING, half_life_days=None), "half-life"),
    ],
)
def test_a_decayed_total_without_the_last_day_of_its_facts_is_refused(broken: Aggregate, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Contract.of(swapped(FADING, broken))


# From one place to everywhere

BIG_ORDERS = Aggregate("big_orders_60d", COUNT, ORDERS, "orders", "orders above 50", where=ORDERS.net_cents > 5000, days=60)
BIG_SHARE = Feature("big_share_60d_of_30d", ratio(BIG_ORDERS, VISITS), "share", "big orders per order", "behaviour")
DAYS_LEFT = Feature("days_to_new_year", 19_723 + 366 - DAY, "days", "days until 2025", "lifecycle", in_models=False)
LONG_VIEWS = Aggregate(
    "long_views_14d", COUNT, EVENTS, "views", "views of a minute or more", where=EVENTS.duration_s >= 60, days=14
)
LONG_VIEWS_PER_VISIT = Feature(
    "long_views_per_visit_14d_of_30d", ratio(LONG_VIEWS, VISITS), "views", "long views per order", "browsing"
)
EXTENDED = Contract.of([*SMALL, BIG_ORDERS, BIG_SHARE, DAYS_LEFT, LONG_VIEWS, LONG_VIEWS_PER_VISIT])
ENGINES: dict[str, Callable[..., FeatureRows]] = {"duckdb": build}
"""Every way to compute feature rows in batch, called with facts, `as_of` and `contract`; another engine adds itself here."""


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_new_declaration_reaches_batch_bytes_serving_live_training_and_documentation(engine: str) -> None:
    facts = shop(
        [Line("ann", 0.0, 6000), Line("ann", 1.0, 100), Line("ann", 20.0, 7000), Line("ann", 40.2, 9000)],
        events=[
            Event("ann", 39.0, seconds=70),
            Event("ann", 40.2, seconds=60),
            Event("ann", 40.2, seconds=59),
            Event("ann", 9.0),
        ],
    )
    midnight, afternoon = facts.midnight(facts.local_day(moment_of(40.2))), moment_of(40.3)

    batch = ENGINES[engine](facts, as_of=afternoon, contract=EXTENDED)
    assert batch.records["big_orders_60d"].tolist() == [3]
    assert batch.column("big_share_60d_of_30d").tolist() == [1.5]  # three big orders in 60 days, two orders in 30
    assert batch.column("days_to_new_year").tolist() == [366 - 40]
    assert batch.column("long_views_per_visit_14d_of_30d").tolist() == [1.0]  # two long views, two orders

    values = encode(EXTENDED, batch.records, as_of=batch.as_of, written_at=datetime.now(UTC))
    stored = decode(EXTENDED, values).records
    assert derive(EXTENDED, stored, day=batch.day, edges=batch.edges).tobytes() == batch.matrix.tobytes()

    base = ENGINES[engine](facts, as_of=midnight, contract=EXTENDED)
    bought = {"member_id": np.array(["ann"]), "net_cents": np.array([9000]), "local_day": np.array([base.day])}
    seen = {"member_id": np.array(["ann", "ann", None]), "duration_s": np.array([60, 59, 999])}
    live = merge(EXTENDED, base.records, fold(EXTENDED, ["ann"], {"orders": bought, "events": seen}))
    for name, before in (("big_orders_60d", 2), ("long_views_14d", 1)):
        assert (base.records[name].tolist(), live[name].tolist()) == ([before], [before + 1])
    assert derive(EXTENDED, live, day=batch.day, edges=batch.edges).tobytes() == batch.matrix.tobytes()

    assert_in_training(facts, base)
    assert_documented()


def assert_in_training(facts: Facts, base: FeatureRows) -> None:
    """What training hands to a model has the new features, in their places."""
    everyone = lambda rows: (np.ones(len(rows.member_ids), dtype=bool), np.zeros(len(rows.member_ids)))  # noqa: E731

    matrix = examples(Snapshots(facts, EXTENDED), [base.day], everyone).matrix

    seen = [EXTENDED.feature_names[i] for i in model_columns(EXTENDED)]
    assert seen == [
        *("spend_per_visit_30d", "spend_cents_30d", "spend_score"),
        *("big_share_60d_of_30d", "long_views_per_visit_14d_of_30d"),
    ]
    for name in seen[3:]:
        assert matrix[:, seen.index(name)].tolist() == base.column(name).tolist()


def assert_documented() -> None:
    page = features_page(EXTENDED)
    for name in ("big_orders_60d", "big_share_60d_of_30d", "days_to_new_year", "long_views_14d"):
        assert f"| `{name}` |" in page
    assert "`ratio(big_orders_60d, visits_30d)`" in page
    assert "big_orders_60d" not in features_page(CONTRACT)
