"""What each kind of model answers of one member, as `score_schemas` has it: whole columns first, then a small object a row.

Adding a kind of model is adding a line to `ANSWERS` here and to `training.answering`, which does the same at night.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleRefused
from serving.served import ServedModel
from training.predictors import Matrix

Cell = dict[str, Any]
Cells = list[Cell | None]
Floats = NDArray[np.float64]
MODEL_OF = {"churn": "churn", "tier": "tier", "value": "value", "segment": "segments"}
"""Name of the model that gives each output."""


class NotANumber(BundleRefused):
    """A model answered with something that is no number."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one model says of several members: `cells[i]` of row i, None where it does not apply; `raw` as it scored them."""

    cells: Cells
    raw: NDArray[Any]


def answer(model: ServedModel, matrix: Matrix, silence: NDArray[np.float32]) -> Answered:
    """Answers of one model for every row.

    Parameters
    ----------
    silence
        Days since the last purchase, by which churn applies or does not.

    Raises
    ------
    NotANumber
        It gives NaN or infinity for one of them.
    """
    return ANSWERS[model.predictor.kind](model, matrix, silence)


def _finite(model: ServedModel, scores: Floats) -> Floats:
    if not np.isfinite(scores).all():
        raise NotANumber(f"{model.registered.label} answers with what is no number", remedy="promote another version")
    return scores


def _churn(model: ServedModel, matrix: Matrix, silence: NDArray[np.float32]) -> Answered:
    probability = _finite(model, model.predictor.score(matrix))
    applies = (silence <= model.predictor.manifest.definition["active_days"]).tolist()
    places = np.searchsorted(model.bands.edges, probability, side="right").tolist()
    table, names = model.intervals, model.bands.names
    if table is None:
        ends: list[tuple[float | None, float | None]] = [(None, None)] * len(matrix)
    else:
        low, high = table.around(probability)
        ends = list(zip(low.tolist(), high.tolist(), strict=True))
    cells: Cells = [
        {"probability": p, "band": names[place], "low": low, "high": high, "reasons": None} if has else None
        for p, place, (low, high), has in zip(probability.tolist(), places, ends, applies, strict=True)
    ]
    return Answered(cells, probability)


def _tier(model: ServedModel, matrix: Matrix, silence: NDArray[np.float32]) -> Answered:
    scores = _finite(model, model.predictor.score(matrix))
    tiers = model.predictor.tiers
    cells: Cells = [
        {"likely": tiers[likely], "probabilities": dict(zip(tiers, chances, strict=True)), "reasons": None}
        for likely, chances in zip(model.predictor.likely_tier(scores).tolist(), scores.tolist(), strict=True)
    ]
    return Answered(cells, scores)


def _value(model: ServedModel, matrix: Matrix, silence: NDArray[np.float32]) -> Answered:
    cents = _finite(model, model.predictor.score(matrix))
    low, high = model.predictor.interval_of(cents)
    cells: Cells = [
        {"cents": amount, "low_cents": least, "high_cents": most}
        for amount, least, most in zip(cents.tolist(), low.tolist(), high.tolist(), strict=True)
    ]
    return Answered(cells, cents)


def _segment(model: ServedModel, matrix: Matrix, silence: NDArray[np.float32]) -> Answered:
    positions = model.predictor.assign(matrix)
    return Answered([{"name": model.predictor.names[position]} for position in positions.tolist()], positions)


ANSWERS: Mapping[str, Callable[[ServedModel, Matrix, NDArray[np.float32]], Answered]] = {
    "churn": _churn,
    "bgnbd": _churn,
    "tier": _tier,
    "value": _value,
    "segments": _segment,
}
