"""Aggregates as bytes and back: a fixed header and a packed little-endian record, in the contract's order.

    offset  size  what
    0       2     magic: "N1" narrow record, "R1" wide record
    2       8     first 8 bytes of the contract hash
    10      8     as_of, microseconds since 1970 UTC
    18      8     written_at, microseconds since 1970 UTC
    26      ...   one value for each aggregate

A wide record has the declared dtypes. A narrow one has half the width for integers, but for decayed sums of amounts, which
are scaled and seldom fit; it stands wherever every value of the row comes back from it unchanged. Both forms have one size
for each contract. A missing integer is the lowest value of its dtype; a missing float is NaN. Floats keep every bit.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.contract import Contract
from features.days import microseconds
from features.declarations import DECAYED, Aggregate
from features.errors import ContractMismatch, CorruptRecord

MAGIC = b"R1"
NARROW_MAGIC = b"N1"
PACKED_ROWS = 4096  # as many as stay in a processor's cache
_HEADER = np.dtype([("magic", "S2"), ("contract", "V8"), ("as_of", "<i8"), ("written_at", "<i8")])
NARROW = {"int32": "int16", "int64": "int32", "float64": "float64"}
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Stored rows of several members. Row i of `records` is the i-th stored value; moments in microseconds since 1970."""

    records: NDArray[np.void]
    as_of: NDArray[np.int64]
    written_at: NDArray[np.int64]


@cache
def record_dtype(contract: Contract) -> np.dtype[np.void]:
    """Packed structured dtype of one member's aggregates, fields in contract order."""
    return np.dtype([(a.name, np.dtype(a.dtype).newbyteorder("<")) for a in contract.aggregates])


@dataclass(frozen=True, slots=True)
class Packed:
    """Stored values of one size. values[i] belongs to the record at position rows[i]."""

    rows: NDArray[np.intp]
    values: NDArray[np.void]


@cache
def stored_dtype(contract: Contract, *, narrow: bool = False) -> np.dtype[np.void]:
    """Header and record of one stored value."""
    record = f"V{_runs(contract)[-1].narrow_at.stop}" if narrow else record_dtype(contract)
    return np.dtype([*_HEADER.descr, ("record", record)])


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring aggregates of one wide and one narrow dtype, and which bytes of either record they take."""

    wide: np.dtype[Any]
    narrow: np.dtype[Any]
    wide_at: slice
    narrow_at: slice


@cache
def _runs(contract: Contract) -> tuple[_Run, ...]:
    runs, wide_end, narrow_end = [], 0, 0
    for (wide, narrow), members in groupby(contract.aggregates, key=_widths):
        count = len(list(members))
        wide_at = slice(wide_end, wide_end + count * wide.itemsize)
        narrow_at = slice(narrow_end, narrow_end + count * narrow.itemsize)
        runs.append(_Run(wide, narrow, wide_at, narrow_at))
        wide_end, narrow_end = wide_at.stop, narrow_at.stop
    return tuple(runs)


def _widths(aggregate: Aggregate) -> tuple[np.dtype[Any], np.dtype[Any]]:
    scaled_amount = aggregate.kind is DECAYED and aggregate.value is not None
    narrow = aggregate.dtype if scaled_amount else NARROW[aggregate.dtype]
    return np.dtype(aggregate.dtype).newbyteorder("<"), np.dtype(narrow).newbyteorder("<")


@cache
def missing_value(dtype: np.dtype[Any]) -> int | float:
    """What stands for a missing value in a field of this dtype."""
    return int(np.iinfo(dtype).min) if dtype.kind == "i" else float("nan")


def empty_records(contract: Contract, rows: int, *, unknown: Collection[str] = ()) -> NDArray[np.void]:
    """Records of members without any fact: 0 where there is nothing to add up, missing elsewhere.

    `unknown` names aggregates that are missing whatever their kind, as the shop has no such facts.
    """
    records = np.zeros(rows, dtype=record_dtype(contract))
    for aggregate in contract.aggregates:
        if aggregate.kind.empty is None or aggregate.name in unknown:
            records[aggregate.name] = missing_value(records.dtype[aggregate.name])
    return records


def columns_of(records: NDArray[np.void]) -> dict[str, NDArray[np.float64]]:
    """Every aggregate as a float64 array with NaN for missing; exact for integers up to 2^53."""
    return {name: _as_float(records[name]) for name in records.dtype.names or ()}


def _as_float(field: NDArray[np.generic]) -> NDArray[np.float64]:
    values = field.astype(np.float64)
    if field.dtype.kind == "i":
        values[field == missing_value(field.dtype)] = np.nan
    return values


def floats_of(contract: Contract, records: NDArray[np.void]) -> NDArray[np.float64]:
    """The same as `columns_of`, as one array: a row for each aggregate, a column for each record."""
    values = np.empty((len(contract.aggregates), len(records)))
    for first, block in _blocks(contract, records):
        values[first : first + block.shape[1]] = _as_float(block.T)
    return values


def put_floats(contract: Contract, records: NDArray[np.void], values: NDArray[np.float64], rows: NDArray[np.intp]) -> None:
    """Write aggregates back into packed records, NaN as what is missing.

    Parameters
    ----------
    values
        As `floats_of` gives them.
    rows
        Which aggregates to write, ascending; the bytes of all others stay.
    """
    for first, block in _blocks(contract, records):
        chosen = rows[(rows >= first) & (rows < first + block.shape[1])]
        found = values[chosen].T
        block[:, chosen - first] = np.where(np.isnan(found), missing_value(block.dtype), found)


def _blocks(contract: Contract, records: NDArray[np.void]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Neighbouring aggregates of one dtype: position of the first, and a view of their values, a row a record."""
    wide, first = as_bytes(records), 0
    for run in _runs(contract):
        block = wide[:, run.wide_at].view(run.wide)
        yield first, block
        first += block.shape[1]


