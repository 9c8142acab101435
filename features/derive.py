"""Features from aggregates with numpy alone: what serving does at each request, and what batch results must equal.

Most formulas have one of a few shapes. Those alike are evaluated together, as arrays with a row for each feature: a request
for one member costs some forty operations on small arrays instead of four hundred.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.codec import missing_value, record_dtype
from features.contract import Contract
from features.declarations import Edge, Feature, Threshold
from features.expressions import NUMPY, Call, Column, Expression, Literal

Columns: TypeAlias = dict[str, NDArray[np.float64]]
Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = slice | NDArray[np.intp]
"""Rows of values: a slice where they are neighbours, which costs a tenth of picking them."""
BLOCK = 20_000
"""Members whose values stand in memory as float64 at once."""


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
        first = len(contract.aggregates) + 1
        return np.ascontiguousarray(values[first : first + len(contract.features)].T, dtype=np.float32)
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
    neighbours, others
        Rows of values that they are applied to, one for each feature and place: those that follow one another, then the rest.
    constants
        Numbers that they are applied to, one for each feature and place; their places come next.
    steps
        The common formula from the inside out: an operation, and the places of its arguments, each result taking the next
        place. What stands twice in a formula is worked out once.
    """

    rows: Rows
    neighbours: tuple[slice, ...]
    others: tuple[NDArray[np.intp], ...]
    constants: tuple[Floats, ...]
    steps: tuple[tuple[Callable[..., Any], tuple[int, ...]], ...]


def _values(contract: Contract, records: NDArray[np.void], *, day: int, scalars: Mapping[str, float]) -> Floats:
    """One row each for every aggregate, the day, every feature and every scalar, in that order; one column for each record."""
    aggregates, before = len(contract.aggregates), len(contract.aggregates) + 1 + len(contract.features)
    names = _scalar_names(contract)
    values = np.empty((before + len(names), len(records)))
    _read(contract, records, values)
    values[aggregates] = day
    values[before:] = np.array([scalars[name] for name in names], dtype=np.float64)[:, np.newaxis]
    for alike in _plan(contract):
        found: list[Any] = [values[rows] for rows in alike.neighbours]
        found += [values.take(rows, axis=0) for rows in alike.others]
        found += alike.constants
        for operation, places in alike.steps:
            found.append(operation(*[found[place] for place in places]))
        values[alike.rows] = found[-1]
    return values


def _read(contract: Contract, records: NDArray[np.void], values: Floats) -> None:
    """Aggregates as floats with NaN for missing, neighbours of one dtype at a time; exact for integers up to 2^53."""
    raw = np.frombuffer(records.tobytes(), dtype=np.uint8).reshape(len(records), records.dtype.itemsize)
    for dtype, rows, taken in _blocks(contract):
        block = np.ascontiguousarray(raw[:, taken]).view(dtype).T
        values[rows] = block
        if dtype.kind == "i":
            values[rows][block == missing_value(dtype)] = np.nan


@cache
def _blocks(contract: Contract) -> tuple[tuple[np.dtype[Any], slice, slice], ...]:
    """Neighbouring aggregates of one dtype: it, their rows of values, and the bytes they take of a record."""
    dtype, found, row, start = record_dtype(contract), [], 0, 0
    for kind, members in groupby(dtype[name] for name in dtype.names or ()):
        width = len(list(members))
        stop = start + width * kind.itemsize
        found.append((kind, slice(row, row + width), slice(start, stop)))
        row, start = row + width, stop
    return tuple(found)


def _neighbours(rows: NDArray[np.intp]) -> Rows:
    """The rows as a slice if they follow one another."""
    first = int(rows[0])
    return slice(first, first + len(rows)) if np.array_equal(rows, np.arange(first, first + len(rows))) else rows


@cache
def _scalar_names(contract: Contract) -> tuple[str, ...]:
    return tuple(map(str, contract.scalars))


@cache
def _rows(contract: Contract) -> dict[str, int]:
    """Which row of values holds what. A feature that has its aggregate's name has its value as well."""
    names = (*(a.name for a in contract.aggregates), "day", *contract.feature_names)
    return {name: row for row, name in enumerate(names)}


@cache
def _plan(contract: Contract) -> tuple[_Alike, ...]:
    """Groups of features in an order in which each stands after those it is made of."""
    declared: tuple[Expression | str, ...] = (*contract.aggregates, "day", *contract.features, *_scalar_names(contract))
    row_of = {what: row for row, what in enumerate(declared)}
    found: list[_Alike] = []
    for level in contract.levels():
        groups: dict[str, list[Feature]] = defaultdict(list)
        for feature in level:
            groups[_shape(feature.formula)].append(feature)
        for features in groups.values():
            rows = _neighbours(np.array([row_of[feature] for feature in features], dtype=np.intp))
            found.append(_alike(rows, [feature.formula for feature in features], row_of))
    return tuple(found)


def _alike(rows: Rows, formulas: Sequence[Expression], row_of: Mapping[Expression | str, int]) -> _Alike:
    """Formulas of one shape as one."""
    operands: dict[tuple[str, ...], Rows] = {}
    constants: dict[tuple[str, ...], Floats] = {}
    for same in zip(*map(_leaves, formulas), strict=True):
        if isinstance(same[0], Literal):
            constants[_told(same)] = np.array([[float(leaf.value)] for leaf in same if isinstance(leaf, Literal)])
        else:
            operands[_told(same)] = _operands(same, row_of)
    neighbours = {told: rows for told, rows in operands.items() if isinstance(rows, slice)}
    others = {told: rows for told, rows in operands.items() if not isinstance(rows, slice)}
    places = {told: place for place, told in enumerate((*neighbours, *others, *constants))}
    steps: dict[tuple[Callable[..., Any], tuple[int, ...]], int] = {}

    def place_of(parts: Sequence[Expression]) -> int:
        if not isinstance(parts[0], Call):
            return places[_told(parts)]
        calls = [part for part in parts if isinstance(part, Call)]
        arguments = tuple(place_of(same) for same in zip(*(call.arguments for call in calls), strict=True))
        return steps.setdefault((NUMPY[parts[0].operation], arguments), len(places) + len(steps))

    place_of(formulas)
    return _Alike(rows, tuple(neighbours.values()), tuple(others.values()), tuple(constants.values()), tuple(steps))


def _told(leaves: Sequence[Expression]) -> tuple[str, ...]:
    """What tells the operands at one place from those at others; an aggregate is not the feature that has its name."""
    return tuple(f"{type(leaf).__name__} {leaf}" for leaf in leaves)


def _operands(leaves: Sequence[Expression], row_of: Mapping[Expression | str, int]) -> Rows:
    declared = (str(leaf) if isinstance(leaf, Column | Edge | Threshold) else leaf for leaf in leaves)
    return _neighbours(np.array([row_of[what] for what in declared], dtype=np.intp))


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
    return "row"


@cache
def model_columns(contract: Contract) -> NDArray[np.intp]:
    """Positions, within a feature matrix, of the features that models see."""
    return np.array([i for i, feature in enumerate(contract.features) if feature.in_models], dtype=np.intp)


def label_of(contract: Contract, feature_name: str, code: float) -> str | None:
    """The category a coded feature stands for, such as a lifecycle stage; None if it is missing."""
    categories = contract.feature(feature_name).categories
    return None if np.isnan(code) else categories[int(code)]
