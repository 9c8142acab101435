"""The queries that summarise one member's facts, by kind of aggregate. Each part has one row a member, `member_id` first.

As few passes over the facts as the kinds allow: one a table for sums, counts and extremes; one a set of facts for what goes
by days; one a key for what goes by keys.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import ibis
from ibis import ir

from features.contract import Contract
from features.declarations import (
    COUNT,
    DAYS,
    DECAYED,
    DISTINCT,
    GAP_KINDS,
    KEYED_KINDS,
    LARGEST,
    LONGEST_GAP,
    NEW_KEYS,
    REPEATED_KEYS,
    SECOND_DAY,
    SMALLEST,
    SQUARED_GAPS,
    SQUARED_KEYS,
    SWITCHES,
    TOP_KEY,
    TOTAL,
    Aggregate,
)
from features.expressions import evaluate
from features.ibis_operations import IBIS, power_of_two

Tables: TypeAlias = Mapping[str, ir.Table]
EXACT = "decimal(38, 15)"
"""Floats are added up as decimals: the sum then does not depend on the order of the rows or the number of threads."""


def plain_parts(contract: Contract, tables: Tables, day: ir.IntegerScalar) -> list[ir.Table]:
    """One grouped query per fact table for all kinds that need a single pass."""
    parts = []
    for group in grouped(contract.aggregates, _PLAIN, lambda a: a.table.name):
        table = _with_last_days(tables[group[0].table.name], [a for a in group if a.kind is DECAYED])
        parts.append(table.group_by("member_id").agg(**{a.name: _plain(a, table, day) for a in group}))
    return parts


def day_parts(contract: Contract, tables: Tables, day: ir.IntegerScalar) -> list[ir.Table]:
    """Days with facts and the gaps between them; one query per set of facts."""
    parts = []
    for group in grouped(contract.aggregates, (DAYS, *GAP_KINDS), lambda a: (a.table.name, str(a.where))):
        facts = tables[group[0].table.name]
        days = facts.filter(condition_of(group[0], facts)).select("member_id", "local_day").distinct()
        if any(a.kind in GAP_KINDS for a in group):
            previous = days.local_day.lag().over(ibis.window(group_by=days.member_id, order_by=days.local_day))
            days = days.mutate(previous=previous, gap=(days.local_day - previous).cast("int64"))
        parts.append(days.group_by("member_id").agg(**{a.name: _of_days(a, days, day) for a in group}))
    return parts


def keyed_parts(contract: Contract, tables: Tables, day: ir.IntegerScalar) -> list[ir.Table]:
    """First a row by member and key, then over keys; one query per fact table and key."""
    parts = []
    for group in grouped(contract.aggregates, KEYED_KINDS, lambda a: (a.table.name, str(a.key))):
        facts = with_key(group[0], tables[group[0].table.name])
        columns: dict[str, ir.Value] = {}
        for aggregate in group:
            columns.update(_of_one_key(aggregate, facts, day))
        by_key = facts.group_by("member_id", "key").agg(**columns)
        parts.append(by_key.group_by("member_id").agg(**{a.name: _over_keys(a, by_key, day) for a in group}))
    return parts


def switch_parts(contract: Contract, tables: Tables, day: ir.IntegerScalar) -> list[ir.Table]:
    """Changes of a key from one fact to the next, in order of time, then of the table's key, then of this one."""
    parts = []
    for group in grouped(contract.aggregates, (SWITCHES,), lambda a: (a.table.name, str(a.where), a.days, str(a.key))):
        schema = group[0].table
        facts = with_key(group[0], tables[schema.name])
        facts = facts.filter(_counted(group[0], facts, day))
        order = [facts[name] for name in dict.fromkeys(("occurred_at", *schema.key, "key"))]
        before = facts.key.lag().over(ibis.window(group_by=facts.member_id, order_by=order))
        pairs = facts.mutate(changed=(before != facts.key).fill_null(False))
        parts.append(pairs.group_by("member_id").agg(**{a.name: pairs.changed.sum() for a in group}))
    return parts


_PLAIN = (TOTAL, COUNT, SMALLEST, LARGEST, DECAYED)


def grouped(
    aggregates: Iterable[Aggregate], kinds: Iterable[object], by: Callable[[Aggregate], object]
) -> list[list[Aggregate]]:
    """Aggregates of some kinds, those together that have something in common."""
    groups: dict[object, list[Aggregate]] = defaultdict(list)
    for aggregate in aggregates:
        if aggregate.kind in kinds:
            groups[by(aggregate)].append(aggregate)
    return list(groups.values())


def condition_of(aggregate: Aggregate, table: ir.Table) -> ir.BooleanValue:
    """Which facts the aggregate is about, whenever they happened."""
    return ibis.literal(True) if aggregate.where is None else evaluate(aggregate.where, table, IBIS)


def _counted(aggregate: Aggregate, table: ir.Table, day: ir.IntegerScalar) -> ir.BooleanValue:
    """Which facts the aggregate counts: those inside its window that meet its condition."""
    condition = condition_of(aggregate, table)
    return condition if aggregate.days is None else condition & (table.local_day >= day - aggregate.days)


