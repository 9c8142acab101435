"""Churn: P(no purchase in the next H days) for members who bought in the last A days; judged over periods, then trained."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import NotEnoughData
from features.facts import Facts
from training import baselines
from training.artifacts import BundleManifest
from training.boosting import Recipe, gains
from training.calibration import coverage
from training.churn_definition import NAME, ChurnDefinition, churn_label, eligible_rows, monotone
from training.churn_figures import baseline_figures, newest_figures
from training.churn_fit import ChurnEngine, Fitted, days_of, fit_bgnbd_as_of, fit_trees_as_of, require_both
from training.churn_tuning import folds, tuning_days
from training.datasets import Examples, Snapshots, examples
from training.evidence import Evidence, Judged, proved
from training.periods import Period, period_of_today, periods
from training.predictors import BgNbd, BgNbdPredictor, ChurnAnswers, ChurnPredictor, Engine, TreeModel
from training.slice_labels import slice_labels
from training.trained import SEED, Trained, golden_rows, importance_plot, lineage, reliability_plot
from training.tuning import UNTUNED, Search, Tuned, tuned

__all__ = [
    "BANDS",
    "NAME",
    "OBJECTIVES",
    "ChurnDefinition",
    "ChurnEngine",
    "churn_days",
    "churn_label",
    "churn_periods",
    "engines_for",
    "evidence",
    "train_churn",
]

BANDS = {"low": 0.0, "medium": 0.2, "high": 0.5}
"""Lowest probability of each band."""
OBJECTIVES: Mapping[Engine, Mapping[str, Any]] = {
    "xgboost": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "lightgbm": {"objective": "binary", "metric": "binary_logloss"},
}
THIN_HISTORY_DAYS = 28
"""History that BG/NBD needs before a cut-off: it learns from gaps between purchases, not from windows of features."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is trained: model name, engine, definition, and how trees are grown (None for BG/NBD)."""

    name: str
    engine: ChurnEngine
    definition: ChurnDefinition
    recipe: Recipe | None
    tuned: Tuned
    seed: int


def churn_periods(facts: Facts, definition: ChurnDefinition, *, engine: ChurnEngine = "xgboost") -> tuple[Period, ...]:
    """The test periods of an engine, oldest first; BG/NBD needs no training windows and so is judged on shorter histories.

    Raises
    ------
    NotEnoughData
        Not even one test window lies in the facts.
    """
    try:
        return periods(facts, horizon_days=definition.horizon_days)
    except NotEnoughData:
        test = facts.manifest.until_day - definition.horizon_days
        if engine != "bgnbd" or test - facts.manifest.first_day < THIN_HISTORY_DAYS:
            raise
        return (Period(definition.horizon_days, (), None, None, test),)


def engines_for(facts: Facts, definition: ChurnDefinition) -> tuple[ChurnEngine, ...]:
    """Engines that these facts are long enough for, the first choice first; BG/NBD alone where trees have no window.

    Raises
    ------
    NotEnoughData
        The facts are too short for any.
    """
    try:
        periods(facts, horizon_days=definition.horizon_days)
    except NotEnoughData:
        churn_periods(facts, definition, engine="bgnbd")
        return ("bgnbd",)
    return ("xgboost", "lightgbm", "bgnbd")


def churn_days(facts: Facts, definition: ChurnDefinition, *, tuning: bool = False) -> tuple[int, ...]:
    """Local days of every snapshot that evidence and training of trees ask for, with those of a search if there is one."""
    if engines_for(facts, definition) == ("bgnbd",):
        return _bgnbd_days(facts, definition)
    found = [*churn_periods(facts, definition), period_of_today(facts, horizon_days=definition.horizon_days)]
    snapshots = Snapshots(facts)
    days = {day for period in found for day in days_of(snapshots, period, definition)}
    if tuning:
        days |= {day for known, later in tuning_days(facts, found[0], definition) for day in (*known, later)}
    return tuple(sorted(days))


