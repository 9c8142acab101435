"""Rules of the cleaning that hold rows against other rows: lines said twice, orders sent twice, sales taken back.

Each first finds, by a cheap grouping, the few rows that can be concerned at all, and looks closely at those only.
"""
# ruff: noqa: S608 -- names of tables are made by us, and thresholds are numbers

from collections.abc import Callable
from dataclasses import dataclass

from features.cleaning_report import Action
from features.cleaning_rules import Limits, LineKey
from features.sources.schema import PURCHASES, RETURN, SALE

QUARTER_HOUR_US = 900_000_000
"""Midnight of every time zone falls on a quarter of an hour of UTC."""
LARGEST_RETURN_CENTS = 2**62
"""Amounts have a mirror image up to here."""


@dataclass(frozen=True)
class Rows:
    """Names of tables with the rows as far as they are sorted.

    Attributes
    ----------
    every
        All rows, with the `spelling` of their item, their `pieces` and `file`, and as `reason` the rule that claimed them so
        far, if any. Their `rowid` is what queries here call `row`.
    again
        Those of them that may say again what another says, by `row`.
    earlier
        Sales taken in before: `member_id`, `item_id` and `occurred_at`.
    """

    every: str
    again: str
    earlier: str | None
    limits: Limits
    line_key: LineKey

    @property
    def left(self) -> str:
        """Rows that no rule has claimed yet."""
        return f'(SELECT *, rowid AS row FROM "{self.every}" WHERE reason IS NULL)'

    @property
    def current(self) -> str:
        """Rows left that no later version of the line has replaced."""
        return f'(SELECT *, rowid AS row FROM "{self.every}" WHERE reason IS NULL AND superseded_at IS NULL)'


@dataclass(frozen=True, slots=True)
class GroupRule:
    """A rule that holds rows against each other.

    Attributes
    ----------
    finds
        The query for the `row` of each that it is about.
    amends
        The query for what rows that stay are to have, once those are gone: `row`, `line_no` and `superseded_at`.
    """

    code: str
    action: Action
    meaning: str
    finds: Callable[[Rows], str]
    amends: Callable[[Rows], str] | None = None


def rows_again(every: str, line_key: LineKey) -> str:
    """The query for rows that may say again what another says: a key that occurs twice, or an order from several files.

    Lines without any content are among them: as a later version they say that a line is void. Keys are compared by their hash
    first; those that only share that are looked at in vain, and no more.
    """
    rows = f"""(SELECT *, rowid AS row FROM "{every}" WHERE reason IS NULL OR reason = 'empty_line')"""
    if line_key == "content":
        orders = f"SELECT order_id FROM {rows} GROUP BY order_id HAVING min(file) <> max(file)"
        return f"SELECT row FROM {rows} WHERE order_id IN ({orders})"
    twice = f"SELECT hash(order_id, line_no) AS key FROM {rows} GROUP BY key HAVING count(*) > 1"
    return f"SELECT row FROM {rows} WHERE hash(order_id, line_no) IN ({twice})"


def repeated_line(rows: Rows) -> str:
    """The same line of the same order once more: the same number, or the same content in another file.

    Rows of one number that became known at different moments are versions of the line and no repetition. Identical lines
    of one file are as many goods; the k-th of one file and the k-th of another are the same.
    """
    again = f'(SELECT * FROM {rows.left} JOIN "{rows.again}" USING (row))'
    if rows.line_key == "number":
        return f"""
            SELECT row FROM {again}
            QUALIFY row_number() OVER (PARTITION BY order_id, line_no, recorded_at ORDER BY {_FIRST_SAID}) > 1
        """
    content = "order_id, spelling, pieces, net_cents, discount_cents, coupon_cents, kind, occurred_at"
    return f"""
        SELECT row FROM (
            SELECT *, row_number() OVER (PARTITION BY {content}, file ORDER BY {_FIRST_SAID}) AS occurrence FROM {again}
        ) QUALIFY row_number() OVER (PARTITION BY {content}, occurrence ORDER BY {_FIRST_SAID}) > 1
    """


