"""What goes by keys (items, categories, shops), from facts as arrays: facts in the order of member, key and day.

Where keys are few, facts are added to a cell for each member and key instead (`features.key_cells`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.arrays import Rows, Words
from features.declarations import DISTINCT, KEYED_KINDS, NEW_KEYS, REPEATED_KEYS, SQUARED_KEYS, TOP_KEY, Aggregate
from features.key_cells import Cells, CellSpans, are_few, ask_for_days, in_cells, segments_of
from features.moments import Moment, start_of
from features.segments import exact_sums
from features.summaries import grouped

MOST_BITS = 63


def fill_keyed_aggregates(rows: Rows, group: list[Aggregate], moments: list[Moment]) -> None:
    """Aggregates over one table that share a key, as of every moment."""
    if group[0].key is None:
        raise ValueError(f"aggregate {group[0].name} needs a key")
    codes = codes_of(rows.value(group[0].key))
    for part in grouped(group, KEYED_KINDS, lambda a: str(a.where)):
        for found, aggregates in _in_pairs(rows, codes, part, moments):
            for moment in moments:
                spans = Spans(found, moment) if isinstance(found, Pairs) else CellSpans(found, moment)
                for aggregate in aggregates:
                    moment.records[aggregate.name] = _of_member(aggregate, spans)


def codes_of(key: Any) -> NDArray[np.int32]:
    """A number for each key, from 0; -1 where there is none."""
    if isinstance(key, Words):
        return key.codes
    values = np.asarray(key)
    known = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), dtype=np.bool_)
    codes = np.full(len(values), -1, dtype=np.int32)
    codes[known] = np.unique(values[known], return_inverse=True)[1]
    return codes


@dataclass(frozen=True, slots=True)
class Pairs:
    """Facts that have a key and meet a condition, in the order of member, key and day.

    Attributes
    ----------
    days, values
        Of each fact; values by what they are, as declared.
    starts, members
        Of each pair of member and key: its first fact, and the member.
    """

    days: NDArray[np.int32]
    values: Mapping[str, NDArray[Any]]
    starts: NDArray[np.int64]
    members: NDArray[np.int64]

    def position(self, day: int | None) -> NDArray[np.int64]:
        """Of each pair the place of its first fact on a day or later; None is past the end."""
        if not len(self.starts):
            return self.starts
        if day is None or day > int(self.days.max()):
            return np.append(self.starts[1:], len(self.days))
        earlier = np.add.reduceat((self.days < day).view(np.int8), self.starts, dtype=np.int32)
        return self.starts + earlier


class Spans:
    """Where the windows of a moment begin and end among the facts of each pair, each found once."""

    def __init__(self, pairs: Pairs, moment: Moment) -> None:
        self.pairs, self.moment = pairs, moment
        self.ends = pairs.position(moment.until)
        self._from: dict[int, NDArray[np.int64]] = {}

    def starts(self, day: int | None) -> NDArray[np.int64]:
        """Of each pair the first fact of a window that begins with a day."""
        if day is None:
            return self.pairs.starts
        if day not in self._from:
            self._from[day] = np.minimum(self.pairs.position(day), self.ends)
        return self._from[day]

    @property
    def members(self) -> NDArray[np.int64]:
        """The member of each pair."""
        return self.pairs.members

    def counted(self, aggregate: Aggregate) -> NDArray[np.bool_]:
        """Which pairs count: with a fact in the window; whose first lies in it; with facts on two days, the first in it."""
        pairs, ends, start = self.pairs, self.ends, start_of(aggregate, self.moment)
        if aggregate.kind is NEW_KEYS and len(pairs.days):
            first = pairs.days[pairs.starts]
            return (ends > pairs.starts) & (first >= (self.moment.day if start is None else start))
        starts = self.starts(start)
        known = ends > starts
        if aggregate.kind is REPEATED_KEYS and len(pairs.days):
            first = pairs.days[np.where(known, starts, 0)]
            return known & (first < pairs.days[np.maximum(ends - 1, 0)])
        return known

    def totals(self, aggregate: Aggregate) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Of each pair with a fact in the window its member and its total, members together."""
        pairs, ends, starts = self.pairs, self.ends, self.starts(start_of(aggregate, self.moment))
        counted = ends > starts
        totals = ends - starts if aggregate.value is None else _totals(pairs.values[str(aggregate.value)], starts, ends)
        return pairs.members[counted], totals[counted]


def _in_pairs(
    rows: Rows, codes: NDArray[np.int32], group: list[Aggregate], moments: list[Moment]
) -> Iterator[tuple[Pairs | Cells, list[Aggregate]]]:
    """Facts in order, and the aggregates with one condition that are counted from them; those with missing values apart."""
    chosen = codes >= 0
    if group[0].where is not None:
        chosen &= np.asarray(rows.value(group[0].where))
    values = {str(a.value): np.asarray(rows.value(a.value)) for a in group if a.value is not None}
    gaps = {name: np.isnan(given) for name, given in values.items() if given.dtype.kind == "f" and np.isnan(given).any()}
    whole = {name: _whole(given) for name, given in values.items() if name not in gaps}
    shared = [a for a in group if str(a.value) not in gaps]
    if shared:
        yield _in_cells(rows, codes, chosen, whole, shared, moments) or _in_order(rows, codes, chosen, whole), shared
    for name, missing in gaps.items():
        own = [a for a in group if str(a.value) == name]
        yield _in_order(rows, codes, chosen & ~missing, {name: values[name]}), own


