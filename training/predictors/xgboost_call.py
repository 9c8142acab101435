"""XGBoost's prediction for a few rows by its C interface: Python's way to it takes as long as the trees of a hundred rows.

Python makes a proxy for the rows at each call, and for each the library asks the operating system how many processors there are
(eight system calls), and gives what comes back through a class made for it; here each thread keeps one proxy. The interface is
documented (https://xgboost.readthedocs.io/en/stable/dev/group__Prediction.html), and what comes back is what
`Booster.inplace_predict` gives, to the bit (test).
"""

import ctypes
import math
import threading
from functools import cache

import numpy as np
import xgboost
from numpy.typing import NDArray
from xgboost.libpath import find_lib_path

_SIZES, _VALUES = ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_float)
_CONFIG = (
    b'{"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, "missing": NaN, "strict_shape": false,'
    b' "cache_id": 0}'
)


def predicted(booster: xgboost.Booster, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Raw probabilities or scores: shape (rows,) for one output, (rows, outputs) for more. NaN marks a missing feature.

    Raises
    ------
    ValueError
        The rows are not as wide as those that the trees were grown on.
    xgboost.core.XGBoostError
        The library refuses.
    """
    rows = np.ascontiguousarray(matrix, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != booster.num_features():
        raise ValueError(f"rows of {rows.shape[-1]} features for trees of {booster.num_features()}")
    if not len(rows):  # the library says that these have no outputs
        return predicted(booster, np.zeros((1, rows.shape[1]), dtype=np.float32))[:0]
    place = rows.__array_interface__["data"][0]
    told = b'{"data": [%d, true], "shape": [%d, %d], "typestr": "<f4", "version": 3}' % (place, *rows.shape)
    sizes, dimensions, values = _SIZES(), ctypes.c_uint64(), _VALUES()
    places = ctypes.byref(sizes), ctypes.byref(dimensions), ctypes.byref(values)
    _checked(_library().XGBoosterPredictFromDense(booster.handle, told, _CONFIG, _mine.proxy.handle, *places))
    shape = tuple(sizes[: dimensions.value])
    content = ctypes.string_at(values, 4 * math.prod(shape))  # stands until this thread's next call
    return np.frombuffer(content, dtype=np.float32).astype(np.float64).reshape(shape)


@cache
def _library() -> ctypes.CDLL:
    """The library that xgboost has loaded, with arguments of our own for what is called here."""
    library = ctypes.CDLL(find_lib_path()[0])
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library


def _checked(code: int) -> None:
    if code:
        raise xgboost.core.XGBoostError(_library().XGBGetLastError().decode())


class _Proxy:
    """What the library finds rows through."""

    def __init__(self) -> None:
        self.handle, self._free = ctypes.c_void_p(), _library().XGDMatrixFree
        _checked(_library().XGProxyDMatrixCreate(ctypes.byref(self.handle)))

    def __del__(self) -> None:
        self._free(self.handle)


class _Mine(threading.local):
    """A thread's own proxy, as rows are put into it while the library predicts."""

    def __init__(self) -> None:
        self.proxy = _Proxy()


_mine = _Mine()
