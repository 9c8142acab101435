"""What has moved since a model was trained, and whether it matters: features, missing values, scores, calibration.

Population stability index, by tenths of the reference (Siddiqi, Credit Risk Scorecards, 2006):
PSI = sum over groups of (now - then) * ln(now / then). Its size under no change at all depends on how many members there
are, so each is held against a null drawn from both samples pooled, not against a rule of thumb alone. What a moved feature
does to the scores is measured: its values are mapped back to where they were, rank by rank, and everyone is scored again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import ConfigurationError

GROUPS = 10
DRAWS = 2000
SAMPLE = 20_000
"""Members looked at: more change neither PSI nor its null by anything that matters."""
LOOKED_INTO = 20
"""Features whose effect on the scores is measured: those that moved most."""
SEED = 7
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a movement counts. Each has to be beyond chance as well.

    Attributes
    ----------
    psi
        Of a feature or score.
    missing
        Change in the share of members for whom a feature is missing.
    effect
        Mean absolute change of a score that a moved feature causes.
    calibration
        Difference between mean prediction and what happened.
    chance
        Probability of a false alarm in one whole report, shared by everything it looks at.
    """

    psi: float = 0.2
    missing: float = 0.1
    effect: float = 0.01
    calibration: float = 0.03
    chance: float = 0.01

    @classmethod
    def chosen(cls, choices: Sequence[tuple[str, float]]) -> "Limits":
        """The defaults, but for what a shop chooses.

        Raises
        ------
        ConfigurationError
            No limit has that name.
        """
        unknown = sorted({name for name, _ in choices} - set(cls.__slots__))
        if unknown:
            raise ConfigurationError(
                f"RAPPORT_DRIFT names {', '.join(unknown)}", remedy=f"choose from {', '.join(cls.__slots__)}"
            )
        return replace(cls(), **dict(choices))


@dataclass(frozen=True, slots=True)
class Moved:
    """How far one column moved.

    Attributes
    ----------
    psi, null
        The index, and how high it gets by chance alone with so many members.
    missing_then, missing_now
        Shares of members without a value.
    effect
        Mean absolute change of the score that the movement causes; None if it was not looked into.
    beyond
        Which limits it is beyond, chance included.
    """

    name: str
    psi: float
    null: float
    missing_then: float
    missing_now: float
    effect: float | None = None
    beyond: tuple[str, ...] = ()

    @property
    def matters(self) -> bool:
        """Whether a limit is passed and the scores feel it."""
        return bool(self.beyond) and (self.effect is None or "effect" in self.beyond)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A cohort whose horizon has passed: what was predicted, and what happened.

    Attributes
    ----------
    low, high
        95 % interval of observed less predicted, by bootstrap over members.
    """

    day: int
    model: str
    members: int
    predicted: float
    observed: float
    low: float
    high: float
    error: float
    auc: float | None
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """Everything about one model."""

    model: str
    since: int
    members_then: int
    members_now: int
    score: Moved
    features: tuple[Moved, ...]
    cohorts: tuple[Calibration, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why retraining is advised, in sentences; none if it is not."""
        found = [f"its scores moved: PSI {self.score.psi:.2f}, by chance {self.score.null:.2f}"] if self.score.beyond else []
        found += [
            f"{moved.name} moved (PSI {moved.psi:.2f}, missing {moved.missing_then:.0%} → {moved.missing_now:.0%}) and "
            f"changes scores by {moved.effect:.3f} on average"
            for moved in self.features
            if moved.matters and moved.effect is not None
        ]
        found += [
            f"{cohort.observed:.1%} left where {cohort.predicted:.1%} were expected" for cohort in self.cohorts if cohort.beyond
        ]
        return tuple(found)


def moved(name: str, then: Floats, now: Floats, *, limits: Limits, looked_at: int, seed: int = SEED) -> Moved:
    """How far a column moved between two samples, NaN being missing and a group of its own.

    Parameters
    ----------
    looked_at
        How many columns the report looks at: the chance of a false alarm is shared among them.
    """
    edges = _edges(then)
    counts_then, counts_now = _counts(then, edges), _counts(now, edges)
    index = float(psi(counts_then[None], counts_now[None])[0])
    null = null_of(counts_then, counts_now, chance=limits.chance / looked_at, seed=seed)
    missing_then, missing_now = float(np.isnan(then).mean()), float(np.isnan(now).mean())
    beyond = ("psi",) if index > max(limits.psi, null) else ()
    if abs(missing_now - missing_then) > limits.missing and index > null:
        beyond = (*beyond, "missing")
    return Moved(name, round(index, 4), round(null, 4), missing_then, missing_now, beyond=beyond)


