"""In what order the items of a list stand: by the ranker, or by a baseline that none beat; and how own and new ones mix."""

import math

import numpy as np
from numpy.typing import NDArray

from training.predictors.list_features import FEATURES
from training.predictors.trees import Matrix, Scores

Mask = NDArray[np.bool_]
RANKED, OWN_FREQUENCY, POPULARITY, ALS, EASE = "ranked", "own_frequency_decayed", "popularity", "als", "ease"
SERVES = (RANKED, OWN_FREQUENCY, POPULARITY, ALS, EASE)
"""What a bundle answers by."""
COLUMNS = {ALS: "taste", EASE: "leads"}
"""Baselines whose scores the ranker sees anyway."""
KNOWN = FEATURES.index("items_known")
_BUYERS, _SLOW = (FEATURES.index(name) for name in ("buyers_28d", "slow"))


def popularity(rows: Matrix, most_buyers: float) -> Scores:
    """Recent buyers of each row's item as a share of those of the item that has most."""
    return rows[:, _BUYERS].astype(np.float64) / max(most_buyers, 1)


def baseline_scores(serves: str, rows: Matrix, most_buyers: float) -> Scores:
    """Score of each row of features by a baseline, shape (rows,); what it knows nothing of stands below, by popularity.

    Raises
    ------
    ValueError
        There is no such baseline.
    """
    popular = popularity(rows, most_buyers)
    if serves == POPULARITY:
        return popular
    if serves == OWN_FREQUENCY:
        own = np.nan_to_num(rows[:, _SLOW].astype(np.float64))
        return np.where(own > 0, 1 + own, popular)
    if serves not in COLUMNS:
        raise ValueError(f"lists cannot be answered by {serves}: known are {', '.join(SERVES)}")
    column = rows[:, FEATURES.index(COLUMNS[serves])].astype(np.float64)
    return np.where((rows[:, KNOWN] > 0) & (column > 0), 1 + column, popular)


def mixed(order: NDArray[np.int64], is_own: Mask, *, share: float) -> NDArray[np.int64]:
    """Positions in the order given, but so that every beginning of the list holds its share of own ones while they last."""
    own, new = order[is_own], order[~is_own]
    wanted = np.array([math.ceil((place + 1) * share - 1e-9) for place in range(len(order))])
    from_own = np.minimum(np.maximum(wanted, np.arange(1, len(order) + 1) - len(new)), len(own))
    steps = np.diff(from_own, prepend=0) > 0
    result = np.empty_like(order)
    result[steps], result[~steps] = own[: int(steps.sum())], new[: int((~steps).sum())]
    return result
