"""From declarations to Ibis: the query that computes every aggregate, and the columns that derive every feature.

The expressions do not contain the moment asked about. It stands in them as named parameters, so that one compilation (about
a second, more than DuckDB needs to run the query on a million lines) serves every snapshot.

Only operations that mean the same on DuckDB and on Spark are used: conditional sums, counts, minima and maxima, one
window function (the previous purchase day), joins and plain arithmetic.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import Any, Literal, TypeAlias

import ibis
from ibis import ir

from features.contract import Contract
from features.declarations import (
    COUNT,
    DAYS,
    DECAY_ONE,
    DECAYED,
    DISTINCT,
    LARGEST,
    LONGEST_GAP,
    SMALLEST,
    SQUARED_GAPS,
    SQUARED_KEYS,
    TOP_KEY,
    TOTAL,
    Aggregate,
    Feature,
)
from features.expressions import Expression, Operations, evaluate
from features.sources.schema import ITEMS, LINES, ORDERS, PURCHASES

Tables: TypeAlias = Mapping[str, ir.Table]
_IBIS_TYPES = {"string": "string", "int64": "int64", "int32": "int32", "timestamp": "timestamp(6)", "boolean": "boolean"}
_SQL_TYPES = {"int32": "INTEGER", "int64": "BIGINT", "float64": "DOUBLE"}
_PARAMETER = re.compile(r"'@(\w+)@'")
Dialect: TypeAlias = Literal["duckdb", "pyspark"]
_QUOTE = {"duckdb": '"', "pyspark": "`"}
_MARK = {"duckdb": "$", "pyspark": ":"}
GAP_KINDS = (LONGEST_GAP, SQUARED_GAPS)
KEYED_KINDS = (DISTINCT, TOP_KEY, SQUARED_KEYS)


def _known(condition: ir.BooleanValue) -> ir.BooleanValue:
    """A comparison with a missing operand is false, as in numpy."""
    return condition.fill_null(False)


def _literal(value: float | str | bool) -> ir.Scalar:
    return ibis.literal(value) if isinstance(value, str | bool) else ibis.literal(float(value))


def _steps(value: ir.NumericValue, *edges: ir.NumericValue) -> ir.Value:
    rank = reduce(lambda total, edge: total + _known(value > edge).cast("float64"), edges, ibis.literal(1.0))
    return ibis.ifelse(value.isnull(), ibis.null("float64"), rank)


IBIS: Operations = {
    "literal": _literal,
    "nothing": lambda: ibis.null("float64"),
    "add": lambda left, right: left + right,
    "subtract": lambda left, right: left - right,
    "multiply": lambda left, right: left * right,
    "modulo": lambda left, right: ((left % right) + right) % right,  # SQL's own remainder takes the sign of the left
    "less": lambda left, right: _known(left < right),
    "less_equal": lambda left, right: _known(left <= right),
    "equal": lambda left, right: _known(left == right),
    "both": lambda left, right: left & right,
    "either": lambda left, right: left | right,
    "negate": lambda value: ~value,
    "ratio": lambda numerator, denominator: numerator / denominator.nullif(0.0),
    "root": lambda value: ibis.cases((value < 0, ibis.literal(0.0)), else_=value).sqrt(),
    "where": ibis.ifelse,
    "larger": ibis.greatest,
    "smaller": ibis.least,
    "missing": lambda value: value.isnull(),
    "fill": lambda value, default: value.fill_null(default),
    "steps": _steps,
}
"""The operations on Ibis columns, with NULL as the missing value. Same meaning as `features.expressions.NUMPY`."""


@cache
def aggregate_sql(contract: Contract, dialect: Dialect = "duckdb") -> str:
    """The text of `aggregate_query` on tables named as in the schema; parameters as_of (naive UTC) and day.

    Sorted by member. DuckDB adds up integers in 128 bits, of which Ibis knows nothing: the outer casts bring every column
    to its declared type, and refuse what does not fit.
    """
    inner = query_text(aggregate_query(contract, tables_before_as_of()), dialect)
    quoted = {a.name: f"{_QUOTE[dialect]}{a.name}{_QUOTE[dialect]}" for a in contract.aggregates}
    columns = ", ".join(f"CAST({quoted[a.name]} AS {_SQL_TYPES[a.dtype]}) AS {quoted[a.name]}" for a in contract.aggregates)
    return f"SELECT member_id, {columns} FROM ({inner}) ORDER BY member_id"  # noqa: S608 # names from the contract


@cache
def feature_sql(contract: Contract) -> str:
    """DuckDB's text of `feature_columns` on a table `aggregates`; parameters day and one for each population edge."""
    table = feature_columns(contract, aggregate_table(contract)).order_by("member_id")
    return query_text(table.select(*(f"feature.{name}" for name in contract.feature_names)), "duckdb")


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
    """The stored tables by name, facts cut to those before $as_of; and `lines`, order lines of members with their items."""
    tables = {
        table.name: ibis.table({c.name: _IBIS_TYPES[c.type] for c in table.columns}, name=table.name)
        for table in (PURCHASES, ORDERS, ITEMS)
    }
    cut = {
        name: tables[name].filter(tables[name].occurred_at < parameter("as_of", "timestamp"))
        for name in ("purchases", "orders")
    }
    known = cut[PURCHASES.name].filter(cut[PURCHASES.name].member_id.notnull())
    lines = known.left_join(tables[ITEMS.name], "item_id").select(*(column.name for column in LINES.columns))
    return {**cut, LINES.name: lines}


