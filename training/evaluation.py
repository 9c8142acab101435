"""Metrics, each with its source, and the tables that put a model beside its baselines."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

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
