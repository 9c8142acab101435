"""Recommendation lists, as a bundle makes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.artifacts import GOLDEN, BundleManifest, check_golden, read_arrays, write_bundle
from training.predictors.trees import Matrix

FACTORS = "factors.npz"
SOURCES = ("bought_before", "similar_taste", "popular")


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
