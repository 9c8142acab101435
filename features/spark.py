"""Features on a Spark cluster: the queries of `features.compile` in Spark's words, over the same Parquet facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.build import FeatureRows, require_zone, scalars
from features.capabilities import absent, silent
from features.codec import empty_records, missing_value
from features.compile import aggregate_sql, aggregate_table, feature_columns, query_text
from features.contract import CONTRACT, Contract
from features.days import day_of, microseconds, midnight, naive_utc
from features.declarations import Aggregate, Feature
from features.errors import FactsMissing
from features.expressions import Call, Expression
from features.manifest import BUCKETED, MANIFEST, Manifest, read_manifest
from features.sources.schema import STORED, FactTable
from features.spark_session import own_view, spark_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SPARK_TYPES = {"string": "STRING", "int64": "BIGINT", "int32": "INT", "timestamp": "TIMESTAMP_NTZ", "boolean": "BOOLEAN"}
_PATTERN_SIGNS = re.compile(r"[\\{}\[\]*?]")


@dataclass(frozen=True, slots=True)
class SparkFacts:
    """Facts of one shop on a cluster. In `session`, which is ours alone, the tables have their schema's names."""

    manifest: Manifest
    session: SparkSession
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path | str, session: SparkSession, *, thresholds: Mapping[str, float] | None = None) -> SparkFacts:
        """The facts kept in a folder, or under an address that Spark can read, such as s3a://bucket/facts.

        Raises
        ------
        FactsMissing
            Nothing was imported there, or by a version with another layout.
        """
        place, view = location(folder), own_view(session)
        manifest = _distant_manifest(place, view) if "://" in str(folder) else read_manifest(Path(folder))
        for table in STORED:
            _table(place, table, manifest, view).createOrReplaceTempView(table.name)
        return cls(manifest, view, thresholds or {})

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.manifest.time_zone)

    def local_day(self, moment: datetime) -> int:
        """The shop's calendar day of an aware moment, as days since 1970-01-01."""
        return day_of(moment, self.zone)

    def midnight(self, day: int) -> datetime:
        """The aware moment at which a local day begins."""
        return midnight(day, self.zone)

    def aggregates(self, contract: Contract, *, as_of: datetime, day: int) -> DataFrame:
        """One row per member with a fact before `as_of`: `member_id` and every aggregate, sorted by member."""
        moment = naive_utc(as_of).isoformat(sep=" ")  # as text: Spark reads it as UTC, whatever its zone
        found = self.session.sql(aggregate_sql(contract, "pyspark"), args={"as_of": moment, "day": day})
        gone = absent(self.manifest.since, before=microseconds(self.midnight(day)))
        nothing = {a.name: f"CAST(NULL AS {_SPARK_TYPES.get(a.dtype, 'DOUBLE')})" for a in silent(contract.aggregates, gone)}
        return found.selectExpr(
            "member_id", *(f"{nothing.get(a.name, f'`{a.name}`')} AS `{a.name}`" for a in contract.aggregates)
        )

    def edges(self, contract: Contract, *, day: int) -> dict[str, float]:
        """Thresholds, and population edges as of midnight of a local day. Brings only what these rest on to this process."""
        small = edge_contract(contract)
        found = self.aggregates(small, as_of=self.midnight(day), day=day).toArrow()
        columns = {a.name: found[a.name] for a in small.aggregates}
        return scalars(small, [records_from(columns, small, found.num_rows)], day=day, thresholds=self.thresholds)

    def rows(self, contract: Contract, *, as_of: datetime) -> tuple[DataFrame, dict[str, float]]:
        """Population edges, and one row per member: `member_id`, aggregates, `feature.<name>` as doubles; sorted by member.

        The edges are computed here and now, the rows when somebody asks for them.

        Raises
        ------
        ValueError
            `as_of` has no time zone.
        """
        require_zone(as_of)
        day = self.local_day(as_of)
        edges = self.edges(contract, day=day)
        self.aggregates(contract, as_of=as_of, day=day).createOrReplaceTempView("aggregates")
        return self.session.sql(_row_sql(contract), args={"day": float(day), **edges}), edges


def build_on_spark(
    folder: Path | str, *, as_of: datetime, contract: Contract = CONTRACT, session: SparkSession | None = None
) -> FeatureRows:
    """What `features.build.build` returns, computed by Spark and brought to this process.

    Parameters
    ----------
    folder
        A facts folder that driver and executors see under the same path, or an address that Spark can read.
    session
        A running session; its settings and views stay as they are. Without one, Spark runs in this process for the call.

    Raises
    ------
    ValueError
        `as_of` has no time zone.
    FactsMissing
        There are no facts under `folder`.
    MissingDependency
        PySpark is not installed, or there is no Java.
    """
    with spark_session() if session is None else nullcontext(session) as running:
        return collect(SparkFacts.open(folder, running), as_of=as_of, contract=contract)


