"""A day lived through by its events alone: streams, workers, archive, parity, the night after; by the commands' own jobs."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from commands.events import EventJobs
from commands.stream import StreamJobs
from features.build import build
from features.events.accepting import EventWriter
from features.events.from_facts import events_of_day
from features.events.keys import EventKeys
from features.events.publish_shop import publish_event_shop
from features.events.schema import Event
from features.facts import Facts
from features.online_store import RedisStore
from features.parity_check import ParityCheck
from features.publish import publish
from features.screen import Screen
from features.settings import Settings


@pytest.fixture
def settings(facts_folder: Path, store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """A shop at eight in the evening of the day after its facts end, that night published."""
    shutil.copytree(facts_folder, tmp_path / "data" / "facts")
    facts = Facts.open(tmp_path / "data" / "facts")
    now = facts.midnight(facts.manifest.until_day) + timedelta(hours=20)
    made = Settings(
        data_dir=tmp_path / "data",
        mlruns_dir=tmp_path / "mlruns",
        redis_url=store_url,
        key_prefix=f"test-{request.node.name}",
        triggers_dir=tmp_path / "triggers",
        identity_key="sixteen bytes and more",
        points=(("store", 1.5),),
        now=now,
    )
    publish(build(facts, as_of=facts.midnight(facts.manifest.until_day)), RedisStore(store_url, prefix=made.key_prefix))
    publish_event_shop(facts, store_url, EventKeys(made.key_prefix))
    return made


def todays_events(facts: Facts, now: datetime) -> list[Event]:
    """What members did on the last day of the facts, done again today, and views beside."""
    found = []
    for number, event in enumerate(events_of_day(facts, facts.manifest.until_day - 1)):
        moment = event.occurred_at + timedelta(days=1)
        when = {"occurred_at": moment, "received_at": min(moment, now), "local_day": event.local_day + 1}
        found.append(msgspec.structs.replace(event, event_id=f"today-{number}", order_id=f"today-{number}", **when))
        look = {"type": "view", "lines": (), "order_id": None, "item_id": "1029743", "channel": "app"}
        found.append(msgspec.structs.replace(found[-1], event_id=f"look-{number}", **look))
    return [event for event in found if event.occurred_at < now]


def test_a_day_of_events_is_the_same_live_and_in_the_facts(settings: Settings, store_url: str) -> None:
    facts, now = Facts.open(settings.data_dir / "facts"), settings.clock()
    events = todays_events(facts, now)
    assert len(events) > 40
    writer = EventWriter(store_url, EventKeys(settings.key_prefix))
    writer.accept(events)
    writer.accept(events[::3])
    writer.close()
    jobs = StreamJobs(settings, Screen(as_json=True))

    done = jobs.run(until_idle=True)
    found = jobs.parity(most=10_000, bucket=None, archive=True)

    assert done["applied"] == len(events)
    assert {name: found[name] for name in ("mismatches", "missing", "extra", "unsettled")} == dict.fromkeys(
        ("mismatches", "missing", "extra", "unsettled"), 0
    )
    assert found["active"] == len({event.subject for event in events})
    _assert_the_night_takes_over(settings, store_url, events)


def _assert_the_night_takes_over(settings: Settings, store_url: str, events: list[Event]) -> None:
    """Published anew as of the next midnight, the base holds the day, and its live record is left out: nothing counts twice."""
    facts = Facts.open(settings.data_dir / "facts")
    tomorrow = facts.local_day(settings.clock()) + 1
    publish(build(facts, as_of=facts.midnight(tomorrow)), RedisStore(store_url, prefix=settings.key_prefix))
    later = facts.midnight(tomorrow) + timedelta(hours=1)

    check = ParityCheck(store_url, prefix=settings.key_prefix, most=10_000)
    found = check.run(lambda: facts, 0, moment=later, pause_s=0.0)
    check.close()

    assert (found.mismatches, found.missing, found.extra) == (0, 0, 0)
    assert found.active > 20  # their live values are still there, for bases a day late


def test_points_are_in_the_profile(settings: Settings, store_url: str) -> None:
    facts = Facts.open(settings.data_dir / "facts")
    events = todays_events(facts, settings.clock())
    order = next(event for event in events if event.type == "purchase")
    writer = EventWriter(store_url, EventKeys(settings.key_prefix))
    writer.accept([order])
    writer.close()

    StreamJobs(settings, Screen(as_json=True)).run(until_idle=True)

    profile = RedisStore(store_url, prefix=settings.key_prefix).read_profile(order.subject)
    assert float(profile["points"]) == pytest.approx(1.5 * sum(line.net_cents for line in order.lines) / 100, abs=0.005)
    assert profile["lifecycle_stage"]


def test_an_archive_that_lags_is_seen_as_what_it_is(settings: Settings, store_url: str) -> None:
    """Without the archive's turn the facts lack what is live: every member who moved differs."""
    events = todays_events(Facts.open(settings.data_dir / "facts"), settings.clock())
    writer = EventWriter(store_url, EventKeys(settings.key_prefix))
    writer.accept(events)
    writer.close()
    jobs = StreamJobs(settings, Screen(as_json=True))
    jobs.run(until_idle=True)

    found = jobs.parity(most=10_000, bucket=0, archive=False)
    EventJobs(settings, Screen(as_json=True)).archived(store_url)

    assert found["mismatches"] > len({event.subject for event in events})
    assert jobs.parity(most=10_000, bucket=0, archive=False)["mismatches"] == 0
