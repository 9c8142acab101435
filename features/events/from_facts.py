"""Facts of a local day as the events that would have brought them, for replaying a real day."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from features.days import microseconds, moment_of
from features.events.schema import Event, Line
from features.facts import Facts
from features.sources.schema import RETURN

_ORDERS = """
SELECT order_id, member_id, kind, epoch_us(occurred_at) AS us, any_value(local_hour) AS local_hour,
    any_value(channel) AS channel, any_value(store_id) AS store_id,
    list({'item_id': item_id, 'quantity': quantity, 'net_cents': net_cents, 'discount_cents': discount_cents,
          'coupon_cents': coupon_cents} ORDER BY line_no) AS lines
FROM purchases WHERE local_day = $day AND member_id IS NOT NULL AND superseded_at IS NULL
GROUP BY order_id, member_id, kind, occurred_at
"""
_LOOKS = """
SELECT event_id, member_id, event_type, epoch_us(occurred_at) AS us, local_hour, item_id, session_id, duration_s,
    channel, store_id
FROM events WHERE local_day = $day AND member_id IS NOT NULL AND event_type <> 'other'
"""
_REDEMPTIONS = """
SELECT member_id, campaign_id, coupon_id, epoch_us(occurred_at) AS us, local_hour
FROM redemptions WHERE local_day = $day
"""


def events_of_day(facts: Facts, day: int) -> list[Event]:
    """Events of members on a local day, by moment; an order of several lines is one event."""
    found = [*_orders(facts, day), *_looks(facts, day), *_redemptions(facts, day)]
    return sorted(found, key=lambda event: (microseconds(event.occurred_at), event.event_id))


def _orders(facts: Facts, day: int) -> Iterator[Event]:
    for row in facts.query(_ORDERS, day=day).to_pylist():
        back = row["kind"] == RETURN
        yield Event(
            event_id=f"{row['kind']}-{row['order_id']}-{row['us']}",
            type="return" if back else "purchase",
            order_id=row["order_id"],
            lines=tuple(_line(line, back=back) for line in row["lines"]),
            channel=row["channel"],
            store_id=row["store_id"],
            **_when(row, day),
        )


def _line(line: dict[str, Any], *, back: bool) -> Line:
    return Line(**{**line, "net_cents": -line["net_cents"] if back else line["net_cents"]})


def _looks(facts: Facts, day: int) -> Iterator[Event]:
    for row in facts.query(_LOOKS, day=day).to_pylist():
        own = {name: row[name] for name in ("event_id", "item_id", "session_id", "duration_s", "channel", "store_id")}
        yield Event(type=row["event_type"], **own, **_when(row, day))


def _redemptions(facts: Facts, day: int) -> Iterator[Event]:
    for row in facts.query(_REDEMPTIONS, day=day).to_pylist():
        name = f"redemption-{row['member_id']}-{row['campaign_id'] or ''}-{row['coupon_id']}"
        yield Event(
            event_id=name, type="redemption", coupon_id=row["coupon_id"], campaign_id=row["campaign_id"], **_when(row, day)
        )


def _when(row: dict[str, Any], day: int) -> dict[str, Any]:
    moment: datetime = moment_of(row["us"])
    return {
        "member_id": row["member_id"],
        "occurred_at": moment,
        "received_at": moment.astimezone(UTC),
        "local_day": day,
        "local_hour": row["local_hour"],
    }
