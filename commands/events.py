"""The jobs of `rapport archive` and `rapport kafka`: events from the streams into facts, and from a topic into the streams."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from features.erasures import Erasures
from features.errors import Busy, FactsMissing
from features.events.accepting import EventWriter
from features.events.keys import ARCHIVE_GROUP, EventKeys
from features.events.shop import EventShop
from features.events.stream import EventStream
from features.jobs import only_run, store_url, until_told
from features.screen import Screen
from features.settings import Settings
from features.store_errors import translated

PATIENCE_S, POLL_S = 60.0, 0.2


@dataclass(frozen=True, slots=True)
class EventJobs:
    """Every job about events, on one set of settings and one screen."""

    settings: Settings
    screen: Screen

    @property
    def keys(self) -> EventKeys:
        """The streams of these settings."""
        return EventKeys(self.settings.key_prefix, self.settings.event_partitions)

    def archive(self, *, every_s: int = 0) -> dict[str, Any]:
        """What is in the streams to disk and into the facts; with `every_s` to disk only, again and again until told to end."""
        with store_url(self.settings) as url:
            if not every_s:
                return self.archived(url)
            with until_told() as told:
                taken = 0
                while True:
                    with self._alone():
                        taken += self._taken(url)
                    if told.wait(every_s):
                        return {"taken": taken}

    def archived(self, url: str) -> dict[str, Any]:
        """The same once, said on the screen."""
        from features.events.archive import Landed, consolidate, land  # DuckDB takes a second: mostly there is nothing to do

        with self._alone():
            taken = self._taken(url)
            receipts = Erasures(self.settings.data_dir).receipts()
            found = consolidate(self.settings.data_dir, now=self.settings.clock(), receipts=receipts)
        with only_run(self.settings, "import"):
            try:
                landed = land(self.settings.data_dir, receipts=receipts)
            except FactsMissing:
                self.screen.say("There are no facts yet: the events wait on disk for the first import.")
                landed = Landed()
        self.screen.say(
            f"{taken:,} entries from the streams: {found.events:,} new events, {found.again:,} seen before, "
            f"{found.waiting:,} of visitors who may become known. {landed.events:,} events into the facts."
        )
        return {
            "taken": taken,
            **asdict(found),
            "landed": landed.events,
            "rows": dict(landed.rows or {}),
            "erased": found.erased + landed.erased,
        }

    def kafka(self, topic: str, config: str) -> dict[str, Any]:
        """Events of a topic into the streams, until told to end."""
        from features.events.erased import ErasedMembers
        from features.events.kafka import KafkaBridge, read_config

        with store_url(self.settings) as url, until_told() as told:
            writer = EventWriter(url, self.keys)
            bridge = KafkaBridge(
                topic,
                read_config(config),
                writer,
                EventShop.from_bytes(self._shop(url)).intake(self.settings.identity_key),
                clock=self.settings.clock,
                receipts=ErasedMembers(self.settings.data_dir).refresh,
                pause=told.wait,
                backlog=self.settings.events_backlog,
            )
            try:
                self.screen.say(f"Events of {topic} into the streams, until Ctrl-C.")
                found = bridge.run(told.is_set)
            finally:
                bridge.close()
                writer.close()
        return {"messages": found.messages, **found.counts}

    def _shop(self, url: str) -> bytes | None:
        stream = EventStream(url, self.keys, group=ARCHIVE_GROUP, consumer="archive")
        try:
            with translated():
                shop: bytes | None = stream.client.get(self.keys.shop)
            return shop
        finally:
            stream.close()

    def figures(self, url: str) -> dict[str, Any] | None:
        """How many events wait, were set aside or failed, and what an acknowledgement is worth; None without events."""
        if not self.any_to_archive(url):
            return None
        writer = EventWriter(url, self.keys)
        try:
            pressure = writer.pressure()
            set_aside, dead = writer.aside()
        finally:
            writer.close()
        return {"waiting": pressure.events, "quarantine": set_aside, "dead": dead, "durable": pressure.durable}

    def any_to_archive(self, url: str) -> bool:
        """Whether any event ever came: a shop without events need not be asked again."""
        if (self.settings.data_dir / "events").exists():
            return True
        stream = EventStream(url, self.keys, group=ARCHIVE_GROUP, consumer="archive")
        try:
            with translated():
                return bool(stream.client.exists(self.keys.partition_count, *map(self.keys.stream, self.keys.every_partition)))
        finally:
            stream.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the archive's lock, waiting for the one who takes entries all day long: that takes a moment each time."""
        deadline = time.monotonic() + PATIENCE_S
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(only_run(self.settings, "archive"))
                    break
                except Busy:
                    if time.monotonic() > deadline:
                        raise
                time.sleep(POLL_S)
            yield

    def _taken(self, url: str) -> int:
        """Everything in the streams to disk; returns how many events."""
        from features.events.spool import take

        shop = self._shop(url)
        stream = EventStream(url, self.keys, group=ARCHIVE_GROUP, consumer="archive")
        try:
            if shop is not None:  # without one, entries of trusted producers cannot be read, and go into the quarantine
                stream.intake = EventShop.from_bytes(shop).intake(self.settings.identity_key)
            return take(stream, self.keys, self.settings.data_dir)
        finally:
            stream.close()
