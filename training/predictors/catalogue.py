"""What a recommender knows of each item: ids, categories, rhythm, popularity, factors, and the items that go with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.predictors.histories import Histories, Numbers, Rows

PRIOR_GAPS = 2.0
"""How many gaps of a member's own the population's gap counts as."""
PRIOR_BUYERS = 1.0
SHORTEST_GAP = 1.0
BY_ITEM = ("buyers_28d", "trend", "returning", "usual_gap_days", "item_age_days", "season", "share_of_category")
"""What a ranker sees of an item whoever is asked about, in the order of `Catalogue.by_item`."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Arrays by item, category and store; row i of everything by item is item_ids[i].

    Attributes
    ----------
    item_ids
        Sorted, unique.
    kinds, categories
        Row of the narrowest category and of the category, -1 if unknown.
    category_names
        Names of the categories.
    factors
        ALS item factors, shape (items, factors).
    rarity
        What BM25 adds to a purchase of a rare item, on average 1.
    neighbours, similarities
        The items most alike by who bought them, best first, shape (items, neighbours); -1 and 0 where there are fewer.
    leads, effects
        The items an item points to in the linear model (EASE), and how strongly, same shape; no columns where the catalogue
        is too large for one.
    gaps, shapes
        Days after which half of those who buy an item again have done so, and the shape of that log-logistic law.
    returning
        Share of an item's buyers who ever bought it a second time.
    buyers_28d, buyers_7d
        Members who bought the item lately.
    item_age_days
        Days since the item was first sold, 0 for one sold since the facts began counting as all of them.
    price_level
        Log of the price beside the middle of its narrowest category; NaN if unknown.
    sold_by_kind
        Recent buyers of each narrowest category's items together, shape (kinds + 1,); the last is of those without one.
    store_ids, store_share
        Stores, and for each store and item its buyers' share of the store's members over the share of all, as log; shape
        (stores, items).
    group_centres, group_share
        Groups of members by what they buy (`buying_groups`), shape (groups, categories), and the same share in each of them;
        no rows where there are too few members.
    buyers_season
        Members who bought the item on the four weeks that begin a year before; 0 where the facts do not reach back.
    by_item
        Columns of `BY_ITEM`, shape (items, columns).
    pointed, strengths
        Neighbours and leads side by side, shape (items, neighbours + leads), as what a list is made of lies together in memory:
        rows of items, those of leads moved by the number of items, and how strongly; `similarities` and `effects` are part of
        it. Where there is none it is the first, with strength 0.
    """

    item_ids: NDArray[np.str_]
    kinds: Rows
    categories: Rows
    category_names: NDArray[np.str_]
    factors: Numbers
    rarity: Numbers
    neighbours: Rows
    similarities: Numbers
    leads: Rows
    effects: Numbers
    gaps: Numbers
    shapes: Numbers
    returning: Numbers
    buyers_28d: Numbers
    buyers_7d: Numbers
    item_age_days: Numbers
    price_level: Numbers
    store_ids: NDArray[np.str_]
    store_share: Numbers
    group_centres: Numbers
    group_share: Numbers
    buyers_season: Numbers
    sold_by_kind: Numbers = field(init=False, repr=False)
    by_item: Numbers = field(init=False, repr=False)
    pointed: Rows = field(init=False, repr=False)
    strengths: Numbers = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out once what every list needs."""
        kinds = int(self.kinds.max(initial=-1)) + 2
        sold = np.bincount(self.kinds % kinds, self.buyers_28d, minlength=kinds).astype(np.float32)
        near = self.neighbours.shape[1]
        strengths = np.concatenate([self.similarities, self.effects], axis=1)
        pointed = np.concatenate([self.neighbours, self.leads], axis=1)
        np.maximum(pointed, 0, out=pointed)
        pointed[:, near:] += len(self)
        made = {"sold_by_kind": sold, "pointed": pointed, "strengths": strengths}
        made |= {"similarities": strengths[:, :near], "effects": strengths[:, near:]}
        for name, values in made.items():
            object.__setattr__(self, name, values)
        object.__setattr__(self, "by_item", _by_item(self))

    def __len__(self) -> int:
        return len(self.item_ids)

    def rows_of(self, item_ids: NDArray[np.str_]) -> Rows:
        """Row of each id, -1 for an item that is not in the catalogue."""
        wanted = np.asarray(item_ids, dtype=np.str_)
        found = np.searchsorted(self.item_ids, wanted).clip(max=len(self) - 1)
        return np.where(self.item_ids[found] == wanted, found, -1).astype(np.int32)

    def by_popularity(self) -> Rows:
        """All rows, the item with the most recent buyers first; ties by row."""
        return np.argsort(-self.buyers_28d, kind="stable").astype(np.int32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Catalogue":
        """The catalogue that `arrays` wrote."""
        return cls(**{each.name: arrays[each.name] for each in fields(cls) if each.init})


def _by_item(catalogue: Catalogue) -> Numbers:
    buyers = catalogue.buyers_28d
    sold = catalogue.sold_by_kind[catalogue.kinds % len(catalogue.sold_by_kind)]
    columns: dict[str, NDArray[np.floating]] = {
        "buyers_28d": buyers,
        "trend": 4 * catalogue.buyers_7d / np.maximum(buyers, 1),
        "returning": catalogue.returning,
        "usual_gap_days": catalogue.gaps,
        "item_age_days": catalogue.item_age_days,
        "season": _season(catalogue),
        "share_of_category": buyers / np.maximum(sold, 1),
    }
    return np.stack([columns[name] for name in BY_ITEM], axis=1).astype(np.float32)


def _season(catalogue: Catalogue) -> Numbers:
    """Log of the buyers of a year ago over those of now; missing where facts do not reach back a year."""
    if not catalogue.buyers_season.any():
        return np.full(len(catalogue), np.nan, dtype=np.float32)
    ratio: Numbers = np.log1p(catalogue.buyers_season) - np.log1p(catalogue.buyers_28d)
    return ratio


@dataclass(frozen=True, slots=True)
class Rhythms:
    """How histories' entries come back, one number an entry.

    Attributes
    ----------
    gaps
        Days from one purchase to the next, as `expected_gaps`.
    due
        By number of days the probability of being bought again within them, as `due_within`.
    """

    gaps: Numbers
    due: Mapping[float, Numbers]

    @classmethod
    def of(cls, catalogue: Catalogue, histories: Histories, *days: float) -> "Rhythms":
        """The rhythms of everything in the histories, and what is due within each of these numbers of days."""
        gaps = expected_gaps(catalogue, histories)
        return cls(gaps, dict(zip(days, due_at(catalogue, histories, days, gaps), strict=True)))


def expected_gaps(catalogue: Catalogue, histories: Histories) -> Numbers:
    """Days between purchases of each entry: the member's own mean gap, shrunk towards the population's."""
    own = (histories.last_days - histories.first_days).astype(np.float32)
    repeats = np.maximum(histories.times - 1, 0)
    usual = catalogue.gaps.take(histories.items)
    gaps = (np.float32(PRIOR_GAPS) * usual + own) / (np.float32(PRIOR_GAPS) + repeats)
    return np.maximum(gaps, np.float32(SHORTEST_GAP)).astype(np.float32)


def due_within(catalogue: Catalogue, histories: Histories, *, days: float) -> Numbers:
    """Probability of each entry's item being bought again within so many days, given how long it was not.

    Log-logistic gaps: half of those who return have done so after the expected gap; a long silence means that they may not.
    How likely a member returns at all is their own record, shrunk towards the share of the item's buyers who do.
    """
    (due,) = due_at(catalogue, histories, (days,), expected_gaps(catalogue, histories))
    return due


def due_at(catalogue: Catalogue, histories: Histories, horizons: Iterable[float], gaps: Numbers) -> list[Numbers]:
    """`due_within` of several numbers of days at once; `gaps` are `expected_gaps`."""
    silent = (histories.day - histories.last_days).astype(np.float32)
    shape = catalogue.shapes.take(histories.items)
    still_out = 1 / (1 + (silent / gaps) ** shape)
    known = np.maximum(histories.times - 1, 0)
    returns = (known + PRIOR_BUYERS * catalogue.returning.take(histories.items)) / (known + PRIOR_BUYERS)
    waiting = np.maximum(returns * still_out + 1 - returns, np.float32(1e-9))
    later = [1 / (1 + ((silent + np.float32(days)) / gaps) ** shape) for days in horizons]
    return [returns * (still_out - each) / waiting for each in later]
