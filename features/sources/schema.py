"""The canonical fact tables: columns, types, units and meaning. Every source is brought into these and nothing else.

Money is in integer minor units ("cents") of one currency. Moments are UTC without a zone. `local_day` counts days since
1970-01-01 in the shop's time zone. Identifiers are text, so that `00123` stays `00123`.
"""

from dataclasses import dataclass
from typing import Literal

from features.expressions import Column

Type = Literal["string", "int64", "int32", "timestamp", "boolean"]

SALE, RETURN = "sale", "return"
CHANNELS = ("store", "web", "app", "mini_program", "marketplace", "phone", "other")
EVENT_TYPES = ("view", "cart", "favourite", "search", "visit", "checkout", "other")


@dataclass(frozen=True, slots=True)
class FactColumn:
    """One column of a fact table. `required` columns hold no missing value."""

    name: str
    type: Type
    meaning: str
    unit: str = ""
    required: bool = True
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class FactTable:
    """A fact table: its grain and its columns. `table.net_cents` is that column in an expression."""

    name: str
    grain: str
    columns: tuple[FactColumn, ...]
    key: tuple[str, ...]

    def __getattr__(self, name: str) -> Column:
        """The column of that name, for use in aggregate declarations."""
        if name.startswith("_") or name not in {column.name for column in self.columns}:
            raise AttributeError(f"fact table {self.name} has no column {name!r}")
        return Column(name)


_ORDER = FactColumn("order_id", "string", "the order, receipt or basket")
_MEMBER = FactColumn("member_id", "string", "the member; missing for an anonymous purchase", required=False)
_ITEM = FactColumn("item_id", "string", "the item, as in `items`; missing where the source knows no items", required=False)
_WHEN = (
    FactColumn("occurred_at", "timestamp", "moment of the fact, UTC without a zone"),
    FactColumn("local_day", "int32", "day of the fact in the shop's time zone", "days since 1970-01-01"),
    FactColumn("local_hour", "int32", "hour of the fact in the shop's time zone", "0 to 23"),
)
_KNOWN = FactColumn(
    "recorded_at", "timestamp", "moment from which the row was known, UTC; missing: as soon as it happened", required=False
)
_REPLACED = FactColumn(
    "superseded_at", "timestamp", "moment from which a correction stands in its place, UTC; missing: never", required=False
)
_PLACE = (
    FactColumn("channel", "string", "where it happened", allowed=CHANNELS),
    FactColumn("store_id", "string", "the shop; missing where there is none", required=False),
)
_WHERE = (
    *_PLACE,
    FactColumn("kind", "string", "a sale, or goods brought back", allowed=(SALE, RETURN)),
)
_MONEY = (
    FactColumn("net_cents", "int64", "what the shop received; negative for a return", "cents"),
    FactColumn("discount_cents", "int64", "taken off the shelf price by the shop", "cents"),
    FactColumn("coupon_cents", "int64", "taken off by coupons", "cents"),
)

