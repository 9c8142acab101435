"""Today's facts folded into a record, and that record merged with last midnight's: batch and live agree by construction.

Windows begin at a local midnight and nothing leaves them in the course of a day. So the value at T is the value at last
midnight merged with today's facts, by the rule of the aggregate's kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from features.codec import columns_of, empty_records, floats_of, missing_value, put_floats
from features.contract import Contract
from features.declarations import AcrossDays, Aggregate
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
            columns = numbers_as_floats(table, facts[table.name])
            rows = np.array([row_of.get(member, -1) for member in columns["member_id"]], dtype=np.intp)
            for aggregate in moving:
                if aggregate.table is table:
                    _fold_one(aggregate, records, rows, columns)
    return records


def merge(contract: Contract, base: NDArray[np.void], today: NDArray[np.void]) -> NDArray[np.void]:
    """Records as of now from those of last midnight and those of today, row by row."""
    merged = base.copy()
    merge_into(contract, merged, floats_of(contract, today))
    return merged


def merge_into(contract: Contract, records: NDArray[np.void], now: NDArray[np.float64]) -> None:
    """Merge a day into records of midnight, in place. `now` is as `features.codec.floats_of` gives that day's."""
    plan, before = _plan(contract), floats_of(contract, records)
    after = before.copy()
    after[plan.adding] += now[plan.adding]
    after[plan.smaller] = np.fmin(before[plan.smaller], now[plan.smaller])
    after[plan.larger] = np.fmax(before[plan.larger], now[plan.larger])
    after[plan.decaying] = _decayed(plan, before, now)
    sides = [{name: side[row] for name, row in plan.operands.items()} for side in (before, now)]
    for row, aggregate in plan.others.items():
        after[row] = across_days(aggregate, *sides)
    put_floats(contract, records, after, plan.moving)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which aggregates are merged together, by their positions: one operation each, however many there are.

    Attributes
    ----------
    decaying, last_days, half_lives
        Decayed totals; for each the position of the last day of the same facts, and its half-life in days.
    others
        Aggregates with a rule of their own, by position.
    operands
        Positions of all that those rules read, by name.
    moving
        All that a merge may change, ascending.
    """

    adding: NDArray[np.intp]
    smaller: NDArray[np.intp]
    larger: NDArray[np.intp]
    decaying: NDArray[np.intp]
    last_days: NDArray[np.intp]
    half_lives: NDArray[np.float64]
    others: dict[int, Aggregate]
    operands: dict[str, int]
    moving: NDArray[np.intp]


@cache
def _plan(contract: Contract) -> _Plan:
    row_of = {aggregate: row for row, aggregate in enumerate(contract.aggregates)}
    moving = {a: row for a, row in row_of.items() if a.freshness == "event" and a.kind.across_days != "keep"}

    def of(*rules: AcrossDays) -> dict[Aggregate, int]:
        return {aggregate: row for aggregate, row in moving.items() if aggregate.kind.across_days in rules}

    decaying, others = of("decay"), of("second_day", "longest_gap", "add_squared_gap")
    needed = {*others, *(a.last_day for a in others if a.last_day is not None)}
    return _Plan(
        adding=_positions(of("add")),
        smaller=_positions(of("smaller")),
        larger=_positions(of("larger")),
        decaying=_positions(decaying),
        last_days=np.array([row_of[a.last_day] for a in decaying if a.last_day is not None], dtype=np.intp),
        half_lives=np.array([[a.half_life_days or 1] for a in decaying], dtype=np.float64).reshape(-1, 1),
        others={row: aggregate for aggregate, row in others.items()},
        operands={aggregate.name: row_of[aggregate] for aggregate in needed},
        moving=_positions(moving),
    )


def _positions(rows: Mapping[Aggregate, int]) -> NDArray[np.intp]:
    return np.array(list(rows.values()), dtype=np.intp)


def _fold_one(aggregate: Aggregate, records: NDArray[np.void], rows: NDArray[np.intp], columns: Facts) -> None:
    if aggregate.kind.within_day != "keep":
        start = columns_of(records[[aggregate.name]])[aggregate.name]
        store(records, aggregate, folded(aggregate, start, rows, columns))


def folded(aggregate: Aggregate, start: NDArray[np.float64], rows: NDArray[np.intp], columns: Facts) -> NDArray[np.float64]:
    """An aggregate of one day with more facts of that day folded in; `start` itself where there are none.

    Parameters
    ----------
    start
        Its values so far, one for each record.
    rows
        Which record each fact belongs to; below 0 for none of them.
    """
    counted = rows >= 0
    if aggregate.where is not None:
        counted = counted & evaluate(aggregate.where, columns, NUMPY)
    if not counted.any():
        return start
    value = np.ones(len(rows)) if aggregate.value is None else _floats(evaluate(aggregate.value, columns, NUMPY))
    counted &= ~np.isnan(value)  # what a fact does not say is left out of a sum, as in the query
    if aggregate.kind.within_day == "decay":
        value = value * _weights(aggregate, rows, np.asarray(columns["local_day"], dtype=np.float64), counted, len(start))
    result = start.copy()
    fold_in = {"add": np.add, "decay": np.add, "smaller": np.fmin, "larger": np.fmax}[aggregate.kind.within_day]
    fold_in.at(result, rows[counted], value[counted])
    return result


def numbers_as_floats(table: FactTable, columns: Facts) -> Facts:
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
            return _decayed_one(aggregate, before, now)
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


def _decayed_one(
    aggregate: Aggregate, before: Mapping[str, NDArray[np.float64]], now: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    last = _last_day_of(aggregate)
    base, today = ((side[aggregate.name], side[last]) for side in (before, now))
    return _moved_and_added(base, today, aggregate.half_life_days or 1)


def _decayed(plan: _Plan, before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    base, today = ((side[plan.decaying], side[plan.last_days]) for side in (before, now))
    return _moved_and_added(base, today, plan.half_lives)


def _moved_and_added(
    before: tuple[NDArray[np.float64], NDArray[np.float64]],
    now: tuple[NDArray[np.float64], NDArray[np.float64]],
    half_life: NDArray[np.float64] | int,
) -> NDArray[np.float64]:
    """Both totals as of the later of their last days; one without a last day is 0 or missing, and stays that."""
    latest = np.fmax(before[1], now[1])
    moved = (total * np.exp2(-np.nan_to_num(latest - last) / half_life) for total, last in (before, now))
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
