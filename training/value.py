"""Value: net spend of the next 90 days in cents, with an interval; judged over periods, then trained by the same recipe."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.errors import NotEnoughData
from training.artifacts import BundleManifest
from training.boosting import Recipe, gains
from training.datasets import Snapshots, examples
from training.evaluation import spearman, total_bias
from training.evidence import Evidence, Judged, proved
from training.forecast import Forecast, coverage, fit_forecast_as_of, tuned_recipe
from training.periods import Period
from training.predictors import Engine, ValuePredictor
from training.slice_labels import slice_labels
from training.spending import (
    HORIZON_DAYS,
    bgnbd_gamma_gamma,
    past_spend,
    spend_label,
    spending_periods,
    spending_today,
)
from training.trained import SEED, Trained, golden_rows, importance_plot, lineage
from training.tuning import Search, Tuned

NAME = "value"


@dataclass(frozen=True, slots=True)
class ValueDefinition:
    """Net spend on the local days [T, T + horizon_days), returns taken off, of every member with a purchase before T."""

    horizon_days: int = HORIZON_DAYS


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is trained."""

    definition: ValueDefinition
    recipe: Recipe
    tuned: Tuned


def evidence(
    snapshots: Snapshots,
    *,
    engine: Engine,
    definition: ValueDefinition | None = None,
    search: Search | None = None,
    seed: int = SEED,
    done: Callable[[], None] = lambda: None,
) -> Evidence:
    """The recipe over all its test periods: refitted for each on what was known before, and judged once on its window.

    `done` is called after each period.

    Raises
    ------
    NotEnoughData
        The facts are too short, or nobody spends anything.
    """
    return _evidence(snapshots, _plan(snapshots, engine, definition, search, seed), done)


def train_value(
    snapshots: Snapshots,
    *,
    engine: Engine,
    definition: ValueDefinition | None = None,
    search: Search | None = None,
    seed: int = SEED,
) -> Trained:
    """A value model as of the end of the facts, by the very recipe that the test periods judged, with that evidence.

    Raises
    ------
    NotEnoughData
        The facts are too short, or nobody spends anything.
    """
    plan = _plan(snapshots, engine, definition, search, seed)
    proof = _evidence(snapshots, plan)
    today = spending_today(snapshots.facts, horizon_days=plan.definition.horizon_days)
    fitted = _fit(snapshots, plan, today)
    used = gains(fitted.model, snapshots.contract.model_features)
    return Trained(
        _predictor(snapshots, plan, fitted, today),
        metrics=_newest_figures(proof),
        baselines={name: _figures(proof.judged[-1].truth, answer) for name, answer in proof.judged[-1].others.items()},
        parameters={"engine": engine, "seed": seed, **asdict(plan.definition), **fitted.notes, **plan.tuned.record()},
        plots={"importance.png": importance_plot(used, title=f"{NAME}, {engine}")},
        examples=fitted.rows,
        evidence=proof,
    )


def _plan(snapshots: Snapshots, engine: Engine, definition: ValueDefinition | None, search: Search | None, seed: int) -> _Plan:
    asked = definition or ValueDefinition()
    recipe, found = tuned_recipe(snapshots, engine, horizon_days=asked.horizon_days, search=search or Search(), seed=seed)
    return _Plan(asked, recipe, found)


def _fit(snapshots: Snapshots, plan: _Plan, period: Period) -> Forecast:
    return fit_forecast_as_of(snapshots, plan.recipe, period)


def _predictor(snapshots: Snapshots, plan: _Plan, fitted: Forecast, period: Period) -> ValuePredictor:
    manifest = BundleManifest(
        name=NAME,
        kind=ValuePredictor.kind,
        engine=plan.recipe.engine,
        contract_hash=snapshots.contract.hash,
        features=snapshots.contract.model_features,
        definition=asdict(plan.definition),
        parameters={"unit_cents": fitted.unit_cents, "interval": fitted.interval.numbers()},
        lineage=lineage(snapshots.facts, seed=plan.recipe.seed, days=asdict(period)),
    )
    return ValuePredictor(manifest, fitted.model, golden_rows(fitted.rows.matrix, seed=plan.recipe.seed))


def _evidence(snapshots: Snapshots, plan: _Plan, done: Callable[[], None] = lambda: None) -> Evidence:
    record = {"seed": plan.recipe.seed, **plan.tuned.record()}
    recipe = Evidence(NAME, plan.recipe.engine, asdict(plan.definition), parameters=record)
    periods = spending_periods(snapshots.facts, horizon_days=plan.definition.horizon_days)
    return proved(recipe, periods, lambda period: _judged(snapshots, plan, period), done=done)


def _judged(snapshots: Snapshots, plan: _Plan, period: Period) -> Judged:
    """The recipe fitted as of a period's test day, and what it and the baselines say of that day's members."""
    fitted = _fit(snapshots, plan, period)
    predictor = _predictor(snapshots, plan, fitted, period)
    test = examples(snapshots, [period.test], spend_label(snapshots.facts, horizon_days=plan.definition.horizon_days))
    if not (test.labels.astype(np.int64) > 0).any():
        raise NotEnoughData("nobody spent anything in the test window of value")
    answer = predictor.score(test.matrix)
    low, high = predictor.interval_of(answer)
    spent = test.labels.astype(np.float64)
    notes = {
        **fitted.notes,
        "interval_level": fitted.interval.level,
        "interval_coverage": coverage(spent, low, high),
        "interval_width": float((high - low).mean()),
    }
    rows = snapshots.at(period.test)
    everyone = np.ones(len(test), dtype=np.bool_)
    others = baselines_of(rows, horizon_days=plan.definition.horizon_days)
    return Judged(period, test.member_ids, test.labels, answer, others, slice_labels(rows, everyone), low, high, notes)


def baselines_of(rows: FeatureRows, *, horizon_days: int) -> dict[str, NDArray[np.float64]]:
    """What a spreadsheet says of every member's spend to come, in cents; a formula without a fit is left out."""
    found = {"past_spend": past_spend(rows, horizon_days=horizon_days)}
    try:
        return {**found, "bgnbd_gamma_gamma": bgnbd_gamma_gamma(rows, horizon_days=horizon_days)}
    except NotEnoughData:
        return found


def _figures(truth: NDArray[np.generic], answer: NDArray[np.float64]) -> dict[str, float]:
    spent = truth.astype(np.float64)
    return {
        "spearman": spearman(spent, answer),
        "total_bias": total_bias(spent, answer),
        "mean_error_cents": float(np.abs(spent - answer).mean()),
    }


def _newest_figures(proof: Evidence) -> dict[str, float]:
    """Figures on the newest test window, and rank correlation and coverage of every period, oldest first."""
    newest = proof.judged[-1]
    found = _figures(newest.truth, newest.answer) | {"interval_coverage": newest.notes["interval_coverage"]}
    for number, one in enumerate(proof.judged, start=1):
        found[f"spearman_period_{number}"] = _figures(one.truth, one.answer)["spearman"]
    return found
