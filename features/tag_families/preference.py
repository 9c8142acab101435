"""Tags of consumption preference (消费偏好): price and discounts, coupons, baskets, variety, the shop's own brands."""

from features.tag_families.declaring import REST, Level, Tag, by_fifth, by_level, feature

DISCOUNT = feature("discount_share_180d")
DISCOUNT_NOW = feature("discount_share_30d")
COUPON_ORDERS = feature("coupon_purchase_share_180d")
COUPON_SHARE = feature("coupon_share_180d")
LINES = feature("lines_per_purchase_180d")
LINES_NOW = feature("lines_per_purchase_30d")
BASKET = feature("cents_per_purchase_180d")
BASKET_NOW = feature("cents_per_purchase_30d")
DEVIATION = feature("basket_cents_deviation_180d")
LARGEST = feature("largest_basket_cents_180d")
ORDERS = feature("purchases_180d")
CONCENTRATION = feature("category_concentration_180d")
TOP_DEPARTMENT = feature("top_department_share_180d")
OWN_BRAND = feature("own_brand_share_180d")
ENOUGH = ORDERS >= 3
"""Fewer orders say nothing about a habit."""

DISCOUNTS = by_level(
    "discount_dependence",
    "preference",
    DISCOUNT,
    [
        Level("none", 0.01, "less than 1 % of the shelf price was taken off, 180 days", "几乎不用折扣", "no discount needed"),
        Level("low", 0.05, "1 to 5 % was taken off", "折扣依赖低", "news before prices"),
        Level("moderate", 0.15, "5 to 15 % was taken off", "折扣依赖中等", "mixed offers"),
        Level("high", 0.30, "15 to 30 % was taken off", "折扣依赖高", "weekly specials"),
        Level("very_high", REST, "30 % or more was taken off", "折扣依赖很高", "clearance; keep margins in view"),
    ],
)
COUPONS = by_level(
    "coupon_use",
    "preference",
    COUPON_ORDERS,
    [
        Level("never", 0.001, "no order with a coupon, 180 days", "从不用券", "do not spend coupons here"),
        Level("seldom", 0.10, "up to a tenth of the orders with a coupon", "很少用券", "coupons for new categories only"),
        Level("sometimes", 0.34, "a tenth to a third of the orders with a coupon", "有时用券", "coupons for larger baskets"),
        Level("often", 0.67, "a third to two thirds of the orders with a coupon", "经常用券", "full-reduction coupons"),
        Level(
            "almost_always", REST, "two thirds of the orders or more with a coupon", "几乎总用券", "coupons as the main channel"
        ),
    ],
)
PRICE = [
    Tag(
        "price_sensitive",
        "preference",
        (DISCOUNT >= 0.15) & (COUPON_ORDERS >= 0.25) & ENOUGH,
        "15 % or more was taken off, and a quarter of the orders had a coupon, 180 days",
        "价格敏感",
        "price-led messages",
    ),
    Tag(
        "full_price_buyer",
        "preference",
        (DISCOUNT < 0.02) & (COUPON_ORDERS <= 0) & ENOUGH,
        "no coupon and less than 2 % taken off, 180 days",
        "原价购买",
        "news and service, no discount",
    ),
    Tag(
        "campaign_only",
        "preference",
        (COUPON_ORDERS >= 0.9) & ENOUGH,
        "nine orders of ten with a coupon, 180 days",
        "只在活动时购买",
        "activity-sensitive group: address with campaigns",
    ),
    Tag(
        "coupons_pay_a_tenth",
        "preference",
        COUPON_SHARE >= 0.1,
        "coupons paid a tenth of the price or more, 180 days",
        "优惠券抵扣超过一成",
        "watch the cost of coupons",
    ),
    Tag(
        "discounts_rising",
        "preference",
        DISCOUNT_NOW > DISCOUNT + 0.05,
        "discounts took off 5 points more in the last 30 days than in 180",
        "近期更依赖折扣",
        "the price may have become a worry: offer own brands",
    ),
    Tag(
        "discounts_falling",
        "preference",
        DISCOUNT_NOW < DISCOUNT - 0.05,
        "discounts took off 5 points less in the last 30 days than in 180",
        "近期折扣依赖下降",
        "ready for full-price offers",
    ),
]
BASKET_LINES = by_level(
    "basket_lines",
    "preference",
    LINES,
    [
        Level("single", 2, "fewer than 2 lines an order, 180 days", "单件购物", "goes-with offers at the till"),
        Level("small", 5, "2 to 5 lines an order", "小篮", "bundles of three"),
        Level("medium", 12, "5 to 12 lines an order", "中篮", "recipes and sets"),
        Level("large", 25, "12 to 25 lines an order", "大篮", "delivery from a minimum order"),
        Level("stock_up", REST, "25 lines an order or more", "囤货", "family packs, free delivery"),
    ],
)
BASKETS = [
    Tag(
        "basket_growing",
        "preference",
        (BASKET_NOW > BASKET * 1.3) & ENOUGH,
        "the mean order of 30 days is 30 % above that of 180",
        "客单价上升",
        "introduce premium goods",
    ),
    Tag(
        "basket_shrinking",
        "preference",
        (BASKET_NOW < BASKET * 0.7) & ENOUGH,
        "the mean order of 30 days is 30 % below that of 180",
        "客单价下降",
        "full-reduction coupon above the usual order",
    ),
    Tag(
        "lines_growing",
        "preference",
        (LINES_NOW > LINES * 1.3) & ENOUGH,
        "orders of 30 days have 30 % more lines than those of 180",
        "每单件数上升",
        "larger packs",
    ),
    Tag(
        "lines_shrinking",
        "preference",
        (LINES_NOW < LINES * 0.7) & ENOUGH,
        "orders of 30 days have 30 % fewer lines than those of 180",
        "每单件数下降",
        "remind of categories left out",
    ),
    Tag(
        "steady_basket",
        "preference",
        (DEVIATION <= BASKET * 0.3) & ENOUGH,
        "order values differ by less than 30 % of their mean, 180 days",
        "客单价稳定",
        "subscriptions and standing orders",
    ),
    Tag(
        "variable_basket",
        "preference",
        (DEVIATION >= BASKET) & ENOUGH,
        "order values differ by as much as their mean, 180 days",
        "客单价波动大",
        "tell stock-up trips from top-up trips",
    ),
    Tag(
        "occasional_large_order",
        "preference",
        (LARGEST >= BASKET * 3) & ENOUGH,
        "the largest order was three times the mean or more, 180 days",
        "偶有大单",
        "occasion offers: party, holiday",
    ),
]
LEVELS = [
    *by_fifth(
        "basket_value", "preference", BASKET.name, "mean order value in 180 days", "180天客单价", "thresholds of coupons"
    ),
    *by_fifth(
        "price_level",
        "preference",
        "cents_per_line_180d",
        "mean value of a line in 180 days",
        "180天件均价",
        "premium or entry",
    ),
    *by_fifth(
        "largest_order", "preference", LARGEST.name, "largest order in 180 days", "180天最大单", "credit and delivery offers"
    ),
    *by_fifth(
        "category_variety",
        "preference",
        "categories_90d",
        "different categories in 90 days",
        "90天购买品类数",
        "cross-selling where it is low",
    ),
    *by_fifth(
        "item_variety",
        "preference",
        "items_90d",
        "different items in 90 days",
        "90天购买单品数",
        "discovery lists where it is high",
    ),
]
FOCUS = [
    Tag(
        "one_category",
        "preference",
        (CONCENTRATION >= 0.6) & ENOUGH,
        "spend is concentrated on hardly more than one category, 180 days",
        "品类单一",
        "open a second category",
    ),
    Tag(
        "all_round",
        "preference",
        (CONCENTRATION <= 0.2) & ENOUGH,
        "spend is spread over many categories, 180 days",
        "全品类购买",
        "main-shop rights, bundles over categories",
    ),
    Tag(
        "one_department",
        "preference",
        (TOP_DEPARTMENT >= 0.8) & ENOUGH,
        "80 % of the spend or more in one department, 180 days",
        "集中于单一部门",
        "introduce the neighbouring department",
    ),
    Tag(
        "main_department",
        "preference",
        (TOP_DEPARTMENT >= 0.5) & (TOP_DEPARTMENT < 0.8) & ENOUGH,
        "half of the spend or more in one department, 180 days",
        "有主要部门",
        "news of that department first",
    ),
]
OWN_BRANDS = by_level(
    "own_brand",
    "preference",
    OWN_BRAND,
    [
        Level("never", 0.001, "nothing of the shop's own brands, 180 days", "从不购买自有品牌", "let them try one"),
        Level("seldom", 0.10, "up to a tenth of the spend on own brands", "很少购买自有品牌", "samples"),
        Level(
            "sometimes", 0.30, "a tenth to 30 % of the spend on own brands", "有时购买自有品牌", "own brand beside the maker's"
        ),
        Level("often", 0.60, "30 to 60 % of the spend on own brands", "经常购买自有品牌", "own-brand news"),
        Level("mostly", REST, "60 % of the spend or more on own brands", "主要购买自有品牌", "own-brand loyalty points"),
    ],
)
BRANDS = by_level(
    "brand_loyalty",
    "preference",
    feature("top_brand_share_180d"),
    [
        Level("scattered", 0.2, "no brand has a fifth of the spend, 180 days", "品牌分散", "category offers, any brand"),
        Level("leaning", 0.5, "one brand has 20 to 50 % of the spend", "偏好某品牌", "news of that brand"),
        Level("loyal", 0.8, "one brand has 50 to 80 % of the spend", "品牌忠诚", "brand campaigns paid by the maker"),
        Level("single", REST, "one brand has 80 % of the spend or more", "只买一个品牌", "do not offer rivals"),
    ],
    among=ENOUGH,
)
NOVELTY = by_level(
    "novelty",
    "preference",
    feature("new_item_share_90d"),
    [
        Level("habit", 0.1, "under a tenth of the items of 90 days never bought before", "习惯购买", "goods due again"),
        Level("cautious", 0.3, "10 to 30 % of the items never bought before", "较少尝新", "new sizes of known goods"),
        Level("curious", 0.6, "30 to 60 % of the items never bought before", "乐于尝新", "new arrivals"),
        Level("explorer", REST, "60 % of the items or more never bought before", "热衷尝新", "discovery lists; tastings"),
    ],
    among=feature("days_since_first_purchase") >= 180,
)
ASSORTMENT = [
    Tag(
        "new_category_30d",
        "preference",
        (feature("new_categories_30d") >= 1) & (feature("days_since_first_purchase") >= 90),
        "bought from a category for the first time in 30 days",
        "30天内首次购买新品类",
        "the second purchase in the new category",
    ),
    Tag(
        "buys_the_same",
        "preference",
        (feature("repeated_item_share_180d") >= 0.5) & ENOUGH,
        "half of the items of 180 days were bought on several days",
        "重复购买同样商品",
        "subscription; one-click repeat",
    ),
    Tag(
        "same_brands",
        "preference",
        (feature("repeated_brand_share_180d") >= 0.6) & ENOUGH,
        "60 % of the brands of 180 days were bought on several days",
        "重复购买同样品牌",
        "brand clubs",
    ),
    Tag(
        "buys_when_cheap",
        "preference",
        (feature("price_of_usual_price_180d") <= 0.85) & ENOUGH,
        "paid 85 % of the usual prices or less, 180 days",
        "低价时购买",
        "price alerts",
    ),
    Tag(
        "pays_the_usual_price",
        "preference",
        (feature("price_of_usual_price_180d") >= 0.98) & ENOUGH,
        "paid 98 % of the usual prices or more, 180 days",
        "按常价购买",
        "no discount needed",
    ),
    Tag(
        "mostly_discounted_lines",
        "preference",
        (feature("discounted_line_share_180d") >= 0.5) & ENOUGH,
        "half of the lines or more were discounted, 180 days",
        "多数商品打折购买",
        "specials first",
    ),
    Tag(
        "several_pieces",
        "preference",
        (feature("pieces_per_line_180d") >= 2) & ENOUGH,
        "two pieces a line or more, 180 days",
        "每次多件购买",
        "multi-buy offers, large packs",
    ),
    Tag(
        "coupons_given_up",
        "preference",
        feature("days_since_last_coupon_purchase") > 90,
        "used coupons, but none for over 90 days",
        "超过90天未用券",
        "a coupon of the kind once used",
    ),
]
MORE_LEVELS = [
    *by_fifth(
        "piece_price",
        "preference",
        "cents_per_piece_180d",
        "mean price of a piece in 180 days",
        "180天单件价格",
        "premium or entry",
    ),
    *by_fifth(
        "brand_variety",
        "preference",
        "brands_180d",
        "different brands in 180 days",
        "180天购买品牌数",
        "new brands where it is high",
    ),
]
TAGS = (
    *BRANDS,
    *NOVELTY,
    *ASSORTMENT,
    *MORE_LEVELS,
    *DISCOUNTS,
    *COUPONS,
    *PRICE,
    *BASKET_LINES,
    *BASKETS,
    *LEVELS,
    *FOCUS,
    *OWN_BRANDS,
)
