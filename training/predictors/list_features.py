"""What the ranker sees of a member and an item: own rhythm, category, popularity, taste, price level."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.predictors.catalogue import BY_ITEM, Catalogue, Rhythms
from training.predictors.histories import Histories, Numbers, Rows
from training.predictors.list_signals import DUE_DAYS, LATER_DAYS, Signals, kind_cells
from training.predictors.list_sources import Candidates

OWN = (
    "times_bought", "days_since_last", "expected_gap_days", "silence_of_gap", "due_7d", "due_28d", "fast", "slow",
    "share_of_trips", "fast_share_of_trips", "interest",
)  # fmt: skip
CATEGORY = ("category_slow", "days_since_category", "share_of_category", "category_share")
ITEM = (
    "buyers_28d", "trend", "returning", "usual_gap_days", "item_age_days", "store_share", "price_fit", "group_share", "season",
)  # fmt: skip
MODELS = ("taste", "taste_of_best", "goes_with", "goes_with_of_best", "leads", "leads_of_best")
MEMBER = ("trips", "pace", "items_known")
FEATURES: tuple[str, ...] = OWN + CATEGORY + ITEM + MODELS + MEMBER
"""Columns of a ranker's rows. Those of `OWN` are missing where the member never bought or looked at the item."""
_PLACES = {name: place for place, name in enumerate(FEATURES)}


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Members and items, one of each a candidate, and where they stand in an array of all members by all items."""

    owners: NDArray[np.int64]
    items: NDArray[np.int64]
    flat: NDArray[np.int64]


def candidates_with_features(
    catalogue: Catalogue, histories: Histories, found: Signals, marks: NDArray[np.uint8]
) -> Candidates:
    """The marked items of every member with what the ranker sees of them."""
    flat = np.flatnonzero(marks != 0)
    pairs = _Pairs(*np.divmod(flat, marks.shape[1]), flat)
    starts = np.searchsorted(pairs.owners, np.arange(len(histories) + 1)).astype(np.int64)
    rows = np.empty((len(flat), len(FEATURES)), dtype=np.float32)
    rows[:, : len(OWN)] = _own(histories, found.rhythms).take(found.entry.take(flat), axis=0, mode="wrap")
    columns = {
        **_category(catalogue, histories, pairs),
        **_item(catalogue, histories, found.groups, pairs),
        **_models(found, pairs),
        **_member(histories, pairs.owners),
    }
    for name, values in columns.items():
        rows[:, _PLACES[name]] = values
    return Candidates(starts, pairs.items.astype(np.int32), marks.take(flat), rows, found.groups)


def _own(histories: Histories, rhythms: Rhythms) -> Numbers:
    """The columns of `OWN` of each entry, and a last row of missing values for items that a member has no entry of."""
    of_member, entries = histories.owners, len(histories.items)
    silence = (histories.day - histories.last_days).astype(np.float32)
    columns = {
        "times_bought": histories.times,
        "days_since_last": silence,
        "expected_gap_days": rhythms.gaps,
        "silence_of_gap": silence / rhythms.gaps,
        "due_7d": rhythms.due[DUE_DAYS],
        "due_28d": rhythms.due[LATER_DAYS],
        "fast": histories.fast,
        "slow": histories.slow,
        "share_of_trips": histories.times / np.maximum(histories.trips, 1)[of_member],
        "fast_share_of_trips": histories.fast / np.maximum(histories.pace, np.float32(1e-3))[of_member],
        "interest": histories.interest,
    }
    table = np.empty((entries + 1, len(OWN)), dtype=np.float32)
    for name, values in columns.items():
        table[:entries, _PLACES[name]] = values
    table[entries] = np.nan
    return table


def _category(catalogue: Catalogue, histories: Histories, pairs: _Pairs) -> dict[str, Numbers]:
    kinds, cells = len(catalogue.sold_by_kind), kind_cells(catalogue, histories)
    size = len(histories) * kinds
    mass = np.bincount(cells, histories.slow, minlength=size).reshape(len(histories), kinds).astype(np.float32)
    last = np.full(size, -(10**6), dtype=np.int32)
    np.maximum.at(last, cells, histories.last_days)
    cell = pairs.owners * kinds + catalogue.kinds.take(pairs.items) % kinds
    here = mass.take(cell)
    since = (histories.day - last.take(cell)).astype(np.float32)
    return {
        "category_slow": here,
        "days_since_category": np.where(since < 10**5, since, np.float32(np.nan)),
        "category_share": here / np.maximum(mass.sum(axis=1), np.float32(1e-3))[pairs.owners],
    }


def _item(catalogue: Catalogue, histories: Histories, groups: Rows, pairs: _Pairs) -> dict[str, Numbers]:
    store, group = histories.stores[pairs.owners], groups[pairs.owners]
    price = catalogue.price_level.take(pairs.items) - price_levels(catalogue, histories)[pairs.owners]
    return {
        **dict(zip(BY_ITEM, catalogue.by_item.take(pairs.items, axis=0).T, strict=True)),
        "store_share": _share(catalogue.store_share, store, pairs.items),
        "group_share": _share(catalogue.group_share, group, pairs.items),
        "price_fit": np.abs(price),
    }


def _share(shares: Numbers, rows: Rows, items: NDArray[np.int64]) -> Numbers:
    """Shares of each row's item; missing where the row is -1, or there are none."""
    if not len(shares):
        return np.full(len(items), np.nan, dtype=np.float32)
    return np.where(rows >= 0, shares[rows, items], np.float32(np.nan))


def price_levels(catalogue: Catalogue, histories: Histories) -> Numbers:
    """How dear each member buys within categories, on average, as log beside the middle; 0 where nothing is known."""
    level = catalogue.price_level.take(histories.items)
    unknown = np.isnan(level)
    weight = np.where(unknown, 0, histories.slow)
    level[unknown] = 0
    owners, members = histories.owners, len(histories)
    total = np.bincount(owners, weight, minlength=members)
    dear = np.bincount(owners, weight * level, minlength=members)
    return (dear / np.maximum(total, 1e-9)).astype(np.float32)


def _models(found: Signals, pairs: _Pairs) -> dict[str, Numbers]:
    columns: dict[str, Numbers] = {}
    for name, scores in (("taste", found.taste), ("goes_with", found.goes_with), ("leads", found.leads)):
        best = np.maximum(scores.max(axis=1, initial=0), np.float32(1e-6))
        columns[name] = scores.take(pairs.flat)
        columns[f"{name}_of_best"] = columns[name] / best[pairs.owners]
    return columns


def _member(histories: Histories, owners: NDArray[np.int64]) -> dict[str, Numbers]:
    known = np.diff(histories.starts).astype(np.float32)
    return {"trips": histories.trips[owners], "pace": histories.pace[owners], "items_known": known[owners]}
