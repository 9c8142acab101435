"""`rapport rules check` and `rapport stock`: what a file means on the shop's items, and stock that a server reads."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import rapport
from features.shop_store import ShopReader, ShopStore

GOOD = """
describes = "What the till proposes"
[category]
exclude = ["FLUID MILK PRODUCTS", "NO SUCH CATEGORY"]
[age]
restricted_categories = ["BEERS/ALES"]
[withdrawn]
items = ["no such item"]
"""


@pytest.fixture
def run(facts_folder: Path, store_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command on the facts of the slice and a corner of the store."""
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(facts_folder.parent))
    monkeypatch.setenv("REDIS_URL", store_url)
    monkeypatch.setenv("RAPPORT_KEY_PREFIX", f"test-{request.node.name}")

    def command(*words: str) -> Result:
        return CliRunner().invoke(rapport.app, words)

    return command


def test_a_file_is_told_in_words_and_counted_on_the_items(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "till.toml"
    path.write_text(GOOD)
    shown = run("rules", "check", str(path))
    assert shown.exit_code == 0, shown.output
    assert 'For adults only: "BEERS/ALES"' in shown.output
    assert "category.exclude names what no item has: NO SUCH CATEGORY" in shown.output

    (found,) = json.loads(run("rules", "check", str(path), "--json").stdout)["rules"]
    assert (found["name"], found["describes"]) == ("till", "What the till proposes")
    assert set(found["removed"]) == {"AGE_RESTRICTED", "CATEGORY_EXCLUDED"}
    assert found["allowed"] + sum(found["removed"].values()) == found["items"] > 10_000
    assert found["unknown_names"] == {"category.exclude": ["NO SUCH CATEGORY"], "withdrawn.items": ["no such item"]}


def test_without_facts_a_file_is_checked_all_the_same(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(tmp_path))
    (tmp_path / "till.toml").write_text(GOOD)
    (found,) = json.loads(run("rules", "check", str(tmp_path / "till.toml"), "--json").stdout)["rules"]
    assert set(found) == {"name", "describes", "words"}


def test_a_file_that_cannot_be_used_ends_with_two_and_its_problems(run: Any, tmp_path: Path) -> None:
    (tmp_path / "till.toml").write_text("[price]\nmin_cents = -1\nmax = 3\n")
    refused = run("rules", "check", str(tmp_path / "till.toml"))
    assert refused.exception is not None
    assert refused.exception.exit_code == 2  # type: ignore[attr-defined]
    assert "price.min_cents = -1 cannot be" in str(refused.exception)
    assert "price.max is no rule" in str(refused.exception)


def test_stock_is_what_a_server_reads(run: Any, store_url: str, request: pytest.FixtureRequest, facts_folder: Path) -> None:
    prefix = f"test-{request.node.name}"
    from features.facts import Facts
    from features.publish_shop import publish_shop

    shop = ShopStore(store_url, prefix=prefix)
    publish_shop(Facts.open(facts_folder), shop)
    shop.close()

    def sold_out(item: str, store: str | None = None) -> bool:
        async def read() -> bool:
            reader = ShopReader(store_url, prefix=prefix, timeout_ms=5000)
            stock = await reader.read_stock(None)
            await reader.close()
            assert stock is not None
            row = stock.shelf.row_of[item]
            return bool(stock.sold_out[store][row] if store else not stock.shelf.available[row])

        return asyncio.run(read())

    assert not sold_out("1082185")
    assert json.loads(run("stock", "out", "1082185", "866211", "--json").stdout)["sold_out"] is True
    assert sold_out("1082185")
    run("stock", "back", "1082185")
    assert not sold_out("1082185")
    assert sold_out("866211")
    run("stock", "out", "1082185", "--store", "367")
    assert sold_out("1082185", "367")
    assert not sold_out("1082185")
