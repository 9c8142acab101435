"""Quiet hours on the wall clock of the shop, also when it is put forward or back; arms that everybody keeps."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.triggers.arms import arm_of
from serving.triggers.declared import Arm, Quiet
from serving.triggers.quiet import quiet_until

NEW_YORK = ZoneInfo("America/New_York")
NIGHT = Quiet(21 * 60, 9 * 60)
NOON = Quiet(12 * 60, 13 * 60)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("quiet", "moment", "end"),
    [
        (NIGHT, "2017-06-01T20:59:59", None),
        (NIGHT, "2017-06-01T21:00:00", "2017-06-02T09:00:00"),
        (NIGHT, "2017-06-02T00:00:00", "2017-06-02T09:00:00"),
        (NIGHT, "2017-06-02T08:59:59", "2017-06-02T09:00:00"),
        (NIGHT, "2017-06-02T09:00:00", None),
        (NOON, "2017-06-02T12:30:00", "2017-06-02T13:00:00"),
        (NOON, "2017-06-02T13:00:00", None),
        (NIGHT, "2017-03-11T23:00:00", "2017-03-12T09:00:00"),  # 9 hours later: clocks are put forward
        (NIGHT, "2017-11-04T23:00:00", "2017-11-05T09:00:00"),  # 11 hours later
        (None, "2017-06-02T00:00:00", None),
    ],
)
def test_when_quiet_hours_end(quiet: Quiet | None, moment: str, end: str | None) -> None:
    assert quiet_until(quiet, at(moment).astimezone(UTC), NEW_YORK) == (at(end) if end else None)


@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.integers(0, 730 * 24 * 60).map(lambda minutes: datetime(2017, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)),
)
def test_the_end_is_not_quiet_and_everything_before_it_is(begins: int, ends: int, moment: datetime) -> None:
    if begins == ends:
        return
    quiet = Quiet(begins, ends)
    end = quiet_until(quiet, moment, NEW_YORK)
    if end is not None:
        assert moment < end <= moment + timedelta(hours=26)
        again = quiet_until(quiet, end, NEW_YORK)
        assert again is None or again - end <= timedelta(hours=1)  # the hour that comes twice


def test_an_end_within_the_hour_that_comes_twice_is_not_in_the_past() -> None:
    second = datetime(2017, 11, 5, 6, 10, tzinfo=UTC)  # 1:10 for the second time
    assert quiet_until(Quiet(60, 90), second, NEW_YORK) == datetime(2017, 11, 5, 6, 30, tzinfo=UTC)


ARMS = (Arm("coupon", 0.5), Arm("reminder", 0.3), Arm("control", 0.2))


def test_arms_have_their_shares_and_stay() -> None:
    drawn = {f"{member}": arm_of(ARMS, "spring", f"{member}", key=b"k").name for member in range(20_000)}
    counts = Counter(drawn.values())
    for arm in ARMS:
        assert counts[arm.name] / 20_000 == pytest.approx(arm.share, abs=0.012)  # four standard errors
    assert all(arm_of(ARMS, "spring", member, key=b"k").name == arm for member, arm in list(drawn.items())[:100])


def test_arms_of_two_campaigns_or_keys_have_nothing_to_do_with_each_other() -> None:
    for other in (
        lambda member: arm_of(ARMS, "summer", member, key=b"k"),
        lambda member: arm_of(ARMS, "spring", member, key=b"l"),
    ):
        same = sum(arm_of(ARMS, "spring", f"{m}", key=b"k") == other(f"{m}") for m in range(20_000))
        assert same / 20_000 == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, abs=0.015)
