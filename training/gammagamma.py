"""Gamma-Gamma: what a member's purchase is worth, by maximum likelihood; with BG/NBD the formula a value model must beat.

Fader and Hardie, The Gamma-Gamma Model of Monetary Value, 2013. What a member spends on a purchase day is gamma distributed
(shape p, a rate of their own), and the rates are gamma distributed over members (shape q, rate v). How much is spent a day does
not depend on how often.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import gammaln

from features.errors import NotEnoughData

Amounts = NDArray[np.float64]
LARGEST_LOG = float(np.log(1e4))
"""Parameters beyond 10,000 or below 1/10,000 (money in mean amounts) count as infinite or zero."""
LEAST_Q = 1.01
"""With q at 1 or below the mean over members is infinite, and so is the answer for whoever bought little."""


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Fitted parameters; v has the unit of the amounts."""

    p: float
    q: float
    v: float

    def expected_amount(self, *, count: Amounts, mean: Amounts) -> Amounts:
        """Expected amount of a further purchase day, equation (5) of the paper: the member's own mean, drawn to that of all.

        Parameters
        ----------
        count
            Purchase days seen; 0 gives the mean of all members.
        mean
            Mean amount of these days.
        """
        answer: Amounts = self.p * (self.v + count * mean) / (self.p * count + self.q - 1)
        return answer


def log_likelihood(model: GammaGamma, *, count: Amounts, mean: Amounts) -> float:
    """Sum over members of the log-likelihood of their mean amounts, equation (1a) of the paper, constants included."""
    p, q, v = model.p, model.q, model.v
    shape = p * count
    constants = gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(v)
    return float(
        np.sum(constants + (shape - 1) * np.log(mean) + shape * np.log(count) - (shape + q) * np.log(count * mean + v))
    )


def fit(*, count: Amounts, mean: Amounts) -> GammaGamma:
    """Parameters of highest likelihood.

    Parameters
    ----------
    count
        Purchase days of each member, 1 or more.
    mean
        Mean amount of these days, above 0.

    Raises
    ------
    NotEnoughData
        The fit degenerates: nobody bought twice, a parameter runs to zero or infinity, or the mean over members is infinite.
    """
    if not (count > 1).any():
        raise NotEnoughData("Gamma-Gamma needs members who bought on more than one day; there are none")
    scale = float(mean.mean())

    def loss(logs: NDArray[np.float64]) -> float:
        p, q, v = np.exp(logs)
        return -log_likelihood(GammaGamma(p, q, v), count=count, mean=mean / scale) / len(count)

    starts = np.log([[1.0, 3.0, 2.0], [5.0, 5.0, 1.0]])
    bounds = [(-LARGEST_LOG, LARGEST_LOG)] * 3
    found = min(
        (optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts),
        key=lambda result: float(result.fun),
    )
    if not np.isfinite(found.fun) or np.abs(found.x).max() > 0.99 * LARGEST_LOG:
        raise NotEnoughData("Gamma-Gamma has no finite fit on these amounts (a parameter runs to zero or infinity)")
    p, q, v = (float(value) for value in np.exp(found.x))
    if q < LEAST_Q:
        raise NotEnoughData(f"Gamma-Gamma gives an infinite mean amount over members here (q = {q:.3f}; it must exceed 1)")
    return GammaGamma(p, q, v * scale)
