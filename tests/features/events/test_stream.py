"""Events into streams and out of them, on a real store: ids, partitions, groups, claims, dead letters, trimming."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from features.errors import ConfigurationError
from features.events.accepting import EventWriter, Outcome
from features.events.erasing import forget
from features.events.keys import ARCHIVE_GROUP, LIVE_GROUP, EventKeys
from features.events.schema import Event
from features.events.spool import take
from features.events.stream import DEAD_DAYS, MOST_DELIVERIES, QUARANTINE_DAYS, EventStream
from tests.features.events.event_makers import INTAKE, event, sent


@pytest.fixture
def plain(store_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(store_url) as client:
        yield client


@pytest.fixture
def keys(request: pytest.FixtureRequest) -> EventKeys:
    return EventKeys(f"test-{request.node.name}", partitions=2)


@pytest.fixture
def writer(store_url: str, keys: EventKeys) -> Iterator[EventWriter]:
    made = EventWriter(store_url, keys)
    yield made
    made.close()


@pytest.fixture
def stream(store_url: str, keys: EventKeys) -> Iterator[EventStream]:
    made = EventStream(store_url, keys, group=ARCHIVE_GROUP, consumer="one", intake=INTAKE)
    made.ensure_groups()
    yield made
    made.close()


def views(count: int, member: str = "ann") -> list[Event]:
    return [event(event_id=f"e{number}", member_id=member) for number in range(count)]


def everything(stream: EventStream, keys: EventKeys) -> list[Event]:
    return [entry.event for entry in stream.read(list(keys.every_partition)) if entry.event is not None]


def test_what_is_accepted_is_read_as_it_was(writer: EventWriter, stream: EventStream, keys: EventKeys) -> None:
    events = [*views(3), event("purchase", event_id="p", member_id="bob"), event(member_id=None, visitor_id="cookie-1")]

    assert writer.accept(events) == [Outcome.ACCEPTED] * 5
    found = everything(stream, keys)

    assert sorted(e.event_id for e in found) == ["e0", "e1", "e1", "e2", "p"]
    assert all(e in events for e in found)
    assert everything(stream, keys) == []


def test_a_members_events_stand_in_one_partition_in_their_order(
    writer: EventWriter, stream: EventStream, keys: EventKeys
) -> None:
    writer.accept([each for number in range(20) for each in (views(20)[number], views(20, "bob")[number])])
    entries = stream.read(list(keys.every_partition))

    for member in ("ann", "bob"):
        theirs = [entry for entry in entries if entry.event is not None and entry.event.subject == member]
        assert {entry.partition for entry in theirs} == {keys.partition_of(member)}
        assert [entry.event.event_id for entry in theirs if entry.event] == [f"e{number}" for number in range(20)]


def test_the_same_again_is_accepted_and_another_body_is_a_conflict(writer: EventWriter) -> None:
    assert writer.accept([event(), event()]) == [Outcome.ACCEPTED] * 2
    assert writer.accept([event(item_id="pear"), event(member_id="bob", item_id="pear")]) == [
        Outcome.CONFLICT,
        Outcome.ACCEPTED,  # ids are the member's
    ]


def test_what_was_accepted_and_not_applied_is_added_again_and_what_was_applied_is_not(
    writer: EventWriter, stream: EventStream, keys: EventKeys, plain: Any
) -> None:
    """Whoever was not answered sends again: the event may not have got into its stream."""
    writer.accept([event()])
    writer.accept([event()])
    assert len(everything(stream, keys)) == 2

    ids = keys.event_ids("ann", event().local_day)
    plain.hset(ids, "e1", plain.hget(ids, "e1")[:-1] + b"d")
    assert writer.accept([event()]) == [Outcome.ACCEPTED]
    assert everything(stream, keys) == []
    assert 0 < plain.ttl(ids) <= 3 * 86_400


def test_who_refused_marketing_is_told_and_nothing_is_kept(
    writer: EventWriter, stream: EventStream, keys: EventKeys, plain: Any
) -> None:
    plain.set(keys.opted_out("ann"), "facts")

    assert writer.accept([event(), event(member_id="bob")]) == [Outcome.OPTED_OUT, Outcome.ACCEPTED]
    assert [e.subject for e in everything(stream, keys)] == ["bob"]
    assert not plain.exists(keys.event_ids("ann", event().local_day))


def test_a_visitor_who_is_known_to_have_refused_is_told_the_same(
    writer: EventWriter, stream: EventStream, keys: EventKeys, plain: Any
) -> None:
    """The device is another member's by its last login, whoever used it before."""
    refusing, other, nobody = (event(member_id=None, visitor_id=name, event_id=name) for name in ("x", "y", "z"))
    plain.set(keys.opted_out("ann"), "told")
    plain.set(keys.alias(refusing.subject), "ann")
    plain.set(keys.alias(other.subject), "bob")
    named = event(event_id="n", member_id="bob", visitor_id="x")

    found = writer.accept([refusing, other, nobody, named, refusing])
    assert found == [Outcome.OPTED_OUT, Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.OPTED_OUT]
    assert {e.event_id for e in everything(stream, keys)} == {"y", "z", "n"}
    assert not plain.exists(keys.event_ids(refusing.subject, refusing.local_day))

    plain.set(keys.alias(refusing.subject), "bob")
    assert writer.accept([refusing]) == [Outcome.ACCEPTED]


