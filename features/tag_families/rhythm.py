"""Tags of lifecycle, value and risk (生命周期/价值/风险): how often members come: pace, silence, orders, their own rhythm."""

from features.tag_families.declaring import REST, Level, by_level, feature, of_family

_tag = of_family("lifecycle_value_risk")
SINCE_LAST = feature("days_since_last_purchase")
SINCE_FIRST = feature("days_since_first_purchase")
PURCHASE_DAYS = feature("purchase_days")
MEAN_GAP = feature("mean_gap_days")
GAP_DEVIATION = feature("gap_deviation_days")
SILENCE = feature("silence_of_mean_gap")
HAS_RHYTHM = PURCHASE_DAYS >= 3

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

TAGS = (
    *PACE,
    *SILENT,
    *ORDERS_30D,
    *ORDERS_90D,
    *ORDERS_365D,
    *RHYTHM,
    *OVERDUE,
    *TENURE,
    *RHYTHM_TAGS,
)
