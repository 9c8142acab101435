"""Changes of a key from one fact of a member to the next, from facts as arrays."""

import numpy as np
from numpy.typing import NDArray

from features.arrays import Rows, Words
from features.arrow_numbers import places_in
from features.declarations import Aggregate
from features.keyed import codes_of
from features.moments import Moment, start_of
from features.segments import Segments


def fill_switches(rows: Rows, aggregates: list[Aggregate], moments: list[Moment]) -> None:
    """How often keys changed within windows, as of every moment; facts without a key are left out."""
    if rows.moments is None:
        raise ValueError("switches need the moments of facts")
    order = np.lexsort((rows.moments, rows.members))
    for aggregate in aggregates:
        if aggregate.key is None:
            raise ValueError(f"aggregate {aggregate.name} needs a key")
        codes = codes_of(rows.value(aggregate.key))
        chosen = codes >= 0
        if aggregate.where is not None:
            chosen &= np.asarray(rows.value(aggregate.where))
        ordered = ties_broken(rows, rows.moments, order[chosen[order]], (*aggregate.table.key, str(aggregate.key)))
        _fill(rows.members[ordered], rows.days[ordered], codes[ordered], aggregate, moments)


def _fill(
    members: NDArray[np.int32], days: NDArray[np.int32], codes: NDArray[np.int32], aggregate: Aggregate, moments: list[Moment]
) -> None:
    """One aggregate, from its facts in the order of time."""
    changed = np.zeros(len(codes), dtype=np.bool_)
    changed[1:] = (members[1:] == members[:-1]) & (codes[1:] != codes[:-1])
    edges = [day for m in moments for day in (start_of(aggregate, m), m.until) if day is not None]
    segments = Segments.between(len(moments[0].records), edges)
    windows = segments.windows(segments.sums(segments.cells(members, days)[changed]))
    for moment in moments:
        start = start_of(aggregate, moment)
        found = windows.between(start, moment.until)
        if start is not None:  # the first fact of a window follows none
            first = changed & (days >= start)
            first[1:] &= days[:-1] < start
            first = first if moment.until is None else first & (days < moment.until)
            found = found - np.bincount(members[first], minlength=len(found))
        moment.records[aggregate.name] = found


def ties_broken(rows: Rows, when: NDArray[np.int64], order: NDArray[np.int64], by: tuple[str, ...]) -> NDArray[np.int64]:
    """Rows in the order of member and moment, those of one member and moment in the order of some columns."""
    members, moments = rows.members[order], when[order]
    tied = np.flatnonzero((members[1:] == members[:-1]) & (moments[1:] == moments[:-1]))
    if len(tied):
        places = np.unique(np.concatenate([tied, tied + 1]))
        among = order[places]
        ranks = [_ranks(rows, name, among) for name in by if name in rows.columns]
        order[places] = among[np.lexsort((*reversed(ranks), when[among], rows.members[among]))]
    return order


def _ranks(rows: Rows, name: str, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rank of a column's value among some rows."""
    column = rows.columns[name]
    if not isinstance(column, Words):
        return np.asarray(np.unique(column[places], return_inverse=True)[1])
    used, of = np.unique(column.codes[places], return_inverse=True)
    words = np.asarray(column.words.take(places_in(used)).to_pylist(), dtype=np.str_)
    return np.asarray(np.argsort(np.argsort(words)))[of]
