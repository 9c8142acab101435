"""How fast are answers beside an ordinary developer's server, and beside one that does nothing? JSON last.

All servers run with one worker on the same event loop and parser (uvloop, httptools), and are asked in turn: a second each,
medians of several rounds, so that whatever else the machine does hits all of them alike. Beside answers a second stands what
an answer takes of the server's processor: that depends less on who else wants one.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import redis
import uvloop

from benchmarks.load import Burst, Connection, burst, cpu_s, request, worker_of
from benchmarks.serving_lists import own_lists, shelf
from benchmarks.serving_world import DAY, NOW, World, last_line, world
from benchmarks.wrk import WrkBurst, is_here, wrk_burst
from features.contract import CONTRACT
from features.list_records import ListStamp
from features.online_store import RedisStore
from features.shop_store import ShopStore
from serving.launch import running_server

ASKED, LISTED, AGAIN = 5000, 25_000, 2000
"""Members asked for scores, those with lists, which are more than a worker keeps the texts of, and those asked for again."""
PORT = 3950
Load = tuple["Server", list[bytes], int]
"""Whom to ask, what, and over how many connections."""
PEERS = ("echo", "fastapi_arrays", "fastapi_frame")


def fill_peers(made: World) -> None:
    """The same features as Hashes, and the same lists as Sorted Sets; and an item table, as always."""
    client: Any = redis.Redis(unix_socket_path=str(made.redis_socket))
    store = RedisStore(f"unix://{made.redis_socket}", prefix="rapport")
    ids = [member.decode() for member in made.member_ids[:LISTED]]
    lists = own_lists(len(ids))
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        found = list(islice(lists, len(part)))
        with client.pipeline(transaction=False) as pipeline:
            for place, (member, own) in enumerate(zip(part, found, strict=True), start):
                if place < ASKED:
                    row = dict(zip(CONTRACT.model_features, made.matrix[place].tolist(), strict=True))
                    pipeline.hset(f"peer:{member}", mapping=row)
                pipeline.zadd(f"peer_list:{member}", {item.item_id: item.score for item in own.items})
            pipeline.execute()
        store.write_lists(part, found)
    store.write_list_stamp(ListStamp("recommender@1", NOW.isoformat(), DAY))
    store.close()
    client.close()
    shop = ShopStore(f"unix://{made.redis_socket}", prefix="rapport")
    shop.write_shelf(shelf())
    shop.close()


@contextmanager
def peer(made: World, name: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A peer under uvicorn on the same event loop and parser."""
    model = next((made.folder / "mlruns").rglob("model.json"))
    environment = os.environ | {
        "PEER_REDIS": f"unix://{made.redis_socket}",
        "PEER_MODEL": str(model),
        "PEER_FEATURES": ",".join(CONTRACT.model_features),
        "OMP_NUM_THREADS": "1",
    }
    options = ["--factory", f"benchmarks.serving_peers:{name}", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    command = [sys.executable, "-m", "uvicorn", *options, "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).resolve().parents[1])
    try:
        _wait(port)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def bentoml_echo(made: World, port: int) -> Iterator[int]:
    """An echo behind BentoML; the process of its worker."""
    command = [sys.executable, "-m", "bentoml", "serve", "benchmarks.serving_floor:Floor", "--host", "127.0.0.1"]
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(made.folder / "bentoml")}
    with (made.folder / "floor.log").open("wb") as log:
        root = Path(__file__).resolve().parents[1]
        process = subprocess.Popen([*command, "--port", str(port)], env=environment, cwd=root, stdout=log, stderr=log)
    try:
        _wait(port)
        yield worker_of(process.pid)[0]
    finally:
        process.terminate()
        process.wait(20)


def _wait(port: int) -> None:
    async def once() -> None:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        await connection.ask(request("/", b"{}"))

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            asyncio.run(once())
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"nothing answers on port {port}")


def bodies(members: Sequence[str], rows: int, **more: object) -> list[bytes]:
    """Bodies that go through the members, some at a time."""
    starts = range(0, len(members) - rows + 1, rows)
    return [json.dumps({"member_ids": list(members[start : start + rows]), **more}).encode() for start in starts]


