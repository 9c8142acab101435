"""From numbers to the columns of Arrow tables: identifiers as text, names by position, moments in UTC."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from features.sources.simulation.people import MISSING, Integers
from features.sources.simulation.world import World

DAY_S = 86_400
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def opaque(prefix: str, numbers: Integers, *, bits: int) -> pa.Array:
    """Identifiers that tell nothing of their number, and different ones for different numbers below 2 to the `bits`.

    The multiplier is odd, so that multiplying by it modulo a power of two is one to one.
    """
    mixed = (numbers.astype(np.uint64) * _MULTIPLIER) & np.uint64((1 << bits) - 1)
    return numbered(prefix, mixed.astype(np.int64), width=len(str((1 << bits) - 1)))


def numbered(prefix: str, numbers: Integers, *, width: int) -> pa.Array:
    """Text of a prefix and a number filled up with zeros; missing for numbers below 0."""
    size = len(prefix.encode()) + width
    text = np.empty((len(numbers), size), dtype=np.uint8)
    text[:, : size - width] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    rest = np.maximum(numbers, 0)
    for place in range(size - 1, size - width - 1, -1):
        rest, digit = np.divmod(rest, 10)
        text[:, place] = digit + ord("0")
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * np.int32(size)
    plain = pa.Array.from_buffers(pa.string(), len(numbers), [None, pa.py_buffer(offsets), pa.py_buffer(text)])
    return _without(plain, numbers < 0)


def named(names: Sequence[str], positions: Integers) -> pa.Array:
    """The name at each position; missing for -1."""
    return taken(pa.array(list(names), pa.string()), positions)


def taken(values: pa.Array, rows: Integers) -> pa.Array:
    """The value of each row; missing for -1."""
    return values.take(integers(rows))


def integers(values: Integers, kind: pa.DataType | None = None) -> pa.Array:
    """Integers of an Arrow type, int64 unless said; missing for -1."""
    return pa.array(values, kind or pa.int64(), mask=values == MISSING if (values == MISSING).any() else None)


def yes_or_no(codes: Integers) -> pa.Array:
    """True for 1, false for 0, missing for -1."""
    return pa.array(codes == 1, pa.bool_(), mask=codes == MISSING)


def moments(world: World, day: Integers, second: Integers) -> dict[str, pa.Array]:
    """The columns of when, from days since the start of the simulation and seconds since local midnight."""
    utc = (world.start_day + day) * DAY_S + second - world.offset_s[day]
    return {
        "occurred_at": pa.array(utc * 1_000_000, pa.timestamp("us")),
        "local_day": pa.array(world.start_day + day, pa.int32()),
        "local_hour": pa.array(second // 3600, pa.int32()),
    }


def _without(values: pa.Array, missing: NDArray[np.bool_]) -> pa.Array:
    return pa.compute.if_else(pa.array(missing), pa.scalar(None, pa.string()), values) if missing.any() else values
