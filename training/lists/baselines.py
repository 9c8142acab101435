"""What a ranker has to beat: lists by what was bought before, by what is popular, and by one model alone."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from training.lists.als import AlsSettings, item_factors
from training.lists.catalogues import interest_of
from training.lists.cutoffs import Cutoff
from training.lists.linear import weighted
from training.predictors.histories import Histories, Numbers
from training.predictors.list_sources import signals
from training.predictors.taste import fold_in

LIST_LENGTH = 20
BLOCK = 512
ALS_DEFAULT = AlsSettings(factors=100, alpha=1.0, regularization=0.01, count="once", shape="linear")
"""`implicit` as it comes, on whether something was bought at all."""
OWN = ("own_frequency", "own_frequency_decayed")
"""Baselines that know nothing new to a member."""
Lists = NDArray[np.int64]


def baseline_lists(of: Cutoff, *, seed: int) -> tuple[dict[str, Lists], dict[str, Lists]]:
    """The list of every member by each baseline: repeats allowed, and of items new to the member only.

    Returns
    -------
    By name, shape (members, LIST_LENGTH); -1 where a baseline has nothing more to offer.
    """
    everything: dict[str, list[Lists]] = {}
    new_only: dict[str, list[Lists]] = {}
    for rows, scores in _blocks(of, seed):
        for name, values in scores.items():
            everything.setdefault(name, []).append(best(values, LIST_LENGTH))
            values[of.before[rows].nonzero()] = 0
            new_only.setdefault(name, []).append(best(values, LIST_LENGTH))
    both = ({name: np.concatenate(parts) for name, parts in found.items()} for found in (everything, new_only))
    return next(both), next(both)


def best(scores: Numbers, k: int) -> Lists:
    """Positions of the k highest scores above 0 of each row, best first, ties by position; -1 where there are fewer."""
    k = min(k, scores.shape[1])
    top = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    values = np.take_along_axis(scores, top, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    top, values = np.take_along_axis(top, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(values > 0, top, -1)


def _blocks(of: Cutoff, seed: int) -> Iterator[tuple[slice, Mapping[str, Numbers]]]:
    """Scores of all items by each baseline for some members at a time."""
    items = len(of.catalogue)
    whole = _als_default(of, seed)
    for first in range(0, len(of.histories), BLOCK):
        rows = slice(first, min(first + BLOCK, len(of.histories)))
        block = of.histories.of(rows.start, rows.stop)
        found = signals(of.catalogue, block, of.taste[rows])
        scores = {
            "own_frequency": weighted(block, block.times, items).toarray(),
            "own_frequency_decayed": weighted(block, block.slow, items).toarray(),
            "popularity": np.tile(of.catalogue.buyers_28d, (len(block), 1)),
            "als_default": whole[0][rows] @ whole[1].T,
            "als": found.taste,
            "item_item": found.goes_with,
        }
        if of.linear is not None:
            scores["ease"] = of.linear.scores(weighted(block, interest_of(block), items))
        yield rows, scores


def _als_default(of: Cutoff, seed: int) -> tuple[Numbers, Numbers]:
    """Factors of members and items by ALS with its library's defaults."""
    histories: Histories = of.histories
    factors = item_factors(histories, len(of.catalogue), ALS_DEFAULT, seed=seed, check=False)
    return fold_in(factors, of.catalogue.rarity, histories, ALS_DEFAULT.weighing), factors
