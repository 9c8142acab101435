"""Accepted events as rows of the fact tables: for the archive as facts have them, and summed into orders for the live fold.

Both sides are made here from one event, so that what the archive holds and what was folded live are the same facts.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.days import calendar_day, day_of, naive_utc
from features.events.schema import LOOK_TYPES, ORDER_TYPES, Event, Line
from features.sources.schema import EVENTS, ORDERS, PURCHASES, REDEMPTIONS, RETURN, SALE, FactTable

Row = dict[str, Any]
Rows = dict[str, list[Row]]
IsHoliday = Callable[[int], bool | None]
"""Whether a local day is a public holiday of the shop's country; None if nobody knows."""
LIVE_TABLES = (ORDERS, EVENTS, REDEMPTIONS)
ARCHIVED_TABLES = (PURCHASES, EVENTS, REDEMPTIONS)
_MOMENTS = ("occurred_at", "recorded_at", "superseded_at")


def no_holidays(day: int) -> bool | None:
    """Nobody knows of any holiday."""
    return None


def live_rows(event: Event, *, member_id: str | None = None, is_holiday: IsHoliday = no_holidays) -> Rows:
    """Rows of an event by table, an order summed up; empty for an event that is no fact of a member, such as `identify`.

    Parameters
    ----------
    member_id
        Whose rows they are, if not the event's own subject: a visitor who is known by now.
    """
    if event.type not in ORDER_TYPES:
        return _plain_rows(event, member_id, None)
    order = _order(event, member_id) | {
        "lines": len(event.lines),
        **{name: _signed(event, name) * sum(getattr(line, name) for line in event.lines) for name in _MONEY},
        "month_day": calendar_day(event.local_day).day,
        "holiday": is_holiday(event.local_day),
        "superseded_at": None,
    }
    return {ORDERS.name: [order]}


def archive_rows(event: Event, *, zone: ZoneInfo, member_id: str | None = None, known_from: datetime | None = None) -> Rows:
    """Rows of an event by table, an order as its lines.

    Parameters
    ----------
    known_from
        When a visitor's event became its member's, if that was later than it was received.

    An event that was received after its local day had ended is recorded then: what was known before stays as it was.
    """
    recorded_at = max(event.received_at, known_from) if known_from else event.received_at
    recorded = naive_utc(recorded_at) if day_of(recorded_at, zone) > event.local_day else None
    if event.type not in ORDER_TYPES:
        return _plain_rows(event, member_id, recorded)
    order = _order(event, member_id) | {"recorded_at": recorded, "superseded_at": None}
    return {PURCHASES.name: [order | _line(event, number, line) for number, line in enumerate(event.lines)]}


def fold_columns(rows: Iterable[Rows]) -> dict[str, dict[str, NDArray[Any]]]:
    """Live rows as `features.live.fold` takes them: arrays by table and column, None where a row says nothing."""
    by_table: Rows = {}
    for each in rows:
        for name, found in each.items():
            by_table.setdefault(name, []).extend(found)
    return {table.name: _columns(table, by_table[table.name]) for table in LIVE_TABLES if table.name in by_table}


_MONEY = ("net_cents", "discount_cents", "coupon_cents")


def _columns(table: FactTable, rows: list[Row]) -> dict[str, NDArray[Any]]:
    names = (column.name for column in table.columns if column.name not in _MOMENTS)
    return {name: np.array([row.get(name) for row in rows]) for name in names}


def _plain_rows(event: Event, member_id: str | None, recorded: datetime | None) -> Rows:
    who = member_id or event.subject
    if event.type in LOOK_TYPES:
        look = {name: getattr(event, name) for name in ("event_id", "item_id", "session_id", "duration_s", "store_id")}
        row = {**look, "member_id": who, "event_type": event.type, "channel": event.channel, "recorded_at": recorded}
        return {EVENTS.name: [row | _when(event)]}
    if event.type == "redemption":
        row = {"member_id": who, "campaign_id": event.campaign_id, "coupon_id": event.coupon_id}
        return {REDEMPTIONS.name: [row | _when(event)]}
    return {}


def _order(event: Event, member_id: str | None) -> Row:
    return {
        "order_id": event.order_id,
        "member_id": member_id or event.subject,
        "channel": event.channel,
        "store_id": event.store_id,
        "kind": RETURN if event.type == "return" else SALE,
        **_when(event),
    }


def _line(event: Event, number: int, line: Line) -> Row:
    money = {name: _signed(event, name) * getattr(line, name) for name in _MONEY}
    return {"line_no": number, "item_id": line.item_id, "quantity": line.quantity, **money}


def _signed(event: Event, name: str) -> int:
    """What a shop gives back is negative in facts; what it had taken off is not."""
    return -1 if event.type == "return" and name == "net_cents" else 1


def _when(event: Event) -> Row:
    return {
        "occurred_at": naive_utc(event.occurred_at),
        "local_day": event.local_day,
        "local_hour": event.local_hour,
    }
