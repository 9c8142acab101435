"""Items that point to items: who bought this also bought that (cosine, BM25), and the linear model EASE."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from training.predictors.histories import Histories, Numbers, Rows
from training.predictors.list_sources import highest

NEIGHBOURS = 50
EASE_ITEMS = 5000
"""EASE inverts a matrix of items by items: up to so many of the most bought ones it takes a third of a gigabyte and seconds."""
EASE_PENALTY = 300.0
BLOCK = 512


@dataclass(frozen=True, slots=True)
class Linear:
    """EASE of a part of the catalogue.

    Attributes
    ----------
    listed
        The items in it, ascending.
    effects
        Entry (i, j) is what item listed[i] says for item listed[j]; diagonal 0.
    """

    listed: NDArray[np.int64]
    effects: Numbers

    def scores(self, seen: sparse.csr_matrix) -> Numbers:
        """What the values of each row say for every item of the catalogue, shape of `seen`."""
        found: Numbers = np.zeros(seen.shape, dtype=np.float32)
        found[:, self.listed] = seen[:, self.listed] @ self.effects
        return found


def weighted(histories: Histories, values: Numbers, items: int) -> sparse.csr_matrix:
    """One row a member, one column an item."""
    return sparse.csr_matrix((values, histories.items, histories.starts), shape=(len(histories), items))


@dataclass(frozen=True, slots=True)
class Pointers:
    """What items say for others: their neighbours by cosine with the cosines, shape (items, count), and EASE if asked for."""

    neighbours: Rows
    similarities: Numbers
    linear: Linear | None


def pointers(
    histories: Histories, values: Numbers, items: int, *, count: int = NEIGHBOURS, penalty: float | None = None
) -> Pointers:
    """Both models that point from item to item, from one product of the members' values with themselves.

    Parameters
    ----------
    penalty
        Of EASE; None does without.

    Returns
    -------
    For each item the items whose buyers are most alike by cosine of the values, best first; -1 and 0 where it has fewer. An
    item is not its own neighbour.
    """
    matrix, count = weighted(histories, values, items), min(count, max(items - 1, 1))
    by_item = matrix.T.tocsr()
    scale = 1 / np.maximum(np.sqrt(np.asarray(by_item.multiply(by_item).sum(axis=1)).ravel()), 1e-12).astype(np.float32)
    rows, similarities = np.full((items, count), -1, dtype=np.int32), np.zeros((items, count), dtype=np.float32)
    listed = most_bought(histories, items)
    gram = np.empty((len(listed), len(listed)) if penalty is not None else (0, 0), dtype=np.float32)
    for first in range(0, items, BLOCK):
        together = (by_item[first : first + BLOCK] @ matrix).toarray().astype(np.float32, copy=False)
        if penalty is not None:
            low, high = np.searchsorted(listed, [first, first + BLOCK])
            gram[low:high] = together[listed[low:high] - first][:, listed]
        together[np.arange(len(together)), np.arange(first, first + len(together))] = 0
        together *= scale
        together *= scale[first : first + BLOCK, None]
        rows[first : first + BLOCK], similarities[first : first + BLOCK] = strongest(together, count)
    return Pointers(rows, similarities, None if penalty is None else _ease_of(listed, gram, penalty))


def neighbours_of(histories: Histories, values: Numbers, items: int, *, count: int = NEIGHBOURS) -> tuple[Rows, Numbers]:
    """The neighbours of each item by cosine, and the cosines: `pointers` without EASE."""
    found = pointers(histories, values, items, count=count)
    return found.neighbours, found.similarities


def most_bought(histories: Histories, items: int) -> NDArray[np.int64]:
    """The `EASE_ITEMS` items with the most buyers, ascending."""
    buyers = np.bincount(histories.items, minlength=items)
    return np.sort(np.argsort(-buyers, kind="stable")[:EASE_ITEMS])


def strongest(effects: Numbers, count: int) -> tuple[Rows, Numbers]:
    """Columns and values of the largest entries of each row above 0, best first, ties by column; -1 and 0 beyond."""
    count = min(count, effects.shape[1])
    best = np.sort(highest(effects, count), axis=1)
    values = np.take_along_axis(effects, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(values > 0, best, -1).astype(np.int32), np.maximum(values, 0).astype(np.float32)


def ease(histories: Histories, values: Numbers, items: int, *, penalty: float = EASE_PENALTY) -> Linear:
    """The linear model that best rebuilds the values of a member from those of their other items (Steck 2019).

    Only of the `EASE_ITEMS` items with the most buyers.
    """
    listed = most_bought(histories, items)
    matrix = weighted(histories, values, items)[:, listed]
    return _ease_of(listed, (matrix.T @ matrix).toarray().astype(np.float32), penalty)


def _ease_of(listed: NDArray[np.int64], gram: Numbers, penalty: float) -> Linear:
    gram[np.diag_indices(len(listed))] += penalty
    effects = _inverse(gram)
    effects /= -np.diag(effects)
    effects[np.diag_indices(len(listed))] = 0
    return Linear(listed, effects)


def _inverse(gram: Numbers) -> Numbers:
    """Inverse of a symmetric positive definite matrix by Cholesky: two fifths of the work of a general one."""
    with threadpool_limits(limits=1, user_api="blas"):
        factor, failed = lapack.spotrf(gram, lower=0)
        half, failed = lapack.spotri(factor, lower=0) if failed == 0 else (factor, failed)
    if failed != 0:  # rounding took the last of a weak penalty
        whole: Numbers = np.linalg.inv(gram)
        return whole
    upper = np.triu(half)
    upper += np.triu(half, 1).T
    return np.ascontiguousarray(upper)


def leads_of(linear: Linear, items: int, *, count: int = NEIGHBOURS) -> tuple[Rows, Numbers]:
    """For each item of the catalogue the items it says most for, best first, and how much; shape (items, count)."""
    listed, effects = linear.listed, linear.effects
    count = min(count, len(listed))
    rows, strength = np.full((items, count), -1, dtype=np.int32), np.zeros((items, count), dtype=np.float32)
    best, values = strongest(effects, count)
    rows[listed] = np.where(best >= 0, listed[best], -1)
    strength[listed] = values
    return rows, strength
