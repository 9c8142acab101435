"""Events into facts, each once: however often delivered, whoever they turn out to be of, wherever the archive is killed."""

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis

from features.build import build
from features.codec import empty_records
from features.contract import CONTRACT
from features.erase_files import erase_from_files
from features.erasures import Erasures, Receipts
from features.errors import SourceError
from features.events.accepting import EventWriter
from features.events.archive import Consolidated, Landed, archived_files, consolidate, land
from features.events.intake import Intake
from features.events.keys import ARCHIVE_GROUP, EventKeys
from features.events.publish_shop import publish_event_shop, shop_of
from features.events.rows import fold_columns, live_rows
from features.events.schema import Event
from features.events.shop import EventShop
from features.events.spool import take
from features.events.stream import EventStream
from features.facts import Facts
from features.facts_folder import ARCHIVED
from features.live import fold, merge
from features.manifest import read_manifest
from features.sources.complete_journey import import_complete_journey

SCRIPT = Path(__file__).with_name("archive_killed.py")


@dataclass
class Shop:
    """A data folder with facts, streams of their own, and what a producer and the archive do."""

    data_dir: Path
    keys: EventKeys
    writer: EventWriter
    stream: EventStream
    intake: Intake
    facts: Facts

    @property
    def now(self) -> Any:
        """Three in the afternoon of the day after the facts."""
        return self.facts.midnight(self.facts.manifest.until_day) + timedelta(hours=15)

    def event(self, kind: str = "view", *, hours: float = 2, received_h: float = 0, **more: Any) -> Event:
        """An event so many hours ago."""
        own: dict[str, Any] = {"item_id": "1082185"} if kind in {"view", "cart"} else {}
        if kind in {"purchase", "return"}:
            own = {"order_id": f"new-{more['event_id']}", "channel": "web", "lines": [{"item_id": "1082185", "net_cents": 500}]}
        moment = (self.now - timedelta(hours=hours)).isoformat()
        every = {"schema_version": 1, "type": kind, "event_id": "e1", "occurred_at": moment, "member_id": "1", **own, **more}
        content = {name: value for name, value in every.items() if value is not None}
        return self.intake.read(content, received_at=self.now - timedelta(hours=received_h))

    def archive(self, *, receipts: Receipts | None = None) -> tuple[int, Consolidated, Landed]:
        """The whole way of what is in the streams."""
        taken = take(self.stream, self.keys, self.data_dir)
        gone = receipts or Receipts()
        return taken, consolidate(self.data_dir, now=self.now, receipts=gone), land(self.data_dir, receipts=gone)

    def opened(self) -> Facts:
        """The facts as they are now."""
        return Facts.open(self.data_dir / "facts")