def _bgnbd_days(facts: Facts, definition: ChurnDefinition) -> tuple[int, ...]:
    """The test days and the end of the facts, and one and two horizons before each, where BG/NBD is calibrated."""
    tests = [period.test for period in churn_periods(facts, definition, engine="bgnbd")]
    asked = {day - back * definition.horizon_days for day in (*tests, facts.manifest.until_day) for back in (0, 1, 2)}
    return tuple(sorted(day for day in asked if day in tests or day - facts.manifest.first_day >= definition.horizon_days))


def evidence(
    snapshots: Snapshots,
    *,
    engine: ChurnEngine,
    definition: ChurnDefinition | None = None,
    search: Search | None = None,
    name: str = NAME,
    seed: int = SEED,
    done: Callable[[], None] = lambda: None,
) -> Evidence:
    """The recipe over all its test periods: refitted for each on what was known before, and judged once on its window.

    `done` is called after each period.

    Raises
    ------
    NotEnoughData
        The facts are too short, a window holds a single outcome, or BG/NBD, asked for by name, degenerates.
    """
    plan = _plan(snapshots, engine, definition or ChurnDefinition(), search or Search(), name, seed)
    return _evidence(snapshots, plan, done)


def train_churn(
    snapshots: Snapshots,
    *,
    engine: ChurnEngine,
    definition: ChurnDefinition | None = None,
    search: Search | None = None,
    name: str = NAME,
    seed: int = SEED,
) -> Trained:
    """A churn model as of the end of the facts, by the very recipe that the test periods judged, with that evidence.

    Raises
    ------
    NotEnoughData
        The facts are too short, a window holds a single outcome, or BG/NBD, asked for by name, degenerates.
    """
    plan = _plan(snapshots, engine, definition or ChurnDefinition(), search or Search(), name, seed)
    proof = _evidence(snapshots, plan)
    facts, horizon = snapshots.facts, plan.definition.horizon_days
    today = _today(facts, plan)
    fitted = _fit(snapshots, plan, today)
    predictor = _predictor(snapshots, plan, fitted, today)
    newest = proof.judged[-1]
    happened = newest.truth.astype(np.bool_)
    plots = {"reliability.png": reliability_plot(happened, {str(engine): newest.answer})}
    if isinstance(fitted.model, TreeModel):
        used = gains(fitted.model, snapshots.contract.model_features)
        plots["importance.png"] = importance_plot(used, title=f"{name}, {engine}")
    return Trained(
        predictor,
        metrics=newest_figures(proof),
        baselines=baseline_figures(newest),
        parameters={"engine": engine, "seed": seed, **asdict(plan.definition), **fitted.notes, **plan.tuned.record()},
        plots=plots,
        examples=fitted.rows if fitted.rows is not None else _eligible_today(snapshots, today.test - horizon, plan.definition),
        evidence=proof,
    )


def _plan(
    snapshots: Snapshots, engine: ChurnEngine, definition: ChurnDefinition, search: Search, name: str, seed: int
) -> _Plan:
    if engine == "bgnbd":
        return _Plan(name, engine, definition, None, UNTUNED, seed)
    recipe = Recipe(engine, OBJECTIVES[engine], seed, monotone=monotone(snapshots.contract))
    oldest = churn_periods(snapshots.facts, definition)[0]
    known = {
        "contract": snapshots.contract.hash,
        "definition": f"{definition.horizon_days}/{definition.active_days}",
    }
    found = tuned(recipe, lambda: folds(snapshots, oldest, definition, seed), search=search, model=name, known=known)
    return _Plan(name, engine, definition, recipe.with_parameters(found.parameters), found, seed)


def _today(facts: Facts, plan: _Plan) -> Period:
    if plan.recipe is None:
        return Period(plan.definition.horizon_days, (), None, None, facts.manifest.until_day)
    return period_of_today(facts, horizon_days=plan.definition.horizon_days)


def _fit(snapshots: Snapshots, plan: _Plan, period: Period) -> Fitted:
    if plan.recipe is None:
        return fit_bgnbd_as_of(snapshots, period.test, plan.definition, seed=plan.seed)
    return fit_trees_as_of(snapshots, plan.recipe, period, plan.definition)


