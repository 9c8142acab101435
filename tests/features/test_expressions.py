"""Every operation means the same on arrays and in the query, missing values included."""

from itertools import product

import ibis
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from features.compile import IBIS
from features.expressions import (
    NUMPY,
    Column,
    Expression,
    Literal,
    call,
    evaluate,
    fill,
    halved,
    larger,
    log,
    missing,
    nothing,
    ratio,
    root,
    smaller,
    steps,
    where,
)

VALUES = (None, -7.0, -2.5, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 1e9)
GRID = list(product(VALUES, VALUES, VALUES))
A, B, C = Column("a"), Column("b"), Column("c")
KIND = Column("kind")
KINDS = ("sale", "return", None)

CASES: dict[str, Expression] = {
    "literal": A + 2.5,
    "nothing": where(A > 0, nothing(), B),
    "add": A + B,
    "subtract": A - B,
    "multiply": A * B,
    "modulo": A % 7,
    "less": A < B,
    "less_equal": A <= B,
    "equal": A.equals(B),
    "both": (A < B) & (B < C),
    "either": (A < B) | (B < C),
    "negate": ~(A < B),
    "ratio": ratio(A, B),
    "root": root(A),
    "log": log(A),
    "halved": halved(A, B, 7),
    "where": where(A < B, B, C),
    "larger": larger(A, B),
    "smaller": smaller(A, B),
    "missing": missing(A),
    "fill": fill(A, B),
    "steps": steps(A, (B, C)),
}
COMBINED: dict[str, Expression] = {
    "subtract from a number": 6 - A,
    "greater": A > B,
    "greater or equal": A >= B,
    "between": A.between(B, C),
    "not less is not the same as greater or equal": ~(A < B) & missing(B),
    "a chain like a lifecycle stage": where(larger(A, 2) < B, 4, where(missing(C), 3, where(A <= 1, 0, 1))),
    "a deviation": root(ratio(A, B) - ratio(C, B) * ratio(C, B)),
    "a filled limit": where(A >= 3, B + fill(C, 0) * 2, 45),
}


def grid_columns() -> dict[str, NDArray[np.float64]]:
    columns = zip(*GRID, strict=True)
    return {
        name: np.array([np.nan if v is None else v for v in column], dtype=np.float64)
        for name, column in zip("abc", columns, strict=True)
    }


def grid_table() -> pa.Table:
    return pa.table({name: pa.array(column, pa.float64()) for name, column in zip("abc", zip(*GRID, strict=True), strict=True)})


def on_duckdb(expression: Expression) -> NDArray[np.float64]:
    connection = ibis.duckdb.connect()
    table = connection.create_table("grid", grid_table().append_column("row", pa.array(range(len(GRID)))))
    value = evaluate(expression, table, IBIS)
    found = connection.to_pyarrow(table.select("row", value=value).order_by("row"))["value"].to_pylist()
    return np.array([np.nan if v is None else float(v) for v in found])


def on_numpy(expression: Expression) -> NDArray[np.float64]:
    value = np.asarray(evaluate(expression, grid_columns(), NUMPY), dtype=np.float64)
    return np.broadcast_to(value, (len(GRID),))


def test_both_engines_have_the_same_operations_and_each_is_tried_here() -> None:
    assert set(NUMPY) == set(IBIS) == set(CASES)
    for operation, expression in CASES.items():
        assert operation in operations_in(expression)


def operations_in(expression: Expression) -> set[str]:
    arguments = getattr(expression, "arguments", ())
    own = {getattr(expression, "operation", "literal" if isinstance(expression, Literal) else "column")}
    return own.union(*(operations_in(argument) for argument in arguments))


@pytest.mark.parametrize("name", sorted(CASES | COMBINED))
def test_arrays_and_query_agree_on_every_combination(name: str) -> None:
    expression = (CASES | COMBINED)[name]

    arrays, query = on_numpy(expression), on_duckdb(expression)

    different = [GRID[i] for i in np.flatnonzero(~((arrays == query) | (np.isnan(arrays) & np.isnan(query))))]
    assert different == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (A + 1, None),
        (A < 1, False),
        (A >= 1, False),
        (~(A < 1), True),
        (A.equals(A), False),
        (missing(A), True),
        (ratio(1, A), None),
        (root(A), None),
        (larger(A, 3), 3),
        (smaller(A, 3), 3),
        (fill(A, 4), 4),
        (steps(A, (Literal(1.0),)), None),
        (where(A < 1, 1, 2), 2),
        (where(A > 1, 1, nothing()), None),
    ],
)
def test_what_a_missing_value_does(expression: Expression, expected: float | None) -> None:
    value = float(evaluate(expression, {"a": np.array([np.nan])}, NUMPY)[()].item())

    assert np.isnan(value) if expected is None else value == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (ratio(A, 0), None),
        (ratio(0, A), 0.0),
        (root(A - 6), 0.0),
        (root(A - 1), 2.0),
        (steps(A, (Literal(5.0), Literal(5.0), Literal(6.0))), 1.0),  # an edge equal to the value is not below it
        (steps(A, (Literal(1.0), Literal(4.0), Literal(6.0))), 3.0),
        (call("modulo", A, 3), 2.0),
        (A.between(5, 5), 1.0),
    ],
)
def test_values_by_hand(expression: Expression, expected: float | None) -> None:
    value = float(evaluate(expression, {"a": np.array([5.0])}, NUMPY)[()].item())

    assert np.isnan(value) if expected is None else value == expected


@pytest.mark.parametrize("channel", [KIND.equals("sale"), ~KIND.equals("sale"), KIND.equals("return") | KIND.equals("sale")])
def test_texts_are_compared_the_same(channel: Expression) -> None:
    connection = ibis.duckdb.connect()
    table = connection.create_table("kinds", pa.table({"row": [0, 1, 2], "kind": pa.array(KINDS)}))
    query = connection.to_pyarrow(table.select("row", value=evaluate(channel, table, IBIS)).order_by("row"))[
        "value"
    ].to_pylist()

    assert evaluate(channel, {"kind": np.array(KINDS, dtype=object)}, NUMPY).tolist() == query


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="spend"):
        evaluate(Column("spend") + 1, {"a": np.array([1.0])}, NUMPY)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (ratio(A - 1, B), "ratio((a - 1), b)"),
        (KIND.equals("sale") & (A > 0), "((kind = 'sale') and (0 < a))"),
        (where(~missing(A), 0.5, nothing()), "where(negate(missing(a)), 0.5, nothing())"),
        (A.equals(True), "(a = true)"),
        (A * 65_536, "(a * 65536)"),
        (A * 1_234_567, "(a * 1234567)"),
        (A * 0.1234567, "(a * 0.1234567)"),
    ],
)
def test_text_says_the_whole_definition_to_the_last_digit(expression: Expression, text: str) -> None:
    assert str(expression) == text