def versions(rows: Rows) -> str:
    """New numbers of lines whose order came in several files; or when a correction came, of lines that were corrected."""
    again = f"""(
        SELECT e.*, row FROM "{rows.every}" e JOIN "{rows.again}" a ON e.rowid = a.row
        WHERE reason IS NULL OR reason = 'empty_line'
    )"""
    if rows.line_key == "content":
        place = f"row_number() OVER (PARTITION BY order_id ORDER BY {_FIRST_SAID}) - 1"
        return f"SELECT row, {place} AS line_no, NULL::TIMESTAMP AS superseded_at FROM {again} WHERE reason IS NULL"
    return f"""
        SELECT row, NULL::INTEGER AS line_no, corrected_at AS superseded_at FROM (
            SELECT *, lead(known_at) OVER (
                PARTITION BY order_id, line_no ORDER BY known_at, recorded_at NULLS FIRST
            ) AS corrected_at
            FROM (
                SELECT *, coalesce(recorded_at, occurred_at) AS known_at FROM {again}
                QUALIFY row_number() OVER (
                    PARTITION BY order_id, line_no, recorded_at ORDER BY reason IS NOT NULL, {_FIRST_SAID}
                ) = 1
            )
        ) WHERE corrected_at IS NOT NULL AND reason IS NULL
    """


def cancelled(rows: Rows) -> str:
    """Sales taken back within the hour, each with the one return that takes it back.

    A return takes back the latest sale of its amount that is not taken back yet: of its order and item; else of its member
    and item; else, where the return names no item, of its order.
    """
    names = "row, member_id, order_id, line_no, spelling, file, occurred_at"
    minutes = rows.limits.cancel_minutes
    return f"""
        WITH returns AS MATERIALIZED (
            SELECT {names}, -net_cents AS amount, true AS back FROM {rows.current}
            WHERE kind = '{RETURN}' AND net_cents BETWEEN {-LARGEST_RETURN_CENTS} AND 0
        ), sales AS (
            SELECT {names}, net_cents AS amount, false AS back FROM {rows.current} WHERE kind = '{SALE}'
        ), candidates AS MATERIALIZED (
            FROM returns UNION ALL FROM sales
            WHERE (order_id, amount) IN (SELECT (order_id, amount) FROM returns)
               OR (member_id, amount) IN (SELECT (member_id, amount) FROM returns WHERE member_id IS NOT NULL)
        ), by_item AS MATERIALIZED ({_taken_back("candidates", "member_id, order_id, spelling, amount", minutes)}
        ), untaken AS MATERIALIZED (FROM candidates ANTI JOIN by_item USING (row)
        ), known AS (FROM untaken WHERE member_id IS NOT NULL
        ), by_member AS MATERIALIZED ({_taken_back("known", "member_id, spelling, amount", minutes)}
        ), unnamed AS (
            FROM untaken ANTI JOIN by_member USING (row) WHERE NOT back OR spelling IS NULL
        ), by_order AS MATERIALIZED ({_taken_back("unnamed", "member_id, order_id, amount", minutes)})
        FROM by_item UNION ALL FROM by_member UNION ALL FROM by_order
    """


