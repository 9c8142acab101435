"""A list as of this moment: one member's history with what they did since added to it, and candidates ranked anew. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.predictors.catalogue import Rhythms
from training.predictors.histories import Histories, Numbers, Rows, with_today
from training.predictors.list_features import candidates_with_features
from training.predictors.list_signals import DUE_DAYS, LATER_DAYS, signals
from training.predictors.list_sources import BOUGHT_BEFORE, DUE_AGAIN, DUE_PROBABILITY, GOES_WITH, VIEWED, Candidates, Depths
from training.predictors.lists import RankedLists, Recommender
from training.predictors.packed_history import Kept

LIVE_DEPTHS = Depths(own=60, viewed=10, goes_with=25, similar_taste=25, category=15, popular=15, trending=5)
"""Fewer candidates than at night, as a request is waiting; for members of whom the night kept none."""
AGAIN_TODAY = 0.3
"""From this probability of being bought again within a day on, what was just bought is still offered."""
LOOKED_PLACES = (2, 5, 8)
"""Where the things looked at most stand at the latest, counted from 0: a ranker trained without looks cannot know of them."""
KEPT_DEEP, OWN_DEEP, NEAR_DEEP, LED_DEEP, NEWS = 80, 15, 8, 6, 5
"""Of the candidates of the night the best; own items beside them; what goes with a thing of today; and how many things."""
_OWN_BITS = np.uint8(1 << DUE_AGAIN | 1 << BOUGHT_BEFORE)


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
    *since: Since,
    k: int,
    repeats: float | None = None,
    only: NDArray[np.bool_] | None = None,
    kept: Kept | None = None,
) -> RankedLists:
    """The list of one member as of now: their taste folded in again, what they just bought gone unless it is due.

    Parameters
    ----------
    history
        Of exactly one member; nobody's (`no_histories`) for a newcomer.
    since
        Day by day; the last day is that of the list.
    only
        Items that may be offered, shape (items,); None for every one.
    kept
        Candidates of the night. With them only these, a few more of their own and what goes with the things of `since` are
        ranked; without them, or with none, candidates are looked for in the whole catalogue.

    Raises
    ------
    ValueError
        There is not exactly one member, or a row lies outside the catalogue.
    """
    return list_of_now(recommender, with_all(history, since), since, k=k, repeats=repeats, only=only, kept=kept)


def with_all(history: Histories, since: Sequence[Since]) -> Histories:
    """One member's history with everything since."""
    now = history
    for each in since:
        now = with_today(now, bought=each.bought, looked=each.looked, weights=each.weights, day=each.day, store=each.store)
    return now


def list_of_now(
    recommender: Recommender,
    now: Histories,
    since: Sequence[Since],
    *,
    k: int,
    repeats: float | None = None,
    only: NDArray[np.bool_] | None = None,
    kept: Kept | None = None,
) -> RankedLists:
    """The same for a history that holds everything `since` already, of which only what is near is looked up."""
    allowed = np.ones(len(recommender.catalogue), dtype=np.bool_) if only is None else only.copy()
    recommender.check(now)
    rhythms = Rhythms.of(recommender.catalogue, now, 1.0, DUE_DAYS, LATER_DAYS)
    allowed[just_bought(now, rhythms)] = False
    if kept is None or not len(kept.items):
        candidates = recommender.candidates(now, depths=LIVE_DEPTHS, only=allowed)
    else:
        candidates = near_candidates(recommender, now, kept, since, allowed, rhythms)
    lists = recommender.listed(candidates, recommender.rank(candidates), k=k, repeats=repeats, top_up=False)
    if repeats is None:
        for place, item in zip(LOOKED_PLACES, looked_at(now, since, allowed), strict=False):
            _by_then(lists, item, place)
    return topped_up(recommender, lists, allowed)


def looked_at(now: Histories, since: Sequence[Since], allowed: NDArray[np.bool_]) -> list[int]:
    """Rows of what the member only looked at, on the last day with a look: what they looked at most first."""
    looked = next((each for each in reversed(since) if len(each.looked)), None)
    if looked is None:
        return []
    weight: dict[int, float] = {}
    for row, each in zip(looked.looked.tolist(), looked.weights.tolist(), strict=True):
        weight[row] = weight.get(row, 0.0) + each
    rows = list(weight)
    times = now.times[np.searchsorted(now.items, rows)].tolist()  # a look makes an entry, with no times
    new = [row for row, bought in zip(rows, times, strict=True) if not bought and allowed[row]]
    return sorted(new, key=lambda row: (-weight[row], row))


