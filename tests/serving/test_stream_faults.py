"""The stream's worker on a server that is killed, frozen, full or emptied, and workers that are killed by the system."""

import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from features.errors import StoreUnavailable
from features.events.schema import Event
from features.member_store import MemberStore
from serving import stream_worker
from serving.stream_worker import StreamWorker
from tests.serving.own_redis import OwnRedis
from tests.serving.stream_world import NUMBERS, World, event, folded, visitor

ROOT = Path(__file__).parents[2]
KINDS = ("view", "cart", "visit", "purchase", "return", "search")


@pytest.fixture
def server() -> Iterator[OwnRedis]:
    started = OwnRedis()
    yield started
    started.close()


@pytest.fixture
def world(server: OwnRedis) -> World:
    return World(server.url, f"stream-{next(NUMBERS)}")


def many(count: int, members: int = 9) -> list[Event]:
    rng = random.Random(count)
    return [event(rng.choice(KINDS), f"m{rng.randrange(members)}", at=rng.randrange(-9, 6)) for _ in range(count)]


def same(world: World, events: list[Event]) -> bool:
    told = [(each, each.member_id or "") for each in events]
    members = sorted({member for _, member in told})
    return bool(world.records(members).tobytes() == folded(members, told).tobytes())


@contextmanager
def working(worker: StreamWorker) -> Iterator[None]:
    """The worker at work beside the test."""
    done = threading.Event()
    thread = threading.Thread(target=lambda: worker.run(stopped=done.is_set))
    thread.start()
    yield
    done.set()
    thread.join(20)
    assert not thread.is_alive()


def until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not _holds(condition):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _holds(condition: Any) -> bool:
    try:
        return bool(condition())
    except redis.RedisError:
        return False


def test_a_server_killed_while_events_come_in(server: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_worker, "RETRY_IDLE_MS", 200)
    monkeypatch.setattr(stream_worker, "TIDY_S", 0.2)
    server.kill()
    server.start(appendonly="yes", appendfsync="always")
    world = World(server.url, "stream-killed")
    events, acknowledged = many(400), []
    with working(world.worker(timeout_s=2.0)):
        for start in range(0, len(events), 20):
            if start in {100, 260}:
                server.kill()
                server.start(appendonly="yes", appendfsync="always")
            world.accept(*events[start : start + 20])
            acknowledged += events[start : start + 20]
        until(lambda: world.waiting() == 0)

    assert same(world, acknowledged)


def test_a_frozen_server_is_waited_for(
    server: OwnRedis, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_worker, "RETRY_IDLE_MS", 200)
    monkeypatch.setattr(stream_worker, "TIDY_S", 0.2)
    monkeypatch.setattr(stream_worker, "WAIT_MS", 50)
    events = many(200)
    worker = world.worker(timeout_s=0.3)
    with working(worker):
        world.accept(*events[:100])
        server.freeze()
        time.sleep(0.9)
        server.thaw()
        world.accept(*events[100:])
        until(lambda: world.waiting() == 0)

    assert worker.tally.counts["store_away"] > 0
    assert 1 <= caplog.text.count("events wait: ") <= worker.tally.counts["store_away"], "it says once what it waits for"
    assert same(world, events)


def test_a_server_without_memory_applies_nothing_by_halves(world: World) -> None:
    events = many(60)
    world.accept(*events)
    world.plain.config_set("maxmemory", "1mb")
    worker = world.worker()
    with pytest.raises(StoreUnavailable, match="out of memory"):
        worker.drain()
    world.plain.config_set("maxmemory", "0")
    world.give_up_leases()

    world.worker().drain()

    assert same(world, events)


def test_an_emptied_server_begins_anew(world: World) -> None:
    worker = world.worker()
    world.accept(*many(20))
    worker.drain()
    world.plain.flushall()
    worker._renew_at = 0.0
    events = many(30)
    worker.step(wait_ms=None)
    world.accept(*events)

    for _ in range(3):
        worker.drain()

    assert same(world, events)


def test_a_user_with_the_rights_of_the_operators_page_may_do_all_of_it(server: OwnRedis) -> None:
    (rights,) = re.findall(r"A user of its own needs `([^`]+)`", (ROOT / "docs/operate.md").read_text())
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "worker", "on", ">secret", "~rapport:*", "&rapport:*", *rights.split())
    world = World(f"unix://worker@{server.socket}?password=secret", "rapport")
    look, login = event("view", None, visitor=visitor("v")), event("identify", "m1", visitor=visitor("v"), at=1)
    events = many(30)
    world.accept(look, *events, login)
    worker = world.worker()
    worker.drain()
    worker._tidy_at = 0.0
    worker.step(wait_ms=None)
    worker.release()

    assert same(world, [*events, msgspec.structs.replace(look, member_id="m1")])
    MemberStore(world.url, prefix="rapport").erase("m1")
    assert world.plain.exists(world.store_keys.live("m1")) == 0


@pytest.mark.slow
def test_processes_that_are_killed_and_started_all_the_time(world: World) -> None:
    """Two workers, one of which is killed by SIGKILL again and again; events come twice and in disorder."""
    events = many(6000, members=200)
    sent = random.Random(1).sample([*events, *random.Random(2).choices(events, k=600)], len(events) + 600)
    killed, rng = 0, random.Random(3)
    steady = started(world)
    for start in range(0, len(sent), 600):
        fleeting = started(world)
        for part in range(start, start + 600, 100):
            world.accept(*sent[part : part + 100])
        time.sleep(rng.uniform(0, 0.3))
        ended(fleeting)
        killed += 1
    until(lambda: world.waiting() == 0, seconds=60)
    ended(steady)

    assert killed == 11
    assert same(world, events)
    assert not world.plain.exists(world.keys.dead)


def started(world: World) -> subprocess.Popen[bytes]:
    """A worker in a process of its own, at work."""
    command = [sys.executable, str(ROOT / "tests/serving/stream_process.py"), world.url, world.prefix, str(world.partitions)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def ended(process: subprocess.Popen[bytes]) -> None:
    """Killed by the system, at whatever it is doing."""
    process.kill()
    process.communicate()
