"""A catalogue fitted on what happened before a day: factors, neighbours, linear model, rhythm, popularity."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.lists.als import AlsSettings, rarities, sound_factors
from training.lists.behaviour import Behaviour
from training.lists.groups import group_centres, shares_within
from training.lists.linear import EASE_PENALTY, Linear, leads_of, pointers
from training.lists.rhythm import rhythm
from training.lists.windows import Window
from training.predictors.buying_groups import nearest_centres
from training.predictors.catalogue import Catalogue
from training.predictors.histories import Histories, Numbers

RECENT_DAYS, LATELY_DAYS = 28, 7
YEAR_DAYS = 364
"""A whole number of weeks, so that the days of the week agree."""
MOST_STORES = 200


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How the sources that learn are set up; found by a search, the same for every period.

    Attributes
    ----------
    als
        None leaves taste out: its factors are then a single column of zeros.
    penalty
        Of EASE; None leaves it out.
    """

    als: AlsSettings | None = field(default_factory=AlsSettings)
    penalty: float | None = EASE_PENALTY


def interest_of(histories: Histories) -> Numbers:
    """What item-item models see of an entry: purchases and looks, fading slowly, each further one counting less."""
    found: Numbers = np.log1p(histories.slow + histories.interest)
    return found


def fitted_catalogue(
    behaviour: Behaviour, of: Window, settings: SourceSettings, *, seed: int
) -> tuple[Catalogue, Linear | None]:
    """Everything a list needs to know of the items, from what happened before the window's day only; and EASE as a whole."""
    before, histories, items = behaviour.until(of.day), of.histories, len(of.listed)
    pointing = pointers(histories, interest_of(histories), items, penalty=settings.penalty)
    linear = pointing.linear
    nothing = np.empty((items, 0), dtype=np.int32), np.empty((items, 0), dtype=np.float32)
    leads, effects = nothing if linear is None else leads_of(linear, items)
    factors = np.zeros((items, 1), dtype=np.float32)
    if settings.als is not None:
        factors = sound_factors(histories, items, settings.als, seed=seed)
    law, facts = rhythm(before, of.listed), behaviour.items
    store_ids, store_share = _stores(before, of)
    categories = facts.categories[of.listed]
    centres = group_centres(of, categories, len(facts.category_names), seed=seed)
    in_group = nearest_centres(centres, categories, histories)
    catalogue = Catalogue(
        item_ids=behaviour.bought.item_ids[of.listed],
        kinds=facts.kinds[of.listed],
        categories=categories,
        category_names=facts.category_names,
        factors=factors,
        rarity=rarities(histories, items),
        neighbours=pointing.neighbours,
        similarities=pointing.similarities,
        leads=leads,
        effects=effects,
        gaps=law.gaps,
        shapes=law.shapes,
        returning=law.returning,
        buyers_28d=buyers_within(before, of, RECENT_DAYS),
        buyers_7d=buyers_within(before, of, LATELY_DAYS),
        item_age_days=_ages(before, of),
        price_level=_price_levels(facts.prices, facts.kinds)[of.listed],
        store_ids=store_ids,
        store_share=store_share,
        group_centres=centres,
        group_share=shares_within(in_group, len(centres), of),
        buyers_season=_season(before, of),
    )
    return catalogue, linear


def buyers_within(before: Behaviour, of: Window, days: int) -> Numbers:
    """Members who bought each listed item on the last so many days."""
    bought, width = before.bought, len(before.bought.item_ids)
    lately = bought.days >= of.day - days
    pairs = np.unique(bought.members[lately].astype(np.int64) * width + bought.items[lately])
    return np.bincount(pairs % width, minlength=width)[of.listed].astype(np.float32)


def _season(before: Behaviour, of: Window) -> Numbers:
    """Members who bought each listed item on the four weeks from a year before on; 0 where the facts begin later."""
    bought, width, first = before.bought, len(before.bought.item_ids), of.day - YEAR_DAYS
    if not len(bought.days) or int(bought.days.min()) > first:
        return np.zeros(len(of.listed), dtype=np.float32)
    then = (bought.days >= first) & (bought.days < first + RECENT_DAYS)
    pairs = np.unique(bought.members[then].astype(np.int64) * width + bought.items[then])
    return np.bincount(pairs % width, minlength=width)[of.listed].astype(np.float32)


def _ages(before: Behaviour, of: Window) -> Numbers:
    """Days since each listed item was first bought; since it was first looked at where nobody bought it."""
    first, seen = (np.full(len(before.bought.item_ids), of.day, dtype=np.int32) for _ in range(2))
    np.minimum.at(first, before.bought.items, before.bought.days)
    np.minimum.at(seen, before.looks.items, before.looks.days)
    return (of.day - np.where(first < of.day, first, seen)[of.listed]).astype(np.float32)


def _price_levels(prices: NDArray[np.float32], kinds: NDArray[np.int32]) -> Numbers:
    """Log of each price beside the median of its narrowest category; NaN where either is not known."""
    known = np.isfinite(prices) & (prices > 0) & (kinds >= 0)
    levels = np.full(len(prices), np.nan, dtype=np.float32)
    rows = np.flatnonzero(known)
    logs = np.log(prices[rows])
    order = np.lexsort((logs, kinds[rows]))
    rows, logs = rows[order], logs[order]
    starts = np.flatnonzero(np.diff(kinds[rows], prepend=-1))
    sizes = np.diff(np.append(starts, len(rows)))
    middle = (logs[starts + (sizes - 1) // 2] + logs[starts + sizes // 2]) / 2
    levels[rows] = logs - np.repeat(middle, sizes)
    return levels


def _stores(before: Behaviour, of: Window) -> tuple[NDArray[np.str_], Numbers]:
    """The stores with the most members, and how much more each item sells there than everywhere, as log, shrunk to 0."""
    ids, stores = before.visits.store_ids, of.histories.stores
    if not len(ids) or not (stores >= 0).any():
        return np.empty(0, dtype=np.str_), np.empty((0, len(of.listed)), dtype=np.float32)
    members = np.bincount(stores[stores >= 0], minlength=len(ids))
    kept = np.sort(np.argsort(-members, kind="stable")[: min(MOST_STORES, int((members > 0).sum()))])
    place = np.full(len(ids) + 1, -1, dtype=np.int32)
    place[kept] = np.arange(len(kept))
    return ids[kept], shares_within(place[stores], len(kept), of)
