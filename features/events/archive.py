"""From files of entries to facts, each event once: by its id and its member, however often it was delivered or sent.

An event of a visitor is the member's whom the visitor was last known as before it, or became known as within three days
after it. Until then it waits. Which files are in the facts stands in the facts folder itself, so that both change together.
"""
# ruff: noqa: S608 -- names of our own files and columns

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from features.days import microseconds, moment_of
from features.erasures import Receipts
from features.errors import SourceError
from features.events.rows import ARCHIVED_TABLES, archive_rows
from features.events.schema import ANONYMOUS, event_of
from features.events.spool import SCHEMA, new_folder, write_events
from features.fact_tables import arrow_schema
from features.facts import connect
from features.facts_folder import ARCHIVED, Draft, Origin, every_bucket
from features.holidays import holiday_days
from features.manifest import ANONYMOUS as NOBODY
from features.manifest import Manifest, bucket_sql, hash_probe, read_manifest
from features.private_files import private_folder
from features.scratch import scratch_folder
from features.sources.schema import PURCHASES
from features.sql_text import parquet, text

WAITING_DAYS = 3
"""How long a visitor's events wait for the visitor to become known."""
ROWS_TOGETHER = 20_000
KEPT_BESIDE = ("quarantine.parquet", "cleaning.json")
ARCHIVE = pa.schema([*SCHEMA, ("whose", pa.string()), ("known_us", pa.int64())])
"""`whose` is the member whose event it is, or the anonymous id; `known_us` when that was known, null if at once."""


@dataclass(frozen=True, slots=True)
class Consolidated:
    """What became of entries: events new to the archive, entries seen before, visitors' that wait, those of erased members."""

    events: int = 0
    again: int = 0
    waiting: int = 0
    erased: int = 0


@dataclass(frozen=True, slots=True)
class Landed:
    """What came into the facts: events, and rows by table; events of erased members are left out."""

    events: int = 0
    rows: Mapping[str, int] | None = None
    erased: int = 0


def archive_folder(data_dir: Path) -> Path:
    """Where every event lies once."""
    return private_folder(private_folder(data_dir / "events") / "archive")


def consolidate(data_dir: Path, *, now: datetime, receipts: Receipts) -> Consolidated:
    """Bring the new entries on disk into the archive, each event once. Killed anywhere and run again, it comes to the same.

    Events of erased members are dropped: a producer that writes to Redis itself may bring some.
    """
    new = sorted(new_folder(data_dir).glob("*.parquet"))
    if not new:
        return Consolidated()
    there = sorted(archive_folder(data_dir).glob("*.parquet"))
    con = connect().con
    entries = int(con.execute(f"SELECT count(*) FROM {parquet(new)}").fetchall()[0][0])
    archived = _archived_sql(there, *con.sql(f"SELECT min(local_day), max(local_day) FROM {parquet(new)}").fetchall()[0])
    con.execute(_fresh_sql(new, archived))
    con.execute(_whose_sql(there), {"patience": WAITING_DAYS * 86_400_000_000})
    horizon = microseconds(now - timedelta(days=WAITING_DAYS))
    waits = f"whose IS NULL AND received_us >= {horizon}"
    waiting = con.sql(f"SELECT * FROM owned WHERE {waits}").to_arrow_table().select(SCHEMA.names).cast(SCHEMA)
    ready = con.sql(_ready_sql(f"NOT ({waits})", archived)).to_arrow_table()
    found = ready.num_rows
    ready = ready.filter(_kept(ready["whose"], receipts))
    if waiting.num_rows:
        write_events(new_folder(data_dir) / f"waiting-{len(there) + 1:06d}.parquet", waiting)
    if ready.num_rows:
        write_events(archive_folder(data_dir) / f"{_next_number(there):06d}.parquet", ready.select(ARCHIVE.names).cast(ARCHIVE))
    for path in new:
        if not waiting.num_rows or path.name != f"waiting-{len(there) + 1:06d}.parquet":
            path.unlink(missing_ok=True)
    return Consolidated(ready.num_rows, entries - found - waiting.num_rows, waiting.num_rows, found - ready.num_rows)


def land(data_dir: Path, *, receipts: Receipts) -> Landed:
    """Bring archived events that are not in the facts into them; the facts change whole or not at all.

    Raises
    ------
    FactsMissing
        There are no facts to add to.
    SourceError
        The events are another shop's, or the facts were spread by another version of DuckDB.
    """
    folder = data_dir / "facts"
    manifest = read_manifest(folder)
    in_facts = archived_files(folder)
    todo = [path for path in sorted(archive_folder(data_dir).glob("*.parquet")) if path.name not in in_facts]
    if not todo:
        return Landed()
    _require_same_shop(data_dir / "events" / "shop.json", manifest)
    with scratch_folder(data_dir, "events.scratch") as scratch:
        landing = _Landing(folder, manifest, scratch, receipts)
        try:
            return landing.run(todo, sorted({*in_facts, *(path.name for path in todo)}))
        finally:
            landing.draft.discard()


