"""What goes by keys of which there are few (categories, brands, shops), from facts as arrays: a cell for each member and key.

Facts need no order for that: each is added to its cell, which is several times quicker than sorting them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.declarations import NEW_KEYS, REPEATED_KEYS, Aggregate
from features.moments import Moment, start_of
from features.segments import Segments, Windows

MOST_CELLS_A_FACT = 4
"""Cells beside facts beyond which sorting the facts costs less time and memory."""
_MOST_DAYS = 2**31


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Facts that have a key and meet a condition, added up by member, key and stretch of days.

    Attributes
    ----------
    keys
        How many there are; pair p is member p // keys and key p % keys.
    counts, totals
        Over the pairs; totals by what they are of, as declared.
    days, squared_days
        Totals of the days since the first of all, and of their squares; None if nobody asked.
    """

    keys: int
    counts: Windows
    totals: Mapping[str, Windows]
    days: Windows | None = None
    squared_days: Windows | None = None


def segments_of(pairs: int, first_day: int, group: Iterable[Aggregate], moments: Iterable[Moment]) -> Segments:
    """Cells of members and keys by the stretches of days between the windows of some aggregates, from the first day on."""
    windows = {aggregate.days or 0 for aggregate in group}
    edges = {edge for m in moments for edge in (m.until, *(m.day - w for w in windows)) if edge is not None}
    return Segments.between(pairs, {edge for edge in edges if edge > first_day})


def are_few(segments: Segments, days: NDArray[np.int32]) -> bool:
    """Whether the cells are few beside the facts, whose days are given, and whether what is told from days fits an integer."""
    if not len(days):
        return False
    span = int(days.max()) - int(days.min()) + 1
    return segments.shape[0] * segments.shape[1] <= MOST_CELLS_A_FACT * len(days) and span * len(days) < _MOST_DAYS


def in_cells(
    segments: Segments,
    keys: int,
    pairs: NDArray[np.int64],
    days: NDArray[np.int32],
    values: Mapping[str, NDArray[Any]],
    *,
    on_days: bool,
) -> Cells:
    """Facts added up. `pairs`, `days` and `values`, which are whole numbers, are of each fact; `on_days` asks for days, too."""
    cells = segments.cells(pairs, days)

    def over(given: NDArray[Any] | None = None) -> Windows:
        return segments.windows(segments.sums(cells, given))

    totals = {name: over(given) for name, given in values.items()}
    if not on_days or not len(days):
        return Cells(keys, over(), totals)
    since = (days - days.min()).astype(np.int64)
    return Cells(keys, over(), totals, over(since), over(since * since))


class CellSpans:
    """The windows of a moment, of each pair."""

    def __init__(self, cells: Cells, moment: Moment) -> None:
        self.cells, self.moment = cells, moment

    @cached_property
    def members(self) -> NDArray[np.int64]:
        """The member of each pair."""
        return np.arange(self.cells.counts.segments.members) // max(1, self.cells.keys)

    def counted(self, aggregate: Aggregate) -> NDArray[np.bool_]:
        """Which pairs count, as `features.keyed.Spans.counted` says."""
        start, until, counts = start_of(aggregate, self.moment), self.moment.until, self.cells.counts
        if aggregate.kind is NEW_KEYS:
            start = self.moment.day if start is None else start
            return np.asarray((counts.between(start, until) > 0) & (counts.between(None, start) == 0))
        if aggregate.kind is REPEATED_KEYS:
            return self._on_two_days(start, until)
        return np.asarray(counts.between(start, until) > 0)

    def totals(self, aggregate: Aggregate) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Of each pair with a fact in the window its member and its total, members together."""
        start, until = start_of(aggregate, self.moment), self.moment.until
        counts = self.cells.counts.between(start, until)
        places = np.flatnonzero(counts)
        totals = counts if aggregate.value is None else self.cells.totals[str(aggregate.value)].between(start, until)
        return self.members[places], totals[places]

    def _on_two_days(self, start: int | None, until: int | None) -> NDArray[np.bool_]:
        """Pairs whose days are not all one: their squares then add up to more than the mean's."""
        if self.cells.days is None or self.cells.squared_days is None:
            return np.zeros(self.cells.counts.segments.members, dtype=np.bool_)
        counts, days = self.cells.counts.between(start, until), self.cells.days.between(start, until)
        return np.asarray(counts * self.cells.squared_days.between(start, until) > days * days)


def ask_for_days(group: Iterable[Aggregate]) -> bool:
    """Whether some aggregates need the days of cells."""
    return any(aggregate.kind is REPEATED_KEYS for aggregate in group)
