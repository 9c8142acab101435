"""What a mapping expects of a shop's files beside what is in them, for all fields at once."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from features.errors import SchemaMismatch
from features.sources.field_sql import accepts, columns_of
from features.sources.fields import FIELDS, Form
from features.sources.mapping import FieldRule, TableMapping

HEADINGS = ("field", "expected", "found", "nearest", "file")
WORDS: Mapping[Form, str] = {
    "integer": "whole number",
    "rounded": "number",
    "quantity": "number",
    "money": "amount",
    "boolean": "yes or no",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that the files do not have as the mapping says."""

    field: str
    expected: str
    found: str
    nearest: str
    file: str


def differences(table: TableMapping, columns: Mapping[str, str], file: str) -> list[Difference]:
    """The fields of a table that one file does not have, or has as a type that cannot be read as such.

    Parameters
    ----------
    columns
        Name and DuckDB type of each column of the file.
    """
    found = []
    fields = {field.name: field for field in FIELDS[table.name]}
    rules = {**table.rules, **{f"identifiers.{kind}": rule for kind, rule in table.identifiers.items()}}
    for name, rule in rules.items():
        for wanted in columns_of(rule):
            if wanted not in columns:
                found.append(Difference(f"{table.name}.{name}", wanted, "no such column", nearest(wanted, columns), file))
            elif rule.column is not None and name in fields and not accepts(fields[name], rule, columns[wanted]):
                expected = f"{wanted} as {word(fields[name].form)}"
                found.append(Difference(f"{table.name}.{name}", expected, columns[wanted].lower(), "", file))
    for wanted, option in table.rows.columns.items():
        if wanted not in columns:
            found.append(Difference(f"{table.name}.{option}", wanted, "no such column", nearest(wanted, columns), file))
    return found


def unreadable(table: TableMapping, name: str, file: str) -> Difference:
    """A field of which not a single value in a file could be read."""
    rule = table.rules.get(name, FieldRule())
    form = next(field.form for field in FIELDS[table.name] if field.name == name)
    where = rule.column or rule.expression or str(rule.constant)
    return Difference(f"{table.name}.{name}", f"{where} as {word(form)}", "nothing that can be read as such", "", file)


def refuse(found: Iterable[Difference], columns: Mapping[str, Iterable[str]]) -> None:
    """Raise SchemaMismatch with a table of the differences, if there are any; nothing is published.

    Parameters
    ----------
    columns
        The columns that the files of each table have, for the remedy.
    """
    merged = _by_file(found)
    if not merged:
        return
    rows = [HEADINGS, *((d.field, d.expected, d.found, d.nearest or "-", d.file) for d in merged)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADINGS))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    tables = dict.fromkeys(difference.field.split(".")[0] for difference in merged)
    have = "; ".join(f"[{table}] has {', '.join(sorted(columns.get(table, ())))}" for table in tables)
    raise SchemaMismatch(
        "the files are not as the mapping says; nothing was imported:\n  " + "\n  ".join(lines),
        remedy=f"change the mapping, or the files: {have}",
    )


def nearest(wanted: str, columns: Iterable[str]) -> str:
    """The column whose name comes nearest, or an empty text."""
    by_case = {name.casefold(): name for name in columns}
    near = difflib.get_close_matches(wanted.casefold(), by_case, n=1, cutoff=0.5)
    return by_case[near[0]] if near else ""


def word(form: Form) -> str:
    """A form in a reader's words."""
    return WORDS.get(form, form)


def _by_file(found: Iterable[Difference]) -> list[Difference]:
    """The same difference in several files, once."""
    files: dict[Difference, list[str]] = {}
    for difference in found:
        files.setdefault(replace(difference, file=""), []).append(difference.file)
    return [
        replace(difference, file=names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more")
        for difference, names in files.items()
    ]
