"""The one call that computes features: windows, moments, members, and that both engines say the same."""

from datetime import datetime

import numpy as np
import pytest
from shops import Line, moment_of, shop

from features.build import FeatureRows, build
from features.contract import CONTRACT
from features.derive import derive


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
    derived = derive(CONTRACT, rows.records, day=rows.day, edges=rows.edges)

    assert derived.tobytes() == rows.matrix.tobytes() or np.array_equal(derived, rows.matrix, equal_nan=True)
