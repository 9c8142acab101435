"""Moments and local days: their numbers, their dates and their midnights in a shop's time zone."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

_FIRST = date(1970, 1, 1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day_number(day: date) -> int:
    """Days from 1970-01-01 to a calendar day."""
    return (day - _FIRST).days


def calendar_day(number: int) -> date:
    """The calendar day that many days after 1970-01-01."""
    return date.fromordinal(_FIRST.toordinal() + number)


def day_of(moment: datetime, zone: ZoneInfo) -> int:
    """Number of the local day that an aware moment falls on."""
    return day_number(moment.astimezone(zone).date())


def midnight(number: int, zone: ZoneInfo) -> datetime:
    """The aware moment at which a local day begins.

    Its offset is fixed: where clocks are put forward or back at midnight, Python says of a moment with a zone that it equals
    none with another zone (PEP 495).
    """
    begins = datetime.combine(calendar_day(number), datetime.min.time(), zone)
    return begins.replace(tzinfo=timezone(begins.utcoffset() or timedelta(0)))


def microseconds(moment: datetime) -> int:
    """Whole microseconds from 1970 UTC to an aware moment."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment_of(value: int) -> datetime:
    """The aware UTC moment that many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=int(value))


def naive_utc(moment: datetime) -> datetime:
    """An aware moment as facts have it: UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)
