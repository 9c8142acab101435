"""Where the items of a list come from: candidates of several members at once, each with the sources that found it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.predictors.catalogue import Catalogue, due_within
from training.predictors.histories import Histories, Numbers, Rows

SOURCES = (
    "due_again", "bought_before", "viewed", "goes_with", "similar_taste", "category", "popular", "trending",
)  # fmt: skip
"""Names of the sources; a candidate found by several is said to come from the first of them."""
DUE_AGAIN, BOUGHT_BEFORE, VIEWED, GOES_WITH, SIMILAR_TASTE, CATEGORY, POPULAR, TRENDING = range(len(SOURCES))
OWN = (DUE_AGAIN, BOUGHT_BEFORE)
DUE_DAYS = 7.0
DUE_PROBABILITY = 0.3
"""From this probability of being bought again within `DUE_DAYS` on, an item counts as due."""


@dataclass(frozen=True, slots=True)
class Depths:
    """How many candidates each source may offer a member."""

    own: int = 120
    viewed: int = 20
    goes_with: int = 60
    similar_taste: int = 60
    category: int = 40
    trending: int = 10
    popular: int = 40

    def of(self, share: float) -> "Depths":
        """The same with each source cut to a share of it, but never to none."""
        return Depths(*(max(1, round(getattr(self, name) * share)) for name in self.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of every item for every member, shape (members, items) each.

    Attributes
    ----------
    entry
        Position in the histories' entries, -1 where a member has none.
    goes_with, leads
        Sum over a member's items of their similarity to the item, and of what they say for it in the linear model.
    taste
        ALS score.
    """

    entry: Rows
    goes_with: Numbers
    leads: Numbers
    taste: Numbers


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items to choose from; candidates of member i stand at [starts[i], starts[i + 1]), by ascending item.

    Attributes
    ----------
    items
        Rows of the catalogue.
    found_by
        Bit s is set where source s found it.
    features
        Shape (candidates, features), in the order of `list_features.FEATURES`.
    """

    starts: NDArray[np.int64]
    items: Rows
    found_by: NDArray[np.uint8]
    features: Numbers

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def owners(self) -> NDArray[np.int64]:
        """Member of each candidate."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.starts))

    @property
    def sources(self) -> NDArray[np.int8]:
        """The first source that found each candidate, as a position in `SOURCES`."""
        lowest = self.found_by & (~self.found_by + np.uint8(1))
        return np.log2(np.maximum(lowest, 1)).astype(np.int8)

    @property
    def is_own(self) -> NDArray[np.bool_]:
        """Whether the member bought the item before."""
        return (self.found_by & np.uint8(3)) > 0


def signals(catalogue: Catalogue, histories: Histories, taste: Numbers) -> Signals:
    """Every item for every member of a block; `taste` holds member factors, shape (members, factors)."""
    shape = (len(histories), len(catalogue))
    owners = histories.owners
    entry = np.full(shape, -1, dtype=np.int32)
    entry[owners, histories.items] = np.arange(len(histories.items), dtype=np.int32)
    values = np.log1p(histories.slow + histories.interest)
    goes_with = _spread(owners, histories.items, values, catalogue.neighbours, catalogue.similarities, shape)
    leads = _spread(owners, histories.items, values, catalogue.leads, catalogue.effects, shape)
    return Signals(entry, goes_with, leads, taste @ catalogue.factors.T)


def candidate_pairs(catalogue: Catalogue, histories: Histories, found: Signals, depths: Depths) -> NDArray[np.uint8]:
    """Which sources found each item for each member, as bits, shape (members, items)."""
    marks = np.zeros(found.entry.shape, dtype=np.uint8)
    owners = histories.owners
    bought = histories.times > 0
    _mark_own(marks, catalogue, histories, depths)
    viewed = np.where(bought, -np.inf, histories.interest)
    chosen = _first_of_each(owners, viewed, histories.starts, depths.viewed) & ~bought
    marks[owners[chosen], histories.items[chosen]] |= np.uint8(1 << VIEWED)
    is_own = np.zeros(marks.shape, dtype=np.bool_)
    is_own[owners[bought], histories.items[bought]] = True
    for source, scores, depth in (
        (GOES_WITH, found.goes_with + found.leads, depths.goes_with),
        (SIMILAR_TASTE, found.taste, depths.similar_taste),
        (CATEGORY, _category_scores(catalogue, histories), depths.category),
    ):
        _mark_best(marks, source, np.where(is_own, -np.inf, scores), depth)
    trend = catalogue.buyers_7d**2 / np.maximum(catalogue.buyers_28d, 1)
    for source, scores, depth in (
        (TRENDING, trend, depths.trending),
        (POPULAR, _in_store(catalogue, histories), depths.popular),
    ):
        _mark_best(marks, source, np.where(is_own, -np.inf, scores), depth)
    return marks