def aggregate_query(contract: Contract, tables: Tables) -> ir.Table:
    """One row per member with a fact: `member_id` and every aggregate of the contract, under its name and dtype.

    Parameters
    ----------
    tables
        Fact tables by name, already cut to the facts known and past as of T.
    """
    day = parameter("day", "int32")
    parts = [
        *_plain_parts(contract, tables, day),
        *_gap_parts(contract, tables, day),
        *_keyed_parts(contract, tables, day),
    ]
    members = reduce(lambda left, right: left.union(right), (p.select("member_id") for p in parts)).distinct()
    for part in parts:
        members = members.left_join(part, "member_id").drop("member_id_right")
    return members.select("member_id", **{a.name: _filled(members[a.name], a) for a in contract.aggregates})


def feature_columns(contract: Contract, aggregates: ir.Table) -> ir.Table:
    """The table of aggregates with one more float64 column `feature.<name>` for every feature, NULL where missing."""
    known = {a.name: aggregates[a.name].cast("float64") for a in contract.aggregates}
    scalars = {name: parameter(name, "float64") for name in ("day", *(edge.name for edge in contract.edges))}
    table = aggregates
    for level in _levels(contract):
        columns = {**known, **scalars, **_features_in(table)}
        new = {f"feature.{f.name}": evaluate(f.formula, columns, IBIS).cast("float64") for f in level}
        table = table.mutate(**new)
        known = {a.name: table[a.name].cast("float64") for a in contract.aggregates}
    return table


def _features_in(table: ir.Table) -> dict[str, ir.Value]:
    return {name.removeprefix("feature."): table[name] for name in table.columns if name.startswith("feature.")}


def _levels(contract: Contract) -> list[list[Feature]]:
    """Features grouped so that each rests only on features of earlier groups."""
    depth: dict[str, int] = {}
    levels: dict[int, list[Feature]] = defaultdict(list)
    for feature in contract.features:
        depth[feature.name] = 1 + max((depth[f.name] for f in feature.operands()), default=-1)
        levels[depth[feature.name]].append(feature)
    return [levels[level] for level in sorted(levels)]


def _filled(column: ir.Column, aggregate: Aggregate) -> ir.Column:
    """Nothing to add up is 0; a first day that never was stays missing."""
    typed = column.cast(aggregate.dtype)
    return typed if aggregate.kind.empty is None else typed.fill_null(ibis.literal(aggregate.kind.empty).cast(aggregate.dtype))


def _counted(aggregate: Aggregate, table: ir.Table, day: ir.IntegerScalar) -> ir.BooleanValue:
    """Which facts the aggregate counts: those inside its window that meet its condition."""
    condition = ibis.literal(True) if aggregate.where is None else evaluate(aggregate.where, table, IBIS)
    return condition if aggregate.days is None else condition & (table.local_day >= day - aggregate.days)


def _value(aggregate: Aggregate, table: ir.Table) -> Any:
    """The aggregate's value for each fact: 1 if it has none; in floats if it adds up floats."""
    if aggregate.value is None:
        return ibis.literal(1)
    if aggregate.dtype != "float64":
        return evaluate(aggregate.value, table, IBIS)
    return evaluate(aggregate.value, {name: table[name].cast("float64") for name in _numeric(table)}, IBIS)


