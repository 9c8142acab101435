"""Every aggregate of a bucket's members from its facts as arrays, as of one moment or several.

The same declarations as the queries of `features.compile` are read here; a test holds one against the other. Facts are looked
at once for each condition, not once for each window and moment (`features.segments`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from features.arrays import THREADS, Bucket, Rows, read_bucket
from features.codec import empty_records
from features.contract import Contract
from features.declarations import (
    COUNT,
    DAYS,
    DECAYED,
    GAP_KINDS,
    KEYED_KINDS,
    LARGEST,
    LONGEST_GAP,
    NEW_KEYS,
    SECOND_DAY,
    SMALLEST,
    SQUARED_GAPS,
    SWITCHES,
    TOTAL,
    Aggregate,
)
from features.facts import Facts
from features.keyed import fill_keyed_aggregates
from features.moments import Moment, start_of, store_known
from features.narrow import Members, Records
from features.segments import Segments, exact_sums
from features.summaries import grouped
from features.switching import fill_switches

WORTH_LEAVING_OUT = 0.75
"""Share of the facts within reach below which the others are left out first."""


def aggregates_at(
    facts: Facts, bucket: int, contract: Contract, moments: Sequence[datetime]
) -> Iterator[tuple[Members, Records]]:
    """Members of a bucket with a fact before each moment, sorted by id, and their aggregates as of then.

    The facts are read once, and added up once for all moments that are midnights where nothing was recorded late.
    """
    days = [facts.local_day(moment) for moment in moments]
    midnights = all(facts.midnight(day) == moment for day, moment in zip(days, moments, strict=True))
    read = read_bucket(facts, bucket, contract, moments=not midnights)
    corrected = any(rows.known_from is not None or rows.known_until is not None for rows in read.tables.values())
    if midnights and not corrected:
        yield from _summed(contract, read, [(day, day) for day in days])
        return
    for day, moment in zip(days, moments, strict=True):
        yield from _summed(contract, read.as_of(moment, day), [(day, None)])


def _summed(contract: Contract, bucket: Bucket, asked: list[tuple[int, int | None]]) -> Iterator[tuple[Members, Records]]:
    moments = [Moment(day, until, empty_records(contract, len(bucket.member_ids))) for day, until in asked]
    work = [task for name, rows in bucket.tables.items() for task in _tasks(contract, name, rows, moments)]
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(task) for task in work]:
            done.result()
    for moment in moments:
        present = np.zeros(len(bucket.member_ids), dtype=np.bool_)
        for rows in bucket.tables.values():
            present[rows.members if moment.until is None else rows.members[rows.days < moment.until]] = True
        yield bucket.member_ids[present], moment.records[present]


def _tasks(contract: Contract, table: str, rows: Rows, moments: list[Moment]) -> Iterator[Callable[[], None]]:
    """What is to be done for one table, the longest first; each fills fields of its own."""
    own = [a for a in contract.aggregates if a.table.name == table]
    recent = Recent(rows, moments)
    for group in grouped(own, KEYED_KINDS, lambda a: str(a.key)):
        yield partial(fill_keyed_aggregates, recent.of(group), group, moments)
    sums = grouped(own, (TOTAL, COUNT), lambda a: (str(a.where), str(a.value), a.dtype))
    parts = [recent.of(group) for group in sums]
    cells = {id(part): MemberDays(part, _segments(own, moments)) for part in (rows, *parts)}
    for group, part in zip(sums, parts, strict=True):
        yield partial(_fill_sums, cells[id(part)], group, moments)
    table_of = cells[id(rows)]
    for group in grouped(own, (SMALLEST, LARGEST), lambda a: (str(a.where), str(a.value), a.kind.name)):
        yield partial(_fill_extremes, table_of, group, moments)
    for group in grouped(own, (DAYS, *GAP_KINDS), lambda a: str(a.where)):
        yield partial(_fill_days, table_of, group, moments)
    for aggregate in (a for a in own if a.kind is DECAYED):
        yield partial(_fill_decayed, table_of, aggregate, moments)
    for group in grouped(own, (SWITCHES,), lambda a: a.kind.name):
        yield partial(fill_switches, rows, group, moments)


def _segments(aggregates: list[Aggregate], moments: list[Moment]) -> Segments:
    windows = {aggregate.days or 0 for aggregate in aggregates}
    edges = [edge for m in moments for edge in (m.until, *(m.day - w for w in windows)) if edge is not None]
    return Segments.between(len(moments[0].records), edges)


@dataclass
class Recent:
    """The facts of a table, and those of them that windows reach, found once for each reach."""

    rows: Rows
    moments: list[Moment]
    _found: dict[int, Rows] = field(default_factory=dict)

    def of(self, aggregates: list[Aggregate]) -> Rows:
        """The facts that some aggregates look at; all of them where that is most."""
        windows = [a.days for a in aggregates if a.days is not None and a.kind is not NEW_KEYS]
        if len(windows) < len(aggregates) or not len(self.rows):
            return self.rows
        oldest = min(moment.day for moment in self.moments) - max(windows)
        if oldest not in self._found:
            reached = self.rows.days >= oldest
            worth = reached.mean() < WORTH_LEAVING_OUT
            self._found[oldest] = self.rows.where(reached) if worth else self.rows
        return self._found[oldest]


@dataclass
class MemberDays:
    """The facts of a table with the cell of member and stretch of days that each falls into."""

    rows: Rows
    segments: Segments

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """The cell of each fact."""
        return self.segments.cells(self.rows.members, self.rows.days)

    def chosen(self, aggregate: Aggregate) -> NDArray[np.bool_] | None:
        """Which facts the aggregate is about, whenever they happened; None is all."""
        return None if aggregate.where is None else np.asarray(self.rows.value(aggregate.where))

    def of(self, aggregate: Aggregate) -> tuple[NDArray[np.int64], NDArray[np.generic] | None]:
        """The cells of the facts that the aggregate is about, and their values; None where each counts as one."""
        chosen = self.chosen(aggregate)
        cells = self.cells if chosen is None else self.cells[chosen]
        if aggregate.value is None:
            return cells, None
        values = np.asarray(self.rows.value(aggregate.value))
        if values.dtype.kind == "i" and aggregate.dtype == "float64":
            values = np.asarray(self.in_floats(aggregate))
        values = values if chosen is None else values[chosen]
        known = ~np.isnan(values) if values.dtype.kind == "f" else None
        return (cells, values) if known is None or known.all() else (cells[known], values[known])

    def in_floats(self, aggregate: Aggregate) -> NDArray[np.float64]:
        """The value reckoned in floats throughout, as its sum is one."""
        if aggregate.value is None:
            return np.ones(len(self.rows))
        numbers = {name: v.astype(np.float64) for name, v in self.rows.columns.items() if isinstance(v, np.ndarray)}
        used = {name: v for name, v in numbers.items() if (aggregate.table.name, name) in aggregate.columns()}
        return np.asarray(Rows(self.rows.members, used or numbers, self.rows.moments).value(aggregate.value), dtype=np.float64)


def _fill_sums(table: MemberDays, group: list[Aggregate], moments: list[Moment]) -> None:
    cells, values = table.of(group[0])
    windows = table.segments.windows(table.segments.sums(cells, values))
    for moment in moments:
        for aggregate in group:
            moment.records[aggregate.name] = windows.between(start_of(aggregate, moment), moment.until)


def _fill_extremes(table: MemberDays, group: list[Aggregate], moments: list[Moment]) -> None:
    cells, values = table.of(group[0])
    sign = 1.0 if group[0].kind is SMALLEST else -1.0
    found = table.segments.smallest(cells, sign * np.asarray(values, dtype=np.float64))
    for moment in moments:
        for aggregate in group:
            window = found[table.segments.stretches(start_of(aggregate, moment), moment.until)]
            best = window.min(axis=0, initial=np.inf)
            store_known(moment.records, aggregate, sign * best, np.isfinite(best))


def _fill_days(table: MemberDays, group: list[Aggregate], moments: list[Moment]) -> None:
    chosen = table.chosen(group[0])
    rows = table.rows
    members, days = (rows.members, rows.days) if chosen is None else (rows.members[chosen], rows.days[chosen])
    of, on = distinct_days(members, days)
    cells = table.segments.cells(of, on)
    after = np.flatnonzero(of[1:] == of[:-1]) + 1
    gaps = on[after] - on[after - 1]
    for aggregate in group:
        if aggregate.kind in (LONGEST_GAP, SECOND_DAY):
            values = gaps if aggregate.kind is LONGEST_GAP else on[after - 1]
            found = -table.segments.smallest(cells[after], -values.astype(np.float64))
            for moment in moments:
                window = found[table.segments.stretches(start_of(aggregate, moment), moment.until)]
                best = window.max(axis=0, initial=-np.inf)
                store_known(moment.records, aggregate, best, np.isfinite(best))
        else:
            squared = aggregate.kind is SQUARED_GAPS
            sums = table.segments.sums(cells[after], gaps * gaps) if squared else table.segments.sums(cells)
            windows = table.segments.windows(sums)
            for moment in moments:
                moment.records[aggregate.name] = windows.between(start_of(aggregate, moment), moment.until)


def distinct_days(members: NDArray[np.int32], days: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each member's days once, in order: members and days."""
    if not len(days):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    first = int(days.min())
    span = int(days.max()) - first + 1
    packed = np.sort(members.astype(np.int64) * span + (days - first))
    packed = packed[np.concatenate([[True], packed[1:] != packed[:-1]])]
    return packed // span, packed % span + first


