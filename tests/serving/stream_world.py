"""A corner of a Redis with streams, and workers on it: what the tests of the stream's worker stand on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import redis
from numpy.typing import NDArray

from features.codec import empty_records
from features.contract import CONTRACT
from features.days import day_number
from features.events.accepting import EventWriter
from features.events.keys import LIVE_GROUP, EventKeys
from features.events.rows import fold_columns, live_rows
from features.events.schema import Event, Line, anonymous_id
from features.events.stream import EventStream
from features.leases import Leases
from features.live import fold, merge
from features.live_events import Counting
from features.live_slots import slots_of
from features.live_state import merged
from features.live_store import LiveStore
from features.store_keys import Keys
from features.visitors import Visitors
from serving.stream_worker import StreamWorker

ZONE = ZoneInfo("America/New_York")
NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
DAY = day_number(NOON.astimezone(ZONE).date())
NUMBERS = count()


def event(kind: str = "view", member: str | None = "ann", *, at: float = 0.0, **more: Any) -> Event:
    """An event `at` hours after noon. Looks are at milk; orders are of one line for 500 cents."""
    moment = NOON + timedelta(hours=at)
    local = moment.astimezone(ZONE)
    if kind in {"purchase", "return"}:
        more = {"order_id": f"o{next(NUMBERS)}", "lines": (Line(net_cents=500, item_id="milk"),)} | more
    if kind in {"view", "cart", "favourite"}:
        more = {"item_id": "milk"} | more
    if kind != "redemption":
        more = {"channel": "web"} | more
    known = {"event_id": f"e{next(NUMBERS)}", "received_at": moment} | more
    return Event(
        type=kind,
        occurred_at=moment,
        local_day=day_number(local.date()),
        local_hour=local.hour,
        member_id=member,
        **known,
    )


def visitor(name: str) -> str:
    """The hash of a visitor's id, more or less."""
    return (name.encode().hex() * 64)[:64]


def subject(name: str) -> str:
    """The anonymous id of a visitor."""
    return anonymous_id(visitor(name))


def folded(members: Iterable[str], told: Iterable[tuple[Event, str]]) -> NDArray[np.void]:
    """Records of these members from events, by the fold of the batch side alone, day after day."""
    ids = list(members)
    records = empty_records(CONTRACT, len(ids))
    every = list(told)
    for day in sorted({e.local_day for e, _ in every}):
        rows = [live_rows(e, member_id=member) for e, member in every if e.local_day == day]
        records = merge(CONTRACT, records, fold(CONTRACT, ids, fold_columns(rows)))
    return records


@dataclass
class World:
    """One prefix on one Redis."""

    url: str
    prefix: str
    partitions: int = 3
    counting: Counting | None = None
    keys: EventKeys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = EventKeys(self.prefix, self.partitions)
        self.plain: Any = redis.Redis.from_url(self.url)
        self.store_keys = Keys(self.prefix)

    def accept(self, *events: Event) -> None:
        """As the server does."""
        writer = EventWriter(self.url, self.keys)
        writer.accept(events)
        writer.close()

    def worker(self, name: str = "", *, lease_ms: int = 10_000, timeout_s: float = 10.0) -> StreamWorker:
        """A worker that has done nothing yet."""
        name = name or f"w{next(NUMBERS)}"
        stream = EventStream(self.url, self.keys, group=LIVE_GROUP, consumer=name, timeout_s=timeout_s)
        live = LiveStore(self.url, prefix=self.prefix, slots=slots_of(CONTRACT), timeout_s=timeout_s)
        leases = Leases(stream.client, self.prefix, name, self.keys.every_partition, lease_ms)
        return StreamWorker(stream, live, Visitors(stream.client, prefix=self.prefix), leases, counting=self.counting)

    def records(self, members: Iterable[str]) -> NDArray[np.void]:
        """What the live values alone make of members without a base."""
        ids = list(members)
        values = self.plain.mget([self.store_keys.live(m) for m in ids])
        return merged(CONTRACT, empty_records(CONTRACT, len(ids)), values, 0)[0]

    def give_up_leases(self) -> None:
        """As if the workers before had been gone for long."""
        for key in self.plain.scan_iter(f"{self.prefix}:stream:*"):
            self.plain.delete(key)

    def waiting(self) -> int:
        """Entries that the group has not finished."""
        return sum(int(self._group(p)["pending"]) + int(self._group(p)["lag"]) for p in self.keys.every_partition)

    def _group(self, partition: int) -> Mapping[str, Any]:
        groups = self.plain.xinfo_groups(self.keys.stream(partition))
        return next(group for group in groups if group["name"] == LIVE_GROUP.encode())