def _predictor(snapshots: Snapshots, plan: _Plan, fitted: Fitted, period: Period) -> ChurnAnswers:
    contract = snapshots.contract
    parameters: dict[str, Any] = {"bands": BANDS, "calibrator": asdict(fitted.calibrator)}
    if fitted.interval is not None:
        parameters["interval"] = asdict(fitted.interval)
    kind = BgNbdPredictor.kind if isinstance(fitted.model, BgNbd) else ChurnPredictor.kind
    manifest = BundleManifest(
        name=plan.name,
        kind=kind,
        engine=plan.engine,
        contract_hash=contract.hash,
        features=contract.model_features,
        definition=asdict(plan.definition),
        parameters=_plain(parameters),
        lineage=lineage(snapshots.facts, seed=plan.seed, days=asdict(period)),
    )
    day = period.test - plan.definition.horizon_days
    rows = fitted.rows if fitted.rows is not None else _eligible_today(snapshots, day, plan.definition)
    golden = golden_rows(rows.matrix, seed=plan.seed)
    if isinstance(fitted.model, BgNbd):
        return BgNbdPredictor(manifest, fitted.model, golden)
    return ChurnPredictor(manifest, fitted.model, golden)


def _evidence(snapshots: Snapshots, plan: _Plan, done: Callable[[], None] = lambda: None) -> Evidence:
    record = {"seed": plan.seed, **plan.tuned.record()}
    recipe = Evidence(plan.name, plan.engine, asdict(plan.definition), parameters=record)
    tests = churn_periods(snapshots.facts, plan.definition, engine=plan.engine)
    return proved(recipe, tests, lambda period: _judged(snapshots, plan, period), done=done)


def _judged(snapshots: Snapshots, plan: _Plan, period: Period) -> Judged:
    """The recipe fitted as of a period's test day, and what it and the baselines say of that day's members."""
    fitted = _fit(snapshots, plan, period)
    predictor = _predictor(snapshots, plan, fitted, period)
    test = require_both(_eligible_today(snapshots, period.test, plan.definition), "test")
    low, high = predictor.interval(test.matrix)
    answer = predictor.score(test.matrix)
    happened = test.labels.astype(np.bool_)
    notes = dict(fitted.notes)
    if fitted.interval is not None:
        notes["interval_coverage"] = coverage(answer, low, high, happened, group=fitted.interval.group)
        notes["interval_group"] = fitted.interval.group
        notes["interval_width"] = float((high - low).mean())
    rows = snapshots.at(period.test)
    return Judged(
        period,
        test.member_ids,
        happened,
        answer,
        _others(snapshots, plan.definition, period, fitted.rows, test),
        slice_labels(rows, eligible_rows(rows, plan.definition)),
        low,
        high,
        notes,
    )


def _others(
    snapshots: Snapshots, definition: ChurnDefinition, period: Period, known: Examples | None, test: Examples
) -> dict[str, NDArray[np.float64]]:
    """The answers of the baselines, each fitted on all that was known by the test day."""
    found = {"recency": baselines.recency(test, snapshots.contract)}
    if known is not None:
        found["rfm_logistic"] = baselines.rfm_logistic(known, test, snapshots.contract)
    rows = snapshots.at(period.test)
    bgnbd = baselines.bgnbd_no_purchase(rows, eligible_rows(rows, definition), horizon_days=definition.horizon_days)
    return found if bgnbd is None else {**found, "bgnbd": bgnbd}


def _eligible_today(snapshots: Snapshots, day: int, definition: ChurnDefinition) -> Examples:
    return examples(snapshots, [day], churn_label(snapshots.facts, definition))


def _plain(values: Any) -> Any:
    """The same in the types that JSON gives back, so that a manifest reads as it was written."""
    if isinstance(values, Mapping):
        return {name: _plain(value) for name, value in values.items()}
    return [_plain(value) for value in values] if isinstance(values, list | tuple) else values
