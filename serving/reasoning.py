"""Reasons beside scores: contributions by tables for all rows at once, words for those that are given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.bundle import ModelSet
from serving.outputs import Cell
from serving.scoring import Scored, explainable
from training.predictors.reason_codes import CODE_NAMES, CODES
from training.predictors.reason_sentences import Language
from training.predictors.reasons import direction, explain, told

EXPLAINED = ("churn", "tier")


def add_reasons(
    models: ModelSet, scored: Scored, rows: Sequence[int], outputs: Sequence[str], *, top: int, language: Language
) -> dict[str, dict[int, list[Cell]]]:
    """The strongest reasons of some rows, by output and row, as `score_schemas.ScoreReason`; rows without a score have none."""
    found: dict[str, dict[int, list[Cell]]] = {}
    for output in EXPLAINED:
        model, answered = explainable(models, output), scored.by_output.get(output)
        if output not in outputs or model is None or answered is None:
            continue
        chosen = [row for row in rows if answered.cells[row] is not None]
        if chosen:
            found[output] = dict(zip(chosen, _of(model.predictor, scored, answered.raw, chosen, top, language), strict=True))
    return found


def _of(predictor: Any, scored: Scored, raw: NDArray[Any], rows: list[int], top: int, language: Language) -> list[list[Cell]]:
    matrix = scored.model_matrix[np.asarray(rows)]
    explained = explain(predictor, matrix, top=top, scores=raw[np.asarray(rows)] if raw.ndim == 2 else None)
    said = told(explained, matrix, predictor.manifest.features, language)
    return [
        [
            {
                "code": CODE_NAMES[code],
                "contribution": adds,
                "direction": direction(adds),
                "actionable": CODES[code].actionable,
                "sentence": sentence,
            }
            for code, adds, sentence in row
        ]
        for row in said
    ]
