"""What live features cost, how soon they are there, and whether crashes, duplicates and disorder lose or double anything.

python benchmarks/stream.py [--events 100000] [--members 20000] [--chaos 100000] [--paced 10]

`--events` are drained by one worker and by two; `--chaos` events are applied while workers are killed; `--paced` seconds of
1,000 events a second give the delays. Each part begins on an emptied server. JSON on the last line.
"""

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # before numpy is loaded
sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package
sys.path.insert(1, str(Path(__file__).parent))

import numpy as np
import redis
from stream_world import PREFIX, Bench, bench, drained, killed, timed

from features.events.accepting import EventWriter

FEAST_PUSH_US = 17_800
"""One row pushed into Feast 0.67 on Redis, measured on this kind of machine in November 2026; not measured here."""
TRIGGER = """
describes = "benchmark"
[trigger.first_cart]
meaning = "A probe's first cart"
campaign = "probe"
on = ["cart"]
when = "carts_1d >= 1"
becomes = true
"""
RATE, TICK_S = 1000, 0.01


def throughput(world: Bench, events: int, members: int, workers: int) -> dict[str, float]:
    """Events a second while streams are emptied, and what one event costs the workers and the server."""
    world.publish_nothing()
    world.fill(world.events(events, members))
    server, began = world.server_cpu_s(), timed()
    done = drained([world.started("drain") for _ in range(workers)])
    spent = sum(each["cpu_s"] for each in done)
    wall = max(each["wall_s"] for each in done)
    assert world.waiting() == 0
    assert sum(each.get("applied", 0) for each in done) == events
    lost, twice = world.lost_and_twice()
    assert (lost, twice) == (0, 0)
    return {
        "events_per_s": events / wall,
        "cpu_us_per_event": spent / events * 1e6,
        "server_cpu_us_per_event": (world.server_cpu_s() - server) / events * 1e6,
        "seconds_with_start": timed() - began,
    }


def chaos(world: Bench, events: int, members: int) -> dict[str, float]:
    """Events in disorder, one in a hundred twice; a worker that crashes once in a hundred batches, another killed."""
    world.publish_nothing()
    world.fill(world.events(events, members), again=0.01)
    crashing, kills = world.worker("crashing"), 0
    while crashing.poll() is None:
        fleeting = world.worker()
        time.sleep(0.2 + 0.1 * (kills % 9))
        killed(fleeting)
        kills += 1
    crashes = int(json.loads(crashing.communicate()[0])["crashes"])
    lost, twice = world.lost_and_twice()
    dead = world.client.xlen(world.keys.dead)
    return {"chaos_events": events, "crashes": crashes, "kills": kills, "lost": lost, "twice": twice, "dead": dead}


def delays(world: Bench, seconds: float, members: int) -> dict[str, float]:
    """From an event's acceptance until its vector is readable and its trigger published, at 1,000 events a second."""
    world.publish_nothing()
    (world.folder / "triggers").mkdir(exist_ok=True)
    (world.folder / "triggers" / "probe.toml").write_text(TRIGGER)
    worker = world.worker()
    accepted: dict[str, float] = {}
    readable: dict[str, float] = {}
    fired: dict[str, float] = {}
    done = threading.Event()
    watchers = [
        threading.Thread(target=_watch_live, args=(world, accepted, readable, done)),
        threading.Thread(target=_watch_triggers, args=(world, fired, done)),
    ]
    for watcher in watchers:
        watcher.start()
    behind = _send(world, seconds, members, accepted)
    time.sleep(3)
    done.set()
    for watcher in watchers:
        watcher.join()
    killed(worker)
    read = [(readable[name] - moment) * 1000 for name, moment in accepted.items() if name in readable]
    out = [(fired[name] - moment) * 1000 for name, moment in accepted.items() if name in fired]
    return {
        "probes": len(accepted),
        "unread": len(accepted) - len(read),
        "unfired": len(accepted) - len(out),
        "sender_behind_s": behind,
        **{f"read_p{q}_ms": float(np.percentile(read, q)) for q in (50, 99)},
        **({f"trigger_p{q}_ms": float(np.percentile(out, q)) for q in (50, 99)} if out else {}),
    }


def _send(world: Bench, seconds: float, members: int, accepted: dict[str, float]) -> float:
    """1,000 events a second; of each hundred one is a probe: the first cart of a member nobody else has. Returns the delay."""
    writer = EventWriter(world.url, world.keys)
    ticks, many = round(seconds / TICK_S), round(RATE * TICK_S)
    everything = list(world.events(ticks * many, members))
    began = time.perf_counter()
    for tick in range(ticks):
        events = everything[tick * many : (tick + 1) * many]
        probe = f"probe-{tick:06d}" if tick % 10 == 0 else ""
        if probe:
            events[0] = world.event(10**8 + tick, probe, "cart", 0)
        time.sleep(max(0.0, began + tick * TICK_S - time.perf_counter()))
        writer.accept(events)
        if probe:
            accepted[probe] = time.perf_counter()
    writer.close()
    return time.perf_counter() - began - seconds


def _watch_live(world: Bench, accepted: dict[str, float], readable: dict[str, float], done: threading.Event) -> None:
    """Ask for the probes that are not readable yet, every millisecond."""
    client = redis.Redis.from_url(world.url)
    while not done.is_set():
        waiting = [name for name in list(accepted) if name not in readable]
        if waiting:
            found, now = client.mget([world.store_keys.live(name) for name in waiting]), time.perf_counter()
            readable.update({name: now for name, value in zip(waiting, found, strict=True) if value is not None})
        time.sleep(0.001)
    client.close()


def _watch_triggers(world: Bench, fired: dict[str, float], done: threading.Event) -> None:
    client = redis.Redis.from_url(world.url)
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(f"{PREFIX}:{{triggers}}")
    while not done.is_set():
        message = listener.get_message(timeout=0.1)
        if message:
            fired.setdefault(json.loads(message["data"])["member_id"], time.perf_counter())
    listener.close()
    client.close()


def main() -> None:
    """Run every part and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--chaos", type=int, default=100_000)
    parser.add_argument("--paced", type=float, default=10.0)
    given = parser.parse_args()
    with bench() as world:
        one = throughput(world, given.events, given.members, 1)
        kept = world.bytes_per_active_member(given.members)
        two = throughput(world, given.events, given.members, 2)
        crowd = throughput(world, given.events, given.members * 10, 1)
        found = {
            **one,
            "scaling_2": two["events_per_s"] / one["events_per_s"],
            "cpu_us_per_event_ten_times_the_members": crowd["cpu_us_per_event"],
            "feast_push_of_cpu": FEAST_PUSH_US / one["cpu_us_per_event"],
            "events_per_active_member": given.events / given.members,
            "bytes_per_active_member": sum(kept.values()),
            **{f"bytes_{name}": value for name, value in kept.items()},
            **delays(world, given.paced, given.members),
            **chaos(world, given.chaos, given.members),
        }
    found["mismatches"] = found["lost"] + found["twice"]
    found["load"] = os.getloadavg()[0]
    print(json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in found.items()}))


if __name__ == "__main__":
    main()
