"""Tags of lifecycle, value and risk (生命周期/价值/风险): stage, tier, scores, silence, rhythm, trend, repeat, returns."""

from features.expressions import Expression
from features.lifecycle import DIAMOND_SCORE, GOLD_SCORE, RFM_TIERS, STAGES, VALUE_BANDS
from features.tag_families.declaring import REST, Level, Tag, by_fifth, by_level, category_of, feature

SINCE_LAST = feature("days_since_last_purchase")
SINCE_FIRST = feature("days_since_first_purchase")
PURCHASE_DAYS = feature("purchase_days")
MEAN_GAP = feature("mean_gap_days")
GAP_DEVIATION = feature("gap_deviation_days")
SILENCE = feature("silence_of_mean_gap")
MONETARY = feature("monetary_score")
RFM = feature("rfm_score")
HAS_RHYTHM = PURCHASE_DAYS >= 3


def _tag(name: str, rule: Expression, meaning: str, chinese: str, use: str) -> Tag:
    return Tag(name, "lifecycle_value_risk", rule, meaning, chinese, use)


# Stage, tier, scores

_STAGE_WORDS = {
    "new": ("one purchase day at most", "新客", "welcome gift; conversion to the second order"),
    "growing": ("bought again, value still rising", "成长", "repeat incentives"),
    "loyal": ("frequent and high contribution", "忠诚", "VIP care, early access"),
    "at_risk": ("silent beyond the own rhythm", "流失预警", "wake-up message and coupon"),
    "dormant": ("long silent", "沉默", "re-marketing or clean-up"),
}
STAGE = [
    _tag(f"stage={name}", category_of("lifecycle_stage", name), f"lifecycle stage: {meaning}", f"生命周期：{chinese}", use)
    for name, (meaning, chinese, use) in ((name, _STAGE_WORDS[name]) for name in STAGES)
]
_TIER_WORDS = {
    "regular": ("普通", "full-reduction coupons"),
    "gold": ("黄金", "free delivery, first access"),
    "diamond": ("钻石", "own service, double points on birthdays"),
}
TIER = [
    _tag(f"tier={name}", category_of("rfm_tier", name), f"RFM tier {name}", f"会员等级：{chinese}", use)
    for name, (chinese, use) in ((name, _TIER_WORDS[name]) for name in RFM_TIERS)
]
_SCORES = (
    ("recency_score", "recency", "最近购买", "time the next message"),
    ("frequency_score", "orders in 365 days", "购买频次", "choose between habit and wake-up offers"),
    ("monetary_score", "net spend in 365 days", "消费金额", "choose the value of the offer"),
)
SCORES = [
    _tag(
        f"{name.replace('score', 'fifth')}={number}",
        feature(name).equals(number),
        f"fifth of the buyers by {what}: {number} of 5, 5 is best",
        f"{chinese}得分：{number}（5为最高）",
        use,
    )
    for name, what, chinese, use in _SCORES
    for number in range(1, 6)
]
SPEND = [
    tag
    for days in (30, 90, 365)
    for tag in by_fifth(
        f"spend_{days}d",
        "lifecycle_value_risk",
        f"spend_cents_{days}d",
        f"net spend in {days} days",
        f"{days}天净消费",
        "size of the offer by what is at stake",
    )
]

