"""Holidays: those of a country, those a shop names, and nothing where nobody knows."""

from datetime import date

import pytest

from features.days import day_number
from features.errors import SourceError
from features.holidays import holiday_days, own_days

YEAR = {"first_day": day_number(date(2024, 1, 1)), "last_day": day_number(date(2024, 12, 31))}


def days(*texts: str) -> frozenset[int]:
    return frozenset(day_number(date.fromisoformat(text)) for text in texts)


def test_public_holidays_of_a_country_and_of_a_part_of_it() -> None:
    germany, bavaria = (holiday_days(country, (), **YEAR) for country in ("DE", "de-by"))

    assert germany is not None
    assert bavaria is not None
    assert days("2024-10-03", "2024-12-25") <= germany
    assert days("2024-01-06") <= bavaria - germany  # Epiphany


def test_days_of_the_shop_s_own_and_only_those_of_the_span() -> None:
    own = own_days({"days": ["2024-11-11", "2023-11-11"]})

    assert holiday_days("", own, **YEAR) == days("2024-11-11")
    assert holiday_days("", (), **YEAR) is None


@pytest.mark.parametrize(
    ("section", "word"), [({"days": ["11.11.2024"]}, "11.11.2024"), ({"day": ["2024-11-11"]}, "day is unknown")]
)
def test_what_is_no_day_is_refused(section: dict[str, list[str]], word: str) -> None:
    with pytest.raises(SourceError, match=word):
        own_days(section)


def test_an_unknown_country_is_refused_with_a_remedy() -> None:
    with pytest.raises(SourceError, match="'XX'") as refused:
        holiday_days("XX", (), **YEAR)
    assert "ISO" in refused.value.remedy
