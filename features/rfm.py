"""Declarations: how recently, how often and for how much a member buys, over several windows."""

from features.declarations import (
    COUNT,
    DAY,
    DAYS,
    DECAYED,
    LARGEST,
    SMALLEST,
    TOTAL,
    Aggregate,
    Feature,
    Quintiles,
)
from features.expressions import Expression, halved, missing, ratio, root
from features.sources.schema import ORDERS, RETURN, SALE

WINDOWS = (7, 30, 90, 180, 365)
HALF_LIVES = (7, 30, 90)
IS_SALE = ORDERS.kind.equals(SALE)
IS_RETURN = ORDERS.kind.equals(RETURN)

FIRST_PURCHASE_DAY = Aggregate(
    "first_purchase_day", SMALLEST, ORDERS, "day", "day of the first purchase", ORDERS.local_day, IS_SALE
)
LAST_PURCHASE_DAY = Aggregate(
    "last_purchase_day", LARGEST, ORDERS, "day", "day of the last purchase", ORDERS.local_day, IS_SALE
)
LAST_ORDER_DAY = Aggregate("last_order_day", LARGEST, ORDERS, "day", "day of the last purchase or return", ORDERS.local_day)
LAST_RETURN_DAY = Aggregate("last_return_day", LARGEST, ORDERS, "day", "day of the last return", ORDERS.local_day, IS_RETURN)
PURCHASE_DAYS = Aggregate("purchase_days", DAYS, ORDERS, "days", "days with a purchase, all history", where=IS_SALE)
PURCHASES = {
    days: Aggregate(f"purchases_{days}d", COUNT, ORDERS, "orders", f"orders in {days} days", where=IS_SALE, days=days)
    for days in WINDOWS
}
PURCHASES_EVER = Aggregate("purchases_ever", COUNT, ORDERS, "orders", "orders, all history", where=IS_SALE)
PURCHASE_DAYS_IN = {
    days: Aggregate(
        f"purchase_days_{days}d", DAYS, ORDERS, "days", f"days with a purchase in {days} days", where=IS_SALE, days=days
    )
    for days in WINDOWS
}
SPEND = {
    days: Aggregate(
        f"spend_cents_{days}d",
        TOTAL,
        ORDERS,
        "cents",
        f"net spend in {days} days, returns taken off",
        ORDERS.net_cents,
        days=days,
        dtype="int64",
    )
    for days in WINDOWS
}
DECAYED_PURCHASES = {
    days: Aggregate(
        f"decayed_purchases_h{days}d",
        DECAYED,
        ORDERS,
        "orders",
        f"orders, each counting half as much every {days} days before the last",
        where=IS_SALE,
        half_life_days=days,
        last_day=LAST_PURCHASE_DAY,
        dtype="float64",
    )
    for days in HALF_LIVES
}
DECAYED_SPEND = Aggregate(
    "decayed_spend_cents_h30d",
    DECAYED,
    ORDERS,
    "cents",
    "net spend, each order counting half as much every 30 days before the last",
    ORDERS.net_cents,
    half_life_days=30,
    last_day=LAST_ORDER_DAY,
    dtype="float64",
)
SPEND_EVER = Aggregate(
    "spend_cents_ever", TOTAL, ORDERS, "cents", "net spend, all history, returns taken off", ORDERS.net_cents, dtype="int64"
)
BASKET_SQUARES = Aggregate(
    "basket_cents_squared_180d",
    TOTAL,
    ORDERS,
    "cents²",
    "squared order values in 180 days",
    ORDERS.net_cents * ORDERS.net_cents,
    IS_SALE,
    180,
    dtype="float64",
)
SALES = {
    days: Aggregate(
        f"sales_cents_{days}d",
        TOTAL,
        ORDERS,
        "cents",
        f"order values in {days} days, returns left out",
        ORDERS.net_cents,
        IS_SALE,
        days,
        dtype="int64",
    )
    for days in (30, 90, 180)
}
LARGEST_BASKET = Aggregate(
    "largest_basket_cents_180d",
    LARGEST,
    ORDERS,
    "cents",
    "largest order in 180 days",
    ORDERS.net_cents,
    IS_SALE,
    180,
    dtype="int64",
)
RETURNS = Aggregate("returns_180d", COUNT, ORDERS, "orders", "returns in 180 days", where=IS_RETURN, days=180)


def _rfm(name: str, formula: Expression, unit: str, meaning: str) -> Feature:
    return Feature(name, formula, unit, meaning, "rfm")


