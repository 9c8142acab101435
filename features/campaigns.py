"""Declarations: what campaigns reached a member, and what the member redeemed."""

from features.baskets import HAS_COUPON
from features.declarations import COUNT, DAY, LARGEST, Aggregate, Feature
from features.expressions import Expression, ratio
from features.sources.schema import EXPOSURES, ORDERS, REDEMPTIONS

IS_REACHED = ~EXPOSURES.arm.equals("control")
"""Members of a control group were chosen and not reached."""


def _campaigns(name: str, formula: Expression, unit: str, meaning: str) -> Feature:
    return Feature(name, formula, unit, meaning, "campaigns")


def _passed_on(aggregate: Aggregate) -> Feature:
    return _campaigns(aggregate.name, aggregate, aggregate.unit, aggregate.meaning)


EXPOSURES_IN = {
    days: Aggregate(
        f"exposures_{days}d",
        COUNT,
        EXPOSURES,
        "campaigns",
        f"campaigns that reached the member in {days} days",
        where=IS_REACHED,
        days=days,
    )
    for days in (30, 90, 180)
}
REDEMPTIONS_IN = {
    days: Aggregate(f"redemptions_{days}d", COUNT, REDEMPTIONS, "coupons", f"coupons redeemed in {days} days", days=days)
    for days in (90, 180)
}
LAST_EXPOSURE_DAY = Aggregate(
    "last_exposure_day", LARGEST, EXPOSURES, "day", "day of the last campaign that reached", EXPOSURES.local_day, IS_REACHED
)
LAST_REDEMPTION_DAY = Aggregate(
    "last_redemption_day", LARGEST, REDEMPTIONS, "day", "day of the last coupon redeemed", REDEMPTIONS.local_day
)
LAST_COUPON_DAY = Aggregate(
    "last_coupon_purchase_day", LARGEST, ORDERS, "day", "day of the last order with a coupon", ORDERS.local_day, HAS_COUPON
)
EXPOSURE_COUNT = {days: _passed_on(aggregate) for days, aggregate in EXPOSURES_IN.items()}
REDEMPTION_COUNT = {days: _passed_on(aggregate) for days, aggregate in REDEMPTIONS_IN.items()}
REDEMPTION_RATE = {
    days: _campaigns(
        f"redemptions_per_exposure_{days}d",
        ratio(redemptions, EXPOSURES_IN[days]),
        "coupons",
        f"coupons redeemed per campaign that reached the member, {days} days",
    )
    for days, redemptions in REDEMPTIONS_IN.items()
}
DAYS_SINCE_EXPOSURE = _campaigns(
    "days_since_last_exposure", DAY - LAST_EXPOSURE_DAY, "days", "days since a campaign last reached the member"
)
DAYS_SINCE_REDEMPTION = _campaigns(
    "days_since_last_redemption", DAY - LAST_REDEMPTION_DAY, "days", "days since the last coupon was redeemed"
)
DAYS_SINCE_COUPON = _campaigns(
    "days_since_last_coupon_purchase", DAY - LAST_COUPON_DAY, "days", "days since the last order with a coupon"
)
