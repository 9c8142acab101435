"""Whose a row is: identifiers in purchases and events exchanged for the member they lead to, and histories that move."""
# ruff: noqa: S608 -- names of tables and columns from the schema

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute
from ibis import ir

from features.days import midnight, naive_utc
from features.errors import FactsMissing, SourceError
from features.identifiers import MEMBER, canonical_kind
from features.identity import Moves, Resolution, moves, read_resolution, resolve
from features.identity_policy import IdentityPolicy
from features.identity_rows import member_of
from features.manifest import BUCKETED
from features.sources.schema import EVENTS, ORDERS, PURCHASES, FactTable
from features.sources.shaping import IDENTIFIER

MOVED = pa.schema([("old_member_id", pa.string()), ("new_member_id", pa.string()), ("linked_day", pa.int32())])
KNOWN_FROM = "known_from"
"""Column of purchases: midnight after the day on which a link made them their member's; null where no link had to be learned.

It becomes part of `recorded_at` only once the cleaning has told the versions of a line apart by when they were recorded.
"""

_LATER = f"CASE WHEN linked_day > local_day THEN greatest(recorded_at, {KNOWN_FROM}) ELSE recorded_at END"
MOVING = {"member_id": "new_member_id AS member_id", "recorded_at": f"{_LATER} AS recorded_at"}
"""What changes in rows that move: their member, and that nobody knew them to be that member's before the link was made."""


class HistoriesDivide(SourceError):
    """A new observation takes an identifier out of a person: rows kept under that person's id have to be read again."""

    code = "histories_divide"


@dataclass(frozen=True, slots=True)
class Identification:
    """How identifiers lead to members: the shop's policy, and what tells the key they were hashed with."""

    policy: IdentityPolicy
    key_check: str = ""


@dataclass(frozen=True, slots=True)
class Membership:
    """Who is who by all observations so far, and which histories that are kept belong to another id from now on.

    `moved` has the columns `old_member_id`, `new_member_id` and `linked_day`: the day by which that could be known.
    """

    resolution: Resolution
    moved: pa.Table


def membership(identities: Path, identification: Identification, *, before: Path | None) -> Membership:
    """Who is who by the observations in a file.

    Parameters
    ----------
    before
        The facts folder that is added to, whose histories may have to move.

    Raises
    ------
    HistoriesDivide
        Adding is not enough.
    """
    resolution = resolve(identities, identification.policy, key_check=identification.key_check)
    kept = _resolution_in(before)
    if kept is None:
        return Membership(resolution, MOVED.empty_table())
    changed = moves(kept, resolution)
    if changed.splits.num_rows:
        raise HistoriesDivide(
            f"{changed.splits.num_rows:,} identifiers turn out to be another person's",
            remedy="read everything again: rapport import --mapping … --again",
        )
    return Membership(resolution, _with_days(changed, kept, resolution))


def assigned(tables: Mapping[str, ir.Table], resolution: Resolution, zone: ZoneInfo) -> dict[str, ir.Table]:
    """The tables with the member that each row's identifiers, or its member id itself, lead to.

    A row that is its member's only by a link made on a later day was not known to be so before: events are recorded from the
    midnight after that day at the earliest, and purchases have it as `KNOWN_FROM`.
    """
    found = dict(tables)
    merged = _has_merged(resolution)
    for schema in BUCKETED:
        table = found.get(schema.name)
        if table is None or schema is ORDERS:
            continue
        kinds = {name.removeprefix(IDENTIFIER): name for name in table.columns if name.startswith(IDENTIFIER)}
        if not kinds and not merged:
            continue
        table = _with_one_member_id(table, kinds)
        backend = table.get_backend()
        relation = backend.con.sql(str(backend.compile(table)))
        rows = member_of(backend.con, relation, {**kinds, "member": "member_id"}, resolution).rows
        backend.con.register("link_midnights", midnights(resolution.aliases["linked_day"], zone))
        rows = _with_moments(rows, schema)
        backend.con.execute(f"DROP TABLE IF EXISTS assigned_{schema.name}")
        rows.create(f"assigned_{schema.name}")
        found[schema.name] = backend.table(f"assigned_{schema.name}")
    return found


def _with_one_member_id(table: ir.Table, kinds: dict[str, str]) -> ir.Table:
    """The table with the member id that stands among a row's identifiers where its own column has none; no such kind then."""
    for kind in [kind for kind in kinds if canonical_kind(kind) == MEMBER]:
        column = table[kinds.pop(kind)]
        table = table.mutate(member_id=ibis.coalesce(table.member_id, column.nullif(""))).drop(column.get_name())
    return table


