"""What a trained model can do: score or rank, save and load. The same code runs in evaluation, nightly jobs and serving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy import sparse

from features.errors import BundleRefused
from training.artifacts import GOLDEN, BundleManifest, check_golden, read_arrays, read_manifest, write_bundle

if TYPE_CHECKING:
    import lightgbm

Matrix: TypeAlias = NDArray[np.float32]
Scores: TypeAlias = NDArray[np.float64]
Engine = Literal["xgboost", "lightgbm"]
MODEL_FILES: Mapping[Engine, str] = {"xgboost": "model.json", "lightgbm": "model.txt"}
FACTORS = "factors.npz"
SOURCES = ("bought_before", "similar_taste", "popular")
GOLDEN_ROWS = 32


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
            return np.asarray(self.booster.inplace_predict(matrix), dtype=np.float64)
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Turns raw probabilities into calibrated ones: logit p' = slope * logit p + offset (Platt 1999), kept as numbers.

    Slope 1 and offset 0 change nothing, and are what ships where calibration does not help.
    """

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, probability: Scores) -> Scores:
        """Calibrated probabilities, in the order given."""
        if self == Calibrator():
            return probability
        clipped = np.clip(probability, 1e-7, 1 - 1e-7)
        return 1 / (1 + np.exp(-(self.slope * np.log(clipped / (1 - clipped)) + self.offset)))


class Predictor(Protocol):
    """What every predictor shares; `kind` chooses the class when a bundle is loaded."""

    kind: ClassVar[str]
    manifest: BundleManifest

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        ...


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
        return Calibrator(**self.manifest.parameters["calibrator"])

    def score(self, matrix: Matrix) -> Scores:
        """Calibrated probability for each row, shape (rows,)."""
        return self.calibrator.apply(self.model.predict(matrix))

    def band(self, probability: float) -> str:
        """Name of the band a probability falls into."""
        bands: Mapping[str, float] = self.manifest.parameters["bands"]
        return max((edge, name) for name, edge in bands.items() if probability >= edge)[1]

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        return _save_trees(folder, self.manifest, self.model, self.golden, self.score(self.golden))

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> ChurnPredictor:
        """The predictor in a bundle whose hashes are right, once its golden rows agree."""
        model, golden = _load_trees(folder, manifest)
        predictor = cls(manifest, model, golden["rows"])
        check_golden(manifest.name, golden["scores"], predictor.score(predictor.golden))
        return predictor


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
        return _save_trees(folder, self.manifest, self.model, self.golden, self.score(self.golden))

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> TierPredictor:
        """The predictor in a bundle whose hashes are right, once its golden rows agree."""
        model, golden = _load_trees(folder, manifest)
        predictor = cls(manifest, model, golden["rows"])
        check_golden(manifest.name, golden["scores"], predictor.score(predictor.golden))
        return predictor


@dataclass(frozen=True, slots=True)
class RankedLists:
    """Lists of several members, best first.

    Attributes
    ----------
    items
        Rows of the catalogue, shape (members, k); -1 where a list is shorter.
    sources
        Positions in `SOURCES`, same shape.
    """

    items: NDArray[np.int32]
    sources: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Recommender:
    """Lists made of items bought before, items that similar members buy (ALS), and popular ones.

    Attributes
    ----------
    item_ids
        Row i of `factors` and `popularity` is item_ids[i].
    factors
        ALS item factors, shape (items, factors).
    popularity
        Members who bought each item in the last weeks of training.

    ALS: Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, 2008. A member's factors are
    folded in from their own weights, so that the model holds no member and knows newcomers at once.
    """

    kind: ClassVar[str] = "recommender"
    manifest: BundleManifest
    item_ids: NDArray[np.str_]
    factors: NDArray[np.float32]
    popularity: NDArray[np.float32]
    golden: Matrix = field(repr=False)

    def fold_in(self, weights: sparse.csr_matrix) -> NDArray[np.float32]:
        """Member factors that fit the weights, shape (members, factors); zero for a member without any.

        Raises
        ------
        ValueError
            The matrix is not as wide as the catalogue.
        """
        if weights.shape[1] != len(self.item_ids):
            raise ValueError(f"weights have {weights.shape[1]} columns for a catalogue of {len(self.item_ids)} items")
        alpha, regularization = self.manifest.parameters["alpha"], self.manifest.parameters["regularization"]
        items = self.factors.astype(np.float64)
        gram = items.T @ items + regularization * np.eye(items.shape[1])
        members = np.zeros((weights.shape[0], items.shape[1]))
        for row in range(weights.shape[0]):
            part = slice(weights.indptr[row], weights.indptr[row + 1])
            if part.stop > part.start:
                own, extra = items[weights.indices[part]], alpha * weights.data[part]
                members[row] = np.linalg.solve(gram + (own.T * extra) @ own, own.T @ (1 + extra))
        return members.astype(np.float32)

    def taste(self, weights: sparse.csr_matrix) -> NDArray[np.float32]:
        """ALS score of every item of the catalogue for every member, shape (members, items)."""
        scores: NDArray[np.float32] = self.fold_in(weights) @ self.factors.T
        return scores

    def rank(self, weights: sparse.csr_matrix, *, k: int) -> RankedLists:
        """Lists of up to k items: own items by weight and new ones by taste in the manifest's proportion, then popular.

        Parameters
        ----------
        weights
            How much of each item a member bought, recent purchases counting more; shape (members, items).
        """
        k = min(k, len(self.item_ids))
        popular = np.argsort(-self.popularity, kind="stable")
        taste = self.taste(weights)
        lists = RankedLists(np.full((weights.shape[0], k), -1, dtype=np.int32), np.zeros((weights.shape[0], k), dtype=np.int8))
        for row in range(weights.shape[0]):
            part = slice(weights.indptr[row], weights.indptr[row + 1])
            own = weights.indices[part][np.argsort(-weights.data[part], kind="stable")]
            new = _best(taste[row], k, without=own) if len(own) else np.empty(0, dtype=np.int64)
            chosen = _interleave(own, new, popular, k=k, share=self.manifest.parameters["repeat_share"])
            lists.items[row], lists.sources[row] = chosen[0], chosen[1]
        return lists

    def popular_items(self, k: int) -> list[str]:
        """The k items that most members bought, best first."""
        best: list[str] = self.item_ids[np.argsort(-self.popularity, kind="stable")[:k]].tolist()
        return best

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        arrays = {"item_ids": self.item_ids, "factors": self.factors, "popularity": self.popularity}
        golden = {"rows": self.golden, "scores": self.taste(sparse.csr_matrix(self.golden))}
        return write_bundle(folder, self.manifest, {FACTORS: _npz(arrays)}, golden)

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> Recommender:
        """The recommender in a bundle whose hashes are right, once its golden rows agree."""
        golden, arrays = read_arrays(folder / GOLDEN), read_arrays(folder / FACTORS)
        recommender = cls(manifest, arrays["item_ids"], arrays["factors"], arrays["popularity"], golden["rows"])
        check_golden(manifest.name, golden["scores"], recommender.taste(sparse.csr_matrix(recommender.golden)))
        return recommender


