"""The facts of one shop, opened for queries: canonical tables as Parquet, those about members in buckets, and a manifest.

    FOLDER/manifest.json                       what is in it, and the hash of every file
    FOLDER/purchases/03-000001.parquet         bucket 3 of the members, first import; so are orders, events,
                                               exposures and redemptions
    FOLDER/purchases/anonymous-000001.parquet  purchases of nobody known
    FOLDER/items.parquet                       likewise members, identities
    FOLDER/quarantine.parquet, cleaning.json   rows set aside, with reasons, and the counts

A member's facts stand in one bucket, chosen by a hash of the member id, so that every computation over members can go
bucket by bucket in bounded memory. `features.facts_folder` writes such a folder.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import pyarrow as pa
from ibis import ir

from features.capabilities import absent, since_sql, tables_that_show
from features.days import day_of, microseconds, midnight
from features.errors import FactsMissing
from features.fact_tables import completed, empty_table, no_rows_sql
from features.manifest import BUCKETED, Manifest, bucket_sql, read_manifest, require_same
from features.orders import orders_sql
from features.scratch import spill_folder
from features.sources.schema import ORDERS, PURCHASES, STORED, FactTable
from features.sql_text import parquet

MEMORY_MB = 1024
"""What queries may hold in memory unless told otherwise; beyond it they use the disk."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one shop, ready to be queried. `connection` is a private in-memory DuckDB that reads the tables.

    `thresholds` are the shop's own choices; what is not chosen keeps the default of its declaration.
    """

    manifest: Manifest
    connection: Any
    tables: Mapping[str, ir.Table]
    folder: Path | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, *, memory_mb: int = MEMORY_MB, thresholds: Mapping[str, float] | None = None) -> "Facts":
        """The facts kept in a folder.

        Parameters
        ----------
        memory_mb
            What queries may hold in memory; beyond it they use the disk.
        thresholds
            Values that stand in place of the contract's defaults, by name.

        Raises
        ------
        FactsMissing
            Nothing was imported into the folder, or by a version with another layout.
        FactsReplaced
            Other facts were put in place while these were being opened.
        """
        manifest = read_manifest(folder)
        connection = connect(memory_mb=memory_mb, scratch=spill_folder(folder.parent))
        with replacement_told(folder, manifest):
            _create_views(connection, folder, manifest)
            tables = {table.name: connection.table(table.name) for table in STORED}
        return cls(manifest, connection, tables, folder, thresholds or {})

    @classmethod
    def in_memory(
        cls,
        tables: Mapping[str, pa.Table],
        *,
        time_zone: str,
        thresholds: Mapping[str, float] | None = None,
        buckets: int = 1,
        since: Mapping[str, int] | None = None,
        holidays: Collection[int] | None = None,
    ) -> "Facts":
        """Facts of canonical tables held in memory, for a notebook or a test; tables not given are empty.

        Parameters
        ----------
        tables
            By name, without `orders`, which is summed from `purchases`. Columns as in `features.sources.schema`; those
            that may be missing may be left out.
        since
            First moment of each capability, if that is known better than these rows show it.
        holidays
            Local days that are holidays; None if nobody knows.
        """
        connection = connect()
        for table in (t for t in STORED if t is not ORDERS):
            content = completed(tables[table.name], table) if table.name in tables else empty_table(table)
            connection.create_table(table.name, content)
        connection.raw_sql(f"CREATE TABLE {ORDERS.name} AS {orders_sql(PURCHASES.name, holidays)}")
        for bucket in range(buckets):
            connection.raw_sql(f"CREATE SCHEMA {_schema(bucket)}")
            for table in BUCKETED:
                view = f"SELECT * FROM main.{table.name} WHERE {bucket_sql(buckets)} = {bucket}"  # noqa: S608 # own names
                connection.raw_sql(f"CREATE VIEW {_schema(bucket)}.{table.name} AS {view}")
        known = {table.name: connection.table(table.name) for table in STORED}
        first, until = span(connection.con, PURCHASES.name)
        rows = {name: table.count().to_pyarrow().as_py() for name, table in known.items()}
        manifest = Manifest(
            *("in memory", time_zone, "", first, until, rows),
            sha256={},
            hash=uuid.uuid4().hex,
            buckets=buckets,
            since=dict(capabilities_since(connection.con) if since is None else since),
        )
        return cls(manifest, connection, known, thresholds=thresholds or {})

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.manifest.time_zone)

    @property
    def buckets(self) -> range:
        """Numbers of the buckets that members are spread over."""
        return range(self.manifest.buckets)

    def local_day(self, moment: datetime) -> int:
        """The shop's calendar day of an aware moment, as days since 1970-01-01."""
        return day_of(moment, self.zone)

    def midnight(self, day: int) -> datetime:
        """The aware moment at which a local day begins."""
        return midnight(day, self.zone)

    def absent(self, day: int) -> frozenset[str]:
        """Names of what these facts had not told by the midnight at which a local day begins: `features.capabilities`."""
        return absent(self.manifest.since, before=microseconds(self.midnight(day)))

    def query(self, sql: str, *, bucket: int | range | None = None, **parameters: object) -> pa.Table:
        """Rows of a query in DuckDB's own words, in which the tables have their schema's names.

        Parameters
        ----------
        bucket
            Members of this bucket, or run of buckets, only; None reads everything.
        """
        with self.within(bucket):
            result: pa.Table = self.connection.con.sql(sql, params=parameters).to_arrow_table()
        return result

    @contextmanager
    def within(self, buckets: int | range | None) -> Iterator[None]:
        """Let the names of tables about members mean those of one bucket, or of a run of them, for the length of the block."""
        if buckets is None:
            yield
            return
        schema = self._schema_of(buckets) if isinstance(buckets, range) else _schema(buckets)
        self.connection.con.execute(f"SET search_path = '{schema},main'")
        try:
            yield
        finally:
            self.connection.con.execute("SET search_path = 'main'")

    def _schema_of(self, buckets: range) -> str:
        """Views of a run of buckets, made when they are first asked for."""
        schema = f"buckets_{buckets.start}_{buckets.stop}"
        self.connection.con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for table in BUCKETED:
            every = " UNION ALL ".join(f"SELECT * FROM {_schema(bucket)}.{table.name}" for bucket in buckets)  # noqa: S608 # own names
            self.connection.con.execute(f"CREATE VIEW IF NOT EXISTS {schema}.{table.name} AS {every}")
        return schema

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Let queries of the block run on one thread: those over a day's facts take longer to be split than to be run."""
        self.connection.con.execute("SET threads = 1")
        try:
            yield
        finally:
            self.connection.con.execute("RESET threads")

    def require_unchanged(self) -> None:
        """Raise FactsReplaced if the folder now holds other facts than those that were opened."""
        if self.folder is not None:
            require_same(self.folder, self.manifest)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let what goes wrong in the block because the facts were replaced meanwhile be FactsReplaced."""
        if self.folder is None:
            yield
            return
        with replacement_told(self.folder, self.manifest):
            yield


def connect(*, memory_mb: int = MEMORY_MB, scratch: Path | None = None) -> Any:
    """A private in-memory DuckDB, as Ibis has it, that honours a limit and uses the disk beyond it."""
    connection = ibis.duckdb.connect()
    settings = {"memory_limit": f"{memory_mb}MB", "preserve_insertion_order": "false", "TimeZone": "UTC"}
    settings["enable_progress_bar"] = "false"
    if scratch is not None:
        settings["temp_directory"] = str(scratch)
    for name, value in settings.items():
        connection.con.execute(f"SET {name} = '{value}'")
    return connection


@contextmanager
def replacement_told(folder: Path, manifest: Manifest) -> Iterator[None]:
    """Let errors of the block be FactsReplaced where that is why: files that were read are not there any more."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError):
        require_same(folder, manifest)
        raise


