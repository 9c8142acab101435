"""The same aggregates as a careful analyst would write them with pandas. No benchmark itself.

Columns that are needed are read once, texts as categories. Then one mask a condition, one a window, and one groupby for all
aggregates that share both.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from features.compile import needed_columns
from features.contract import Contract
from features.declarations import Aggregate
from features.expressions import NUMPY, Expression, evaluate
from features.facts import Facts
from features.sources.schema import ITEMS, LINES, FactTable

Series: TypeAlias = Any
PLAIN = {"total": "sum", "count": "size", "smallest": "min", "largest": "max", "distinct_days": "nunique"}
"""Kinds of aggregates that pandas has a name for."""
GAPS = ("longest_gap", "squared_gaps", "second_last_day")
OPERATIONS = {**NUMPY, "missing": lambda value: np.asarray(pd.isna(value))}


def frames(facts: Facts, contract: Contract) -> dict[str, pd.DataFrame]:
    """The fact tables that the aggregates need, in memory, with what the catalogue says of items beside order lines."""
    return {table.name: _frame(facts, contract, table) for table in {a.table for a in contract.aggregates}}


def _frame(facts: Facts, contract: Contract, table: FactTable) -> pd.DataFrame:
    of_items = {c.name for c in ITEMS.columns} - {"item_id"} if table is LINES else set()
    names = needed_columns(contract, table)
    stored = ", ".join(name for name in names if name not in of_items)
    source = "purchases" if table is LINES else table.name
    frame = facts.query(f"SELECT {stored} FROM {source} WHERE member_id IS NOT NULL").to_pandas(strings_to_categorical=True)
    if not of_items:
        return frame
    said = ", ".join(("item_id", *(name for name in names if name in of_items)))
    items = facts.query(f"SELECT {said} FROM items").to_pandas(strings_to_categorical=True).set_index("item_id")
    row_of = items.index.get_indexer(frame["item_id"].cat.categories)[frame["item_id"].cat.codes]
    beside = items.iloc[row_of].set_index(frame.index)
    return pd.concat([frame, beside.where(pd.Series(row_of >= 0, index=frame.index)) if (row_of < 0).any() else beside], axis=1)


def aggregates(contract: Contract, tables: dict[str, pd.DataFrame], *, day: int) -> pd.DataFrame:
    """One row a member, one column an aggregate; missing where nothing is counted."""
    members = pd.Index(sorted({member for frame in tables.values() for member in frame["member_id"].cat.categories}))
    found: dict[str, Series] = {}
    for group in _alike(contract.aggregates, lambda a: (a.table.name, str(a.where))):
        found |= _of_condition(group, tables[group[0].table.name], day)
    return pd.DataFrame({a.name: found[a.name].reindex(members).to_numpy() for a in contract.aggregates}, index=members)


def _alike(given: Iterable[Aggregate], by: Callable[[Aggregate], object]) -> list[list[Aggregate]]:
    groups: dict[object, list[Aggregate]] = {}
    for aggregate in given:
        groups.setdefault(by(aggregate), []).append(aggregate)
    return list(groups.values())


def _of_condition(group: list[Aggregate], frame: pd.DataFrame, day: int) -> dict[str, Series]:
    """Aggregates that share a condition: one mask for them, one a window."""
    used = {name for a in group for _, name in a.columns()} | {"member_id", "local_day", "occurred_at", *group[0].table.key}
    facts = frame if group[0].where is None else frame[np.asarray(evaluate(group[0].where, frame, OPERATIONS), dtype=bool)]
    facts = facts[[name for name in frame.columns if name in used]]
    found: dict[str, Series] = {}
    for same in _alike(group, lambda a: a.days):
        days = same[0].days
        recent = facts if days is None else facts[facts["local_day"] >= day - days]
        found |= _plain([a for a in same if a.kind.name in PLAIN], recent)
        found |= {a.name: _switches(a, recent) for a in same if a.kind.name == "switches"}
        for keyed in _alike((a for a in same if a.key is not None and a.kind.name != "switches"), lambda a: str(a.key)):
            found |= _keyed(keyed, facts, recent, day)
    found |= {a.name: _decayed(a, frame, facts) for a in group if a.kind.name == "decayed_total"}
    found |= _gaps([a for a in group if a.kind.name in GAPS], facts)
    return found


def _value(expression: Expression, facts: pd.DataFrame) -> Any:
    return np.asarray(evaluate(expression, facts, OPERATIONS))


def _plain(same: list[Aggregate], facts: pd.DataFrame) -> dict[str, Series]:
    """One groupby for sums, counts, extremes and days."""
    if not same:
        return {}
    columns: dict[str, Any] = {"member_id": facts["member_id"], "local_day": facts["local_day"]}
    columns |= {str(a.value): _value(a.value, facts) for a in same if a.value is not None}
    wanted = {a.name: (str(a.value) if a.value is not None else "local_day", PLAIN[a.kind.name]) for a in same}
    found = pd.DataFrame(columns).groupby("member_id", observed=True).agg(**wanted)
    return {name: found[name] for name in wanted}


def _decayed(aggregate: Aggregate, frame: pd.DataFrame, facts: pd.DataFrame) -> Series:
    of_last = aggregate.last_day
    if of_last is None:
        raise ValueError(f"aggregate {aggregate.name} needs last_day")
    seen = facts if str(of_last.where) == str(aggregate.where) else frame
    if seen is frame and of_last.where is not None:
        seen = frame[np.asarray(evaluate(of_last.where, frame, OPERATIONS), dtype=bool)]
    last = seen.groupby("member_id", observed=True)["local_day"].max()
    age = facts["member_id"].map(last).astype("float64") - facts["local_day"]
    value = 1.0 if aggregate.value is None else _value(aggregate.value, facts)
    weighed = value * np.exp2(-age / (aggregate.half_life_days or 1))
    return weighed.groupby(facts["member_id"], observed=True).sum()


def _gaps(same: list[Aggregate], facts: pd.DataFrame) -> dict[str, Series]:
    """What lies between a member's days; one sort of the days for all of it."""
    if not same:
        return {}
    days = facts[["member_id", "local_day"]].drop_duplicates().sort_values(["member_id", "local_day"])
    previous = days.groupby("member_id", observed=True)["local_day"].shift()
    gap = days["local_day"] - previous
    grouped = days.assign(longest_gap=gap, squared_gaps=gap**2, second_last_day=previous).groupby("member_id", observed=True)
    return {a.name: grouped[a.kind.name].sum() if a.kind.name == "squared_gaps" else grouped[a.kind.name].max() for a in same}