def _whole(values: NDArray[Any]) -> NDArray[Any]:
    """Floats that are whole numbers as integers, of which running sums are exact."""
    return values.astype(np.int64) if values.dtype.kind == "f" and (values == np.rint(values)).all() else values


def _in_cells(
    rows: Rows,
    codes: NDArray[np.int32],
    chosen: NDArray[np.bool_],
    values: Mapping[str, NDArray[Any]],
    group: list[Aggregate],
    moments: list[Moment],
) -> Cells | None:
    """A cell for each member and key; None if these were too many, or if sums of values depend on their order."""
    keys = int(codes.max(initial=-1)) + 1
    if not len(rows):
        return None
    segments = segments_of(len(moments[0].records) * keys, int(rows.days.min()), group, moments)
    if not are_few(segments, rows.days) or any(given.dtype.kind == "f" for given in values.values()):
        return None
    pairs = rows.members[chosen].astype(np.int64) * keys + codes[chosen]
    wanted = {name: given[chosen] for name, given in values.items()}
    return in_cells(segments, keys, pairs, rows.days[chosen], wanted, on_days=ask_for_days(group))


def _in_order(rows: Rows, codes: NDArray[np.int32], chosen: NDArray[np.bool_], values: Mapping[str, NDArray[Any]]) -> Pairs:
    """Member, key and day in one integer, and where there are values the place as well: sorting integers is quickest."""
    days = rows.days[chosen]
    if not len(days):
        nothing = np.empty(0, dtype=np.int64)
        return Pairs(days, {name: given[:0] for name, given in values.items()}, nothing, nothing)
    first = int(days.min())
    day_bits, key_bits, place_bits = bits(int(days.max()) - first), bits(int(codes.max())), bits(len(days)) if values else 0
    too_wide = bits(int(rows.members.max())) + key_bits + day_bits + place_bits > MOST_BITS
    order = np.lexsort((days, codes[chosen], rows.members[chosen])) if too_wide else None
    packed = _packed([(rows.members[chosen], 0), (codes[chosen], key_bits), (days - first, day_bits)])
    if order is not None:
        packed = packed[order]
    elif values:
        packed <<= place_bits
        packed |= np.arange(len(packed))
        packed.sort()
        order = packed & ((1 << place_bits) - 1)
        packed >>= place_bits
    else:
        packed.sort()
    np.bitwise_and(packed, (1 << day_bits) - 1, out=days, casting="unsafe")
    days += first
    packed >>= day_bits
    starts = np.flatnonzero(np.concatenate([[True], packed[1:] != packed[:-1]]))
    in_order = {name: given[chosen][order] for name, given in values.items()}
    return Pairs(days, in_order, starts, packed[starts] >> key_bits)


def _packed(parts: Iterable[tuple[NDArray[Any], int]]) -> NDArray[np.int64]:
    """Numbers side by side in one integer, each given so many bits to the right of those before."""
    packed: NDArray[np.int64] | None = None
    for numbers, width in parts:
        if packed is None:
            packed = numbers.astype(np.int64)
        else:
            packed <<= width
            packed |= numbers
    if packed is None:
        raise ValueError("nothing to pack")
    return packed


def bits(largest: int) -> int:
    """How many bits numbers up to the largest take."""
    return max(1, largest.bit_length())


def _of_member(aggregate: Aggregate, spans: Spans | CellSpans) -> NDArray[Any]:
    """An aggregate of every member."""
    members = len(spans.moment.records)
    if aggregate.kind in (DISTINCT, NEW_KEYS, REPEATED_KEYS):
        return np.bincount(spans.members[spans.counted(aggregate)], minlength=members)
    of, totals = spans.totals(aggregate)
    if aggregate.kind is TOP_KEY:
        return _largest(of, totals, members)
    floats = totals.astype(np.float64)
    if aggregate.kind is SQUARED_KEYS:
        return np.bincount(of, floats * floats, members)
    positive = floats > 0
    return exact_sums(of[positive], floats[positive] * np.log(floats[positive]), members)


def _totals(values: NDArray[Any], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[Any]:
    """Sums from each start to its end."""
    if values.dtype.kind != "f":
        running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
        return np.asarray(running[ends] - running[starts])
    sums = np.zeros(len(starts))
    some = np.flatnonzero(ends > starts)
    places = np.column_stack([starts[some], ends[some]]).ravel()
    padded = np.append(values, 0.0)
    if len(places):
        sums[some] = np.add.reduceat(padded, places)[::2]
    return sums


def _largest(members: NDArray[np.int64], totals: NDArray[Any], count: int) -> NDArray[Any]:
    """The largest total of each member, whose pairs stand together; 0 without any."""
    largest = np.zeros(count, dtype=totals.dtype)
    if len(members):
        starts = np.flatnonzero(np.concatenate([[True], members[1:] != members[:-1]]))
        largest[members[starts]] = np.maximum.reduceat(totals, starts)
    return largest