def archived_files(facts: Path) -> frozenset[str]:
    """Names of the files of the archive that are in the facts."""
    try:
        return frozenset(json.loads((facts / ARCHIVED).read_text()))
    except FileNotFoundError:
        return frozenset()


class _Landing:
    """One addition to the facts: rows by table in the scratch folder, then a draft that has them in their buckets."""

    def __init__(self, folder: Path, manifest: Manifest, scratch: Path, receipts: Receipts) -> None:
        self._manifest, self._scratch, self._receipts = manifest, scratch, receipts
        self._con = connect().con
        if manifest.hash_probe != hash_probe(self._con):
            raise SourceError(
                "these facts were spread over buckets by another version of DuckDB",
                remedy="import everything again: rapport import --again",
            )
        self.draft = Draft(folder, self._con, buckets=manifest.buckets, base=manifest)
        self._erased = self._events = 0

    def run(self, todo: list[Path], archived: list[str]) -> Landed:
        """All of it."""
        rows = self._write_rows(todo)
        for table in ARCHIVED_TABLES:
            for bucket in every_bucket(self._manifest.buckets) if rows[table.name] else ():
                here = f"SELECT * FROM {parquet(self._scratch / f'{table.name}.parquet')} WHERE {self._in(bucket)}"
                path = self.draft.write(table, here, bucket=bucket)
                if table is PURCHASES and path and bucket != NOBODY:
                    self.draft.write_orders(bucket, [path], anew=False, holidays=self._holidays())
        for name in KEPT_BESIDE:
            with suppress(FileNotFoundError):
                (self.draft.place / name).hardlink_to(self.draft.folder / name)
        self.draft.keep(ARCHIVED, json.dumps(archived))
        origin = Origin(**{name: getattr(self._manifest, name) for name in Origin.__dataclass_fields__})
        self.draft.finish(origin)
        return Landed(self._events, rows, self._erased)

    def _write_rows(self, todo: list[Path]) -> dict[str, int]:
        """Rows of the events, by table, into the scratch folder; returns how many."""
        writers = {
            table.name: pa.parquet.ParquetWriter(self._scratch / f"{table.name}.parquet", arrow_schema(table))
            for table in ARCHIVED_TABLES
        }
        counts = dict.fromkeys(writers, 0)
        try:
            for rows in self._chunks(todo):
                for table in ARCHIVED_TABLES:
                    content = pa.Table.from_pylist(rows.get(table.name, []), arrow_schema(table))
                    writers[table.name].write_table(content)
                    counts[table.name] += content.num_rows
        finally:
            for writer in writers.values():
                writer.close()
        return counts

    def _chunks(self, todo: list[Path]) -> Iterator[dict[str, list[dict[str, Any]]]]:
        """Rows by table, of some thousand events at a time."""
        zone = ZoneInfo(self._manifest.time_zone)
        for path in todo:
            for batch in pa.parquet.ParquetFile(path).iter_batches(ROWS_TOGETHER, columns=["event", "whose", "known_us"]):
                rows: dict[str, list[dict[str, Any]]] = {}
                for event, whose, known_us in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if self._receipts.of(whose) is not None:
                        self._erased += 1
                        continue
                    self._events += 1
                    known_from = None if known_us is None else moment_of(known_us)
                    found = archive_rows(event_of(event), zone=zone, member_id=whose, known_from=known_from)
                    for name, made in found.items():
                        rows.setdefault(name, []).extend(made)
                yield rows

    def _in(self, bucket: int) -> str:
        return f"{bucket_sql(self._manifest.buckets)} = {bucket}"

    def _holidays(self) -> frozenset[int] | None:
        """Holidays on the days of the new purchases."""
        found = self._con.execute(
            f"SELECT min(local_day), max(local_day) FROM {parquet(self._scratch / f'{PURCHASES.name}.parquet')}"
        ).fetchall()[0]
        return holiday_days(self._manifest.country, self._manifest.holidays, first_day=found[0], last_day=found[1])


def erase_events(data_dir: Path, members: list[str]) -> int:
    """Take members out of every file of events; returns how many events. Each file is the old one or the new one."""
    erased, paths = 0, sorted((data_dir / "events").glob("*/*.parquet"))
    if not paths:
        return 0
    con = connect().con
    gone = f"[{', '.join(map(text, members))}]"
    for path in paths:
        content = pa.parquet.read_table(path)
        columns = [name for name in ("subject", "member_id", "whose") if name in content.column_names]
        theirs = " OR ".join(f"coalesce(list_contains({gone}, {name}), false)" for name in columns)
        kept = con.sql(f"SELECT * FROM {parquet(path)} WHERE NOT ({theirs})").to_arrow_table().cast(content.schema)
        if kept.num_rows < content.num_rows:
            erased += content.num_rows - kept.num_rows
            write_events(path, kept)
    return erased


