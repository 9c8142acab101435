"""Purchase rows as a source might bring them, changed from one good row, and what the cleaning makes of them."""

from datetime import datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
from ibis import ir

from features.cleaning import Cleaned, clean
from features.fact_tables import arrow_schema
from features.sources.schema import ITEMS, PURCHASES

Row = dict[str, Any]
NOON = datetime(2024, 5, 1, 12)  # noqa: DTZ001 # canonical moments are UTC without a zone
GOOD: Row = {
    "order_id": "o1",
    "line_no": 0,
    "member_id": "ann",
    "item_id": "apple",
    "quantity": 1,
    "net_cents": 100,
    "discount_cents": 0,
    "coupon_cents": 0,
    "channel": "store",
    "store_id": "s1",
    "kind": "sale",
    "occurred_at": NOON,
    "local_day": 19_844,
    "local_hour": 8,
    "recorded_at": None,
    "superseded_at": None,
}
CONNECTION = ibis.duckdb.connect()


def after(**time: float) -> datetime:
    """A moment after noon of the day."""
    return NOON + timedelta(**time)


def at(text: str) -> datetime:
    """A moment written in ISO 8601."""
    return datetime.fromisoformat(text)


def catalogue(*items: Row) -> ir.Table:
    """Items with these columns; those not given are missing."""
    return CONNECTION.create_table("items", pa.Table.from_pylist(list(items), schema=arrow_schema(ITEMS)), overwrite=True)


def rows_of(*changes: Row) -> list[Row]:
    """Good rows with these changes; if they say nothing else, each is an order of its own, an hour after the one before."""
    return [{**GOOD, "order_id": f"o{i}", "occurred_at": after(hours=i), **change} for i, change in enumerate(changes)]


def purchases(rows: list[Row]) -> ir.Table:
    """Canonical purchases of these rows, with the column `file` if the first of them has it."""
    schema = arrow_schema(PURCHASES)
    if rows and "file" in rows[0]:
        schema = schema.append(pa.field("file", pa.string()))
    return CONNECTION.create_table("purchases", pa.Table.from_pylist(rows, schema=schema), overwrite=True)


def cleaned(*changes: Row, items: tuple[Row, ...] = ({"item_id": "apple"},), **options: Any) -> Cleaned:
    """What becomes of good rows with these changes, beside a catalogue of these items."""
    return clean(purchases(rows_of(*changes)), catalogue(*items), **options)


def accepted(result: Cleaned) -> list[Row]:
    """The rows kept."""
    rows: list[Row] = result.accepted.to_pyarrow().to_pylist()
    return rows


def reasons(result: Cleaned) -> dict[str, str | None]:
    """Why each row was set aside, by order id; None for those kept."""
    kept: dict[str, str | None] = dict.fromkeys(row["order_id"] for row in accepted(result))
    return kept | {row["order_id"]: row["reason"] for row in result.set_aside.to_pyarrow().to_pylist()}


def counts(result: Cleaned) -> dict[str, int]:
    """How many rows each rule claimed, of those that claimed any."""
    return {count.code: count.rows for count in result.report.rules if count.rows}
