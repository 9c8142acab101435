"""What twelve monthly snapshots cost together, beside twelve builds.

python benchmarks/snapshots.py --rows 10000000        JSON on the last line; the shop is simulated once
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import time
from datetime import timedelta

import numpy as np

from benchmarks.shop import open_shop
from features.build import build
from features.refresh import snapshots

SNAPSHOTS, EVERY = 12, timedelta(days=30)


def main() -> None:
    """Time both in turn, one snapshot of each at a time where that is possible, and compare every record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    facts = open_shop(rows)
    days = [facts.manifest.until_day - EVERY.days * back for back in range(SNAPSHOTS)][::-1]
    build(facts, as_of=facts.midnight(days[0]))  # query texts are made once in a process

    begun = time.process_time()
    together = {found.day: found for found in snapshots(facts, days)}
    snapshots_s = time.process_time() - begun

    builds_s, mismatches = 0.0, 0
    for day in days:
        begun = time.process_time()
        alone = build(facts, as_of=facts.midnight(day))
        builds_s += time.process_time() - begun
        found = together.pop(day)
        mismatches += int(alone.member_ids.tolist() != found.member_ids.tolist())
        for name in alone.records.dtype.names or ():
            left, right = (
                rows.records[name].copy().view(np.uint8).reshape(-1, rows.records[name].itemsize) for rows in (alone, found)
            )
            mismatches += int((left != right).any(axis=1).sum())
    result = {
        "rows": rows,
        "snapshots": SNAPSHOTS,
        "ratio_builds": round(builds_s / snapshots_s, 2),
        "mismatches": mismatches,
        "snapshots_cpu_s": round(snapshots_s, 1),
        "builds_cpu_s": round(builds_s, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
