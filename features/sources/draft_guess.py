"""Which table a shop's file is, and which column which field: by name in five languages, and by the shape of the values."""

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from features.sources.draft_words import BUYING, DEFINING, OPINIONS, WORDS
from features.sources.fields import FIELDS, STATES
from features.sources.sniffing import ColumnSample, FileSample

LIKELY = 0.6
"""Names that are less alike are none of a field's."""
SURE = 0.9
"""A name is certain from here on."""
BY_SHAPE = 0.4
"""The score of a column that was taken for its values alone."""
MOST_PIECES = 5.0
"""Half of the lines have at most so many pieces."""
KEYS = ("order_id", "member_id", "item_id")
BY_THE_WAY = (
    *("item_id", "department", "category", "subcategory", "brand"),
    *("member_id", "gender", "region", "age_band"),
)
"""What is worth taking from a file of purchases about their items and members."""
FORMS = {name: {field.name: field.form for field in fields} for name, fields in FIELDS.items()}


@dataclass(frozen=True, slots=True)
class Guess:
    """Which column is which field of a table, with a score each from 0 to 1; and which rows, where the file holds others too.

    `by_the_way` marks what the rows of another table tell, as purchases of the categories of items.
    """

    table: str
    fields: Mapping[str, tuple[ColumnSample, float]]
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by_the_way: bool = False

    @property
    def score(self) -> float:
        """How well the file fits: fields by which the table is known, then all the others."""
        known = sum(score for name, (_, score) in self.fields.items() if name in DEFINING[self.table])
        return known / len(DEFINING[self.table]) + 0.08 * sum(score for _, score in self.fields.values())


def best_guess(found: FileSample) -> Guess | None:
    """The table that a file fits best, if it fits any."""
    guesses = [guess for guess in (_guess(found, table) for table in WORDS) if guess is not None]
    return max(guesses, key=lambda guess: guess.score, default=None)


def guesses(found: FileSample) -> tuple[Guess, ...]:
    """The tables that a file is: the one it fits best, and what else stands in its rows, such as purchases among looks."""
    best = best_guess(found)
    if best is None:
        return ()
    if best.table == "events":
        return _with_purchases(found, best)
    if best.table == "purchases":
        return (best, *(state for state in (_known_by_the_way(found, table) for table in STATES) if state is not None))
    return (best,)


def _with_purchases(found: FileSample, looks: Guess) -> tuple[Guess, ...]:
    """A log of looks and carts, and the purchases in it."""
    kind = looks.fields["event_type"][0]
    words = tuple(sorted({word for word in kind.values if plain(word) in BUYING.split(", ")}))
    bought = _fields(found, "purchases")
    if not words or "occurred_at" not in bought:
        return (looks,)
    chosen = {kind.name: words}
    return replace(looks, without=chosen), Guess("purchases", bought, only=chosen)


def _known_by_the_way(found: FileSample, table: str) -> Guess | None:
    """What purchases tell of their items or members, such as a category or a country."""
    fields = {name: known for name, known in _fields(found, table).items() if name in BY_THE_WAY and known[1] >= SURE}
    key = f"{table[:-1]}_id"
    return Guess(table, fields, by_the_way=True) if key in fields and len(fields) > 1 else None


def _guess(found: FileSample, table: str) -> Guess | None:
    """The columns of a file as fields of a table, if it can be that table at all."""
    fields = _fields(found, table)
    return Guess(table, fields) if _possible(found, table, fields) else None


def _fields(found: FileSample, table: str) -> dict[str, tuple[ColumnSample, float]]:
    """Columns by field: best names first, each column and field once."""
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
    for score, place, name in scored:
        if score >= LIKELY and name not in fields and place not in used:
            fields[name] = (found.columns[-place], score)
            used.add(place)
    _by_shape(found, table, fields)
    if table == "purchases":
        _pieces_called_amount(fields)
    return fields


def _pieces_called_amount(fields: dict[str, tuple[ColumnSample, float]]) -> None:
    """Small whole numbers called amount beside a price are pieces."""
    if "quantity" in fields or not {"net", "price of one"} <= set(fields):
        return
    pieces, price = fields["net"][0], fields["price of one"][0]
    sizes = sorted(float(value) for value in pieces.values) if pieces.whole else []
    if sizes and sizes[len(sizes) // 2] <= MOST_PIECES:
        fields |= {"quantity": (pieces, BY_SHAPE), "net": (price, BY_SHAPE)}
        del fields["price of one"]


def _by_shape(found: FileSample, table: str, fields: dict[str, tuple[ColumnSample, float]]) -> None:
    """Fill what no name told: the only column of moments, and the only one of amounts."""
    taken = {column.name for column, _ in fields.values()}
    rest = [column for column in found.columns if column.name not in taken]
    if "occurred_at" in WORDS[table] and "occurred_at" not in fields:
        moments = [column for column in rest if column.dates]
        if len(moments) == 1:
            fields["occurred_at"] = (moments[0], BY_SHAPE)
    if table == "purchases" and not {"net", "price of one"} & set(fields):
        amounts = [column for column in rest if column.fractional and plain(column.name) not in OPINIONS.split(", ")]
        if len(amounts) == 1:
            fields["net"] = (amounts[0], BY_SHAPE)


def _possible(found: FileSample, table: str, fields: Mapping[str, tuple[ColumnSample, float]]) -> bool:
    """Whether a file can be that table at all."""
    names = set(fields)
    required = {field.name for field in FIELDS[table] if field.required}
    if not required <= names:
        return False
    if table == "purchases":
        told = {"quantity", "item_id"} & names and "member_id" in names
        return bool(names & {"net", "price of one", "order_id"} or told) and "event_type" not in _fields(found, "events")
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
    if field in KEYS and not column.whole and (column.fractional or column.dates):
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
