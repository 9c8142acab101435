"""One field of a mapping as DuckDB's SQL: what its rule finds in a row, and what that reads as.

A field that cannot be read is NULL where something was found: never an error, never a guess. Columns of Parquet that have the
right type already are used as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from features.errors import SourceError
from features.sources.fields import TYPES, Field
from features.sources.forms_sql import (
    FLOATS,
    decimal_sql,
    is_moment,
    is_number,
    is_text,
    plain_number,
    value_sql,
    whole_or_as_is,
)
from features.sources.mapping import FieldRule
from features.sql_text import quoted, text

ARITHMETIC = (exp.Column, exp.Identifier, exp.Literal, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.Paren, exp.Abs,
              exp.Coalesce, exp.Round, exp.Concat, exp.DPipe, exp.Upper, exp.Lower, exp.Trim, exp.Null)  # fmt: skip

WHOLE = "whole"
"""The format of identifiers that a data frame or spreadsheet saved as numbers: 17850.0 is 17850."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read one field, in three steps that build on each other.

    Attributes
    ----------
    found
        What the rule finds, over the columns of the raw file; NULL where that is blank.
    value
        What it reads as, over `found` as a column of the field's name with `found_` before it.
    readable
        A condition over the same that holds where what was found could be read; empty is: where it reads as something.
    """

    found: str
    value: str
    readable: str = ""


def reading(field: Field, rule: FieldRule, columns: Mapping[str, str], *, decimal: str, zone: str) -> Reading:
    """The SQL of one field.

    Parameters
    ----------
    columns
        Name and DuckDB type of each column of the raw file.
    decimal
        "." or ",", for numbers in text.
    zone
        The shop's time zone.

    Raises
    ------
    SourceError
        An expression does more than arithmetic and joining of text.
    """
    name = quoted(f"found_{field.name}")
    kind = "VARCHAR"
    if rule.expression is not None and field.form in {"money", "integer", "rounded", "quantity"} and not rule.values:
        kind = "DOUBLE"
        number = _expression_sql(rule.expression, lambda column: _number_of(column, columns[column], decimal))
        present = _any_present(rule.expression, columns)
        found = f"CASE WHEN {present} THEN coalesce(CAST(({number}) AS DOUBLE), 'nan'::DOUBLE) END"
    elif rule.column is not None and not rule.values and not rule.matches and _native(field, rule, columns[rule.column]):
        found, kind = _without_nan(rule.column, columns[rule.column]), columns[rule.column]
    else:
        found = _meant(f"nullif(trim({_text_of(rule, columns)}), '')", rule)
    if rule.matches:
        return Reading(found, f"coalesce(regexp_matches({name}, {text(rule.matches)}), false)")
    value = value_sql(field, rule, name, kind, decimal=decimal, zone=zone)
    readable = f"({decimal_sql(name, kind, decimal)}) IS NOT NULL" if field.form == "quantity" else ""
    return Reading(found, f"CAST({value} AS {TYPES[field.form]})", readable)


def default_sql(field: Field) -> str:
    """What stands in a field that the mapping does not name."""
    value = "NULL" if field.default is None else text(field.default) if isinstance(field.default, str) else str(field.default)
    return f"CAST({value} AS {TYPES[field.form]})"


def accepts(field: Field, rule: FieldRule, kind: str) -> bool:
    """Whether a column of a DuckDB type can be read as the field at all; text can, until its values show otherwise."""
    if is_text(kind) or rule.values or rule.matches or field.form == "text":
        return True
    numeric = is_number(kind)
    match field.form:
        case "moment" | "day":
            return is_moment(kind) or (numeric and bool(rule.format))
        case "month":
            return is_moment(kind) or numeric
        case "boolean":
            return kind == "BOOLEAN" or numeric
    return numeric


def columns_of(rule: FieldRule) -> tuple[str, ...]:
    """The columns of the raw file that a rule reads.

    Raises
    ------
    SourceError
        Its expression cannot be parsed or does too much.
    """
    if rule.column is not None:
        return (rule.column,)
    if rule.expression is None:
        return ()
    return tuple(dict.fromkeys(_full_name(column) for column in _parsed(rule.expression).find_all(exp.Column)))


def identifier_text(rule: FieldRule, columns: Mapping[str, str]) -> str:
    """What a rule finds, as text; NULL where it is blank."""
    return _meant(f"nullif(trim({_text_of(rule, columns)}), '')", rule)


def text_found(rule: FieldRule, columns: Mapping[str, str]) -> str:
    """What a rule reads, as text, for a fingerprint of the row."""
    read = [f"coalesce({column_text(name, columns[name])}, '')" for name in columns_of(rule)]
    return " || chr(30) || ".join(read) if read else "''"


def _native(field: Field, rule: FieldRule, kind: str) -> bool:
    """Whether a column's type can be used as it is."""
    if is_text(kind) or field.form == "text":
        return kind in FLOATS
    if field.form in {"moment", "day", "month"}:
        return is_moment(kind) or (field.form == "month" and is_number(kind))
    return is_number(kind) or field.form == "boolean"


