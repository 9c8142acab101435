"""Canonical fact tables as Arrow and SQL have them: their columns, made complete, or without a row."""

import pyarrow as pa

from features.sources.schema import FactTable


def arrow_schema(table: FactTable) -> pa.Schema:
    """The canonical columns of a table as Arrow has them."""
    types = {"string": pa.string(), "int64": pa.int64(), "int32": pa.int32(), "boolean": pa.bool_()}
    return pa.schema([(c.name, types.get(c.type, pa.timestamp("us"))) for c in table.columns])


def completed(content: pa.Table, table: FactTable) -> pa.Table:
    """The canonical columns of a table, those that may be missing and are not there filled with nulls."""
    schema = arrow_schema(table)
    for column in table.columns:
        if column.name not in content.column_names and not column.required:
            content = content.append_column(column.name, pa.nulls(content.num_rows, schema.field(column.name).type))
    return content.select(schema.names).cast(schema)


def empty_table(table: FactTable) -> pa.Table:
    """A fact table without rows."""
    return arrow_schema(table).empty_table()


def no_rows_sql(table: FactTable) -> str:
    """The query for no row of a table."""
    types = {"string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "timestamp": "TIMESTAMP", "boolean": "BOOLEAN"}
    nothing = ", ".join(f"CAST(NULL AS {types[c.type]}) AS {c.name}" for c in table.columns)
    return f"SELECT {nothing} LIMIT 0"
