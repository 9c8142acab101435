"""How many members a second does a bulk job answer for, and at what price? JSON last.

One job for everybody, scores into CSV, by what does such work beside a server (`rapport jobs run`), on a churn model
of 300 trees. Processor seconds are that process's alone; Redis has its own.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import os
import resource
import time

from benchmarks.serving_world import NOW, last_line, world
from commands.bulk import run_jobs
from serving.job_folder import JobFolders


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=200_000)
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv")
    chosen = parser.parse_args()
    with world(chosen.members) as made:
        asked = {"members": {"everyone": True}, "outputs": ["scores"], "k": 10, "format": chosen.format}
        job, _ = JobFolders(made.folder).create(asked, key=None, at=NOW)
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        run_jobs(made.settings(redis_timeout_ms=2000), until_eof=False)
        took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
        manifest = job.read("manifest")
        if manifest is None:
            raise SystemExit(f"the job has no manifest: {job.read('failed')}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last_line(
        {
            "members": chosen.members,
            "members_per_s": round(chosen.members / took),
            "cpu_us_per_member": round(spent / chosen.members * 1e6, 1),
            "cpu_s": round(spent, 1),
            "peak_mb": round(after.ru_maxrss / 1024),
            "megabytes": round(sum(file["bytes"] for file in manifest["files"]) / 1e6, 1),
            "counts": manifest["counts"],
            "load": round(os.getloadavg()[0], 1),
        }
    )


if __name__ == "__main__":
    main()
