"""What the recommender says of items without a member: what goes with some, what sells in a store, what sells at all."""

from collections.abc import Sequence

import numpy as np

from serving.candidates import Scored
from training.predictors import Recommender

DEPTH = 100
GROUP_DEPTH = 400
POPULAR_DEPTH = 1200
"""Popular items kept at hand: the most a request may exclude, and a full list beyond."""


def goes_with(recommender: Recommender | None, item_ids: Sequence[str], *, k: int = DEPTH) -> tuple[list[Scored], int]:
    """Items that go with all of these together, best first with scores, and how many of these the model does not know."""
    if recommender is None or not item_ids:
        return [], len(item_ids)
    rows = recommender.catalogue.rows_of(np.array(item_ids, dtype=np.str_))
    known = np.unique(rows[rows >= 0]).astype(np.int32)
    unknown = int((rows < 0).sum())
    if not len(known):
        return [], unknown
    best, scores = recommender.similar(known, k=k)
    return list(zip(recommender.item_ids[best].tolist(), scores.astype(float).tolist(), strict=True)), unknown


def popular_in_store(recommender: Recommender | None, store: str | None, *, k: int = DEPTH) -> list[Scored]:
    """What sells well in a store; empty where the model does not know the store."""
    if recommender is None or store is None:
        return []
    catalogue = recommender.catalogue
    here = np.flatnonzero(catalogue.store_ids == store)
    if not len(here):
        return []
    scores = np.log1p(catalogue.buyers_28d) + catalogue.store_share[here[0]]
    best = np.argsort(-scores, kind="stable")[:k]
    return list(zip(recommender.item_ids[best].tolist(), scores[best].astype(float).tolist(), strict=True))


def popular_in_groups(recommender: Recommender | None, *, k: int = GROUP_DEPTH) -> list[list[Scored]]:
    """What sells well in each buying group, by its row of the catalogue; empty where there are none."""
    if recommender is None:
        return []
    scores = np.log1p(recommender.catalogue.buyers_28d) + recommender.catalogue.group_share
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    ids, values = recommender.item_ids[best].tolist(), np.take_along_axis(scores, best, axis=1).astype(float).tolist()
    return [list(zip(*group, strict=True)) for group in zip(ids, values, strict=True)]


def popular(recommender: Recommender | None) -> list[Scored]:
    """What most members buy, best first; empty without a recommender."""
    return [(item, None) for item in recommender.popular_items(POPULAR_DEPTH)] if recommender is not None else []
