"""What other lists would have brought, judged from lists that left some places to chance: IPS and SNIPS.

Each logged row is one place of one list: the item that stood there, by which probability it did, and what came of it. A
policy to be judged says how likely it would have put that very item into that very place. Judged place by place, it must put
items where they could come to stand; judged by what is in the list, whatever the place (`Shown.inclusion`), it must be that
places do not matter to what comes of them.

IPS (Horvitz and Thompson 1952; Li et al. 2011) is unbiased where every item that the policy would show had some probability of
being shown. SNIPS (Swaminathan and Joachims 2015) divides by the weights' own sum: a little bias, far less variance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import NotEnoughData
from training.evaluation.intervals import Interval, bootstrap, interval_of
from training.evaluation.weighted import Statistic, Weights

Numbers = NDArray[np.float64]
FEWEST_EFFECTIVE_ROWS = 30
"""Rows that the weights must be worth for an interval to mean anything."""


@dataclass(frozen=True, slots=True)
class LoggedPlaces:
    """Places of lists as they were shown, one row each.

    Attributes
    ----------
    lists
        Which list each place belongs to, any text; intervals resample lists, as places of one list are not independent.
    propensity
        Probability by which the item came to its place when the list was made, in (0, 1]; or into the list at all.
    target
        Probability by which the policy to be judged would put this item into this place, or into the list at all, as the
        propensity is meant: 0 or 1 for one that leaves nothing to chance.
    reward
        What came of the place: bought or not, or money.

    Raises
    ------
    ValueError
        Arrays of different lengths, or probabilities that are none.
    """

    lists: NDArray[np.str_]
    propensity: Numbers
    target: Numbers
    reward: Numbers

    def __post_init__(self) -> None:
        lengths = {len(self.lists), len(self.propensity), len(self.target), len(self.reward)}
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        if not ((self.propensity > 0) & (self.propensity <= 1)).all():
            raise ValueError("a propensity lies above 0 and at most at 1: what could not be shown was not logged")
        if not ((self.target >= 0) & (self.target <= 1)).all() or not np.isfinite(self.reward).all():
            raise ValueError("target probabilities lie from 0 to 1, and rewards are finite")

    @property
    def weight(self) -> Numbers:
        """How much more often the policy would have shown each row than it was."""
        weight: Numbers = self.target / self.propensity
        return weight


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """What a policy brings per place.

    Attributes
    ----------
    logged
        Mean reward of the places as they were.
    ips, snips
        Estimates for the policy, with 95 % intervals over resampled lists.
    effective_rows
        How many rows of equal weight the weights are worth (Kish 1965).
    mean_weight
        About 1 where the logged probabilities are right and every item the policy shows could have been shown; far from it,
        neither estimate means anything.
    """

    logged: float
    ips: Interval
    snips: Interval
    effective_rows: float
    mean_weight: float


def policy_value(logged: LoggedPlaces, *, seed: int = 0, draws: int = 500) -> PolicyValue:
    """The value of the policy whose probabilities the rows carry.

    Raises
    ------
    NotEnoughData
        The rows that the policy would have shown, too, are too few to say anything.
    """
    weight = logged.weight
    squares = float((weight**2).sum())
    effective = float(weight.sum()) ** 2 / squares if squares else 0.0
    if effective < FEWEST_EFFECTIVE_ROWS:
        raise NotEnoughData(
            f"the lists logged hold what this policy would show with the weight of {effective:.0f} rows; "
            f"{FEWEST_EFFECTIVE_ROWS} are needed",
            remedy="log more lists, or leave a larger share to chance",
        )
    statistics: dict[str, Statistic] = {"ips": lambda w: _ips(logged, w), "snips": lambda w: _snips(logged, w)}
    ones = np.ones(len(weight))
    drawn = bootstrap(statistics, logged.lists, seed=seed, draws=draws)
    ips, snips = (interval_of(statistic(ones), drawn[name]) for name, statistic in statistics.items())
    return PolicyValue(float(logged.reward.mean()), ips, snips, effective, float(weight.mean()))


def _ips(logged: LoggedPlaces, rows: Weights) -> float:
    return float((rows * logged.weight * logged.reward).sum() / rows.sum())


def _snips(logged: LoggedPlaces, rows: Weights) -> float:
    weight = rows * logged.weight
    total = float(weight.sum())
    return float((weight * logged.reward).sum()) / total if total else float("nan")
