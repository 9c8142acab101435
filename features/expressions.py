"""Arithmetic written once as data: a small expression tree that numpy, Ibis and the documentation each read.

Declarations of aggregates and features are built from these nodes, so that one definition can be evaluated on arrays
(serving, live merge), compiled to a query (batch), hashed (contract) and printed (docs). This module imports no engine.

Missing values: arithmetic with a missing operand is missing; a comparison with a missing operand is false. Both
evaluators keep to that, which is why comparisons here are two-valued although SQL's are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Operand: TypeAlias = "Expression | float | int | str | bool"
Operations: TypeAlias = Mapping[str, Callable[..., Any]]


class Expression:
    """A value that can be computed for every row of a table. Operators build larger expressions."""

    __slots__ = ()

    def __add__(self, other: Operand) -> Expression:
        return call("add", self, other)

    def __sub__(self, other: Operand) -> Expression:
        return call("subtract", self, other)

    def __rsub__(self, other: Operand) -> Expression:
        return call("subtract", other, self)

    def __mul__(self, other: Operand) -> Expression:
        return call("multiply", self, other)

    def __mod__(self, other: Operand) -> Expression:
        return call("modulo", self, other)

    def __lt__(self, other: Operand) -> Expression:
        return call("less", self, other)

    def __le__(self, other: Operand) -> Expression:
        return call("less_equal", self, other)

    def __gt__(self, other: Operand) -> Expression:
        return call("less", other, self)

    def __ge__(self, other: Operand) -> Expression:
        return call("less_equal", other, self)

    def __and__(self, other: Expression) -> Expression:
        return call("both", self, other)

    def __or__(self, other: Expression) -> Expression:
        return call("either", self, other)

    def __invert__(self) -> Expression:
        return call("negate", self)

    def equals(self, other: Operand) -> Expression:
        """True where both sides are the same known value."""
        return call("equal", self, other)

    def between(self, low: Operand, high: Operand) -> Expression:
        """True where low <= self <= high."""
        return (self >= low) & (self <= high)


@dataclass(frozen=True, slots=True, eq=False)
class Column(Expression):
    """A column of the table the expression is evaluated on, by name."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Expression):
    """A constant."""

    value: float | int | str | bool

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, str):
            return f"'{self.value}'"
        short = f"{self.value:g}"
        return short if float(short) == self.value else repr(self.value)  # the hash of the contract must see every digit


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expression):
    """An operation applied to other expressions."""

    operation: str
    arguments: tuple[Expression, ...]

    def __str__(self) -> str:
        sign = _INFIX.get(self.operation)
        if sign is not None:
            return f"({f' {sign} '.join(str(argument) for argument in self.arguments)})"
        return f"{self.operation}({', '.join(str(argument) for argument in self.arguments)})"


_INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "modulo": "%",
    "less": "<",
    "less_equal": "<=",
    "equal": "=",
    "both": "and",
    "either": "or",
}


def call(operation: str, *operands: Operand) -> Call:
    """The node for an operation; plain numbers and strings become literals."""
    return Call(operation, tuple(o if isinstance(o, Expression) else Literal(o) for o in operands))


def ratio(numerator: Operand, denominator: Operand) -> Expression:
    """Numerator / denominator, missing where the denominator is zero or missing."""
    return call("ratio", numerator, denominator)


def root(value: Operand) -> Expression:
    """Square root; a value below zero counts as zero, as rounding can leave a variance of equal values there."""
    return call("root", value)


def log(value: Operand) -> Expression:
    """Natural logarithm, missing where the value is not above zero."""
    return call("log", value)


def halved(value: Operand, age: Operand, half_life: Operand) -> Expression:
    """The value, halved once every half-life of its age; as it stands where the age is missing, since nothing happened yet."""
    return call("halved", value, age, half_life)


def where(condition: Expression, then: Operand, otherwise: Operand) -> Expression:
    """`then` on rows where the condition is true, `otherwise` on all others."""
    return call("where", condition, then, otherwise)


def larger(left: Operand, right: Operand) -> Expression:
    """The larger of two; where one is missing, the other."""
    return call("larger", left, right)


def smaller(left: Operand, right: Operand) -> Expression:
    """The smaller of two; where one is missing, the other."""
    return call("smaller", left, right)


def nothing() -> Expression:
    """The missing value itself."""
    return call("nothing")


def missing(value: Operand) -> Expression:
    """True where the value is missing."""
    return call("missing", value)


def fill(value: Operand, default: Operand) -> Expression:
    """The value, or the default where it is missing."""
    return call("fill", value, default)


def steps(value: Operand, edges: Sequence[Expression]) -> Call:
    """1 plus the number of edges that lie strictly below the value; missing where the value is missing."""
    return call("steps", value, *edges)


def evaluate(expression: Expression, columns: Mapping[str, Any], operations: Operations) -> Any:
    """The value of an expression, given its columns by name and an engine's operations.

    Parameters
    ----------
    columns
        Arrays, query columns or scalars. A reference such as an aggregate is looked up under its name.
    operations
        One callable for each operation, and "literal" for constants.

    Raises
    ------
    KeyError
        A column that the expression names is not among those given.
    """
    if isinstance(expression, Call):
        arguments = [evaluate(argument, columns, operations) for argument in expression.arguments]
        return operations[expression.operation](*arguments)
    if isinstance(expression, Literal):
        return operations["literal"](expression.value)
    return columns[str(expression)]


def _ratio(numerator: Any, denominator: Any) -> Any:
    """Division of float arrays without a warning; 0 and NaN below the line give NaN, as anything by NaN does."""
    return numerator / np.where(denominator != 0, denominator, np.nan)


def _root(value: Any) -> Any:
    """Square root of a float array, 0 below zero and NaN for NaN."""
    return np.sqrt(np.maximum(value, 0.0))


def _log(value: Any) -> Any:
    """Natural logarithm of a float array without a warning; NaN at zero and below."""
    return np.log(np.where(value > 0, value, np.nan))


def _halved(value: Any, age: Any, half_life: Any) -> Any:
    """A float array times 2^(-age / half-life); age 0 where it is NaN."""
    return value * np.exp2(-np.where(np.isnan(age), 0.0, age) / half_life)


def _missing(value: Any) -> Any:
    """Which entries are NaN; of texts and other objects, which are None."""
    array = np.asarray(value)
    return np.isnan(array) if array.dtype.kind in "fiu" else np.asarray([entry is None for entry in array.ravel()])


def _steps(value: Any, *edges: Any) -> Any:
    """Rank of a float array among ascending edges, from 1; NaN stays NaN."""
    rank = np.float64(1)
    for edge in edges:
        rank = rank + (value > edge)
    return np.where(np.isnan(value), np.nan, rank)


NUMPY: Operations = {
    "literal": lambda value: value if isinstance(value, str | bool) else np.float64(value),
    "nothing": lambda: np.float64(np.nan),
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "modulo": np.mod,
    "less": np.less,
    "less_equal": np.less_equal,
    "equal": lambda left, right: np.asarray(left == right),
    "both": np.logical_and,
    "either": np.logical_or,
    "negate": np.logical_not,
    "ratio": _ratio,
    "root": _root,
    "log": _log,
    "halved": _halved,
    "where": np.where,
    "larger": np.fmax,
    "smaller": np.fmin,
    "missing": _missing,
    "fill": lambda value, default: np.where(np.isnan(value), default, value),
    "steps": _steps,
}
"""The operations on float64 arrays, with NaN as the missing value. Strings are compared, nothing else."""
