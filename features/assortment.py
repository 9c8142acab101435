"""Declarations: what a member buys: how many items, categories and brands, how concentrated, how new, how often again."""

from features.baskets import IS_SALE_LINE, SALES_LAST_NIGHT
from features.declarations import (
    DISTINCT,
    LOG_KEYS,
    NEW_KEYS,
    REPEATED_KEYS,
    SQUARED_KEYS,
    TOP_KEY,
    TOTAL,
    Aggregate,
    Dtype,
    Feature,
    Kind,
)
from features.expressions import Column, Expression, log, missing, ratio, root, where
from features.sources.schema import LINES

NOTHING_BUT_ROUNDING = 1e-9
"""An entropy below this is that of a single category: two logarithms that cancel leave a last digit or none."""


def _assortment(name: str, formula: Expression, unit: str, meaning: str) -> Feature:
    return Feature(name, formula, unit, meaning, "behaviour")


def _keys(kind: Kind, name: str, key: Column, days: int, meaning: str) -> Aggregate:
    """A number of keys among the lines of sales."""
    unit = name.split("_")[-2]
    return Aggregate(name, kind, LINES, unit, meaning, where=IS_SALE_LINE, days=days, key=key, freshness="nightly")


def _spend_by(kind: Kind, name: str, unit: str, key: Column, meaning: str, dtype: Dtype = "int64") -> Aggregate:
    """Something made of the spend by key in 180 days."""
    return Aggregate(
        name,
        kind,
        LINES,
        unit,
        meaning,
        LINES.net_cents,
        IS_SALE_LINE,
        180,
        key=key,
        dtype=dtype,
        freshness="nightly",
    )


def _passed_on(aggregate: Aggregate) -> Feature:
    return _assortment(aggregate.name, aggregate, aggregate.unit, aggregate.meaning)


# How many

ITEMS = {d: _keys(DISTINCT, f"items_{d}d", LINES.item_id, d, f"different items in {d} days") for d in (30, 90, 180)}
CATEGORIES = {
    d: _keys(DISTINCT, f"categories_{d}d", LINES.category, d, f"different categories in {d} days") for d in (30, 90, 180)
}
BRANDS = {d: _keys(DISTINCT, f"brands_{d}d", LINES.brand, d, f"different brands in {d} days") for d in (90, 180)}
ITEM_COUNT = {days: _passed_on(aggregate) for days, aggregate in ITEMS.items()}
CATEGORY_COUNT = {days: _passed_on(aggregate) for days, aggregate in CATEGORIES.items()}
BRAND_COUNT = {days: _passed_on(aggregate) for days, aggregate in BRANDS.items()}

# How concentrated

