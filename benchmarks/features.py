"""What all features of a shop cost, beside a straightforward pandas groupby of the same and beside reading the columns.

    python benchmarks/features.py --rows 10_000_000        JSON on the last line; the shop is simulated once
Each part runs in a process of its own, so that its peak memory is its own. Above 20 million lines pandas is held against a
shop of one million (`pandas_rows` says which), and a shop of 10 million gives the exponent of time over lines. pandas is
stopped at a limit; `ratio_pandas` is then what it is at least.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import tempfile
import time

import numpy as np

from benchmarks.shop import facts_folder, open_shop

MOST_ROWS_FOR_PANDAS = 20_000_000
FEW_ROWS, MEDIUM_ROWS = 1_000_000, 10_000_000
RELATIVE = 1e-9
Measured = dict[str, list[dict[str, float]]]


def main() -> None:
    """Run the parts in turn and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="order lines of the shop, about")
    parser.add_argument("--repeats", type=int, default=3, help="runs of build and scan, by turns; medians count")
    parser.add_argument("--pandas-limit", type=float, default=900, help="seconds after which pandas is stopped")
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part](given.rows, given.out)))
        return
    load = os.getloadavg()[0]
    large = given.rows > MOST_ROWS_FOR_PANDAS
    measured = run_parts(given.rows, given.repeats)
    result = {"rows": given.rows, "lines": stored_lines(given.rows), "load": round(load, 1), **ratios(measured)}
    result |= beside_pandas(FEW_ROWS, given.pandas_limit) if large else beside_pandas(given.rows, given.pandas_limit, measured)
    if large:
        result |= exponents(given.rows, measured, MEDIUM_ROWS, run_parts(MEDIUM_ROWS, given.repeats))
    print(json.dumps(result))


def run_parts(rows: int, repeats: int) -> Measured:
    """Build and scan several times, alternating."""
    measured: Measured = {"build": [], "scan": []}
    with tempfile.TemporaryDirectory() as folder:
        child("make", rows, Path(folder))
        for _ in range(repeats):
            for name, found in measured.items():
                found.append(child(name, rows, Path(folder)))
                print(name, rows, found[-1], flush=True)
    return measured


def ratios(measured: Measured) -> dict[str, float]:
    """The build and the scan."""
    build, scan = measured["build"], measured["scan"]
    return {
        "wall_s": median(build, "wall_s"),
        "cpu_s": median(build, "cpu_s"),
        "peak_mb": max(part["peak_mb"] for part in build),
        "scan_s": median(scan, "wall_s"),
        "scan_cpu_s": median(scan, "cpu_s"),
        "ratio_scan": round(median(build, "wall_s") / median(scan, "wall_s"), 2),
        "ratio_scan_cpu": round(median(build, "cpu_s") / median(scan, "cpu_s"), 2),
    }


