"""Today's facts folded into a record, and that record merged with last midnight's: batch and live agree by construction.

Windows begin at a local midnight and nothing leaves them in the course of a day. So the value at T is the value at last
midnight merged with today's facts, by the rule of the aggregate's kind.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.codec import columns_of, empty_records, missing_value
from features.contract import Contract
from features.declarations import Aggregate
from features.expressions import NUMPY, evaluate
from features.sources.schema import FactTable

Facts = Mapping[str, NDArray[np.generic]]


def fold(contract: Contract, member_ids: Sequence[str], facts: Mapping[str, Facts]) -> NDArray[np.void]:
    """Records of today for the members given, one each in their order; nightly aggregates and gaps stay empty.

    Parameters
    ----------
    member_ids
        Distinct members; facts of others are left out.
    facts
        Today's rows by fact table and column, None or NaN where a row says nothing. The order of rows does not matter.
    """
    records = empty_records(contract, len(member_ids))
    row_of = {member: row for row, member in enumerate(member_ids)}
    moving = [aggregate for aggregate in contract.aggregates if aggregate.freshness == "event"]
    for table in {aggregate.table.name: aggregate.table for aggregate in moving}.values():
        if table.name in facts:
            columns = _numbers_as_floats(table, facts[table.name])
            rows = np.array([row_of.get(member, -1) for member in columns["member_id"]], dtype=np.intp)
            for aggregate in moving:
                if aggregate.table is table:
                    _fold_one(aggregate, records, rows, columns)
    return records


def merge(contract: Contract, base: NDArray[np.void], today: NDArray[np.void]) -> NDArray[np.void]:
    """Records as of now from those of last midnight and those of today, row by row."""
    merged = base.copy()
    before, now = columns_of(base), columns_of(today)
    for aggregate in contract.aggregates:
        if aggregate.freshness == "event":
            store(merged, aggregate, across_days(aggregate, before, now))
    return merged


def _fold_one(aggregate: Aggregate, records: NDArray[np.void], rows: NDArray[np.intp], columns: Facts) -> None:
    counted = rows >= 0
    if aggregate.where is not None:
        counted = counted & evaluate(aggregate.where, columns, NUMPY)
    if aggregate.kind.within_day == "keep" or not counted.any():
        return
    value = np.ones(len(rows)) if aggregate.value is None else _floats(evaluate(aggregate.value, columns, NUMPY))
    counted &= ~np.isnan(value)  # what a fact does not say is left out of a sum, as in the query
    if aggregate.kind.within_day == "decay":
        value = value * _weights(aggregate, rows, np.asarray(columns["local_day"], dtype=np.float64), counted, len(records))
    folded = columns_of(records)[aggregate.name]
    fold_in = {"add": np.add, "decay": np.add, "smaller": np.fmin, "larger": np.fmax}[aggregate.kind.within_day]
    fold_in.at(folded, rows[counted], value[counted])
    store(records, aggregate, folded)


def _numbers_as_floats(table: FactTable, columns: Facts) -> Facts:
    """The columns given, numbers among them as floats with NaN for None, so that they can be compared."""
    numbers = {column.name for column in table.columns if column.type in ("int32", "int64")}
    return {name: _floats(column) if name in numbers else column for name, column in columns.items()}


def _floats(column: NDArray[np.generic]) -> NDArray[np.float64]:
    """An array as floats, with NaN for None."""
    return np.asarray(column).astype(np.float64)


def _weights(
    aggregate: Aggregate, rows: NDArray[np.intp], days: NDArray[np.float64], counted: NDArray[np.bool_], members: int
) -> NDArray[np.float64]:
    """Weight of each fact: 1 on the member's last day among these facts, half as much each half-life before it."""
    last = np.full(members, -np.inf)
    np.maximum.at(last, rows[counted], days[counted])
    ages = np.where(counted, last[rows] - days, 0.0)
    return np.asarray(np.exp2(-ages / (aggregate.half_life_days or 1)))


def across_days(
    aggregate: Aggregate, before: Mapping[str, NDArray[np.float64]], now: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """An aggregate of all days from that of earlier days and that of one day after them, by the rule of its kind."""
    base, today = before[aggregate.name], now[aggregate.name]
    match aggregate.kind.across_days:
        case "add":
            return base + today
        case "smaller":
            return np.fmin(base, today)
        case "larger":
            return np.fmax(base, today)
        case "decay":
            return _decayed(aggregate, before, now)
        case "second_day":
            return _second_day(aggregate, before, now)
        case "longest_gap":
            return np.fmax(base, _new_gap(aggregate, before, now))
        case "add_squared_gap":
            return base + np.nan_to_num(_new_gap(aggregate, before, now)) ** 2
    return base


def _new_gap(
    aggregate: Aggregate, before: Mapping[str, NDArray[np.float64]], now: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Days from the last day with facts before today to today; NaN where there is no such pair, or today's came late."""
    last = _last_day_of(aggregate)
    gap = now[last] - before[last]
    return np.where(gap > 0, gap, np.nan)


def _last_day_of(aggregate: Aggregate) -> str:
    if aggregate.last_day is None:
        raise ValueError(f"aggregate {aggregate.name} needs last_day, the aggregate of the last day with a fact")
    return aggregate.last_day.name


def _decayed(
    aggregate: Aggregate, before: Mapping[str, NDArray[np.float64]], now: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Both totals as of the later of their last days; one without a last day is 0 or missing, and stays that."""
    last = _last_day_of(aggregate)
    latest = np.fmax(before[last], now[last])
    half_life = aggregate.half_life_days or 1
    moved = (side[aggregate.name] * np.exp2(-np.nan_to_num(latest - side[last]) / half_life) for side in (before, now))
    return np.add(*moved)


def _second_day(
    aggregate: Aggregate, before: Mapping[str, NDArray[np.float64]], now: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The second largest of all the days both sides know of."""
    last = _last_day_of(aggregate)
    latest = np.fmax(before[last], now[last])
    earlier = np.fmax(before[aggregate.name], now[aggregate.name])
    for side in (before[last], now[last]):
        earlier = np.fmax(earlier, np.where(side < latest, side, np.nan))
    return earlier


def store(records: NDArray[np.void], aggregate: Aggregate, values: NDArray[np.float64]) -> None:
    """Values into a field of the records, NaN as what is missing."""
    dtype = records.dtype[aggregate.name]
    records[aggregate.name] = np.where(np.isnan(values), missing_value(dtype), values)
