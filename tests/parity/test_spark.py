"""Spark computes what DuckDB computes: every operation, every aggregate and feature, from files in either layout."""

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from parity.agreement import SMALLEST, is_exact
from parity.random_shops import CHANNELS, HOUR, ITEMS, MEMBERS, SHARED_ORDERS, STORES, corrected, late
from shops import ZONE, Event, Exposure, Line, Redemption, moment_of, shop
from typer.testing import CliRunner

import rapport
from features.build import FeatureRows, build
from features.compile import IBIS
from features.contract import CONTRACT
from features.declarations import DECAYED, LOG_KEYS, TOTAL, Aggregate, Feature
from features.errors import ConfigurationError, FactsMissing
from features.expressions import NUMPY, ratio
from features.facts import Facts, connect
from features.facts_folder import Draft, Origin, every_bucket
from features.manifest import BUCKETED, bucket_sql, read_manifest
from features.online_store import RedisStore
from features.publish import publish
from features.sources.landing import Incoming, land
from features.sources.schema import EVENT_TYPES, IDENTITIES, ORDERS, STORED
from features.sources.simulator import simulated_tables
from features.spark import SparkFacts, build_on_spark, collect
from features.spark_output import STAMP, read_written, write_on_spark
from features.spark_session import own_view, spark_session

pyspark = pytest.importorskip("pyspark", reason="make spark installs it")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
]
RELATIVE = 1e-9
DELAYS = (1, 72, 960)
"""Hours after which a row was known or corrected."""


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """Spark in a process of its own, with a time zone that no shop of these tests has."""
    patch = pytest.MonkeyPatch()
    patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")  # a few minutes are too short for the second compiler
    with spark_session() as running:
        running.conf.set("spark.sql.session.timeZone", "Pacific/Auckland")
        yield running


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The odd shop as it stands, nothing cleaned: three buckets, two files each, beside files that the manifest does not name.

    Its path has blanks, letters beyond ASCII, and what Spark would take for a pattern.
    """
    folder = tmp_path_factory.mktemp("spark") / "an odd {shop} 店" / "facts"
    folder.parent.mkdir()
    con, content = connect().con, odd_shop()
    draft = Draft(folder, con, buckets=3)
    for table in STORED:
        con.register("given", content.tables[table.name].to_pyarrow())
        if table not in BUCKETED:
            draft.write(table, "SELECT * FROM given")
            continue
        for bucket, half in product(every_bucket(3), range(2)):
            chosen = f"{bucket_sql(3)} = {bucket} AND local_day % 2 = {half}"
            draft.write(table, f"SELECT * FROM given WHERE {chosen}", bucket=bucket)
    manifest = draft.finish(Origin("odd", ZONE, "USD", files={}))
    for table in BUCKETED:
        for stray in (f"{table.name}/00-000009.parquet", f"{table.name}.parquet"):
            shutil.copy(folder / manifest.files_of(table.name)[-1], folder / stray)
    return folder


def odd_shop() -> Facts:
    """A few members who do everything a till and a page can do: shared orders, returns, no name, no shop, unknown items.

    Some moments are equal, and some rows late or corrected. There are events only from day 250 on, campaigns from day 300 on.
    """
    random = Random(17)
    lines = [
        Line(
            member=random.choice(MEMBERS),
            at=random.randrange(430 * 24) * HOUR,
            cents=random.choice((0, 1, 99, 12_345, 2**40)) * (1 if kind == "sale" else -1),
            item=random.choice(ITEMS),
            order=random.choice(SHARED_ORDERS),
            kind=kind,
            discount=random.randrange(900),
            coupon=random.choice((0, 50, 125)),
            channel=random.choice(CHANNELS),
            store=random.choice(STORES),
            quantity=random.choice((1, 2, 7, None)),
        )
        for kind in random.choices(("sale", "return"), weights=(4, 1), k=400)
    ]
    news = [random.choice((late, corrected))(line, random.choice(DELAYS) * HOUR) for line in random.sample(lines, 60)]
    events = [
        Event(
            member=random.choice(MEMBERS),
            at=at,
            kind=random.choice(EVENT_TYPES),
            item=random.choice((*ITEMS, None)),
            session=random.choice(("a", "b", None)),
            seconds=random.choice((None, 0, 5, 90)),
            channel=random.choice(CHANNELS),
            recorded=random.choice((None, None, at + random.choice(DELAYS) * HOUR)),
        )
        for at in (random.randrange(250 * 24, 430 * 24) * HOUR for _ in range(400))
    ]
    campaigns = [
        (random.choice(MEMBERS[:-1]) or "", random.randrange(300 * 24, 430 * 24) * HOUR, random.choice(("spring", "summer")))
        for _ in range(40)
    ]
    return shop(
        [*lines, *chain.from_iterable(news)],
        events=events,
        exposures=[Exposure(*campaign, random.choice((None, "a", "control"))) for campaign in campaigns],
        redemptions=[Redemption(member, at + 1, coupon="c1", campaign=name) for member, at, name in campaigns[:15]],
    )


@pytest.fixture(scope="module")
def simulated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated shop, imported and cleaned."""
    folder = tmp_path_factory.mktemp("simulated") / "facts"
    source = connect()
    tables = simulated_tables(100, 400, 5)
    given = {t.name: source.create_table(t.name, tables[t.name]) for t in STORED if t not in (ORDERS, IDENTITIES)}
    land(folder, Incoming(given, Origin("simulated", "Europe/Berlin", "EUR", files={})))
    return folder


