"""What a ranker has to beat: lists by what was bought before, by what is popular, and by one model alone."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from training.lists.als import AlsSettings, item_factors
from training.lists.catalogues import interest_of
from training.lists.cutoffs import Cutoff
from training.lists.linear import weighted
from training.predictors.histories import Histories, Numbers, Rows
from training.predictors.list_signals import Signals
from training.predictors.list_sources import highest
from training.predictors.taste import fold_in

LIST_LENGTH = 20
ALS_DEFAULT = AlsSettings(factors=100, alpha=1.0, regularization=0.01, count="once", shape="linear")
"""`implicit` as it comes, on whether something was bought at all."""
OWN = ("own_frequency", "own_frequency_decayed")
"""Baselines that know nothing new to a member."""
Lists = NDArray[np.int64]


@dataclass(slots=True)
class BaselineLists:
    """The list of every member by each baseline: repeats allowed, and of items new to the member only.

    Attributes
    ----------
    of
        The cut-off.
    by_default
        Factors of members and of items by ALS with its library's defaults; None where it is not judged.
    everything, new_only
        By name, shape (members, LIST_LENGTH); -1 where a baseline has nothing more to offer. Baselines that score every item
        for every member have their lists once each block was shown to `add`.
    """

    of: Cutoff
    by_default: tuple[Numbers, Numbers] | None
    everything: dict[str, Lists] = field(default_factory=dict)
    new_only: dict[str, Lists] = field(default_factory=dict)

    @classmethod
    def begun(cls, of: Cutoff, *, seed: int, library_defaults: bool = True) -> "BaselineLists":
        """With what needs no scores of every item: own frequency and popularity."""
        histories, popular = of.histories, of.catalogue.by_popularity()
        popular = popular[of.catalogue.buyers_28d[popular] > 0]
        lists = cls(of, _als_default(of, seed) if library_defaults else None)
        for name, values in zip(OWN, (histories.times, histories.slow), strict=True):
            lists.everything[name] = own_lists(histories, values)
        for found, taken in ((lists.everything, 0 * of.before), (lists.new_only, of.before)):
            found["popularity"] = first_untaken(popular, taken)
        return lists

    def add(self, rows: slice, block: Histories, found: Signals) -> None:
        """Lists of a block of members, of whom `found` tells about every item."""
        items, linear, by_default = len(self.of.catalogue), self.of.linear, self.by_default
        scores: dict[str, Callable[[], Numbers]] = {"als": lambda: found.taste, "item_item": lambda: found.goes_with}
        if by_default is not None:
            scores["als_default"] = lambda: by_default[0][rows] @ by_default[1].T
        if linear is not None:
            scores["ease"] = lambda: linear.scores(weighted(block, interest_of(block), items))
        for name, made in scores.items():
            values = made()
            self._put(self.everything, name, rows, values)
            values[self.of.before[rows].nonzero()] = 0
            self._put(self.new_only, name, rows, values)

    def _put(self, into: dict[str, Lists], name: str, rows: slice, scores: Numbers) -> None:
        width = min(LIST_LENGTH, len(self.of.catalogue))
        into.setdefault(name, np.full((len(self.of.histories), width), -1, dtype=np.int64))[rows] = best(scores, LIST_LENGTH)


def best(scores: Numbers, k: int) -> Lists:
    """Positions of the k highest scores above 0 of each row, best first, ties by position; -1 where there are fewer."""
    k = min(k, scores.shape[1])
    top = np.sort(highest(scores, k), axis=1)
    values = np.take_along_axis(scores, top, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    top, values = np.take_along_axis(top, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(values > 0, top, -1)


def own_lists(histories: Histories, values: Numbers, *, k: int = LIST_LENGTH) -> Lists:
    """Each member's own items by these values of their entries, best first, ties by item; -1 where there are fewer than k."""
    owners = histories.owners
    order = np.lexsort((histories.items, -values, owners))
    place = np.arange(len(order)) - histories.starts[owners[order]]
    kept = (place < k) & (values[order] > 0)
    lists = np.full((len(histories), k), -1, dtype=np.int64)
    lists[owners[order][kept], place[kept]] = histories.items[order][kept]
    return lists


def first_untaken(ordered: Rows, taken: sparse.csr_matrix, *, k: int = LIST_LENGTH) -> Lists:
    """The first k of these items that are not marked as taken in each row; -1 where there are fewer."""
    looked = ordered[: k + int(np.diff(taken.indptr).max(initial=0))]
    free = taken[:, looked].toarray() == 0
    row, place = np.nonzero(free & (np.cumsum(free, axis=1) <= k))
    lists = np.full((taken.shape[0], k), -1, dtype=np.int64)
    lists[row, np.cumsum(free, axis=1)[row, place] - 1] = looked[place]
    return lists


def _als_default(of: Cutoff, seed: int) -> tuple[Numbers, Numbers]:
    """Factors of members and items by ALS with its library's defaults."""
    histories: Histories = of.histories
    factors = item_factors(histories, len(of.catalogue), ALS_DEFAULT, seed=seed, check=False)
    with threadpool_limits(limits=1, user_api="blas"):
        return fold_in(factors, of.catalogue.rarity, histories, ALS_DEFAULT.weighing), factors
