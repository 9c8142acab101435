"""Landing: canonical tables through the door and the cleaning into a facts folder. Every source ends here.

Members are spread over buckets first, and each bucket is cleaned and written alone, so that the memory needed does not
grow with the shop. An import may add to what is there: rows that are there already are duplicates, rows of orders that
are there already are cleaned together with them, and other buckets' files stay as they are.
"""
# ruff: noqa: S608 -- names of tables and columns from the schema

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
from ibis import ir

from features.cleaning import STANDARD, CleaningReport, Policy, RuleCount, clean, item_spellings, require_publishable
from features.errors import SourceError
from features.fact_tables import empty_table
from features.facts import connect
from features.facts_folder import WHO_IS_WHO, Draft, Origin, buckets_for, every_bucket
from features.holidays import holiday_days
from features.identity import write_resolution
from features.manifest import ANONYMOUS, BUCKETED, Manifest, bucket_name, bucket_sql, hash_probe
from features.scratch import scratch_folder
from features.sources.door import admit
from features.sources.membership import (
    KNOWN_FROM,
    MOVING,
    Identification,
    as_it_came,
    assigned,
    ever_known,
    membership,
    midnights,
)
from features.sources.schema import IDENTITIES, ITEMS, ORDERS, PURCHASES, STORED, FactTable
from features.sql_text import parquet, text

WHOLE = tuple(table for table in STORED if table not in BUCKETED)
QUARANTINE = "quarantine.parquet"
REPORT = "cleaning.json"
MEMORY_MB = 2048


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import left behind. The report is about the rows of this import, not those that were there before."""

    manifest: Manifest
    report: CleaningReport


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a source hands over.

    Attributes
    ----------
    tables
        By name, all but `orders`; those that the source does not have may be left out. Purchases may carry one more
        column `file`, which tells identical lines of two overlapping exports from two equal lines of one.
    unreadable, unreadable_counts
        Purchases that the source could not read, with the `reason` each, and how many for which reason.
    identification
        How identifiers lead to members, if there are some.
    cleaning, latest
        The shop's own severities and thresholds; the last moment, UTC without a zone, at which a purchase can have happened.
    """

    tables: Mapping[str, ir.Table]
    origin: Origin
    unreadable: ir.Table | None = None
    unreadable_counts: tuple[RuleCount, ...] = field(default=())
    identification: Identification | None = None
    cleaning: Policy = STANDARD
    latest: datetime | None = None


def land(folder: Path, incoming: Incoming, *, base: Manifest | None = None) -> Imported:
    """Check, clean and write canonical tables; what was in the folder before is replaced only when all is written.

    Parameters
    ----------
    base
        The manifest of the facts in the folder, to add to them; None replaces them.

    Raises
    ------
    SchemaMismatch
        A table does not have the columns and types of its schema.
    """
    with scratch_folder(folder.parent, f"{folder.name}.scratch") as scratch:
        landing = _Landing(folder, incoming, base, scratch)
        try:
            return landing.run()
        finally:
            landing.draft.discard()


