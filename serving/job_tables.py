"""Rows of answers as the flat tables that a bulk job writes: which columns, and what stands in each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Row: TypeAlias = dict[str, Any]
Cell: TypeAlias = str | float | int | None
Kind = Literal["text", "number", "integer"]
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters by which a spreadsheet takes a cell for a formula."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column: its name, what it holds, and where that stands in a row of an answer."""

    name: str
    kind: Kind
    path: tuple[str, ...]

    def of(self, row: Row) -> Cell:
        """The cell of a row; None where there is nothing."""
        found: Any = row
        for name in self.path:
            if found is None:
                return None
            found = found.get(name)
        return found if self.kind != "number" or found is None else float(found)


def _column(name: str, kind: Kind, *path: str) -> TableColumn:
    return TableColumn(name, kind, path or (name,))


_STANDING = (
    _column("member_id", "text"),
    _column("status", "text"),
    _column("reason", "text"),
    _column("fallback", "text"),
    _column("as_of", "text"),
    _column("age_seconds", "integer"),
)


def score_columns(tiers: Sequence[str]) -> tuple[TableColumn, ...]:
    """Columns of scores: one row a member."""
    return (
        *_STANDING,
        _column("churn_probability", "number", "churn", "probability"),
        _column("churn_low", "number", "churn", "low"),
        _column("churn_high", "number", "churn", "high"),
        _column("churn_band", "text", "churn", "band"),
        _column("tier", "text", "tier", "likely"),
        *(_column(f"tier_{tier}", "number", "tier", "probabilities", tier) for tier in tiers),
        _column("value_cents", "number", "value", "cents"),
        _column("value_low_cents", "number", "value", "low_cents"),
        _column("value_high_cents", "number", "value", "high_cents"),
        _column("segment", "text", "segment", "name"),
        _column("lifecycle_stage", "text"),
        _column("rfm_tier", "text"),
    )


def list_columns() -> tuple[TableColumn, ...]:
    """Columns of lists: one row a member and item, and one without an item for a member whose list is empty."""
    return (
        *_STANDING,
        _column("place", "integer", "item", "place"),
        _column("item_id", "text", "item", "item_id"),
        _column("source", "text", "item", "source"),
    )


def by_item(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows of lists, one for each item."""
    for row in rows:
        for item in row["items"] or [None]:
            yield {**row, "item": item}


def harmless(cell: str) -> str:
    """The text, with a quote in front where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_SIGNS) else cell


def as_sent(cell: str) -> str:
    """The text that `harmless` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_SIGNS) else cell


Cells: TypeAlias = Callable[[Row], tuple[Cell, ...]]


def cells_of(columns: Sequence[TableColumn]) -> Cells:
    """What makes a flat row of a row of an answer."""
    return lambda row: tuple(column.of(row) for column in columns)
