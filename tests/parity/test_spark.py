"""Spark computes what DuckDB computes: every operation, every aggregate and feature, from files in either layout."""

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from parity.random_shops import CHANNELS, ITEMS, MEMBERS, SHARED_ORDERS, STORES
from shops import ZONE, Line, moment_of, shop
from typer.testing import CliRunner

import rapport
from features.build import FeatureRows, build
from features.compile import IBIS
from features.contract import CONTRACT
from features.declarations import TOTAL, Aggregate, Feature
from features.errors import ConfigurationError, FactsMissing
from features.expressions import NUMPY, ratio
from features.facts import Facts
from features.facts_folder import Origin
from features.online_store import RedisStore
from features.publish import publish
from features.sources.landing import Incoming, land
from features.sources.schema import ORDERS
from features.spark import SparkFacts, build_on_spark
from features.spark_output import STAMP, read_written, write_on_spark
from features.spark_session import own_view, spark_session

pyspark = pytest.importorskip("pyspark", reason="make spark installs it")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
]
RELATIVE = 1e-9


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """Spark in a process of its own, with a time zone that no shop of these tests has."""
    patch = pytest.MonkeyPatch()
    patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")  # a few minutes are too short for the second compiler
    with spark_session() as running:
        running.conf.set("spark.sql.session.timeZone", "Pacific/Auckland")
        yield running


@pytest.fixture(scope="module")
def odd_shop() -> Facts:
    """A few members who do everything a till can do: shared orders, returns, no name, no shop, unknown items, equal moments."""
    random = Random(17)
    lines = [
        Line(
            member=random.choice(MEMBERS),
            at=random.randrange(430 * 24) / 24,
            cents=random.choice((0, 1, 99, 12_345, 2**40)) * (1 if kind == "sale" else -1),
            item=random.choice(ITEMS),
            order=random.choice(SHARED_ORDERS),
            kind=kind,
            discount=random.randrange(900),
            coupon=random.choice((0, 50, 125)),
            channel=random.choice(CHANNELS),
            store=random.choice(STORES),
        )
        for kind in random.choices(("sale", "return"), weights=(4, 1), k=400)
    ]
    return shop(lines)


