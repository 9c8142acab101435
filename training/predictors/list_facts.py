"""Ranked lists as they are stored: ids, sources and scores, how often and when each was bought, and what else was of late."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.list_records import RecommendationList, RecommendedItem
from features.rules.declared import LATELY_DAYS
from training.predictors.buying_groups import buying_groups
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
    entry = _entries(ranked, histories, len(catalogue.item_ids))
    lately = _lately(ranked, catalogue, histories, entry)
    groups = buying_groups(catalogue, histories).tolist()
    places = [1 / place for place in range(1, ranked.items.shape[1] + 1)]
    names, rows = catalogue.item_ids[ranked.items], ranked.items.tolist()
    columns = (names.tolist(), _NAMES[ranked.sources].tolist(), entry.tolist(), *_own_record(histories, entry))
    for row, listed in enumerate(rows):
        found = zip(listed, places, *(column[row] for column in columns), strict=True)
        items = tuple(_item(*told) for which, *told in found if which >= 0)
        yield RecommendationList(model, as_of, items, histories.day, next(lately), groups[row])


def _item(score: float, name: str, source: str, entry: int, times: float, last: int, gap: float) -> RecommendedItem:
    """An item with the member's own record of it, if there is one; a rhythm shows from the second purchase on."""
    if entry < 0:
        return RecommendedItem(name, score, source)
    return RecommendedItem(name, score, source, int(times), last, gap if times > 1 else None)


def _entries(ranked: RankedLists, histories: Histories, size: int) -> NDArray[np.int64]:
    """Position in the histories of each item listed, if the member bought it; else -1. Shape (members, k)."""
    keys = histories.owners * size + histories.items
    wanted = np.arange(len(histories))[:, None] * size + ranked.items
    at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    if not len(keys):
        return np.full(wanted.shape, -1, dtype=np.int64)
    bought: NDArray[np.int64] = np.where((keys[at] == wanted) & (histories.times[at] > 0), at, -1)
    return bought


def _own_record(histories: Histories, entry: NDArray[np.int64]) -> Iterator[list[list[Any]]]:
    """Of the entries days bought, the last of them, and the days from one to the next; anything where there is no entry."""
    if not len(histories.items):
        yield from [[[0] * entry.shape[1]] * len(entry)] * 3
        return
    times, first, last = histories.times[entry], histories.first_days[entry], histories.last_days[entry]
    yield times.tolist()
    yield last.tolist()
    yield np.round((last - first) / np.maximum(times.astype(np.float64) - 1, 1), 1).tolist()


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
