"""Spans, caps and quiet hours as people write them: "30 minutes", "2 per 30 days", "21:00-09:00"."""

import re
from datetime import timedelta

from serving.triggers.declared import Cap

SPAN = 'a span such as "30 minutes", "12 hours" or "7 days"'
CAP = 'a cap such as "2 per 30 days", at most 50 times'
HOURS = 'hours of the shop\'s clock such as "21:00-09:00"'
LONGEST = timedelta(days=400)
MOST_TIMES = 50
_UNITS = {"second": "seconds", "minute": "minutes", "hour": "hours", "day": "days"}
_SPAN = re.compile(r"(\d{1,6}) (second|minute|hour|day)s?")
_CAP = re.compile(rf"(\d{{1,3}}) per ({_SPAN.pattern}|day|hour)")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def span_of(text: object) -> timedelta | None:
    """The span that a text means; None if it means none, or one of more than 400 days."""
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    span = timedelta(**{_UNITS[found[2]]: int(found[1])})
    return span if span <= LONGEST else None


def cap_of(text: object) -> Cap | None:
    """The cap that a text means; None if it means none."""
    found = _CAP.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    window = span_of(found[2] if found[2] not in _UNITS else f"1 {found[2]}")
    return Cap(int(found[1]), window) if window and 0 < int(found[1]) <= MOST_TIMES else None


def hours_of(text: object) -> tuple[int, int] | None:
    """Begin and end in minutes of the day; None if the text means no hours, or all of them."""
    found = _HOURS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    begins, ends = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    return (begins, ends) if begins != ends else None


def in_words(span: timedelta) -> str:
    """A span as people write it, in the largest unit that is whole."""
    seconds = int(span.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds and seconds % size == 0:
            return _counted(seconds // size, unit)
    return _counted(seconds, "second")


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
