"""The facts folder: written whole or not at all, the same bytes for the same facts, and orders that add up."""

import hashlib
import json
import shutil
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet
import pytest
from ibis import ir
from shops import ZONE, Line, moment_of, purchases_table, shop

from features.days import calendar_day, day_number, day_of, midnight
from features.errors import FactsMissing
from features.fact_tables import arrow_schema, empty_table
from features.facts import Facts
from features.facts_folder import Origin
from features.manifest import MANIFEST, Manifest, read_manifest
from features.sources.landing import Incoming, land
from features.sources.schema import ITEMS, ORDERS, PURCHASES, STORED

LINES = [
    Line("bob", 3.0, 700, item="soap", order="basket"),
    Line("ann", 0.0, 100, item="pear", order="first", discount=5, coupon=7),
    Line("ann", 0.0, 250, item="apple", order="first", discount=1),
    Line(None, 1.0, 999),
    Line("ann", 2.0, -250, item="apple", order="first", kind="return"),
]


def tables_of(lines: list[Line], order: list[int] | None = None) -> dict[str, ir.Table]:
    """Canonical tables in a database of their own, rows in the order given."""
    connection = ibis.duckdb.connect()
    purchases = purchases_table(lines)
    content = {table.name: empty_table(table) for table in STORED if table is not ORDERS}
    content[PURCHASES.name] = purchases.take(pa.array(order)) if order else purchases
    content[ITEMS.name] = pa.Table.from_pylist([{"item_id": "pear"}, {"item_id": "apple"}], schema=arrow_schema(ITEMS))
    return {name: connection.create_table(name, table) for name, table in content.items()}


def written(folder: Path, tables: dict[str, ir.Table]) -> Manifest:
    return land(folder, Incoming(tables, Origin("test", ZONE, "USD", files={}))).manifest


def failing_midway(lines: list[Line]) -> dict[str, ir.Table]:
    """Tables whose purchases can be written, but whose items fail when they are read."""
    tables = tables_of(lines)
    items = tables[ITEMS.name]
    return {**tables, ITEMS.name: items.mutate(price_cents=items.item_id.cast("int64"))}


