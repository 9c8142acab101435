"""Whether answers are answers at all: numbers, not all the same, the right way up, and better than chance and a baseline."""

import numpy as np

from training.evidence import Evidence
from training.gate.comparison import Pair, beside_baseline, best_baseline, calibration, mean_quality, quality
from training.gate.contender import Limits
from training.gate.measures import Measure
from training.verdict import Difference, Finding, Reason

SAME_SHARE = 0.995
LEAST_DISTANCE = 0.02


def broken(evidence: Evidence) -> list[Finding]:
    """Scores that are not numbers, or (almost) all the same: nothing else can be said of such a model."""
    for judged in evidence.judged:
        odd = int((~np.isfinite(judged.answer)).reshape(len(judged), -1).any(axis=1).sum())
        if odd:
            return [
                Finding(Reason.NOT_A_NUMBER, f"{odd:,} of {len(judged):,} members in the period of day {judged.period.test}.")
            ]
    for judged in evidence.judged:
        rows = np.round(judged.answer.reshape(len(judged), -1), 9)
        share = float(np.unique(rows, axis=0, return_counts=True)[1].max() / len(rows))
        if share >= SAME_SHARE:
            return [
                Finding(Reason.CONSTANT, f"{share:.1%} of the members of the period of day {judged.period.test} share one.")
            ]
    return []


def against_baselines(evidence: Evidence, measure: Measure, limits: Limits) -> tuple[list[Finding], list[Difference]]:
    """Findings against a model that is upside down, knows nothing, or does worse than the best baseline."""
    name = best_baseline(evidence, measure)
    if name is None:
        return [], []
    pairs = beside_baseline(evidence, name)
    difference = quality(pairs, measure, name)
    if not np.isfinite(difference.value):
        return [Finding(Reason.NO_EVIDENCE, "A test window holds a single outcome.")], []
    distance = max(difference.other - measure.chance, LEAST_DISTANCE)
    skill = (difference.value - measure.chance) / distance
    if skill < -0.5:
        return [Finding(Reason.INVERTED, f"{difference}.")], [difference]
    if skill < limits.no_skill:
        return [Finding(Reason.NO_SKILL, f"{difference}; chance is {measure.chance:g}.")], [difference]
    if difference.high < 0 or difference.gain < -limits.baseline_margin:
        return [Finding(Reason.WORSE_THAN_BASELINE, f"{difference}.")], [difference]
    return [], [difference]


def answered_in_part(evidence: Evidence, measure: Measure) -> list[str]:
    """A sentence on each baseline without an answer in some periods, as without a fit there; it is not compared."""
    found = []
    names = dict.fromkeys(name for judged in evidence.judged for name in judged.others if "@" not in name)
    for name in (name for name in names if name not in evidence.baselines):
        there = [Pair(judged, judged.others[name]) for judged in evidence.judged if name in judged.others]
        mine, theirs = mean_quality(there, measure)
        figures = f"{measure.name} {theirs:.4f} there beside {mine:.4f}"
        found.append(f"Not compared: {name}, as it answered in {len(there)} of {len(evidence.judged)} periods ({figures}).")
    return found


def calibration_beside_baselines(
    evidence: Evidence, measure: Measure, limits: Limits
) -> tuple[list[Finding], list[Difference]]:
    """A first champion's calibration beside that of the best-calibrated baseline that gives probabilities or amounts."""
    found = []
    for name in evidence.baselines:
        if all(_comparable(judged.others[name], judged.answer) for judged in evidence.judged):
            difference = calibration(beside_baseline(evidence, name), measure, name)
            if np.isfinite(difference.other):
                found.append(difference)
    if not found:
        return [], []
    best = min(found, key=lambda difference: difference.other)
    return worse_calibrated(best, limits), [best]


def worse_calibrated(difference: Difference, limits: Limits, *, in_doubt: bool = False) -> list[Finding]:
    """The finding if the error is larger than the margin allows and that is shown; `in_doubt`, if either is so.

    Against a champion doubt counts for the champion. Against a baseline, which knows less, it counts for the model.
    """
    large, shown = difference.gain > limits.calibration_margin, difference.low > 0
    material = difference.gain > limits.calibration_margin / 4
    if (large and shown) or (in_doubt and (large or (shown and material))):
        return [Finding(Reason.CALIBRATION_WORSE, f"{difference}.")]
    return []


def _comparable(other: np.ndarray, answer: np.ndarray) -> bool:
    """Whether a baseline's answers are of the same nature: probabilities where the model gives some."""
    if other.ndim != answer.ndim or not np.isfinite(other).all():
        return False
    probabilities = bool((answer >= 0).all() and (answer <= 1).all())
    return not probabilities or bool((other >= 0).all() and (other <= 1).all())
