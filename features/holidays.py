"""Which local days are holidays: the public ones of the shop's country, and the days the shop names itself."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import holidays

from features.days import calendar_day, day_number
from features.errors import SourceError


def holiday_days(country: str, own_days: Iterable[str], *, first_day: int, last_day: int) -> frozenset[int] | None:
    """Holidays between two local days, as days since 1970-01-01; None where nothing is known of any.

    Parameters
    ----------
    country
        ISO 3166-1 code, with a subdivision where one counts: `FR`, `DE-BY`. Empty if unknown.
    own_days
        Further days, such as 2024-11-11, in ISO 8601.

    Raises
    ------
    SourceError
        No such country is known, or a day is none.
    """
    named = [_day(text) for text in own_days]
    if not country and not named:
        return None
    years = range(calendar_day(first_day).year, calendar_day(last_day).year + 1)
    days = [*named, *(_public(country, years) if country else ())]
    return frozenset(number for number in map(day_number, days) if first_day <= number <= last_day)


def own_days(section: Mapping[str, Any]) -> tuple[str, ...]:
    """The days that a mapping's section `[holidays]` names: `days = ["2024-11-11"]`.

    Raises
    ------
    SourceError
        Something else stands there.
    """
    unknown = sorted(set(section) - {"days"})
    if unknown:
        raise SourceError(f"[holidays] {', '.join(unknown)} is unknown", remedy='write days = ["2024-11-11"]')
    days = tuple(str(day) for day in section.get("days", ()))
    for day in days:
        _day(day)
    return days


def _public(country: str, years: range) -> list[date]:
    code, _, subdivision = country.upper().partition("-")
    try:
        return list(holidays.country_holidays(code, subdiv=subdivision or None, years=years))
    except NotImplementedError as error:
        raise SourceError(
            f"country {country!r} is not known", remedy="write an ISO code such as FR, or DE-BY for a part of one"
        ) from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SourceError(f"[holidays] {text!r} is no day", remedy="write it as 2024-11-11") from error
