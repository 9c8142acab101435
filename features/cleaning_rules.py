"""Rules of the cleaning that look at one row and its catalogue entry. Each says, as a condition, which rows it is about.

The rows that a rule sees are canonical purchases with what the catalogue knows of their items beside them: `spelling` (the
item id as the catalogue spells it), `listed`, `item_cost_cents`; and `pieces`, the quantity where it is a number of pieces.
Conditions are DuckDB's; one that comes out as NULL is not met.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from features.cleaning_report import Action
from features.sources.schema import SALE

FIRST_DAY, LAST_DAY = "1990-01-01", "2100-01-01"
ID_PATTERN = r"^[^\p{C}{}]{1,128}$"
"""What an identifier may be: 1 to 128 characters, no braces (they steer Redis Cluster), nothing invisible."""

LONGEST_ID = 128

LineKey = Literal["number", "content"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Thresholds of the rules.

    Attributes
    ----------
    below_cost_share
        A sale is below cost where its price is less than this share of what the item costs the shop.
    huge_amount_cents
        An amount above this is huge, be it received, given back or taken off.
    near_duplicate_seconds
        How long after an order the same order once more counts as submitted twice.
    cancel_minutes
        How long after a sale its return takes it back as if it had not been.
    """

    below_cost_share: float = 1.0
    huge_amount_cents: int = 10_000_000
    near_duplicate_seconds: int = 60
    cancel_minutes: int = 60


@dataclass(frozen=True)
class Terms:
    """What rules need to know beside the rows.

    Attributes
    ----------
    latest
        Last moment, UTC without a zone, at which a purchase can have happened; None knows no such moment.
    line_key
        Whether lines have numbers of their own, or are known by their content.
    """

    limits: Limits = field(default_factory=Limits)
    latest: datetime | None = None
    line_key: LineKey = "number"


@dataclass(frozen=True, slots=True)
class RowRule:
    """A rule that can say of each row by itself whether it is about it; `claims` gives the condition."""

    code: str
    action: Action
    meaning: str
    claims: Callable[[Terms], str]


def malformed_id(terms: Terms) -> str:
    """An identifier is empty, blank or too long, or has braces or invisible characters: it does not fit ID_PATTERN.

    All of a row at once, as expressions cost most of what looking at single rows does. Blanks sort before every other sign.
    """
    columns = ("order_id", "member_id", "item_id")
    blanks = " " * LONGEST_ID
    sizes = [f"{name} <= '{blanks}' OR length({name}) > {LONGEST_ID}" for name in columns]
    return " OR ".join([rf"regexp_matches(concat_ws('-', {', '.join(columns)}), '[\p{{C}}{{}}]')", *sizes])


def impossible_date(terms: Terms) -> str:
    """The moment lies outside any shop's books, or after the import."""
    impossible = f"occurred_at NOT BETWEEN TIMESTAMP '{FIRST_DAY}' AND TIMESTAMP '{LAST_DAY}'"
    return impossible if terms.latest is None else f"{impossible} OR occurred_at > TIMESTAMP '{terms.latest.isoformat()}'"


def negative_sale(terms: Terms) -> str:
    """A sale for which the shop paid."""
    return f"kind = '{SALE}' AND net_cents < 0"


def empty_line(terms: Terms) -> str:
    """A line with no pieces, no money and nothing taken off: it says nothing."""
    return "coalesce(quantity, 1) = 0 AND net_cents = 0 AND discount_cents = 0 AND coupon_cents = 0"


def case_only_item_id(terms: Terms) -> str:
    """The item id is another one but for capitals and small letters."""
    return "item_id <> spelling"


def unknown_item(terms: Terms) -> str:
    """The catalogue has no entry for the item."""
    return "item_id IS NOT NULL AND NOT listed"


def sold_by_measure(terms: Terms) -> str:
    """Goods sold by weight or volume, such as fuel, whose quantity is no number of pieces."""
    return "pieces IS NULL"


def zero_value(terms: Terms) -> str:
    """A sale for which the shop received nothing: given away, or paid by coupon."""
    return f"kind = '{SALE}' AND net_cents = 0"


def below_cost(terms: Terms) -> str:
    """A piece was sold for less than the item costs the shop, or than the given share of that."""
    least = f"CAST({terms.limits.below_cost_share!r} AS DOUBLE) * (CAST(item_cost_cents AS DOUBLE) * CAST(pieces AS DOUBLE))"
    return f"kind = '{SALE}' AND pieces > 0 AND CAST(net_cents AS DOUBLE) < {least}"


def huge_amount(terms: Terms) -> str:
    """An amount of a size that a typing error makes."""
    most = terms.limits.huge_amount_cents
    return " OR ".join(f"{name} NOT BETWEEN {-most} AND {most}" for name in ("net_cents", "discount_cents", "coupon_cents"))


WRONG_ROWS = (
    RowRule(
        "malformed_id", "quarantine", "identifier empty, over 128 characters, with braces or invisible signs", malformed_id
    ),
    RowRule("impossible_date", "quarantine", f"before {FIRST_DAY}, after {LAST_DAY}, or after the import", impossible_date),
    RowRule("negative_sale", "quarantine", "sale with a negative amount", negative_sale),
    RowRule("empty_line", "quarantine", "no pieces, no money, nothing taken off", empty_line),
)
ODD_ROWS = (
    RowRule("case_only_item_id", "note", "item id with other capitals; taken as the one known", case_only_item_id),
    RowRule("unknown_item", "note", "item without catalogue entry; kept", unknown_item),
    RowRule("sold_by_measure", "note", "no number of pieces, as of weight or volume; kept without quantity", sold_by_measure),
    RowRule("zero_value", "note", "sale with amount 0; kept", zero_value),
    RowRule("below_cost", "note", "piece sold for less than it costs the shop; kept", below_cost),
    RowRule("huge_amount", "note", "amount of a size that a typing error makes; kept", huge_amount),
)