def _without_nan(name: str, kind: str) -> str:
    return f"nullif({quoted(name)}, 'nan'::{kind})" if kind in FLOATS else quoted(name)


def column_text(name: str, kind: str) -> str:
    """A column as text; a floating-point number that lost digits is NULL."""
    if kind in FLOATS:
        return whole_or_as_is(_without_nan(name, kind))
    return quoted(name) if kind == "VARCHAR" else f"CAST({quoted(name)} AS VARCHAR)"


def _text_of(rule: FieldRule, columns: Mapping[str, str]) -> str:
    """What a rule finds in a row, as text."""
    if rule.column is not None:
        found = column_text(rule.column, columns[rule.column])
        return f"regexp_replace(trim({found}), '^([0-9]+)[.]0+$', '\\1')" if rule.format == (WHOLE,) else found
    if rule.expression is not None:
        joined = _expression_sql(rule.expression, lambda name: column_text(name, columns[name]))
        return f"CAST(({joined}) AS VARCHAR)"
    return text(str(rule.constant).lower() if isinstance(rule.constant, bool) else str(rule.constant))


def _meant(found: str, rule: FieldRule) -> str:
    if not rule.values:
        return found
    cases = " ".join(f"WHEN {text(word)} THEN {text(meant)}" for word, meant in rule.values)
    return f"CASE {found} {cases} ELSE {found} END"


def _any_present(expression: str, columns: Mapping[str, str]) -> str:
    names = list(dict.fromkeys(_full_name(column) for column in _parsed(expression).find_all(exp.Column)))
    present = [f"nullif(trim({column_text(name, columns[name])}), '')" for name in names]
    return f"coalesce({', '.join(present)}) IS NOT NULL" if present else "true"


def _parsed(expression: str) -> exp.Expr:
    """An expression of the mapping: arithmetic and joining of text over columns, and nothing else."""
    try:
        tree = sqlglot.parse_one(expression, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise SourceError(f"expression {expression!r} cannot be read", remedy="write, for example, qty * unit_price") from error
    for node in tree.walk():
        if not isinstance(node, ARITHMETIC):
            raise SourceError(
                f"expression {expression!r} uses {type(node).__name__.lower()}",
                remedy="columns, numbers, + - * / ( ), abs, round, coalesce, upper, lower, trim and || may be used",
            )
    return tree


def _full_name(column: exp.Column) -> str:
    return ".".join(part.name for part in column.parts)


def _expression_sql(expression: str, of_column: Callable[[str], str]) -> str:
    """An expression with SQL of ours in the place of each column."""
    places: dict[str, str] = {}

    def with_place(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        place = f"place_{len(places)}_"
        places[f'"{place}"'] = of_column(_full_name(node))
        return exp.column(place)

    sql = str(_parsed(expression).transform(with_place).sql(dialect="duckdb", identify=True))
    for place, column in places.items():
        sql = sql.replace(place, column)
    return sql


def _number_of(name: str, kind: str, decimal: str) -> str:
    """A column of an expression as a number."""
    raw = quoted(name) if is_number(kind) else plain_number(f"trim({column_text(name, kind)})", decimal)
    return f"TRY_CAST({raw} AS DOUBLE)"
