"""From a topic into the streams, over Kafka's own protocol: nothing is committed before it is there, and nothing twice."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from features.erasures import Receipts
from features.errors import ConfigurationError
from features.events.accepting import EventWriter
from features.events.kafka import KafkaBridge, read_config
from features.events.keys import EventKeys
from features.events.schema import event_of
from features.events.shop import EventShop
from tests.features.events.event_makers import INTAKE, NOON, sent
from tests.serving.own_redis import OwnRedis

ROOT = Path(__file__).parents[3]
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def brokers() -> Iterator[tuple[Producer, str]]:
    """Librdkafka's own mock cluster: real sockets and the real protocol, in this process; and its address."""
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 2})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    yield producer, f"{broker.host}:{broker.port}"
    producer.flush(5)


@pytest.fixture
def server() -> Iterator[OwnRedis]:
    """A store of the test's own, to be killed."""
    made = OwnRedis()
    yield made
    made.close()


KEYS = EventKeys("kafka", partitions=2)


def produce(producer: Producer, topic: str, messages: list[bytes]) -> None:
    for message in messages:
        producer.produce(topic, message)
    assert producer.flush(10) == 0


def bridge_of(server: OwnRedis, address: str, topic: str, pause: Any = time.sleep, **more: Any) -> KafkaBridge:
    config = {"bootstrap.servers": address, "log_level": 2, "session.timeout.ms": 6000}
    return KafkaBridge(
        topic,
        config,
        EventWriter(server.url, KEYS, timeout_s=1),
        INTAKE,
        clock=lambda: NOON,
        receipts=Receipts,
        pause=pause,
        backlog=more.get("backlog", 10_000),
    )


