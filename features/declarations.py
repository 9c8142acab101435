"""What an aggregate and a feature are. Declaring one is a single expression; everything else is derived from it.

An aggregate is a mergeable summary of one member's facts. A feature is arithmetic over aggregates and the day of T.
Batch query, live merge, stored bytes, training frame and documentation are all made from these two kinds of object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from features.expressions import Call, Column, Expression, steps
from features.sources.schema import ITEMS, LINES, PURCHASES, FactTable

Dtype = Literal["int32", "int64", "float64"]
Freshness = Literal["event", "nightly"]
WithinDay = Literal["add", "smaller", "larger", "decay", "keep"]
AcrossDays = Literal["add", "smaller", "larger", "decay", "keep", "longest_gap", "add_squared_gap", "second_day"]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a summary is made, and how that of all days before today and that of today become one.

    `within_day` folds one more fact of today into today's value; `across_days` merges the base with today.
    `empty` is the value without any fact: 0, or None where there is none (a first day, a largest basket).
    """

    name: str
    within_day: WithinDay
    across_days: AcrossDays
    empty: int | None
    meaning: str


TOTAL = Kind("total", "add", "add", 0, "sum over the facts")
COUNT = Kind("count", "add", "add", 0, "number of facts")
DAYS = Kind("distinct_days", "larger", "add", 0, "number of days with at least one fact")
SMALLEST = Kind("smallest", "smaller", "smaller", None, "smallest value")
LARGEST = Kind("largest", "larger", "larger", None, "largest value")
DECAYED = Kind("decayed_total", "decay", "decay", 0, "sum weighted by 2^(-days before the last day with a fact / half-life)")
SECOND_DAY = Kind("second_last_day", "keep", "second_day", None, "last day but one with at least one fact")
LONGEST_GAP = Kind("longest_gap", "keep", "longest_gap", None, "longest run of days between two days with facts")
SQUARED_GAPS = Kind("squared_gaps", "keep", "add_squared_gap", 0, "sum of squared gaps between days with facts")
DISTINCT = Kind("distinct_keys", "keep", "keep", 0, "number of different keys")
TOP_KEY = Kind("top_key_total", "keep", "keep", 0, "largest sum over the facts of one key")
SQUARED_KEYS = Kind("squared_key_totals", "keep", "keep", 0, "sum over keys of the squared sum of a key's facts")
LOG_KEYS = Kind("logged_key_totals", "keep", "keep", 0, "sum over keys of c ln c, where c is the sum of a key's facts")
NEW_KEYS = Kind("new_keys", "keep", "keep", 0, "number of keys whose first fact of all lies in the window")
REPEATED_KEYS = Kind("repeated_keys", "keep", "keep", 0, "number of keys with facts on more than one day")
SWITCHES = Kind(
    "switches", "keep", "keep", 0, "number of facts with another key than the one before; those without key left out"
)
GAP_KINDS = (LONGEST_GAP, SQUARED_GAPS, SECOND_DAY)
KEYED_KINDS = (DISTINCT, TOP_KEY, SQUARED_KEYS, LOG_KEYS, NEW_KEYS, REPEATED_KEYS)


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate(Expression):
    """A mergeable summary of one member's facts up to T. Grain: member. Usable as an operand in features.

    Attributes
    ----------
    name
        Spelled here and nowhere else; carries unit and window.
    table, value, where
        Which facts, what of each, and which of them count. `value` is None for counts and days.
    days
        Window: from local midnight of T's day minus `days`, up to T. None is all history.
    half_life_days, key, last_day
        Half-life only for decayed totals; key only for keyed kinds and switches; for decayed totals and gaps the aggregate
        that holds the last day of the same facts.
    freshness
        "event" moves with each event of today; "nightly" keeps the value of last midnight.
    """

    name: str
    kind: Kind
    table: FactTable
    unit: str
    meaning: str
    value: Expression | None = None
    where: Expression | None = None
    days: int | None = None
    half_life_days: int | None = None
    key: Expression | None = None
    last_day: Aggregate | None = None
    dtype: Dtype = "int32"
    freshness: Freshness = "event"

    def __str__(self) -> str:
        return self.name

    def columns(self) -> frozenset[tuple[str, str]]:
        """The stored columns, as (table, column), without which nothing can be said; those of `lines` under their own table."""
        parts = (self.value, self.where, self.key, self.table.local_day)
        names = {column for part in parts if part is not None for column in _columns(part)}
        return frozenset((_table_of(self.table, name), name) for name in names)

    def definition(self) -> str:
        """The declaration in one line of text: hashed into the contract and printed in the documentation."""
        parts = [f"{self.kind.name}({self.value or self.key or '*'}) of {self.table.name}"]
        if self.value is not None and self.key is not None:
            parts.append(f"by {self.key}")
        if self.where is not None:
            parts.append(f"where {self.where}")
        if self.last_day is not None:
            parts.append(f"after {self.last_day}")
        if self.half_life_days is not None:
            parts.append(f"half-life {self.half_life_days} days")
        parts.append("all history" if self.days is None else f"last {self.days} days")
        return " ".join(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Edge(Expression):
    """A number that describes the whole population at last midnight, such as a quintile edge of spend."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Threshold(Expression):
    """A number that a shop may set for itself, such as the days of silence that make a member dormant.

    Scalars are given when features are built and travel with them, as population edges do.
    """

    name: str
    default: float
    unit: str
    meaning: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Quintiles:
    """Four edges that cut a population into fifths by one feature, among members where `among` is true."""

    name: str
    over: Feature
    among: Expression

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The four edges, ascending."""
        return tuple(Edge(f"{self.name}_edge_{share}") for share in (20, 40, 60, 80))

    def rank(self) -> Call:
        """1 for the lowest fifth to 5 for the highest."""
        return steps(self.over, self.edges)


Family = Literal["rfm", "behaviour", "browsing", "campaigns", "lifecycle"]


@dataclass(frozen=True, slots=True, eq=False)
class Feature(Expression):
    """One number a member has as of T, computed from aggregates. Grain: member. Usable as an operand in others.

    Attributes
    ----------
    formula
        Arithmetic over aggregates, features, edges, thresholds and `DAY`.
    categories
        For a coded label: the names of codes 0, 1, 2 and so on.
    in_models
        Whether models see it. Labels made of other features stay out.

    Values are float32; NaN where the facts cannot say, which is the truth and not zero.
    """

    name: str
    formula: Expression
    unit: str
    meaning: str
    family: Family
    categories: tuple[str, ...] = ()
    in_models: bool = True

    def __str__(self) -> str:
        return self.name

    def sources(self) -> Iterator[Source]:
        """Every aggregate, edge, threshold and column the formula rests on, through other features as well."""
        yield from _sources(self.formula)

    def operands(self) -> Iterator[Feature]:
        """Every feature that the formula names, not those below it."""
        yield from _features(self.formula)

    def columns(self) -> frozenset[tuple[str, str]]:
        """The stored columns, as (table, column), that the feature is made of."""
        return frozenset().union(*(s.columns() for s in self.sources() if isinstance(s, Aggregate)))

    @property
    def freshness(self) -> Freshness:
        """Whether everything below it moves with events, or something waits for the night."""
        nightly = any(s.freshness == "nightly" for s in self.sources() if isinstance(s, Aggregate))
        return "nightly" if nightly else "event"


Declaration: TypeAlias = Aggregate | Feature | Quintiles | Threshold
Source: TypeAlias = Aggregate | Edge | Threshold | Column

DAY = Column("day")
"""The local day of T, as days since 1970-01-01."""


def _sources(expression: Expression) -> Iterator[Source]:
    if isinstance(expression, Feature):
        yield from _sources(expression.formula)
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _sources(argument)
    elif isinstance(expression, Aggregate | Edge | Threshold | Column):
        yield expression


def _features(expression: Expression) -> Iterator[Feature]:
    if isinstance(expression, Feature):
        yield expression
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _features(argument)


def _columns(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Column):
        yield expression.name
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _columns(argument)


def _table_of(table: FactTable, column: str) -> str:
    """The stored table of a column: order lines are purchases with what `items` says of the item."""
    if table is not LINES:
        return table.name
    return PURCHASES.name if column in {c.name for c in PURCHASES.columns} else ITEMS.name
