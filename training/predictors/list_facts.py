"""Ranked lists as they are stored: ids, sources and scores, how often and when each was bought, and what else was of late."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.list_records import RecommendationList, RecommendedItem
from features.rules.declared import LATELY_DAYS
from training.predictors.catalogue import Catalogue
from training.predictors.histories import Histories
from training.predictors.list_sources import SOURCES
from training.predictors.lists import RankedLists

FORGOTTEN_TOGETHER = 14
"""Purchases leave `lately` fortnight by fortnight: a list that loses one every night would be written every night."""
_NAMES = np.array(SOURCES, dtype=object)


def as_stored(
    ranked: RankedLists, catalogue: Catalogue, histories: Histories, *, model: str, as_of: str
) -> Iterator[RecommendationList]:
    """The lists of the members of the histories, in their order, with what reasons say and rules look at.

    The score of an item is 1 / its place in the list, so that a Sorted Set keeps the order.
    """
    there = ranked.items >= 0
    entry = _entries(ranked, histories, len(catalogue.item_ids))
    columns = [
        catalogue.item_ids[ranked.items].tolist(),
        np.broadcast_to(1 / np.arange(1, ranked.items.shape[1] + 1), ranked.items.shape).tolist(),
        _NAMES[ranked.sources].tolist(),
        *(_at(values, entry) for values in _own_record(histories)),
    ]
    lately = _lately(ranked, catalogue, histories, entry)
    for row, listed in enumerate(there.tolist()):
        found = zip(listed, *(column[row] for column in columns), strict=True)
        items = tuple(RecommendedItem(*told) for is_there, *told in found if is_there)
        yield RecommendationList(model, as_of, items, histories.day, next(lately))


def _entries(ranked: RankedLists, histories: Histories, size: int) -> NDArray[np.int64]:
    """Position in the histories of each item listed, if the member bought it; else -1. Shape (members, k)."""
    keys = histories.owners * size + histories.items
    wanted = np.arange(len(histories))[:, None] * size + ranked.items
    at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    if not len(keys):
        return np.full(wanted.shape, -1, dtype=np.int64)
    bought: NDArray[np.int64] = np.where((keys[at] == wanted) & (histories.times[at] > 0), at, -1)
    return bought


def _own_record(histories: Histories) -> Iterator[NDArray[Any]]:
    """By entry days bought, the last of them, and the days from one to the next: a rhythm shows from the second purchase on."""
    times = histories.times.astype(np.int64).astype(object)
    gaps = (histories.last_days - histories.first_days) / np.maximum(histories.times.astype(np.float64) - 1, 1)
    yield times
    yield histories.last_days.astype(object)
    gaps[histories.times <= 1] = np.nan
    yield np.array([None if math.isnan(gap) else gap for gap in np.round(gaps, 1).tolist()], dtype=object)


def _at(values: NDArray[Any], entry: NDArray[np.int64]) -> list[list[Any]]:
    """The values of entries, None where there is no entry."""
    with_none = np.append(values, [None])
    found: list[list[Any]] = with_none[entry].tolist()
    return found


def _lately(
    ranked: RankedLists, catalogue: Catalogue, histories: Histories, entry: NDArray[np.int64]
) -> Iterator[dict[str, int]]:
    """For each member the last day of what they bought of late, by item, of items that are not in the list."""
    since = histories.day - LATELY_DAYS
    late = (histories.times > 0) & (histories.last_days >= since - since % FORGOTTEN_TOGETHER)
    late[entry[entry >= 0]] = False
    ids, days = catalogue.item_ids[histories.items[late]].tolist(), histories.last_days[late].tolist()
    ends = np.concatenate([[0], np.cumsum(late)])[histories.starts].tolist()
    for start, end in pairwise(ends):
        yield dict(zip(ids[start:end], days[start:end], strict=True))
