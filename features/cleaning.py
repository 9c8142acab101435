"""Cleaning: one rule a function, and a report in which rows in = accepted + quarantined + duplicates, always.

A rule looks at the canonical purchases and says which rows it is about. A row goes to the first rule that claims it.
Rules that only note something (an item without catalogue entry) keep the row and count it.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

import ibis
from ibis import ir

from features.sources.schema import SALE

Action = Literal["quarantine", "duplicate", "note"]
FIRST_DAY, LAST_DAY = "1990-01-01", "2100-01-01"
ID_PATTERN = r"^[^\p{C}{}]{1,128}$"
"""What an identifier may be: 1 to 128 characters, no braces (they steer Redis Cluster), nothing invisible."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A named cleaning rule. `claims` takes purchases and items and returns a condition on the rows of purchases."""

    code: str
    action: Action
    meaning: str
    claims: Callable[[ir.Table, ir.Table], ir.BooleanValue]


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many rows one rule claimed."""

    code: str
    action: Action
    rows: int
    meaning: str


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What became of every row."""

    rows_in: int = 0
    accepted: int = 0
    quarantined: int = 0
    duplicates: int = 0
    rules: tuple[RuleCount, ...] = ()

    @classmethod
    def of_unreadable(cls, counts: "tuple[RuleCount, ...]") -> "CleaningReport":
        """The report on rows that a source could not even read."""
        rows = sum(count.rows for count in counts)
        return cls(rows_in=rows, quarantined=rows, rules=counts)

    def __add__(self, other: "CleaningReport") -> "CleaningReport":
        """The report on the rows of both."""
        rules = {count.code: count for count in self.rules}
        for count in other.rules:
            known = rules.get(count.code)
            rules[count.code] = replace(count, rows=count.rows + known.rows) if known else count
        return CleaningReport(
            self.rows_in + other.rows_in,
            self.accepted + other.accepted,
            self.quarantined + other.quarantined,
            self.duplicates + other.duplicates,
            tuple(rules.values()),
        )

    def without(self, before: int) -> "CleaningReport":
        """The report without as many rows that had been accepted earlier and were only looked at again."""
        return replace(self, rows_in=self.rows_in - before, accepted=self.accepted - before)

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=2)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Accepted purchases; the rows set aside, with the `reason` each; and the report."""

    accepted: ir.Table
    set_aside: ir.Table
    report: CleaningReport


def malformed_id(purchases: ir.Table, items: ir.Table) -> ir.BooleanValue:
    """An identifier is empty, too long, or has braces or invisible characters."""
    columns = (purchases.order_id, purchases.member_id, purchases.item_id)
    return ibis.or_(
        *(~column.fill_null("-").re_search(ID_PATTERN) | (column.strip() == "").fill_null(False) for column in columns)
    )


def impossible_date(purchases: ir.Table, items: ir.Table) -> ir.BooleanValue:
    """The moment lies outside any shop's books."""
    return ~purchases.occurred_at.between(ibis.timestamp(FIRST_DAY), ibis.timestamp(LAST_DAY))


def negative_sale(purchases: ir.Table, items: ir.Table) -> ir.BooleanValue:
    """A sale for which the shop paid."""
    return (purchases.kind == SALE) & (purchases.net_cents < 0)


def empty_line(purchases: ir.Table, items: ir.Table) -> ir.BooleanValue:
    """A line with no pieces, no money and nothing taken off: it says nothing."""
    money = purchases.net_cents.abs() + purchases.discount_cents.abs() + purchases.coupon_cents.abs()
    return (purchases.quantity.fill_null(1) == 0) & (money == 0)


def repeated_line(purchases: ir.Table, items: ir.Table) -> ir.BooleanValue:
    """The same line of the same order once more."""
    window = ibis.window(
        group_by=(purchases.order_id, purchases.line_no), order_by=(purchases.occurred_at, purchases.net_cents)
    )
    return ibis.row_number().over(window) > 0


def unknown_item(purchases: ir.Table, items: ir.Table) -> ir.BooleanValue:
    """The catalogue has no entry for the item."""
    return purchases.item_id.notnull() & purchases.item_id.notin(items.item_id)


def sold_by_measure(purchases: ir.Table, items: ir.Table) -> ir.BooleanValue:
    """Goods sold by weight or volume, such as fuel, whose quantity is no number of pieces."""
    return purchases.quantity.isnull()


def zero_value(purchases: ir.Table, items: ir.Table) -> ir.BooleanValue:
    """A sale for which the shop received nothing: given away, or paid by coupon."""
    return (purchases.kind == SALE) & (purchases.net_cents == 0)


RULES = (
    Rule(
        "malformed_id",
        "quarantine",
        "identifier empty, over 128 characters, with braces or invisible signs",
        malformed_id,
    ),
    Rule("impossible_date", "quarantine", f"before {FIRST_DAY} or after {LAST_DAY}", impossible_date),
    Rule("negative_sale", "quarantine", "sale with a negative amount", negative_sale),
    Rule("empty_line", "quarantine", "no pieces, no money, nothing taken off", empty_line),
    Rule("repeated_line", "duplicate", "same order and line number again", repeated_line),
    Rule("unknown_item", "note", "item without catalogue entry; kept", unknown_item),
    Rule("sold_by_measure", "note", "weight or volume instead of pieces; kept without quantity", sold_by_measure),
    Rule("zero_value", "note", "sale with amount 0; kept", zero_value),
)


def clean(
    purchases: ir.Table,
    items: ir.Table,
    rules: tuple[Rule, ...] = RULES,
    *,
    unreadable: tuple[RuleCount, ...] = (),
    line_key: str = "number",
) -> Cleaned:
    """Sort every purchase row into accepted, quarantined or duplicate, and count.

    Parameters
    ----------
    purchases
        Canonical purchases, validated.
    items
        The catalogue.
    unreadable
        Rows that the source could not even read, counted as quarantined.
    """
    removing = [rule for rule in rules if rule.action != "note"]
    claims = [(rule.claims(purchases, items), ibis.literal(rule.code)) for rule in removing]
    sorted_rows = purchases.mutate(reason=ibis.cases(*claims, else_=ibis.null("string"))).cache()
    accepted = sorted_rows.filter(sorted_rows.reason.isnull()).drop("reason")
    set_aside = sorted_rows.filter(sorted_rows.reason.notnull())
    claimed = _claimed(set_aside)
    counts = unreadable + tuple(
        RuleCount(rule.code, rule.action, _rows_of(rule, claimed, accepted, items), rule.meaning) for rule in rules
    )
    report = CleaningReport(
        rows_in=_number(sorted_rows.count()) + sum(count.rows for count in unreadable),
        accepted=_number(accepted.count()),
        quarantined=sum(count.rows for count in counts if count.action == "quarantine"),
        duplicates=sum(count.rows for count in counts if count.action == "duplicate"),
        rules=counts,
    )
    return Cleaned(accepted, set_aside, report)


def _claimed(set_aside: ir.Table) -> dict[str, int]:
    rows = set_aside.group_by("reason").agg(rows=set_aside.count()).to_pyarrow().to_pylist()
    return {row["reason"]: int(row["rows"]) for row in rows}


def _rows_of(rule: Rule, claimed: dict[str, int], accepted: ir.Table, items: ir.Table) -> int:
    if rule.action != "note":
        return claimed.get(rule.code, 0)
    return _number(accepted.filter(rule.claims(accepted, items)).count())


def _number(expression: ir.IntegerScalar) -> int:
    return int(expression.to_pyarrow().as_py())
