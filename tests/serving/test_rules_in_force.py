"""Rules and stock as a worker knows them: what changes is seen without a restart, what breaks leaves the last good in force."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from features.online_store import RedisStore
from features.rules.codes import CODES
from features.rules.declared import DEFAULT
from features.rules.shelf import Shelf
from features.shop_store import ShopReader, ShopStore
from serving.rules_in_force import RulesInForce, Ruling

T = TypeVar("T")
SHELF = Shelf.of_columns({"item_id": ["a", "b"], "category": ["WINE", "TEA"]})


@pytest.fixture
def prefix(store: RedisStore, request: pytest.FixtureRequest) -> str:
    return f"test-{request.node.name}"


@pytest.fixture
def shop(store_url: str, prefix: str) -> Iterator[ShopStore]:
    opened = ShopStore(store_url, prefix=prefix)
    yield opened
    opened.close()


@pytest.fixture
def looking(store_url: str, prefix: str, tmp_path: Path) -> Callable[[Callable[[RulesInForce], Awaitable[T]]], T]:
    """Runs something on rules of the test's folder, looked at again by every request."""

    async def run(work: Callable[[RulesInForce], Awaitable[T]]) -> T:
        reader = ShopReader(store_url, prefix=prefix, timeout_ms=5000)
        try:
            return await work(RulesInForce(tmp_path, reader, refresh_s=0.0))
        finally:
            await reader.close()

    return lambda work: asyncio.run(run(work))


def write(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name}.toml"
    path.write_text(text)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + len(text)))  # two writes within one tick


def barred(ruling: Ruling, name: str | None = None, store: str | None = None) -> list[str]:
    rules = ruling.named(name)
    assert rules is not None
    compiled = ruling.compiled(rules, store=store, adult=False)
    assert compiled is not None
    return [CODES[code] for code in compiled.barred[: len(compiled.shelf)]]


def test_without_files_and_items_the_default_is_in_force(looking: Callable[..., Ruling]) -> None:
    ruling = looking(lambda rules: rules.now())
    assert ruling.named(None) is DEFAULT
    assert ruling.named("till") is None
    assert ruling.compiled(DEFAULT, store=None, adult=False) is None


def test_stock_is_seen_by_the_next_request(looking: Callable[..., None], shop: ShopStore) -> None:
    async def work(rules: RulesInForce) -> None:
        shop.write_shelf(SHELF)
        before = await rules.now()
        assert barred(before) == ["ALLOWED", "ALLOWED"]
        shop.mark_sold_out(["a"])
        shop.mark_sold_out(["b"], store="s1")
        after = await rules.now()
        assert barred(after) == ["OUT_OF_STOCK", "ALLOWED"]
        assert barred(after, store="s1") == ["OUT_OF_STOCK", "NOT_IN_STORE"]
        assert barred(after, store="elsewhere") == ["OUT_OF_STOCK", "ALLOWED"]
        assert barred(before) == ["ALLOWED", "ALLOWED"], "a request keeps what it began with"

    looking(work)


def test_what_has_not_changed_is_compiled_once(looking: Callable[..., None], shop: ShopStore) -> None:
    async def work(rules: RulesInForce) -> None:
        shop.write_shelf(SHELF)
        first, second = await rules.now(), await rules.now()
        once = first.compiled(DEFAULT, store=None, adult=False)
        assert second.compiled(DEFAULT, store=None, adult=False) is once
        assert first.compiled(DEFAULT, store=None, adult=True) is not once

    looking(work)


def test_a_changed_file_is_in_force_and_a_broken_one_leaves_the_last_good(
    looking: Callable[..., None], shop: ShopStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(rules: RulesInForce) -> None:
        shop.write_shelf(SHELF)
        write(tmp_path, "till", "[category]\nexclude = ['WINE']")
        assert barred(await rules.now(), "till") == ["CATEGORY_EXCLUDED", "ALLOWED"]
        write(tmp_path, "till", "[category]\nexclude = ['TEA']")
        assert barred(await rules.now(), "till") == ["ALLOWED", "CATEGORY_EXCLUDED"]
        write(tmp_path, "till", "[category]\nexclude = 'TEA'")
        assert barred(await rules.now(), "till") == ["ALLOWED", "CATEGORY_EXCLUDED"]
        assert list(rules.refused) == ["till"]
        (tmp_path / "till.toml").unlink()
        assert (await rules.now()).named("till") is None
        assert not rules.refused

    looking(work)
    assert "category.exclude = 'TEA' cannot be" in caplog.text


def test_a_file_named_default_is_in_force_where_nothing_is_asked_for(looking: Callable[..., None], tmp_path: Path) -> None:
    async def work(rules: RulesInForce) -> None:
        write(tmp_path, "default", "[list]\nmin_length = 3")
        found = (await rules.now()).named(None)
        assert found is not None
        assert found.min_length == 3

    looking(work)


def test_stock_is_kept_while_redis_is_away(store_url: str, prefix: str, shop: ShopStore, tmp_path: Path) -> None:
    async def work() -> None:
        shop.write_shelf(SHELF)
        shop.mark_sold_out(["a"])
        reader = ShopReader(store_url, prefix=prefix, timeout_ms=5000)
        rules = RulesInForce(tmp_path, reader, refresh_s=0.0)
        known = await rules.now()
        rules._reader = ShopReader("unix:///nowhere.sock", prefix=prefix, timeout_ms=50)
        away = await rules.now()
        assert barred(away) == barred(known) == ["OUT_OF_STOCK", "ALLOWED"]
        assert away.confirmed == known.confirmed
        await reader.close()

    asyncio.run(work())


def test_requests_of_one_moment_look_once(looking: Callable[..., None], shop: ShopStore) -> None:
    async def work(rules: RulesInForce) -> None:
        shop.write_shelf(SHELF)
        found = await asyncio.gather(*(rules.now() for _ in range(20)))
        assert len({id(ruling) for ruling in found}) == 1

    looking(work)
