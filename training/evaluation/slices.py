"""Figures of every slice of members: ranking, calibration in the large, and whether a slice falls below its floor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation import weighted
from training.evaluation.intervals import DRAWS, Interval, bootstrap, interval_of
from training.evaluation.metrics import expected_calibration_error
from training.evaluation.tasks import Task, headline_statistic, ranking, said_by, task_of
from training.evaluation.tasks import happened_at_top as observed_of
from training.evidence import Evidence

ENOUGH_ROWS = 200
ENOUGH_OF_EACH = 20
LARGEST_GAP = 0.05
"""Shares of members that a predicted risk may be off in a slice; of money, part of the slice's real mean."""
LARGEST_LOSS = 0.02
"""How far the headline figure of a slice may be shown to lie below the baseline's."""


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """One slice, all test periods together.

    Attributes
    ----------
    observed, predicted
        Mean of what happened and of what was said: a share, or money.
    gap
        Predicted less observed, with its bootstrap interval over members: calibration in the large.
    headline, gain
        The task's headline figure here, and its difference to the baseline's with a paired interval; None with too few rows.
    ece
        Expected calibration error of a risk here; None with too few rows.
    enough
        Whether there are rows enough, and enough of both outcomes, to judge the slice.
    """

    name: str
    label: str
    rows: int
    observed: float
    predicted: float
    gap: Interval
    headline: float | None = None
    gain: Interval | None = None
    ece: float | None = None
    enough: bool = False


@dataclass(frozen=True, slots=True)
class BelowFloor:
    """Why a slice falls below its floor, in words."""

    name: str
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Rows:
    """All periods, one below the other."""

    task: Task
    members: NDArray[np.str_]
    truth: NDArray[np.generic]
    answer: NDArray[np.float64]
    baseline: NDArray[np.float64] | None
    said: NDArray[np.int64] | None

    def where(self, kept: NDArray[np.bool_]) -> "_Rows":
        baseline = None if self.baseline is None else self.baseline[kept]
        said = None if self.said is None else self.said[kept]
        return _Rows(self.task, self.members[kept], self.truth[kept], self.answer[kept], baseline, said)


def slice_figures(
    evidence: Evidence, *, baseline: str | None, seed: int, draws: int = DRAWS, enough_rows: int = ENOUGH_ROWS
) -> list[SliceFigures]:
    """Figures of every label of every slice that all periods know, in the order of names and labels."""
    judged, task = evidence.judged, task_of(evidence)
    known = [said for said in (said_by(task, one) for one in judged) if said is not None]
    rows = _Rows(
        task,
        np.concatenate([one.member_ids for one in judged]),
        np.concatenate([one.truth for one in judged]),
        np.concatenate([one.answer for one in judged]),
        None if baseline is None else np.concatenate([one.others[baseline] for one in judged]),
        None if not known else np.concatenate(known),
    )
    found: list[SliceFigures] = []
    for name in sorted(set.intersection(*(set(one.slices) for one in judged))):
        labels = np.concatenate([one.slices[name] for one in judged])
        found.extend(
            _one_slice(name, str(label), rows.where(labels == label), seed, draws, enough_rows) for label in np.unique(labels)
        )
    return found


def below_floor(
    slices: Sequence[SliceFigures],
    task: Task,
    *,
    largest_gap: float = LARGEST_GAP,
    largest_loss: float = LARGEST_LOSS,
) -> list[BelowFloor]:
    """Slices with enough rows in which the model is shown to rank worse than the baseline, or to be off on average.

    "Shown" means that the whole 95 % interval lies beyond what is allowed; a slice with too few rows is not judged.
    """
    found = []
    for one in (one for one in slices if one.enough):
        if one.gain is not None and one.gain.high < -largest_loss:
            found.append(BelowFloor(one.name, one.label, f"ranks worse than the baseline by {-one.gain.value:.3f}"))
        allowed = largest_gap * (abs(one.observed) if task == "amount" else 1)
        if one.gap.low > allowed or one.gap.high < -allowed:
            found.append(BelowFloor(one.name, one.label, _off(one, task)))
    return found


def _off(one: SliceFigures, task: Task) -> str:
    if task == "amount":
        return f"says {one.gap.value / one.observed:+.0%} of what was spent"
    if task == "groups":
        return f"is {one.predicted:.1%} sure where it is right for {one.observed:.1%}"
    return f"says {one.predicted:.1%} where {one.observed:.1%} happened"


def _one_slice(name: str, label: str, rows: _Rows, seed: int, draws: int, enough_rows: int) -> SliceFigures:
    happened, said = _observed_and_predicted(rows)
    enough = len(happened) >= enough_rows and _both_outcomes(rows)
    statistics: dict[str, weighted.Statistic] = {"gap": weighted.mean(said - happened)}
    if enough:
        statistics["mine"] = headline_statistic(rows.task, rows.truth, rows.answer, said=rows.said)
        if rows.baseline is not None:
            statistics["theirs"] = headline_statistic(rows.task, rows.truth, rows.baseline)
    drawn = bootstrap(statistics, rows.members, seed=seed, draws=draws)
    values = {key: statistic(np.ones(len(happened))) for key, statistic in statistics.items()}
    ece = expected_calibration_error(happened > 0, said) if enough and rows.task == "risk" else None
    return SliceFigures(
        name=name,
        label=label,
        rows=len(happened),
        observed=float(happened.mean()),
        predicted=float(said.mean()),
        gap=interval_of(values["gap"], drawn["gap"]),
        headline=values.get("mine"),
        gain=_gain(values, drawn),
        ece=ece,
        enough=enough,
    )


def _gain(values: Mapping[str, float], drawn: Mapping[str, NDArray[np.float64]]) -> Interval | None:
    if "theirs" not in values:
        return None
    return interval_of(values["mine"] - values["theirs"], drawn["mine"] - drawn["theirs"])


def _observed_and_predicted(rows: _Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What happened and what was said; for groups, whether the answer was right and how sure it was; of lists one recall."""
    if rows.task == "lists":
        return rows.answer, rows.answer
    if rows.task == "groups":
        return (rows.answer.argmax(axis=1) == rows.truth).astype(np.float64), rows.answer.max(axis=1)
    classes = rows.answer.shape[1] if rows.answer.ndim == 2 else 0
    return observed_of(rows.task, rows.truth, classes), ranking(rows.task, rows.answer)


def _both_outcomes(rows: _Rows) -> bool:
    if rows.task == "amount":
        return len(np.unique(rows.truth)) > 1
    if rows.task != "risk":
        return True
    left = int(rows.truth.astype(np.int64).sum())
    return min(left, len(rows.truth) - left) >= ENOUGH_OF_EACH
