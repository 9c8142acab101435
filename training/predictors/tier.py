"""The tier to come, as a bundle answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from training.artifacts import BundleManifest, check_golden
from training.predictors.trees import Matrix, Scores, TreeModel, load_trees, save_trees


@dataclass(frozen=True, slots=True)
class TierPredictor:
    """Probabilities of each tier in the next horizon days. Rows are `manifest.features`, in that order."""

    kind: ClassVar[str] = "tier"
    manifest: BundleManifest
    model: TreeModel
    golden: Matrix = field(repr=False)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers, lowest first; columns of `score` follow them."""
        return tuple(self.manifest.definition["tiers"])

    def score(self, matrix: Matrix) -> Scores:
        """Probability of each tier, shape (rows, tiers); every row sums to 1."""
        return self.model.predict(matrix)

    def likely_tier(self, scores: Scores) -> NDArray[np.int64]:
        """Position in `tiers` of each row's median: the lowest tier that is not exceeded more often than not."""
        return np.asarray((np.cumsum(scores, axis=1) >= 0.5).argmax(axis=1), dtype=np.int64)

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        return save_trees(folder, self.manifest, self.model, self.golden, self.score(self.golden))

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> TierPredictor:
        """The predictor in a bundle whose hashes are right, once its golden rows agree."""
        model, golden = load_trees(folder, manifest)
        predictor = cls(manifest, model, golden["rows"])
        check_golden(manifest.name, golden["scores"], predictor.score(predictor.golden))
        return predictor
