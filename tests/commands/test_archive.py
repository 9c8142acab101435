"""`rapport archive`, and the night that begins with it: tonight's features have seen what today's streams saw."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis

from commands.events import EventJobs
from commands.features import FeatureJobs
from commands.nightly import NightlyJob
from commands.status import status
from features.codec import decode
from features.contract import CONTRACT
from features.events.accepting import EventWriter
from features.events.keys import EventKeys
from features.events.publish_shop import shop_of
from features.facts import Facts
from features.online_store import RedisStore
from features.screen import Screen
from features.settings import Settings


@pytest.fixture
def settings(facts: Facts, facts_folder: Path, store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """A shop at one in the morning, two days after its facts end."""
    shutil.copytree(facts_folder, tmp_path / "facts")
    now = facts.midnight(facts.manifest.until_day + 1) + timedelta(hours=1)
    prefix = f"test-{request.node.name}"
    return Settings(data_dir=tmp_path, mlruns_dir=tmp_path / "mlruns", redis_url=store_url, key_prefix=prefix, now=now)


@pytest.fixture
def writer(settings: Settings) -> Iterator[EventWriter]:
    made = EventWriter(settings.redis_url, EventKeys(settings.key_prefix))
    yield made
    made.close()


def yesterday(facts: Facts, kind: str, event_id: str, **more: Any) -> Any:
    moment = facts.midnight(facts.manifest.until_day) + timedelta(hours=15)
    content = {"schema_version": 1, "type": kind, "event_id": event_id, "occurred_at": moment.isoformat(), "member_id": "1"}
    return shop_of(facts).intake().read(content | more, received_at=moment)


def some(facts: Facts) -> list[Any]:
    return [
        yesterday(facts, "purchase", "p", order_id="new", channel="web", lines=[{"item_id": "1082185", "net_cents": 512}]),
        yesterday(facts, "view", "v", item_id="1082185"),
    ]


def test_the_night_begins_with_the_events_of_the_day(settings: Settings, facts: Facts, writer: EventWriter) -> None:
    writer.accept(some(facts)[:1])  # a first view ever would be news of every member
    day = facts.manifest.until_day + 1
    FeatureJobs(settings, Screen(as_json=True)).refresh("end-of-facts")

    report = NightlyJob(settings, as_json=True).run(None)

    assert report["steps"][0]["name"] == "archive events"
    assert report["steps"][0]["found"] == {"taken": 1, "landed": 1, "waiting": 0}
    assert datetime.fromisoformat(report["as_of"]) == facts.midnight(day)
    assert report["steps"][1]["found"]["summed_up_anew"] < 300  # last night's state was gone on from
    (packed,) = RedisStore(settings.redis_url, prefix=settings.key_prefix).read_aggregates(["1"])
    assert packed is not None
    record = decode(CONTRACT, [packed]).records
    assert record["last_purchase_day"][0] == day - 1
    assert record["purchases_7d"][0] >= 1
    with redis.Redis.from_url(settings.redis_url) as plain:
        assert plain.exists(EventKeys(settings.key_prefix).shop)


def test_a_shop_without_events_has_no_streams_and_no_step(settings: Settings, facts: Facts) -> None:
    jobs = EventJobs(settings, Screen(as_json=True))
    assert not jobs.any_to_archive(settings.redis_url)
    assert not (settings.data_dir / "events").exists()
    assert status(settings, Screen(as_json=True))["events"] is None


def test_events_before_the_first_import_wait_on_disk(settings: Settings, facts: Facts, writer: EventWriter) -> None:
    shutil.move(settings.data_dir / "facts", settings.data_dir / "later")
    writer.accept(some(facts))
    jobs = EventJobs(settings, Screen(as_json=True))
    assert jobs.any_to_archive(settings.redis_url)
    figures = {"waiting": 2, "quarantine": 0, "dead": 0, "durable": "memory"}
    assert status(settings, Screen(as_json=True))["events"] == figures
    assert jobs.archive() | {"rows": {}} == {
        "taken": 2, "events": 2, "again": 0, "waiting": 0, "landed": 0, "rows": {}, "erased": 0,
    }  # fmt: skip

    shutil.move(settings.data_dir / "later", settings.data_dir / "facts")
    assert jobs.archive()["landed"] == 2


def test_to_disk_again_and_again_until_told_to_end(settings: Settings, facts: Facts, writer: EventWriter) -> None:
    environment = {**os.environ, **settings.to_env()}
    command = [sys.executable, "-m", "rapport", "archive", "--every", "1"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2])
    try:
        taken = 0
        for number in range(2):
            writer.accept([yesterday(facts, "view", f"v{number}", item_id="1082185")])
            deadline = time.monotonic() + 60
            while taken <= number:
                assert time.monotonic() < deadline, process.stderr
                time.sleep(0.1)
                taken = sum(pq.read_metadata(p).num_rows for p in (settings.data_dir / "events").glob("new/2*.parquet"))
        assert EventJobs(settings, Screen(as_json=True)).archive()["landed"] == 2  # the night's own run goes in between
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
