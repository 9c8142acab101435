"""Facts of a bucket, or some, held narrow in memory: members, items and categories as numbers, and only the columns that count.

Reading and decoding the files and comparing long identifiers is most of the cost of a feature run. So it is done once for
a bucket, however many groups of aggregates and however many moments are then asked about.
"""
# ruff: noqa: S608 -- names of tables and columns from the schema and the contract

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrow_numbers import numbers_of
from features.codec import empty_records, missing_value
from features.compile import SUMMARISED, needed_columns, part_queries
from features.contract import Contract
from features.days import naive_utc
from features.declarations import Aggregate, Kind
from features.facts import Facts
from features.sources.schema import ITEMS, LINES, PURCHASES, FactTable

Members = NDArray[np.str_]
Records = NDArray[np.void]
Numbers = NDArray[np.int64]
Spans: TypeAlias = Sequence[tuple[int, int]]
"""Runs of local days: the first of each, and the day after its last."""
ITEM_CODES = ("department", "category", "brand")
"""What is known of items in words, and only compared: kept as numbers."""


class Asked(Protocol):
    """Facts held narrow, of which questions can be asked: `Narrow`, or one bucket's part of it."""

    member_ids: Members

    @property
    def tables(self) -> frozenset[str]:
        """Names of the fact tables that were read."""

    def ask(self, sql: str, **parameters: object) -> pa.Table:
        """Rows of a query."""

    def present(self, *, as_of: datetime) -> dict[str, Numbers]:
        """By fact table the numbers of the members with a fact."""