def _switches(aggregate: Aggregate, facts: pd.DataFrame) -> Series:
    keyed = facts.assign(key=evaluate(aggregate.key, facts, {})).dropna(subset="key")  # type: ignore[arg-type]
    keyed = keyed.assign(tie=_ties(keyed, [name for name in aggregate.table.key if name in keyed]))
    keyed = keyed.sort_values(["member_id", "occurred_at", "tie"])
    codes = keyed["key"].cat.codes
    before = codes.groupby(keyed["member_id"], observed=True).shift()
    changed = before.notna() & (before != codes)
    return changed.groupby(keyed["member_id"], observed=True).sum()


def _ties(facts: pd.DataFrame, by: list[str]) -> Series:
    """The rank of facts of one member and moment by the text of some columns; categories sort by when they were first met."""
    tied = facts.duplicated(["member_id", "occurred_at"], keep=False)
    ranks = facts.loc[tied, by].astype(str).apply(tuple, axis=1).rank(method="first") if tied.any() else 0
    return pd.Series(0, index=facts.index).where(~tied, ranks)


def _keyed(same: list[Aggregate], facts: pd.DataFrame, recent: pd.DataFrame, day: int) -> dict[str, Series]:
    """One row a member and key, for all aggregates that share key, condition and window; then over keys."""
    found = {}
    rows = _by_key(recent, same)
    for aggregate in same:
        if aggregate.kind.name == "new_keys":
            first = _by_key(facts, [aggregate])["first"]
            found[aggregate.name] = _of_member(first >= day - (aggregate.days or 0)).sum()
        else:
            found[aggregate.name] = _over_keys(aggregate, rows)
    return found


def _by_key(facts: pd.DataFrame, same: list[Aggregate]) -> pd.DataFrame:
    key = evaluate(same[0].key, facts, {})  # type: ignore[arg-type]
    columns = {"member_id": facts["member_id"], "key": key, "day": facts["local_day"]}
    columns |= {str(a.value): _value(a.value, facts) for a in same if a.value is not None}
    totals = {str(a.value): (str(a.value), "sum") for a in same if a.value is not None}
    grouped = pd.DataFrame(columns).groupby(["member_id", "key"], observed=True, sort=False)
    return grouped.agg(first=("day", "min"), last=("day", "max"), facts=("day", "size"), **totals)


def _of_member(rows: Series) -> Any:
    return rows.groupby(level=0, observed=True)


def _over_keys(aggregate: Aggregate, rows: pd.DataFrame) -> Series:
    if aggregate.kind.name == "distinct_keys":
        return _of_member(rows["facts"]).size()
    if aggregate.kind.name == "repeated_keys":
        return _of_member(rows["first"] < rows["last"]).sum()
    totals = rows["facts" if aggregate.value is None else str(aggregate.value)]
    if aggregate.kind.name == "top_key_total":
        return _of_member(totals).max()
    floats = totals.astype(float)
    if aggregate.kind.name == "squared_key_totals":
        return _of_member(floats * floats).sum()
    positive = floats[floats > 0]
    return _of_member(positive * np.log(positive)).sum()
