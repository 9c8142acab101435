"""After how many days items are bought again: each item's law, shrunk to that of its category and of everything."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.lists.behaviour import Behaviour
from training.predictors.histories import Numbers

PRIOR = 20.0
"""How many gaps (or buyers) of its category stand beside an item's own, and of everything beside a category's."""
LARGEST_SHAPE, SMALLEST_SHAPE = 8.0, 0.5
DEFAULT_GAP = 28.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Shape (items,) each: days after which half have bought again, shape of the log-logistic law, share who ever do."""

    gaps: Numbers
    shapes: Numbers
    returning: Numbers


def rhythm(before: Behaviour, listed: NDArray[np.int64]) -> Rhythm:
    """The law of every listed item, from gaps between two days on which the same member bought it."""
    bought = before.bought
    same = (np.diff(bought.members) == 0) & (np.diff(bought.items) == 0)
    logs = np.log(np.maximum(np.diff(bought.days)[same], 1).astype(np.float64))
    items = bought.items[1:][same]
    number, total, squares = (_sums(items, values, before) for values in (np.ones(len(logs)), logs, logs**2))
    kinds = before.items.kinds
    mean = _shrunk(total, number, kinds, otherwise=float(np.log(DEFAULT_GAP)))
    spread = _shrunk(squares - 2 * mean * total + mean**2 * number, number, kinds, otherwise=1.0)
    shapes = np.clip(np.pi / np.sqrt(3 * np.maximum(spread, 1e-6)), SMALLEST_SHAPE, LARGEST_SHAPE)
    starts = np.append(True, ~same) if len(bought.days) else np.empty(0, dtype=np.bool_)
    buyers = _sums(bought.items[starts], np.ones(int(starts.sum())), before)
    again = _sums(bought.items[1:][same & np.append(True, ~same[:-1])], None, before) if len(same) else 0 * buyers
    returning = _shrunk(again, buyers, kinds, otherwise=0.1)
    found = (values[listed].astype(np.float32) for values in (np.exp(mean), shapes, returning))
    return Rhythm(*found)


def _sums(items: NDArray[np.int32], values: NDArray[np.float64] | None, before: Behaviour) -> NDArray[np.float64]:
    return np.bincount(items, values, minlength=len(before.bought.item_ids)).astype(np.float64)


def _shrunk(
    total: NDArray[np.float64], number: NDArray[np.float64], kinds: NDArray[np.int32], *, otherwise: float
) -> NDArray[np.float64]:
    """Mean of each item, with `PRIOR` observations of its category added, and as many of everything to each category."""
    everything = (total.sum() + otherwise) / (number.sum() + 1)
    wrapped = kinds % (int(kinds.max(initial=-1)) + 2)
    of_kind = np.bincount(wrapped, total) + PRIOR * everything
    seen = np.bincount(wrapped, number) + PRIOR
    mean: NDArray[np.float64] = (total + PRIOR * (of_kind / seen)[wrapped]) / (number + PRIOR)
    return mean