def _archived_sql(there: list[Path], first_day: int, last_day: int) -> str:
    """What the archive holds of some local days; empty for no archive. Rows of a file are in order of days."""
    return f"(SELECT * FROM {parquet(there)} WHERE local_day BETWEEN {first_day} AND {last_day})" if there else ""


def _fresh_sql(new: list[Path], archived: str) -> str:
    """The table `fresh`: new events, each once, the first that came, without those that are in the archive."""
    one = f"SELECT * FROM {parquet(new)} QUALIFY row_number() OVER (PARTITION BY subject, event_id, local_day ORDER BY entry_ms, entry_no, received_us) = 1"  # noqa: E501
    anti = f" ANTI JOIN {archived} USING (subject, event_id, local_day)" if archived else ""
    return f"CREATE TEMP TABLE fresh AS SELECT * FROM ({one}){anti}"


def _whose_sql(there: list[Path]) -> str:
    """The table `owned`: fresh events with `whose`, null where nobody knows yet, and `known_us`."""
    known = "SELECT visitor, member_id, occurred_us, received_us FROM {} WHERE member_id IS NOT NULL AND visitor IN (SELECT visitor FROM unknown)"  # noqa: E501
    pairs = " UNION ALL ".join(known.format(source) for source in ("fresh", *([parquet(there)] if there else [])))
    return f"""
        CREATE TEMP TABLE owned AS
        WITH unknown AS MATERIALIZED (SELECT DISTINCT visitor FROM fresh WHERE member_id IS NULL AND visitor IS NOT NULL),
        pairs AS ({pairs}),
        before AS (
            SELECT f.subject, f.event_id, f.local_day, arg_max(p.member_id, (p.occurred_us, p.member_id)) AS member
            FROM fresh f JOIN pairs p ON p.visitor = f.visitor AND p.occurred_us <= f.occurred_us
            WHERE f.member_id IS NULL GROUP BY ALL),
        after AS (
            SELECT f.subject, f.event_id, f.local_day, arg_min(p.member_id, (p.occurred_us, p.member_id)) AS member,
                   arg_min(p.received_us, (p.occurred_us, p.member_id)) AS known_us
            FROM fresh f JOIN pairs p
              ON p.visitor = f.visitor AND p.occurred_us > f.occurred_us AND p.occurred_us - f.occurred_us <= $patience
            WHERE f.member_id IS NULL GROUP BY ALL)
        SELECT fresh.*, coalesce(fresh.member_id, before.member, after.member) AS whose,
               CASE WHEN fresh.member_id IS NULL AND before.member IS NULL THEN after.known_us END AS known_us
        FROM fresh LEFT JOIN before USING (subject, event_id, local_day) LEFT JOIN after USING (subject, event_id, local_day)
    """


def _ready_sql(is_ready: str, archived: str) -> str:
    """Events that have their member, each once by its member as well: sent before and after a login, it has two subjects.

    The one that names the member is kept: it may be all that tells who the visitor is.
    """
    whose = f"SELECT * REPLACE (coalesce(whose, subject) AS whose) FROM owned WHERE {is_ready}"
    one = f"SELECT * FROM ({whose}) QUALIFY row_number() OVER (PARTITION BY whose, event_id, local_day ORDER BY member_id IS NULL, entry_ms, entry_no) = 1"  # noqa: E501
    anti = f" ANTI JOIN {archived} USING (whose, event_id, local_day)" if archived else ""
    return f"SELECT * FROM ({one}){anti} ORDER BY local_day, whose, event_id"


def _kept(members: pa.ChunkedArray, receipts: Receipts) -> pa.Array:
    """Of each row whether its member may be kept."""
    erased = [member for member in pa.compute.unique(members).to_pylist() if receipts.of(member) is not None]
    return pa.compute.invert(pa.compute.is_in(members, pa.array(erased, pa.string())))


def _next_number(there: list[Path]) -> int:
    return 1 + max((int(path.stem) for path in there), default=0)


def _require_same_shop(path: Path, manifest: Manifest) -> None:
    """Raise SourceError if the events on disk were first brought into another shop's facts."""
    shop = {"source": manifest.source, "time_zone": manifest.time_zone, "currency": manifest.currency}
    if not path.exists():
        path.write_text(json.dumps(shop))
    before = json.loads(path.read_text())
    if before != shop:
        raise SourceError(
            f"the archived events are of {before['source']}, and the facts are of {manifest.source}",
            remedy=f"move {path.parent} away, or import the facts of {before['source']} again",
        )


assert ANONYMOUS == "anon-"  # noqa: S101 # as the identities of facts have it
