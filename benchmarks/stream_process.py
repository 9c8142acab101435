"""A worker of the stream as `rapport stream` runs it, in a process of its own: until nothing is left, or until it is killed.

Started by benchmarks/stream_world.py with settings in the environment; the first line on standard output is `ready`.
"""

import json
import os
import random
import sys
import time
from dataclasses import replace
from typing import Any

import redis.connection

from features.settings import Settings
from serving.stream_at_work import open_worker
from serving.stream_worker import StreamWorker

CHANCE = 0.0006
"""That one word to Redis ends a worker: a full batch has some sixteen, so one in a hundred of them ends in a crash."""


def main() -> None:
    """Work."""
    settings = Settings.from_env(os.environ)
    worker = open_worker(settings, settings.redis_url)
    worker.leases.lease_ms = 2000
    if "crashing" in sys.argv:
        _crash_again_and_again(settings, worker)
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


class Crash(BaseException):
    """What ends a worker: nothing catches it but who starts the next one."""


def _crash_again_and_again(settings: Settings, worker: StreamWorker) -> None:
    """Any word to Redis may end the worker: once it is sent, or once its reply is read. Another begins at once."""
    rng, crashes = random.Random(os.getpid()), 0
    connection: Any = redis.connection.AbstractConnection
    words = (connection.send_packed_command, connection.read_response)

    def fatal(real: Any) -> Any:
        def word(self: Any, *args: Any, **kwargs: Any) -> Any:
            found = real(self, *args, **kwargs)
            if rng.random() < CHANCE:
                raise Crash
            return found

        return word

    worker.stream.ensure_groups()
    _ready()
    while any(worker.stream.lag(partition) for partition in worker.leases.partitions):
        connection.send_packed_command, connection.read_response = map(fatal, words)
        try:
            while worker.step(wait_ms=100):
                pass
        except Crash:
            crashes += 1
        finally:
            connection.send_packed_command, connection.read_response = words
        heir = open_worker(settings, settings.redis_url)  # the leases of the one that is gone run out, for it at once
        replace(heir.leases, worker=worker.leases.worker, held=list(worker.leases.partitions)).release()
        worker.close()
        worker = heir
    sys.stdout.write(json.dumps({"crashes": crashes}) + "\n")
    sys.exit()


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