def midnights(days: pa.ChunkedArray, zone: ZoneInfo) -> pa.Table:
    """For each different day the midnight after it, UTC without a zone: columns `linked_day` and `known_from`."""
    different = sorted({day for day in days.to_pylist() if day is not None})
    after = [naive_utc(midnight(day + 1, zone)) for day in different]
    return pa.table({"linked_day": pa.array(different, pa.int32()), KNOWN_FROM: pa.array(after, pa.timestamp("us"))})


def ever_known(rows: str, schema: FactTable) -> str:
    """The query without purchases that were corrected before they could be known: those are there for no moment."""
    if schema is not PURCHASES:
        return rows
    return f"SELECT * FROM ({rows}) WHERE superseded_at IS NULL OR recorded_at IS NULL OR superseded_at > recorded_at"


def as_it_came(there: str, fresh: str) -> str:
    """The query for purchases that are there, those among them that come again recorded when the source says.

    A link learned later had put off that moment; for the cleaning they are the same version of the same line. Each has its
    `KNOWN_FROM` back, so that they come out as they were. Both are queries in parentheses.
    """
    columns = [c.name for c in PURCHASES.columns if c.name not in {"recorded_at", "superseded_at"}]
    compared = (name for name in columns if name not in {"item_id", "quantity"})  # which cleaning may have changed
    same = " AND ".join(f"there.{name} IS NOT DISTINCT FROM came.{name}" for name in compared)
    recorded_at = "CASE WHEN came.order_id IS NULL THEN there.recorded_at ELSE came.recorded_at END AS recorded_at"
    return f"""
        SELECT there.* REPLACE ({recorded_at}), came.{KNOWN_FROM} FROM {there} AS there LEFT JOIN (
            SELECT * FROM {fresh} WHERE {KNOWN_FROM} > coalesce(recorded_at, occurred_at)
            QUALIFY row_number() OVER (PARTITION BY order_id, line_no, {KNOWN_FROM} ORDER BY recorded_at DESC NULLS LAST) = 1
        ) AS came ON {same} AND there.recorded_at = came.{KNOWN_FROM}
    """


def _with_days(changed: Moves, before: Resolution, now: Resolution) -> pa.Table:
    """Whole histories that move, each with the last of the days by which the identifiers it was kept under led there.

    By which of them a row came is not kept, so the last day counts: a row is never known too early.
    """
    kept = before.aliases.select(["alias", "member_id"]).rename_columns(["alias", "old_member_id"])
    days = kept.join(now.aliases.select(["alias", "linked_day"]), "alias").group_by("old_member_id")
    last = days.aggregate([("linked_day", "max")]).rename_columns(["old_member_id", "linked_day"])
    found: pa.Table = changed.whole.join(last, "old_member_id").sort_by("old_member_id").select(MOVED.names).cast(MOVED)
    return found


def _with_moments(rows: duckdb.DuckDBPyRelation, schema: FactTable) -> duckdb.DuckDBPyRelation:
    """Rows with the moment from which they were known to be their member's, where that was after their own day."""
    later = f"CASE WHEN given.linked_day > given.local_day THEN m.{KNOWN_FROM} END"
    if schema is PURCHASES:
        made = f"given.* EXCLUDE (linked_day), {later} AS {KNOWN_FROM}"
    elif schema is not EVENTS:
        made = "given.* EXCLUDE (linked_day)"
    elif "recorded_at" in rows.columns:
        made = f"given.* EXCLUDE (linked_day) REPLACE (greatest(given.recorded_at, {later}) AS recorded_at)"
    else:
        made = f"given.* EXCLUDE (linked_day), {later} AS recorded_at"
    sql = f"SELECT {made} FROM given LEFT JOIN link_midnights m ON m.linked_day = given.linked_day"
    return cast("duckdb.DuckDBPyRelation", rows.query("given", sql))


def _resolution_in(before: Path | None) -> Resolution | None:
    """Who was who in the facts that are added to; None if there are none, or without identities."""
    if before is None:
        return None
    try:
        return read_resolution(before)
    except FactsMissing:
        return None


def _has_merged(resolution: Resolution) -> bool:
    """Whether some registered member's id stands for another one's."""
    aliases = resolution.aliases
    own = pa.compute.binary_join_element_wise("member", aliases["member_id"], ":")
    registered = pa.compute.starts_with(aliases["alias"], "member:")
    return bool(pa.compute.any(pa.compute.and_(registered, pa.compute.not_equal(aliases["alias"], own))).as_py())
