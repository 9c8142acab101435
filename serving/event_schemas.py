"""The public API of events: what is sent, and what became of each; with examples. What an event is: features.events.schema."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from features.events.schema import TYPES, SentIdentify, SentItemLook, SentLook, SentPurchase, SentRedemption, SentReturn
from serving.schemas import Strict

MOST_EVENTS = 500
SENT = (SentPurchase, SentReturn, SentItemLook, SentLook, SentRedemption, SentIdentify)
RowStatus = Literal["accepted", "quarantined", "dropped", "conflict", "refused"]
ROW_MEANING: dict[str, str] = {
    "accepted": "in the stream; sent again with the same body it is accepted again and has its effect once",
    "quarantined": "set aside with `reason`: its type or version is unknown here, or it lies in the future",
    "dropped": "not kept, as the member was erased or refused marketing; `receipt` stands for that",
    "conflict": "not kept: the member has another event of this id",
    "refused": "not kept: it is wrong; `errors` say where",
}
DURABLE_MEANING: dict[str, str] = {
    "disk": "written to disk before this answer (appendfsync always)",
    "disk_within_a_second": "written to disk within a second (appendfsync everysec)",
    "disk_at_some_time": "written to disk when the system likes",
    "memory": "in the store's memory only, and in its replicas if it has some: set appendonly yes",
}


class EventRow(Strict):
    """What became of one event."""

    event_id: str | None = Field(default=None, description="as it was sent; missing where it was no id")
    status: RowStatus
    reason: Literal["unknown_type", "unknown_version", "future", "erased", "opted_out"] | None = None
    receipt: str | None = Field(default=None, description="of an event that was dropped")
    code: str | None = Field(default=None, description="of an event that was refused: the code a single one is answered with")
    errors: list[dict[str, str]] = Field(default=[], description="`pointer` and `problem`, never a value")


class EventsResponse(Strict):
    """One row an event, in the order sent. 202: all were accepted; 207: look at the rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "rows": [
                        {"event_id": "5f0c7c1e", "status": "accepted"},
                        {
                            "event_id": "5f0c7c1f",
                            "status": "refused",
                            "code": "invalid_request",
                            "errors": [{"pointer": "/events/1/lines/0/net_cents", "problem": "Expected `int` >= 0"}],
                        },
                    ],
                    "durable": "disk_within_a_second",
                }
            ]
        }
    )

    rows: list[EventRow]
    durable: Literal["disk", "disk_within_a_second", "disk_at_some_time", "memory"] = Field(
        description="what `accepted` is worth if the store's machine loses power"
    )


EXAMPLES: dict[str, dict[str, Any]] = {
    "a purchase": {
        "schema_version": 1,
        "type": "purchase",
        "event_id": "5f0c7c1e",
        "occurred_at": "2018-01-01T09:30:00+00:00",
        "member_id": "1",
        "order_id": "880017",
        "channel": "store",
        "store_id": "367",
        "lines": [
            {"item_id": "1082185", "quantity": 2, "net_cents": 198},
            {"item_id": "1029743", "quantity": 1, "net_cents": 339, "discount_cents": 40},
        ],
    },
    "a view and a return, in one request": {
        "events": [
            {
                "schema_version": 1,
                "type": "view",
                "event_id": "5f0c7c20",
                "occurred_at": "2018-01-01T09:31:00+00:00",
                "member_id": "1",
                "item_id": "1082185",
                "channel": "app",
            },
            {
                "schema_version": 1,
                "type": "return",
                "event_id": "5f0c7c21",
                "occurred_at": "2018-01-01T09:40:00+00:00",
                "member_id": "1",
                "order_id": "880018",
                "of_order_id": "880017",
                "channel": "store",
                "lines": [{"item_id": "1082185", "quantity": 1, "net_cents": 99}],
            },
        ]
    },
}
"""Requests of the documentation by their summary; a test sends them."""
assert {*TYPES.values()} == {*SENT}  # noqa: S101 # every type is documented
