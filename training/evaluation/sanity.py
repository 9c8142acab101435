"""Checks that evidence has to pass before anybody reads its figures: each finding makes the run fail."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from features.days import calendar_day
from features.errors import EvidenceRefused
from training.evaluation.tasks import Task, headline_statistic, ranking, said_by, task_of
from training.evidence import Evidence, Judged

FEWEST_ROWS = 50
SUSPICIOUS_AUC = 0.99


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a run.

    Attributes
    ----------
    code
        NO_PERIOD, NOT_A_NUMBER, SINGLE_CLASS, TOO_FEW_ROWS, CONSTANT, OUT_OF_RANGE, INVERTED, TOO_GOOD, MEMBER_TWICE,
        WINDOWS_OVERLAP or HORIZON_NOT_PASSED.
    message
        Where, in words.
    """

    code: str
    message: str


def without_thin(evidence: Evidence) -> tuple[Evidence, list[str]]:
    """The evidence without test windows of too few rows, where others are left; and what was left out, in words."""
    kept, left_out = _thick(evidence)
    further = [_thick(other)[0] for other in evidence.further]
    some = tuple(other for other in further if any(len(one) >= FEWEST_ROWS for one in other.judged))
    return replace(kept, further=some), left_out


def _thick(evidence: Evidence) -> tuple[Evidence, list[str]]:
    kept = tuple(one for one in evidence.judged if len(one) >= FEWEST_ROWS)
    if not kept:
        return evidence, []
    thin = (one for one in evidence.judged if len(one) < FEWEST_ROWS)
    words = [f"test window of {_day(one)}: {len(one)} rows, fewer than {FEWEST_ROWS}" for one in thin]
    return replace(evidence, judged=kept), words


def sanity(evidence: Evidence, *, until_day: int | None = None) -> list[Finding]:
    """Everything that is wrong with a run, in the order of its periods.

    Parameters
    ----------
    until_day
        First local day after the facts, to see whether every horizon has passed; not checked without it.
    """
    if not evidence.judged:
        return [Finding("NO_PERIOD", f"{evidence.model} was judged on no test period")]
    task = task_of(evidence)
    return [
        Finding(finding.code, f"{evidence.model} ({evidence.engine}), test window of {_day(one)}: {finding.message}")
        for one in evidence.judged
        for finding in (*_windows(one, until_day), *_rows(task, one), *_answers(task, one))
    ]


def require_sane(evidence: Evidence, *, until_day: int | None = None) -> None:
    """Raise EvidenceRefused with every finding, if there is any."""
    findings = sanity(evidence, until_day=until_day)
    if findings:
        raise EvidenceRefused(
            "; ".join(f"{finding.code}: {finding.message}" for finding in findings),
            remedy=_remedy(findings),
        )


def _remedy(findings: Sequence[Finding]) -> str:
    if {finding.code for finding in findings} == {"TOO_FEW_ROWS"}:
        return "wait for more members, or import more of them: figures on so few would mean nothing"
    return "mend the data or the model; figures on such answers would mean nothing"


def _day(one: Judged) -> str:
    return calendar_day(one.period.test).isoformat()


def _windows(one: Judged, until_day: int | None) -> Iterator[Finding]:
    """The label of every window ends before the next begins, and the last one before the facts end."""
    period = one.period
    groups = [day for day in (*period.train[-1:], period.validation, period.calibration, period.test) if day is not None]
    if any(later - earlier < period.horizon_days for earlier, later in pairwise(groups)):
        yield Finding("WINDOWS_OVERLAP", f"less than {period.horizon_days} days lie between two windows")
    if until_day is not None and period.test + period.horizon_days > until_day:
        end = calendar_day(period.test + period.horizon_days)
        yield Finding("HORIZON_NOT_PASSED", f"its labels need facts until {end}; they end on {calendar_day(until_day)}")


def _rows(task: Task, one: Judged) -> Iterator[Finding]:
    if len(one) < FEWEST_ROWS:
        yield Finding("TOO_FEW_ROWS", f"{len(one)} rows, fewer than {FEWEST_ROWS}")
    if len(np.unique(one.member_ids)) < len(one):
        yield Finding("MEMBER_TWICE", "a member stands in it more than once")
    if len(np.unique(one.truth)) < 2 and task != "lists":  # members may well buy one thing each
        yield Finding("SINGLE_CLASS", "the same happened to everybody")


def _answers(task: Task, one: Judged) -> Iterator[Finding]:
    """Numbers first: nothing is compared or cut before it is known to be one."""
    named = {"the model": one.answer, **{f"the baseline {name}": answer for name, answer in one.others.items()}}
    broken = [(who, int((~np.isfinite(answer)).sum())) for who, answer in named.items() if not np.isfinite(answer).all()]
    for who, count in broken:
        yield Finding("NOT_A_NUMBER", f"{count} answers of {who} are NaN or infinite")
    if broken or len(one) == 0:
        return
    if np.ptp(ranking(task, one.answer)) == 0 and (one.answer.ndim == 1 or np.ptp(one.answer, axis=0).max() == 0):
        yield Finding("CONSTANT", "the model says the same of everybody")
        return
    yield from _RANGES[task](one)
    if len(np.unique(one.truth)) > 1 and task != "lists":  # recall of a list is judged already: chance is none
        yield from _ranks(task, one)


def _ranks(task: Task, one: Judged) -> Iterator[Finding]:
    """Worse than chance by far is a sign turned round; all but perfect is a leak."""
    value = headline_statistic(task, one.truth, one.answer, said=said_by(task, one))(np.ones(len(one)))
    chance = {"risk": 0.5, "tiers": 0.0, "groups": -1.0, "amount": 0.0, "lists": 0.0}[task]
    if value < chance - 2 / np.sqrt(len(one)):
        yield Finding("INVERTED", f"the model ranks worse than chance ({value:.3f})")
    if value > SUSPICIOUS_AUC and task in ("risk", "amount"):
        yield Finding("TOO_GOOD", f"the model is all but perfect ({value:.3f}): does a feature know the outcome?")


def _probabilities(one: Judged) -> Iterator[Finding]:
    if one.answer.min() < 0 or one.answer.max() > 1:
        yield Finding("OUT_OF_RANGE", "a probability or share is below 0 or above 1")


def _class_probabilities(one: Judged) -> Iterator[Finding]:
    yield from _probabilities(one)
    if np.abs(one.answer.sum(axis=1) - 1).max() > 1e-4:
        yield Finding("OUT_OF_RANGE", "the probabilities of the classes do not sum to 1")
    if one.truth.astype(np.int64).max() >= one.answer.shape[1]:
        yield Finding("OUT_OF_RANGE", "something happened that the model has no class for")


def _amounts(one: Judged) -> Iterator[Finding]:
    if one.low is not None and one.high is not None and (one.low > one.high).any():
        yield Finding("OUT_OF_RANGE", "an interval ends before it begins")


_RANGES: dict[Task, Callable[[Judged], Iterator[Finding]]] = {
    "risk": _probabilities,
    "tiers": _class_probabilities,
    "groups": _class_probabilities,
    "amount": _amounts,
    "lists": _probabilities,
}
