"""What it costs to bring the features of a million members into Redis, and how much room they take there.

make bench                                  JSON on the last line; --members sets the size
Real rows of the demo's facts, or of a small import if there are none, are repeated until there are enough members.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import redis

from features.build import FeatureRows, build
from features.bulk_load import utf8
from features.codec import pack, stored_dtype
from features.embedded import embedded_store
from features.errors import FactsMissing
from features.facts import Facts
from features.jobs import facts_folder
from features.online_store import RedisStore
from features.publish import profile_rows, publish
from features.settings import Settings
from features.sources.complete_journey import import_complete_journey

HSET_MEMBERS = 20_000
HSETS_TOGETHER = 500
CHANGED_SHARE = 0.17
"""Of a day's members whose aggregates moved, as measured on Complete Journey."""


@dataclass(frozen=True)
class Cost:
    """Of one piece of work: seconds of the client's and the server's processor, seconds passed, bytes more in the server."""

    client_s: float
    server_s: float
    wall_s: float
    held: int


@dataclass(frozen=True)
class Server:
    """A server of our own, empty at first."""

    url: str
    client: Any

    def measured(self, work: Callable[[], object]) -> Cost:
        """What the work costs."""
        server, held = self._busy(), self.client.info("memory")["used_memory"]
        client, wall = time.process_time(), time.perf_counter()
        work()
        client, wall = time.process_time() - client, time.perf_counter() - wall
        return Cost(client, self._busy() - server, wall, self.client.info("memory")["used_memory"] - held)

    def _busy(self) -> float:
        cpu = self.client.info("cpu")
        return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


@contextmanager
def own_server(folder: Path) -> Iterator[Server]:
    """Redis if it is installed, else the embedded Valkey."""
    with ExitStack() as stack:
        program = shutil.which("redis-server")
        if program is None:
            url = stack.enter_context(embedded_store(folder))
        else:
            url = f"unix://{folder}/redis.sock"
            command = [program, "--port", "0", "--unixsocket", f"{folder}/redis.sock", "--dir", str(folder), "--save", ""]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            stack.callback(process.terminate)
            while not Path(folder, "redis.sock").exists():
                time.sleep(0.02)
        with redis.Redis.from_url(url, socket_timeout=None) as client:  # emptying a full server takes seconds
            yield Server(url, client)


def real_rows(folder: Path) -> FeatureRows:
    """Features of real members at the end of their facts."""
    try:
        facts = Facts.open(facts_folder(Settings.from_env(os.environ)))
    except FactsMissing:
        import_complete_journey(folder / "facts", households=300)
        facts = Facts.open(folder / "facts")
    return build(facts, as_of=facts.midnight(facts.manifest.until_day))


def repeated(rows: FeatureRows, members: int) -> FeatureRows:
    """So many members, each with the row of a real one."""
    chosen = np.random.default_rng(0).integers(0, len(rows.member_ids), members)
    ids = np.char.zfill(np.arange(members).astype(np.str_), 8)
    return replace(rows, member_ids=ids, records=rows.records[chosen], matrix=rows.matrix[chosen])


def moved(rows: FeatureRows) -> FeatureRows:
    """The next day's rows: a share of the members has bought."""
    records = rows.records.copy()
    changed = np.random.default_rng(1).random(len(records)) < CHANGED_SHARE
    records["purchases_365d"][changed] += 1
    return replace(rows, records=records)


def hset_cost(server: Server, rows: FeatureRows) -> Cost:
    """A Hash a member with a field a feature, as a client writes it that has not been told otherwise; made ready before."""
    names = rows.contract.feature_names
    wanted = [dict(zip(names, row, strict=True)) for row in rows.matrix[:HSET_MEMBERS].tolist()]

    def write() -> None:
        for start in range(0, len(wanted), HSETS_TOGETHER):
            with server.client.pipeline(transaction=False) as pipeline:
                for place, mapping in enumerate(wanted[start : start + HSETS_TOGETHER], start=start):
                    pipeline.hset(f"hset:{{{rows.member_ids[place]}}}", mapping=mapping)
                pipeline.execute()

    return server.measured(write)


def set_cost(server: Server, socket: str, members: int, size: int, pipelined: int) -> Cost:
    """What redis-benchmark's SET of values of that size costs the server."""
    command = ["redis-benchmark", "-s", socket, "-t", "set", "-d", str(size), "-n", str(members), "-r", str(members)]
    return server.measured(lambda: subprocess.run([*command, "-P", str(pipelined), "-q"], check=True, capture_output=True))


def measure(server: Server, rows: FeatureRows, folder: Path) -> dict[str, float | None]:
    """Every figure, from an empty server each."""
    members, features = len(rows.member_ids), len(rows.contract.features)
    store = RedisStore(server.url, prefix="rapport")
    hset = hset_cost(server, rows)
    server.client.flushall()
    ids, now = utf8(rows.member_ids), datetime.now(UTC)
    ours = server.measured(lambda: store.load_aggregates(ids, pack(rows.contract, rows.records, as_of=now, written_at=now)))
    profiles = server.measured(lambda: store.load_profiles(ids, profile_rows(rows)))
    server.client.flushall()
    whole = server.measured(lambda: publish(rows, store, kept=folder / "published"))
    next_day = moved(rows)
    delta = server.measured(lambda: publish(next_day, store, kept=folder / "published"))
    size = stored_dtype(rows.contract, narrow=True).itemsize
    set_us: dict[int, float | None] = {100: None, 1: None}
    if shutil.which("redis-benchmark"):
        for pipelined in set_us:
            server.client.flushall()
            cost = set_cost(server, server.url.removeprefix("unix://"), members, size, pipelined)
            set_us[pipelined] = cost.server_s / members * 1e6
    hset_us, ours_us, server_us = (
        seconds * 1e6 / count
        for seconds, count in ((hset.client_s, HSET_MEMBERS), (ours.client_s, members), (ours.server_s, members))
    )
    found: dict[str, float | None] = {
        "members": members,
        "features": features,
        "aggregates": len(rows.contract.aggregates),
        "members_per_s": members / whole.wall_s,
        "delta_members_per_s": members / delta.wall_s,
        "client_ratio_hset": hset_us / ours_us,
        "client_us_per_member": ours_us,
        "hset_us_per_member": hset_us,
        "server_ratio_set": server_us / set_us[100] if set_us[100] else None,
        "server_us_per_key": server_us,
        "set_us_per_key": set_us[100],
        "set_us_per_key_not_pipelined": set_us[1],
        "value_bytes": size,
        "bytes_per_member": ours.held / members,
        "bytes_per_feature": ours.held / members / features,
        "hset_bytes_per_feature": hset.held / HSET_MEMBERS / features,
        "profile_client_us_per_member": profiles.client_s / members * 1e6,
        "profile_bytes_per_member": profiles.held / members,
        "publish_client_us_per_member": whole.client_s / members * 1e6,
        "publish_server_us_per_member": whole.server_s / members * 1e6,
        "delta_client_us_per_member": delta.client_s / members * 1e6,
    }
    return {name: value if value is None or isinstance(value, int) else round(value, 3) for name, value in found.items()}


def main() -> None:
    """Print the figures, and as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1_000_000)
    members = max(HSET_MEMBERS, parser.parse_args().members)
    with tempfile.TemporaryDirectory(prefix="rapport-") as name, own_server(Path(name)) as server:
        found = measure(server, repeated(real_rows(Path(name)), members), Path(name))
    for key, value in found.items():
        print(f"{key:>30} {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
