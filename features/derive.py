"""Features from aggregates with numpy alone: what serving does at each request, and what batch results must equal.

Most formulas have one of a few shapes. Those alike are evaluated together, as arrays with a row for each feature: a request
for one member costs some forty operations on small arrays instead of four hundred.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, groupby
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.codec import missing_value
from features.contract import Contract
from features.declarations import Edge, Feature, Threshold
from features.expressions import NUMPY, Call, Column, Expression, Literal, evaluate

Columns: TypeAlias = dict[str, NDArray[np.float64]]
Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = slice | NDArray[np.intp]
"""Rows of values: a slice where they are neighbours, which costs a tenth of picking them."""
BLOCK = 20_000
"""Members whose values stand in memory as float64 at once."""
PLACES = tuple(map(str, range(100)))
"""Names of what a formula is applied to, by place."""


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
    if len(records) <= BLOCK:
        values = _values(contract, records, day=day, scalars=edges)
        return np.ascontiguousarray(values[len(contract.aggregates) + 1 :].T, dtype=np.float32)
    matrix = np.empty((len(records), len(contract.features)), dtype=np.float32)
    for start in range(0, len(records), BLOCK):
        part = slice(start, start + BLOCK)
        matrix[part] = derive(contract, records[part], day=day, edges=edges)
    return matrix


def derive_columns(contract: Contract, records: NDArray[np.void], *, day: int, edges: Mapping[str, float]) -> Columns:
    """Every aggregate, feature and scalar as float64 by name, before rounding to float32; a scalar has no dimension."""
    values = _values(contract, records, day=day, scalars=edges)
    columns: Columns = {name: values[row] for name, row in _rows(contract).items()}
    columns.update({name: np.asarray(value, dtype=np.float64) for name, value in edges.items()})
    return columns


@dataclass(frozen=True, slots=True)
class _Alike:
    """Features whose formulas differ in nothing but what they are applied to: evaluated as one, a row of arrays each.

    Attributes
    ----------
    rows
        Where the values of these features belong.
    formula
        Their common formula, over columns named by place.
    operands
        For each place the rows of values, the names of scalars or the constants, one for each feature.
    """

    rows: Rows
    formula: Expression
    operands: tuple[Rows | tuple[str, ...] | Floats, ...]


def _values(contract: Contract, records: NDArray[np.void], *, day: int, scalars: Mapping[str, float]) -> Floats:
    """One row each for every aggregate, the day and every feature, in that order; one column for each record."""
    aggregates = len(contract.aggregates)
    values = np.empty((aggregates + 1 + len(contract.features), len(records)))
    _read(records, values)
    values[aggregates] = day
    for alike in _plan(contract):
        operands = {PLACES[place]: _operand(operand, values, scalars) for place, operand in enumerate(alike.operands)}
        values[alike.rows] = evaluate(alike.formula, operands, NUMPY)
    return values


def _read(records: NDArray[np.void], values: Floats) -> None:
    """Aggregates as floats with NaN for missing, neighbours of one dtype at a time; exact for integers up to 2^53."""
    size = records.dtype.itemsize
    raw = np.frombuffer(records.tobytes(), dtype=np.uint8).reshape(len(records), size)
    row = start = 0
    for dtype, members in groupby(records.dtype[name] for name in records.dtype.names or ()):
        width = len(list(members))
        stop = start + width * dtype.itemsize
        block = np.ascontiguousarray(raw[:, start:stop]).view(dtype).T
        values[row : row + width] = block
        if dtype.kind == "i":
            values[row : row + width][block == missing_value(dtype)] = np.nan
        row, start = row + width, stop


def _operand(operand: Rows | tuple[str, ...] | Floats, values: Floats, scalars: Mapping[str, float]) -> Floats:
    if isinstance(operand, slice):
        return values[operand]
    if isinstance(operand, tuple):
        return np.array([[scalars[name]] for name in operand], dtype=np.float64)
    return values[operand.astype(np.intp, copy=False)] if operand.dtype.kind == "i" else operand.astype(np.float64, copy=False)


def _neighbours(rows: NDArray[np.intp]) -> Rows:
    """The rows as a slice if they follow one another."""
    first = int(rows[0])
    return slice(first, first + len(rows)) if np.array_equal(rows, np.arange(first, first + len(rows))) else rows


@cache
def _rows(contract: Contract) -> dict[str, int]:
    """Which row of values holds what. A feature that has its aggregate's name has its value as well."""
    names = (*(a.name for a in contract.aggregates), "day", *contract.feature_names)
    return {name: row for row, name in enumerate(names)}


@cache
def _plan(contract: Contract) -> tuple[_Alike, ...]:
    """Groups of features in an order in which each stands after those it is made of."""
    first = len(contract.aggregates) + 1
    row_of: dict[Expression, int] = {declared: row for row, declared in enumerate(contract.aggregates)}
    row_of.update({feature: first + place for place, feature in enumerate(contract.features)})
    found: list[_Alike] = []
    for level in contract.levels():
        groups: dict[str, list[Feature]] = defaultdict(list)
        for feature in level:
            groups[_shape(feature.formula)].append(feature)
        for features in groups.values():
            leaves = zip(*(_leaves(feature.formula) for feature in features), strict=True)
            found.append(
                _Alike(
                    rows=_neighbours(np.array([row_of[feature] for feature in features], dtype=np.intp)),
                    formula=_by_place(features[0].formula, count()),
                    operands=tuple(_operands(same, row_of, first - 1) for same in leaves),
                )
            )
    return tuple(found)


def _operands(leaves: Sequence[Expression], row_of: Mapping[Expression, int], day: int) -> Rows | tuple[str, ...] | Floats:
    if isinstance(leaves[0], Literal):
        return np.array([[float(leaf.value)] for leaf in leaves if isinstance(leaf, Literal)])
    if isinstance(leaves[0], Edge | Threshold):
        return tuple(str(leaf) for leaf in leaves)
    return _neighbours(np.array([day if isinstance(leaf, Column) else row_of[leaf] for leaf in leaves], dtype=np.intp))


def _leaves(expression: Expression) -> Iterator[Expression]:
    """What a formula is applied to, from left to right."""
    if isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _leaves(argument)
    else:
        yield expression


def _shape(expression: Expression) -> str:
    """A formula without what it is applied to."""
    if isinstance(expression, Call):
        return f"{expression.operation}({','.join(_shape(argument) for argument in expression.arguments)})"
    if isinstance(expression, Literal):
        return "constant"
    return "scalar" if isinstance(expression, Edge | Threshold) else "row"


def _by_place(expression: Expression, places: Iterator[int]) -> Expression:
    """The formula with its leaves numbered."""
    if isinstance(expression, Call):
        return Call(expression.operation, tuple(_by_place(argument, places) for argument in expression.arguments))
    return Column(PLACES[next(places)])


@cache
def model_columns(contract: Contract) -> NDArray[np.intp]:
    """Positions, within a feature matrix, of the features that models see."""
    return np.array([i for i, feature in enumerate(contract.features) if feature.in_models], dtype=np.intp)


def label_of(contract: Contract, feature_name: str, code: float) -> str | None:
    """The category a coded feature stands for, such as a lifecycle stage; None if it is missing."""
    categories = contract.feature(feature_name).categories
    return None if np.isnan(code) else categories[int(code)]
