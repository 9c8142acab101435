"""Sums of facts as arrays: cells of members and days, keys in order, and sums that do not depend on the order of facts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shops import CATALOGUE, Line, moment_of, shop

from features import key_cells, keyed
from features.arrays import read_bucket
from features.build import build
from features.contract import CONTRACT
from features.segments import EXACT_IN_FLOATS, Segments, exact_sums
from features.summing import aggregates_at, distinct_days

FACTS = st.lists(st.tuples(st.integers(0, 4), st.integers(100, 130), st.integers(-9, 9)), max_size=40)
EDGES = st.lists(st.integers(95, 135), min_size=1, max_size=6)


@given(FACTS, EDGES, st.booleans())
def test_any_window_between_edges_is_the_sum_of_its_days(
    facts: list[tuple[int, int, int]], edges: list[int], floats: bool
) -> None:
    segments = Segments.between(5, edges)
    members, days, values = np.array(facts, dtype=np.int64).reshape(-1, 3).T

    windows = segments.windows(segments.sums(segments.cells(members, days), values.astype(float) if floats else values))

    for start in (None, *edges):
        for until in (None, *edges):
            inside = [(m, v) for m, d, v in facts if (start is None or d >= start) and (until is None or d < until)]
            expected = Counter[int]()
            for member, value in inside:
                expected[member] += value
            assert windows.between(start, until).tolist() == [expected[member] for member in range(5)]


def test_amounts_too_large_for_floats_are_added_up_exactly() -> None:
    segments = Segments.between(1, [])
    amounts = np.array([EXACT_IN_FLOATS, 1, 1, 1], dtype=np.int64)

    sums = segments.sums(segments.cells(np.zeros(4, np.int64), np.zeros(4, np.int64)), amounts)

    assert sums.tolist() == [[EXACT_IN_FLOATS + 3]]


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_decayed_sums_do_not_depend_on_the_order(values: list[float], random: object) -> None:
    shuffled = sorted(values, key=lambda _: random.random())  # type: ignore[attr-defined] # hypothesis's own Random

    one, other = (exact_sums(np.zeros(len(v), np.int64), np.array(v), 1)[0] for v in (values, shuffled))

    assert one == other == pytest.approx(sum(values), rel=1e-12, abs=1e-12)


@given(FACTS)
def test_days_stand_once_and_in_order(facts: list[tuple[int, int, int]]) -> None:
    table = np.array(facts, dtype=np.int32).reshape(-1, 3)

    members, days = distinct_days(table[:, 0], table[:, 1])

    assert list(zip(members.tolist(), days.tolist(), strict=True)) == sorted({(m, d) for m, d, _ in facts})


@pytest.mark.parametrize("most_bits", [63, 8])
def test_keys_are_counted_whether_or_not_they_fit_into_one_integer(most_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "MOST_BITS", most_bits)
    lines = [Line(f"m{i % 3}", 20.0 + i % 50, 100 + i, item=f"item-{i % 7}") for i in range(200)]

    found = build(shop(lines), as_of=moment_of(100))

    assert found.records["items_180d"].tolist() == [7, 7, 7]
    assert found.records["repeated_items_180d"].tolist() == [7, 7, 7]


def test_facts_of_one_moment_are_put_in_the_order_of_their_orders() -> None:
    lines = [Line("ann", 1.0, 100, order=order, store=store) for order, store in (("b", "s2"), ("a", "s1"), ("c", "s1"))]

    found = build(shop(lines), as_of=moment_of(3))

    assert found.records["store_switches_180d"].tolist() == [2]  # a in s1, b in s2, c in s1


def test_many_moments_at_once_are_each_alone() -> None:
    facts = shop([Line(f"m{i % 5}", i / 3, 100 + i, item=f"item-{i % 4}") for i in range(120)])
    moments = [facts.midnight(facts.manifest.first_day + day) for day in (0, 5, 20, 41)]

    together = list(aggregates_at(facts, 0, CONTRACT, moments))

    for moment, (members, records) in zip(moments, together, strict=True):
        alone = build(facts, as_of=moment)
        assert members.tolist() == alone.member_ids.tolist()
        known = [name for name in records.dtype.names or () if (alone.records[name] == records[name]).all()]
        assert "spend_cents_90d" in known
        assert "items_180d" in known


def test_what_tells_orders_of_one_moment_apart_is_read_only_where_there_are_any() -> None:
    apart, tied = ([Line("ann", 1.0, order="a"), Line("ann", at, order="b")] for at in (2.0, 1.0))

    assert "order_id" not in read_bucket(shop(apart), 0, CONTRACT).tables["orders"].columns
    assert "order_id" in read_bucket(shop(tied), 0, CONTRACT).tables["orders"].columns


def test_keys_in_cells_and_keys_in_order_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [str(entry["item_id"]) for entry in CATALOGUE]
    lines = [
        Line(f"m{i % 5}", (i * i) % 400 / 2, 100 + i * i, item=items[i % len(items)], store=f"s{i % 3}", order=str(i))
        for i in range(150)
    ]
    facts = shop(lines)
    moments = [facts.midnight(facts.manifest.first_day + day) for day in (0, 30, 150, 201)]

    found = []
    for most in (0, 10**6):
        monkeypatch.setattr(key_cells, "MOST_CELLS_A_FACT", most)
        found.append([records.tobytes() for _, records in aggregates_at(facts, 0, CONTRACT, moments)])

    assert found[0] == found[1]
