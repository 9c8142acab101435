"""Run by a test in a process of its own: archives in forks that kill themselves at one file after another, then once whole.

    python archive_killed.py URL PREFIX DATA_DIR ROUNDS APART

Before each round some more events come, some of them twice. Prints how the rounds ended and which ids were acknowledged.
"""

import json
import os
import random
import signal
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from features.erasures import Receipts
from features.events.accepting import EventWriter
from features.events.archive import consolidate, land
from features.events.intake import Intake
from features.events.keys import ARCHIVE_GROUP, EventKeys
from features.events.spool import take
from features.events.stream import EventStream

WATCHED = {"open", "os.rename", "os.remove", "os.link", "os.rmdir"}
NOW = datetime(2018, 1, 1, 15, tzinfo=UTC)


def watch(at: int) -> None:
    """Kill this process before the at-th time it touches a file of events or facts."""
    seen = 0

    def hook(name: str, details: tuple[Any, ...]) -> None:
        nonlocal seen
        if name in WATCHED and any("/events/" in str(detail) or "/facts" in str(detail) for detail in details):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def archive(url: str, keys: EventKeys, data_dir: Path, at: int) -> int:
    """All of it in a fork; returns the signal that ended it, 0 if none."""
    pid = os.fork()
    if pid == 0:
        if at:
            watch(at)
        stream = EventStream(url, keys, group=ARCHIVE_GROUP, consumer="archive")
        take(stream, keys, data_dir)
        consolidate(data_dir, now=NOW, receipts=Receipts())
        land(data_dir, receipts=Receipts())
        os._exit(0)
    return -os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def come(writer: EventWriter, number: int, chance: random.Random) -> list[str]:
    """Some events of a round, in any order, a fifth of them twice; returns their ids."""
    intake = Intake(ZoneInfo("America/New_York"))
    made = []
    for place in range(10):
        more: dict[str, Any] = {"item_id": "apple"}
        if place % 3 == 0:
            lines = [{"item_id": "apple", "net_cents": 100 + place}, {"net_cents": 1}]
            more = {"order_id": f"new-{number}-{place}", "channel": "web", "lines": lines}
        content = {
            "schema_version": 1,
            "type": "purchase" if place % 3 == 0 else "view",
            "event_id": f"{number}-{place}",
            "occurred_at": (NOW - timedelta(minutes=chance.randrange(600))).isoformat(),
            "member_id": f"m{place % 4}",
            **more,
        }
        made += [intake.read(content, received_at=NOW)] * (2 if place % 5 == 0 else 1)
    chance.shuffle(made)
    for event in made:
        writer.accept([event])
    return [event.event_id for event in made]


def main() -> None:
    """Every round, then one that nobody disturbs."""
    url, prefix, data_dir, rounds, apart = *sys.argv[1:3], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    keys, chance = EventKeys(prefix, partitions=2), random.Random(4)  # no secret
    for name in ("pandas", "ibis.backends.duckdb", "holidays.countries"):
        import_module(name)  # once, instead of in each fork
    ended, ids = [], set()
    writer = EventWriter(url, keys)
    for number in range(rounds):
        ids.update(come(writer, number, chance))
        ended.append(archive(url, keys, data_dir, at=1 + number * apart))
    ended.append(archive(url, keys, data_dir, at=0))
    sys.stdout.write(json.dumps({"ended": ended, "ids": sorted(ids)}))


if __name__ == "__main__":
    main()
