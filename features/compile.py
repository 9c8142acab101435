"""From declarations to Ibis: the query that computes every aggregate, and the columns that derive every feature.

The expressions do not contain the moment asked about. It stands in them as named parameters, so that one compilation (about
a second, more than DuckDB needs to run the query on a million lines) serves every snapshot.

Only operations that mean the same on DuckDB and on Spark are used: conditional sums, counts, minima and maxima, one
window function (the previous purchase day), joins and plain arithmetic.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from typing import Literal, TypeAlias

import ibis
from ibis import ir

from features.contract import Contract
from features.declarations import SWITCHES, Aggregate
from features.expressions import evaluate
from features.ibis_operations import IBIS
from features.sources.schema import EVENTS, EXPOSURES, ITEMS, LINES, ORDERS, PURCHASES, REDEMPTIONS, FactTable
from features.summaries import day_parts, keyed_parts, plain_parts, switch_parts

Tables: TypeAlias = Mapping[str, ir.Table]
_IBIS_TYPES = {"string": "string", "int64": "int64", "int32": "int32", "timestamp": "timestamp(6)", "boolean": "boolean"}
_SQL_TYPES = {"int32": "INTEGER", "int64": "BIGINT", "float64": "DOUBLE"}
_PARAMETER = re.compile(r"'@(\w+)@'")
FACT_TABLES = (PURCHASES, ORDERS, EVENTS, EXPOSURES, REDEMPTIONS)
_CUT_BY = ("member_id", "occurred_at", "recorded_at", "superseded_at", "local_day")
SUMMARISED = (ORDERS, LINES, EVENTS, EXPOSURES, REDEMPTIONS)
"""The tables that aggregates are declared over."""
Dialect: TypeAlias = Literal["duckdb", "pyspark"]
_QUOTE = {"duckdb": '"', "pyspark": "`"}
_MARK = {"duckdb": "$", "pyspark": ":"}


@dataclass(frozen=True, slots=True)
class PartQuery:
    """One grouped query of one fact table, as DuckDB's text with parameters $as_of (naive UTC) and $day.

    Its rows are one a member: `member_id` and some of the table's aggregates, in their dtypes; missing where nothing counts.
    """

    table: str
    aggregates: tuple[Aggregate, ...]
    sql: str

    @property
    def windowed(self) -> bool:
        """Whether it has the parameter $day: the database refuses parameters that a query does not have."""
        return "$day" in self.sql


@cache
def part_queries(contract: Contract) -> tuple[PartQuery, ...]:
    """Every query that the aggregates of a contract need, on tables `orders`, `lines`, `events`, `exposures`, `redemptions`.

    Many small queries, because the database needs longer to plan one large one than to run it on a million lines. DuckDB adds
    up integers in 128 bits, of which Ibis knows nothing: the outer casts bring every column to its declared type, and refuse
    what does not fit.
    """
    return tuple(part_query(contract, part) for part in _parts(contract, known_facts(contract)))


def known_facts(contract: Contract) -> dict[str, ir.Table]:
    """The tables that aggregates are declared over, with the columns they use, cut to facts known and past as of $as_of."""
    moment = parameter("as_of", "timestamp")
    return {t.name: _known_before(_unbound(t, needed_columns(contract, t)), moment) for t in SUMMARISED}


def part_query(contract: Contract, part: ir.Table) -> PartQuery:
    """The text for a part, a row a member; the part's columns that are no aggregates of the contract are left out."""
    declared = {aggregate.name: aggregate for aggregate in contract.aggregates}
    aggregates = tuple(declared[name] for name in part.columns if name in declared)
    sql = f"SELECT member_id, {typed_columns(aggregates)} FROM ({query_text(part, 'duckdb')})"  # noqa: S608 # own names
    return PartQuery(aggregates[0].table.name, aggregates, sql)


def typed_columns(aggregates: Iterable[Aggregate]) -> str:
    """Columns of a query, each brought to the declared type of the aggregate whose name it has."""
    return ", ".join(f'CAST("{a.name}" AS {_SQL_TYPES[a.dtype]}) AS "{a.name}"' for a in aggregates)


@cache
def aggregate_sql(contract: Contract, dialect: Dialect) -> str:
    """All of it as one query on the stored tables, for an engine that plans those well; parameters as_of and day.

    One row a member, sorted: `member_id` and every aggregate, by declared type.
    """
    inner = query_text(aggregate_query(contract, tables_before_as_of()), dialect)
    quoted = {a.name: f"{_QUOTE[dialect]}{a.name}{_QUOTE[dialect]}" for a in contract.aggregates}
    columns = ", ".join(f"CAST({quoted[a.name]} AS {_SQL_TYPES[a.dtype]}) AS {quoted[a.name]}" for a in contract.aggregates)
    return f"SELECT member_id, {columns} FROM ({inner}) ORDER BY member_id"  # noqa: S608 # names from the contract


