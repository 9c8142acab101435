"""What members did with each key (item, category, shop), kept beside their aggregates from one night to the next.

A tile has a row for each member and key of one bucket, as plain arrays in the order of members and keys. Tonight's facts are
folded into it, and what is asked about keys (how many, how many new, how much on the largest) is counted from it: so neither
needs history. Keys are told apart by 64-bit hashes.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.arrow_numbers import numbers_of
from features.codec import missing_value
from features.contract import Contract
from features.days import naive_utc
from features.declarations import (
    DISTINCT,
    KEYED_KINDS,
    LARGEST,
    NEW_KEYS,
    REPEATED_KEYS,
    SMALLEST,
    SQUARED_KEYS,
    TOP_KEY,
    Aggregate,
)
from features.narrow import Asked, Records, filled
from features.slices import BEGINNING, Tiling, fields_of, tile_queries, tiling_of, tilings

Column: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One tiling of one bucket.

    Attributes
    ----------
    members, codes
        Of each row the member, as a row number of the bucket, and the key, as a place in `keys`; ascending, no pair twice.
    keys
        Hashes, ascending.
    columns
        Of each row the tiling's fields by name, in their dtypes; a first or last day that never was is missing.
    """

    members: NDArray[np.int32]
    codes: NDArray[np.int32]
    keys: NDArray[np.uint64]
    columns: dict[str, Column] = field(default_factory=dict)

    @classmethod
    def empty(cls, tiling: Tiling) -> "Tile":
        """A tile without rows."""
        columns = {f.name: np.empty(0, dtype=f.dtype) for f in tiling.fields}
        return cls(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint64), columns)


def tiles_since(
    narrow: Asked,
    contract: Contract,
    tiles: dict[str, Tile],
    *,
    as_of: datetime,
    day: int,
    start: int = BEGINNING,
    row_of: NDArray[np.int64],
) -> dict[str, Tile]:
    """Tiles as of a midnight, from those as of the midnight at which `start` begins.

    Parameters
    ----------
    tiles
        By name of the tiling; those that are not given are empty.
    row_of
        The row in the bucket of each member numbered by `narrow`.
    """
    found = {}
    for tiling in tilings(contract):
        tile = tiles.get(tiling.name, Tile.empty(tiling))
        for query in tile_queries(contract, tiling.name) if tiling.table.name in narrow.tables else ():
            named = {"day": day} if "$day" in query.sql else {}
            rows = narrow.ask(query.sql, as_of=naive_utc(as_of), start=start, **named)
            changes = {changed: filled(rows[changed.name], changed) for changed in query.fields}
            tile = folded(tile, tiling, row_of[numbers_of(rows["member_id"])], numbers_of(rows["key"]), changes)
        found[tiling.name] = tile
    return found


def fill_keyed(records: Records, contract: Contract, tiles: dict[str, Tile], *, day: int) -> None:
    """Every keyed aggregate of everyone into their records, row n being that of member n."""
    for aggregate in contract.aggregates:
        if aggregate.kind in KEYED_KINDS:
            records[aggregate.name] = over_keys(aggregate, tiles[tiling_of(aggregate)], day=day, members=len(records))


def renumbered(tile: Tile, number_of: NDArray[np.int64]) -> Tile:
    """The tile after members were given other numbers in the same order; rows of members numbered -1 are left out."""
    members = number_of.astype(np.int32)[tile.members]
    tile = replace(tile, members=members)
    return _chosen(tile, members >= 0) if (number_of < 0).any() else tile


