"""One bucket's aggregates brought from one midnight to another, from the facts that came in or left a window between them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.arrow_numbers import numbers_of
from features.codec import columns_of, empty_records
from features.contract import Contract
from features.days import naive_utc
from features.declarations import DECAYED, LONGEST_GAP, SECOND_DAY, Aggregate
from features.live import across_days, store
from features.narrow import Asked, Members, Narrow, Records, filled
from features.night import Nights, Part
from features.slices import (
    arrival_queries,
    arrivals,
    first_day,
    is_carried,
    moved_queries,
    recounted,
    tilings,
)
from features.state import BIT_OF, BucketState, summed_up
from features.tiles import fill_keyed, joined, lasting, moved, renumbered, tiles_since

Columns = dict[str, NDArray[np.float64]]


def advance(
    nights: Nights, came: Part, base: BucketState, bucket: int, repaired: dict[str, Members]
) -> tuple[BucketState, int]:
    """One bucket brought from one midnight to another, and the number of members whom the days touched.

    Parameters
    ----------
    came
        What the days brought and took away, of this bucket.
    repaired
        By fact table the members of whose past something new is known, sorted: they are summed up from all their facts.
    """
    member_ids = _with(base.member_ids, came.member_ids, *repaired.values())
    part = _spread(base, member_ids, nights.contract)
    rows = np.searchsorted(member_ids, came.member_ids)
    _carry(nights, came, part.records, rows)
    _move(nights, came, part.records, rows)
    for table, members in came.present(as_of=nights.as_of).items():
        part.present[rows[members]] |= BIT_OF[table]
    tiles = tiles_since(came, nights.contract, part.tiles, as_of=nights.as_of, day=nights.day, start=nights.start, row_of=rows)
    _replaced(part, recounted(nights.contract), *came.recounted())
    part = _repair(nights, bucket, replace(part, tiles=tiles), repaired)
    touched = len(_with(came.member_ids, *repaired.values()))
    return _settled(nights, part), touched


def _with(members: Members, *others: Members) -> Members:
    """Everyone of these, sorted; the first are sorted."""
    fresh = [other[~np.isin(other, members)] for other in others if len(other)]
    return np.unique(np.concatenate([members, *fresh])) if any(map(len, fresh)) else members


def _spread(base: BucketState, member_ids: Members, contract: Contract) -> BucketState:
    """A copy of last night's, with room for members that are new."""
    rows = np.searchsorted(member_ids, base.member_ids)
    records, present = empty_records(contract, len(member_ids)), np.zeros(len(member_ids), dtype=np.uint8)
    records[rows], present[rows] = base.records, base.present
    tiles = base.tiles
    if len(member_ids) > len(rows):
        tiles = {name: renumbered(tile, rows) for name, tile in tiles.items()}
    return BucketState(member_ids, records, present, tiles)


def _carry(nights: Nights, came: Asked, records: Records, rows: NDArray[np.int64]) -> None:
    """Decayed totals and gaps, from what they were and what they are over the facts that came alone."""
    wanted = arrivals(nights.contract)
    alone = empty_records(wanted, len(rows))
    for query in arrival_queries(nights.contract):
        if query.table in came.tables:
            found = came.ask(query.sql, as_of=naive_utc(nights.as_of), start=nights.start, **_if_named(query.sql, nights))
            for aggregate in query.aggregates:
                alone[aggregate.name][numbers_of(found["member_id"])] = filled(found[aggregate.name], aggregate)
    touched = records[rows]
    before, new = columns_of(touched), columns_of(alone)
    for aggregate in filter(is_carried, nights.contract.aggregates):
        store(touched, aggregate, _carried(aggregate, before, new))
    records[rows] = touched


def _carried(aggregate: Aggregate, before: Columns, came: Columns) -> NDArray[np.float64]:
    if aggregate.kind in (DECAYED, SECOND_DAY):
        return across_days(aggregate, before, came)
    if aggregate.last_day is None:
        raise ValueError(f"aggregate {aggregate.name} needs last_day, the aggregate of the last day with a fact")
    between = came[first_day(aggregate.last_day)] - before[aggregate.last_day.name]
    if aggregate.kind is LONGEST_GAP:
        return np.fmax(np.fmax(before[aggregate.name], came[aggregate.name]), between)
    return before[aggregate.name] + came[aggregate.name] + np.nan_to_num(between) ** 2


def _move(nights: Nights, came: Asked, records: Records, rows: NDArray[np.int64]) -> None:
    """Sums with what came and left, extremes with what came."""
    for query in moved_queries(nights.contract):
        if query.table in came.tables:
            found = came.ask(query.sql, as_of=naive_utc(nights.as_of), start=nights.start, **_if_named(query.sql, nights))
            of = rows[numbers_of(found["member_id"])]
            for aggregate in query.aggregates:
                column = records[aggregate.name]
                column[of] = moved(aggregate, column[of], filled(found[aggregate.name], aggregate))


def _if_named(sql: str, nights: Nights) -> dict[str, int]:
    """The day, for queries that ask for it: the database refuses parameters that it is not asked for."""
    return {"day": nights.day} if "$day" in sql else {}


def _replaced(
    part: BucketState, contract: Contract, members: Mapping[str, Members], fresh_ids: Members, fresh: Records
) -> None:
    """Fresh values in the place of those of the members given by fact table; the values of no facts where there are none."""
    rows = np.searchsorted(part.member_ids, fresh_ids)
    blank = empty_records(contract, 1)
    for aggregate in (a for a in contract.aggregates if a.table.name in members):
        concerned = np.searchsorted(part.member_ids, members[aggregate.table.name])
        there = np.isin(rows, concerned)
        part.records[aggregate.name][concerned] = blank[aggregate.name][0]
        part.records[aggregate.name][rows[there]] = fresh[aggregate.name][there]


def _repair(nights: Nights, bucket: int, part: BucketState, members: dict[str, Members]) -> BucketState:
    """Members of whose past something new is known, summed up from all their facts in the tables concerned."""
    if not any(map(len, members.values())):
        return part
    narrow = Narrow(nights.facts, bucket, nights.contract, before=nights.as_of, only=members)
    fresh = summed_up(narrow, nights.contract, as_of=nights.as_of, day=nights.day)
    narrow.close()
    rows = np.searchsorted(part.member_ids, fresh.member_ids)
    _replaced(part, nights.contract, members, fresh.member_ids, fresh.records)
    for table, concerned_members in members.items():
        part.present[np.searchsorted(part.member_ids, concerned_members)] &= ~BIT_OF[table]
    part.present[rows] |= fresh.present
    tiles = dict(part.tiles)
    for tiling in tilings(nights.contract):
        kept = np.arange(len(part.member_ids))
        kept[np.searchsorted(part.member_ids, members.get(tiling.table.name, part.member_ids[:0]))] = -1
        tiles[tiling.name] = joined(renumbered(tiles[tiling.name], kept), renumbered(fresh.tiles[tiling.name], rows))
    return replace(part, tiles=tiles)


def _settled(nights: Nights, part: BucketState) -> BucketState:
    """What goes by keys counted, and all that is of no use any more left out."""
    known = part.present != 0
    tiles = {t.name: lasting(part.tiles[t.name], t, nights.contract, nights.day) for t in tilings(nights.contract)}
    if not known.all():
        row_of = np.where(known, np.cumsum(known) - 1, -1)
        tiles = {name: renumbered(tile, row_of) for name, tile in tiles.items()}
        part = BucketState(part.member_ids[known], part.records[known], part.present[known])
    fill_keyed(part.records, nights.contract, tiles, day=nights.day)
    return replace(part, tiles=tiles)
