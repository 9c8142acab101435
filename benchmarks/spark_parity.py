"""Does Spark compute the same features as DuckDB, and what does either take? Needs facts, and `make spark` before.

.venv/bin/python benchmarks/spark_parity.py        JSON on the last line: features compared, mismatches, seconds of both

Compared are the facts that are there and a simulated shop, which also has events, and rows recorded late.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shop import facts_folder as simulated_folder
from features.build import FeatureRows, build
from features.contract import CONTRACT, Contract
from features.declarations import DECAYED, LOG_KEYS
from features.errors import MissingDependency
from features.facts import Facts
from features.jobs import facts_folder
from features.settings import Settings
from features.spark import build_on_spark
from features.spark_session import LOCAL, spark_session

RELATIVE = 1e-9
"""Floats may differ by this; integers not at all."""
REST = 1e-9
"""Where sums of powers or logarithms cancel, what is left below this is rounding."""
SIMULATED_ROWS = 100_000
"""Order lines of the simulated shop."""


def timed(work: Callable[[], FeatureRows]) -> tuple[FeatureRows, float]:
    """What the work returns, and the seconds it took."""
    begun = time.perf_counter()
    rows = work()
    return rows, time.perf_counter() - begun


def columns_of_rows(rows: FeatureRows) -> dict[str, NDArray[Any]]:
    """Every aggregate and every feature, by name."""
    aggregates = {f"aggregate {a.name}": rows.records[a.name] for a in rows.contract.aggregates}
    return aggregates | {name: rows.column(name) for name in rows.contract.feature_names}


def same(left: NDArray[Any], right: NDArray[Any], *, absolute: float) -> NDArray[np.bool_]:
    """Where two columns agree; missing agrees with missing."""
    if left.dtype.kind == "i":
        return np.asarray(left == right)
    return np.asarray(np.isclose(left, right, rtol=RELATIVE, atol=absolute, equal_nan=True))


def mismatches(left: FeatureRows, right: FeatureRows, *, strictly: bool) -> dict[str, int]:
    """Number of members whose values differ, by column, where any do; `strictly` without the allowance of `REST`."""
    if left.member_ids.tolist() != right.member_ids.tolist():
        return {"member_id": len(set(left.member_ids.tolist()) ^ set(right.member_ids.tolist())) or 1}
    other, rounded = columns_of_rows(right), rounded_columns(left.contract)
    found = {}
    for name, values in columns_of_rows(left).items():
        absolute = REST if name in rounded and not strictly else 0.0
        found[name] = int((~same(values, other[name], absolute=absolute)).sum())
    found["edges"] = int(repr(dict(left.edges)) != repr(dict(right.edges)))
    return {name: count for name, count in found.items() if count}


def rounded_columns(contract: Contract) -> frozenset[str]:
    """What rests on sums of powers or logarithms, whose last bit each engine's own library decides."""
    aggregates = {a for a in contract.aggregates if a.kind in (DECAYED, LOG_KEYS)}
    features = (f.name for f in contract.features if aggregates & set(f.sources()))
    return frozenset((*(f"aggregate {a.name}" for a in aggregates), *features))


def compare(name: str, facts: Facts, folder: Path, moment: datetime, session: Any) -> dict[str, Any]:
    """Both engines on one shop as of one moment."""
    duckdb, duckdb_s = timed(lambda: build(facts, as_of=moment))
    spark, spark_s = timed(lambda: build_on_spark(folder, as_of=moment, session=session))
    return {
        "shop": name,
        "as_of": moment.isoformat(),
        "lines": facts.manifest.rows["purchases"],
        "members": len(duckdb.member_ids),
        "values": int(duckdb.matrix.size) + len(CONTRACT.aggregates) * len(duckdb.member_ids),
        "mismatches": mismatches(duckdb, spark, strictly=False),
        "mismatches_strictly": mismatches(duckdb, spark, strictly=True),
        "duckdb_s": round(duckdb_s, 1),
        "spark_s": round(spark_s, 1),
    }


def comparisons(folder: Path, simulated_rows: int, session: Any) -> Iterator[dict[str, Any]]:
    """The facts in a folder and a simulated shop, each at the end of its facts and on an afternoon before."""
    for name, place in (("imported", folder), ("simulated", simulated_folder(simulated_rows))):
        facts = Facts.open(place)
        end = facts.midnight(facts.manifest.until_day)
        for moment in (end, end - timedelta(days=150, hours=8)):
            yield compare(name, facts, place, moment, session)


def main() -> None:
    """Print one line a comparison, and what they come to as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=Path, default=facts_folder(Settings.from_env(os.environ)))
    parser.add_argument("--simulated-rows", type=int, default=SIMULATED_ROWS)
    chosen = parser.parse_args()
    found = []
    try:
        with spark_session(Settings.from_env(os.environ).spark_master or LOCAL) as session:
            for figures in comparisons(chosen.facts, chosen.simulated_rows, session):
                found.append(figures)
                print(figures, flush=True)
    except MissingDependency as error:
        print(json.dumps({"skipped": f"{error}: {error.remedy}"}))
        return
    print(
        json.dumps(
            {
                "features": len(CONTRACT.features),
                **{
                    name: sum(sum(figures[name].values()) for figures in found)
                    for name in ("mismatches", "mismatches_strictly")
                },
                "aggregates": len(CONTRACT.aggregates),
                "values": sum(figures["values"] for figures in found),
                **{name: [figures[name] for figures in found] for name in ("lines", "members", "duckdb_s", "spark_s")},
            }
        )
    )


if __name__ == "__main__":
    main()
