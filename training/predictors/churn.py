"""The risk of leaving, as a bundle answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from training.artifacts import BundleManifest, check_golden
from training.predictors.trees import Calibrator, Matrix, Scores, TreeModel, load_trees, save_trees
from training.predictors.uncertainty import interval_of


@dataclass(frozen=True, slots=True)
class ChurnPredictor:
    """P(no purchase in the next horizon days). Rows are `manifest.features`, in that order."""

    kind: ClassVar[str] = "churn"
    manifest: BundleManifest
    model: TreeModel
    golden: Matrix = field(repr=False)

    @property
    def calibrator(self) -> Calibrator:
        """The calibrator that stands in the manifest."""
        return Calibrator.of(self.manifest.parameters["calibrator"])

    def score(self, matrix: Matrix) -> Scores:
        """Calibrated probability for each row, shape (rows,)."""
        return self.calibrator.apply(self.model.predict(matrix))

    def interval(self, matrix: Matrix) -> tuple[Scores, Scores]:
        """Low and high end of the interval of each row's probability, each of shape (rows,)."""
        return interval_of(self.manifest.parameters, self.score(matrix))

    def band(self, probability: float) -> str:
        """Name of the band a probability falls into."""
        bands: Mapping[str, float] = self.manifest.parameters["bands"]
        return max((edge, name) for name, edge in bands.items() if probability >= edge)[1]

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        return save_trees(folder, self.manifest, self.model, self.golden, self.score(self.golden))

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> ChurnPredictor:
        """The predictor in a bundle whose hashes are right, once its golden rows agree."""
        model, golden = load_trees(folder, manifest)
        predictor = cls(manifest, model, golden["rows"])
        check_golden(manifest.name, golden["scores"], predictor.score(predictor.golden))
        return predictor
