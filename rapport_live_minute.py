"""The demo's live minute: a real day once more, event by event, with one member watched and parity at its end."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import redis

from features.build import FeatureRows, build
from features.codec import decode
from features.contract import CONTRACT
from features.derive import derive
from features.errors import NothingPublished
from features.events.accepting import EventWriter
from features.events.from_facts import events_of_day
from features.events.keys import EventKeys
from features.events.publish_shop import publish_event_shop
from features.events.schema import Event
from features.facts import Facts
from features.live_slots import slots_of
from features.live_state import merged
from features.live_store import LiveStore
from features.online_store import RedisStore
from features.parity_check import ParityCheck
from features.publish import publish
from features.screen import Screen
from features.settings import Settings
from serving.api import Api
from serving.stream_at_work import open_worker
from serving.stream_worker import StreamWorker
from serving.triggers.at_work import triggers_at_work
from serving.triggers.store import TriggerKeys

WATCHED = 4
"""Events of the watched member that are shown at most."""
TRIGGER = """
describes = "The demo's own"
[trigger.big_week]
meaning = "Spent 150 in seven days: say thank you while they are still there"
campaign = "thanks"
on = ["purchase"]
when = "spend_cents_7d >= 15000"
becomes = true
"""


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where the day is played: a corner of the store of its own, at the end of that day."""

    settings: Settings
    url: str
    facts: Facts
    day: int

    def live(self) -> LiveStore:
        """Its live values."""
        return LiveStore(self.url, prefix=self.settings.key_prefix, slots=slots_of(CONTRACT))


def live_minute(settings: Settings, screen: Screen, url: str, facts: Facts) -> dict[str, Any]:
    """Play the last day of the facts; returns its figures. Nothing of it stays in the store."""
    day = facts.manifest.until_day - 1
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "demo.toml").write_text(TRIGGER)
        own = replace(
            settings,
            redis_url=url,
            key_prefix=f"{settings.key_prefix}-live",
            triggers_dir=Path(folder),
            now=facts.midnight(day + 1) - timedelta(seconds=1),
        )
        stage = _Stage(own, url, facts, day)
        try:
            return _play(stage, screen)
        finally:
            _clear(stage)


def _play(stage: _Stage, screen: Screen) -> dict[str, Any]:
    rows = build(stage.facts, as_of=stage.facts.midnight(stage.day))
    publish(rows, RedisStore(stage.url, prefix=stage.settings.key_prefix))
    keys = EventKeys(stage.settings.key_prefix, stage.settings.event_partitions)
    publish_event_shop(stage.facts, stage.url, keys)
    events = events_of_day(stage.facts, stage.day)
    member = _watched(rows, events)
    worker, begun = open_worker(stage.settings, stage.url), time.process_time()
    try:
        table = _replay(stage, keys, worker, events, member)
    finally:
        worker.close()
    spent = time.process_time() - begun
    screen.table(
        f"Member {member} in the course of the day",
        ("at", "happened", "spent in 7 days", "days since", "risk of leaving"),
        table,
    )
    fired = _fired(stage)
    check = ParityCheck(stage.url, prefix=stage.settings.key_prefix, most=100_000)
    found = check.run(lambda: stage.facts, 0, moment=stage.settings.clock())
    check.close()
    screen.say(
        f"{len(events):,} events in {spent:.1f} s of processor time, and a trigger (150 spent in a week) fired {fired:,} times."
    )
    screen.say(
        f"Parity: {found.mismatches} mismatches over {found.members:,} members, {found.active:,} of them active that day."
    )
    return {"live_events": len(events), "live_fired": fired, "live_mismatches": found.mismatches}


def _watched(rows: FeatureRows, events: Sequence[Event]) -> str:
    """The regular who comes back that day after the longest silence by their own rhythm."""
    came = np.isin(rows.member_ids, [event.subject for event in events if event.type == "purchase"])
    active = (rows.column("days_since_last_purchase") <= 84) & (rows.column("purchase_days") >= 10)
    silence = np.where(came & active, np.nan_to_num(rows.column("silence_of_mean_gap")), -1)
    return str(rows.member_ids[int(silence.argmax())])


def _replay(
    stage: _Stage, keys: EventKeys, worker: StreamWorker, events: Sequence[Event], member: str
) -> list[tuple[object, ...]]:
    """Send the events one by one, each at its own moment, and look whenever the member did something."""
    now = [stage.facts.midnight(stage.day)]
    worker.triggers.close()
    worker.triggers = replace(triggers_at_work(stage.settings, stage.url), clock=lambda: now[0])
    writer = EventWriter(stage.url, keys)
    table: list[tuple[object, ...]] = []
    watched = [event for event in events if event.subject == member][:WATCHED]
    with asyncio.Runner() as runner:
        api = Api(stage.settings)
        table.append(("midnight", "-", *runner.run(_seen(api, stage, member))))
        for event in events:
            now[0] = event.occurred_at
            writer.accept([event])
            worker.drain()
            if event in watched:
                at = event.occurred_at.astimezone(stage.facts.zone)
                table.append((f"{at:%H:%M}", _words(event), *runner.run(_seen(api, stage, member))))
        runner.run(api.close())
    writer.close()
    return table


async def _seen(api: Api, stage: _Stage, member: str) -> tuple[str, str, str]:
    """What is known of the member right now: spend of seven days, days since the last purchase, risk."""
    body = json.dumps({"member_ids": [member], "outputs": ["churn"]}).encode()
    row = json.loads(await api.score(body, "application/json", "demo"))["rows"][0]
    features = _features(stage, member)
    risk = f"{row['churn']['probability']:.1%} ({row['churn']['band']})" if row["churn"] else "-"
    return f"{features['spend_cents_7d'] / 100:,.2f}", f"{features['days_since_last_purchase']:.0f}", risk


def _features(stage: _Stage, member: str) -> dict[str, float]:
    """Features of a member as of now, from base and today."""
    store, live = RedisStore(stage.url, prefix=stage.settings.key_prefix), stage.live()
    stamp, (base,) = store.read_stamp(), store.read_aggregates([member])
    if stamp is None or base is None:
        raise NothingPublished("the demo's corner of the store is empty", remedy="run the demo again")
    edges = {name: float("nan") if edge is None else edge for name, edge in stamp.edges.items()}
    now, _ = merged(CONTRACT, decode(CONTRACT, [base]).records, live.read([member]), stage.day)
    store.close()
    live.close()
    return dict(zip(CONTRACT.feature_names, derive(CONTRACT, now, day=stage.day, edges=edges)[0].tolist(), strict=True))


def _words(event: Event) -> str:
    if not event.lines:
        return event.type
    return f"{event.type} of {len(event.lines)} lines, {sum(line.net_cents for line in event.lines) / 100:,.2f}"


def _fired(stage: _Stage) -> int:
    with redis.Redis.from_url(stage.url) as client:
        return int(client.xlen(TriggerKeys(stage.settings.key_prefix).stream))


def _clear(stage: _Stage) -> None:
    with redis.Redis.from_url(stage.url) as client:
        for key in client.scan_iter(f"{stage.settings.key_prefix}:*", count=5000):
            client.unlink(key)
