"""The item table and stock on a real store: what jobs write is what a server reads, at once and whole."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pytest

from features.errors import CorruptRecord, StoreUnavailable
from features.fact_tables import arrow_schema
from features.facts import Facts
from features.online_store import RedisStore
from features.publish_shop import publish_shop
from features.rules.shelf import Shelf
from features.shop_store import ShopKeys, ShopReader, ShopStore, Stock
from features.sources.schema import PURCHASES
from tests.purchase_rows import GOOD

T = TypeVar("T")
COLUMNS = {"item_id": ["a", "b", "c"], "available": [True, False, None]}


@pytest.fixture
def prefix(store: RedisStore, request: pytest.FixtureRequest) -> str:
    return f"test-{request.node.name}"


@pytest.fixture
def shop(store_url: str, prefix: str) -> Iterator[ShopStore]:
    opened = ShopStore(store_url, prefix=prefix)
    yield opened
    opened.close()


@pytest.fixture
def reading(store_url: str, prefix: str) -> Callable[[Callable[[ShopReader], Awaitable[T]]], T]:
    """Runs something on a reader of its own."""

    async def run(work: Callable[[ShopReader], Awaitable[T]]) -> T:
        reader = ShopReader(store_url, prefix=prefix, timeout_ms=5000)
        try:
            return await work(reader)
        finally:
            await reader.close()

    return lambda work: asyncio.run(run(work))


def stock(reading: Any) -> Stock:
    found = reading(lambda reader: reader.read_stock(None))
    assert found is not None
    return found


def test_nothing_published_is_no_shelf(reading: Any) -> None:
    assert reading(lambda reader: reader.read_stock(None)) is None


def test_a_published_shelf_is_read_as_it_was_and_again_only_when_it_changed(shop: ShopStore, reading: Any) -> None:
    shelf = Shelf.of_columns(COLUMNS)
    assert shop.write_shelf(shelf)
    assert not shop.write_shelf(shelf)

    async def twice(reader: ShopReader) -> tuple[Stock | None, Stock | None]:
        first = await reader.read_stock(None)
        return first, await reader.read_stock(first)

    first, second = reading(twice)
    assert first.shelf.available.tolist() == [True, False, True]
    assert second is first, "what has not changed is not fetched again"
    shop.write_shelf(Shelf.of_columns({"item_id": ["d"]}))
    assert stock(reading).shelf.item_ids.tolist() == ["d"]


def test_what_is_sold_out_is_seen_and_comes_back(shop: ShopStore, reading: Any) -> None:
    shop.write_shelf(Shelf.of_columns(COLUMNS))
    shop.mark_sold_out(["a", "no such item"])
    shop.mark_sold_out(["c"], store="s1")
    found = stock(reading)
    assert found.shelf.available.tolist() == [False, False, True]
    assert {store: mask.tolist() for store, mask in found.sold_out.items()} == {"s1": [False, False, True]}

    async def moved(reader: ShopReader) -> list[bool]:
        before = await reader.read_stock(None)
        shop.mark_back(["a", "b"])
        after = await reader.read_stock(before)
        assert after is not None
        assert after.shelf.row_of == before.shelf.row_of if before else False
        return after.shelf.available.tolist()

    assert reading(moved) == [True, False, True], "the item table itself says that b cannot be sold"


def test_a_damaged_item_table_is_refused(shop: ShopStore, reading: Any, prefix: str) -> None:
    shop.write_shelf(Shelf.of_columns(COLUMNS))
    shop._client.set(ShopKeys(prefix).shelf, b"PK nonsense")
    with pytest.raises(CorruptRecord):
        reading(lambda reader: reader.read_stock(None))


def test_a_store_that_is_away_is_said_to_be() -> None:
    async def read() -> None:
        await ShopReader("unix:///nowhere.sock", prefix="x", timeout_ms=50).read_stock(None)

    with pytest.raises(StoreUnavailable):
        asyncio.run(read())


def test_publishing_takes_items_from_the_facts(shop: ShopStore, reading: Any, facts: Facts) -> None:
    items = {"item_id": ["x", "y"], "department": ["D", None], "price_cents": [5, None], "available": [None, False]}
    bought = pa.Table.from_pylist([GOOD], schema=arrow_schema(PURCHASES))
    tables = {"items": pa.table(items), "purchases": bought}
    made_up = Facts.in_memory(tables, time_zone="UTC")

    assert publish_shop(made_up, shop) == 3
    found = stock(reading).shelf
    assert found.item_ids.tolist() == ["x", "y", "apple"], "what is sold exists, even where the item table lacks it"
    assert found.available.tolist() == [True, False, True]
    assert found.price_cents.tolist() == [5, -1, 100], "what it was sold for, where the table has no price"
    assert publish_shop(facts, shop) >= facts.manifest.rows["items"]
    assert stock(reading).shelf.category_of(0) is not None


def test_the_commands_that_the_guide_allows_suffice(
    shop: ShopStore, store_url: str, prefix: str, request: pytest.FixtureRequest
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
    allowed = re.search(r"needs `([^`]*)`", guide)
    assert allowed
    shop._client.execute_command("ACL", "SETUSER", "shelf", "reset", "on", ">secret", f"~{prefix}:*", *allowed.group(1).split())
    request.addfinalizer(lambda: ShopStore(store_url, prefix=prefix)._client.execute_command("ACL", "DELUSER", "shelf"))
    limited = store_url.replace("unix://", "unix://shelf:secret@")
    own = ShopStore(limited, prefix=prefix)
    own.write_shelf(Shelf.of_columns(COLUMNS))
    own.mark_sold_out(["a"], store="s1")
    own.mark_back(["a"])
    own.close()

    async def read() -> Stock | None:
        reader = ShopReader(limited, prefix=prefix, timeout_ms=5000)
        found = await reader.read_stock(None)
        await reader.close()
        return found

    found = asyncio.run(read())
    assert found is not None
    assert found.sold_out["s1"].tolist() == [True, False, False]
