"""What an event is in the archive and what is folded live are the same facts."""

from datetime import timedelta

import numpy as np
import pyarrow as pa

from features.contract import CONTRACT
from features.events.rows import ARCHIVED_TABLES, archive_rows, fold_columns, live_rows
from features.events.schema import Event
from features.fact_tables import completed
from features.facts import Facts
from features.live import fold
from features.sources.schema import EVENTS, PURCHASES
from tests.features.events.event_makers import NOON, ZONE, event

EVERY = [
    event("purchase", event_id="p1", lines=[{"item_id": "apple", "net_cents": 500, "quantity": 2}, {"net_cents": 70}]),
    event("purchase", event_id="p2", order_id="o2", lines=[{"net_cents": 100, "discount_cents": 20, "coupon_cents": 5}]),
    event("return", event_id="r1", lines=[{"item_id": "apple", "net_cents": 250, "quantity": 1}]),
    event("view", event_id="v1", duration_s=30, session_id="s1"),
    event("cart", event_id="c1"),
    event("visit", event_id="w1", channel="store"),
    event("redemption", event_id="x1"),
    event("identify", event_id="i1"),
]


def archived(events: list[Event]) -> Facts:
    found: dict[str, list[dict[str, object]]] = {}
    for each in events:
        for name, rows in archive_rows(each, zone=ZONE).items():
            found.setdefault(name, []).extend(rows)
    tables = {t.name: completed(pa.Table.from_pylist(found[t.name]), t) for t in ARCHIVED_TABLES if t.name in found}
    return Facts.in_memory(tables, time_zone=ZONE.key)


def test_the_archives_orders_are_the_live_ones() -> None:
    facts = archived(EVERY)
    live = fold_columns(live_rows(each) for each in EVERY)

    for name, columns in live.items():
        stored = facts.tables[name].to_pyarrow().select(list(columns)).sort_by("local_hour").to_pylist()
        there = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
        assert sorted(stored, key=str) == sorted(there, key=str), name


def test_live_rows_fold() -> None:
    records = fold(CONTRACT, ["ann"], fold_columns(live_rows(each) for each in EVERY))

    assert records["spend_cents_7d"].tolist() == [500 + 70 + 100 - 250]
    assert records["purchases_7d"].tolist() == [2]
    assert records["returns_180d"].tolist() == [1]
    assert records["views_1d"].tolist() == records["carts_1d"].tolist() == [1]
    assert records["redemptions_90d"].tolist() == [1]


def test_one_event_at_a_time_adds_up_to_all_at_once() -> None:
    names = ["spend_cents_7d", "purchases_7d", "views_7d", "carts_7d", "redemptions_90d", "returns_180d"]
    whole = fold(CONTRACT, ["ann"], fold_columns(live_rows(each) for each in EVERY))
    parts = [fold(CONTRACT, ["ann"], fold_columns([live_rows(each)])) for each in EVERY]
    for name in names:
        assert sum(int(part[name][0]) for part in parts) == int(whole[name][0]), name


def test_a_late_event_is_recorded_when_it_came_and_one_of_today_as_soon_as_it_happened() -> None:
    (today,) = archive_rows(event(received_at=NOON + timedelta(hours=3)), zone=ZONE)[EVENTS.name]
    (late,) = archive_rows(event("purchase", received_at=NOON + timedelta(hours=12)), zone=ZONE)[PURCHASES.name]

    assert today["recorded_at"] is None
    assert late["recorded_at"] == (NOON + timedelta(hours=12)).replace(tzinfo=None)


def test_a_visitors_event_counts_for_the_member_once_it_is_known_whose_it_was() -> None:
    seen = event(member_id=None, visitor_id="cookie-1")
    (row,) = archive_rows(seen, zone=ZONE, member_id="ann", known_from=NOON + timedelta(days=1))[EVENTS.name]
    (theirs,) = live_rows(seen, member_id="ann")[EVENTS.name]

    assert row["member_id"] == theirs["member_id"] == "ann"
    assert row["recorded_at"] == (NOON + timedelta(days=1)).replace(tzinfo=None)
    assert archive_rows(seen, zone=ZONE)[EVENTS.name][0]["member_id"] == seen.subject


def test_holidays_are_told_from_outside() -> None:
    columns = fold_columns([live_rows(EVERY[0], is_holiday=lambda day: day == EVERY[0].local_day), live_rows(EVERY[1])])
    assert columns["orders"]["holiday"].tolist() == [True, None]


def test_identify_is_no_fact() -> None:
    assert live_rows(event("identify")) == archive_rows(event("identify"), zone=ZONE) == {}
    assert fold_columns([{}]) == {}
    assert np.array_equal(fold(CONTRACT, ["ann"], {}), fold(CONTRACT, ["ann"], fold_columns([live_rows(event("identify"))])))
