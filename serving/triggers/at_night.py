"""What the passing of time sets off: looked for once a night over everyone, and put among what is due. Pure."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from features.days import microseconds
from serving.triggers.declared import Trigger
from serving.triggers.evaluation import Batch, evaluate, numbers_before
from serving.triggers.in_force import AGREED
from serving.triggers.message import firing_of
from serving.triggers.quiet import quiet_until
from serving.triggers.store import Due


def due_after_night(triggers: Sequence[Trigger], batch: Batch, *, day: int, moment: datetime, zone: ZoneInfo) -> list[Due]:
    """Firings that a night finds for the members of a batch: due at once, or when their quiet hours end.

    Parameters
    ----------
    batch
        Members with the records of this midnight; those of before are the same as of the last night's day.
    day
        The local day that begins with this night. The same night looked again finds the same firings.
    """
    found: list[Due] = []
    held = evaluate(triggers, batch, zone)
    for trigger in triggers:
        rows = [each.row for each in held if each.trigger is trigger]
        if trigger.consent == "given":
            rows = [row for row in rows if batch.tags[AGREED][row]]
        until = quiet_until(trigger.quiet, moment, zone)
        if not rows or (until is not None and trigger.quiet is not None and trigger.quiet.then == "drop"):
            continue
        due_ms = microseconds(until or moment) // 1000
        for row, before in zip(rows, numbers_before(trigger, batch, rows), strict=True):
            member = batch.member_ids[row]
            firing = firing_of(trigger.name, member, f"night {day}")
            found.append(Due(firing=firing, trigger=trigger.name, member_id=member, due_ms=due_ms, before=before))
    return found
