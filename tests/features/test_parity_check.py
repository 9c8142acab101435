"""The comparison of what is served with a batch: a real day replayed shows none, and whatever is planted is found."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from features.build import build
from features.contract import CONTRACT
from features.errors import ConfigurationError, NothingPublished
from features.events.from_facts import events_of_day
from features.events.publish_shop import shop_of
from features.events.schema import Event
from features.facts import Facts
from features.live_events import changes_of
from features.live_parity import Parity
from features.live_slots import slots_of
from features.live_store import Change, LiveStore, Outcome
from features.online_store import RedisStore
from features.parity_check import ParityCheck, parity_dict
from features.publish import publish
from features.store_keys import Keys


@dataclass
class Replayed:
    """A day of the facts of which the store knows the midnight, and then its events."""

    url: str
    prefix: str
    facts: Facts
    day: int

    def __post_init__(self) -> None:
        self.live = LiveStore(self.url, prefix=self.prefix, slots=slots_of(CONTRACT))
        self.plain: Any = redis.Redis.from_url(self.url)
        self.events = events_of_day(self.facts, self.day)
        self.moment = self.facts.midnight(self.day) + timedelta(hours=16)

    def send(self, events: list[Event]) -> None:
        outcomes = self.live.apply([self.change(e, e.subject) for e in events])
        assert {o.status for o in outcomes if isinstance(o, Outcome)} == {"applied"}

    def change(self, event: Event, member: str) -> Change:
        (made,) = changes_of(CONTRACT, [(event, member)], is_holiday=shop_of(self.facts).is_holiday())
        return made

    def check(self, **more: Any) -> Parity:
        check = ParityCheck(self.url, prefix=self.prefix, most=more.pop("most", 10_000))
        found = check.run(lambda: self.facts, 0, moment=more.pop("moment", self.moment), pause_s=0.0, **more)
        check.keep(found, moment=self.moment)
        check.close()
        return found


@pytest.fixture(scope="module")
def shop(facts_folder: Path) -> Facts:
    return Facts.open(facts_folder)


@pytest.fixture
def replayed(shop: Facts, store_url: str, request: pytest.FixtureRequest) -> Replayed:
    prefix = f"test-{request.node.name}"
    day = shop.manifest.until_day - 4
    publish(build(shop, as_of=shop.midnight(day)), RedisStore(store_url, prefix=prefix))
    return Replayed(store_url, prefix, shop, day)


def test_a_replayed_day_shows_no_difference(replayed: Replayed) -> None:
    assert len(replayed.events) > 20
    replayed.send(replayed.events)

    found = replayed.check()

    assert found.active > 20
    assert found.members > found.active
    assert (found.differences, found.missing, found.extra, found.unsettled) == ({}, 0, 0, 0)
    assert parity_dict(found, replayed.moment)["mismatches"] == 0
    assert b'"mismatches": 0' in (replayed.live.read_parity() or b"")


def test_an_event_that_was_lost_is_found(replayed: Replayed) -> None:
    lost = replayed.events[3]
    replayed.send([e for e in replayed.events if e is not lost])

    found = replayed.check()

    assert found.differences["purchases_7d"].members == 1
    assert found.differences["spend_cents_7d"].largest == sum(line.net_cents for line in lost.lines)
    assert found.mismatches > 10


def test_an_event_that_counted_twice_is_found(replayed: Replayed) -> None:
    replayed.send(replayed.events)
    replayed.live.apply([replace(replayed.change(replayed.events[0], replayed.events[0].subject), event_id="another")])

    assert replayed.check().differences["purchases_7d"].members == 1


def test_members_that_one_side_does_not_know_are_counted(replayed: Replayed) -> None:
    replayed.send(replayed.events)
    quiet = min({*replayed.facts.query("SELECT DISTINCT member_id FROM orders")["member_id"].to_pylist()} - active(replayed))
    replayed.plain.delete(Keys(replayed.prefix).aggregates(quiet))
    replayed.live.apply([replayed.change(replayed.events[0], "nobody")])

    found = replayed.check()

    assert (found.missing, found.extra, found.mismatches) == (1, 1, 0)


def active(replayed: Replayed) -> set[str]:
    return {e.subject for e in replayed.events}


def test_who_moves_between_the_looks_is_not_judged(replayed: Replayed, shop: Facts) -> None:
    late = replayed.events[-1]
    replayed.send(replayed.events[:-1])
    looks = 0

    def facts() -> Facts:
        nonlocal looks
        looks += 1
        if looks == 2:
            replayed.send([late])
        return shop

    check = ParityCheck(replayed.url, prefix=replayed.prefix, most=1000)
    found = check.run(facts, 0, moment=replayed.moment, pause_s=0.0)

    assert looks == 2  # the second look found it settled
    assert (found.mismatches, found.unsettled) == (0, 0)


def test_a_sample_holds_those_who_were_active_first(replayed: Replayed) -> None:
    replayed.send(replayed.events)

    found = replayed.check(most=len(active(replayed)) + 7)

    assert found.active == len(active(replayed))
    assert found.active < found.members <= found.active + 7


def test_another_day_than_the_published_one_is_refused(replayed: Replayed) -> None:
    with pytest.raises(ConfigurationError, match="as of"):
        replayed.check(moment=replayed.moment + timedelta(days=1))


def test_an_empty_store_is_said_to_be_so(replayed: Replayed) -> None:
    replayed.prefix = "nothing-here"

    with pytest.raises(NothingPublished):
        replayed.check()
