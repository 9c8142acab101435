"""What is worth saying at the till: of a member's list, one item of each kind, the most personal kind first. Pure."""

from collections.abc import Sequence
from typing import Any

KIND_OF_SOURCE = {
    "pinned": "shop",
    "due_again": "due_again",
    "goes_with_context": "goes_with_basket",
    "goes_with": "discovery",
    "viewed": "discovery",
    "similar_taste": "discovery",
    "category": "discovery",
    "trending": "discovery",
    "bought_before": "bought_before",
    "popular_in_store": "popular",
    "popular_in_group": "popular",
    "popular": "popular",
}
CONSIDERED = 50
"""Items of the list that are looked through for something of each kind."""


def worth_saying(items: Sequence[dict[str, Any]], *, things: int) -> list[dict[str, Any]]:
    """Up to so many things: first the best item of each kind, the most personal kind first, then the list in its order."""
    firsts: dict[str, dict[str, Any]] = {}
    for item in items:
        firsts.setdefault(KIND_OF_SOURCE[item["source"]], item)
    order = [firsts[kind] for kind in dict.fromkeys(KIND_OF_SOURCE.values()) if kind in firsts]
    rest = [item for item in items if item not in order]
    chosen = [*order, *rest][:things]
    return [
        {"kind": KIND_OF_SOURCE[item["source"]], "item": {**item, "place": place}} for place, item in enumerate(chosen, start=1)
    ]
