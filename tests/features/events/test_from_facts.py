"""A day of facts as events: folded, they are the day that the facts themselves fold into."""

from datetime import timedelta

import numpy as np
import pytest
from parity.today import arrays, facts_of_today
from shops import Event, Line, Redemption, moment_of, shop

from features.contract import CONTRACT
from features.events.from_facts import events_of_day
from features.events.rows import fold_columns, live_rows
from features.facts import Facts
from features.live import fold

SMALL = shop(
    [
        Line("ann", 5.1, 900, "apple", "one"),
        Line("ann", 5.1, 300, "pear", "one", discount=20, coupon=5),
        Line("ann", 5.2, -300, "pear", "one", kind="return"),
        Line("bob", 5.3, 40),
        Line(None, 5.3, 70),
        Line("bob", 6.3, 40),
    ],
    events=[
        Event("ann", 5.05, seconds=31),
        Event("bob", 5.25, "cart"),
        Event(None, 5.3),
        Event("bob", 5.305, "visit", item=None),
    ],
    redemptions=[Redemption("bob", 5.31)],
)


@pytest.mark.parametrize("which", ["small", "real"])
def test_they_fold_into_the_same_day(which: str, facts: Facts) -> None:
    of = facts if which == "real" else SMALL
    day = of.manifest.until_day - 3 if which == "real" else of.local_day(moment_of(5.1))
    today = facts_of_today(of, of.midnight(day + 1) - timedelta(microseconds=1))
    members = sorted({member for rows in today.values() for member in rows["member_id"].to_pylist()})
    holiday = {row["local_day"]: row["holiday"] for row in today["orders"].select(["local_day", "holiday"]).to_pylist()}

    events = events_of_day(of, day)
    told = fold(CONTRACT, members, fold_columns([live_rows(event, is_holiday=holiday.get) for event in events]))

    direct = fold(CONTRACT, members, arrays({name: rows for name, rows in today.items() if name != "exposures"}))
    for aggregate in CONTRACT.aggregates:
        same = np.array_equal(told[aggregate.name], direct[aggregate.name], equal_nan=aggregate.dtype.startswith("float"))
        assert same, aggregate.name


def test_an_order_is_one_event_and_a_return_another() -> None:
    events = events_of_day(SMALL, SMALL.local_day(moment_of(5.1)))
    assert [(event.type, event.member_id) for event in events] == [
        ("view", "ann"),
        ("purchase", "ann"),
        ("return", "ann"),
        ("cart", "bob"),
        ("purchase", "bob"),
        ("visit", "bob"),
        ("redemption", "bob"),
    ]
    assert [line.net_cents for line in events[1].lines] == [900, 300]
    assert [line.net_cents for line in events[2].lines] == [300]
    assert events[0].duration_s == 31
    assert len({event.event_id for event in events}) == len(events)
