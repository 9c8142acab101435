"""Gradient-boosted trees of either library on plain arrays, their calibrator, and how they lie in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
import xgboost
from numpy.typing import NDArray

from training.artifacts import GOLDEN, BundleManifest, read_arrays, write_bundle
from training.predictors.xgboost_call import predicted

if TYPE_CHECKING:
    import lightgbm

Matrix: TypeAlias = NDArray[np.float32]
Scores: TypeAlias = NDArray[np.float64]
Engine = Literal["xgboost", "lightgbm"]
MODEL_FILES: Mapping[Engine, str] = {"xgboost": "model.json", "lightgbm": "model.txt"}
GOLDEN_ROWS = 32


class Predictor(Protocol):
    """What every predictor shares; `kind` chooses the class when a bundle is loaded."""

    kind: ClassVar[str]
    manifest: BundleManifest

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        ...


@dataclass(frozen=True, slots=True)
class TreeModel:
    """Gradient-boosted trees of either library, on plain float32 arrays and one thread."""

    engine: Engine
    booster: xgboost.Booster | lightgbm.Booster

    @classmethod
    def from_bytes(cls, engine: Engine, content: bytes) -> TreeModel:
        """The trees written by `to_bytes`; their hash must have been checked before."""
        if engine == "lightgbm":
            import lightgbm  # a server whose models are all XGBoost's saves the second it takes

            return cls(engine, lightgbm.Booster(model_str=content.decode()))
        booster = xgboost.Booster()
        booster.load_model(bytearray(content))
        booster.set_param({"nthread": 1})
        return cls(engine, booster)

    def to_bytes(self) -> bytes:
        """The trees in their library's own text format."""
        if isinstance(self.booster, xgboost.Booster):
            return bytes(self.booster.save_raw(raw_format="json"))
        return self.booster.model_to_string().encode()

    def predict(self, matrix: Matrix) -> Scores:
        """Raw probabilities: shape (rows,) for two classes, (rows, classes) for more. NaN marks a missing feature."""
        if isinstance(self.booster, xgboost.Booster):
            return predicted(self.booster, matrix)
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Turns raw probabilities into calibrated ones, kept as numbers; the order of rows stays.

    Platt scaling (1999): logit p' = slope * logit p + offset. Or a table of an isotonic fit: straight lines through the
    points (raw, share). Slope 1, offset 0 and no table change nothing, and are what ships where calibration does not help.
    """

    slope: float = 1.0
    offset: float = 0.0
    raw: tuple[float, ...] = ()
    share: tuple[float, ...] = ()

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> Calibrator:
        """The calibrator that stands in a manifest."""
        tables = {name: tuple(float(value) for value in numbers.get(name, ())) for name in ("raw", "share")}
        return cls(float(numbers["slope"]), float(numbers["offset"]), **tables)

    @property
    def method(self) -> str:
        """What is done: none, platt or isotonic."""
        if self.raw:
            return "isotonic"
        return "none" if self == Calibrator() else "platt"

    def apply(self, probability: Scores) -> Scores:
        """Calibrated probabilities, in the order given."""
        if self.raw:
            return np.interp(probability, self.raw, self.share)
        if self == Calibrator():
            return probability
        clipped = np.clip(probability, 1e-7, 1 - 1e-7)
        return 1 / (1 + np.exp(-(self.slope * np.log(clipped / (1 - clipped)) + self.offset)))


def with_parameters(manifest: BundleManifest, **parameters: Any) -> BundleManifest:
    """The manifest with some parameters set; dataclasses among them become dictionaries."""
    plain = {name: asdict(value) if isinstance(value, Calibrator) else value for name, value in parameters.items()}
    return replace(manifest, parameters=manifest.parameters | plain)


def save_trees(folder: Path, manifest: BundleManifest, model: TreeModel, golden: Matrix, scores: Scores) -> str:
    """Write a bundle of trees with the scores of its golden rows; returns the sha256 of its manifest."""
    files = {MODEL_FILES[model.engine]: model.to_bytes()}
    return write_bundle(folder, manifest, files, {"rows": golden, "scores": scores})


def load_trees(folder: Path, manifest: BundleManifest) -> tuple[TreeModel, dict[str, NDArray[Any]]]:
    """The trees and the golden arrays of a bundle whose hashes are right."""
    engine: Engine = "lightgbm" if manifest.engine == "lightgbm" else "xgboost"
    model = TreeModel.from_bytes(engine, (folder / MODEL_FILES[engine]).read_bytes())
    return model, read_arrays(folder / GOLDEN)
