"""Quiet hours in the shop's time zone: whether a moment is quiet, and when it ends."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from serving.triggers.declared import Quiet

MINUTES = 24 * 60


def quiet_until(quiet: Quiet | None, moment: datetime, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours that a moment falls into end, in UTC; None if it falls into none.

    The hours are those of the wall clock, also in the nights in which it is put forward or back.
    """
    if quiet is None:
        return None
    local = moment.astimezone(zone)
    minute = local.hour * 60 + local.minute
    if not _within(minute, quiet):
        return None
    days = 1 if minute >= quiet.ends else 0
    end = (local + timedelta(days=days)).replace(hour=quiet.ends // 60, minute=quiet.ends % 60, second=0, microsecond=0, fold=0)
    ended = end.astimezone(UTC)
    return ended if ended > moment else end.replace(fold=1).astimezone(UTC)


def _within(minute: int, quiet: Quiet) -> bool:
    if quiet.begins < quiet.ends:
        return quiet.begins <= minute < quiet.ends
    return minute >= quiet.begins or minute < quiet.ends
