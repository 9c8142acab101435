"""Where the items of a list come from: candidates of several members at once, each with the sources that found it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.predictors.catalogue import Catalogue
from training.predictors.histories import Histories, Numbers, Rows
from training.predictors.list_signals import DUE_DAYS, Signals, kind_sums

SOURCES = (
    "due_again", "bought_before", "viewed", "goes_with", "similar_taste", "category", "popular", "trending",
)  # fmt: skip
"""Names of the sources; a candidate found by several is said to come from the first of them."""
DUE_AGAIN, BOUGHT_BEFORE, VIEWED, GOES_WITH, SIMILAR_TASTE, CATEGORY, POPULAR, TRENDING = range(len(SOURCES))
OWN = (DUE_AGAIN, BOUGHT_BEFORE)
KIND_DEEP, KINDS_KNOWN, STORE_DEEP = 12, 20, 120
"""How many items of a category, how many of a member's categories and how many popular items are looked at."""
GROUP = 50
"""Columns that `highest` looks at together."""
_FIRST = np.array([0, *(each.bit_length() - 1 for found_by in range(1, 256) for each in [found_by & -found_by])], dtype=np.int8)
"""By the bits of those that found it, the first source."""
DUE_PROBABILITY = 0.15
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
class Shelves:
    """What a catalogue offers whoever comes, sorted once; rows of the catalogue, best first.

    Attributes
    ----------
    of_kind
        The items of each narrowest category with the most recent buyers, shape (kinds + 1, deep); -1 where there are fewer.
        The last row is for items without one, and empty.
    of_store
        The most popular items of each store, shape (stores + 1, deep); the last row is for members of no known store.
    of_group
        The most popular items of each group of members by what they buy; the last row is for members of none, and empty.
    trending
        Items that sell more this week than in the weeks before, and every second one of those that a year ago sold more on the
        next four weeks than they do now, if the facts reach back so far.
    popular
        All items.
    """

    of_kind: Rows
    of_store: Rows
    of_group: Rows
    trending: Rows
    popular: Rows

    @classmethod
    def of(cls, catalogue: Catalogue) -> "Shelves":
        """The shelves of a catalogue."""
        trend = catalogue.buyers_7d**2 / np.maximum(catalogue.buyers_28d, 1)
        everywhere = np.log1p(catalogue.buyers_28d)
        by_store = np.concatenate([everywhere + catalogue.store_share, everywhere[None, :]])
        in_groups = _sorted_best(everywhere + catalogue.group_share, STORE_DEEP)
        in_groups = np.concatenate([in_groups, np.full((1, in_groups.shape[1]), -1, dtype=np.int32)])
        rising = _in_turn(_sorted_best(trend[None, :], STORE_DEEP)[0], _of_the_season(catalogue))
        return cls(_kind_shelf(catalogue), _sorted_best(by_store, STORE_DEEP), in_groups, rising, catalogue.by_popularity())


def _kind_shelf(catalogue: Catalogue) -> Rows:
    kinds = int(catalogue.kinds.max(initial=-1)) + 1
    order = np.lexsort((-catalogue.buyers_28d, catalogue.kinds))
    order = order[catalogue.kinds[order] >= 0]
    starts = np.searchsorted(catalogue.kinds[order], np.arange(kinds))
    place = np.arange(len(order)) - starts[catalogue.kinds[order]]
    shelf = np.full((kinds + 1, KIND_DEEP), -1, dtype=np.int32)
    kept = place < KIND_DEEP
    shelf[catalogue.kinds[order[kept]], place[kept]] = order[kept]
    return shelf


def _of_the_season(catalogue: Catalogue) -> Rows:
    """Items that more members bought on the next four weeks a year ago than on the last four, largest difference first."""
    more = catalogue.buyers_season - catalogue.buyers_28d
    order = np.argsort(-more, kind="stable")[:STORE_DEEP]
    return order[(more[order] > 0) & (catalogue.buyers_season[order] > 0)].astype(np.int32)


def _in_turn(first: Rows, second: Rows) -> Rows:
    """Both one after the other in turn, each item once; the first alone where the second is empty."""
    if not len(second):
        return first
    both = np.full((max(len(first), len(second)), 2), -1, dtype=np.int32)
    both[: len(first), 0], both[: len(second), 1] = first, second
    row = both.ravel()[both.ravel() >= 0]
    _, places = np.unique(row, return_index=True)
    return row[np.sort(places)]


def _sorted_best(scores: NDArray[np.floating], deep: int) -> Rows:
    return np.argsort(-scores, axis=1, kind="stable")[:, :deep].astype(np.int32)


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
    groups
        Buying group of each member, as `buying_groups`, shape (members,).
    """

    starts: NDArray[np.int64]
    items: Rows
    found_by: NDArray[np.uint8]
    features: Numbers
    groups: Rows

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def owners(self) -> NDArray[np.int64]:
        """Member of each candidate."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.starts))

    @property
    def sources(self) -> NDArray[np.int8]:
        """The first source that found each candidate, as a position in `SOURCES`."""
        return _FIRST[self.found_by]

    @property
    def is_own(self) -> NDArray[np.bool_]:
        """Whether the member bought the item before."""
        return (self.found_by & np.uint8(3)) > 0


