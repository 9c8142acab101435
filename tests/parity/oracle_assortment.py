"""The features of what a member's baskets are made of, from their names and meanings: items, categories, brands."""

from collections import defaultdict
from collections.abc import Iterable
from math import log, sqrt

from parity.oracle_facts import Bought, Member, Value, share, totals_by


def assortment_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for window in (30, 90, 180):
        bought = [line for line in member.bought if line.day >= day - window]
        found[f"items_{window}d"] = len(known(line.item for line in bought))
        found[f"categories_{window}d"] = len(known(line.category for line in bought))
        if window > 30:
            found[f"brands_{window}d"] = len(known(line.brand for line in bought))
        if window < 180:
            before = [line for line in member.bought if line.day < day - window]
            new_items = known(line.item for line in bought) - known(line.item for line in before)
            new_categories = known(line.category for line in bought) - known(line.category for line in before)
            found[f"new_item_share_{window}d"] = share(len(new_items), found[f"items_{window}d"])
            found[f"new_categories_{window}d"] = len(new_categories)
    half_year = [line for line in member.bought if line.day >= day - 180]
    found["repeated_item_share_180d"] = share(repeated((line.item, line.day) for line in half_year), found["items_180d"])
    found["repeated_brand_share_180d"] = share(repeated((line.brand, line.day) for line in half_year), found["brands_180d"])
    return {**found, **concentration_features(half_year, sum(o.cents for o in member.sales if o.day >= day - 180))}


def concentration_features(bought: list[Bought], paid: int) -> dict[str, Value]:
    by_department = totals_by((line.department, line.cents) for line in bought)
    by_category = totals_by((line.category, line.cents) for line in bought)
    by_brand = totals_by((line.brand, line.cents) for line in bought)
    branded = sum(by_brand.values())
    return {
        "top_department_share_180d": share(max(by_department.values(), default=0), paid),
        "top_category_share_180d": share(max(by_category.values(), default=0), paid),
        "top_brand_share_180d": share(max(by_brand.values(), default=0), branded),
        "category_concentration_180d": share(sqrt(sum(cents**2 for cents in by_category.values())), paid),
        "brand_concentration_180d": share(sqrt(sum(cents**2 for cents in by_brand.values())), branded),
        "category_entropy_180d": entropy(by_category.values()),
        "own_brand_share_180d": share(sum(line.cents for line in bought if line.own_brand), paid),
    }


def known(keys: Iterable[str | None]) -> set[str]:
    return {key for key in keys if key is not None}


def repeated(keys_and_days: Iterable[tuple[str | None, int]]) -> int:
    """How many keys occur on more than one day."""
    days = defaultdict(set)
    for key, day in keys_and_days:
        if key is not None:
            days[key].add(day)
    return sum(len(found) > 1 for found in days.values())


def entropy(amounts: Iterable[int]) -> Value:
    """Shannon entropy of shares, in nats; unknown where there is nothing to share."""
    positive = [amount for amount in amounts if amount > 0]
    whole = sum(positive)
    return -sum(amount / whole * log(amount / whole) for amount in positive) if whole else None
