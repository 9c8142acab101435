"""Ranked lists as they are stored: ids, sources and scores, how often and when each was bought, and what else was of late."""

from collections.abc import Iterator, Sequence
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
    entry = _entries(ranked, histories, len(catalogue.item_ids))
    lately = _lately(ranked, catalogue, histories, entry)
    groups, shown = ranked.groups.tolist(), (ranked.items >= 0).sum(axis=1).tolist()
    places = [1 / place for place in range(1, ranked.items.shape[1] + 1)]
    columns = catalogue.item_ids[ranked.items], _NAMES[ranked.sources], entry, *_own_record(histories, entry)
    told = [column.tolist() for column in columns]
    for row, length in enumerate(shown):
        items = _items(places[:length], *(column[row] for column in told))
        yield RecommendationList(model, as_of, items, histories.day, next(lately), groups[row])


def _items(
    scores: Sequence[float],
    names: Sequence[str],
    sources: Sequence[str],
    entries: Sequence[int],
    times: Sequence[int],
    last: Sequence[int],
    gaps: Sequence[float],
) -> tuple[RecommendedItem, ...]:
    """Items with the member's own record of each, if there is one; a rhythm shows from the second purchase on."""
    found = zip(scores, names, sources, entries, times, last, gaps, strict=False)  # all as long as the scores
    return tuple(
        [
            RecommendedItem(name, score, source, often, latest, gap if often > 1 else None)
            if entry >= 0
            else RecommendedItem(name, score, source)
            for score, name, source, entry, often, latest, gap in found
        ]
    )


def _entries(ranked: RankedLists, histories: Histories, size: int) -> NDArray[np.int64]:
    """Position in the histories of each item listed, if the member bought it; else -1. Shape (members, k)."""
    if not len(histories.items):
        return np.full(ranked.items.shape, -1, dtype=np.int64)
    keys = histories.owners * size + histories.items
    wanted = np.arange(len(histories))[:, None] * size + ranked.items
    at = np.searchsorted(keys, wanted)
    np.minimum(at, len(keys) - 1, out=at)
    bought: NDArray[np.int64] = np.where((keys[at] == wanted) & (histories.times[at] > 0), at, -1)
    return bought


def _own_record(histories: Histories, entry: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """Of the entries days bought, the last of them, and the days from one to the next; anything where there is no entry."""
    if not len(histories.items):
        yield from [np.zeros(entry.shape, dtype=np.int32)] * 3
        return
    times, first, last = histories.times[entry].astype(np.int64), histories.first_days[entry], histories.last_days[entry]
    yield times
    yield last
    yield np.round((last - first) / np.maximum(times - 1, 1), 1)


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
