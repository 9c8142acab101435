"""What is left of the throughput at three times the load that a server can carry, and how soon is the rest refused? JSON last.

In turns: the peak (as many connections as serve best, each asking again once answered), and requests at three times that
rate whether or not answers come, each on a connection that is free. A process of its own that does nothing else asks fifty
times a second meanwhile: its times to a refusal are those of a client that has none of the load, and how late its own timer
wakes it is what the machine adds. Medians over the turns.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import asyncio
import json
import os
import statistics
import subprocess
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
PROBE_S = 0.02
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


async def probe(content: bytes, *, seconds: float) -> tuple[list[float], list[float]]:
    """Milliseconds to each refusal, and how late each turn of one's own came."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", PORT)
    refused, late = [], []
    until = time.perf_counter() + seconds
    while (due := time.perf_counter() + PROBE_S) < until:
        await asyncio.sleep(PROBE_S)
        begun = time.perf_counter()
        late.append((begun - due) * 1000)
        status, _ = await connection.ask(content)
        if status in (429, 503):
            refused.append((time.perf_counter() - begun) * 1000)
    connection.close()
    return refused, late


def beside(seconds: float) -> subprocess.Popen[bytes]:
    """The process that asks while others flood, from the next line on that it is sent."""
    command = [sys.executable, __file__, "--probe", "--seconds", str(seconds)]
    prober = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert prober.stdout is not None  # a pipe was asked for
    prober.stdout.readline()  # its imports are done
    return prober


@dataclass(slots=True)
class Turn:
    """One turn: requests a second at the peak and of use under the flood; the worker's processor seconds for each answer."""

    peak: float
    useful: float
    calm_s_each: float
    flooded_s_each: float
    outcome: Outcome
    refused_ms: list[float]
    late_ms: list[float]


def take_turn(requests: list[bytes], process: int, *, best: int, seconds: float) -> Turn:
    """The peak, and then the flood."""
    prober = beside(seconds - 0.2)
    assert prober.stdin is not None  # a pipe was asked for
    begun = cpu_s(process)
    calm = uvloop.run(burst(PORT, requests, connections=best, seconds=seconds))
    after = cpu_s(process)
    prober.stdin.write(b"\n")
    prober.stdin.flush()
    outcome = uvloop.run(flood(requests, rate=3 * calm.rps, seconds=seconds, connections=600))
    refused, late = json.loads(prober.communicate(timeout=60)[0])
    useful = sum(took <= LATE_S for took in outcome.answered)
    spent = cpu_s(process) - after
    calm_s = (after - begun) / max(1, len(calm.seconds))
    return Turn(calm.rps, useful / seconds, calm_s, spent / max(1, useful), outcome, refused, late)


def measure(requests: list[bytes], process: int, *, turns: int, seconds: float) -> dict[str, Any]:
    """Peak, and what is left of it, by time passed and by the worker's processor."""
    tried = {n: uvloop.run(burst(PORT, requests, connections=n, seconds=seconds)).rps for n in (16, 32, IN_FLIGHT)}
    best = max(tried, key=lambda n: tried[n])
    done = [take_turn(requests, process, best=best, seconds=seconds) for _ in range(turns)]
    refused = [ms for turn in done for ms in turn.refused_ms] or [float("nan")]
    late = [ms for turn in done for ms in turn.late_ms] or [float("nan")]
    own = [took * 1000 for turn in done for took in turn.outcome.refused] or [float("nan")]
    return {
        "goodput_ratio": round(statistics.median(turn.useful / turn.peak for turn in done), 3),
        "cpu_goodput_ratio": round(statistics.median(turn.calm_s_each / turn.flooded_s_each for turn in done), 3),
        "refusal_p99_ms": round(float(np.percentile(refused, 99)), 2),
        "refusal_median_ms": round(float(np.median(refused)), 2),
        "refusals_probed": len(refused),
        "machine_p99_ms": round(float(np.percentile(late, 99)), 2),
        "machine_median_ms": round(float(np.median(late)), 2),
        "flooding_p99_ms": round(float(np.percentile(own, 99)), 2),
        "peak_rps": round(statistics.median(turn.peak for turn in done)),
        "answered": sum(len(turn.outcome.answered) for turn in done),
        "refused": sum(len(turn.outcome.refused) for turn in done),
        "unsent": sum(turn.outcome.unsent for turn in done),
        "failed": sum(turn.outcome.failed for turn in done),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each peak and each flood")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.probe:
        content = request("/v1/score", json.dumps({"member_ids": ["00000001"], "outputs": ["churn"]}).encode())
        print("ready", flush=True)
        sys.stdin.readline()
        last_line(uvloop.run(probe(content, seconds=chosen.seconds)))
        return
    with world(chosen.members) as made:
        ids = [member.decode() for member in made.member_ids]
        body = {"outputs": ["churn"]}
        contents = [{"member_ids": ids[at : at + ROWS], **body} for at in range(0, 2000, ROWS)]
        requests = [request("/v1/score", json.dumps(content).encode()) for content in contents]
        settings = made.settings(api_keys=("k",), port=PORT, redis_timeout_ms=2000, workers=1, in_flight=IN_FLIGHT)
        with running_server(settings, log=made.folder / "server.log") as server:
            found = measure(requests, worker_of(server.process.pid)[0], turns=chosen.turns, seconds=chosen.seconds)
    last_line(found)


if __name__ == "__main__":
    main()
