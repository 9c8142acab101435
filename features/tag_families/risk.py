"""Tags of lifecycle, value and risk (生命周期/价值/风险): value that is at risk, returns, and what looks abnormal."""

from features.lifecycle import DIAMOND_SCORE, GOLD_SCORE
from features.tag_families.declaring import REST, Level, by_level, category_of, feature, of_family

_tag = of_family("lifecycle_value_risk")
SINCE_LAST = feature("days_since_last_purchase")
PURCHASE_DAYS = feature("purchase_days")
MONETARY = feature("monetary_score")
RFM = feature("rfm_score")

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
    *VALUE,
    *RETURNS,
    *ABNORMAL,
)
