"""What a member will spend, as a bundle answers it: an amount in cents, and between which amounts it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from training.artifacts import BundleManifest, check_golden
from training.predictors.trees import Matrix, Scores, TreeModel, load_trees, save_trees

LARGEST_CENTS = 1e15
"""Answers stay below, so that they can be written as whole cents whatever a feature says."""


@dataclass(frozen=True, slots=True)
class AmountTable:
    """Of the members with about this forecast, a share of `level` spent between low and high.

    Attributes
    ----------
    cents
        Forecasts, ascending and above 0; low and high are straight lines between these points and level below them. Above the
        last they grow with the forecast.
    low, high
        Amounts at each of these forecasts; low may be negative where members bring back more than they buy.
    """

    cents: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    level: float

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> AmountTable:
        """The table that stands in a manifest."""
        ends = {name: tuple(float(value) for value in numbers[name]) for name in ("cents", "low", "high")}
        return cls(**ends, level=float(numbers["level"]))

    def numbers(self) -> dict[str, Any]:
        """The table as it stands in a manifest."""
        return {"cents": list(self.cents), "low": list(self.low), "high": list(self.high), "level": self.level}

    def around(self, forecast: Scores) -> tuple[Scores, Scores]:
        """Low and high ends for each forecast, the forecast itself always between them; both of the shape of `forecast`."""
        beyond = np.maximum(forecast / self.cents[-1], 1.0)
        low, high = (np.interp(forecast, self.cents, ends) * beyond for ends in (self.low, self.high))
        return np.minimum(low, forecast), np.maximum(high, forecast)


@dataclass(frozen=True, slots=True)
class ValuePredictor:
    """Net spend of the next horizon days, in cents. Rows are `manifest.features`, in that order."""

    kind: ClassVar[str] = "value"

    manifest: BundleManifest
    model: TreeModel
    golden: Matrix = field(repr=False)
    table: AmountTable = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the interval's table once: a server asks for intervals with every request."""
        object.__setattr__(self, "table", AmountTable.of(self.manifest.parameters["interval"]))

    def score(self, matrix: Matrix) -> Scores:
        """Expected net spend in cents of each row, shape (rows,), 0 or more: trees answer in units of `unit_cents`."""
        cents: Scores = self.model.predict(matrix) * float(self.manifest.parameters["unit_cents"])
        return np.minimum(cents, LARGEST_CENTS)

    def interval_of(self, cents: Scores) -> tuple[Scores, Scores]:
        """Low and high end of the interval around answers of `score`, each of their shape."""
        return self.table.around(cents)

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        return save_trees(folder, self.manifest, self.model, self.golden, self.score(self.golden))

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> ValuePredictor:
        """The predictor in a bundle whose hashes are right, once its golden rows agree."""
        model, golden = load_trees(folder, manifest)
        predictor = cls(manifest, model, golden["rows"])
        unit = float(manifest.parameters["unit_cents"])  # a millionth of a usual spend, not of a cent
        check_golden(manifest.name, golden["scores"] / unit, predictor.score(predictor.golden) / unit)
        return predictor
