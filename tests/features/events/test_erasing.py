"""After an erasure nothing in Redis names the member: no entry in any stream, pending or not, and no key of a day."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from features.events.accepting import EventWriter
from features.events.keys import ARCHIVE_GROUP, EventKeys
from features.events.stream import EventStream
from features.live_store import LIVE_SECONDS
from features.member_store import MemberStore
from tests.features.events.event_makers import INTAKE, event, sent


@pytest.fixture
def keys(request: pytest.FixtureRequest) -> EventKeys:
    return EventKeys(f"test-{request.node.name}", partitions=2)


@pytest.fixture
def store(store_url: str, keys: EventKeys) -> Iterator[MemberStore]:
    made = MemberStore(store_url, prefix=keys.prefix)
    yield made
    made.close()


def everything(plain: Any, prefix: str) -> bytes:
    """All keys of a prefix with what they hold."""
    found = b""
    for key in sorted(plain.scan_iter(match=f"{prefix}:*")):
        kind = plain.type(key)
        content = plain.xrange(key) if kind == b"stream" else plain.hgetall(key) if kind == b"hash" else plain.get(key)
        found += key + repr(content).encode()
    return found


def test_nothing_of_theirs_is_left_and_all_of_others(store_url: str, store: MemberStore, keys: EventKeys) -> None:
    writer = EventWriter(store_url, keys)
    stream = EventStream(store_url, keys, group=ARCHIVE_GROUP, consumer="one", intake=INTAKE)
    stream.ensure_groups()
    writer.accept([event(member_id="gone", event_id=f"e{n}") for n in range(3)])
    stream.read(list(keys.every_partition))  # pending
    writer.accept([event(member_id="gone", event_id="late", occurred_at="2024-01-01T10:00:00Z"), event(member_id="gone2")])
    writer.set_aside("future", json.dumps({"content": {"member_id": "gone"}}).encode())
    writer.set_aside("future", json.dumps({"content": {"member_id": "gone2"}}).encode())
    with redis.Redis.from_url(store_url) as plain:
        plain.xadd(keys.stream(keys.partition_of("gone")), {"r": json.dumps(sent(member_id="gone"))})
        plain.xadd(keys.dead, {"reason": "x", "e": event(member_id="gone").to_bytes()})
        plain.set(f"{keys.prefix}:live_items:{{gone}}:19000", "anything that has a day")
        before = plain.dbsize()

        erased = store.erase("gone")

        assert erased.keys == 3 + 1 + 1 + 1 + 1 + 2 + 1
        assert plain.get(f"{keys.prefix}:erased:{{gone}}") == b""  # so that what is on its way comes to nothing
        assert 0 < plain.ttl(f"{keys.prefix}:erased:{{gone}}") <= LIVE_SECONDS
        plain.delete(f"{keys.prefix}:erased:{{gone}}")
        left = everything(plain, keys.prefix)
        assert b"gone}" not in left
        assert b'"gone"' not in left
        assert b'"gone2"' in left
        assert plain.dbsize() < before
        assert [entry.event.subject for entry in stream.read([0, 1]) if entry.event] == ["gone2"]
    assert store.erase("gone").keys == 0
    writer.close()
    stream.close()


def test_ids_with_signs_of_patterns_mean_themselves(store_url: str, store: MemberStore, keys: EventKeys) -> None:
    with redis.Redis.from_url(store_url) as plain:
        for member in ("a?c", "abc", "a[b]c"):
            plain.set(keys.event_ids(member, 1), "x")
        assert store.erase("a?c").keys == store.erase("a[b]c").keys == 1
        assert plain.exists(keys.event_ids("abc", 1))


def test_a_shop_without_events_has_nothing_to_forget(store: MemberStore) -> None:
    assert store.erase("nobody").keys == 0
