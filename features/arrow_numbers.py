"""Arrow's columns as arrays of numbers, without pandas: Arrow's own ways load it, which takes a second in each process."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def numbers_of(column: pa.Array | pa.ChunkedArray, *, missing: float | None = None) -> NDArray[Any]:
    """A column of integers, floats, truths (as 0 and 1) or moments (as what they count).

    Parameters
    ----------
    missing
        What stands for null; with NaN, a column that has nulls becomes float64.

    Returns
    -------
    In the column's own width; a view of it where it is in one piece.

    Raises
    ------
    ValueError
        The column has nulls and nothing stands for them, or is of another type.
    """
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    dtype = _dtype_of(column.type)
    arrays = [_of_chunk(chunk, dtype, missing) for chunk in chunks if len(chunk)]
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def places_in(numbers: NDArray[np.int32]) -> pa.Array:
    """Places to take from a column, as Arrow has them; a view."""
    return pa.Array.from_buffers(pa.int32(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def _of_chunk(chunk: pa.Array, dtype: np.dtype[Any], missing: float | None) -> NDArray[Any]:
    values = np.frombuffer(chunk.buffers()[1], dtype, count=len(chunk), offset=chunk.offset * dtype.itemsize)
    if not chunk.null_count:
        return values
    if missing is None:
        raise ValueError(f"a column of {chunk.type} has nulls, and nothing was said to stand for them")
    known = numbers_of(chunk.is_valid()).view(np.bool_)
    return np.where(known, values, np.float64(missing) if np.isnan(missing) else dtype.type(missing))


def _dtype_of(arrow: pa.DataType) -> np.dtype[Any]:
    whole = pa.types.is_integer(arrow) or pa.types.is_timestamp(arrow)
    if not whole and not pa.types.is_floating(arrow):
        raise ValueError(f"a column of {arrow} does not hold numbers")
    kind = "f" if pa.types.is_floating(arrow) else "u" if pa.types.is_unsigned_integer(arrow) else "i"
    return np.dtype(f"{kind}{arrow.bit_width // 8}")
