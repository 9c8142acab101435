"""Tags of lifecycle, value and risk (生命周期/价值/风险): where members stand: stage, tier, scores, spend, value band."""

from features.lifecycle import RFM_TIERS, STAGES, VALUE_BANDS
from features.tag_families.declaring import by_fifth, category_of, feature, of_family

_tag = of_family("lifecycle_value_risk")

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

TAGS = (
    *STAGE,
    *TIER,
    *SCORES,
    *SPEND,
    *LIFETIME,
    *VALUE_BAND,
)
