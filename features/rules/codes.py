"""The stable codes by which a rule says that it took an item out of a list, each with its meaning."""

from typing import Final

MEANINGS: Final = {
    "ALLOWED": "no rule is against it",
    "NOT_IN_CATALOGUE": "the item table does not hold it, and it was not sold of late",
    "WITHDRAWN": "the rules name it as withdrawn",
    "OUT_OF_STOCK": "it cannot be sold now",
    "NOT_IN_STORE": "the store asked for has none",
    "AGE_RESTRICTED": "it may be shown to adults only, and the request does not say that this is one",
    "PRICE_UNKNOWN": "the rules limit the price, and its price is not known",
    "PRICE_BELOW": "its price is below the band",
    "PRICE_ABOVE": "its price is above the band",
    "MARGIN_UNKNOWN": "the rules ask for a margin, and its price or cost is not known",
    "MARGIN_BELOW": "its margin is below the floor",
    "CATEGORY_NOT_INCLUDED": "its category is not among those allowed",
    "CATEGORY_EXCLUDED": "its category is excluded",
    "BRAND_NOT_INCLUDED": "its brand is not among those allowed",
    "BRAND_EXCLUDED": "its brand is excluded",
    "EXCLUDED_BY_REQUEST": "the request excludes it",
    "IN_BASKET": "it is in the basket already",
    "BOUGHT_RECENTLY": "the member bought it within the days of the rule and is not due again",
    "ALREADY_IN_LIST": "it stands higher up in the list",
    "CATEGORY_CAP": "the list has as many of its category as the rules allow",
    "BRAND_CAP": "the list has as many of its brand as the rules allow",
    "LIST_FULL": "no rule is against it, but the list was full",
    "NO_CANDIDATE": "a place that holds no item",
}
"""By code. Codes are public names: they may be added, never renamed, as other systems act on them."""
CODES: Final = tuple(MEANINGS)
_POSITION: Final = {code: position for position, code in enumerate(CODES)}


def code_of(name: str) -> int:
    """The number that stands for a code in arrays: its position in `CODES`; 0 is an item that may stand in the list."""
    return _POSITION[name]
