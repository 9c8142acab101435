"""All tags of all members at once: features, member attributes, purchases and views in; one packed bitmap a tag out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.bitmaps import Bitmap, TagTable
from features.build import FeatureRows
from features.contacts import SliceContacts, opened_catalogue
from features.days import calendar_day
from features.declarations import Feature
from features.expressions import NUMPY, Expression, evaluate
from features.facts import Facts
from features.member_index import CHUNK, MemberIndex, chunks_of
from features.tag_families.declaring import Fifth, Touch, leaves
from features.tags import MEMBER_COLUMNS, MOST_MEMBER_VALUES, TAGS, of_member, slug

Columns = dict[str, NDArray[np.float64]]
NUMERIC_MEMBER_COLUMNS = ("registered_day", "birth_month", "marketing_consent")
_SHARES = (0.2, 0.4, 0.6, 0.8)


def evaluate_tags(facts: Facts, rows: FeatureRows, index: MemberIndex) -> TagTable:
    """Every tag of every member as of the moment of the rows, computed for one slice of the index after another.

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
    inputs = _Inputs(rows, whole, attributes)
    tags = dict(_from_attributes(attributes, whole))
    with opened_catalogue(facts, as_of=rows.as_of, day=rows.day) as catalogue:
        for number in range(chunks_of(len(whole))):
            part = slice(number * CHUNK, min((number + 1) * CHUNK, len(whole)))
            for name, holds in _of_slice(inputs, part, catalogue.contacts(whole.ids[part])):
                bits = tags.setdefault(name, np.zeros(-(-len(whole) // 8), dtype=np.uint8))
                bits[part.start // 8 : -(-part.stop // 8)] = np.packbits(holds & there[part])
    return TagTable(whole, rows.as_of, rows.facts_hash, np.packbits(there), tags)


def feature_columns(rows: FeatureRows, index: MemberIndex, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Features by position of the index; NaN for members without facts."""
    positions = index.positions(rows.member_ids)
    found = {}
    for name in names:
        found[name] = np.full(len(index), np.nan, dtype=np.float32)
        found[name][positions] = rows.column(name)
    return found


def _of_slice(inputs: _Inputs, part: slice, contacts: SliceContacts) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    columns = inputs.columns(part)
    columns.update({str(touch): contacts.days_ago(touch) for touch in inputs.touches})
    for tag in TAGS.values():
        yield tag.name, np.asarray(evaluate(tag.rule, columns, NUMPY), dtype=bool)
    yield from contacts.tags()


class _Inputs:
    """What the rules of declared tags rest on, apart from purchases and views of topics."""

    def __init__(self, rows: FeatureRows, index: MemberIndex, attributes: _Attributes) -> None:
        wanted: dict[str, Expression] = {str(leaf): leaf for tag in TAGS.values() for leaf in leaves(tag.rule)}
        self.touches = [leaf for leaf in wanted.values() if isinstance(leaf, Touch)]
        self._fifths = {leaf: _edges(rows.column(leaf.feature.name)) for leaf in wanted.values() if isinstance(leaf, Fifth)}
        names = {leaf.name for leaf in wanted.values() if isinstance(leaf, Feature)} | {f.feature.name for f in self._fifths}
        self._places = {name: rows.contract.feature_names.index(name) for name in sorted(names)}
        self._rows, self._attributes = rows, attributes
        self._row = _rows_of(index, rows.member_ids)
        self._member = _rows_of(index, attributes.member_ids)

    def columns(self, part: slice) -> Columns:
        """Every column the rules name, for a slice of positions."""
        found = {name: _taken(self._rows.matrix[:, place], self._row[part]) for name, place in self._places.items()}
        for fifth, edges in self._fifths.items():
            found[str(fifth)] = _fifth(found[fifth.feature.name], edges)
        found.update({name: _taken(values, self._member[part]) for name, values in self._attributes.numbers.items()})
        size = part.stop - part.start
        found.update({name: np.full(size, value) for name, value in self._rows.edges.items()})
        found["day"] = np.full(size, float(self._rows.day))
        found["month"] = np.full(size, float(calendar_day(self._rows.day).month))
        return found


def _rows_of(index: MemberIndex, members: NDArray[np.str_]) -> NDArray[np.int64]:
    """Row of each position's member, -1 without one."""
    rows = np.full(len(index), -1, dtype=np.int64)
    rows[index.positions(members)] = np.arange(len(members))
    return rows


def _taken(values: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of these rows; NaN for row -1."""
    found = np.full(len(rows), np.nan)
    known = rows >= 0
    found[known] = values[rows[known]]
    return found


def _edges(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Values with at least 20, 40, 60 and 80 % of the known ones at or below them; empty if none is known."""
    known = values[~np.isnan(values)].astype(np.float64)
    return np.quantile(known, _SHARES, method="inverted_cdf") if len(known) else known


def _fifth(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 to 5; NaN stays."""
    return np.where(np.isnan(values), np.nan, 1.0 + np.searchsorted(edges, values, side="left"))


# Attributes of members


@dataclass(frozen=True, slots=True)
class _Attributes:
    """Registered members, unique: numbers with NaN for missing, texts with null."""

    member_ids: NDArray[np.str_]
    numbers: Mapping[str, NDArray[np.float64]]
    texts: Mapping[str, pa.DictionaryArray]


def _attributes(facts: Facts, day: int) -> _Attributes:
    texts = ", ".join(f"min({name}) AS {name}" for name in MEMBER_COLUMNS)
    table = facts.query(
        "SELECT member_id, max(registered_day)::double AS registered_day, max(birth_month)::double AS birth_month, "  # noqa: S608 # our own names
        f"min(marketing_consent::int)::double AS marketing_consent, {texts} "
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
        slugs = np.asarray([*map(slug, texts.dictionary.to_pylist()), ""], dtype=np.str_)
        values = slugs[texts.indices.fill_null(-1).to_numpy()]  # -1 is the last one, the empty text
        names, counts = np.unique(values[values != ""], return_counts=True)
        for name in names[np.argsort(-counts, kind="stable")[:MOST_MEMBER_VALUES]].tolist():
            there = np.zeros(len(index), dtype=bool)
            there[positions[values == name]] = True
            yield of_member(column, name), np.packbits(there)
