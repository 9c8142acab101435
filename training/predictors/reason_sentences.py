"""Reasons in words: for each code the most telling numbers of the member, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
Labels = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence in both languages that can be said where all the features it needs are known.

    Attributes
    ----------
    english, chinese
        Feature names in braces with a format: `n` a number, `share` per cent, `money` cents as an amount without a currency,
        `one/many` a number with its noun.
    grades
        Words for the values 1, 2, ... of the first feature needed, as `{grade}`.
    largest
        Features to choose the largest of, with words for each, as `{largest}` and `{largest_share}`.
    """

    needs: tuple[str, ...]
    english: str
    chinese: str
    grades: tuple[tuple[str, str], ...] = ()
    largest: Labels = field(default_factory=dict)


GRADES_OF_RECENCY = (
    ("among the fifth of members who stayed away longest", "属于最久未到店的五分之一会员"),
    ("longer ago than for most members", "比多数会员更久"),
    ("as for the members in the middle", "处于会员中游"),
    ("more recent than for most members", "比多数会员更近"),
    ("among the fifth of members who came most recently", "属于最近到店的五分之一会员"),
)
WEEKDAYS: Labels = {
    "monday_share_180d": ("Monday", "周一"),
    "tuesday_share_180d": ("Tuesday", "周二"),
    "wednesday_share_180d": ("Wednesday", "周三"),
    "thursday_share_180d": ("Thursday", "周四"),
    "friday_share_180d": ("Friday", "周五"),
    "saturday_share_180d": ("Saturday", "周六"),
    "sunday_share_180d": ("Sunday", "周日"),
}
WORDINGS: Mapping[str, tuple[Wording, ...]] = {
    "GAP_VS_OWN_RHYTHM": (
        Wording(
            ("days_since_last_purchase", "mean_gap_days"),
            "{days_since_last_purchase:day/days} since the last visit; usual gap {mean_gap_days:n}",
            "距上次到店{days_since_last_purchase:n}天，平时约{mean_gap_days:n}天一次",
        ),
        Wording(
            ("days_since_last_purchase",),
            "{days_since_last_purchase:day/days} since the last visit; too few visits to know the usual gap",
            "距上次到店{days_since_last_purchase:n}天，到店次数太少，尚无规律",
        ),
    ),
    "RECENCY": (
        Wording(
            ("recency_score", "days_since_last_purchase"),
            "last visit {days_since_last_purchase:day/days} ago, {grade}",
            "上次到店在{days_since_last_purchase:n}天前，{grade}",
            grades=GRADES_OF_RECENCY,
        ),
        Wording(
            ("days_since_last_purchase",),
            "last visit {days_since_last_purchase:day/days} ago",
            "上次到店在{days_since_last_purchase:n}天前",
        ),
    ),
    "REGULARITY": (
        Wording(
            ("mean_gap_days", "longest_gap_days"),
            "{mean_gap_days:day/days} between visits on average, {longest_gap_days:n} at the longest",
            "平均{mean_gap_days:n}天到店一次，最长间隔{longest_gap_days:n}天",
        ),
        Wording(
            ("purchase_days",), "{purchase_days:visit/visits} so far: no rhythm yet", "共到店{purchase_days:n}次，尚无规律"
        ),
    ),
    "VISIT_FREQUENCY": (
        Wording(
            ("purchases_90d", "purchases_365d"),
            "{purchases_90d:order/orders} in 90 days, {purchases_365d:n} in a year",
            "近90天{purchases_90d:n}单，近一年{purchases_365d:n}单",
        ),
    ),
    "FREQUENCY_TREND": (
        Wording(
            ("purchases_30d", "purchases_90d"),
            "{purchases_30d:order/orders} in the last 30 days, {purchases_90d:n} in the last 90",
            "近30天{purchases_30d:n}单，近90天{purchases_90d:n}单",
        ),
    ),
    "SPEND_LEVEL": (
        Wording(
            ("spend_cents_90d", "spend_cents_365d"),
            "{spend_cents_90d:money} spent in 90 days, {spend_cents_365d:money} in a year",
            "近90天消费{spend_cents_90d:money}，近一年{spend_cents_365d:money}",
        ),
    ),
    "SPEND_TREND": (
        Wording(
            ("spend_trend_30d_of_90d",),
            "{spend_trend_30d_of_90d:share} of the spend of 90 days fell into the last 30 (33% would be even)",
            "近30天消费占近90天的{spend_trend_30d_of_90d:share}（持平为33%）",
        ),
        Wording(("spend_cents_90d",), "{spend_cents_90d:money} spent in 90 days", "近90天消费{spend_cents_90d:money}"),
    ),
    "BASKET": (
        Wording(
            ("cents_per_purchase_180d", "lines_per_purchase_180d"),
            "{cents_per_purchase_180d:money} an order on average, with {lines_per_purchase_180d:line/lines}",
            "平均每单{cents_per_purchase_180d:money}，约{lines_per_purchase_180d:n}种商品",
        ),
        Wording(
            ("cents_per_purchase_180d",),
            "{cents_per_purchase_180d:money} an order on average",
            "平均每单{cents_per_purchase_180d:money}",
        ),
    ),
    "BREADTH": (
        Wording(
            ("categories_90d", "items_90d"),
            "{items_90d:item/items} from {categories_90d:category/categories} in 90 days",
            "近90天购买{categories_90d:n}个品类、{items_90d:n}种商品",
        ),
        Wording(("items_90d",), "{items_90d:different item/different items} in 90 days", "近90天购买{items_90d:n}种商品"),
    ),
    "DISCOUNT_DEPENDENCE": (
        Wording(
            ("discount_purchase_share_180d", "discount_share_180d"),
            "{discount_purchase_share_180d:share} of orders at reduced prices, {discount_share_180d:share} taken off in all",
            "{discount_purchase_share_180d:share}的订单有优惠，整体优惠{discount_share_180d:share}",
        ),
        Wording(
            ("coupon_purchase_share_180d",),
            "a coupon in {coupon_purchase_share_180d:share} of orders",
            "{coupon_purchase_share_180d:share}的订单使用优惠券",
        ),
    ),
    "CHANNEL": (
        Wording(
            ("online_share_180d", "stores_180d"),
            "{online_share_180d:share} of orders online; {stores_180d:store/stores} visited in 180 days",
            "{online_share_180d:share}的订单来自线上，近180天到过{stores_180d:n}家门店",
        ),
        Wording(
            ("online_share_180d",), "{online_share_180d:share} of orders online", "{online_share_180d:share}的订单来自线上"
        ),
    ),
    "TIMING": (
        Wording(
            (),
            "buys on {largest} more than on other days ({largest_share:share} of orders)",
            "多在{largest}购买（占订单{largest_share:share}）",
            largest=WEEKDAYS,
        ),
    ),
    "CAMPAIGNS": (
        Wording(
            ("exposures_90d", "redemptions_90d"),
            "reached by {exposures_90d:campaign/campaigns} in 90 days, {redemptions_90d:coupon/coupons} redeemed",
            "近90天触达{exposures_90d:n}次活动，核销{redemptions_90d:n}张券",
        ),
        Wording(
            ("redemptions_90d",),
            "{redemptions_90d:coupon/coupons} redeemed in 90 days",
            "近90天核销{redemptions_90d:n}张券",
        ),
    ),
    "BROWSING": (
        Wording(
            ("days_since_open_cart",),
            "a cart left without a purchase {days_since_open_cart:day/days} ago",
            "{days_since_open_cart:n}天前加购后未下单",
        ),
        Wording(
            ("views_30d", "carts_30d"),
            "{views_30d:view/views} and {carts_30d:time/times} put in the cart in 30 days",
            "近30天浏览{views_30d:n}次，加购{carts_30d:n}次",
        ),
        Wording(("visits_30d",), "{visits_30d:online visit/online visits} in 30 days", "近30天线上访问{visits_30d:n}次"),
    ),
    "RETURNS": (
        Wording(
            ("days_since_last_return", "return_share_180d"),
            "last return {days_since_last_return:day/days} ago; {return_share_180d:share} of orders are returns",
            "上次退货在{days_since_last_return:n}天前，退货占订单{return_share_180d:share}",
        ),
        Wording(
            ("return_share_180d",),
            "{return_share_180d:share} of the orders of 180 days are returns",
            "近180天退货占订单{return_share_180d:share}",
        ),
    ),
    "TENURE": (
        Wording(
            ("days_since_first_purchase", "purchase_days"),
            "{days_since_first_purchase:day/days} since the first purchase; {purchase_days:visit/visits} in all",
            "首次购买距今{days_since_first_purchase:n}天，共到店{purchase_days:n}次",
        ),
    ),
}
"""For each code, sentences from the most telling to the least demanding; the first whose numbers are all known is said."""
NOTHING_KNOWN = {"en": "too little is known to give a number", "zh": "数据不足，暂无数字"}