def encode(contract: Contract, records: NDArray[np.void], *, as_of: datetime, written_at: datetime) -> list[bytes]:
    """One stored value per record, in the same order."""
    values = [b""] * len(records)
    for packed in pack(contract, records, as_of=as_of, written_at=written_at):
        size, flat = packed.values.dtype.itemsize, packed.values.tobytes()
        for position, row in enumerate(packed.rows.tolist()):
            values[row] = flat[position * size : (position + 1) * size]
    return values


def pack(contract: Contract, records: NDArray[np.void], *, as_of: datetime, written_at: datetime) -> Iterator[Packed]:
    """Stored values of all records in groups of one size, a few thousand rows at a time."""
    moments = (microseconds(as_of), microseconds(written_at))
    known = np.array((b"", np.void(bytes.fromhex(contract.hash)[:8]), *moments), dtype=_HEADER)
    for start in range(0, len(records), PACKED_ROWS):
        part = records[start : start + PACKED_ROWS]
        narrow, fits = _narrowed(contract, part)
        for rows, is_narrow in ((np.flatnonzero(fits), True), (np.flatnonzero(~fits), False)):
            if len(rows):
                body = narrow if is_narrow else as_bytes(part)
                known["magic"] = NARROW_MAGIC if is_narrow else MAGIC
                stored = np.empty((len(rows), _HEADER.itemsize + body.shape[1]), dtype=np.uint8)
                stored[:, : _HEADER.itemsize] = np.frombuffer(known.tobytes(), dtype=np.uint8)
                stored[:, _HEADER.itemsize :] = body if len(rows) == len(part) else body[rows]
                yield Packed(start + rows, stored.view(f"V{stored.shape[1]}")[:, 0])


def as_bytes(records: NDArray[np.void]) -> Bytes:
    """The bytes of packed records, shape (records, bytes of one)."""
    return np.ascontiguousarray(records).view(np.uint8).reshape(len(records), records.dtype.itemsize)


