"""What value and tier share: the horizon, the test periods, the rows that are known by a day, and folds of whole members.

A horizon of 90 days leaves a year of facts no room for validation and calibration windows in a row. So members are held out
instead, in turn, and nothing newer than the last known label has to be given up for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.contract import Contract
from features.facts import Facts
from training import bgnbd, gammagamma
from training.baselines import bgnbd_history
from training.datasets import Examples, Labelled, Snapshots, examples
from training.labels import spend_within
from training.periods import Period, known_days, period_of_today, periods

HORIZON_DAYS = 90
FOLDS = 4
MOST_ROWS = 120_000
"""Rows beyond which cut-offs further apart, and then fewer members, are taken."""
MORE_IS_MORE = frozenset(
    {
        *(f"{counted}_{days}d" for counted in ("spend_cents", "purchases", "purchase_days") for days in (7, 30, 90, 180, 365)),
        *(f"purchases_h{days}d" for days in (7, 30, 90)),
        "spend_cents_h30d",
        "spend_cents_ever",
        "purchases_ever",
    }
)
"""What was spent and how often: as it grows, all else equal, nobody is expected to spend less."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows of most members, and of those held out; positions in the rows they were cut from."""

    fitted: NDArray[np.intp]
    held_out: NDArray[np.intp]


def spending_periods(facts: Facts, *, horizon_days: int = HORIZON_DAYS) -> tuple[Period, ...]:
    """Up to three test periods, oldest first, each with every cut-off whose label was known by its test day.

    Raises
    ------
    NotEnoughData
        Not even one test window lies in the facts.
    """
    return tuple(_of_known(facts, period) for period in periods(facts, horizon_days=horizon_days))


def spending_today(facts: Facts, *, horizon_days: int = HORIZON_DAYS) -> Period:
    """What a model that answers from the end of the facts on is fitted on.

    Raises
    ------
    NotEnoughData
        No label has matured.
    """
    return _of_known(facts, period_of_today(facts, horizon_days=horizon_days))


def spending_days(facts: Facts, *, horizon_days: int = HORIZON_DAYS) -> tuple[int, ...]:
    """Local days of every snapshot that evidence and training ask for, ascending."""
    found = [*spending_periods(facts, horizon_days=horizon_days), spending_today(facts, horizon_days=horizon_days)]
    return tuple(sorted({day for period in found for day in period.days}))


def known_rows(snapshots: Snapshots, days: tuple[int, ...], label: Labelled, *, seed: int) -> Examples:
    """Labelled rows of these days: fewer days where all hold too many rows, the latest always, then fewer members."""
    members = len(snapshots.at(days[-1]).member_ids)
    stride = max(1, -(-members * len(days) // MOST_ROWS))
    rows = examples(snapshots, days[::-1][::stride][::-1], label)
    if len(rows) <= MOST_ROWS:
        return rows
    return part(rows, np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False)))


def part(rows: Examples, kept: NDArray[np.intp]) -> Examples:
    """Some of the rows, in the order given."""
    return Examples(rows.member_ids[kept], rows.days[kept], rows.matrix[kept], rows.labels[kept])


def member_folds(rows: Examples, *, seed: int, folds: int = FOLDS) -> Iterator[Fold]:
    """Each part of the members held out in turn, whole members apart; every row is held out once."""
    members, row_of = np.unique(rows.member_ids, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(members))[row_of] % folds
    for place in range(folds):
        yield Fold(np.flatnonzero(drawn != place), np.flatnonzero(drawn == place))


def spend_label(facts: Facts, *, horizon_days: int) -> Labelled:
    """Net spend of the horizon in cents, for every member of a matured snapshot."""

    def label(rows: FeatureRows) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
        members = rows.member_ids.tolist()
        spent = spend_within(facts, members, day=rows.day, horizon_days=horizon_days)
        return np.ones(len(members), dtype=np.bool_), spent

    return label


def monotone(contract: Contract) -> tuple[int, ...]:
    """The sign that the field knows of each model feature: 1 never lowers spend, 0 is left to the data."""
    return tuple(int(name in MORE_IS_MORE) for name in contract.model_features)


def _of_known(facts: Facts, period: Period) -> Period:
    """The period with every cut-off whose label is known by its test day, and members held out in place of windows."""
    known = known_days(facts, period.test, horizon_days=period.horizon_days)
    return Period(period.horizon_days, known, None, None, period.test)


def past_spend(rows: FeatureRows, *, horizon_days: int) -> NDArray[np.float64]:
    """What each member spent in the last 90 days, for as many days as the horizon has."""
    return rows.column("spend_cents_90d").astype(np.float64) * (horizon_days / 90)


def bgnbd_gamma_gamma(rows: FeatureRows, *, horizon_days: int) -> NDArray[np.float64]:
    """Purchase days to come by BG/NBD times their worth by Gamma-Gamma, in cents, for every member.

    Both are fitted on the histories of all members as of that very day. Who never bought is answered 0.

    Raises
    ------
    NotEnoughData
        One of the two fits degenerates.
    """
    bought, history = bgnbd_history(rows)
    count = rows.column("purchase_days").astype(np.float64)[bought]
    mean = rows.column("spend_cents_ever").astype(np.float64)[bought] / count
    paid = mean > 0
    days = bgnbd.fit(**history).expected_purchases(horizon_days, **history)
    worth = gammagamma.fit(count=count[paid], mean=mean[paid])
    answer = np.zeros(len(bought))
    answer[bought] = days * worth.expected_amount(count=np.where(paid, count, 0.0), mean=np.where(paid, mean, 0.0))
    return answer