KINDS: Mapping[str, type[ChurnPredictor] | type[TierPredictor] | type[Recommender]] = {
    predictor.kind: predictor for predictor in (ChurnPredictor, TierPredictor, Recommender)
}


def load_bundle(folder: Path, *, sha256: str | None = None) -> ChurnPredictor | TierPredictor | Recommender:
    """The predictor kept in a folder, after hashes and golden rows were found right.

    Raises
    ------
    BundleRefused
        A file was altered or is missing, golden rows disagree, or the kind is unknown.
    """
    manifest = read_manifest(folder, sha256=sha256)
    if manifest.kind not in KINDS:
        raise BundleRefused(f"{manifest.name} is of kind {manifest.kind}, unknown here", remedy="update Rapport")
    return KINDS[manifest.kind].load(folder, manifest)


def with_parameters(manifest: BundleManifest, **parameters: Any) -> BundleManifest:
    """The manifest with some parameters set; dataclasses among them become dictionaries."""
    plain = {name: asdict(value) if isinstance(value, Calibrator) else value for name, value in parameters.items()}
    return replace(manifest, parameters=manifest.parameters | plain)


def _save_trees(folder: Path, manifest: BundleManifest, model: TreeModel, golden: Matrix, scores: Scores) -> str:
    files = {MODEL_FILES[model.engine]: model.to_bytes()}
    return write_bundle(folder, manifest, files, {"rows": golden, "scores": scores})


def _load_trees(folder: Path, manifest: BundleManifest) -> tuple[TreeModel, dict[str, NDArray[Any]]]:
    engine: Engine = "lightgbm" if manifest.engine == "lightgbm" else "xgboost"
    model = TreeModel.from_bytes(engine, (folder / MODEL_FILES[engine]).read_bytes())
    return model, read_arrays(folder / GOLDEN)


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _best(scores: NDArray[np.float32], k: int, *, without: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Up to k positions of the highest scores, best first, ties by position, those of `without` left out."""
    open_scores = scores.copy()
    open_scores[without] = -np.inf
    k = min(k, len(scores) - len(without))
    top = np.sort(np.argpartition(-open_scores, k - 1)[:k]) if k > 0 else np.empty(0, dtype=np.int64)
    return top[np.argsort(-open_scores[top], kind="stable")]


def _interleave(
    own: Sequence[int] | NDArray[Any], new: NDArray[Any], popular: NDArray[Any], *, k: int, share: float
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """K items, `share` of every prefix from `own`, the rest from `new`, both topped up by the other and by `popular`."""
    items, sources, taken = np.full(k, -1, dtype=np.int32), np.zeros(k, dtype=np.int8), set[int]()
    queues = [iter(own), iter(new), iter(popular)]
    for position in range(k):
        repeats = math.ceil((position + 1) * share - 1e-9) > int((sources[:position] == 0).sum())
        for source in (0, 1, 2) if repeats else (1, 0, 2):
            item = next((i for i in queues[source] if int(i) not in taken), None)
            if item is not None:
                items[position], sources[position] = item, source
                taken.add(int(item))
                break
    return items, sources
