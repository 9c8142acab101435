"""What the nightly refresh costs beside a full build of the state, beside a build that keeps none, and whether all is the same.

.venv/bin/python benchmarks/refresh.py --rows 10_000_000       JSON on the last line
On a simulated shop of so many order lines in a year (`benchmarks/shop.py`). Seconds of CPU over all threads, a median of three
runs each, by turns. The texts of the queries, some seconds once a process, are made before and not counted.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np

from benchmarks.shop import open_shop
from features.build import build_by_bucket, silence
from features.capabilities import silent
from features.contract import CONTRACT
from features.facts import Facts
from features.narrow import Narrow
from features.refresh import Refreshed, refresh
from features.state import State

RUNS = 3
FLOATS = 1e-12
"""By how much floats may differ, beside the value."""


def cpu_seconds(work: Callable[[], object]) -> float:
    """What the work costs all threads together."""
    start = time.process_time()
    work()
    return time.process_time() - start


def mismatches(facts: Facts, state: State, day: int) -> int:
    """Fields of records in which a state differs from what the facts say as of a midnight, found by queries without tiles."""
    differing, silenced = 0, silent(CONTRACT.aggregates, facts.absent(day))
    for bucket in facts.buckets:
        kept = state.bucket(bucket)
        narrow = Narrow(facts, bucket, CONTRACT, before=facts.midnight(day))
        numbers, records, _ = narrow.aggregates(as_of=facts.midnight(day), day=day)
        narrow.close()
        silence(records, silenced)
        if not np.array_equal(kept.member_ids, narrow.member_ids[numbers]):
            return len(numbers) * len(CONTRACT.aggregates)
        for aggregate in CONTRACT.aggregates:
            left, right = kept.records[aggregate.name], records[aggregate.name]
            same = (
                np.isclose(left, right, rtol=FLOATS, atol=0, equal_nan=True) if aggregate.dtype == "float64" else left == right
            )
            differing += int(np.sum(~same))
    return differing


def next_night(facts: Facts, before: Path, folder: Path, day: int) -> Refreshed:
    """A copy of last night's state brought to the next midnight."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(before, folder, copy_function=os.link)  # a refresh writes files of its own
    return refresh(facts, folder, day=day)


def measure(facts: Facts, folder: Path) -> dict[str, float | int]:
    """Every figure, of the last whole day of the facts."""
    day = facts.manifest.until_day
    before, whole, after = folder / "before", folder / "whole", folder / "after"
    refresh(facts, before, day=day - 1)
    outcome = next_night(facts, before, after, day)
    full, night, alone = [], [], []
    for _ in range(RUNS):
        shutil.rmtree(whole, ignore_errors=True)
        full.append(cpu_seconds(lambda: refresh(facts, whole, day=day)))
        night.append(cpu_seconds(lambda: next_night(facts, before, after, day)))
        alone.append(cpu_seconds(lambda: sum(1 for _ in build_by_bucket(facts, as_of=facts.midnight(day), scratch=folder))))
    full_s, night_s, build_s = (statistics.median(runs) for runs in (full, night, alone))
    return {
        "ratio_full": round(full_s / night_s, 2),
        "ratio_build": round(build_s / night_s, 2),
        "mismatches": mismatches(facts, outcome.state, day),
        "full_cpu_s": round(full_s, 3),
        "build_cpu_s": round(build_s, 3),
        "refresh_cpu_s": round(night_s, 3),
        "load": round(os.getloadavg()[0], 1),
        "touched": outcome.touched,
        "members": outcome.members,
        "rows": facts.manifest.rows["purchases"],
        "state_mb": sum(path.stat().st_size for path in after.iterdir()) // 2**20,
    }


def main() -> None:
    """Print the figures, and as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--facts", type=Path, help="other facts than the simulated shop's")
    arguments = parser.parse_args()
    facts = Facts.open(arguments.facts) if arguments.facts else open_shop(arguments.rows)
    with tempfile.TemporaryDirectory(prefix="rapport-", dir=".") as name:
        found = measure(facts, Path(name))
    for key, value in found.items():
        print(f"{key:>20} {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
