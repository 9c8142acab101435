"""Test periods follow each other in time, and no label is known before the window that learns from it is over."""

import itertools
from dataclasses import replace

import pytest

from features.errors import NotEnoughData
from features.facts import Facts
from training.periods import MIN_HISTORY_DAYS, known_days, matured_days, period_of_today, periods


def with_days(facts: Facts, days: int) -> Facts:
    return replace(facts, manifest=replace(facts.manifest, first_day=1000, until_day=1000 + days))


@pytest.mark.parametrize("days", [200, 365, 545])
@pytest.mark.parametrize("horizon", [14, 28, 90])
def test_labels_end_before_the_next_window_begins(facts: Facts, days: int, horizon: int) -> None:
    facts = with_days(facts, days)
    try:
        found = periods(facts, horizon_days=horizon)
    except NotEnoughData:
        assert days < MIN_HISTORY_DAYS + 2 * horizon
        return
    assert [p.test for p in found] == sorted({p.test for p in found})
    for period in found:
        windows = [period.train[-1], *([] if period.held_out else [period.validation, period.calibration]), period.test]
        assert all(later - earlier >= horizon for earlier, later in itertools.pairwise(windows))
        assert period.test + horizon <= facts.manifest.until_day
        assert period.train[0] >= facts.manifest.first_day + MIN_HISTORY_DAYS
    assert found[-1].test + horizon == facts.manifest.until_day


def test_a_long_horizon_holds_members_out_instead(facts: Facts) -> None:
    found = periods(with_days(facts, 365), horizon_days=90)
    assert len(found) == 3
    assert all(period.held_out for period in found)
    assert not any(period.held_out for period in periods(with_days(facts, 365), horizon_days=28))


def test_the_last_matured_day_is_a_horizon_before_the_end(facts: Facts) -> None:
    assert matured_days(with_days(facts, 365), horizon_days=28)[-1] == 1000 + 365 - 28


def test_too_short_a_history_is_refused_in_numbers(facts: Facts) -> None:
    with pytest.raises(NotEnoughData, match="needs 140 days of facts"):
        periods(with_days(facts, 100), horizon_days=28)


def test_known_days_are_over_by_the_day_asked_about(facts: Facts) -> None:
    facts = with_days(facts, 365)

    found = known_days(facts, 1200, horizon_days=28)
    assert found[-1] == 1172
    assert found[0] >= 1000 + MIN_HISTORY_DAYS
    assert known_days(facts, 1365, horizon_days=28) == matured_days(facts, horizon_days=28)
    assert known_days(facts, 1000 + MIN_HISTORY_DAYS + 27, horizon_days=28) == ()


def test_today_is_a_period_whose_test_has_yet_to_happen(facts: Facts) -> None:
    facts = with_days(facts, 365)
    newest, today = periods(facts, horizon_days=28)[-1], period_of_today(facts, horizon_days=28)

    assert (today.test, today.calibration, today.validation) == (1365, newest.test, newest.calibration)
    assert not today.held_out
    assert period_of_today(with_days(facts, 120), horizon_days=28).held_out
    with pytest.raises(NotEnoughData, match="needs 112 days"):
        period_of_today(with_days(facts, 111), horizon_days=28)
