"""What an event costs on its way: read, accepted, kept in Redis under each fsync policy, and brought into facts.

    .venv/bin/python benchmarks/events.py [--events 20000]

CPU seconds of this process and of the server, by the system's own count; one JSON object last.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import redis

sys.path.insert(0, str(Path(__file__).parents[1]))

from features.erasures import Receipts
from features.events.accepting import EventWriter
from features.events.archive import consolidate, land
from features.events.keys import ARCHIVE_GROUP, EventKeys
from features.events.publish_shop import shop_of
from features.events.spool import take
from features.events.stream import EventStream
from features.facts import Facts
from features.sources.complete_journey import import_complete_journey
from tests.serving.own_redis import OwnRedis

BATCH = 500
KEYS = EventKeys("bench")


def contents(count: int, members: int, now: datetime) -> list[dict[str, Any]]:
    """Two purchases of three lines among ten events, the others views."""
    made = []
    for number in range(count):
        own: dict[str, Any] = {"item_id": f"{number % 5000}"}
        if number % 5 == 0:
            line = {"item_id": f"{number % 5000}", "quantity": 1, "net_cents": 250}
            own = {"order_id": f"o{number}", "channel": "web", "lines": [line] * 3}
        moment = (now - timedelta(seconds=number % 30_000)).isoformat()
        every = {"schema_version": 1, "event_id": f"e{number}", "occurred_at": moment, "member_id": f"m{number % members}"}
        made.append({**every, "type": "purchase" if number % 5 == 0 else "view", **own})
    return made


def cpu() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def accepted(events: list[Any], options: dict[str, str]) -> dict[str, float]:
    """Accept all of them on a server with these options, five hundred at a time."""
    server = OwnRedis()
    server.kill()
    server.start(**options)
    writer = EventWriter(server.url, KEYS)
    with redis.Redis.from_url(server.url) as plain:
        process = psutil.Process(int(plain.info("server")["process_id"]))
        before, memory = process.cpu_times(), int(plain.info("memory")["used_memory"])
        begun, own = time.perf_counter(), cpu()
        for start in range(0, len(events), BATCH):
            writer.accept(events[start : start + BATCH])
        wall, own = time.perf_counter() - begun, cpu() - own
        after = process.cpu_times()
        grown = int(plain.info("memory")["used_memory"]) - memory
        ids = sum(plain.memory_usage(key) for key in plain.scan_iter(match="bench:event_ids:*", count=10_000))
    writer.close()
    server.close()
    spent = after.user + after.system - before.user - before.system
    each = 1e6 / len(events)
    return {
        "events_per_s": round(len(events) / wall),
        "client_cpu_us": round(own * each, 1),
        "server_cpu_us": round(spent * each, 1),
        "bytes_an_event": round(grown / len(events)),
        "of_which_ids": round(ids / len(events)),
    }


def archived(events: list[Any], facts: Path) -> dict[str, float]:
    """All of them to disk and into a slice of facts."""
    server = OwnRedis()
    writer = EventWriter(server.url, KEYS)
    for start in range(0, len(events), BATCH):
        writer.accept(events[start : start + BATCH])
    stream = EventStream(server.url, KEYS, group=ARCHIVE_GROUP, consumer="bench")
    marks = [cpu()]
    take(stream, KEYS, facts.parent)
    marks.append(cpu())
    consolidate(facts.parent, now=datetime.now(UTC))
    marks.append(cpu())
    landed = land(facts.parent, receipts=Receipts())
    marks.append(cpu())
    assert landed.events == len(events)
    size = sum(path.stat().st_size for path in (facts.parent / "events" / "archive").glob("*.parquet"))
    writer.close()
    stream.close()
    server.close()
    each = 1e6 / len(events)
    names = ("to_disk_cpu_us", "to_archive_cpu_us", "to_facts_cpu_us")
    return {name: round((b - a) * each, 1) for name, a, b in zip(names, marks, marks[1:], strict=False)} | {
        "archive_bytes_an_event": round(size / len(events), 1)
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=20_000)
    count = parser.parse_args().events
    folder = Path(tempfile.mkdtemp())
    try:
        import_complete_journey(folder / "facts", households=300)
        facts = Facts.open(folder / "facts")
        now = facts.midnight(facts.manifest.until_day) + timedelta(hours=15)
        sent, intake = contents(count, count // 10, now), shop_of(facts).intake()
        begun = cpu()
        events = [intake.read(content, received_at=now) for content in sent]
        found: dict[str, Any] = {"events": count, "read_cpu_us": round((cpu() - begun) * 1e6 / count, 1)}
        found["accept"] = {
            "memory": accepted(events, {}),
            "everysec": accepted(events, {"appendonly": "yes", "appendfsync": "everysec"}),
            "always": accepted(events, {"appendonly": "yes", "appendfsync": "always"}),
        }
        found["archive"] = archived(events, folder / "facts")
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
