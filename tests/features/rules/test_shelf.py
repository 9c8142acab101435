"""The shelf: attributes of items as arrays, round trips through bytes, and bytes that are damaged."""

import numpy as np
import pytest

from features.errors import CorruptRecord
from features.rules.shelf import ABSENT, NONE, Shelf
from tests.rule_oracle import random_items, shelf_of


def test_columns_become_arrays_and_gaps_stay_gaps() -> None:
    shelf = Shelf.of_columns(
        {
            "item_id": ["001", "2"],
            "department": ["FOOD", None],
            "category": ["WINE", "WINE"],
            "brand": [None, "Acme"],
            "price_cents": [100, None],
            "available": [None, False],
        }
    )
    assert shelf.rows_of(["2", "001", "1"]).tolist() == [1, 0, ABSENT]
    assert (shelf.price_cents.tolist(), shelf.cost_cents.tolist()) == ([100, NONE], [NONE, NONE])
    assert [shelf.category_of(0), shelf.category_of(1), shelf.category_of(1, 1)] == ["FOOD", None, "WINE"]
    assert shelf.brand.tolist() == [NONE, 0]
    assert shelf.available.tolist() == [True, False]


def test_bytes_and_back_and_the_version_tells_any_change() -> None:
    items = random_items(np.random.default_rng(1), 50)
    shelf = shelf_of(items)
    back = Shelf.from_bytes(shelf.to_bytes())
    assert back.version == shelf.version
    assert back.row_of == shelf.row_of
    items["i003"]["available"] = items["i003"]["available"] is False
    assert shelf_of(items).version != shelf.version


def test_an_empty_shelf_is_one() -> None:
    empty = Shelf.from_bytes(Shelf.of_ids([]).to_bytes())
    assert len(empty) == 0
    assert empty.rows_of(["a"]).tolist() == [ABSENT]


def test_damaged_bytes_are_refused() -> None:
    value = shelf_of(random_items(np.random.default_rng(2), 50)).to_bytes()
    generator = np.random.default_rng(3)
    for _ in range(60):
        broken = bytearray(value[: generator.integers(len(value))])
        with pytest.raises(CorruptRecord):
            Shelf.from_bytes(bytes(broken))
    shelf = shelf_of(random_items(np.random.default_rng(2), 5))
    shelf.brand[0] = 99
    with pytest.raises(CorruptRecord, match="does not fit together"):
        Shelf.from_bytes(shelf.to_bytes())


def test_an_item_stands_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        Shelf.of_columns({"item_id": ["a", "a"]})
