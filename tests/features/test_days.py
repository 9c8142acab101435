"""Local days of zones whose clocks change at midnight begin at a moment that is equal to itself in any zone."""

from datetime import UTC, date
from zoneinfo import ZoneInfo

import pytest

from features.days import day_number, day_of, midnight
from features.live_state import first_live_day


@pytest.mark.parametrize(
    ("name", "day", "begins"),
    [
        ("America/Santiago", date(2024, 9, 8), "2024-09-08T04:00:00+00:00"),  # there is no 00:00 on this day
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-25T22:00:00+00:00"),
        ("America/Havana", date(2024, 11, 3), "2024-11-03T04:00:00+00:00"),  # there are two
        ("Europe/Berlin", date(2024, 3, 31), "2024-03-30T23:00:00+00:00"),
    ],
)
def test_a_base_of_midnight_holds_nothing_of_its_day_where_clocks_change(name: str, day: date, begins: str) -> None:
    zone, number = ZoneInfo(name), day_number(day)
    moment = midnight(number, zone)
    assert moment.astimezone(UTC).isoformat() == begins
    assert moment == moment.astimezone(UTC)
    assert day_of(moment, zone) == number
    assert first_live_day(moment.astimezone(UTC), zone) == number