PURCHASES = FactTable(
    "purchases",
    "one row per order line",
    (
        _ORDER,
        FactColumn("line_no", "int32", "position of the line within its order, from 0"),
        _MEMBER,
        _ITEM,
        FactColumn("quantity", "int32", "pieces; missing for goods sold by weight or volume", "pieces", required=False),
        *_MONEY,
        *_WHERE,
        *_WHEN,
        _KNOWN,
        _REPLACED,
    ),
    ("order_id", "line_no"),
)
ORDERS = FactTable(
    "orders",
    "one row per order, kind and moment, summed from `purchases`; only orders of known members",
    (
        _ORDER,
        FactColumn("member_id", "string", "the member"),
        FactColumn("lines", "int64", "order lines", "lines"),
        *_MONEY,
        *_WHERE,
        *_WHEN,
        FactColumn("month_day", "int32", "day of the month in the shop's time zone", "1 to 31"),
        FactColumn("holiday", "boolean", "on a public holiday of the shop's country; missing: not known", required=False),
        _KNOWN,
        _REPLACED,
    ),
    ("order_id", "kind", "occurred_at"),
)
ITEMS = FactTable(
    "items",
    "one row per item of the catalogue, as known now",
    (
        FactColumn("item_id", "string", "the item"),
        FactColumn("department", "string", "widest category", required=False),
        FactColumn("category", "string", "category within the department", required=False),
        FactColumn("subcategory", "string", "narrowest category", required=False),
        FactColumn("brand", "string", "brand or maker", required=False),
        FactColumn("own_brand", "boolean", "sold under the shop's own brand", required=False),
        FactColumn("pack_size", "string", "size of the pack as printed", required=False),
        FactColumn("price_cents", "int64", "usual shelf price of one piece", "cents", required=False),
        FactColumn("cost_cents", "int64", "what one piece costs the shop", "cents", required=False),
        FactColumn("sold_by_measure", "boolean", "sold by weight or volume: quantities are no pieces", required=False),
        FactColumn("available", "boolean", "can be sold now; missing: yes", required=False),
    ),
    ("item_id",),
)
LINES = FactTable(
    "lines",
    "one row per order line of a known member, with the category and brand of its item; made when features are built",
    (
        *PURCHASES.columns,
        *(column for column in ITEMS.columns if column.name != "item_id"),
    ),
    PURCHASES.key,
)
MEMBERS = FactTable(
    "members",
    "one row per registered member",
    (
        FactColumn("member_id", "string", "the member"),
        FactColumn("registered_day", "int32", "day of registration", "days since 1970-01-01", required=False),
        FactColumn("birth_month", "int32", "month of birth", "1 to 12", required=False),
        FactColumn("gender", "string", "as the member stated it, in the source's words", required=False),
        FactColumn("region", "string", "where the member lives, in the source's words", required=False),
        FactColumn("home_store", "string", "the shop the member registered with", required=False),
        FactColumn("age_band", "string", "age, in the source's bands", required=False),
        FactColumn("household_size", "string", "persons in the household, in the source's bands", required=False),
        FactColumn("children", "string", "children in the household, in the source's bands", required=False),
        FactColumn("marketing_consent", "boolean", "agreed to marketing; missing: the source does not say", required=False),
    ),
    ("member_id",),
)
EVENTS = FactTable(
    "events",
    "one row per thing done without buying: a view, a cart, a search, a visit",
    (
        FactColumn("event_id", "string", "the event"),
        _MEMBER,
        FactColumn("event_type", "string", "what was done", allowed=EVENT_TYPES),
        _ITEM,
        FactColumn("session_id", "string", "the visit it belongs to", required=False),
        FactColumn("duration_s", "int32", "time spent", "seconds", required=False),
        *_PLACE,
        *_WHEN,
        _KNOWN,
    ),
    ("event_id",),
)
EXPOSURES = FactTable(
    "exposures",
    "one row per member and campaign that reached them",
    (
        FactColumn("member_id", "string", "the member"),
        FactColumn("campaign_id", "string", "the campaign"),
        FactColumn("campaign_kind", "string", "kind of campaign, in the source's words", required=False),
        FactColumn("arm", "string", "variant the member was given; `control` got nothing", required=False),
        FactColumn("cost_cents", "int64", "what reaching the member cost", "cents", required=False),
        FactColumn("until_day", "int32", "last day of the campaign", "days since 1970-01-01", required=False),
        *_WHEN,
    ),
    ("member_id", "campaign_id"),
)
REDEMPTIONS = FactTable(
    "redemptions",
    "one row per coupon used",
    (
        FactColumn("member_id", "string", "the member"),
        FactColumn("campaign_id", "string", "the campaign the coupon came from", required=False),
        FactColumn("coupon_id", "string", "the coupon"),
        *_WHEN,
    ),
    ("member_id", "campaign_id", "coupon_id", "local_day"),
)
IDENTITIES = FactTable(
    "identities",
    "one row per identifier seen in an observation, such as a login, a registration or an order; kept as keyed hashes",
    (
        FactColumn("observation_id", "string", "what the identifiers were seen together in"),
        FactColumn("identifier_kind", "string", "phone, card, device, cookie, e-mail and so on; `member` is the shop's own id"),
        FactColumn("identifier", "string", "HMAC-SHA256 of the identifier; a member id stands as it is"),
        FactColumn("local_day", "int32", "day of the observation", "days since 1970-01-01", required=False),
    ),
    ("observation_id", "identifier_kind", "identifier"),
)

STORED = (PURCHASES, ORDERS, ITEMS, MEMBERS, EVENTS, EXPOSURES, REDEMPTIONS, IDENTITIES)
"""The tables kept as Parquet. LINES is a view made from two of them."""
