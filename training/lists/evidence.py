"""The evidence of lists: recall member by member on each test period, for each question, beside every baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import DRAWS, Interval, bootstrap, interval_of
from training.evaluation.weighted import Statistic, mean_of
from training.evidence import Evidence, Judged
from training.lists.proof import QUESTIONS, Question, Recalls, coverage
from training.periods import Period


@dataclass(frozen=True, slots=True)
class Proof:
    """One test period.

    Attributes
    ----------
    by_question
        Recall of every member by question.
    groups
        Group by length of history of every member that "repeats" judges.
    coverage
        Share of the catalogue named in lists, by the model ("list") and by each baseline, repeats allowed.
    notes
        For the record: items, candidates, how long training took.
    """

    period: Period
    member_ids: NDArray[np.str_]
    by_question: Mapping[Question, Recalls]
    groups: NDArray[np.str_]
    coverage: Mapping[str, float]
    notes: Mapping[str, Any]


def evidence_of(proofs: Sequence[Proof], *, question: Question, engine: str, parameters: Mapping[str, Any]) -> Evidence:
    """Evidence of one question: the answer of a row is the share of what a member bought that their list named."""
    return Evidence(
        "recommender",
        engine,
        {"horizon_days": proofs[0].period.horizon_days, "question": question},
        tuple(_judged(proof, question) for proof in proofs),
        parameters,
    )


def _judged(proof: Proof, question: Question) -> Judged:
    found = proof.by_question[question]
    slices = {"history": proof.groups} if question == "repeats" else {}
    return Judged(
        proof.period, proof.member_ids[found.rows], found.wanted, found.model, dict(found.baselines), slices, notes=proof.notes
    )


def figures(proofs: Sequence[Proof]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Mean over the periods of recall by question, and coverage: of the model, and of each baseline."""
    mine: dict[str, float] = {}
    theirs: dict[str, dict[str, float]] = {}
    for question in QUESTIONS:
        name = "recall20" if question == "repeats" else f"recall20_{question}"
        found = [proof.by_question[question] for proof in proofs]
        mine[name] = _mean([one.model for one in found])
        for baseline in found[0].baselines:
            theirs.setdefault(baseline, {})[name] = _mean([one.baselines[baseline] for one in found])
    for name in proofs[0].coverage:
        value = float(np.mean([proof.coverage[name] for proof in proofs]))
        if name == "list":
            mine["coverage"] = value
        else:
            theirs.setdefault(name, {})["coverage"] = value
    return mine, theirs


def gains(proofs: Sequence[Proof], question: Question, *, seed: int, draws: int = DRAWS) -> dict[str, Interval]:
    """Gain in recall over each baseline, mean over the periods, with its interval from the same resamples of members."""
    parts = [proof.by_question[question] for proof in proofs]
    members = np.concatenate([proof.member_ids[part.rows] for proof, part in zip(proofs, parts, strict=True)])
    sizes = [len(part.rows) for part in parts]
    if not sum(sizes):
        return dict.fromkeys(parts[0].baselines, Interval(float("nan"), float("nan"), float("nan")))
    kept = [part for part in parts if len(part.rows)]
    over = {
        name: mean_of([mean_recall(part.model - part.baselines[name]) for part in kept], [size for size in sizes if size])
        for name in parts[0].baselines
    }
    drawn, ones = bootstrap(over, members, seed=seed, draws=draws), np.ones(len(members))
    return {name: interval_of(statistic(ones), drawn[name]) for name, statistic in over.items()}


def mean_recall(values: NDArray[np.float64]) -> Statistic:
    """Mean over members as a statistic of resampled weights."""
    return lambda weights: float((weights * values).sum() / weights.sum()) if weights.sum() else float("nan")


def listed_coverage(lists: Mapping[str, NDArray[np.int64]], items: int) -> dict[str, float]:
    """Coverage by name."""
    return {name: coverage(chosen, items) for name, chosen in lists.items()}


def _mean(values: Sequence[NDArray[np.float64]]) -> float:
    known = [float(one.mean()) for one in values if len(one)]
    return float(np.mean(known)) if known else float("nan")
