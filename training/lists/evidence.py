"""The evidence of lists: recall member by member on each test period, for each question, beside every baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import DRAWS, Interval, bootstrap, interval_of
from training.evaluation.weighted import Statistic, mean_of
from training.evidence import Evidence, Judged
from training.lists.proof import QUESTIONS, Question, Recalls
from training.periods import Period
from training.predictors.list_order import RANKED


@dataclass(frozen=True, slots=True)
class Proof:
    """One test period.

    Attributes
    ----------
    by_question
        Recall of every member by question.
    notes
        For the record, by name of the lists, "list" being the ranker's: "coverage" and "coverage_novel", the share of the
        catalogue that they name with repeats and of new items; "variety" and "variety_novel"; recall of the candidates.
    """

    period: Period
    member_ids: NDArray[np.str_]
    by_question: Mapping[Question, Recalls]
    notes: Mapping[str, Any]


def evidence_of(
    proofs: Sequence[Proof], *, serves: Mapping[Question, str], engine: str, parameters: Mapping[str, Any]
) -> Evidence:
    """Evidence of the first question, with that of the others besides.

    The answer of a row is the share of what a member bought that the list named which would serve.
    """
    found = (
        Evidence(
            "recommender",
            engine,
            {"horizon_days": proofs[0].period.horizon_days, "question": question, "serves": serves[question]},
            tuple(_judged(proof, question, serves[question]) for proof in proofs if len(proof.by_question[question].rows)),
            parameters,
        )
        for question in QUESTIONS
    )
    first, *others = (one for one in found if one.judged)
    return replace(first, further=tuple(others))


def _judged(proof: Proof, question: Question, serves: str) -> Judged:
    found = proof.by_question[question]
    return Judged(
        proof.period,
        proof.member_ids[found.rows],
        found.wanted,
        found.named(serves),
        {**found.baselines, **found.versions},
        {"history": found.groups},
        notes=proof.notes if question == QUESTIONS[0] else {},
    )


def figures(
    proofs: Sequence[Proof], serves: Mapping[Question, str] | None = None
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Mean over the periods of recall by question, and coverage: of what serves (the ranker if None), and of each baseline."""
    mine: dict[str, float] = {}
    theirs: dict[str, dict[str, float]] = {}
    for question in QUESTIONS:
        name = "recall20" if question == "repeats" else f"recall20_{question}"
        found = [proof.by_question[question] for proof in proofs]
        mine[name] = _mean([one.named(serves[question] if serves else RANKED) for one in found])
        for baseline in found[0].baselines:
            theirs.setdefault(baseline, {})[name] = _mean([one.baselines[baseline] for one in found])
    for figure in ("coverage", "coverage_novel"):
        for name in proofs[0].notes[figure]:
            value = float(np.mean([proof.notes[figure][name] for proof in proofs]))
            (mine if name == "list" else theirs.setdefault(name, {}))[figure] = value
    return _known(mine), {name: _known(values) for name, values in theirs.items()}


def _known(values: Mapping[str, float]) -> dict[str, float]:
    """Figures that exist: nobody may have bought anything new."""
    return {name: value for name, value in values.items() if np.isfinite(value)}


def gains(
    proofs: Sequence[Proof], question: Question, *, seed: int, of: str = RANKED, draws: int = DRAWS
) -> dict[str, Interval]:
    """Gain in recall over each baseline, mean over the periods, with its interval from the same resamples of members.

    Parameters
    ----------
    of
        Whose gain: one of `SERVES`, or a baseline.
    """
    parts = [proof.by_question[question] for proof in proofs]
    members = np.concatenate([proof.member_ids[part.rows] for proof, part in zip(proofs, parts, strict=True)])
    sizes = [len(part.rows) for part in parts]
    if not sum(sizes):
        return dict.fromkeys(parts[0].baselines, Interval(float("nan"), float("nan"), float("nan")))
    kept = [part for part in parts if len(part.rows)]
    over = {
        name: mean_of([mean_recall(part.named(of) - part.baselines[name]) for part in kept], [size for size in sizes if size])
        for name in parts[0].baselines
    }
    drawn, ones = bootstrap(over, members, seed=seed, draws=draws), np.ones(len(members))
    return {name: interval_of(statistic(ones), drawn[name]) for name, statistic in over.items()}


def mean_recall(values: NDArray[np.float64]) -> Statistic:
    """Mean over members as a statistic of resampled weights."""
    return lambda weights: float((weights * values).sum() / weights.sum()) if weights.sum() else float("nan")


def _mean(values: Sequence[NDArray[np.float64]]) -> float:
    known = [float(one.mean()) for one in values if len(one)]
    return float(np.mean(known)) if known else float("nan")
