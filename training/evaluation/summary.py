"""Everything that is said about one recipe, computed from its evidence: what the report shows, as numbers only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics, weighted
from training.evaluation.campaign import Campaign, Plan, ValueCurve, net_gain, plan, planned_share, value_curve
from training.evaluation.comparison import PeriodSummary, compare
from training.evaluation.intervals import DRAWS, Interval, bootstrap, interval_of
from training.evaluation.sanity import require_sane
from training.evaluation.slices import BelowFloor, SliceFigures, below_floor, slice_figures
from training.evaluation.stability import Stability, stability
from training.evaluation.tasks import HEADLINE, Task, figures, ranking, real_and_said, said_by, task_of
from training.evidence import Evidence, Judged
from training.trained import SEED

SHARES = (0.01, 0.05, 0.1, 0.2)
STEPS = np.linspace(0, 1, 51)


@dataclass(frozen=True, slots=True)
class TopShare:
    """The top share by answer, mean over the periods: what happened among them, and what part of everything they hold."""

    share: float
    observed: Interval
    lift: float
    caught: float


@dataclass(frozen=True, slots=True)
class CaughtCurve:
    """Part of everything (leavers, members of the top tier, money) that the top share by answer holds; mean of the periods."""

    shares: Sequence[float]
    model: Sequence[float]
    baseline: Sequence[float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Predicted against observed in the newest period, and the error beside what chance alone would show."""

    groups: Sequence[metrics.Group]
    ece: float
    adaptive: float
    by_chance: float


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One tier or group in the newest period: members in it, members said to be in it, and the share of its members found."""

    label: str
    members: int
    said: int
    found: float


@dataclass(frozen=True, slots=True)
class Money:
    """A campaign under stated assumptions: the plan from the scores alone, the curve, and the gain over the best baseline."""

    campaign: Campaign
    plan: Plan
    curve: ValueCurve
    gain: Interval | None


@dataclass(frozen=True, slots=True)
class Further:
    """A further question that the recipe was judged by, means over the periods, with the gain over each baseline."""

    question: str
    serves: str
    rows: int
    figures: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    headline: Interval
    gains: Mapping[str, Interval]
    slices: Sequence[SliceFigures]


@dataclass(frozen=True, slots=True)
class Summary:
    """All numbers of a report. `gains` and `losses` are means over the periods, the loss turned so that more is better."""

    model: str
    engine: str
    task: Task
    definition: Mapping[str, Any]
    parameters: Mapping[str, Any]
    best_baseline: str | None
    periods: Sequence[PeriodSummary]
    figures: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    headline: Interval
    gains: Mapping[str, Interval]
    losses: Mapping[str, Interval]
    top: Sequence[TopShare]
    caught: CaughtCurve | None
    observed: float
    calibration: Calibration | None
    classes: Sequence[ClassFigures]
    slices: Sequence[SliceFigures]
    below_floor: Sequence[BelowFloor]
    stability: Sequence[Stability]
    money: Money | None
    further: Sequence[Further] = ()


def summarise(
    evidence: Evidence,
    *,
    campaign: Campaign | None = None,
    until_day: int | None = None,
    seed: int = SEED,
    draws: int = DRAWS,
) -> Summary:
    """All numbers of a report on evidence that passes every sanity check.

    Parameters
    ----------
    campaign
        Assumptions about contacts; used for a risk.
    until_day
        First local day after the facts, to check that every horizon has passed.

    Raises
    ------
    EvidenceRefused
        A sanity check fails.
    """
    require_sane(evidence, until_day=until_day)
    task = task_of(evidence)
    comparison = compare(task, evidence, seed=seed, draws=draws)
    best = best_baseline(task, evidence)
    slices = slice_figures(evidence, baseline=best, seed=seed, draws=draws)
    return Summary(
        model=evidence.model,
        engine=evidence.engine,
        task=task,
        definition=evidence.definition,
        parameters=evidence.parameters,
        best_baseline=best,
        periods=comparison.periods,
        figures=_mean_figures([one.figures for one in comparison.periods]),
        baselines={name: _mean_figures([one.baselines[name] for one in comparison.periods]) for name in evidence.baselines},
        headline=comparison.headline,
        gains=comparison.gains,
        losses=comparison.losses,
        top=top_shares(task, evidence, seed=seed, draws=draws),
        caught=caught_curve(task, evidence, best),
        observed=float(np.mean([one.observed for one in comparison.periods])),
        calibration=_calibration(task, evidence.judged[-1], seed),
        classes=class_figures(task, evidence),
        slices=slices,
        below_floor=below_floor(slices, task),
        stability=stability(evidence),
        money=_money(evidence, best, campaign or Campaign(), seed, draws) if task == "risk" else None,
        further=[_further(other, until_day, seed, draws) for other in evidence.further],
    )


def _further(evidence: Evidence, until_day: int | None, seed: int, draws: int) -> Further:
    require_sane(evidence, until_day=until_day)
    task = task_of(evidence)
    comparison = compare(task, evidence, seed=seed, draws=draws)
    return Further(
        question=str(evidence.definition.get("question", evidence.model)),
        serves=str(evidence.definition.get("serves", "")),
        rows=sum(len(one) for one in evidence.judged),
        figures=_mean_figures([one.figures for one in comparison.periods]),
        baselines={name: _mean_figures([one.baselines[name] for one in comparison.periods]) for name in evidence.baselines},
        headline=comparison.headline,
        gains=comparison.gains,
        slices=slice_figures(evidence, baseline=best_baseline(task, evidence), seed=seed, draws=draws),
    )


def best_baseline(task: Task, evidence: Evidence) -> str | None:
    """The baseline whose headline figure is highest, mean over the periods."""
    name = HEADLINE[task]

    def value(baseline: str) -> float:
        return float(np.mean([figures(task, one.truth, one.others[baseline])[name] for one in evidence.judged]))

    return max(evidence.baselines, key=value, default=None)


def top_shares(task: Task, evidence: Evidence, *, seed: int, draws: int = DRAWS) -> list[TopShare]:
    """What happened among the top 1, 5, 10 and 20 % by answer; of tiers, who was in the top one."""
    if task in ("groups", "lists"):
        return []
    judged = evidence.judged
    rows = [len(one) for one in judged]
    real, said = zip(*[real_and_said(task, one) for one in judged], strict=True)
    statistics = {
        str(share): weighted.mean_of([weighted.top_mean(r, s, share=share) for r, s in zip(real, said, strict=True)], rows)
        for share in SHARES
    }
    drawn = bootstrap(statistics, np.concatenate([one.member_ids for one in judged]), seed=seed, draws=draws)
    ones = np.ones(sum(rows))
    everyone = float(np.mean([r.mean() for r in real]))
    found = []
    for share in SHARES:
        value = statistics[str(share)](ones)
        caught = np.mean([metrics.share_caught(r, s, share=share) for r, s in zip(real, said, strict=True)])
        lift = value / everyone if everyone else float("nan")
        found.append(TopShare(share, interval_of(value, drawn[str(share)]), lift, float(caught)))
    return found


def caught_curve(task: Task, evidence: Evidence, baseline: str | None) -> CaughtCurve | None:
    """The curve of the model, and of a baseline (empty without one); None for groups and lists, which order nobody."""
    if task in ("groups", "lists"):
        return None
    real = [real_and_said(task, one)[0] for one in evidence.judged]
    said = [real_and_said(task, one)[1] for one in evidence.judged]
    theirs = [] if baseline is None else [ranking(task, one.others[baseline]) for one in evidence.judged]
    return CaughtCurve(
        [round(share, 2) for share in STEPS.tolist()],
        _caught_at_steps(real, said),
        _caught_at_steps(real, theirs) if theirs else [],
    )


def _caught_at_steps(real: Sequence[NDArray[np.float64]], said: Sequence[NDArray[np.float64]]) -> list[float]:
    curves = []
    for amount, answer in zip(real, said, strict=True):
        held = np.concatenate([[0.0], np.cumsum(amount[np.argsort(-answer, kind="stable")])])
        curves.append(np.interp(STEPS, np.linspace(0, 1, len(held)), held / held[-1] if held[-1] else held))
    return [float(value) for value in np.mean(curves, axis=0)]


def class_figures(task: Task, evidence: Evidence) -> list[ClassFigures]:
    """Every tier or group in order, labelled by the definition's `tiers` or `names`, else by its position."""
    newest = evidence.judged[-1]
    said = said_by(task, newest)
    if said is None:
        return []
    labels = evidence.definition.get("tiers") or evidence.definition.get("names") or range(newest.answer.shape[1])
    truth = newest.truth.astype(np.int64)
    found = []
    for position, label in enumerate(labels):
        own = truth == position
        share = float((said[own] == position).mean()) if own.any() else float("nan")
        found.append(ClassFigures(str(label), int(own.sum()), int((said == position).sum()), share))
    return found


def as_json(value: Any) -> Any:
    """Plain lists, dictionaries, numbers and text; a number that is not finite becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _mean_figures(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in found])) for name in found[0] if all(name in one for one in found)}


def _calibration(task: Task, newest: Judged, seed: int) -> Calibration | None:
    if task in ("groups", "lists"):
        return None
    real, said = real_and_said(task, newest)
    groups = metrics.reliability(real, said)
    if task == "amount":
        return Calibration(groups, float("nan"), float("nan"), float("nan"))
    happened = real > 0
    return Calibration(
        groups,
        ece=metrics.expected_calibration_error(happened, said),
        adaptive=metrics.adaptive_calibration_error(happened, said),
        by_chance=metrics.calibration_error_by_chance(said, seed=seed),
    )


def _money(evidence: Evidence, best: str | None, campaign: Campaign, seed: int, draws: int) -> Money:
    share = planned_share(evidence, campaign)
    return Money(
        campaign=campaign,
        plan=plan(evidence, campaign, share, seed=seed, draws=draws),
        curve=value_curve(evidence, campaign, seed=seed, draws=draws),
        gain=None if best is None else net_gain(evidence, best, campaign, share, seed=seed, draws=draws),
    )
