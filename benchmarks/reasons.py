"""What does a reason cost, and how far is the quick form from exact TreeSHAP? On real models of a shop's facts.

python benchmarks/reasons.py --facts data/facts      JSON on the last line: microseconds a row, and how far forms agree

Models are fitted with the settings of `rapport train`, churn with both engines and tier, and explained on the test window.
Beside the tables stand the library's TreeSHAP and the quick form that XGBoost offers (Saabas 2014: the change of the mean
along the path). Times are processor time, the least of several runs on one thread, as others may use the machine as well.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.contract import CONTRACT
from features.facts import Facts
from training.artifacts import BundleManifest
from training.boosting import fit_with_early_stopping
from training.churn import BANDS, OBJECTIVES, ChurnDefinition, churn_label
from training.datasets import Snapshots, examples
from training.forecast import fit_forecast_as_of, tuned_recipe
from training.periods import periods
from training.predictors import Calibrator, ChurnPredictor, Engine, TierPredictor, with_parameters
from training.predictors.counterfactual import one_visit
from training.predictors.reason_codes import CODES, reason_of_feature
from training.predictors.reasons import explain, prepare, reasons
from training.spending import member_folds, part, spending_days, spending_periods
from training.tier import tier_definition, tier_label
from training.tier_odds import fit_odds
from training.trained import SEED
from training.tuning import Search

BATCHES = (1, 100, 10_000)
SAMPLE = 500
TOP = 3


@dataclass(frozen=True, slots=True)
class Fitted:
    """A predictor, the rows of its test window, and all its inputs there."""

    name: str
    predictor: ChurnPredictor | TierPredictor
    matrix: NDArray[np.float32]


def manifest(kind: str, engine: str, definition: dict[str, object]) -> BundleManifest:
    """A manifest that says what the rows are, and nothing of where the model came from."""
    return BundleManifest(kind, kind, engine, CONTRACT.hash, CONTRACT.model_features, definition, {}, {})


def fitted_churn(snapshots: Snapshots, engine: Engine) -> Fitted:
    """Churn, on the newest test period."""
    definition = ChurnDefinition()
    period = periods(snapshots.facts, horizon_days=definition.horizon_days)[-1]
    label = churn_label(snapshots.facts, definition)
    train = examples(snapshots, period.train, label)
    if period.validation is None:
        fold = next(member_folds(train, seed=SEED))
        train, later = part(train, fold.fitted), part(train, fold.held_out)
    else:
        later = examples(snapshots, [period.validation], label)
    model, _ = fit_with_early_stopping(engine, train, later, objective=OBJECTIVES[engine], seed=SEED)
    test = examples(snapshots, [period.test], label).matrix
    shaped = with_parameters(manifest("churn", engine, asdict(definition)), bands=BANDS, calibrator=Calibrator())
    return Fitted(f"churn_{engine}", ChurnPredictor(shaped, model, test[:1]), test)


def fitted_tier(snapshots: Snapshots) -> Fitted:
    """Tier, on its newest test window."""
    period = spending_periods(snapshots.facts)[-1]
    recipe, _ = tuned_recipe(snapshots, "xgboost", horizon_days=period.horizon_days, search=Search(), seed=SEED)
    forecast = fit_forecast_as_of(snapshots, recipe, period)
    spent = forecast.rows.labels.astype(np.int64)
    definition = tier_definition(spent, period.horizon_days)
    odds = fit_odds(forecast.held_out / forecast.unit_cents, definition.tier_of(spent))
    test = examples(snapshots, [period.test], tier_label(snapshots.facts, definition)).matrix
    shaped = with_parameters(manifest("tier", "xgboost", asdict(definition)), odds=odds.numbers())
    return Fitted("tier_xgboost", TierPredictor(shaped, forecast.model, test[:1]), test)


def least_us(work: Callable[[], object], rows: int, *, seconds: float = 1.5) -> float:
    """Least processor time, microseconds a row, of as many runs as fit the time, three at least, after one not counted."""
    work()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begun < seconds:
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return round(min(times) / rows * 1e6, 1)


def costs(fitted: Fitted) -> dict[str, dict[str, float]]:
    """Microseconds a row of scoring, of reasons in both forms and of three sentences, by batch size."""
    predictor, found = fitted.predictor, {}
    for batch in BATCHES:
        rows = np.ascontiguousarray(np.resize(fitted.matrix, (batch, fitted.matrix.shape[1])))
        told = explain(predictor, rows)
        parts = {
            "score": least_us(lambda rows=rows: predictor.score(rows), batch),
            "explain": least_us(lambda rows=rows: explain(predictor, rows), batch),
        }
        if batch <= 100:
            parts["sentences"] = least_us(
                lambda told=told, rows=rows: reasons(told, rows, CONTRACT.model_features, "en"), batch
            )
            parts["explain_exact"] = least_us(lambda rows=rows: explain(predictor, rows, exact=True), batch)
        found[str(batch)] = parts
    return found


def agreement(fitted: Fitted) -> dict[str, float]:
    """The tables, and for churn by XGBoost the library's quick form, against the library's TreeSHAP."""
    rows = fitted.matrix[:: max(1, len(fitted.matrix) // SAMPLE)]
    exact = explain(fitted.predictor, rows, exact=True, top=TOP)
    quick = explain(fitted.predictor, rows, top=TOP)
    found = {
        "rows": len(rows),
        "tables_worst_difference": float(np.abs(quick.contributions - exact.contributions).max()),
        "tables_same_top": same_top(quick.contributions, exact.contributions),
    }
    booster = fitted.predictor.model.booster
    if isinstance(fitted.predictor, ChurnPredictor) and isinstance(booster, xgboost.Booster):
        by_feature = booster.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True, approx_contribs=True)[:, :-1]
        reason_of = reason_of_feature(CONTRACT.model_features)
        saabas = np.stack([by_feature[:, reason_of == code].sum(axis=1) for code in range(len(CODES))], axis=1)
        found["saabas_mean_difference"] = float(np.abs(saabas - exact.contributions).mean())
        found["saabas_worst_difference"] = float(np.abs(saabas - exact.contributions).max())
        found["saabas_same_top"] = same_top(saabas, exact.contributions)
        found["mean_contribution"] = float(np.abs(exact.contributions).mean())
    return found


def same_top(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Share of rows whose three strongest codes are the same, in the same order."""
    first, second = (np.argsort(-np.abs(side), axis=1, kind="stable")[:, :TOP] for side in (one, other))
    return float((first == second).all(axis=1).mean())


