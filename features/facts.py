"""The facts folder: canonical tables as Parquet with a manifest, written whole or not at all, and opened for queries."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import ibis
from ibis import ir

from features.days import day_of, midnight
from features.errors import FactsMissing
from features.sources.schema import ITEMS, LINES, ORDERS, PURCHASES, STORED, FactTable

MANIFEST = "manifest.json"
FORMAT = 1


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
    """Facts of one shop, ready to be queried. `connection` is a private in-memory DuckDB that reads the tables."""

    manifest: Manifest
    connection: ibis.BaseBackend
    tables: Mapping[str, ir.Table]

    @classmethod
    def open(cls, folder: Path) -> "Facts":
        """The facts kept in a folder.

        Raises
        ------
        FactsMissing
            Nothing was imported into the folder, or by a version with another layout.
        """
        manifest = read_manifest(folder)
        connection = ibis.duckdb.connect()
        tables = {name: connection.read_parquet(folder / f"{name}.parquet", table_name=name) for name in manifest.rows}
        return cls(manifest, connection, tables)

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

    def before(self, as_of: datetime) -> dict[str, ir.Table]:
        """The fact tables cut to what lies before T, and the view of lines; members and items as they are."""
        naive = as_of.astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
        moment = ibis.literal(naive.isoformat(sep=" ")).cast("timestamp")
        cut = dict(self.tables)
        for table in (PURCHASES, ORDERS):
            cut[table.name] = self.tables[table.name].filter(self.tables[table.name].occurred_at < moment)
        cut[LINES.name] = _lines(cut[PURCHASES.name], self.tables[ITEMS.name])
        return cut


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a facts folder; FactsMissing if there is none that this version reads."""
    path = folder / MANIFEST
    if not path.exists():
        raise FactsMissing(f"there are no facts in {folder}", remedy='import some: "rapport import complete-journey"')
    content = json.loads(path.read_text())
    if content.get("format") != FORMAT:
        raise FactsMissing(f"the facts in {folder} were written by another version", remedy="import them again")
    return Manifest(**content)


def write(
    folder: Path, tables: Mapping[str, ir.Table], *, source: str, time_zone: str, currency: str, extras: Mapping[str, str]
) -> Manifest:
    """Write the canonical tables as a facts folder; what was there before is replaced only when all is written.

    Parameters
    ----------
    tables
        Every table of `features.sources.schema.STORED` but `orders`, which is summed here from `purchases`.
    extras
        Further text files to keep beside the facts, such as the cleaning report, by file name.
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
    for name, text in extras.items():
        (draft / name).write_text(text)
    purchases = whole[PURCHASES.name]
    span = purchases.aggregate(first=purchases.local_day.min(), last=purchases.local_day.max()).to_pyarrow().to_pylist()
    manifest = Manifest(
        source=source,
        time_zone=time_zone,
        currency=currency,
        first_day=span[0]["first"],
        until_day=span[0]["last"] + 1,
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
    known = purchases.filter(purchases.member_id.notnull())
    return known.group_by(by).agg(
        lines=known.count(),
        **{name: known[name].sum().cast("int64") for name in ("net_cents", "discount_cents", "coupon_cents")},
    )


def _lines(purchases: ir.Table, items: ir.Table) -> ir.Table:
    known = purchases.filter(purchases.member_id.notnull())
    return known.left_join(items, "item_id").select(*(column.name for column in LINES.columns))


def _write_parquet(table: ir.Table, schema: FactTable, path: Path) -> int:
    """Write a table in a fixed order, so that equal facts give equal bytes; returns the number of rows."""
    ordered = table.select(*(c.name for c in schema.columns)).order_by(*_order(schema))
    ordered.to_parquet(path, compression="zstd")
    row = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    return int(row[0]) if row else 0


def _order(schema: FactTable) -> list[str]:
    """A member's facts side by side, then by moment, then by key."""
    names = {column.name for column in schema.columns}
    return [*dict.fromkeys(name for name in ("member_id", "local_day", *schema.key) if name in names)]


def _replace(folder: Path, draft: Path) -> None:
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
