"""All tags of all members at once: features, member attributes, purchases and views in; one packed bitmap a tag out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.build import FeatureRows
from features.days import calendar_day
from features.declarations import Feature
from features.expressions import NUMPY, Expression, evaluate
from features.facts import Facts
from features.member_index import MemberIndex
from features.tag_families.declaring import LOOK_BACK_DAYS, Fifth, Tag, Touch, leaves
from features.tags import (
    BOUGHT_WINDOWS,
    CATALOGUE_COLUMNS,
    MEMBER_COLUMNS,
    MOST_MEMBER_VALUES,
    TAGS,
    TOPICS,
    VIEWED_WINDOWS,
    bought,
    favourite,
    of_member,
    slug,
    viewed,
)
from features.topics import is_sensitive, topics_of

Bitmap = NDArray[np.uint8]
"""One bit a position, the first position in the highest bit of the first byte, as in Redis."""
NUMERIC_MEMBER_COLUMNS = ("registered_day", "birth_month", "marketing_consent")
_SHARES = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class TagTable:
    """Tags of a population as of a moment. Grain: position of the member index.

    Attributes
    ----------
    population
        Positions with a member: everyone with a fact before `as_of`, or registered by then.
    tags
        A bitmap for every tag there is, empty ones too; no bit outside the population is set.
    """

    index: MemberIndex
    as_of: datetime
    facts_hash: str
    population: Bitmap
    tags: Mapping[str, Bitmap]

    @property
    def members(self) -> int:
        """Size of the population."""
        return count(self.population)


def count(bitmap: Bitmap) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(bitmap).sum())


def evaluate_tags(facts: Facts, rows: FeatureRows, index: MemberIndex) -> TagTable:
    """Every tag of every member as of the moment of the rows.

    Parameters
    ----------
    index
        The index of the last publish, or an empty one; members it does not know are appended.

    Notes
    -----
    A tag whose rule rests on a feature that is missing for a member is false for them: unknown is not a label.
    """
    attributes = _attributes(facts, rows.day)
    whole = index.extended(np.union1d(rows.member_ids, attributes.member_ids))
    there = np.zeros(len(whole), dtype=bool)
    for members in (rows.member_ids, attributes.member_ids):
        there[whole.positions(members)] = True
    touches = _touches(facts, rows, whole)
    columns = _columns(rows, whole, attributes, touches)
    tags = {tag.name: np.packbits(_holds(tag, columns) & there) for tag in TAGS.values()}
    tags.update(_from_attributes(attributes, whole))
    tags.update(touches.tags())
    return TagTable(whole, rows.as_of, rows.facts_hash, np.packbits(there), tags)


def _holds(tag: Tag, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    return np.asarray(evaluate(tag.rule, columns, NUMPY), dtype=bool)


def feature_columns(rows: FeatureRows, index: MemberIndex, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Features by position of the index; NaN for members without facts."""
    positions = index.positions(rows.member_ids)
    place = {name: column for column, name in enumerate(rows.contract.feature_names)}
    found = {}
    for name in names:
        found[name] = np.full(len(index), np.nan, dtype=np.float32)
        found[name][positions] = rows.matrix[:, place[name]]
    return found


def _columns(
    rows: FeatureRows, index: MemberIndex, attributes: _Attributes, touches: _Touches
) -> dict[str, NDArray[np.float64]]:
    """What the rules of the declared tags rest on, by name and position."""
    wanted: dict[str, Expression] = {str(leaf): leaf for tag in TAGS.values() for leaf in leaves(tag.rule)}
    fifths = [leaf for leaf in wanted.values() if isinstance(leaf, Fifth)]
    names = {leaf.name for leaf in wanted.values() if isinstance(leaf, Feature)} | {leaf.feature.name for leaf in fifths}
    found = {name: column.astype(np.float64) for name, column in feature_columns(rows, index, sorted(names)).items()}
    found.update({str(leaf): _fifth(found[leaf.feature.name]) for leaf in fifths})
    found.update({str(leaf): touches.days_ago(leaf) for leaf in wanted.values() if isinstance(leaf, Touch)})
    positions = index.positions(attributes.member_ids)
    for name in NUMERIC_MEMBER_COLUMNS:
        found[name] = np.full(len(index), np.nan)
        found[name][positions] = attributes.numbers[name]
    found["day"] = np.full(len(index), float(rows.day))
    found["month"] = np.full(len(index), float(calendar_day(rows.day).month))
    return found


