"""Scene tags (场景特征): time of day, day of the week, and goods that belong to an occasion or a season."""

from features.tag_families.declaring import REST, Level, Tag, Topic, by_level, feature

ENOUGH = feature("purchases_180d") >= 3
OFTEN, MOSTLY = 0.3, 0.6

_PARTS = (
    ("night", "in the night, 0 to 5 o'clock", "深夜", "delivery in the morning"),
    ("morning", "in the morning, 6 to 10 o'clock", "早晨", "breakfast offers, sent the evening before"),
    ("midday", "at midday, 11 to 13 o'clock", "午间", "lunch offers at 10"),
    ("afternoon", "in the afternoon, 14 to 16 o'clock", "下午", "snacks; quiet hours' discount"),
    ("evening", "in the evening, 17 to 20 o'clock", "傍晚", "dinner recipes at 16"),
    ("late", "late, 21 to 23 o'clock", "夜间", "pick-up on the way home; late opening"),
)
PARTS_OF_DAY = [
    Tag(
        f"{part}_{word}",
        "scene",
        (feature(f"{part}_share_180d") >= share) & ENOUGH,
        f"{share:.0%} of the orders or more {meaning}, 180 days",
        f"{chinese}{word_zh}购物",
        use,
    )
    for part, meaning, chinese, use in _PARTS
    for word, word_zh, share in (("often", "经常", OFTEN), ("mostly", "主要", MOSTLY))
]
_DAYS = (
    ("monday", "周一"),
    ("tuesday", "周二"),
    ("wednesday", "周三"),
    ("thursday", "周四"),
    ("friday", "周五"),
    ("saturday", "周六"),
    ("sunday", "周日"),
)
WEEKDAYS = [
    Tag(
        f"{day}_{word}",
        "scene",
        (feature(f"{day}_share_180d") >= share) & ENOUGH,
        f"{share:.0%} of the orders or more on a {day.capitalize()}, 180 days",
        f"{chinese}{word_zh}购物",
        use,
    )
    for day, chinese in _DAYS
    for word, word_zh, share, use in (
        ("often", "经常", OFTEN, "the weekly message the day before"),
        ("mostly", "主要", MOSTLY, "a fixed day: member day, delivery slot"),
    )
]
WEEKEND_SHARE = feature("saturday_share_180d") + feature("sunday_share_180d")
WEEKEND = by_level(
    "weekend",
    "scene",
    WEEKEND_SHARE,
    [
        Level("never", 0.05, "hardly an order at the weekend, 180 days", "周末几乎不购物", "messages from Monday to Thursday"),
        Level("seldom", 0.25, "up to a quarter of the orders at the weekend", "周末较少购物", "messages on working days"),
        Level("as_all", 0.5, "a quarter to half of the orders at the weekend", "周末与平日兼有", "no preference"),
        Level("mostly", 0.9, "half of the orders or more at the weekend", "主要在周末购物", "weekend offers on Friday"),
        Level("only", REST, "nine orders of ten at the weekend", "只在周末购物", "weekend offers on Friday; quiet otherwise"),
    ],
    among=ENOUGH,
)
ALL_DAY = (
    (feature("morning_share_180d") >= 0.15)
    & (feature("afternoon_share_180d") >= 0.15)
    & (feature("evening_share_180d") >= 0.15)
)
TIMES = [
    Tag(
        "night_owl",
        "scene",
        (feature("night_share_180d") + feature("late_share_180d") >= OFTEN) & ENOUGH,
        "30 % of the orders or more between 21 and 5 o'clock, 180 days",
        "夜猫子",
        "messages in the evening",
    ),
    Tag(
        "office_hours_shopper",
        "scene",
        (feature("midday_share_180d") + feature("afternoon_share_180d") >= MOSTLY) & (WEEKEND_SHARE < 0.25) & ENOUGH,
        "60 % of the orders or more between 11 and 16 o'clock, three quarters on working days, 180 days",
        "工作日白天购物",
        "quiet hours' service and discounts",
    ),
    Tag(
        "any_time",
        "scene",
        ALL_DAY & ENOUGH,
        "15 % of the orders or more in the morning, in the afternoon and in the evening, 180 days",
        "全天购物",
        "no preference: send when the list is ready",
    ),
]
_CALENDAR = (
    (
        "weekday_lunch",
        "weekday_lunch_share_180d",
        0.3,
        "from 11 to 13 o'clock on working days, 180 days",
        "工作日午餐时段",
        "lunch offers at 10",
    ),
    (
        "weekend_evening",
        "weekend_evening_share_180d",
        0.2,
        "on weekend evenings, 180 days",
        "周末晚间",
        "offers for two on Friday noon",
    ),
    (
        "month_start",
        "month_start_share_180d",
        0.35,
        "on the 1st to 5th of a month, 180 days",
        "月初",
        "pay-day offers: stock-up, full-reduction coupons",
    ),
    (
        "mid_month",
        "mid_month_share_180d",
        0.4,
        "on the 10th to 16th of a month, 180 days",
        "月中",
        "pay-day offers in the middle of the month",
    ),
    (
        "month_end",
        "month_end_share_180d",
        0.4,
        "on the 25th to 31st of a month, 180 days",
        "月末",
        "pay-day offers; credit before it",
    ),
    ("spring", "march_to_may_share_365d", 0.4, "from March to May, 365 days", "春季", "spring list in February"),
    ("summer", "june_to_august_share_365d", 0.4, "from June to August, 365 days", "夏季", "summer list in May"),
    (
        "autumn",
        "september_to_november_share_365d",
        0.4,
        "from September to November, 365 days",
        "秋季",
        "autumn list in August",
    ),
    (
        "winter",
        "december_to_february_share_365d",
        0.4,
        "from December to February, 365 days",
        "冬季",
        "winter list in November",
    ),
    ("holiday", "holiday_share_365d", 0.1, "on public holidays, 365 days", "节假日", "opening hours and holiday offers"),
)
CALENDAR = [
    Tag(
        f"{name}_shopper",
        "scene",
        (feature(share) >= least) & ENOUGH,
        f"{least:.0%} of the orders or more {meaning}",
        f"{chinese}购物",
        use,
    )
    for name, share, least, meaning, chinese, use in _CALENDAR
]