@dataclass(frozen=True, slots=True)
class Server:
    """Who answers: the port and the process that does the work."""

    port: int
    process: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Bursts against one server: medians over bursts, and microseconds of its processor for each answer."""

    bursts: Sequence[Burst | WrkBurst]
    cpu_us: float

    @property
    def rps(self) -> float:
        """Requests a second."""
        return statistics.median(burst.rps for burst in self.bursts)

    @property
    def p99_ms(self) -> float:
        """99th percentile of the time to an answer."""
        return statistics.median(burst.p99_ms for burst in self.bursts)


def in_turns(loads: dict[str, Load], *, rounds: int, seconds: float) -> dict[str, Seen]:
    """Bursts against several servers in turn."""
    bursts: dict[str, list[Burst | WrkBurst]] = {name: [] for name in loads}
    spent: dict[str, list[float]] = {name: [] for name in loads}
    for turn in range(rounds + 1):
        for name, (server, requests, connections) in loads.items():
            before = cpu_s(server.process)
            seen = one_burst(server.port, requests, connections=connections, seconds=seconds)
            if seen.others:
                raise SystemExit(f"{name} answered {seen.others}")
            if turn:  # the first round warms up
                bursts[name].append(seen)
                spent[name].append((cpu_s(server.process) - before) / seen.answers * 1e6)
    return {name: Seen(found, statistics.median(spent[name])) for name, found in bursts.items()}


def one_burst(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Burst | WrkBurst:
    """A burst by wrk where it is installed, else by a client in Python, which is half of what an echo costs."""
    if is_here():
        return wrk_burst(port, requests, connections=connections, seconds=max(1, round(seconds)))
    return uvloop.run(burst(port, requests, connections=connections, seconds=seconds))


def beside(own: Seen, other: Seen, name: str) -> dict[str, float]:
    """How many times the throughput of another server, by time passed and by processor spent."""
    return {f"ratio_{name}": round(own.rps / other.rps, 3), f"cpu_ratio_{name}": round(other.cpu_us / own.cpu_us, 3)}


def measure(made: World, servers: dict[str, Server], *, rounds: int, seconds: float) -> dict[str, Any]:
    """All figures but those of starting."""
    everyone = [member.decode() for member in made.member_ids[:LISTED]]

    def load(name: str, path: str, rows: int, connections: int, *, among: int = ASKED, **more: object) -> Load:
        return servers[name], [request(path, body) for body in bodies(everyone[:among], rows, **more)], connections

    def turns(**loads: Load) -> dict[str, Seen]:
        return in_turns(loads, rounds=rounds, seconds=seconds)

    found: dict[str, Any] = {}
    for connections in (16, 64):
        seen = turns(
            own=load("rapport", "/v1/score", 1, connections, outputs=["churn"]),
            echo=load("echo", "/", 1, connections),
            echo_bentoml=load("echo_bentoml", "/", 1, connections),
            fastapi=load("fastapi_arrays", "/score", 1, connections),
            dataframe=load("fastapi_frame", "/score", 1, connections),
        )
        own = seen["own"]
        found[f"single_{connections}"] = {
            **figures(own),
            **{
                key: value
                for name in ("fastapi", "dataframe", "echo", "echo_bentoml")
                for key, value in beside(own, seen[name], name).items()
            },
            "p99_ratio_fastapi": round(own.p99_ms / seen["fastapi"].p99_ms, 3),
        }
        found[f"single_{connections}"]["echo_cpu_us"] = round(seen["echo"].cpu_us, 1)
        found[f"single_{connections}"]["fastapi_cpu_us"] = round(seen["fastapi"].cpu_us, 1)
        print(found, flush=True)
    seen = turns(
        own=load("rapport", "/v1/score", 100, 16, outputs=["churn"]), fastapi=load("fastapi_arrays", "/score", 100, 16)
    )
    found["batch_100"] = {**figures(seen["own"]), **beside(seen["own"], seen["fastapi"], "fastapi")}
    for name, among in (("list_20", LISTED), ("list_20_again", AGAIN)):
        seen = turns(
            own=load("rapport", "/v1/recommend", 1, 16, among=among, k=20),
            fastapi=load("fastapi_arrays", "/recommend", 1, 16, among=among),
        )
        found[name] = {**figures(seen["own"]), **beside(seen["own"], seen["fastapi"], "fastapi")}
    told = {"outputs": ["churn"], "explain": "top_k", "top_k": 3}
    seen = turns(
        without=load("rapport", "/v1/score", 1, 16, outputs=["churn"]), told=load("rapport", "/v1/score", 1, 16, **told)
    )
    found["reasons"] = {**figures(seen["told"]), **beside(seen["told"], seen["without"], "without")}
    return found


def figures(seen: Seen) -> dict[str, float]:
    """What one server did."""
    return {"rps": round(seen.rps), "p99_ms": round(seen.p99_ms, 2), "cpu_us": round(seen.cpu_us, 1)}


def main() -> None:
    """Print figures as they come, and all of them as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    chosen = parser.parse_args()
    with world(chosen.members) as made, ExitStack() as running:
        fill_peers(made)
        begun = time.perf_counter()
        settings = made.settings(api_keys=("k",), port=PORT, workers=1, redis_timeout_ms=2000)  # a busy machine is no fault
        server = running.enter_context(running_server(settings, log=made.folder / "server.log"))
        ready_s = time.perf_counter() - begun
        process, _ = worker_of(server.process.pid)
        ready_cpu_s = cpu_s(process) + cpu_s(server.process.pid)
        servers = {"rapport": Server(PORT, process)}
        for port, name in enumerate(PEERS, start=PORT + 1):
            servers[name] = Server(port, running.enter_context(peer(made, name, port)).pid)
        floor = PORT + 1 + len(PEERS)
        servers["echo_bentoml"] = Server(floor, running.enter_context(bentoml_echo(made, floor)))
        found = measure(made, servers, rounds=chosen.rounds, seconds=chosen.seconds)
        found |= {"ready_s": round(ready_s, 2), "ready_cpu_s": round(ready_cpu_s, 2)}
        found["worker_mb"] = round(worker_of(server.process.pid)[1])
    last_line(found)


if __name__ == "__main__":
    main()
