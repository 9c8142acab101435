"""Purchases and views of topics, categories, departments and brands: days ago and spend, for one slice of members at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.facts import Facts
from features.tag_families.declaring import LOOK_BACK_DAYS, Topic, Touch
from features.tags import (
    BOUGHT_WINDOWS,
    CATALOGUE_COLUMNS,
    TOPICS,
    VIEWED_WINDOWS,
    bought,
    favourite,
    slug,
    viewed,
)
from features.topics import WORDS_OF, is_sensitive, topics_of

Entry = Mapping[str, str | None]
"""One combination of department, category, subcategory and brand that items of the catalogue have."""


@dataclass(frozen=True, slots=True)
class Group:
    """Goods that tags speak of: a topic, or one value of a column of the catalogue."""

    column: str
    name: str


@dataclass(frozen=True, slots=True)
class Contacts:
    """One entry for a member and a group, sorted by group: days ago of first and last, and spend.

    Attributes
    ----------
    bounds
        Entries of group g are those from bounds[g] to bounds[g + 1].
    place
        The member's place within the slice.
    """

    bounds: NDArray[np.int64]
    place: NDArray[np.int64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    cents: NDArray[np.int64]

    def of(self, group: int) -> slice:
        """Entries of one group."""
        return slice(int(self.bounds[group]), int(self.bounds[group + 1]))

    def groups(self) -> NDArray[np.int64]:
        """Group of each entry."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))


