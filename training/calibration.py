"""Setting probabilities right on a window of their own: Platt scaling, an isotonic table or nothing; and intervals."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from training.predictors import Calibrator, IntervalTable

PARTS = 5
LEAST_OF_A_KIND = 10
"""Members of either outcome below which a window is too small to set anything right by."""
GROUP = 200
LEVEL = 0.9
POINTS = 41

Probabilities = NDArray[np.float64]
Outcomes = NDArray[np.bool_]
Window = tuple[Probabilities, Outcomes]
"""What was said of the members of a window, and what happened."""


def fit_calibrator(probability: Probabilities, happened: Outcomes, *, seed: int) -> Calibrator:
    """The calibrator that does best on members it was not fitted on, or no change where none does better than raw.

    Members are dealt into five parts at random; each part is judged by what the other four say (Brier score).
    """
    if min(happened.sum(), (~happened).sum()) < LEAST_OF_A_KIND:
        return Calibrator()
    part = np.random.default_rng(seed).integers(0, PARTS, len(happened))
    loss = {"none": float(((probability - happened) ** 2).sum())}
    for method, fit in _METHODS.items():
        loss[method] = 0.0
        for mine in (part == number for number in range(PARTS)):
            if len(set(happened[~mine].tolist())) < 2:
                return Calibrator()
            answer = fit(probability[~mine], happened[~mine]).apply(probability[mine])
            loss[method] += float(((answer - happened[mine]) ** 2).sum())
    best = min(loss, key=lambda method: loss[method])
    return Calibrator() if best == "none" else _METHODS[best](probability, happened)


def calibrator_over_time(earlier: Window, latest: Window, *, seed: int) -> Calibrator:
    """The calibrator fitted on the latest window, of the kind that fitted on the window before it did best there, or none.

    What one window was off by may be a drift that is over: a method ships only where it was right a horizon later (Brier
    score). Where the earlier window is too small to fit on, members of the latest decide.

    Parameters
    ----------
    earlier, latest
        What a model said that knew nothing of the window, and what happened; a horizon apart.
    """
    if min(earlier[1].sum(), (~earlier[1]).sum()) < LEAST_OF_A_KIND:
        return fit_calibrator(*latest, seed=seed)
    if min(latest[1].sum(), (~latest[1]).sum()) < LEAST_OF_A_KIND:
        return Calibrator()
    raw, happened = latest
    loss = {"none": float(((raw - happened) ** 2).sum())}
    for method, fit in _METHODS.items():
        loss[method] = float(((fit(*earlier).apply(raw) - happened) ** 2).sum())
    best = min(loss, key=lambda method: loss[method])
    return Calibrator() if best == "none" else _METHODS[best](raw, happened)


def platt(probability: Probabilities, happened: Outcomes) -> Calibrator:
    """Slope and offset on the logit (Platt 1999); no change if the slope would turn the order round."""
    clipped = np.clip(probability, 1e-7, 1 - 1e-7)
    logit = np.log(clipped / (1 - clipped)).reshape(-1, 1)
    fitted = LogisticRegression(C=1e6).fit(logit, happened)
    slope = float(fitted.coef_[0, 0])
    return Calibrator(slope=slope, offset=float(fitted.intercept_[0])) if slope > 0 else Calibrator()


def isotonic(probability: Probabilities, happened: Outcomes) -> Calibrator:
    """Straight lines through the middles of the blocks of an isotonic fit, from (0, 0) to (1, 1), so that the order stays.

    Zadrozny and Elkan 2002; the middles, because steps would tie members whom the model tells apart.
    """
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit(probability, happened).predict(probability)
    blocks = [level for level in np.unique(fitted).tolist() if 0 < level < 1]
    raw = [float(probability[fitted == level].mean()) for level in blocks]
    return Calibrator(raw=(0.0, *raw, 1.0), share=(0.0, *blocks, 1.0))


def interval_table(
    answer: Probabilities, happened: Outcomes, *, group: int = GROUP, level: float = LEVEL, points: int = POINTS
) -> IntervalTable | None:
    """For each score, between which shares a group of members with about this score leaves; None if the window is too small.

    The members next to a score in rank tell how many leave (Jeffreys prior); what another group of the same size will do
    is beta-binomial. So the interval holds the doubt about the rate and the chance in the group, but no drift: how
    often it holds on later windows has to be measured.
    """
    size = min(group, len(answer) // 5)
    if size < LEAST_OF_A_KIND:
        return None
    order = np.argsort(answer, kind="stable")
    sorted_answer, left = answer[order], np.concatenate([[0], np.cumsum(happened[order])])
    starts = np.unique(np.linspace(0, len(answer) - size, points).round().astype(np.int64))
    middle = np.array([sorted_answer[start : start + size].mean() for start in starts])
    events = left[starts + size] - left[starts]
    chance = betabinom(size, events + 0.5, size - events + 0.5)
    low, high = chance.ppf((1 - level) / 2) / size, chance.ppf((1 + level) / 2) / size
    scores, kept = np.unique(middle, return_index=True)
    low, high = np.maximum.accumulate(low)[kept], np.maximum.accumulate(high)[kept]
    return IntervalTable(_digits(scores), _digits(low), _digits(high), level=level, group=size)


def coverage(answer: Probabilities, low: Probabilities, high: Probabilities, happened: Outcomes, *, group: int) -> float:
    """Share of groups of neighbours in score, of this size, whose share of leavers lies in their mean interval."""
    groups = np.array_split(np.argsort(answer, kind="stable"), max(1, len(answer) // group))
    inside = [low[g].mean() <= happened[g].mean() <= high[g].mean() for g in groups]
    return float(np.mean(inside))


def _digits(values: Probabilities) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values.tolist())


_METHODS: Mapping[str, Callable[[Probabilities, Outcomes], Calibrator]] = {"platt": platt, "isotonic": isotonic}
