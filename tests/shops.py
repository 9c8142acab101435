"""Small shops whose right answers can be seen by eye: purchases, events and campaigns written as short tuples."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from features.capabilities import CAPABILITIES
from features.days import day_number
from features.fact_tables import arrow_schema
from features.facts import Facts
from features.sources.schema import EVENTS, EXPOSURES, ITEMS, PURCHASES, REDEMPTIONS

ZONE = "America/New_York"
START = datetime(2024, 1, 1, 12, tzinfo=ZoneInfo(ZONE))


class Line(NamedTuple):
    """One order line. `at`, and when it was `recorded` and `superseded`, are days after START, fractions allowed."""

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
    quantity: int | None = 1
    recorded: float | None = None
    superseded: float | None = None


class Event(NamedTuple):
    """Something done without buying, `at` days after START."""

    member: str | None
    at: float
    kind: str = "view"
    item: str | None = "apple"
    session: str | None = None
    seconds: int | None = None
    channel: str = "web"
    recorded: float | None = None


class Exposure(NamedTuple):
    """A campaign that reached a member `at` days after START, or held them in its control group."""

    member: str
    at: float
    campaign: str = "spring"
    arm: str | None = None


class Redemption(NamedTuple):
    """A coupon that a member used `at` days after START."""

    member: str
    at: float
    coupon: str = "c1"
    campaign: str | None = "spring"


CATALOGUE: tuple[dict[str, Any], ...] = (
    {"item_id": "apple", "department": "food", "category": "fruit", "own_brand": False, "brand": "orchard", "price_cents": 900},
    {"item_id": "pear", "department": "food", "category": "fruit", "own_brand": True, "brand": "house", "price_cents": 1100},
    {"item_id": "soap", "department": "home", "category": "bath", "own_brand": False, "brand": "house"},
    {"item_id": "milk", "department": "food", "category": "dairy", "sold_by_measure": True, "price_cents": 120},
)


def moment_of(days: float) -> datetime:
    """The aware moment `days` after START, to the second."""
    return (START.astimezone(UTC) + timedelta(seconds=round(days * 86_400))).astimezone(ZoneInfo(ZONE))


def _utc(days: float | None) -> datetime | None:
    return None if days is None else moment_of(days).astimezone(UTC).replace(tzinfo=None)


def _when(days: float) -> dict[str, Any]:
    local = moment_of(days)
    return {"occurred_at": _utc(days), "local_day": day_number(local.date()), "local_hour": local.hour}


def purchases_table(lines: Iterable[Line]) -> pa.Table:
    """Canonical purchases; lines without an order name are orders of their own."""
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for position, line in enumerate(lines):
        order = line.order or f"o{position}"
        counts[order] = counts.get(order, -1) + 1
        rows.append(
            {
                "order_id": order,
                "line_no": counts[order],
                "member_id": line.member,
                "item_id": line.item,
                "quantity": line.quantity,
                "net_cents": line.cents,
                "discount_cents": line.discount,
                "coupon_cents": line.coupon,
                "channel": line.channel,
                "store_id": line.store,
                "kind": line.kind,
                "recorded_at": _utc(line.recorded),
                "superseded_at": _utc(line.superseded),
                **_when(line.at),
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema(PURCHASES))


def events_table(events: Iterable[Event]) -> pa.Table:
    """Canonical events, numbered as they come."""
    rows = [
        {
            "event_id": f"e{position}",
            "member_id": event.member,
            "event_type": event.kind,
            "item_id": event.item,
            "session_id": event.session,
            "duration_s": event.seconds,
            "channel": event.channel,
            "recorded_at": _utc(event.recorded),
            **_when(event.at),
        }
        for position, event in enumerate(events)
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(EVENTS))


def exposures_table(exposures: Iterable[Exposure]) -> pa.Table:
    """Canonical exposures."""
    rows = [{"member_id": e.member, "campaign_id": e.campaign, "arm": e.arm, **_when(e.at)} for e in exposures]
    return pa.Table.from_pylist(rows, schema=arrow_schema(EXPOSURES))


def redemptions_table(redemptions: Iterable[Redemption]) -> pa.Table:
    """Canonical redemptions."""
    rows = [{"member_id": r.member, "campaign_id": r.campaign, "coupon_id": r.coupon, **_when(r.at)} for r in redemptions]
    return pa.Table.from_pylist(rows, schema=arrow_schema(REDEMPTIONS))


def shop(
    lines: Sequence[Line],
    *,
    events: Sequence[Event] = (),
    exposures: Sequence[Exposure] = (),
    redemptions: Sequence[Redemption] = (),
    thresholds: Mapping[str, float] | None = None,
    buckets: int = 1,
) -> Facts:
    """Facts of what happened, with the small catalogue, of a shop that could always tell everything."""
    since = {capability.name: 0 for capability in CAPABILITIES}
    tables = {
        PURCHASES.name: purchases_table(lines),
        ITEMS.name: pa.Table.from_pylist(list(CATALOGUE), schema=arrow_schema(ITEMS)),
        EVENTS.name: events_table(events),
        EXPOSURES.name: exposures_table(exposures),
        REDEMPTIONS.name: redemptions_table(redemptions),
    }
    return Facts.in_memory(tables, time_zone=ZONE, thresholds=thresholds, since=since, buckets=buckets)
