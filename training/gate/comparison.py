"""Two who answered for the same rows, compared: quality, calibration and slices, by paired bootstrap over members."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import LEVEL, Interval, bootstrap, interval_of
from training.evaluation.weighted import Statistic, mean_of
from training.evidence import Evidence, Judged
from training.gate.contender import Limits
from training.gate.measures import Answer, Measure, Rule, Truth
from training.verdict import Difference

SEED = 7
DRAWS = 1000
FEWEST_OF_A_KIND = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """One period: evidence of the one, and the answer of the other on the same rows, read by a rule of its own."""

    judged: Judged
    other: Answer
    rule: Rule = field(default_factory=dict)

    def where(self, kept: NDArray[np.bool_]) -> "Pair":
        """The same on some of the rows."""
        return Pair(self.judged.where(kept), self.other[kept], self.rule)


def beside_baseline(evidence: Evidence, name: str) -> tuple[Pair, ...]:
    """The evidence beside one of its baselines."""
    return tuple(Pair(judged, judged.others[name]) for judged in evidence.judged)


def beside(mine: Evidence, theirs: Evidence) -> tuple[Pair, ...]:
    """Periods that both were judged on: same test day and horizon, same members, and the same truth of them."""
    found = []
    for judged in mine.judged:
        for other in theirs.judged:
            same_window = (judged.period.test, judged.period.horizon_days) == (other.period.test, other.period.horizon_days)
            if same_window and sorted(judged.member_ids.tolist()) == sorted(other.member_ids.tolist()):
                order = np.argsort(other.member_ids)[np.searchsorted(np.sort(other.member_ids), judged.member_ids)]
                if np.array_equal(other.truth[order], judged.truth):
                    found.append(Pair(judged, other.answer[order], other.notes))
    return tuple(found)


def asked_again(mine: Evidence, label: str) -> tuple[Pair, ...]:
    """Periods on which the version of that label was asked about the very rows that the evidence is about."""
    return tuple(Pair(judged, judged.others[label]) for judged in mine.judged if label in judged.others)


def quality(pairs: Sequence[Pair], measure: Measure, other: str, *, level: float = LEVEL) -> Difference:
    """Quality of both, mean over the periods, and the paired interval of the difference."""
    return _difference(_as_said(pairs, measure), measure.quality, measure.name, other, level=level)


def calibration(pairs: Sequence[Pair], measure: Measure, other: str) -> Difference:
    """Calibration of both, mean over the periods, and the paired interval of the difference; more is worse."""
    return _difference(pairs, measure.calibration, measure.calibration_name, other)


def mean_quality(pairs: Sequence[Pair], measure: Measure) -> tuple[float, float]:
    """Quality of both, mean over the periods."""
    mine, theirs, rows = _statistics(_as_said(pairs, measure), measure.quality)
    ones = np.ones(sum(rows))
    return mean_of(mine, rows)(ones), mean_of(theirs, rows)(ones)


def best_baseline(evidence: Evidence, measure: Measure) -> str | None:
    """The baseline with the highest quality over the periods; None where there is none."""
    by_name = {name: mean_quality(beside_baseline(evidence, name), measure)[1] for name in evidence.baselines}
    known = {name: value for name, value in by_name.items() if np.isfinite(value)}
    return max(known, key=lambda name: known[name]) if known else None


def low_slices(pairs: Sequence[Pair], measure: Measure, other: str, limits: Limits) -> list[tuple[str, Difference]]:
    """Slices in which quality falls below the other's by more than the margin, shown at a level for that many slices."""
    parts = {(name, label): part for name, label, part in _slices(pairs, limits.slice_rows)}
    found = []
    for (name, label), part in parts.items():
        mine, theirs = mean_quality(part, measure)
        if mine < theirs - limits.slice_margin:
            difference = quality(part, measure, other, level=1 - (1 - LEVEL) / len(parts))
            if difference.high < 0:
                found.append((f"{name} {label}", difference))
    return found


def _slices(pairs: Sequence[Pair], fewest: int) -> list[tuple[str, str, tuple[Pair, ...]]]:
    """Slices with enough rows, of which every period keeps the rows that tell outcomes apart."""
    names = [name for name in pairs[0].judged.slices if all(name in pair.judged.slices for pair in pairs)]
    found = []
    for name in names:
        labels = sorted({str(label) for pair in pairs for label in pair.judged.slices[name].tolist()})
        for label in labels:
            parts = [pair.where(pair.judged.slices[name].astype(str) == label) for pair in pairs]
            kept = tuple(part for part in parts if _tells_apart(part.judged.truth))
            if sum(len(part.judged) for part in kept) >= fewest:
                found.append((name, label, kept))
    return found


def _tells_apart(truth: Truth) -> bool:
    """Whether at least two outcomes occur often enough; amounts always do."""
    values, counts = np.unique(truth, return_counts=True)
    if len(values) > 10:
        return True
    return bool((counts >= FEWEST_OF_A_KIND).sum() >= 2)


def _as_said(pairs: Sequence[Pair], measure: Measure) -> tuple[Pair, ...]:
    """The pairs with what both answers come down to."""
    return tuple(
        Pair(
            replace(pair.judged, answer=measure.said(pair.judged.answer, pair.judged.notes)),
            measure.said(pair.other, pair.rule),
        )
        for pair in pairs
    )


def _statistics(
    pairs: Sequence[Pair], of: Callable[[Truth, Answer], Statistic]
) -> tuple[list[Statistic], list[Statistic], list[int]]:
    mine = [of(pair.judged.truth, pair.judged.answer) for pair in pairs]
    theirs = [of(pair.judged.truth, pair.other) for pair in pairs]
    return mine, theirs, [len(pair.judged) for pair in pairs]


def _difference(
    pairs: Sequence[Pair], of: Callable[[Truth, Answer], Statistic], name: str, other: str, *, level: float = LEVEL
) -> Difference:
    mine, theirs, rows = _statistics(pairs, of)
    both = {"mine": mean_of(mine, rows), "theirs": mean_of(theirs, rows)}
    members = np.concatenate([pair.judged.member_ids for pair in pairs])
    drawn = bootstrap(both, members, seed=SEED, draws=DRAWS)
    ones = np.ones(len(members))
    value, theirs_value = both["mine"](ones), both["theirs"](ones)
    interval: Interval = interval_of(value - theirs_value, drawn["mine"] - drawn["theirs"], level=level)
    return Difference(name, other, value, theirs_value, interval.low, interval.high)
