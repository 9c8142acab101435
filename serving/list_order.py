"""What puts the lists of a bundle in order, as answers say it: the ranker, a model alone, or a simple rule."""

from typing import Any

from serving.list_schemas import ORDER_MEANING
from training.predictors import Recommender
from training.predictors.list_order import OWN_FREQUENCY, POPULARITY

BASELINES = (OWN_FREQUENCY, POPULARITY)
"""Simple rules, which serve where no model passed the comparison with them (`training.lists.served`)."""


def list_order(recommender: Recommender | None) -> dict[str, Any] | None:
    """What a recommender answers by, as `list_schemas.ListOrder`; None without one."""
    if recommender is None:
        return None
    return {"lists": _told(recommender.serves), "new_items": _told(recommender.serves_new)}


def _told(by: str) -> dict[str, Any]:
    return {"by": by, "baseline": by in BASELINES, "meaning": ORDER_MEANING[by]}