def _fifth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 to 5 by edges with at least 20, 40, 60 and 80 % of the known values at or below them; NaN stays."""
    known = values[~np.isnan(values)]
    if not len(known):
        return values
    edges = np.quantile(known, _SHARES, method="inverted_cdf")
    return np.where(np.isnan(values), np.nan, 1.0 + np.searchsorted(edges, values, side="left"))


# Attributes of members


@dataclass(frozen=True, slots=True)
class _Attributes:
    """Registered members, unique: numbers with NaN for missing, texts with None."""

    member_ids: NDArray[np.str_]
    numbers: Mapping[str, NDArray[np.float64]]
    texts: Mapping[str, pa.DictionaryArray]


def _attributes(facts: Facts, day: int) -> _Attributes:
    numbers = ", ".join(f"max({name})::double AS {name}" for name in NUMERIC_MEMBER_COLUMNS if name != "marketing_consent")
    texts = ", ".join(f"min({name}) AS {name}" for name in MEMBER_COLUMNS)
    table = facts.query(
        f"SELECT member_id, {numbers}, min(marketing_consent::int)::double AS marketing_consent, {texts} "  # noqa: S608 # our names
        "FROM members WHERE registered_day IS NULL OR registered_day <= $day GROUP BY member_id ORDER BY member_id",
        day=day,
    )
    return _Attributes(
        member_ids=np.asarray(table["member_id"].to_pylist(), dtype=np.str_),
        numbers={name: table[name].combine_chunks().to_numpy(zero_copy_only=False) for name in NUMERIC_MEMBER_COLUMNS},
        texts={name: table[name].combine_chunks().dictionary_encode() for name in MEMBER_COLUMNS},
    )


def _from_attributes(attributes: _Attributes, index: MemberIndex) -> Iterator[tuple[str, Bitmap]]:
    """One tag a value of the members' texts, the most frequent ones of each column."""
    positions = index.positions(attributes.member_ids)
    for column, texts in attributes.texts.items():
        slugs = [slug(value) for value in texts.dictionary.to_pylist()]
        codes = texts.indices.fill_null(-1).to_numpy()
        by_slug: dict[str, list[int]] = {}
        for code, name in enumerate(slugs):
            by_slug.setdefault(name, []).append(code)
        counts = {name: int(np.isin(codes, own).sum()) for name, own in by_slug.items() if name}
        for name in sorted(counts, key=lambda name: (-counts[name], name))[:MOST_MEMBER_VALUES]:
            yield of_member(column, name), _bits(positions[np.isin(codes, by_slug[name])], len(index))


def _bits(positions: NDArray[np.int64], size: int) -> Bitmap:
    there = np.zeros(size, dtype=bool)
    there[positions] = True
    return np.packbits(there)


# Purchases and views of topics, categories, departments and brands


@dataclass(frozen=True, slots=True)
class _Group:
    """Goods that tags speak of: a topic, or one value of a column of the catalogue."""

    column: str
    name: str


