"""Aggregates as bytes and back: a fixed header and a packed little-endian record, in the contract's order and dtypes.

    offset  size  what
    0       2     magic "R1"
    2       8     first 8 bytes of the contract hash
    10      8     as_of, microseconds since 1970 UTC
    18      8     written_at, microseconds since 1970 UTC
    26      ...   int32, int64 and float64 values, one for each aggregate

A missing integer is the lowest value of its dtype; a missing float is NaN. Floats keep every bit, -0.0 and NaN included.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.contract import Contract
from features.errors import ContractMismatch, CorruptRecord

MAGIC = b"R1"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


@cache
def stored_dtype(contract: Contract) -> np.dtype[np.void]:
    """Header and record of one stored value."""
    header = [("magic", "S2"), ("contract", "V8"), ("as_of", "<i8"), ("written_at", "<i8")]
    return np.dtype([*header, ("record", record_dtype(contract))])


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


def microseconds(moment: datetime) -> int:
    """Whole microseconds from 1970 UTC to an aware moment."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment_of(value: int) -> datetime:
    """The aware UTC moment that many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=int(value))


def encode(contract: Contract, records: NDArray[np.void], *, as_of: datetime, written_at: datetime) -> list[bytes]:
    """One stored value per record, in the same order."""
    stored = np.zeros(len(records), dtype=stored_dtype(contract))
    stored["magic"] = MAGIC
    stored["contract"] = np.void(bytes.fromhex(contract.hash)[:8])
    stored["as_of"] = microseconds(as_of)
    stored["written_at"] = microseconds(written_at)
    stored["record"] = records
    size = stored.dtype.itemsize
    flat = stored.tobytes()
    return [flat[start : start + size] for start in range(0, len(flat), size)]


def is_readable(contract: Contract, value: bytes) -> bool:
    """Whether `decode` can read one stored value."""
    return value[:10] == _prefix(contract) and len(value) == stored_dtype(contract).itemsize


def decode(contract: Contract, values: Sequence[bytes]) -> Decoded:
    """Records and moments of several stored values, in the same order.

    Raises
    ------
    CorruptRecord
        A value is no record of ours, or one that was cut or padded.
    ContractMismatch
        A value was written under another contract.
    """
    for value in values:
        if not is_readable(contract, value):
            raise _reason(contract, value)
    stored = np.frombuffer(b"".join(values), dtype=stored_dtype(contract))
    return Decoded(records=stored["record"], as_of=stored["as_of"], written_at=stored["written_at"])


@cache
def _prefix(contract: Contract) -> bytes:
    return MAGIC + bytes.fromhex(contract.hash)[:8]


def _reason(contract: Contract, value: bytes) -> CorruptRecord | ContractMismatch:
    if value[:2] != MAGIC:
        return CorruptRecord("a stored value is not a Rapport record", remedy='publish again: "rapport publish"')
    if value[:10] != _prefix(contract):
        return ContractMismatch(
            f"the store holds features of contract {value[2:10].hex()}…, this process expects {contract.hash[:16]}…",
            remedy='publish with this version ("rapport publish") or serve with the version that published',
        )
    expected = stored_dtype(contract).itemsize
    return CorruptRecord(
        f"a stored value has {len(value)} bytes instead of {expected}", remedy='publish again: "rapport publish"'
    )
