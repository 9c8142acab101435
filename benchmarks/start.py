"""How long from the command to the first "ready", with two workers? JSON last.

`first_ready_s` is the start after a promotion: the version is tried in a child process first. `ready_s` is any other start.
`path_cpu_s` is what a machine with a free processor for each worker would have to wait: the supervisor's processor seconds
and then those of the slower worker.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import os
import statistics
import time
from dataclasses import dataclass

from benchmarks.load import cpu_s, worker_of
from benchmarks.serving_world import World, last_line, world
from serving.launch import free_port, running_server

PORT = 3980


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds until it is ready, and processor seconds of the supervisor and of the worker that took most."""

    ready_s: float
    supervisor_s: float
    worker_s: float
    worker_mb: float


def start(made: World, workers: int) -> Start:
    """Start a server and stop it again."""
    settings = made.settings(api_keys=("k",), port=free_port("127.0.0.1", PORT), workers=workers, redis_timeout_ms=2000)
    begun = time.perf_counter()
    with running_server(settings, log=made.folder / "server.log") as server:
        took, supervisor = time.perf_counter() - begun, server.process.pid
        worker = max(cpu_s(process) for process in children(supervisor))
        return Start(took, cpu_s(supervisor), worker, worker_of(supervisor)[1])


def children(parent: int) -> list[int]:
    """Processes that another one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with world(2000) as made:
        first = start(made, chosen.workers)
        later = [start(made, chosen.workers) for _ in range(chosen.starts)]
    last_line(
        {
            "ready_s": round(statistics.median(each.ready_s for each in later), 2),
            "least_ready_s": round(min(each.ready_s for each in later), 2),
            "first_ready_s": round(first.ready_s, 2),
            "path_cpu_s": round(statistics.median(each.supervisor_s + each.worker_s for each in later), 2),
            "supervisor_cpu_s": round(statistics.median(each.supervisor_s for each in later), 2),
            "worker_mb": round(later[-1].worker_mb),
            "load": round(os.getloadavg()[0], 1),
        }
    )


if __name__ == "__main__":
    main()