class Narrow:
    """The facts of the members of a bucket or a run of buckets, for aggregates as of any moment up to `before`.

    Attributes
    ----------
    member_ids
        Sorted; member number n in the tables is member_ids[n].
    """

    def __init__(
        self,
        facts: Facts,
        buckets: int | range,
        contract: Contract,
        *,
        before: datetime,
        only: Mapping[str, NDArray[np.str_]] | None = None,
        days: Mapping[str, Spans] | None = None,
        schema: str = "narrow",
    ) -> None:
        """Read a bucket, or some.

        Parameters
        ----------
        before
            Facts that happen at or after this moment are left out.
        only
            For each fact table the members whose facts are read; tables not named are left out. None reads all.
        days
            For each fact table the spans of local days that are read, disjoint; tables not named are left out. None reads all.
        schema
            Where the tables stand; what stood there is dropped.
        """
        self.contract, self._con, self._schema = contract, facts.connection.con, schema
        used = {aggregate.table.name for aggregate in contract.aggregates}
        self._tables = [
            t for t in SUMMARISED if t.name in used and all(c is None or len(c.get(t.name, ())) for c in (only, days))
        ]
        self._only, self._days = only, days
        with facts.within(buckets):
            self.member_ids = self._number_members(naive_utc(before))
            for table in self._tables:
                self._read(table, naive_utc(before))

    def aggregates(
        self, *, as_of: datetime, day: int, leave_out: Collection[Kind] = ()
    ) -> tuple[Numbers, Records, dict[str, Numbers]]:
        """Aggregates of the members with a fact before `as_of`; those of kinds left out as if there were no facts.

        Returns
        -------
        The numbers of those members, ascending; a record each; and by fact table those that have facts in it.
        """
        known = naive_utc(as_of)
        with self._narrow():
            present = {table.name: self._present(table, known) for table in self._tables}
            numbers = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *present.values()]))
            records = empty_records(self.contract, len(numbers))
            row_of = np.full(len(self.member_ids), -1, dtype=np.int64)
            row_of[numbers] = np.arange(len(numbers))
            for query in part_queries(self.contract):
                if query.table in present and query.aggregates[0].kind not in leave_out:
                    moment = {"as_of": known, "day": day} if query.windowed else {"as_of": known}
                    found = self._con.sql(query.sql, params=moment).to_arrow_table()
                    rows = row_of[numbers_of(found["member_id"])]
                    for aggregate in query.aggregates:
                        records[aggregate.name][rows] = filled(found[aggregate.name], aggregate)
        return numbers, records, present

    def present(self, *, as_of: datetime) -> dict[str, Numbers]:
        """By fact table the numbers of the members with a fact that was known and past as of a moment."""
        with self._narrow():
            return {table.name: self._present(table, naive_utc(as_of)) for table in self._tables}

    def ask(self, sql: str, **parameters: object) -> pa.Table:
        """Rows of a query on the narrow tables; without rows to read from, the tables that were left out are not there."""
        with self._narrow():
            rows: pa.Table = self._con.sql(sql, params=parameters).to_arrow_table()
        return rows

    @property
    def tables(self) -> frozenset[str]:
        """Names of the fact tables that were read."""
        return frozenset(table.name for table in self._tables)

    def close(self) -> None:
        """Give the memory back."""
        self._con.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")

    @contextlib.contextmanager
    def _narrow(self) -> Iterator[None]:
        self._con.execute(f"SET search_path = '{self._schema}'")
        try:
            yield
        finally:
            self._con.execute("SET search_path = 'main'")

    def _number_members(self, before: datetime) -> Members:
        self.close()
        self._con.execute(f"CREATE SCHEMA {self._schema}")
        parts = [f"SELECT DISTINCT member_id FROM {self._source(table)} WHERE occurred_at < $before" for table in self._tables]
        if self._only is not None:
            chosen = np.unique(np.concatenate([np.empty(0, dtype=np.str_), *self._only.values()]))
            self._con.register("chosen_members", pa.table({"member_id": pa.array(chosen.tolist(), pa.string())}))
            parts = ["SELECT member_id FROM chosen_members"]
        everyone = " UNION ".join(parts) or "SELECT NULL::VARCHAR AS member_id"
        number = "CAST(row_number() OVER (ORDER BY member_id) - 1 AS INTEGER) AS number"
        self._con.execute(
            f"CREATE TABLE {self._schema}.member_numbers AS SELECT member_id, {number} FROM ({everyone}) "
            "WHERE member_id IS NOT NULL",
            {"before": before} if self._only is None and parts else {},
        )
        found = self._con.sql(f"SELECT member_id FROM {self._schema}.member_numbers ORDER BY number").to_arrow_table()
        return np.asarray(found["member_id"].to_pylist(), dtype=np.str_)

    def _read(self, table: FactTable, before: datetime) -> None:
        """A fact table into the narrow schema: the columns that the contract uses."""
        members = f"{self._schema}.member_numbers"
        if self._only is not None:
            chosen = pa.array(self._only[table.name].tolist(), pa.string())
            self._con.register("members_of_table", pa.table({"member_id": chosen}))
            members = f"(SELECT * FROM {self._schema}.member_numbers SEMI JOIN members_of_table USING (member_id))"
        columns = [_column(name, table) for name in needed_columns(self.contract, table)]
        joins = ""
        if table is LINES:
            self._number_items()
            joins = f"LEFT JOIN {self._schema}.item_numbers AS item ON item.item_id = fact.item_id"
        self._con.execute(
            f"CREATE TABLE {self._schema}.{table.name} AS SELECT {', '.join(columns)} FROM {self._source(table)} AS fact "
            f"JOIN {members} AS member ON member.member_id = fact.member_id {joins} WHERE fact.occurred_at < $before",
            {"before": before},
        )

    def _number_items(self) -> None:
        """The catalogue with a number for each item and for what is said in words: the same numbers on every night."""
        words = ", ".join(f"CASE WHEN {name} IS NOT NULL THEN hash({name}) END AS {name}" for name in ITEM_CODES)
        rest = ", ".join(c.name for c in ITEMS.columns if c.name not in {"item_id", *ITEM_CODES})
        self._con.execute(f"CREATE TABLE {self._schema}.item_numbers AS SELECT item_id, {words}, {rest} FROM {ITEMS.name}")

    def _source(self, table: FactTable) -> str:
        """The stored table that a fact table is read from, or the days of it that are asked about."""
        name = PURCHASES.name if table is LINES else table.name
        if self._days is None:
            return name
        spans = (f"(local_day >= {a} AND local_day < {b})" for a, b in self._days[table.name])
        return f"(SELECT * FROM {name} WHERE {' OR '.join(spans)})"

    def _present(self, table: FactTable, as_of: datetime) -> Numbers:
        """Numbers of the members with a fact in a table that was known and past as of a moment."""
        known = " AND ".join(_known(table))
        found = self._con.sql(
            f"SELECT DISTINCT CAST(member_id AS BIGINT) AS number FROM {table.name} WHERE {known}", params={"as_of": as_of}
        )
        numbers: Numbers = numbers_of(found.to_arrow_table()["number"])
        return numbers


def _known(table: FactTable) -> list[str]:
    names = {column.name for column in table.columns}
    known = ["occurred_at < $as_of"]
    if "recorded_at" in names:
        known.append("(recorded_at IS NULL OR recorded_at < $as_of)")
    if "superseded_at" in names:
        known.append("(superseded_at IS NULL OR superseded_at >= $as_of)")
    return known


def _column(name: str, table: FactTable) -> str:
    """How a column is read: members and items as their numbers, what the catalogue says from there, the rest as it is."""
    if name == "member_id":
        return "member.number AS member_id"
    if table is LINES and name == "item_id":
        return "CASE WHEN fact.item_id IS NOT NULL THEN hash(fact.item_id) END AS item_id"
    if table is LINES and name in {c.name for c in ITEMS.columns}:
        return f"item.{name}"
    return f"fact.{name}"


def filled(column: pa.ChunkedArray, aggregate: Aggregate) -> NDArray[np.generic]:
    """A column of a query as stored: nothing to add up is 0, a first day that never was is missing."""
    empty = missing_value(np.dtype(aggregate.dtype)) if aggregate.kind.empty is None else aggregate.kind.empty
    values: NDArray[np.generic] = numbers_of(column, missing=empty)
    return values
