"""Tags of channel habit (渠道习惯) from what members do without buying, and from the campaigns that reach them."""

from features.tag_families.declaring import REST, Level, by_level, feature, of_family

VIEWS_30D = feature("views_30d")
BROWSED = feature("browsing_days_30d") > 0
_tag = of_family("channel")

VIEWS = by_level(
    "viewing_7d",
    "channel",
    feature("views_7d"),
    [
        Level("few", 4, "up to three views in 7 days", "7天内浏览3次以内", "what others looked at"),
        Level("some", 11, "4 to 10 views in 7 days", "7天内浏览4至10次", "personal list"),
        Level("many", 31, "11 to 30 views in 7 days", "7天内浏览11至30次", "help to choose"),
        Level("very_many", REST, "more than 30 views in 7 days", "7天内浏览超过30次", "advice by a person"),
    ],
    among=feature("views_7d") > 0,
)
VISITS = by_level(
    "visiting_30d",
    "channel",
    feature("visits_30d"),
    [
        Level("once", 2, "one visit in 30 days", "30天内访问1次", "a reason to come back"),
        Level("few", 5, "two to four visits in 30 days", "30天内访问2至4次", "news of the week"),
        Level("weekly", 12, "5 to 11 visits in 30 days", "30天内访问5至11次", "push on the usual day"),
        Level("often", REST, "12 visits or more in 30 days", "30天内访问12次以上", "missions and points in the app"),
    ],
    among=feature("visits_30d") > 0,
)
ACTIONS = [
    _tag(
        "cart_open_1d",
        feature("days_since_open_cart") <= 1,
        "put goods into the cart today or yesterday and did not buy since",
        "购物车1天内未付款",
        "reminder, then a small coupon without threshold",
    ),
    _tag(
        "cart_open_7d",
        (feature("days_since_open_cart") > 1) & (feature("days_since_open_cart") <= 7),
        "a cart two to seven days old without a purchase since",
        "购物车2至7天未付款",
        "the price has changed; what goes instead",
    ),
    _tag(
        "leaves_carts",
        feature("cart_days_without_purchase_30d") >= 2,
        "two days or more with a cart that led to nothing, 30 days",
        "多次弃购",
        "ask what is missing: delivery, payment, price",
    ),
    _tag(
        "looks_without_buying_30d",
        (VIEWS_30D >= 10) & (feature("purchases_30d") <= 0),
        "ten views or more and no order in 30 days",
        "30天内多次浏览未购买",
        "first-order or wake-up coupon",
    ),
    _tag(
        "one_item_again_and_again_7d",
        feature("top_viewed_item_views_7d") >= 3,
        "the same item viewed three times or more in 7 days",
        "7天内同一商品浏览3次以上",
        "invitation to try it in store",
    ),
    _tag(
        "long_views_30d",
        feature("seconds_per_view_30d") >= 30,
        "views last 30 seconds or more on average, 30 days",
        "平均浏览时长超过30秒",
        "details, comparisons, reviews",
    ),
    _tag(
        "views_rising_7d",
        (feature("view_trend_7d_of_30d") >= 0.5) & (VIEWS_30D >= 10),
        "half of the views of 30 days fell into the last 7",
        "近7天浏览上升",
        "something is planned: personal list now",
    ),
    _tag(
        "searched_7d",
        feature("searches_7d") >= 1,
        "searched in 7 days",
        "7天内搜索过",
        "results that were not bought",
    ),
    _tag(
        "marked_favourites_30d",
        feature("favourites_30d") >= 1,
        "marked a favourite in 30 days",
        "30天内收藏过",
        "price and stock alerts",
    ),
    _tag(
        "browses_most_days_30d",
        feature("browsing_days_30d") >= 15,
        "does something online on 15 days of 30 or more",
        "30天内15天以上活跃",
        "daily missions; first to hear",
    ),
    _tag(
        "wide_interest_30d",
        feature("viewed_items_30d") >= 30,
        "30 different items viewed or more in 30 days",
        "30天内浏览30种以上商品",
        "discovery lists",
    ),
    _tag(
        "buys_what_is_in_the_cart",
        (feature("purchases_per_cart_30d") >= 0.8) & (feature("carts_30d") >= 2),
        "four orders or more for five carts, 30 days",
        "加购后多数成交",
        "one-click repeat of the last cart",
    ),
    _tag(
        "browses_online_buys_in_store",
        feature("online_views_per_store_purchase_90d") >= 3,
        "three views online or more for each order in the shop, 90 days",
        "线上浏览线下购买",
        "stock of the nearest store; reserve and collect",
    ),
]
ABSENT = [
    _tag(
        f"no_visit_{days}d",
        feature("days_since_last_visit") >= days,
        f"no visit for {days} days or more, after earlier ones",
        f"{days}天以上未访问",
        use,
    )
    for days, use in ((14, "push with a reason"), (30, "wake-up by another channel"), (90, "stop pushing; e-mail once"))
]

# Campaigns

EXPOSED = feature("exposures_180d") >= 2
PRESSURE = by_level(
    "contacts_30d",
    "channel",
    feature("exposures_30d"),
    [
        Level("none", 1, "no campaign in 30 days", "30天内未触达", "may be addressed"),
        Level("one", 2, "one campaign in 30 days", "30天内触达1次", "room for another"),
        Level("few", 5, "two to four campaigns in 30 days", "30天内触达2至4次", "only what fits well"),
        Level("many", REST, "five campaigns or more in 30 days", "30天内触达5次以上", "leave in peace"),
    ],
)
RESPONSE = by_level(
    "campaign_response",
    "channel",
    feature("redemptions_per_exposure_180d"),
    [
        Level(
            "never",
            0.001,
            "redeemed nothing of two campaigns or more, 180 days",
            "从不响应活动",
            "another channel or another kind",
        ),
        Level("seldom", 0.34, "up to a coupon for three campaigns", "很少响应活动", "stronger or fewer offers"),
        Level("often", 1, "up to a coupon for each campaign", "经常响应活动", "campaigns work here"),
        Level("always", REST, "a coupon or more for each campaign", "总是响应活动", "try a smaller coupon"),
    ],
    among=EXPOSED,
)
CAMPAIGNS = [
    _tag(
        "redeemed_90d",
        feature("redemptions_90d") >= 1,
        "redeemed a coupon in 90 days",
        "90天内核销过优惠券",
        "the same kind again",
    ),
    _tag(
        "redeemed_long_ago",
        feature("days_since_last_redemption") > 180,
        "redeemed coupons, but none for over 180 days",
        "超过180天未核销优惠券",
        "a coupon of the kind once used",
    ),
    _tag(
        "not_reached_90d",
        feature("days_since_last_exposure") > 90,
        "reached by campaigns, but by none for over 90 days",
        "超过90天未被触达",
        "check address and consent; include next time",
    ),
]
TAGS = (*VIEWS, *VISITS, *ACTIONS, *ABSENT, *PRESSURE, *RESPONSE, *CAMPAIGNS)
