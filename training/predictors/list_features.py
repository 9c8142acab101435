"""What the ranker sees of a member and an item: own rhythm, category, popularity, taste, price level."""

import numpy as np
from numpy.typing import NDArray

from training.predictors.buying_groups import buying_groups
from training.predictors.catalogue import Catalogue, due_at, expected_gaps
from training.predictors.histories import Histories, Numbers
from training.predictors.list_sources import Candidates, Signals, kind_sums

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


def candidates_with_features(
    catalogue: Catalogue, histories: Histories, found: Signals, marks: NDArray[np.uint8]
) -> Candidates:
    """The marked items of every member with what the ranker sees of them."""
    owners, items = np.nonzero(marks)
    starts = np.searchsorted(owners, np.arange(len(histories) + 1)).astype(np.int64)
    rows = np.empty((len(items), len(FEATURES)), dtype=np.float32)
    columns = {
        **_own(catalogue, histories, found.entry[owners, items], owners),
        **_category(catalogue, histories, owners, items),
        **_item(catalogue, histories, owners, items),
        **_models(found, owners, items),
        **_member(histories, owners),
    }
    for place, name in enumerate(FEATURES):
        rows[:, place] = columns[name]
    return Candidates(starts, items.astype(np.int32), marks[owners, items], rows)


def _own(catalogue: Catalogue, histories: Histories, entry: NDArray[np.int32], owners: NDArray[np.int64]) -> dict[str, Numbers]:
    of_member = histories.owners
    silence = (histories.day - histories.last_days).astype(np.float32)
    gaps = expected_gaps(catalogue, histories)
    due_7d, due_28d = due_at(catalogue, histories, (7.0, 28.0), gaps)
    by_entry = {
        "times_bought": histories.times,
        "days_since_last": silence,
        "expected_gap_days": gaps,
        "silence_of_gap": silence / gaps,
        "due_7d": due_7d,
        "due_28d": due_28d,
        "fast": histories.fast,
        "slow": histories.slow,
        "share_of_trips": histories.times / np.maximum(histories.trips[of_member], 1),
        "fast_share_of_trips": histories.fast / np.maximum(histories.pace[of_member], np.float32(1e-3)),
        "interest": histories.interest,
    }
    known = entry >= 0
    return {name: _where_known(values, entry, known) for name, values in by_entry.items()}


def _where_known(values: Numbers, entry: NDArray[np.int32], known: NDArray[np.bool_]) -> Numbers:
    if not len(values):
        return np.full(len(entry), np.nan, dtype=np.float32)
    return np.where(known, values[entry], np.float32(np.nan))


def _category(
    catalogue: Catalogue, histories: Histories, owners: NDArray[np.int64], items: NDArray[np.int64]
) -> dict[str, Numbers]:
    mass = kind_sums(catalogue, histories, histories.slow)
    kinds = mass.shape[1]
    last = np.full(mass.shape, -(10**6), dtype=np.int32)
    np.maximum.at(last, (histories.owners, catalogue.kinds[histories.items] % kinds), histories.last_days)
    kind = catalogue.kinds[items] % kinds
    here = mass[owners, kind]
    sold = catalogue.sold_by_kind
    since = (histories.day - last[owners, kind]).astype(np.float32)
    return {
        "category_slow": here,
        "days_since_category": np.where(since < 10**5, since, np.float32(np.nan)),
        "share_of_category": catalogue.buyers_28d[items] / np.maximum(sold[kind], 1),
        "category_share": here / np.maximum(mass.sum(axis=1)[owners], np.float32(1e-3)),
    }


def _item(
    catalogue: Catalogue, histories: Histories, owners: NDArray[np.int64], items: NDArray[np.int64]
) -> dict[str, Numbers]:
    store = histories.stores[owners]
    share = np.full(len(items), np.nan, dtype=np.float32)
    if len(catalogue.store_ids):
        share = np.where(store >= 0, catalogue.store_share[store, items], np.float32(np.nan))
    return {
        "buyers_28d": catalogue.buyers_28d[items],
        "trend": 4 * catalogue.buyers_7d[items] / np.maximum(catalogue.buyers_28d[items], 1),
        "returning": catalogue.returning[items],
        "usual_gap_days": catalogue.gaps[items],
        "item_age_days": catalogue.item_age_days[items],
        "store_share": share,
        "group_share": _group_share(catalogue, histories, owners, items),
        "season": _season(catalogue, items),
        "price_fit": np.abs(catalogue.price_level[items] - price_levels(catalogue, histories)[owners]),
    }


def _season(catalogue: Catalogue, items: NDArray[np.int64]) -> Numbers:
    """Log of the buyers of a year ago over those of now; missing where facts do not reach back a year."""
    if not catalogue.buyers_season.any():
        return np.full(len(items), np.nan, dtype=np.float32)
    ratio: Numbers = np.log1p(catalogue.buyers_season[items]) - np.log1p(catalogue.buyers_28d[items])
    return ratio


def _group_share(catalogue: Catalogue, histories: Histories, owners: NDArray[np.int64], items: NDArray[np.int64]) -> Numbers:
    if not len(catalogue.group_share):
        return np.full(len(items), np.nan, dtype=np.float32)
    group = buying_groups(catalogue, histories)[owners]
    return np.where(group >= 0, catalogue.group_share[group, items], np.float32(np.nan))


def price_levels(catalogue: Catalogue, histories: Histories) -> Numbers:
    """How dear each member buys within categories, on average, as log beside the middle; 0 where nothing is known."""
    level = catalogue.price_level[histories.items]
    weight = np.where(np.isnan(level), 0, histories.slow)
    owners, members = histories.owners, len(histories)
    total = np.bincount(owners, weight, minlength=members)
    dear = np.bincount(owners, weight * np.nan_to_num(level), minlength=members)
    return (dear / np.maximum(total, 1e-9)).astype(np.float32)


def _models(found: Signals, owners: NDArray[np.int64], items: NDArray[np.int64]) -> dict[str, Numbers]:
    columns: dict[str, Numbers] = {}
    for name, scores in (("taste", found.taste), ("goes_with", found.goes_with), ("leads", found.leads)):
        best = np.maximum(scores.max(axis=1, initial=0), np.float32(1e-6))
        columns[name] = scores[owners, items]
        columns[f"{name}_of_best"] = columns[name] / best[owners]
    return columns


def _member(histories: Histories, owners: NDArray[np.int64]) -> dict[str, Numbers]:
    known = np.diff(histories.starts).astype(np.float32)
    return {"trips": histories.trips[owners], "pace": histories.pace[owners], "items_known": known[owners]}
