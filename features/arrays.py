"""One bucket of facts as plain arrays: members, items and every word as numbers, and only the columns that count.

Facts are compared, counted and added up far more often than they are read. As numbers in memory a pass over them costs a few
nanoseconds a fact, in a database ten times that.
"""
# ruff: noqa: S608 -- names of tables and columns from the schema and the contract

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.arrow_numbers import numbers_of
from features.compile import SUMMARISED, needed_columns
from features.contract import Contract
from features.days import microseconds
from features.declarations import SWITCHES
from features.expressions import NUMPY, Expression, Operations, evaluate
from features.facts import Facts
from features.sources.schema import ITEMS, LINES, PURCHASES, FactColumn, FactTable

THREADS = min(4, os.cpu_count() or 1)
ALWAYS, NEVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Words:
    """A column of text. `codes` are places in `words`, -1 where the text is missing."""

    codes: NDArray[np.int32]
    words: pa.Array

    def equals(self, word: str) -> NDArray[np.bool_]:
        """Which rows hold a word."""
        words = self.words.to_pylist()
        return self.codes == words.index(word) if word in words else np.zeros(len(self.codes), dtype=np.bool_)


Values: TypeAlias = NDArray[Any] | Words


@dataclass(frozen=True, slots=True)
class Rows:
    """The facts of one table, in the order in which they are stored.

    Attributes
    ----------
    members
        Number of the member of each fact.
    columns
        By name. Numbers are float64, with NaN, where some are missing.
    moments
        When each happened, in microseconds since 1970, UTC; None if nobody asked.
    known_from, known_until
        Between which moments each was known; None where nothing was recorded late, or corrected.
    """

    members: NDArray[np.int32]
    columns: Mapping[str, Values]
    moments: NDArray[np.int64] | None
    known_from: NDArray[np.int64] | None = None
    known_until: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.members)

    @property
    def days(self) -> NDArray[np.int32]:
        """Local day of each fact."""
        return np.asarray(self.columns["local_day"])

    def where(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Some of the facts."""
        return Rows(
            self.members[chosen],
            {name: _chosen(values, chosen) for name, values in self.columns.items()},
            None if self.moments is None else self.moments[chosen],
            None if self.known_from is None else self.known_from[chosen],
            None if self.known_until is None else self.known_until[chosen],
        )

    def as_of(self, moment: datetime, day: int) -> "Rows":
        """The facts that were known and past as of an aware moment of a local day; its midnight, if moments were not read."""
        at = microseconds(moment)
        known = self.days < day if self.moments is None else self.moments < at
        if self.known_from is not None:
            known &= self.known_from < at
        if self.known_until is not None:
            known &= self.known_until >= at
        return self if known.all() else self.where(known)

    def value(self, expression: Expression) -> Any:
        """An expression of each fact."""
        return evaluate(expression, self.columns, OPERATIONS)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The facts of one bucket's members, by name of the table.

    Attributes
    ----------
    member_ids
        Sorted; member number n is member_ids[n]. Everyone with a fact, whenever it happened.
    """

    member_ids: NDArray[np.str_]
    tables: Mapping[str, Rows]

    def as_of(self, moment: datetime, day: int) -> "Bucket":
        """The same members, with the facts that were known and past as of an aware moment of a local day."""
        return replace(self, tables={name: rows.as_of(moment, day) for name, rows in self.tables.items()})


def read_bucket(facts: Facts, bucket: int, contract: Contract, *, moments: bool = True) -> Bucket:
    """Every fact of a bucket's members that the contract rests on.

    Parameters
    ----------
    moments
        Whether moments are needed where days tell everything: they are not, if only midnights are asked about.
    """
    used = [t for t in SUMMARISED if any(a.table is t for a in contract.aggregates)]
    read = {table.name: _read(facts, bucket, table, contract, moments=moments) for table in used}
    read = {name: columns for name, columns in read.items() if columns and len(columns["local_day"])}
    everyone = pa.chunked_array([columns["member_id"].words for columns in read.values()], pa.string()).unique()
    member_ids = pc.take(everyone, pc.sort_indices(everyone))
    tables = {}
    for name in list(read):
        catalogue = _catalogue(facts, contract) if name == LINES.name else None
        tables[name] = _rows(read.pop(name), member_ids, catalogue)
    return Bucket(np.asarray(member_ids.to_pylist(), dtype=np.str_), tables)


def _read(facts: Facts, bucket: int, table: FactTable, contract: Contract, *, moments: bool) -> dict[str, Any]:
    """The columns of a table's bucket that are needed, by name.

    What tells facts of one moment apart is read only where there are any: it is as many different texts as there are facts.
    """
    source = _Source(facts, bucket, PURCHASES if table is LINES else table)
    own = [a for a in contract.aggregates if a.table is table]
    in_order = any(a.kind is SWITCHES for a in own)
    needed = {*needed_columns(contract, table), *(("item_id",) if table is LINES else ())}
    used = {column for a in own for _, column in a.columns()}
    later = needed & set(table.key) - used - {"member_id", "occurred_at", "local_day"}
    if not moments and not in_order:
        later |= {"occurred_at"}
    columns = source.read(needed - later)
    corrected = any(columns.get(name) is not None for name in ("recorded_at", "superseded_at"))
    if corrected and "occurred_at" not in columns:
        columns |= source.read({"occurred_at"})
    if in_order and columns and _tied(columns["member_id"].codes, columns["occurred_at"]):
        columns |= source.read(needed & later)
    return columns


def _tied(members: NDArray[np.int32], moments: NDArray[np.int64]) -> bool:
    """Whether a member has two facts at one moment."""
    order = np.lexsort((moments, members))
    members, moments = members[order], moments[order]
    return bool(((members[1:] == members[:-1]) & (moments[1:] == moments[:-1])).any())


@dataclass(frozen=True, slots=True)
class _Source:
    """Where one bucket of a stored table is read from."""

    facts: Facts
    bucket: int
    table: FactTable

    def read(self, names: Collection[str]) -> dict[str, Any]:
        """Some columns; each is decoded apart, so that only few stand in memory twice."""
        columns = [c for c in self.table.columns if c.name in names]
        if not columns:
            return {}
        if self.facts.folder is None:
            order = ", ".join(c.name for c in columns)
            sql = f"SELECT {order} FROM {self.table.name} WHERE member_id IS NOT NULL"
            content = self.facts.query(sql, bucket=self.bucket)
            return {c.name: _decoded(content[c.name], c) for c in columns}
        paths = [self.facts.folder / name for name in self.facts.manifest.files_of(self.table.name, self.bucket)]
        if not paths:
            return {}
        with ThreadPoolExecutor(THREADS) as pool:
            return dict(zip((c.name for c in columns), pool.map(partial(_column_of, paths), columns), strict=True))


def _column_of(paths: list[Path], column: FactColumn) -> Any:
    """One column of some files, one after the other."""
    texts = [column.name] if column.type == "string" else None
    parts = [pq.ParquetFile(path, read_dictionary=texts).read([column.name], use_threads=False)[0] for path in paths]
    return _decoded(pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type), column)


