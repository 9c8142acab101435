"""Lists made anew for members who did something since the night: kept history and candidates, today added, ranked again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from features.errors import CorruptRecord
from features.list_records import RecommendationList
from features.live_items import LiveItems
from serving.bundle import ModelSet
from training.predictors import Recommender
from training.predictors.buying_groups import buying_groups
from training.predictors.histories import Histories, no_histories
from training.predictors.list_facts import as_stored
from training.predictors.live_lists import Since, list_of_now, with_all
from training.predictors.packed_history import Kept, hash_of, unpack

logger = logging.getLogger("rapport")
LISTED = 50
REMEMBERED = 1000
"""Lists kept in memory for members who ask again before they do anything else: some twenty megabytes."""
VIEW, CART = 0.2, 0.6
"""What a look counts beside a purchase, as in training (`training.lists.behaviour.LOOKS`; a test holds them together)."""


class LiveLists:
    """Makes lists anew by the recommender of a set of models."""

    def __init__(self, models: ModelSet) -> None:
        self.models = models
        recommender = models.recommender
        self._hash = hash_of(recommender.catalogue) if recommender is not None else b""
        self._made: dict[tuple[object, ...], RecommendationList] = {}

    def anew(
        self, stored: RecommendationList | None, past: bytes | None, since: Sequence[LiveItems], *, as_of: str, today: int
    ) -> RecommendationList | None:
        """The list as of now.

        Parameters
        ----------
        stored, past
            What the night left; None for a member it did not know.
        as_of
            The moment of the night.

        Returns
        -------
        None if nothing that was done is known to the catalogue, or there is no model: the list of the night stands.
        """
        recommender = self.models.recommender
        if recommender is None:
            return None
        steps = [step for items in since if (step := _step(recommender, items)) is not None]
        if not steps:
            return None
        label = self.models.registered["recommender"].label
        if past is None:
            if stored is not None:
                return without_bought(stored, since)
            history, kept = no_histories(1, day=min(step.day for step in steps)), Kept()
        else:
            try:
                history, kept = unpack(past, self._hash)
            except CorruptRecord as error:  # made with another catalogue: until the next night only what was bought goes
                logger.info("%s", error)
                return without_bought(stored, since) if stored is not None else None
        steps = [step for step in steps if step.day >= history.day]
        if not steps:
            return None
        if steps[-1].day < today:
            steps.append(Since(today))
        known = (past, as_of, today, *map(_told, since))
        made = self._made.pop(known, None) or _ranked(recommender, history, steps, kept, label, as_of)
        self._made[known] = made  # used last, forgotten last
        if len(self._made) > REMEMBERED:
            del self._made[next(iter(self._made))]
        return made

    def group_of(self, past: bytes | None) -> int:
        """The buying group of a member by the history that the night kept; -1 where there is none that can be read."""
        recommender = self.models.recommender
        if recommender is None or past is None:
            return -1
        try:
            history, _ = unpack(past, self._hash)
        except CorruptRecord as error:
            logger.info("%s", error)
            return -1
        return int(buying_groups(recommender.catalogue, history)[0])


def _ranked(
    recommender: Recommender, history: Histories, steps: Sequence[Since], kept: Kept, label: str, as_of: str
) -> RecommendationList:
    now = with_all(history, steps)
    ranked = list_of_now(recommender, now, steps, k=LISTED, kept=kept)
    return next(as_stored(ranked, recommender.catalogue, now, model=label, as_of=as_of))


def _told(items: LiveItems) -> tuple[object, ...]:
    """The same as something that a dictionary takes for a key."""
    return (items.day, *(tuple(counts.items()) for counts in (items.bought, items.carted, items.viewed)))


def _step(recommender: Recommender, items: LiveItems) -> Since | None:
    """What one day adds, as rows of the catalogue; None if it knows none of the items."""
    bought = _known(recommender, list(items.bought))
    looks = [(item, VIEW * count) for item, count in items.viewed.items()]
    looks += [(item, CART * count) for item, count in items.carted.items()]
    looked = recommender.catalogue.rows_of(np.array([item for item, _ in looks], dtype=np.str_))
    weights = np.array([weight for _, weight in looks], dtype=np.float32)
    there = looked >= 0
    if not len(bought) and not there.any():
        return None
    return Since(items.day, bought, looked[there], weights[there])


def _known(recommender: Recommender, item_ids: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    rows = recommender.catalogue.rows_of(np.array(item_ids, dtype=np.str_))
    return rows[rows >= 0]


def without_bought(stored: RecommendationList, since: Sequence[LiveItems]) -> RecommendationList:
    """The list of the night without what was bought since, which rules may look at as bought lately."""
    bought = {item: items.day for items in since for item in items.bought}
    left = tuple(item for item in stored.items if item.item_id not in bought)
    return replace(stored, items=left, lately={**stored.lately, **bought})