def main() -> None:
    """Print one line a figure, and all of them as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=Path, default=Path("data/facts"))
    snapshots = Snapshots(Facts.open(parser.parse_args().facts))
    days = {day for horizon in (28, 90) for day in days_of(snapshots.facts, horizon)}
    for _ in snapshots.prepare(sorted(days)):
        pass
    found: dict[str, object] = {}
    for fitted in (fitted_churn(snapshots, "xgboost"), fitted_churn(snapshots, "lightgbm"), fitted_tier(snapshots)):
        begun = time.process_time()
        if not prepare(fitted.predictor):
            print(f"{fitted.name}: trees too deep for tables")
        ready = round(time.process_time() - begun, 2)
        found[fitted.name] = {"prepare_s": ready, "us_per_row": costs(fitted), "agreement": agreement(fitted)}
        print(fitted.name, json.dumps(found[fitted.name]))
    found["one_visit_us_per_row"] = visits(snapshots)
    print(json.dumps(found))


def days_of(facts: Facts, horizon_days: int) -> tuple[int, ...]:
    """The snapshots that a model of this horizon asks for here."""
    if horizon_days == 90:
        return spending_days(facts)
    return periods(facts, horizon_days=horizon_days)[-1].days


def visits(snapshots: Snapshots) -> dict[str, float]:
    """Microseconds a row of the score after one visit, the churn model of XGBoost."""
    predictor = fitted_churn(snapshots, "xgboost").predictor
    rows = snapshots.at(periods(snapshots.facts, horizon_days=28)[-1].test)
    return {
        str(batch): least_us(
            lambda batch=batch: one_visit(predictor, CONTRACT, rows.records[:batch], day=rows.day, edges=rows.edges), batch
        )
        for batch in (1, 100, 2000)
    }


if __name__ == "__main__":
    main()
