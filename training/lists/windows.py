"""Histories as of a day from days of purchases, for a catalogue of items with enough buyers, and what was bought after it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.errors import NotEnoughData
from training.interactions import MIN_BUYERS
from training.lists.behaviour import Behaviour
from training.predictors.catalogue import Catalogue
from training.predictors.histories import FAST_DAYS, SLOW_DAYS, Histories

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """Everybody who bought something of the catalogue before a day.

    Attributes
    ----------
    histories
        Member i of them is `members[i]` of the behaviour; items are rows of the catalogue.
    members
        Positions in the behaviour's member ids, ascending.
    listed
        Position in the behaviour's item ids of each row of the catalogue, ascending.
    """

    histories: Histories
    members: Positions
    listed: Positions

    @property
    def day(self) -> int:
        """The day before which all of it happened."""
        return self.histories.day


def window(behaviour: Behaviour, *, day: int) -> Window:
    """Histories as of the midnight at which a local day begins, over the items with enough buyers by then.

    Raises
    ------
    NotEnoughData
        No item has enough buyers.
    """
    before = behaviour.until(day)
    listed = listed_items(before)
    members = np.unique(before.bought.members[np.isin(before.bought.items, listed)]).astype(np.int64)
    return Window(histories_of(before, members, listed, day=day), members, listed)


def listed_items(before: Behaviour) -> Positions:
    """Items that at least `MIN_BUYERS` members bought or looked at, where a shop knows looks.

    Raises
    ------
    NotEnoughData
        There is none.
    """
    bought, looks, width = before.bought, before.looks, len(before.bought.item_ids)
    owners, items = np.concatenate([bought.members, looks.members]), np.concatenate([bought.items, looks.items])
    pairs = _distinct(owners.astype(np.int64) * width + items)
    listed = np.flatnonzero(np.bincount(pairs % width, minlength=width) >= MIN_BUYERS) if width else pairs
    if not len(listed):
        raise NotEnoughData(f"no item was bought or looked at by {MIN_BUYERS} members or more: no lists can be learned")
    return listed


def catalogue_positions(behaviour: Behaviour, catalogue: Catalogue) -> tuple[Positions, Positions]:
    """Rows of a catalogue whose items the behaviour knows, and their positions in its item ids; both ascending.

    Items that facts no longer tell of, because old files went or a department closed, are nobody's history.
    """
    ids = behaviour.bought.item_ids
    found = np.searchsorted(ids, catalogue.item_ids).clip(max=max(len(ids) - 1, 0))
    known = ids[found] == catalogue.item_ids if len(ids) else np.zeros(len(catalogue), dtype=np.bool_)
    return np.flatnonzero(known), found[known].astype(np.int64)


def histories_of(before: Behaviour, members: Positions, listed: Positions, *, day: int) -> Histories:
    """Histories of these members over these items, from what happened before the day and nothing else.

    Parameters
    ----------
    before
        Behaviour that ends with the day (`Behaviour.until`).
    members, listed
        Positions in the behaviour's ids, ascending.
    """
    entries = _purchases(before, members, listed, day)
    looks = _interest(before, members, listed, day)
    keys = _distinct(np.concatenate([entries["key"], looks["key"]])) if len(looks["key"]) else entries["key"]
    owner, item = np.divmod(keys, len(listed))
    place, seen = np.searchsorted(keys, entries["key"]), np.searchsorted(keys, looks["key"])
    arrays = {name: np.zeros(len(keys), dtype=np.float32) for name in ("times", "fast", "slow", "interest")}
    first, last = np.full(len(keys), day, dtype=np.int32), np.full(len(keys), day, dtype=np.int32)
    first[seen], last[seen] = looks["last"], looks["last"]
    first[place], last[place] = entries["first"], entries["last"]
    arrays["interest"][seen] = looks["interest"]
    for name in ("times", "fast", "slow"):
        arrays[name][place] = entries[name]
    trips, pace = _trips(before, members, listed, day)
    return Histories(
        day=day,
        starts=np.searchsorted(owner, np.arange(len(members) + 1)).astype(np.int64),
        items=item.astype(np.int32),
        first_days=first,
        last_days=last,
        trips=trips,
        pace=pace,
        stores=_last_stores(before, members),
        **arrays,
    )


def _purchases(before: Behaviour, members: Positions, listed: Positions, day: int) -> dict[str, NDArray[np.generic]]:
    """One entry a member and item bought, by key: owner times items plus row."""
    bought = before.bought
    row, column = _among(members, bought.members), _among(listed, bought.items)
    kept = (row >= 0) & (column >= 0)
    days, key = bought.days[kept], row[kept] * len(listed) + column[kept]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    age = (day - days).astype(np.float64)
    if not len(starts):
        empty = np.empty(0)
        return {"key": empty.astype(np.int64), **dict.fromkeys(("first", "last", "times", "fast", "slow"), empty)}
    return {
        "key": key[starts],
        "first": days[starts],
        "last": days[np.append(starts[1:], len(days)) - 1],
        "times": np.diff(np.append(starts, len(days))),
        "fast": np.add.reduceat(np.exp2(-age / FAST_DAYS), starts),
        "slow": np.add.reduceat(np.exp2(-age / SLOW_DAYS), starts),
    }


def _interest(before: Behaviour, members: Positions, listed: Positions, day: int) -> dict[str, NDArray[np.generic]]:
    """Looks of each member at each item, fading, by the same key, and the day of the last."""
    looks = before.looks
    row, column = _among(members, looks.members), _among(listed, looks.items)
    kept = (row >= 0) & (column >= 0)
    keys, place = np.unique(row[kept] * len(listed) + column[kept], return_inverse=True)
    faded = looks.weights[kept] * np.exp2(-(day - looks.days[kept]) / FAST_DAYS)
    last = np.zeros(len(keys), dtype=np.int32)
    np.maximum.at(last, place, looks.days[kept])
    return {"key": keys, "interest": np.bincount(place, faded, minlength=len(keys)), "last": last}


def _trips(
    before: Behaviour, members: Positions, listed: Positions, day: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Days on which each member bought something of the catalogue, and the same fading."""
    bought = before.bought
    row = _among(members, bought.members)
    kept = (row >= 0) & (_among(listed, bought.items) >= 0)
    days = _distinct(row[kept] * (day + 1) + bought.days[kept])
    who, when = np.divmod(days, day + 1)
    faded = np.exp2(-(day - when) / FAST_DAYS)
    counts = [np.bincount(who, weights, minlength=len(members)).astype(np.float32) for weights in (np.ones(len(who)), faded)]
    return counts[0], counts[1]


