"""The worker of `rapport stream`: events from the streams into the live state of members, each once, killed wherever it may be.

An entry is acknowledged when what it does is done. Whatever was done before a kill is found done when the entry comes again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from features.contract import CONTRACT
from features.errors import CorruptRecord, StoreUnavailable
from features.events.rows import IsHoliday, no_holidays
from features.events.schema import Event, anonymous_id, event_of
from features.events.stream import Entry, EventStream
from features.leases import Leases
from features.live_events import Counting, changes_of
from features.live_state import Applied
from features.live_store import LiveStore, Outcome
from features.store_errors import translated
from features.store_keys import Keys
from features.visitors import Claim, Visitors

logger = logging.getLogger("rapport")
READ_TOGETHER = 250
WAIT_MS = 500
RENEW_S = 2.0
TIDY_S = 5.0
RETRY_IDLE_MS = 5_000
"""How long an entry that failed waits for its next try."""
SHORTEST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
GONE_MS = 60_000
"""How long a worker was not seen on a partition whose name in the group is then forgotten: each start brings a new one."""


class Triggers(Protocol):
    """What looks at events that have just moved a member."""

    def after(self, applied: Sequence[Applied]) -> None:
        """See what they set off. Called before the events are acknowledged: perhaps again with the same."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...

    def look(self) -> None:
        """See what is due by now. Called with every step."""
        ...


