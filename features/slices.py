"""The queries for what a few days bring and take away: facts that came in since a midnight, and facts that left a window.

A windowed sum of tonight is last night's, plus the facts of [start, day), minus those of [start - n, day - n). Both stand in
one query, the former counted with sign +1 and the latter with -1; a fact that came and left between the two nights is 0. From
the beginning of time, the same query gives the sum itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b

from ibis import ir

from features.compile import PartQuery, known_facts, parameter, part_query, query_text, typed_columns
from features.contract import Contract
from features.declarations import (
    COUNT,
    DAYS,
    DECAYED,
    DISTINCT,
    GAP_KINDS,
    KEYED_KINDS,
    LARGEST,
    NEW_KEYS,
    REPEATED_KEYS,
    SMALLEST,
    SWITCHES,
    TOTAL,
    Aggregate,
    Kind,
)
from features.expressions import Column, Expression
from features.narrow import Spans
from features.sources.schema import FactTable
from features.summaries import condition_of, day_parts, grouped, plain_parts, value_of, with_key

SUMS = (TOTAL, COUNT, DAYS)
EXTREMES = (SMALLEST, LARGEST)
BEGINNING = -(2**30)
"""A start before all days."""


@dataclass(frozen=True, slots=True, eq=False)
class Tiling:
    """What is kept of each member and key of a fact table, so that nothing has to be looked up in history.

    `fields` are aggregates like others, but of one key: first and last days, days, counts and totals in windows.
    """

    name: str
    table: FactTable
    fields: tuple[Aggregate, ...]


@dataclass(frozen=True, slots=True)
class TileQuery:
    """A query for some fields of a tiling: `member_id`, `key` as a 64-bit hash, and the fields' names."""

    fields: tuple[Aggregate, ...]
    sql: str


def is_moved(aggregate: Aggregate) -> bool:
    """Whether tonight's value follows from last night's and the facts that come and leave, by adding or comparing."""
    return aggregate.kind in SUMS or (aggregate.kind in EXTREMES and aggregate.days is None)


def is_carried(aggregate: Aggregate) -> bool:
    """Whether it follows from last night's and from the same summary of the facts that come, by a rule of its own."""
    return aggregate.kind in (DECAYED, *GAP_KINDS)


def is_recounted(aggregate: Aggregate) -> bool:
    """Whether the facts of its window have to be looked at again when one of them comes or leaves."""
    return aggregate.kind is SWITCHES or (aggregate.kind in EXTREMES and aggregate.days is not None)


@cache
def moved_queries(contract: Contract) -> tuple[PartQuery, ...]:
    """What to add to each sum, and the extremes of what came; parameters $as_of, $start and $day."""
    moved = [a for a in contract.aggregates if is_moved(a)]
    tables = known_facts(contract)
    parts = []
    for group in grouped(moved, (TOTAL, COUNT, *EXTREMES), lambda a: a.table.name):
        table = _signed(tables[group[0].table.name], group)
        parts.append(table.group_by("member_id").agg(**{a.name: _moved(a, table) for a in group}))
    for group in grouped(moved, (DAYS,), lambda a: (a.table.name, str(a.where))):
        table = tables[group[0].table.name]
        parts.append(_moved_days(group, table.filter(condition_of(group[0], table)), ("member_id",)))
    return tuple(part_query(contract, part) for part in parts)


@cache
def arrivals(contract: Contract) -> Contract:
    """What carried aggregates need to know of the facts that came: those aggregates, and the first and last of their days."""
    carried = [a for a in contract.aggregates if is_carried(a)]
    lasts = {a.last_day.name: a.last_day for a in carried if a.last_day is not None}
    firsts = [replace(last, name=first_day(last), kind=SMALLEST) for last in lasts.values()]
    return Contract((*carried, *lasts.values(), *firsts), (), ())


def first_day(last_day: Aggregate) -> str:
    """Name of the first day of the facts of which an aggregate is the last day."""
    return f"first {last_day.name}"


@cache
def arrival_queries(contract: Contract) -> tuple[PartQuery, ...]:
    """The aggregates of `arrivals`, of the facts since $start alone."""
    wanted = arrivals(contract)
    tables = {name: table.filter(table.local_day >= _start()) for name, table in known_facts(contract).items()}
    parts = [part for made in (plain_parts, day_parts) for part in made(wanted, tables, parameter("day", "int32"))]
    return tuple(part_query(wanted, part) for part in parts)


@cache
def recounted(contract: Contract) -> Contract:
    """The aggregates that are counted again."""
    return Contract(tuple(a for a in contract.aggregates if is_recounted(a)), (), ())


@cache
def tilings(contract: Contract) -> tuple[Tiling, ...]:
    """What is kept by key: one tiling for each fact table and key."""
    found = []
    for group in grouped(contract.aggregates, KEYED_KINDS, tiling_of):
        fields = {field.name: field for aggregate in group for field in fields_of(aggregate).values()}
        found.append(Tiling(tiling_of(group[0]), group[0].table, tuple(fields.values())))
    return tuple(found)


