"""The query's features against an oracle in plain Python, on random shops and on real purchases."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import isclose, isnan
from typing import Any

import ibis
import pytest
from hypothesis import given
from parity import oracle
from parity.random_shops import SHOPS, moments, on_the_hour, purchases
from shops import Line, shop

from features.build import FeatureRows, build
from features.codec import columns_of
from features.compile import decay_weight
from features.contract import CONTRACT
from features.facts import Facts

RELATIVE, ABSOLUTE = 1e-5, 1e-5
"""Features are float32, which has seven digits."""
COUNTED = {f.name for f in CONTRACT.features if f.unit in {"orders", "days", "cents", "items", "stores", "categories"}} - {
    name for name in CONTRACT.feature_names if "_per_" in name or "deviation" in name or "mean" in name or "_h" in name
}
"""Whole numbers: these must agree to the last digit, as float32 can hold them."""


def read(facts: Facts) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    lines = facts.tables["purchases"].to_pyarrow().to_pylist()
    return lines, {entry["item_id"]: entry for entry in facts.tables["items"].to_pyarrow().to_pylist()}


def differences(rows: FeatureRows, expected: Mapping[str, Mapping[str, oracle.Value]]) -> list[str]:
    found = []
    for row, member in enumerate(rows.member_ids.tolist()):
        for column, name in enumerate(CONTRACT.feature_names):
            value = float(rows.matrix[row, column])
            if name in expected[member] and not same(name, value, expected[member][name]):
                found.append(f"{member}: {name} is {value}, the oracle says {expected[member][name]}")
    return found


def same(name: str, value: float, expected: oracle.Value) -> bool:
    if expected is None or isnan(value):
        return expected is None and isnan(value)
    if name in COUNTED and abs(expected) < 2**24:
        return value == expected
    return isclose(value, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def assert_agrees(rows: FeatureRows, facts: Facts, moment: datetime) -> None:
    lines, catalogue = read(facts)
    expected = oracle.features_at(moment, lines, catalogue, facts.zone)

    assert rows.member_ids.tolist() == sorted(expected)
    assert differences(rows, expected)[:10] == []
    assert_aggregates_agree(rows, oracle.members_before(moment, lines, catalogue, facts.zone))


def assert_aggregates_agree(rows: FeatureRows, members: Mapping[str, oracle.Member]) -> None:
    stored = columns_of(rows.records)
    for row, member in enumerate(rows.member_ids.tolist()):
        for name, value in oracle.aggregates_of(members[member], rows.day).items():
            got = stored[name][row]
            assert isnan(got) if value is None else got == value, (member, name, got, value)


@SHOPS
@given(lines=purchases, hours=moments)
def test_random_shops(lines: Sequence[Line], hours: int) -> None:
    facts, moment = shop(lines), on_the_hour(hours)

    assert_agrees(build(facts, as_of=moment), facts, moment)


def test_real_purchases_on_an_afternoon(facts: Facts) -> None:
    afternoon = facts.midnight(facts.manifest.until_day - 150) + timedelta(hours=16)

    assert_agrees(build(facts, as_of=afternoon), facts, afternoon)


def test_the_oracle_knows_every_feature_and_every_kind_of_aggregate() -> None:
    facts = shop([Line("ann", day) for day in (0.0, 1.0, 3.0)])
    lines, catalogue = read(facts)
    moment = on_the_hour(24 * 4)
    members = oracle.members_before(moment, lines, catalogue, facts.zone)
    summed = oracle.aggregates_of(members["ann"], facts.local_day(moment))

    assert set(oracle.features_at(moment, lines, catalogue, facts.zone)["ann"]) == set(CONTRACT.feature_names)
    seen = {a.kind.name for a in CONTRACT.aggregates if a.name in summed or a.name in CONTRACT.feature_names}
    assert seen == {aggregate.kind.name for aggregate in CONTRACT.aggregates}


def test_real_purchases_reach_every_stage_tier_and_score(rows: FeatureRows) -> None:
    for name, codes in (
        ("lifecycle_stage", range(1, 5)),  # at the end of a year of groceries nobody is new; random shops have them
        ("rfm_tier", range(3)),
        ("recency_score", range(1, 6)),
        ("frequency_score", range(1, 6)),
        ("monetary_score", range(1, 6)),
    ):
        assert set(rows.column(name).tolist()) == set(codes), name


@pytest.mark.parametrize("half_life", [7, 30, 90])
def test_decay_weights_of_the_query_are_those_of_python(half_life: int) -> None:
    connection = ibis.duckdb.connect()
    ages = ibis.memtable({"age": list(range(2001))})
    weights = connection.to_pyarrow(ages.select("age", weight=decay_weight(ages.age.cast("int32"), half_life))).to_pylist()

    assert [row["weight"] for row in weights] == [oracle.weight(row["age"], half_life) for row in weights]
    assert weights[0]["weight"] == 65_536
    assert weights[half_life]["weight"] == 32_768
