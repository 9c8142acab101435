"""The features of what a member bought, from their names and meanings: how much, how often, when, where, at what price."""

from datetime import date, timedelta
from itertools import pairwise
from math import fsum
from statistics import fmean, pstdev

from parity.oracle_facts import Member, Order, Value, share, totals_by

PARTS_OF_DAY = {
    "night": range(6),
    "morning": range(6, 11),
    "midday": range(11, 14),
    "afternoon": range(14, 17),
    "evening": range(17, 21),
    "late": range(21, 24),
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def faded(age: int, half_life: int) -> float:
    """What is left of one after an age."""
    return float(0.5 ** (age / half_life))


def rfm_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    last = max((order.day for order in member.sales), default=None)
    found["days_since_last_purchase"] = None if last is None else day - last
    for window in (7, 30, 90, 180, 365):
        sales = [order for order in member.sales if order.day >= day - window]
        returns = [order for order in member.returns if order.day >= day - window]
        found[f"purchases_{window}d"] = len(sales)
        found[f"purchase_days_{window}d"] = len({order.day for order in sales})
        found[f"spend_cents_{window}d"] = sum(order.cents for order in sales + returns)
        if window in (30, 90, 180):
            found[f"cents_per_purchase_{window}d"] = fmean(o.cents for o in sales) if sales else None
        if window == 180:
            found["basket_cents_deviation_180d"] = pstdev(o.cents for o in sales) if sales else None
            found["largest_basket_cents_180d"] = max((o.cents for o in sales), default=None)
            found["return_share_180d"] = share(len(returns), len(returns) + len(sales))
    everything = member.sales + member.returns
    found["purchases_ever"] = len(member.sales)
    found["spend_cents_ever"] = sum(order.cents for order in everything)
    found["days_since_last_return"] = min((day - order.day for order in member.returns), default=None)
    for half_life in (7, 30, 90):
        found[f"purchases_h{half_life}d"] = fsum(faded(day - order.day, half_life) for order in member.sales)
    found["spend_cents_h30d"] = fsum(order.cents * faded(day - order.day, 30) for order in everything)
    for half_life in (7, 30):
        rates = (found[f"purchases_h{half_life}d"] / half_life, found["purchases_h90d"] / 90)
        found[f"purchase_acceleration_h{half_life}d_of_h90d"] = share(*rates)
    for short, long in ((7, 30), (30, 90), (90, 180), (180, 365)):
        found[f"purchase_trend_{short}d_of_{long}d"] = share(found[f"purchases_{short}d"], found[f"purchases_{long}d"])
    found["spend_trend_30d_of_90d"] = share(found["spend_cents_30d"], found["spend_cents_90d"])
    return found


def basket_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for window in (30, 90, 180):
        sales = [order for order in member.sales if order.day >= day - window]
        paid, discount, coupon = (sum(getattr(o, name) for o in sales) for name in ("cents", "discount", "coupon"))
        found[f"lines_per_purchase_{window}d"] = share(sum(o.lines for o in sales), len(sales))
        found[f"discount_share_{window}d"] = share(discount, discount + paid)
        if window > 30:
            found[f"coupon_share_{window}d"] = share(coupon, coupon + paid)
        if window == 180:
            found["cents_per_line_180d"] = share(paid, sum(order.lines for order in sales))
            found["coupon_purchase_share_180d"] = share(sum(order.coupon > 0 for order in sales), len(sales))
            found["discount_purchase_share_180d"] = share(sum(order.discount > 0 for order in sales), len(sales))
    cheap = fsum(faded(day - order.day, 90) for order in member.sales if order.discount > 0)
    found["discount_purchase_share_h90d"] = share(cheap, fsum(faded(day - order.day, 90) for order in member.sales))
    return found


def price_features(member: Member, day: int) -> dict[str, Value]:
    bought = [line for line in member.bought if line.day >= day - 180]
    pieces = [line for line in bought if line.pieces is not None]
    usual = [line for line in pieces if (line.usual_cents or 0) > 0]
    count = sum(line.pieces or 0 for line in pieces)
    return {
        "discounted_line_share_180d": share(sum(line.discount > 0 for line in bought), len(bought)),
        "pieces_per_line_180d": share(count, len(bought)),
        "cents_per_piece_180d": share(sum(line.cents for line in pieces), count),
        "price_of_usual_price_180d": share(
            sum(line.cents for line in usual), sum((line.usual_cents or 0) * (line.pieces or 0) for line in usual)
        ),
    }


def time_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    sales = [order for order in member.sales if order.day >= day - 180]
    for part, hours in PARTS_OF_DAY.items():
        found[f"{part}_share_180d"] = share(sum(order.hour in hours for order in sales), len(sales))
    for number, name in enumerate(WEEKDAYS):
        on_that_day = [o for o in sales if (date(1970, 1, 1) + timedelta(days=o.day)).weekday() == number]
        found[f"{name}_share_180d"] = share(len(on_that_day), len(sales))
    scenes = {
        "weekday_lunch": lambda o: o.date.weekday() < 5 and 11 <= o.hour <= 13,
        "weekend_evening": is_weekend_evening,
        "month_start": lambda o: o.date.day <= 5,
        "mid_month": lambda o: 10 <= o.date.day <= 16,
        "month_end": lambda o: o.date.day >= 25,
    }
    for scene, belongs in scenes.items():
        found[f"{scene}_share_180d"] = share(sum(map(belongs, sales)), len(sales))
    return {**found, **season_features(member, day)}


def is_weekend_evening(order: Order) -> bool:
    hours = {"friday": range(18, 24), "saturday": range(17, 24), "sunday": range(17, 21)}
    return order.hour in hours.get(WEEKDAYS[order.date.weekday()], ())


def season_features(member: Member, day: int) -> dict[str, Value]:
    """Shares by season, absent where an order lies so close to a season's edge that the approximate calendar may differ."""
    year = [order for order in member.sales if order.day >= day - 365]
    found: dict[str, Value] = {}
    for name, months in {
        "march_to_may": (3, 4, 5),
        "june_to_august": (6, 7, 8),
        "september_to_november": (9, 10, 11),
        "december_to_february": (12, 1, 2),
    }.items():
        near = {(order.date + timedelta(days=shift)).month in months for shift in (-1, 0, 1) for order in year}
        sure = all(len({(order.date + timedelta(days=shift)).month in months for shift in (-1, 0, 1)}) == 1 for order in year)
        if sure or not near:
            found[f"{name}_share_365d"] = share(sum(order.date.month in months for order in year), len(year))
    dated = [order.holiday for order in year if order.holiday is not None]
    return {**found, "holiday_share_365d": share(sum(dated), len(dated))}


def place_features(member: Member, day: int) -> dict[str, Value]:
    sales = sorted((order for order in member.sales if order.day >= day - 180), key=lambda o: o.when[:3])
    found: dict[str, Value] = {"online_share_180d": share(sum(order.channel != "store" for order in sales), len(sales))}
    for channel in ("store", "web", "app", "mini_program", "marketplace"):
        found[f"{channel}_channel_share_180d"] = share(sum(order.channel == channel for order in sales), len(sales))
    found["channels_180d"] = len({order.channel for order in sales})
    for name in ("channel", "store"):
        visited = sorted((o.when[:3], getattr(o, name)) for o in sales if getattr(o, name) is not None)
        found[f"{name}_switch_share_180d"] = share(sum(a[1] != b[1] for a, b in pairwise(visited)), len(sales) - 1)
    by_store = totals_by((order.store, order.cents) for order in sales)
    found["stores_180d"] = len(by_store)
    found["top_store_share_180d"] = share(max(by_store.values(), default=0), sum(order.cents for order in sales))
    return found


def rhythm_features(member: Member, day: int) -> dict[str, Value]:
    days = sorted({order.day for order in member.sales})
    gaps = [later - earlier for earlier, later in pairwise(days)]
    silence = day - days[-1] if days else None
    mean, deviation = (fmean(gaps), pstdev(gaps)) if gaps else (None, None)
    variation = share(deviation, mean)
    overdue = (silence - mean) / deviation if deviation else None  # type: ignore[operator] # who has gaps has a silence
    return {
        "mean_gap_days": mean,
        "gap_deviation_days": deviation,
        "gap_variation": variation,
        "last_gap_days": gaps[-1] if gaps else None,
        "last_gap_of_mean_gap": share(gaps[-1], mean) if gaps else None,
        "longest_gap_days": max(gaps, default=None),
        "silence_of_mean_gap": share(silence, mean),
        "silence_of_longest_gap": share(silence, max(gaps, default=None)),
        "overdue_deviations": overdue,
    }
