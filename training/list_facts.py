"""What lists tell beside their items: how often and when each was bought before, and what else was bought of late."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import msgspec
import numpy as np

from features.online_store import RecommendationList, RecommendedItem
from features.rules.declared import LATELY_DAYS
from training.predictors.catalogue import Catalogue
from training.predictors.histories import Histories

FORGOTTEN_TOGETHER = 14
"""Purchases leave `lately` fortnight by fortnight: a list that loses one every night would be written every night."""
Bought = dict[str, tuple[int, int, int]]
"""By item: on how many days it was bought, the first and the last of them."""


def told(lists: Iterable[RecommendationList], catalogue: Catalogue, histories: Histories) -> Iterator[RecommendationList]:
    """The lists of the members of the histories, in their order, with what reasons say and rules look at."""
    since = histories.day - LATELY_DAYS
    since -= since % FORGOTTEN_TOGETHER
    for which, each in enumerate(lists):
        bought = _bought(catalogue, histories, which)
        items = tuple(_told(item, bought.get(item.item_id)) for item in each.items)
        shown = {item.item_id for item in each.items}
        lately = {item: last for item, (_, _, last) in bought.items() if last >= since and item not in shown}
        yield replace(each, items=items, day=histories.day, lately=lately)


def _bought(catalogue: Catalogue, histories: Histories, which: int) -> Bought:
    part = slice(int(histories.starts[which]), int(histories.starts[which + 1]))
    kept = np.flatnonzero(histories.times[part] > 0)
    ids = catalogue.item_ids[histories.items[part][kept]].tolist()
    columns = (histories.times, histories.first_days, histories.last_days)
    return dict(zip(ids, zip(*(column[part][kept].astype(int).tolist() for column in columns), strict=True), strict=True))


def _told(item: RecommendedItem, bought: tuple[int, int, int] | None) -> RecommendedItem:
    """The item with the member's own record of it; a rhythm shows from the second purchase on."""
    if bought is None:
        return item
    times, first, last = bought
    gap = round((last - first) / (times - 1), 1) if times > 1 else None
    return msgspec.structs.replace(item, times=times, last_day=last, gap_days=gap)
