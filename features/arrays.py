"""One bucket of facts as plain arrays: members, items and every word as numbers, and only the columns that count.

Facts are compared, counted and added up far more often than they are read. As numbers in memory a pass over them costs a few
nanoseconds a fact, in a database ten times that.
"""
# ruff: noqa: S608 -- names of tables and columns from the schema and the contract

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.compile import SUMMARISED, needed_columns
from features.contract import Contract
from features.days import microseconds
from features.expressions import NUMPY, Expression, Operations, evaluate
from features.facts import Facts
from features.sources.schema import ITEMS, LINES, PURCHASES, FactTable

ALWAYS, NEVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Words:
    """A column of text. `codes` are places in `words`, -1 where the text is missing."""

    codes: NDArray[np.int32]
    words: pa.Array

    def equals(self, word: str) -> NDArray[np.bool_]:
        """Which rows hold a word."""
        place = pc.index(self.words, word).as_py()
        return np.zeros(len(self.codes), dtype=np.bool_) if place < 0 else self.codes == place


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
    moments, known_from, known_until
        In microseconds since 1970, UTC: when it happened, and between which moments it was known; None where nothing
        was recorded late, or corrected.
    """

    members: NDArray[np.int32]
    columns: Mapping[str, Values]
    moments: NDArray[np.int64]
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
            self.moments[chosen],
            None if self.known_from is None else self.known_from[chosen],
            None if self.known_until is None else self.known_until[chosen],
        )

    def as_of(self, moment: datetime) -> "Rows":
        """The facts that were known and past as of an aware moment."""
        at = microseconds(moment)
        known = self.moments < at
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

    def as_of(self, moment: datetime) -> "Bucket":
        """The same members, with the facts that were known and past as of an aware moment."""
        return replace(self, tables={name: rows.as_of(moment) for name, rows in self.tables.items()})


def read_bucket(facts: Facts, bucket: int, contract: Contract) -> Bucket:
    """Every fact of a bucket's members that the contract rests on."""
    used = {aggregate.table.name for aggregate in contract.aggregates}
    read = {t.name: _read(facts, bucket, t, needed_columns(contract, t)) for t in SUMMARISED if t.name in used}
    everyone = pa.chunked_array([table["member_id"].chunk(0).dictionary for table in read.values() if len(table)], pa.string())
    member_ids = pc.take(everyone.unique(), pc.sort_indices(everyone.unique()))
    tables = {}
    for table in (t for t in SUMMARISED if t.name in read):
        content = read.pop(table.name)
        if len(content):
            tables[table.name] = _rows(content, member_ids, _catalogue(facts, contract) if table is LINES else None)
    return Bucket(np.asarray(member_ids.to_pylist(), dtype=np.str_), tables)


def _read(facts: Facts, bucket: int, table: FactTable, names: tuple[str, ...]) -> pa.Table:
    """Some columns of a table's bucket, each as one chunk, text as dictionaries."""
    stored = PURCHASES if table is LINES else table
    columns = [c for c in stored.columns if c.name in {*names, *(("item_id",) if table is LINES else ())}]
    texts = [c.name for c in columns if c.type == "string"]
    order = [c.name for c in columns]
    if facts.folder is None:
        content = facts.query(f"SELECT {', '.join(order)} FROM {stored.name} WHERE member_id IS NOT NULL", bucket=bucket)
        parts = [_encoded(content, texts)]
    else:
        files = (
            pq.ParquetFile(facts.folder / name, read_dictionary=texts) for name in facts.manifest.files_of(stored.name, bucket)
        )
        parts = [file.read(columns=order) for file in files]
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks() if parts else pa.table({})


def _encoded(content: pa.Table, texts: list[str]) -> pa.Table:
    for name in texts:
        place = content.schema.get_field_index(name)
        content = content.set_column(place, name, content[name].cast(pa.string()).dictionary_encode())
    return content


def _rows(content: pa.Table, member_ids: pa.Array, catalogue: pa.Table | None) -> Rows:
    members = _words(content["member_id"])
    number_of = pc.index_in(members.words, value_set=member_ids).to_numpy(zero_copy_only=False).astype(np.int32)
    columns = {
        name: _values(content[name])
        for name in content.column_names
        if name not in {"member_id", "occurred_at", "recorded_at", "superseded_at"}
    }
    if catalogue is not None:
        columns |= _said_of_items(columns["item_id"], catalogue)
    return Rows(
        number_of[members.codes],
        columns,
        _moments(content["occurred_at"], ALWAYS),
        _moments_if_any(content, "recorded_at", ALWAYS),
        _moments_if_any(content, "superseded_at", NEVER),
    )


def _catalogue(facts: Facts, contract: Contract) -> pa.Table:
    """What the catalogue says of each item, of the columns that the contract rests on."""
    said = {c.name for c in ITEMS.columns} & set(needed_columns(contract, LINES)) - {"item_id"}
    names = ", ".join(("item_id", *sorted(said)))
    content = facts.query(f"SELECT {names} FROM {ITEMS.name}")
    return _encoded(content, [c.name for c in ITEMS.columns if c.type == "string" and c.name in said])


def _said_of_items(items: Values, catalogue: pa.Table) -> dict[str, Values]:
    """The catalogue's columns for each line; missing where it does not know the item, or the line has none."""
    if not isinstance(items, Words):
        raise TypeError("items are told apart by text")
    place = pc.index_in(items.words, value_set=catalogue["item_id"].combine_chunks())
    known = place.is_valid().to_numpy(zero_copy_only=False)
    row_of = np.append(place.fill_null(0).to_numpy(zero_copy_only=False), 0)
    known = np.append(known, False)  # the last place stands for lines without an item, whose code is -1
    columns: dict[str, Values] = {}
    for name in catalogue.column_names[1:]:
        values = _values(catalogue[name])
        if not len(catalogue):
            nothing = Words(np.full(len(items.codes), -1, np.int32), pa.array([], pa.string()))
            columns[name] = nothing if isinstance(values, Words) else np.full(len(items.codes), np.nan)
        elif isinstance(values, Words):
            columns[name] = Words(np.where(known, values.codes[row_of], np.int32(-1))[items.codes], values.words)
        else:
            whole = known[:-1].all() and (items.codes >= 0).all()
            by_item = values[row_of] if whole else np.where(known, values[row_of].astype(np.float64), np.nan)
            columns[name] = by_item[items.codes]
    return columns


def _words(column: pa.ChunkedArray) -> Words:
    if column.num_chunks == 0:
        return Words(np.empty(0, np.int32), pa.array([], pa.string()))
    chunk = column.combine_chunks() if column.num_chunks > 1 else column.chunk(0)
    codes = chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    return Words(codes, chunk.dictionary)


def _values(column: pa.ChunkedArray) -> Values:
    """A column as numbers: words by their codes, numbers as they are if none is missing."""
    if pa.types.is_dictionary(column.type):
        return _words(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values: NDArray[Any] = column.to_numpy()
    return values.astype(np.float64) if column.null_count else values


def _moments(column: pa.ChunkedArray, missing: int) -> NDArray[np.int64]:
    whole = column.cast(pa.timestamp("us")).cast(pa.int64())
    moments: NDArray[np.int64] = whole.fill_null(int(missing)).to_numpy()
    return moments


def _moments_if_any(content: pa.Table, name: str, missing: int) -> NDArray[np.int64] | None:
    if name not in content.column_names or content[name].null_count == len(content):
        return None
    return _moments(content[name], missing)


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