@pytest.fixture
def shop(facts: Facts, facts_folder: Path, store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    shutil.copytree(facts_folder, tmp_path / "facts")
    keys = EventKeys(f"test-{request.node.name}", partitions=2)
    writer = EventWriter(store_url, keys)
    stream = EventStream(store_url, keys, group=ARCHIVE_GROUP, consumer="archive")
    yield Shop(tmp_path, keys, writer, stream, shop_of(facts).intake("a key of sixteen bytes or more"), facts)
    writer.close()
    stream.close()


def test_todays_events_are_tonights_facts(shop: Shop, store_url: str) -> None:
    before = read_manifest(shop.data_dir / "facts")
    events = [
        shop.event("purchase", event_id="p", lines=[{"item_id": "1082185", "quantity": 1, "net_cents": 5}, {"net_cents": 7}]),
        shop.event("purchase", event_id="q", member_id="new one"),
        shop.event("return", event_id="r"),
        *(shop.event(event_id=f"v{number}") for number in range(5)),
        shop.event("redemption", event_id="x", coupon_id="c"),
    ]
    shop.writer.accept(events)

    taken, consolidated, landed = shop.archive()

    assert taken == 9
    assert consolidated == Consolidated(9, 0, 0)
    assert landed == Landed(9, {"purchases": 4, "events": 5, "redemptions": 1}, 0)
    after = read_manifest(shop.data_dir / "facts")
    assert {name: after.rows[name] - before.rows[name] for name in after.rows} == {
        **dict.fromkeys(after.rows, 0),
        "purchases": 4,
        "orders": 3,
        "events": 5,
        "redemptions": 1,
    }
    assert after.until_day == before.until_day + 1
    assert (shop.data_dir / "facts" / "quarantine.parquet").exists()
    assert archived_files(shop.data_dir / "facts") == {"000001.parquet"}
    assert "new one" in build(shop.opened(), as_of=shop.now).member_ids  # whom nobody knew is a member like others
    assert shop.archive() == (0, Consolidated(), Landed())
    with redis.Redis.from_url(store_url) as plain:
        assert [plain.xlen(shop.keys.stream(p)) for p in shop.keys.every_partition] == [0, 0]


def test_an_archived_day_is_the_live_day(shop: Shop) -> None:
    """The base of last midnight merged with the events of today equals a build on the archived facts, integers exactly."""
    facts = shop.facts
    events = [
        shop.event("purchase", event_id="p", hours=3),
        shop.event("return", event_id="r", hours=1),
        shop.event("cart", event_id="c"),
        shop.event("purchase", event_id="q", hours=5, member_id="100"),
    ]
    shop.writer.accept(events)
    shop.archive()
    opened = shop.opened()
    members = ["1", "100"]
    base = build(facts, as_of=facts.midnight(facts.manifest.until_day))
    batch = build(opened, as_of=shop.now)
    row_of = {member: row for row, member in enumerate(base.member_ids.tolist())}
    holiday = shop_of(facts).is_holiday()

    records = empty_records(CONTRACT, 2)
    for place, member in enumerate(members):
        if member in row_of:
            records[place] = base.records[row_of[member]]
    live = merge(CONTRACT, records, fold(CONTRACT, members, fold_columns(live_rows(e, is_holiday=holiday) for e in events)))

    rows = [batch.member_ids.tolist().index(member) for member in members]
    compared = [a.name for a in CONTRACT.aggregates if a.freshness == "event" and a.kind.name != "decayed_total"]
    told = [name for name in compared if a_known(base, name)]
    assert len(told) > 60
    for name in told:
        assert live[name].tolist() == batch.records[name][rows].tolist(), name


def a_known(base: Any, name: str) -> bool:
    """Whether the shop knew of such facts before today: what it did not know is missing in its base."""
    values = base.records[name]
    return not (values == values[0]).all()


def test_what_is_delivered_and_sent_often_is_there_once(shop: Shop, store_url: str) -> None:
    events = [shop.event(event_id=f"v{number}", hours=number % 9) for number in range(30)]
    for _ in range(3):
        shop.writer.accept(events)  # accepted and not applied: added again each time
    with redis.Redis.from_url(store_url) as plain:
        raw = {"schema_version": 1, "type": "view", "event_id": "v3", "member_id": "1", "item_id": "1082185"}
        moment = events[3].occurred_at.isoformat()
        stream = EventStream(store_url, shop.keys, group=ARCHIVE_GROUP, consumer="archive", intake=shop.intake)
        plain.xadd(shop.keys.stream(shop.keys.partition_of("1")), {"r": json.dumps({**raw, "occurred_at": moment})})
        plain.xadd(shop.keys.stream(0), {"e": "broken"})
        taken = take(stream, shop.keys, shop.data_dir)
        assert [fields[b"reason"] for _, fields in plain.xrange(shop.keys.quarantine)] == [b"unreadable"]
        stream.close()

    assert taken == 91
    assert consolidate(shop.data_dir, now=shop.now, receipts=Receipts()) == Consolidated(30, 61, 0)
    shop.writer.accept(events[:10])  # a day later a producer begins anew
    taken, consolidated, landed = shop.archive()
    assert (taken, consolidated) == (10, Consolidated(0, 10, 0))
    assert (landed.events, landed.rows) == (30, {"purchases": 0, "events": 30, "redemptions": 0})


def test_in_whatever_order_they_come_the_facts_are_the_same(shop: Shop) -> None:
    events = [
        shop.event("return", event_id="r", hours=1),
        shop.event("purchase", event_id="p", hours=3),
        *(shop.event(event_id=f"v{number}", hours=number) for number in range(1, 9)),
    ]
    facts = shop.data_dir / "facts"
    shutil.copytree(facts, shop.data_dir / "before")
    found = []
    for seed in range(2):
        shutil.rmtree(facts)
        shutil.rmtree(shop.data_dir / "events", ignore_errors=True)
        shutil.copytree(shop.data_dir / "before", facts)
        random.Random(seed).shuffle(events)
        shop.writer.accept(events)
        shop.archive()
        found.append(read_manifest(facts).hash)
    assert found[0] == found[1]


def test_a_late_event_changes_tonights_past_and_not_what_was_known_then(shop: Shop) -> None:
    late = shop.event("purchase", event_id="late", hours=15 + 24 * 3)
    shop.writer.accept([late])
    shop.archive()
    facts, day = shop.opened(), late.local_day + 1

    then, now = (build(facts, as_of=moment) for moment in (facts.midnight(day), shop.now + timedelta(seconds=1)))
    old = build(shop.facts, as_of=shop.facts.midnight(day))
    place = old.member_ids.tolist().index("1")
    assert then.records["spend_cents_ever"][place] == old.records["spend_cents_ever"][place]
    before = build(shop.facts, as_of=shop.now)
    assert now.records["spend_cents_ever"][place] == before.records["spend_cents_ever"][place] + 500


def test_a_visitors_events_are_the_members_who_the_visitor_turns_out_to_be(shop: Shop) -> None:
    seen = [shop.event(event_id=f"v{n}", hours=5 - n, member_id=None, visitor_id="cookie") for n in range(3)]
    shop.writer.accept(seen)
    assert shop.archive()[1] == Consolidated(0, 0, 3)
    assert shop.archive()[1] == Consolidated(0, 0, 3)  # they wait

    shop.writer.accept([shop.event("identify", event_id="i", hours=1, visitor_id="cookie")])
    shop.writer.accept([shop.event(event_id="v9", hours=0.5, member_id=None, visitor_id="cookie")])
    assert shop.archive()[1] == Consolidated(5, 0, 0)

    found = shop.opened().query("SELECT event_id, member_id, recorded_at FROM events ORDER BY event_id").to_pylist()
    assert [(row["event_id"], row["member_id"]) for row in found] == [(f"v{n}", "1") for n in (0, 1, 2, 9)]
    assert {row["recorded_at"] for row in found} == {None}


def test_an_event_that_was_sent_before_the_login_and_again_with_the_member_is_in_the_facts_once(shop: Shop) -> None:
    before = shop.event(event_id="v", hours=3, member_id=None, visitor_id="cookie")
    after = shop.event(event_id="v", hours=3, visitor_id="cookie")
    shop.writer.accept([before, after])
    assert shop.archive()[1:] == (Consolidated(1, 1, 0), Landed(1, {"purchases": 0, "events": 1, "redemptions": 0}, 0))
    shop.writer.accept([shop.event(event_id="x", hours=1, member_id=None, visitor_id="cookie")])
    assert shop.archive()[1] == Consolidated(1, 0, 0)  # the archive knows whose it is

    shop.writer.accept([shop.event(event_id="w", hours=2, visitor_id="cookie")])
    assert shop.archive()[1].events == 1
    shop.writer.accept([shop.event(event_id="w", hours=2, member_id=None, visitor_id="cookie")])  # an hour later
    assert shop.archive()[1] == Consolidated(0, 1, 0)


def test_a_visitor_whom_nobody_knows_after_three_days_is_an_anonymous_person(shop: Shop) -> None:
    event = shop.event(event_id="v", hours=80, received_h=79, member_id=None, visitor_id="cookie")
    shop.writer.accept([event])
    assert shop.archive()[1] == Consolidated(1, 0, 0)
    assert shop.opened().query("SELECT member_id FROM events")["member_id"].to_pylist() == [event.subject]


def test_two_members_at_one_device_each_have_their_own(shop: Shop) -> None:
    told = [
        shop.event("identify", event_id="a", hours=6, member_id="1", visitor_id="tablet"),
        shop.event(event_id="v1", hours=5, member_id=None, visitor_id="tablet"),
        shop.event("identify", event_id="b", hours=4, member_id="100", visitor_id="tablet"),
        shop.event(event_id="v2", hours=3, member_id=None, visitor_id="tablet"),
    ]
    shop.writer.accept(told)
    shop.archive()
    found = shop.opened().query("SELECT event_id, member_id FROM events ORDER BY event_id").to_pylist()
    assert [tuple(row.values()) for row in found] == [("v1", "1"), ("v2", "100")]


def test_facts_that_are_imported_anew_get_the_archived_events_again(shop: Shop) -> None:
    shop.writer.accept([shop.event("purchase", event_id="p"), shop.event(event_id="v")])
    shop.archive()
    once = read_manifest(shop.data_dir / "facts").rows

    import_complete_journey(shop.data_dir / "facts", households=300)
    assert not (shop.data_dir / "facts" / ARCHIVED).exists()
    assert land(shop.data_dir, receipts=Receipts()).events == 2
    assert read_manifest(shop.data_dir / "facts").rows == once


def test_erased_members_are_left_out_and_taken_out(shop: Shop) -> None:
    whose = (("v", "1"), ("w", "100"), ("x", "1001"))
    shop.writer.accept([shop.event(event_id=name, member_id=member) for name, member in whose])
    erasures = Erasures(shop.data_dir)
    erasures.request("1", at=shop.now, by="test")
    take(shop.stream, shop.keys, shop.data_dir)
    assert consolidate(shop.data_dir, now=shop.now, receipts=erasures.receipts()) == Consolidated(2, 0, 0, 1)
    erasures.request("100", at=shop.now, by="test")
    landed = land(shop.data_dir, receipts=erasures.receipts())
    assert landed == Landed(1, {"purchases": 0, "events": 1, "redemptions": 0}, 1)

    erased = erase_from_files(shop.data_dir, ["100", "1001"])

    assert erased.rows["archived events"] == 2
    for path in (shop.data_dir / "events").rglob("*.parquet"):
        assert pq.read_table(path).num_rows == 0
    assert archived_files(shop.data_dir / "facts") == {"000001.parquet"}
    assert shop.archive()[2] == Landed()


def test_events_of_another_shop_are_refused(shop: Shop) -> None:
    shop.writer.accept([shop.event()])
    shop.archive()
    manifest = shop.data_dir / "facts" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"USD"', '"EUR"'))
    shop.writer.accept([shop.event(event_id="e2")])
    with pytest.raises(SourceError, match="the archived events are of"):
        shop.archive()


LONG = (pytest.mark.slow, pytest.mark.timeout(900))


@pytest.mark.parametrize(("rounds", "apart"), [(12, 3), pytest.param(60, 1, marks=LONG)])
def test_killed_at_one_file_after_another_nothing_is_lost_and_nothing_twice(
    shop: Shop, store_url: str, rounds: int, apart: int
) -> None:
    command = [sys.executable, str(SCRIPT), store_url, shop.keys.prefix, str(shop.data_dir), str(rounds), str(apart)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=850, cwd=Path(__file__).parents[3])
    told = json.loads(run.stdout)

    assert told["ended"][-1] == 0
    assert sum(code == 9 for code in told["ended"]) >= rounds * 0.7, told["ended"]
    facts = shop.opened()
    views = facts.query("SELECT event_id FROM events")["event_id"].to_pylist()
    orders = facts.query("SELECT order_id, count(*) AS lines FROM purchases WHERE starts_with(order_id, 'new-') GROUP BY 1")
    expected = Counter(event_id for event_id in told["ids"])
    found = Counter([*views, *(order.removeprefix("new-") for order in orders["order_id"].to_pylist())])
    assert found == expected
    assert set(orders["lines"].to_pylist()) == {2}
    (total,) = facts.query("SELECT sum(lines) AS n FROM orders WHERE starts_with(order_id, 'new-')").to_pylist()
    assert total["n"] == 2 * orders.num_rows


def test_the_shop_is_published_for_those_who_read_events(facts: Facts, store_url: str, request: pytest.FixtureRequest) -> None:
    keys = EventKeys(f"test-{request.node.name}")
    publish_event_shop(facts, store_url, keys)
    with redis.Redis.from_url(store_url) as plain:
        shop = EventShop.from_bytes(plain.get(keys.shop))
    assert (shop.time_zone, shop.currency) == ("America/New_York", "USD")
    christmas = facts.local_day(facts.midnight(facts.manifest.until_day)) - 7
    holiday = shop.is_holiday()
    assert [holiday(christmas), holiday(christmas + 1), holiday(christmas + 365)] == [True, False, True]
    assert holiday(christmas + 3000) is None
    assert replace(shop, holidays=None).is_holiday()(christmas) is None
