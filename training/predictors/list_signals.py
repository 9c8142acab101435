"""What is known of every item for each member of a block: what goes with their things, what is to their taste, what is due."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.predictors.buying_groups import buying_groups
from training.predictors.catalogue import Catalogue, Rhythms
from training.predictors.histories import Histories, Numbers, Rows

ALIKE = 64
"""Rows of factors are multiplied in portions of so many, so that the library adds each up in the same order as among all."""
TOGETHER = 8
"""Members whose sums are made at once: those of more do not stay in the processor's caches, and take three times as long."""
DUE_DAYS, LATER_DAYS = 7.0, 28.0
"""Within how many days things are due, for candidates and for the ranker."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of every item for every member; of the first four the shape is (members, items).

    Attributes
    ----------
    entry
        Position in the histories' entries, -1 where a member has none.
    goes_with, leads
        Sum over a member's items of their similarity to the item, and of what they say for it in the linear model.
    taste
        ALS score.
    rhythms
        Of each entry.
    groups
        Buying group of each member.
    """

    entry: Rows
    goes_with: Numbers
    leads: Numbers
    taste: Numbers
    rhythms: Rhythms
    groups: Rows


def signals(
    catalogue: Catalogue, histories: Histories, taste: Numbers, *, only: Rows | None = None, rhythms: Rhythms | None = None
) -> Signals:
    """Every item for every member of a block.

    Parameters
    ----------
    taste
        Member factors, shape (members, factors).
    only
        Items whose ALS score is worked out, elsewhere it is 0: reading the factors of a whole catalogue is what a single
        request would mostly wait for.
    rhythms
        With `DUE_DAYS` and `LATER_DAYS`, if they are known already.
    """
    shape = (len(histories), len(catalogue))
    entry = np.full(shape, -1, dtype=np.int32)
    entry[histories.owners, histories.items] = np.arange(len(histories.items), dtype=np.int32)
    goes_with, leads = _spread(catalogue, histories)
    rhythms = rhythms or Rhythms.of(catalogue, histories, DUE_DAYS, LATER_DAYS)
    groups = buying_groups(catalogue, histories)
    if only is None:
        return Signals(entry, goes_with, leads, taste @ catalogue.factors.T, rhythms, groups)
    scores = np.zeros(shape, dtype=np.float32)
    whole = np.append(only, np.zeros(-len(only) % ALIKE, dtype=only.dtype))
    scores[:, only] = (taste @ catalogue.factors.take(whole, axis=0).T)[:, : len(only)]
    return Signals(entry, goes_with, leads, scores, rhythms, groups)


def _spread(catalogue: Catalogue, histories: Histories) -> tuple[Numbers, Numbers]:
    """What each member's items say together for every item, by who bought them and by the linear model."""
    size = len(catalogue)
    goes_with, leads = (np.empty((len(histories), size), dtype=np.float32) for _ in range(2))
    for first in range(0, len(histories), TOGETHER):
        some = histories if len(histories) <= TOGETHER else histories.of(first, min(first + TOGETHER, len(histories)))
        flat = catalogue.pointed.take(some.items, axis=0)
        if len(some) > 1:
            flat = some.owners[:, None] * (2 * size) + flat
        said = catalogue.strengths.take(some.items, axis=0)
        said *= np.log1p(some.slow + some.interest)[:, None]
        sums = np.bincount(flat.ravel(), said.ravel(), minlength=2 * len(some) * size).reshape(len(some), 2, size)
        goes_with[first : first + len(some)], leads[first : first + len(some)] = sums[:, 0], sums[:, 1]
    return goes_with, leads


def kind_cells(catalogue: Catalogue, histories: Histories) -> NDArray[np.int64]:
    """Place of each entry among members times (narrowest categories + 1), laid flat; the last category is for unknown."""
    kinds = len(catalogue.sold_by_kind)
    return histories.owners * kinds + catalogue.kinds.take(histories.items) % kinds


def kind_sums(catalogue: Catalogue, histories: Histories, values: Numbers) -> Numbers:
    """Sum of the entries' values by member and narrowest category, shape (members, kinds + 1); the last is for unknown."""
    kinds = len(catalogue.sold_by_kind)
    sums = np.bincount(kind_cells(catalogue, histories), values, minlength=len(histories) * kinds)
    return sums.reshape(len(histories), kinds).astype(np.float32)
