"""Centres of the groups: k-means that starts from where the groups were, held to their rules, beside k-means++ that is free.

Centres found anew each month lie elsewhere each month, and members change their group who did nothing. So each centre counts
its rule, and where it was before, as if so many members lay there (a normal prior on each mean). k-means++ (Arthur and
Vassilvitskii 2007, MiniBatchKMeans) tells what that costs; where it costs too much, its centres are the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import MiniBatchKMeans

from training.predictors.segment_space import Points, nearest, squared_distances

Centres = NDArray[np.float64]
RULE_SHARE = 0.2
BEFORE_SHARE = 0.3
"""Members that the rules, and the centres before, count as, in shares of all."""
SLACK = 1.15
"""Mean squared distance, in times that of free k-means++, up to which the held centres are kept."""
ROUNDS = 300
STARTS = 10
MOST_POINTS = 50_000
CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class Held:
    """Centres in the order of the groups, and how they came about.

    Attributes
    ----------
    within, free_within
        Mean squared distance of a member from its centre, and the same of free k-means++.
    total
        The same from the mean of all.
    restarted
        Whether the centres of k-means++ were the start.
    """

    centres: Centres
    within: float
    free_within: float
    total: float
    restarted: bool


def held_centres(points: Points, rules: Centres, *, before: Centres | None = None, seed: int) -> Held:
    """Centres that k-means settles on from the centres before, or from the rules where there were none."""
    some = _some(points, seed)
    anchors = [(rules, RULE_SHARE), *([(before, BEFORE_SHARE)] if before is not None else [])]
    start = rules if before is None else before
    free = _free(some, len(rules), seed)
    centres, free_within, restarted = settle(some, start, anchors), within(some, free), False
    if within(some, centres) > SLACK * free_within:
        other = settle(some, named(free, start), anchors)
        restarted = within(some, other) < within(some, centres)
        centres = other if restarted else centres
    total = float(some.astype(np.float64).var(axis=0).sum())
    return Held(centres, within(some, centres), free_within, total, restarted)


def settle(points: Points, start: Centres, anchors: Sequence[tuple[Centres, float]]) -> Centres:
    """Lloyd's rounds from a start until no centre moves; each anchor counts as its share of all points, spread evenly.

    A group without members stays where its anchors are.
    """
    centres = start.astype(np.float64)
    weights = [len(points) * share / len(start) for _, share in anchors]
    pulled = np.sum([weight * anchor for (anchor, _), weight in zip(anchors, weights, strict=True)], axis=0)
    for _ in range(ROUNDS):
        positions = nearest(points, centres)
        counts = np.bincount(positions, minlength=len(centres))
        moved = (group_sums(points, positions, len(centres)) + pulled) / (counts + sum(weights))[:, None]
        done = float(np.abs(moved - centres).max()) < CLOSE
        centres = moved
        if done:
            break
    return centres


def named(found: Centres, reference: Centres) -> Centres:
    """The centres put into the order of a reference: each name goes to one centre, the sum of squared distances least."""
    order = linear_sum_assignment(squared_distances(reference, found))[1]
    return found[order]


def names_fit(centres: Centres, rules: Centres) -> bool:
    """Whether the best way to give the rules' names to the centres is the one they have."""
    return bool((linear_sum_assignment(squared_distances(rules, centres))[1] == np.arange(len(rules))).all())


def group_sums(points: Points, positions: NDArray[np.int64], groups: int) -> Centres:
    """Sum of each group's points, shape (groups, axes)."""
    columns = [np.bincount(positions, weights=column, minlength=groups) for column in points.T]
    return np.array(columns, dtype=np.float64).T


def within(points: Points, centres: NDArray[np.floating[Any]]) -> float:
    """Mean squared distance of the points from their nearest centre."""
    return float(np.maximum(squared_distances(points, centres).min(axis=1), 0).mean())


def _free(points: Points, groups: int, seed: int) -> Centres:
    """Centres of the best of some k-means++ starts."""
    found = MiniBatchKMeans(groups, init="k-means++", n_init=STARTS, batch_size=2048, random_state=seed).fit(points)
    return np.asarray(found.cluster_centers_, dtype=np.float64)


def _some(points: Points, seed: int) -> Points:
    """All points, or a draw of so many that more would not move a centre."""
    if len(points) <= MOST_POINTS:
        return points
    return points[np.sort(np.random.default_rng(seed).choice(len(points), MOST_POINTS, replace=False))]