def near_duplicate_order(rows: Rows) -> str:
    """Sales of an order that the same member sent with the same items and amounts shortly before.

    Orders of which only the day is known, at midnight of the shop, are left: of those nobody can say how near they are. Of an
    order sent twice and taken back once, the return has already found its sale; what is left of it is no duplicate.
    """
    soon = f"to_seconds({rows.limits.near_duplicate_seconds})"
    content = "spelling, pieces, net_cents, discount_cents, coupon_cents"
    return f"""
        WITH sales AS (
            SELECT * FROM {rows.current}
            WHERE kind = '{SALE}' AND member_id IS NOT NULL
              AND NOT (local_hour = 0 AND epoch_us(occurred_at) % {QUARTER_HOUR_US} = 0)
        ), orders AS (
            SELECT member_id, order_id, min(occurred_at) AS sent_at, count(*) AS lines, sum(net_cents) AS total
            FROM sales GROUP BY member_id, order_id
        ), near AS MATERIALIZED (
            SELECT member_id, order_id FROM orders
            WINDOW alike AS (PARTITION BY member_id, lines, total ORDER BY sent_at, order_id)
            QUALIFY sent_at <= lag(sent_at) OVER alike + {soon} OR lead(sent_at) OVER alike <= sent_at + {soon}
        ), baskets AS (
            SELECT member_id, order_id, min(occurred_at) AS sent_at, list(({content}) ORDER BY {content}) AS basket
            FROM sales SEMI JOIN near USING (member_id, order_id) GROUP BY member_id, order_id
        ), sent_again AS MATERIALIZED (
            SELECT member_id, order_id FROM baskets
            QUALIFY sent_at <= lag(sent_at) OVER (PARTITION BY member_id, basket ORDER BY sent_at, order_id) + {soon}
        )
        SELECT row FROM {rows.left} SEMI JOIN sent_again USING (member_id, order_id) WHERE kind = '{SALE}'
    """


def return_without_sale(rows: Rows) -> str:
    """A return of which no earlier sale of that member and item is known."""
    earlier = "" if rows.earlier is None else f'UNION ALL SELECT member_id, item_id, occurred_at FROM "{rows.earlier}"'
    return f"""
        WITH returns AS MATERIALIZED (
            SELECT row, member_id, coalesce(spelling, '') AS item, occurred_at FROM {rows.left}
            WHERE kind = '{RETURN}' AND member_id IS NOT NULL
        ), sales AS (
            SELECT member_id, coalesce(item_id, '') AS item, occurred_at FROM (
                SELECT member_id, spelling AS item_id, occurred_at FROM {rows.left} WHERE kind = '{SALE}' {earlier}
            )
        ), bought AS (
            SELECT member_id, item, min(occurred_at) AS first FROM sales SEMI JOIN returns USING (member_id, item)
            GROUP BY member_id, item
        )
        SELECT row FROM returns LEFT JOIN bought USING (member_id, item) WHERE first IS NULL OR first > occurred_at
    """


GROUP_RULES = (
    GroupRule("repeated_line", "duplicate", "same line of the same order again", repeated_line, versions),
    GroupRule("cancelled", "quarantine", "sale and its return within the hour, as if neither had been", cancelled),
    GroupRule("near_duplicate_order", "duplicate", "same order of the same member again within a minute", near_duplicate_order),
    GroupRule(
        "return_without_sale", "note", "return without an earlier sale of that member and item; kept", return_without_sale
    ),
)


def _taken_back(lines: str, key: str, minutes: int) -> str:
    """The query for the `row` of each return and of the sale it takes back, among lines of equal key.

    A sale opens a bracket and a return closes the one opened last. At one depth of nesting, opening and closing alternate; so
    what stands before a return at its depth is its sale, if there is one. Where that sale is too long ago, so is every other
    that is still open: no return misses a sale that it could have had.
    """
    order = "occurred_at, back, order_id, line_no, spelling, file, row"
    return f"""
        SELECT unnest([row, sale]) AS row FROM (
            SELECT *, lag(row) OVER nested AS sale, lag(occurred_at) OVER nested AS sold_at
            FROM (
                SELECT *, CAST(back AS INTEGER) + sum(CASE WHEN back THEN -1 ELSE 1 END) OVER (
                    PARTITION BY {key} ORDER BY {order} ROWS UNBOUNDED PRECEDING
                ) AS depth FROM {lines}
            ) WINDOW nested AS (PARTITION BY {key}, depth ORDER BY {order})
        ) WHERE back AND occurred_at <= sold_at + to_minutes({minutes})
    """


_FIRST = ("file", "line_no", "occurred_at", "net_cents")
_FIRST_SAID = ", ".join((*_FIRST, *(column.name for column in PURCHASES.columns if column.name not in _FIRST)))
"""Which of several equal lines stays: the one said first, by file, place and moment; then by all the rest."""