def beside_pandas(rows: int, limit: float, measured: Measured | None = None) -> dict[str, float | bool | None]:
    """What pandas takes beside a build, and in how many values they differ; if it is stopped, in a smaller shop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        child("make", rows, folder)
        built = child("build", rows, folder)
        ours = measured["build"] if measured else [built]
        try:
            theirs = child("pandas", rows, folder, limit=limit)
        except subprocess.TimeoutExpired:
            stopped = {"pandas_done": False, "pandas_rows": rows, "pandas_s": limit}
            few = beside_pandas(FEW_ROWS, limit) if rows > FEW_ROWS else {"mismatches": None}
            return {**stopped, "ratio_pandas": round(limit / median(ours, "wall_s"), 2), "mismatches": few["mismatches"]}
        print("pandas", rows, theirs, flush=True)
        return {
            "pandas_done": True,
            "pandas_rows": rows,
            "pandas_s": theirs["wall_s"],
            "pandas_cpu_s": theirs["cpu_s"],
            "pandas_peak_mb": theirs["peak_mb"],
            "ratio_pandas": round(theirs["wall_s"] / median(ours, "wall_s"), 2),
            "ratio_pandas_cpu": round(theirs["cpu_s"] / median(ours, "cpu_s"), 2),
            "mismatches": differing(folder),
        }


def exponents(rows: int, large: Measured, fewer: int, small: Measured) -> dict[str, float]:
    """With which power of the lines the time grows, between two shops."""
    lines = math.log(stored_lines(rows) / stored_lines(fewer))
    of = {name: math.log(median(large["build"], name) / median(small["build"], name)) / lines for name in ("wall_s", "cpu_s")}
    return {"exponent": round(of["wall_s"], 2), "exponent_cpu": round(of["cpu_s"], 2)}


def stored_lines(rows: int) -> int:
    """Order lines that the shop really has."""
    return open_shop(rows).manifest.rows["purchases"]


def child(part: str, rows: int, folder: Path, *, limit: float | None = None) -> dict[str, float]:
    """One part in a process of its own."""
    command = [sys.executable, __file__, "--rows", str(rows), "--part", part, "--out", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def make(rows: int, out: Path) -> dict[str, float]:
    """The shop, if it is not there yet."""
    facts_folder(rows)
    return {}


def build(rows: int, out: Path) -> dict[str, float]:
    """All features, as the command `rapport features build` computes them, bucket by bucket."""
    from features.build import build_by_bucket

    facts = open_shop(rows)
    with Timer() as timer:
        for number, part in enumerate(build_by_bucket(facts, as_of=facts.midnight(facts.manifest.until_day), scratch=out)):
            np.save(out / f"{number}.members.npy", part.member_ids)
            np.save(out / f"{number}.records.npy", part.records)
    return timer.result


def scan(rows: int, out: Path) -> dict[str, float]:
    """Reading every column that the features need, and nothing else."""
    from features.compile import SUMMARISED, needed_columns
    from features.contract import CONTRACT
    from features.sources.schema import LINES, PURCHASES

    facts = open_shop(rows)
    with Timer() as timer:
        for table in SUMMARISED:
            stored = PURCHASES if table is LINES else table
            names = {column.name for column in stored.columns}
            columns = [name for name in needed_columns(CONTRACT, table) if name in names]
            facts.query(f"SELECT {', '.join(f'min({name})' for name in columns)} FROM {stored.name}")
    return timer.result


def pandas(rows: int, out: Path) -> dict[str, float]:
    """The same aggregates by pandas."""
    from benchmarks.pandas_peer import aggregates, frames
    from features.contract import CONTRACT

    facts = open_shop(rows)
    with Timer() as timer:
        found = aggregates(CONTRACT, frames(facts, CONTRACT), day=facts.manifest.until_day)
    found.to_parquet(out / "pandas.parquet")
    return timer.result


class Timer:
    """Wall and processor seconds of a block, and the peak memory of the process by its end."""

    def __enter__(self) -> "Timer":
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.result = {
            "wall_s": round(time.perf_counter() - self._wall, 2),
            "cpu_s": round(time.process_time() - self._cpu, 2),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


def differing(folder: Path) -> int:
    """How many values of how many members pandas and we see otherwise; integers exactly, floats to nine digits."""
    import pandas as pd

    from features.build import together
    from features.codec import columns_of
    from features.contract import CONTRACT

    parts = [
        (np.load(path), np.load(path.with_name(path.name.replace("members", "records"))))
        for path in sorted(folder.glob("*.members.npy"))
    ]
    members, records = together(parts)
    theirs = pd.read_parquet(folder / "pandas.parquet").reindex(members)
    ours = columns_of(records)
    silenced = {a.name for a in CONTRACT.aggregates if np.isnan(ours[a.name]).all() and a.kind.empty is not None}
    count = 0
    for aggregate in CONTRACT.aggregates:
        if aggregate.name in silenced:
            continue
        found = theirs[aggregate.name].to_numpy(dtype=float)
        if aggregate.kind.empty is not None:
            found = np.nan_to_num(found)
        bad = ~np.isclose(
            ours[aggregate.name], found, rtol=RELATIVE if aggregate.dtype == "float64" else 0, atol=0, equal_nan=True
        )
        if bad.any():
            print(aggregate.name, int(bad.sum()), ours[aggregate.name][bad][:3], found[bad][:3])
        count += int(bad.sum())
    return count


def median(parts: list[dict[str, float]], name: str) -> float:
    """The median of one figure."""
    return round(statistics.median(part[name] for part in parts), 2)


PARTS = {"make": make, "build": build, "scan": scan, "pandas": pandas}

if __name__ == "__main__":
    main()
