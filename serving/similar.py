"""What the recommender says of items without a member: what goes with some, what sells in a store, what sells at all."""

from collections.abc import Sequence

import numpy as np

from serving.recommending import Scored
from training.predictors import Recommender

DEPTH = 100
POPULAR_DEPTH = 1200
"""Popular items kept at hand: the most a request may exclude, and a full list beyond."""


def goes_with(recommender: Recommender | None, item_ids: Sequence[str], *, k: int = DEPTH) -> tuple[list[Scored], int]:
    """Items that go with all of these together, best first with scores, and how many of these the model does not know."""
    if recommender is None:
        return [], len(item_ids)
    position = {item: row for row, item in enumerate(recommender.item_ids.tolist())}
    rows = [position[item] for item in dict.fromkeys(item_ids) if item in position]
    unknown = len([item for item in item_ids if item not in position])
    if not rows:
        return [], unknown
    factors = recommender.factors / np.maximum(np.linalg.norm(recommender.factors, axis=1, keepdims=True), 1e-12)
    scores = factors @ factors[rows].mean(axis=0)
    scores[rows] = -np.inf
    best = np.argsort(-scores, kind="stable")[: min(k, len(scores) - len(rows))]
    return [(str(recommender.item_ids[row]), float(scores[row])) for row in best], unknown


def popular(recommender: Recommender | None) -> list[Scored]:
    """What most members buy, best first; empty without a recommender."""
    return [(item, None) for item in recommender.popular_items(POPULAR_DEPTH)] if recommender is not None else []
