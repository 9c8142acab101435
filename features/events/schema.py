"""What an event is: its types, what each has, and the limits of texts and amounts. How it is read: features.events.intake.

docs/events.md tells the fields in words.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from features.sources.schema import CHANNELS

SCHEMA_VERSION = 1
MAX_EVENT_ID, MAX_TEXT, MAX_LINES = 64, 128, 500
MAX_CENTS = 1_000_000_000
"""Of one line, and of all lines of an event: what a member's totals of years still hold."""
MAX_PIECES = 1_000_000
ANONYMOUS = "anon-"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_HIDDEN = r"\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
ID_PATTERN = rf"^[^{_HIDDEN}{{}}:*]*[^\s{_HIDDEN}{{}}:*][^{_HIDDEN}{{}}:*]*$"
"""Ids in events: no braces, colon or star, which steer keys and patterns of keys; nothing invisible; not only blanks."""

EventId = Annotated[str, Meta(min_length=1, max_length=MAX_EVENT_ID, pattern=ID_PATTERN)]
Id = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, pattern=ID_PATTERN)]
Cents = Annotated[int, Meta(ge=0, le=MAX_CENTS)]
Channel = Literal["store", "web", "app", "mini_program", "marketplace", "phone", "other"]
VisitorKind = Literal["cookie", "device", "fingerprint", "ad_id"]
Moment = Annotated[datetime, Meta(tz=True)]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of an order. Amounts are what the shop received, or gave back in a return: never negative."""

    net_cents: Cents
    item_id: Id | None = None
    quantity: Annotated[int, Meta(ge=0, le=MAX_PIECES)] | None = None
    discount_cents: Cents = 0
    coupon_cents: Cents = 0


class Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every event has."""

    schema_version: int
    type: str
    event_id: EventId
    occurred_at: Moment
    member_id: Id | None = None
    visitor_id: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, pattern=ID_PATTERN)] | None = None
    visitor_kind: VisitorKind = "cookie"


class SentIdentify(Sent, frozen=True, kw_only=True):
    """A visitor is known by now: names both."""


class SentPurchase(Sent, frozen=True, kw_only=True):
    """A whole order."""

    order_id: Id
    channel: Channel
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=MAX_LINES)]
    store_id: Id | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] | None = None


class SentReturn(SentPurchase, frozen=True, kw_only=True):
    """Goods brought back; the order id is the return's own."""

    of_order_id: Id | None = None


class SentLook(Sent, frozen=True, kw_only=True):
    """Something done without buying."""

    channel: Channel = "web"
    store_id: Id | None = None
    session_id: Id | None = None
    duration_s: Annotated[int, Meta(ge=0, le=86_400)] | None = None


class SentItemLook(SentLook, frozen=True, kw_only=True):
    """Something done with an item without buying it."""

    item_id: Id


class SentRedemption(Sent, frozen=True, kw_only=True):
    """A coupon that was used."""

    coupon_id: Id
    campaign_id: Id | None = None


TYPES: Mapping[str, type[Sent]] = {
    "purchase": SentPurchase,
    "return": SentReturn,
    "view": SentItemLook,
    "cart": SentItemLook,
    "favourite": SentItemLook,
    "search": SentLook,
    "visit": SentLook,
    "checkout": SentLook,
    "redemption": SentRedemption,
    "identify": SentIdentify,
}
"""What a producer sends of each type."""
ORDER_TYPES = frozenset({"purchase", "return"})
LOOK_TYPES = frozenset({"view", "cart", "favourite", "search", "visit", "checkout"})
assert set(Channel.__args__) == set(CHANNELS)  # type: ignore[attr-defined] # noqa: S101 # a Literal cannot be made of a tuple


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An accepted event, as it stands in the stream. Fields that its type does not have keep their default.

    Attributes
    ----------
    occurred_at, received_at
        Aware UTC.
    local_day, local_hour
        In the shop's time zone; days since 1970-01-01.
    visitor
        Keyed hash of the visitor's id, 64 hexadecimal digits; None for an event without one.
    """

    event_id: str
    type: str
    occurred_at: datetime
    local_day: int
    local_hour: int
    received_at: datetime = NEVER
    schema_version: int = SCHEMA_VERSION
    member_id: str | None = None
    visitor: str | None = None
    visitor_kind: str = "cookie"
    item_id: str | None = None
    channel: str | None = None
    store_id: str | None = None
    session_id: str | None = None
    duration_s: int | None = None
    order_id: str | None = None
    of_order_id: str | None = None
    currency: str | None = None
    lines: tuple[Line, ...] = ()
    coupon_id: str | None = None
    campaign_id: str | None = None

    @property
    def subject(self) -> str:
        """Whose event it is: the member, or the anonymous id under which a visitor's history stands."""
        return self.member_id if self.member_id is not None else anonymous_id(self.visitor or "")

    def to_bytes(self) -> bytes:
        """The event as the stream has it."""
        return _ENCODER.encode(self)

    def digest(self) -> bytes:
        """8 bytes that tell two events of one id apart; when it was received is no part of it."""
        return blake2b(_ENCODER.encode(msgspec.structs.replace(self, received_at=NEVER)), digest_size=8).digest()


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)


def event_of(stored: bytes) -> Event:
    """The event from the stream; ValueError if it is none."""
    return _DECODER.decode(stored)


def anonymous_id(visitor: str) -> str:
    """The member id under which facts keep a visitor whom nobody knows (as `features.identity` has it)."""
    return f"{ANONYMOUS}{visitor[:16]}"
