"""What the days between two midnights bring and take away, read and asked about once for several buckets.

A question costs the database some milliseconds before it looks at a single fact, and a night has few facts and many questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.arrow_numbers import numbers_of, places_in
from features.contract import Contract
from features.facts import Facts
from features.manifest import bucket_sql
from features.narrow import Members, Narrow, Numbers, Records
from features.slices import BEGINNING, recounted, spans_between

BUCKETS_AT_ONCE = 16
"""Buckets of which one night's facts are held at once; of more nights as many fewer, so that memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Nights:
    """From the midnight at which one local day begins to that of another."""

    facts: Facts
    contract: Contract
    start: int
    day: int

    @property
    def as_of(self) -> datetime:
        """The midnight to arrive at."""
        return self.facts.midnight(self.day)

    def runs(self) -> list[range]:
        """The buckets, those together that are read at once."""
        buckets = self.facts.buckets
        size = max(1, BUCKETS_AT_ONCE // max(1, self.day - self.start))
        return [buckets[first : first + size] for first in range(0, len(buckets), size)]


class Arrivals:
    """The facts of some buckets' members that came or left a window between two midnights."""

    def __init__(self, nights: Nights, buckets: range) -> None:
        """Read them. `close` gives the memory back."""
        self.nights, self.buckets = nights, buckets
        spans = spans_between(nights.contract, nights.start, nights.day)
        self.narrow = Narrow(nights.facts, buckets, nights.contract, before=nights.as_of, days=spans, schema="arrivals")
        self.bucket_of = buckets_of(nights.facts, self.narrow.member_ids)
        self._asked: dict[tuple[str, str], pa.Table] = {}

    def of(self, bucket: int) -> "Part":
        """Those of one bucket."""
        return Part(self, bucket)

    def ask(self, sql: str, **parameters: object) -> pa.Table:
        """Rows of a query, over all of the buckets."""
        key = (sql, repr(sorted(parameters.items())))
        if key not in self._asked:
            self._asked[key] = self.narrow.ask(sql, **parameters)
        return self._asked[key]

    @cached_property
    def present(self) -> dict[str, Numbers]:
        """By fact table the numbers of the members with a fact."""
        return self.narrow.present(as_of=self.nights.as_of)

    @cached_property
    def to_recount(self) -> dict[str, Numbers]:
        """By fact table the members with a fact that came or left the window of an aggregate that must be counted again."""
        spans = spans_between(recounted(self.nights.contract), self.nights.start, self.nights.day)
        found = {}
        for table, days in spans.items():
            if table in self.narrow.tables and days:
                condition = " OR ".join(f"local_day >= {a} AND local_day < {b}" for a, b in days)
                sql = f"SELECT DISTINCT CAST(member_id AS BIGINT) AS number FROM {table} WHERE {condition}"  # noqa: S608 # own names
                found[table] = np.sort(numbers_of(self.narrow.ask(sql)["number"]))
        return found

    @cached_property
    def recounted(self) -> tuple[Members, Records]:
        """Those members, sorted, and what was counted again, from the facts in the longest window."""
        nights, wanted = self.nights, recounted(self.nights.contract)
        members = {table: self.narrow.member_ids[numbers] for table, numbers in self.to_recount.items()}
        spans = {table: [(_oldest(wanted, table, nights.day), nights.day)] for table in members}
        narrow = Narrow(nights.facts, self.buckets, wanted, before=nights.as_of, only=members, days=spans)
        numbers, fresh, _ = narrow.aggregates(as_of=nights.as_of, day=nights.day)
        narrow.close()
        return narrow.member_ids[numbers], fresh

    def close(self) -> None:
        """Give the memory back."""
        self.narrow.close()


class Part:
    """One bucket's part of what arrived: its members numbered from 0, and rows of theirs alone."""

    def __init__(self, arrivals: Arrivals, bucket: int) -> None:
        self._arrivals, self._mine = arrivals, arrivals.bucket_of == bucket
        self._number = (np.cumsum(self._mine) - 1).astype(np.int32)
        self.member_ids: Members = arrivals.narrow.member_ids[self._mine]

    @property
    def tables(self) -> frozenset[str]:
        """Names of the fact tables that were read."""
        return self._arrivals.narrow.tables

    def ask(self, sql: str, **parameters: object) -> pa.Table:
        """Rows of a query that has a column `member_id`."""
        rows = self._arrivals.ask(sql, **parameters)
        members = numbers_of(rows["member_id"])
        mine = np.flatnonzero(self._mine[members]).astype(np.int32)
        column = pc.take(rows, places_in(mine))
        return column.set_column(rows.column_names.index("member_id"), "member_id", places_in(self._number[members[mine]]))

    def present(self, *, as_of: datetime) -> dict[str, Numbers]:
        """By fact table the numbers of the members with a fact."""
        return {table: self._own(numbers) for table, numbers in self._arrivals.present.items()}

    def recounted(self) -> tuple[Mapping[str, Members], Members, Records]:
        """By fact table the members counted again; those of them with facts, sorted, and a record each."""
        members = {table: self.member_ids[self._own(numbers)] for table, numbers in self._arrivals.to_recount.items()}
        ids, records = self._arrivals.recounted
        mine = self._mine[np.searchsorted(self._arrivals.narrow.member_ids, ids)]
        return members, ids[mine], records[mine]

    def _own(self, numbers: Numbers) -> Numbers:
        found: Numbers = self._number[numbers[self._mine[numbers]]].astype(np.int64)
        return found


def _oldest(contract: Contract, table: str, day: int) -> int:
    """The first day that an aggregate over a fact table looks at."""
    windows = [a.days for a in contract.aggregates if a.table.name == table]
    return BEGINNING if None in windows else day - max(days for days in windows if days is not None)


def buckets_of(facts: Facts, member_ids: Members) -> NDArray[np.int32]:
    """The bucket of each member; ids sorted."""
    if not len(member_ids):
        return np.empty(0, dtype=np.int32)
    con = facts.connection.con
    con.register("members_to_place", pa.table({"member_id": pa.array(member_ids.tolist(), pa.string())}))
    sql = f"SELECT {bucket_sql(facts.manifest.buckets)} AS bucket, member_id FROM members_to_place ORDER BY member_id"  # noqa: S608 # own names
    return numbers_of(con.sql(sql).to_arrow_table()["bucket"])
