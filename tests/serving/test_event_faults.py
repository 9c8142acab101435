"""Faults of a real store on the way of events: whatever happens, what was acknowledged is in the streams."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from features.events.keys import ARCHIVE_GROUP, EventKeys
from features.events.schema import event_of
from features.events.shop import EventShop
from features.events.stream import EventStream
from features.settings import Settings
from serving.api import Api
from tests.serving.asgi import Client
from tests.serving.own_redis import OwnRedis
from tests.serving.small_shop import NOW

PREFIX = "events"
KEYS = EventKeys(PREFIX)
PATIENCE_S = 30.0
DURABLE = {"appendonly": "yes", "appendfsync": "always"}


@dataclass
class Producer:
    """Sends events one batch after another, each until it is acknowledged; and remembers which were."""

    client: Client
    acknowledged: set[str] = field(default_factory=set)
    statuses: list[int] = field(default_factory=list)

    def send(self, number: int, *, patient: bool = True) -> bool:
        """A batch of five; again until it is taken, if patient."""
        ids = [f"{number}-{place}" for place in range(5)]
        events = [
            {
                "schema_version": 1, "type": "view", "event_id": event_id, "member_id": f"m{place}",
                "occurred_at": NOW.isoformat(), "item_id": "apple",
            }
            for place, event_id in enumerate(ids)
        ]  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = self.client.post("/v1/events", {"events": events})
            self.statuses.append(answer.status)
            if answer.status == 202:
                self.acknowledged.update(ids)
                return True
            assert answer.status in {429, 503}, answer.body
            assert answer.headers["retry-after"] == "1"
            if not patient:
                return False
            assert time.monotonic() < deadline
            self.client.wait(0.1)


@pytest.fixture
def server() -> Iterator[OwnRedis]:
    made = OwnRedis()
    made.kill()
    made.start(**DURABLE)
    with redis.Redis.from_url(made.url) as plain:
        plain.set(KEYS.shop, EventShop("UTC").to_bytes())
    yield made
    made.close()


@pytest.fixture
def producer(server: OwnRedis, tmp_path: Path) -> Iterator[Producer]:
    settings = Settings(data_dir=tmp_path, mlruns_dir=tmp_path, redis_url=server.url, key_prefix=PREFIX, now=NOW)
    client = Client(Api(settings))
    yield Producer(client)
    client.close()


def stored(server: OwnRedis) -> set[str]:
    with redis.Redis.from_url(server.url) as plain:
        entries = [entry for p in KEYS.every_partition for entry in plain.xrange(KEYS.stream(p))]
        return {event_of(fields[b"e"]).event_id for _, fields in entries}


def test_killed_again_and_again_while_writing(producer: Producer, server: OwnRedis) -> None:
    over = threading.Event()

    def kill_now_and_then() -> None:
        for _ in range(4):
            time.sleep(0.4)
            server.kill()
            time.sleep(0.1)
            server.start(**DURABLE)
        over.set()

    killing = threading.Thread(target=kill_now_and_then)
    killing.start()
    number = 0
    while not over.is_set():
        producer.send(number)
        number += 1
    killing.join()

    assert 503 in producer.statuses
    assert len(producer.acknowledged) == 5 * number > 50
    assert producer.acknowledged <= stored(server)


def test_a_frozen_store_is_503_soon_and_the_events_come_in_afterwards(producer: Producer, server: OwnRedis) -> None:
    producer.send(0)
    server.freeze()
    refused = [producer.send(1, patient=False) for _ in range(4)]
    begun = time.monotonic()
    assert not producer.send(1, patient=False)  # the breaker is open: nobody waits for the store any more
    waited = time.monotonic() - begun
    server.thaw()
    assert not any(refused)
    assert waited < 2.0
    assert producer.send(1)
    assert producer.acknowledged <= stored(server)


def test_a_slow_store_is_waited_for(producer: Producer, server: OwnRedis) -> None:
    """Each command takes up to 200 ms: events are no hot path, and are taken."""
    over = threading.Event()

    def hold_up() -> None:
        with redis.Redis.from_url(server.url) as other:
            while not over.is_set():
                other.execute_command("CLIENT", "PAUSE", "200", "ALL")
                over.wait(0.25)

    pausing = threading.Thread(target=hold_up)
    pausing.start()
    try:
        assert all(producer.send(number, patient=False) for number in range(3))
    finally:
        over.set()
        pausing.join()
    assert producer.acknowledged <= stored(server)


def test_a_store_that_is_loading_takes_none_and_then_all(producer: Producer, server: OwnRedis) -> None:
    producer.send(0)
    with redis.Redis.from_url(server.url) as other:
        for number in range(200):
            other.set(f"more:{number}", "x" * 10_000)
        other.bgrewriteaof()  # into a file that is loaded key by key
        while other.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.05)
    server.kill()
    server.start(**DURABLE, **{"key-load-delay": "20000", "loading-process-events-interval-bytes": "1024"})
    assert not producer.send(1, patient=False)
    with redis.Redis.from_url(server.url) as other:
        other.config_set("key-load-delay", "0")
    assert producer.send(1)
    assert producer.acknowledged == stored(server)


def test_out_of_memory_is_told_before_it_happens_and_nothing_is_lost(producer: Producer, server: OwnRedis) -> None:
    producer.send(0)
    with redis.Redis.from_url(server.url) as plain:
        used = int(plain.info("memory")["used_memory"])
        plain.config_set("maxmemory", str(int(used * 1.05)))
        producer.client.wait(1.1)
        assert not producer.send(1, patient=False)
        assert producer.statuses[-1] == 429
        assert "1-0" not in stored(server)

        plain.config_set("maxmemory", str(used // 2))  # somebody else took the rest between two looks
        with pytest.raises(redis.OutOfMemoryError):
            plain.set("more", "x")
        producer.client.api._events._pressure_until = time.monotonic() + 60
        producer.client.api._events._pressure = type(producer.client.api._events._pressure)()
        assert not producer.send(1, patient=False)
        assert producer.statuses[-1] == 503

        plain.config_set("maxmemory", "0")
    assert producer.send(1)
    assert producer.acknowledged <= stored(server)


def test_restarted_the_scripts_are_told_again(producer: Producer, server: OwnRedis) -> None:
    producer.send(0)
    server.kill()
    server.start(**DURABLE)
    assert producer.send(1)
    assert producer.acknowledged == stored(server)


def test_flushed_the_shop_is_missed_and_what_is_durable_is_said(producer: Producer, server: OwnRedis) -> None:
    body = {"schema_version": 1, "type": "visit", "event_id": "v", "member_id": "m", "occurred_at": NOW.isoformat()}
    assert producer.client.post("/v1/events", body).json()["durable"] == "disk"
    with redis.Redis.from_url(server.url) as plain:
        plain.config_set("appendfsync", "everysec")
        producer.client.wait(1.1)
        assert producer.client.post("/v1/events", body).json()["durable"] == "disk_within_a_second"
        plain.config_set("appendonly", "no")
        producer.client.wait(1.1)
        assert producer.client.post("/v1/events", body).json()["durable"] == "memory"


def test_a_deleted_group_reads_all_that_is_there_again(producer: Producer, server: OwnRedis) -> None:
    producer.send(0)
    stream = EventStream(server.url, KEYS, group=ARCHIVE_GROUP, consumer="one")
    stream.ensure_groups()
    first = {entry.event.event_id for entry in stream.read(list(KEYS.every_partition)) if entry.event}
    with redis.Redis.from_url(server.url) as plain:
        for partition in KEYS.every_partition:
            plain.xgroup_destroy(KEYS.stream(partition), ARCHIVE_GROUP)
    again: set[str] = set()
    for _ in range(2):
        again |= {entry.event.event_id for entry in stream.read(list(KEYS.every_partition)) if entry.event}
    assert first == again == producer.acknowledged
    stream.close()


def test_a_wrong_kind_of_key_is_an_error_with_a_code(producer: Producer, server: OwnRedis) -> None:
    with redis.Redis.from_url(server.url) as plain:
        for partition in KEYS.every_partition:
            plain.set(KEYS.stream(partition), "somebody else's")
    answer: Any = producer.client.post("/v1/events", {"events": [{}]})
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "store_unavailable")
