"""Queries of the cleaning in DuckDB's own words: Ibis takes longer to write these than DuckDB takes to answer them."""

import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb
import ibis
from ibis import ir


def queried(query: str, **tables: ir.Table) -> ir.Table:
    """The rows of a query, kept for as long as somebody holds them; `{name}` in it stands for the table of that name.

    All tables must belong to the connection of the first, or to none.
    """
    backend = ibis.get_backend(next(iter(tables.values())))
    result = fresh_name("result")
    with named(backend, **tables) as names:
        for name, table in names.items():
            query = query.replace(f"{{{name}}}", f'"{table}"')
        backend.con.execute(f'CREATE TEMP TABLE "{result}" AS {query}')
    kept: ir.Table = backend.table(result)
    weakref.finalize(kept.op(), _drop, backend.con, result).atexit = False
    return kept


@contextmanager
def named(backend: ibis.BaseBackend, **tables: ir.Table) -> Iterator[dict[str, str]]:
    """Names under which a connection knows these tables for as long as the block lasts."""
    names = {name: fresh_name(name) for name in tables}
    try:
        for name, table in tables.items():
            backend.create_view(names[name], table)
        yield names
    finally:
        for view in names.values():
            backend.con.execute(f'DROP VIEW IF EXISTS "{view}"')


def fresh_name(name: str) -> str:
    """A name that no table has."""
    return f"cleaning_{name}_{uuid.uuid4().hex}"


def _drop(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    with suppress(duckdb.Error):  # the connection may be closed, and the table gone with it
        connection.execute(f'DROP TABLE IF EXISTS "{table}"')
