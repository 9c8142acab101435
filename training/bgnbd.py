"""BG/NBD: a spreadsheet's answer to "will they buy again", fitted by maximum likelihood. The baseline a churn model must beat.

Fader, Hardie and Lee, "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD Model, 2005. A member
buys at a rate that is gamma distributed over members (r, alpha), and after each purchase leaves for good with a
probability that is beta distributed (a, b).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import betaln, gammaln

from features.errors import NotEnoughData
from training.predictors.bgnbd import BgNbd

__all__ = ["BgNbd", "fit", "log_likelihood"]
Days = NDArray[np.float64]
LARGEST_LOG = float(np.log(1e4))
"""Parameters beyond 10,000 or below 1/10,000 (time in mean ages) count as infinite or zero: the likelihood is flat there."""


def log_likelihood(model: BgNbd, *, repeats: Days, last: Days, age: Days) -> float:
    """Sum over members of the log-likelihood, equation (6) of the paper, constants included."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    shared = gammaln(r + repeats) - gammaln(r) + r * np.log(alpha)
    stays = betaln(a, b + repeats) - betaln(a, b) - (r + repeats) * np.log(alpha + age)
    left_odds = betaln(a + 1, b + np.maximum(repeats, 1) - 1) - betaln(a, b) - (r + repeats) * np.log(alpha + last)
    left = np.where(repeats > 0, left_odds, -np.inf)
    return float(np.sum(shared + np.logaddexp(stays, left)))


def fit(*, repeats: Days, last: Days, age: Days) -> BgNbd:
    """Parameters of highest likelihood.

    Raises
    ------
    NotEnoughData
        The fit degenerates: no repeat purchases, or a parameter that runs to zero or infinity.
    """
    if len(repeats) == 0 or repeats.sum() == 0:
        raise NotEnoughData("BG/NBD needs members who bought on more than one day; there are none")
    scale = max(float(age.mean()), 1.0)

    def loss(logs: NDArray[np.float64]) -> float:
        r, alpha, a, b = np.exp(logs)
        value = log_likelihood(BgNbd(r, alpha * scale, a, b), repeats=repeats, last=last, age=age)
        return -value / len(repeats)

    bounds = [(-LARGEST_LOG, LARGEST_LOG)] * 4
    starts = np.log([[1.0, 0.5, 0.5, 3.0], [1.0, 0.05, 0.1, 50.0]])
    found = min(
        (optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts),
        key=lambda result: float(result.fun),
    )
    if not np.isfinite(found.fun) or np.abs(found.x).max() > 0.99 * LARGEST_LOG:
        raise NotEnoughData("BG/NBD has no finite fit on these purchases (a parameter runs to zero or infinity)")
    r, alpha, a, b = (float(value) for value in np.exp(found.x))
    return BgNbd(r, alpha * scale, a, b)