LIFETIME = by_fifth(
    "spend_ever", "lifecycle_value_risk", "spend_cents_ever", "net spend, all history", "累计净消费", "rights for lasting value"
)
_BAND_WORDS = {
    "low": ("低", "cheap channels only"),
    "middle": ("中", "offers that pay for themselves"),
    "high": ("高", "personal offers"),
    "top": ("最高", "own contact person"),
}
VALUE_BAND = [
    _tag(
        f"value={name}",
        category_of("value_band", name),
        f"value band {name}: net spend in 365 days against all who bought",
        f"价值分层：{chinese}",
        use,
    )
    for name, (chinese, use) in ((name, _BAND_WORDS[name]) for name in VALUE_BANDS)
]
PACE = [
    _tag(
        "coming_more_often",
        (feature("purchase_acceleration_h30d_of_h90d") >= 1.3) & HAS_RHYTHM,
        "orders come 30 % faster lately than over the last months",
        "购买加快",
        "reward while it grows",
    ),
    _tag(
        "coming_less_often",
        (feature("purchase_acceleration_h30d_of_h90d") <= 0.7) & HAS_RHYTHM,
        "orders come 30 % slower lately than over the last months",
        "购买放缓",
        "act before they are silent",
    ),
    _tag(
        "last_gap_was_long",
        (feature("last_gap_of_mean_gap") >= 2) & HAS_RHYTHM,
        "the gap before the last purchase was twice the mean gap or more",
        "上次间隔偏长",
        "a message before the usual day",
    ),
    _tag(
        "returned_goods_14d",
        feature("days_since_last_return") <= 14,
        "brought goods back in 14 days",
        "14天内退货",
        "service call before the next offer",
    ),
]

# Silence

_SILENCE_USES = {
    7: "weekly shoppers: a reminder",
    14: "first nudge",
    21: "personal list of goods due again",
    30: "targeted coupon for gold and diamond",
    45: "wake-up message",
    60: "wake-up coupon",
    90: "wake-up gift",
    120: "survey: what went wrong",
    180: "last offer",
    365: "clean-up: stop paying for messages",
}
SILENT = [
    _tag(f"silent_{days}d", days <= SINCE_LAST, f"no purchase for {days} days or more", f"{days}天以上未购买", use)
    for days, use in _SILENCE_USES.items()
]

# How often

ORDERS_30D = by_level(
    "orders_30d",
    "lifecycle_value_risk",
    feature("purchases_30d"),
    [
        Level("none", 1, "no order in 30 days", "30天内无订单", "bring back into the habit"),
        Level("once", 2, "one order in 30 days", "30天内1单", "second order within the month"),
        Level("twice", 3, "two orders in 30 days", "30天内2单", "from twice to weekly"),
        Level("weekly", 6, "three to five orders in 30 days", "30天内3至5单", "keep the weekly trip"),
        Level("often", 12, "6 to 11 orders in 30 days", "30天内6至11单", "points for larger baskets"),
        Level("very_often", REST, "12 orders or more in 30 days", "30天内12单以上", "VIP care"),
    ],
)
ORDERS_90D = by_level(
    "orders_90d",
    "lifecycle_value_risk",
    feature("purchases_90d"),
    [
        Level("none", 1, "no order in 90 days", "90天内无订单", "wake-up gift"),
        Level("once", 2, "one order in 90 days", "90天内1单", "why only once?"),
        Level("few", 4, "two or three orders in 90 days", "90天内2至3单", "monthly reminder"),
        Level("regular", 10, "4 to 9 orders in 90 days", "90天内4至9单", "stamp card"),
        Level("frequent", 25, "10 to 24 orders in 90 days", "90天内10至24单", "stock-up offers"),
        Level("very_frequent", REST, "25 orders or more in 90 days", "90天内25单以上", "VIP care"),
    ],
)
ORDERS_365D = by_level(
    "orders_365d",
    "lifecycle_value_risk",
    feature("purchases_365d"),
    [
        Level("none", 1, "no order in a year", "一年内无订单", "clean-up"),
        Level("once", 2, "one order in a year", "一年内1单", "was it a gift or a trial?"),
        Level("few", 6, "two to five orders in a year", "一年内2至5单", "seasonal invitations"),
        Level("monthly", 19, "6 to 18 orders in a year", "一年内6至18单", "monthly mailing"),
        Level("weekly", 61, "19 to 60 orders in a year", "一年内19至60单", "weekly specials"),
        Level("daily", REST, "more than 60 orders in a year", "一年内60单以上", "main-shop rights"),
    ],
)
RHYTHM = by_level(
    "rhythm",
    "lifecycle_value_risk",
    MEAN_GAP,
    [
        Level("weekly", 9, "buys every week or more often", "每周购买", "weekly specials"),
        Level("fortnightly", 18, "buys every second week", "每两周购买", "a message before the usual day"),
        Level("monthly", 40, "buys every month", "每月购买", "monthly stock-up list"),
        Level("quarterly", 120, "buys every few months", "每季购买", "seasonal list"),
        Level("rarely", REST, "more than 120 days between purchases", "很少购买", "occasions only"),
    ],
    among=HAS_RHYTHM,
)
OVERDUE = by_level(
    "own_rhythm",
    "lifecycle_value_risk",
    SILENCE,
    [
        Level("just_bought", 0.5, "silent for less than half of the own mean gap", "刚购买", "leave in peace"),
        Level("in_rhythm", 1, "silent for less than the own mean gap", "节奏之内", "goods due again"),
        Level("late", 2, "silent for one to two own mean gaps", "略晚", "a reminder"),
        Level("very_late", 4, "silent for two to four own mean gaps", "明显偏晚", "wake-up message"),
        Level("lost_rhythm", REST, "silent for four own mean gaps or more", "失去节奏", "wake-up gift"),
    ],
    among=HAS_RHYTHM,
)
TENURE = by_level(
    "buying_since",
    "lifecycle_value_risk",
    SINCE_FIRST,
    [
        Level("month", 31, "first purchase in the last 30 days", "首购30天内", "conversion to the second order"),
        Level("quarter", 91, "first purchase 31 to 90 days ago", "首购31至90天", "third order"),
        Level("half_year", 181, "first purchase 91 to 180 days ago", "首购91至180天", "second category"),
        Level("year", 366, "first purchase 181 to 365 days ago", "首购181天至1年", "build a habit"),
        Level("longer", REST, "first purchase over a year ago", "首购1年以上", "long-standing customers"),
    ],
)

