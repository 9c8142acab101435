"""The features of what a member did without buying, and of the campaigns that reached them, from names and meanings."""

from statistics import fmean

from parity.oracle_facts import Member, Value, share

PLURALS = {"view": "views", "cart": "carts", "search": "searches", "visit": "visits", "favourite": "favourites"}


def browsing_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for kind, plural in PLURALS.items():
        for window in (1, 7, 30, 90):
            found[f"{plural}_{window}d"] = sum(e.kind == kind and e.day >= day - window for e in member.events)
    for kind in ("view", "cart", "visit"):
        found[f"days_since_last_{kind}"] = min((day - e.day for e in member.events if e.kind == kind), default=None)
    month = [event for event in member.events if event.day >= day - 30]
    views = [event for event in month if event.kind == "view"]
    lengths = [event.seconds for event in views if event.seconds is not None]
    found["browsing_days_30d"] = len({event.day for event in month})
    found["view_seconds_30d"] = sum(lengths)
    found["seconds_per_view_30d"] = fmean(lengths) if lengths else None
    found["sessions_30d"] = len({event.session for event in month} - {None})
    found["viewed_items_30d"] = len({event.item for event in views} - {None})
    week = [event.item for event in views if event.day >= day - 7 and event.item is not None]
    found["top_viewed_item_views_7d"] = max(map(week.count, week), default=0)
    found["view_trend_7d_of_30d"] = share(found["views_7d"], found["views_30d"])
    return {**found, **outcome_features(member, day, found)}


def outcome_features(member: Member, day: int, counts: dict[str, Value]) -> dict[str, Value]:
    month = [order for order in member.sales if order.day >= day - 30]
    bought_on = {order.day for order in month}
    carts = {event.day for event in member.events if event.kind == "cart"}
    recent_carts = {cart for cart in carts if cart >= day - 30}
    bought_since = any(order.day >= max(carts, default=0) for order in member.sales)
    online = sum(e.kind == "view" and e.channel != "store" and e.day >= day - 90 for e in member.events)
    in_store = sum(order.channel == "store" and order.day >= day - 90 for order in member.sales)
    return {
        "carts_per_view_30d": share(counts["carts_30d"], counts["views_30d"]),
        "purchases_per_cart_30d": share(len(month), counts["carts_30d"]),
        "cart_days_without_purchase_30d": max(len(recent_carts) - len(bought_on), 0),
        "days_since_open_cart": day - max(carts) if carts and not bought_since else None,
        "online_views_per_store_purchase_90d": share(online, in_store),
    }


def campaign_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for window in (30, 90, 180):
        found[f"exposures_{window}d"] = sum(reached >= day - window for reached in member.exposures)
    for window in (90, 180):
        redeemed = sum(used >= day - window for used in member.redemptions)
        found[f"redemptions_{window}d"] = redeemed
        found[f"redemptions_per_exposure_{window}d"] = share(redeemed, found[f"exposures_{window}d"])
    found["days_since_last_exposure"] = day - max(member.exposures) if member.exposures else None
    found["days_since_last_redemption"] = day - max(member.redemptions) if member.redemptions else None
    with_coupon = [order.day for order in member.sales if order.coupon > 0]
    found["days_since_last_coupon_purchase"] = day - max(with_coupon) if with_coupon else None
    return found