def _fill_decayed(table: MemberDays, aggregate: Aggregate, moments: list[Moment]) -> None:
    """Each value times 2^(-days before the last day / half-life)."""
    if aggregate.last_day is None:
        raise ValueError(f"aggregate {aggregate.name} needs last_day, the aggregate of the last day with a fact")
    rows, members = table.rows, len(moments[0].records)
    chosen, of_last = table.chosen(aggregate), table.chosen(aggregate.last_day)
    values = table.in_floats(aggregate)
    for moment in moments:
        past = np.ones(len(rows), dtype=np.bool_) if moment.until is None else rows.days < moment.until
        last = np.full(members, -np.inf)
        seen = past if of_last is None else past & of_last
        np.maximum.at(last, rows.members[seen], rows.days[seen].astype(np.float64))
        counted = past if chosen is None else past & chosen
        counted &= np.isfinite(last)[rows.members] & ~np.isnan(values)
        start = start_of(aggregate, moment)
        counted = counted if start is None else counted & (rows.days >= start)
        age = np.maximum(last[rows.members[counted]] - rows.days[counted], 0.0)
        weighed = values[counted] * np.exp2(-age / float(aggregate.half_life_days or 1))
        moment.records[aggregate.name] = exact_sums(rows.members[counted], weighed, members)
