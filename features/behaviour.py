"""Declarations: what, when, where and how a member buys: baskets, discounts, time of day, channels, categories, rhythm."""

from features.declarations import (
    COUNT,
    DISTINCT,
    LONGEST_GAP,
    SQUARED_GAPS,
    SQUARED_KEYS,
    TOP_KEY,
    TOTAL,
    Aggregate,
    Feature,
)
from features.expressions import Expression, nothing, ratio, root, where
from features.rfm import (
    DAYS_SINCE_LAST,
    FIRST_PURCHASE_DAY,
    IS_SALE,
    LAST_PURCHASE_DAY,
    PURCHASE_DAYS,
    PURCHASES,
    SALES,
)
from features.sources.schema import LINES, ORDERS, SALE

PARTS_OF_DAY = {
    "night": (0, 5),
    "morning": (6, 10),
    "midday": (11, 13),
    "afternoon": (14, 16),
    "evening": (17, 20),
    "late": (21, 23),
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKDAY = (ORDERS.local_day + 3) % 7
"""0 is Monday: day 0, 1 January 1970, was a Thursday."""
IS_SALE_LINE = LINES.kind.equals(SALE)


def _behaviour(name: str, formula: Expression, unit: str, meaning: str) -> Feature:
    return Feature(name, formula, unit, meaning, "behaviour")


# Baskets and discounts

BASKET_LINES = {
    days: Aggregate(f"lines_{days}d", TOTAL, ORDERS, "lines", f"order lines in {days} days", ORDERS.lines, IS_SALE, days)
    for days in (30, 90, 180)
}
DISCOUNTS = {
    days: Aggregate(
        f"discount_cents_{days}d",
        TOTAL,
        ORDERS,
        "cents",
        f"taken off by the shop in {days} days",
        ORDERS.discount_cents,
        IS_SALE,
        days,
        dtype="int64",
    )
    for days in (30, 90, 180)
}
COUPONS = {
    days: Aggregate(
        f"coupon_cents_{days}d",
        TOTAL,
        ORDERS,
        "cents",
        f"taken off by coupons in {days} days",
        ORDERS.coupon_cents,
        IS_SALE,
        days,
        dtype="int64",
    )
    for days in (90, 180)
}
COUPON_PURCHASES = Aggregate(
    "coupon_purchases_180d",
    COUNT,
    ORDERS,
    "orders",
    "orders with a coupon in 180 days",
    where=IS_SALE & (ORDERS.coupon_cents > 0),
    days=180,
)
LINES_PER_PURCHASE = {
    days: _behaviour(f"lines_per_purchase_{days}d", ratio(lines, PURCHASES[days]), "lines", f"mean order lines in {days} days")
    for days, lines in BASKET_LINES.items()
}
CENTS_PER_LINE = _behaviour(
    "cents_per_line_180d", ratio(SALES[180], BASKET_LINES[180]), "cents", "mean value of an order line in 180 days"
)
DISCOUNT_SHARE = {
    days: _behaviour(
        f"discount_share_{days}d",
        ratio(discount, discount + SALES[days]),
        "share",
        f"part of the shelf price taken off by the shop in {days} days",
    )
    for days, discount in DISCOUNTS.items()
}
COUPON_SHARE = {
    days: _behaviour(
        f"coupon_share_{days}d",
        ratio(coupon, coupon + SALES[days]),
        "share",
        f"part of the price taken off by coupons in {days} days",
    )
    for days, coupon in COUPONS.items()
}
COUPON_PURCHASE_SHARE = _behaviour(
    "coupon_purchase_share_180d",
    ratio(COUPON_PURCHASES, PURCHASES[180]),
    "share",
    "orders with a coupon among all orders in 180 days",
)

# When

PURCHASES_BY_PART_OF_DAY = {
    part: Aggregate(
        f"purchases_{part}_180d",
        COUNT,
        ORDERS,
        "orders",
        f"orders from {first} to {last} o'clock in 180 days",
        where=IS_SALE & ORDERS.local_hour.between(first, last),
        days=180,
    )
    for part, (first, last) in PARTS_OF_DAY.items()
}
PURCHASES_BY_WEEKDAY = {
    name: Aggregate(
        f"purchases_{name}_180d",
        COUNT,
        ORDERS,
        "orders",
        f"orders on a {name.capitalize()} in 180 days",
        where=IS_SALE & WEEKDAY.equals(number),
        days=180,
    )
    for number, name in enumerate(WEEKDAYS)
}
PART_OF_DAY_SHARE = {
    part: _behaviour(f"{part}_share_180d", ratio(count, PURCHASES[180]), "share", f"share of orders in the {part}, 180 days")
    for part, count in PURCHASES_BY_PART_OF_DAY.items()
}
WEEKDAY_SHARE = {
    name: _behaviour(
        f"{name}_share_180d",
        ratio(count, PURCHASES[180]),
        "share",
        f"share of orders on a {name.capitalize()}, 180 days",
    )
    for name, count in PURCHASES_BY_WEEKDAY.items()
}

# Where

ONLINE_PURCHASES = Aggregate(
    "online_purchases_180d",
    COUNT,
    ORDERS,
    "orders",
    "orders outside the shop in 180 days",
    where=IS_SALE & ~ORDERS.channel.equals("store"),
    days=180,
)
STORES = Aggregate(
    "stores_180d",
    DISTINCT,
    ORDERS,
    "stores",
    "different stores in 180 days",
    where=IS_SALE,
    days=180,
    key=ORDERS.store_id,
    freshness="nightly",
)
TOP_STORE = Aggregate(
    "top_store_cents_180d",
    TOP_KEY,
    ORDERS,
    "cents",
    "order values in the most used store, 180 days",
    ORDERS.net_cents,
    IS_SALE,
    180,
    key=ORDERS.store_id,
    dtype="int64",
    freshness="nightly",
)
SALES_LAST_NIGHT = Aggregate(
    "sales_cents_180d_nightly",
    TOTAL,
    ORDERS,
    "cents",
    "order values in 180 days as of last midnight, the whole that nightly parts are compared with",
    ORDERS.net_cents,
    IS_SALE,
    180,
    dtype="int64",
    freshness="nightly",
)
ONLINE_SHARE = _behaviour(
    "online_share_180d", ratio(ONLINE_PURCHASES, PURCHASES[180]), "share", "orders outside the shop, 180 days"
)
STORE_COUNT = _behaviour("stores_180d", STORES, "stores", "different stores in 180 days")
TOP_STORE_SHARE = _behaviour(
    "top_store_share_180d",
    ratio(TOP_STORE, SALES_LAST_NIGHT),
    "share",
    "part of the spend that went to the most used store, 180 days",
)

# What

ITEMS = {
    days: Aggregate(
        f"items_{days}d",
        DISTINCT,
        LINES,
        "items",
        f"different items in {days} days",
        where=IS_SALE_LINE,
        days=days,
        key=LINES.item_id,
        freshness="nightly",
    )
    for days in (30, 90, 180)
}
CATEGORIES = {
    days: Aggregate(
        f"categories_{days}d",
        DISTINCT,
        LINES,
        "categories",
        f"different categories in {days} days",
        where=IS_SALE_LINE,
        days=days,
        key=LINES.category,
        freshness="nightly",
    )
    for days in (30, 90, 180)
}
TOP_DEPARTMENT = Aggregate(
    "top_department_cents_180d",
    TOP_KEY,
    LINES,
    "cents",
    "spend in the largest department, 180 days",
    LINES.net_cents,
    IS_SALE_LINE,
    180,
    key=LINES.department,
    dtype="int64",
    freshness="nightly",
)
SQUARED_CATEGORIES = Aggregate(
    "squared_category_cents_180d",
    SQUARED_KEYS,
    LINES,
    "cents²",
    "sum over categories of squared spend, 180 days",
    LINES.net_cents,
    IS_SALE_LINE,
    180,
    key=LINES.category,
    dtype="float64",
    freshness="nightly",
)
OWN_BRAND = Aggregate(
    "own_brand_cents_180d",
    TOTAL,
    LINES,
    "cents",
    "spend on the shop's own brands, 180 days",
    LINES.net_cents,
    IS_SALE_LINE & LINES.own_brand.equals(True),
    180,
    dtype="int64",
    freshness="nightly",
)
ITEM_COUNT = {days: _behaviour(a.name, a, a.unit, a.meaning) for days, a in ITEMS.items()}
CATEGORY_COUNT = {days: _behaviour(a.name, a, a.unit, a.meaning) for days, a in CATEGORIES.items()}
TOP_DEPARTMENT_SHARE = _behaviour(
    "top_department_share_180d",
    ratio(TOP_DEPARTMENT, SALES_LAST_NIGHT),
    "share",
    "part of the spend that went to the largest department, 180 days",
)
CATEGORY_CONCENTRATION = _behaviour(
    "category_concentration_180d",
    ratio(root(SQUARED_CATEGORIES), SALES_LAST_NIGHT),
    "0 to 1",
    "root of the Herfindahl index of spend over categories, 180 days; 1 is a single category",
)
OWN_BRAND_SHARE = _behaviour(
    "own_brand_share_180d", ratio(OWN_BRAND, SALES_LAST_NIGHT), "share", "spend on the shop's own brands, 180 days"
)

# Rhythm

LONGEST = Aggregate(
    "longest_gap_days",
    LONGEST_GAP,
    ORDERS,
    "days",
    "longest gap between two purchase days, all history",
    where=IS_SALE,
    last_day=LAST_PURCHASE_DAY,
)
GAP_SQUARES = Aggregate(
    "squared_gap_days",
    SQUARED_GAPS,
    ORDERS,
    "days²",
    "sum of squared gaps between purchase days, all history",
    where=IS_SALE,
    last_day=LAST_PURCHASE_DAY,
    dtype="int64",
)
GAPS = PURCHASE_DAYS - 1
MEAN_GAP = _behaviour(
    "mean_gap_days", ratio(LAST_PURCHASE_DAY - FIRST_PURCHASE_DAY, GAPS), "days", "mean gap between purchase days"
)
GAP_DEVIATION = _behaviour(
    "gap_deviation_days",
    root(ratio(GAP_SQUARES, GAPS) - MEAN_GAP * MEAN_GAP),
    "days",
    "standard deviation of the gaps between purchase days",
)
LONGEST_GAP_DAYS = _behaviour("longest_gap_days", LONGEST, "days", LONGEST.meaning)
SILENCE_OF_MEAN_GAP = _behaviour(
    "silence_of_mean_gap", ratio(DAYS_SINCE_LAST, MEAN_GAP), "times", "days since the last purchase, in mean gaps"
)
SILENCE_OF_LONGEST_GAP = _behaviour(
    "silence_of_longest_gap",
    ratio(DAYS_SINCE_LAST, LONGEST),
    "times",
    "days since the last purchase, in longest gaps; above 1 the member was never silent for so long",
)
OVERDUE = _behaviour(
    "overdue_deviations",
    where(GAP_DEVIATION > 0, ratio(DAYS_SINCE_LAST - MEAN_GAP, GAP_DEVIATION), nothing()),
    "standard deviations",
    "how far the silence exceeds the mean gap",
)