def fields_of(aggregate: Aggregate) -> dict[str, Aggregate]:
    """What a keyed aggregate needs of each key, by role: last, first, days, or total and facts."""
    day = aggregate.table.local_day
    if aggregate.kind is DISTINCT:
        return {"last": _field(LARGEST, of=aggregate, value=day)}
    if aggregate.kind is NEW_KEYS:
        return {"first": _field(SMALLEST, of=aggregate, value=day)}
    if aggregate.kind is REPEATED_KEYS:
        return {"days": _field(DAYS, of=aggregate, days=aggregate.days)}
    facts = _field(COUNT, of=aggregate, days=aggregate.days)
    if aggregate.value is None:
        return {"total": facts, "facts": facts}
    return {"total": _field(TOTAL, of=aggregate, value=aggregate.value, days=aggregate.days, wide=True), "facts": facts}


@cache
def tile_queries(contract: Contract, name: str) -> tuple[TileQuery, ...]:
    """What to add to the fields of a tiling, and their extremes in what came; parameters $as_of, $start and $day."""
    tiling = next(t for t in tilings(contract) if t.name == name)
    table = with_key(tiling.fields[0], known_facts(contract)[tiling.table.name])
    plain = [field for field in tiling.fields if field.kind is not DAYS]
    signed = _signed(table, plain)
    parts = [signed.group_by("member_id", "key").agg(**{f.name: _moved(f, signed) for f in plain})] if plain else []
    parts += [
        _moved_days(group, table.filter(condition_of(group[0], table)), ("member_id", "key"))
        for group in grouped(tiling.fields, (DAYS,), lambda f: str(f.where))
    ]
    return tuple(_tile_query(tiling, part) for part in parts)


def spans_between(contract: Contract, start: int, day: int) -> dict[str, Spans]:
    """By fact table the days on which a fact came or left a window from one midnight to another, as disjoint spans."""
    windows: dict[str, set[int]] = {}
    for aggregate in contract.aggregates:
        windows.setdefault(aggregate.table.name, {0}).add(aggregate.days or 0)
    return {table: disjoint((start - w, day - w) for w in found) for table, found in windows.items()}


def disjoint(spans: Iterable[tuple[int, int]]) -> Spans:
    """The same days, those that overlap or touch in one span; empty ones left out."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _field(
    kind: Kind, *, of: Aggregate, value: Expression | None = None, days: int | None = None, wide: bool = False
) -> Aggregate:
    return Aggregate(
        name=f"{kind.name} of {value or '*'} where {of.where} in {days}",
        kind=kind,
        table=of.table,
        unit="",
        meaning="",
        value=value,
        where=of.where,
        days=days,
        key=of.key,
        dtype="int64" if wide else "int32",
    )


def tiling_of(aggregate: Aggregate) -> str:
    """Name of the tiling from which a keyed aggregate is counted, fit for a file."""
    key = aggregate.key.name if isinstance(aggregate.key, Column) else blake2b(str(aggregate.key).encode()).hexdigest()[:8]
    return f"{aggregate.table.name}-{key}"


def _tile_query(tiling: Tiling, part: ir.Table) -> TileQuery:
    fields = tuple(field for field in tiling.fields if field.name in part.columns)
    text = query_text(part, "duckdb")
    return TileQuery(fields, f'SELECT member_id, hash("key") AS "key", {typed_columns(fields)} FROM ({text})')  # noqa: S608


def _start() -> ir.IntegerScalar:
    return parameter("start", "int32")


def _sign(aggregate: Aggregate, table: ir.Table) -> ir.IntegerColumn:
    """1 for a fact that came, -1 for one that left the window, 0 for others and for those that did both."""
    came = (table.local_day >= _start()).cast("int64")
    if aggregate.days is None:
        return came
    left = (table.local_day >= _start() - aggregate.days) & (table.local_day < parameter("day", "int32") - aggregate.days)
    return came - left.cast("int64")


def _signed(table: ir.Table, group: list[Aggregate]) -> ir.Table:
    """The facts with a column for each window, the sign: said once, it is planned once."""
    return table.mutate(**{_sign_of(a): _sign(a, table) for a in group})


def _sign_of(aggregate: Aggregate) -> str:
    return f"sign in {aggregate.days}"


def _moved(aggregate: Aggregate, table: ir.Table) -> ir.Value:
    condition = condition_of(aggregate, table)
    if aggregate.kind is COUNT:
        return table[_sign_of(aggregate)].sum(where=condition)
    if aggregate.kind is TOTAL:
        return (value_of(aggregate, table) * table[_sign_of(aggregate)]).sum(where=condition)
    came = value_of(aggregate, table)
    condition &= table.local_day >= _start()
    return came.min(where=condition) if aggregate.kind is SMALLEST else came.max(where=condition)


def _moved_days(group: list[Aggregate], facts: ir.Table, by: tuple[str, ...]) -> ir.Table:
    days = facts.select(*by, "local_day").distinct()
    return days.group_by(*by).agg(**{a.name: _sign(a, days).sum() for a in group})
