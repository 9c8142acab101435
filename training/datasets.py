"""Snapshots for training: features as of many cut-offs, joined with what happened after each, split by time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows, build
from features.contract import CONTRACT, Contract
from features.days import calendar_day
from features.derive import model_columns
from features.errors import NotEnoughData
from features.facts import Facts
from features.refresh import snapshots

STEP_DAYS = 14
MIN_HISTORY_DAYS = 84


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Local days at which snapshots are taken, in time order: each group's labels end before the next group begins."""

    train: tuple[int, ...]
    validation: int
    calibration: int
    test: int

    @property
    def days(self) -> tuple[int, ...]:
        """All of them, ascending."""
        return (*self.train, self.validation, self.calibration, self.test)


def cutoffs(facts: Facts, *, horizon_days: int, step_days: int = STEP_DAYS) -> Cutoffs:
    """The latest test window that has matured, calibration and validation one horizon before each, training before those.

    Raises
    ------
    NotEnoughData
        The facts are too short for one training snapshot with `MIN_HISTORY_DAYS` behind it.
    """
    test = facts.manifest.until_day - horizon_days
    calibration, validation = test - horizon_days, test - 2 * horizon_days
    last = validation - horizon_days
    first = facts.manifest.first_day + MIN_HISTORY_DAYS
    if first > last:
        needed = MIN_HISTORY_DAYS + 4 * horizon_days
        raise NotEnoughData(
            f"a horizon of {horizon_days} days needs {needed} days of facts (history, and four windows in time order); "
            f"there are {facts.manifest.until_day - facts.manifest.first_day}, "
            f"from {calendar_day(facts.manifest.first_day)}",
            remedy="import a longer history, or choose a shorter horizon",
        )
    return Cutoffs(tuple(range(last, first - 1, -step_days))[::-1], validation, calibration, test)


class Snapshots:
    """Features as of local midnights, built once for each day asked for."""

    def __init__(self, facts: Facts, contract: Contract = CONTRACT) -> None:
        self.facts = facts
        self.contract = contract
        self._rows: dict[int, FeatureRows] = {}

    def at(self, day: int) -> FeatureRows:
        """Feature rows as of the midnight at which a local day begins."""
        if day not in self._rows:
            self._rows[day] = build(self.facts, as_of=self.facts.midnight(day), contract=self.contract)
        return self._rows[day]

    def put(self, rows: FeatureRows) -> None:
        """Take a snapshot that was built before."""
        self._rows[rows.day] = rows

    def prepare(self, days: Sequence[int]) -> Iterator[int]:
        """Build every snapshot of these days, reading the facts once for all of them; yields each day when done."""
        for rows in snapshots(self.facts, [day for day in days if day not in self._rows], contract=self.contract):
            self._rows[rows.day] = rows
            yield rows.day


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled rows of one or more snapshots.

    Attributes
    ----------
    member_ids, days
        Whose row it is and as of which local day.
    matrix
        float32; one column for each of `Contract.model_features`.
    labels
        What happened in the horizon after.
    """

    member_ids: NDArray[np.str_]
    days: NDArray[np.int32]
    matrix: NDArray[np.float32]
    labels: NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.labels)


Labelled = Callable[[FeatureRows], tuple[NDArray[np.bool_], NDArray[np.generic]]]
"""From feature rows to which of them are eligible, and the labels of those that are."""


def examples(snapshots: Snapshots, days: Sequence[int], label: Labelled) -> Examples:
    """Eligible rows of the snapshots of these days, with their labels, one snapshot after the other."""
    columns = model_columns(snapshots.contract)
    parts = []
    for day in days:
        rows = snapshots.at(day)
        eligible, labels = label(rows)
        members = rows.member_ids[eligible]
        parts.append((members, np.full(len(members), day, dtype=np.int32), rows.matrix[eligible][:, columns], labels))
    member_ids, when, matrices, labels_of = zip(*parts, strict=True)
    return Examples(np.concatenate(member_ids), np.concatenate(when), np.concatenate(matrices), np.concatenate(labels_of))
