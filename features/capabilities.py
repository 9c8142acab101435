"""What a shop's facts can say at all: amounts, items, categories, events and so on, each by name, and since when.

A shop without coupons has not "0 % paid by coupon": it has no such number. So an aggregate over facts that a shop does not
have is missing, not zero. Whether it has them is known as of each moment: from the first fact that shows it on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from features.declarations import Aggregate
from features.sources.schema import EVENTS, EXPOSURES, LINES, ORDERS, PURCHASES, REDEMPTIONS


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that facts may or may not tell.

    Attributes
    ----------
    table, shown_by
        It is there from the first row of this table on for which this SQL condition holds.
    columns
        Columns that say nothing without it; empty: every column of the table.
    catalogue
        A column of `items` that must be filled as well, for what is known of items and not of purchases.
    """

    name: str
    meaning: str
    table: str
    shown_by: str
    columns: tuple[str, ...] = ()
    catalogue: str = ""


_ITEM = "item_id IS NOT NULL"
CAPABILITIES = (
    Capability("amounts", "what was paid", PURCHASES.name, "net_cents <> 0", ("net_cents",)),
    Capability("discounts", "what the shop took off", PURCHASES.name, "discount_cents <> 0", ("discount_cents",)),
    Capability("coupons", "what coupons took off", PURCHASES.name, "coupon_cents <> 0", ("coupon_cents",)),
    Capability("hours", "the time of day of purchases", PURCHASES.name, "local_hour <> 0", ("local_hour",)),
    Capability("stores", "which shop sold", PURCHASES.name, "store_id IS NOT NULL", ("store_id",)),
    Capability("items", "what was bought", PURCHASES.name, _ITEM, ("item_id",)),
    Capability("pieces", "how many pieces", PURCHASES.name, "quantity IS NOT NULL", ("quantity",)),
    Capability("departments", "departments of items", PURCHASES.name, _ITEM, ("department",), "department"),
    Capability("categories", "categories of items", PURCHASES.name, _ITEM, ("category",), "category"),
    Capability("brands", "brands of items", PURCHASES.name, _ITEM, ("brand",), "brand"),
    Capability("own_brands", "which items are the shop's own brand", PURCHASES.name, _ITEM, ("own_brand",), "own_brand"),
    Capability("prices", "usual prices of items", PURCHASES.name, _ITEM, ("price_cents",), "price_cents"),
    Capability("holidays", "which days are holidays", ORDERS.name, "holiday IS NOT NULL", ("holiday",)),
    Capability("events", "what members do without buying", EVENTS.name, "true"),
    Capability("durations", "time spent looking", EVENTS.name, "duration_s IS NOT NULL", ("duration_s",)),
    Capability("sessions", "which events belong to one visit", EVENTS.name, "session_id IS NOT NULL", ("session_id",)),
    Capability("exposures", "whom campaigns reached", EXPOSURES.name, "true"),
    Capability("redemptions", "which coupons were used", REDEMPTIONS.name, "true"),
)
NEVER = 2**62
"""Moment from which something is there that is never there, in microseconds since 1970."""
_SAID_BY_PURCHASES = (LINES.name, ORDERS.name)


def capability(name: str) -> Capability:
    """The capability of that name; KeyError if there is none."""
    return _BY_NAME[name]


def needed_by(aggregate: Aggregate) -> frozenset[str]:
    """Names of the capabilities without which an aggregate has nothing to sum up."""
    table = aggregate.table.name
    tables = {table, PURCHASES.name} if table in _SAID_BY_PURCHASES else {table}
    columns = {column for _, column in aggregate.columns()}
    return frozenset(c.name for c in CAPABILITIES if c.table in tables and (not c.columns or columns & set(c.columns)))


def absent(since: Mapping[str, int], *, before: int) -> frozenset[str]:
    """Names of the capabilities that no fact had shown before a moment, in microseconds since 1970."""
    return frozenset(c.name for c in CAPABILITIES if since.get(c.name, NEVER) >= before)


def silent(aggregates: Iterable[Aggregate], missing: frozenset[str]) -> tuple[Aggregate, ...]:
    """The aggregates that have nothing to say where these capabilities are missing.

    A day that never was is missing anyway; it may come with the first fact of its kind in the course of a day.
    """
    return tuple(a for a in aggregates if needed_by(a) & missing and not _is_day(a))


def _is_day(aggregate: Aggregate) -> bool:
    return aggregate.kind.empty is None and str(aggregate.value) == "local_day"


def since_sql(table: str) -> str:
    """The query for the first moment of each capability that a table shows, one column each; NULL where it never does."""
    shown = ", ".join(
        f"min(occurred_at) FILTER (WHERE {c.shown_by}{_listed(c)}) AS {c.name}" for c in CAPABILITIES if c.table == table
    )
    return f"SELECT {shown} FROM {table}"  # noqa: S608 # names and conditions from above


def tables_that_show() -> tuple[str, ...]:
    """The tables that have capabilities to show."""
    return tuple(dict.fromkeys(c.table for c in CAPABILITIES))


def _listed(capability: Capability) -> str:
    if not capability.catalogue:
        return ""
    return f" AND EXISTS (SELECT 1 FROM items WHERE {capability.catalogue} IS NOT NULL)"  # noqa: S608 # own names


_BY_NAME = {c.name: c for c in CAPABILITIES}