TOP_DEPARTMENT = _spend_by(
    TOP_KEY, "top_department_cents_180d", "cents", LINES.department, "spend in the largest department, 180 days"
)
TOP_CATEGORY = _spend_by(TOP_KEY, "top_category_cents_180d", "cents", LINES.category, "spend in the largest category, 180 days")
TOP_BRAND = _spend_by(TOP_KEY, "top_brand_cents_180d", "cents", LINES.brand, "spend on the largest brand, 180 days")
SQUARED_CATEGORIES = _spend_by(
    SQUARED_KEYS,
    "squared_category_cents_180d",
    "cents²",
    LINES.category,
    "sum over categories of squared spend, 180 days",
    "float64",
)
SQUARED_BRANDS = _spend_by(
    SQUARED_KEYS, "squared_brand_cents_180d", "cents²", LINES.brand, "sum over brands of squared spend, 180 days", "float64"
)
LOGGED_CATEGORIES = _spend_by(
    LOG_KEYS,
    "logged_category_cents_180d",
    "cents",
    LINES.category,
    "sum over categories of spend times its logarithm, 180 days",
    "float64",
)
CATEGORY_CENTS = Aggregate(
    "category_cents_180d",
    TOTAL,
    LINES,
    "cents",
    "spend on items whose category is known, 180 days",
    LINES.net_cents,
    IS_SALE_LINE & ~missing(LINES.category),
    180,
    dtype="int64",
    freshness="nightly",
)
BRAND_CENTS = Aggregate(
    "brand_cents_180d",
    TOTAL,
    LINES,
    "cents",
    "spend on items whose brand is known, 180 days",
    LINES.net_cents,
    IS_SALE_LINE & ~missing(LINES.brand),
    180,
    dtype="int64",
    freshness="nightly",
)
OWN_BRAND = Aggregate(
    "own_brand_cents_180d",
    TOTAL,
    LINES,
    "cents",
    "spend on the shop's own brands, 180 days",
    LINES.net_cents,
    IS_SALE_LINE & LINES.own_brand.equals(True),
    180,
    dtype="int64",
    freshness="nightly",
)
TOP_DEPARTMENT_SHARE = _assortment(
    "top_department_share_180d",
    ratio(TOP_DEPARTMENT, SALES_LAST_NIGHT),
    "share",
    "part of the spend that went to the largest department, 180 days",
)
TOP_CATEGORY_SHARE = _assortment(
    "top_category_share_180d",
    ratio(TOP_CATEGORY, SALES_LAST_NIGHT),
    "share",
    "part of the spend that went to the largest category, 180 days",
)
TOP_BRAND_SHARE = _assortment(
    "top_brand_share_180d",
    ratio(TOP_BRAND, BRAND_CENTS),
    "share",
    "part of the spend on items of a known brand that went to the largest brand, 180 days",
)
CATEGORY_CONCENTRATION = _assortment(
    "category_concentration_180d",
    ratio(root(SQUARED_CATEGORIES), SALES_LAST_NIGHT),
    "0 to 1",
    "root of the Herfindahl index of spend over categories, 180 days; 1 is a single category",
)
BRAND_CONCENTRATION = _assortment(
    "brand_concentration_180d",
    ratio(root(SQUARED_BRANDS), BRAND_CENTS),
    "0 to 1",
    "root of the Herfindahl index of spend over brands, 180 days; 1 is a single brand",
)
_ENTROPY = log(CATEGORY_CENTS) - ratio(LOGGED_CATEGORIES, CATEGORY_CENTS)
CATEGORY_ENTROPY = _assortment(
    "category_entropy_180d",
    where(_ENTROPY > NOTHING_BUT_ROUNDING, _ENTROPY, _ENTROPY - _ENTROPY),
    "nats",
    "Shannon entropy of spend over categories, 180 days; 0 is a single category",
)
OWN_BRAND_SHARE = _assortment(
    "own_brand_share_180d", ratio(OWN_BRAND, SALES_LAST_NIGHT), "share", "spend on the shop's own brands, 180 days"
)

# How new, how often again

NEW_ITEMS = {
    d: _keys(NEW_KEYS, f"new_items_{d}d", LINES.item_id, d, f"items in {d} days that were never bought before")
    for d in (30, 90)
}
NEW_CATEGORIES = {
    d: _keys(NEW_KEYS, f"new_categories_{d}d", LINES.category, d, f"categories in {d} days that were never bought before")
    for d in (30, 90)
}
REPEATED_ITEMS = _keys(REPEATED_KEYS, "repeated_items_180d", LINES.item_id, 180, "items bought on several of 180 days")
REPEATED_BRANDS = _keys(REPEATED_KEYS, "repeated_brands_180d", LINES.brand, 180, "brands bought on several of 180 days")
NEW_ITEM_SHARE = {
    days: _assortment(
        f"new_item_share_{days}d",
        ratio(new, ITEMS[days]),
        "share",
        f"part of the items of {days} days that were never bought before",
    )
    for days, new in NEW_ITEMS.items()
}
NEW_CATEGORY_COUNT = {days: _passed_on(aggregate) for days, aggregate in NEW_CATEGORIES.items()}
REPEATED_ITEM_SHARE = _assortment(
    "repeated_item_share_180d",
    ratio(REPEATED_ITEMS, ITEMS[180]),
    "share",
    "part of the items of 180 days that were bought on more than one of them",
)
REPEATED_BRAND_SHARE = _assortment(
    "repeated_brand_share_180d",
    ratio(REPEATED_BRANDS, BRANDS[180]),
    "share",
    "part of the brands of 180 days that were bought on more than one of them",
)
