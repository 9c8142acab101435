"""What benchmarks/stream.py measures on: made-up events, streams full of them, workers in processes of their own."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import redis

from features.codec import empty_records
from features.contract import CONTRACT, CONTRACT_HASH
from features.days import day_number
from features.embedded import embedded_store
from features.events.keys import LIVE_GROUP, EventKeys
from features.events.schema import Event, Line
from features.events.shop import EventShop
from features.live_state import merged
from features.online_store import RedisStore
from features.settings import Settings
from features.stamp import Stamp
from features.store_keys import Keys

ZONE = ZoneInfo("UTC")
KINDS = ("view", "cart", "visit", "search", "purchase", "return")
WEIGHTS = (60, 10, 10, 5, 13, 2)
PREFIX = "bench"
FOLDER = Path(__file__).parent


@dataclass
class Bench:
    """One Redis, its streams and what was sent to them."""

    url: str
    folder: Path
    sent: list[tuple[str, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = EventKeys(PREFIX)
        self.store_keys = Keys(PREFIX)
        self.client: Any = redis.Redis.from_url(self.url)
        self.moment = datetime.now(UTC).replace(microsecond=0)
        self.day = day_number(self.moment.date())

    def settings(self) -> dict[str, str]:
        """The environment of a worker."""
        own = Settings(
            redis_url=self.url,
            key_prefix=PREFIX,
            data_dir=self.folder,
            mlruns_dir=self.folder / "mlruns",
            triggers_dir=self.folder / "triggers",
            identity_key="for a benchmark only",
        )
        return {**os.environ, **own.to_env(), "OPENBLAS_NUM_THREADS": "1"}

    def publish_nothing(self) -> None:
        """A store in which a publish ended for a shop without members."""
        self.client.flushall()
        midnight = self.moment.replace(hour=0, minute=0, second=0).isoformat()
        edges = {scalar.name: None for scalar in CONTRACT.edges} | dict(CONTRACT.threshold_values({}))
        RedisStore(self.url, prefix=PREFIX).write_stamp(Stamp(CONTRACT_HASH, midnight, midnight, "UTC", "none", 0, edges))
        self.client.set(self.keys.shop, EventShop("UTC").to_bytes())
        self.client.set(self.keys.partition_count, self.keys.partitions)
        self.sent.clear()

    def event(self, number: int, member: str, kind: str, cents: int) -> Event:
        """One of today's events."""
        own: dict[str, Any] = {"item_id": f"i{number % 500}"} if kind in {"view", "cart"} else {}
        if kind in {"purchase", "return"}:
            own = {"order_id": f"o{number}", "lines": (Line(net_cents=cents, item_id=f"i{number % 500}", quantity=1),)}
        return Event(
            event_id=f"event-{number:09d}",
            type=kind,
            occurred_at=self.moment,
            received_at=self.moment,
            local_day=self.day,
            local_hour=self.moment.hour,
            member_id=member,
            channel="web",
            **own,
        )

    def events(self, count: int, members: int, seed: int = 1) -> Iterator[Event]:
        """Made-up events, each noted for the oracle."""
        rng, first = random.Random(seed), len(self.sent)
        for number in range(first, first + count):
            member, (kind,), cents = f"member-{rng.randrange(members):07d}", rng.choices(KINDS, WEIGHTS), rng.randrange(1, 9000)
            self.sent.append((member, kind, cents if kind in {"purchase", "return"} else 0))
            yield self.event(number, member, kind, cents)

    def fill(self, events: Iterator[Event], *, again: float = 0.0) -> None:
        """Events straight into their streams, in disorder among neighbours; a share of them is sent again later."""
        rng, late = random.Random(2), []
        block: list[Event] = []
        for each in events:
            block.append(each)
            if rng.random() < again:
                late.append(each)
            if len(block) == 5000:
                self._add(block, rng)
        self._add(block, rng)
        self._add(late, rng)

    def _add(self, block: list[Event], rng: random.Random) -> None:
        rng.shuffle(block)
        with self.client.pipeline(transaction=False) as pipeline:
            for each in block:
                pipeline.xadd(self.keys.stream(self.keys.partition_of(each.subject)), {"e": each.to_bytes()})
            pipeline.execute()
        block.clear()

    def waiting(self) -> int:
        """Entries that the group of workers has not finished."""
        left = 0
        for partition in self.keys.every_partition:
            if self.client.exists(self.keys.stream(partition)):
                groups = {group["name"]: group for group in self.client.xinfo_groups(self.keys.stream(partition))}
                group = groups.get(LIVE_GROUP.encode())
                left += int(group["pending"]) + int(group["lag"] or 0) if group else 1
        return left

    def worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A worker at work in a process of its own."""
        process = self.started(*arguments)
        ready(process)
        return process

    def started(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A worker that may not be at work yet."""
        command = [sys.executable, "-c", _WORKER, *arguments]
        return subprocess.Popen(command, env=self.settings(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def server_cpu_s(self) -> float:
        """Processor seconds of the server so far."""
        found = self.client.info("cpu")
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])

    def lost_and_twice(self) -> tuple[int, int]:
        """How many events too few and too many the live values show, by kind and member, held against DuckDB's count."""
        table = pa.table(dict(zip(("member", "kind", "cents"), zip(*self.sent, strict=True), strict=True)))
        con = duckdb.connect()
        con.register("sent", table)
        expected = con.sql(_EXPECTED).fetchall()
        names = ("views_7d", "carts_7d", "visits_7d", "searches_7d", "purchases_7d", "returns_180d", "spend_cents_7d")
        lost = twice = 0
        for start in range(0, len(expected), 5000):
            part = expected[start : start + 5000]
            live = self.client.mget([self.store_keys.live(row[0]) for row in part])
            records, _ = merged(CONTRACT, empty_records(CONTRACT, len(part)), live, self.day)
            for column, name in enumerate(names, start=1):
                for row, found in zip(part, records[name].tolist(), strict=True):
                    off = found - int(row[column] or 0)
                    if name == "spend_cents_7d":
                        assert off == 0 or lost + twice > 0, "amounts differ where counts do not"
                    else:
                        lost, twice = lost + max(0, -off), twice + max(0, off)
        return lost, twice

    def bytes_per_active_member(self, members: int) -> dict[str, float]:
        """Bytes that a member who did something today takes, by what keeps them: of a sample of members."""
        names = [f"member-{number:07d}" for number in range(0, members, max(1, members // 500))]
        keys = {
            "live": [self.store_keys.live(m) for m in names],
            "event_ids": [self.keys.event_ids(m, self.day) for m in names],
            "items": [self.store_keys.live_items(m, self.day) for m in names],
        }
        return {
            name: round(sum(self.client.memory_usage(key) or 0 for key in chosen) / len(names), 1)
            for name, chosen in keys.items()
        }


_WORKER = f"""
import sys
sys.path[:1] = {[str(FOLDER.parent), str(FOLDER)]}
from stream_process import main
main()
"""
_EXPECTED = """
SELECT member, count(*) FILTER (kind = 'view'), count(*) FILTER (kind = 'cart'), count(*) FILTER (kind = 'visit'),
    count(*) FILTER (kind = 'search'), count(*) FILTER (kind = 'purchase'), count(*) FILTER (kind = 'return'),
    sum(CASE kind WHEN 'purchase' THEN cents WHEN 'return' THEN -cents ELSE 0 END)
FROM sent GROUP BY member ORDER BY member
"""


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="rapport-") as folder, embedded_store(Path(folder) / "store") as url:
        found = Bench(url, Path(folder))
        found.client.config_set("save", "")
        yield found
        found.client.close()


def ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until a worker is ready."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


def drained(processes: Sequence[subprocess.Popen[bytes]]) -> list[dict[str, Any]]:
    """Let workers begin together; what they say of their work when nothing is left."""
    for process in processes:
        ready(process)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in processes]


def killed(process: subprocess.Popen[bytes]) -> None:
    """End a worker at whatever it is doing."""
    process.kill()
    process.communicate()


def timed() -> float:
    """Seconds of a clock that nobody sets."""
    return time.perf_counter()