class NoTriggers:
    """Nothing is set off."""

    def after(self, applied: Sequence[Applied]) -> None:
        """Nothing."""

    def look(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


@dataclass
class Tally:
    """What a worker has done, by outcome; `failed` are tries, `unreadable` what the archive sets aside."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, by: int = 1) -> None:
        """Count."""
        self.counts[name] = self.counts.get(name, 0) + by


@dataclass(frozen=True, slots=True)
class _Told:
    """An event, the member it is told of, and the place of the entry that brought it. `again`: that entry came before."""

    event: Event
    member_id: str
    place: int
    again: bool = False


@dataclass(slots=True)
class StreamWorker:
    """One worker. `stream`, `live`, `visitors` and `leases` share one Redis."""

    stream: EventStream
    live: LiveStore
    visitors: Visitors
    leases: Leases
    is_holiday: IsHoliday = no_holidays
    counting: Counting | None = None
    triggers: Triggers = field(default_factory=NoTriggers)
    tally: Tally = field(default_factory=Tally)
    _renew_at: float = 0.0
    _tidy_at: float = 0.0
    _told_before: dict[str, int] = field(default_factory=dict)

    def run(self, *, stopped: Callable[[], bool]) -> None:
        """Work until told to stop; a store that is away is waited for."""
        pause = SHORTEST_PAUSE_S
        while not stopped():
            try:
                self.step()
                pause = SHORTEST_PAUSE_S
            except StoreUnavailable as error:
                if pause == SHORTEST_PAUSE_S:  # the first of a row: what is wrong may be a right that is missing
                    logger.warning("events wait: %s (%s)", error, error.remedy)
                self.tally.add("store_away")
                self._renew_at = 0.0
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        self.release()

    def release(self) -> None:
        """Give the partitions to others, if the store is there to be told; else the leases end by themselves."""
        with suppress(StoreUnavailable), translated():
            self._tell()
            self.leases.release()

    def close(self) -> None:
        """Give the connections back."""
        self.triggers.close()
        self.live.close()
        self.stream.close()

    def drain(self) -> int:
        """Work until nothing is left that could be done now; returns how many entries were read."""
        done = 0
        while read := self.step(wait_ms=None):
            done += read
        return done

    def step(self, *, wait_ms: int | None = WAIT_MS) -> int:
        """Read once and do what was read; returns how many entries that were."""
        done = self._hold()
        self.triggers.look()
        if not self.leases.held:
            time.sleep((wait_ms or 0) / 1000)
            return done
        entries = self.stream.read(self.leases.held, count=READ_TOGETHER, block_ms=wait_ms)
        self._work(entries)
        self._tidy()
        return done + len(entries)

    def _hold(self) -> int:
        """Keep the leases. What the worker before left unfinished comes before anything new."""
        now = time.monotonic()
        if now < self._renew_at:
            return 0
        with translated():
            taken = self.leases.renew()
        self._renew_at = now + RENEW_S
        self.stream.ensure_groups(taken)
        return sum(self._take_up(partition, idle_ms=0) for partition in taken)

    def _take_up(self, partition: int, *, idle_ms: int) -> int:
        """Entries that were delivered and not finished; each at most once a call, as those that fail again stay."""
        done = 0
        while entries := self.stream.reclaim(partition, min_idle_ms=idle_ms, count=READ_TOGETHER):
            done += len(entries)
            if self._work(entries):
                break  # what failed waits for its next try
        return done

    def _tidy(self) -> None:
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_S
            for partition in self.leases.held:
                self._take_up(partition, idle_ms=RETRY_IDLE_MS)
                self.stream.trim(partition)
                self.stream.forget_idle(partition, min_idle_ms=GONE_MS)
            with translated():
                self._tell()

    def _tell(self) -> None:
        """Add what was done since to what all workers did, for /metrics."""
        new = {name: count - self._told_before.get(name, 0) for name, count in self.tally.counts.items()}
        with self.leases.client.pipeline(transaction=True) as pipeline:
            for name, count in new.items():
                if count:
                    pipeline.hincrby(Keys(self.leases.prefix).stream_tally, name, count)
            pipeline.execute()
        self._told_before = dict(self.tally.counts)

    def _work(self, entries: Sequence[Entry]) -> int:
        """Do what entries say and acknowledge those that are done; returns how many failed."""
        readable = [entry for entry in entries if entry.event is not None]
        self.tally.add("unreadable", len(entries) - len(readable))
        failed = self._together(readable)
        done = [entry for entry in entries if entry.entry_id not in failed]
        for partition in {entry.partition for entry in done}:
            self.stream.ack(partition, [entry.entry_id for entry in done if entry.partition == partition])
        self.tally.add("failed", len(failed))
        return len(failed)

    def _together(self, entries: Sequence[Entry]) -> set[bytes]:
        """Apply entries as one; where that fails, one by one, so that a bad one holds up nobody. Returns those that failed."""
        try:
            return self._applied(entries)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 # the named edge: an entry that no code foresaw is tried alone, then buried
            if len(entries) == 1:
                self.tally.add(f"error_{type(error).__name__}")
                return {entries[0].entry_id}
            return {name for entry in entries for name in self._together([entry])}

    def _applied(self, entries: Sequence[Entry]) -> set[bytes]:
        if not entries:
            return set()
        events = [entry.event for entry in entries if entry.event is not None]
        with translated():
            claims = self.visitors.claim(_known(events))
            told = [*self._told(entries), *_joined(events, claims)]
        outcomes = self._apply(told)
        self.triggers.after(self._moved(told, outcomes))
        failed = {entries[each.place].entry_id for each, o in zip(told, outcomes, strict=True) if isinstance(o, CorruptRecord)}
        if not failed:
            with translated():
                self.visitors.done(claims)
        return failed

    def _apply(self, told: Sequence[_Told]) -> list[Outcome | CorruptRecord]:
        pairs = [(each.event, each.member_id) for each in told if each.event.type != "identify"]
        changes = iter(self.live.apply(changes_of(CONTRACT, pairs, is_holiday=self.is_holiday, counting=self.counting)))
        outcomes = [Outcome("again") if each.event.type == "identify" else next(changes) for each in told]
        for outcome in outcomes:
            self.tally.add(outcome.status if isinstance(outcome, Outcome) else "corrupt")
        return outcomes

    def _told(self, entries: Sequence[Entry]) -> list[_Told]:
        """Whom each event is told of: its member; or the visitor, and the member that they are known to be."""
        events = [(place, entry.event, entry.deliveries > 1) for place, entry in enumerate(entries) if entry.event is not None]
        unknown = [each for each in events if each[1].member_id is None]
        members = self.visitors.note([(e.subject, e.local_day, e.event_id, e.to_bytes()) for _, e, _ in unknown])
        own = [_Told(event, event.subject, place, again) for place, event, again in events]
        known = [
            _Told(event, member, place, again) for (place, event, again), member in zip(unknown, members, strict=True) if member
        ]
        return [*own, *known]

    def _moved(self, told: Sequence[_Told], outcomes: Sequence[Outcome | CorruptRecord]) -> list[Applied]:
        """What triggers look at: members whom an event moved. Visitors whom nobody knows set nothing off.

        An event that came again may have been applied just before its worker was killed, with triggers still to be asked:
        it is told with the live value of now.
        """
        found, unsure = [], []
        for each, outcome in zip(told, outcomes, strict=True):
            is_member = each.event.member_id is not None or each.member_id != each.event.subject
            if not is_member or not isinstance(outcome, Outcome):
                continue
            if outcome.status == "applied":
                found.append(Applied(each.event, each.member_id, outcome.before, outcome.after))
            elif outcome.status == "again" and each.again and each.event.type != "identify":
                unsure.append(each)
        values = self.live.read([each.member_id for each in unsure])
        found += [
            Applied(each.event, each.member_id, value, value, again=True)
            for each, value in zip(unsure, values, strict=True)
            if value is not None
        ]
        return found


def _known(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Visitors whom these events tell to be members, each pair once."""
    return list(dict.fromkeys(pair for event in events if (pair := _pair(event)) is not None))


def _pair(event: Event) -> tuple[str, str] | None:
    if event.visitor is None or event.member_id is None:
        return None
    return anonymous_id(event.visitor), event.member_id


def _joined(events: Sequence[Event], claims: Sequence[Claim]) -> list[_Told]:
    """Events of visitors that are a member's now, each with the place of the event that said so."""
    places = {pair: place for place, event in enumerate(events) if (pair := _pair(event)) is not None}
    return [
        _Told(event_of(content), claim.member_id, places[claim.visitor, claim.member_id])
        for claim in claims
        for content in claim.events
    ]
