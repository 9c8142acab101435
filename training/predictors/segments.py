"""Which customer group a member belongs to, as a bundle answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from training.artifacts import BundleManifest, check_golden
from training.predictors.segment_space import SegmentSpace, nearest
from training.predictors.trees import Matrix, Scores, TreeModel, load_trees, save_trees


@dataclass(frozen=True, slots=True)
class SegmentPredictor:
    """Probability of each group, by a classifier of points in the space. Rows are `manifest.features`, in that order."""

    kind: ClassVar[str] = "segments"
    manifest: BundleManifest
    model: TreeModel
    golden: Matrix = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups; columns of `score` follow them."""
        return tuple(self.manifest.definition["groups"])

    @property
    def space(self) -> SegmentSpace:
        """Features and numbers that members are placed by."""
        return SegmentSpace.of(self.manifest.parameters["space"])

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centre of each group in the space, shape (groups, axes)."""
        return np.asarray(self.manifest.parameters["centres"], dtype=np.float64)

    def score(self, matrix: Matrix) -> Scores:
        """Probability of each group, shape (rows, groups); every row sums to 1."""
        return self.model.predict(self.space.points(matrix, self.manifest.features))

    def assign(self, matrix: Matrix) -> NDArray[np.int64]:
        """Position in `names` of each row's likeliest group."""
        return np.asarray(self.score(matrix).argmax(axis=1), dtype=np.int64)

    def by_centres(self, matrix: Matrix) -> NDArray[np.int64]:
        """Position in `names` of the centre that each row is nearest to: what the classifier learned."""
        return nearest(self.space.points(matrix, self.manifest.features), self.centres)

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        return save_trees(folder, self.manifest, self.model, self.golden, self.score(self.golden))

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> SegmentPredictor:
        """The predictor in a bundle whose hashes are right, once its golden rows agree."""
        model, golden = load_trees(folder, manifest)
        predictor = cls(manifest, model, golden["rows"])
        check_golden(manifest.name, golden["scores"], predictor.score(predictor.golden))
        return predictor
