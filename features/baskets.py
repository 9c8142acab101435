"""Declarations: what is in a member's basket and what they pay for it: lines, pieces, discounts, coupons, price level."""

from features.declarations import COUNT, DAY, DECAYED, LARGEST, TOTAL, Aggregate, Feature
from features.expressions import Expression, halved, ratio
from features.rfm import DECAYED_COUNTS, IS_SALE, PURCHASES, SALES
from features.sources.schema import LINES, ORDERS, SALE

IS_SALE_LINE = LINES.kind.equals(SALE)
HAS_PIECES = IS_SALE_LINE & (LINES.quantity > 0) & ~LINES.sold_by_measure.equals(True)
"""Lines whose quantity counts pieces; a quantity of something poured or weighed says nothing about a price for one."""
HAS_DISCOUNT = IS_SALE & (ORDERS.discount_cents > 0)
HAS_COUPON = IS_SALE & (ORDERS.coupon_cents > 0)


def _basket(name: str, formula: Expression, unit: str, meaning: str) -> Feature:
    return Feature(name, formula, unit, meaning, "behaviour")


def _nightly(name: str, unit: str, meaning: str, value: Expression, where: Expression, days: int) -> Aggregate:
    return Aggregate(name, TOTAL, LINES, unit, meaning, value, where, days, dtype="int64", freshness="nightly")


# Lines, discounts, coupons

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
    days: _basket(f"lines_per_purchase_{days}d", ratio(lines, PURCHASES[days]), "lines", f"mean order lines in {days} days")
    for days, lines in BASKET_LINES.items()
}
CENTS_PER_LINE = _basket(
    "cents_per_line_180d", ratio(SALES[180], BASKET_LINES[180]), "cents", "mean value of an order line in 180 days"
)
DISCOUNT_SHARE = {
    days: _basket(
        f"discount_share_{days}d",
        ratio(discount, discount + SALES[days]),
        "share",
        f"part of the shelf price taken off by the shop in {days} days",
    )
    for days, discount in DISCOUNTS.items()
}
COUPON_SHARE = {
    days: _basket(
        f"coupon_share_{days}d",
        ratio(coupon, coupon + SALES[days]),
        "share",
        f"part of the price taken off by coupons in {days} days",
    )
    for days, coupon in COUPONS.items()
}
COUPON_PURCHASE_SHARE = _basket(
    "coupon_purchase_share_180d",
    ratio(COUPON_PURCHASES, PURCHASES[180]),
    "share",
    "orders with a coupon among all orders in 180 days",
)
DISCOUNT_PURCHASES = Aggregate(
    "discount_purchases_180d",
    COUNT,
    ORDERS,
    "orders",
    "orders with something taken off by the shop in 180 days",
    where=HAS_DISCOUNT,
    days=180,
)
LAST_DISCOUNT_DAY = Aggregate(
    "last_discount_purchase_day",
    LARGEST,
    ORDERS,
    "day",
    "day of the last order with something taken off by the shop",
    ORDERS.local_day,
    HAS_DISCOUNT,
)
DECAYED_DISCOUNT_PURCHASES = Aggregate(
    "decayed_discount_purchases_h90d",
    DECAYED,
    ORDERS,
    "orders",
    "orders with something taken off by the shop, each counting half as much every 90 days before the last of them",
    where=HAS_DISCOUNT,
    half_life_days=90,
    last_day=LAST_DISCOUNT_DAY,
    dtype="float64",
)
DISCOUNT_PURCHASE_SHARE = _basket(
    "discount_purchase_share_180d",
    ratio(DISCOUNT_PURCHASES, PURCHASES[180]),
    "share",
    "orders with something taken off by the shop among all orders in 180 days",
)
DECAYED_DISCOUNT_SHARE = _basket(
    "discount_purchase_share_h90d",
    ratio(halved(DECAYED_DISCOUNT_PURCHASES, DAY - LAST_DISCOUNT_DAY, 90), DECAYED_COUNTS[90]),
    "share",
    "orders with something taken off by the shop among all orders, each counting half as much every 90 days",
)

# Price level

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
LINES_LAST_NIGHT = Aggregate(
    "lines_180d_nightly",
    TOTAL,
    ORDERS,
    "lines",
    "order lines in 180 days as of last midnight",
    ORDERS.lines,
    IS_SALE,
    180,
    freshness="nightly",
)
DISCOUNTED_LINES = Aggregate(
    "discounted_lines_180d",
    COUNT,
    LINES,
    "lines",
    "order lines with something taken off by the shop in 180 days",
    where=IS_SALE_LINE & (LINES.discount_cents > 0),
    days=180,
    freshness="nightly",
)
PIECES = _nightly("pieces_180d", "pieces", "pieces bought in 180 days", LINES.quantity, HAS_PIECES, 180)
PIECE_CENTS = _nightly("piece_cents_180d", "cents", "spend on them in 180 days", LINES.net_cents, HAS_PIECES, 180)
USUAL_CENTS = _nightly(
    "usual_price_cents_180d",
    "cents",
    "usual price of the pieces bought in 180 days whose usual price is known",
    LINES.price_cents * LINES.quantity,
    HAS_PIECES & (LINES.price_cents > 0),
    180,
)
PRICED_CENTS = _nightly(
    "priced_cents_180d",
    "cents",
    "spend in 180 days on pieces whose usual price is known",
    LINES.net_cents,
    HAS_PIECES & (LINES.price_cents > 0),
    180,
)
DISCOUNTED_LINE_SHARE = _basket(
    "discounted_line_share_180d",
    ratio(DISCOUNTED_LINES, LINES_LAST_NIGHT),
    "share",
    "order lines with something taken off by the shop among all, 180 days",
)
PIECES_PER_LINE = _basket(
    "pieces_per_line_180d",
    ratio(PIECES, LINES_LAST_NIGHT),
    "pieces",
    "pieces per order line, 180 days; weighed goods count 0",
)
CENTS_PER_PIECE = _basket("cents_per_piece_180d", ratio(PIECE_CENTS, PIECES), "cents", "mean price of a piece, 180 days")
PRICE_OF_USUAL = _basket(
    "price_of_usual_price_180d",
    ratio(PRICED_CENTS, USUAL_CENTS),
    "share",
    "paid of the usual price of what was bought, 180 days; below 1 the member buys when it is cheap",
)