def _decoded(column: pa.ChunkedArray, declared: FactColumn) -> Any:
    """A column as numbers; moments that are all missing as None."""
    if declared.type == "string":
        return _words(column)
    if declared.type != "timestamp":
        return _values(column)
    if column.null_count == len(column) and declared.name != "occurred_at":
        return None
    missing = NEVER if declared.name == "superseded_at" else ALWAYS
    return numbers_of(column.cast(pa.timestamp("us")), missing=int(missing))


def _rows(columns: dict[str, Any], member_ids: pa.Array, catalogue: pa.Table | None) -> Rows:
    members = columns.pop("member_id")
    number_of = numbers_of(pc.index_in(members.words, value_set=member_ids))
    moments, since, until = (columns.pop(name, None) for name in ("occurred_at", "recorded_at", "superseded_at"))
    if catalogue is not None:
        columns |= _said_of_items(columns["item_id"], catalogue)
    return Rows(number_of.take(members.codes), columns, moments, since, until)


def _catalogue(facts: Facts, contract: Contract) -> pa.Table:
    """What the catalogue says of each item, of the columns that the contract rests on."""
    said = {c.name for c in ITEMS.columns} & set(needed_columns(contract, LINES)) - {"item_id"}
    names = ", ".join(("item_id", *sorted(said)))
    return facts.query(f"SELECT {names} FROM {ITEMS.name}")


