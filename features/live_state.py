"""A member's last days as Redis keeps them, and what they make of the record of last midnight. Pure: no Redis in here.

    offset  size  what
    0       2     magic "L1"
    2       8     signature of the slots (features.live_slots)
    10      ...   for each day, ascending: local day (4), number of entries (2), entries of 10 bytes: slot (2), float64 (8)

Numbers are little-endian. Only days that the base may not hold yet are kept, at most `KEPT_DAYS`.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.codec import as_bytes, missing_value
from features.contract import Contract
from features.days import day_of, midnight
from features.events.schema import Event
from features.live import merge_into
from features.live_slots import ENTRY, floats_of_day, slots_of

MAGIC = b"L1"
KEPT_DAYS = 3
HEADER_BYTES = 10
_DAY = struct.Struct("<iH")


@dataclass(frozen=True, slots=True)
class Applied:
    """An event that moved a member's live record: the record before it and after it, as stored.

    Attributes
    ----------
    before, after
        For `merged`; `before` is None where there was none.
    again
        The event was delivered before, and applied before: what stood before it is not known, both are the value of now.
    """

    event: Event
    member_id: str
    before: bytes | None
    after: bytes
    again: bool = False


def days_in(contract: Contract, value: bytes | None) -> Iterator[tuple[int, NDArray[np.void]]]:
    """The days of a stored value, ascending, each with its entries; none in one that is not of these slots."""
    for day, entries in _raw_days(contract, value) if value is not None else ():
        yield day, np.frombuffer(entries, dtype=ENTRY)


def _raw_days(contract: Contract, value: bytes) -> list[tuple[int, bytes]]:
    if value[:HEADER_BYTES] != _header(contract):
        return []
    found, at = [], HEADER_BYTES
    while at < len(value):
        day, count = _DAY.unpack_from(value, at)
        begin, at = at + _DAY.size, at + _DAY.size + count * ENTRY.itemsize
        found.append((day, value[begin:at]))
    return found


@cache
def _header(contract: Contract) -> bytes:
    return MAGIC + slots_of(contract).signature


def first_live_day(as_of: datetime, zone: ZoneInfo) -> int:
    """The first local day of which a base as of this moment holds nothing. What is half in a base cannot be told apart."""
    day = day_of(as_of, zone)
    return day if midnight(day, zone) == as_of else day + 1


def merged(
    contract: Contract, base: NDArray[np.void], live: Sequence[bytes | None], from_day: NDArray[np.int64] | int
) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Records as of now, and which of them differ from the base.

    Parameters
    ----------
    live
        Stored live values, one for each record of the base; None where there is none.
    from_day
        First local day that the base does not hold, of each record or of all: earlier days are left out.
    """
    first = np.broadcast_to(np.asarray(from_day, dtype=np.int64), len(base)).tolist()
    days: dict[int, _Day] = {}
    for row, value in enumerate(live):
        for day, entries in _raw_days(contract, value) if value is not None else ():
            if day >= first[row] and entries:
                days.setdefault(day, _Day()).add(row, entries)
    moved = np.zeros(len(base), dtype=np.bool_)
    if not days:
        return base, moved
    raw = as_bytes(base).copy()  # rows of bytes: numpy copies records field by field
    for day in sorted(days):
        rows = np.array(days[day].rows, dtype=np.intp)
        part = raw[rows]
        merge_into(contract, part.view(base.dtype)[:, 0], floats_of_day(contract, days[day].values(contract)))
        raw[rows], moved[rows] = part, True
    return raw.view(base.dtype)[:, 0], moved


@dataclass(slots=True)
class _Day:
    """Entries of one day, of several rows."""

    rows: list[int] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)

    def add(self, row: int, entries: bytes) -> None:
        self.rows.append(row)
        self.entries.append(entries)

    def values(self, contract: Contract) -> NDArray[np.float64]:
        """Their slots, shape (rows, slots)."""
        found = np.repeat(slots_of(contract).empty[None, :], len(self.rows), axis=0)
        every = np.frombuffer(b"".join(self.entries), dtype=ENTRY)
        of = np.repeat(np.arange(len(self.rows)), [len(part) // ENTRY.itemsize for part in self.entries])
        found[of, every["slot"]] = every["value"]
        return found


def unknown_in(contract: Contract, record: np.void) -> tuple[str, ...]:
    """Aggregates of which the shop's facts tell nothing, as any one record of a publish shows: those are missing there."""
    return tuple(
        a.name for a in contract.aggregates if a.kind.empty is not None and _is_missing(record[a.name], record.dtype[a.name])
    )


def _is_missing(value: np.generic, dtype: np.dtype[np.generic]) -> bool:
    return bool(np.isnan(value)) if dtype.kind == "f" else value == missing_value(dtype)
