"""What all features of a shop cost, beside a straightforward pandas groupby of the same and beside reading the columns.

    python benchmarks/features.py --rows 10000000        JSON on the last line; the shop is simulated once
Each part runs in a process of its own, so that its peak memory is its own. pandas is left out above 20 million lines.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time

import numpy as np

from benchmarks.shop import facts_folder, open_shop

MOST_ROWS_FOR_PANDAS = 20_000_000
RELATIVE = 1e-9


def main() -> None:
    """Run the parts in turn and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--part", choices=("make", "build", "scan", "pandas"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part](given.rows, given.out)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measured = run_parts(given.rows, given.repeats, Path(folder))
        mismatches = differing(Path(folder)) if "pandas" in measured else None
    build, scan = measured["build"], measured["scan"]
    result = {
        "rows": given.rows,
        "wall_s": median(build, "wall_s"),
        "cpu_s": median(build, "cpu_s"),
        "peak_mb": max(part["peak_mb"] for part in build),
        "ratio_scan": round(median(build, "wall_s") / median(scan, "wall_s"), 2),
        "ratio_pandas": round(median(measured["pandas"], "wall_s") / median(build, "wall_s"), 2)
        if mismatches is not None
        else None,
        "scan_s": median(scan, "wall_s"),
        "pandas_s": median(measured["pandas"], "wall_s") if mismatches is not None else None,
        "mismatches": mismatches,
    }
    print(json.dumps(result))


def run_parts(rows: int, repeats: int, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Each part several times, alternating."""
    child("make", rows, folder)
    names = ["build", "scan", *(["pandas"] if rows <= MOST_ROWS_FOR_PANDAS else [])]
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for repeat in range(repeats):
        for name in names:
            if name == "pandas" and repeat:
                continue  # minutes each, and no close call
            measured[name].append(child(name, rows, folder))
            print(name, measured[name][-1], flush=True)
    return measured


def child(part: str, rows: int, folder: Path) -> dict[str, float]:
    """One part in a process of its own."""
    command = [sys.executable, __file__, "--rows", str(rows), "--part", part, "--out", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
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