def _said_of_items(items: Values, catalogue: pa.Table) -> dict[str, Values]:
    """The catalogue's columns for each line; missing where it does not know the item, or the line has none."""
    if not isinstance(items, Words):
        raise TypeError("items are told apart by text")
    place = pc.index_in(items.words, value_set=catalogue["item_id"].combine_chunks())
    row_of = _taken(numbers_of(place, missing=-1), items.codes, np.int32(-1))
    with ThreadPoolExecutor(THREADS) as pool:
        said = pool.map(lambda name: _said(_values(catalogue[name]), row_of), catalogue.column_names[1:])
        return dict(zip(catalogue.column_names[1:], said, strict=True))


def _said(values: Values, row_of: NDArray[np.int32]) -> Values:
    """A column of the catalogue for each line, by its row there; missing where that is -1."""
    if isinstance(values, Words):
        return Words(_taken(values.codes, row_of, np.int32(-1)), values.words)
    return _taken(values, row_of, np.nan)


def _taken(values: NDArray[Any], places: NDArray[np.int32], missing: np.int32 | float) -> NDArray[Any]:
    """The values at some places; where a place is -1, what is missing, beside which numbers are as wide as that needs."""
    if places.min(initial=0) < 0:
        values = np.append(values, missing)
        places = np.where(places < 0, np.int32(len(values) - 1), places)
    return values.take(places, mode="clip") if len(values) else values[places]


def _words(column: pa.ChunkedArray) -> Words:
    """A column of text, as it is or as dictionaries."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return Words(np.empty(0, np.int32), pa.array([], pa.string()))
    codes = numbers_of(pa.chunked_array([chunk.indices for chunk in column.chunks]), missing=-1)
    return Words(codes.astype(np.int32, copy=False), column.chunk(0).dictionary)


def _values(column: pa.ChunkedArray) -> Values:
    """A column as numbers: words by their codes, numbers as they are if none is missing."""
    if pa.types.is_string(column.type):
        return _words(column)
    values = numbers_of(column, missing=np.nan)
    return values.astype(np.float64, copy=False) if column.null_count else values


def _chosen(values: Values, rows: NDArray[np.bool_]) -> Values:
    return Words(values.codes[rows], values.words) if isinstance(values, Words) else values[rows]


def _equal(left: Any, right: Any) -> NDArray[np.bool_]:
    if isinstance(left, Words):
        return left.equals(right)
    return right.equals(left) if isinstance(right, Words) else np.asarray(left == right)


def _missing(value: Any) -> NDArray[np.bool_]:
    if isinstance(value, Words):
        return value.codes < 0
    array = np.asarray(value)
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), dtype=np.bool_)


def _literal(value: float | str | bool) -> float | str | bool:
    """Whole numbers stay whole, so that amounts are added up exactly."""
    return int(value) if not isinstance(value, str | bool) and float(value).is_integer() else value


def _on_wide(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operation on integers of 64 bits, which amounts and squared amounts need."""

    def apply(left: Any, right: Any) -> Any:
        return operation(*(v.astype(np.int64) if getattr(v, "dtype", None) == np.int32 else v for v in (left, right)))

    return apply


OPERATIONS: Operations = {
    **NUMPY,
    "literal": _literal,
    "equal": _equal,
    "missing": _missing,
    "multiply": _on_wide(np.multiply),
}
"""The operations of expressions on columns of facts: those on arrays, with whole numbers kept whole and words as codes."""
