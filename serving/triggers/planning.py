"""What becomes of conditions that hold: too late, without consent, put off, in quiet hours, or to be fired now. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from features.days import microseconds
from serving.triggers.declared import Trigger
from serving.triggers.evaluation import Batch, Held, numbers_before
from serving.triggers.happening import Happening
from serving.triggers.in_force import AGREED
from serving.triggers.ledger import microseconds_of
from serving.triggers.message import firing_of
from serving.triggers.quiet import quiet_until
from serving.triggers.store import Due


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trigger that may fire now, if its terms let it, for a row of the batch."""

    trigger: Trigger
    firing: str
    row: int


@dataclass(slots=True)
class Plan:
    """What is to be done with conditions that hold; `outcomes` counts those with which nothing more is."""

    candidates: list[Candidate] = field(default_factory=list)
    put_off: list[Due] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def plan(
    held: Sequence[Held], batch: Batch, zone: ZoneInfo, moments: Sequence[datetime], again: Sequence[Due] | None = None
) -> Plan:
    """What becomes of each condition that holds.

    Parameters
    ----------
    moments
        When each row is looked at.
    again
        What was put off, row by row, where it is that which is looked at.
    """
    found = Plan()
    for each in held:
        happening = batch.happenings[each.row] if batch.happenings else None
        due = again[each.row] if again is not None else None
        _place(found, each, batch, zone, moments[each.row], happening, due)
    return found


def _place(
    found: Plan, held: Held, batch: Batch, zone: ZoneInfo, moment: datetime, happening: Happening | None, due: Due | None
) -> None:
    trigger, row = held.trigger, held.row
    if _too_late(trigger, happening, due, moment):
        found.outcomes["LATE"] += 1
        return
    if trigger.consent == "given" and not batch.tags[AGREED][row]:
        found.outcomes["NO_CONSENT"] += 1
        return
    known = due if due is not None else _due_of(held, batch, happening, moment)
    if due is None and happening is not None and trigger.after:
        found.put_off.append(later(known, happening.moment + trigger.after))
        return
    until = quiet_until(trigger.quiet, moment, zone)
    if until is None:
        found.candidates.append(Candidate(trigger, known.firing, row))
    elif trigger.quiet is not None and trigger.quiet.then == "drop":
        found.outcomes["QUIET"] += 1
    else:
        found.put_off.append(later(known, until))


def _too_late(trigger: Trigger, happening: Happening | None, due: Due | None, moment: datetime) -> bool:
    since = due.due_ms * 1000 if due is not None else happening.occurred_us if happening is not None else microseconds(moment)
    return microseconds(moment) - since > microseconds_of(trigger.within)


def _due_of(held: Held, batch: Batch, happening: Happening | None, until: datetime) -> Due:
    if happening is None:
        raise ValueError("what a night finds is put off by the night itself")
    member = batch.member_ids[held.row]
    return Due(
        firing=firing_of(held.trigger.name, member, happening.event_id),
        trigger=held.trigger.name,
        member_id=member,
        due_ms=microseconds(until) // 1000,
        happening=happening,
        before=numbers_before(held.trigger, batch, [held.row])[0],
    )


def later(due: Due, until: datetime) -> Due:
    """The same firing, to be looked at at another moment."""
    return msgspec.structs.replace(due, due_ms=microseconds(until) // 1000)
