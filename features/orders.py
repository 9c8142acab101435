"""Orders summed from their lines: one row per order, kind and moment, in as many versions as its lines have."""
# ruff: noqa: S608 -- names of columns from the schema

from collections.abc import Collection

from features.sources.schema import ORDERS

_SUMS = ("net_cents", "discount_cents", "coupon_cents")
_DERIVED = {"lines", *_SUMS, "month_day", "holiday", "recorded_at", "superseded_at"}
_KEY = tuple(c.name for c in ORDERS.columns if c.name not in _DERIVED)


def orders_sql(purchases: str, holidays: Collection[int] | None = None) -> str:
    """DuckDB's query that sums purchases of known members into orders; the columns are those of the schema.

    An order none of whose lines was recorded late or corrected is one row. Any other has a row for each stretch of time in
    which the same lines were known, with `recorded_at` and `superseded_at` as its ends, so that an order as of T is the sum
    of the lines as of T.

    Parameters
    ----------
    purchases
        Name of the table, or a query in parentheses.
    holidays
        Local days that are holidays; None if nobody knows.
    """
    key = ", ".join(_KEY)
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in _SUMS)
    given = ", ".join(map(str, sorted(holidays or ()))) or "-1"
    derived = {
        "month_day": "CAST(day(DATE '1970-01-01' + local_day) AS INTEGER) AS month_day",
        "holiday": f"local_day IN ({given}) AS holiday" if holidays is not None else "CAST(NULL AS BOOLEAN) AS holiday",
    }
    columns = ", ".join(derived.get(column.name, column.name) for column in ORDERS.columns)
    same = " AND ".join(f"lines_of.{name} IS NOT DISTINCT FROM marks.{name}" for name in _KEY)
    return f"""
        WITH known AS (SELECT * FROM {purchases} WHERE member_id IS NOT NULL),
        plain AS (
            SELECT {key}, count(*) AS lines, {sums},
                   CAST(NULL AS TIMESTAMP) AS recorded_at, CAST(NULL AS TIMESTAMP) AS superseded_at
            FROM known GROUP BY ALL HAVING count(recorded_at) = 0 AND count(superseded_at) = 0
        ),
        versioned AS (
            SELECT *, coalesce(recorded_at, occurred_at) AS since FROM known AS lines_of
            WHERE EXISTS (SELECT 1 FROM known AS marks
                          WHERE (marks.recorded_at IS NOT NULL OR marks.superseded_at IS NOT NULL) AND {same})
        ),
        marks AS (
            SELECT *, lead(mark) OVER (PARTITION BY {key} ORDER BY mark) AS next_mark FROM (
                SELECT DISTINCT {key}, since AS mark FROM versioned
                UNION SELECT DISTINCT {key}, superseded_at FROM versioned WHERE superseded_at IS NOT NULL
            )
        ),
        versions AS (
            SELECT {", ".join(f"marks.{name}" for name in _KEY)}, count(*) AS lines,
                   {", ".join(f"CAST(sum(lines_of.{name}) AS BIGINT) AS {name}" for name in _SUMS)},
                   nullif(marks.mark, marks.occurred_at) AS recorded_at, marks.next_mark AS superseded_at
            FROM marks JOIN versioned AS lines_of ON {same}
             AND lines_of.since <= marks.mark AND (lines_of.superseded_at IS NULL OR lines_of.superseded_at > marks.mark)
            GROUP BY ALL
        )
        SELECT {columns} FROM plain UNION ALL SELECT {columns} FROM versions
    """
