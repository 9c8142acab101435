"""Tags of lifecycle, value and risk (生命周期/价值/风险): who comes again, more than before or less, and who came back."""

from features.tag_families.declaring import feature, of_family

_tag = of_family("lifecycle_value_risk")
SINCE_LAST = feature("days_since_last_purchase")
SINCE_FIRST = feature("days_since_first_purchase")
PURCHASE_DAYS = feature("purchase_days")

# Repeat

REPEAT = [
    _tag(
        "first_order_7d",
        (SINCE_FIRST <= 7) & (PURCHASE_DAYS <= 1),
        "the only purchase day was in the last 7 days",
        "7天内首购",
        "thank you and what goes with it",
    ),
    _tag(
        "no_second_order_7d",
        (SINCE_FIRST > 7) & (SINCE_FIRST <= 30) & (PURCHASE_DAYS <= 1),
        "first purchase 8 to 30 days ago, none since",
        "首购8至30天未复购",
        "second-order coupon",
    ),
    _tag(
        "no_second_order_30d",
        (SINCE_FIRST > 30) & (SINCE_FIRST <= 60) & (PURCHASE_DAYS <= 1),
        "first purchase 31 to 60 days ago, none since",
        "首购31至60天未复购",
        "stronger second-order coupon",
    ),
    _tag(
        "no_second_order_60d",
        (SINCE_FIRST > 60) & (PURCHASE_DAYS <= 1),
        "first purchase over 60 days ago, none since",
        "首购超60天未复购",
        "one-time buyers: last try",
    ),
    _tag(
        "second_order_within_30d",
        (SINCE_FIRST <= 30) & (PURCHASE_DAYS >= 2),
        "first purchase in the last 30 days, and a second one already",
        "30天内已复购",
        "converted: on to the third order",
    ),
    _tag(
        "fifth_order_day_reached",
        (PURCHASE_DAYS >= 5) & (PURCHASE_DAYS < 7),
        "five or six purchase days in all",
        "累计5至6个购买日",
        "habit forms here: stamp card, tier rights",
    ),
    _tag(
        "hundred_purchase_days",
        PURCHASE_DAYS >= 100,
        "a hundred purchase days or more in all",
        "累计100个购买日以上",
        "recognition of faithful customers",
    ),
]

# Trend

_TRENDS = (
    (
        "orders_{}_30d",
        "purchase_trend_30d_of_90d",
        "purchases_90d",
        "orders of 30 days among those of 90",
        "30天订单",
        0.5,
        0.15,
    ),
    (
        "orders_{}_90d",
        "purchase_trend_90d_of_180d",
        "purchases_180d",
        "orders of 90 days among those of 180",
        "90天订单",
        0.65,
        0.3,
    ),
    (
        "orders_{}_180d",
        "purchase_trend_180d_of_365d",
        "purchases_365d",
        "orders of 180 days among those of 365",
        "180天订单",
        0.65,
        0.3,
    ),
    ("spend_{}_30d", "spend_trend_30d_of_90d", "purchases_90d", "spend of 30 days among that of 90", "30天消费", 0.5, 0.15),
)
RISING = [
    _tag(
        name.format("rising"),
        (feature(trend) >= high) & (feature(orders) >= 4),
        f"{meaning}: {high:.0%} or more, with four orders or more",
        f"{chinese}上升",
        "reward while it grows",
    )
    for name, trend, orders, meaning, chinese, high, _ in _TRENDS
]
FALLING = [
    _tag(
        name.format("falling"),
        (feature(trend) <= low) & (feature(orders) >= 4),
        f"{meaning}: {low:.0%} or less, with four orders or more",
        f"{chinese}下降",
        "act before they are silent",
    )
    for name, trend, orders, meaning, chinese, _, low in _TRENDS
]
CAME_BACK = _tag(
    "came_back_7d",
    (SINCE_LAST <= 7) & (feature("longest_gap_days") >= 60) & (feature("purchase_trend_7d_of_30d") >= 1),
    "bought in the last 7 days, first time in 30, after a silence of 60 days or more at some time",
    "7天内回流",
    "welcome back; ask nothing",
)

TAGS = (
    *REPEAT,
    *RISING,
    *FALLING,
    CAME_BACK,
)
