"""What does it cost to clean purchases, beside reading them? Makes its own shop, with some of every fault.

.venv/bin/python benchmarks/cleaning.py --rows 2000000         JSON on the last line: CPU and wall seconds, and the ratio of CPU
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable

import duckdb
import ibis

from features.cleaning import Cleaned, clean, item_spellings
from features.fact_tables import empty_table
from features.sources.schema import ITEMS, PURCHASES

SHOP = """
    WITH lines AS (
        SELECT i, 'o' || (i // 9) AS order_id, CAST(i % 9 AS INTEGER) AS line_no,
               CASE WHEN i // 9 % 20 <> 0 THEN 'member-' || hash(i // 9) % ({rows} // 90) END AS member_id,
               CASE WHEN i % 1009 = 0 THEN 'ITEM-' ELSE 'item-' END || CAST(20000 * pow(hash(i) % 10000 / 10000, 2) AS INTEGER)
                   AS item_id,
               CAST(1 + i % 3 AS INTEGER) AS quantity, i * 7919 % 3000 AS net_cents, 0::BIGINT AS discount_cents,
               0::BIGINT AS coupon_cents, 'store' AS channel, 's' || i % 40 AS store_id, 'sale' AS kind,
               TIMESTAMP '2024-01-01' + to_seconds(CAST(hash(i // 9) % 31536000 AS BIGINT)) AS occurred_at,
               19723::INTEGER AS local_day, 12::INTEGER AS local_hour, NULL::TIMESTAMP AS recorded_at,
               NULL::TIMESTAMP AS superseded_at
        FROM range({rows}) t(i)
    )
    SELECT * EXCLUDE (i) FROM (
        FROM lines
        UNION ALL FROM lines WHERE i % 701 = 0
        UNION ALL SELECT * REPLACE (TIMESTAMP '2025-06-01' AS recorded_at, net_cents + 1 AS net_cents)
                  FROM lines WHERE i % 499 = 0
        UNION ALL SELECT * REPLACE (order_id || '-again' AS order_id, occurred_at + to_seconds(20) AS occurred_at)
                  FROM lines WHERE i // 9 % 500 = 1
        UNION ALL SELECT * REPLACE ('return' AS kind, order_id || '-back' AS order_id, -net_cents AS net_cents,
                                    occurred_at + to_minutes(CASE WHEN i // 50 % 2 = 0 THEN 5 ELSE 5000 END) AS occurred_at)
                  FROM lines WHERE i % 50 = 1
    )
"""
"""Of {rows} lines each 700th repeated, each 500th corrected and each 50th brought back, and each 500th order sent twice."""


def seconds(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median CPU seconds of all threads, and median wall seconds, after one call that is not counted."""
    work()
    cpu, wall = [], []
    for _ in range(repeats):
        began, busy = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - busy)
    return {"cpu_s": round(statistics.median(cpu), 2), "wall_s": round(statistics.median(wall), 2)}


def measure(rows: int, repeats: int, folder: Path) -> dict[str, object]:
    """Reading every column of the purchases, copying them, and cleaning them."""
    duckdb.execute(f"COPY ({SHOP.format(rows=rows)}) TO '{folder}/purchases.parquet'")
    connection = ibis.duckdb.connect()
    purchases = connection.read_parquet(folder / "purchases.parquet", table_name="purchases")
    items = connection.create_table("items", empty_table(ITEMS))
    spellings = item_spellings(purchases, items)
    every = ", ".join(f"max({column.name})" for column in PURCHASES.columns)

    def cleaned() -> Cleaned:
        return clean(purchases, items, spellings=spellings)

    report = cleaned().report
    found: dict[str, object] = {
        "rows": report.rows_in,
        "claimed": {count.code: count.rows for count in report.rules if count.rows},
        "scan": (scan := seconds(lambda: connection.con.execute(f"SELECT {every} FROM purchases").fetchall(), repeats)),
        "copy": seconds(
            lambda: connection.con.execute("CREATE OR REPLACE TEMP TABLE copied AS SELECT * FROM purchases"), repeats
        ),
        "spellings": seconds(lambda: item_spellings(purchases, items), repeats),
        "clean": (whole := seconds(cleaned, repeats)),
    }
    return found | {
        "clean_to_scan": round(whole["cpu_s"] / scan["cpu_s"], 1),
        "us_per_row": round(whole["cpu_s"] / rows * 1e6, 2),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(arguments.rows, arguments.repeats, Path(folder))))


if __name__ == "__main__":
    main()
