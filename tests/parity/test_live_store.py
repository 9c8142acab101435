"""Any sequence of today's events, through Redis: last midnight's record and the live value make the record of a batch."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from parity.agreement import assert_same_floats
from parity.random_shops import SHOPS, Shop, placed, returns, sales, whole_shops
from parity.random_shops import events as any_events
from parity.today import TABLES, arrays, base_records, facts_of_today, unknown_to
from shops import START, ZONE, Event, Exposure, Line, Redemption

from features.build import build
from features.contract import CONTRACT
from features.declarations import DECAYED
from features.derive import derive
from features.facts import Facts
from features.live_slots import entries_of, slots_of, values_of
from features.live_state import first_live_day, merged, unknown_in
from features.live_store import Change, LiveStore, Outcome

EVENT_AGGREGATES = [a for a in CONTRACT.aggregates if a.freshness == "event"]
EVENT_FEATURES = [i for i, feature in enumerate(CONTRACT.features) if feature.freshness == "event"]
ZERO_WITHOUT_FACTS = {a.name for a in CONTRACT.aggregates if a.kind.empty is not None}
NUMBER = count()


def changes_of(today: dict[str, pa.Table]) -> list[Change]:
    """One change for each row of the facts."""
    facts, members, days, row_of, rows = arrays(today), [], [], {}, 0
    for name in TABLES:
        number = today[name].num_rows
        row_of[name] = np.arange(rows, rows + number)
        members += today[name]["member_id"].to_pylist()
        days += today[name]["local_day"].to_pylist()
        rows += number
    entries = entries_of(CONTRACT, values_of(CONTRACT, facts, row_of, rows))
    return [
        Change(f"e{n}", n.to_bytes(8), member, day, packed)
        for n, (member, day, packed) in enumerate(zip(members, days, entries, strict=True))
    ]


def sent(live: LiveStore, changes: Sequence[Change], seed: int) -> None:
    """All of them in some order, some of them again and again, in groups of a few."""
    rng = random.Random(seed)
    order = [*changes, *rng.choices(changes, k=len(changes) // 2)] if changes else []
    rng.shuffle(order)
    while order:
        group, order = order[:7], order[7:]
        assert all(isinstance(outcome, Outcome) for outcome in live.apply(group))


def assert_stored_live_is_batch(facts: Facts, moment: datetime, live: LiveStore, seed: int) -> int:
    """Returns how many members had moved."""
    base = build(facts, as_of=facts.midnight(facts.local_day(moment)))
    batch = build(facts, as_of=moment)
    today = facts_of_today(facts, moment)
    sent(live, changes_of(today), seed)
    members = batch.member_ids.tolist()
    before = base_records(base, members, unknown_to(facts, base.day))
    if len(base.records):
        assert set(unknown_in(CONTRACT, base.records[0])) == {
            name for name in unknown_to(facts, base.day) if name in ZERO_WITHOUT_FACTS
        }
    first = first_live_day(base.as_of, ZoneInfo(facts.manifest.time_zone))
    now, moved = merged(CONTRACT, before, live.read(members), first)
    for aggregate in EVENT_AGGREGATES:
        if aggregate.kind is DECAYED:
            np.testing.assert_allclose(now[aggregate.name], batch.records[aggregate.name], rtol=1e-12, atol=1e-9)
        else:
            assert now[aggregate.name].tobytes() == batch.records[aggregate.name].tobytes(), aggregate.name
    derived = derive(CONTRACT, now, day=base.day, edges=base.edges)
    chosen = [CONTRACT.features[i] for i in EVENT_FEATURES]
    assert_same_floats(derived[:, EVENT_FEATURES], batch.matrix[:, EVENT_FEATURES], chosen)
    return int(moved.sum())


def opened(store_url: str) -> LiveStore:
    return LiveStore(store_url, prefix=f"parity-{next(NUMBER)}", slots=slots_of(CONTRACT))


def test_a_real_day(facts: Facts, store_url: str) -> None:
    moment = facts.midnight(facts.manifest.until_day - 3) + timedelta(hours=16)

    assert assert_stored_live_is_batch(facts, moment, opened(store_url), 1) > 20


@SHOPS
@given(
    before=whole_shops,
    day=st.one_of(st.integers(0, 430), st.integers(415, 440)),
    today=st.lists(st.tuples(st.one_of(sales, sales, returns), st.integers(-11, 11)), min_size=1, max_size=15),
    seen=st.lists(st.tuples(any_events, st.integers(-11, 11)), max_size=15),
    asked=st.integers(-11, 12),
    seed=st.integers(0, 2**32),
)
def test_random_shops(
    store_url: str,
    before: Shop,
    day: int,
    today: Sequence[tuple[Line, int]],
    seen: Sequence[tuple[Event, int]],
    asked: int,
    seed: int,
) -> None:
    noon = START + timedelta(days=day)
    at = lambda hour: ((noon + timedelta(hours=hour)).timestamp() - START.timestamp()) / 86_400  # noqa: E731
    campaigns = [Exposure("ann", at(1)), Exposure("bob", at(2), "summer", "control")]
    what: Any = before._replace(
        lines=[*before.lines, *(placed(line, at(hour)) for line, hour in today)],
        events=[*before.events, *(event._replace(at=at(hour)) for event, hour in seen)],
        exposures=[*before.exposures, *campaigns],
        redemptions=[*before.redemptions, Redemption("ann", at(3), "today")],
    )

    assert_stored_live_is_batch(what.facts(), noon + timedelta(hours=asked) - timedelta(minutes=1), opened(store_url), seed)


def test_what_a_base_holds_already_is_left_out(facts: Facts, store_url: str) -> None:
    day = facts.manifest.until_day - 3
    base = build(facts, as_of=facts.midnight(day + 1))
    live = opened(store_url)
    sent(live, changes_of(facts_of_today(facts, facts.midnight(day) + timedelta(hours=16))), 2)
    members = base.member_ids.tolist()

    now, moved = merged(CONTRACT, base.records, live.read(members), day + 1)

    assert not moved.any()
    assert now.tobytes() == base.records.tobytes()


def test_a_base_of_the_day_before_is_merged_with_both_days(facts: Facts, store_url: str) -> None:
    day = facts.manifest.until_day - 3
    base, batch = (build(facts, as_of=facts.midnight(d)) for d in (day, day + 2))
    live = opened(store_url)
    for number in (0, 1):
        end = facts.midnight(day + number + 1) - timedelta(microseconds=1)
        changes = changes_of(facts_of_today(facts, end))
        sent(live, [Change(f"{number}{c.event_id}", c.digest, c.member_id, c.day, c.entries) for c in changes], number)
    members = batch.member_ids.tolist()

    now, _ = merged(CONTRACT, base_records(base, members, unknown_to(facts, day)), live.read(members), day)

    for aggregate in EVENT_AGGREGATES:
        if aggregate.days is None and aggregate.kind is not DECAYED:
            assert now[aggregate.name].tobytes() == batch.records[aggregate.name].tobytes(), aggregate.name


def test_a_moment_within_a_day_makes_that_day_no_live_day() -> None:
    zone = ZoneInfo(ZONE)
    midnight = START.replace(hour=0)

    assert first_live_day(midnight, zone) + 1 == first_live_day(START, zone)