def committed(address: str, topic: str) -> int:
    """Messages of a topic that the group need not see again."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "rapport", "log_level": 2})
    partitions = [TopicPartition(topic, number) for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions]
    found = sum(max(0, place.offset) for place in consumer.committed(partitions, timeout=10))
    consumer.close()
    return found


def take(bridge: KafkaBridge, messages: int) -> None:
    """Steps until so many messages were taken."""
    deadline = time.monotonic() + PATIENCE_S
    while bridge.bridged.messages < messages:
        assert time.monotonic() < deadline, bridge.bridged
        bridge.step(wait_s=0.2)


def stored(server: OwnRedis) -> list[str]:
    with redis.Redis.from_url(server.url) as plain:
        entries = [entry for p in KEYS.every_partition for entry in plain.xrange(KEYS.stream(p))]
        return sorted(event_of(fields[b"e"]).event_id for _, fields in entries)


def views(count: int, start: int = 0) -> list[bytes]:
    return [json.dumps(sent(event_id=f"e{number:04d}")).encode() for number in range(start, start + count)]


def test_messages_become_events_and_what_is_wrong_is_set_aside(server: OwnRedis, brokers: tuple[Producer, str]) -> None:
    producer, address = brokers
    with redis.Redis.from_url(server.url) as plain:
        plain.set(KEYS.opted_out("bob"), "facts")
        odd = [
            b"{",
            b"",
            json.dumps(sent(event_id="x", member_id="13800138000:")).encode(),
            json.dumps(sent(event_id="t", type="teleport")).encode(),
            json.dumps(sent(event_id="e0001", item_id="pear")).encode(),
            json.dumps(sent(event_id="b", member_id="bob")).encode(),
        ]
        produce(producer, "odd", [*views(3), *odd])
        bridge = bridge_of(server, address, "odd")
        take(bridge, 9)
        bridge.close()

        assert bridge.bridged.counts == {"accepted": 3, "refused": 3, "quarantined": 1, "conflict": 1, "dropped": 1}
        assert stored(server) == ["e0000", "e0001", "e0002"]
        entries = [fields for _, fields in plain.xrange(KEYS.quarantine)]
        reasons = [fields[b"reason"].decode().partition(":")[0] for fields in entries]
        assert sorted(reasons) == ["/member_id", "conflict", "the event", "the event", "unknown_type"]
        assert b"13800138000" not in b"".join(fields[b"event"] for fields in entries)
    assert committed(address, "odd") == 9


def test_a_store_that_is_killed_while_messages_come_loses_none(server: OwnRedis, brokers: tuple[Producer, str]) -> None:
    """What was not acknowledged by the store is not committed, and tried again when it is back."""
    producer, address = brokers
    server.kill()
    server.start(appendonly="yes", appendfsync="always")
    paused: list[float] = []

    def come_back(seconds: float) -> None:
        paused.append(seconds)
        assert committed(address, "kills") == 600
        server.start(appendonly="yes", appendfsync="always")

    produce(producer, "kills", views(600))
    bridge = bridge_of(server, address, "kills", pause=come_back)
    take(bridge, 600)
    server.kill()
    produce(producer, "kills", views(600, start=600))
    take(bridge, 1200)
    bridge.close()

    assert paused
    assert committed(address, "kills") == 1200
    assert stored(server) == [f"e{number:04d}" for number in range(1200)]


def test_a_full_store_is_waited_for(server: OwnRedis, brokers: tuple[Producer, str]) -> None:
    producer, address = brokers
    waited: list[float] = []

    def make_room(seconds: float) -> None:
        waited.append(seconds)
        with redis.Redis.from_url(server.url) as plain:
            plain.delete(KEYS.stream(0), KEYS.stream(1))

    with redis.Redis.from_url(server.url) as plain:
        for _ in range(5):
            plain.xadd(KEYS.stream(0), {"e": "old"})
    produce(producer, "full", views(3))
    bridge = bridge_of(server, address, "full", pause=make_room, backlog=5)
    take(bridge, 3)
    bridge.close()
    assert len(waited) == 1
    assert stored(server) == ["e0000", "e0001", "e0002"]


def test_killed_at_any_moment_and_begun_again(server: OwnRedis, brokers: tuple[Producer, str], tmp_path: Path) -> None:
    """The front door, killed while it takes messages: they come again, and each event is accepted with one effect."""
    producer, address = brokers
    config = {"bootstrap.servers": address, "session.timeout.ms": 6000, "group.id": "killed", "log_level": 2}
    (tmp_path / "kafka.json").write_text(json.dumps(config))
    with redis.Redis.from_url(server.url) as plain:
        plain.set(KEYS.shop, EventShop("Europe/Paris", "EUR").to_bytes())
    settings = {
        "RAPPORT_REDIS_URL": server.url, "RAPPORT_KEY_PREFIX": "kafka", "RAPPORT_EVENT_PARTITIONS": "2",
        "RAPPORT_NOW": NOON.isoformat(), "RAPPORT_DATA_DIR": str(tmp_path),
    }  # fmt: skip
    command = [sys.executable, "-m", "rapport", "kafka", "killed", "--config", str(tmp_path / "kafka.json"), "--json"]
    produce(producer, "killed", views(3000))
    first = subprocess.Popen(command, env=settings, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(server, 1)
    first.kill()
    first.wait(10)
    second = subprocess.Popen(command, env=settings, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    wait_for(server, 3000)
    time.sleep(0.5)
    second.send_signal(signal.SIGTERM)
    told = json.loads(second.communicate(timeout=60)[0])

    assert second.returncode == 0
    assert told["accepted"] == told["messages"] <= 3000
    assert sorted(set(stored(server))) == [f"e{number:04d}" for number in range(3000)]


def wait_for(server: OwnRedis, events: int) -> None:
    deadline = time.monotonic() + 120
    while len(set(stored(server))) < events:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"group.id": "x"}', '{"bootstrap.servers": ["a"]}'])
def test_configurations_that_cannot_be_used(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_config(text)


def test_librdkafka_says_what_it_refuses(server: OwnRedis) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.such\.setting"):
        KafkaBridge(
            "t",
            {"bootstrap.servers": "x", "no.such.setting": 1},
            EventWriter(server.url, KEYS),
            INTAKE,
            clock=lambda: NOON,
            receipts=Receipts,
            pause=time.sleep,
            backlog=1,
        )
