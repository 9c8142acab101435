"""A shop of one day on one Redis: features of last night published, events that come in, and triggers at work on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from features.build import FeatureRows
from features.days import day_number
from features.events.schema import Event, Line
from features.live_state import Applied
from features.online_store import RedisStore
from features.publish import publish
from features.settings import Settings
from features.tag_store import TagStore
from serving.triggers.at_work import TriggersAtWork, triggers_at_work
from serving.triggers.firing import Firing
from serving.triggers.members_now import MembersNow
from serving.triggers.message import Message, read_message
from serving.triggers.store import TriggerKeys, TriggerStore
from serving.triggers.tags_now import TagsNow
from tests.serving.stream_world import World

NUMBERS = count()


@dataclass
class Clock:
    """A clock that a test moves."""

    moment: datetime

    def __call__(self) -> datetime:
        return self.moment


@dataclass
class Keeping:
    """Triggers that keep what they are handed."""

    seen: list[Applied]

    def after(self, applied: Sequence[Applied]) -> None:
        self.seen.extend(applied)

    def look(self) -> None:
        pass


@dataclass
class Shop:
    """One prefix on one Redis, as of the midnight that rows were built for."""

    url: str
    rows: FeatureRows
    settings: Settings
    world: World = field(init=False)
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(self.url, self.settings.key_prefix, partitions=2)
        self.clock = Clock(self.rows.as_of + timedelta(hours=10))
        self.keys = TriggerKeys(self.settings.key_prefix)
        self.opened: list[TriggersAtWork] = []

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.rows.time_zone)

    def declare(self, text: str) -> None:
        """Let these triggers be in force for whoever opens them next."""
        (self.settings.triggers_dir / "shop.toml").write_text(text)

    def at_work(self) -> TriggersAtWork:
        """Triggers as a worker has them."""
        work = triggers_at_work(self.settings, self.url)
        work.clock = self.clock
        self.opened.append(work)
        return work

    def another(self, work: TriggersAtWork) -> Firing:
        """Triggers with connections of their own, as another process has them; models and files are those of the first."""
        url, prefix, first = self.url, self.settings.key_prefix, work.firing
        store, members = TriggerStore(url, prefix=prefix), MembersNow(url, prefix=prefix)
        tags = TagsNow(TagStore(url, prefix=prefix))
        return Firing(store, members, tags, first._offers, first._in_force, key=b"k", stale_after_s=1e9)

    def applied(self, *events: Event) -> list[Applied]:
        """What a worker hands to triggers after these events."""
        seen: list[Applied] = []
        self.world.accept(*events)
        worker = self.world.worker()
        worker.triggers = Keeping(seen)
        self.world.give_up_leases()
        worker.drain()
        return seen

    def event(self, kind: str = "view", member: str = "", *, at: datetime | None = None, **more: Any) -> Event:
        """An event of the clock's moment. Looks are at milk; orders are of one line of milk for 500 cents."""
        moment = at or self.clock.moment
        local = moment.astimezone(self.zone)
        if kind in {"purchase", "return"}:
            more = {"order_id": f"o{next(NUMBERS)}", "lines": (Line(net_cents=500, item_id="milk"),), "channel": "store"} | more
        if kind in {"view", "cart", "favourite"}:
            more = {"item_id": "milk"} | more
        more = {"event_id": f"t{next(NUMBERS)}", "received_at": moment, "channel": "app"} | more
        return Event(
            type=kind,
            occurred_at=moment,
            local_day=day_number(local.date()),
            local_hour=local.hour,
            member_id=member or str(self.rows.member_ids[0]),
            **more,
        )

    def come(self, *events: Event, work: TriggersAtWork | None = None) -> TriggersAtWork:
        """Events are accepted, and a worker does all there is to do."""
        self.world.accept(*events)
        return self.drain(work)

    def drain(self, work: TriggersAtWork | None = None) -> TriggersAtWork:
        """A worker does all there is to do, what is due included."""
        work = work or self.at_work()
        worker = self.world.worker()
        worker.triggers = work
        work._look_at = 0.0
        self.world.give_up_leases()
        worker.drain()
        work._look_at = 0.0
        work.look()
        return work

    def pass_time(self, span: timedelta, work: TriggersAtWork | None = None) -> TriggersAtWork:
        """The clock goes on, and a worker does what is due."""
        self.clock.moment += span
        return self.drain(work)

    def messages(self) -> list[Message]:
        """What was published, in order."""
        return [read_message(fields[b"message"]) for _, fields in self.world.plain.xrange(self.keys.stream)]

    def close(self) -> None:
        for work in self.opened:
            work.close()
        self.world.plain.close()


MakeShop = Callable[..., Shop]


def shop_of(url: str, rows: FeatureRows, mlruns: Path, folder: Path) -> Shop:
    """A shop in a corner of a store, with its features published."""
    prefix = f"triggers-{next(NUMBERS)}"
    (folder / prefix).mkdir()
    publish(rows, RedisStore(url, prefix=prefix))
    settings = Settings(
        data_dir=folder,
        mlruns_dir=mlruns,
        rules_dir=folder / "rules",
        triggers_dir=folder / prefix,
        redis_url=url,
        redis_timeout_ms=2000,
        key_prefix=prefix,
        identity_key="a secret of sixteen bytes",
        event_partitions=2,
    )
    return Shop(url, rows, settings)
