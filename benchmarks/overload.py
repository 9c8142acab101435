"""What is left of the throughput at three times the load that a server can carry, and how soon is the rest refused? JSON last.

First the peak: as many connections as serve best, each asking again once answered. Then requests at three times that rate
whether or not answers come, each on a connection that is free.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvloop

from benchmarks.load import Connection, burst, cpu_s, request, worker_of
from benchmarks.serving_world import last_line, world
from serving.launch import running_server

PORT = 3970
ROWS = 20
IN_FLIGHT = 64
LATE_S = 1.0
"""An answer that takes longer is of no use to anybody, and not counted."""


@dataclass(slots=True)
class Outcome:
    """What became of the requests: seconds to each answer and to each refusal; those for which no connection was free."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    unsent: int = 0
    failed: int = 0


async def flood(requests: list[bytes], *, rate: float, seconds: float, connections: int) -> Outcome:
    """Requests at a fixed rate."""
    loop, outcome = asyncio.get_running_loop(), Outcome()
    free = [(await loop.create_connection(Connection, "127.0.0.1", PORT))[1] for _ in range(connections)]
    opened, asking = list(free), set()

    async def ask(connection: Connection, content: bytes) -> None:
        begun = time.perf_counter()
        status, _ = await connection.ask(content)
        took = time.perf_counter() - begun
        if status == 200:
            outcome.answered.append(took)
        elif status in (429, 503):
            outcome.refused.append(took)
        else:
            outcome.failed += 1
            return
        free.append(connection)

    begun, sent = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        while sent < passed * rate:
            if free:
                task = loop.create_task(ask(free.pop(), requests[sent % len(requests)]))
                asking.add(task)
                task.add_done_callback(asking.discard)
            else:
                outcome.unsent += 1
            sent += 1
        await asyncio.sleep(0.002)
    if asking:
        await asyncio.wait(asking, timeout=5)
    for connection in opened:
        connection.close()
    return outcome


def measure(requests: list[bytes], process: int, *, seconds: float) -> dict[str, Any]:
    """Peak, and what is left of it, by time passed and by the worker's processor."""
    tried = {n: uvloop.run(burst(PORT, requests, connections=n, seconds=seconds / 2)).rps for n in (16, 32, IN_FLIGHT)}
    best = max(tried, key=lambda n: tried[n])
    peak = uvloop.run(burst(PORT, requests, connections=best, seconds=seconds)).rps
    begun = cpu_s(process)
    outcome = uvloop.run(flood(requests, rate=3 * peak, seconds=seconds, connections=600))
    flooded = cpu_s(process)
    after = uvloop.run(burst(PORT, requests, connections=best, seconds=seconds))
    cpu_s_each, calm_s_each = (
        (flooded - begun) / max(1, len(outcome.answered)),
        (cpu_s(process) - flooded) / max(1, len(after.seconds)),
    )
    again = after.rps
    useful = sum(took <= LATE_S for took in outcome.answered) / seconds
    refused = outcome.refused or [float("nan")]
    return {
        "goodput_ratio": round(useful / max(peak, again), 3),
        "cpu_goodput_ratio": round(calm_s_each / cpu_s_each, 3),
        "refusal_p99_ms": round(float(np.percentile(refused, 99)) * 1000, 2),
        "refusal_median_ms": round(float(np.median(refused)) * 1000, 2),
        "peak_rps": round(peak),
        "peak_after_rps": round(again),
        "answered": len(outcome.answered),
        "refused": len(outcome.refused),
        "unsent": outcome.unsent,
        "failed": outcome.failed,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=6.0)
    chosen = parser.parse_args()
    with world(chosen.members) as made:
        ids = [member.decode() for member in made.member_ids]
        body = {"outputs": ["churn"]}
        contents = [{"member_ids": ids[at : at + ROWS], **body} for at in range(0, 2000, ROWS)]
        requests = [request("/v1/score", json.dumps(content).encode()) for content in contents]
        settings = made.settings(api_keys=("k",), port=PORT, redis_timeout_ms=2000, workers=1, in_flight=IN_FLIGHT)
        with running_server(settings, log=made.folder / "server.log") as server:
            found = measure(requests, worker_of(server.process.pid)[0], seconds=chosen.seconds)
    last_line(found)


if __name__ == "__main__":
    main()
