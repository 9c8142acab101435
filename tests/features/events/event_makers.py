"""Events of made-up members, as producers send them and as they are read."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from features.events.intake import Intake
from features.events.schema import Event

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Paris")
KEY = b"a key of sixteen bytes or more"
INTAKE = Intake(ZONE, "EUR", KEY)


def sent(kind: str = "view", **more: Any) -> dict[str, Any]:
    """What a producer sends; more fields, or other values; None takes one away."""
    own: dict[str, dict[str, Any]] = {
        "view": {"item_id": "apple"},
        "cart": {"item_id": "apple"},
        "favourite": {"item_id": "apple"},
        "purchase": {"order_id": "o1", "channel": "web", "lines": [{"item_id": "apple", "quantity": 2, "net_cents": 500}]},
        "return": {"order_id": "r1", "channel": "web", "lines": [{"item_id": "apple", "quantity": 1, "net_cents": 250}]},
        "redemption": {"coupon_id": "c1", "campaign_id": "spring"},
        "identify": {"visitor_id": "cookie-1"},
    }
    every = {"schema_version": 1, "type": kind, "event_id": "e1", "occurred_at": NOON.isoformat(), "member_id": "ann"}
    content = every | own.get(kind, {}) | more
    return {name: value for name, value in content.items() if value is not None}


def event(kind: str = "view", **more: Any) -> Event:
    """The same, read at noon."""
    received_at = more.pop("received_at", NOON)
    return INTAKE.read(sent(kind, **more), received_at=received_at)
