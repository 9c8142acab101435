"""Declarations: what a member does without buying: views, carts, searches, visits, favourites, and what came of them."""

from features.declarations import COUNT, DAY, DAYS, DISTINCT, LARGEST, TOP_KEY, TOTAL, Aggregate, Feature
from features.expressions import Column, Expression, nothing, ratio, where
from features.rfm import IS_SALE, LAST_PURCHASE_DAY, PURCHASE_DAYS_IN, PURCHASES
from features.sources.schema import EVENTS, ORDERS

WINDOWS = (1, 7, 30, 90)
EVENT_NAMES = {"view": "views", "cart": "carts", "search": "searches", "visit": "visits", "favourite": "favourites"}
IS_VIEW = EVENTS.event_type.equals("view")
IS_CART = EVENTS.event_type.equals("cart")
IS_TIMED_VIEW = IS_VIEW & (EVENTS.duration_s >= 0)
IS_IN_STORE = EVENTS.channel.equals("store")


def _browsing(name: str, formula: Expression, unit: str, meaning: str) -> Feature:
    return Feature(name, formula, unit, meaning, "browsing")


def _passed_on(aggregate: Aggregate) -> Feature:
    return _browsing(aggregate.name, aggregate, aggregate.unit, aggregate.meaning)


def _count(name: str, unit: str, meaning: str, where: Expression, days: int) -> Aggregate:
    return Aggregate(name, COUNT, EVENTS, unit, meaning, where=where, days=days)


def _keys(name: str, unit: str, meaning: str, key: Column, where: Expression | None, days: int) -> Aggregate:
    return Aggregate(name, DISTINCT, EVENTS, unit, meaning, where=where, days=days, key=key, freshness="nightly")


# How much

EVENT_COUNTS = {
    (kind, days): _count(f"{plural}_{days}d", plural, f"{plural} in {days} days", EVENTS.event_type.equals(kind), days)
    for kind, plural in EVENT_NAMES.items()
    for days in WINDOWS
}
LAST_DAYS = {
    kind: Aggregate(
        f"last_{kind}_day", LARGEST, EVENTS, "day", f"day of the last {kind}", EVENTS.local_day, EVENTS.event_type.equals(kind)
    )
    for kind in ("view", "cart", "visit")
}
BROWSING_DAYS = Aggregate("browsing_days_30d", DAYS, EVENTS, "days", "days with an event in 30 days", days=30)
CART_DAYS = Aggregate("cart_days_30d", DAYS, EVENTS, "days", "days with a cart in 30 days", where=IS_CART, days=30)
DWELL = Aggregate(
    "view_seconds_30d",
    TOTAL,
    EVENTS,
    "seconds",
    "time spent on views in 30 days",
    EVENTS.duration_s,
    IS_TIMED_VIEW,
    30,
    dtype="int64",
)
TIMED_VIEWS = _count("timed_views_30d", "views", "views in 30 days whose length is known", IS_TIMED_VIEW, 30)
ONLINE_VIEWS = _count("online_views_90d", "views", "views outside the shop in 90 days", IS_VIEW & ~IS_IN_STORE, 90)
STORE_PURCHASES = Aggregate(
    "store_purchases_90d",
    COUNT,
    ORDERS,
    "orders",
    "orders in the shop, 90 days",
    where=IS_SALE & ORDERS.channel.equals("store"),
    days=90,
)
SESSIONS = _keys("sessions_30d", "sessions", "different visits with an event in 30 days", EVENTS.session_id, None, 30)
VIEWED_ITEMS = _keys("viewed_items_30d", "items", "different items viewed in 30 days", EVENTS.item_id, IS_VIEW, 30)
TOP_VIEWED = Aggregate(
    "top_viewed_item_views_7d",
    TOP_KEY,
    EVENTS,
    "views",
    "views of the item viewed most, 7 days",
    where=IS_VIEW,
    days=7,
    key=EVENTS.item_id,
    freshness="nightly",
)
EVENT_COUNT = {what: _passed_on(aggregate) for what, aggregate in EVENT_COUNTS.items()}
DAYS_SINCE = {
    kind: _browsing(f"days_since_last_{kind}", DAY - last, "days", f"days since the last {kind}")
    for kind, last in LAST_DAYS.items()
}
BROWSING_DAY_COUNT = _passed_on(BROWSING_DAYS)
DWELL_SECONDS = _passed_on(DWELL)
SECONDS_PER_VIEW = _browsing("seconds_per_view_30d", ratio(DWELL, TIMED_VIEWS), "seconds", "mean length of a view, 30 days")
SESSION_COUNT = _passed_on(SESSIONS)
VIEWED_ITEM_COUNT = _passed_on(VIEWED_ITEMS)
TOP_VIEWED_VIEWS = _passed_on(TOP_VIEWED)
VIEW_TREND = _browsing(
    "view_trend_7d_of_30d",
    ratio(EVENT_COUNTS["view", 7], EVENT_COUNTS["view", 30]),
    "share",
    "share of the views of 30 days that fell into the last 7",
)

# What came of it

CARTS_PER_VIEW = _browsing(
    "carts_per_view_30d", ratio(EVENT_COUNTS["cart", 30], EVENT_COUNTS["view", 30]), "carts", "carts per view in 30 days"
)
PURCHASES_PER_CART = _browsing(
    "purchases_per_cart_30d", ratio(PURCHASES[30], EVENT_COUNTS["cart", 30]), "orders", "orders per cart in 30 days"
)
_CART_DAYS_BEYOND = CART_DAYS - PURCHASE_DAYS_IN[30]
CART_DAYS_LEFT = _browsing(
    "cart_days_without_purchase_30d",
    where(_CART_DAYS_BEYOND > 0, _CART_DAYS_BEYOND, _CART_DAYS_BEYOND - _CART_DAYS_BEYOND),
    "days",
    "days with a cart in 30 days beyond the days with a purchase: at least so many carts led to nothing that day",
)
OPEN_CART_AGE = _browsing(
    "days_since_open_cart",
    where(LAST_DAYS["cart"] <= LAST_PURCHASE_DAY, nothing(), DAY - LAST_DAYS["cart"]),
    "days",
    "days since the last cart, if no purchase came on its day or after it",
)
ONLINE_VIEWS_PER_STORE_PURCHASE = _browsing(
    "online_views_per_store_purchase_90d",
    ratio(ONLINE_VIEWS, STORE_PURCHASES),
    "views",
    "views outside the shop for each order in it, 90 days: who browses online and buys in the shop",
)