SCENES = (
    Topic(
        "back_to_school",
        "back to school",
        "开学季",
        ("school supply", "school", "stationery", "notebook", "backpack", "文具", "开学", "书包"),
    ),
    Topic("barbecue", "barbecue", "烧烤", ("barbecue", "bbq", "charcoal", "grill", "hot dog", "烧烤", "木炭"), ("sauce",)),
    Topic(
        "picnic",
        "picnic and outing",
        "野餐出游",
        ("picnic", "disposable", "paper plate", "foilware", "cooler", "insect repellent", "suntan", "野餐", "驱蚊", "防晒"),
        ("diaper",),
    ),
    Topic(
        "party",
        "party",
        "聚会",
        ("party", "party tray", "balloon", "greeting card", "gift wrap", "candle", "聚会", "派对", "气球", "贺卡"),
    ),
    Topic(
        "hot_weather",
        "hot weather",
        "炎热天气",
        ("ice cream", "sherbet", "popsicle", "frzn ice", "isotonic drink", "cold drink", "冰淇淋", "雪糕", "冷饮", "凉茶"),
    ),
    Topic(
        "cold_weather",
        "cold weather",
        "寒冷天气",
        ("cocoa", "cocoa mix", "hot cereal", "soup", "hot pot", "firelog", "热饮", "火锅", "汤料"),
    ),
    Topic(
        "lunch_break",
        "lunch break",
        "午餐",
        ("sandwich", "sushi", "salad bar", "lunchmeat", "lunch", "便当", "盒饭", "三明治", "沙拉"),
    ),
    Topic(
        "breakfast",
        "breakfast",
        "早餐",
        ("breakfast", "cold cereal", "cereal", "muesli", "pancake", "bagel", "jam", "早餐", "麦片", "豆浆"),
        ("baby cereal", "baby food cereal"),
    ),
    Topic(
        "film_night",
        "film night",
        "观影零食",
        ("popcorn", "bag snack", "chip", "snack nut", "video", "爆米花", "薯片", "坚果"),
    ),
    Topic(
        "gift",
        "gifts",
        "送礼",
        ("gift", "gift basket", "rose", "bouquet", "fragrance", "boxed chocolate", "礼盒", "礼品", "玫瑰"),
    ),
    Topic(
        "valentine",
        "Valentine's day",
        "情人节",
        ("valentine", "情人节", "七夕"),
    ),
    Topic(
        "travel",
        "travel",
        "出行",
        ("travel", "luggage", "travel size", "suitcase", "旅行", "行李箱", "旅游"),
    ),
)
OCCASIONS = [
    tag
    for topic in SCENES
    for tag in (
        Tag(
            f"scene:{topic.name}_30d",
            "scene",
            topic.last_purchase <= 30,
            f"{topic.meaning}: bought for it in 30 days",
            f"{topic.chinese}：30天内购买",
            "what goes with it, now",
        ),
        Tag(
            f"scene:{topic.name}_repeat",
            "scene",
            topic.first_purchase > topic.last_purchase,
            f"{topic.meaning}: bought for it on two days or more in 180",
            f"{topic.chinese}：180天内多次购买",
            "announce the season's offers early",
        ),
    )
]
TAGS = (*PARTS_OF_DAY, *WEEKDAYS, *WEEKEND, *TIMES, *CALENDAR, *OCCASIONS)
