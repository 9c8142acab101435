"""Last midnight's records merged with the orders of today are the records of a batch at that moment, to the last bit."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from parity.agreement import assert_same_floats
from parity.random_shops import SHOPS, Shop, placed, returns, sales, whole_shops
from parity.random_shops import events as any_events
from parity.today import columns_of_orders, facts_of_today, live_records, orders_of_today, unknown_to
from shops import START, Event, Exposure, Line, Redemption, moment_of, shop

from features.build import FeatureRows, build
from features.codec import columns_of, empty_records
from features.contract import CONTRACT
from features.declarations import DECAYED
from features.derive import derive
from features.facts import Facts
from features.live import fold, merge

EVENT_AGGREGATES = [a for a in CONTRACT.aggregates if a.freshness == "event"]
NIGHTLY_AGGREGATES = [a.name for a in CONTRACT.aggregates if a.freshness == "nightly"]
EVENT_FEATURES = [i for i, feature in enumerate(CONTRACT.features) if feature.freshness == "event"]


def assert_live_is_batch(facts: Facts, moment: datetime) -> tuple[FeatureRows, FeatureRows, NDArray[np.void]]:
    base = build(facts, as_of=facts.midnight(facts.local_day(moment)))
    batch = build(facts, as_of=moment)
    today = facts_of_today(facts, moment)
    members = sorted({*base.member_ids.tolist(), *(m for rows in today.values() for m in rows["member_id"].to_pylist())})
    live = live_records(base, today, members, unknown_to(facts, base.day))

    assert members == batch.member_ids.tolist()
    for aggregate in EVENT_AGGREGATES:
        if aggregate.kind is DECAYED:
            np.testing.assert_allclose(live[aggregate.name], batch.records[aggregate.name], rtol=1e-12, atol=1e-9)
        else:
            assert live[aggregate.name].tobytes() == batch.records[aggregate.name].tobytes(), aggregate.name
    assert base.edges == pytest.approx(batch.edges, abs=0, nan_ok=True)
    derived = derive(CONTRACT, live, day=base.day, edges=base.edges)
    assert_same_floats(
        derived[:, EVENT_FEATURES], batch.matrix[:, EVENT_FEATURES], [CONTRACT.features[i] for i in EVENT_FEATURES]
    )
    return base, batch, live


def days_with_news(facts: Facts) -> tuple[datetime, datetime]:
    """Four in the afternoon of a late day, and of an early one, when many members had not bought before."""
    late, early = facts.manifest.until_day - 3, facts.manifest.first_day + 12
    return tuple(facts.midnight(day) + timedelta(hours=16) for day in (late, early))  # type: ignore[return-value] # two


def test_a_real_late_day(facts: Facts) -> None:
    base, _, live = assert_live_is_batch(facts, days_with_news(facts)[0])

    assert (live["spend_cents_7d"] != base.records["spend_cents_7d"]).sum() > 20  # a good part of 300 households came


def test_a_real_early_day_with_members_without_base(facts: Facts) -> None:
    base, batch, live = assert_live_is_batch(facts, days_with_news(facts)[1])
    newcomers = ~np.isin(batch.member_ids, base.member_ids)

    assert newcomers.any()
    assert (live["purchase_days"][newcomers] == 1).all()
    assert (live["last_purchase_day"][newcomers] == base.day).all()


def test_nightly_aggregates_keep_the_value_of_last_midnight(facts: Facts) -> None:
    base, batch, live = assert_live_is_batch(facts, days_with_news(facts)[0])

    for name in NIGHTLY_AGGREGATES:
        assert live[name].tobytes() == base.records[name].tobytes(), name
    assert (batch.records["items_30d"] != base.records["items_30d"]).any()  # it did move, for those who look again


def test_nightly_aggregates_of_a_newcomer_are_empty(facts: Facts) -> None:
    base, batch, live = assert_live_is_batch(facts, days_with_news(facts)[1])
    newcomers = ~np.isin(batch.member_ids, base.member_ids)

    assert newcomers.any()
    unknown = unknown_to(facts, base.day)
    empty = empty_records(CONTRACT, 1, unknown=unknown)
    assert unknown  # a grocer without browsing
    for name in NIGHTLY_AGGREGATES:
        assert np.array_equal(
            live[name][newcomers], np.repeat(empty[name], newcomers.sum()), equal_nan=empty[name].dtype.kind == "f"
        )


def test_the_order_of_events_does_not_matter(facts: Facts) -> None:
    orders = orders_of_today(facts, days_with_news(facts)[0])
    members = sorted(set(orders["member_id"].to_pylist()))
    folded = fold(CONTRACT, members, columns_of_orders(orders))

    for seed in range(5):
        shuffled = orders.take(pa.array(np.random.default_rng(seed).permutation(orders.num_rows)))
        assert fold(CONTRACT, members, columns_of_orders(shuffled)).tobytes() == folded.tobytes()


def test_rows_of_members_not_asked_for_are_left_out() -> None:
    facts = shop([Line("ann", 0.0, 100), Line("bob", 0.0, 7)])
    orders = columns_of_orders(orders_of_today(facts, moment_of(0.4)))

    assert fold(CONTRACT, ["bob", "eve"], orders)["spend_cents_7d"].tolist() == [7, 0]


def test_no_event_leaves_the_base_as_it_was(rows: FeatureRows) -> None:
    members = rows.member_ids.tolist()
    nothing = fold(CONTRACT, members, {})

    assert nothing.tobytes() == empty_records(CONTRACT, len(members)).tobytes()
    assert merge(CONTRACT, rows.records, nothing).tobytes() == rows.records.tobytes()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_return_before_the_purchase_it_belongs_to_ends_in_the_same_state(order: tuple[int, ...]) -> None:
    lines = [Line("ann", 5.1, 900), Line("ann", 5.2, -900, kind="return"), Line("ann", 5.3, 40)]
    today = columns_of_orders(orders_of_today(shop([lines[i] for i in order]), moment_of(5.4)))

    assert fold(CONTRACT, ["ann"], today)["spend_cents_7d"].tolist() == [40]
    assert fold(CONTRACT, ["ann"], today)["purchases_7d"].tolist() == [2]
    assert fold(CONTRACT, ["ann"], today)["returns_180d"].tolist() == [1]


TODAY = st.lists(st.tuples(st.one_of(sales, sales, returns), st.integers(-11, 11)), min_size=1, max_size=15)
"""Lines of the last day with the hour at which they come, counted from its noon; hours repeat."""


EVENTS_TODAY = st.lists(st.tuples(any_events, st.integers(-11, 11)), max_size=15)


@SHOPS
@given(
    before=whole_shops,
    day=st.one_of(st.integers(0, 430), st.integers(415, 440)),
    today=TODAY,
    seen=EVENTS_TODAY,
    asked=st.integers(-11, 12),
)
@example(  # nobody before
    before=Shop([Line("ann", 400.0)], [], [], []), day=3, today=[(Line("bob", 0.0, -5, kind="return"), 1)], seen=[], asked=9
)
def test_random_shops(
    before: Shop, day: int, today: Sequence[tuple[Line, int]], seen: Sequence[tuple[Event, int]], asked: int
) -> None:
    noon = START + timedelta(days=day)  # in local time, so that clocks may change in between
    at = lambda hour: _days_after_start(noon + timedelta(hours=hour))  # noqa: E731
    lines = [*before.lines, *(placed(line, at(hour)) for line, hour in today)]
    events = [*before.events, *(event._replace(at=at(hour)) for event, hour in seen)]
    campaigns = [Exposure("ann", at(1)), Exposure("bob", at(2), "summer", "control")]

    what = before._replace(
        lines=lines,
        events=events,
        exposures=[*before.exposures, *campaigns],
        redemptions=[*before.redemptions, Redemption("ann", at(3), "today")],
    )
    assert_live_is_batch(what.facts(), noon + timedelta(hours=asked) - timedelta(minutes=1))


DECAYS = [a for a in CONTRACT.aggregates if a.kind is DECAYED]


def test_orders_that_come_days_late_decay_as_if_they_had_come_in_time() -> None:
    lines = [Line("ann", 0.0, 700), Line("ann", 20.0, 900, discount=10), Line("bob", 3.0, 500)]
    late = [Line("ann", 12.0, 300, discount=5), Line("bob", 1.0, -200, kind="return"), Line("bob", 5.0, 80)]
    day = moment_of(21.0)
    known, whole = (build(shop(those), as_of=day) for those in (lines, [*lines, *late]))
    came = shop(late).tables["orders"].to_pyarrow()

    live = merge(CONTRACT, known.records, fold(CONTRACT, ["ann", "bob"], columns_of_orders(came)))

    assert len(DECAYS) == 5
    for aggregate in DECAYS:
        assert live[aggregate.name] == pytest.approx(whole.records[aggregate.name], rel=1e-12), aggregate.name
    for name in ("last_purchase_day", "last_order_day", "purchases_ever", "spend_cents_ever"):
        assert live[name].tolist() == whole.records[name].tolist(), name


def test_what_the_shop_does_not_know_stays_missing_when_today_is_merged() -> None:
    unknown = [a.name for a in CONTRACT.aggregates if a.kind.empty is not None and a.freshness == "event"]
    base = empty_records(CONTRACT, 1, unknown=unknown)
    today = fold(
        CONTRACT, ["ann"], columns_of_orders(orders_of_today(shop([Line("ann", 5.1, 900, discount=3)]), moment_of(5.4)))
    )

    merged = merge(CONTRACT, base, today)

    assert all(np.isnan(columns_of(merged)[name][0]) for name in unknown)
    assert merged["last_purchase_day"] == today["last_purchase_day"]


def test_the_last_day_but_one_moves_on_with_the_first_purchase_of_a_day_only() -> None:
    facts = shop([Line("ann", 1.0), Line("ann", 4.0), Line("ann", 9.1), Line("ann", 9.2)])
    first = facts.manifest.first_day

    found = [build(facts, as_of=moment_of(days)).records["previous_purchase_day"][0] - first for days in (4.2, 9.15, 9.3)]

    assert found == [0, 3, 3]


def _days_after_start(moment: datetime) -> float:
    return (moment.timestamp() - START.timestamp()) / 86_400