def _mark_own(marks: NDArray[np.uint8], catalogue: Catalogue, histories: Histories, depths: Depths) -> None:
    """Items bought before: those bought most of late and those most likely due, and which of them are due."""
    owners, bought = histories.owners, histories.times > 0
    due = due_within(catalogue, histories, days=DUE_DAYS)
    strength = np.where(bought, np.maximum(due, histories.slow / (1 + histories.slow)), -np.inf)
    chosen = _first_of_each(owners, strength, histories.starts, depths.own) & bought
    marks[owners[chosen], histories.items[chosen]] |= np.uint8(1 << BOUGHT_BEFORE)
    now = chosen & (due >= DUE_PROBABILITY) & (histories.times > 1)
    marks[owners[now], histories.items[now]] |= np.uint8(1 << DUE_AGAIN)


def _category_scores(catalogue: Catalogue, histories: Histories) -> Numbers:
    """How much a member buys of an item's narrowest category, times how many buy the item."""
    mass = kind_sums(catalogue, histories, histories.slow)
    known: Numbers = mass[:, catalogue.kinds] * np.log1p(catalogue.buyers_28d)
    return np.where(catalogue.kinds >= 0, known, 0).astype(np.float32)


def _in_store(catalogue: Catalogue, histories: Histories) -> Numbers:
    """Recent buyers of each item, weighed by how much more it sells where the member buys."""
    everywhere = np.log1p(catalogue.buyers_28d)
    if not len(catalogue.store_ids):
        return np.tile(everywhere, (len(histories), 1))
    share = np.where(histories.stores[:, None] >= 0, catalogue.store_share[histories.stores], 0)
    return np.asarray(everywhere + share, dtype=np.float32)


def kind_sums(catalogue: Catalogue, histories: Histories, values: Numbers) -> Numbers:
    """Sum of the entries' values by member and narrowest category, shape (members, kinds + 1); the last is for unknown."""
    kinds = int(catalogue.kinds.max(initial=-1)) + 2
    kind = catalogue.kinds[histories.items] % kinds
    sums = np.bincount(histories.owners * kinds + kind, values, minlength=len(histories) * kinds)
    return sums.reshape(len(histories), kinds).astype(np.float32)


def _spread(
    owners: NDArray[np.int64], items: Rows, values: Numbers, to: Rows, strength: Numbers, shape: tuple[int, int]
) -> Numbers:
    """What each member's items say together for every item, shape (members, items)."""
    if not to.shape[1]:
        return np.zeros(shape, dtype=np.float32)
    there = to[items]
    flat = (owners[:, None] * shape[1] + np.maximum(there, 0)).ravel()
    said = (values[:, None] * strength[items]).ravel()
    return np.bincount(flat, said, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)


def _first_of_each(
    owners: NDArray[np.int64], values: NDArray[np.floating], starts: NDArray[np.int64], depth: int
) -> NDArray[np.bool_]:
    """Whether each entry is among the `depth` highest of its owner; ties by position."""
    order = np.lexsort((-values, owners))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - starts[owners[order]]
    chosen: NDArray[np.bool_] = rank < depth
    return chosen


def _mark_best(marks: NDArray[np.uint8], source: int, scores: Numbers, depth: int) -> None:
    """Mark the `depth` items with the highest scores of each member, those without any score above 0 left out."""
    depth = min(depth, scores.shape[1])
    best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    rows = np.arange(len(scores))[:, None]
    marks[rows, best] |= np.where(scores[rows, best] > 0, np.uint8(1 << source), np.uint8(0))
