"""Recommendation lists, as a bundle makes them: candidates from several sources, ranked by one model, mixed as a place asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleRefused
from training.artifacts import GOLDEN, BundleManifest, check_golden, read_arrays, write_bundle
from training.predictors.catalogue import Catalogue
from training.predictors.histories import Histories, Numbers, Rows
from training.predictors.list_features import FEATURES, candidates_with_features
from training.predictors.list_order import KNOWN, RANKED, Mask, baseline_scores, mixed, popularity
from training.predictors.list_signals import signals
from training.predictors.list_sources import POPULAR, Candidates, Depths, Shelves, candidate_pairs
from training.predictors.similar import alike
from training.predictors.taste import Weighing, fold_in, gram_of
from training.predictors.trees import MODEL_FILES, Engine, Matrix, Scores, TreeModel

CATALOGUE = "catalogue.npz"
BLOCK = 128
"""Members whose lists are made at once: each item takes some fifty bytes for each of them."""
LOWEST = np.float64(-1e9)


@dataclass(frozen=True, slots=True)
class RankedLists:
    """Lists of several members, best first.

    Attributes
    ----------
    items
        Rows of the catalogue, shape (members, k); -1 where a list is shorter.
    sources
        Positions in `SOURCES`, same shape.
    scores
        By which they were ranked, same shape; comparable within one member's list only.
    groups
        Buying group of each member, as `buying_groups`, shape (members,).
    """

    items: NDArray[np.int32]
    sources: NDArray[np.int8]
    scores: NDArray[np.float64]
    groups: Rows


@dataclass(frozen=True, slots=True)
class Recommender:
    """Lists made of what is due again, what was bought before, what goes with it, similar taste, and what is popular.

    Attributes
    ----------
    catalogue
        Everything known by item.
    ranker
        Trees over `list_features.FEATURES`; None where a baseline serves.
    golden
        Rows of features to check a loaded ranker by.
    gram, shelves
        What every member shares when their taste is folded in, and what is offered whoever comes.
    """

    kind: ClassVar[str] = "recommender"
    manifest: BundleManifest
    catalogue: Catalogue
    ranker: TreeModel | None
    golden: Matrix = field(repr=False)
    gram: NDArray[np.float64] = field(init=False, repr=False)
    shelves: Shelves = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out once what every request needs."""
        weighing = Weighing.of(self.manifest.parameters)
        object.__setattr__(self, "gram", gram_of(self.catalogue.factors, weighing.regularization))
        object.__setattr__(self, "shelves", Shelves.of(self.catalogue))

    @property
    def item_ids(self) -> NDArray[np.str_]:
        """Ids by row of the catalogue."""
        return self.catalogue.item_ids

    @property
    def serves(self) -> str:
        """What puts lists in order, one of `SERVES`."""
        return str(self.manifest.parameters["serves"])

    @property
    def serves_new(self) -> str:
        """What puts items that are new to a member in order where a place asks for a share of them."""
        return str(self.manifest.parameters.get("serves_new", self.serves))

    def taste(self, histories: Histories) -> Numbers:
        """Member factors folded in, shape (members, factors).

        Raises
        ------
        ValueError
            A history names a row that the catalogue does not have.
        """
        self.check(histories)
        weighing = Weighing.of(self.manifest.parameters)
        return fold_in(self.catalogue.factors, self.catalogue.rarity, histories, weighing, gram=self.gram)

    def candidates(
        self, histories: Histories, *, taste: Numbers | None = None, depths: Depths | None = None, only: Mask | None = None
    ) -> Candidates:
        """What may be offered to each member of a block, a few hundred items each, with what the ranker sees of them.

        Parameters
        ----------
        taste
            Member factors if they are known already; folded in otherwise.
        only
            Items that may be offered at all, shape (items,); None for every one.
        """
        self.check(histories)
        known = self.taste(histories) if taste is None else taste
        found = signals(self.catalogue, histories, known)
        marks = candidate_pairs(self.catalogue, self.shelves, histories, found, depths or Depths())
        if only is not None:
            marks[:, ~only] = 0
        return candidates_with_features(self.catalogue, histories, found, marks)

    def rank(self, candidates: Candidates) -> Scores:
        """The `score` of each candidate, shape (candidates,); more is better, comparable within one member only."""
        return self.score(candidates.features)

    def score(self, rows: Matrix) -> Scores:
        """The score of each row of features, shape (rows,); of members of whom nothing is known by popularity.

        Raises
        ------
        ValueError
            The rows are not as wide as the ranker's.
        """
        return self.score_by(self.serves, rows)

    def score_by(self, serves: str, rows: Matrix) -> Scores:
        """The score of each row by one of `SERVES`; without a ranker, of popularity in its place.

        Raises
        ------
        ValueError
            The rows are not as wide as the ranker's, or nothing is called so.
        """
        if rows.ndim != 2 or rows.shape[1] != len(FEATURES):
            raise ValueError(f"rows of {rows.shape[-1]} features for a ranker of {len(FEATURES)}")
        most = float(self.catalogue.buyers_28d.max(initial=0))
        if serves != RANKED:
            return baseline_scores(serves, rows, most)
        popular = popularity(rows, most)
        return popular if self.ranker is None else np.where(rows[:, KNOWN] > 0, self.ranker.predict(rows), popular)

    def lists(self, histories: Histories, *, k: int, repeats: float | None = None, taste: Numbers | None = None) -> RankedLists:
        """Lists of up to k items for any number of members, `BLOCK` at a time; see `listed`.

        Parameters
        ----------
        taste
            Member factors if they are known already, shape (members, factors).
        """
        parts = []
        for first in range(0, max(len(histories), 1), BLOCK):
            block = histories.of(first, min(first + BLOCK, len(histories)))
            known = None if taste is None else taste[first : first + BLOCK]
            candidates = self.candidates(block, taste=known)
            parts.append(self.listed(candidates, self.rank(candidates), k=k, repeats=repeats))
        return RankedLists(*(np.concatenate([getattr(part, name) for part in parts]) for name in RankedLists.__slots__))

    def listed(
        self, candidates: Candidates, scores: Scores, *, k: int, repeats: float | None = None, top_up: bool = True
    ) -> RankedLists:
        """The k best candidates of each member, topped up with popular items where there are fewer.

        Parameters
        ----------
        repeats
            Share of every beginning of a list for items bought before; 0 shows them only when nothing else is left, and None
            leaves it to the ranker.
        top_up
            Whether lists that are too short are filled with popular items.
        """
        k = min(k, len(self.catalogue))
        shape = (len(candidates), k)
        places = np.full(shape, -1, np.int32), np.full(shape, POPULAR, np.int8), np.full(shape, LOWEST)
        lists = RankedLists(*places, candidates.groups)
        if repeats is not None and self.serves_new != self.serves:
            new = self.score_by(self.serves_new, candidates.features)
            scores = np.where(candidates.is_own, scores, new)
        order = np.lexsort((-scores, candidates.owners))  # within a member items ascend, so that ties stand by item
        sources, is_own, popular = candidates.sources, candidates.is_own, self.shelves.popular
        for row in range(len(candidates)):
            mine = order[candidates.starts[row] : candidates.starts[row + 1]]
            if repeats is not None:
                mine = mixed(mine, is_own[mine], share=repeats)
            best = mine[:k]
            lists.items[row, : len(best)], lists.sources[row, : len(best)] = candidates.items[best], sources[best]
            lists.scores[row, : len(best)] = scores[best]
            if top_up and len(best) < k:
                lists.items[row, len(best) :] = unlisted(popular, candidates.items[best], k - len(best))
        return lists

    def similar(self, rows: Rows, *, k: int) -> tuple[Rows, Numbers]:
        """The items that go best with several together, best first, and how well: by who bought them, then by taste.

        Parameters
        ----------
        rows
            Rows of the catalogue; they are not among the answers.

        Returns
        -------
        Rows and scores from 0 to 1, shape (min(k, items left),).

        Raises
        ------
        ValueError
            A row is not one of the catalogue's.
        """
        if len(rows) == 0 or (rows < 0).any() or (rows >= len(self.catalogue)).any():
            raise ValueError(f"items are rows 0 to {len(self.catalogue) - 1} of the catalogue, at least one of them")
        scores = alike(self.catalogue, np.unique(rows))
        k = min(k, len(self.catalogue) - len(np.unique(rows)))
        best = np.argsort(-scores, kind="stable")[: max(k, 0)]
        return best.astype(np.int32), scores[best].astype(np.float32)

    def popular_items(self, k: int) -> list[str]:
        """The k items that most members bought, best first."""
        best: list[str] = self.item_ids[self.shelves.popular[:k]].tolist()
        return best

    def serving(self, serves: str, new: str | None = None) -> Recommender:
        """The same recommender answering by one of `SERVES`, and by `new` for items new to a member if it differs.

        Both stand in the definition too, which everybody who asks for the model is told.
        """
        told, was = {"serves": serves, "serves_new": new or serves}, self.manifest
        return replace(self, manifest=replace(was, parameters=was.parameters | told, definition=was.definition | told))

    def save(self, folder: Path) -> str:
        """Write the bundle; returns the sha256 of its manifest."""
        files = {CATALOGUE: _npz(self.catalogue.arrays())}
        if self.ranker is not None:
            files[MODEL_FILES[self.ranker.engine]] = self.ranker.to_bytes()
        golden: dict[str, NDArray[Any]] = {
            "rows": self.golden,
            "scores": self.score(self.golden),
            "factors": self.catalogue.factors[:1],
        }
        return write_bundle(folder, self.manifest, files, golden)

    @classmethod
    def load(cls, folder: Path, manifest: BundleManifest) -> Recommender:
        """The recommender in a bundle whose hashes are right, once its golden rows agree.

        Raises
        ------
        BundleRefused
            Golden rows disagree, or its ranker was made for other features.
        """
        if tuple(manifest.parameters.get("features", ())) != FEATURES:
            raise BundleRefused(
                f"{manifest.name}: its ranker was made for other features", remedy='train it again ("rapport train")'
            )
        golden, catalogue = read_arrays(folder / GOLDEN), Catalogue.of(read_arrays(folder / CATALOGUE))
        recommender = cls(manifest, catalogue, _ranker(folder, manifest), golden["rows"])
        check_golden(manifest.name, golden["scores"], recommender.score(recommender.golden))
        return recommender

    def check(self, histories: Histories) -> None:
        """Raise ValueError where a history names a row that the catalogue does not have."""
        if len(histories.items) and int(histories.items.max()) >= len(self.catalogue):
            raise ValueError(f"a history names row {int(histories.items.max())} of a catalogue of {len(self.catalogue)} items")


def unlisted(popular: Rows, listed: Rows, count: int) -> Rows:
    """The first `count` popular items that are not listed yet."""
    first = popular[: count + len(listed)]
    return first[~np.isin(first, listed)][:count]


def _ranker(folder: Path, manifest: BundleManifest) -> TreeModel | None:
    engine: Engine = "lightgbm" if manifest.engine == "lightgbm" else "xgboost"
    path = folder / MODEL_FILES[engine]
    return TreeModel.from_bytes(engine, path.read_bytes()) if path.name in manifest.files else None


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
