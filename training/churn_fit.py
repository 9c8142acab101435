"""One churn model as of one day, from nothing that was not known by then: trees or BG/NBD, calibrator, interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from features.errors import NotEnoughData
from training import bgnbd
from training.baselines import bgnbd_history, bgnbd_no_purchase
from training.boosting import Recipe, fit_trees, scaled_trees, trees_by_early_stopping
from training.calibration import Window, calibrator_over_time, fit_calibrator, interval_table
from training.churn_definition import ChurnDefinition, churn_label, eligible_rows
from training.datasets import Examples, Snapshots, examples
from training.periods import MIN_HISTORY_DAYS, STEP_DAYS, Period, known_days
from training.predictors import BgNbd, Calibrator, IntervalTable, TreeModel

ChurnEngine = Literal["xgboost", "lightgbm", "bgnbd"]
MOST_ROWS = 120_000
"""Rows beyond which cut-offs further apart are taken: those of a long horizon overlap and tell little more."""
APART = 0.2
"""Share of members held out for each purpose where the history leaves no room for windows in a row."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A churn model as of one day.

    Attributes
    ----------
    rows
        What it was fitted on; None for BG/NBD, which reads histories and no labels.
    notes
        How it was fitted, for the record.
    """

    model: TreeModel | BgNbd
    calibrator: Calibrator
    interval: IntervalTable | None
    rows: Examples | None
    notes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Windows:
    """Rows for finding the number of trees, for calibrating, and for the refit; all labels known by the day of the test."""

    fitted: Examples
    later: Examples
    before_calibration: Examples
    calibration: Examples
    whole: Examples


def fit_trees_as_of(snapshots: Snapshots, recipe: Recipe, period: Period, definition: ChurnDefinition) -> Fitted:
    """Trees as of the period's test day.

    Rounds come from stopping early on the validation window; the calibrator and the interval from what trees fitted on all
    that was known before say of the calibration window, its kind chosen a horizon earlier (decision 40); the trees that
    answer are refitted on all that is known by then.

    Raises
    ------
    NotEnoughData
        A window holds a single outcome.
    """
    windows = _windows(snapshots, period, definition, seed=recipe.seed)
    found, loss = trees_by_early_stopping(recipe, windows.fitted, windows.later)

    def refitted(rows: Examples) -> TreeModel:
        return fit_trees(recipe, rows, scaled_trees(recipe, found, found_on=len(windows.fitted), used_on=len(rows)))

    said = _said(refitted(windows.before_calibration), windows.calibration)
    before = None if period.held_out else _said(fit_trees(recipe, windows.fitted, found), windows.later)
    calibrator, interval = _calibrated(before, said, seed=recipe.seed)
    notes = {
        "trees": scaled_trees(recipe, found, found_on=len(windows.fitted), used_on=len(windows.whole)),
        "trees_found": found,
        "validation_loss": loss,
        "calibrator": calibrator.method,
        "calibration_rows": len(windows.calibration),
        "rows": len(windows.whole),
    }
    return Fitted(refitted(windows.whole), calibrator, interval, windows.whole, notes)


def fit_bgnbd_as_of(snapshots: Snapshots, day: int, definition: ChurnDefinition, *, seed: int) -> Fitted:
    """BG/NBD as of a local day, from the histories of all members; calibrated on the last horizons where there are any.

    Raises
    ------
    NotEnoughData
        The fit degenerates.
    """
    model = bgnbd.fit(**bgnbd_history(snapshots.at(day))[1])
    said = _said_by_bgnbd(snapshots, day - definition.horizon_days, definition)
    if said is None:
        return Fitted(model, Calibrator(), None, None, {"calibrator": "none", "calibration_rows": 0})
    before = _said_by_bgnbd(snapshots, day - 2 * definition.horizon_days, definition)
    calibrator, interval = _calibrated(before, said, seed=seed)
    return Fitted(model, calibrator, interval, None, {"calibrator": calibrator.method, "calibration_rows": len(said[0])})


def _said_by_bgnbd(snapshots: Snapshots, day: int, definition: ChurnDefinition) -> Window | None:
    """What BG/NBD as of a day said of the members of that day; None without a horizon of history, or without a fit."""
    if day - snapshots.facts.manifest.first_day < definition.horizon_days:
        return None
    eligible, left = churn_label(snapshots.facts, definition)(snapshots.at(day))
    raw = bgnbd_no_purchase(snapshots.at(day), eligible, horizon_days=definition.horizon_days)
    return (raw, left.astype(np.bool_)) if raw is not None and len(raw) else None


def require_both(rows: Examples, window: str) -> Examples:
    """The rows; NotEnoughData if everybody among them left, or nobody."""
    if len(set(rows.labels.tolist())) < 2:
        raise NotEnoughData(
            f"the {window} window of churn has {len(rows)} members and a single outcome",
            remedy="choose another horizon, or wait for more members",
        )
    return rows


def _calibrated(before: Window | None, said: Window, *, seed: int) -> tuple[Calibrator, IntervalTable | None]:
    """Calibrator and interval by what was said of the calibration window, and of the one a horizon before if there is one."""
    calibrator = fit_calibrator(*said, seed=seed) if before is None else calibrator_over_time(before, said, seed=seed)
    return calibrator, interval_table(calibrator.apply(said[0]), said[1])


def _said(model: TreeModel, rows: Examples) -> Window:
    return model.predict(rows.matrix), rows.labels.astype(np.bool_)


def _windows(snapshots: Snapshots, period: Period, definition: ChurnDefinition, *, seed: int) -> _Windows:
    label = churn_label(snapshots.facts, definition)

    def rows(days: Sequence[int], window: str) -> Examples:
        return require_both(examples(snapshots, days, label), window)

    whole = rows(thinned(snapshots, _known(snapshots, period.test, definition), definition), "training")
    if period.validation is None or period.calibration is None:
        fitted, later, calibration = _members_apart(whole, seed=seed)
        before = Examples(*(np.concatenate(parts) for parts in zip(_fields(fitted), _fields(later), strict=True)))
        return _Windows(fitted, require_both(later, "validation"), before, require_both(calibration, "calibration"), whole)
    before_calibration = thinned(snapshots, _known(snapshots, period.calibration, definition), definition)
    return _Windows(
        rows(thinned(snapshots, period.train, definition), "training"),
        rows([period.validation], "validation"),
        rows(before_calibration, "training"),
        rows([period.calibration], "calibration"),
        whole,
    )


def days_of(snapshots: Snapshots, period: Period, definition: ChurnDefinition) -> tuple[int, ...]:
    """Every cut-off that fitting and judging in a period asks for, before any is thinned out."""
    known = _known(snapshots, period.test, definition)
    earlier = () if period.calibration is None else _known(snapshots, period.calibration, definition)
    return tuple(sorted({*period.days, *known, *earlier}))


def thinned(snapshots: Snapshots, days: Sequence[int], definition: ChurnDefinition) -> tuple[int, ...]:
    """Cut-offs further apart where all of them hold too many rows; the latest stays."""
    if not days:
        return ()
    most = int(eligible_rows(snapshots.at(days[-1]), definition).sum()) * len(days)
    stride = max(1, -(-most // MOST_ROWS))
    return tuple(days[::-1][::stride][::-1])


def _known(snapshots: Snapshots, day: int, definition: ChurnDefinition) -> tuple[int, ...]:
    return known_days(
        snapshots.facts,
        day,
        horizon_days=definition.horizon_days,
        step_days=STEP_DAYS,
        history_days=MIN_HISTORY_DAYS,
    )


def _members_apart(rows: Examples, *, seed: int) -> tuple[Examples, Examples, Examples]:
    """Rows of most members, of those who find the number of trees, and of those who calibrate; whole members apart."""
    members, row_of = np.unique(rows.member_ids, return_inverse=True)
    drawn = np.random.default_rng(seed).random(len(members))[row_of]
    later, calibration = drawn < APART, drawn >= 1 - APART
    parts = (~later & ~calibration, later, calibration)
    fitted, held_out, last = (Examples(*(values[part] for values in _fields(rows))) for part in parts)
    return fitted, held_out, last


def _fields(rows: Examples) -> tuple[Any, ...]:
    return rows.member_ids, rows.days, rows.matrix, rows.labels
