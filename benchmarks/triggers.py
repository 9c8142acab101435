"""What triggers cost an event: ten triggers beside a worker, for views of which none, some or all fire.

    .venv/bin/python benchmarks/triggers.py [--events 5000]

A thousand made-up members without models, and an own Redis. CPU microseconds of this process; one JSON object last.
"""

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from features.build import FeatureRows
from features.codec import empty_records
from features.contract import CONTRACT
from features.days import day_of
from features.derive import derive
from features.events.schema import Event
from features.live_events import changes_of
from features.live_slots import slots_of
from features.live_state import Applied
from features.live_store import LiveStore, Outcome
from features.online_store import RedisStore
from features.publish import publish
from features.settings import Settings
from serving.triggers.at_work import triggers_at_work
from tests.serving.own_redis import OwnRedis

ZONE = ZoneInfo("America/New_York")
MIDNIGHT = datetime(2026, 3, 4, 5, tzinfo=UTC)
NOON = MIDNIGHT + timedelta(hours=12)
TOGETHER, MEMBERS = 250, 1000
FEW, FEATURES, ALL = "count_views_item_1d > 1000", "views_1d >= 0 and purchases_7d > 1000", "event_type = view"
"""Conditions: told by the item's count; told by features; true for every view, but for the cool-down."""


def main() -> None:
    """All of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=5000)
    count = parser.parse_args().events
    found: dict[str, float] = {}
    with closing(OwnRedis()) as server, tempfile.TemporaryDirectory() as folder:
        publish(rows(), RedisStore(server.url, prefix="bench"))
        applied = list(live(server.url, count))
        for name, condition, cool in (("none_by_count", FEW, "1 day"), ("none_by_features", FEATURES, "1 day"),
                                      ("cooling", ALL, "1 day"), ("all_fire", ALL, "0 seconds")):  # fmt: skip
            found[f"{name}_us"] = round(cost(server.url, Path(folder), applied, condition, cool), 1)
            print(name, found[f"{name}_us"], "us an event")
    print(json.dumps({"events": count, "triggers": 10, **found}))


def rows() -> FeatureRows:
    """Features of members of whom nothing is known but that they exist."""
    records, day = empty_records(CONTRACT, MEMBERS), day_of(MIDNIGHT, ZONE)
    edges = {**CONTRACT.threshold_values({}), **{edge.name: float("nan") for edge in CONTRACT.edges}}
    ids = np.array(sorted(f"m{number}" for number in range(MEMBERS)))
    matrix = derive(CONTRACT, records, day=day, edges=edges)
    return FeatureRows(CONTRACT, MIDNIGHT, day, ZONE.key, "bench", ids, records, matrix, edges)


def live(url: str, count: int) -> Iterator[Applied]:
    """Views that stand in the live records of their members."""
    store, day = LiveStore(url, prefix="bench", slots=slots_of(CONTRACT)), day_of(NOON, ZONE)
    for start in range(0, count, TOGETHER):
        events = [
            Event(event_id=f"e{n}", type="view", occurred_at=NOON, local_day=day, local_hour=12, member_id=f"m{n % MEMBERS}",
                  item_id=f"{n % 500}", channel="app") for n in range(start, start + TOGETHER)
        ]  # fmt: skip
        outcomes = store.apply(changes_of(CONTRACT, [(event, event.subject) for event in events]))
        for event, outcome in zip(events, outcomes, strict=True):
            if isinstance(outcome, Outcome):
                yield Applied(event, event.subject, outcome.before, outcome.after)


def cost(url: str, folder: Path, applied: list[Applied], condition: str, cool: str) -> float:
    """CPU microseconds an event with ten such triggers."""
    names = [
        f'[trigger.{condition[:3]}{cool[:1]}{n}]\non = ["view"]\nwhen = "{condition}"\ncool_down = "{cool}"' for n in range(10)
    ]
    (folder / "triggers.toml").write_text("\n".join(names))
    settings = Settings(mlruns_dir=folder / "mlruns", triggers_dir=folder, key_prefix="bench", now=NOON, redis_url=url)
    with closing(triggers_at_work(settings, url)) as work:
        work.after(applied[:TOGETHER])
        before = resource.getrusage(resource.RUSAGE_SELF)
        for start in range(TOGETHER, len(applied), TOGETHER):
            work.after(applied[start : start + TOGETHER])
        after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used * 1e6 / (len(applied) - TOGETHER)


if __name__ == "__main__":
    main()
