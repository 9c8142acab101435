"""Landing: canonical tables through the door and the cleaning into a facts folder. Every source ends here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ibis
from ibis import ir

from features.cleaning import Cleaned, RuleCount, clean
from features.facts import Manifest, empty_table, write
from features.sources.door import admit
from features.sources.schema import ITEMS, PURCHASES, STORED, FactTable


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import left behind."""

    manifest: Manifest
    cleaned: Cleaned


def _first_of_each(table: ir.Table, schema: FactTable) -> ir.Table:
    """One row a key: the first by all its columns, so that the same one is kept every time."""
    order = [table[name].cast("string") for name in table.columns]
    window = ibis.window(group_by=[table[name] for name in schema.key], order_by=order)
    return table.mutate(place=ibis.row_number().over(window)).filter(ibis._.place == 0).drop("place")


def _completed(table: ir.Table, schema: FactTable) -> ir.Table:
    """The table with every optional column that its source does not have, empty."""
    types = {"string": "string", "int64": "int64", "int32": "int32", "timestamp": "timestamp", "boolean": "boolean"}
    absent = [c for c in schema.columns if not c.required and c.name not in table.columns]
    return table.mutate(**{c.name: ibis.null(types[c.type]) for c in absent}) if absent else table


def land(
    folder: Path,
    tables: Mapping[str, ir.Table],
    *,
    source: str,
    time_zone: str,
    currency: str,
    unreadable: ir.Table | None = None,
    unreadable_counts: tuple[RuleCount, ...] = (),
) -> Imported:
    """Check, clean and write canonical tables; what was in the folder before is replaced only when all is written.

    Parameters
    ----------
    tables
        By name, all but `orders`; those that the source does not have may be left out.
    unreadable, unreadable_counts
        Purchases that the source could not read, with the `reason` each, and how many for which reason.

    Raises
    ------
    SchemaMismatch
        A table does not have the columns and types of its schema.
    """
    stored = [schema for schema in STORED if schema.name != "orders"]
    admitted = {
        schema.name: admit(_completed(tables[schema.name], schema), schema)
        if schema.name in tables
        else ibis.memtable(empty_table(schema))
        for schema in stored
    }
    for schema in stored:
        if schema is not PURCHASES:  # a repeated purchase is a finding of the cleaning; a repeated item is one entry too many
            admitted[schema.name] = _first_of_each(admitted[schema.name], schema)
    cleaned = clean(admitted[PURCHASES.name], admitted[ITEMS.name], unreadable=unreadable_counts)
    set_aside = cleaned.set_aside
    if unreadable is not None:
        set_aside = set_aside.union(_completed(unreadable, PURCHASES).cast(set_aside.schema()).select(*set_aside.columns))
    extras: dict[str, str | ir.Table] = {"cleaning.json": cleaned.report.to_json(), "quarantine.parquet": set_aside}
    draft = {**admitted, PURCHASES.name: cleaned.accepted}
    manifest = write(folder, draft, source=source, time_zone=time_zone, currency=currency, extras=extras)
    return Imported(manifest, cleaned)