def _create_views(connection: Any, folder: Path, manifest: Manifest) -> None:
    """A view of each table, and of each bucket of those that are in buckets."""
    for table in STORED:
        connection.raw_sql(f"CREATE VIEW {table.name} AS {_reading(folder, manifest, table, None)}")
    for bucket in range(manifest.buckets):
        connection.raw_sql(f"CREATE SCHEMA {_schema(bucket)}")
        for table in BUCKETED:
            connection.raw_sql(f"CREATE VIEW {_schema(bucket)}.{table.name} AS {_reading(folder, manifest, table, bucket)}")


def _schema(bucket: int) -> str:
    return f"bucket_{bucket}"


def _reading(folder: Path, manifest: Manifest, table: FactTable, bucket: int | None) -> str:
    """The query that reads a table, or one bucket of it; without rows if it has no file."""
    if table not in BUCKETED:
        return f"SELECT * FROM {parquet(folder / f'{table.name}.parquet')}"  # noqa: S608 # own names
    files = [folder / name for name in manifest.files_of(table.name, bucket)]
    return f"SELECT * FROM {parquet(files)}" if files else no_rows_sql(table)  # noqa: S608 # own names


def span(con: Any, purchases: str) -> tuple[int, int]:
    """First local day with a purchase, and the day after the last; FactsMissing without any."""
    first, last = con.execute(f"SELECT min(local_day), max(local_day) FROM {purchases}").fetchall()[0]  # noqa: S608 # own name
    if first is None:
        raise FactsMissing("there is not a single purchase in these facts", remedy="import a source that has some")
    return first, last + 1


def capabilities_since(con: Any) -> dict[str, int]:
    """First moment of each capability that the tables of a connection show, microseconds since 1970."""
    since: dict[str, int] = {}
    for table in tables_that_show():
        row = con.sql(since_sql(table)).to_arrow_table().to_pylist()[0]
        since |= {name: microseconds(moment.replace(tzinfo=UTC)) for name, moment in row.items() if moment is not None}
    return since
