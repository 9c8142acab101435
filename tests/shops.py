"""Small shops whose right answers can be seen by eye: purchases written as short tuples."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from features.capabilities import CAPABILITIES
from features.days import day_number
from features.facts import Facts, arrow_schema
from features.sources.schema import ITEMS, PURCHASES

ZONE = "America/New_York"
START = datetime(2024, 1, 1, 12, tzinfo=ZoneInfo(ZONE))


class Line(NamedTuple):
    """One order line. `at` is days after START, fractions allowed."""

    member: str | None
    at: float
    cents: int = 1000
    item: str = "apple"
    order: str | None = None
    kind: str = "sale"
    discount: int = 0
    coupon: int = 0
    channel: str = "store"
    store: str | None = "s1"


CATALOGUE = (
    {"item_id": "apple", "department": "food", "category": "fruit", "own_brand": False},
    {"item_id": "pear", "department": "food", "category": "fruit", "own_brand": True},
    {"item_id": "soap", "department": "home", "category": "bath", "own_brand": False},
)


def moment_of(days: float) -> datetime:
    """The aware moment `days` after START, to the second."""
    return (START.astimezone(UTC) + timedelta(seconds=round(days * 86_400))).astimezone(ZoneInfo(ZONE))


def purchases_table(lines: Iterable[Line]) -> pa.Table:
    """Canonical purchases; lines without an order name are orders of their own."""
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for position, line in enumerate(lines):
        local = moment_of(line.at)
        order = line.order or f"o{position}"
        counts[order] = counts.get(order, -1) + 1
        rows.append(
            {
                "order_id": order,
                "line_no": counts[order],
                "member_id": line.member,
                "item_id": line.item,
                "quantity": 1,
                "net_cents": line.cents,
                "discount_cents": line.discount,
                "coupon_cents": line.coupon,
                "channel": line.channel,
                "store_id": line.store,
                "kind": line.kind,
                "occurred_at": local.astimezone(UTC).replace(tzinfo=None),
                "local_day": day_number(local.date()),
                "local_hour": local.hour,
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema(PURCHASES))


def shop(lines: Sequence[Line], *, buckets: int = 1) -> Facts:
    """Facts of these purchases, with the small catalogue, of a shop that could always tell everything."""
    items = pa.Table.from_pylist(list(CATALOGUE), schema=arrow_schema(ITEMS))
    since = {capability.name: 0 for capability in CAPABILITIES}
    return Facts.in_memory({"purchases": purchases_table(lines), "items": items}, time_zone=ZONE, since=since, buckets=buckets)