def _passed_on(aggregate: Aggregate) -> Feature:
    return _rfm(aggregate.name, aggregate, aggregate.unit, aggregate.meaning)


DAYS_SINCE_LAST = _rfm("days_since_last_purchase", DAY - LAST_PURCHASE_DAY, "days", "days since the last purchase")
PURCHASE_COUNTS = {days: _passed_on(PURCHASES[days]) for days in WINDOWS}
PURCHASE_DAY_COUNTS = {days: _passed_on(PURCHASE_DAYS_IN[days]) for days in WINDOWS}
NET_SPEND = {days: _passed_on(SPEND[days]) for days in WINDOWS}
TOTAL_PURCHASES = _passed_on(PURCHASES_EVER)
TOTAL_SPEND = _passed_on(SPEND_EVER)
DECAYED_COUNTS = {
    days: _rfm(
        f"purchases_h{days}d",
        halved(DECAYED_PURCHASES[days], DAYS_SINCE_LAST, days),
        "orders",
        f"orders, each counting half as much every {days} days",
    )
    for days in HALF_LIVES
}
DECAYED_NET_SPEND = _rfm(
    "spend_cents_h30d",
    halved(DECAYED_SPEND, DAY - LAST_ORDER_DAY, 30),
    "cents",
    "net spend, each order counting half as much every 30 days",
)
ACCELERATION = {
    days: _rfm(
        f"purchase_acceleration_h{days}d_of_h90d",
        ratio(DECAYED_COUNTS[days] * (90 / days), DECAYED_COUNTS[90]),
        "times",
        f"rate of orders with a half-life of {days} days to that with one of 90; above 1 the member comes more often",
    )
    for days in (7, 30)
}
DAYS_SINCE_RETURN = _rfm("days_since_last_return", DAY - LAST_RETURN_DAY, "days", "days since the last return")
CENTS_PER_PURCHASE = {
    days: _rfm(f"cents_per_purchase_{days}d", ratio(SALES[days], PURCHASES[days]), "cents", f"mean order value in {days} days")
    for days in SALES
}
BASKET_DEVIATION = _rfm(
    "basket_cents_deviation_180d",
    root(ratio(BASKET_SQUARES, PURCHASES[180]) - CENTS_PER_PURCHASE[180] * CENTS_PER_PURCHASE[180]),
    "cents",
    "standard deviation of order values in 180 days",
)
LARGEST_BASKET_CENTS = _passed_on(LARGEST_BASKET)
RETURN_SHARE = _rfm(
    "return_share_180d", ratio(RETURNS, RETURNS + PURCHASES[180]), "share", "returns among all orders in 180 days"
)
PURCHASE_TREND = {
    days: _rfm(
        f"purchase_trend_{days}d_of_{whole}d",
        ratio(PURCHASES[days], PURCHASES[whole]),
        "share",
        f"share of the orders of {whole} days that fell into the last {days}",
    )
    for days, whole in ((7, 30), (30, 90), (90, 180), (180, 365))
}
SPEND_TREND = _rfm(
    "spend_trend_30d_of_90d", ratio(SPEND[30], SPEND[90]), "share", "share of the spend of 90 days in the last 30"
)

BOUGHT_IN_A_YEAR = PURCHASES[365] > 0
RECENCY_FIFTHS = Quintiles("days_since_last_purchase", DAYS_SINCE_LAST, BOUGHT_IN_A_YEAR)
FREQUENCY_FIFTHS = Quintiles("purchases_365d", PURCHASE_COUNTS[365], BOUGHT_IN_A_YEAR)
MONETARY_FIFTHS = Quintiles("spend_cents_365d", NET_SPEND[365], BOUGHT_IN_A_YEAR)

R_SCORE = _rfm("recency_score", 6 - RECENCY_FIFTHS.rank(), "1 to 5", "fifth of the population by recency; 5 bought last")
F_SCORE = _rfm("frequency_score", FREQUENCY_FIFTHS.rank(), "1 to 5", "fifth of the population by orders in 365 days")
M_SCORE = _rfm("monetary_score", MONETARY_FIFTHS.rank(), "1 to 5", "fifth of the population by net spend in 365 days")
RFM_SCORE = _rfm("rfm_score", R_SCORE + F_SCORE + M_SCORE, "3 to 15", "sum of the three scores")
NEVER_BOUGHT = missing(LAST_PURCHASE_DAY)
