"""Fifty promotions under load: is any answer lost, or made of two models, and how soon is a promotion seen? JSON last.

Two models answer everyone alike, 0.1 and 0.9, so that a reply whose rows or whose passport do not belong together shows.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import dataclass, field

import uvloop

from benchmarks.load import Connection, request
from benchmarks.serving_world import World, constant_model, last_line, move_alias, register, world
from features.contract import CONTRACT
from serving.launch import running_server

PORT = 3960
ANSWERS = {"2": 0.1, "3": 0.9}
"""Probability by version."""


@dataclass(slots=True)
class Count:
    """What came back. `seen` are seconds from each promotion to the last answer of the version before."""

    answers: int = 0
    failed: int = 0
    mixed: int = 0
    version: str = "2"
    moved_at: float = 0.0
    last_old: float = 0.0
    seen: list[float] = field(default_factory=list)

    def take(self, status: int, received: bytes) -> None:
        """Look at one reply."""
        self.answers += 1
        if status != 200:
            self.failed += 1
            return
        reply = json.loads(received[received.index(b"\r\n\r\n") + 4 :])
        version = reply["passport"]["models"]["churn"]["version"]
        found = {round(row["churn"]["probability"], 3) for row in reply["rows"]}
        self.mixed += found != {ANSWERS[version]}
        if version != self.version:
            self.last_old = time.perf_counter()


ROWS = 5


async def load(made: World, count: Count, *, promotions: int, connections: int, pause_s: float, answers: int) -> None:
    """Ask over some connections, and promote again and again: as answers come in, and not sooner than after a pause."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    ids = [member.decode() for member in made.member_ids]
    bodies = [
        request("/v1/score", json.dumps({"member_ids": ids[at : at + ROWS], "outputs": ["churn"]}).encode())
        for at in range(500)
    ]

    async def ask(place: int) -> None:
        connection = (await loop.create_connection(Connection, "127.0.0.1", PORT))[1]
        while not over.is_set():
            count.take(*await connection.ask(bodies[place % len(bodies)]))
            place += connections
        connection.close()

    async def promote() -> None:
        for turn in range(promotions):
            await asyncio.sleep(pause_s)
            while count.answers < answers * turn // promotions:
                await asyncio.sleep(0.05)
            if turn:
                count.seen.append(max(0.0, count.last_old - count.moved_at))
            count.version = "3" if turn % 2 == 0 else "2"
            await asyncio.to_thread(move_alias, made.folder / "mlruns", "churn", int(count.version))
            count.moved_at = count.last_old = time.perf_counter()
        await asyncio.sleep(pause_s)
        while count.answers < answers:
            await asyncio.sleep(0.05)
        over.set()

    await asyncio.gather(promote(), *(ask(place) for place in range(connections)))


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promotions", type=int, default=50)
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between promotions, at least")
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=32)
    chosen = parser.parse_args()
    with world(2000, trees=5) as made:
        features, golden = CONTRACT.model_features, made.matrix[:8].copy()
        for version, probability in ANSWERS.items():
            register(made.folder / "mlruns", "churn", int(version), constant_model(probability, features, golden))
        move_alias(made.folder / "mlruns", "churn", 2)
        settings = made.settings(api_keys=("k",), port=PORT, redis_timeout_ms=2000, workers=2)
        count = Count()
        with running_server(settings, log=made.folder / "server.log"):
            given = {"promotions": chosen.promotions, "connections": chosen.connections, "answers": chosen.answers}
            uvloop.run(load(made, count, **given, pause_s=chosen.pause))
    seen = [round(value, 2) for value in sorted(count.seen)]
    last_line(
        {
            "answers": count.answers,
            "failed": count.failed,
            "mixed": count.mixed,
            "swaps": chosen.promotions,
            "seen_s": statistics.median(seen) if seen else None,
            "seen_most_s": seen[-1] if seen else None,
        }
    )


if __name__ == "__main__":
    main()