RHYTHM_TAGS = [
    _tag(
        "due_in_7d",
        (SINCE_LAST + 7 >= MEAN_GAP) & (SINCE_LAST <= MEAN_GAP) & HAS_RHYTHM,
        "the own mean gap ends within 7 days",
        "7天内将再次购买",
        "send the list of goods due again now",
    ),
    _tag(
        "silent_as_never_before",
        feature("silence_of_longest_gap") > 1,
        "silent for longer than ever before",
        "沉默时间创个人最长",
        "wake-up before the habit is gone",
    ),
    _tag(
        "overdue_1_deviation",
        feature("overdue_deviations") >= 1,
        "silence exceeds the own mean gap by one standard deviation",
        "超出个人节奏1个标准差",
        "a reminder",
    ),
    _tag(
        "overdue_2_deviations",
        feature("overdue_deviations") >= 2,
        "silence exceeds the own mean gap by two standard deviations",
        "超出个人节奏2个标准差",
        "wake-up coupon",
    ),
    _tag(
        "overdue_3_deviations",
        feature("overdue_deviations") >= 3,
        "silence exceeds the own mean gap by three standard deviations",
        "超出个人节奏3个标准差",
        "call or gift for high value",
    ),
    _tag(
        "regular_rhythm",
        (GAP_DEVIATION <= MEAN_GAP * 0.5) & HAS_RHYTHM,
        "gaps differ by less than half of their mean",
        "购买节奏规律",
        "messages by the calendar; subscriptions",
    ),
    _tag(
        "irregular_rhythm",
        (GAP_DEVIATION >= MEAN_GAP * 1.5) & HAS_RHYTHM,
        "gaps differ by one and a half times their mean",
        "购买节奏不规律",
        "messages by occasion, not by the calendar",
    ),
]

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

# Value and risk together

