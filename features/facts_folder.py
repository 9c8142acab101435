"""Writing a facts folder: a draft beside it that shares the files that stay, put in its place whole or not at all."""
# ruff: noqa: S608 -- names of tables and columns from the schema

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.cleaning_rules import LineKey
from features.fact_tables import no_rows_sql
from features.facts import capabilities_since, span
from features.identity import ALIASES_FILE, REVIEW_FILE
from features.manifest import ANONYMOUS, BUCKETED, MANIFEST, Manifest, bucket_name, hash_probe
from features.orders import orders_sql
from features.put_in_place import put_in_place
from features.sources.schema import ORDERS, PURCHASES, STORED, FactTable
from features.sql_text import parquet, text

ROWS_A_BUCKET = 2_000_000
"""Purchase lines of one bucket when a shop is imported; see benchmarks/README.md for what it is weighed against."""
ROWS_A_GROUP = 40_960
"""Rows of a row group, the least that is read for a day: a week or so of a bucket. Parquet's usual 122,880 are a month."""
MOST_BUCKETS = 256
WHO_IS_WHO = (ALIASES_FILE, REVIEW_FILE)
ARCHIVED = "archived.json"
"""Which files of archived events are in the facts. Facts that are replaced have none: `rapport archive` brings all in again."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where facts come from: what the manifest says about them that no row can."""

    source: str
    time_zone: str
    currency: str
    files: dict[str, str]
    mapping_hash: str = ""
    line_key: LineKey = "number"
    country: str = ""
    holidays: tuple[str, ...] = ()


class Draft:
    """A facts folder in the making, with the DuckDB connection that writes it.

    Parameters
    ----------
    con
        Reads what is to be written. Queries handed over are in its words.
    base
        The manifest of the folder that is added to; None begins with nothing.
    """

    def __init__(self, folder: Path, con: Any, *, buckets: int, base: Manifest | None = None) -> None:
        self.folder, self.con, self.buckets, self.base = folder, con, buckets, base
        self.place = folder.with_name(f"{folder.name}.writing")
        self.sequence = 1 if base is None else base.sequence + 1
        self._hashes: dict[str, str] = {}
        shutil.rmtree(self.place, ignore_errors=True)
        for table in BUCKETED:
            (self.place / table.name).mkdir(parents=True)
        for path in base.sha256 if base else ():
            os.link(folder / path, self.place / path)
            self._hashes[path] = base.sha256[path] if base else ""
        for name in (*WHO_IS_WHO, ARCHIVED) if base else ():
            if (folder / name).exists():
                os.link(folder / name, self.place / name)

    def write(self, table: FactTable, query: str, *, bucket: int | None = None, anew: bool = False) -> str:
        """Write the rows of a query as a table, or as one more file of a bucket of it; returns its path, "" without rows.

        Parameters
        ----------
        anew
            The file stands in place of all that the bucket has, instead of beside it.
        """
        if bucket is None:
            path = f"{table.name}.parquet"
            (self.place / path).unlink(missing_ok=True)
        else:
            path = self._unused(f"{table.name}/{bucket_name(bucket)}-{self.sequence:06d}")
            for old in self.files_of(table, bucket) if anew else ():
                (self.place / old).unlink()
                del self._hashes[old]
        columns = ", ".join(column.name for column in table.columns)
        order = ", ".join(_order(table))
        target = self.place / path
        written = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROWS_A_GROUP}"
        self.con.execute(f"COPY (SELECT {columns} FROM ({query}) ORDER BY {order}) TO {text(target)} ({written})")
        if bucket is not None and not self._rows([path]):
            target.unlink()
            return ""
        self._hashes[path] = _sha256(target)
        return path

    def _unused(self, start: str) -> str:
        numbers = (f"{start}.{number}.parquet" for number in itertools.count(2))
        return next(path for path in itertools.chain([f"{start}.parquet"], numbers) if path not in self._hashes)

    def write_orders(self, bucket: int, files: list[str], *, anew: bool, holidays: Collection[int] | None = None) -> None:
        """Sum orders from purchases of a bucket.

        Parameters
        ----------
        files
            Those of the draft to sum from: new ones, whose orders are in no other; or, with `anew`, all of the bucket.
        """
        rows = orders_sql(self.reading(files), holidays) if files else no_rows_sql(ORDERS)
        self.write(ORDERS, rows, bucket=bucket, anew=anew)

    def files_of(self, table: FactTable, bucket: int) -> list[str]:
        """Paths of a bucket's files, as they now stand in the draft."""
        start = f"{table.name}/{bucket_name(bucket)}-"
        return sorted(path for path in self._hashes if path.startswith(start))

    def reading(self, files: list[str]) -> str:
        """A query in parentheses that reads files of the draft."""
        return f"(SELECT * FROM {parquet(self.place / path for path in files)})"

    def keep(self, name: str, content: str) -> None:
        """A text beside the facts, such as the cleaning report."""
        (self.place / name).unlink(missing_ok=True)
        (self.place / name).write_text(content)

    def finish(self, origin: Origin) -> Manifest:
        """Put the draft in the place of the folder, and return its manifest.

        Raises
        ------
        FactsMissing
            There is not a single purchase in it.
        """
        for table in STORED:
            self.con.execute(f"CREATE OR REPLACE TEMP VIEW {table.name} AS {self._everything(table)}")
        first_day, until_day = span(self.con, PURCHASES.name)
        manifest = Manifest(
            **asdict(origin),
            first_day=first_day,
            until_day=until_day,
            rows={table.name: self._rows(self._paths(table)) for table in STORED},
            sha256=dict(sorted(self._hashes.items())),
            hash=hashlib.sha256(json.dumps(self._hashes, sort_keys=True).encode()).hexdigest(),
            buckets=self.buckets,
            hash_probe=hash_probe(self.con),
            since=capabilities_since(self.con),
            sequence=self.sequence,
        )
        (self.place / MANIFEST).unlink(missing_ok=True)
        (self.place / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2))
        put_in_place(self.place, self.folder)
        return manifest

    def discard(self) -> None:
        """Remove what was not put in place; nothing once it was."""
        shutil.rmtree(self.place, ignore_errors=True)

    def _everything(self, table: FactTable) -> str:
        files = self._paths(table)
        return f"SELECT * FROM {self.reading(files)}" if files else no_rows_sql(table)

    def _paths(self, table: FactTable) -> list[str]:
        if table not in BUCKETED:
            return [f"{table.name}.parquet"]
        return [path for path in self._hashes if path.startswith(f"{table.name}/")]

    def _rows(self, files: list[str]) -> int:
        if not files:
            return 0
        paths = ", ".join(text(self.place / path) for path in files)
        found = self.con.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata([{paths}])").fetchall()[0]
        return int(found[0])


def buckets_for(lines: int) -> int:
    """How many buckets to spread members over, for so many purchase lines: a power of two."""
    buckets = 1
    while buckets < MOST_BUCKETS and lines > buckets * ROWS_A_BUCKET:
        buckets *= 2
    return buckets


def every_bucket(buckets: int) -> list[int]:
    """The buckets of members, and that of nobody."""
    return [*range(buckets), ANONYMOUS]


def _order(table: FactTable) -> list[str]:
    """Day by day, then a member's facts side by side: a slice of days is a slice of the file. No two rows may change places."""
    names = [column.name for column in table.columns]
    rest = [] if table in (PURCHASES, ORDERS) else names
    versions = [name for name in ("recorded_at", "net_cents", "item_id", "channel", "store_id") if name in names]
    return [*dict.fromkeys(name for name in ("local_day", "member_id", *table.key, *versions, *rest) if name in names)]


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
