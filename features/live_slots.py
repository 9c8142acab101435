"""The numbers that a day of one member is kept as: what several aggregates share within a day is kept once.

Within one day no window ends and nothing decays, so the purchases of 7, 30 and 365 days are one number there. A slot is
such a number; its position is the same in every process with the same declarations.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from features.codec import empty_records, floats_of, put_floats
from features.contract import Contract
from features.declarations import Aggregate
from features.live import Facts, folded, numbers_as_floats

ENTRY = np.dtype([("slot", "<u2"), ("value", "<f8")])
"""One number of a day as it is stored. A day holds those that are not as on a day without facts, ascending by slot."""


@dataclass(frozen=True)
class Slots:
    """All slots of a contract: first those that add up, then those that keep the smaller value, then the larger.

    Attributes
    ----------
    shared
        For each slot the aggregates that have its value on a day.
    adding, smaller
        How many slots add up; how many keep the smaller of two.
    of_aggregate
        For each aggregate that moves within a day its position in the contract and its slot, shape (aggregates, 2).
    zero
        Positions in the contract of those among them that are 0 without facts.
    signature
        8 bytes that differ where the meaning of any slot does.
    """

    shared: tuple[tuple[Aggregate, ...], ...]
    adding: int
    smaller: int
    of_aggregate: NDArray[np.intp]
    zero: NDArray[np.intp]
    signature: bytes

    @cached_property
    def empty(self) -> NDArray[np.float64]:
        """The slots of a day without facts: 0 where they add up, else NaN."""
        return np.where(np.arange(len(self.shared)) < self.adding, 0.0, np.nan)


@cache
def slots_of(contract: Contract) -> Slots:
    """The slots of a contract."""
    groups: dict[tuple[int, str, str, str], list[Aggregate]] = {}
    order = {"add": 0, "decay": 0, "smaller": 1, "larger": 2}
    for aggregate in contract.aggregates:
        if aggregate.freshness == "event" and aggregate.kind.within_day != "keep":
            kind = order[aggregate.kind.within_day]
            groups.setdefault((kind, aggregate.table.name, str(aggregate.value), str(aggregate.where)), []).append(aggregate)
    keys = sorted(groups)
    if len(keys) > np.iinfo(np.uint16).max:
        raise ValueError("a day of one member has no more than 65,535 numbers")
    slot_of = {aggregate: slot for slot, key in enumerate(keys) for aggregate in groups[key]}
    places = [(row, slot_of[aggregate]) for row, aggregate in enumerate(contract.aggregates) if aggregate in slot_of]
    adding, smaller = (sum(key[0] == kind for key in keys) for kind in (0, 1))
    signature = hashlib.sha256(repr(keys).encode()).digest()[:8]
    shared = tuple(tuple(groups[key]) for key in keys)
    zero = np.array([row for row, _ in places if contract.aggregates[row].kind.empty is not None], dtype=np.intp)
    return Slots(shared, adding, smaller, np.array(places, dtype=np.intp).reshape(-1, 2), zero, signature)


def values_of(
    contract: Contract, facts: Mapping[str, Facts], row_of: Mapping[str, NDArray[np.intp]], rows: int
) -> NDArray[np.float64]:
    """Facts folded into slots, shape (rows, slots). Facts of one row are of one day.

    Parameters
    ----------
    facts
        Rows by fact table and column, None or NaN where a fact says nothing.
    row_of
        By table which row each fact belongs to, such as its event.
    """
    slots = slots_of(contract)
    values = np.repeat(slots.empty[:, None], rows, axis=1)
    columns = {a.table.name: a.table for shared in slots.shared for a in shared[:1] if a.table.name in facts}
    given = {name: numbers_as_floats(table, facts[name]) for name, table in columns.items()}
    for slot, (aggregate, *_) in enumerate(slots.shared):
        name = aggregate.table.name
        if name in given:
            values[slot] = folded(aggregate, values[slot], row_of[name], given[name])
    return values.T


def records_of(contract: Contract, values: NDArray[np.float64]) -> NDArray[np.void]:
    """Records of one day from its slots, as `features.live.fold` would make them of the same facts."""
    records = empty_records(contract, len(values))
    put_floats(contract, records, floats_of_day(contract, values), slots_of(contract).of_aggregate[:, 0])
    return records


def floats_of_day(contract: Contract, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same as `features.codec.floats_of` gives it; nightly aggregates, which no day moves, are as without facts."""
    slots = slots_of(contract)
    places, of = slots.of_aggregate.T
    spread = np.repeat(_without_facts(contract), len(values), axis=1)
    spread[places] = values.T[of]
    spread[slots.zero] = np.nan_to_num(spread[slots.zero], nan=0.0)
    return spread


@cache
def _without_facts(contract: Contract) -> NDArray[np.float64]:
    return floats_of(contract, empty_records(contract, 1))


def entries_of(contract: Contract, values: NDArray[np.float64]) -> list[bytes]:
    """Each row's numbers that are not as on a day without facts, packed as `ENTRY`."""
    empty = slots_of(contract).empty
    told = ~(np.isnan(values) | (values == empty))
    rows, slots = np.nonzero(told)
    entries = np.empty(len(rows), dtype=ENTRY)
    entries["slot"], entries["value"] = slots, values[rows, slots]
    flat, ends = entries.tobytes(), np.cumsum(told.sum(axis=1)) * ENTRY.itemsize
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return [flat[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
