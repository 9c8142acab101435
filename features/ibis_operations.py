"""The operations of expressions as Ibis columns: what `features.expressions.NUMPY` does to arrays, for a query."""

from functools import reduce

import ibis
from ibis import ir

from features.expressions import Operations


def power_of_two(exponent: ir.NumericValue) -> ir.Value:
    """2 to the power of a float column."""
    return ibis.literal(2.0) ** exponent


def _known(condition: ir.BooleanValue) -> ir.BooleanValue:
    """A comparison with a missing operand is false, as in numpy."""
    return condition.fill_null(False)


def _literal(value: float | str | bool) -> ir.Scalar:
    return ibis.literal(value) if isinstance(value, str | bool) else ibis.literal(float(value))


def _steps(value: ir.NumericValue, *edges: ir.NumericValue) -> ir.Value:
    rank = reduce(lambda total, edge: total + _known(value > edge).cast("float64"), edges, ibis.literal(1.0))
    return ibis.ifelse(value.isnull(), ibis.null("float64"), rank)


def _halved(value: ir.NumericValue, age: ir.NumericValue, half_life: ir.NumericValue) -> ir.Value:
    return value * power_of_two(-age.fill_null(0.0) / half_life)


IBIS: Operations = {
    "literal": _literal,
    "nothing": lambda: ibis.null("float64"),
    "add": lambda left, right: left + right,
    "subtract": lambda left, right: left - right,
    "multiply": lambda left, right: left * right,
    "modulo": lambda left, right: ((left % right) + right) % right,  # SQL's own remainder takes the sign of the left
    "less": lambda left, right: _known(left < right),
    "less_equal": lambda left, right: _known(left <= right),
    "equal": lambda left, right: _known(left == right),
    "both": lambda left, right: left & right,
    "either": lambda left, right: left | right,
    "negate": lambda value: ~value,
    "ratio": lambda numerator, denominator: numerator / denominator.nullif(0.0),
    "root": lambda value: ibis.cases((value < 0, ibis.literal(0.0)), else_=value).sqrt(),
    "log": lambda value: ibis.cases((value > 0, value)).ln(),
    "halved": _halved,
    "where": ibis.ifelse,
    "larger": ibis.greatest,
    "smaller": ibis.least,
    "missing": lambda value: value.isnull(),
    "fill": lambda value, default: value.fill_null(default),
    "steps": _steps,
}
"""The operations on Ibis columns, with NULL as the missing value. Same meaning as `features.expressions.NUMPY`."""