def _last_stores(before: Behaviour, members: Positions) -> NDArray[np.int32]:
    """The store where each member bought last, of several on one day that of the highest row; -1 if unknown."""
    visits, stores = before.visits, np.full(len(members), -1, dtype=np.int32)
    row = _among(members, visits.members)
    order = np.lexsort((visits.stores, visits.days))
    order = order[row[order] >= 0]
    stores[row[order]] = visits.stores[order]
    return stores


def bought_in(behaviour: Behaviour, of: Window, *, days: int) -> sparse.csr_matrix:
    """What each member of a window bought of its catalogue, and kept, on the local days [day, day + days): 1 where they did."""
    bought = behaviour.bought.within(of.day, of.day + days)
    return _marked(of, bought.members, bought.items)


def bought_next(behaviour: Behaviour, of: Window, *, days: int) -> sparse.csr_matrix:
    """What each member bought on the first day they bought anything of the catalogue, within [day, day + days)."""
    bought = behaviour.bought.within(of.day, of.day + days)
    inside = _among(of.listed, bought.items) >= 0
    members, items, when = bought.members[inside], bought.items[inside], bought.days[inside]
    first = np.full(len(bought.member_ids), np.iinfo(np.int32).max, dtype=np.int32)
    np.minimum.at(first, members, when)
    then = when == first[members]
    return _marked(of, members[then], items[then])


def already(of: Window) -> sparse.csr_matrix:
    """What each member of a window had bought before its day: 1 where they had."""
    histories = of.histories
    was = histories.times > 0
    shape = (len(histories), len(of.listed))
    return sparse.csr_matrix((np.ones(int(was.sum()), np.float32), (histories.owners[was], histories.items[was])), shape=shape)


def _marked(of: Window, members: NDArray[np.int32], items: NDArray[np.int32]) -> sparse.csr_matrix:
    row, column = _among(of.members, members), _among(of.listed, items)
    kept = (row >= 0) & (column >= 0)
    shape = (len(of.members), len(of.listed))
    marked = sparse.csr_matrix((np.ones(int(kept.sum()), np.float32), (row[kept], column[kept])), shape=shape)
    marked.data[:] = 1
    return marked


def _distinct(values: Positions) -> Positions:
    """Ascending and without doubles, as `np.unique`, which for millions of numbers takes ten times as long as sorting them."""
    ordered = np.sort(values)
    return ordered[np.flatnonzero(np.diff(ordered, prepend=-1))]  # all are 0 or more


def _among(chosen: Positions, values: NDArray[np.int32]) -> Positions:
    """Index of each value among chosen positions, ascending; -1 if it is not among them."""
    if not len(chosen):
        return np.full(len(values), -1, dtype=np.int64)
    place = np.full(max(int(chosen[-1]), int(values.max(initial=0))) + 1, -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    return place[values]
