"""A model beside its baselines, period by period and on average, every interval from the same resamples of members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.days import calendar_day
from training.evaluation import weighted
from training.evaluation.intervals import Interval, bootstrap, interval_of
from training.evaluation.tasks import (
    Task,
    figures,
    headline_statistic,
    loss_statistic,
    model_figures,
    real_and_said,
    said_by,
    tier_calibration,
)
from training.evidence import Evidence, Judged


@dataclass(frozen=True, slots=True)
class PeriodSummary:
    """One test period: its days, the model's figures, each baseline's, and the difference in the headline figure."""

    fitted_until: str
    test_from: str
    test_to: str
    held_out: bool
    rows: int
    observed: float
    predicted: float
    figures: Mapping[str, float]
    headline: Interval
    baselines: Mapping[str, Mapping[str, float]]
    gains: Mapping[str, Interval]
    by_class: Sequence[float]
    notes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every period, and the means over them: the headline figure, and gains over each baseline in it and in the loss."""

    periods: list[PeriodSummary]
    headline: Interval
    gains: dict[str, Interval]
    losses: dict[str, Interval]


def compare(task: Task, evidence: Evidence, *, seed: int, draws: int) -> Comparison:
    """Figures of every period with intervals, all from the same resamples of members, and their means over the periods."""
    judged, baselines = evidence.judged, evidence.baselines
    parts = {("", "headline"): [headline_statistic(task, one.truth, one.answer, said=said_by(task, one)) for one in judged]}
    for name in baselines:
        parts[name, "headline"] = [headline_statistic(task, one.truth, one.others[name]) for one in judged]
    for name in ("", *baselines):
        losses = [loss_statistic(task, one.truth, one.others[name] if name else one.answer) for one in judged]
        known = [loss for loss in losses if loss is not None]
        if len(known) == len(judged):
            parts[name, "loss"] = known
    drawn = _drawn_by_period(parts, judged, seed=seed, draws=draws)
    model, loss = drawn["", "headline"], drawn.get(("", "loss"))
    return Comparison(
        periods=[
            _period(task, one, model.at(row), {name: drawn[name, "headline"].gain(model, row) for name in baselines})
            for row, one in enumerate(judged)
        ],
        headline=model.at(None),
        gains={name: drawn[name, "headline"].gain(model, None) for name in baselines},
        losses={
            name: -drawn[name, "loss"].gain(loss, None) for name in baselines if loss is not None and (name, "loss") in drawn
        },
    )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One statistic in every period: its values, shape (periods,), and resampled values, shape (periods, draws)."""

    values: NDArray[np.float64]
    drawn: NDArray[np.float64]

    def at(self, row: int | None) -> Interval:
        """With its interval in one period, or as the mean over all of them."""
        if row is None:
            return interval_of(float(self.values.mean()), self.drawn.mean(axis=0))
        return interval_of(float(self.values[row]), self.drawn[row])

    def gain(self, model: "_Drawn", row: int | None) -> Interval:
        """What the model has more than this."""
        return _Drawn(model.values - self.values, model.drawn - self.drawn).at(row)


def _drawn_by_period(
    parts: Mapping[tuple[str, str], list[weighted.Statistic]], judged: Sequence[Judged], *, seed: int, draws: int
) -> dict[tuple[str, str], _Drawn]:
    members = np.concatenate([one.member_ids for one in judged])
    ends = np.cumsum([len(one) for one in judged])
    spans = [slice(end - len(one), end) for end, one in zip(ends, judged, strict=True)]
    flat = {
        f"{name}|{kind}|{row}": _on(statistic, spans[row])
        for (name, kind), statistics in parts.items()
        for row, statistic in enumerate(statistics)
    }
    resampled = bootstrap(flat, members, seed=seed, draws=draws)
    ones = np.ones(len(members))
    found = {}
    for name, kind in parts:
        keys = [f"{name}|{kind}|{row}" for row in range(len(judged))]
        found[name, kind] = _Drawn(np.array([flat[key](ones) for key in keys]), np.array([resampled[key] for key in keys]))
    return found


def _on(statistic: weighted.Statistic, span: slice) -> weighted.Statistic:
    return lambda weights: statistic(weights[span])


def _period(task: Task, one: Judged, headline: Interval, gains: Mapping[str, Interval]) -> PeriodSummary:
    period = one.period
    real, said = real_and_said(task, one)
    last = max((day for day in period.days if day != period.test), default=None)
    return PeriodSummary(
        fitted_until="" if last is None else str(calendar_day(last + period.horizon_days - 1)),
        test_from=str(calendar_day(period.test)),
        test_to=str(calendar_day(period.test + period.horizon_days - 1)),
        held_out=period.held_out,
        rows=len(one),
        observed=float(real.mean()),
        predicted=float(said.mean()),
        figures=model_figures(task, one),
        headline=headline,
        baselines={name: figures(task, one.truth, answer) for name, answer in one.others.items()},
        gains=gains,
        by_class=tier_calibration(one.truth, one.answer) if one.answer.ndim == 2 else [],
        notes=one.notes,
    )