def consumers(plain: Any, keys: EventKeys, partition: int) -> dict[str, int]:
    """Consumers of the group, and how many entries each has in hand."""
    return {bytes(c["name"]).decode(): c["pending"] for c in plain.xinfo_consumers(keys.stream(partition), ARCHIVE_GROUP)}


def test_consumers_that_hold_nothing_are_forgotten_and_no_entry_with_them(
    store_url: str, writer: EventWriter, keys: EventKeys, plain: Any
) -> None:
    """One left an entry unfinished, one finished all; whoever took the entry over holds nothing in the end either."""
    partition = keys.partition_of("ann")
    gone, left, here = (EventStream(store_url, keys, group=ARCHIVE_GROUP, consumer=name) for name in ("gone", "left", "here"))
    assert gone.forget_idle(partition, min_idle_ms=0) == 0  # there is no stream yet
    gone.ensure_groups()
    writer.accept([event(event_id="1")])
    gone.ack(partition, [entry.entry_id for entry in gone.read([partition])])
    writer.accept([event(event_id="2")])
    left.read([partition])
    assert consumers(plain, keys, partition) == {"gone": 0, "left": 1}

    assert here.forget_idle(partition, min_idle_ms=60_000) == 0  # they were here a moment ago
    assert here.forget_idle(partition, min_idle_ms=0) == 1
    assert consumers(plain, keys, partition) == {"left": 1}

    (entry,) = here.reclaim(partition, min_idle_ms=0)
    assert entry.event is not None
    assert entry.event.event_id == "2"
    assert here.forget_idle(partition, min_idle_ms=0) == 1
    assert consumers(plain, keys, partition) == {"here": 1}
    here.ack(partition, [entry.entry_id])
    assert here.forget_idle(partition, min_idle_ms=0) == 1  # itself, and it goes on as if nothing had been
    writer.accept([event(event_id="3")])
    assert [each.event.event_id for each in here.read([partition]) if each.event] == ["3"]
    plain.xgroup_destroy(keys.stream(partition), ARCHIVE_GROUP)
    assert here.forget_idle(partition, min_idle_ms=0) == 0
    for each in (gone, left, here):
        each.close()


def test_a_server_that_forgot_the_script_is_told_it_again(writer: EventWriter, plain: Any) -> None:
    writer.accept([event()])
    plain.script_flush()
    assert writer.accept(views(3)) == [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.ACCEPTED]


def test_entries_of_trusted_producers_are_read_as_strictly(stream: EventStream, keys: EventKeys, plain: Any) -> None:
    name = keys.stream(0)
    for raw in (json.dumps(sent()), json.dumps(sent(event_id="a:b")), "{", json.dumps(sent(type="teleport"))):
        plain.xadd(name, {"r": raw})
    plain.xadd(name, {"e": "no event"})
    plain.xadd(name, {"x": "nothing of ours"})

    good, *bad = stream.read([0])

    assert good.event is not None
    assert good.event.received_at.timestamp() == pytest.approx(time.time(), abs=60)
    assert [entry.event for entry in bad] == [None] * 5
    assert [entry.problem.partition(":")[0] for entry in bad] == [
        "/event_id",
        "the event",
        "unknown_type",
        "unreadable",
        "unreadable",
    ]


def test_what_a_dead_consumer_took_is_claimed_and_ends_in_the_dead_letters(
    writer: EventWriter, stream: EventStream, keys: EventKeys, plain: Any
) -> None:
    writer.accept([event()])
    partition = keys.partition_of("ann")
    assert [entry.deliveries for entry in stream.read([partition])] == [1]

    counts = [[entry.deliveries for entry in stream.reclaim(partition, min_idle_ms=0)] for _ in range(MOST_DELIVERIES)]

    assert counts == [[2], [3], [4], [5], []]
    ((_, dead),) = plain.xrange(keys.dead)
    assert (dead[b"group"], dead[b"reason"]) == (b"archive", b"it failed 5 times")
    assert dead[b"e"] == event().to_bytes()
    assert stream.reclaim(partition, min_idle_ms=0) == []
    assert stream.lag(partition) == 0


def test_what_was_taken_just_now_is_not_claimed(writer: EventWriter, stream: EventStream, keys: EventKeys) -> None:
    writer.accept([event()])
    stream.read([keys.partition_of("ann")])
    assert stream.reclaim(keys.partition_of("ann"), min_idle_ms=60_000) == []


