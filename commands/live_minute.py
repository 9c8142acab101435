"""The demo's live minute: a real day event by event, one member's features, risk and list moving, parity at its end."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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
from features.list_records import ListStamp
from features.live_slots import slots_of
from features.live_state import merged
from features.live_store import LiveStore
from features.online_store import RedisStore
from features.parity_check import ParityCheck
from features.publish import publish
from features.publish_shop import publish_shop
from features.screen import Screen
from features.settings import Settings
from features.shop_store import ShopStore
from features.sources.schema import ITEMS
from serving.api import Api
from serving.stream_at_work import open_worker
from serving.stream_worker import StreamWorker
from serving.triggers.at_work import triggers_at_work
from serving.triggers.store import TriggerKeys

WATCHED = 4
"""Events of the watched member that are shown at most."""
REGULARS, OFFERED, SHOWN = 40, 20, 3
"""Members of whom one is watched; items of their lists that are asked for, and of these the first that are shown."""
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


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of the watched member at one moment; `offers` are rows of the list, `bought` what the event brought."""

    member_id: str
    at: str
    happened: str
    spend: str
    silence: str
    risk: str
    offers: list[dict[str, Any]]
    bought: frozenset[str]

    def row(self, names: Mapping[str, str]) -> tuple[object, ...]:
        """A row of the table."""
        return (
            self.at,
            self.happened,
            self.spend,
            self.silence,
            self.risk,
            "\n".join(f"{name_of(each, names)[:18]} {each['item_id']}" for each in self.offers[:SHOWN]),
        )


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
    regulars = _regulars(rows, events)
    _publish_lists(stage, regulars, rows.as_of.isoformat())
    worker, begun = open_worker(stage.settings, stage.url), time.process_time()
    try:
        seen = _replay(stage, keys, worker, events, regulars)
    finally:
        worker.close()
    spent = time.process_time() - begun
    moved = _tell(stage, screen, seen)
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
    return {"live_events": len(events), "live_fired": fired, "live_mismatches": found.mismatches, "live_offers_moved": moved}


def _publish_lists(stage: _Stage, members: Sequence[str], as_of: str) -> None:
    """The lists that the night would have left these members, and the shop's items that rules look at."""
    from training.publish_answers import champion_of, publish_lists

    prefix, champion = stage.settings.key_prefix, champion_of(stage.settings.mlruns_dir, "recommender")
    shop, store = ShopStore(stage.url, prefix=prefix), RedisStore(stage.url, prefix=prefix)
    publish_shop(stage.facts, shop)
    if champion is not None:
        publish_lists(np.array(members), stage.facts, champion, store, day=stage.day, as_of=as_of)
        store.write_list_stamp(ListStamp(champion.label, as_of, stage.day))
    shop.close()
    store.close()


def _tell(stage: _Stage, screen: Screen, seen: Sequence[_Seen]) -> int:
    """The watched member's day as a table; returns how many of the items offered at its end were not at midnight."""
    names = item_names(stage.facts, [offer["item_id"] for each in seen for offer in each.offers])
    screen.table(
        f"Member {seen[0].member_id} in the course of the day",
        ("at", "happened", "spent in 7 days", "days since", "risk of leaving", "list begins with"),
        [each.row(names) for each in seen],
    )
    bought = frozenset().union(*(each.bought for each in seen))
    before, now = ({offer["item_id"]: offer for offer in each.offers} for each in (seen[0], seen[-1]))
    gone = [offer for item, offer in before.items() if item in bought and item not in now]
    new = [offer for item, offer in now.items() if item not in before]
    for what, offers in (("Bought since and no longer among", gone), ("New among", new)):
        told = list(dict.fromkeys(offered(offers, names).splitlines()))[:SHOWN]  # several items may have one name
        screen.say(f"{what} the first {len(before)} of the list: {len(offers)} ({', '.join(told) or '-'})")
    return len(new)


def _regulars(rows: FeatureRows, events: Sequence[Event]) -> list[str]:
    """Regulars who come back that day after the longest silence by their own rhythm."""
    came = np.isin(rows.member_ids, [event.subject for event in events if event.type == "purchase"])
    active = (rows.column("days_since_last_purchase") <= 84) & (rows.column("purchase_days") >= 10)
    silence = np.where(came & active, np.nan_to_num(rows.column("silence_of_mean_gap")), -1)
    most = max(1, min(REGULARS, int((silence >= 0).sum())))
    return [str(member) for member in rows.member_ids[np.argsort(-silence, kind="stable")[:most]]]


