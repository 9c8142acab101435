"""By what each kind of model is judged at the gate: quality, calibration and bands, as functions of its answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.artifacts import BundleManifest
from training.evaluation.weighted import Statistic, Weights, auc, mean, quadratic_weighted_kappa, spearman
from training.evidence import Judged
from training.predictors.tier import cut_at

Answer = NDArray[np.float64]
Truth = NDArray[np.generic]
Rule = Mapping[str, Any]
"""What a recipe or a bundle says of how its answer is read: notes of a period, or parameters of a manifest."""
GROUPS = 10


def _as_it_is(answer: Answer, rule: Rule) -> Answer:
    return answer


@dataclass(frozen=True, slots=True)
class Measure:
    """How one kind of model is judged.

    Attributes
    ----------
    name, quality
        The figure that decides, more is better, and what it is for answers that know nothing (`chance`).
    calibration_name, calibration
        Distance of the answers from what happened, less is better.
    bands
        Which band each answer falls into, by the champion's manifest.
    said
        What an answer comes down to before its quality is measured, by the rule of whoever gave it.
    """

    name: str
    chance: float
    quality: Callable[[Truth, Answer], Statistic]
    calibration_name: str
    calibration: Callable[[Truth, Answer], Statistic]
    bands: Callable[[Answer, BundleManifest], NDArray[np.int64]]
    said: Callable[[Answer, Rule], Answer] = _as_it_is


def calibration_error(happened: Truth, probability: Answer) -> Statistic:
    """Expected calibration error over ten groups of equal size (Naeini et al. 2015); the groups are cut once."""
    order = np.argsort(probability, kind="stable")
    starts = np.unique(np.linspace(0, len(order), GROUPS + 1).astype(np.int64)[:-1])
    gap = (probability - happened.astype(np.float64))[order]

    def value(weights: Weights) -> float:
        return float(np.abs(np.add.reduceat(weights[order] * gap, starts)).sum() / weights.sum())

    return value


def tier_calibration(truth: Truth, probability: Answer) -> Statistic:
    """Mean over the tiers of each tier's expected calibration error; only what gives a probability a tier has one."""
    if probability.ndim == 1:
        return lambda weights: float("nan")
    parts = [calibration_error(truth == tier, probability[:, tier]) for tier in range(probability.shape[1])]
    return lambda weights: float(np.mean([part(weights) for part in parts]))


def total_error(truth: Truth, answer: Answer) -> Statistic:
    """How far the total of the answers is from the total of what happened, as a share of it."""
    actual = truth.astype(np.float64)
    return lambda weights: float(abs((weights * answer).sum() / (weights * actual).sum() - 1))


def positions(answer: Answer, rule: Rule) -> NDArray[np.int64]:
    """Tier of every row: the position that a baseline names, or how many `cuts` of the rule the expected position reaches.

    Without cuts it is the median of the probabilities.
    """
    if answer.ndim == 1:
        return np.rint(answer).astype(np.int64)
    cuts = rule.get("cuts")
    if cuts is not None:
        return cut_at(answer, tuple(cuts))
    return np.asarray((np.cumsum(answer, axis=1) >= 0.5).argmax(axis=1), dtype=np.int64)


def rule_of(manifest: BundleManifest) -> Rule:
    """What a bundle makes tiers of its probabilities by."""
    odds: Rule = manifest.parameters.get("odds", {})
    return odds


def _tier_named(answer: Answer, rule: Rule) -> Answer:
    return positions(answer, rule).astype(np.float64)


def _tier_quality(truth: Truth, answer: Answer) -> Statistic:
    return quadratic_weighted_kappa(truth.astype(np.int64), positions(answer, {}))


def groups_said(answer: Answer) -> NDArray[np.int64]:
    """Group of every row: the likeliest, or the position that a baseline names."""
    return np.asarray(answer.argmax(axis=1) if answer.ndim == 2 else np.rint(answer), dtype=np.int64)


def _agreement(truth: Truth, answer: Answer) -> Statistic:
    """Share of rows put into the group whose centre is nearest."""
    return mean(truth.astype(np.int64) == groups_said(answer))


def _churn_bands(answer: Answer, manifest: BundleManifest) -> NDArray[np.int64]:
    edges = sorted(manifest.parameters["bands"].values())[1:]
    return np.digitize(answer, edges).astype(np.int64)


def _fifths(answer: Answer, manifest: BundleManifest) -> NDArray[np.int64]:
    """Fifths of the answers' own order."""
    ranks = np.argsort(np.argsort(answer, kind="stable"), kind="stable")
    return np.asarray(ranks * 5 // max(len(answer), 1), dtype=np.int64)


def mean_answer(answer: Answer) -> Statistic:
    """Mean over members of what each row says already, such as the recall of their list."""
    return lambda weights: float((weights * answer).sum() / weights.sum()) if weights.sum() else float("nan")


def _no_calibration(truth: Truth, answer: Answer) -> Statistic:
    return lambda weights: float("nan")


MEASURES: Mapping[str, Measure] = {
    "churn": Measure(
        "auc", 0.5, lambda truth, answer: auc(truth.astype(np.bool_), answer), "ece", calibration_error, _churn_bands
    ),
    "tier": Measure(
        "qwk",
        0.0,
        _tier_quality,
        "ece",
        tier_calibration,
        lambda answer, manifest: positions(answer, rule_of(manifest)),
        _tier_named,
    ),
    "value": Measure(
        "spearman", 0.0, lambda truth, answer: spearman(truth.astype(np.float64), answer), "total error", total_error, _fifths
    ),
    "segments": Measure("agreement", 0.0, _agreement, "ece", tier_calibration, lambda answer, manifest: groups_said(answer)),
    "recommender": Measure(
        "recall20",
        0.0,
        lambda truth, answer: mean_answer(answer),
        "calibration",
        _no_calibration,
        lambda answer, manifest: np.zeros(len(answer), dtype=np.int64),  # lists put nobody into a band
    ),
}
"""By the model's name up to the first underscore: churn_h60_a180 is judged as churn."""


def measure_of(model: str) -> Measure | None:
    """How a model is judged row by row; None where it is not."""
    return MEASURES.get(model.split("_")[0])


def figures(model: str, judged: Judged) -> dict[str, float]:
    """Quality and calibration of one period, and the quality of each baseline, by the names that runs record them under."""
    measure = measure_of(model)
    if measure is None:
        return {}
    ones = np.ones(len(judged))
    found = {measure.name: measure.quality(judged.truth, measure.said(judged.answer, judged.notes))(ones)}
    found[measure.calibration_name.replace(" ", "_")] = measure.calibration(judged.truth, judged.answer)(ones)
    for name, answer in ((name, answer) for name, answer in judged.others.items() if "@" not in name):
        found[f"{name}.{measure.name}"] = measure.quality(judged.truth, answer)(ones)
    return {name: value for name, value in found.items() if np.isfinite(value)}
