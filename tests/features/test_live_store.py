"""One script applies an event to a member: once, whatever is sent again, and all of it or nothing."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis

from features.contract import CONTRACT
from features.errors import CorruptRecord, StoreUnavailable
from features.live_slots import entries_of, slots_of
from features.live_state import days_in
from features.live_store import LIVE_SECONDS, Change, Counter, LiveStore, Outcome
from features.store_keys import Keys

SLOTS = slots_of(CONTRACT)
ADDING, SMALLER, LARGER = 0, SLOTS.adding, SLOTS.adding + SLOTS.smaller


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"test-{request.node.name}"


@pytest.fixture
def live(store_url: str, prefix: str) -> Iterator[LiveStore]:
    opened = LiveStore(store_url, prefix=prefix, slots=SLOTS)
    yield opened
    opened.close()


@pytest.fixture
def plain(store_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(store_url) as client:
        yield client


def change(event_id: str = "e1", day: int = 100, member: str = "ann", **more: Any) -> Change:
    values = SLOTS.empty[None, :].copy()
    for slot, value in more.pop("values", {ADDING: 1.0}).items():
        values[0, slot] = value
    return Change(event_id, more.pop("digest", b"12345678"), member, day, entries_of(CONTRACT, values)[0], **more)


def days(live: LiveStore, member: str = "ann") -> dict[int, dict[int, float]]:
    value = live.read([member])[0]
    return {day: dict(zip(e["slot"].tolist(), e["value"].tolist(), strict=True)) for day, e in days_in(CONTRACT, value)}


def statuses(outcomes: list[Outcome | CorruptRecord]) -> list[str]:
    return [outcome.status if isinstance(outcome, Outcome) else "corrupt" for outcome in outcomes]


def test_a_slot_adds_up_or_keeps_the_smaller_or_the_larger(live: LiveStore) -> None:
    live.apply([change("a", values={ADDING: 2.0, SMALLER: 7.0, LARGER: 3.0})])
    live.apply([change("b", values={ADDING: 0.5, ADDING + 1: -4.0, SMALLER: 9.0, LARGER: 8.0})])

    assert days(live) == {100: {ADDING: 2.5, ADDING + 1: -4.0, SMALLER: 7.0, LARGER: 8.0}}


def test_an_event_that_comes_again_changes_nothing(live: LiveStore) -> None:
    counted = change(items=(("v:milk", 1),), counters=(Counter("points", 150, 2),))

    assert statuses(live.apply([counted, counted])) == ["applied", "again"]
    assert statuses(live.apply([counted])) == ["again"]
    assert days(live) == {100: {ADDING: 1.0}}
    assert live.items("ann", 100) == {"v:milk": 1}


def test_the_same_id_with_another_body_is_not_applied(live: LiveStore) -> None:
    assert statuses(live.apply([change(), change(digest=b"another!", values={ADDING: 5.0})])) == ["applied", "other_body"]
    assert days(live) == {100: {ADDING: 1.0}}


def test_the_outcome_tells_what_stood_before_and_after(live: LiveStore) -> None:
    first, second = live.apply([change("a"), change("b")])

    assert isinstance(first, Outcome)
    assert isinstance(second, Outcome)
    assert first.before is None
    assert second.before == first.after
    assert second.after == live.read(["ann"])[0]


def test_three_days_are_kept_in_order_and_earlier_ones_are_late(live: LiveStore) -> None:
    outcomes = live.apply([change(str(day), day) for day in (101, 100, 103, 99, 100, 101, 102)])

    assert statuses(outcomes) == ["applied", "applied", "applied", "late", "again", "again", "applied"]
    assert list(days(live)) == [101, 102, 103]


def test_accepted_events_are_applied_and_marked(live: LiveStore, plain: Any, prefix: str) -> None:
    ids = Keys(prefix).event_ids("ann", 100)
    plain.hset(ids, "e1", b"12345678a")

    assert statuses(live.apply([change()])) == ["applied"]
    assert plain.hget(ids, "e1") == b"12345678d"


def test_counters_are_exact_and_readable(live: LiveStore, plain: Any, prefix: str) -> None:
    changes = [change(str(n), counters=(Counter("points", 10, 2), Counter("spend_cents", -1))) for n in range(30)]
    live.apply(changes)
    live.apply(changes)

    assert plain.hgetall(Keys(prefix).profile("ann")) == {b"points": b"3.00", b"spend_cents": b"-30"}


def test_everything_expires_but_the_profile(live: LiveStore, plain: Any, prefix: str) -> None:
    keys = Keys(prefix)
    live.apply([change(items=(("p:milk", 2),), counters=(Counter("points", 1),))])

    for key in (keys.live("ann"), keys.event_ids("ann", 100), keys.live_items("ann", 100)):
        assert LIVE_SECONDS - 60 < plain.ttl(key) <= LIVE_SECONDS
    assert plain.ttl(keys.profile("ann")) == -1


def test_an_erased_member_gets_nothing_back(live: LiveStore, plain: Any, prefix: str) -> None:
    plain.set(Keys(prefix).erased("ann"), b"")

    assert statuses(live.apply([change()])) == ["erased"]
    assert live.read(["ann"]) == [None]


@pytest.mark.parametrize("key", ["live", "event_ids", "live_items", "profile"])
def test_a_key_of_another_type_leaves_no_half_of_an_event(key: str, live: LiveStore, plain: Any, prefix: str) -> None:
    keys = Keys(prefix)
    names = {
        "live": keys.live("ann"),
        "event_ids": keys.event_ids("ann", 100),
        "live_items": keys.live_items("ann", 100),
        "profile": keys.profile("ann"),
    }
    plain.rpush(names[key], b"not ours")

    outcomes = live.apply([change(items=(("v:milk", 1),), counters=(Counter("points", 1),)), change(member="bob")])

    assert statuses(outcomes) == ["corrupt", "applied"]
    assert [plain.exists(name) for name in names.values()] == [name == names[key] for name in names.values()]


def test_a_counter_that_is_no_number_leaves_no_half_of_an_event(live: LiveStore, plain: Any, prefix: str) -> None:
    plain.hset(Keys(prefix).profile("ann"), "points", "many")

    assert statuses(live.apply([change(counters=(Counter("points", 1),))])) == ["corrupt"]
    assert live.read(["ann"]) == [None]


def test_a_value_of_other_slots_is_begun_anew(live: LiveStore, plain: Any, prefix: str) -> None:
    plain.set(Keys(prefix).live("ann"), b"L1another!" + b"\x00" * 16)

    live.apply([change()])

    assert days(live) == {100: {ADDING: 1.0}}


def test_a_restarted_server_has_forgotten_the_script(live: LiveStore, plain: Any) -> None:
    live.apply([change("a")])
    plain.script_flush()

    assert statuses(live.apply([change("a"), change("b")])) == ["again", "applied"]


def test_a_server_that_is_away_is_told_as_such(prefix: str) -> None:
    away = LiveStore("redis://127.0.0.1:1/0", prefix=prefix, slots=SLOTS)

    with pytest.raises(StoreUnavailable):
        away.apply([change()])


def test_values_without_entries_are_kept_days(live: LiveStore) -> None:
    live.apply([change(values={})])

    assert days(live) == {100: {}}
    assert np.isnan(SLOTS.empty[SMALLER:]).all()
