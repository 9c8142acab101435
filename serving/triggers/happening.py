"""What triggers look at: one thing that a member did, as conditions speak of it; and the texts of its item."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from features.days import microseconds, moment_of
from features.events.schema import ORDER_TYPES, Event
from features.rules.shelf import NONE, Shelf
from features.tags import slug

ITEM_TEXTS = {"event_department": 0, "event_category": 1, "event_subcategory": 2}
"""Names of conditions, and which level of the shelf each is."""


class Happening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event of a member. Amounts in cents, moments in microseconds since 1970 UTC; None where the event does not say.

    `lines`, `quantity` and `net_cents` are of the whole order. `item_id` is the item of a view, cart or favourite.
    """

    member_id: str
    event_id: str
    type: str
    occurred_us: int
    item_id: str | None = None
    channel: str | None = None
    store_id: str | None = None
    net_cents: int | None = None
    lines: int | None = None
    quantity: int | None = None
    duration_s: int | None = None

    @property
    def moment(self) -> datetime:
        """When it happened, aware, UTC."""
        return moment_of(self.occurred_us)

    def told(self) -> dict[str, Any]:
        """What a message tells of it."""
        told = {"event_id": self.event_id, "type": self.type, "occurred_at": self.moment.isoformat()}
        return told if self.item_id is None else {**told, "item_id": self.item_id}


class ItemCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often the member viewed, put into the cart and bought an item on the day of an event, that event included."""

    views: int = 0
    carts: int = 0
    purchases: int = 0

    def before(self, event_type: str) -> "ItemCounts":
        """The same without the event itself."""
        return ItemCounts(self.views - (event_type == "view"), self.carts - (event_type == "cart"), self.purchases)


def happening_of(event: object, member_id: str) -> Happening | None:
    """An accepted event as conditions see it; None if it is none of ours."""
    if not isinstance(event, Event):
        return None
    order = event.type in ORDER_TYPES
    pieces = [line.quantity for line in event.lines if line.quantity is not None]
    return Happening(
        member_id=member_id,
        event_id=event.event_id,
        type=event.type,
        occurred_us=microseconds(event.occurred_at),
        item_id=event.item_id,
        channel=event.channel,
        store_id=event.store_id,
        net_cents=sum(line.net_cents for line in event.lines) if order else None,
        lines=len(event.lines) if order else None,
        quantity=sum(pieces) if order and pieces else None,
        duration_s=event.duration_s,
    )


def texts_of(happening: Happening, shelf: Shelf | None) -> Mapping[str, str]:
    """The event's texts by the name that conditions use, as they stand in tags; those not known are left out."""
    found = {"event_item": happening.item_id, "event_store": happening.store_id}
    row = shelf.row_of.get(happening.item_id) if shelf is not None and happening.item_id is not None else None
    if shelf is not None and row is not None:
        found.update({name: shelf.category_of(row, level) for name, level in ITEM_TEXTS.items()})
        brand = int(shelf.brand[row])
        found["event_brand"] = None if brand == NONE else str(shelf.brands[brand])
    return {name: slug(text) for name, text in found.items() if text is not None}
