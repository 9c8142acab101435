"""The stable codes that reasons are given in, and the rule by which every feature that models see belongs to one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from features.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """A kind of reason. Codes are public names: they may be added, never renamed, as other systems act on them.

    Attributes
    ----------
    features
        A regular expression that matches the whole name of each feature that belongs here, and no other.
    actionable
        Whether marketing can move it: an offer, a visit, a message; not the past, and not the calendar.
    """

    name: str
    features: str
    actionable: bool
    meaning: str


CODES = (
    ReasonCode(
        "GAP_VS_OWN_RHYTHM",
        r"silence_of_\w+|overdue_deviations",
        actionable=True,
        meaning="how long the silence is against the member's own gaps between visits",
    ),
    ReasonCode(
        "RECENCY",
        r"days_since_last_purchase|recency_score",
        actionable=True,
        meaning="how long ago the last visit was, for this shop",
    ),
    ReasonCode(
        "REGULARITY",
        r"mean_gap_days|gap_deviation_days|gap_variation|longest_gap_days",
        actionable=False,
        meaning="how regular the visits are",
    ),
    ReasonCode(
        "VISIT_FREQUENCY",
        r"purchases_(\d+d|h\d+d|ever)|purchase_days(_\d+d|_per_day)?|frequency_score|rfm_score",
        actionable=True,
        meaning="how often the member buys",
    ),
    ReasonCode(
        "FREQUENCY_TREND",
        r"purchase_(acceleration|trend)_\w+|last_gap_days|last_gap_of_mean_gap",
        actionable=True,
        meaning="whether visits become more or less frequent",
    ),
    ReasonCode(
        "SPEND_LEVEL", r"spend_cents_(\d+d|h\d+d|ever)|monetary_score", actionable=True, meaning="how much the member spends"
    ),
    ReasonCode("SPEND_TREND", r"spend_trend_\w+", actionable=True, meaning="whether spend rises or falls"),
    ReasonCode(
        "BASKET",
        r"(cents|lines)_per_purchase_\d+d|basket_\w+|largest_basket_\w+|(cents|pieces)_per_(line|piece)_\d+d",
        actionable=True,
        meaning="what a usual order looks like",
    ),
    ReasonCode(
        "BREADTH",
        r"(items|categories|brands)_\d+d|top_(department|category|brand)_share_\d+d|(category|brand)_(concentration|entropy)_\d+d"
        r"|own_brand_share_\d+d|new_(item_share|categories)_\d+d|repeated_(item|brand)_share_\d+d",
        actionable=True,
        meaning="how much of the assortment the member uses",
    ),
    ReasonCode(
        "DISCOUNT_DEPENDENCE",
        r"discount(ed)?_\w+|coupon_\w+|price_of_usual_price_\w+|days_since_last_coupon_purchase",
        actionable=True,
        meaning="how much the member buys at reduced prices",
    ),
    ReasonCode(
        "CHANNEL",
        r"(online|top_store)_share_\d+d|\w+_channel_share_\d+d|(stores|channels)_\d+d|(store|channel)_switch_share_\d+d"
        r"|online_views_per_store_purchase_\d+d",
        actionable=False,
        meaning="where the member buys",
    ),
    ReasonCode(
        "TIMING",
        r"(night|morning|midday|afternoon|evening|late|\w+day|weekday_lunch|weekend_evening|month_start|mid_month|month_end|holiday"
        r"|[a-z]+_to_[a-z]+)_share_\d+d",
        actionable=False,
        meaning="when the member buys",
    ),
    ReasonCode(
        "CAMPAIGNS",
        r"exposures_\d+d|redemptions_\w+|days_since_last_(exposure|redemption)",
        actionable=True,
        meaning="how the member answers campaigns",
    ),
    ReasonCode(
        "BROWSING",
        r"(views|carts|searches|visits|favourites|sessions|viewed_items|browsing_days)_\d+d|days_since_(last_(view|cart|visit)|open_cart)"
        r"|view_\w+|seconds_per_view_\d+d|top_viewed_item_\w+|carts_per_view_\d+d|purchases_per_cart_\d+d|cart_days_\w+",
        actionable=True,
        meaning="what the member looks at without buying",
    ),
    ReasonCode(
        "RETURNS", r"days_since_last_return|return_share_\d+d", actionable=True, meaning="whether the member brings things back"
    ),
    ReasonCode(
        "TENURE",
        r"days_since_first_purchase|active_span_days|active_share",
        actionable=False,
        meaning="how long the member has been with the shop",
    ),
)
CODE_NAMES = tuple(code.name for code in CODES)


def codes_matching(feature: str) -> list[str]:
    """Every code whose rule matches the feature; for a feature of the contract it is exactly one."""
    return [code.name for code in CODES if re.fullmatch(code.features, feature)]


@cache
def reason_of_feature(features: tuple[str, ...]) -> NDArray[np.intp]:
    """Position in `CODES` of each feature.

    Raises
    ------
    ConfigurationError
        A feature belongs to no code, or to several.
    """
    found = [codes_matching(feature) for feature in features]
    unclear = [feature for feature, codes in zip(features, found, strict=True) if len(codes) != 1]
    if unclear:
        raise ConfigurationError(
            f"no single reason code for {', '.join(unclear[:5])}",
            remedy="say in training/predictors/reason_codes.py which code a new feature belongs to",
        )
    return np.array([CODE_NAMES.index(codes[0]) for codes in found], dtype=np.intp)


def actionable(codes: Sequence[str]) -> list[bool]:
    """Whether marketing can move each code."""
    known = {code.name: code.actionable for code in CODES}
    return [known[code] for code in codes]
