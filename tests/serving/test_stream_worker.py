"""The worker of the stream: every event once, whoever is killed where, and visitors who turn out to be members."""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from features.events.schema import Event, Line
from features.live_events import Counting
from features.live_state import Applied
from features.member_store import MemberStore
from features.store_keys import Keys
from serving.stream_worker import RETRY_IDLE_MS, NoTriggers, StreamWorker
from tests.serving.killed_at_a_word import Killed, kill_after
from tests.serving.stream_world import DAY, NUMBERS, World, event, folded, subject, visitor


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    made = World(store_url, prefix=f"stream-{next(NUMBERS)}")
    yield made
    made.plain.close()


def everything() -> list[Event]:
    kinds = ("view", "cart", "favourite", "search", "visit", "purchase", "return", "checkout", "redemption")
    more = {"redemption": {"coupon_id": "c1"}}
    return [
        event(kind, member, at=hour / 7, **more.get(kind, {})) for hour, kind in enumerate(kinds) for member in ("ann", "bob")
    ]


def same(world: World, told: list[tuple[Event, str]]) -> bool:
    members = sorted({member for _, member in told})
    return bool(world.records(members).tobytes() == folded(members, told).tobytes())


def own(events: list[Event]) -> list[tuple[Event, str]]:
    return [(e, e.member_id or "") for e in events]


def test_events_are_folded_as_facts_are(world: World) -> None:
    events = everything()
    world.accept(*random.Random(1).sample(events, len(events)))

    assert world.worker().drain() == len(events)

    assert same(world, own(events))
    assert world.waiting() == 0


def test_what_comes_twice_counts_once(world: World) -> None:
    events = everything()
    world.accept(*events, *events)
    for entry in events[:5]:
        world.plain.xadd(world.keys.stream(world.keys.partition_of(entry.subject)), {"e": entry.to_bytes()})
    worker = world.worker()
    worker.drain()

    assert same(world, own(events))
    assert worker.tally.counts["applied"] == len(events)