def aggregate_table(contract: Contract) -> ir.Table:
    """What `aggregate_sql` returns, as a table named `aggregates` to be queried further."""
    return ibis.table({"member_id": "string", **{a.name: a.dtype for a in contract.aggregates}}, name="aggregates")


def parameter(name: str, dtype: str) -> ir.Scalar:
    """A value given when the query runs. Ibis knows only constants: a marker stands for it until the text is made."""
    return ibis.literal(f"@{name}@").cast(dtype)


def query_text(query: ir.Table, dialect: Dialect) -> str:
    """A query in an engine's own words, with parameters as that engine names them: $day on DuckDB, :day on Spark."""
    return _PARAMETER.sub(rf"{_MARK[dialect]}\1", str(ibis.to_sql(query, dialect=dialect)))


def tables_before_as_of() -> dict[str, ir.Table]:
    """The stored tables by name, cut to facts of members known and past as of $as_of; `lines` are purchases with items."""
    tables = {table.name: _known_before(_unbound(table), parameter("as_of", "timestamp")) for table in FACT_TABLES}
    lines = tables[PURCHASES.name].left_join(_unbound(ITEMS), "item_id").select(*(column.name for column in LINES.columns))
    return {**tables, LINES.name: lines}


def needed_columns(contract: Contract, table: FactTable) -> tuple[str, ...]:
    """Columns of a fact table that aggregates rest on, and those by which facts are cut and put in order."""
    aggregates = [a for a in contract.aggregates if a.table is table]
    used = {column for a in aggregates for _, column in a.columns()}
    order = set(table.key) if any(a.kind is SWITCHES for a in aggregates) else set()
    return tuple(c.name for c in table.columns if c.name in used | order | set(_CUT_BY))


def _unbound(table: FactTable, columns: Collection[str] | None = None) -> ir.Table:
    kept = {c.name: _IBIS_TYPES[c.type] for c in table.columns if columns is None or c.name in columns}
    return ibis.table(kept, name=table.name)


def _known_before(table: ir.Table, moment: ir.TimestampScalar) -> ir.Table:
    """Facts of members that had happened before a moment, were known by then and stood uncorrected."""
    kept = table.member_id.notnull() & (table.occurred_at < moment)
    if "recorded_at" in table.columns:
        kept &= table.recorded_at.isnull() | (table.recorded_at < moment)
    if "superseded_at" in table.columns:
        kept &= table.superseded_at.isnull() | (table.superseded_at >= moment)
    return table.filter(kept)


def aggregate_query(contract: Contract, tables: Tables) -> ir.Table:
    """One row per member with a fact: `member_id` and every aggregate of the contract, under its name and dtype.

    Parameters
    ----------
    tables
        Fact tables by name, already cut to the facts of members known and past as of T.
    """
    members = _members(contract, tables)
    for place, part in enumerate(
        _parts(contract, tables)
    ):  # names of their own keep it one chain of joins, not a query around each
        members = members.left_join(part.rename({f"member_{place}": "member_id"}), [("member_id", f"member_{place}")])
    return members.select("member_id", **{a.name: _filled(members[a.name], a) for a in contract.aggregates})


def _parts(contract: Contract, tables: Tables) -> list[ir.Table]:
    """One table a member for each group of aggregates that share a pass over the facts."""
    day = parameter("day", "int32")
    return [part for made in (plain_parts, day_parts, keyed_parts, switch_parts) for part in made(contract, tables, day)]


def _members(contract: Contract, tables: Tables) -> ir.Table:
    """Every member with a fact in a table that the contract uses. Orders are sums of lines: whoever has one has the other."""
    used = dict.fromkeys(aggregate.table.name for aggregate in contract.aggregates)
    if ORDERS.name in used:
        used.pop(LINES.name, None)
    return reduce(lambda left, right: left.union(right), (tables[name].select("member_id") for name in used)).distinct()


def _filled(column: ir.Column, aggregate: Aggregate) -> ir.Column:
    """Nothing to add up is 0; a first day that never was stays missing."""
    typed = column.cast(aggregate.dtype)
    return typed if aggregate.kind.empty is None else typed.fill_null(ibis.literal(aggregate.kind.empty).cast(aggregate.dtype))


def feature_columns(contract: Contract, aggregates: ir.Table) -> ir.Table:
    """The table of aggregates with one more float64 column `feature.<name>` for every feature, NULL where missing."""
    known = {a.name: aggregates[a.name].cast("float64") for a in contract.aggregates}
    scalars = {name: parameter(name, "float64") for name in ("day", *(scalar.name for scalar in contract.scalars))}
    table = aggregates
    for level in contract.levels():
        columns = {**known, **scalars, **_features_in(table)}
        new = {f"feature.{f.name}": evaluate(f.formula, columns, IBIS).cast("float64") for f in level}
        table = table.mutate(**new)
        known = {a.name: table[a.name].cast("float64") for a in contract.aggregates}
    return table


def _features_in(table: ir.Table) -> dict[str, ir.Value]:
    return {name.removeprefix("feature."): table[name] for name in table.columns if name.startswith("feature.")}
