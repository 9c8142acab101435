"""Evidence of the recipes there are: each is refitted for every test period on what was known before, and judged on it once."""

from collections.abc import Callable, Mapping

import numpy as np

from features.errors import ConfigurationError
from training import baselines
from training.boosting import fit_with_early_stopping
from training.churn import OBJECTIVES, ChurnDefinition, churn_label, churn_windows, fit_calibrator
from training.datasets import Cutoffs, Snapshots, examples
from training.evidence import Evidence, Judged
from training.periods import Period, periods
from training.predictors import Engine
from training.slice_labels import slice_labels
from training.trained import SEED

ENGINES: Mapping[str, tuple[Engine, ...]] = {"churn": ("xgboost", "lightgbm")}


def test_periods(snapshots: Snapshots, model: str) -> tuple[Period, ...]:
    """The test periods of a model, oldest first."""
    return periods(snapshots.facts, horizon_days=ChurnDefinition().horizon_days)


def evidence_of(snapshots: Snapshots, model: str, engine: str, *, done: Callable[[], None] = lambda: None) -> Evidence:
    """Evidence of one recipe over all its test periods; `done` is called after each.

    Raises
    ------
    ConfigurationError
        There is no such recipe.
    NotEnoughData
        The facts do not reach for one test period.
    """
    chosen = next((known for known in ENGINES.get(model, ()) if known == engine), None)
    if chosen is None:
        known = ", ".join(f"{name} ({', '.join(engines)})" for name, engines in ENGINES.items())
        raise ConfigurationError(f"there is no recipe {model} with {engine}", remedy=f"choose from {known}")
    judged = []
    for period in test_periods(snapshots, model):
        judged.append(_churn(snapshots, period, chosen))
        done()
    definition = ChurnDefinition()
    return Evidence(
        model,
        engine,
        {"horizon_days": definition.horizon_days, "active_days": definition.active_days},
        tuple(judged),
        {"seed": SEED},
    )


def _churn(snapshots: Snapshots, period: Period, engine: Engine) -> Judged:
    definition = ChurnDefinition()
    assert period.validation is not None and period.calibration is not None  # noqa: S101, PT018
    windows = churn_windows(snapshots, Cutoffs(period.train, period.validation, period.calibration, period.test), definition)
    model, trees = fit_with_early_stopping(engine, windows.train, windows.validation, objective=OBJECTIVES[engine], seed=SEED)
    calibrator = fit_calibrator(
        model.predict(windows.calibration.matrix), windows.calibration.labels.astype(np.bool_), seed=SEED
    )
    rows = snapshots.at(period.test)
    eligible = churn_label(snapshots.facts, definition)(rows)[0]
    test = examples(snapshots, [period.test], churn_label(snapshots.facts, definition))
    others = {
        "recency": baselines.recency(test, snapshots.contract),
        "rfm_logistic": baselines.rfm_logistic(windows.train, test, snapshots.contract),
    }
    bgnbd = baselines.bgnbd_no_purchase(rows, eligible, horizon_days=definition.horizon_days)
    if bgnbd is not None:
        others["bgnbd"] = bgnbd
    return Judged(
        period,
        test.member_ids,
        test.labels.astype(np.bool_),
        calibrator.apply(model.predict(test.matrix)),
        others,
        slice_labels(rows, eligible),
        notes={"trees": trees, "training_rows": len(windows.train)},
    )