def collect(facts: SparkFacts, *, as_of: datetime, contract: Contract = CONTRACT) -> FeatureRows:
    """Features of every member with a fact before `as_of`, computed by Spark and brought to this process."""
    rows, edges = facts.rows(contract, as_of=as_of)
    found = rows.toArrow()
    return FeatureRows(
        contract=contract,
        as_of=as_of.astimezone(UTC),
        day=facts.local_day(as_of),
        time_zone=facts.manifest.time_zone,
        facts_hash=facts.manifest.hash,
        member_ids=np.asarray(found["member_id"].to_pylist(), dtype=np.str_),
        records=records_from({a.name: found[a.name] for a in contract.aggregates}, contract, found.num_rows),
        matrix=matrix_from([found[f"feature.{name}"] for name in contract.feature_names], found.num_rows),
        edges=edges,
    )


def location(folder: Path | str) -> str:
    """What Spark calls a folder: a path gets its scheme, as a cluster's own paths may mean another file system."""
    return str(folder).rstrip("/") if "://" in str(folder) else f"file://{Path(folder).absolute()}"


def literally(path: str) -> str:
    """A path that Spark is to read as it stands: it takes every path for a pattern."""
    return _PATTERN_SIGNS.sub(r"\\\g<0>", path)


@cache
def edge_contract(contract: Contract) -> Contract:
    """The part of a contract that population edges rest on."""
    needed: set[Expression] = set()
    for quintiles in contract.quintiles:
        for expression in (quintiles.over, quintiles.among):
            _collect(expression, needed)
    return replace(
        contract,
        aggregates=tuple(a for a in contract.aggregates if a in needed),
        features=tuple(f for f in contract.features if f in needed),
    )


def _collect(expression: Expression, found: set[Expression]) -> None:
    if isinstance(expression, Aggregate | Feature):
        found.add(expression)
    if isinstance(expression, Feature):
        _collect(expression.formula, found)
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            _collect(argument, found)


@cache
def _row_sql(contract: Contract) -> str:
    return query_text(feature_columns(contract, aggregate_table(contract)).order_by("member_id"), "pyspark")


def _table(place: str, table: FactTable, manifest: Manifest, session: SparkSession) -> DataFrame:
    """A stored table: the files that the manifest names and no others, read with the schema's own types."""
    from pyspark.errors import AnalysisException

    types = {column.name: _SPARK_TYPES[column.type] for column in table.columns}
    files = manifest.files_of(table.name) if table in BUCKETED else [f"{table.name}.parquet"]
    if not files:  # a relation that Spark knows to be empty, so that all that rests on it alone is left out of its plans
        nothing = ", ".join(f"CAST(NULL AS {spark_type}) AS `{name}`" for name, spark_type in types.items())
        return session.sql(f"SELECT {nothing} WHERE false")
    schema = ", ".join(f"`{name}` {spark_type}" for name, spark_type in types.items())
    try:
        return session.read.schema(schema).parquet(*(literally(f"{place}/{path}") for path in files))
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        raise FactsMissing(f"files of {table.name} are not in {place}", remedy="import them again") from error


def _distant_manifest(place: str, session: SparkSession) -> Manifest:
    """The manifest of facts that only Spark can read."""
    from pyspark.errors import AnalysisException

    try:
        text = session.read.text(literally(f"{place}/{MANIFEST}"), wholetext=True).toArrow()["value"][0].as_py()
    except AnalysisException as error:
        raise FactsMissing(
            f"there are no facts in {place}: {error.getCondition()}", remedy="copy a whole facts folder there"
        ) from error
    with TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_text(text)
        return read_manifest(Path(folder))


def records_from(columns: Mapping[str, pa.ChunkedArray], contract: Contract, rows: int) -> NDArray[np.void]:
    """Records of the codec from columns of aggregates by name, null where missing."""
    records = empty_records(contract, rows)
    for name, column in columns.items():
        records[name] = column.combine_chunks().fill_null(missing_value(records.dtype[name])).to_numpy(zero_copy_only=False)
    return records


def matrix_from(columns: Sequence[pa.ChunkedArray], rows: int) -> NDArray[np.float32]:
    """A feature matrix from its columns, null or NaN where missing."""
    matrix = np.empty((rows, len(columns)), dtype=np.float32)
    for position, column in enumerate(columns):
        matrix[:, position] = column.to_numpy()
    return matrix
