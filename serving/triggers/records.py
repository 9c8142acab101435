"""Where the numbers behind conditions come from: features derived from records, and what models say of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.lifecycle import RFM_TIERS
from serving.outputs import Cell
from serving.scoring import PublishedFeatures, Scored, ScoringContext, Vectors, feature_matrix, score
from serving.triggers.conditions import Floats
from serving.triggers.names import BANDS


@dataclass(frozen=True)
class Records:
    """Aggregates of rows as of a moment, and what they are derived and scored with.

    Attributes
    ----------
    records
        As `features.codec.record_dtype`.
    known
        Rows that have a record; the others are NaN throughout. None: all have.
    editions
        Of each row, which of the stamp's editions its edges are from; None: all from the one that ended.
    as_of, age_s
        Moment that the nightly part of each row is right as of, and its age.
    """

    context: ScoringContext
    published: PublishedFeatures
    records: NDArray[np.void]
    known: NDArray[np.bool_] | None = None
    editions: NDArray[np.intp] | None = None
    as_of: tuple[str, ...] = ()
    age_s: tuple[int, ...] = ()

    def matrix(self, rows: NDArray[np.intp]) -> Floats:
        """Features of some rows."""
        editions = None if self.editions is None else self.editions[rows]
        found = feature_matrix(self.context, self.published.stamp, self.records[rows], editions, published=self.published)
        if self.known is not None:
            found[~self.known[rows]] = np.nan
        return found

    def scored(self, matrix: Floats, rows: NDArray[np.intp], outputs: Collection[str]) -> Scored:
        """What the models say of some rows, whose features are at hand."""
        moments = [self.as_of[row] if self.as_of else self.published.stamp.as_of for row in rows.tolist()]
        ages = [self.age_s[row] if self.age_s else 0 for row in rows.tolist()]
        return score(self.context, Vectors(matrix, moments, ages), outputs)


def score_columns(scored: Scored, outputs: Collection[str]) -> Mapping[str, Floats]:
    """Scores by the name that conditions use; NaN where a model does not answer for a member, or there is none."""
    rows = len(scored.vectors)
    found: dict[str, Floats] = {}
    for output in outputs:
        cells = scored.by_output[output].cells if output in scored.by_output else [None] * rows
        for name, read in _READ[output].items():
            found[name] = np.array([np.nan if cell is None else read(cell) for cell in cells], dtype=np.float32)
    return found


def _code(value: Any, names: tuple[str, ...]) -> float:
    return float(names.index(value)) if value in names else float("nan")


def _band(cell: Cell) -> float:
    return _code(cell["band"], BANDS)


def _probability(cell: Cell) -> float:
    return float(cell["probability"])


def _likely(cell: Cell) -> float:
    return _code(cell["likely"], RFM_TIERS)


def _cents(cell: Cell) -> float:
    return float(cell["cents"])


_READ = {
    "churn": {"churn_probability": _probability, "churn_band": _band},
    "tier": {"likely_tier": _likely},
    "value": {"value_cents": _cents},
}
"""How each output's cell is read, by the names it gives."""