def _narrowed(contract: Contract, records: NDArray[np.void]) -> tuple[Bytes, NDArray[np.bool_]]:
    """Narrow records, and which of them stand for the same values."""
    wide = as_bytes(records)
    narrow = np.empty((len(records), _runs(contract)[-1].narrow_at.stop), dtype=np.uint8)
    fits = np.ones(len(records), dtype=np.bool_)
    for run in _runs(contract):
        values = wide[:, run.wide_at].view(run.wide)
        if run.wide == run.narrow:
            narrow[:, run.narrow_at] = wide[:, run.wide_at]
            continue
        smaller = values.astype(run.narrow)
        smaller[values == missing_value(run.wide)] = missing_value(run.narrow)
        same = _widened(run, smaller) == values
        if not same.all():  # rarely: each row is looked at only then
            fits &= same.all(axis=1)
        narrow[:, run.narrow_at] = smaller.view(np.uint8)
    return narrow, fits


def _widened(run: _Run, values: NDArray[Any]) -> NDArray[Any]:
    wide = values.astype(run.wide)
    wide[values == missing_value(run.narrow)] = missing_value(run.wide)
    return wide


def _wide_records(contract: Contract, narrow: Bytes) -> NDArray[np.void]:
    """Records from the bytes of narrow ones, one row each."""
    wide = np.empty((len(narrow), record_dtype(contract).itemsize), dtype=np.uint8)
    for run in _runs(contract):
        if run.wide == run.narrow:
            wide[:, run.wide_at] = narrow[:, run.narrow_at]
        else:
            wide[:, run.wide_at] = _widened(run, narrow[:, run.narrow_at].view(run.narrow)).view(np.uint8)
    return wide.view(record_dtype(contract))[:, 0]


def is_readable(contract: Contract, value: bytes) -> bool:
    """Whether `decode` can read one stored value."""
    return _sizes(contract).get(value[:10]) == len(value)


def decode(contract: Contract, values: Sequence[bytes]) -> Decoded:
    """Records and moments of several stored values, in the same order.

    Raises
    ------
    CorruptRecord
        A value is no record of ours, or one that was cut or padded.
    ContractMismatch
        A value was written under another contract.
    """
    sizes = _sizes(contract)
    for value in values:
        if sizes.get(value[:10]) != len(value):
            raise _reason(contract, value)
    if len(set(map(len, values))) <= 1:
        return _decode_alike(contract, values, narrow=bool(values) and values[0][:2] == NARROW_MAGIC)
    narrow = [value[:2] == NARROW_MAGIC for value in values]
    found = Decoded(np.empty(len(values), record_dtype(contract)), np.empty(len(values), "<i8"), np.empty(len(values), "<i8"))
    for kind in (True, False):
        rows = [row for row, is_narrow in enumerate(narrow) if is_narrow is kind]
        part = _decode_alike(contract, [values[row] for row in rows], narrow=kind)
        found.records[rows], found.as_of[rows], found.written_at[rows] = part.records, part.as_of, part.written_at
    return found


def _decode_alike(contract: Contract, values: Sequence[bytes], *, narrow: bool) -> Decoded:
    stored = np.frombuffer(b"".join(values), dtype=stored_dtype(contract, narrow=narrow))
    records = stored["record"]
    if narrow:
        records = _wide_records(contract, as_bytes(records))
    return Decoded(records=records, as_of=stored["as_of"], written_at=stored["written_at"])


@cache
def _sizes(contract: Contract) -> dict[bytes, int]:
    """How long a stored value is, by how it begins."""
    known = bytes.fromhex(contract.hash)[:8]
    return {
        NARROW_MAGIC + known: stored_dtype(contract, narrow=True).itemsize,
        MAGIC + known: stored_dtype(contract).itemsize,
    }


def _reason(contract: Contract, value: bytes) -> CorruptRecord | ContractMismatch:
    if value[:2] not in {MAGIC, NARROW_MAGIC}:
        return CorruptRecord("a stored value is not a Rapport record", remedy='publish again: "rapport publish"')
    if value[:10] not in _sizes(contract):
        return ContractMismatch(
            f"the store holds features of contract {value[2:10].hex()}…, this process expects {contract.hash[:16]}…",
            remedy='publish with this version ("rapport publish") or serve with the version that published',
        )
    expected = _sizes(contract)[value[:10]]
    return CorruptRecord(
        f"a stored value has {len(value)} bytes instead of {expected}", remedy='publish again: "rapport publish"'
    )
