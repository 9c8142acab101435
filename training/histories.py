"""Rows of short histories brought to the length of the one that a model answers from.

A window of 180 days holds 100 where the facts reach back no further. Trees fitted on such sums and asked about whole ones take
everybody for a better customer: on Complete Journey by half as much again (docs/decisions/0028). So what is added up over a
window that was cut short is multiplied by what is missing, before trees see it.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from features.contract import Contract
from features.declarations import COUNT, DAYS, TOTAL, Aggregate
from training.datasets import Examples

ADDED_UP = frozenset({COUNT.name, TOTAL.name, DAYS.name})
"""Kinds of aggregates that grow in step with their window. Distinct items do not, nor do means and shares."""


def windows(contract: Contract) -> Mapping[int, int | None]:
    """Window in days of every model feature that is a plain sum or count, by its column; None is all history."""
    found: dict[int, int | None] = {}
    for column, name in enumerate(contract.model_features):
        formula = contract.feature(name).formula
        if isinstance(formula, Aggregate) and formula.kind.name in ADDED_UP:
            found[column] = formula.days
    return found


def with_history(rows: Examples, contract: Contract, *, first_day: int, day: int) -> Examples:
    """The rows as they would look with as much history behind them as there is on a local day.

    Parameters
    ----------
    first_day
        When the facts begin.
    day
        When the model answers; later than the day of any row.
    """
    behind, target = np.maximum(rows.days - first_day, 1).astype(np.float64), float(max(day - first_day, 1))
    matrix = rows.matrix.copy()
    for column, window in windows(contract).items():
        longest = np.inf if window is None else float(window)
        missing = np.minimum(longest, target) / np.minimum(longest, behind)
        if (missing != 1).any():
            matrix[:, column] = (matrix[:, column] * missing).astype(np.float32)
    return replace(rows, matrix=matrix)
