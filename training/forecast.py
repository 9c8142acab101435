"""The forecast of what members will spend: Tweedie trees, judged on members held out in turn, refitted on all that is known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from features.derive import model_columns
from features.errors import NotEnoughData
from training.boosting import Recipe, fit_trees, scaled_trees, trees_by_early_stopping
from training.datasets import Examples, Snapshots
from training.histories import with_history
from training.labels import spend_within
from training.periods import Period
from training.predictors import AmountTable, Engine, TreeModel
from training.spending import Fold, bgnbd_gamma_gamma, known_rows, member_folds, monotone, part, spend_label, spending_periods
from training.tuning import Fold as TuningFold
from training.tuning import Search, Tuned, tuned

VARIANCE_POWER = 1.3
"""Between a count (1) and a gamma (2): amounts with a lump at 0."""
OBJECTIVES: Mapping[Engine, Mapping[str, Any]] = {
    "xgboost": {
        "objective": "reg:tweedie",
        "tweedie_variance_power": VARIANCE_POWER,
        "eval_metric": f"tweedie-nloglik@{VARIANCE_POWER}",
    },
    "lightgbm": {"objective": "tweedie", "tweedie_variance_power": VARIANCE_POWER, "metric": "tweedie"},
}
PARAMETERS: Mapping[str, float] = {"depth": 3}
"""Shallower than what finds leavers: chosen on members held out before the oldest test window (docs/decisions/0028)."""
LEVEL = 0.8
NEIGHBOURS = 200
POINTS = 41
FEWEST_ROWS = 50
FORMULA_HELD = 0.05
"""How far the formula's total may have been off on the newest known window for its total to be taken."""
FACTORS = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Trees that forecast spend as of one day.

    Attributes
    ----------
    unit_cents
        What the trees count in: the mean spend they were fitted on, times what their total is off.
    held_out
        Forecast in cents of every row by trees that had not seen its member.
    rows
        What it was fitted on; labels are net cents, negative ones among them.
    notes
        How it was fitted, for the record.
    """

    model: TreeModel
    unit_cents: float
    interval: AmountTable
    held_out: NDArray[np.float64]
    rows: Examples
    notes: Mapping[str, Any]

    def cents(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Forecast of each row in cents."""
        answer: NDArray[np.float64] = self.model.predict(matrix) * self.unit_cents
        return answer


_kept: WeakKeyDictionary[Snapshots, dict[str, Forecast]] = WeakKeyDictionary()
"""By the snapshots they were fitted on: value and tier ask for the same ones, and forget them with the snapshots."""


def tuned_recipe(snapshots: Snapshots, engine: Engine, *, horizon_days: int, search: Search, seed: int) -> tuple[Recipe, Tuned]:
    """How the trees are grown, and how that was found: by a search among members of the oldest period, if there is one.

    Every row of the search was known before the oldest test day. Value and tier ask the same question and share the answer.

    Raises
    ------
    NotEnoughData
        Not even one test window lies in the facts.
    """
    recipe = Recipe(engine, OBJECTIVES[engine], seed, dict(PARAMETERS), monotone(snapshots.contract))

    def folds() -> list[TuningFold]:
        oldest = spending_periods(snapshots.facts, horizon_days=horizon_days)[0]
        label = spend_label(snapshots.facts, horizon_days=horizon_days)
        known = known_rows(snapshots, oldest.train, label, seed=seed)
        first = snapshots.facts.manifest.first_day
        rows = in_units(with_history(known, snapshots.contract, first_day=first, day=oldest.test))[0]
        return [TuningFold(part(rows, fold.fitted), part(rows, fold.held_out)) for fold in member_folds(rows, seed=seed)][:2]

    asked = {"contract": snapshots.contract.hash, "definition": f"spend {horizon_days}"}
    found = tuned(recipe, folds, search=search, model="spend", known=asked)
    return (recipe.with_parameters(found.parameters) if found.parameters else recipe), found


def in_units(rows: Examples) -> tuple[Examples, float]:
    """The rows with labels in units of the mean spend, none below 0, and that unit in cents: trees see no currency.

    Raises
    ------
    NotEnoughData
        There are too few rows, or nobody spent anything.
    """
    spent = rows.labels.astype(np.float64)
    mean = float(np.maximum(spent, 0).mean()) if len(rows) else 0.0
    if len(rows) < FEWEST_ROWS or mean <= 0 or spent.sum() <= 0:
        raise NotEnoughData(
            f"a forecast of spend needs {FEWEST_ROWS} rows and some spend; there are {len(rows)} with {spent.sum() / 100:,.2f}",
            remedy="wait for more members, or choose a longer horizon",
        )
    return replace(rows, labels=np.maximum(spent, 0) / mean), mean


def fit_forecast_as_of(snapshots: Snapshots, recipe: Recipe, period: Period) -> Forecast:
    """The forecast as of the period's test day, from nothing that was not known by then; fitted once for value and tier.

    Its level is that of the formula of BG/NBD and Gamma-Gamma, which sees purchases up to that very day where labels are a
    horizon old, if the formula held on the newest window whose end is known; else that of members held out.

    Raises
    ------
    NotEnoughData
        There are too few rows, or nobody spent anything.
    """
    kept = _kept.setdefault(snapshots, {})
    key = repr((recipe, period))
    if key not in kept:
        kept[key] = _fit_as_of(snapshots, recipe, period)
    return kept[key]