async def _watched(api: Api, members: Sequence[str], events: Sequence[Event]) -> str:
    """The likeliest to leave of those who buy what begins their list, so that there is something to see; else of all."""
    bought = {(event.subject, line.item_id) for event in events for line in event.lines}
    scores = await _answer(api.score, {"member_ids": members, "outputs": ["churn"]})
    lists = await _answer(api.recommend, {"member_ids": members, "k": SHOWN})

    def to_see(place: int) -> tuple[bool, float]:
        offers, churn = lists[place]["items"], scores[place]["churn"]
        return any((members[place], offer["item_id"]) in bought for offer in offers), churn["probability"] if churn else 0.0

    return members[max(range(len(members)), key=to_see)]


def _replay(
    stage: _Stage, keys: EventKeys, worker: StreamWorker, events: Sequence[Event], members: Sequence[str]
) -> list[_Seen]:
    """Send the events one by one, each at its own moment, and look whenever the one who is watched did something."""
    now = [stage.facts.midnight(stage.day)]
    worker.triggers.close()
    worker.triggers = replace(triggers_at_work(stage.settings, stage.url), clock=lambda: now[0])
    writer = EventWriter(stage.url, keys)
    with asyncio.Runner() as runner:
        api = Api(stage.settings)
        member = runner.run(_watched(api, members, events))
        watched = [event for event in events if event.subject == member][:WATCHED]
        seen = [runner.run(_look(api, stage, member, None))]
        for event in events:
            now[0] = event.occurred_at
            writer.accept([event])
            worker.drain()
            if event in watched:
                seen.append(runner.run(_look(api, stage, member, event)))
        runner.run(api.close())
    writer.close()
    return seen


async def _look(api: Api, stage: _Stage, member: str, event: Event | None) -> _Seen:
    """What the server says of the member right after an event, or at midnight."""
    asked = {"member_ids": [member]}
    (score,) = await _answer(api.score, {**asked, "outputs": ["churn"]})
    (listed,) = await _answer(api.recommend, {**asked, "k": OFFERED})
    features = _features(stage, member)
    return _Seen(
        member,
        "midnight" if event is None else f"{event.occurred_at.astimezone(stage.facts.zone):%H:%M}",
        "-" if event is None else _words(event),
        f"{features['spend_cents_7d'] / 100:,.2f}",
        f"{features['days_since_last_purchase']:.0f}",
        f"{score['churn']['probability']:.1%} ({score['churn']['band']})" if score["churn"] else "-",
        listed["items"],
        frozenset() if event is None else frozenset(line.item_id for line in event.lines if line.item_id is not None),
    )


async def _answer(route: Callable[[bytes, str, str], Awaitable[bytes]], asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of what a route answers."""
    rows: list[dict[str, Any]] = json.loads(await route(json.dumps(asked).encode(), "application/json", "demo"))["rows"]
    return rows


def item_names(facts: Facts, item_ids: Sequence[str]) -> dict[str, str]:
    """What the catalogue calls these items."""
    items = facts.tables[ITEMS.name]
    rows = items.filter(items.item_id.isin(item_ids)).select("item_id", "subcategory").to_pyarrow().to_pylist()
    return {row["item_id"]: (row["subcategory"] or row["item_id"]).lower() for row in rows}


def offered(items: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """Items of a list as text for the screen, one a line: name and source."""
    return "\n".join(rf"{name_of(item, names)} \[{item['source']}]" for item in items)


def name_of(item: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """An item of a list by name, by id if the catalogue calls it nothing."""
    return names.get(item["item_id"], str(item["item_id"])).replace("[", r"\[")


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
    lines = f"{len(event.lines)} line{'s' * (len(event.lines) > 1)}"
    return f"{event.type} of {lines}, {sum(line.net_cents for line in event.lines) / 100:,.2f}"


def _fired(stage: _Stage) -> int:
    with redis.Redis.from_url(stage.url) as client:
        return int(client.xlen(TriggerKeys(stage.settings.key_prefix).stream))


def _clear(stage: _Stage) -> None:
    with redis.Redis.from_url(stage.url) as client:
        for key in client.scan_iter(f"{stage.settings.key_prefix}:*", count=5000):
            client.unlink(key)
