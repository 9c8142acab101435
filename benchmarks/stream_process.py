"""A worker of the stream as `rapport stream` runs it, in a process of its own: until nothing is left, or until it is killed.

Started by benchmarks/stream_world.py with settings in the environment; the first line on standard output is `ready`.
"""

import json
import os
import sys
import time

from features.settings import Settings
from serving.stream_at_work import open_worker


def main() -> None:
    """Work."""
    settings = Settings.from_env(os.environ)
    worker = open_worker(settings, settings.redis_url)
    worker.leases.lease_ms = 2000
    if "drain" not in sys.argv:
        worker.step(wait_ms=None)
        _ready()
        worker.run(stopped=lambda: False)
    for _ in range(10):  # until whoever else begins has his share
        worker.leases.renew()
        time.sleep(0.2)
    _ready()
    sys.stdin.readline()
    began, cpu = time.perf_counter(), time.process_time()
    while worker.drain() or any(worker.stream.lag(partition) for partition in worker.leases.held):
        pass
    taken = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    worker.release()
    sys.stdout.write(json.dumps({**taken, **worker.tally.counts}) + "\n")


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
