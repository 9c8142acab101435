"""Features from aggregates with numpy alone: what serving does at each request, and what batch results must equal."""

from collections.abc import Mapping
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.codec import columns_of
from features.contract import Contract
from features.expressions import NUMPY, evaluate

Columns: TypeAlias = dict[str, NDArray[np.float64]]


def derive(contract: Contract, records: NDArray[np.void], *, day: int, edges: Mapping[str, float]) -> NDArray[np.float32]:
    """Feature matrix of several members. Row i belongs to record i; columns are `contract.feature_names`; NaN is missing.

    Parameters
    ----------
    records
        Aggregates as `features.codec.record_dtype`.
    day
        Local day of the moment asked about, as days since 1970-01-01.
    edges
        Population edges and thresholds by name, as published with the features.
    """
    columns = derive_columns(contract, records, day=day, edges=edges)
    matrix = np.empty((len(records), len(contract.features)), dtype=np.float32)
    for position, name in enumerate(contract.feature_names):
        matrix[:, position] = columns[name]
    return matrix


def derive_columns(contract: Contract, records: NDArray[np.void], *, day: int, edges: Mapping[str, float]) -> Columns:
    """Every aggregate and feature as a float64 array over the records, by name, before rounding to float32."""
    columns: Columns = columns_of(records)
    columns["day"] = np.full(len(records), day, dtype=np.float64)
    columns.update({name: np.asarray(value, dtype=np.float64) for name, value in edges.items()})
    for feature in contract.features:
        columns[feature.name] = evaluate(feature.formula, columns, NUMPY)
    return columns


@cache
def model_columns(contract: Contract) -> NDArray[np.intp]:
    """Positions, within a feature matrix, of the features that models see."""
    return np.array([i for i, feature in enumerate(contract.features) if feature.in_models], dtype=np.intp)


def label_of(contract: Contract, feature_name: str, code: float) -> str | None:
    """The category a coded feature stands for, such as a lifecycle stage; None if it is missing."""
    categories = contract.feature(feature_name).categories
    return None if np.isnan(code) else categories[int(code)]
