"""A day of facts gone through as if its events came in: what would have fired. Nothing is sent, nothing is stored. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.contract import CONTRACT
from features.days import microseconds, moment_of
from features.events.schema import Event
from features.live import merge
from features.live_events import changes_of
from features.live_slots import ENTRY, records_of, slots_of
from features.rules.shelf import Shelf
from serving.scoring import PublishedFeatures, ScoringContext
from serving.triggers.arms import arm_of
from serving.triggers.at_night import due_after_night
from serving.triggers.conditions import Bools, Floats
from serving.triggers.declared import Trigger
from serving.triggers.evaluation import Batch, evaluate
from serving.triggers.happening import Happening, ItemCounts, happening_of, texts_of
from serving.triggers.in_force import InForce
from serving.triggers.ledger import Ledger
from serving.triggers.members_now import COUNTED
from serving.triggers.planning import plan
from serving.triggers.records import Records
from serving.triggers.store import Due

TOGETHER = 1000
Slots: TypeAlias = NDArray[np.float64]
Columns: TypeAlias = Mapping[str, Floats]


@dataclass(frozen=True)
class Day:
    """A day to be replayed.

    Attributes
    ----------
    context
        Contract and models; its moment is the midnight that the day begins with.
    member_ids, records
        Everyone known then, ascending, and their aggregates.
    tags
        Tags of those members that conditions speak of.
    newcomer
        The record of a member whom nobody knew.
    """

    context: ScoringContext
    published: PublishedFeatures
    member_ids: NDArray[np.str_]
    records: NDArray[np.void]
    tags: Mapping[str, Bools]
    newcomer: NDArray[np.void]
    opted_out: frozenset[str]
    shelf: Shelf | None
    events: Sequence[Event]
    number: int

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return self.published.zone

    @property
    def ends(self) -> datetime:
        """The midnight that the day ends with."""
        begins = self.context.moment.astimezone(self.zone)
        return (begins + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)

    def places(self, members: Sequence[str]) -> NDArray[np.intp]:
        """Row of each member, -1 for newcomers."""
        asked = np.array(members, dtype=np.str_)
        if not len(self.member_ids) or not len(asked):
            return np.full(len(asked), -1, dtype=np.intp)
        found = np.minimum(np.searchsorted(self.member_ids, asked), len(self.member_ids) - 1)
        return np.where(self.member_ids[found] == asked, found, -1).astype(np.intp)

    def bases(self, places: NDArray[np.intp]) -> NDArray[np.void]:
        """Records of midnight by row."""
        found = np.repeat(self.newcomer, len(places))
        found[places >= 0] = self.records[places[places >= 0]]
        return found


@dataclass
class Replayed:
    """What would have happened: firings by trigger and arm, and what became of the other conditions that held, by trigger."""

    fired: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    others: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    events: int = 0
    members: int = 0


@dataclass(slots=True)
class _Today:
    """A member in the course of the day: what their events add up to, and how often they met each item."""

    slots: Slots
    items: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Seen:
    """An event with the member's day before and after it."""

    happening: Happening
    before: Slots
    after: Slots
    counts: ItemCounts | None
    items: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Try:
    """Something that may fire at a moment."""

    moment_us: int
    trigger: Trigger
    firing: str
    member_id: str


def replay(day: Day, force: InForce, *, key: bytes) -> Replayed:
    """What the triggers would have done on the day, from its midnight to the next."""
    found = Replayed(events=len(day.events), members=len({event.subject for event in day.events}))
    tries, put_off = [], _found_at_night(day, force)
    by_member: dict[str, list[_Seen]] = defaultdict(list)
    for seen in _gone_through(day):
        for each in seen:
            by_member[each.happening.member_id].append(each)
        fresh, later = _looked_at(day, force, seen, found)
        tries += fresh
        put_off += later
    tries += _looked_at_again(day, force, put_off, by_member, found)
    _decide(day, force, tries, found, key=key)
    return found