def test_trimming_keeps_what_any_group_has_not_acknowledged(
    store_url: str, writer: EventWriter, stream: EventStream, keys: EventKeys, plain: Any
) -> None:
    live = EventStream(store_url, keys, group=LIVE_GROUP, consumer="two")
    live.ensure_groups()
    writer.accept(views(10))
    partition, name = keys.partition_of("ann"), keys.stream(keys.partition_of("ann"))
    ours, theirs = stream.read([partition]), live.read([partition])

    assert stream.trim(partition) == 0
    stream.ack(partition, [entry.entry_id for entry in ours])
    assert stream.trim(partition) == 0  # the other group has acknowledged none
    live.ack(partition, [entry.entry_id for entry in theirs if entry is not theirs[3]])
    assert stream.trim(partition) == 3
    assert plain.xlen(name) == 7
    live.ack(partition, [theirs[3].entry_id])
    assert stream.trim(partition) == 7
    assert stream.lag(partition) == live.lag(partition) == 0
    writer.accept([event(event_id="new")])
    assert stream.trim(partition) == 0
    assert [entry.event.event_id for entry in live.read([partition]) if entry.event] == ["new"]
    live.close()


def test_what_was_set_aside_goes_when_its_days_are_over_though_nothing_follows_it(
    stream: EventStream, keys: EventKeys, plain: Any, tmp_path: Path
) -> None:
    now, day = int(time.time() * 1000), 86_400_000
    for name, days in ((keys.quarantine, QUARANTINE_DAYS), (keys.dead, DEAD_DAYS)):
        for age in (days + 1, days - 1):
            plain.xadd(name, {"event": b"{}"}, id=f"{now - age * day}-0")

    take(stream, keys, tmp_path)

    assert (plain.xlen(keys.quarantine), plain.xlen(keys.dead)) == (1, 1)


def test_a_stream_without_groups_is_not_trimmed(stream: EventStream, writer: EventWriter, keys: EventKeys, plain: Any) -> None:
    partition = keys.partition_of("ann")
    writer.accept(views(3))
    plain.xgroup_destroy(keys.stream(partition), ARCHIVE_GROUP)
    assert stream.trim(partition) == 0
    plain.delete(keys.stream(1 - partition))
    assert stream.trim(1 - partition) == stream.lag(1 - partition) == 0


def test_a_deleted_group_comes_back_and_sees_all_that_is_there(
    writer: EventWriter, stream: EventStream, keys: EventKeys, plain: Any
) -> None:
    partition = keys.partition_of("ann")
    writer.accept(views(3))
    stream.read([partition])
    plain.xgroup_destroy(keys.stream(partition), ARCHIVE_GROUP)

    assert stream.reclaim(partition, min_idle_ms=0) == []
    plain.xgroup_destroy(keys.stream(partition), ARCHIVE_GROUP)
    assert stream.read([partition]) == []
    assert len(stream.read([partition])) == 3


def test_another_number_of_partitions_is_refused(store_url: str, stream: EventStream, keys: EventKeys) -> None:
    other = EventStream(store_url, EventKeys(keys.prefix, partitions=4), group=LIVE_GROUP, consumer="x")
    with pytest.raises(ConfigurationError, match="RAPPORT_EVENT_PARTITIONS is 4, and the streams have 2"):
        other.ensure_groups()
    other.close()
    writer = EventWriter(store_url, EventKeys(keys.prefix, partitions=4))
    with pytest.raises(ConfigurationError):
        writer.accept([event()])
    writer.close()


def test_an_erased_entry_that_was_pending_is_not_delivered(
    writer: EventWriter, stream: EventStream, keys: EventKeys, plain: Any
) -> None:
    writer.accept(views(2))
    partition = keys.partition_of("ann")
    first, second = stream.read([partition])
    plain.xdel(keys.stream(partition), first.entry_id)
    assert [entry.entry_id for entry in stream.reclaim(partition, min_idle_ms=0)] == [second.entry_id]


def test_the_commands_that_the_guide_allows_suffice(
    store_url: str, keys: EventKeys, plain: Any, request: pytest.FixtureRequest
) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "operate.md").read_text(encoding="utf-8")
    allowed = re.search(r"needs `([^`]*)`", guide)
    assert allowed
    plain.execute_command("ACL", "SETUSER", "till", "reset", "on", ">secret", f"~{keys.prefix}:*", *allowed.group(1).split())
    request.addfinalizer(lambda: redis.Redis.from_url(store_url).execute_command("ACL", "DELUSER", "till"))
    limited = store_url.replace("unix://", "unix://till:secret@")
    writer = EventWriter(limited, keys)
    plain.script_flush()
    writer.accept(views(3))
    assert writer.pressure().events == 3
    writer.set_aside("future", b"{}")
    own = EventStream(limited, keys, group=ARCHIVE_GROUP, consumer="one")
    partition = keys.partition_of("ann")
    own.ensure_groups()
    first, second, third = own.read([partition])
    own.bury(first, "why not")
    own.reclaim(partition, min_idle_ms=0)
    own.ack(partition, [second.entry_id, third.entry_id])
    assert own.trim(partition) == 3
    assert forget(own.client, keys.prefix, "ann") == 2  # a dead letter, and the ids of a day
    own.close()
    writer.close()
