"""The time protocol: test periods one after the other, each judged by models that saw nothing of it, and the days to refit on.

    |<-- history -->|  train  |  validation  |  calibration  |  test  |
                     each label ends before the next window's cut-off

Where the horizon is too long for four windows in a row, validation and calibration are members held out of the training
window instead (`held_out` says so); the test window always lies a whole horizon after the last training cut-off.
"""

from dataclasses import dataclass

from features.days import calendar_day
from features.errors import NotEnoughData
from features.facts import Facts

STEP_DAYS = 14
MIN_HISTORY_DAYS = 84
PERIODS = 3


@dataclass(frozen=True, slots=True)
class Period:
    """Local days at which snapshots are taken for one test period, each group's labels over before the next begins.

    Attributes
    ----------
    train
        Ascending.
    validation, calibration
        None where members are held out of `train` instead, as the horizon leaves no room.
    """

    horizon_days: int
    train: tuple[int, ...]
    validation: int | None
    calibration: int | None
    test: int

    @property
    def held_out(self) -> bool:
        """Whether validation and calibration are members held out of the training window."""
        return self.validation is None

    @property
    def days(self) -> tuple[int, ...]:
        """All of them, ascending."""
        between = tuple(day for day in (self.validation, self.calibration) if day is not None)
        return (*self.train, *between, self.test)


def periods(
    facts: Facts, *, horizon_days: int, count: int = PERIODS, step_days: int = STEP_DAYS, history_days: int = MIN_HISTORY_DAYS
) -> tuple[Period, ...]:
    """Up to `count` test periods, oldest first; the newest ends with the facts, the others one stride earlier each.

    The stride is the horizon, but no more than 28 days: test windows of a long horizon overlap, and what is said of their
    spread has to say so. Fewer periods are returned where the history does not reach.

    Raises
    ------
    NotEnoughData
        Not even one training cut-off with `history_days` behind it lies a horizon before the newest test window.
    """
    newest = facts.manifest.until_day - horizon_days
    first = facts.manifest.first_day + history_days
    stride = min(horizon_days, 28)
    found = [_ending_with(newest - back * stride, first, horizon_days, step_days) for back in range(count)]
    whole = [period for period in found if period is not None]
    if found[0] is None:
        raise NotEnoughData(
            f"a horizon of {horizon_days} days needs {history_days + 2 * horizon_days} days of facts (history, and two windows "
            f"in time order); there are {facts.manifest.until_day - facts.manifest.first_day}, "
            f"from {calendar_day(facts.manifest.first_day)}",
            remedy="import a longer history, or choose a shorter horizon",
        )
    return tuple(reversed(whole))


def matured_days(
    facts: Facts, *, horizon_days: int, step_days: int = STEP_DAYS, history_days: int = MIN_HISTORY_DAYS
) -> tuple[int, ...]:
    """Every cut-off whose label is known, a step apart, ascending, ending with the latest: what a model is refitted on."""
    return known_days(
        facts, facts.manifest.until_day, horizon_days=horizon_days, step_days=step_days, history_days=history_days
    )


def known_days(
    facts: Facts, day: int, *, horizon_days: int, step_days: int = STEP_DAYS, history_days: int = MIN_HISTORY_DAYS
) -> tuple[int, ...]:
    """Every cut-off whose label was known by a local day, a step apart, ascending, ending with the latest."""
    last, first = day - horizon_days, facts.manifest.first_day + history_days
    return tuple(range(last, first - 1, -step_days))[::-1]


def period_of_today(
    facts: Facts, *, horizon_days: int, step_days: int = STEP_DAYS, history_days: int = MIN_HISTORY_DAYS
) -> Period:
    """The windows of a model that is to answer from the end of the facts on: a period whose test has yet to happen.

    Raises
    ------
    NotEnoughData
        No training cut-off with `history_days` behind it has matured.
    """
    first = facts.manifest.first_day + history_days
    found = _ending_with(facts.manifest.until_day, first, horizon_days, step_days)
    if found is None:
        raise NotEnoughData(
            f"a horizon of {horizon_days} days needs {history_days + horizon_days} days of facts to learn from; "
            f"there are {facts.manifest.until_day - facts.manifest.first_day}",
            remedy="import a longer history, or choose a shorter horizon",
        )
    return found


def _ending_with(test: int, first: int, horizon_days: int, step_days: int) -> Period | None:
    """The period that ends with a test cut-off: four windows in time order, or two, or None."""
    last = test - 3 * horizon_days
    if last >= first:
        train = tuple(range(last, first - 1, -step_days))[::-1]
        return Period(horizon_days, train, test - 2 * horizon_days, test - horizon_days, test)
    last = test - horizon_days
    if last >= first:
        return Period(horizon_days, tuple(range(last, first - 1, -step_days))[::-1], None, None, test)
    return None
