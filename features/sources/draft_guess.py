"""Which table a shop's file is, and which column which field: by name in five languages, and by the shape of the values."""

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from features.sources.draft_words import DEFINING, WORDS
from features.sources.fields import FIELDS
from features.sources.sniffing import ColumnSample, FileSample

LIKELY = 0.6
"""Names that are less alike are none of a field's."""
BY_SHAPE = 0.4
"""The score of a column that was taken for its values alone."""
FORMS = {name: {field.name: field.form for field in fields} for name, fields in FIELDS.items()}


@dataclass(frozen=True, slots=True)
class Guess:
    """Which column is which field of a table, with a score each from 0 to 1."""

    table: str
    fields: Mapping[str, tuple[ColumnSample, float]]

    @property
    def score(self) -> float:
        """How well the file fits: fields by which the table is known, then all the others."""
        known = sum(score for name, (_, score) in self.fields.items() if name in DEFINING[self.table])
        return known / len(DEFINING[self.table]) + 0.08 * sum(score for _, score in self.fields.values())


def best_guess(found: FileSample) -> Guess | None:
    """The table that a file fits best, if it fits any."""
    guesses = [guess for guess in (_guess(found, table) for table in WORDS) if guess is not None]
    return max(guesses, key=lambda guess: guess.score, default=None)


def _guess(found: FileSample, table: str) -> Guess | None:
    """The columns of a file as fields of a table: best names first, each column and field once."""
    scored = sorted(
        (
            (_score(column, words) * _fits(column, table, field), -place, field)
            for field, words in WORDS[table].items()
            for place, column in enumerate(found.columns)
        ),
        reverse=True,
    )
    fields: dict[str, tuple[ColumnSample, float]] = {}
    used: set[int] = set()
    for score, place, field in scored:
        if score >= LIKELY and field not in fields and place not in used:
            fields[field] = (found.columns[-place], score)
            used.add(place)
    _by_shape(found, table, fields)
    return Guess(table, fields) if _possible(found, table, fields) else None


def _by_shape(found: FileSample, table: str, fields: dict[str, tuple[ColumnSample, float]]) -> None:
    """Fill what no name told: the only column of moments, and the only one of amounts."""
    taken = {column.name for column, _ in fields.values()}
    rest = [column for column in found.columns if column.name not in taken]
    if "occurred_at" in WORDS[table] and "occurred_at" not in fields:
        moments = [column for column in rest if column.dates]
        if len(moments) == 1:
            fields["occurred_at"] = (moments[0], BY_SHAPE)
    if table == "purchases" and not {"net", "price of one"} & set(fields):
        amounts = [column for column in rest if column.fractional]
        if len(amounts) == 1:
            fields["net"] = (amounts[0], BY_SHAPE)


def _possible(found: FileSample, table: str, fields: Mapping[str, tuple[ColumnSample, float]]) -> bool:
    """Whether a file can be that table at all."""
    names = set(fields)
    required = {field.name for field in FIELDS[table] if field.required}
    if not required <= names:
        return False
    if table == "purchases":
        return bool(names & {"net", "price of one", "order_id"} or {"quantity", "member_id"} <= names)
    if table in {"items", "members"}:
        key = fields[f"{table[:-1]}_id"][0]
        return key.distinct > 0.9 and len(names) > 1
    return table != "events" or not names & {"net"}


def _score(column: ColumnSample, words: str) -> float:
    """How well a column's name is one of a field's words, from 0 to 1."""
    name = plain(column.name)
    best = 0.0
    for place, word in enumerate(words.split(", ")):
        if name == word:
            return 1.0 - place / 10_000
        if name.replace(" ", "") == word.replace(" ", ""):
            best = max(best, 0.97)
        elif len(word) > 2 and set(word.split()) <= set(name.split()):
            best = max(best, 0.7 + 0.1 * len(word) / max(len(name), 1))
        elif len(word) > 1 and not word.isascii() and word in name:
            best = max(best, 0.7 + 0.1 * len(word) / len(name))
        elif len(word) > 4 and difflib.SequenceMatcher(None, name, word).ratio() > 0.85:
            best = max(best, 0.65)
    return best


def _fits(column: ColumnSample, table: str, field: str) -> float:
    """How well a column's values have the shape of a field: 1, less with none, 0 where they cannot be read as such."""
    form = {"price of one": "money", "time of day": "time"}.get(field) or FORMS[table][field]
    if not column.values:
        return 0.7
    if field in {"order_id", "member_id", "item_id"} and column.fractional:
        return 0.0
    if form in {"moment", "day"}:
        return 1.0 if column.dates else 0.0
    if form in {"money", "integer", "rounded", "quantity"}:
        return 1.0 if column.numeric and not (column.dates and not column.whole) else 0.0
    if form == "time":
        return 1.0 if column.times else 0.0
    if form == "month":
        return 1.0 if column.dates or column.whole else 0.0
    if form == "boolean":
        return 1.0 if len(set(column.values)) <= 2 else 0.0
    return 0.0 if column.dates and column.type == "moment" else 1.0


def plain(name: str) -> str:
    """A name without case, accents and signs, its words apart by a blank."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    apart = apart.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue").replace("ß", "ss")
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", apart) if not unicodedata.combining(sign))
    return " ".join(re.findall(r"[^\W_]+", bare))
