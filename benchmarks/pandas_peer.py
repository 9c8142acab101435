"""The same aggregates as an analyst would write them with pandas: a mask and a groupby each. No benchmark itself."""

from typing import Any

import numpy as np
import pandas as pd

from features.contract import Contract
from features.declarations import Aggregate
from features.expressions import NUMPY, evaluate
from features.facts import Facts
from features.sources.schema import LINES

Series = Any


def frames(facts: Facts, contract: Contract) -> dict[str, pd.DataFrame]:
    """The fact tables that the aggregates need, in memory, with what the catalogue says of items beside order lines."""
    items = facts.tables["items"].to_pyarrow().to_pandas()
    found = {}
    for table in {a.table for a in contract.aggregates}:
        name = "purchases" if table is LINES else table.name
        frame = facts.query(f"SELECT * FROM {name} WHERE member_id IS NOT NULL").to_pandas()
        found[table.name] = frame.merge(items, on="item_id", how="left") if table is LINES else frame
    return found


def aggregates(contract: Contract, tables: dict[str, pd.DataFrame], *, day: int) -> pd.DataFrame:
    """One row a member, one column an aggregate; missing where nothing is counted."""
    members = pd.Index(sorted({member for frame in tables.values() for member in frame["member_id"].unique()}))
    known = {a.name: _one(a, tables[a.table.name], day) for a in contract.aggregates}
    return pd.DataFrame({name: series.reindex(members) for name, series in known.items()})


def _one(aggregate: Aggregate, frame: pd.DataFrame, day: int) -> Series:
    where = _where(aggregate, frame)
    inside = where & (frame["local_day"] >= day - aggregate.days) if aggregate.days is not None else where
    match aggregate.kind.name:
        case "total" | "count":
            return frame[inside].assign(v=_value(aggregate, frame)[inside]).groupby("member_id")["v"].sum()
        case "smallest":
            return frame[inside].assign(v=_value(aggregate, frame)[inside]).groupby("member_id")["v"].min()
        case "largest":
            return frame[inside].assign(v=_value(aggregate, frame)[inside]).groupby("member_id")["v"].max()
        case "distinct_days":
            return frame[inside].groupby("member_id")["local_day"].nunique()
        case "decayed_total":
            return _decayed(aggregate, frame, where)
        case "longest_gap" | "squared_gaps" | "second_last_day":
            return _gaps(aggregate.kind.name, frame[where])
        case "switches":
            return _switches(aggregate, frame[inside])
    return _keyed(aggregate, frame, where, inside, day)


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    return {name: _plain(frame[name]) for name in frame.columns}


def _plain(column: pd.Series) -> Any:
    return column.to_numpy(dtype=object) if column.dtype == "str" or column.dtype == object else column.to_numpy()


def _where(aggregate: Aggregate, frame: pd.DataFrame) -> Any:
    if aggregate.where is None:
        return np.ones(len(frame), dtype=bool)
    return np.asarray(evaluate(aggregate.where, _columns(frame), NUMPY), dtype=bool)


def _value(aggregate: Aggregate, frame: pd.DataFrame) -> Any:
    if aggregate.value is None:
        return np.ones(len(frame), dtype=np.int64)
    return np.asarray(evaluate(aggregate.value, _columns(frame), NUMPY))


def _decayed(aggregate: Aggregate, frame: pd.DataFrame, where: Any) -> Series:
    last = frame[_where(aggregate.last_day, frame)].groupby("member_id")["local_day"].max()  # type: ignore[arg-type]
    chosen = frame[where]
    age = chosen["member_id"].map(last) - chosen["local_day"]
    weighed = _value(aggregate, frame)[where] * np.exp2(-age / (aggregate.half_life_days or 1))
    return chosen.assign(v=weighed).groupby("member_id")["v"].sum()


def _gaps(kind: str, frame: pd.DataFrame) -> Series:
    days = frame[["member_id", "local_day"]].drop_duplicates().sort_values(["member_id", "local_day"])
    previous = days.groupby("member_id")["local_day"].shift()
    days = days.assign(gap=days["local_day"] - previous, previous=previous)
    if kind == "longest_gap":
        return days.groupby("member_id")["gap"].max()
    if kind == "second_last_day":
        return days.groupby("member_id")["previous"].max()
    return days.assign(squared=days["gap"] ** 2).groupby("member_id")["squared"].sum()


def _switches(aggregate: Aggregate, frame: pd.DataFrame) -> Series:
    keyed = frame.assign(key=evaluate(aggregate.key, frame, {})).dropna(subset="key")  # type: ignore[arg-type]
    order = [name for name in dict.fromkeys(("member_id", "occurred_at", *aggregate.table.key)) if name in keyed]
    keyed = keyed.sort_values(order)
    before = keyed.groupby("member_id")["key"].shift()
    return keyed.assign(v=before.notna() & (before != keyed["key"])).groupby("member_id")["v"].sum()


def _keyed(aggregate: Aggregate, frame: pd.DataFrame, where: Any, inside: Any, day: int) -> Series:
    keyed = frame.assign(key=evaluate(aggregate.key, frame, {}), v=_value(aggregate, frame))  # type: ignore[arg-type]
    chosen = keyed[inside & keyed["key"].notna()]
    match aggregate.kind.name:
        case "distinct_keys":
            return chosen.groupby("member_id")["key"].nunique()
        case "new_keys":
            first = keyed[where & keyed["key"].notna()].groupby(["member_id", "key"])["local_day"].min()
            return (first >= day - (aggregate.days or 0)).groupby(level=0).sum()
        case "repeated_keys":
            days = chosen.groupby(["member_id", "key"])["local_day"].agg(["min", "max"])
            return (days["min"] < days["max"]).groupby(level=0).sum()
    totals = chosen.groupby(["member_id", "key"])["v"].sum()
    if aggregate.kind.name == "top_key_total":
        return totals.groupby(level=0).max()
    floats = totals.astype(float)
    if aggregate.kind.name == "squared_key_totals":
        return (floats * floats).groupby(level=0).sum()
    positive = floats[floats > 0]
    return (positive * np.log(positive)).groupby(level=0).sum()
