"""From forecasts of spend to tiers: proportional odds by maximum likelihood, and cuts that agree best with what happened."""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import expit

from features.errors import NotEnoughData
from training.predictors import TierOdds
from training.predictors.tier import LEAST, expected_position

Amounts = NDArray[np.float64]
Positions = NDArray[np.int64]
GRID = 60
STEEPEST = 100.0


def fit_odds(forecast: Amounts, tiers: Positions) -> TierOdds:
    """Odds of three tiers by forecasts of members held out, with cuts by which as many are named as are expected.

    Parameters
    ----------
    forecast
        In the units of the trees that will answer.

    Raises
    ------
    NotEnoughData
        A tier has no member, or the forecast does not tell the tiers apart.
    """
    if len(np.unique(tiers)) < 3:
        raise NotEnoughData("a tier has no member: nothing can be said of its chances")
    logs = np.log(np.maximum(forecast, LEAST))
    middle, spread = float(logs.mean()), max(float(logs.std()), 1e-9)
    centred = (logs - middle) / spread
    start = np.array([0.7, *np.log([(tiers < k).mean() / (tiers >= k).mean() for k in (1, 2)])])
    start[2] = np.log(max(start[2] - start[1], 1e-3))
    found = optimize.minimize(_loss, start, args=(centred, tiers), method="L-BFGS-B", bounds=[(-8, 8), (-50, 50), (-8, 5)])
    slope = float(np.exp(found.x[0])) / spread
    if not np.isfinite(found.fun) or slope > STEEPEST or found.x[0] <= -7.9:
        raise NotEnoughData("the forecast of spend does not tell the tiers apart, or tells them without any doubt")
    first, second = float(found.x[1]), float(found.x[1] + np.exp(found.x[2]))
    odds = TierOdds(slope, (first + slope * middle, second + slope * middle), (0.5, 1.5))
    chances = odds.probabilities(forecast)
    return TierOdds(odds.slope, odds.borders, even_cuts(expected_position(chances), chances))


def even_cuts(score: Amounts, chances: Amounts) -> tuple[float, float]:
    """Two cuts of a score by which as many rows are named for each tier as its chances add up to.

    Tiers named by the most probable class, or by the mean rounded, crowd in the middle; cuts of highest expected kappa name a
    quarter more diamonds than there will be.
    """
    regular, _, diamond = chances.mean(axis=0)
    low, high = np.quantile(score, [regular, 1 - diamond])
    return float(low), float(max(high, np.nextafter(low, np.inf)))


def best_cuts(score: Amounts, chances: Amounts, *, grid: int = GRID) -> tuple[float, float]:
    """Two cuts of a score, among its quantiles, whose three groups agree best with the tiers (quadratic weighted kappa).

    Parameters
    ----------
    chances
        Of each tier, shape (rows, 3): what is thought of every row, or 1 for what really happened. Chances make the agreement
        expected a smooth function of the cuts, where a few hundred diamonds make a rough one.
    """
    edges = np.unique(np.quantile(score, np.linspace(0.02, 0.99, grid)))
    if len(edges) < 2:
        raise NotEnoughData("the forecast says the same of (almost) everybody: no cut tells tiers apart")
    order = np.argsort(score, kind="stable")
    reached = np.searchsorted(score[order], edges)
    below = np.concatenate([np.zeros((1, 3)), np.cumsum(chances[order], axis=0)])[reached].T
    one, two = np.triu_indices(len(edges), k=1)
    counts = chances.sum(axis=0)
    table = np.stack([below[:, one], below[:, two] - below[:, one], counts[:, None] - below[:, two]])
    best = int(_kappa(table, counts).argmax())
    return float(edges[one[best]]), float(edges[two[best]])


def _kappa(table: Amounts, counts: Amounts) -> Amounts:
    """Quadratic weighted kappa of many tables at once, shape (said, really, tables)."""
    squared = (np.arange(3)[:, None] - np.arange(3)[None, :]) ** 2
    said = table.sum(axis=1)
    chance = np.einsum("ij,is,j->s", squared, said, counts) / counts.sum()
    answer: Amounts = 1 - np.einsum("ij,ijs->s", squared, table) / np.maximum(chance, 1e-12)
    return answer


def _loss(x: NDArray[np.float64], logs: Amounts, tiers: Positions) -> float:
    """Mean negative log-likelihood; x holds ln slope, the first border, and ln of the distance to the second."""
    slope, first = np.exp(x[0]), x[1]
    gold, diamond = (expit(slope * logs - border) for border in (first, first + np.exp(x[2])))
    chances = np.stack([1 - gold, gold - diamond, diamond])
    return float(-np.log(np.maximum(chances[tiers, np.arange(len(tiers))], 1e-12)).mean())
