"""Made-up lists as nights leave them: each member's own, of a shop of 20,000 items, with what their sentences are made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.serving_world import DAY, NOW
from features.list_records import RecommendationList, RecommendedItem
from features.rules.shelf import Shelf

SOLD, CATEGORIES, LENGTH = 20_000, 300, 50
"""Items on the shelf, their categories, and items of a list."""


def shelf() -> Shelf:
    """The shop's items."""
    ids = [_item_id(place) for place in range(SOLD)]
    return Shelf.of_columns({"item_id": ids, "category": [f"CATEGORY {place % CATEGORIES}" for place in range(SOLD)]})


def own_lists(many: int) -> Iterator[RecommendationList]:
    """So many lists: a third of the items due again, four in ten bought before, the rest new."""
    rng = np.random.default_rng(3)
    share = 1 / np.arange(10, SOLD + 10)
    share /= share.sum()
    for _ in range(many):
        rows = list(dict.fromkeys(rng.choice(SOLD, 2 * LENGTH, p=share).tolist()))[:LENGTH]
        scores = np.sort(rng.random(len(rows)) * 2)[::-1].tolist()
        items = tuple(_item(_item_id(row), score, rng) for row, score in zip(rows, scores, strict=True))
        lately = {_item_id(int(row)): DAY - int(rng.integers(1, 28)) for row in rng.integers(0, SOLD, 15)}
        yield RecommendationList("recommender@1", NOW.isoformat(), items, DAY, lately, int(rng.integers(0, 8)))


def _item_id(row: int) -> str:
    return f"{100_000 + row}"


def _item(item_id: str, score: float, rng: np.random.Generator) -> RecommendedItem:
    kind, times, last = rng.random(), int(rng.integers(1, 9)), DAY - int(rng.integers(1, 60))
    if kind < 0.35:
        return RecommendedItem(item_id, score, "due_again", times, last, round(float(rng.uniform(0.5, 30)), 1))
    if kind < 0.75:
        return RecommendedItem(item_id, score, "bought_before", times, last)
    return RecommendedItem(item_id, score, "goes_with" if kind < 0.9 else "similar_taste")