class _Landing:
    """One import: its tables in the scratch folder, split by bucket, and the draft it writes."""

    def __init__(self, folder: Path, incoming: Incoming, base: Manifest | None, scratch: Path) -> None:
        self.incoming, self.scratch, self.base = incoming, scratch, base
        self.tables = dict(incoming.tables)
        self._links = False
        self.backend = connect(memory_mb=MEMORY_MB, scratch=scratch)
        lines = self.tables[PURCHASES.name].count().to_pyarrow().as_py() if PURCHASES.name in self.tables else 0
        self.buckets = base.buckets if base else buckets_for(lines)
        if base and base.hash_probe != hash_probe(self.backend.con):
            raise SourceError(
                "these facts were spread over buckets by another version of DuckDB",
                remedy="import everything again: rapport import --again",
            )
        self._resum: set[int] = set()
        self.holidays: frozenset[int] | None = None
        self.draft = Draft(folder, self.backend.con, buckets=self.buckets, base=base)

    def run(self) -> Imported:
        """All of it."""
        for schema in WHOLE:
            self._write_whole(schema)
        self._find_members()
        for schema in BUCKETED:
            if schema.name in self.tables:
                self._split(schema)
        self._links = PURCHASES.name in self.tables and KNOWN_FROM in self.tables[PURCHASES.name].columns
        self.tables.clear()
        self.holidays = self._holidays()
        items = self.backend.read_parquet(self.draft.place / f"{ITEMS.name}.parquet", table_name="catalogue")
        report = CleaningReport.of_unreadable(self.incoming.unreadable_counts)
        spellings = self._spellings(items)
        for bucket in every_bucket(self.buckets):
            report += self._land_purchases(bucket, items, spellings)
            for schema in BUCKETED:
                if schema not in (PURCHASES, ORDERS):
                    self._land_keyed(schema, bucket)
        require_publishable(report, self.incoming.cleaning)
        self._write_quarantine()
        self.draft.keep(REPORT, report.to_json())
        return Imported(self.draft.finish(self.incoming.origin), report)

    def _write_whole(self, schema: FactTable) -> None:
        """A table that is not in buckets: what is new stands in place of what has the same key."""
        parts = []
        if self.base is not None:
            parts.append(f"SELECT *, 1 AS age FROM {parquet(self.draft.place / f'{schema.name}.parquet')}")
        if schema.name in self.tables:
            path = self.scratch / f"{schema.name}.parquet"
            _admitted(self.tables[schema.name], schema).to_parquet(path)
            parts.append(f"SELECT *, 0 AS age FROM {parquet(path)}")
        if not parts:
            empty = self.scratch / f"{schema.name}.parquet"
            ibis.memtable(empty_table(schema)).to_parquet(empty)
            parts.append(f"SELECT *, 0 AS age FROM {parquet(empty)}")
        together = " UNION ALL BY NAME ".join(f"({part})" for part in parts)
        copy = self.scratch / f"{schema.name}-all.parquet"
        order = ", ".join(["age", *(f"CAST({c.name} AS VARCHAR)" for c in schema.columns)])
        first = (
            f"SELECT * FROM ({together}) QUALIFY row_number() OVER (PARTITION BY {', '.join(schema.key)} ORDER BY {order}) = 1"
        )
        self.backend.con.execute(f"COPY ({first}) TO {text(copy)} (FORMAT parquet)")
        self.draft.write(schema, f"SELECT * FROM {parquet(copy)}")

    def _find_members(self) -> None:
        """Exchange identifiers for members, and move histories that turn out to be another member's."""
        if self.incoming.identification is None:
            return
        before = self.draft.folder if self.base is not None else None
        found = membership(self.draft.place / f"{IDENTITIES.name}.parquet", self.incoming.identification, before=before)
        zone = ZoneInfo(self.incoming.origin.time_zone)
        self.tables = assigned(self.tables, found.resolution, zone)
        for name in WHO_IS_WHO:  # these may be the very files of the facts that are added to
            (self.draft.place / name).unlink(missing_ok=True)
        write_resolution(self.draft.place, found.resolution)
        if found.moved.num_rows:
            self._move(found.moved, zone)

    def _move(self, moved: pa.Table, zone: ZoneInfo) -> None:
        """Take rows out from under old ids and put them under the new ones, in whatever buckets these are."""
        self.backend.con.register("moved_days", moved)
        self.backend.con.register("link_midnights", midnights(moved["linked_day"], zone))
        self.backend.con.execute(
            f"CREATE OR REPLACE TEMP TABLE moved_members AS SELECT moved_days.*, {KNOWN_FROM} "
            "FROM moved_days LEFT JOIN link_midnights USING (linked_day)"
        )
        for schema in (table for table in BUCKETED if table is not ORDERS):
            files = [path for bucket in range(self.buckets) for path in self.draft.files_of(schema, bucket)]
            if not files:
                continue
            columns = ", ".join(MOVING.get(c.name, c.name) for c in schema.columns)
            target = self.scratch / f"moved-{schema.name}.parquet"
            found = f"SELECT {columns} FROM {self.draft.reading(files)} AS kept JOIN moved_members ON member_id = old_member_id"
            self.backend.con.execute(f"COPY ({ever_known(found, schema)}) TO {text(target)} (FORMAT parquet)")
            for bucket in range(self.buckets):
                if self._take_out(schema, bucket):
                    self._resum.add(bucket)
                arriving = f"SELECT * FROM {parquet(target)} WHERE {bucket_sql(self.buckets)} = {bucket}"
                if self.draft.write(schema, arriving, bucket=bucket):
                    self._resum.add(bucket)

    def _take_out(self, schema: FactTable, bucket: int) -> bool:
        """Write a bucket anew without the rows of members that moved; False if it has none."""
        files = self.draft.files_of(schema, bucket)
        if not files:
            return False
        there = self.draft.reading(files)
        if not self._number(f"SELECT count(*) FROM {there} SEMI JOIN moved_members ON member_id = old_member_id"):
            return False
        kept = self.scratch / f"kept-{schema.name}-{bucket_name(bucket)}.parquet"
        staying = f"SELECT * FROM {there} ANTI JOIN moved_members ON member_id = old_member_id"
        self.backend.con.execute(f"COPY ({staying}) TO {text(kept)} (FORMAT parquet)")
        self.draft.write(schema, f"SELECT * FROM {parquet(kept)}", bucket=bucket, anew=True)
        return True

    def _split(self, schema: FactTable) -> None:
        """The rows of a table, by bucket, into the scratch folder: one folder `bucket=n` each."""
        table = _admitted(self.tables[schema.name], schema)
        rows = f"SELECT *, {bucket_sql(self.buckets)} AS bucket FROM ({ibis.to_sql(table)})"
        connection = table.get_backend().con
        connection.execute(
            f"COPY ({rows}) TO {text(self.scratch / schema.name)} (FORMAT parquet, PARTITION_BY (bucket), COMPRESSION lz4)"
        )

    def _incoming(self, schema: FactTable, bucket: int) -> str:
        """Pattern of the files that hold the new rows of a bucket; empty if there are none."""
        place = self.scratch / schema.name / f"bucket={bucket}"
        return f"{place}/*.parquet" if place.exists() else ""

    def _spellings(self, items: ir.Table) -> ir.Table | None:
        """How items are spelled, by all that comes in and all that is there, so that every bucket spells them alike."""
        parts = [f"SELECT item_id FROM {parquet(files)}" for files in self._every_incoming()]
        there = [path for bucket in every_bucket(self.buckets) for path in self.draft.files_of(PURCHASES, bucket)]
        if not parts:
            return None
        if there:
            parts.append(f"SELECT item_id FROM {self.draft.reading(there)}")
        self.backend.con.execute(f"CREATE OR REPLACE TEMP VIEW every_item AS {' UNION ALL '.join(parts)}")
        return item_spellings(self.backend.table("every_item"), items).cache()

    def _every_incoming(self) -> list[str]:
        """Patterns of the files with new purchases of every bucket that has some."""
        return [files for bucket in every_bucket(self.buckets) if (files := self._incoming(PURCHASES, bucket))]

    def _land_purchases(self, bucket: int, items: ir.Table, spellings: ir.Table | None) -> CleaningReport:
        new = self._incoming(PURCHASES, bucket)
        if not new:
            self._sum_orders(bucket, "", anew=bucket in self._resum)
            return CleaningReport()
        files, before = self._with_orders_there(new, bucket)
        purchases = self.backend.read_parquet(files, table_name=f"incoming_{bucket_name(bucket)}", hive_partitioning=False)
        cleaned = clean(
            purchases,
            items,
            policy=self.incoming.cleaning,
            line_key=self.incoming.origin.line_key,
            latest=self.incoming.latest,
            spellings=spellings,
            earlier=None if before else self._earlier(bucket),
        )
        cleaned.set_aside.to_parquet(self.scratch / f"set_aside-{bucket_name(bucket)}.parquet")
        accepted = ever_known(str(ibis.to_sql(cleaned.accepted)), PURCHASES)
        path = self.draft.write(PURCHASES, accepted, bucket=bucket, anew=before > 0)
        self._sum_orders(bucket, path, anew=before > 0 or bucket in self._resum)
        return cleaned.report.without(before)

    def _earlier(self, bucket: int) -> ir.Table | None:
        """What a bucket holds already, for returns of what was bought then."""
        files = [self.draft.place / path for path in self.draft.files_of(PURCHASES, bucket)]
        return self.backend.read_parquet(files, table_name=f"earlier_{bucket_name(bucket)}") if files else None

    def _sum_orders(self, bucket: int, path: str, *, anew: bool) -> None:
        if bucket != ANONYMOUS and (path or anew):
            files = self.draft.files_of(PURCHASES, bucket) if anew else [path]
            self.draft.write_orders(bucket, files, anew=anew, holidays=self.holidays)

    def _holidays(self) -> frozenset[int] | None:
        """Holidays on the days of all purchases that orders may be summed from."""
        origin = self.incoming.origin
        parts = [f"SELECT local_day FROM {parquet(files)}" for files in self._every_incoming()]
        if self.base is not None:
            parts.append(f"SELECT unnest([{self.base.first_day}, {self.base.until_day}]) AS local_day")
        if not parts:
            return None
        span = f"SELECT min(local_day), max(local_day) FROM ({' UNION ALL '.join(parts)}) WHERE abs(local_day) < 100_000"
        first, last = self.backend.con.execute(span).fetchall()[0]
        return None if first is None else holiday_days(origin.country, origin.holidays, first_day=first, last_day=last)

    def _with_orders_there(self, new: str, bucket: int) -> tuple[str, int]:
        """New rows of a bucket; with all that it has if some are about orders that it has. And how many it has, then."""
        files = self.draft.files_of(PURCHASES, bucket)
        if not files:
            return new, 0
        there, fresh = self.draft.reading(files), f"(SELECT * FROM {parquet(new)})"
        if not self._number(f"SELECT count(*) FROM {there} WHERE order_id IN (SELECT order_id FROM {fresh})"):
            return new, 0
        if self.incoming.origin.line_key == "content":
            old = f"SELECT *, '' AS file FROM {there}"
        else:
            old = as_it_came(there, fresh) if self._links else f"SELECT * FROM {there}"
        copy = self.scratch / f"together-{bucket_name(bucket)}.parquet"
        together = f"{old} UNION ALL BY NAME SELECT * FROM {fresh}"
        self.backend.con.execute(f"COPY ({together}) TO {text(copy)} (FORMAT parquet)")
        return str(copy), self._number(f"SELECT count(*) FROM {there}")

    def _land_keyed(self, schema: FactTable, bucket: int) -> None:
        """New rows of a table with a key, each key once, without those that are there."""
        new = self._incoming(schema, bucket)
        if not new:
            return
        key, order = ", ".join(schema.key), ", ".join(f"CAST({c.name} AS VARCHAR)" for c in schema.columns)
        rows = f"SELECT * FROM {parquet(new)} QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
        files = self.draft.files_of(schema, bucket)
        if files:
            same = " AND ".join(f"there.{name} IS NOT DISTINCT FROM fresh.{name}" for name in schema.key)
            rows = f"SELECT * FROM ({rows}) AS fresh ANTI JOIN {self.draft.reading(files)} AS there ON {same}"
        self.draft.write(schema, rows, bucket=bucket)

    def _write_quarantine(self) -> None:
        """Every row set aside, of this import and of those before."""
        names = [*(column.name for column in PURCHASES.columns), "reason"]
        parts = [f"SELECT {', '.join(f'NULL AS {name}' for name in names)} LIMIT 0"]
        files: list[Path] = sorted(self.scratch.glob("set_aside-*.parquet"))
        if self.incoming.unreadable is not None:
            files.append(self.scratch / "unreadable.parquet")
            self.incoming.unreadable.to_parquet(files[-1])
        before = self.draft.folder / QUARANTINE
        if self.base is not None and before.exists():
            files.append(before)
        parts += [f"SELECT * FROM {parquet(path)}" for path in files]
        together = " UNION ALL BY NAME ".join(f"({part})" for part in parts)
        target = text(self.draft.place / QUARANTINE)
        rows = f"SELECT {', '.join(names)} FROM ({together}) ORDER BY ALL"
        self.backend.con.execute(f"COPY ({rows}) TO {target} (FORMAT parquet, COMPRESSION zstd)")

    def _number(self, query: str) -> int:
        return int(self.backend.con.execute(query).fetchall()[0][0])


def _admitted(table: ir.Table, schema: FactTable) -> ir.Table:
    also = [name for name in ("file", KNOWN_FROM) if schema is PURCHASES and name in table.columns]
    return admit(_completed(table, schema), schema, also=tuple(also))


def _completed(table: ir.Table, schema: FactTable) -> ir.Table:
    """The table with every optional column that its source does not have, empty."""
    types = {"string": "string", "int64": "int64", "int32": "int32", "timestamp": "timestamp", "boolean": "boolean"}
    absent = [c for c in schema.columns if not c.required and c.name not in table.columns]
    return table.mutate(**{c.name: ibis.null(types[c.type]) for c in absent}) if absent else table