INEXACT = {a.name for a in CONTRACT.aggregates if a.kind in (DECAYED, LOG_KEYS)} | {
    feature.name for feature in CONTRACT.features if not is_exact(feature)
}


def same(name: str, left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """Integers equal, floats equal to nine digits, missing where the other is missing.

    Where powers and logarithms of large amounts cancel, what is left beyond nine places is rounding.
    """
    if left.dtype.kind == "f":
        return np.isclose(left, right, rtol=RELATIVE, atol=SMALLEST if name in INEXACT else 0.0, equal_nan=True)
    return np.asarray(left == right)


def differences(spark: FeatureRows, duckdb: FeatureRows) -> list[str]:
    names = spark.contract.feature_names
    aggregates = [(name, spark.records[name], duckdb.records[name]) for name in spark.records.dtype.names or ()]
    features = [(name, spark.matrix[:, i], duckdb.matrix[:, i]) for i, name in enumerate(names)]
    return [
        f"{name}: {left[~same(name, left, right)][:3]} {right[~same(name, left, right)][:3]}"
        for name, left, right in aggregates + features
        if not same(name, left, right).all()
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
PERIODS = (1.0, 7.0, 30.0)
OPERANDS: Mapping[str, str] = {
    **dict.fromkeys(("add", "subtract", "multiply", "ratio", "larger", "smaller", "fill"), "vv"),
    **dict.fromkeys(("less", "less_equal", "equal"), "vv"),
    **dict.fromkeys(("both", "either"), "tt"),
    "modulo": "ii",
    "negate": "t",
    "root": "v",
    "where": "tvv",
    "log": "v",
    "halved": "vip",
    "missing": "v",
    "steps": "vvv",
    "nothing": "",
}
"""What each operation takes: v a number or nothing, i a whole number or nothing, p a period in days, t true or false."""
ROUNDED = frozenset(("log", "halved"))
"""Made of powers and logarithms, whose last bit each engine's own library decides."""


def operands(kinds: str) -> pa.Table:
    choices = {"v": VALUES, "i": DAYS, "p": PERIODS, "t": TRUTHS}
    rows = list(product(*(choices[kind] for kind in kinds))) or [()]
    types = {"t": pa.bool_()}
    columns = {f"c{i}": pa.array([row[i] for row in rows], types.get(kind, pa.float64())) for i, kind in enumerate(kinds)}
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

    relative = 1e-15 if operation in ROUNDED else 0.0
    assert np.allclose(spark, duckdb, rtol=relative, atol=0.0, equal_nan=True)
    assert np.allclose(spark, numpy, rtol=relative, atol=0.0, equal_nan=True)


def test_no_operation_is_left_out() -> None:
    assert set(OPERANDS) | {"literal"} == set(IBIS)


# the call


def test_real_purchases_on_an_afternoon(facts_folder: Path, facts: Facts, session: Any) -> None:
    afternoon = facts.midnight(facts.manifest.until_day - 150) + timedelta(hours=16)

    assert_parity(build_on_spark(facts_folder, as_of=afternoon, session=session), build(facts, as_of=afternoon))


def test_a_simulated_shop_on_an_afternoon(simulated_folder: Path, session: Any) -> None:
    facts = Facts.open(simulated_folder)
    afternoon = facts.midnight(facts.manifest.until_day - 30) + timedelta(hours=16)

    found = build_on_spark(simulated_folder, as_of=afternoon, session=session)

    assert_parity(found, build(facts, as_of=afternoon))
    assert {"events", "exposures", "redemptions"} & set(facts.absent(found.day)) == set()


def test_an_odd_shop_with_thresholds_and_a_declaration_that_is_new(odd_folder: Path, session: Any) -> None:
    moment, chosen = moment_of(431), {"dormant_days": 3.0}
    lines = Aggregate("tried_90d", TOTAL, ORDERS, "lines", "order lines in 90 days", ORDERS.lines, days=90, dtype="int64")
    share = Feature("tried_per_day_90d", ratio(lines, 90), "lines", "order lines a day", "rfm")
    contract = replace(CONTRACT, aggregates=(*CONTRACT.aggregates, lines), features=(*CONTRACT.features, share))

    found = collect(SparkFacts.open(odd_folder, session, thresholds=chosen), as_of=moment, contract=contract)

    assert_parity(found, build(Facts.open(odd_folder, thresholds=chosen), as_of=moment, contract=contract))
    assert found.edges["dormant_days"] == 3.0
    assert found.column("tried_per_day_90d").max() > 0
    assert len(found.member_ids) == len(MEMBERS) - 1


@pytest.mark.parametrize("at", [900.0, -1.0], ids=["when all have left", "before anything"])
def test_an_odd_shop(at: float, odd_folder: Path, session: Any) -> None:
    found = build_on_spark(odd_folder, as_of=moment_of(at), session=session)

    assert_parity(found, build(Facts.open(odd_folder), as_of=moment_of(at)))
    assert len(found.member_ids) == (0 if at < 0 else len(MEMBERS) - 1)


def test_a_moment_without_zone_is_refused(odd_folder: Path, session: Any) -> None:
    with pytest.raises(ValueError, match="time zone"):
        build_on_spark(odd_folder, as_of=datetime(2024, 1, 2), session=session)  # noqa: DTZ001 # that is the point


# files and sessions


def test_only_what_the_manifest_names_is_read_and_the_callers_session_stays_as_it_was(odd_folder: Path, session: Any) -> None:
    opened = SparkFacts.open(odd_folder, session)

    assert {table.name: opened.session.table(table.name).count() for table in STORED} == opened.manifest.rows
    assert session.conf.get("spark.sql.session.timeZone") == "Pacific/Auckland"
    assert session.catalog.listTables() == []


def test_an_address_is_read_by_spark_alone(odd_folder: Path, session: Any) -> None:
    assert SparkFacts.open(f"file://{odd_folder}", session).manifest == SparkFacts.open(odd_folder, session).manifest

    with pytest.raises(FactsMissing, match="no facts"):
        SparkFacts.open(f"file://{odd_folder}/nowhere", session)


def test_files_that_are_gone_are_missed(odd_folder: Path, session: Any, tmp_path: Path) -> None:
    shutil.copytree(odd_folder, tmp_path / "facts")
    (tmp_path / "facts" / read_manifest(odd_folder).files_of("orders")[2]).unlink()

    with pytest.raises(FactsMissing, match="orders"):
        SparkFacts.open(tmp_path / "facts", session)


# output


def test_what_spark_writes_before_there_were_events_can_be_published(
    odd_folder: Path, session: Any, store: RedisStore, tmp_path: Path
) -> None:
    moment, facts = moment_of(200.5), Facts.open(odd_folder)
    opened = SparkFacts.open(odd_folder, session)
    (tmp_path / "out" / "rows.parquet").mkdir(parents=True)
    (tmp_path / "out" / "rows.parquet" / "part-of-an-earlier-run").write_text("left when it was killed")

    written = write_on_spark(opened, tmp_path / "out", as_of=moment)
    found = read_written(tmp_path / "out")

    assert_parity(found, build(facts, as_of=moment))
    assert {"events", "redemptions"} < facts.absent(found.day)
    assert publish(found, store).written == written.members == len(MEMBERS) - 1
    assert store.read_stamp() is not None


def test_a_run_that_was_killed_leaves_nothing_to_publish(tmp_path: Path) -> None:
    (tmp_path / STAMP).mkdir()
    (tmp_path / STAMP / "part-0.txt").write_text("\n")

    with pytest.raises(ConfigurationError, match="no finished output"):
        read_written(tmp_path)


def test_the_command_writes_the_same_rows_with_both_engines(
    odd_folder: Path, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(odd_folder.parent))
    command = ["features", "build", "--as-of", "end-of-facts"]
    outs = {engine: tmp_path / f"{engine}.parquet" for engine in ("duckdb", "spark")}

    for engine, out in outs.items():
        result = CliRunner().invoke(rapport.app, [*command, "--engine", engine, "--out", str(out)])
        assert result.exit_code == 0, result.output
    duckdb, spark = (pyarrow.parquet.read_table(out).sort_by("member_id") for out in outs.values())

    assert spark.schema.equals(duckdb.schema, check_metadata=True)
    assert spark["member_id"] == duckdb["member_id"]
    assert all(same(name, spark[name].to_numpy(), duckdb[name].to_numpy()).all() for name in CONTRACT.feature_names)