def candidate_pairs(
    catalogue: Catalogue, shelves: Shelves, histories: Histories, found: Signals, depths: Depths
) -> NDArray[np.uint8]:
    """Which sources found each item for each member, as bits, shape (members, items)."""
    marks = np.zeros(found.entry.shape, dtype=np.uint8)
    owners, bought = histories.owners, histories.times > 0
    _mark_own(marks, histories, found.rhythms.due[DUE_DAYS], depths)
    viewed = np.where(bought, -np.inf, histories.interest)
    chosen = _first_of_each(owners, viewed, histories.starts, depths.viewed) & ~bought
    marks[owners[chosen], histories.items[chosen]] |= np.uint8(1 << VIEWED)
    is_own = np.zeros(marks.shape, dtype=np.bool_)
    is_own[owners[bought], histories.items[bought]] = True
    for source, scores, depth in (
        (GOES_WITH, found.goes_with + found.leads, depths.goes_with),
        (SIMILAR_TASTE, found.taste.copy(), depths.similar_taste),
    ):
        scores[owners[bought], histories.items[bought]] = -np.inf
        _mark_best(marks, source, scores, depth)
    _mark_first(marks, CATEGORY, _of_own_kinds(catalogue, shelves, histories), is_own, depths.category)
    _mark_first(marks, POPULAR, shelves.of_store[histories.stores], is_own, depths.popular)
    _mark_first(marks, POPULAR, shelves.of_group[found.groups], is_own, depths.popular // 2)
    _mark_first(marks, TRENDING, np.tile(shelves.trending, (len(histories), 1)), is_own, depths.trending)
    return marks


def _mark_own(marks: NDArray[np.uint8], histories: Histories, due: Numbers, depths: Depths) -> None:
    """Items bought before: those bought most of late and those most likely due, and which of them are due."""
    owners, bought = histories.owners, histories.times > 0
    strength = np.where(bought, np.maximum(due, histories.slow / (1 + histories.slow)), -np.inf)
    chosen = _first_of_each(owners, strength, histories.starts, depths.own) & bought
    marks[owners[chosen], histories.items[chosen]] |= np.uint8(1 << BOUGHT_BEFORE)
    now = chosen & (due >= DUE_PROBABILITY) & (histories.times > 1)
    marks[owners[now], histories.items[now]] |= np.uint8(1 << DUE_AGAIN)


def _of_own_kinds(catalogue: Catalogue, shelves: Shelves, histories: Histories) -> Rows:
    """The shelves of the categories that each member buys most, by how much they buy of it times how many buy the item."""
    mass = kind_sums(catalogue, histories, histories.slow)[:, :-1]
    if not mass.shape[1]:
        return np.empty((len(histories), 0), dtype=np.int32)
    kinds = np.sort(highest(mass, KINDS_KNOWN), axis=1)
    known = np.take_along_axis(mass, kinds, axis=1)
    items = shelves.of_kind[kinds].reshape(len(histories), -1)
    strength = np.repeat(known, KIND_DEEP, axis=1) * np.log1p(catalogue.buyers_28d[items])
    strength = np.where((items >= 0) & (strength > 0), strength, -1)
    order = np.argsort(-strength, axis=1, kind="stable")
    return np.where(np.take_along_axis(strength, order, axis=1) > 0, np.take_along_axis(items, order, axis=1), -1)


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
    best = highest(scores, depth)
    rows = np.arange(len(scores))[:, None]
    marks[rows, best] |= np.where(scores[rows, best] > 0, np.uint8(1 << source), np.uint8(0))


def highest(scores: Numbers, count: int) -> NDArray[np.int64]:
    """Columns of the `count` highest scores of each row, in no order.

    They lie in the `count` groups of neighbouring columns with the highest maxima: only these are looked through, which takes a
    tenth of the time where rows are long.
    """
    count = min(count, scores.shape[1])
    whole = scores.shape[1] // GROUP * GROUP
    if scores.shape[1] < 4 * count * GROUP:
        return np.argpartition(-scores, count - 1, axis=1)[:, :count]
    maxima = scores[:, :whole].reshape(len(scores), -1, GROUP).max(axis=2)
    groups = np.argpartition(-maxima, count - 1, axis=1)[:, :count]
    inside = (groups[:, :, None] * GROUP + np.arange(GROUP)).reshape(len(scores), -1)
    rest = np.tile(np.arange(whole, scores.shape[1]), (len(scores), 1))
    columns = np.concatenate([inside, rest], axis=1)
    values = np.take_along_axis(scores, columns, axis=1)
    return np.take_along_axis(columns, np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)


def _mark_first(marks: NDArray[np.uint8], source: int, items: Rows, is_own: NDArray[np.bool_], depth: int) -> None:
    """Mark the first `depth` of each member's items that they do not own; -1 stands for none."""
    rows = np.arange(len(items))[:, None]
    new = (items >= 0) & ~is_own[rows, np.maximum(items, 0)]
    chosen = new & (np.cumsum(new, axis=1) <= depth)
    owner, place = np.nonzero(chosen)
    marks[owner, items[owner, place]] |= np.uint8(1 << source)