def folded(
    tile: Tile, tiling: Tiling, members: NDArray[np.int64], keys: NDArray[np.uint64], changes: dict[Aggregate, Column]
) -> Tile:
    """The tile with what came and left: sums added, extremes compared. One change for each pair of member and key given."""
    if not len(members):
        return tile
    every_key = np.union1d(tile.keys, keys)
    codes = tile.codes
    if len(every_key) > len(tile.keys):
        codes = np.searchsorted(every_key, tile.keys).astype(np.int32)[codes]
    pairs = tile.members.astype(np.int64) * len(every_key) + codes
    given = members * len(every_key) + np.searchsorted(every_key, keys)
    rows = np.searchsorted(pairs, given)
    fresh = np.flatnonzero(pairs[np.minimum(rows, len(pairs) - 1)] != given) if len(pairs) else np.arange(len(given))
    if len(fresh):
        fresh = fresh[np.argsort(given[fresh])]
        new, places = given[fresh], rows[fresh]
        rows += np.searchsorted(new, given)
        blanks = {f.name: 0 if f.kind.empty is not None else missing_value(np.dtype(f.dtype)) for f in tiling.fields}
        columns = {name: np.insert(column, places, blanks[name]) for name, column in tile.columns.items()}
        tile = Tile(
            np.insert(tile.members, places, new // len(every_key)),
            np.insert(codes, places, new % len(every_key)),
            every_key,
            columns,
        )
    for changed, change in changes.items():
        column = tile.columns[changed.name]
        column[rows] = moved(changed, column[rows], change)
    return tile


def moved(aggregate: Aggregate, before: Column, change: Column) -> Column:
    """Sums with what is to be added; extremes as the smaller or larger of both, where there are both."""
    if aggregate.kind not in (SMALLEST, LARGEST):
        return before + change
    missing = missing_value(before.dtype)
    better = np.minimum(before, change) if aggregate.kind is SMALLEST else np.maximum(before, change)
    return np.where(before == missing, change, np.where(change == missing, before, better))


def joined(left: Tile, right: Tile) -> Tile:
    """Both tiles' rows; no member has rows in both."""
    keys = np.union1d(left.keys, right.keys)
    members = np.concatenate([left.members, right.members])
    codes = np.concatenate([np.searchsorted(keys, tile.keys)[tile.codes] for tile in (left, right)]).astype(np.int32)
    order = np.lexsort((codes, members))
    columns = {name: np.concatenate([column, right.columns[name]])[order] for name, column in left.columns.items()}
    return Tile(members[order], codes[order], keys, columns)


def lasting(tile: Tile, tiling: Tiling, contract: Contract, day: int) -> Tile:
    """The tile without the rows that no aggregate will ever count again, such as visits of long ago."""
    windows = [a.days for a in contract.aggregates if a.kind in KEYED_KINDS and tiling_of(a) == tiling.name]
    if None in windows or any(f.kind is SMALLEST for f in tiling.fields):
        return tile
    oldest = day - max(window or 0 for window in windows)
    counts = np.zeros(len(tile.members), dtype=np.bool_)
    for f in tiling.fields:
        counts |= tile.columns[f.name] >= oldest if f.kind is LARGEST else tile.columns[f.name] != 0
    return tile if counts.all() else _chosen(tile, counts)


def over_keys(aggregate: Aggregate, tile: Tile, *, day: int, members: int) -> Column:
    """A keyed aggregate as of the midnight at which a day begins, for members numbered from 0: one value each."""
    parts = {role: tile.columns[f.name] for role, f in fields_of(aggregate).items()}
    if aggregate.kind is DISTINCT:
        last = parts["last"]
        known = last != missing_value(last.dtype)
        return _count(known if aggregate.days is None else known & (last >= day - aggregate.days), tile, members)
    if aggregate.kind is NEW_KEYS:
        return _count(parts["first"] >= day - (aggregate.days or 0), tile, members)
    if aggregate.kind is REPEATED_KEYS:
        return _count(parts["days"] > 1, tile, members)
    counted = parts["facts"] > 0
    rows, totals = tile.members[counted], parts["total"][counted]
    if aggregate.kind is TOP_KEY:
        return _largest(rows, totals, members)
    floats = totals.astype(np.float64)
    if aggregate.kind is SQUARED_KEYS:
        return np.bincount(rows, weights=floats * floats, minlength=members)
    positive = floats > 0
    return np.bincount(rows[positive], weights=floats[positive] * np.log(floats[positive]), minlength=members)


def _count(counted: NDArray[np.bool_], tile: Tile, members: int) -> Column:
    """How many rows of each member count; rows of a member stand together."""
    found = np.zeros(members, dtype=np.int64)
    if len(counted):
        starts = np.flatnonzero(np.concatenate([[True], tile.members[1:] != tile.members[:-1]]))
        found[tile.members[starts]] = np.add.reduceat(counted.view(np.int8), starts, dtype=np.int64)
    return found


def _largest(rows: Column, totals: Column, members: int) -> Column:
    """The largest total of each member, whose rows stand together; 0 without any."""
    largest = np.zeros(members, dtype=np.int64)
    if len(rows):
        starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
        largest[rows[starts]] = np.maximum.reduceat(totals, starts)
    return largest


def _chosen(tile: Tile, rows: NDArray[np.bool_]) -> Tile:
    """The tile with some of its rows, and the keys that they need."""
    codes = tile.codes[rows]
    used = np.zeros(len(tile.keys), dtype=np.bool_)
    used[codes] = True
    codes = (np.cumsum(used) - 1).astype(np.int32)[codes]
    return Tile(tile.members[rows], codes, tile.keys[used], {name: column[rows] for name, column in tile.columns.items()})