def _fit_as_of(snapshots: Snapshots, recipe: Recipe, period: Period) -> Forecast:
    label = spend_label(snapshots.facts, horizon_days=period.horizon_days)
    rows = known_rows(snapshots, period.train, label, seed=recipe.seed)
    first = snapshots.facts.manifest.first_day
    fitted = fit_forecast(recipe, with_history(rows, snapshots.contract, first_day=first, day=period.test))
    total = formula_total(snapshots, period)
    if total is None:
        return replace(fitted, rows=rows)
    told = fitted.cents(snapshots.at(period.test).matrix[:, model_columns(snapshots.contract)])
    factor = float(np.clip(total / max(float(told.sum()), 1e-9), *FACTORS))
    notes = {**fitted.notes, "level_by": "formula", "level_factor": factor}
    return replace(fitted, rows=rows, unit_cents=fitted.unit_cents * factor, notes=notes)


def formula_total(snapshots: Snapshots, period: Period) -> float | None:
    """What all members together will spend from the test day on by the formula; None where it has no fit or did not hold."""
    known = period.train[-1]
    members = snapshots.at(known).member_ids.tolist()
    happened = spend_within(snapshots.facts, members, day=known, horizon_days=period.horizon_days).sum()
    try:
        before = bgnbd_gamma_gamma(snapshots.at(known), horizon_days=period.horizon_days).sum()
        total = float(bgnbd_gamma_gamma(snapshots.at(period.test), horizon_days=period.horizon_days).sum())
    except NotEnoughData:
        return None
    held = happened > 0 and abs(before / happened - 1) <= FORMULA_HELD
    return total if held and total > 0 else None


def fit_forecast(recipe: Recipe, rows: Examples) -> Forecast:
    """Trees fitted on all rows; rounds, level and interval from what such trees say of members they have not seen.

    Tweedie trees fit no amount below 0: such labels count as 0, and the level is corrected by what is then missing in total.

    Raises
    ------
    NotEnoughData
        There are too few rows, or nobody spent anything.
    """
    spent = rows.labels.astype(np.float64)
    scaled, mean = in_units(rows)
    folds = list(member_folds(rows, seed=recipe.seed))
    found = [trees_by_early_stopping(recipe, part(scaled, fold.fitted), part(scaled, fold.held_out)) for fold in folds]
    rounds = round(median(trees for trees, _ in found))
    unseen = _held_out(recipe, scaled, folds, rounds)
    unit = mean * _level(spent, unseen * mean)
    used = scaled_trees(recipe, rounds, found_on=len(folds[0].fitted), used_on=len(rows))
    notes = {
        "trees": used,
        "trees_found": rounds,
        "validation_loss": float(np.mean([loss for _, loss in found])),
        "unit_cents": unit,
        "level_by": "members held out",
        "rows": len(rows),
    }
    return Forecast(fit_trees(recipe, scaled, used), unit, amount_table(unseen * unit, spent), unseen * unit, rows, notes)


def amount_table(
    forecast: NDArray[np.float64],
    spent: NDArray[np.float64],
    *,
    neighbours: int = NEIGHBOURS,
    level: float = LEVEL,
    points: int = POINTS,
) -> AmountTable:
    """Between which amounts the members lie whose forecast is about the same: quantiles of their neighbours in forecast.

    The ends are the order statistics that split-conformal prediction takes (Lei et al. 2018), so that a further member of the
    same kind lies between them in `level` of all cases at least. They know no drift: later windows have to be counted.
    """
    size = max(2, min(neighbours, len(forecast) // 5))
    order = np.argsort(forecast, kind="stable")
    starts = np.unique(np.linspace(0, len(forecast) - size, points).round().astype(np.int64))
    groups = np.sort(spent[order][starts[:, None] + np.arange(size)], axis=1)
    down = max(int(np.floor((1 - level) / 2 * (size + 1))) - 1, 0)
    middle = np.maximum(forecast[order][starts[:, None] + np.arange(size)].mean(axis=1), 1e-3)
    cents, kept = np.unique(middle, return_index=True)
    low, high = (np.maximum.accumulate(groups[kept, place]) for place in (down, size - 1 - down))
    return AmountTable(_digits(cents), _digits(low), _digits(high), level=level)


def coverage(spent: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Share of members whose amount lies in their interval."""
    return float(((spent >= low) & (spent <= high)).mean())


def _held_out(recipe: Recipe, rows: Examples, folds: list[Fold], rounds: int) -> NDArray[np.float64]:
    answer = np.empty(len(rows))
    for fold in folds:
        answer[fold.held_out] = fit_trees(recipe, part(rows, fold.fitted), rounds).predict(rows.matrix[fold.held_out])
    return answer


def _level(spent: NDArray[np.float64], forecast: NDArray[np.float64]) -> float:
    """By what the total of the forecasts has to be multiplied to be that of what was spent."""
    return float(np.clip(spent.sum() / max(float(forecast.sum()), 1e-9), 0.1, 10.0))


def _digits(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values.tolist())
