"""Does Spark compute the same features as DuckDB, and what does either take? Needs facts, and `make spark` before.

.venv/bin/python benchmarks/spark_parity.py        JSON on the last line: features compared, mismatches, seconds of both
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows, build
from features.contract import CONTRACT
from features.errors import MissingDependency
from features.facts import Facts
from features.jobs import facts_folder
from features.settings import Settings
from features.spark import build_on_spark
from features.spark_session import LOCAL, spark_session

RELATIVE = 1e-9
"""Floats may differ by this; integers not at all."""


def timed(work: Callable[[], FeatureRows]) -> tuple[FeatureRows, float]:
    """What the work returns, and the seconds it took."""
    begun = time.perf_counter()
    rows = work()
    return rows, time.perf_counter() - begun


def columns_of_rows(rows: FeatureRows) -> dict[str, NDArray[Any]]:
    """Every aggregate and every feature, by name."""
    aggregates = {f"aggregate {a.name}": rows.records[a.name] for a in rows.contract.aggregates}
    return aggregates | {name: rows.column(name) for name in rows.contract.feature_names}


def same(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two columns agree; missing agrees with missing."""
    if left.dtype.kind == "i":
        return np.asarray(left == right)
    return np.asarray(np.isclose(left, right, rtol=RELATIVE, atol=0.0, equal_nan=True))


def mismatches(left: FeatureRows, right: FeatureRows) -> dict[str, int]:
    """Number of members whose values differ, by column, where any do."""
    if left.member_ids.tolist() != right.member_ids.tolist():
        return {"member_id": len(set(left.member_ids.tolist()) ^ set(right.member_ids.tolist())) or 1}
    other = columns_of_rows(right)
    found = {}
    for name, values in columns_of_rows(left).items():
        found[name] = int((~same(values, other[name])).sum())
    found["edges"] = int(repr(dict(left.edges)) != repr(dict(right.edges)))
    return {name: count for name, count in found.items() if count}


def compare(facts: Facts, folder: Path, moment: datetime, session: Any) -> dict[str, Any]:
    """Both engines as of one moment."""
    duckdb, duckdb_s = timed(lambda: build(facts, as_of=moment))
    spark, spark_s = timed(lambda: build_on_spark(folder, as_of=moment, session=session))
    return {
        "as_of": moment.isoformat(),
        "members": len(duckdb.member_ids),
        "values": int(duckdb.matrix.size) + len(CONTRACT.aggregates) * len(duckdb.member_ids),
        "mismatches": mismatches(duckdb, spark),
        "duckdb_s": round(duckdb_s, 1),
        "spark_s": round(spark_s, 1),
    }


def main() -> None:
    """Print one line a moment, and all of them as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=Path, default=facts_folder(Settings.from_env(os.environ)))
    folder = parser.parse_args().facts
    facts = Facts.open(folder)
    end = facts.midnight(facts.manifest.until_day)
    moments = (end, end, end - timedelta(days=150, hours=8))  # the first of them also warms both engines up
    try:
        with spark_session(Settings.from_env(os.environ).spark_master or LOCAL) as session:
            found = []
            for moment in moments:
                found.append(compare(facts, folder, moment, session))
                print(found[-1], flush=True)
    except MissingDependency as error:
        print(json.dumps({"skipped": f"{error}: {error.remedy}"}))
        return
    print(
        json.dumps(
            {
                "features": len(CONTRACT.features),
                "aggregates": len(CONTRACT.aggregates),
                "members": max(figures["members"] for figures in found),
                "lines": facts.manifest.rows["purchases"],
                "mismatches": sum(sum(figures["mismatches"].values()) for figures in found),
                "duckdb_s": [figures["duckdb_s"] for figures in found],
                "spark_s": [figures["spark_s"] for figures in found],
            }
        )
    )


if __name__ == "__main__":
    main()