def _by_then(lists: RankedLists, item: int, place: int) -> None:
    """Let an item stand at a place at the latest; the list keeps its length."""
    items, sources, scores = lists.items[0], lists.sources[0], lists.scores[0]
    there = np.flatnonzero(items == item)
    at = int(there[0]) if len(there) else len(items) - 1
    if at <= place or place >= len(items):
        return
    for values, value in ((items, item), (sources, VIEWED), (scores, scores[place])):
        values[place + 1 : at + 1] = values[place:at].copy()
        values[place] = value


def near_candidates(
    recommender: Recommender,
    now: Histories,
    kept: Kept,
    since: Sequence[Since],
    allowed: NDArray[np.bool_],
    rhythms: Rhythms | None = None,
) -> Candidates:
    """Candidates of the night, own items that time or today brought up, and what goes with the things of today.

    The last one kept is the item most to their taste of those they never bought: features are measured by it.
    """
    catalogue = recommender.catalogue
    rhythms = rhythms or Rhythms.of(catalogue, now, DUE_DAYS, LATER_DAYS)
    marks = np.zeros((1, len(catalogue)), dtype=np.uint8)
    mine = marks[0]
    for part in (slice(KEPT_DEEP), slice(-1, None)):
        mine[kept.items[part]] = kept.found_by[part]
    is_own = np.zeros(len(catalogue), dtype=np.bool_)
    is_own[now.items[now.times > 0]] = True
    _mark_near(mine, recommender, since, is_own)
    _mark_own(mine, now, rhythms.due[DUE_DAYS])
    mine[~allowed] = 0
    looked_up = np.flatnonzero(is_own | (mine != 0)).astype(np.int32)
    found = signals(catalogue, now, recommender.taste(now), only=looked_up, rhythms=rhythms)
    return candidates_with_features(catalogue, now, found, marks)


def _mark_near(mine: NDArray[np.uint8], recommender: Recommender, since: Sequence[Since], is_own: NDArray[np.bool_]) -> None:
    """Mark what was looked at, and what goes with the latest things bought or looked at, if the member never bought it."""
    looked = [each.looked[::-1] for each in reversed(since)]
    bought = [each.bought[::-1] for each in reversed(since)]
    latest = np.concatenate([np.empty(0, dtype=np.int32), *bought, *looked])[:NEWS]
    catalogue = recommender.catalogue
    near = np.concatenate([catalogue.neighbours[latest, :NEAR_DEEP].ravel(), catalogue.leads[latest, :LED_DEEP].ravel()])
    near = near[near >= 0]
    mine[near[~is_own[near]]] |= np.uint8(1 << GOES_WITH)
    for rows in looked:
        mine[rows[~is_own[rows]]] |= np.uint8(1 << VIEWED)


def _mark_own(mine: NDArray[np.uint8], now: Histories, due: Numbers) -> None:
    """Mark own items anew: those kept, and those most likely due or bought most; and which of them are due."""
    bought = now.times > 0
    strength = np.where(bought, np.maximum(due, now.slow / (1 + now.slow)), -1)
    chosen = bought & (mine[now.items] > 0)
    chosen[np.argpartition(-strength, OWN_DEEP)[:OWN_DEEP] if len(strength) > OWN_DEEP else slice(None)] = True
    chosen &= bought
    items = now.items[chosen]
    mine[items] = mine[items] & ~_OWN_BITS | np.uint8(1 << BOUGHT_BEFORE)
    mine[now.items[chosen & (due >= DUE_PROBABILITY) & (now.times > 1)]] |= np.uint8(1 << DUE_AGAIN)


def just_bought(now: Histories, rhythms: Rhythms) -> Rows:
    """Rows of what was bought on the histories' own day, and is not likely to be wanted again within a day."""
    fresh = (now.last_days == now.day) & (now.times > 0)
    gone: Rows = now.items[fresh & (rhythms.due[1.0] < AGAIN_TODAY)]
    return gone


def topped_up(recommender: Recommender, lists: RankedLists, allowed: NDArray[np.bool_]) -> RankedLists:
    """A list that is too short, filled with popular items that may be offered."""
    items = lists.items[0]
    short = int((items < 0).sum())
    if short:
        popular = recommender.shelves.popular
        free = popular[allowed[popular] & ~np.isin(popular, items)][:short]
        items[len(items) - short : len(items) - short + len(free)] = free
    return lists