def test_workers_that_are_gone_leave_no_name_in_the_group(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.stream_worker.GONE_MS", 0)
    events = everything()
    for number in range(4):  # the process ends without a word, in the middle of what it read
        world.accept(*events[number::4])
        before = world.worker(f"gone-{number}")
        before._renew_at = float("inf")
        before.stream.ensure_groups()
        before.stream.read(world.keys.every_partition)
        before.close()
    worker = world.worker("here")
    worker.drain()
    worker._tidy_at = 0.0
    worker.step(wait_ms=None)

    names = {c["name"] for p in world.keys.every_partition for c in world.plain.xinfo_consumers(world.keys.stream(p), "live")}
    assert names <= {b"here"}
    assert same(world, own(events))
    assert world.waiting() == 0


def test_a_refusal_counts_for_what_the_device_does_from_then_on(world: World) -> None:
    """Logged in, refused, and looked on without a login: neither kept for the archive nor applied."""
    login, before = event("identify", "ann", visitor=visitor("v")), event("view", None, visitor=visitor("v"), at=1)
    world.accept(login, before)
    worker = world.worker()
    worker.drain()
    world.plain.set(world.keys.opted_out("ann"), "told")
    world.accept(event("cart", None, visitor=visitor("v"), at=2), event("view", None, visitor=visitor("w"), at=2))
    worker.drain()

    assert same(world, [(before, "ann")])
    assert sum(world.plain.xlen(world.keys.stream(p)) for p in world.keys.every_partition) == 3


def test_the_items_of_the_day_are_counted(world: World) -> None:
    order = event(
        "purchase", lines=(Line(net_cents=5, item_id="milk", quantity=3), Line(net_cents=5, item_id="milk"), Line(net_cents=1))
    )
    world.accept(event("view"), event("view"), event("cart", item_id="tea"), order, event("search"))
    worker = world.worker()
    worker.drain()

    assert worker.live.items("ann", DAY) == {"v:milk": 2, "c:tea": 1, "p:milk": 1}


def test_counters_that_people_see(world: World) -> None:
    world.counting = Counting({"web": Decimal(1), "store": Decimal("1.5")}, tiers=(1000, 5000))
    world.accept(
        event("purchase", lines=(Line(net_cents=333),)),
        event("purchase", channel="store", lines=(Line(net_cents=500),)),
        event("purchase", channel="phone", lines=(Line(net_cents=400),)),
        event("return", channel="store", lines=(Line(net_cents=33),)),
        event("view"),
    )
    world.worker().drain()

    assert world.plain.hgetall(Keys(world.prefix).profile("ann")) == {
        b"points": b"10.33",  # 3.33 + 7.50 - 0.50, which is 0.495 rounded as its sale would be
        b"spend_cents_2026": b"1200",
        b"spend_cents_2026_to_next": b"3800",
    }


def test_what_a_visitor_buys_counts_once_they_are_a_member(world: World) -> None:
    world.counting = Counting({"web": Decimal(1)})
    world.accept(event("purchase", None, visitor=visitor("v")))
    world.worker().drain()
    assert not world.plain.exists(Keys(world.prefix).profile(subject("v")))  # it would stay for good

    world.accept(event("identify", visitor=visitor("v")))
    world.give_up_leases()
    world.worker().drain()
    assert world.plain.hgetall(Keys(world.prefix).profile("ann")) == {b"points": b"5.00"}


def test_two_workers_share_the_partitions_and_each_event(world: World) -> None:
    first, second = world.worker("one"), world.worker("two")
    first.drain()
    assert first.leases.held == [0, 1, 2]
    second.drain()
    first.leases.renew()
    second.leases.renew()
    assert (first.leases.held, second.leases.held) == ([0, 1], [2])
    events = [event("purchase", f"m{n}") for n in range(40)]
    world.accept(*events)

    assert first.drain() > 0
    assert second.drain() > 0
    assert same(world, own(events))


def test_a_worker_that_is_gone_is_followed_by_another(world: World) -> None:
    gone, events = world.worker("gone", lease_ms=300), everything()
    gone.step(wait_ms=None)
    world.accept(*events)
    gone.stream.read(gone.leases.held)  # read, and killed before anything was done

    heir = world.worker("heir", lease_ms=300)
    heir.run(stopped=lambda: world.waiting() == 0)

    assert same(world, own(events))


def test_a_worker_that_was_paused_and_goes_on_counts_nothing_twice(world: World) -> None:
    paused, events = world.worker("paused"), everything()
    paused.step(wait_ms=None)
    world.accept(*events)
    in_hand = paused.stream.read(paused.leases.held)
    world.give_up_leases()
    world.worker("other").drain()

    paused._work(in_hand)

    assert same(world, own(events))
    assert paused.tally.counts["again"] == len(events)


@pytest.mark.parametrize("reply_is_lost", [False, True])
def test_killed_at_every_word_to_redis(world: World, monkeypatch: pytest.MonkeyPatch, reply_is_lost: bool) -> None:
    """Before each command is sent, and after each was done but before its reply is read: the next worker makes it whole."""
    told: list[tuple[Event, str]] = []
    at, survived = 0, False
    while not survived:
        anonymous = [event("view", None, visitor=visitor("v"), at=n / 9) for n in range(2)]
        login = event("identify", "ann", visitor=visitor("v"))
        events = [*anonymous, event("purchase"), event("view", "bob"), login]
        told += [*((e, "ann") for e in anonymous), *((e, subject("v")) for e in anonymous), *own(events[2:4])]
        world.accept(*events)
        with monkeypatch.context() as patched:
            kill_after(patched, at, reply_is_lost=reply_is_lost)
            survived = _survives(world.worker())
        world.give_up_leases()
        world.worker().drain()
        at += 1

    assert at > 10
    assert same(world, told)
    assert world.waiting() == 0
    assert not world.plain.exists(world.keys.dead)


def _survives(worker: StreamWorker) -> bool:
    try:
        worker.drain()
    except Killed:
        return False
    return True


def test_an_event_that_fails_goes_to_the_dead_letters_and_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.stream_worker.RETRY_IDLE_MS", 0)
    bad, good = event("view", "ann"), [event("view", f"m{n}") for n in range(20)]
    world.plain.rpush(Keys(world.prefix).live("ann"), b"not ours")
    world.accept(good[0], bad, *good[1:])
    worker = world.worker()

    for _ in range(8):
        worker.drain()
        worker._tidy_at = 0.0
        worker.step(wait_ms=None)

    assert RETRY_IDLE_MS > 0
    assert same(world, own(good))
    (letter,) = [fields for _, fields in world.plain.xrange(world.keys.dead)]
    assert letter[b"e"] == world.plain.xrange(world.keys.dead)[0][1][b"e"]
    assert b"5" in letter[b"reason"]
    assert world.waiting() == 0


def test_an_event_that_no_code_foresaw_is_tried_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from serving import stream_worker

    real = stream_worker.changes_of

    def changes_of(contract: Any, told: Any, **more: Any) -> Any:
        if any(e.item_id == "cursed" for e, _ in told):
            raise ZeroDivisionError
        return real(contract, told, **more)

    monkeypatch.setattr(stream_worker, "changes_of", changes_of)
    good = [event("view", f"m{n}") for n in range(6)]
    world.accept(*good[:3], event("view", "ann", item_id="cursed"), *good[3:])
    worker = world.worker()
    worker.drain()

    assert same(world, own(good))
    assert worker.tally.counts["error_ZeroDivisionError"] == 1


def test_what_cannot_be_read_is_left_to_the_archive(world: World) -> None:
    world.plain.xadd(world.keys.stream(0), {"e": b"no event"})
    worker = world.worker()
    worker.drain()

    assert worker.tally.counts["unreadable"] == 1
    assert world.waiting() == 0


def test_a_group_that_was_deleted_begins_again_and_counts_nothing_twice(world: World) -> None:
    events = everything()
    worker = world.worker()
    worker.drain()
    world.accept(*events)
    worker.drain()
    for partition in world.keys.every_partition:
        world.plain.xgroup_destroy(world.keys.stream(partition), "live")
    more = [event("view", "ann")]
    world.accept(*more)

    for _ in range(3):
        worker.drain()

    assert same(world, own([*events, *more]))


def test_what_the_archive_has_not_seen_is_not_forgotten(world: World) -> None:
    world.accept(*everything())
    worker = world.worker()
    worker.drain()
    worker._tidy_at = 0.0
    worker.step(wait_ms=None)

    assert sum(world.plain.xlen(world.keys.stream(p)) for p in world.keys.every_partition) == len(everything())


class Seen(NoTriggers):
    """Triggers that remember what they were told."""

    def __init__(self) -> None:
        self.applied: list[Applied] = []

    def after(self, applied: Any) -> None:
        self.applied += applied


def test_triggers_are_told_what_stood_before_and_after(world: World) -> None:
    seen, events = Seen(), [event("view"), event("view")]
    world.accept(*events)
    worker = world.worker()
    worker.triggers = seen
    worker.drain()

    first, second = seen.applied
    assert first.before is None
    assert second.before == first.after
    assert second.after == worker.live.read(["ann"])[0]
    assert (first.event.event_id, first.member_id, first.again) == (events[0].event_id, "ann", False)


def test_triggers_that_a_kill_kept_from_being_asked_are_asked_by_the_next_worker(world: World) -> None:
    class Fatal(NoTriggers):
        def after(self, applied: Any) -> None:
            raise Killed

    world.accept(event("view"))
    dying = world.worker()
    dying.triggers = Fatal()
    assert not _survives(dying)
    world.give_up_leases()
    seen, heir = Seen(), world.worker()
    heir.triggers = seen
    heir.drain()

    assert [(a.member_id, a.again) for a in seen.applied] == [("ann", True)]


def test_a_visitor_who_logs_in_brings_what_they_did(world: World) -> None:
    before = [event(kind, None, visitor=visitor("v"), at=n / 5) for n, kind in enumerate(("view", "cart", "visit"))]
    after = event("view", None, visitor=visitor("v"), at=2)
    world.accept(*before)
    world.worker().drain()
    assert same(world, [(e, subject("v")) for e in before])
    world.give_up_leases()
    worker = world.worker()
    world.accept(event("identify", "ann", visitor=visitor("v"), at=1))
    worker.drain()
    world.accept(after)
    worker.drain()
    world.accept(event("identify", "ann", visitor=visitor("v"), at=3))
    worker.drain()

    assert same(world, [(e, "ann") for e in (*before, after)])
    assert worker.visitors.member_of(subject("v")) == "ann"


def test_a_first_purchase_that_names_the_visitor_joins_them_too(world: World) -> None:
    look, order = event("view", None, visitor=visitor("v")), event("purchase", "ann", visitor=visitor("v"), at=1)
    world.accept(look)
    world.worker("a").drain()
    world.give_up_leases()
    world.accept(order)
    world.worker("b").drain()

    assert same(world, [(look, "ann"), (order, "ann")])


def test_a_shared_device_gives_each_member_what_was_done_before_their_login(world: World) -> None:
    worker = world.worker()
    first, second = (event("view", None, visitor=visitor("v"), at=n) for n in (0, 2))
    for each in (first, event("identify", "ann", visitor=visitor("v"), at=1)):
        world.accept(each)
        worker.drain()
    world.accept(event("identify", "bob", visitor=visitor("v"), at=1.5))
    worker.drain()
    world.accept(second)
    worker.drain()

    assert same(world, [(first, "ann"), (second, "bob")])


def test_an_erased_member_leaves_nothing_and_gets_nothing_back(world: World) -> None:
    world.accept(event("view", None, visitor=visitor("v")), event("view", "ann"))
    worker = world.worker()
    worker.drain()
    world.accept(event("identify", "ann", visitor=visitor("v")))
    worker.drain()
    world.accept(event("purchase", "ann"), event("identify", "ann", visitor=visitor("w")))  # applied after the erasure

    store = MemberStore(world.url, prefix=world.prefix)
    store.erase("ann")
    store.close()
    kept = {key.decode() for key in world.plain.scan_iter(f"{world.prefix}:*{subject('v')}*")}
    worker.drain()

    left = {key.decode() for key in world.plain.scan_iter(f"{world.prefix}:*ann*")}
    assert left == {Keys(world.prefix).erased("ann")}
    assert kept == set()
    assert worker.visitors.member_of(subject("v")) is worker.visitors.member_of(subject("w")) is None


def test_a_device_that_is_another_members_by_now_stays_theirs_when_the_first_is_erased(world: World) -> None:
    worker = world.worker()
    for member in ("ann", "bob"):
        world.accept(event("identify", member, visitor=visitor("v")))
        worker.drain()
    store = MemberStore(world.url, prefix=world.prefix)
    store.erase("ann")
    store.close()

    look = event("view", None, visitor=visitor("v"))
    world.accept(look)
    worker.drain()
    assert worker.visitors.member_of(subject("v")) == "bob"
    assert same(world, [(look, "bob")])