def value_of(aggregate: Aggregate, table: ir.Table) -> Any:
    """The aggregate's value for each fact: 1 if it has none; in floats if it adds up floats."""
    if aggregate.value is None:
        return ibis.literal(1)
    if aggregate.dtype != "float64" or aggregate.key is not None:
        return evaluate(aggregate.value, table, IBIS)
    return evaluate(aggregate.value, {name: table[name].cast("float64") for name in _numeric(table)}, IBIS)


def _numeric(table: ir.Table) -> list[str]:
    return [name for name, dtype in table.schema().items() if dtype.is_numeric()]


def _last_day_of(aggregate: Aggregate) -> Aggregate:
    if aggregate.last_day is None:
        raise ValueError(f"aggregate {aggregate.name} needs last_day, the aggregate of the last day with a fact")
    return aggregate.last_day


def _with_last_days(table: ir.Table, decayed: list[Aggregate]) -> ir.Table:
    """The facts with the last days, one column each, that decayed totals count back from."""
    if not decayed:
        return table
    last_days = {last.name: last for last in map(_last_day_of, decayed)}
    last = table.group_by("member_id").agg(
        **{f"last.{name}": table.local_day.max(where=condition_of(a, table)) for name, a in last_days.items()}
    )
    return table.left_join(last, "member_id").drop("member_id_right")


def _decayed(aggregate: Aggregate, table: ir.Table) -> ir.Value:
    """Each value times 2^(-days before the last day / half-life). Facts after it are none of these and must not overflow."""
    age = ibis.greatest(table[f"last.{_last_day_of(aggregate).name}"] - table.local_day, 0).cast("float64")
    return (value_of(aggregate, table) * power_of_two(-age / float(aggregate.half_life_days or 1))).cast(EXACT)


def _plain(aggregate: Aggregate, table: ir.Table, day: ir.IntegerScalar) -> ir.Value:
    counted = _counted(aggregate, table, day)
    match aggregate.kind:
        case kind if kind is COUNT:
            return table.count(where=counted)
        case kind if kind is SMALLEST:
            return value_of(aggregate, table).min(where=counted)
        case kind if kind is LARGEST:
            return value_of(aggregate, table).max(where=counted)
        case kind if kind is DECAYED:
            return _decayed(aggregate, table).sum(where=counted).cast("float64")
    return value_of(aggregate, table).sum(where=counted)


def _of_days(aggregate: Aggregate, days: ir.Table, day: ir.IntegerScalar) -> ir.Value:
    match aggregate.kind:
        case kind if kind is LONGEST_GAP:
            return days.gap.max()
        case kind if kind is SQUARED_GAPS:
            return (days.gap * days.gap).sum()
        case kind if kind is SECOND_DAY:
            return days.previous.max()
    return days.count() if aggregate.days is None else days.count(where=days.local_day >= day - aggregate.days)


def with_key(aggregate: Aggregate, table: ir.Table) -> ir.Table:
    """The facts that have a key, with the key as a column."""
    if aggregate.key is None:
        raise ValueError(f"aggregate {aggregate.name} needs a key")
    keyed = table.mutate(key=evaluate(aggregate.key, table, IBIS))
    return keyed.filter(keyed.key.notnull())


def _first(aggregate: Aggregate) -> str:
    days = None if aggregate.kind is NEW_KEYS else aggregate.days
    return f"first of {aggregate.where} in {days}"


def _last(aggregate: Aggregate) -> str:
    return f"last of {aggregate.where}"


def _total(aggregate: Aggregate) -> str:
    return f"total of {aggregate.value} where {aggregate.where} in {aggregate.days}"


def _of_one_key(aggregate: Aggregate, table: ir.Table, day: ir.IntegerScalar) -> dict[str, ir.Value]:
    """What must be known of each member and key. Named by meaning, so that aggregates share what is the same."""
    condition, counted = condition_of(aggregate, table), _counted(aggregate, table, day)
    match aggregate.kind:
        case kind if kind is DISTINCT:
            return {_last(aggregate): table.local_day.max(where=condition)}
        case kind if kind is NEW_KEYS:
            return {_first(aggregate): table.local_day.min(where=condition)}
        case kind if kind is REPEATED_KEYS:
            return {
                _first(aggregate): table.local_day.min(where=counted),
                _last(aggregate): table.local_day.max(where=condition),
            }
    total = table.count(where=counted) if aggregate.value is None else value_of(aggregate, table).sum(where=counted)
    return {_total(aggregate): total}


def _over_keys(aggregate: Aggregate, by_key: ir.Table, day: ir.IntegerScalar) -> ir.Value:
    match aggregate.kind:
        case kind if kind is DISTINCT:
            last = by_key[_last(aggregate)]
            return by_key.count(where=last.notnull() if aggregate.days is None else last >= day - aggregate.days)
        case kind if kind is NEW_KEYS:
            return by_key.count(where=by_key[_first(aggregate)] >= day - (aggregate.days or 0))
        case kind if kind is REPEATED_KEYS:
            return by_key.count(where=by_key[_first(aggregate)] < by_key[_last(aggregate)])
    total = by_key[_total(aggregate)]
    if aggregate.kind is TOP_KEY:
        return total.max()
    floats = total.cast("float64")
    if aggregate.kind is SQUARED_KEYS:
        return (floats * floats).sum()
    positive = ibis.cases((floats > 0, floats))
    return (positive * positive.ln()).cast(EXACT).sum().cast("float64")
