"""The facts folder: canonical tables as Parquet with a manifest, written whole or not at all, and opened for queries."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import pyarrow as pa
from ibis import ir

from features.days import day_of, midnight
from features.errors import FactsMissing
from features.sources.schema import ORDERS, PURCHASES, STORED, FactTable

MANIFEST = "manifest.json"
FORMAT = 3


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a facts folder. `sha256` has one hash a table file; `hash` stands for all of them."""

    source: str
    time_zone: str
    currency: str
    first_day: int
    until_day: int
    rows: dict[str, int]
    sha256: dict[str, str]
    hash: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one shop, ready to be queried. `connection` is a private in-memory DuckDB that reads the tables.

    `thresholds` are the shop's own choices; what is not chosen keeps the default of its declaration.
    """

    manifest: Manifest
    connection: Any
    tables: Mapping[str, ir.Table]
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, *, thresholds: Mapping[str, float] | None = None) -> "Facts":
        """The facts kept in a folder.

        Raises
        ------
        FactsMissing
            Nothing was imported into the folder, or by a version with another layout.
        """
        manifest = read_manifest(folder)
        connection = ibis.duckdb.connect()
        tables = {name: connection.read_parquet(folder / f"{name}.parquet", table_name=name) for name in manifest.rows}
        return cls(manifest, connection, tables, thresholds or {})

    @classmethod
    def in_memory(
        cls, tables: Mapping[str, pa.Table], *, time_zone: str, thresholds: Mapping[str, float] | None = None
    ) -> "Facts":
        """Facts of canonical tables held in memory, for a notebook or a test; tables not given are empty.

        Parameters
        ----------
        tables
            By name, without `orders`, which is summed from `purchases`. Columns as in `features.sources.schema`.
        """
        connection = ibis.duckdb.connect()
        for table in (t for t in STORED if t is not ORDERS):
            content = completed(tables[table.name], table) if table.name in tables else empty_table(table)
            connection.create_table(table.name, content)
        connection.create_table(ORDERS.name, orders_of(connection.table(PURCHASES.name)))
        known = {table.name: connection.table(table.name) for table in STORED}
        first, until = _span(known[PURCHASES.name])
        rows = {name: table.count().to_pyarrow().as_py() for name, table in known.items()}
        manifest = Manifest("in memory", time_zone, "", first, until, rows, sha256={}, hash=uuid.uuid4().hex)
        return cls(manifest, connection, known, thresholds or {})

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

    def query(self, sql: str, **parameters: object) -> pa.Table:
        """Rows of a query in DuckDB's own words, in which the tables have their schema's names."""
        result: pa.Table = self.connection.con.sql(sql, params=parameters).to_arrow_table()
        return result


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a facts folder; FactsMissing if there is none that this version reads."""
    path = folder / MANIFEST
    if not folder.exists() and _old(folder).exists():
        _old(folder).rename(folder)  # a run was killed between taking the old facts away and putting the new ones there
    if not path.exists():
        raise FactsMissing(f"there are no facts in {folder}", remedy='import some: "rapport import complete-journey"')
    content = json.loads(path.read_text())
    if content.get("format") != FORMAT:
        raise FactsMissing(f"the facts in {folder} were written by another version", remedy="import them again")
    return Manifest(**content)


