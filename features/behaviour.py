"""Declarations: when and where a member buys, and in what rhythm: time of day, week, month and year, channels, stores, gaps."""

from features.baskets import SALES_LAST_NIGHT
from features.declarations import COUNT, DISTINCT, LONGEST_GAP, SECOND_DAY, SQUARED_GAPS, SWITCHES, TOP_KEY, Aggregate, Feature
from features.expressions import Expression, nothing, ratio, root, where
from features.rfm import DAYS_SINCE_LAST, FIRST_PURCHASE_DAY, IS_SALE, LAST_PURCHASE_DAY, PURCHASE_DAYS, PURCHASES
from features.sources.schema import ORDERS

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
IN_YEAR = (ORDERS.local_day * 4) % 1461
"""Quarter days since New Year, to within a day: four years have 1,461 days."""
SEASONS = {
    "march_to_may": IN_YEAR.between(59 * 4, 151 * 4 - 1),
    "june_to_august": IN_YEAR.between(151 * 4, 243 * 4 - 1),
    "september_to_november": IN_YEAR.between(243 * 4, 334 * 4 - 1),
    "december_to_february": (IN_YEAR < 59 * 4) | (IN_YEAR >= 334 * 4),
}
SCENES = {
    "weekday_lunch": (WEEKDAY.between(0, 4) & ORDERS.local_hour.between(11, 13), "from 11 to 13 o'clock, Monday to Friday"),
    "weekend_evening": (
        (WEEKDAY.equals(4) & ORDERS.local_hour.between(18, 23))
        | (WEEKDAY.equals(5) & ORDERS.local_hour.between(17, 23))
        | (WEEKDAY.equals(6) & ORDERS.local_hour.between(17, 20)),
        "on Friday and Saturday evening or early on Sunday evening",
    ),
    "month_start": (ORDERS.month_day.between(1, 5), "on the 1st to 5th"),
    "mid_month": (ORDERS.month_day.between(10, 16), "on the 10th to 16th"),
    "month_end": (ORDERS.month_day.between(25, 31), "on the 25th to 31st"),
}
"""Evenings before days off, and the days around which wages are paid, at the start, in the middle or at the end of a month."""
SHOWN_CHANNELS = ("store", "web", "app", "mini_program", "marketplace")
HOLIDAY_KNOWN = ORDERS.holiday.equals(True) | ORDERS.holiday.equals(False)


def _behaviour(name: str, formula: Expression, unit: str, meaning: str) -> Feature:
    return Feature(name, formula, unit, meaning, "behaviour")


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
SCENE_PURCHASES = {
    name: Aggregate(
        f"{name}_purchases_180d", COUNT, ORDERS, "orders", f"orders {text}, 180 days", where=IS_SALE & when, days=180
    )
    for name, (when, text) in SCENES.items()
}
SCENE_SHARE = {
    name: _behaviour(
        f"{name}_share_180d", ratio(count, PURCHASES[180]), "share", f"share of orders {SCENES[name][1]}, 180 days"
    )
    for name, count in SCENE_PURCHASES.items()
}
SEASON_PURCHASES = {
    name: Aggregate(
        f"{name}_purchases_365d",
        COUNT,
        ORDERS,
        "orders",
        f"orders from {name.replace('_', ' ')}, 365 days",
        where=IS_SALE & when,
        days=365,
    )
    for name, when in SEASONS.items()
}
SEASON_SHARE = {
    name: _behaviour(
        f"{name}_share_365d",
        ratio(count, PURCHASES[365]),
        "share",
        f"share of orders from {name.replace('_', ' ')}, by the day of the year to within one, 365 days",
    )
    for name, count in SEASON_PURCHASES.items()
}
HOLIDAY_PURCHASES = Aggregate(
    "holiday_purchases_365d",
    COUNT,
    ORDERS,
    "orders",
    "orders on public holidays in 365 days",
    where=IS_SALE & ORDERS.holiday.equals(True),
    days=365,
)
DATED_PURCHASES = Aggregate(
    "calendar_purchases_365d",
    COUNT,
    ORDERS,
    "orders",
    "orders on days of which it is known whether they are public holidays, 365 days",
    where=IS_SALE & HOLIDAY_KNOWN,
    days=365,
)
HOLIDAY_SHARE = _behaviour(
    "holiday_share_365d", ratio(HOLIDAY_PURCHASES, DATED_PURCHASES), "share", "share of orders on public holidays, 365 days"
)

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
CHANNEL_PURCHASES = {
    channel: Aggregate(
        f"{channel}_purchases_180d",
        COUNT,
        ORDERS,
        "orders",
        f"orders in the channel {channel}, 180 days",
        where=IS_SALE & ORDERS.channel.equals(channel),
        days=180,
    )
    for channel in SHOWN_CHANNELS
}
CHANNELS_USED = Aggregate(
    "channels_180d",
    DISTINCT,
    ORDERS,
    "channels",
    "different channels in 180 days",
    where=IS_SALE,
    days=180,
    key=ORDERS.channel,
    freshness="nightly",
)
PURCHASES_LAST_NIGHT = Aggregate(
    "purchases_180d_nightly",
    COUNT,
    ORDERS,
    "orders",
    "orders in 180 days as of last midnight",
    where=IS_SALE,
    days=180,
    freshness="nightly",
)
SWITCHES_OF = {
    name: Aggregate(
        f"{name}_switches_180d",
        SWITCHES,
        ORDERS,
        "switches",
        f"orders in another {name} than the one before, 180 days",
        where=IS_SALE,
        days=180,
        key=key,
        freshness="nightly",
    )
    for name, key in (("channel", ORDERS.channel), ("store", ORDERS.store_id))
}
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
CHANNEL_SHARE = {
    channel: _behaviour(
        f"{channel}_channel_share_180d",
        ratio(count, PURCHASES[180]),
        "share",
        f"share of orders in the channel {channel}, 180 days",
    )
    for channel, count in CHANNEL_PURCHASES.items()
}
CHANNEL_COUNT = _behaviour("channels_180d", CHANNELS_USED, "channels", CHANNELS_USED.meaning)
SWITCH_SHARE = {
    name: _behaviour(
        f"{name}_switch_share_180d",
        ratio(switches, PURCHASES_LAST_NIGHT - 1),
        "share",
        f"share of orders in another {name} than the one before, 180 days",
    )
    for name, switches in SWITCHES_OF.items()
}

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
PREVIOUS_PURCHASE_DAY = Aggregate(
    "previous_purchase_day",
    SECOND_DAY,
    ORDERS,
    "day",
    "last day but one with a purchase",
    where=IS_SALE,
    last_day=LAST_PURCHASE_DAY,
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
GAP_VARIATION = _behaviour(
    "gap_variation",
    ratio(GAP_DEVIATION, MEAN_GAP),
    "share",
    "standard deviation of the gaps between purchase days in mean gaps; 0 is clockwork",
)
LAST_GAP = _behaviour(
    "last_gap_days", LAST_PURCHASE_DAY - PREVIOUS_PURCHASE_DAY, "days", "gap between the last two purchase days"
)
GAP_TREND = _behaviour(
    "last_gap_of_mean_gap", ratio(LAST_GAP, MEAN_GAP), "times", "last gap in mean gaps; above 1 the member comes less often"
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
