"""Cleaning: one rule a function, and a report in which rows in = accepted + quarantined + duplicates, always.

Every row is looked at by itself first, then beside the others. A row goes to the first rule that claims it. Rules that only
note something keep the row and count it. What a shop wants otherwise, its `Policy` says.
"""
# ruff: noqa: S608 -- names of tables and codes of rules are ours

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import ibis
from ibis import ir

from features.cleaning_groups import GROUP_RULES, GroupRule, Rows, rows_again
from features.cleaning_items import item_spellings
from features.cleaning_policy import Policy, Severity, require_publishable
from features.cleaning_report import Action, CleaningReport, RuleCount, merged
from features.cleaning_rules import ID_PATTERN, ODD_ROWS, WRONG_ROWS, LineKey, RowRule, Terms
from features.cleaning_tables import fresh_name, named, queried
from features.sources.schema import PURCHASES

__all__ = [
    "ID_PATTERN",
    "RULES",
    "STANDARD",
    "Action",
    "Cleaned",
    "CleaningReport",
    "LineKey",
    "Policy",
    "Rule",
    "RuleCount",
    "Severity",
    "clean",
    "item_spellings",
    "merged",
    "require_publishable",
]

Rule = RowRule | GroupRule
RULES: tuple[Rule, ...] = (*WRONG_ROWS, *GROUP_RULES, *ODD_ROWS)
STANDARD = Policy()


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Accepted purchases; the rows set aside as they came, with the `reason` each; and the report."""

    accepted: ir.Table
    set_aside: ir.Table
    report: CleaningReport


def clean(
    purchases: ir.Table,
    items: ir.Table,
    rules: tuple[Rule, ...] = RULES,
    *,
    policy: Policy = STANDARD,
    unreadable: tuple[RuleCount, ...] = (),
    line_key: LineKey = "number",
    latest: datetime | None = None,
    spellings: ir.Table | None = None,
    earlier: ir.Table | None = None,
) -> Cleaned:
    """Sort every purchase row into accepted, quarantined or duplicate, and count.

    A large table may be cleaned in parts, one call each, if all rows of an order and of a member are in one part; the reports
    add up. `spellings` must then be made from the whole table.

    Parameters
    ----------
    purchases
        Canonical purchases, validated; with `line_key` "content", a column `file` tells the exports apart. With a column
        `known_from`, the rows accepted are recorded then at the earliest; which rows are versions of a line, their own
        `recorded_at` says.
    items
        The catalogue.
    unreadable
        Rows that the source could not even read, counted as quarantined.
    line_key
        Whether a line is known by its number within the order, or, where the source has no such numbers, by its content.
    latest
        Last moment, UTC without a zone, at which a purchase can have happened: the import's and a day for clocks that are
        wrong. None leaves the future open.
    spellings
        `item_spellings` of the whole table, where `purchases` is a part of it.
    earlier
        Purchases already in the facts, of the same members: returns may be of sales among them.
    """
    active = [(rule, severity) for rule in rules if (severity := policy.severity_of(rule)) != "off"]
    known = item_spellings(purchases, items) if spellings is None else spellings
    terms = Terms(policy, latest, line_key)
    looked_at = _looked_at(purchases, known, active, terms)
    _compare(looked_at, active, terms, earlier)
    columns = [column.name for column in PURCHASES.columns]
    kept = looked_at.filter(looked_at.reason.isnull())
    return Cleaned(
        accepted=kept.mutate(
            item_id=kept.spelling, quantity=kept.pieces, recorded_at=ibis.greatest(kept.recorded_at, kept.known_from)
        ).select(*columns),
        set_aside=looked_at.filter(looked_at.reason.notnull()).select(*columns, "reason"),
        report=_report(looked_at, active, unreadable),
    )


def _looked_at(purchases: ir.Table, known: ir.Table, active: Sequence[tuple[Rule, Action]], terms: Terms) -> ir.Table:
    """All rows, each with a number, its item's entry, the rule that takes it out by itself as `reason`, and a flag a note."""
    alone = [(rule, action) for rule, action in active if isinstance(rule, RowRule)]
    claims = [f"WHEN {rule.claims(terms)} THEN '{rule.code}'" for rule, action in alone if action != "note"]
    reason = f"CASE {' '.join(claims)} END" if claims else "NULL::VARCHAR"
    notes = [f"coalesce({rule.claims(terms)}, false) AS {_flag(rule)}" for rule, action in alone if action == "note"]
    later = [f"false AS {_flag(rule)}" for rule, action in active if isinstance(rule, GroupRule) and action == "note"]
    own = [column.name for column in PURCHASES.columns]
    parts = [*own, "file", "known_from", "spelling", "pieces", f"{reason} AS reason", *notes, *later]
    entries = _beside_entries(purchases, {rule.code for rule, _ in active}, terms)
    return queried(f"SELECT {', '.join(parts)} FROM ({entries})", purchases=purchases, known=known)