@dataclass(frozen=True, slots=True)
class SliceContacts:
    """What the members of one slice bought and looked at, over all groups."""

    size: int
    groups: Sequence[Group]
    purchases: Contacts
    views: Contacts

    def days_ago(self, touch: Touch) -> NDArray[np.float64]:
        """A touch of a topic by place in the slice; NaN without one."""
        found = np.full(self.size, np.nan)
        contacts = self.views if touch.what == "last_view" else self.purchases
        entries = contacts.of(self.groups.index(Group("topic", touch.topic)))
        found[contacts.place[entries]] = (contacts.first if touch.what == "first_purchase" else contacts.last)[entries]
        return found

    def tags(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Tags of the shop's own categories, departments and brands."""
        best = self._favourites()
        for number, group in enumerate(self.groups):
            if group.column != "topic":
                for days in BOUGHT_WINDOWS:
                    yield bought(group.column, group.name, days), self._within(self.purchases, number, days)
                for days in VIEWED_WINDOWS:
                    yield viewed(group.column, group.name, days), self._within(self.views, number, days)
                entries = self.purchases.of(number)
                yield favourite(group.column, group.name), self._there(self.purchases.place[entries][best[entries]])

    def _within(self, contacts: Contacts, group: int, days: int) -> NDArray[np.bool_]:
        entries = contacts.of(group)
        return self._there(contacts.place[entries][contacts.last[entries] <= days])

    def _there(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        there = np.zeros(self.size, dtype=bool)
        there[places] = True
        return there

    def _favourites(self) -> NDArray[np.bool_]:
        """Which entries are a member's largest spend among the groups of one column."""
        columns = [group.column for group in self.groups]
        number = self.purchases.groups()
        family = np.asarray([columns.index(column) for column in columns], dtype=np.int64)[number]
        order = np.lexsort((number, -self.purchases.cents, family, self.purchases.place))
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (np.diff(self.purchases.place[order]) != 0) | (np.diff(family[order]) != 0)
        best = np.zeros(len(order), dtype=bool)
        best[order] = begins
        return best & (self.purchases.cents > 0)


class Catalogue:
    """A shop's catalogue sorted into groups, ready to be asked about members. Made by `opened_catalogue`."""

    def __init__(self, facts: Facts, groups: Sequence[Group], *, as_of: datetime, day: int) -> None:
        self._facts = facts
        self._moment: dict[str, Any] = {"as_of": as_of.replace(tzinfo=None), "day": day, "back": LOOK_BACK_DAYS}
        self.groups = groups

    def contacts(self, members: NDArray[np.str_]) -> SliceContacts:
        """Purchases and views of these members, who are unique; places are those in `members`."""
        connection = self._facts.connection.con
        places = pa.array(np.arange(len(members)))
        connection.register("tagged_members", pa.table({"member_id": members.tolist(), "place": places}))
        try:
            return SliceContacts(len(members), self.groups, self._contacts(_PURCHASES), self._contacts(_VIEWS))
        finally:
            connection.unregister("tagged_members")

    def _contacts(self, sql: str) -> Contacts:
        table = self._facts.query(sql, **self._moment)
        place, first, last, cents, number = (table[name].to_numpy() for name in ("place", "first", "last", "cents", "number"))
        return Contacts(np.searchsorted(number, np.arange(len(self.groups) + 1, dtype=number.dtype)), place, first, last, cents)


@contextmanager
def opened_catalogue(facts: Facts, *, as_of: datetime, day: int) -> Iterator[Catalogue]:
    """The catalogue of a shop, sorted into groups; its tables stand beside the facts for the length of the block."""
    items = facts.query(_ITEMS)
    firsts = np.unique(items["entry"].to_numpy(), return_index=True)[1]
    entries = items.select([*WORDS_OF, "brand"]).take(firsts).to_pylist()
    connection = facts.connection.con
    connection.register("tagged_items", items.select(["item_id", "entry"]))
    try:
        moment: dict[str, Any] = {"as_of": as_of.replace(tzinfo=None), "day": day, "back": LOOK_BACK_DAYS}
        sold = facts.query(_SOLD, **moment)
        groups, pairs = _groups(entries, dict(zip(sold["entry"].to_pylist(), sold["lines"].to_pylist(), strict=True)))
        connection.register("tagged_groups", pairs)
        try:
            yield Catalogue(facts, groups, as_of=as_of, day=day)
        finally:
            connection.unregister("tagged_groups")
    finally:
        connection.unregister("tagged_items")


_ITEMS = """
SELECT item_id, dense_rank() OVER (ORDER BY department, category, subcategory, brand)::int - 1 AS entry,
       department, category, subcategory, brand
FROM items ORDER BY entry, item_id
"""
_KNOWN = """occurred_at < $as_of AND (recorded_at IS NULL OR recorded_at < $as_of)
    AND local_day >= $day - $back AND member_id IS NOT NULL"""
_SALES_KNOWN = f"kind = 'sale' AND {_KNOWN} AND (superseded_at IS NULL OR superseded_at >= $as_of)"
_SOLD = f"SELECT entry, count(*) AS lines FROM purchases JOIN tagged_items USING (item_id) WHERE {_SALES_KNOWN} GROUP BY entry"  # noqa: S608 # our own text
_CONTACTS = """
WITH touched AS (
    SELECT entry, place, min(local_day) AS first_day, max(local_day) AS last_day, sum({cents}) AS cents
    FROM {table} JOIN tagged_members USING (member_id) JOIN tagged_items USING (item_id)
    WHERE {known} GROUP BY ALL
)
SELECT number, place, ($day - min(first_day))::double AS first, ($day - max(last_day))::double AS last,
       sum(cents)::bigint AS cents
FROM touched JOIN tagged_groups USING (entry) GROUP BY ALL ORDER BY number, place
"""
_PURCHASES = _CONTACTS.format(table="purchases", cents="net_cents", known=_SALES_KNOWN)
_VIEWS = _CONTACTS.format(table="events", cents="0", known=f"event_type = 'view' AND {_KNOWN}")


def _groups(entries: Sequence[Entry], sold: Mapping[int, int]) -> tuple[list[Group], pa.Table]:
    """All groups, and which entries of the catalogue belong to which: columns `entry` and `number`."""
    groups = [Group("topic", topic.name) for topic in TOPICS]
    for column, most in CATALOGUE_COLUMNS.items():
        lines: dict[str, int] = {}
        for entry, content in enumerate(entries):
            value = content[column] or ""
            if slug(value) and not is_sensitive(value):
                lines[slug(value)] = lines.get(slug(value), 0) + sold.get(entry, 0)
        groups += [Group(column, name) for name in sorted(sorted(lines, key=lambda name: (-lines[name], name))[:most])]
    number = {group: position for position, group in enumerate(groups)}
    pairs = [(entry, number[g]) for entry, own in enumerate(_belonging(entries, TOPICS)) for g in own if g in number]
    columns = list(zip(*pairs, strict=True)) or [(), ()]
    return groups, pa.table({"entry": pa.array(columns[0], pa.int32()), "number": pa.array(columns[1], pa.int32())})


def _belonging(entries: Sequence[Entry], topics: Sequence[Topic]) -> Iterator[list[Group]]:
    """The groups of each entry; entries that differ only by brand are sorted into topics once."""
    known: dict[tuple[str | None, ...], list[str]] = {}
    for entry in entries:
        words = tuple(entry[column] for column in WORDS_OF)
        if words not in known:
            known[words] = topics_of(entry, topics)
        own = [Group("topic", name) for name in known[words]]
        yield own + [Group(column, slug(value)) for column in CATALOGUE_COLUMNS if (value := entry[column])]
