"""Tags of channel habit (渠道习惯): online or in the shop, one store or many."""

from features.tag_families.declaring import REST, Level, Tag, by_level, feature

ONLINE = by_level(
    "online",
    "channel",
    feature("online_share_180d"),
    [
        Level("never", 0.001, "no order outside the shop, 180 days", "从不线上购买", "first online order with free delivery"),
        Level("seldom", 0.30, "up to 30 % of the orders outside the shop", "偶尔线上购买", "pick-up in store"),
        Level("mixed", 0.70, "30 to 70 % of the orders outside the shop", "线上线下兼购", "one basket over all channels"),
        Level("mostly", 0.999, "more than 70 % of the orders outside the shop", "主要线上购买", "invite to the shop"),
        Level("only", REST, "all orders outside the shop", "只在线上购买", "app push; store vouchers"),
    ],
)
STORES = by_level(
    "stores",
    "channel",
    feature("stores_180d"),
    [
        Level("none", 1, "no store is known, 180 days", "无门店记录", "ask for the nearest store"),
        Level("one", 2, "one store, 180 days", "只去一家门店", "that store's own news"),
        Level("two", 3, "two stores", "去两家门店", "the news of both"),
        Level("several", 5, "three or four stores", "去三四家门店", "find out whether home and work differ"),
        Level("many", REST, "five stores or more", "去五家以上门店", "chain-wide offers"),
    ],
)
STORE_LOYALTY = by_level(
    "store_loyalty",
    "channel",
    feature("top_store_share_180d"),
    [
        Level("scattered", 0.5, "less than half of the spend in one store, 180 days", "门店分散", "chain-wide offers"),
        Level("split", 0.8, "50 to 80 % of the spend in one store", "门店较分散", "compare what each store lacks"),
        Level("high", 0.95, "80 to 95 % of the spend in one store", "门店忠诚", "events of that store"),
        Level("very_high", REST, "95 % of the spend or more in one store", "门店高度忠诚", "greeting by the store's manager"),
    ],
)
_CHANNELS = (
    ("store", "门店", "receipts, cashiers and the store's screens"),
    ("web", "网站", "banners on the site, e-mail"),
    ("app", "APP", "push in the app"),
    ("mini_program", "小程序", "messages of the mini program"),
    ("marketplace", "电商平台", "leaflet in the parcel: come to our own channels"),
)
ENOUGH = feature("purchases_180d") >= 3
BY_CHANNEL = [
    Tag(
        f"{channel}_{word}",
        "channel",
        (feature(f"{channel}_channel_share_180d") >= least) & (feature(f"{channel}_channel_share_180d") < below) & ENOUGH,
        f"{least:.0%} of the orders or more in the channel {channel}{'' if word == 'mostly' else ', but not half'}, 180 days",
        f"{chinese}{word_zh}",
        use if word == "mostly" else "address there as well",
    )
    for channel, chinese, use in _CHANNELS
    for word, word_zh, least, below in (("sometimes", "有时购买", 0.1, 0.5), ("mostly", "主要购买", 0.5, REST))
]
CHANNELS = by_level(
    "channels",
    "channel",
    feature("channels_180d"),
    [
        Level("one", 2, "one channel, 180 days", "单一渠道", "a first order in a second channel"),
        Level("two", 3, "two channels", "两个渠道", "one basket over both"),
        Level("several", REST, "three channels or more", "多渠道", "omni-channel rights"),
    ],
)
SWITCHING = [
    Tag(
        "switches_channels",
        "channel",
        (feature("channel_switch_share_180d") >= 0.4) & ENOUGH,
        "40 % of the orders or more in another channel than the one before, 180 days",
        "经常切换渠道",
        "the same list everywhere",
    ),
    Tag(
        "switches_stores",
        "channel",
        (feature("store_switch_share_180d") >= 0.5) & ENOUGH,
        "half of the orders or more in another store than the one before, 180 days",
        "经常切换门店",
        "chain-wide offers; store finder",
    ),
]
TAGS = (*ONLINE, *STORES, *STORE_LOYALTY, *BY_CHANNEL, *CHANNELS, *SWITCHING)