def files_of(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_was_written_can_be_opened(tmp_path: Path) -> None:
    manifest = written(tmp_path / "facts", tables_of(LINES))

    facts = Facts.open(tmp_path / "facts")

    assert facts.manifest == manifest == read_manifest(tmp_path / "facts")
    assert manifest.rows == {**dict.fromkeys((table.name for table in STORED), 0), "purchases": 5, "orders": 3, "items": 2}
    assert facts.tables["purchases"].count().to_pyarrow().as_py() == 5
    assert json.loads((tmp_path / "facts" / "cleaning.json").read_text())["accepted"] == 5
    first = day_number(moment_of(0.0).date())
    assert (manifest.first_day, manifest.until_day) == (first, first + 4)


def test_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    manifest = written(tmp_path / "facts", tables_of(LINES))
    files = files_of(tmp_path / "facts")

    assert manifest.sha256 == {name: digest for name, digest in files.items() if name in manifest.sha256}
    beside = {MANIFEST, "cleaning.json", "quarantine.parquet"}
    assert set(files) - set(manifest.sha256) == beside


def test_equal_facts_give_equal_files_in_whatever_order_they_come(tmp_path: Path) -> None:
    first = written(tmp_path / "one", tables_of(LINES))
    second = written(tmp_path / "two", tables_of(LINES, order=[4, 2, 0, 3, 1]))

    assert first == second
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_rows_that_share_a_key_do_not_change_places(tmp_path: Path) -> None:
    split = [Line("ann", 0.0, cents, order="split", store=f"s{cents % 97}") for cents in range(200)]

    first = written(tmp_path / "one", tables_of(split, order=list(range(200))))
    second = written(tmp_path / "two", tables_of(split, order=list(range(199, -1, -1))))

    assert first.rows["orders"] == 97
    assert first.sha256 == second.sha256


def test_other_facts_give_another_hash(tmp_path: Path) -> None:
    changed = [*LINES[:-1], LINES[-1]._replace(cents=-251)]

    assert written(tmp_path / "one", tables_of(LINES)).hash != written(tmp_path / "two", tables_of(changed)).hash


def test_a_write_that_fails_midway_leaves_what_was_there(tmp_path: Path) -> None:
    written(tmp_path / "facts", tables_of(LINES))
    before = files_of(tmp_path / "facts")

    with pytest.raises(duckdb.Error):
        written(tmp_path / "facts", failing_midway(LINES[:2]))

    assert files_of(tmp_path / "facts") == before
    assert Facts.open(tmp_path / "facts").manifest.rows["purchases"] == 5


def test_a_first_write_that_fails_leaves_no_facts_and_the_next_one_succeeds(tmp_path: Path) -> None:
    with pytest.raises(duckdb.Error):
        written(tmp_path / "facts", failing_midway(LINES))
    with pytest.raises(FactsMissing):
        Facts.open(tmp_path / "facts")

    written(tmp_path / "facts", tables_of(LINES))

    assert [path.name for path in tmp_path.iterdir()] == ["facts"]
    assert Facts.open(tmp_path / "facts").manifest.rows["purchases"] == 5


def test_a_write_replaces_everything_that_was_there(tmp_path: Path) -> None:
    written(tmp_path / "facts", tables_of(LINES))
    (tmp_path / "facts" / "quarantine.parquet").write_bytes(b"old")

    written(tmp_path / "facts", tables_of(LINES[:2]))

    assert (tmp_path / "facts" / "quarantine.parquet").read_bytes() != b"old"
    assert Facts.open(tmp_path / "facts").manifest.rows["purchases"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["facts"]


def test_without_a_single_purchase_nothing_is_written(tmp_path: Path) -> None:
    written(tmp_path / "facts", tables_of(LINES))

    with pytest.raises(FactsMissing, match="not a single purchase"):
        written(tmp_path / "facts", {**tables_of(LINES), PURCHASES.name: tables_of(LINES)[PURCHASES.name].limit(0)})

    assert Facts.open(tmp_path / "facts").manifest.rows["purchases"] == 5


@pytest.mark.parametrize("kept", [None, {"format": 0}, {"format": 99}, {}])
def test_a_folder_without_facts_of_this_version_says_what_to_do(tmp_path: Path, kept: dict[str, int] | None) -> None:
    if kept is not None:
        (tmp_path / MANIFEST).write_text(json.dumps(kept))

    with pytest.raises(FactsMissing) as missing:
        Facts.open(tmp_path)

    assert str(tmp_path) in str(missing.value)
    assert "import" in missing.value.remedy
    assert missing.value.exit_code == 3


def test_orders_are_the_sums_of_their_lines() -> None:
    found = {(row["order_id"], row["kind"]): row for row in shop(LINES).tables["orders"].to_pyarrow().to_pylist()}

    assert set(found) == {("first", "sale"), ("first", "return"), ("basket", "sale")}  # the unknown buyer has none
    first = found["first", "sale"]
    assert (first["lines"], first["net_cents"], first["discount_cents"], first["coupon_cents"]) == (2, 350, 6, 7)
    assert found["first", "return"]["net_cents"] == -250
    assert first["member_id"] == "ann"
    assert found["basket", "sale"]["local_day"] == first["local_day"] + 3


def test_orders_of_real_facts_add_up_to_their_purchases(facts: Facts) -> None:
    purchases, orders = facts.tables["purchases"], facts.tables["orders"]
    known = purchases.filter(purchases.member_id.notnull())
    for name in ("net_cents", "discount_cents", "coupon_cents"):
        assert orders[name].sum().to_pyarrow().as_py() == known[name].sum().to_pyarrow().as_py()
    assert orders.lines.sum().to_pyarrow().as_py() == known.count().to_pyarrow().as_py()
    assert orders.count().to_pyarrow().as_py() == known.order_id.nunique().to_pyarrow().as_py()


def test_money_stays_whole_numbers_on_disk(tmp_path: Path) -> None:
    """DuckDB's sums have 128 bits, which Parquet does not know: left alone they become floats."""
    big = 2**53 + 1  # the first whole number that a float cannot hold
    written(tmp_path / "facts", tables_of([Line("ann", 0.0, big), *LINES]))

    for table in STORED:
        manifest = read_manifest(tmp_path / "facts")
        files = manifest.files_of(table.name) or [f"{table.name}.parquet"]
        if not (tmp_path / "facts" / files[0]).exists():
            continue
        stored = pyarrow.parquet.read_schema(tmp_path / "facts" / files[0])
        declared = {column.name: column.type for column in table.columns}
        for name, kind in {"int64": pa.int64(), "int32": pa.int32()}.items():
            columns = [column for column, dtype in declared.items() if dtype == name]
            assert [stored.field(column).type for column in columns] == [kind] * len(columns), table.name
    orders = Facts.open(tmp_path / "facts").tables["orders"]
    assert orders.net_cents.max().to_pyarrow().as_py() == big


def test_facts_in_memory_are_those_of_the_folder(tmp_path: Path) -> None:
    written(tmp_path / "facts", tables_of(LINES))
    opened, held = Facts.open(tmp_path / "facts"), shop(LINES)

    for name in ("purchases", "orders"):
        left, right = (
            sorted(map(repr, facts.tables[name].select(*held.tables[name].columns).to_pyarrow().to_pylist()))
            for facts in (opened, held)
        )
        assert left == right


def test_local_days_begin_at_local_midnight_also_when_clocks_change() -> None:
    facts = shop(LINES)
    for day in (19_791, 19_792, 20_029, 20_030):  # around the changes of March and November 2024
        assert facts.local_day(facts.midnight(day)) == day
        assert day_of(midnight(day, facts.zone), facts.zone) == day
        assert facts.midnight(day).hour == 0
    lengths = {facts.midnight(day + 1).timestamp() - facts.midnight(day).timestamp() for day in range(19_723, 19_723 + 366)}
    assert lengths == {23 * 3600.0, 24 * 3600.0, 25 * 3600.0}
    assert day_number(calendar_day(19_792)) == 19_792


def test_a_run_killed_while_it_replaced_the_facts_leaves_the_old_ones(facts_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "facts"
    shutil.copytree(facts_folder, tmp_path / "facts.old")

    assert read_manifest(folder) == read_manifest(facts_folder)