@dataclass(frozen=True, slots=True)
class _Contacts:
    """One entry for a member and a group, sorted by group: days ago of first and last purchase or view, and spend."""

    group: NDArray[np.int32]
    position: NDArray[np.int64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    cents: NDArray[np.int64]

    def of(self, group: int) -> slice:
        """Entries of one group."""
        begin, end = np.searchsorted(self.group, [group, group + 1])
        return slice(int(begin), int(end))


@dataclass(frozen=True, slots=True)
class _Touches:
    size: int
    groups: Sequence[_Group]
    purchases: _Contacts
    views: _Contacts

    def days_ago(self, touch: Touch) -> NDArray[np.float64]:
        """A touch of a topic by position; NaN without one."""
        found = np.full(self.size, np.nan)
        contacts = self.views if touch.what == "last_view" else self.purchases
        entries = contacts.of(self.groups.index(_Group("topic", touch.topic)))
        found[contacts.position[entries]] = (contacts.first if touch.what == "first_purchase" else contacts.last)[entries]
        return found

    def tags(self) -> Iterator[tuple[str, Bitmap]]:
        """Tags of the shop's own categories, departments and brands."""
        best = self._favourites()
        for number, group in enumerate(self.groups):
            if group.column != "topic":
                buyers, viewers = self.purchases.of(number), self.views.of(number)
                for days in BOUGHT_WINDOWS:
                    yield bought(group.column, group.name, days), self._within(self.purchases, buyers, days)
                for days in VIEWED_WINDOWS:
                    yield viewed(group.column, group.name, days), self._within(self.views, viewers, days)
                own = self.purchases.position[buyers][best[buyers]]
                yield favourite(group.column, group.name), _bits(own, self.size)

    def _within(self, contacts: _Contacts, entries: slice, days: int) -> Bitmap:
        return _bits(contacts.position[entries][contacts.last[entries] <= days], self.size)

    def _favourites(self) -> NDArray[np.bool_]:
        """Which entries are a member's largest spend among the groups of one column."""
        columns = [group.column for group in self.groups]
        code = np.asarray([columns.index(column) for column in columns], dtype=np.int64)
        bought = self.purchases
        if not len(bought.group):
            return np.zeros(0, dtype=bool)
        family = code[bought.group]
        order = np.lexsort((bought.group, -bought.cents, family, bought.position))
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (np.diff(bought.position[order]) != 0) | (np.diff(family[order]) != 0)
        best = np.zeros(len(order), dtype=bool)
        best[order] = begins
        return best & (bought.cents > 0)


_KNOWN = (
    "occurred_at < $as_of AND (recorded_at IS NULL OR recorded_at < $as_of) "
    "AND local_day >= $day - $back AND member_id IS NOT NULL"
)
_CONTACTS = """
WITH touched AS (
    SELECT i.entry, f.member_id, min(f.local_day) AS first_day, max(f.local_day) AS last_day, sum({cents}) AS cents
    FROM {table} f JOIN tagged_items i USING (item_id)
    WHERE {known} GROUP BY ALL
)
SELECT g.number AS number, t.member_id AS member_id,
       ($day - min(first_day))::double AS first, ($day - max(last_day))::double AS last, sum(cents)::bigint AS cents
FROM touched t JOIN tagged_groups g USING (entry) GROUP BY ALL ORDER BY number, member_id
"""
_PURCHASES = _CONTACTS.format(
    table="purchases",
    cents="net_cents",
    known=f"kind = 'sale' AND {_KNOWN} AND (superseded_at IS NULL OR superseded_at >= $as_of)",
)
_VIEWS = _CONTACTS.format(table="events", cents="0", known=f"event_type = 'view' AND {_KNOWN}")


def _touches(facts: Facts, rows: FeatureRows, index: MemberIndex) -> _Touches:
    items = facts.query(
        "SELECT item_id, dense_rank() OVER (ORDER BY department, category, subcategory, brand)::int - 1 AS entry, "
        "department, category, subcategory, brand FROM items ORDER BY entry, item_id"
    )
    firsts = np.unique(items["entry"].to_numpy(), return_index=True)[1]
    entries = items.select(["department", "category", "subcategory", "brand"]).take(firsts).to_pylist()
    groups, pairs = _groups(entries, _buyers(facts, rows))
    connection = facts.connection.con
    connection.register("tagged_items", items.select(["item_id", "entry"]))
    connection.register("tagged_groups", pairs)
    try:
        return _Touches(
            len(index), groups, _contacts(facts, rows, index, _PURCHASES), _contacts(facts, rows, index, _VIEWS)
        )
    finally:
        connection.unregister("tagged_items")
        connection.unregister("tagged_groups")


def _buyers(facts: Facts, rows: FeatureRows) -> dict[str, dict[str, int]]:
    """Values of the catalogue's columns with the number of lines sold in the look-back, by column and slug."""
    found: dict[str, dict[str, int]] = {}
    for column in CATALOGUE_COLUMNS:
        table = facts.query(
            f"SELECT {column} AS value, count(p.item_id) AS lines FROM items i LEFT JOIN (SELECT item_id FROM purchases "  # noqa: S608
            f"WHERE kind = 'sale' AND {_KNOWN}) p USING (item_id) WHERE {column} IS NOT NULL GROUP BY ALL ORDER BY value",
            **_moment(rows),
        )
        counts: dict[str, int] = {}
        for row in table.to_pylist():
            if slug(row["value"]) and not is_sensitive(row["value"]):
                counts[slug(row["value"])] = counts.get(slug(row["value"]), 0) + row["lines"]
        found[column] = counts
    return found


def _groups(
    entries: Sequence[Mapping[str, str | None]], sold: Mapping[str, Mapping[str, int]]
) -> tuple[list[_Group], pa.Table]:
    """All groups, and which entries of the catalogue belong to which: columns `entry` and `number`."""
    groups = [_Group("topic", topic.name) for topic in TOPICS]
    for column, most in CATALOGUE_COLUMNS.items():
        counts = sold[column]
        chosen = sorted(counts, key=lambda name: (-counts[name], name))[:most]
        groups += [_Group(column, name) for name in sorted(chosen)]
    number = {group: position for position, group in enumerate(groups)}
    pairs: list[tuple[int, int]] = []
    for entry, content in enumerate(entries):
        belongs = [_Group("topic", name) for name in topics_of(content, TOPICS)]
        belongs += [_Group(column, slug(value)) for column in CATALOGUE_COLUMNS if (value := content[column])]
        pairs += [(entry, number[group]) for group in belongs if group in number]
    columns = list(zip(*pairs, strict=True)) or [(), ()]
    return groups, pa.table({"entry": pa.array(columns[0], pa.int32()), "number": pa.array(columns[1], pa.int32())})


def _contacts(facts: Facts, rows: FeatureRows, index: MemberIndex, sql: str) -> _Contacts:
    table = facts.query(sql, **_moment(rows))
    members = table["member_id"].combine_chunks().dictionary_encode()
    known = index.positions(np.asarray(members.dictionary.to_pylist(), dtype=np.str_))
    position = known[members.indices.to_numpy()] if len(known) else np.zeros(0, dtype=np.int64)
    first, last, cents, number = (table[name].to_numpy() for name in ("first", "last", "cents", "number"))
    there = position >= 0
    return _Contacts(number[there], position[there], first[there], last[there], cents[there])


def _moment(rows: FeatureRows) -> dict[str, object]:
    return {"as_of": rows.as_of.replace(tzinfo=None), "day": rows.day, "back": LOOK_BACK_DAYS}
