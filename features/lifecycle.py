"""Declarations: how long someone has been a member, the stage they are in, and their RFM tier."""

from features.behaviour import GAP_DEVIATION, LONGEST, MEAN_GAP
from features.declarations import DAY, Feature, Threshold
from features.expressions import Expression, fill, larger, nothing, ratio, where
from features.rfm import (
    DAYS_SINCE_LAST,
    F_SCORE,
    FIRST_PURCHASE_DAY,
    LAST_PURCHASE_DAY,
    M_SCORE,
    NEVER_BOUGHT,
    PURCHASE_DAYS,
    RFM_SCORE,
)

STAGES = ("new", "growing", "loyal", "at_risk", "dormant")
RFM_TIERS = ("regular", "gold", "diamond")

VALUE_BANDS = ("low", "middle", "high", "top")

DORMANT_DAYS = Threshold(
    "dormant_days", 90, "days", "silence that makes any member dormant, unless their own longest gap was longer"
)
AT_RISK_DAYS = Threshold(
    "at_risk_days",
    45,
    "days",
    "silence that puts a member without a rhythm of their own (fewer than three purchase days) at risk",
)
AT_RISK_DEVIATIONS = Threshold(
    "at_risk_deviations",
    2,
    "standard deviations",
    "silence beyond the mean gap, in deviations of the member's own gaps, that puts them at risk",
)
SHORTEST_SILENCE_DAYS = Threshold(
    "shortest_silence_days", 14, "days", "silence that is no sign of leaving for anyone, however often they come"
)
LOYAL_SCORE = Threshold("loyal_score", 4, "1 to 5", "frequency and monetary score from which a member in rhythm is loyal")
GOLD_SCORE = Threshold("gold_score", 9, "3 to 15", "sum of the three scores from which the RFM tier is gold")
DIAMOND_SCORE = Threshold("diamond_score", 13, "3 to 15", "sum of the three scores from which the RFM tier is diamond")
MIDDLE_VALUE_SCORE = Threshold("middle_value_score", 3, "1 to 5", "monetary score from which the value band is middle")
HIGH_VALUE_SCORE = Threshold("high_value_score", 4, "1 to 5", "monetary score from which the value band is high")
TOP_VALUE_SCORE = Threshold("top_value_score", 5, "1 to 5", "monetary score from which the value band is top")


def _lifecycle(name: str, formula: Expression, unit: str, meaning: str) -> Feature:
    return Feature(name, formula, unit, meaning, "lifecycle")


TENURE = _lifecycle("days_since_first_purchase", DAY - FIRST_PURCHASE_DAY, "days", "days since the first purchase")
ACTIVE_SPAN = _lifecycle(
    "active_span_days", LAST_PURCHASE_DAY - FIRST_PURCHASE_DAY, "days", "days from the first to the last purchase"
)
PURCHASE_DAYS_EVER = _lifecycle("purchase_days", PURCHASE_DAYS, "days", PURCHASE_DAYS.meaning)
REPEATS = Feature(
    "repeat_purchase_days",
    where(PURCHASE_DAYS > 0, PURCHASE_DAYS - 1, nothing()),
    "days",
    "days with a purchase after the first; with the active span and the days since the first purchase, what BG/NBD needs",
    "lifecycle",
    in_models=False,
)
PURCHASE_DAYS_PER_DAY = _lifecycle(
    "purchase_days_per_day", ratio(PURCHASE_DAYS, TENURE), "share", "days with a purchase per day since the first"
)
ACTIVE_SHARE = _lifecycle(
    "active_share", ratio(ACTIVE_SPAN, TENURE), "share", "part of the time since the first purchase before the last"
)

_IS_DORMANT = larger(LONGEST, DORMANT_DAYS) < DAYS_SINCE_LAST
_HAS_RHYTHM = PURCHASE_DAYS >= 3
_SILENCE_LIMIT = where(_HAS_RHYTHM, MEAN_GAP + fill(GAP_DEVIATION, 0) * AT_RISK_DEVIATIONS, AT_RISK_DAYS)
_IS_AT_RISK = larger(_SILENCE_LIMIT, SHORTEST_SILENCE_DAYS) < DAYS_SINCE_LAST
_IS_LOYAL = (F_SCORE >= LOYAL_SCORE) & (M_SCORE >= LOYAL_SCORE)


def _code(stage: str) -> int:
    return STAGES.index(stage)


STAGE = Feature(
    "lifecycle_stage",
    where(
        _IS_DORMANT,
        _code("dormant"),
        where(
            _IS_AT_RISK,
            _code("at_risk"),
            where(PURCHASE_DAYS <= 1, _code("new"), where(_IS_LOYAL, _code("loyal"), _code("growing"))),
        ),
    ),
    "stage",
    "dormant: silent for over `dormant_days` and longer than ever before; at risk: silent beyond the own rhythm and for over "
    "`shortest_silence_days`; new: one purchase day at most; loyal: frequent and high contribution; "
    "growing: all others who bought again",
    "lifecycle",
    categories=STAGES,
    in_models=False,
)
RFM_TIER = Feature(
    "rfm_tier",
    where(
        NEVER_BOUGHT,
        RFM_TIERS.index("regular"),
        where(
            RFM_SCORE >= DIAMOND_SCORE,
            RFM_TIERS.index("diamond"),
            where(RFM_SCORE >= GOLD_SCORE, RFM_TIERS.index("gold"), RFM_TIERS.index("regular")),
        ),
    ),
    "tier",
    "diamond from an RFM score of `diamond_score`, gold from `gold_score`, else regular",
    "lifecycle",
    categories=RFM_TIERS,
    in_models=False,
)
VALUE_BAND = Feature(
    "value_band",
    where(
        M_SCORE >= TOP_VALUE_SCORE,
        VALUE_BANDS.index("top"),
        where(
            M_SCORE >= HIGH_VALUE_SCORE,
            VALUE_BANDS.index("high"),
            where(M_SCORE >= MIDDLE_VALUE_SCORE, VALUE_BANDS.index("middle"), VALUE_BANDS.index("low")),
        ),
    ),
    "band",
    "net spend in 365 days against all members who bought in them, by monetary score",
    "lifecycle",
    categories=VALUE_BANDS,
    in_models=False,
)