def _found_at_night(day: Day, force: InForce) -> list[Due]:
    """What the night before the day finds."""
    triggers, found = force.triggers.by_time, []
    yesterday = replace(day.context, moment=day.context.moment - timedelta(hours=12))
    for start in range(0, len(day.member_ids) if triggers else 0, 20 * TOGETHER):
        part = slice(start, start + 20 * TOGETHER)
        batch = Batch(
            day.member_ids[part].tolist(),
            Records(day.context, day.published, day.records[part]),
            Records(yesterday, day.published, day.records[part]),
            tags={name: holds[part] for name, holds in day.tags.items()},
        )
        found += due_after_night(triggers, batch, day=day.number, moment=day.context.moment, zone=day.zone)
    return found


def _gone_through(day: Day) -> Iterator[list[_Seen]]:
    """The events in their order, some at a time, each with the member's day before and after it."""
    todays: dict[str, _Today] = {}
    empty = slots_of(CONTRACT).empty
    for start in range(0, len(day.events), TOGETHER):
        events = day.events[start : start + TOGETHER]
        seen = []
        for event, change in zip(events, changes_of(CONTRACT, [(event, event.subject) for event in events]), strict=True):
            today = todays.setdefault(event.subject, _Today(empty))
            before, today.slots = today.slots, _added(today.slots, change.entries)
            today.items.update(dict(change.items))
            happening = happening_of(event, event.subject)
            if happening is not None:
                seen.append(_Seen(happening, before, today.slots, _counts(today.items, happening.item_id), change.items))
        yield seen


def _added(slots: Slots, packed: bytes) -> Slots:
    """A member's day with one event more."""
    kinds, entries = slots_of(CONTRACT), np.frombuffer(packed, dtype=ENTRY)
    found, where, values = slots.copy(), entries["slot"], entries["value"]
    adding, smaller = where < kinds.adding, (where >= kinds.adding) & (where < kinds.adding + kinds.smaller)
    larger = ~(adding | smaller)
    found[where[adding]] += values[adding]
    found[where[smaller]] = np.fmin(found[where[smaller]], values[smaller])
    found[where[larger]] = np.fmax(found[where[larger]], values[larger])
    return found


def _counts(items: Counter[str], item: str | None) -> ItemCounts | None:
    return None if item is None else ItemCounts(*(items[f"{letter}:{item}"] for letter in COUNTED))


def _looked_at(day: Day, force: InForce, seen: Sequence[_Seen], found: Replayed) -> tuple[list[_Try], list[Due]]:
    """Events as they come in: what may fire at once, and what is put off."""
    chosen = [each for each in seen if each.happening.type in force.types]
    if not chosen:
        return [], []
    batch = _batch(day, [each.happening for each in chosen], [each.after for each in chosen], [each.counts for each in chosen])
    batch = replace(batch, before=_records(day, batch.member_ids, [each.before for each in chosen]))
    tries, later = [], []
    moments = [each.happening.moment for each in chosen]
    for trigger in force.triggers.triggers:
        held = evaluate([trigger], batch, day.zone)
        planned = plan(held, batch, day.zone, moments)
        found.others[trigger.name] += planned.outcomes
        tries += [
            _Try(chosen[each.row].happening.occurred_us, trigger, each.firing, batch.member_ids[each.row])
            for each in planned.candidates
        ]
        later += planned.put_off
    return tries, later


def _batch(day: Day, happenings: Sequence[Happening], slots: Sequence[Slots], counts: Sequence[ItemCounts | None]) -> Batch:
    members = [happening.member_id for happening in happenings]
    places = day.places(members)
    tags = {name: np.where(places >= 0, holds[places], False) for name, holds in day.tags.items()}
    texts = [texts_of(happening, day.shelf) for happening in happenings]
    return Batch(members, _records(day, members, slots), happenings=happenings, counts=counts, texts=texts, tags=tags)


