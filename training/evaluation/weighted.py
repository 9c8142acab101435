"""Metrics as functions of row weights: all sorting is done once, and a bootstrap asks each a thousand times.

A resample of members is the same as a weight on every row: how often its member was drawn. With every weight 1, each
function here equals the plain metric of the same name. Products are summed by numpy, not by BLAS, whose threads wait for
each other on a busy machine: that made a bootstrap of 25,000 rows ten times slower.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
Statistic = Callable[[Weights], float]


def auc(happened: NDArray[np.bool_], score: NDArray[np.floating]) -> Statistic:
    """Area under the ROC curve: weighted share of pairs in the right order, ties counted half (Mann and Whitney 1947)."""
    order, starts = _groups(score)
    left = happened[order].astype(np.float64)

    def value(weights: Weights) -> float:
        sorted_weights = weights[order]
        leavers = np.add.reduceat(sorted_weights * left, starts)
        stayers = np.add.reduceat(sorted_weights * (1 - left), starts)
        pairs = leavers.sum() * stayers.sum()
        below = np.cumsum(stayers) - stayers
        return float((leavers * (below + stayers / 2)).sum() / pairs) if pairs > 0 else float("nan")

    return value


def average_precision(happened: NDArray[np.bool_], score: NDArray[np.floating]) -> Statistic:
    """Area under the precision-recall curve as a step function; equal scores make one step."""
    order, starts = _groups(-score)
    left = happened[order].astype(np.float64)

    def value(weights: Weights) -> float:
        sorted_weights = weights[order]
        caught = np.add.reduceat(sorted_weights * left, starts)
        contacted = np.cumsum(np.add.reduceat(sorted_weights, starts))
        precision = np.divide(np.cumsum(caught), contacted, out=np.zeros_like(contacted), where=contacted > 0)
        return float((caught * precision).sum() / caught.sum()) if caught.sum() > 0 else float("nan")

    return value


def lift(amount: NDArray[np.generic], score: NDArray[np.floating], *, share: float) -> Statistic:
    """Mean amount among the top share by score over the mean among all; for outcomes, how much more often it happened."""
    among_top, among_all = top_mean(amount, score, share=share), mean(amount)

    def value(weights: Weights) -> float:
        everywhere = among_all(weights)
        return among_top(weights) / everywhere if everywhere > 0 else float("nan")

    return value


def top_mean(amount: NDArray[np.generic], score: NDArray[np.floating], *, share: float) -> Statistic:
    """Mean amount among the top share by score, never of fewer than one row."""
    order = np.argsort(-score, kind="stable")
    ordered = amount[order].astype(np.float64)

    def value(weights: Weights) -> float:
        sorted_weights = weights[order]
        room = max(1.0, np.round(share * sorted_weights.sum()))
        before = np.cumsum(sorted_weights) - sorted_weights
        taken = np.clip(room - before, 0, sorted_weights)
        return float((taken * ordered).sum() / taken.sum())

    return value


def mean(values: NDArray[np.generic]) -> Statistic:
    """Weighted mean of one number a row: a loss, a hit, an amount."""
    numbers = values.astype(np.float64)
    return lambda weights: float((weights * numbers).sum() / weights.sum())


def ratio(upper: NDArray[np.generic], lower: NDArray[np.generic]) -> Statistic:
    """Weighted total of one number over that of another."""
    above, below = upper.astype(np.float64), lower.astype(np.float64)

    def value(weights: Weights) -> float:
        total = (weights * below).sum()
        return float((weights * above).sum() / total) if total != 0 else float("nan")

    return value


def quadratic_weighted_kappa(actual: NDArray[np.integer], predicted: NDArray[np.integer]) -> Statistic:
    """Agreement on an ordered scale beyond chance, distance counted squared (Cohen 1968)."""
    steps = int(max(actual.max(), predicted.max())) + 1
    cell = np.asarray(actual, dtype=np.int64) * steps + predicted
    distance = np.subtract.outer(np.arange(steps), np.arange(steps)) ** 2.0

    def value(weights: Weights) -> float:
        table = np.bincount(cell, weights, steps * steps).reshape(steps, steps)
        by_chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / weights.sum()
        off = float((by_chance * distance).sum())
        return 1 - float((table * distance).sum()) / off if off > 0 else float("nan")

    return value


def spearman(one: NDArray[np.floating], other: NDArray[np.floating]) -> Statistic:
    """Correlation of mid-ranks (Spearman 1904), ranks taken anew in every resample."""
    ranks_of_one, ranks_of_other = _mid_ranks(one), _mid_ranks(other)

    def value(weights: Weights) -> float:
        a, b = ranks_of_one(weights), ranks_of_other(weights)
        total = weights.sum()
        a, b = a - (weights * a).sum() / total, b - (weights * b).sum() / total
        spread = float(np.sqrt((weights * a**2).sum() * (weights * b**2).sum()))
        return float((weights * a * b).sum()) / spread if spread > 0 else float("nan")

    return value


def mean_of(parts: Sequence[Statistic], rows: Sequence[int]) -> Statistic:
    """Mean over periods of one statistic each; the weights of all rows stand one period after the other."""
    ends = np.cumsum(rows)[:-1]

    def value(weights: Weights) -> float:
        split = np.split(weights, ends)
        return float(np.mean([part(own) for part, own in zip(parts, split, strict=True)]))

    return value


def _groups(score: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order that sorts scores upwards, and where each group of equal scores begins in it."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return order, starts


def _mid_ranks(values: NDArray[np.floating]) -> Callable[[Weights], NDArray[np.float64]]:
    order, starts = _groups(values)
    group = np.empty(len(values), dtype=np.int64)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))

    def ranks(weights: Weights) -> NDArray[np.float64]:
        weight = np.add.reduceat(weights[order], starts)
        middle: NDArray[np.float64] = np.cumsum(weight) - weight / 2
        return middle[group]

    return ranks