def _beside_entries(purchases: ir.Table, codes: set[str], terms: Terms) -> str:
    """The query for purchases with what is known of their items, as the rules on single rows see them."""
    own = ", ".join(f"p.{column.name}" for column in PURCHASES.columns if column.name != "quantity")
    number = "TRY_CAST(p.quantity AS INTEGER)"
    quantity = (
        number if purchases.quantity.type().is_integer() else f"CASE WHEN p.quantity = floor(p.quantity) THEN {number} END"
    )
    by_file = terms.line_key == "content" and "file" in purchases.columns
    spelling = "coalesce(k.spelling, p.item_id)" if "case_only_item_id" in codes else "p.item_id"
    weighed = "measured" if "sold_by_measure" in codes else "false"
    known_from = "p.known_from" if "known_from" in purchases.columns else "NULL::TIMESTAMP"
    return f"""
        SELECT * EXCLUDE (entry, in_catalogue, measured, cost), entry AND in_catalogue AS listed,
               CASE WHEN entry THEN cost END AS item_cost_cents, CASE WHEN NOT (entry AND {weighed}) THEN quantity END AS pieces
        FROM (
            SELECT {own}, {quantity} AS quantity, {"coalesce(p.file, '')" if by_file else "''"} AS file, {spelling} AS spelling,
                   {known_from} AS known_from,
                   coalesce(k.spelling = {spelling}, false) AS entry, coalesce(k.listed, false) AS in_catalogue,
                   coalesce(k.by_measure, false) AS measured, k.item_cost_cents AS cost
            FROM {{purchases}} p LEFT JOIN {{known}} k ON p.item_id = k.item_id
        )
    """


def _compare(looked_at: ir.Table, active: Sequence[tuple[Rule, Action]], terms: Terms, earlier: ir.Table | None) -> None:
    """Write into the rows what the rules on groups find: reasons and flags, new line numbers, moments of replacement."""
    backend = ibis.get_backend(looked_at)
    run = backend.con.execute
    every, again, found = looked_at.get_name(), fresh_name("again"), fresh_name("found")
    with named(backend, **({} if earlier is None else {"earlier": earlier})) as names:
        run(f'CREATE TEMP TABLE "{again}" AS {rows_again(every, terms.line_key)}')
        rows = Rows(every, again, names.get("earlier"), terms.limits, terms.line_key)
        for rule, action in active:
            if isinstance(rule, GroupRule):
                run(f'CREATE OR REPLACE TEMP TABLE "{found}" AS {rule.finds(rows)}')
                finding = f"{_flag(rule)} = true" if action == "note" else f"reason = '{rule.code}'"
                run(f'UPDATE "{every}" AS t SET {finding} FROM "{found}" AS f WHERE t.rowid = f.row')
                if rule.amends is not None:
                    run(f'CREATE OR REPLACE TEMP TABLE "{found}" AS {rule.amends(rows)}')
                    run(
                        f'UPDATE "{every}" AS t SET line_no = coalesce(f.line_no, t.line_no), '
                        f'superseded_at = least(f.superseded_at, t.superseded_at) FROM "{found}" AS f WHERE t.rowid = f.row'
                    )
        run(f'DROP TABLE "{again}"')
        run(f'DROP TABLE IF EXISTS "{found}"')


def _report(looked_at: ir.Table, active: Sequence[tuple[Rule, Action]], unreadable: tuple[RuleCount, ...]) -> CleaningReport:
    noting = [rule for rule, action in active if action == "note"]
    flags = "".join(f", count(*) FILTER ({_flag(rule)})" for rule in noting)
    con = ibis.get_backend(looked_at).con
    totals = con.execute(f'SELECT reason, count(*){flags} FROM "{looked_at.get_name()}" GROUP BY reason').fetchall()
    claimed = {reason: rows for reason, rows, *_ in totals if reason is not None}
    accepted, noted = next(((rows, flagged) for reason, rows, *flagged in totals if reason is None), (0, [0] * len(noting)))
    claimed |= dict(zip((rule.code for rule in noting), noted, strict=True))
    counts = unreadable + tuple(RuleCount(r.code, action, claimed.get(r.code, 0), r.meaning) for r, action in active)
    quarantined = sum(count.rows for count in counts if count.action == "quarantine")
    duplicates = sum(count.rows for count in counts if count.action == "duplicate")
    rows_in = sum(rows for _, rows, *_ in totals) + sum(count.rows for count in unreadable)
    return CleaningReport(rows_in, accepted, quarantined, duplicates, counts)


def _flag(rule: Rule) -> str:
    return f"is_{rule.code}"