def _numeric(table: ir.Table) -> list[str]:
    return [name for name, dtype in table.schema().items() if dtype.is_numeric()]


def decay_weight(age: ir.IntegerValue, half_life_days: int) -> ir.IntegerValue:
    """Integer weight of a fact `age` days before T's day; see `DECAY_ONE`."""
    share = ibis.literal(2.0) ** (age.cast("float64") * (-1.0 / half_life_days))
    return (share * DECAY_ONE).round().cast("int64")


def _plain(aggregate: Aggregate, table: ir.Table, day: ir.IntegerScalar) -> ir.Value:
    counted, value = _counted(aggregate, table, day), _value(aggregate, table)
    match aggregate.kind:
        case kind if kind is COUNT:
            return table.count(where=counted)
        case kind if kind is DAYS:
            return table.local_day.nunique(where=counted)
        case kind if kind is SMALLEST:
            return value.min(where=counted)
        case kind if kind is LARGEST:
            return value.max(where=counted)
        case kind if kind is DECAYED and aggregate.half_life_days is not None:
            return (value * decay_weight(day - table.local_day, aggregate.half_life_days)).sum(where=counted)
        case kind if kind is TOTAL:
            return value.sum(where=counted)
    raise ValueError(f"aggregate {aggregate.name}: no query for kind {aggregate.kind.name}")


def _grouped(aggregates: tuple[Aggregate, ...], by: Callable[[Aggregate], Any]) -> list[list[Aggregate]]:
    groups: dict[Any, list[Aggregate]] = defaultdict(list)
    for aggregate in aggregates:
        groups[by(aggregate)].append(aggregate)
    return list(groups.values())


def _plain_parts(contract: Contract, tables: Tables, day: ir.IntegerScalar) -> list[ir.Table]:
    """One grouped query per fact table for all kinds that need a single pass."""
    plain = tuple(a for a in contract.aggregates if a.kind not in (*GAP_KINDS, *KEYED_KINDS))
    parts = []
    for group in _grouped(plain, lambda a: a.table.name):
        table = tables[group[0].table.name]
        parts.append(table.group_by("member_id").agg(**{a.name: _plain(a, table, day) for a in group}))
    return parts


def _gap_parts(contract: Contract, tables: Tables, day: ir.IntegerScalar) -> list[ir.Table]:
    """Gaps between a member's consecutive days with facts; one query per set of facts."""
    gaps = tuple(a for a in contract.aggregates if a.kind in GAP_KINDS)
    parts = []
    for group in _grouped(gaps, lambda a: (a.table.name, str(a.where), a.days)):
        facts = tables[group[0].table.name]
        days = facts.filter(_counted(group[0], facts, day)).select("member_id", "local_day").distinct()
        previous = days.local_day.lag().over(ibis.window(group_by=days.member_id, order_by=days.local_day))
        between = days.mutate(gap=(days.local_day - previous).cast("int64"))
        made = {a.name: between.gap.max() if a.kind is LONGEST_GAP else (between.gap * between.gap).sum() for a in group}
        parts.append(between.group_by("member_id").agg(**made))
    return parts


def _keyed_parts(contract: Contract, tables: Tables, day: ir.IntegerScalar) -> list[ir.Table]:
    """Sums by member and key, then over keys; one query per fact table and key."""
    keyed = tuple(a for a in contract.aggregates if a.kind in KEYED_KINDS)
    parts = []
    for group in _grouped(keyed, lambda a: (a.table.name, str(a.key))):
        facts = tables[group[0].table.name]
        key = evaluate(group[0].key or Expression(), facts, IBIS)
        known = facts.mutate(key=key).filter(key.notnull())
        by_key = known.group_by("member_id", "key").agg(**{a.name: _plain_total(a, known, day) for a in group})
        parts.append(by_key.group_by("member_id").agg(**{a.name: _over_keys(a, by_key[a.name]) for a in group}))
    return parts


def _plain_total(aggregate: Aggregate, table: ir.Table, day: ir.IntegerScalar) -> ir.Value:
    counted = _counted(aggregate, table, day)
    return table.count(where=counted) if aggregate.value is None else _value(aggregate, table).sum(where=counted)


def _over_keys(aggregate: Aggregate, totals: ir.Column) -> ir.Value:
    if aggregate.kind is DISTINCT:
        return (totals > 0).sum()
    return totals.max() if aggregate.kind is TOP_KEY else (totals * totals).sum()
