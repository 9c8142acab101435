"""The one call that computes features: windows, moments, members, and that both engines say the same."""

from datetime import datetime
from math import isnan

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from parity.agreement import assert_same_floats
from shops import Line, moment_of, shop

from features.build import FeatureRows, build
from features.capabilities import silent
from features.codec import columns_of
from features.compile import aggregate_sql, aggregate_table, feature_columns, query_text
from features.contract import CONTRACT
from features.days import naive_utc
from features.derive import derive
from features.facts import Facts


def test_windows_begin_at_local_midnight_and_end_at_the_moment_asked_about() -> None:
    facts = shop([Line("ann", 0.0, 100), Line("ann", 6.9, 20), Line("ann", 7.2, 3), Line("ann", 7.6, 5000)])

    at = build(facts, as_of=moment_of(7.4))

    assert at.column("spend_cents_7d")[0] == 123  # the purchase of day 0 is in, at noon of day 7; the later one is not
    assert at.column("purchases_7d")[0] == 3


def test_midnight_windows_are_whole_days() -> None:
    facts = shop([Line("ann", 0.0, 100), Line("ann", 1.0, 20)])

    assert build(facts, as_of=facts.midnight(facts.manifest.first_day + 7)).column("spend_cents_7d")[0] == 120
    assert build(facts, as_of=facts.midnight(facts.manifest.first_day + 8)).column("spend_cents_7d")[0] == 20


def test_one_row_for_each_member_with_a_purchase_before_the_moment() -> None:
    facts = shop([Line("ann", 0.0), Line("bob", 3.0), Line(None, 0.0)])

    assert build(facts, as_of=moment_of(1)).member_ids.tolist() == ["ann"]
    assert build(facts, as_of=moment_of(4)).member_ids.tolist() == ["ann", "bob"]


def test_leading_zeros_stay() -> None:
    assert build(shop([Line("00123", 0.0)]), as_of=moment_of(1)).member_ids.tolist() == ["00123"]


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        build(shop([Line("ann", 0.0)]), as_of=datetime(2024, 1, 2))  # noqa: DTZ001 # that is the point


def test_returns_lower_spend_but_are_no_purchases() -> None:
    facts = shop([Line("ann", 0.0, 1000), Line("ann", 1.0, -400, kind="return")])

    found = build(facts, as_of=moment_of(2))

    assert found.column("spend_cents_30d")[0] == 600
    assert found.column("purchases_30d")[0] == 1
    assert found.column("return_share_180d")[0] == 0.5
    assert found.column("days_since_last_purchase")[0] == 2


def test_what_the_facts_cannot_say_is_missing_and_not_zero() -> None:
    found = build(shop([Line("ann", 0.0)]), as_of=moment_of(1))

    assert np.isnan(found.column("mean_gap_days")[0])
    assert np.isnan(found.column("longest_gap_days")[0])
    assert found.column("purchases_30d")[0] == 1


def test_edges_of_a_day_are_those_of_its_midnight() -> None:
    facts = shop([Line(f"m{i}", i / 100, 100 * i) for i in range(1, 50)] + [Line("m1", 10.3, 10**6)])

    midnight, noon = (build(facts, as_of=moment) for moment in (facts.midnight(facts.manifest.until_day - 1), moment_of(10.4)))

    assert midnight.edges == noon.edges


def test_both_engines_derive_the_same_bits(rows: FeatureRows) -> None:
    """Features by the query that Ibis makes of the formulas, against those that numpy derives."""
    connection = duckdb.connect()
    known = {name: [None if isnan(v) else v for v in values.tolist()] for name, values in columns_of(rows.records).items()}
    types = {"int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}
    aggregates = {a.name: pa.array(known[a.name], pa.float64()).cast(types[a.dtype]) for a in CONTRACT.aggregates}
    connection.register("aggregates", pa.table({"member_id": rows.member_ids.tolist(), **aggregates}))
    query = feature_columns(CONTRACT, aggregate_table(CONTRACT)).order_by("member_id")
    names = [f"feature.{name}" for name in CONTRACT.feature_names]

    found = connection.sql(query_text(query.select(*names), "duckdb"), params={"day": float(rows.day), **rows.edges})
    table = found.to_arrow_table()
    queried = np.column_stack([table[name].to_numpy().astype(np.float32) for name in names])

    derived = derive(CONTRACT, rows.records, day=rows.day, edges=rows.edges)
    assert derived.tobytes() == rows.matrix.tobytes()
    assert_same_floats(queried, derived, CONTRACT.features)


def test_arrays_say_what_one_query_of_the_stored_tables_says(rows: FeatureRows, facts: Facts) -> None:
    whole = facts.query(aggregate_sql(CONTRACT, "duckdb"), as_of=naive_utc(rows.as_of), day=rows.day)
    stored, silenced = columns_of(rows.records), silent(CONTRACT.aggregates, facts.absent(rows.day))

    assert whole["member_id"].to_pylist() == rows.member_ids.tolist()
    assert len(silenced) < len(CONTRACT.aggregates)
    for aggregate in CONTRACT.aggregates:
        if aggregate not in silenced:
            expected = whole[aggregate.name].to_numpy().astype(np.float64)
            np.testing.assert_allclose(stored[aggregate.name], expected, rtol=0 if aggregate.dtype != "float64" else 1e-12)
