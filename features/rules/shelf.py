"""What the shop has on its shelf: the attributes of every item as arrays, and as bytes without pickle."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import CorruptRecord
from features.rules.declared import LEVELS

PADDING, ABSENT = -2, -1
"""Rows that are no item: a place without a candidate, and a candidate that the shelf does not hold."""
NONE = -1
"""Stands for a category, brand, price or cost that is not known."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Items of the shop, one row each.

    Attributes
    ----------
    item_ids
        Row i is item_ids[i]; unique.
    price_cents, cost_cents
        int64 cents; `NONE` where not known.
    levels
        Shape (items, 3): positions in `categories` for department, category and subcategory; `NONE` where not known.
    brand
        Positions in `brands`; `NONE` where not known.
    available
        Whether it can be sold now; not known is yes.
    """

    item_ids: NDArray[np.str_]
    price_cents: NDArray[np.int64]
    cost_cents: NDArray[np.int64]
    levels: NDArray[np.int32]
    brand: NDArray[np.int32]
    available: NDArray[np.bool_]
    categories: NDArray[np.str_]
    brands: NDArray[np.str_]
    row_of: Mapping[str, int] = field(repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.row_of:  # a copy with other stock has the same rows
            object.__setattr__(self, "row_of", {item: row for row, item in enumerate(self.item_ids.tolist())})
        if len(self.row_of) != len(self.item_ids):
            raise ValueError("an item stands twice on the shelf")

    def __len__(self) -> int:
        return len(self.item_ids)

    @classmethod
    def of_columns(cls, columns: Mapping[str, Sequence[Any]]) -> Shelf:
        """A shelf from columns named as in the fact table `items`; None where a value is not known."""
        items, absent = len(columns["item_id"]), [None] * len(columns["item_id"])
        names = [columns.get(level, absent) for level in LEVELS]
        categories = _different([name for column in names for name in column])
        brands = _different(columns.get("brand", absent))
        return cls(
            np.array(columns["item_id"], dtype=np.str_),
            _cents(columns.get("price_cents", absent)),
            _cents(columns.get("cost_cents", absent)),
            np.stack([_positions(column, categories) for column in names], axis=1).reshape(items, len(LEVELS)),
            _positions(columns.get("brand", absent), brands),
            np.array([value is not False for value in columns.get("available", absent)], dtype=np.bool_),
            categories,
            brands,
        )

    @classmethod
    def of_ids(cls, item_ids: Sequence[str]) -> Shelf:
        """A shelf of which only the ids are known, for where nobody has published one."""
        return cls.of_columns({"item_id": list(dict.fromkeys(item_ids))})

    def rows_of(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """The row of each item; `ABSENT` for those the shelf does not hold."""
        return np.array([self.row_of.get(item, ABSENT) for item in item_ids], dtype=np.int32)

    def category_of(self, row: int, level: int = 0) -> str | None:
        """The name of an item's department, category or subcategory (0, 1, 2)."""
        position = int(self.levels[row, level])
        return None if position == NONE else str(self.categories[position])

    def to_bytes(self) -> bytes:
        """The arrays as npz."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **{name: getattr(self, name) for name in _ARRAYS})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, value: bytes) -> Shelf:
        """The shelf from npz; CorruptRecord if it is none."""
        try:
            with np.load(io.BytesIO(value), allow_pickle=False) as arrays:
                shelf = cls(*(arrays[name] for name in _ARRAYS))
        except Exception as error:  # zipfile, zlib and numpy each have errors of their own for damaged bytes
            raise CorruptRecord("the stored item table cannot be read", remedy='publish again: "rapport publish"') from error
        if not shelf.is_sound():
            raise CorruptRecord("the stored item table does not fit together", remedy='publish again: "rapport publish"')
        return shelf

    def is_sound(self) -> bool:
        """Whether the arrays belong together and point at names that exist."""
        items = (len(self.item_ids),)
        columns = (self.price_cents, self.cost_cents, self.brand, self.available)
        return (
            all(column.shape == items for column in columns)
            and self.levels.shape == (*items, len(LEVELS))
            and _within(self.levels, self.categories)
            and _within(self.brand, self.brands)
        )

    @property
    def version(self) -> str:
        """A hash of all that is on the shelf."""
        found = hashlib.sha256()
        for name in _ARRAYS:
            array = getattr(self, name)
            found.update(f"{name}{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]


_ARRAYS = ("item_ids", "price_cents", "cost_cents", "levels", "brand", "available", "categories", "brands")


def _different(names: Sequence[str | None]) -> NDArray[np.str_]:
    return np.array(sorted({name for name in names if name is not None}), dtype=np.str_)


def _positions(names: Sequence[str | None], known: NDArray[np.str_]) -> NDArray[np.int32]:
    position = {name: place for place, name in enumerate(known.tolist())}
    return np.array([NONE if name is None else position[name] for name in names], dtype=np.int32)


def _cents(values: Sequence[int | None]) -> NDArray[np.int64]:
    return np.array([NONE if value is None or value < 0 else value for value in values], dtype=np.int64)


def _within(positions: NDArray[np.int32], names: NDArray[np.str_]) -> bool:
    return bool(((positions >= NONE) & (positions < len(names))).all())
