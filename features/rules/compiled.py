"""Rules against a shelf: for each item the first rule that bars it whoever asks, and what the caps count by.

Arrays over items have two entries more, so that the rows that are no item, `ABSENT` (-1) and `PADDING` (-2), find theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.rules.codes import code_of
from features.rules.declared import LEVELS, Band, Named, Rules
from features.rules.shelf import ABSENT, NONE, PADDING, Shelf

Codes = NDArray[np.int8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cap:
    """The most items of a group in one list.

    Attributes
    ----------
    group
        The group of each item, shape (items + 2,); the last group is of those that are not counted.
    limit
        The most of each group.
    code
        What is said of an item that would be one too many.
    """

    group: NDArray[np.int32]
    limit: NDArray[np.int32]
    code: int


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Rules ready to be applied to lists of rows of a shelf. `barred` has a code for each item, shape (items + 2,)."""

    rules: Rules
    shelf: Shelf
    barred: Codes
    caps: tuple[Cap, ...]
    pinned: NDArray[np.int32]


def compile_rules(rules: Rules, shelf: Shelf, *, sold_out: Mask | None = None, adult: bool = False) -> CompiledRules:
    """The rules on a shelf as it is now.

    Parameters
    ----------
    sold_out
        Items of which the store asked for has none; None if no store was asked for, or it says nothing of its stock.
    adult
        Whether the member is known to be one.
    """
    barred = np.zeros(len(shelf) + 2, dtype=np.int8)
    barred[ABSENT], barred[PADDING] = code_of("NOT_IN_CATALOGUE"), code_of("NO_CANDIDATE")
    items = barred[: len(shelf)]
    for code, mask in _barring(rules, shelf, sold_out, adult=adult):
        items[mask & (items == 0)] = code_of(code)
    caps = [
        *_caps(rules.category, shelf.levels[:, LEVELS.index(rules.level)], shelf.categories, "CATEGORY_CAP"),
        *_caps(rules.brand, shelf.brand, shelf.brands, "BRAND_CAP"),
    ]
    return CompiledRules(rules, shelf, barred, tuple(caps), shelf.rows_of(rules.pinned))


def _barring(rules: Rules, shelf: Shelf, sold_out: Mask | None, *, adult: bool) -> Iterator[tuple[str, Mask]]:
    """Each rule that looks at nothing but the item, and the items that it bars."""
    yield "WITHDRAWN", _is_one_of(shelf, rules.withdrawn)
    if rules.in_stock:
        yield "OUT_OF_STOCK", ~shelf.available
    if rules.in_store and sold_out is not None:
        yield "NOT_IN_STORE", sold_out
    if not adult:
        yield "AGE_RESTRICTED", _in_categories(shelf, rules.adult_categories) | _is_one_of(shelf, rules.adult_items)
    yield from _price(rules.price, shelf)
    yield from _margins(rules, shelf)
    yield from _names("CATEGORY", rules.category, lambda names: _in_categories(shelf, names))
    yield from _names("BRAND", rules.brand, lambda names: np.isin(shelf.brand, _known(names, shelf.brands)))


def _price(band: Band, shelf: Shelf) -> Iterator[tuple[str, Mask]]:
    known = shelf.price_cents != NONE
    if band.unknown == "remove" and (band.least is not None or band.most is not None):
        yield "PRICE_UNKNOWN", ~known
    if band.least is not None:
        yield "PRICE_BELOW", known & (shelf.price_cents < band.least)
    if band.most is not None:
        yield "PRICE_ABOVE", known & (shelf.price_cents > band.most)


def _margins(rules: Rules, shelf: Shelf) -> Iterator[tuple[str, Mask]]:
    known = (shelf.price_cents > 0) & (shelf.cost_cents != NONE)
    cents = np.where(known, shelf.price_cents - shelf.cost_cents, 0)
    share = cents / np.where(known, shelf.price_cents, 1)
    for band, margin in ((rules.margin_share, share), (rules.margin_cents, cents)):
        if band.least is not None:
            if band.unknown == "remove":
                yield "MARGIN_UNKNOWN", ~known
            yield "MARGIN_BELOW", known & (margin < band.least)


def _names(kind: str, named: Named, having: Callable[[tuple[str, ...]], Mask]) -> Iterator[tuple[str, Mask]]:
    if named.include:
        yield f"{kind}_NOT_INCLUDED", ~having(named.include)
    if named.exclude:
        yield f"{kind}_EXCLUDED", having(named.exclude)


def _in_categories(shelf: Shelf, names: tuple[str, ...]) -> Mask:
    """Items whose department, category or subcategory has one of these names."""
    return np.asarray(np.isin(shelf.levels, _known(names, shelf.categories)).any(axis=1))


def _is_one_of(shelf: Shelf, items: tuple[str, ...]) -> Mask:
    mask = np.zeros(len(shelf), dtype=np.bool_)
    rows = shelf.rows_of(items)
    mask[rows[rows != ABSENT]] = True
    return mask


def _known(names: tuple[str, ...], known: NDArray[np.str_]) -> NDArray[np.intp]:
    """Positions of those names that exist."""
    return np.flatnonzero(np.isin(known, list(names)))


def _caps(named: Named, groups: NDArray[np.int32], names: NDArray[np.str_], code: str) -> Iterator[Cap]:
    if not named.caps_anything:
        return
    free = len(names)  # the group of items without a name, and of rows that are no item
    limit = np.full(free + 1, np.iinfo(np.int32).max if named.cap is None else named.cap, dtype=np.int32)
    for name, cap in named.caps:
        limit[:free][names == name] = cap
    limit[free] = np.iinfo(np.int32).max
    yield Cap(np.append(np.where(groups == NONE, free, groups), [free, free]).astype(np.int32), limit, code_of(code))
