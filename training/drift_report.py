"""Drift of the champions on a shop's facts: rows as of the training's last cut-off against rows as of today."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.contract import CONTRACT
from features.days import calendar_day
from features.derive import model_columns
from features.facts import Facts
from training.answers import Champion
from training.datasets import Snapshots
from training.drift import (
    LOOKED_INTO,
    SAMPLE,
    SEED,
    Calibration,
    Limits,
    ModelDrift,
    Moved,
    calibration,
    effect_of,
    moved,
)
from training.labels import purchased_within
from training.score_files import kept_days, key_of, path_of, read_scores

Floats = NDArray[np.float64]
Scorer = Callable[[NDArray[np.float32]], Floats]


def drift_of(champion: Champion, snapshots: Snapshots, scores: Path, *, day: int, limits: Limits) -> ModelDrift | None:
    """What moved for one champion between the last cut-off it was trained on and the midnight at which a day begins.

    Returns
    -------
    None if the champion was trained as of this day or later, so that there is nothing to compare.
    """
    since = trained_until(champion)
    if since >= day:
        return None
    then, now = (_sampled(_eligible(champion, snapshots.at(when))) for when in (since, day))
    columns = model_columns(CONTRACT)
    matrix_then, matrix_now = then.matrix[:, columns], now.matrix[:, columns]
    score = scorer(champion)
    base = score(matrix_now)
    looked_at = matrix_now.shape[1] + 1
    of_score = moved(f"{champion.name} score", score(matrix_then), base, limits=limits, looked_at=looked_at)
    found = [
        moved(name, *(m[:, place].astype(np.float64) for m in (matrix_then, matrix_now)), limits=limits, looked_at=looked_at)
        for place, name in enumerate(CONTRACT.model_features)
    ]
    cohorts, skipped = _cohorts(champion, snapshots.facts, scores, day=day, limits=limits)
    return ModelDrift(
        champion.registered.label,
        since,
        len(then.member_ids),
        len(now.member_ids),
        of_score,
        _with_effects(found, matrix_then, matrix_now, score, base, limits),
        cohorts,
        skipped,
    )


def trained_until(champion: Champion) -> int:
    """The last local day that the model's fitting saw features of, from its lineage."""
    return max(_numbers(champion.predictor.manifest.lineage.get("cutoffs", {})), default=0)


def scorer(champion: Champion) -> Scorer:
    """One number a row: a probability, or the expected place of the tier."""

    def score(matrix: NDArray[np.float32]) -> Floats:
        scores: Floats = champion.predictor.score(matrix)
        return scores if scores.ndim == 1 else scores @ np.linspace(0, 1, scores.shape[1])

    return score


def _with_effects(
    found: list[Moved],
    then: NDArray[np.float32],
    now: NDArray[np.float32],
    score: Scorer,
    base: Floats,
    limits: Limits,
) -> tuple[Moved, ...]:
    """Those that moved beyond chance, most moved first, the foremost with what they do to the scores."""
    beyond = sorted((each for each in found if each.psi > each.null), key=lambda each: -each.psi)
    told = []
    for place, each in enumerate(beyond):
        if place < LOOKED_INTO:
            column = CONTRACT.model_features.index(each.name)
            effect = effect_of(score, now, column, then[:, column].astype(np.float64), base)
            felt = ("effect",) if each.beyond and effect > limits.effect else ()
            told.append(replace(each, effect=round(effect, 5), beyond=(*each.beyond, *felt)))
        else:
            told.append(each)
    return tuple(told)


def _eligible(champion: Champion, rows: FeatureRows) -> FeatureRows:
    """The members that the model is for."""
    active_days = champion.predictor.manifest.definition.get("active_days")
    if active_days is None:
        return rows
    return _chosen(rows, np.flatnonzero(rows.column("days_since_last_purchase") <= active_days))


def _sampled(rows: FeatureRows) -> FeatureRows:
    if len(rows.member_ids) <= SAMPLE:
        return rows
    return _chosen(rows, np.sort(np.random.default_rng(SEED).choice(len(rows.member_ids), SAMPLE, replace=False)))


def _chosen(rows: FeatureRows, places: NDArray[np.intp]) -> FeatureRows:
    return replace(rows, member_ids=rows.member_ids[places], records=rows.records[places], matrix=rows.matrix[places])


def _cohorts(
    champion: Champion, facts: Facts, scores: Path, *, day: int, limits: Limits
) -> tuple[tuple[Calibration, ...], Mapping[str, str]]:
    """The latest kept night whose horizon has passed, held against what happened."""
    definition = champion.predictor.manifest.definition
    if champion.predictor.kind != "churn":
        return (), {"calibration": "is told for churn only"}
    until = min(day, facts.manifest.until_day)
    matured = [kept for kept in kept_days(scores) if kept + definition["horizon_days"] <= until]
    for kept in reversed(matured):
        key = key_of(path_of(scores, kept))
        model = next((m for m in key.models if m.name == champion.name and m.definition == definition), None) if key else None
        if model is not None:
            members, predicted = _predicted(path_of(scores, kept), champion.name)
            stayed = purchased_within(facts, members, day=kept, horizon_days=definition["horizon_days"])
            return (calibration(predicted, ~stayed, day=kept, model=model.label, limits=limits),), {}
    first = calendar_day(min(kept_days(scores)) + definition["horizon_days"]) if kept_days(scores) else None
    when = f"the first is due on {first}" if first else 'none are kept yet: "rapport nightly" keeps them'
    return (), {"calibration": f"no kept nightly scores have matured: {when}"}


def _predicted(path: Path, model: str) -> tuple[list[str], Floats]:
    """Members with a probability that night, and the probabilities."""
    members: list[str] = []
    parts = []
    for block in read_scores(path):
        values = block.columns[f"{model}.probability"]
        known = ~np.isnan(values)
        members += block.member_ids[known].tolist()
        parts.append(values[known].astype(np.float64))
    return members, np.concatenate(parts)


def _numbers(found: Any) -> list[int]:
    """Every whole number within nested lists and dictionaries."""
    if isinstance(found, bool):
        return []
    if isinstance(found, int):
        return [found]
    if isinstance(found, dict):
        found = list(found.values())
    return [number for part in found for number in _numbers(part)] if isinstance(found, list | tuple) else []