def psi(then: NDArray[Any], now: NDArray[Any]) -> Floats:
    """Population stability index of each pair of rows of counts; shape (rows,). Empty groups count as half a member."""
    shares_then, shares_now = (
        np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum(axis=1, keepdims=True) for counts in (then, now)
    )
    index: Floats = ((shares_now - shares_then) * np.log(shares_now / shares_then)).sum(axis=1)
    return index


def null_of(then: NDArray[Any], now: NDArray[Any], *, chance: float, seed: int = SEED) -> float:
    """What the index exceeds with that probability where nothing changed: both samples drawn from the two pooled.

    Beyond what the draws can tell, the chi-squared approximation goes on: PSI is about (1/n + 1/m) times a chi-squared.
    """
    pooled = (then + now) / (then + now).sum()
    generator = np.random.default_rng(seed)
    drawn = psi(generator.multinomial(int(then.sum()), pooled, DRAWS), generator.multinomial(int(now.sum()), pooled, DRAWS))
    if chance * DRAWS >= 5:
        return float(np.quantile(drawn, 1 - chance))
    spread = np.quantile(drawn, 0.95)
    degrees = max(1, int((pooled > 0).sum()) - 1)
    return float(spread * _chi2(1 - chance, degrees) / _chi2(0.95, degrees))


def effect_of(score: Any, matrix: NDArray[np.float32], column: int, then: Floats, base: Floats) -> float:
    """Mean absolute change of the scores if one column stood where it was: values mapped back rank by rank.

    Parameters
    ----------
    score
        From a matrix to one number a row.
    base
        Scores of the matrix as it is.
    """
    back = matrix.copy()
    back[:, column] = mapped_back(matrix[:, column].astype(np.float64), then)
    return float(np.abs(score(back) - base).mean())


def mapped_back(now: Floats, then: Floats) -> Floats:
    """Values with the ranks of `now` and the distribution of `then`, its share of missing values included."""
    shares = (np.argsort(np.argsort(now, kind="stable"), kind="stable") + 0.5) / len(now)  # NaN sorts last in both
    ordered = np.sort(then)
    return np.asarray(ordered[np.minimum((shares * len(ordered)).astype(np.int64), len(ordered) - 1)], dtype=np.float64)


def calibration(
    predicted: Floats, happened: NDArray[np.bool_], *, day: int, model: str, limits: Limits, seed: int = SEED
) -> Calibration:
    """A cohort's predictions held against what happened. Beyond a limit if the interval of the difference is."""
    generator = np.random.default_rng(seed)
    difference = happened.astype(np.float64) - predicted
    draws = generator.poisson(1.0, (500, len(difference))) if len(difference) <= SAMPLE else None
    if draws is None:
        half = 1.96 * float(difference.std()) / np.sqrt(len(difference))
        low, high = float(difference.mean()) - half, float(difference.mean()) + half
    else:
        low, high = np.quantile((draws @ difference) / np.maximum(draws.sum(axis=1), 1), [0.025, 0.975])
    beyond = ("calibration",) if low > limits.calibration or high < -limits.calibration else ()
    groups = np.array_split(np.argsort(predicted, kind="stable"), GROUPS)
    error = sum(abs(float(difference[group].mean())) * len(group) for group in groups if len(group)) / len(predicted)
    return Calibration(
        day=day,
        model=model,
        members=len(predicted),
        predicted=float(predicted.mean()),
        observed=float(happened.mean()),
        low=float(low),
        high=float(high),
        error=float(error),
        auc=_auc(predicted, happened),
        beyond=beyond,
    )


def _auc(predicted: Floats, happened: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve; None where only one thing happened."""
    if happened.all() or not happened.any():
        return None
    from scipy.stats import rankdata

    ranks = rankdata(predicted)
    positive = int(happened.sum())
    return float((ranks[happened].sum() - positive * (positive + 1) / 2) / (positive * (len(happened) - positive)))


def _edges(then: Floats) -> Floats:
    known = then[~np.isnan(then)]
    shares = np.arange(1, GROUPS) / GROUPS
    return np.unique(np.quantile(known, shares, method="inverted_cdf")) if len(known) else np.empty(0)


def _counts(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """Members in each group; the last is that of missing values."""
    place = np.searchsorted(edges, values, side="left")
    place[np.isnan(values)] = len(edges) + 1
    return np.bincount(place, minlength=len(edges) + 2)


def _chi2(probability: float, degrees: int) -> float:
    from scipy.stats import chi2

    return float(chi2.ppf(probability, degrees))