def _records(day: Day, members: Sequence[str], slots: Sequence[Slots]) -> Records:
    """Records of midnight with what of the day has come in, as of the day."""
    bases = day.bases(day.places(members))
    return Records(day.context, day.published, merge(CONTRACT, bases, records_of(CONTRACT, np.stack(slots))))


def _looked_at_again(
    day: Day, force: InForce, put_off: Sequence[Due], by_member: Mapping[str, list[_Seen]], found: Replayed
) -> list[_Try]:
    """What was put off, looked at when it is due; what is due after the day stays held."""
    tries: list[_Try] = []
    left, ends = list(put_off), microseconds(day.ends) // 1000
    while left:
        in_time = [due for due in left if due.due_ms < ends]
        for due in left:
            found.others[due.trigger]["HELD_BEYOND_THE_DAY"] += due.due_ms >= ends
        left = []
        for with_event in (True, False):
            part = [due for due in in_time if (due.happening is not None) is with_event]
            for start in range(0, len(part), TOGETHER):
                fresh, later = _again(day, force, part[start : start + TOGETHER], by_member, found)
                tries += fresh
                left += later
    return tries


def _again(
    day: Day, force: InForce, dues: Sequence[Due], by_member: Mapping[str, list[_Seen]], found: Replayed
) -> tuple[list[_Try], list[Due]]:
    """Some of what is due, all with an event or all without."""
    empty = slots_of(CONTRACT).empty
    states = [_state(by_member.get(due.member_id, ()), due, empty) for due in dues]
    happenings = [due.happening for due in dues if due.happening is not None]
    members = [due.member_id for due in dues]
    if happenings:
        batch = _batch(day, happenings, [slots for slots, _ in states], [counts for _, counts in states])
    else:
        places = day.places(members)
        tags = {name: np.where(places >= 0, holds[places], False) for name, holds in day.tags.items()}
        batch = Batch(members, _records(day, members, [slots for slots, _ in states]), tags=tags)
    names = {name for due in dues for name in due.before}
    extra = {name: np.array([due.before.get(name, np.nan) for due in dues], dtype=np.float32) for name in names}
    batch = replace(batch, extra=extra)
    moments = [moment_of(due.due_ms * 1000) for due in dues]
    asked = [trigger for trigger in force.triggers.triggers if trigger.name in {due.trigger for due in dues}]
    held = [each for each in evaluate(asked, batch, day.zone, becoming=False) if each.trigger.name == dues[each.row].trigger]
    planned = plan(held, batch, day.zone, moments, dues)
    holding = {each.row for each in held}
    for row, due in enumerate(dues):
        found.others[due.trigger]["OVER"] += row not in holding
    tries = [_Try(dues[c.row].due_ms * 1000, c.trigger, c.firing, members[c.row]) for c in planned.candidates]
    return tries, planned.put_off


def _state(seen: Sequence[_Seen], due: Due, empty: Slots) -> tuple[Slots, ItemCounts | None]:
    """A member's day as it stands when a firing is due, and the counts of its item by then."""
    slots, items = empty, Counter[str]()
    for each in seen:
        if each.happening.occurred_us > due.due_ms * 1000:
            break
        slots = each.after
        items.update(dict(each.items))
    return slots, _counts(items, due.happening.item_id if due.happening is not None else None)


def _decide(day: Day, force: InForce, tries: Collection[_Try], found: Replayed, *, key: bytes) -> None:
    """Let those fire that may, in the order of their moments."""
    ledgers: dict[str, Ledger] = {}
    for each in sorted(tries, key=lambda one: one.moment_us):
        ledger = ledgers.setdefault(each.member_id, Ledger(opted_out=each.member_id in day.opted_out))
        verdict = ledger.decide(each.firing, force.terms[each.trigger.name], each.moment_us)
        if verdict == "FIRED":
            arm = arm_of(each.trigger.arms, each.trigger.campaign, each.member_id, key=key)
            found.fired[each.trigger.name][arm.name] += 1
        else:
            found.others[each.trigger.name][verdict] += 1
