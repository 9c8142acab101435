"""A list as of this moment: one member's history with what they did since added to it, and candidates ranked anew. Pure."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.predictors.catalogue import due_within
from training.predictors.histories import Histories, Numbers, Rows, with_today
from training.predictors.list_sources import DUE_PROBABILITY, Depths
from training.predictors.lists import RankedLists, Recommender

LIVE_DEPTHS = Depths(own=60, viewed=10, goes_with=25, similar_taste=25, category=15, popular=15, trending=5)
"""Fewer candidates than at night: one request has two milliseconds."""


@dataclass(frozen=True, slots=True)
class Since:
    """What a member did since their history was written: rows of the catalogue, and what each look counts.

    Attributes
    ----------
    store
        Row of the catalogue's stores, -1 if unknown.
    """

    day: int
    bought: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    looked: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    weights: Numbers = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    store: int = -1


def live_list(
    recommender: Recommender,
    history: Histories,
    since: Since,
    *,
    k: int,
    repeats: float | None = None,
    only: NDArray[np.bool_] | None = None,
) -> RankedLists:
    """The list of one member as of now: their taste folded in again, what they just bought gone unless it is due.

    Parameters
    ----------
    history
        Of exactly one member; nobody's (`no_histories`) for a newcomer.
    only
        Items that may be offered, shape (items,); None for every one.

    Raises
    ------
    ValueError
        There is not exactly one member, or a row lies outside the catalogue.
    """
    now = with_today(history, bought=since.bought, looked=since.looked, weights=since.weights, day=since.day, store=since.store)
    allowed = np.ones(len(recommender.catalogue), dtype=np.bool_) if only is None else only.copy()
    allowed[just_bought(recommender, now)] = False
    candidates = recommender.candidates(now, depths=LIVE_DEPTHS, only=allowed)
    lists = recommender.listed(candidates, recommender.rank(candidates), k=k, repeats=repeats, top_up=False)
    return topped_up(recommender, lists, allowed)


def just_bought(recommender: Recommender, now: Histories) -> Rows:
    """Rows of what was bought on the histories' own day, and is not likely to be wanted again within a day."""
    fresh = (now.last_days == now.day) & (now.times > 0)
    if not fresh.any():
        return np.empty(0, dtype=np.int32)
    return now.items[fresh & (due_within(recommender.catalogue, now, days=1.0) < DUE_PROBABILITY)]


def topped_up(recommender: Recommender, lists: RankedLists, allowed: NDArray[np.bool_]) -> RankedLists:
    """A list that is too short, filled with popular items that may be offered."""
    items = lists.items[0]
    short = int((items < 0).sum())
    if short:
        popular = recommender.shelves.popular
        free = popular[allowed[popular] & ~np.isin(popular, items)][:short]
        items[len(items) - short : len(items) - short + len(free)] = free
    return lists
