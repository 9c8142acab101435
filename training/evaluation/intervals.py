"""Intervals: bootstrap over members, paired where two models answer for the same ones, and Wilson's for a share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.evaluation.weighted import Statistic, Weights

DRAWS = 1000
LEVEL = 0.95
NO_GAIN_SHOWN = "no gain shown"


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the two ends of its interval."""

    value: float
    low: float
    high: float

    @property
    def covers_zero(self) -> bool:
        """Whether 0 lies in it, or it is unknown: then a difference shows nothing."""
        return not (self.low > 0 or self.high < 0)

    @property
    def verdict(self) -> str:
        """What a difference for which more is better shows, in the words that reports use."""
        if self.covers_zero:
            return NO_GAIN_SHOWN
        return "better" if self.low > 0 else "worse"

    def __neg__(self) -> "Interval":
        return Interval(-self.value, -self.high, -self.low)


def member_weights(member_ids: NDArray[np.str_], *, seed: int, draws: int = DRAWS) -> Iterator[Weights]:
    """Weights of all rows in each resample: how often the member of the row was drawn, with replacement, from all members.

    Rows of one member, for example in several periods, always have the same weight: they are not independent.
    """
    generator = np.random.default_rng(seed)
    members, position = np.unique(member_ids, return_inverse=True)
    size = len(members)
    for _ in range(draws):
        counts = np.bincount(generator.integers(0, size, size), minlength=size)
        yield counts.astype(np.float64)[position]


def bootstrap(
    statistics: Mapping[str, Statistic], member_ids: NDArray[np.str_], *, seed: int, draws: int = DRAWS
) -> dict[str, NDArray[np.float64]]:
    """Every statistic on every resample of members (Efron 1979), shape (draws,) each, the same resamples for all."""
    found: dict[str, list[float]] = {name: [] for name in statistics}
    for weights in member_weights(member_ids, seed=seed, draws=draws):
        for name, statistic in statistics.items():
            found[name].append(statistic(weights))
    return {name: np.array(values) for name, values in found.items()}


def interval_of(value: float, values: NDArray[np.float64], *, level: float = LEVEL) -> Interval:
    """Percentile interval of resampled values; resamples where the figure does not exist are left out."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def paired_gain(mine: Statistic, theirs: Statistic, member_ids: NDArray[np.str_], *, seed: int, draws: int = DRAWS) -> Interval:
    """Difference of two statistics on the same rows, with its paired bootstrap interval over members."""
    drawn = bootstrap({"mine": mine, "theirs": theirs}, member_ids, seed=seed, draws=draws)
    ones = np.ones(len(member_ids))
    return interval_of(mine(ones) - theirs(ones), drawn["mine"] - drawn["theirs"])


def wilson(hits: int, rows: int, *, level: float = LEVEL) -> Interval:
    """A share of rows with its score interval (Wilson 1927); unknown where there are no rows."""
    if rows == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, squared = hits / rows, z * z
    middle = (share + squared / (2 * rows)) / (1 + squared / rows)
    half = z / (1 + squared / rows) * sqrt(share * (1 - share) / rows + squared / (4 * rows * rows))
    return Interval(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))