@pytest.fixture(scope="module")
def odd_folder(odd_shop: Facts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The odd shop as a facts folder, whose path has a blank and letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("spark") / "an odd shop 店" / "facts"
    tables = {name: table for name, table in odd_shop.tables.items() if name != ORDERS.name}
    land(folder, Incoming(tables, Origin("odd", ZONE, "USD", files={})))
    return folder


def same(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """Integers equal, floats equal to nine digits, missing where the other is missing."""
    if left.dtype.kind == "f":
        return np.isclose(left, right, rtol=RELATIVE, atol=0.0, equal_nan=True)
    return np.asarray(left == right)


def differences(spark: FeatureRows, duckdb: FeatureRows) -> list[str]:
    names = spark.contract.feature_names
    pairs = {name: (spark.records[name], duckdb.records[name]) for name in spark.records.dtype.names or ()}
    pairs |= {f"feature {name}": (spark.matrix[:, i], duckdb.matrix[:, i]) for i, name in enumerate(names)}
    return [
        f"{name}: {left[~same(left, right)][:3]} {right[~same(left, right)][:3]}"
        for name, (left, right) in pairs.items()
        if not same(left, right).all()
    ]


def assert_parity(spark: FeatureRows, duckdb: FeatureRows) -> None:
    assert spark.member_ids.tolist() == duckdb.member_ids.tolist()
    assert spark.records.dtype == duckdb.records.dtype
    assert spark.matrix.shape == duckdb.matrix.shape
    assert differences(spark, duckdb) == []
    assert (spark.as_of, spark.day, spark.time_zone) == (duckdb.as_of, duckdb.day, duckdb.time_zone)
    assert repr(dict(spark.edges)) == repr(dict(duckdb.edges))  # as text, since NaN is not equal to itself


# operations

VALUES = (None, 0.0, -0.0, 1.0, -1.0, 0.1, 7.0, -7.0, 2.5, 1e-12, 1e15, float(2**53))
DAYS = (None, *map(float, (1, 2, 7, 17_532, -1, -3)))
TRUTHS = (True, False)
OPERANDS: Mapping[str, str] = {
    **dict.fromkeys(("add", "subtract", "multiply", "ratio", "larger", "smaller", "fill"), "vv"),
    **dict.fromkeys(("less", "less_equal", "equal"), "vv"),
    **dict.fromkeys(("both", "either"), "tt"),
    "modulo": "ii",
    "negate": "t",
    "root": "v",
    "where": "tvv",
    "missing": "v",
    "steps": "vvv",
    "nothing": "",
}
"""What each operation takes: v a number or nothing, i a whole number or nothing, t true or false."""


def operands(kinds: str) -> pa.Table:
    choices = {"v": VALUES, "i": DAYS, "t": TRUTHS}
    rows = list(product(*(choices[kind] for kind in kinds))) or [()]
    types = {"v": pa.float64(), "i": pa.float64(), "t": pa.bool_()}
    columns = {f"c{i}": pa.array([row[i] for row in rows], type=types[kind]) for i, kind in enumerate(kinds)}
    return pa.table({"row": pa.array(range(len(rows)), type=pa.int32()), **columns})


def as_array(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray([math.nan if value is None else value for value in column.to_pylist()], dtype=np.float64)


@pytest.mark.parametrize("operation", sorted(OPERANDS))
def test_every_operation_means_the_same_on_spark_on_duckdb_and_in_numpy(operation: str, session: Any, tmp_path: Path) -> None:
    import ibis

    given = operands(OPERANDS[operation])
    names = [name for name in given.column_names if name != "row"]
    pyarrow.parquet.write_table(given, tmp_path / "given.parquet")
    table = ibis.table(ibis.Schema.from_pyarrow(given.schema), name="given")
    query = table.select("row", found=IBIS[operation](*(table[name] for name in names)).cast("float64")).order_by("row")
    view = own_view(session)
    view.read.parquet(str(tmp_path / "given.parquet")).createOrReplaceTempView("given")
    connection = ibis.duckdb.connect()
    connection.read_parquet(tmp_path / "given.parquet", table_name="given")
    arrays = [
        as_array(given[name]) if kind != "t" else given[name].to_numpy()
        for name, kind in zip(names, OPERANDS[operation], strict=True)
    ]

    spark = as_array(view.sql(str(ibis.to_sql(query, dialect="pyspark"))).toArrow()["found"])
    duckdb = as_array(connection.to_pyarrow(query)["found"])
    with np.errstate(invalid="ignore"):
        numpy = np.broadcast_to(np.asarray(NUMPY[operation](*arrays), dtype=np.float64), duckdb.shape)

    assert np.array_equal(spark, duckdb, equal_nan=True)
    assert np.array_equal(spark, numpy, equal_nan=True)


def test_no_operation_is_left_out() -> None:
    assert set(OPERANDS) | {"literal"} == set(IBIS)


# the call


def test_real_purchases_at_the_end_of_the_facts(facts_folder: Path, rows: FeatureRows, session: Any) -> None:
    assert_parity(build_on_spark(facts_folder, as_of=rows.as_of, session=session), rows)


def test_real_purchases_on_an_afternoon(facts_folder: Path, facts: Facts, session: Any) -> None:
    afternoon = facts.midnight(facts.manifest.until_day - 150) + timedelta(hours=16)

    assert_parity(build_on_spark(facts_folder, as_of=afternoon, session=session), build(facts, as_of=afternoon))


@pytest.mark.parametrize(
    "at", [431.0, 200.5, 900.0, -1.0], ids=["at the end", "in between", "when all have left", "before anything"]
)
def test_an_odd_shop(at: float, odd_folder: Path, odd_shop: Facts, session: Any) -> None:
    moment = moment_of(at)

    found = build_on_spark(odd_folder, as_of=moment, session=session)

    assert_parity(found, build(odd_shop, as_of=moment))
    assert len(found.member_ids) == (0 if at < 0 else len(MEMBERS) - 1)


def test_a_declaration_that_is_new_needs_nothing_more(odd_folder: Path, odd_shop: Facts, session: Any) -> None:
    lines = Aggregate("tried_90d", TOTAL, ORDERS, "lines", "order lines in 90 days", ORDERS.lines, days=90, dtype="int64")
    share = Feature("tried_per_day_90d", ratio(lines, 90), "lines", "order lines a day", "rfm")
    contract = replace(CONTRACT, aggregates=(*CONTRACT.aggregates, lines), features=(*CONTRACT.features, share))

    found = build_on_spark(odd_folder, as_of=moment_of(431), contract=contract, session=session)

    assert_parity(found, build(odd_shop, as_of=moment_of(431), contract=contract))
    assert found.column("tried_per_day_90d").max() > 0


def test_a_moment_without_zone_is_refused(odd_folder: Path, session: Any) -> None:
    with pytest.raises(ValueError, match="time zone"):
        build_on_spark(odd_folder, as_of=datetime(2024, 1, 2), session=session)  # noqa: DTZ001 # that is the point


# files and sessions


def test_the_callers_session_stays_as_it_was(odd_folder: Path, session: Any) -> None:
    SparkFacts.open(odd_folder, session)

    assert session.conf.get("spark.sql.session.timeZone") == "Pacific/Auckland"
    assert session.catalog.listTables() == []


def test_files_in_buckets_are_the_same_facts(odd_folder: Path, session: Any, tmp_path: Path) -> None:
    bucketed = tmp_path / "facts"
    shutil.copytree(odd_folder, bucketed)
    whole = pyarrow.parquet.read_table(bucketed / "purchases.parquet")
    (bucketed / "purchases.parquet").unlink()
    (bucketed / "purchases").mkdir()
    for bucket in range(3):
        part = whole.slice(bucket * 150, 150)
        pyarrow.parquet.write_table(part, bucketed / "purchases" / f"{bucket:03}-0001.parquet")

    one, many = (SparkFacts.open(place, session).session.table("purchases") for place in (odd_folder, bucketed))

    assert many.count() == whole.num_rows
    assert one.exceptAll(many).count() == 0


def test_an_address_is_read_by_spark_alone(odd_folder: Path, session: Any) -> None:
    assert SparkFacts.open(f"file://{odd_folder}", session).manifest == SparkFacts.open(odd_folder, session).manifest

    with pytest.raises(FactsMissing, match="no facts"):
        SparkFacts.open(f"file://{odd_folder}/nowhere", session)


def test_files_that_are_gone_are_missed(odd_folder: Path, session: Any, tmp_path: Path) -> None:
    shutil.copytree(odd_folder, tmp_path / "facts")
    (tmp_path / "facts" / "orders.parquet").unlink()

    with pytest.raises(FactsMissing, match="orders"):
        SparkFacts.open(tmp_path / "facts", session)


# output


def test_what_spark_writes_can_be_published(
    odd_folder: Path, odd_shop: Facts, session: Any, store: RedisStore, tmp_path: Path
) -> None:
    moment = moment_of(200.5)
    opened = SparkFacts.open(odd_folder, session)
    (tmp_path / "out" / "rows.parquet").mkdir(parents=True)
    (tmp_path / "out" / "rows.parquet" / "part-of-an-earlier-run").write_text("left when it was killed")

    written = write_on_spark(opened, tmp_path / "out", as_of=moment)
    found = read_written(tmp_path / "out")

    assert_parity(found, build(odd_shop, as_of=moment))
    assert publish(found, store).members == written.members == len(MEMBERS) - 1
    assert store.read_stamp() is not None


def test_a_run_that_was_killed_leaves_nothing_to_publish(tmp_path: Path) -> None:
    (tmp_path / STAMP).mkdir()
    (tmp_path / STAMP / "part-0.txt").write_text("\n")

    with pytest.raises(ConfigurationError, match="no finished output"):
        read_written(tmp_path)


def test_the_command_writes_the_same_file_with_both_engines(
    odd_folder: Path, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(odd_folder.parent))
    command = ["features", "build", "--as-of", "end-of-facts"]
    outs = {engine: tmp_path / f"{engine}.parquet" for engine in ("duckdb", "spark")}

    for engine, out in outs.items():
        result = CliRunner().invoke(rapport.app, [*command, "--engine", engine, "--out", str(out)])
        assert result.exit_code == 0, result.output
    duckdb, spark = (pyarrow.parquet.read_table(out) for out in outs.values())

    assert spark.schema.equals(duckdb.schema, check_metadata=True)
    assert all(same(spark[name].to_numpy(), duckdb[name].to_numpy()).all() for name in CONTRACT.feature_names)