def write(
    folder: Path,
    tables: Mapping[str, ir.Table],
    *,
    source: str,
    time_zone: str,
    currency: str,
    extras: Mapping[str, str | ir.Table],
) -> Manifest:
    """Write the canonical tables as a facts folder; what was there before is replaced only when all is written.

    Parameters
    ----------
    tables
        Every table of `features.sources.schema.STORED` but `orders`, which is summed here from `purchases`.
    extras
        What to keep beside the facts, by file name: text such as the cleaning report, or a table such as the rows set aside.
    """
    whole = {**tables, ORDERS.name: orders_of(tables[PURCHASES.name])}
    draft = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    rows, hashes = {}, {}
    for table in STORED:
        path = draft / f"{table.name}.parquet"
        rows[table.name] = _write_parquet(whole[table.name], table, path)
        hashes[table.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    for name, content in extras.items():
        if isinstance(content, str):
            (draft / name).write_text(content)
        else:
            content.to_parquet(draft / name, compression="zstd")
    first_day, until_day = _span(whole[PURCHASES.name])
    manifest = Manifest(
        source=source,
        time_zone=time_zone,
        currency=currency,
        first_day=first_day,
        until_day=until_day,
        rows=rows,
        sha256=hashes,
        hash=hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest(),
    )
    (draft / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2))
    _replace(folder, draft)
    return manifest


def orders_of(purchases: ir.Table) -> ir.Table:
    """One row per order, kind and moment of a known member, summed over its lines."""
    by = [c.name for c in ORDERS.columns if c.name not in {"lines", "net_cents", "discount_cents", "coupon_cents"}]
    dated = purchases.mutate(month_day=_month_day(purchases.local_day), holiday=ibis.null("boolean"))
    known = dated.filter(dated.member_id.notnull())
    return known.group_by(by).agg(
        lines=known.count(),
        **{name: _int64(known[name].sum()) for name in ("net_cents", "discount_cents", "coupon_cents")},
    )


def _month_day(local_day: ir.IntegerColumn) -> ir.IntegerColumn:
    """Day of the month, 1 to 31, of a local day."""
    return (ibis.literal(date(1970, 1, 1)) + local_day.as_interval("D")).day().cast("int32")


def _int64(total: ir.IntegerValue) -> ir.IntegerValue:
    """A sum as int64. DuckDB adds up in 128 bits and writes those to Parquet as floats; Ibis sees no need for a plain cast."""
    return total.cast("decimal(38, 0)").cast("int64")


def arrow_schema(table: FactTable) -> pa.Schema:
    """The canonical columns of a table as Arrow has them."""
    types = {"string": pa.string(), "int64": pa.int64(), "int32": pa.int32(), "boolean": pa.bool_()}
    return pa.schema([(c.name, types.get(c.type, pa.timestamp("us"))) for c in table.columns])


def completed(content: pa.Table, table: FactTable) -> pa.Table:
    """The canonical columns of a table, those that may be missing and are not there filled with nulls."""
    schema = arrow_schema(table)
    for column in table.columns:
        if column.name not in content.column_names and not column.required:
            content = content.append_column(column.name, pa.nulls(content.num_rows, schema.field(column.name).type))
    return content.select(schema.names).cast(schema)


def empty_table(table: FactTable) -> pa.Table:
    """A fact table without rows."""
    return arrow_schema(table).empty_table()


def _span(purchases: ir.Table) -> tuple[int, int]:
    """First local day with a purchase, and the day after the last; FactsMissing without any."""
    found = purchases.aggregate(first=purchases.local_day.min(), last=purchases.local_day.max()).to_pyarrow().to_pylist()[0]
    if found["first"] is None:
        raise FactsMissing("there is not a single purchase in these facts", remedy="import a source that has some")
    return found["first"], found["last"] + 1


def _write_parquet(table: ir.Table, schema: FactTable, path: Path) -> int:
    """Write a table in a fixed order, so that equal facts give equal bytes; returns the number of rows."""
    ordered = table.select(*(c.name for c in schema.columns)).order_by(*_order(schema))
    ordered.to_parquet(path, compression="zstd")
    row = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    return int(row[0]) if row else 0


def _order(schema: FactTable) -> list[str]:
    """A member's facts side by side, then by day, then by key; and by all the rest, so that no two rows may change places."""
    names = [column.name for column in schema.columns]
    return [*dict.fromkeys(name for name in ("member_id", "local_day", *schema.key, *names) if name in names)]


def _old(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")


def _replace(folder: Path, draft: Path) -> None:
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
