"""The door: every table a source hands over is checked against its canonical schema before anything else sees it."""

import ibis.expr.datatypes as dt
import pandera.ibis as pa
from ibis import ir
from pandera.errors import SchemaErrors

from features.errors import SchemaMismatch
from features.sources.schema import FactColumn, FactTable

_TYPES: dict[str, dt.DataType] = {
    "string": dt.String(),
    "int64": dt.Int64(),
    "int32": dt.Int32(),
    "timestamp": dt.Timestamp(),
    "boolean": dt.Boolean(),
}
_PROBLEMS = {
    "SERIES_CONTAINS_NULLS": "has missing values, and none are allowed",
    "COLUMN_NOT_IN_DATAFRAME": "is not in the table",
    "WRONG_DATATYPE": "has another type",
    "DATAFRAME_CHECK": "holds a value that is not allowed",
}


def admit(table: ir.Table, schema: FactTable, *, also: tuple[str, ...] = ()) -> ir.Table:
    """The table, once it has the schema's columns and types, nulls only where allowed, and only allowed values.

    Parameters
    ----------
    also
        Further columns that are let through as they are.

    Raises
    ------
    SchemaMismatch
        The message lists each column that does not fit with what was expected and what was found, and no values.
    """
    found = table.schema()
    present = table.mutate(**{c.name: _plain(table[c.name], c) for c in schema.columns if c.name in found})
    try:
        pandera_schema(schema, with_values=_has_rows(table)).validate(present, lazy=True)
    except SchemaErrors as error:
        problems = [_problem(failure.reason_code.name, failure, found) for failure in error.schema_errors]
        raise SchemaMismatch(
            f"table {schema.name} does not fit its schema:\n  " + "\n  ".join(problems),
            remedy=f"docs/facts.md describes every column of {schema.name}",
        ) from None
    return present.select(*(column.name for column in schema.columns), *also)


def pandera_schema(schema: FactTable, *, with_values: bool = True) -> pa.DataFrameSchema:
    """The pandera schema of a canonical table; columns it does not name are left out.

    Parameters
    ----------
    with_values
        Whether values are looked at, or columns and types only. Pandera takes an empty table for one full of gaps.
    """
    columns = {
        c.name: pa.Column(
            _TYPES[c.type],
            checks=[pa.Check.isin(list(c.allowed))] if c.allowed and with_values else None,
            nullable=not (c.required and with_values),
        )
        for c in schema.columns
    }
    return pa.DataFrameSchema(columns, strict="filter", name=schema.name)


def _has_rows(table: ir.Table) -> bool:
    return bool(table.limit(1).count().to_pyarrow().as_py())


def _plain(column: ir.Column, schema: FactColumn) -> ir.Column:
    """Timestamps without their precision, which differs between writers; everything else as it is."""
    return column.cast("timestamp") if schema.type == "timestamp" and column.type().is_timestamp() else column


def _problem(reason: str, failure: object, found: dict[str, dt.DataType]) -> str:
    schema = getattr(failure, "schema", None)
    name = getattr(schema, "name", None) or "?"
    if reason == "COLUMN_NOT_IN_DATAFRAME":
        name = str(getattr(failure, "failure_cases", "?"))
    kind = found.get(name)
    expected = getattr(schema, "dtype", "")
    return f"{name}: {_PROBLEMS.get(reason, reason.lower())}" + (
        f" (expected {expected}, found {kind})" if reason == "WRONG_DATATYPE" else ""
    )