VALUE = [
    _tag(
        "high_value_at_risk",
        (MONETARY >= 4) & category_of("lifecycle_stage", "at_risk"),
        "highest two fifths by spend, and at risk",
        "高价值流失预警",
        "call, or a strong personal offer",
    ),
    _tag(
        "high_value_dormant",
        (MONETARY >= 4) & category_of("lifecycle_stage", "dormant"),
        "highest two fifths by spend of the year, and dormant",
        "高价值沉默",
        "win back by hand",
    ),
    _tag(
        "gold_silent_30d",
        category_of("rfm_tier", "gold") & (SINCE_LAST >= 30),
        "gold, and 30 days without a purchase",
        "黄金会员30天未购买",
        "targeted coupon",
    ),
    _tag(
        "diamond_silent_14d",
        category_of("rfm_tier", "diamond") & (SINCE_LAST >= 14),
        "diamond, and 14 days without a purchase",
        "钻石会员14天未购买",
        "personal message",
    ),
    _tag(
        "gold_nearly_reached",
        RFM.equals(GOLD_SCORE - 1),
        "one point of the RFM score below gold",
        "即将升级黄金",
        "one more order to gold",
    ),
    _tag(
        "diamond_nearly_reached",
        RFM.equals(DIAMOND_SCORE - 1),
        "one point of the RFM score below diamond",
        "即将升级钻石",
        "one more order to diamond",
    ),
    _tag(
        "big_spender_once",
        (MONETARY >= 4) & (PURCHASE_DAYS <= 1),
        "a single purchase day, but in the highest two fifths by spend",
        "单次高消费",
        "service call; second order with a gift",
    ),
    _tag(
        "small_but_frequent",
        (MONETARY <= 3) & (feature("frequency_score") >= 4),
        "highest two fifths by orders, not by spend",
        "高频低额",
        "larger baskets: thresholds, bundles",
    ),
    _tag(
        "rare_but_large",
        (MONETARY >= 4) & (feature("frequency_score") <= 2),
        "highest two fifths by spend, lowest two by orders",
        "低频高额",
        "occasion planning",
    ),
    _tag(
        "champion",
        RFM >= 15,
        "highest fifth by recency, frequency and spend",
        "最佳会员",
        "invite to test and recommend",
    ),
]
RETURNS = by_level(
    "returns",
    "lifecycle_value_risk",
    feature("return_share_180d"),
    [
        Level("none", 0.001, "no return, 180 days", "无退货", "nothing to do"),
        Level("some", 0.1, "up to a tenth of the orders are returns", "少量退货", "nothing to do"),
        Level(
            "often",
            0.3,
            "a tenth to 30 % of the orders are returns",
            "经常退货",
            "ask for the reason; better size and product texts",
        ),
        Level("very_often", REST, "30 % of the orders or more are returns", "频繁退货", "no free returns; look by hand"),
    ],
)
ABNORMAL = [
    _tag(
        "unusually_many_orders_7d",
        feature("purchases_7d") >= 21,
        "21 orders or more in 7 days",
        "7天订单异常多",
        "look by hand: a shared card, a reseller",
    ),
    _tag(
        "many_orders_a_day",
        (feature("purchases_30d") >= feature("purchase_days_30d") * 3) & (feature("purchases_30d") >= 9),
        "three orders or more on a purchase day, 30 days",
        "单日订单异常多",
        "look by hand: orders split for coupons",
    ),
]
TAGS = (
    *STAGE,
    *TIER,
    *SCORES,
    *SPEND,
    *LIFETIME,
    *VALUE_BAND,
    *PACE,
    *SILENT,
    *ORDERS_30D,
    *ORDERS_90D,
    *ORDERS_365D,
    *RHYTHM,
    *OVERDUE,
    *TENURE,
    *RHYTHM_TAGS,
    *REPEAT,
    *RISING,
    *FALLING,
    CAME_BACK,
    *VALUE,
    *RETURNS,
    *ABNORMAL,
)
