"""Metrics, each with its source."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

MOST_GROUPS = 100
Numbers = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class BinaryReport:
    """How well probabilities of one class stand up against what happened.

    Attributes
    ----------
    auc
        Area under the ROC curve: chance that a leaver is ranked above one who stays.
    average_precision
        Area under the precision-recall curve, as a step function.
    brier
        Mean squared error of the probability (Brier 1950).
    calibration_error
        Expected calibration error over ten groups of equal size (Naeini et al. 2015).
    lift_top_tenth
        Share of the class among the top tenth by score, over its share among all.
    """

    rows: int
    rate: float
    auc: float
    average_precision: float
    brier: float
    calibration_error: float
    lift_top_tenth: float


def binary_report(happened: NDArray[np.bool_], probability: Numbers) -> BinaryReport:
    """The report on one test window; `happened` must hold both classes."""
    return BinaryReport(
        rows=len(happened),
        rate=float(happened.mean()),
        auc=float(metrics.roc_auc_score(happened, probability)),
        average_precision=float(metrics.average_precision_score(happened, probability)),
        brier=float(metrics.brier_score_loss(happened, np.clip(probability, 0, 1))),
        calibration_error=expected_calibration_error(happened, probability),
        lift_top_tenth=lift(happened, probability, share=0.1),
    )


def expected_calibration_error(happened: NDArray[np.bool_], probability: Numbers, *, groups: int = 10) -> float:
    """Mean distance between predicted and observed share over groups of equal size, weighted by size."""
    order = np.argsort(probability, kind="stable")
    gaps = [
        len(part) * abs(float(probability[part].mean()) - float(happened[part].mean()))
        for part in np.array_split(order, groups)
        if len(part)
    ]
    return float(sum(gaps) / len(happened))


def lift(happened: NDArray[np.bool_], score: Numbers, *, share: float) -> float:
    """How much more often it happened among the top share by score than among all."""
    top = np.argsort(-score, kind="stable")[: max(1, round(share * len(score)))]
    return float(happened[top].mean() / happened.mean())


def quadratic_weighted_kappa(actual: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """Agreement on an ordered scale beyond chance, distance counted squared (Cohen 1968)."""
    return float(metrics.cohen_kappa_score(actual, predicted, weights="quadratic"))


def recall_at(lists: NDArray[np.integer], bought: list[set[int]]) -> float:
    """Mean over members of the share of what they bought that stands in their list.

    Parameters
    ----------
    lists
        Catalogue rows, shape (members, k); -1 where a list is shorter.
    bought
        Catalogue rows each member bought in the test window; members with none are left out.
    """
    shares = [len(set(row.tolist()) & truth) / len(truth) for row, truth in zip(lists, bought, strict=True) if truth]
    return float(np.mean(shares)) if shares else float("nan")


def paired_interval(
    metric_gain: NDArray[np.float64], *, seed: int, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of the mean of per-member differences (Efron 1979); it covers 0 where no gain is shown."""
    generator = np.random.default_rng(seed)
    picks = generator.integers(0, len(metric_gain), size=(draws, len(metric_gain)))
    means = metric_gain[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows with similar answers: how many, what was said on average, what happened on average."""

    rows: int
    predicted: float
    observed: float


def reliability(happened: NDArray[np.generic], answer: Numbers, *, groups: int = 10) -> list[Group]:
    """Groups of equal size by answer, lowest first; in a reliable model `observed` follows `predicted`."""
    order = np.argsort(answer, kind="stable")
    return [
        Group(len(part), float(answer[part].mean()), float(happened[part].astype(np.float64).mean()))
        for part in np.array_split(order, groups)
        if len(part)
    ]


def adaptive_calibration_error(happened: NDArray[np.bool_], probability: Numbers) -> float:
    """The same error with the number of groups chosen from the data: the most for which observed shares still rise.

    Roelofs et al. 2022 ("ECE sweep"): few groups hide errors, many measure noise.
    """
    error = abs(float(probability.mean()) - float(happened.mean()))
    for groups in range(2, min(len(happened), MOST_GROUPS) + 1):
        found = reliability(happened, probability, groups=groups)
        if any(after.observed < before.observed for before, after in pairwise(found)):
            break
        error = expected_calibration_error(happened, probability, groups=groups)
    return error


def calibration_error_by_chance(probability: Numbers, *, seed: int, draws: int = 200) -> float:
    """Mean error that a model without any would show on as many rows: outcomes are drawn from its own probabilities."""
    generator = np.random.default_rng(seed)
    ordered = np.sort(np.clip(probability, 0, 1))
    starts = np.array([part[0] for part in np.array_split(np.arange(len(ordered)), min(10, len(ordered)))])
    happened = generator.random((draws, len(ordered))) < ordered
    gaps = np.add.reduceat(happened - ordered, starts, axis=1)
    return float(np.abs(gaps).sum(axis=1).mean() / len(ordered))


def share_caught(amount: NDArray[np.generic], score: Numbers, *, share: float) -> float:
    """Part of the total amount (of leavers, of money) that the top share of rows by score holds."""
    top = np.argsort(-score, kind="stable")[: max(1, round(share * len(score)))]
    total = float(amount.astype(np.float64).sum())
    return float(amount[top].astype(np.float64).sum()) / total if total else float("nan")


def log_loss(happened: NDArray[np.bool_], probability: Numbers) -> float:
    """Mean negative log-likelihood of what happened; a certain miss costs as much as one in 10^15."""
    return float(metrics.log_loss(happened, np.clip(probability, 1e-15, 1 - 1e-15), labels=[False, True]))


def spearman(one: Numbers, other: Numbers) -> float:
    """Correlation of mid-ranks (Spearman 1904); unknown where one of them does not vary."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(stats.spearmanr(one, other).statistic)


def total_bias(actual: NDArray[np.generic], predicted: Numbers) -> float:
    """How far the predicted total lies above the real one, as a share of it; below is negative."""
    total = float(actual.astype(np.float64).sum())
    return float(predicted.sum()) / total - 1 if total else float("nan")
